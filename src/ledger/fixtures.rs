//! Ledgers and batches for the tests of this module.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::num::NonZeroU32;
use std::sync::Arc;

use chrono::{DateTime, TimeDelta, Utc};

use super::postgres_server;
use super::{
    Access, DeletionLock, Error, Intent, IntentResult, Ledger, Listing, NewRun, PostgresAddress, RequestKey, StatePlace,
};
use crate::retention::plan::{ClockCheck, Conditions, InstanceDue};
use crate::retention::{
    ApprovedPlan, BackupId, BackupStatus, Batch, Candidate, Count, ExpireReason, Freeze, Hold, HoldTarget, Instance,
    InstanceId, InstanceLife, KeepRule, KeepRules, Limits, Mode, Outcome, Plan, Policy, ProjectName, Selector, Span,
    Zone,
};

pub(super) const INSTANCE: &str = "0000in04";

pub(super) fn at(text: &str) -> DateTime<Utc> {
    DateTime::parse_from_rfc3339(text).expect("a time").to_utc()
}

pub(super) fn noon() -> DateTime<Utc> {
    at("2026-11-23T12:00:00Z")
}

pub(super) fn id(number: usize) -> BackupId {
    BackupId::from(format!("{number:032x}br04"))
}

pub(super) fn project() -> ProjectName {
    ProjectName::from("prod")
}

fn policy() -> Policy {
    Policy {
        name: "production".into(),
        mode: Mode::Enforce,
        zone: Zone::UTC,
        select: Selector::default(),
        keep: KeepRules::new(vec![KeepRule::Last(Count::All)], Vec::new()).expect("a rule"),
        max_age: None,
        failed_after: Span::parse("7d").expect("a span"),
        min_backups: NonZeroU32::MIN,
        grace: Span::parse("24h").expect("a span"),
        require_backup_within: None,
        limits: Limits {
            max_percent: 100,
            ..Limits::default()
        },
    }
}

/// A batch of the backups with these numbers, all of [`INSTANCE`], named `nightly-N`.
pub(super) fn batch(numbers: impl IntoIterator<Item = usize>) -> Batch {
    batch_of(numbers.into_iter().map(|number| (number, id(number))))
}

/// The same with other ids.
pub(super) fn batch_of(numbers: impl IntoIterator<Item = (usize, BackupId)>) -> Batch {
    let instance = Arc::new(Instance {
        engine: crate::retention::Engine::SqlServer,
        project: project(),
        id: INSTANCE.into(),
        name: "mssql-1".into(),
        tags: Vec::new(),
        enterprise_project: None,
        life: InstanceLife::Listed,
    });
    let due: Vec<Candidate> = numbers
        .into_iter()
        .map(|(number, id)| Candidate {
            instance: Arc::clone(&instance),
            id,
            name: format!("nightly-{number}").into(),
            begin: at("2026-01-01T00:00:00Z") + TimeDelta::hours(i64::try_from(number).expect("small")),
            size_bytes: 1_000 + number as u64,
            status: BackupStatus::Completed,
            reason: ExpireReason::NotKept,
        })
        .collect();
    let mut plan = Plan::new(Arc::new(policy()));
    plan.add(InstanceDue {
        instance,
        counted: 1_000,
        newest_recovery_point: None,
        due,
    });
    let approval = plan.approve(&Conditions {
        now: noon(),
        freeze: None,
        clocks: &BTreeMap::from([(project(), ClockCheck::Skew(TimeDelta::zero()))]),
        approved: &HashSet::new(),
    });
    let mut batches = ApprovedPlan::batches(vec![approval.plan])
        .into_iter()
        .flatten()
        .collect::<Vec<_>>();
    assert_eq!(batches.len(), 1, "{:?}", approval.refusals);
    batches.remove(0)
}

/// By `RDS_RETENTIOND_TEST_POSTGRES=1` the tests of the ledger run on PostgreSQL, too.
pub(super) fn is_on_postgres() -> bool {
    std::env::var_os("RDS_RETENTIOND_TEST_POSTGRES").is_some()
}

/// A new place for a ledger.
fn place(dir: &std::path::Path) -> StatePlace {
    if !is_on_postgres() {
        return StatePlace::from(dir);
    }
    let server = postgres_server::server().expect("PostgreSQL");
    shared_place(&server.url(&server.database()))
}

pub(super) fn shared_place(url: &str) -> StatePlace {
    StatePlace::Postgres(PostgresAddress {
        target: Box::new(url.parse().expect("an address")),
        password_file: None,
        ca: None,
    })
}

/// A run of no policy.
pub(super) fn new_run(id: &str) -> NewRun<'_> {
    NewRun {
        id,
        policies: &[],
        config_sha256: "c0ffee",
        started_at: noon(),
        cause: "apply",
        person: None,
    }
}

/// A ledger in a throw-away directory, with the right to delete.
pub(super) struct State {
    pub(super) dir: tempfile::TempDir,
    pub(super) place: StatePlace,
    pub(super) ledger: Ledger,
    pub(super) lock: DeletionLock,
    pub(super) listings: HashMap<InstanceId, Listing>,
}

impl State {
    pub(super) fn new() -> Self {
        let dir = tempfile::tempdir().expect("a directory");
        let place = place(dir.path());
        Self::in_place(dir, place)
    }

    /// With its ledger there.
    pub(super) fn at(place: StatePlace) -> Self {
        Self::in_place(tempfile::tempdir().expect("a directory"), place)
    }

    fn in_place(dir: tempfile::TempDir, place: StatePlace) -> Self {
        let ledger = Ledger::open(place.clone(), Access::Create, noon()).expect("a new ledger");
        ledger.join("here", "c0ffee").expect("a member");
        let lock = Ledger::lock_deletions(place.clone(), &[project()])
            .expect("a lock file")
            .expect("a free lock");
        let listing = Listing {
            count: 77,
            read_at: at("2026-11-23T11:59:30Z"),
        };
        Self {
            dir,
            place,
            ledger,
            lock,
            listings: HashMap::from([(INSTANCE.into(), listing)]),
        }
    }

    pub(super) fn again(&self, access: Access) -> Ledger {
        let ledger = Ledger::open(self.place.clone(), access, noon()).expect("the same ledger");
        if access != Access::ReadOnly {
            ledger.join("here", "c0ffee").expect("a member");
        }
        ledger
    }

    /// A run of no policy begins; fails where the state is not as it was left.
    pub(super) fn begin_run(&self, id: &str) -> Result<(), Error> {
        self.ledger.begin_run(&new_run(id))
    }

    /// A second connection, as a person with `sqlite3` would have, past every trigger.
    pub(super) fn tamper(&self, sql: &str) {
        if let StatePlace::Postgres(address) = &self.place {
            let server = postgres_server::server().expect("the server");
            let database = address.target.get_dbname().expect("a database");
            server.psql(database, &format!("SET session_replication_role = replica; {sql}"));
            return;
        }
        let connection = rusqlite::Connection::open(self.ledger.path()).expect("the file");
        connection
            .execute_batch("DROP TRIGGER IF EXISTS chain_no_update; DROP TRIGGER IF EXISTS chain_no_delete;")
            .expect("no triggers");
        connection.execute_batch(sql).expect("the change");
    }

    pub(super) fn intent(&self) -> Intent<'_> {
        Intent {
            lock: &self.lock,
            run: "run-1",
            attempt: 1,
            config_sha256: "c0ffee",
            now: noon(),
            config_holds: &[],
            config_freeze: None,
            listings: &self.listings,
            rule: |_| "not_kept",
        }
    }

    /// Intends what must be cleared whole.
    pub(super) fn intend(&self, numbers: impl IntoIterator<Item = usize>) -> RequestKey {
        match self.ledger.intend(&self.intent(), &mut batch(numbers)) {
            Ok(IntentResult::Cleared { request, dropped }) if dropped.is_empty() => request,
            other => panic!("not cleared whole: {other:?}"),
        }
    }

    pub(super) fn accept(&self, numbers: impl IntoIterator<Item = usize>) -> RequestKey {
        let numbers: Vec<usize> = numbers.into_iter().collect();
        let request = self.intend(numbers.clone());
        let outcomes: Vec<_> = numbers
            .into_iter()
            .map(|number| (id(number), Outcome::Accepted))
            .collect();
        self.ledger
            .record(request, noon(), Some("req-9"), &outcomes)
            .expect("recorded");
        request
    }
}

pub(super) fn hold_on(target: HoldTarget) -> Hold {
    Hold {
        id: None,
        target,
        reason: "case 4711".to_owned(),
        owner: Some("dba".to_owned()),
        until: None,
    }
}

pub(super) fn freeze() -> Freeze {
    Freeze {
        reason: "audit".to_owned(),
        until: None,
    }
}
