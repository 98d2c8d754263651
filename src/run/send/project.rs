//! What the batches of a project share, and what ends the sending to it.

use std::collections::HashSet;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use tokio::time::Instant;

use crate::ledger::Ledger;
use crate::rds::Client;
use crate::retention::report::{Skip, SkipReason};
use crate::retention::{Batch, Engine, Refusal};
use crate::run::clock_jump::ClockJumpDetector;
use crate::run::context::{Progress, RunContext, stop_requested};
use crate::run::ledger_writer::LedgerWriter;

/// What the batches of one run share.
pub(super) struct RunSender {
    pub(super) context: RunContext,
    pub(super) ledger: Arc<Ledger>,
    pub(super) id: String,
    pub(super) deadline: Instant,
    pub(super) clock_jump: ClockJumpDetector,
    pub(super) writer: LedgerWriter,
    pub(super) sent: AtomicUsize,
    pub(super) progress: Progress,
}

/// What the batches of one project share.
pub(super) struct ProjectSender {
    pub(super) run: Arc<RunSender>,
    pub(super) client: Client,
    /// Set when nothing more can be sent to this project in this run.
    closed: AtomicBool,
    /// Engines whose deletion the API refuses as such: nothing more of them is sent in this run.
    refused_engines: Mutex<HashSet<Engine>>,
    trouble: Mutex<Option<Skip>>,
}

impl ProjectSender {
    pub(super) fn new(run: &Arc<RunSender>, client: Client) -> Arc<Self> {
        Arc::new(Self {
            run: Arc::clone(run),
            client,
            closed: AtomicBool::new(false),
            refused_engines: Mutex::default(),
            trouble: Mutex::new(None),
        })
    }

    /// Whether nothing more may be sent to this project in this run; notes why.
    pub(super) fn is_stopped(&self) -> bool {
        if let Some(skip) = self.stop_reason() {
            self.close_with(skip);
        }
        self.closed.load(Ordering::Acquire)
    }

    /// Why no batch may be sent now, if so: stop, time, clock.
    fn stop_reason(&self) -> Option<Skip> {
        let skip = |reason, message: String| Some(self.skip(reason, message));
        if *self.run.context.stop.borrow() {
            return skip(
                SkipReason::Budget,
                "stop requested: what is left is the next run's".to_owned(),
            );
        }
        if Instant::now() >= self.run.deadline {
            return skip(
                SkipReason::Budget,
                "the run's time budget is over: what is left is the next run's".to_owned(),
            );
        }
        let check = self.run.clock_jump.check(self.client.clock());
        if !check.is_good() {
            let refusal = Refusal::Clock {
                project: self.client.project().clone(),
                check,
            };
            return Some(self.refused(refusal));
        }
        None
    }

    /// Whether the API refuses to delete backups of this engine.
    pub(super) fn is_refused(&self, batch: &Batch) -> bool {
        let refused = self.refused_engines.lock().unwrap_or_else(PoisonError::into_inner);
        batch.engine().is_some_and(|engine| refused.contains(engine))
    }

    /// Sends nothing more of this engine: each id of it would be refused, too. The others go on.
    pub(super) fn refuse(&self, engine: Option<&Engine>, why: &str) {
        let Some(engine) = engine else { return };
        let mut refused = self.refused_engines.lock().unwrap_or_else(PoisonError::into_inner);
        refused.insert(engine.clone());
        let message = format!(
            "{why}: no more backups of {} are sent to this project in this run",
            engine.as_str()
        );
        self.note(self.skip(SkipReason::Refused, message));
    }

    /// Sends nothing more in this run, and says why.
    pub(super) fn close(&self, message: &str) {
        self.close_with(self.skip(SkipReason::Refused, message.to_owned()));
    }

    /// A remark on this project for the report.
    pub(super) fn skip(&self, reason: SkipReason, message: String) -> Skip {
        Skip {
            project: self.client.project().clone(),
            instance: None,
            reason,
            message,
        }
    }

    /// What the guard refuses while batches are sent.
    pub(super) fn refused(&self, refusal: Refusal) -> Skip {
        let message = refusal.to_string();
        self.skip(SkipReason::Guard(Box::new(refusal)), message)
    }

    /// As [`Self::close`]; the first reason is the one that is reported.
    pub(super) fn close_with(&self, skip: Skip) {
        self.closed.store(true, Ordering::Release);
        self.note(skip);
    }

    /// Keeps it for the report, unless something else came first.
    fn note(&self, skip: Skip) {
        if let Ok(mut trouble) = self.trouble.lock() {
            trouble.get_or_insert(skip);
        }
    }

    /// Counts ids as sent, for the progress.
    pub(super) fn count_sent(&self, ids: usize) {
        let run = &self.run;
        let sent = run.sent.fetch_add(ids, Ordering::Relaxed) + ids;
        let progress = Progress {
            sent,
            calls: run.context.projects.calls(),
            ..run.progress
        };
        (run.context.watcher)(progress);
    }

    /// What ended the sending, if something did.
    pub(super) fn take_trouble(&self) -> Option<Skip> {
        self.trouble.lock().ok().and_then(|mut trouble| trouble.take())
    }

    /// Sends nothing more after an error of this program's own.
    pub(super) fn close_after_error(&self) {
        self.closed.store(true, Ordering::Release);
    }

    /// Ends when stop is requested.
    pub(super) async fn stop_requested(&self) {
        stop_requested(&self.run.context).await;
    }
}
