//! Two policies on one backup, deleted instances, and what limits count.

use super::*;

#[test]
fn two_policies_both_must_let_go() {
    let strict = Arc::new(Policy {
        name: "strict".into(),
        ..policy(&[KeepRule::Last(count(1))])
    });
    let wide = Arc::new(Policy {
        name: "wide".into(),
        mode: Mode::DryRun,
        max_age: Some(span("60d")),
        ..policy(&[KeepRule::Last(count(2))])
    });
    let backups = [
        backup("c", "2026-01-03T00:00:00Z"),
        backup("b", "2026-01-02T00:00:00Z"),
        backup("a", "2026-01-01T00:00:00Z"),
    ];
    let all = decide(&instance(), &backups, &[], &[strict, wide], utc("2026-02-01T00:00:00Z"));
    assert_eq!(keepers(&all[0][1]), [&KeptBy::Policy("wide".into())]);
    assert_eq!(
        all[0][1].expires_at,
        Some(utc("2026-03-03T00:00:00Z")),
        "when the other lets it go"
    );
    assert!(matches!(all[0][2].verdict, Verdict::Expire(_)) && matches!(all[1][2].verdict, Verdict::Expire(_)));
    assert_eq!(all[0][0].expires_at, None);
}

#[test]
fn a_deleted_instance_is_kept_until_expire_after_and_then_goes_whole() {
    let gone = Instance {
        life: InstanceLife::Deleted {
            missed_since: utc("2026-01-10T00:00:00Z"),
        },
        ..instance()
    };
    let mut policy = policy(&[KeepRule::Last(count(1))]);
    policy.select.deleted_instances = DeletedInstances::ExpireAfter(span("30d"));
    let backups = [backup("b", "2026-01-02T00:00:00Z"), backup("a", "2026-01-01T00:00:00Z")];
    let before = fates_of(&gone, &policy, &backups, &[], "2026-02-01T00:00:00Z");
    assert_eq!(kept(&before), ["a", "b"]);
    assert_eq!(before["b"].expires_at, Some(utc("2026-02-09T00:00:00Z")));
    let after = fates_of(
        &gone,
        &policy,
        &backups,
        &[hold(HoldTarget::Backup("a".into()), None)],
        "2026-02-10T00:00:00Z",
    );
    assert_eq!(kept(&after), ["a"], "a hold outlasts it, the floor does not");
    policy.select.deleted_instances = DeletedInstances::Include;
    assert_eq!(
        kept(&fates_of(&gone, &policy, &backups, &[], "2036-02-01T00:00:00Z")),
        ["b"]
    );
}

#[test]
fn everything_of_a_deleted_instance_expires_and_then_expires_no_more() {
    let mut policy = policy(&[KeepRule::Last(count(9))]);
    policy.select.deleted_instances = DeletedInstances::ExpireAfter(Span::days(10));
    let gone = Instance {
        life: InstanceLife::Deleted {
            missed_since: utc("2026-11-01T00:00:00Z"),
        },
        ..instance()
    };
    let backups = [backup("a", "2026-10-01T00:00:00Z"), backup("b", "2026-10-02T00:00:00Z")];
    let end = Some(utc("2026-11-11T00:00:00Z"));
    let before = fates_of(&gone, &policy, &backups, &[], "2026-11-11T00:00:00Z");
    assert!(
        before
            .values()
            .all(|fate| matches!(fate.verdict, Verdict::Keep(_)) && fate.expires_at == end)
    );
    let after = fates_of(&gone, &policy, &backups, &[], "2026-11-11T00:00:01Z");
    let over = Verdict::Expire(ExpireReason::InstanceDeleted);
    assert!(
        after
            .values()
            .all(|fate| fate.verdict == over && fate.expires_at.is_none())
    );
}

#[test]
fn only_what_the_rules_counted_is_what_max_percent_is_a_percentage_of() {
    use crate::retention::{Doubt, KeptBy};
    let completed = backup("a", "2026-01-01T00:00:00Z");
    let keep = |keeper: KeptBy| Verdict::Keep(vec![KeepReason::of(keeper)]);
    for (verdict, counts) in [
        (keep(KeptBy::Floor), true),
        (keep(KeptBy::Policy("other".into())), true),
        (keep(KeptBy::Names), false),
        (keep(KeptBy::Changed), false),
        (keep(KeptBy::Contested), false),
        (keep(KeptBy::UnknownTime), false),
        (Verdict::Expire(ExpireReason::NotKept), true),
        (Verdict::Expire(ExpireReason::MaxAge), true),
        (Verdict::Expire(ExpireReason::InstanceDeleted), false),
    ] {
        assert_eq!(verdict.is_limited(&completed), counts, "{verdict:?}");
        assert!(!verdict.is_limited(&failed("b", "2026-01-01T00:00:00Z")));
    }
    // Whatever is in doubt is kept as that.
    for (doubt, keeper) in [
        (Doubt::Changed, KeptBy::Changed),
        (Doubt::Contested, KeptBy::Contested),
        (Doubt::InUse, KeptBy::InUse),
    ] {
        let doubtful = Backup {
            doubt: Some(doubt),
            ..completed.clone()
        };
        assert!(!doubtful.is_recovery_point(&instance(), utc("2026-01-02T00:00:00Z")));
        assert!(!keeper.counts());
    }
}
