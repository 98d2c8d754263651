//! Layer 5: the status over HTTP. GET and HEAD only; nothing can be changed here.
//!
//! ```text
//! /metrics          Prometheus text, or OpenMetrics where that is accepted
//! /healthz          the main loop is alive
//! /readyz           it can do its work: 200, or 503 with the reasons
//! /api/v1/status    everything, as JSON
//! /                 the page (`page`); also /policy/NAME, /why/BACKUP_ID, /history
//! ```
//!
//! Page and API answer a `Host` that is this machine's, or one of `allowed_hosts` (`host`). What is shown comes from [`crate::status`]; the daemon is not known here. A client costs little, whatever it does: heads are
//! small and have a timeout, bodies are not read, connections are counted ([`crate::http`]), and pages are rendered one at a
//! time, each at most once a second.

mod encoding;
mod forecasts;
mod host;
mod listener;
pub mod page;
mod server;

pub use forecasts::DAYS;
pub use listener::{ListenError, Listener};
pub use server::serve;
