//! Layer 5: the process that lives for years. Schedules, signals, reload, and a shutdown that waits for the current batch.
//!
//! ```text
//! main_loop      waits for the first of everything that can happen, and acts on it
//! scheduler      pure: state and time in, runs to start out; timing: when a policy's ticks are
//! ticker         fires the next tick (tokio-cron-scheduler)
//! run_task       one run as a task of its own: waits for, or shares, the deletion lock; is aborted when it hangs
//! reload         loads a new configuration beside the old one; config_watch: notices that it changed; open_writers: whether
//!                a file is still being written
//! ledger_probe   opens the ledger, and finds out whether it still works
//! key_refusals   refused access keys go into the ledger
//! project_checks  one request to each project, so that missing keys show at once
//! systemd        ready, reloading, stopping, watchdog
//! ```
//!
//! Everything that may take long is a task of its own whose end the main loop waits for. What the daemon knows goes into
//! [`crate::status`], where `web` reads it: neither knows the other. Not for what a run does ([`crate::run`]).

mod config_watch;
mod held_edit;
mod key_refusals;
mod ledger_probe;
mod main_loop;
mod open_writers;
mod options;
mod project_checks;
mod reload;
mod reload_request;
mod run_task;
mod scheduler;
mod systemd;
mod ticker;
mod timing;

pub use main_loop::MainLoop;
pub use options::{Clock, Error, LoopEnded, Options};
