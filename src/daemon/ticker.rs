//! Fires the next tick of the schedules at its time, through tokio-cron-scheduler.
//!
//! Which policies are due, and what becomes of missed ticks, is decided by the pure [`super::scheduler`]; the crate fires the
//! instant that it is given. Its own calendar is not used: it freezes a zone's offset when a job is made, does not prevent
//! overlapping runs, and wakes twice a second. So its store, which is the crate's extension point, holds one job: the
//! earliest tick of all policies. Asked for the next ticks, it answers when that one is due by the daemon's clock, and the
//! crate runs the job, which wakes the main loop. The main loop never awaits the crate.

use std::future::{Future, ready};
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use chrono::{DateTime, Utc};
use tokio::sync::{Notify, RwLock};
use tokio_cron_scheduler::job::JobToRunAsync;
use tokio_cron_scheduler::job::job_data::{JobAndNextTick, JobStoredData, JobType};
use tokio_cron_scheduler::store::{DataStore, InitStore};
use tokio_cron_scheduler::{
    Context, JobCode, JobScheduler, JobSchedulerError, MetaDataStorage, PinnedGetFuture, SimpleNotificationCode,
    SimpleNotificationStore, ToCode,
};
use uuid::Uuid;

use super::options::Clock;

/// The one job.
const JOB: Uuid = Uuid::from_u128(1);
/// Messages that may wait in the crate's channels; there is one job, and it runs at most twice a second.
const CHANNEL_SIZE: usize = 16;
/// The wait for a tick is cut into pieces of this length: the sleep does not see that the clock was set.
const LONGEST_SLEEP: Duration = Duration::from_secs(3600);

type Answer<T> = Pin<Box<dyn Future<Output = Result<T, JobSchedulerError>> + Send>>;

fn answer<T: Send + 'static>(value: T) -> Answer<T> {
    Box::pin(ready(Ok(value)))
}

/// The next tick, and how it is announced.
pub(super) struct Ticker {
    next: Arc<NextTick>,
    due: Arc<Notify>,
    scheduler: Option<JobScheduler>,
}

struct NextTick {
    clock: Clock,
    at: Mutex<Planned>,
    changed: Notify,
}

#[derive(Clone, Copy)]
enum Planned {
    At(DateTime<Utc>),
    Nothing,
    Closed,
}

impl std::fmt::Debug for Ticker {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Ticker").finish_non_exhaustive()
    }
}

impl Ticker {
    /// Fires nothing before [`Self::start`].
    pub(super) fn new(clock: Clock) -> Self {
        let (at, changed) = (Mutex::new(Planned::Nothing), Notify::new());
        Self {
            next: Arc::new(NextTick { clock, at, changed }),
            due: Arc::default(),
            scheduler: None,
        }
    }

    /// Starts the crate's tasks.
    pub(super) async fn start(&mut self) -> Result<(), JobSchedulerError> {
        let scheduler = JobScheduler::new_with_storage_and_code(
            Box::new(Store(Arc::clone(&self.next))),
            Box::new(SimpleNotificationStore::default()),
            Box::new(WakeMainLoop::new(&self.due)),
            Box::new(SimpleNotificationCode::default()),
            CHANNEL_SIZE,
        )
        .await?;
        scheduler.start().await?;
        self.scheduler = Some(scheduler);
        Ok(())
    }

    /// Sets when the next tick fires. To be called again when the clock may have been set.
    pub(super) fn set(&self, at: Option<DateTime<Utc>>) {
        self.next.plan(at.map_or(Planned::Nothing, Planned::At));
    }

    /// Waits until a tick is due.
    pub(super) async fn due(&self) {
        self.due.notified().await;
    }

    /// Ends the crate's loop. The tasks that listen to its channels keep each other alive until the runtime ends.
    pub(super) async fn stop(mut self) {
        if let Some(mut scheduler) = self.scheduler.take()
            && let Err(error) = scheduler.shutdown().await
        {
            tracing::debug!(%error, "the ticker did not stop");
        }
        self.next.plan(Planned::Closed);
    }
}

impl NextTick {
    fn planned(&self) -> MutexGuard<'_, Planned> {
        self.at.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn plan(&self, planned: Planned) {
        *self.planned() = planned;
        self.changed.notify_one();
    }

    /// Waits until a tick is due, and forgets it: each is fired once, and the main loop sets the next. False when closed.
    async fn wait(&self) -> bool {
        loop {
            let sleep = {
                let mut planned = self.planned();
                match *planned {
                    Planned::Closed => return false,
                    Planned::Nothing => LONGEST_SLEEP,
                    Planned::At(at) => {
                        let left = (at - (self.clock)()).to_std().unwrap_or_default();
                        if left.is_zero() {
                            *planned = Planned::Nothing;
                            return true;
                        }
                        left.min(LONGEST_SLEEP)
                    }
                }
            };
            tokio::select! {
                () = tokio::time::sleep(sleep) => {}
                () = self.changed.notified() => {}
            }
        }
    }
}

/// The crate's store, with its one job.
struct Store(Arc<NextTick>);

impl InitStore for Store {
    fn init(&mut self) -> Answer<()> {
        answer(())
    }

    fn inited(&mut self) -> Answer<bool> {
        answer(true)
    }
}

impl DataStore<JobStoredData> for Store {
    fn get(&mut self, id: Uuid) -> Answer<Option<JobStoredData>> {
        answer(Some(JobStoredData {
            id: Some(id.into()),
            last_updated: None,
            last_tick: None,
            next_tick: 0,
            job_type: JobType::OneShot.into(),
            count: 0,
            extra: Vec::new(),
            ran: false,
            stopped: false,
            job: None,
            time_offset_seconds: 0,
        }))
    }

    fn add_or_update(&mut self, _: JobStoredData) -> Answer<()> {
        answer(())
    }

    fn delete(&mut self, _: Uuid) -> Answer<()> {
        answer(())
    }
}

impl MetaDataStorage for Store {
    fn list_next_ticks(&mut self) -> Answer<Vec<JobAndNextTick>> {
        let next = Arc::clone(&self.0);
        Box::pin(async move {
            let due = next.wait().await.then(|| JobAndNextTick {
                id: Some(JOB.into()),
                job_type: JobType::OneShot.into(),
                // Long ago: the crate compares with the host's clock, but that it is due was decided here.
                next_tick: 1,
                last_tick: None,
            });
            Ok(due.into_iter().collect())
        })
    }

    fn set_next_and_last_tick(&mut self, _: Uuid, _: Option<DateTime<Utc>>, _: Option<DateTime<Utc>>) -> Answer<()> {
        answer(())
    }

    fn time_till_next_job(&mut self) -> Answer<Option<Duration>> {
        answer(None)
    }
}

/// What the job does.
struct WakeMainLoop(Arc<RwLock<Box<JobToRunAsync>>>);

impl WakeMainLoop {
    fn new(due: &Arc<Notify>) -> Self {
        let due = Arc::clone(due);
        let run: Box<JobToRunAsync> = Box::new(move |_, _| {
            due.notify_one();
            Box::pin(ready(()))
        });
        Self(Arc::new(RwLock::new(run)))
    }
}

impl ToCode<Box<JobToRunAsync>> for WakeMainLoop {
    fn init(&mut self, _: &Context) -> Answer<()> {
        answer(())
    }

    fn get(&mut self, _: Uuid) -> PinnedGetFuture<Box<JobToRunAsync>> {
        Box::pin(ready(Ok(Some(Arc::clone(&self.0)))))
    }
}

impl JobCode for WakeMainLoop {}

#[cfg(test)]
mod tests {
    use chrono::TimeDelta;
    use tokio::time::{Instant, timeout};

    use super::*;

    /// A clock far ahead of the host's, so that whatever the crate compares with the host's clock would show.
    fn clock() -> (Clock, Arc<Mutex<TimeDelta>>) {
        let (origin, set) = (Instant::now(), Arc::new(Mutex::new(TimeDelta::zero())));
        let offset = Arc::clone(&set);
        let clock: Clock = Arc::new(move || {
            let passed = TimeDelta::from_std(origin.elapsed()).unwrap() + *offset.lock().unwrap();
            DateTime::from_timestamp(4_000_000_000, 0).unwrap() + passed
        });
        (clock, set)
    }

    async fn started(clock: &Clock) -> Ticker {
        let mut ticker = Ticker::new(Arc::clone(clock));
        ticker.start().await.unwrap();
        ticker
    }

    #[tokio::test(start_paused = true)]
    async fn each_tick_is_fired_once_at_its_time_and_leaves_no_task_behind() {
        let (clock, _) = clock();
        let ticker = started(&clock).await;
        let mut tasks = 0;
        for tick in 0..10_000 {
            let at = DateTime::from_timestamp(clock().timestamp() + 1, 0).unwrap();
            ticker.set(Some(at));
            ticker.due().await;
            let late = clock() - at;
            assert!(
                (TimeDelta::zero()..TimeDelta::milliseconds(10)).contains(&late),
                "{late}"
            );
            if tick == 100 {
                tasks = tokio::runtime::Handle::current().metrics().num_alive_tasks();
            }
        }
        assert!(tokio::runtime::Handle::current().metrics().num_alive_tasks() <= tasks);
        assert!(
            timeout(Duration::from_secs(7200), ticker.due()).await.is_err(),
            "fired twice"
        );
        ticker.stop().await;
    }

    #[tokio::test(start_paused = true)]
    async fn a_tick_that_is_planned_earlier_or_not_at_all_follows_the_plan() {
        let (clock, _) = clock();
        let ticker = started(&clock).await;
        let begin = clock();
        ticker.set(Some(begin + TimeDelta::hours(20)));
        assert!(timeout(Duration::from_secs(60), ticker.due()).await.is_err());
        ticker.set(Some(begin + TimeDelta::minutes(2)));
        ticker.due().await;
        assert!(clock() - begin < TimeDelta::seconds(121));
        ticker.set(Some(begin + TimeDelta::minutes(3)));
        ticker.set(None);
        assert!(timeout(Duration::from_secs(86_400), ticker.due()).await.is_err());
        ticker.stop().await;
    }

    #[tokio::test(start_paused = true)]
    async fn a_clock_that_was_set_is_followed_when_the_tick_is_set_again() {
        let (clock, offset) = clock();
        let ticker = started(&clock).await;
        let at = clock() + TimeDelta::hours(3);
        ticker.set(Some(at));
        assert!(timeout(Duration::from_secs(60), ticker.due()).await.is_err());
        *offset.lock().unwrap() = TimeDelta::hours(5);
        ticker.set(Some(at));
        timeout(Duration::from_secs(1), ticker.due())
            .await
            .expect("due since the clock was set forward");
        *offset.lock().unwrap() = -TimeDelta::hours(5);
        ticker.set(Some(at));
        assert!(
            timeout(Duration::from_secs(3600), ticker.due()).await.is_err(),
            "not before its time"
        );
        ticker.stop().await;
    }

    #[tokio::test(start_paused = true)]
    async fn a_stopped_ticker_ends_the_crates_loop() {
        let (clock, _) = clock();
        let ticker = started(&clock).await;
        ticker.set(Some(clock() + TimeDelta::hours(20)));
        tokio::time::sleep(Duration::from_secs(1)).await;
        let before = tokio::runtime::Handle::current().metrics().num_alive_tasks();
        ticker.stop().await;
        tokio::time::sleep(Duration::from_secs(1)).await;
        assert!(tokio::runtime::Handle::current().metrics().num_alive_tasks() < before);
    }
}
