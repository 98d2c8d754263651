//! One binary for all integration tests: one link, one harness, tests as verbs on it.

mod cli_render;
mod config;
mod floors;
mod http;
mod ledger;
mod people;
mod rds;
mod simulator;
