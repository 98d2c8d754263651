//! One run as a task of its own: it waits for the right to delete, and whatever happens in it, only it ends.

use std::future::Future;
use std::path::Path;
use std::pin::Pin;
use std::sync::{Arc, Weak};
use std::time::Duration;

use chrono::{DateTime, Utc};
use tokio::sync::Mutex;
use tokio::task::{AbortHandle, Id, JoinSet};
use tokio::time::{Instant, sleep, sleep_until};

use super::Clock;
use super::scheduler::ScheduledRun;
use crate::ledger::{self, DeletionLock, Ledger};
use crate::retention::{PolicyName, Refusal, RunReport};
use crate::run::{self, Purpose, ReportDetail, RunContext, RunRequest};

/// A run that takes longer leaves the rest to the next one.
pub(super) const BUDGET: Duration = Duration::from_secs(4 * 3600);
/// A run keeps to its budget by itself; one that hangs is cut this much later.
const BEYOND: Duration = Duration::from_secs(600);
/// How long accepted deletions are watched; they take minutes, and what is not gone then is the next run's to confirm.
const CONFIRM_FOR: Duration = Duration::from_secs(300);
/// How often to ask whether another process (an `apply`, a second daemon) is done. Not in step with anybody: two daemons
/// with one schedule that ask on the second starve each other.
fn ask_again() -> Duration {
    Duration::from_millis(fastrand::u64(200..500))
}

/// What a run ends with, unless it panics or is cut.
pub(super) type RunOutcome = Result<RunReport, Failed>;
type RunningFuture = Pin<Box<dyn Future<Output = Result<RunReport, run::Error>> + Send>>;
/// Walks a run. The daemon's is [`run::run`]; its tests have others.
pub(super) type Runner = Arc<dyn Fn(RunRequest, RunContext) -> RunningFuture + Send + Sync>;

/// The real one.
pub(super) fn by_run() -> Runner {
    Arc::new(|order, context| Box::pin(async move { run::run(&order, &context).await }))
}

/// Why there is no report.
#[derive(Debug, thiserror::Error)]
pub(super) enum Failed {
    #[error(transparent)]
    Run(#[from] run::Error),
    #[error(transparent)]
    Ledger(#[from] ledger::Error),
    /// Another process deleted all the time.
    #[error("another process ran on the state all the time")]
    NoTurn,
    /// Told to stop before it had begun.
    #[error("told to stop")]
    Stopped,
}

impl Failed {
    /// Whether the state may be broken.
    pub(super) fn is_of_the_ledger(&self) -> bool {
        self.of_the_ledger().is_some()
    }

    /// What the guard says where the state is lost.
    pub(super) fn refusal(&self) -> Option<Refusal> {
        let error = self.of_the_ledger().filter(|error| error.is_lost())?;
        Some(Refusal::Ledger {
            message: error.to_string(),
        })
    }

    fn of_the_ledger(&self) -> Option<&ledger::Error> {
        match self {
            Self::Ledger(error) | Self::Run(run::Error::Ledger(error)) => Some(error),
            _ => None,
        }
    }
}

/// The right to delete, which runs side by side share: one process has it at a time.
#[derive(Clone, Default)]
pub(super) struct SharedLock(Arc<Mutex<Option<Held>>>);

struct Held {
    /// Released when the last run that shares it ends.
    lock: Weak<DeletionLock>,
    since: Instant,
}

impl SharedLock {
    /// Takes it, or shares that of a run under way; waits while another process has it.
    ///
    /// What has been held for as long as a run may take is shared no more, so that runs that always overlap do not keep
    /// an `apply` waiting for ever.
    async fn take(&self, dir: &Path) -> Result<Arc<DeletionLock>, ledger::Error> {
        let mut right = self.0.lock().await;
        let shared = right.as_ref().filter(|held| held.since.elapsed() < BUDGET);
        if let Some(lock) = shared.and_then(|held| held.lock.upgrade()) {
            return Ok(lock);
        }
        let mut told = false;
        let lock = loop {
            if let Some(lock) = super::blocking(|| Ledger::lock_deletions(dir))? {
                break Arc::new(lock);
            }
            if !told {
                tracing::info!("another process runs on the state in {}: waiting for it", dir.display());
                told = true;
            }
            sleep(ask_again()).await;
        };
        *right = Some(Held {
            lock: Arc::downgrade(&lock),
            since: Instant::now(),
        });
        Ok(lock)
    }
}

/// A run under way.
pub(super) struct RunTask {
    task: AbortHandle,
    pub(super) run: ScheduledRun,
    pub(super) context: RunContext,
    pub(super) began: Instant,
    pub(super) at: DateTime<Utc>,
    /// When it is cut.
    pub(super) deadline: Instant,
    /// It was told to end and has not: something in it never yields.
    pub(super) is_cut: bool,
}

impl RunTask {
    /// Ends it, if anything in it ever yields.
    pub(super) fn cut(&mut self) {
        self.task.abort();
        self.is_cut = true;
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

/// Begins a run as one of `tasks`. The world has no lock yet.
pub(super) fn begin(
    run: ScheduledRun,
    rows: ReportDetail,
    context: RunContext,
    (passer, right, clock): (&Runner, &SharedLock, &Clock),
    tasks: &mut JoinSet<RunOutcome>,
) -> RunTask {
    let now = clock();
    let order = RunRequest {
        purpose: Purpose::Apply {
            confirm_for: CONFIRM_FOR,
        },
        policies: Some(run.policies.clone()),
        instance: None,
        now,
        rows,
        trigger: run.trigger.as_str(),
        budget: BUDGET,
    };
    let began = Instant::now();
    let walking = walk(
        order,
        context.clone(),
        Arc::clone(passer),
        right.clone(),
        Arc::clone(clock),
    );
    RunTask {
        task: tasks.spawn(walking),
        run,
        context,
        began,
        at: now,
        deadline: began + BUDGET + BEYOND,
        is_cut: false,
    }
}

async fn walk(
    mut order: RunRequest,
    mut context: RunContext,
    runner: Runner,
    right: SharedLock,
    clock: Clock,
) -> RunOutcome {
    let deadline = Instant::now() + order.budget;
    let mut stop = context.stop.clone();
    if let Some(ledger) = &context.ledger {
        // Where the state is not there any more, not even the lock's file is made in its place.
        super::blocking(|| ledger.head())?;
    }
    let lock = tokio::select! {
        biased;
        Ok(_) = stop.wait_for(|stop| *stop) => return Err(Failed::Stopped),
        lock = right.take(&context.config.state_dir) => lock?,
        () = sleep_until(deadline) => return Err(Failed::NoTurn),
    };
    // The one reading of the clock that decides is made when the run begins, not when it queued.
    order.now = clock();
    order.budget = deadline.saturating_duration_since(Instant::now());
    context.lock = Some(lock);
    Ok(runner(order, context).await?)
}
