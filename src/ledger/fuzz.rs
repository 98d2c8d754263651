//! What fuzzing calls in this module: a ledger whose bytes were changed. Not in the program that is shipped.

#![expect(
    clippy::missing_panics_doc,
    reason = "a target panics where a promise is broken: that is its answer"
)]

use std::collections::{BTreeMap, HashMap, HashSet};
use std::fs;
use std::num::NonZeroU32;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use chrono::{DateTime, TimeDelta, Utc};

use super::{
    Access, DeletionLock, FinishedPolicy, Intent, IntentResult, Ledger, LedgerWrite, Listing, NewRun, RunFilter,
    Verification,
};
use crate::retention::fuzz::Tape;
use crate::retention::plan::{ClockCheck, Conditions, InstanceDue};
use crate::retention::report::{RunResult, RunSummary};
use crate::retention::{
    ApprovedPlan, BackupId, BackupStatus, Batch, Candidate, Count, ExpireReason, Freeze, Hold, HoldTarget, Instance,
    InstanceId, InstanceLife, KeepRule, KeepRules, Limits, Mode, Outcome, Plan, Policy, Selector, Span, Zone,
};

const INSTANCE: &str = "i1in04";

fn noon() -> DateTime<Utc> {
    DateTime::from_timestamp(1_795_435_200, 0).unwrap_or_default()
}

fn id(number: i64) -> BackupId {
    format!("{number:032x}br04").into()
}

/// A good ledger with a row of every kind, its files, and what it says.
pub struct Original {
    file: Vec<u8>,
    /// What is written and not yet worked into the file.
    log: Vec<u8>,
    /// The file as it is when the last process has closed it.
    closed: Vec<u8>,
    head: String,
    said: Said,
    dir: PathBuf,
}

/// What must not change unnoticed.
#[derive(Debug, PartialEq)]
struct Said {
    verified: Verification,
    chain: String,
    holds: Vec<(Hold, bool)>,
    freeze: Option<Freeze>,
}

impl Said {
    fn by(ledger: &Ledger, verified: Verification) -> Result<Self, super::Error> {
        let mut chain = Vec::new();
        ledger.export(&mut chain)?;
        Ok(Self {
            verified,
            chain: String::from_utf8_lossy(&chain).into_owned(),
            holds: ledger
                .holds()?
                .into_iter()
                .map(|placed| (placed.hold, placed.released_at.is_some()))
                .collect(),
            freeze: ledger.freezes()?.pop().map(|placed| placed.freeze),
        })
    }
}

impl Original {
    /// Makes it in an empty directory of the caller's, which the changed ones will lie in, too.
    pub fn new(dir: &Path) -> Self {
        let ledger = Ledger::open(dir, Access::Create, noon()).expect("a new ledger");
        let lock = Ledger::lock_deletions(dir, &[])
            .expect("a lock file")
            .expect("a free lock");
        fill(&ledger, &lock);
        let verified = ledger.verify(None).expect("a good ledger");
        assert!(matches!(verified, Verification::Intact { .. }), "{verified:?}");
        let path = ledger.path().to_owned();
        let file = fs::read(&path).expect("the file");
        let log = fs::read(beside(&path, "-wal")).unwrap_or_default();
        let head = ledger.head().expect("a good ledger");
        let said = Said::by(&ledger, verified).expect("a good ledger");
        drop(ledger);
        Self {
            closed: fs::read(&path).expect("the file"),
            dir: dir.to_owned(),
            file,
            log,
            head,
            said,
        }
    }

    /// Bytes of the ledger are changed as the input says: it opens or says clearly why not, `audit verify` never calls a changed
    /// chain intact, and whatever else is asked of it is answered or refused.
    pub fn damaged(&self, data: &[u8]) {
        let tape = &mut Tape::new(data);
        let (mut file, mut log) = if tape.once_in(2) {
            (self.closed.clone(), Vec::new())
        } else {
            (self.file.clone(), self.log.clone())
        };
        for _ in 0..=tape.below(12) {
            let target = if tape.once_in(3) && !log.is_empty() {
                &mut log
            } else {
                &mut file
            };
            damage(target, tape);
        }
        let path = self.dir.join("ledger.sqlite3");
        for left in ["-wal", "-shm", "-journal"] {
            let _ = fs::remove_file(beside(&path, left));
        }
        fs::write(&path, &file).expect("a file");
        if !log.is_empty() {
            fs::write(beside(&path, "-wal"), &log).expect("a file");
        }
        let access = if tape.once_in(2) {
            Access::ReadOnly
        } else {
            Access::Existing
        };
        match Ledger::open(&self.dir, access, noon()) {
            Err(error) => assert!(!error.to_string().is_empty()),
            Ok(ledger) => {
                self.check(&ledger);
                ask_everything(&ledger);
                if access == Access::Existing {
                    write_on(&ledger, &self.dir);
                }
            }
        }
    }

    fn check(&self, ledger: &Ledger) {
        let Ok(verified) = ledger.verify(Some(&self.head)) else {
            return;
        };
        match &verified {
            Verification::Broken { what, .. } => assert!(!what.is_empty()),
            Verification::Intact { .. } => {
                // An answer that cannot be had is not a wrong one.
                if let Ok(said) = Said::by(ledger, verified) {
                    assert_eq!(said, self.said, "`audit verify` calls this intact");
                }
            }
        }
    }
}

fn beside(path: &Path, suffix: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(suffix);
    name.into()
}

/// One change: a byte, a run of bytes, a copy of a piece elsewhere, or the end cut off.
fn damage(bytes: &mut Vec<u8>, tape: &mut Tape<'_>) {
    if bytes.is_empty() {
        return;
    }
    let length = bytes.len();
    let place = |tape: &mut Tape<'_>| usize::try_from(tape.number(3)).unwrap_or(0) % length;
    let at = place(tape);
    match tape.below(6) {
        0 => bytes.truncate(at),
        1 => bytes[at..].iter_mut().take(1 << (at % 13)).for_each(|byte| *byte = 0),
        2 => {
            let piece = 1 + usize::from(tape.byte());
            let from = place(tape).min(length.saturating_sub(piece));
            let to = at.min(length.saturating_sub(piece));
            bytes.copy_within(from..(from + piece).min(length), to);
        }
        3 => bytes[at] ^= 1 << tape.below(8),
        _ => {
            let few = usize::from(1 + tape.below(4));
            bytes[at..].iter_mut().take(few).for_each(|byte| *byte = tape.byte());
        }
    }
}

/// Reads all there is; errors are answers.
fn ask_everything(ledger: &Ledger) {
    let project = "prod".into();
    let answers = [
        ledger.head().map(drop),
        ledger.runs(&RunFilter::default()).map(drop),
        ledger.last_runs(noon()).map(drop),
        ledger.open_requests().map(drop),
        ledger.unconfirmed().map(drop),
        ledger.grace(&"production".into()).map(drop),
        ledger.holds().map(drop),
        ledger.active_holds(noon()).map(drop),
        ledger.freezes().map(drop),
        ledger.refused_plans(&"production".into()).map(drop),
        ledger
            .approvals(&"production".into(), crate::retention::People::One, noon())
            .map(drop),
        ledger.listing_doubts().map(drop),
        ledger.seen_instances(&project).map(drop),
        ledger.believed(&project).map(drop),
        ledger.seen_databases(&INSTANCE.into()).map(drop),
        ledger.known_backup(&id(1)).map(drop),
        ledger.backup_history(&id(1)).map(drop),
        ledger.key_refusals(noon()).map(drop),
        ledger.export(&mut std::io::sink()),
    ];
    for error in answers.into_iter().filter_map(Result::err) {
        assert!(!error.to_string().is_empty());
    }
}

/// What a run and a person would write; an intent that is cleared reads as one.
fn write_on(ledger: &Ledger, dir: &Path) {
    let _ = ledger.probe();
    let _ = ledger.add_hold(&hold(5), "root", noon());
    let _ = ledger.release("h1", "root", noon());
    let Ok(Some(lock)) = Ledger::lock_deletions(dir, &[]) else {
        return;
    };
    let _ = ledger.close_open_requests(&lock, noon());
    let (mut batch, listings) = (batch(7..9), listings());
    if let Ok(IntentResult::Cleared { request, .. }) = ledger.intend(&intent(&lock, &listings), &mut batch) {
        if let Ok(open) = ledger.open_requests() {
            let ids: Vec<&BackupId> = open
                .iter()
                .filter(|open| open.request == request)
                .flat_map(|open| &open.items)
                .map(|item| &item.backup)
                .collect();
            assert_eq!(
                ids,
                batch.ids().collect::<Vec<_>>(),
                "what was intended is not what is on disk"
            );
        }
        let outcomes: Vec<_> = batch.ids().map(|id| (id.clone(), Outcome::Accepted)).collect();
        let _ = ledger.record(request, noon(), None, &outcomes);
    }
    let _ = ledger.settle("run-2", noon(), &[id(3)], &[id(4)]);
}

fn hold(number: i64) -> Hold {
    Hold {
        id: None,
        target: HoldTarget::Backup(id(number)),
        reason: "case 4711".to_owned(),
        owner: Some("dba".to_owned()),
        until: None,
    }
}

fn listings() -> HashMap<InstanceId, Listing> {
    let listing = Listing {
        count: 77,
        read_at: noon(),
    };
    HashMap::from([(INSTANCE.into(), listing)])
}

fn intent<'a>(lock: &'a DeletionLock, listings: &'a HashMap<InstanceId, Listing>) -> Intent<'a> {
    Intent {
        lock,
        run: "run-1",
        attempt: 1,
        config_sha256: "c0ffee",
        now: noon(),
        config_holds: &[],
        config_freeze: None,
        listings,
        rule: |_| "not_kept",
    }
}

fn batch(numbers: std::ops::Range<i64>) -> Batch {
    let instance = Arc::new(Instance {
        engine: crate::retention::Engine::SqlServer,
        project: "prod".into(),
        id: INSTANCE.into(),
        name: "mssql-1".into(),
        tags: Vec::new(),
        enterprise_project: None,
        life: InstanceLife::Listed,
    });
    let candidate = |number| Candidate {
        instance: Arc::clone(&instance),
        id: id(number),
        name: format!("nightly-{number}").into(),
        begin: noon() - TimeDelta::days(300) + TimeDelta::hours(number),
        size_bytes: 1_000,
        status: BackupStatus::Completed,
        reason: ExpireReason::NotKept,
    };
    let mut plan = Plan::new(Arc::new(Policy {
        name: "production".into(),
        mode: Mode::Enforce,
        zone: Zone::UTC,
        select: Selector::default(),
        keep: KeepRules::new(vec![KeepRule::Last(Count::All)], Vec::new()).expect("a rule"),
        max_age: None,
        failed_after: Span::ZERO,
        min_backups: NonZeroU32::MIN,
        grace: Span::ZERO,
        require_backup_within: None,
        limits: Limits::default(),
    }));
    let due: Vec<Candidate> = numbers.map(candidate).collect();
    plan.add(InstanceDue {
        instance: Arc::clone(&instance),
        counted: 1_000,
        newest_recovery_point: None,
        due,
    });
    let approval = plan.approve(&Conditions {
        now: noon(),
        freeze: None,
        clocks: &BTreeMap::from([("prod".into(), ClockCheck::Skew(TimeDelta::zero()))]),
        approved: &HashSet::new(),
    });
    ApprovedPlan::batches(vec![approval.plan])
        .into_iter()
        .flatten()
        .last()
        .expect("one batch")
}

fn fill(ledger: &Ledger, lock: &DeletionLock) {
    let policies = [("production".into(), Mode::Enforce)];
    let run = NewRun {
        id: "run-1",
        policies: &policies,
        config_sha256: "c0ffee",
        started_at: noon(),
        cause: "apply",
        person: None,
    };
    ledger.begin_run(&run).expect("written");
    let listings = listings();
    for numbers in [1..3, 3..5, 5..6, 9..10] {
        let mut batch = batch(numbers.clone());
        let cleared = ledger.intend(&intent(lock, &listings), &mut batch).expect("written");
        let IntentResult::Cleared { request, .. } = cleared else {
            panic!("{cleared:?}")
        };
        let outcomes: Vec<_> = batch.ids().map(|id| (id.clone(), Outcome::Accepted)).collect();
        // The last one stays open, as a killed process leaves it, and the one before it did not begin in time.
        if numbers.start == 5 {
            let (at, why) = (noon(), "no connection".to_owned());
            let entry = LedgerWrite::Withdrawal { request, at, why };
            let entered = ledger.enter(&intent(lock, &listings), vec![entry]).remove(0);
            assert!(entered.is_ok(), "{entered:?}");
        } else if numbers.start < 9 {
            ledger
                .record(request, noon(), Some("req-1"), &outcomes)
                .expect("written");
        }
    }
    ledger.settle("run-1", noon(), &[id(1)], &[id(2)]).expect("written");
    ledger.add_hold(&hold(6), "root", noon()).expect("written");
    ledger.add_hold(&hold(7), "root", noon()).expect("written");
    ledger.release("h1", "root", noon()).expect("written");
    let freeze = Freeze {
        reason: "audit".to_owned(),
        until: Some(noon()),
    };
    ledger.set_freeze(&freeze, "root", noon()).expect("written");
    let finished = FinishedPolicy {
        policy: "production".into(),
        result: RunResult::Success,
        summary: RunSummary::default(),
    };
    ledger.finish_run("run-1", noon(), &[finished]).expect("written");
}
