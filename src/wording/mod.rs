//! A tool for every layer but 0: words that mean the same wherever they are shown.
//!
//! Not for sentences of a command (`cli`), the page (`web`) or the log (`telemetry`).

pub mod remedy;
pub mod sanitize;
