//! One binary for all integration tests: one link, one harness ([`world::World`]), tests as verbs on it.

mod config;
mod floors;
mod http;
mod ledger;
mod simulator;
