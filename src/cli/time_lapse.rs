//! `demo --watch`: time passes faster, each day with its backups and its run.
//!
//! The clock of the process, which daemon and simulated API share, is set forward from one tick to the next, between two runs: within a run
//! it goes as always, so that nothing that a run checks has to know of it. There is no such thing for other processes: a daemon whose clock
//! runs ahead would delete what has not expired.

use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use tokio::sync::Notify;
use tokio::time::{Instant, sleep, sleep_until};

use super::args::TimeLapse;
use crate::clock;
use crate::simulator::Simulator;
use crate::status::SharedStatus;

/// A run of the demo takes less; one that hangs does not end the time-lapse.
const LONGEST_RUN: Duration = Duration::from_secs(30);

/// Lets time pass without end, from one tick to the next.
pub(super) async fn pass(lapse: TimeLapse, simulator: &Simulator, status: &SharedStatus, clock_set: &Notify) {
    simulator.set(|settings| settings.deletion_takes = Duration::ZERO);
    let mut since = DateTime::UNIX_EPOCH;
    loop {
        let begun = Instant::now();
        while !has_run(status, since) && begun.elapsed() < LONGEST_RUN {
            sleep(Duration::from_millis(10)).await;
        }
        let Some(leap) = next_tick(status).map(|tick| tick - clock::now()) else {
            return;
        };
        sleep_until(begun + lapse.real(leap)).await;
        clock::set_forward(leap + TimeDelta::milliseconds(1));
        since = clock::now();
        simulator.make_due_backups();
        clock_set.notify_one();
    }
}

/// Whether every policy has run since, and none runs or is about to.
fn has_run(status: &SharedStatus, since: DateTime<Utc>) -> bool {
    let state = status.state();
    let is_later = |policy| state.last.get(policy).is_some_and(|last| last.at >= since);
    state.running.is_empty() && state.waiting.is_empty() && !state.next.is_empty() && state.next.keys().all(is_later)
}

fn next_tick(status: &SharedStatus) -> Option<DateTime<Utc>> {
    status.state().next.values().flatten().min().copied()
}
