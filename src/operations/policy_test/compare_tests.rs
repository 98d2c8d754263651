use std::sync::Arc;

use super::*;
use crate::retention::{
    BackupKind, BackupStatus, Count, Databases, Engine, ExpireReason, Instance, InstanceLife, KeepReason, KeepRule,
    KeptBy,
};

/// A backup of a day of June 2026, kept by `last` or not kept.
fn row(day: u32, is_kept: bool) -> BackupRow {
    let begin: DateTime<Utc> = format!("2026-06-{day:02}T19:00:00Z").parse().unwrap();
    let kept = KeepReason {
        keeper: KeptBy::Rule(KeepRule::Last(Count::All)),
        slot: Some(1),
        series: None,
        oldest: false,
    };
    BackupRow {
        instance: Arc::new(Instance {
            engine: Engine::SqlServer,
            project: "p".into(),
            id: "i".into(),
            name: "i".into(),
            tags: Vec::new(),
            enterprise_project: None,
            life: InstanceLife::Listed,
        }),
        backup: Backup {
            id: format!("b{day}").as_str().into(),
            name: format!("nightly-{day}").as_str().into(),
            kind: BackupKind::Manual,
            engine: Engine::SqlServer,
            status: BackupStatus::Completed,
            begin: Some(begin),
            end: Some(begin),
            size_bytes: 1,
            databases: Databases::All,
            doubt: None,
        },
        action: if is_kept {
            Action::Keep(vec![kept])
        } else {
            Action::Delete(ExpireReason::NotKept)
        },
        expires_at: None,
        fate: None,
    }
}

/// What is wrong with two kept backups (9 and 8 June) and three expired ones (7 to 5 June).
fn wrong(expect: &str) -> Vec<(String, String, String, usize)> {
    let rows = vec![row(5, false), row(8, true), row(6, false), row(9, true), row(7, false)];
    let expected: Expectations = serde_yaml::from_str(expect).unwrap();
    let compared = compare(&expected, rows, Zone::of("Asia/Singapore"));
    assert_eq!((compared.kept, compared.expired), (2, 3));
    let one = |mismatch: Mismatch| {
        (
            mismatch.expectation,
            mismatch.expected,
            mismatch.got,
            mismatch.backups.len(),
        )
    };
    compared.mismatches.into_iter().map(one).collect()
}

#[test]
fn what_is_as_expected_is_no_mismatch() {
    let all = "{kept: 2, expired: 3, oldest_kept: 2026-06-09, newest_expired: \"2026-06-07T19:00:00Z\", rules: {last: 2, not_kept: 3, daily: 0}, \
               keep: [b9, NIGHTLY, 2026-06-10], gone: [B7, nightly-5, \"2026-06-06T19:00:00Z\"]}";
    // 19:00 UTC is the next day in Singapore.
    let wrong = wrong(all);
    assert_eq!(wrong.len(), 1, "{wrong:?}");
    assert_eq!((wrong[0].0.as_str(), wrong[0].1.as_str()), ("keep", "NIGHTLY"));
}

#[test]
fn each_expectation_can_fail_and_shows_what_makes_the_difference() {
    for (expect, expectation, got, backups) in [
        ("{kept: 3}", "kept", "2: 2 by last", 2),
        ("{expired: 2}", "expired", "3: 3 by not_kept", 3),
        ("{oldest_kept: 2026-06-08}", "oldest_kept", "2026-06-09 03:00", 2),
        ("{newest_expired: 2026-06-10}", "newest_expired", "2026-06-08 03:00", 2),
        ("{rules: {daily: 1}}", "rules.daily", "0", 0),
        ("{rules: {last: 1}}", "rules.last", "2: 2 by last", 2),
        ("{keep: [b5]}", "keep", "it goes", 1),
        ("{gone: [nightly-9]}", "gone", "it stays", 1),
        ("{keep: [2026-06-08]}", "keep", "it goes", 1),
        (
            "{gone: [b1]}",
            "gone",
            "no backup in the policy's scope has this id, name or day",
            0,
        ),
    ] {
        let wrong = wrong(expect);
        let [(what, _, found, rows)] = wrong.as_slice() else {
            panic!("{expect}: {wrong:?}")
        };
        assert_eq!(
            (what.as_str(), found.as_str(), *rows),
            (expectation, got, backups),
            "{expect}"
        );
    }
}

#[test]
fn nothing_in_scope_is_said_as_such() {
    let expected: Expectations = serde_yaml::from_str("{kept: 1}").unwrap();
    let compared = compare(&expected, Vec::new(), Zone::UTC);
    assert!(
        compared.mismatches[0].got.contains("`instance`"),
        "{:?}",
        compared.mismatches
    );
}
