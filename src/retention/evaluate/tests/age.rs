//! What goes by age: `max_age`, `failed_after`, and when.

use super::*;

#[test]
fn max_age_beats_rules_but_not_the_floor() {
    let mut policy = policy(&[KeepRule::Last(Count::All)]);
    policy.max_age = Some(span("30d"));
    let backups = [
        backup("a", "2026-01-01T00:00:00Z"),
        backup("b", "2026-01-02T00:00:00Z"),
        backup("c", "2026-01-20T00:00:00Z"),
    ];
    let found = fates(&policy, &backups, &[], "2026-02-05T00:00:00Z");
    assert_eq!(found["a"].verdict, Verdict::Expire(ExpireReason::MaxAge));
    assert_eq!(kept(&found), ["c"]);
    assert_eq!(found["c"].expires_at, None, "the newest is held by the floor for ever");
    let later = fates(&policy, &backups, &[], "2027-01-01T00:00:00Z");
    assert_eq!(kept(&later), ["c"]);
    assert_eq!(keepers(&later["c"]), [&KeptBy::Floor]);
    // Exactly as old as max_age is not older.
    let edge = fates(&policy, &backups, &[], "2026-02-01T00:00:00Z");
    assert_eq!(kept(&edge), ["b", "c"]);
    assert_eq!(edge["b"].expires_at, Some(utc("2026-02-01T00:00:00Z")));
}

#[test]
fn failed_ones_go_only_after_a_newer_completed_one() {
    let policy = policy(&[KeepRule::Last(count(1))]);
    let now = "2026-02-01T00:00:00Z";
    let superseded = [
        failed("f", "2026-01-01T00:00:00Z"),
        backup("ok", "2026-01-02T00:00:00Z"),
    ];
    assert_eq!(
        fates(&policy, &superseded, &[], now)["f"].verdict,
        Verdict::Expire(ExpireReason::Failed)
    );
    let newest = [
        failed("f", "2026-01-03T00:00:00Z"),
        backup("ok", "2026-01-02T00:00:00Z"),
    ];
    assert_eq!(
        keepers(&fates(&policy, &newest, &[], now)["f"]),
        [&KeptBy::TooNewFailed]
    );
    assert_eq!(fates(&policy, &newest, &[], now)["f"].expires_at, None);
    let young = [
        failed("f", "2026-01-30T00:00:00Z"),
        backup("ok", "2026-01-31T00:00:00Z"),
    ];
    assert_eq!(
        fates(&policy, &young, &[], now)["f"].expires_at,
        Some(utc("2026-02-06T00:00:00Z"))
    );
}

#[test]
fn failed_ones_fill_no_slot_and_no_floor() {
    let backups = [
        failed("f1", "2026-01-05T00:00:00Z"),
        failed("f2", "2026-01-04T00:00:00Z"),
        backup("ok", "2026-01-02T00:00:00Z"),
    ];
    assert_eq!(
        kept(&fates(
            &policy(&[KeepRule::Last(count(1))]),
            &backups,
            &[],
            "2027-01-01T00:00:00Z"
        )),
        ["f1", "f2", "ok"]
    );
}

#[test]
fn age_alone_and_the_end_of_another_backups_hold() {
    // `old` ages out on the 20th, a hold on `held` ends on the 25th, `young` ages out on the 30th, a hold on `held-longer` ends
    // in December; and one ended long ago.
    let policy = Policy {
        max_age: Some(Span::days(30)),
        ..policy(&[KeepRule::Last(count(9))])
    };
    let backups = [
        backup("gone", "2026-09-01T00:00:00Z"),
        backup("held", "2026-10-01T00:00:00Z"),
        backup("held-longer", "2026-10-02T00:00:00Z"),
        backup("held-once", "2026-10-20T00:00:00Z"),
        backup("old", "2026-10-21T00:00:00Z"),
        backup("young", "2026-10-31T00:00:00Z"),
        backup("newest", "2026-11-09T00:00:00Z"),
    ];
    let hold = |id: &str, until: &str| Hold {
        id: None,
        target: HoldTarget::Backup(id.into()),
        reason: "r".into(),
        owner: None,
        until: Some(utc(until)),
    };
    let holds = [
        hold("held-longer", "2026-12-20T00:00:00Z"),
        hold("held", "2026-11-25T00:00:00Z"),
        hold("held-once", "2026-11-01T00:00:00Z"),
    ];
    let found = fates(&policy, &backups, &holds, "2026-11-10T00:00:00Z");
    let ends = |id: &str| found[id].expires_at;
    assert_eq!(found["gone"].verdict, Verdict::Expire(ExpireReason::MaxAge));
    assert_eq!(ends("gone"), None, "what has expired expires no more");
    assert_eq!(ends("old"), Some(utc("2026-11-20T00:00:00Z")));
    assert_eq!(ends("held"), Some(utc("2026-11-25T00:00:00Z")));
    assert_eq!(ends("held-once"), Some(utc("2026-11-19T00:00:00Z")));
    assert_eq!(ends("young"), Some(utc("2026-11-30T00:00:00Z")));
    assert_eq!(ends("held-longer"), Some(utc("2026-12-20T00:00:00Z")));
    assert_eq!(ends("newest"), None, "the floor");
}

#[test]
fn a_failed_one_goes_when_it_is_older_than_failed_after_and_a_newer_one_is_completed() {
    let policy = policy(&[KeepRule::Last(count(9))]);
    let now = "2026-11-23T12:00:00Z";
    let expires = |failed_at: &str, completed_at: &str| {
        let backups = [failed("failed", failed_at), backup("completed", completed_at)];
        let found = fates(&policy, &backups, &[], now);
        found["failed"].verdict == Verdict::Expire(ExpireReason::Failed)
    };
    assert!(expires("2026-11-16T11:59:59Z", "2026-11-20T00:00:00Z"));
    assert!(
        !expires("2026-11-16T12:00:00Z", "2026-11-20T00:00:00Z"),
        "exactly as old is not older"
    );
    assert!(expires("2026-10-01T00:00:00Z", "2026-10-01T00:00:01Z"));
    assert!(
        !expires("2026-10-01T00:00:00Z", "2026-10-01T00:00:00Z"),
        "of one moment, none is newer"
    );
    assert!(!expires("2026-10-01T00:00:00Z", "2026-09-30T00:00:00Z"));
}

#[test]
fn times_beyond_the_calendar_keep_and_never_panic() {
    let far = [
        DateTime::<Utc>::MIN_UTC,
        DateTime::<Utc>::MAX_UTC,
        utc("9999-12-31T23:59:59Z"),
    ];
    let begun = |(nth, begin): (usize, &DateTime<Utc>)| Backup {
        begin: Some(*begin),
        ..backup(&format!("b{nth}"), "2026-01-01T00:00:00Z")
    };
    let backups: Vec<Backup> = far
        .iter()
        .chain(&[utc("2025-01-01T00:00:00Z"), utc("2026-01-01T00:00:00Z")])
        .enumerate()
        .map(begun)
        .collect();
    let spans = [
        "10000y",
        "120000mo",
        "3652425d",
        "10000y120000mo521775w3652425d87658200h",
    ]
    .map(span);
    for span in spans {
        for zone in ["Pacific/Kiritimati", "Pacific/Niue", "America/St_Johns"] {
            for now in far
                .into_iter()
                .chain([utc("2026-11-23T12:00:00Z"), utc("9999-01-01T00:00:00Z")])
            {
                let policy = Arc::new(Policy {
                    zone: Zone::of(zone),
                    max_age: Some(span),
                    failed_after: span,
                    ..policy(&[KeepRule::Within(span), KeepRule::WithinPeriod(Period::Hour, span)])
                });
                let decided = decide(&instance(), &backups, &[], &[policy], now);
                // From a year beyond the spans on, they are over.
                if now.timestamp() < utc("9999-12-31T23:59:59Z").timestamp() {
                    let kept = |decision: &Decision| matches!(decision.verdict, Verdict::Keep(_));
                    assert!(
                        decided[0].len() == 5 && decided[0].iter().all(kept),
                        "{span} {zone} {now}"
                    );
                }
            }
        }
    }
}
