//! One binary for all integration tests: one link, one harness, tests as verbs on it.

mod cli_render;
mod clocks;
mod config;
mod confirming;
mod daemon;
mod deleted;
mod doubts;
mod field;
mod first_steps;
mod floors;
mod http;
mod keys;
mod kill;
mod ledger;
mod lints;
mod matrix;
mod offline;
mod pass;
mod people;
mod rds;
mod secrets;
mod simulator;
mod state;
mod stopping;
mod verdicts;
mod world;
