//! One writer for the ledger: what batches have to write down at the same time is written in one transaction.
//!
//! A transaction that is on disk costs an `fsync`, and a batch needs two. An intent is written at once, for its request has a
//! slot and five seconds to begin; an answer waits a little for an intent to share the `fsync` with. The writer is a thread
//! of its own, so that no wait for the disk keeps a thread of the runtime.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::time::{Duration, Instant};

use tokio::sync::oneshot;
use tokio::task::{JoinHandle, spawn_blocking};

use super::context::RunContext;
use super::edits::Edits;
use super::error::Error;
use crate::ledger::{self, DeletionLock, Intent, IntentResult, Ledger, LedgerWrite, Listing, RequestKey, Written};
use crate::rds::{Delay, IntendedAt};
use crate::retention::{Batch, InstanceId};

/// An answer waits at most this long for an intent to share a transaction with.
const LONGEST_WAIT: Duration = Duration::from_millis(10);

/// So many intents and answers are written together, at most: what they hold is in memory until then.
const MOST: usize = 32;

/// Where batches hand in what is to be written down.
#[derive(Clone)]
pub(super) struct LedgerWriter(Sender<WriteRequest>);

struct WriteRequest {
    entry: LedgerWrite,
    may_begin: MayBegin,
    reply: oneshot::Sender<WriteReply>,
}

/// Whether a batch may still be sent, asked just before its intent is recorded.
type MayBegin = Box<dyn Fn() -> bool + Send>;

/// What was entered; of a batch that may not be sent nothing was, and it comes back.
type WriteReply = Result<(Result<Written, Batch>, IntendedAt), ledger::Error>;

/// What became of a batch whose intent was to be recorded.
pub(super) struct Intended {
    /// What is left of it.
    pub(super) batch: Batch,
    /// `None`: it may no longer be sent, and nothing was recorded.
    pub(super) clearance: Option<IntentResult>,
    /// What its request's five seconds count from.
    pub(super) at: IntendedAt,
}

impl LedgerWriter {
    /// Starts the writer's thread; it ends after the last writer is dropped.
    pub(super) fn open(writer_thread: WriterThread) -> (Self, JoinHandle<()>) {
        let (writer, jobs) = channel();
        (Self(writer), spawn_blocking(move || writer_thread.work(&jobs)))
    }

    /// Waits until the intent of a batch is on disk. `may_begin` is asked last of all.
    pub(super) async fn intend(
        &self,
        batch: Batch,
        attempt: u32,
        may_begin: impl Fn() -> bool + Send + 'static,
    ) -> Result<Intended, Error> {
        let (entered, at) = self
            .submit(LedgerWrite::Intent { attempt, batch }, Box::new(may_begin))
            .await?;
        match entered {
            Ok(Written::Intent(batch, clearance)) => Ok(Intended {
                batch,
                clearance: Some(clearance),
                at,
            }),
            Err(batch) => Ok(Intended {
                batch,
                clearance: None,
                at,
            }),
            Ok(Written::Answer(_) | Written::Withdrawal) => Err(Error::LedgerWriterGone),
        }
    }

    /// Waits until what became of a request is on disk.
    pub(super) async fn enter(&self, entry: LedgerWrite) -> Result<Written, Error> {
        let (entered, _) = self.submit(entry, Box::new(|| true)).await?;
        entered.map_err(|_| Error::LedgerWriterGone)
    }

    async fn submit(
        &self,
        entry: LedgerWrite,
        may_begin: MayBegin,
    ) -> Result<(Result<Written, Batch>, IntendedAt), Error> {
        let (reply, replied) = oneshot::channel();
        let job = WriteRequest {
            entry,
            may_begin,
            reply,
        };
        self.0.send(job).map_err(|_| Error::LedgerWriterGone)?;
        Ok(replied.await.map_err(|_| Error::LedgerWriterGone)??)
    }
}

/// Who writes.
pub(super) struct WriterThread {
    pub(super) context: RunContext,
    pub(super) ledger: Arc<Ledger>,
    pub(super) lock: Arc<DeletionLock>,
    pub(super) run_id: String,
    /// The listings that justify the deletions.
    pub(super) listings: Arc<HashMap<InstanceId, Listing>>,
}

impl WriterThread {
    fn work(&self, jobs: &Receiver<WriteRequest>) {
        let mut edits = Edits::of_run(&self.context.config);
        while let Ok(first) = jobs.recv() {
            let until = Instant::now() + LONGEST_WAIT;
            let mut together = Vec::new();
            let mut next = Some(first);
            let mut wait = LONGEST_WAIT;
            while let Some(job) = next {
                if matches!(job.entry, LedgerWrite::Intent { .. }) {
                    wait = Duration::ZERO;
                }
                together.push(job);
                next = if together.len() < MOST {
                    jobs.recv_timeout(wait.min(until.saturating_duration_since(Instant::now())))
                        .ok()
                } else {
                    None
                };
            }
            self.write(together, &mut edits);
        }
    }

    /// Writes them together.
    fn write(&self, mut jobs: Vec<WriteRequest>, edits: &mut Edits) {
        // Read before all that can forbid a batch, so that no request begins later than five seconds after that was looked at.
        let at = IntendedAt::now();
        let live = self.context.live.borrow().clone();
        edits.look(&live);
        for job in &mut jobs {
            if let LedgerWrite::Intent { batch, .. } = &mut job.entry {
                edits.drop_kept(batch);
            }
        }
        let freeze = live.configured_freeze();
        let intent = Intent {
            lock: &self.lock,
            run: &self.run_id,
            attempt: 1,
            config_sha256: &self.context.config.sha256,
            now: at.wall(),
            config_holds: &live.holds,
            config_freeze: freeze.as_ref(),
            listings: &self.listings,
            rule: |reason| reason.key(),
        };
        let (mut entries, mut replies) = (Vec::with_capacity(jobs.len()), Vec::with_capacity(jobs.len()));
        for job in jobs {
            match job.entry {
                LedgerWrite::Intent { batch, .. } if !(job.may_begin)() => {
                    let _ = job.reply.send(Ok((Err(batch), at)));
                }
                entry => {
                    entries.push(entry);
                    replies.push(job.reply);
                }
            }
        }
        if entries.is_empty() {
            return;
        }
        let mut unheard = Vec::new();
        for (entered, reply) in self.ledger.enter(&intent, entries).into_iter().zip(replies) {
            let reply = reply.send(entered.map(|entered| (Ok(entered), at)));
            if let Err(Ok((Ok(Written::Intent(_, IntentResult::Cleared { request, .. })), _))) = reply {
                unheard.push(request);
            }
        }
        self.withdraw(&intent, unheard);
    }

    /// Closes intents that were not waited for until they were on disk, because stop was requested: they are not sent.
    fn withdraw(&self, intent: &Intent<'_>, requests: Vec<RequestKey>) {
        let entry = |request| LedgerWrite::Withdrawal {
            request,
            at: crate::clock::now(),
            why: Delay::Stop.as_str().to_owned(),
        };
        let entries: Vec<LedgerWrite> = requests.into_iter().map(entry).collect();
        if entries.is_empty() {
            return;
        }
        for error in self.ledger.enter(intent, entries).into_iter().filter_map(Result::err) {
            // The next run closes it as unanswered.
            tracing::warn!(run_id = self.run_id, %error, "an intent that is not sent could not be closed");
        }
    }
}
