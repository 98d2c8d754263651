//! One run as a task of its own: it waits for the deletion lock, and a panic or a hang in it ends this run only.

use std::future::Future;
use std::pin::Pin;
use std::sync::{Arc, Mutex as StdMutex, PoisonError, Weak};
use std::time::Duration;

use chrono::{DateTime, Utc};
use tokio::sync::Mutex;
use tokio::task::{AbortHandle, Id, JoinError, JoinSet};
use tokio::time::{Instant, sleep, sleep_until};

use super::options::Clock;
use super::scheduler::ScheduledRun;
use crate::blocking::blocking;
use crate::config::Config;
use crate::ledger::{self, DeletionLock, Ledger, LockSeeker, StatePlace};
use crate::retention::{PolicyName, ProjectName, Refusal, RunReport};
use crate::run::{self, Purpose, ReportDetail, RunContext, RunRequest};

/// A run that takes longer leaves the rest to the next one.
pub(super) const BUDGET: Duration = Duration::from_secs(4 * 3600);
/// A run keeps to its budget by itself; one that hangs is aborted this much later.
const ABORT_AFTER: Duration = Duration::from_secs(600);
/// How long the run waits for accepted deletions to be confirmed; they take minutes, and the next run confirms the rest.
const CONFIRM_FOR: Duration = Duration::from_secs(300);
/// How often the lock is tried while another process (an `apply`, a second daemon) has it. Random: two daemons with the same
/// schedule that try in step starve each other.
fn retry_interval() -> Duration {
    Duration::from_millis(fastrand::u64(200..500))
}

/// What a run ends with, unless it panics or is aborted.
pub(super) type RunOutcome = Result<RunReport, Failed>;
/// How the task of a run ended.
pub(super) type RunEnd = Result<(Id, RunOutcome), JoinError>;
type RunFuture = Pin<Box<dyn Future<Output = Result<RunReport, run::Error>> + Send>>;
/// Executes a run. The daemon's is [`run::run`]; its tests have others.
pub(super) type Runner = Arc<dyn Fn(RunRequest, RunContext) -> RunFuture + Send + Sync>;

/// The daemon's runner.
pub(super) fn runner() -> Runner {
    Arc::new(|request, context| Box::pin(async move { run::run(&request, &context).await }))
}

/// Why there is no report.
#[derive(Debug, thiserror::Error)]
pub(super) enum Failed {
    #[error(transparent)]
    Run(#[from] run::Error),
    #[error(transparent)]
    Ledger(#[from] ledger::Error),
    /// Another process had the lock all the time.
    #[error("another process ran on the state all the time")]
    StateBusy,
    /// A stop was requested before it started.
    #[error("stop requested")]
    Stopped,
    /// Another daemon has run this tick.
    #[error("another daemon has run this tick")]
    RanElsewhere,
}

impl Failed {
    /// Whether the ledger may be broken.
    pub(super) fn is_ledger_error(&self) -> bool {
        self.ledger_error().is_some()
    }

    /// Whether another daemon took the right to delete, or the database was silent for as long as it lasts.
    pub(super) fn is_lease_lost(&self) -> bool {
        let fault = self.ledger_error().and_then(ledger::Error::fault);
        matches!(fault, Some(ledger::Fault::LeaseLost))
    }

    /// The refusal for a lost ledger, or for members that differ.
    pub(super) fn refusal(&self) -> Option<Refusal> {
        run::refusal_of(self.ledger_error()?)
    }

    fn ledger_error(&self) -> Option<&ledger::Error> {
        match self {
            Self::Ledger(error) | Self::Run(run::Error::Ledger(error)) => Some(error),
            _ => None,
        }
    }
}

/// The deletion lock, which concurrent runs of this process share: one process has it at a time.
#[derive(Clone, Default)]
pub(super) struct SharedLock {
    held: Arc<Mutex<Option<Held>>>,
    /// The leases of the runs in progress; locked while one more is taken.
    leases: Arc<Mutex<Vec<Weak<DeletionLock>>>>,
    /// Projects whose leases were taken over, not yet counted.
    taken_over: Arc<StdMutex<Vec<ProjectName>>>,
}

struct Held {
    /// Released when the last run that shares it ends.
    lock: Weak<DeletionLock>,
    since: Instant,
}

impl SharedLock {
    /// The projects whose leases were taken over since the last call.
    pub(super) fn drain_taken_over(&self) -> Vec<ProjectName> {
        std::mem::take(&mut self.taken_over.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Takes it, or shares that of a run in progress; waits while another process has it.
    ///
    /// A lock that has been held for as long as a run may take is no longer shared, so that overlapping runs do not keep an
    /// `apply` waiting for ever.
    async fn take(
        &self,
        config: &Config,
        policies: &[PolicyName],
        ledger: Option<&Ledger>,
    ) -> Result<Arc<DeletionLock>, ledger::Error> {
        let dir = match run::state_of(config) {
            StatePlace::Directory(dir) => dir,
            place @ StatePlace::Postgres(_) => {
                let projects = run::projects_asked(config, Some(policies));
                return self.take_leases(&place, &projects, ledger).await;
            }
        };
        let dir = &*dir;
        let mut shared = self.held.lock().await;
        let recent = shared.as_ref().filter(|held| held.since.elapsed() < BUDGET);
        if let Some(lock) = recent.and_then(|held| held.lock.upgrade()) {
            return Ok(lock);
        }
        let mut is_logged = false;
        let lock = loop {
            if let Some(lock) = blocking(|| Ledger::lock_deletions(dir, &[]))? {
                break Arc::new(lock);
            }
            if !is_logged {
                tracing::info!("another process runs on the state in {}: waiting for it", dir.display());
                is_logged = true;
            }
            sleep(retry_interval()).await;
        };
        *shared = Some(Held {
            lock: Arc::downgrade(&lock),
            since: Instant::now(),
        });
        Ok(lock)
    }

    /// Takes a run's own leases; waits while another run has one of them, here or elsewhere, and until nothing of theirs is on its way.
    async fn take_leases(
        &self,
        place: &StatePlace,
        projects: &[ProjectName],
        ledger: Option<&Ledger>,
    ) -> Result<Arc<DeletionLock>, ledger::Error> {
        let mut seeker = LockSeeker::new(place.clone());
        let lock = loop {
            if let Some(lock) = self.take_in_turn(&mut seeker, projects, ledger).await? {
                break lock;
            }
            sleep(LEASE_ASKED_AGAIN).await;
        };
        for project in lock.taken_over() {
            tracing::warn!(%project, drains_for = ?lock.drains_for(), "the lease of a daemon that did not give it back is taken over");
        }
        self.taken_over
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .extend_from_slice(lock.taken_over());
        sleep(lock.drains_for()).await;
        Ok(lock)
    }

    /// Takes leases that are free. Where there are other members, the more leases this one has the longer it waits before the next: so
    /// daemons whose ticks fire at the same time share the projects.
    async fn take_in_turn(
        &self,
        seeker: &mut LockSeeker,
        projects: &[ProjectName],
        ledger: Option<&Ledger>,
    ) -> Result<Option<Arc<DeletionLock>>, ledger::Error> {
        // Before its turn: it connects, and a database that does not answer is waited for by all runs at once.
        if !blocking(|| seeker.is_free(projects))? {
            return Ok(None);
        }
        let mut leases = self.leases.lock().await;
        leases.retain(|lease| lease.strong_count() > 0);
        let held = u32::try_from(leases.len()).unwrap_or(u32::MAX);
        if let Some(ledger) = ledger
            && held > 0
            && ledger.other_members()? > 0
        {
            // It may have been taken meanwhile.
            if !blocking(|| seeker.is_free(projects))? {
                return Ok(None);
            }
            sleep(LEASE_PAUSE.saturating_mul(held).min(LONGEST_LEASE_PAUSE)).await;
        }
        let lock = blocking(|| seeker.take(projects))?.map(Arc::new);
        leases.extend(lock.as_ref().map(Arc::downgrade));
        Ok(lock)
    }
}

/// How often a lease that another daemon has is asked for: when it is given back, the next one has it within this.
const LEASE_ASKED_AGAIN: Duration = Duration::from_millis(500);

/// How much longer a member waits before it takes one more lease, for each that it has, and how long at most.
const LEASE_PAUSE: Duration = Duration::from_millis(25);
const LONGEST_LEASE_PAUSE: Duration = Duration::from_millis(250);

/// A run in progress.
pub(super) struct RunTask {
    task: AbortHandle,
    pub(super) run: ScheduledRun,
    pub(super) context: RunContext,
    pub(super) started: Instant,
    pub(super) at: DateTime<Utc>,
    /// When it is aborted.
    pub(super) deadline: Instant,
    /// It was aborted and has not ended: something in it never yields.
    pub(super) is_aborted: bool,
}

impl RunTask {
    /// Ends it, if anything in it ever yields.
    pub(super) fn abort(&mut self) {
        self.task.abort();
        self.is_aborted = true;
    }

    /// The id of its task.
    pub(super) fn id(&self) -> Id {
        self.task.id()
    }

    /// The names of its policies, for a reader.
    pub(super) fn names(&self) -> String {
        names(&self.run)
    }
}

/// The names of a run's policies, for a reader.
pub(super) fn names(run: &ScheduledRun) -> String {
    let names: Vec<&str> = run.policies.iter().map(PolicyName::as_str).collect();
    names.join(", ")
}

/// Starts a run as one of `tasks`. The context has no lock yet.
pub(super) fn start(
    run: ScheduledRun,
    rows: ReportDetail,
    context: RunContext,
    (runner, lock, clock): (&Runner, &SharedLock, &Clock),
    tasks: &mut JoinSet<RunOutcome>,
) -> RunTask {
    let now = clock();
    let request = RunRequest {
        purpose: Purpose::Apply {
            confirm_for: crate::clock::protocol_time(CONFIRM_FOR),
        },
        policies: Some(run.policies.clone()),
        instance: None,
        now,
        rows,
        trigger: run.trigger.as_str(),
        person: None,
        budget: BUDGET,
    };
    let started = Instant::now();
    let task = execute(
        request,
        context.clone(),
        Arc::clone(runner),
        lock.clone(),
        (Arc::clone(clock), run.ticks.clone()),
    );
    RunTask {
        task: tasks.spawn(task),
        run,
        context,
        started,
        at: now,
        deadline: started + BUDGET + ABORT_AFTER,
        is_aborted: false,
    }
}

async fn execute(
    mut request: RunRequest,
    mut context: RunContext,
    runner: Runner,
    shared_lock: SharedLock,
    (clock, ticks): (Clock, Vec<(PolicyName, DateTime<Utc>)>),
) -> RunOutcome {
    let deadline = Instant::now() + request.budget;
    let mut stop = context.stop.clone();
    if let Some(ledger) = &context.ledger {
        // When the state directory is gone, not even a lock file is made in its place.
        blocking(|| ledger.head())?;
    }
    let policies = request.policies.clone().unwrap_or_default();
    let lock = tokio::select! {
        biased;
        Ok(_) = stop.wait_for(|stop| *stop) => return Err(Failed::Stopped),
        lock = shared_lock.take(&context.config, &policies, context.ledger.as_deref()) => lock?,
        () = sleep_until(deadline) => return Err(Failed::StateBusy),
    };
    if let Some(ledger) = &context.ledger {
        // The newest, as intents are checked against it; a run keeps to it where it keeps more than the one it began with.
        let live = context.live.borrow().clone();
        blocking(|| run::join(ledger, &live))?;
        let mut run = Vec::new();
        for policy in policies {
            let tick = ticks.iter().find(|(of, _)| *of == policy);
            let has_run = |(_, tick): &(PolicyName, DateTime<Utc>)| {
                blocking(|| ledger.has_run_tick(&lock, &policy, *tick, clock()))
            };
            if tick.map_or(Ok(false), has_run)? {
                tracing::info!(policy = %policy, "another daemon has run this tick");
            } else {
                run.push(policy);
            }
        }
        if run.is_empty() {
            return Err(Failed::RanElsewhere);
        }
        request.policies = Some(run);
    }
    // The decisions use the time when the run starts, not when it was queued.
    request.now = clock();
    request.budget = deadline.saturating_duration_since(Instant::now());
    context.lock = Some(lock);
    Ok(runner(request, context).await?)
}
