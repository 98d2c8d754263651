//! The command line: flags in, text and exit codes out.
//!
//! Each command parses, calls the layers below, shows what they return as a table or as JSON, and picks its exit code. It
//! decides nothing. This module alone writes to stdout, through [`output::stdout::Out`].

mod apply;
mod approve;
pub mod args;
mod ask;
mod check;
mod completion;
mod context;
mod demo;
mod diff;
pub mod exit;
mod failure;
mod follow;
mod forecast;
mod history;
mod init;
mod main;
pub mod man;
mod metrics_file;
mod operator;
pub mod output;
mod plan;
mod run;
mod scenario;
mod schema;
mod signals;
mod simulator;
mod state;
mod status;
mod test;
mod time_lapse;
mod why;

pub use self::main::main;
