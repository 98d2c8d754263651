//! A tool for every layer but 0: words that mean the same wherever they are shown.
//!
//! Not for sentences of a command (`cli`), the page (`web`) or the log (`telemetry`).

mod error_chain;
pub mod numbers;
pub mod remedy;
pub mod run_messages;
pub mod sanitize;

pub use self::error_chain::error_chain;
