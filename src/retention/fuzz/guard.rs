//! The guard and the batches: whatever passes keeps every limit.

use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::num::NonZeroU32;
use std::sync::Arc;

use chrono::{DateTime, TimeDelta};

use super::super::plan::{ClockCheck, Conditions, InstanceDue};
use super::super::{
    ApprovedPlan, BackupId, BackupStatus, Batch, Candidate, ExpireReason, Freeze, FreezeSources, Freezes, Instance,
    InstanceLife, Limits, OverLimit, Plan, Span,
};
use super::{Tape, instance, moment, policy, span};

/// Plans, approvals, clocks and freezes from a tape: whatever the guard lets pass keeps every limit.
pub fn guard(data: &[u8]) {
    let tape = &mut Tape::new(data);
    let now = moment(tape);
    let freeze = tape.once_in(16).then(|| Freezes {
        longest: Freeze {
            reason: "audit".to_owned(),
            until: None,
        },
        sources: FreezeSources::default(),
    });
    let clocks: BTreeMap<_, _> = (0..tape.below(4))
        .map(|nth| {
            let check = match tape.below(8) {
                0 => ClockCheck::NoDate,
                _ => ClockCheck::Skew(TimeDelta::seconds(i64::from(tape.byte()) * 3 - 384)),
            };
            (format!("project{nth}").as_str().into(), check)
        })
        .collect();
    let approved: HashSet<BackupId> = (0..tape.below(64)).map(|_| id(tape)).collect();
    let conditions = Conditions {
        now,
        freeze: freeze.as_ref(),
        clocks: &clocks,
        approved: &approved,
    };
    let plans: Vec<Plan> = (0..=tape.below(3)).map(|nth| plan(tape, nth)).collect();
    let mut passed = Vec::new();
    for plan in plans {
        let whole = plan.clone();
        let approval = plan.approve(&conditions);
        check_approval(&whole, &approval.plan, &conditions);
        let all: usize = whole.instances().iter().map(|instance| instance.due.len()).sum();
        let is_short = approval.plan.due().len() < all;
        let drained = whole.policy().limits.over_limit == OverLimit::OldestFirst;
        assert!(
            !is_short || drained || !approval.refusals.is_empty(),
            "held back without a word"
        );
        for refusal in &approval.refusals {
            assert!(super::super::Refusal::LIMITS.contains(&refusal.limit()) && !refusal.to_string().is_empty());
        }
        passed.push(approval.plan);
    }
    check_batches(passed);
}

fn id(tape: &mut Tape<'_>) -> BackupId {
    format!("b{}", tape.byte()).into()
}

fn plan(tape: &mut Tape<'_>, nth: u8) -> Plan {
    let mut policy = policy(tape, nth);
    policy.limits = Limits {
        max_deletions: NonZeroU32::new(1 + u32::from(tape.below(80))).unwrap_or(NonZeroU32::MIN),
        max_percent: 1 + tape.below(100),
        over_limit: if tape.once_in(2) {
            OverLimit::OldestFirst
        } else {
            OverLimit::Refuse
        },
        ..Limits::default()
    };
    policy.require_backup_within = tape.once_in(4).then(|| span(tape));
    let mut plan = Plan::new(Arc::new(policy));
    for nth in 0..tape.below(6) {
        let project = format!("project{}", tape.below(4));
        let instance = Arc::new(Instance {
            project: project.as_str().into(),
            ..instance(&format!("i{nth}in04"), InstanceLife::Listed)
        });
        let due: Vec<Candidate> = (0..tape.below(70))
            .map(|_| Candidate {
                instance: Arc::clone(&instance),
                id: id(tape),
                name: "n".into(),
                begin: DateTime::from_timestamp(i64::from(tape.byte()) * 3_600, 0).unwrap_or_default(),
                size_bytes: 1,
                status: BackupStatus::Completed,
                reason: ExpireReason::NotKept,
            })
            .collect();
        plan.add(InstanceDue {
            instance,
            counted: due.len() + usize::from(tape.byte()),
            newest_recovery_point: tape.once_in(2).then(|| moment(tape)),
            due,
        });
    }
    plan
}

fn check_approval(whole: &Plan, approved: &ApprovedPlan, conditions: &Conditions<'_>) {
    let policy = whole.policy();
    assert!(conditions.freeze.is_none() || approved.due().is_empty(), "frozen");
    assert!(
        approved
            .due()
            .is_sorted_by_key(|candidate| (candidate.begin, candidate.id.clone()))
    );
    let faces_limits = |candidate: &&Candidate| !conditions.approved.contains(&candidate.id);
    let facing = approved.due().iter().filter(faces_limits).count();
    assert!(
        facing <= policy.limits.max_deletions.get() as usize,
        "more than max_deletions"
    );
    for instance in whole.instances() {
        let of_it = |candidate: &&Candidate| candidate.instance.id == instance.instance.id;
        let sent: Vec<&Candidate> = approved.due().iter().filter(of_it).collect();
        if sent.is_empty() {
            continue;
        }
        let clock = conditions.clocks.get(&instance.instance.project);
        assert!(clock.is_some_and(|clock| clock.is_good()), "an unchecked clock");
        let recent = |within: &Span| match (
            within.before(conditions.now, policy.zone),
            instance.newest_recovery_point,
        ) {
            (_, None) => false,
            (edge, Some(newest)) => edge.is_none_or(|edge| newest >= edge),
        };
        assert!(
            policy.require_backup_within.as_ref().is_none_or(recent),
            "no recent backup"
        );
        let limited = |candidate: &&Candidate| candidate.reason.is_limited();
        let facing = sent.iter().copied().filter(faces_limits).filter(limited).count();
        let percent = usize::from(policy.limits.max_percent);
        assert!(
            facing <= 5 || facing * 100 <= percent * instance.counted,
            "more than max_percent"
        );
        for candidate in sent {
            assert!(instance.due.contains(candidate), "not in the plan");
        }
    }
}

fn check_batches(passed: Vec<ApprovedPlan>) {
    let expected: BTreeSet<BackupId> = passed
        .iter()
        .flat_map(ApprovedPlan::due)
        .map(|due| due.id.clone())
        .collect();
    let batches = ApprovedPlan::batches(passed).into_iter().flatten().collect::<Vec<_>>();
    let mut sent = BTreeSet::new();
    for batch in &batches {
        assert!(!batch.is_empty() && batch.len() <= Batch::LIMIT);
        assert!(
            batch
                .items()
                .is_sorted_by_key(|item| (item.candidate.begin, item.candidate.id.clone()))
        );
        for item in batch.items() {
            assert_eq!(item.candidate.instance.project, *batch.project());
            assert!(sent.insert(item.candidate.id.clone()), "sent twice");
        }
    }
    assert_eq!(sent, expected);
    for batch in batches {
        let ids: Vec<BackupId> = batch.ids().cloned().collect();
        match batch.split() {
            Ok((first, second)) => assert!(first.ids().chain(second.ids()).eq(&ids)),
            Err(one) => assert_eq!(one.len(), 1),
        }
    }
}
