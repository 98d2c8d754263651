//! What the batches of a project share, and what ends the sending to it.

use std::collections::{HashMap, HashSet};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::time::Instant;

use crate::ledger::Ledger;
use crate::rds::{Client, is_of_engine};
use crate::retention::plan::PlannedDeletion;
use crate::retention::report::{Skip, SkipReason};
use crate::retention::{BackupId, Batch, Engine, InstanceId, Outcome, Refusal};
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
    refused: Mutex<RefusedByEngine>,
    trouble: Mutex<Option<Skip>>,
}

/// What the API refuses because of an engine.
#[derive(Default)]
struct RefusedByEngine {
    /// Nothing more of these is sent in this run.
    engines: HashSet<Engine>,
    /// Of these neither: a backup of theirs is not what it is listed as, says the API.
    instances: HashMap<InstanceId, (Engine, Skip)>,
    /// Of these some deletion was accepted: the call as such is not refused.
    accepted: HashSet<Engine>,
}

/// When backups of so many instances of one engine are refused for it, and none is accepted, it is the call that is refused.
const MOST_REFUSED: usize = 3;

impl ProjectSender {
    pub(super) fn new(run: &Arc<RunSender>, client: Client) -> Arc<Self> {
        Arc::new(Self {
            run: Arc::clone(run),
            client,
            closed: AtomicBool::new(false),
            refused: Mutex::default(),
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

    fn refused_by_engine(&self) -> MutexGuard<'_, RefusedByEngine> {
        self.refused.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Drops what the API would refuse because of its engine.
    pub(super) fn drop_refused(&self, batch: &mut Batch) {
        let refused = self.refused_by_engine();
        let is_refused = |planned: &PlannedDeletion| {
            let instance = &planned.candidate.instance;
            refused.engines.contains(&instance.engine) || refused.instances.contains_key(&instance.id)
        };
        batch.retain(|planned| !is_refused(planned));
    }

    /// Notes of which ids of a batch the API says that their engine has no such deletion. One alone is not what it is listed as: its
    /// instance is left alone. Of several instances, and none accepted, it is the engine that is refused.
    pub(super) fn note_engines(&self, batch: &Batch, outcomes: &[(BackupId, Outcome)]) {
        for (planned, (id, outcome)) in batch.items().iter().zip(outcomes) {
            let instance = &planned.candidate.instance;
            let mut refused = self.refused_by_engine();
            match outcome {
                Outcome::Accepted => {
                    refused.accepted.insert(instance.engine.clone());
                }
                Outcome::Rejected { code, .. } if is_of_engine(code) => {
                    let message = format!(
                        "the API refuses to delete backup {id} as one of {} ({code}): the instance's backups are kept in this run; compare what \
                         the console says of both",
                        instance.engine.as_str()
                    );
                    let skip = Skip {
                        instance: Some(instance.id.clone()),
                        ..self.skip(SkipReason::Refused, message)
                    };
                    let left_alone = (instance.engine.clone(), skip);
                    refused.instances.entry(instance.id.clone()).or_insert(left_alone);
                    let is_of_it = |(engine, _): &&(Engine, Skip)| *engine == instance.engine;
                    let is_call = refused.instances.values().filter(is_of_it).count() >= MOST_REFUSED
                        && !refused.accepted.contains(&instance.engine);
                    drop(refused);
                    if is_call {
                        self.refuse(
                            Some(&instance.engine),
                            &format!("the API refuses this call for the engine ({code})"),
                        );
                    }
                }
                Outcome::Rejected { .. } | Outcome::Unanswered { .. } => {}
            }
        }
    }

    /// Sends nothing more of this engine: each id of it would be refused, too. The others go on.
    pub(super) fn refuse(&self, engine: Option<&Engine>, why: &str) {
        let Some(engine) = engine else { return };
        self.refused_by_engine().engines.insert(engine.clone());
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

    /// What ended the sending, if something did, and the instances that were left alone.
    pub(super) fn take_trouble(&self) -> Vec<Skip> {
        let trouble = self.trouble.lock().ok().and_then(|mut trouble| trouble.take());
        let mut instances: Vec<Skip> = self
            .refused_by_engine()
            .instances
            .drain()
            .map(|(_, (_, skip))| skip)
            .collect();
        instances.sort_by(|a, b| a.instance.cmp(&b.instance));
        trouble.into_iter().chain(instances).collect()
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
