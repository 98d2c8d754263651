//! One pass of the library, where a test needs shorter time-outs or another `now`.

use std::sync::Arc;
use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use rds_retentiond::ledger::Ledger;
use rds_retentiond::rds::{KeyLockout, Observer, Tuning};
use rds_retentiond::retention::{PolicyName, RunReport};
use rds_retentiond::run::{self, Projects, Purpose, RunRequest};
use tokio::sync::watch;

use super::World;

/// One pass of the library, to be changed and then run.
pub struct Pass<'a> {
    pub(super) world: &'a World,
    pub now: DateTime<Utc>,
    pub budget: Duration,
    pub confirm_for: Duration,
    pub timeout: Duration,
    pub policies: Option<Vec<PolicyName>>,
    pub purpose: Option<Purpose>,
    pub watcher: run::OnProgress,
    pub stop: watch::Receiver<bool>,
}

impl World {
    /// The right to delete. A child that another test is just starting holds a copy of every open file between its
    /// fork and its exec, so a lock that was let go may look taken for a moment.
    async fn lock(&self) -> rds_retentiond::ledger::DeletionLock {
        for _ in 0..200 {
            if let Some(lock) = Ledger::lock_deletions(&self.state(), &[]).unwrap() {
                return lock;
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        panic!("somebody has the lock for ten seconds");
    }
}

impl Pass<'_> {
    /// Decides as if it were so much later.
    pub fn later(mut self, by: TimeDelta) -> Self {
        self.now += by;
        self
    }

    pub async fn run(self) -> RunReport {
        self.try_run().await.unwrap()
    }

    pub async fn try_run(self) -> Result<RunReport, run::Error> {
        let ledger = Arc::new(self.world.ledger());
        let lock = self.world.lock().await;
        let config = self.world.config();
        let env = self.world.env.clone();
        let tuning = Tuning {
            env: Arc::new(move |name| {
                env.iter()
                    .find(|(known, _)| known == name)
                    .map(|(_, value)| value.clone())
            }),
            back_off: Duration::from_millis(5),
            ..Tuning::default()
        };
        let keys = {
            let ledger = Arc::clone(&ledger);
            let guard = KeyLockout::new(Arc::new(move |refusal| {
                let now = rds_retentiond::clock::now();
                ledger.record_key_refusal(&run::refusal_to_keep(refusal), now).unwrap();
            }));
            let now = rds_retentiond::clock::now();
            guard.restore(run::refusals_kept(&self.world.ledger(), now).unwrap(), now);
            guard
        };
        let observer: Observer = Arc::new(|_| {});
        let world = run::RunContext {
            live: watch::channel(Arc::clone(&config)).1,
            projects: Arc::new(Projects::tuned(&config, &keys, &observer, self.timeout, &tuning).unwrap()),
            config,
            ledger: Some(ledger),
            lock: Some(Arc::new(lock)),
            stop: self.stop,
            watcher: self.watcher,
        };
        let order = RunRequest {
            purpose: self.purpose.unwrap_or(Purpose::Apply {
                confirm_for: self.confirm_for,
            }),
            policies: self.policies,
            instance: None,
            now: self.now,
            rows: run::ReportDetail::All,
            trigger: "apply",
            person: None,
            budget: self.budget,
        };
        run::run(&order, &world).await
    }
}
