//! What refusals say, and which of them stops the most.

use super::*;

#[test]
fn refusals_say_what_is_concerned_and_what_to_do() {
    let all = [
        (
            Refusal::MaxDeletions { planned: 4, limit: 3 },
            ("max_deletions", None, true),
            "4 deletions are more than max_deletions 3: nothing of this policy is sent; look at the plan, then `approve` it or \
             set over_limit: oldest-first",
        ),
        (
            Refusal::MaxPercent {
                instance: "i1".into(),
                planned: 6,
                of: 11,
                percent: 50,
            },
            ("max_percent", Some("i1"), true),
            "instance i1: 6 of 11 backups are more than max_percent 50: the instance is left alone; look at the plan, then \
             `approve` it",
        ),
        (
            Refusal::RequireBackupWithin {
                instance: "i2".into(),
                newest: Some(now()),
                within: "3d".to_owned(),
            },
            ("require_backup_within", Some("i2"), false),
            "instance i2: no finished full backup, manual or automated, within 3d (newest: 2026-11-23T12:00:00Z): the instance is \
             left alone until one is made",
        ),
        (
            Refusal::Clock {
                project: "a".into(),
                check: ClockCheck::Skew(TimeDelta::seconds(-301)),
            },
            ("clock", None, false),
            "project a: the API's clock is -301 s away from ours, more than 300: nothing is sent; set the clock",
        ),
        (
            Refusal::Freeze {
                reason: "audit".to_owned(),
                until: Some(now()),
                sources: FreezeSources::default(),
            },
            ("freeze", None, false),
            "frozen (audit) until 2026-11-23T12:00:00Z: nothing is sent",
        ),
    ];
    check_words(&all);
}

#[test]
fn a_shrunken_listing_names_the_instance_or_the_project() {
    let all = [
        (
            Refusal::Shrink {
                project: "a".into(),
                instance: Some("i3".into()),
                expected: 10,
                found: 4,
            },
            ("shrink", Some("i3"), false),
            "instance i3: the listing fell from 10 to 4 manual backups: it is left alone for 7 days, or until `approve --listing`",
        ),
        (
            Refusal::Shrink {
                project: "a".into(),
                instance: None,
                expected: 10,
                found: 4,
            },
            ("shrink", None, false),
            "project a: the listing fell from 10 to 4 instances: it is left alone for 7 days, or until `approve --listing`",
        ),
    ];
    check_words(&all);
}

/// A refusal with its limit, its instance, whether it waits for an approval, and its sentence.
type Words<'a> = (Refusal, (&'a str, Option<&'a str>, bool), &'a str);

fn check_words(all: &[Words<'_>]) {
    for (refusal, (limit, instance, waits), text) in all {
        assert_eq!(refusal.limit(), *limit);
        assert_eq!(refusal.instance().map(InstanceId::as_str), *instance);
        assert_eq!(refusal.waits_for_approval(), *waits);
        assert_eq!(refusal.to_string(), *text);
        assert!(Refusal::LIMITS.contains(limit));
    }
}

#[test]
fn the_gravest_refusal_stops_the_most() {
    let percent = Refusal::MaxPercent {
        instance: "i".into(),
        planned: 6,
        of: 9,
        percent: 50,
    };
    let deletions = Refusal::MaxDeletions { planned: 9, limit: 8 };
    let freeze = Refusal::Freeze {
        reason: "audit".to_owned(),
        until: None,
        sources: FreezeSources::default(),
    };
    let mut refusals = [percent.clone(), deletions.clone(), freeze.clone()];
    refusals.sort_by_key(Refusal::gravity);
    assert_eq!(refusals, [freeze, deletions, percent]);
}
