//! Batches as a run would make them, sent without anybody to send them to. Shared with `benches/ledger.rs`.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::num::NonZeroU32;
use std::ops::Range;
use std::sync::Arc;

use chrono::{DateTime, TimeDelta, Utc};
use rds_retentiond::clock;
use rds_retentiond::ledger::{DeletionLock, Intent, IntentResult, Ledger, LedgerWrite, Listing, RequestKey, Written};
use rds_retentiond::retention::plan::{ClockCheck, Conditions, InstanceDue};
use rds_retentiond::retention::{
    ApprovedPlan, BackupId, BackupStatus, Batch, Candidate, Count, ExpireReason, Instance, InstanceId, InstanceLife,
    KeepRule, KeepRules, Limits, Mode, Outcome, Plan, Policy, Selector, Span, Zone,
};

fn policy() -> Policy {
    Policy {
        name: "production".into(),
        mode: Mode::Enforce,
        zone: Zone::UTC,
        select: Selector::default(),
        keep: KeepRules::new(vec![KeepRule::Last(Count::All)], Vec::new()).unwrap(),
        max_age: None,
        failed_after: Span::parse("7d").unwrap(),
        min_backups: NonZeroU32::MIN,
        grace: Span::parse("24h").unwrap(),
        require_backup_within: None,
        limits: Limits {
            max_deletions: NonZeroU32::MAX,
            max_percent: 100,
            ..Limits::default()
        },
    }
}

/// As scattered as real ids are.
pub fn backup_id(number: usize) -> BackupId {
    let scattered = (number as u128 + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15_f39c);
    BackupId::from(format!("{scattered:032x}br04"))
}

/// Batches of `Batch::LIMIT`, of ten instances.
pub fn batches(backups: Range<usize>) -> (Vec<Batch>, HashMap<InstanceId, Listing>) {
    let begin = clock::now() - TimeDelta::days(900);
    let mut plan = Plan::new(Arc::new(policy()));
    let mut listings = HashMap::new();
    for number in 0..10 {
        let id = InstanceId::from(format!("{number:032x}in04"));
        let count = backups.len() as u64;
        listings.insert(
            id.clone(),
            Listing {
                count,
                read_at: clock::now(),
            },
        );
        let instance = Arc::new(Instance {
            engine: rds_retentiond::retention::Engine::SqlServer,
            project: "prod".into(),
            id,
            name: format!("mssql-prod-{number}").into(),
            tags: Vec::new(),
            enterprise_project: None,
            life: InstanceLife::Listed,
        });
        let due = backups.clone().skip(number).step_by(10).map(|backup| Candidate {
            instance: Arc::clone(&instance),
            id: backup_id(backup),
            name: format!("nightly_{backup}").into(),
            begin: begin + TimeDelta::minutes(i64::try_from(backup).unwrap()),
            size_bytes: 1_000_000 + backup as u64,
            status: BackupStatus::Completed,
            reason: ExpireReason::NotKept,
        });
        let due = due.collect();
        plan.add(InstanceDue {
            instance: Arc::clone(&instance),
            counted: backups.len(),
            newest_recovery_point: None,
            due,
        });
    }
    let approval = plan.approve(&Conditions {
        now: clock::now(),
        freeze: None,
        clocks: &BTreeMap::from([("prod".into(), ClockCheck::Skew(TimeDelta::zero()))]),
        approved: &HashSet::new(),
    });
    (
        ApprovedPlan::batches(vec![approval.plan])
            .into_iter()
            .flatten()
            .collect::<Vec<_>>(),
        listings,
    )
}

/// Enters what a run has to write down at the same time. Each batch and the answers before it are taken.
pub fn enter(
    ledger: &Ledger,
    lock: &DeletionLock,
    listings: &HashMap<InstanceId, Listing>,
    entries: Vec<LedgerWrite>,
    now: DateTime<Utc>,
) -> Vec<(RequestKey, Batch)> {
    let intent = Intent {
        lock,
        run: "019aafc0-0000-7000-8000-000000000001",
        attempt: 1,
        config_sha256: "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855",
        now,
        config_holds: &[],
        config_freeze: None,
        listings,
        rule: |_| "not_kept",
    };
    let cleared = |entered| match entered {
        Ok(Written::Intent(batch, IntentResult::Cleared { request, .. })) => Some((request, batch)),
        Ok(Written::Answer(_)) => None,
        other => panic!("{other:?}"),
    };
    ledger.enter(&intent, entries).into_iter().filter_map(cleared).collect()
}

/// A batch that is to be sent.
pub fn intent(batch: Batch) -> LedgerWrite {
    LedgerWrite::Intent { attempt: 1, batch }
}

/// The API accepted all of a batch.
pub fn accepted(request: RequestKey, batch: &Batch, at: DateTime<Utc>) -> LedgerWrite {
    LedgerWrite::Answer {
        request,
        at,
        api_request_id: Some("api-1".to_owned()),
        outcomes: batch.ids().map(|id| (id.clone(), Outcome::Accepted)).collect(),
    }
}

/// So many intents, and as many answers to those before, are written together when eight requests are under way.
pub const TOGETHER: usize = 4;
