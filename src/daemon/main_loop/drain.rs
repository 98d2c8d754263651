//! The main loop's end.

use std::time::Duration;

use tokio::time::{Instant, timeout_at};

use super::super::options::LoopEnded;
use super::super::systemd::Systemd;
use super::MainLoop;

/// Runs in progress have this long to finish their batches after a stop was requested (contract: 30 s in all).
const DRAIN: Duration = Duration::from_secs(25);
/// An aborted task has this long to end.
const ABORT: Duration = Duration::from_secs(2);
/// Notifications have this long to be delivered, and end within this of the stop, whatever the runs took.
const NOTIFY: Duration = Duration::from_secs(3);
const NOTIFY_UNTIL: Duration = Duration::from_secs(28);

impl MainLoop {
    /// Lets the runs in progress finish their current batches.
    pub(super) async fn drain(mut self) -> LoopEnded {
        let stopped = Instant::now();
        Systemd::stopping();
        self.status.state().stopping = true;
        if let Some(reload) = self.reload.take() {
            // It only reads.
            reload.task.abort();
        }
        let mut ended = LoopEnded::Drained;
        if !self.run_tasks.is_empty() {
            tracing::info!("waiting for the batches under way");
            self.join_runs(DRAIN).await;
        }
        if !self.run_tasks.is_empty() {
            for run_task in self.run_tasks.values_mut() {
                tracing::error!(
                    policies = run_task.names(),
                    "the run did not end in time and is cut; what it sent is in the ledger"
                );
                run_task.abort();
            }
            ended = LoopEnded::Aborted;
            self.join_runs(ABORT).await;
        }
        self.ticker.stop().await;
        self.ledger_probe.close().await;
        // Last: other daemons on the state need not wait for it.
        let left = NOTIFY_UNTIL.saturating_sub(stopped.elapsed());
        self.notifier.close(NOTIFY.min(left)).await;
        tracing::info!("stopped");
        ended
    }

    /// Waits until all runs have ended, but not longer than this.
    async fn join_runs(&mut self, within: Duration) {
        let end = Instant::now() + within;
        while let Ok(Some(ended)) = timeout_at(end, self.tasks.join_next_with_id()).await {
            self.run_ended(ended);
        }
    }
}
