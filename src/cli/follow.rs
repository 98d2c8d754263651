//! Edits of the configuration while `apply` runs: what they keep is kept, from the next batch on.
//!
//! What they let go is for the next run, so half of a file does no harm here and nothing has to settle. The daemon's reload
//! is `daemon`'s.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;

use super::context;
use crate::blocking::blocking;
use crate::config::{self, Config, Problem, difference, fingerprint, keeping};

/// How often the files are looked at; they are read only when they changed.
const EVERY: Duration = Duration::from_millis(200);

/// The configuration, and beside it whatever newer versions of the files keep, until no reader is left.
pub(super) fn follow(config: &Arc<Config>) -> watch::Receiver<Arc<Config>> {
    let (sender, live) = watch::channel(Arc::clone(config));
    let mut file = File {
        began: Arc::clone(config),
        // They may have changed after they were read.
        fingerprint: None,
        is_logged_bad: false,
    };
    tokio::spawn(async move {
        while !sender.is_closed() {
            if let Some(new) = blocking(|| file.look()) {
                let current = sender.borrow().clone();
                if difference::whole(&current, &new).may_keep_more() {
                    sender.send_replace(Arc::new(keeping::merge(&current, &new)));
                }
            }
            // Where nobody reads any more the runtime may be ending: then no timer may begin.
            tokio::select! {
                biased;
                () = sender.closed() => return,
                () = tokio::time::sleep(EVERY) => {}
            }
        }
    });
    live
}

/// The files of the configuration that the run began with.
struct File {
    began: Arc<Config>,
    fingerprint: Option<u64>,
    is_logged_bad: bool,
}

impl File {
    /// A version of the files that was not seen before, if it is good.
    fn look(&mut self) -> Option<Config> {
        let now = Some(fingerprint(&self.began));
        if self.fingerprint == now {
            return None;
        }
        self.fingerprint = now;
        match config::load(&self.began.path, &context::environment(true)) {
            Ok(new) => Some(new),
            Err(problems) => {
                if !std::mem::replace(&mut self.is_logged_bad, true) {
                    let first = problems.iter().next().map(Problem::one_line).unwrap_or_default();
                    tracing::warn!("the configuration was edited during the run, is bad, and changes nothing: {first}");
                }
                None
            }
        }
    }
}
