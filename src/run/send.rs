//! Deletion. Takes approved plans, and nothing else; the only caller of the client's delete.
//!
//! For each request: wait for all that it has to wait for (slot, rate, `Retry-After`, credentials, key) → stop, clock, freeze and
//! holds read and intent on disk in one transaction → the request begins within five seconds, or is withdrawn → one
//! outcome per id on disk. Batches of a project run a few at once, oldest first. What is not answered is listed before it is sent again; what the guard, a hold, a freeze, a wrong clock,
//! the time budget or a stop prevents is left to the next run.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, PoisonError};
use std::time::Duration;

use tokio::sync::{Mutex, OwnedMutexGuard, OwnedSemaphorePermit, Semaphore};
use tokio::task::JoinSet;
use tokio::time::Instant;

use super::clock_jump::ClockJumpDetector;
use super::context::{Progress, RunContext, stop_requested};
use super::error::Error;
use super::ledger_writer::{LedgerWriter, WriterThread};
use super::list_backups::{SeenDatabases, backups_of};
use super::skip::skip_of;
use crate::blocking::blocking;
use crate::ledger::{IntentResult, Ledger, LedgerWrite, Listing, RequestKey, Written};
use crate::rds::credentials::Fingerprint;
use crate::rds::{Answer, Class, Client, Delay, DeletionPermit, IntendedAt};
use crate::retention::plan::{Batches, PlannedDeletion};
use crate::retention::report::{Skip, SkipReason};
use crate::retention::{
    ApprovedPlan, BackupId, BackupStatus, Batch, Engine, Fate, InstanceId, Outcome, PolicyName, Refusal,
};
use crate::telemetry;

/// How often an unanswered id is sent again in one run (contract, guarantee 6).
const MOST_RESENDS: u32 = 3;
/// How often a throttled batch is tried in one run; with growing waits that is some minutes.
const MOST_THROTTLED: u32 = 12;
/// How often a batch is tried whose request did not begin in time.
const MOST_LATE: u32 = 3;
/// A throttled batch waits at most so long unless the API asks for more.
const LONGEST_BACKOFF: Duration = Duration::from_secs(30);

/// How long a request under way is waited for after stop is requested: a little longer than its time-out, and
/// short enough to end within 30 s (contract, guarantee 11).
const LAST_WAIT: Duration = Duration::from_secs(22);

/// One approved id and what became of it.
pub(super) struct SentItem {
    pub(super) planned: PlannedDeletion,
    /// `None`: it was not sent. Shared, for most of a run's ids have one of a few fates.
    pub(super) fate: Option<Arc<Fate>>,
}

/// Everything that was approved, after the sending.
pub(super) struct SendResult {
    pub(super) items: Vec<SentItem>,
    pub(super) skipped: Vec<Skip>,
    pub(super) progress: Progress,
}

/// What the batches of one run share.
struct Sender {
    context: RunContext,
    ledger: Arc<Ledger>,
    run_id: String,
    deadline: Instant,
    clock_jump: ClockJumpDetector,
    writer: LedgerWriter,
    sent: AtomicUsize,
    progress: Progress,
}

/// What the batches of one project share.
struct ProjectSender {
    sender: Arc<Sender>,
    client: Client,
    /// Set when nothing more can be sent to this project in this run.
    closed: AtomicBool,
    /// Engines whose deletion the API refuses as such: nothing more of them is sent in this run.
    refused: std::sync::Mutex<HashSet<Engine>>,
    trouble: std::sync::Mutex<Option<Skip>>,
}

/// Sends every batch of the approved plans.
pub(super) async fn send(
    approved: Vec<ApprovedPlan>,
    context: &RunContext,
    run_id: &str,
    (deadline, clock_jump): (Instant, ClockJumpDetector),
    listings: Arc<HashMap<InstanceId, Listing>>,
    mut progress: Progress,
) -> Result<SendResult, Error> {
    let (ledger, lock) = context
        .ledger
        .clone()
        .zip(context.lock.clone())
        .ok_or(Error::NoLedger)?;
    let batches = ApprovedPlan::batches(approved);
    progress.of_sent = batches.iter().map(Batches::ids).sum();
    let client = |batches: &Batches| context.projects.get(batches.project());
    let (writer, writer_thread) = LedgerWriter::open(WriterThread {
        context: context.clone(),
        ledger: Arc::clone(&ledger),
        lock,
        run_id: run_id.to_owned(),
        listings,
    });
    let sender = Arc::new(Sender {
        context: context.clone(),
        ledger,
        run_id: run_id.to_owned(),
        deadline,
        clock_jump,
        writer,
        sent: AtomicUsize::new(0),
        progress,
    });
    let mut projects = JoinSet::new();
    for batches in batches {
        let Some(client) = client(&batches).cloned() else {
            continue;
        };
        let sender = Arc::new(ProjectSender {
            sender: Arc::clone(&sender),
            client,
            closed: AtomicBool::new(false),
            refused: std::sync::Mutex::default(),
            trouble: std::sync::Mutex::new(None),
        });
        projects.spawn(run_project(sender, batches));
    }
    let mut sending = SendResult {
        items: Vec::new(),
        skipped: Vec::new(),
        progress,
    };
    let mut broken = None;
    while let Some(joined) = projects.join_next().await {
        // The other projects finish what they have under way, whatever happened to one.
        match joined.map_err(Error::from).flatten() {
            Ok((items, skip)) if sending.items.is_empty() => {
                sending.items = items;
                sending.skipped.extend(skip);
            }
            Ok((items, skip)) => {
                sending.items.extend(items);
                sending.skipped.extend(skip);
            }
            Err(error) => broken = Some(error),
        }
    }
    sending.progress.sent = sender.sent.load(Ordering::Relaxed);
    // Dropping the last sender ends the writer thread.
    drop(sender);
    writer_thread.await?;
    match broken {
        Some(error) => Err(error),
        None => Ok(sending),
    }
}

/// Sends the batches of one project, as many at once as the project allows, begun oldest first.
async fn run_project(sender: Arc<ProjectSender>, mut batches: Batches) -> Result<(Vec<SentItem>, Option<Skip>), Error> {
    let mut items = Vec::with_capacity(batches.ids());
    let mut under_way: JoinSet<Result<Vec<SentItem>, Error>> = JoinSet::new();
    let mut broken = None;
    // A few more than there are slots for requests, so that some wait for a slot while the answers of others are written.
    let places = sender.client.concurrency() + sender.client.concurrency() / 2;
    let places = Arc::new(Semaphore::new(places));
    let order = Arc::new(Mutex::new(()));
    let next = async || {
        (
            Arc::clone(&places).acquire_owned().await,
            Arc::clone(&order).lock_owned().await,
        )
    };
    loop {
        // After an error nothing new is begun, and what is under way is finished and recorded as far as it can be.
        let more = broken.is_none() && batches.ids() > 0;
        tokio::select! {
            biased;
            Some(joined) = under_way.join_next() => match joined.map_err(Error::from).flatten() {
                Ok(sent) => items.extend(sent),
                Err(error) => {
                    sender.closed.store(true, Ordering::Release);
                    broken = Some(error);
                }
            },
            (Ok(place), order) = next(), if more => {
                if let Some(batch) = batches.next() {
                    let sender = Arc::clone(&sender);
                    under_way.spawn(async move { sender.deliver(batch, place, order).await });
                }
            }
            else => break,
        }
    }
    if let Some(error) = broken {
        return Err(error);
    }
    let trouble = sender.trouble.lock().ok().and_then(|mut trouble| trouble.take());
    Ok((items, trouble))
}

/// What to do with a batch after one try.
enum Step {
    /// Every id has its final outcome.
    Done,
    /// These ids may have been deleted or not: list, then send again.
    Unanswered(Vec<BackupId>),
    /// Nothing happened: the same batch again after a while.
    Again(Option<Duration>),
    /// The key was refused for the first time, and nothing happened: the same batch again with renewed credentials.
    Renew(Fingerprint),
    /// The request did not begin in time: the same batch again.
    Late(Delay),
    /// Refused as a whole: look for the id that spoils it.
    Split,
    /// Nothing was sent, and nothing will be.
    Left,
}

/// What became of one batch so far.
struct Delivery {
    /// Its place among those that the project sends at once; given back when the last answer came.
    place: Option<OwnedSemaphorePermit>,
    /// Being the next to ask for a permit, so that older batches get theirs first.
    order: Option<OwnedMutexGuard<()>>,
    fates: BTreeMap<BackupId, Fate>,
    held: HashSet<BackupId>,
}

impl ProjectSender {
    /// Sends one batch until every id of it has an outcome or is left to the next run.
    async fn deliver(
        self: &Arc<Self>,
        batch: Batch,
        place: OwnedSemaphorePermit,
        order: OwnedMutexGuard<()>,
    ) -> Result<Vec<SentItem>, Error> {
        let mut place = Some(place);
        let mut delivery = Delivery {
            place: None,
            order: Some(order),
            fates: BTreeMap::new(),
            held: HashSet::new(),
        };
        let engine = batch.engine().cloned();
        let mut everything: Vec<PlannedDeletion> = batch.items().to_vec();
        let mut todo: Vec<(Batch, u32)> = vec![(batch, 0)];
        let mut was_split = false;
        while let Some((mut batch, resends)) = todo.pop() {
            if todo.is_empty() {
                delivery.place = place.take();
            }
            match self.attempt(&mut batch, resends, &mut delivery).await? {
                Step::Done | Step::Left => {}
                Step::Again(_) | Step::Renew(_) => {
                    self.close("the API kept throttling: what is left is the next run's");
                }
                Step::Late(by) => {
                    let reason = match by {
                        Delay::Connection => SkipReason::Unreachable,
                        Delay::Ledger | Delay::Stop => SkipReason::Budget,
                    };
                    let by = by.as_str();
                    self.close_with(self.skip(
                        reason,
                        format!("{MOST_LATE} requests did not begin in time ({by}): what is left is the next run's"),
                    ));
                }
                Step::Split => {
                    was_split = true;
                    // The older half is sent first. One alone was the one that spoiled it.
                    if let Ok((older, newer)) = batch.split() {
                        todo.extend([(newer, resends), (older, resends)]);
                    }
                }
                Step::Unanswered(ids) => {
                    batch.retain(|planned| ids.contains(&planned.candidate.id));
                    if resends < MOST_RESENDS
                        && self.drop_what_went(&mut batch, &mut delivery.fates).await?
                        && !batch.is_empty()
                    {
                        todo.push((batch, resends + 1));
                    }
                }
            }
        }
        let Delivery { mut fates, held, .. } = delivery;
        if was_split
            && fates
                .values()
                .all(|fate| matches!(fate, Fate::Answered(Outcome::Rejected { .. })))
        {
            // No single id spoiled it: the call itself is refused. The other batches would each be split for nothing.
            self.refuse(engine.as_ref(), "every id of a batch was refused, also alone");
        }
        // What was held meanwhile is kept, not left undone.
        everything.retain(|planned| !held.contains(&planned.candidate.id));
        let mut last: Option<Arc<Fate>> = None;
        let item = |planned: PlannedDeletion| {
            let fate = fates.remove(&planned.candidate.id).map(|fate| match &last {
                Some(same) if **same == fate => Arc::clone(same),
                _ => Arc::clone(last.insert(Arc::new(fate))),
            });
            SentItem { planned, fate }
        };
        Ok(everything.into_iter().map(item).collect())
    }

    /// Tries a batch, waiting out throttling. Each try has a permit and an intent of its own.
    async fn attempt(
        self: &Arc<Self>,
        batch: &mut Batch,
        resends: u32,
        delivery: &mut Delivery,
    ) -> Result<Step, Error> {
        let (mut throttled, mut late, mut refused) = (0, 0, None);
        loop {
            match self.send_once(batch, resends, refused.clone(), delivery).await? {
                Step::Again(wait) => {
                    let backoff = Duration::from_millis(500 << throttled.min(6)).min(LONGEST_BACKOFF);
                    // Full jitter on our own waits; the API's word is taken as it is.
                    let wait = wait.unwrap_or_else(|| backoff.mul_f64(0.5 + fastrand::f64() / 2.0));
                    if Instant::now() + wait >= self.sender.deadline || !self.rest(wait).await {
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

    /// Sleeps unless stop is requested.
    async fn rest(&self, wait: Duration) -> bool {
        tokio::select! {
            () = tokio::time::sleep(wait) => true,
            () = stop_requested(&self.sender.context) => false,
        }
    }

    /// Ends some time after stop is requested.
    async fn stop_overdue(&self) {
        stop_requested(&self.sender.context).await;
        tokio::time::sleep(LAST_WAIT).await;
    }

    /// One request: permit, conditions and intent, request, outcomes. All waiting comes before the intent.
    async fn send_once(
        self: &Arc<Self>,
        batch: &mut Batch,
        resends: u32,
        refused: Option<Fingerprint>,
        delivery: &mut Delivery,
    ) -> Result<Step, Error> {
        let permit = if self.is_refused(batch) {
            None
        } else {
            self.permit(refused).await
        };
        delivery.order.take();
        let Some(permit) = permit else { return Ok(Step::Left) };
        let Some((request, intended)) = self.intend(batch, resends, &mut delivery.held).await? else {
            return Ok(Step::Left);
        };
        let answer = tokio::select! {
            answer = permit.delete(batch, intended, stop_requested(&self.sender.context)) => answer,
            // Longer than a request may take.
            () = self.stop_overdue() => {
                let why = "stop requested, and no answer came in time".to_owned();
                Ok(Answer::Unanswered { why, request_id: None })
            }
        };
        let not_sent = match &answer {
            Ok(Answer::Late { by }) => Some((Step::Late(*by), by.as_str().to_owned())),
            // No connection at all: the next batch would fare no better.
            Err(error) if error.class() != Class::NotAllowed => {
                self.close_with(skip_of(self.client.project(), None, error));
                Some((Step::Left, error.chain()))
            }
            _ => None,
        };
        if let Some((step, why)) = not_sent {
            self.withdraw(request, batch.len(), why).await?;
            return Ok(step);
        }
        self.sender.sent.fetch_add(batch.len(), Ordering::Relaxed);
        self.tell();
        let (step, api_request, outcomes) = self.read_answer(batch, answer);
        if matches!(step, Step::Done) {
            // The next batch need not wait until this answer is on disk.
            delivery.place.take();
        }
        let outcomes = self.record(request, api_request, outcomes).await?;
        self.log(batch, &outcomes);
        // Throttled, or the key to be renewed: nothing became of the ids.
        if !matches!(step, Step::Again(_) | Step::Renew(_)) {
            let answered = outcomes.into_iter().map(|(id, outcome)| (id, Fate::Answered(outcome)));
            delivery.fates.extend(answered);
        }
        Ok(step)
    }

    /// Waits for all that a request has to wait for; `None` when nothing may be sent any more.
    async fn permit(&self, refused: Option<Fingerprint>) -> Option<DeletionPermit> {
        if self.is_stopped() {
            return None;
        }
        let permit = tokio::select! {
            biased;
            () = stop_requested(&self.sender.context) => None,
            () = tokio::time::sleep_until(self.sender.deadline) => None,
            permit = self.client.permit_deletion(refused) => Some(permit),
        };
        match permit {
            Some(Ok(permit)) => Some(permit),
            Some(Err(error)) => {
                self.close_with(skip_of(self.client.project(), None, &error));
                None
            }
            None => {
                self.is_stopped();
                None
            }
        }
    }

    /// Whether nothing more may be sent to this project in this run; notes why.
    fn is_stopped(&self) -> bool {
        if let Some(skip) = self.stop_reason() {
            self.close_with(skip);
        }
        self.closed.load(Ordering::Acquire)
    }

    /// Closes an intent whose request did not begin: nothing was sent.
    async fn withdraw(&self, request: RequestKey, ids: usize, why: String) -> Result<(), Error> {
        let run_id = &self.sender.run_id;
        tracing::warn!(run_id, project = %self.client.project(), ids, why, "a deletion request did not begin in time and was withdrawn: nothing was sent");
        let at = crate::clock::now();
        let entry = LedgerWrite::Withdrawal { request, at, why };
        match self.sender.writer.enter(entry).await? {
            Written::Withdrawal => Ok(()),
            Written::Answer(_) | Written::Intent(..) => Err(Error::LedgerWriterGone),
        }
    }

    /// One line a request and policy: run id, ids and what the API said of each.
    fn log(&self, batch: &Batch, outcomes: &[(BackupId, Outcome)]) {
        let mut by_policy: BTreeMap<&PolicyName, Vec<(BackupId, Outcome)>> = BTreeMap::new();
        for (item, outcome) in batch.items().iter().zip(outcomes) {
            by_policy.entry(&item.policy).or_default().push(outcome.clone());
        }
        for (policy, outcomes) in by_policy {
            telemetry::deletion_line(&self.sender.run_id, policy, self.client.project(), &outcomes);
        }
    }

    /// Why no batch may be sent now, if so: stop, time, clock.
    fn stop_reason(&self) -> Option<Skip> {
        let skip = |reason, message: String| Some(self.skip(reason, message));
        if *self.sender.context.stop.borrow() {
            return skip(
                SkipReason::Budget,
                "stop requested: what is left is the next run's".to_owned(),
            );
        }
        if Instant::now() >= self.sender.deadline {
            return skip(
                SkipReason::Budget,
                "the run's time budget is over: what is left is the next run's".to_owned(),
            );
        }
        let check = self.sender.clock_jump.check(self.client.clock());
        if !check.is_good() {
            let refusal = Refusal::Clock {
                project: self.client.project().clone(),
                check,
            };
            return Some(self.refused(refusal));
        }
        None
    }

    /// Reads again what could forbid the batch and puts its intent on disk, in one transaction: what is held meanwhile is dropped.
    /// `None`: nothing is to be sent.
    async fn intend(
        self: &Arc<Self>,
        batch: &mut Batch,
        resends: u32,
        held: &mut HashSet<BackupId>,
    ) -> Result<Option<(RequestKey, IntendedAt)>, Error> {
        // The answer to another batch may have come meanwhile.
        if self.is_refused(batch) {
            return Ok(None);
        }
        let sender = Arc::clone(self);
        let may_begin = move || !sender.is_stopped();
        let intended = tokio::select! {
            biased;
            intended = self.sender.writer.intend(batch.take(), resends + 1, may_begin) => intended?,
            // However slow the disk is: what is on disk after that is withdrawn.
            () = stop_requested(&self.sender.context) => {
                self.is_stopped();
                return Ok(None);
            }
        };
        *batch = intended.batch;
        Ok(match intended.clearance {
            Some(IntentResult::Cleared { request, dropped }) => {
                held.extend(dropped.into_iter().map(|(id, _)| id));
                Some((request, intended.at))
            }
            Some(IntentResult::Empty { dropped }) => {
                held.extend(dropped.into_iter().map(|(id, _)| id));
                None
            }
            Some(IntentResult::Frozen(freezes)) => {
                self.close_with(self.refused(Refusal::of_freezes(freezes)));
                None
            }
            None => None,
        })
    }

    /// Puts the outcomes on disk, and gives them back.
    async fn record(
        &self,
        request: RequestKey,
        api_request_id: Option<String>,
        outcomes: Vec<(BackupId, Outcome)>,
    ) -> Result<Vec<(BackupId, Outcome)>, Error> {
        let entry = LedgerWrite::Answer {
            request,
            at: crate::clock::now(),
            api_request_id,
            outcomes,
        };
        match self.sender.writer.enter(entry).await? {
            Written::Answer(outcomes) => Ok(outcomes),
            Written::Intent(..) | Written::Withdrawal => Err(Error::LedgerWriterGone),
        }
    }

    /// The outcome of every id, and what to do next.
    fn read_answer(
        &self,
        batch: &Batch,
        answer: Result<Answer, crate::rds::Error>,
    ) -> (Step, Option<String>, Vec<(BackupId, Outcome)>) {
        let all = |outcome: Outcome| batch.ids().map(|id| (id.clone(), outcome.clone())).collect::<Vec<_>>();
        match answer {
            Ok(Answer::Results { outcomes, request_id }) => {
                let open: Vec<BackupId> = outcomes
                    .iter()
                    .filter(|(_, outcome)| matches!(outcome, Outcome::Unanswered { .. }))
                    .map(|(id, _)| id.clone())
                    .collect();
                let step = if open.is_empty() {
                    Step::Done
                } else {
                    Step::Unanswered(open)
                };
                (step, request_id, outcomes)
            }
            Ok(Answer::Throttled { retry_after }) => {
                let (code, message) = ("429".to_owned(), "throttled".to_owned());
                (Step::Again(retry_after), None, all(Outcome::Rejected { code, message }))
            }
            Ok(Answer::KeyRefused { fingerprint }) => {
                let (code, message) = ("401".to_owned(), "not authenticated".to_owned());
                (Step::Renew(fingerprint), None, all(Outcome::Rejected { code, message }))
            }
            Ok(Answer::Late { by }) => {
                let why = by.as_str().to_owned();
                (Step::Left, None, all(Outcome::Unanswered { why }))
            }
            Ok(Answer::RefusedWhole {
                status,
                code,
                message,
                request_id,
            }) => {
                let code = if code.is_empty() { status.to_string() } else { code };
                if crate::rds::refuses_the_call(status, &code) {
                    self.refuse(
                        batch.engine(),
                        &format!("the API refuses this call for the engine ({code})"),
                    );
                    return (Step::Done, request_id, all(Outcome::Rejected { code, message }));
                }
                // Whatever it was about, one id may be the cause; if none is, `deliver` notices and sends nothing more.
                let step = if batch.len() > 1 { Step::Split } else { Step::Done };
                (step, request_id, all(Outcome::Rejected { code, message }))
            }
            Ok(Answer::Unanswered { why, request_id }) => {
                let ids = batch.ids().cloned().collect();
                (Step::Unanswered(ids), request_id, all(Outcome::Unanswered { why }))
            }
            Err(error) => {
                // Not allowed: nothing happened, and the next batch would fare no better.
                self.close_with(skip_of(self.client.project(), None, &error));
                let (code, message) = (error.code(), error.chain());
                (Step::Done, None, all(Outcome::Rejected { code, message }))
            }
        }
    }

    /// Lists the instances of unanswered ids again and drops what is no longer COMPLETED or FAILED. False when that
    /// could not be read: then nothing is sent again.
    async fn drop_what_went(&self, batch: &mut Batch, fates: &mut BTreeMap<BackupId, Fate>) -> Result<bool, Error> {
        let mut there: BTreeMap<BackupId, BackupStatus> = BTreeMap::new();
        for instance in batch.instances() {
            let nothing_seen = SeenDatabases::new();
            let listed = tokio::select! {
                biased;
                () = stop_requested(&self.sender.context) => return Ok(false),
                () = tokio::time::sleep_until(self.sender.deadline) => return Ok(false),
                listed = backups_of(&self.client, &instance, &nothing_seen) => listed,
            };
            match listed {
                Ok(backups) => there.extend(backups.into_iter().map(|backup| (backup.id, backup.status))),
                Err(_) => return Ok(false),
            }
        }
        let gone: Vec<BackupId> = batch.ids().filter(|id| !there.contains_key(*id)).cloned().collect();
        blocking(|| {
            self.sender
                .ledger
                .settle(&self.sender.run_id, crate::clock::now(), &gone, &[])
        })?;
        fates.extend(gone.into_iter().map(|id| (id, Fate::Confirmed)));
        batch.retain(|planned| {
            matches!(
                there.get(&planned.candidate.id),
                Some(BackupStatus::Completed | BackupStatus::Failed)
            )
        });
        Ok(true)
    }

    /// Whether the API refuses to delete backups of this engine.
    fn is_refused(&self, batch: &Batch) -> bool {
        let refused = self.refused.lock().unwrap_or_else(PoisonError::into_inner);
        batch.engine().is_some_and(|engine| refused.contains(engine))
    }

    /// Sends nothing more of this engine: each id of it would be refused, too. The others go on.
    fn refuse(&self, engine: Option<&Engine>, why: &str) {
        let Some(engine) = engine else { return };
        let mut refused = self.refused.lock().unwrap_or_else(PoisonError::into_inner);
        refused.insert(engine.clone());
        let message = format!(
            "{why}: no more backups of {} are sent to this project in this run",
            engine.as_str()
        );
        self.note(self.skip(SkipReason::Refused, message));
    }

    fn close(&self, message: &str) {
        self.close_with(self.skip(SkipReason::Refused, message.to_owned()));
    }

    fn skip(&self, reason: SkipReason, message: String) -> Skip {
        Skip {
            project: self.client.project().clone(),
            instance: None,
            reason,
            message,
        }
    }

    /// What the guard refuses while batches are sent.
    fn refused(&self, refusal: Refusal) -> Skip {
        let message = refusal.to_string();
        self.skip(SkipReason::Guard(Box::new(refusal)), message)
    }

    fn close_with(&self, skip: Skip) {
        self.closed.store(true, Ordering::Release);
        self.note(skip);
    }

    fn note(&self, skip: Skip) {
        if let Ok(mut trouble) = self.trouble.lock() {
            trouble.get_or_insert(skip);
        }
    }

    fn tell(&self) {
        let sender = &self.sender;
        let progress = Progress {
            sent: sender.sent.load(Ordering::Relaxed),
            calls: sender.context.projects.calls(),
            ..sender.progress
        };
        (sender.context.watcher)(progress);
    }
}
