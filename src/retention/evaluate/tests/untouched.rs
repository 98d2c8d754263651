//! What is never touched and never counted, and what names do.

use super::*;

#[test]
#[expect(clippy::too_many_lines, reason = "a table of cases")]
fn what_is_not_understood_is_kept_with_its_own_reason_and_never_counted() {
    let now = "2026-02-01T00:00:00Z";
    let base = backup("x", "2026-01-31T00:00:00Z");
    let strange = [
        (
            Backup {
                status: BackupStatus::Building,
                ..base.clone()
            },
            KeptBy::InProgress,
        ),
        (
            Backup {
                status: BackupStatus::Deleting,
                ..base.clone()
            },
            KeptBy::InProgress,
        ),
        (
            Backup {
                status: BackupStatus::parse("EXPORTING"),
                ..base.clone()
            },
            KeptBy::UnknownStatus,
        ),
        (
            Backup {
                kind: BackupKind::parse("snapshot"),
                ..base.clone()
            },
            KeptBy::UnknownStatus,
        ),
        (
            Backup {
                databases: Databases::Unknown,
                ..base.clone()
            },
            KeptBy::UnknownStatus,
        ),
        (
            Backup {
                engine: Engine::parse("MySQL"),
                ..base.clone()
            },
            KeptBy::UnknownEngine,
        ),
        (
            Backup {
                engine: Engine::parse(""),
                ..base.clone()
            },
            KeptBy::UnknownEngine,
        ),
        (
            Backup {
                begin: None,
                ..base.clone()
            },
            KeptBy::UnknownTime,
        ),
        (
            Backup {
                begin: Some(utc("2026-02-01T00:05:01Z")),
                ..base.clone()
            },
            KeptBy::FutureDated,
        ),
    ];
    for (odd, keeper) in strange {
        let backups = [odd, backup("ok", "2025-01-01T00:00:00Z")];
        let found = fates(&policy(&[KeepRule::Last(count(1))]), &backups, &[], now);
        assert_eq!(keepers(&found["x"]), [&keeper]);
        // Had it counted, "ok" would have lost the only slot.
        assert!(matches!(keepers(&found["ok"])[..], [KeptBy::Rule(_)]), "{keeper:?}");
    }
    let automated = Backup {
        kind: BackupKind::Auto,
        ..base
    };
    assert!(
        fates(&policy(&[KeepRule::Last(count(1))]), &[automated], &[], now).is_empty(),
        "automated ones are out of scope"
    );
}

#[test]
fn five_minutes_ahead_still_counts() {
    let backups = [
        backup("x", "2026-02-01T00:05:00Z"),
        backup("ok", "2025-01-01T00:00:00Z"),
    ];
    assert_eq!(
        kept(&fates(
            &policy(&[KeepRule::Last(count(1))]),
            &backups,
            &[],
            "2026-02-01T00:00:00Z"
        )),
        ["x"]
    );
}

#[test]
fn names_are_kept_and_take_no_slots() {
    let mut policy = policy(&[KeepRule::Last(count(1))]);
    policy.keep = KeepRules::new(
        vec![KeepRule::Last(count(1))],
        vec![Pattern::parse("name-rel*").unwrap()],
    )
    .unwrap();
    policy.max_age = Some(span("1d"));
    let backups = [
        backup("rel1", "2026-01-03T00:00:00Z"),
        backup("b", "2026-01-02T00:00:00Z"),
        backup("a", "2026-01-01T00:00:00Z"),
    ];
    let fates = fates(&policy, &backups, &[], "2027-01-01T00:00:00Z");
    assert_eq!(kept(&fates), ["b", "rel1"]);
    assert_eq!(keepers(&fates["rel1"]), [&KeptBy::Names]);
}

#[test]
fn excluded_names_are_out_of_scope() {
    let mut policy = policy(&[KeepRule::Last(count(1))]);
    policy.select.exclude_backup_names = vec![Pattern::parse("name-golden*").unwrap()];
    let backups = [
        backup("golden", "2026-01-03T00:00:00Z"),
        backup("b", "2026-01-02T00:00:00Z"),
    ];
    assert_eq!(
        fates(&policy, &backups, &[], "2027-01-01T00:00:00Z")
            .keys()
            .collect::<Vec<_>>(),
        ["b"]
    );
}

#[test]
fn a_backup_dated_ahead_takes_the_slot_when_its_time_comes() {
    let policy = policy(&[KeepRule::Last(count(1))]);
    let backups = [
        backup("newest", "2026-11-09T00:00:00Z"),
        backup("ahead", "2026-11-12T00:00:00Z"),
    ];
    let found = fates(&policy, &backups, &[], "2026-11-10T00:00:00Z");
    // Five minutes before its time it is believed.
    assert_eq!(found["newest"].expires_at, Some(utc("2026-11-11T23:55:00Z")));
    assert_eq!(keepers(&found["ahead"]), [&KeptBy::FutureDated]);
    assert_eq!(found["ahead"].expires_at, None);
}

#[test]
fn a_time_is_believed_from_2010_on_and_up_to_a_week_before_its_end() {
    let ended = |begin: &str, end: Option<&str>| {
        let one = Backup {
            end: end.map(utc),
            ..backup("a", begin)
        };
        one.believed_begin().is_some()
    };
    assert!(ended("2010-01-01T00:00:00Z", None));
    assert!(!ended("2009-12-31T23:59:59Z", None));
    assert!(ended("2026-01-01T00:00:00Z", Some("2026-01-08T00:00:00Z")));
    assert!(!ended("2026-01-01T00:00:00Z", Some("2026-01-08T00:00:01Z")));
    assert!(ended("2026-01-01T00:00:00Z", Some("2026-01-01T00:00:00Z")));
    assert!(!ended("2026-01-01T00:00:01Z", Some("2026-01-01T00:00:00Z")));
}
