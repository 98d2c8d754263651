//! The ledger's desk: what batches have to write down at the same time is written in one transaction.
//!
//! A transaction that is on disk costs an `fsync`, and a batch needs two. While every slot for requests is taken nothing is
//! lost by waiting a little for the fellows of an intent or an answer; once one may be idle, what is there is written at
//! once. The clerk is a thread of its own, so that nobody who waits for the disk keeps a thread of the runtime.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::time::{Duration, Instant};

use tokio::sync::oneshot;
use tokio::task::{JoinHandle, spawn_blocking};

use super::{Error, World};
use crate::ledger::{self, Clearance, DeletionLock, Entered, Entry, Intent, Ledger, Listing};
use crate::retention::InstanceId;

/// An answer is on disk so long after it came, at the latest.
const LONGEST_WAIT: Duration = Duration::from_millis(10);

/// So many intents and answers are written together, at most: what they hold is in memory until then.
const MOST: usize = 32;

/// Where batches hand in what is to be written down.
#[derive(Clone)]
pub(super) struct Desk(Sender<Job>);

struct Job {
    entry: Entry,
    reply: oneshot::Sender<Result<Entered, ledger::Error>>,
}

impl Desk {
    /// Opens the desk, and says when its clerk is gone: after the last desk is dropped.
    pub(super) fn open(clerk: Clerk) -> (Self, JoinHandle<()>) {
        let (desk, jobs) = channel();
        (Self(desk), spawn_blocking(move || clerk.work(&jobs)))
    }

    /// Waits until an entry is on disk.
    pub(super) async fn enter(&self, entry: Entry) -> Result<Entered, Error> {
        let (reply, replied) = oneshot::channel();
        self.0.send(Job { entry, reply }).map_err(|_| Error::NoClerk)?;
        Ok(replied.await.map_err(|_| Error::NoClerk)??)
    }
}

/// Who writes.
pub(super) struct Clerk {
    pub(super) world: World,
    pub(super) ledger: Arc<Ledger>,
    pub(super) lock: Arc<DeletionLock>,
    pub(super) run_id: String,
    /// The listings that justify the deletions.
    pub(super) listings: Arc<HashMap<InstanceId, Listing>>,
    /// How many requests may be under way in all projects that are sent to.
    pub(super) slots: usize,
}

impl Clerk {
    fn work(&self, jobs: &Receiver<Job>) {
        // Intended and not answered: with their slot, or waiting for one.
        let mut under_way = 0_usize;
        while let Ok(first) = jobs.recv() {
            let until = Instant::now() + LONGEST_WAIT;
            let mut together = Vec::new();
            let mut next = Some(first);
            while let Some(job) = next {
                under_way -= usize::from(matches!(job.entry, Entry::Answer { .. })).min(under_way);
                together.push(job);
                let wait = if under_way > self.slots {
                    until.saturating_duration_since(Instant::now())
                } else {
                    Duration::ZERO
                };
                next = if together.len() < MOST {
                    jobs.recv_timeout(wait).ok()
                } else {
                    None
                };
            }
            under_way += self.write(together);
        }
    }

    /// Writes them together; how many were cleared for sending.
    fn write(&self, jobs: Vec<Job>) -> usize {
        let live = self.world.live.borrow().clone();
        let intent = Intent {
            lock: &self.lock,
            run: &self.run_id,
            attempt: 1,
            config_sha256: &self.world.config.sha256,
            now: crate::clock::now(),
            config_holds: &live.holds,
            config_freeze: live.freeze.as_ref(),
            listings: &self.listings,
            rule: |reason| reason.key(),
        };
        let (entries, replies): (Vec<_>, Vec<_>) = jobs.into_iter().map(|job| (job.entry, job.reply)).unzip();
        let mut cleared = 0;
        for (entered, reply) in self.ledger.enter(&intent, entries).into_iter().zip(replies) {
            cleared += usize::from(matches!(entered, Ok(Entered::Intent(_, Clearance::Cleared { .. }))));
            // Who no longer waits has been told to stop; the next run's listing tells what became of it.
            let _ = reply.send(entered);
        }
        cleared
    }
}
