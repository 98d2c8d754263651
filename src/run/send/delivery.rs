//! The way of one batch: tries until every id of it has an outcome or is left to the next run. What was not answered is listed
//! before it is sent again.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{OwnedMutexGuard, OwnedSemaphorePermit};
use tokio::time::Instant;

use super::answer::Step;
use super::project::ProjectSender;
use crate::blocking::blocking;
use crate::rds::credentials::Fingerprint;
use crate::rds::{Class, Delay, DeletionAnswer};
use crate::retention::plan::PlannedDeletion;
use crate::retention::report::SkipReason;
use crate::retention::{BackupId, BackupStatus, Batch, Fate, Hold, Outcome};
use crate::run::Error;
use crate::run::list_backups::{SeenDatabases, backups_of};
use crate::run::sent::SentItem;
use crate::run::skip::skip_of;

/// How often an unanswered id is sent again in one run (contract, guarantee 6).
const MOST_RESENDS: u32 = 3;
/// How often a throttled batch is tried in one run; with growing waits that is some minutes.
const MOST_THROTTLED: u32 = 12;
/// How often a batch is tried whose request did not begin in time.
const MOST_LATE: u32 = 3;
/// A throttled batch waits at most this long unless the API asks for more.
const LONGEST_BACKOFF: Duration = Duration::from_secs(30);

/// How long a request under way is waited for after stop is requested: a little longer than its time-out, and
/// short enough to end within 30 s (contract, guarantee 11).
const LAST_WAIT: Duration = Duration::from_secs(22);

/// One batch, and what became of its ids so far.
pub(super) struct Delivery {
    project: Arc<ProjectSender>,
    /// Its place among those that the project sends at once; given back when the last answer came.
    place: Option<OwnedSemaphorePermit>,
    /// The turn to ask for a permit, so that older batches get theirs first.
    turn: Option<OwnedMutexGuard<()>>,
    /// What is to be sent, and how often it was sent again; the last is the next.
    todo: Vec<(Batch, u32)>,
    was_split: bool,
    fates: BTreeMap<BackupId, Fate>,
    held: HashMap<BackupId, Hold>,
}

impl Delivery {
    pub(super) fn new(project: Arc<ProjectSender>, place: OwnedSemaphorePermit, turn: OwnedMutexGuard<()>) -> Self {
        Self {
            project,
            place: Some(place),
            turn: Some(turn),
            todo: Vec::new(),
            was_split: false,
            fates: BTreeMap::new(),
            held: HashMap::new(),
        }
    }

    /// Sends the batch until every id of it has an outcome or is left to the next run.
    pub(super) async fn run(mut self, batch: Batch) -> Result<Vec<SentItem>, Error> {
        let engine = batch.engine().cloned();
        let everything = batch.items().to_vec();
        self.todo.push((batch, 0));
        while let Some((mut batch, resends)) = self.todo.pop() {
            let step = self.attempt(&mut batch, resends).await?;
            self.follow(step, batch, resends).await?;
        }
        let is_rejected = |fate: &Fate| matches!(fate, Fate::Answered(Outcome::Rejected { .. }));
        if self.was_split && self.fates.values().all(is_rejected) {
            // No single id spoiled it: the call itself is refused. The other batches would each be split for nothing.
            self.project
                .refuse(engine.as_ref(), "every id of a batch was refused, also alone");
        }
        Ok(self.into_items(everything))
    }

    /// What is to be done after a try.
    async fn follow(&mut self, step: Step, mut batch: Batch, resends: u32) -> Result<(), Error> {
        match step {
            Step::Done | Step::Left => {}
            Step::Again(_) | Step::Renew(_) => {
                self.project
                    .close("the API kept throttling: what is left is the next run's");
            }
            Step::Late(by) => {
                let reason = match by {
                    Delay::Connection => SkipReason::Unreachable,
                    Delay::Ledger | Delay::Stop => SkipReason::Budget,
                };
                let by = by.as_str();
                let message =
                    format!("{MOST_LATE} requests did not begin in time ({by}): what is left is the next run's");
                self.project.close_with(self.project.skip(reason, message));
            }
            Step::Split { by_engine } => {
                self.was_split |= !by_engine;
                // The older half is sent first. One alone was the one that spoiled it.
                if let Ok((older, newer)) = batch.split() {
                    self.todo.extend([(newer, resends), (older, resends)]);
                }
            }
            Step::Unanswered(ids) => {
                batch.retain(|planned| ids.contains(&planned.candidate.id));
                if resends < MOST_RESENDS && self.drop_what_went(&mut batch).await? && !batch.is_empty() {
                    self.todo.push((batch, resends + 1));
                }
            }
        }
        Ok(())
    }

    /// Every id with what became of it.
    fn into_items(mut self, everything: Vec<PlannedDeletion>) -> Vec<SentItem> {
        let mut last: Option<Arc<Fate>> = None;
        let planned = everything.into_iter();
        planned
            .map(|planned| {
                if let Some(hold) = self.held.remove(&planned.candidate.id) {
                    let held = Some(Box::new(hold));
                    return SentItem {
                        planned,
                        fate: None,
                        held,
                    };
                }
                let fate = self.fates.remove(&planned.candidate.id).map(|fate| match &last {
                    Some(same) if **same == fate => Arc::clone(same),
                    _ => Arc::clone(last.insert(Arc::new(fate))),
                });
                SentItem {
                    planned,
                    fate,
                    held: None,
                }
            })
            .collect()
    }

    /// Tries a batch, waiting out throttling. Each try has a permit and an intent of its own.
    async fn attempt(&mut self, batch: &mut Batch, resends: u32) -> Result<Step, Error> {
        let (mut throttled, mut late, mut refused) = (0, 0, None);
        loop {
            match self.send_once(batch, resends, refused.clone()).await? {
                Step::Again(wait) => {
                    let backoff = Duration::from_millis(500 << throttled.min(6)).min(LONGEST_BACKOFF);
                    // Full jitter on our own waits; the API's word is taken as it is.
                    let wait = wait.unwrap_or_else(|| backoff.mul_f64(0.5 + fastrand::f64() / 2.0));
                    if Instant::now() + wait >= self.project.run.deadline || !self.sleep(wait).await {
                        return Ok(Step::Left);
                    }
                    throttled += 1;
                    if throttled == MOST_THROTTLED {
                        return Ok(Step::Again(None));
                    }
                }
                Step::Renew(fingerprint) => refused = Some(fingerprint),
                Step::Late(by) => {
                    late += 1;
                    if late == MOST_LATE {
                        return Ok(Step::Late(by));
                    }
                }
                step => return Ok(step),
            }
        }
    }

    /// Sleeps unless stop is requested; false if it was.
    async fn sleep(&self, wait: Duration) -> bool {
        tokio::select! {
            () = tokio::time::sleep(wait) => true,
            () = self.project.stop_requested() => false,
        }
    }

    /// One request: permit, conditions and intent, request, outcomes. All waiting comes before the intent.
    async fn send_once(
        &mut self,
        batch: &mut Batch,
        resends: u32,
        refused: Option<Fingerprint>,
    ) -> Result<Step, Error> {
        let project = Arc::clone(&self.project);
        project.drop_refused(batch);
        let permit = if batch.is_empty() {
            None
        } else {
            project.permit(refused).await
        };
        self.turn.take();
        let Some(permit) = permit else { return Ok(Step::Left) };
        let Some((request, intended)) = project.intend(batch, resends, &mut self.held).await? else {
            return Ok(Step::Left);
        };
        let answer = tokio::select! {
            answer = permit.delete(batch, intended, project.stop_requested()) => answer,
            // Longer than a request may take.
            () = async { project.stop_requested().await; tokio::time::sleep(LAST_WAIT).await } => {
                let why = "stop requested, and no answer came in time".to_owned();
                Ok(DeletionAnswer::Unanswered { why, request_id: None })
            }
        };
        let not_sent = match &answer {
            Ok(DeletionAnswer::Late { by }) => Some((Step::Late(*by), by.as_str().to_owned())),
            // No connection at all: the next batch would fare no better.
            Err(error) if error.class() != Class::NotAllowed => {
                project.close_with(skip_of(project.client.project(), None, error));
                Some((Step::Left, error.chain()))
            }
            _ => None,
        };
        if let Some((step, why)) = not_sent {
            project.withdraw(request, batch.len(), why).await?;
            return Ok(step);
        }
        project.count_sent(batch.len());
        let (step, api_request, outcomes) = project.read_answer(batch, answer);
        if matches!(step, Step::Done | Step::Unanswered(_)) {
            project.note_engines(batch, &outcomes);
        }
        if matches!(step, Step::Done) && self.todo.is_empty() {
            // The next batch need not wait until this answer is on disk.
            self.place.take();
        }
        let outcomes = project.record(request, api_request, outcomes).await?;
        project.log(batch, &outcomes);
        // Throttled, or the key to be renewed: nothing became of the ids.
        if !matches!(step, Step::Again(_) | Step::Renew(_)) {
            let answered = outcomes.into_iter().map(|(id, outcome)| (id, Fate::Answered(outcome)));
            self.fates.extend(answered);
        }
        Ok(step)
    }

    /// Lists the instances of unanswered ids again and drops what is no longer COMPLETED or FAILED. False when that
    /// could not be read: then nothing is sent again.
    async fn drop_what_went(&mut self, batch: &mut Batch) -> Result<bool, Error> {
        let project = &self.project;
        let mut there: BTreeMap<BackupId, BackupStatus> = BTreeMap::new();
        for instance in batch.instances() {
            let nothing_seen = SeenDatabases::new();
            let listed = tokio::select! {
                biased;
                () = project.stop_requested() => return Ok(false),
                () = tokio::time::sleep_until(project.run.deadline) => return Ok(false),
                listed = backups_of(&project.client, &instance, &nothing_seen) => listed,
            };
            match listed {
                Ok(backups) => there.extend(backups.into_iter().map(|backup| (backup.id, backup.status))),
                Err(_) => return Ok(false),
            }
        }
        let gone: Vec<BackupId> = batch.ids().filter(|id| !there.contains_key(*id)).cloned().collect();
        let run = &project.run;
        blocking(|| run.ledger.settle(&run.id, crate::clock::now(), &gone, &[]))?;
        self.fates.extend(gone.into_iter().map(|id| (id, Fate::Confirmed)));
        batch.retain(|planned| {
            let status = there.get(&planned.candidate.id);
            matches!(status, Some(BackupStatus::Completed | BackupStatus::Failed))
        });
        Ok(true)
    }
}
