//! Holds, and what changes when they end.

use super::*;

#[test]
fn a_held_backup_takes_no_slot_and_goes_when_its_hold_ends() {
    let backups = [
        backup("c", "2026-01-03T00:00:00Z"),
        backup("b", "2026-01-02T00:00:00Z"),
        backup("a", "2026-01-01T00:00:00Z"),
    ];
    let holds = [hold(HoldTarget::Backup("a".into()), Some("2026-06-01T00:00:00Z"))];
    let fates = fates(
        &policy(&[KeepRule::Last(count(1))]),
        &backups,
        &holds,
        "2026-02-01T00:00:00Z",
    );
    assert_eq!(kept(&fates), ["a", "c"]);
    assert!(matches!(keepers(&fates["a"])[..], [KeptBy::Hold(_)]));
    assert_eq!(fates["a"].expires_at, Some(utc("2026-06-01T00:00:00Z")));
    assert_eq!(fates["c"].expires_at, None);
}

#[test]
fn a_hold_that_ends_may_push_another_out_of_its_slot() {
    let backups = [
        backup("held", "2026-01-03T00:00:00Z"),
        backup("b", "2026-01-02T00:00:00Z"),
    ];
    let holds = [hold(
        HoldTarget::Matching {
            instance: None,
            name: Some(Pattern::parse("name-held").unwrap()),
        },
        Some("2026-06-01T00:00:00Z"),
    )];
    let fates = fates(
        &policy(&[KeepRule::Last(count(1))]),
        &backups,
        &holds,
        "2026-02-01T00:00:00Z",
    );
    assert_eq!(fates["held"].expires_at, None);
    assert_eq!(fates["b"].expires_at, Some(utc("2026-06-01T00:00:00Z")));
}

#[test]
fn an_ended_hold_holds_nothing_and_one_without_end_for_ever() {
    let backups = [backup("b", "2026-01-02T00:00:00Z"), backup("a", "2026-01-01T00:00:00Z")];
    let by_id = HoldTarget::Backup("a".into());
    let now = "2026-02-01T00:00:00Z";
    let last = policy(&[KeepRule::Last(count(1))]);
    assert_eq!(
        kept(&fates(&last, &backups, &[hold(by_id.clone(), Some(now))], now)),
        ["b"]
    );
    assert_eq!(fates(&last, &backups, &[hold(by_id, None)], now)["a"].expires_at, None);
    let elsewhere = hold(
        HoldTarget::Matching {
            instance: Some(Pattern::parse("other*").unwrap()),
            name: None,
        },
        None,
    );
    assert_eq!(kept(&fates(&last, &backups, &[elsewhere], now)), ["b"]);
}
