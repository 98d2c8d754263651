//! Keep rules: slots, buckets, durations, and restic's golden cases.

use super::*;

#[derive(serde::Deserialize)]
struct GoldenBackup {
    id: String,
    begin_time: String,
}

#[derive(serde::Deserialize)]
struct GoldenCase {
    case: u32,
    policy: GoldenPolicy,
    keep: BTreeSet<String>,
    reasons: BTreeMap<String, Vec<GoldenReason>>,
}

#[derive(serde::Deserialize)]
struct GoldenPolicy {
    keep: BTreeMap<String, serde_json::Value>,
}

#[derive(serde::Deserialize, PartialEq, Eq, PartialOrd, Ord, Debug)]
struct GoldenReason {
    rule: String,
    oldest: bool,
}

// ---------------------------------------------------------------- restic's golden cases

#[derive(serde::Deserialize)]
struct Golden {
    backups: Vec<GoldenBackup>,
    cases: Vec<GoldenCase>,
}

fn rule_from_key(key: &str, value: &serde_json::Value) -> KeepRule {
    let number = || match value {
        serde_json::Value::String(all) if all == "all" => Count::All,
        other => count(u32::try_from(other.as_u64().unwrap()).unwrap()),
    };
    let within = || span(value.as_str().unwrap());
    let period = |name: &str| {
        Period::ALL[["hourly", "daily", "weekly", "monthly", "quarterly", "yearly"]
            .iter()
            .position(|n| *n == name)
            .unwrap()]
    };
    match key {
        "last" => KeepRule::Last(number()),
        "within" => KeepRule::Within(within()),
        _ => match key.strip_prefix("within_") {
            Some(name) => KeepRule::WithinPeriod(period(name), within()),
            None => KeepRule::Counted(period(key), number()),
        },
    }
}

#[test]
fn restic_golden_cases() {
    let golden: Golden = serde_json::from_str(include_str!("../../../../tests/data/restic.json")).unwrap();
    let backups: Vec<Backup> = golden
        .backups
        .iter()
        .map(|b| backup(&b.id, &b.begin_time.replace("+0000", "Z")))
        .collect();
    assert_eq!(golden.cases.len(), 36);
    for case in golden.cases {
        let rules: Vec<KeepRule> = case
            .policy
            .keep
            .iter()
            .map(|(key, value)| rule_from_key(key, value))
            .collect();
        let fates = fates(&policy(&rules), &backups, &[], "2016-01-19T00:00:00Z");
        let keep: BTreeSet<String> = kept(&fates).into_iter().map(str::to_owned).collect();
        assert_eq!(keep, case.keep, "case {}", case.case);
        for (id, mut expected) in case.reasons {
            let mut found: Vec<GoldenReason> = reasons(&fates[&id])
                .iter()
                .map(|reason| match reason.keeper {
                    KeptBy::Rule(rule) => GoldenReason {
                        rule: rule.key().to_owned(),
                        oldest: reason.oldest,
                    },
                    ref other => panic!("case {} {id}: {other:?}", case.case),
                })
                .collect();
            found.sort();
            expected.sort();
            assert_eq!(found, expected, "case {} {id}", case.case);
        }
    }
}

// ---------------------------------------------------------------- cases by name

#[test]
fn slots_count_from_one_newest_first() {
    let backups = [
        backup("a", "2026-01-01T00:00:00Z"),
        backup("b", "2026-01-03T00:00:00Z"),
        backup("c", "2026-01-02T00:00:00Z"),
    ];
    let fates = fates(
        &policy(&[KeepRule::Last(count(2))]),
        &backups,
        &[],
        "2026-02-01T00:00:00Z",
    );
    assert_eq!(kept(&fates), ["b", "c"]);
    assert_eq!(reasons(&fates["b"])[0].slot, Some(1));
    assert_eq!(reasons(&fates["c"])[0].slot, Some(2));
    assert_eq!(fates["a"].verdict, Verdict::Expire(ExpireReason::NotKept));
}

#[test]
fn ties_are_broken_by_ascending_id() {
    let backups = [backup("z", "2026-01-01T00:00:00Z"), backup("a", "2026-01-01T00:00:00Z")];
    assert_eq!(
        kept(&fates(
            &policy(&[KeepRule::Last(count(1))]),
            &backups,
            &[],
            "2026-02-01T00:00:00Z"
        )),
        ["a"]
    );
}

#[test]
fn the_newest_of_a_bucket_fills_it() {
    let backups = [
        backup("morning", "2026-01-01T06:00:00Z"),
        backup("evening", "2026-01-01T18:00:00Z"),
        backup("before", "2025-12-31T18:00:00Z"),
    ];
    let rules = [KeepRule::Counted(Period::Day, count(1))];
    assert_eq!(
        kept(&fates(&policy(&rules), &backups, &[], "2026-02-01T00:00:00Z")),
        ["evening"]
    );
}

#[test]
fn the_oldest_stays_while_slots_are_left() {
    let backups = [
        backup("new", "2026-01-02T18:00:00Z"),
        backup("mid", "2026-01-02T12:00:00Z"),
        backup("old", "2026-01-02T06:00:00Z"),
    ];
    let fates = fates(
        &policy(&[KeepRule::Counted(Period::Day, count(3))]),
        &backups,
        &[],
        "2026-02-01T00:00:00Z",
    );
    assert_eq!(kept(&fates), ["new", "old"]);
    assert!(reasons(&fates["old"])[0].oldest);
    assert_eq!(reasons(&fates["old"])[0].slot, Some(2));
}

#[test]
fn the_oldest_within_is_kept_only_inside_the_duration() {
    let backups = [
        backup("new", "2026-01-02T18:00:00Z"),
        backup("old", "2026-01-02T06:00:00Z"),
    ];
    let inside = [KeepRule::WithinPeriod(Period::Day, span("1d"))];
    assert_eq!(
        kept(&fates(&policy(&inside), &backups, &[], "2026-02-01T00:00:00Z")),
        ["new", "old"]
    );
    let outside = [KeepRule::WithinPeriod(Period::Day, span("6h"))];
    assert_eq!(
        kept(&fates(&policy(&outside), &backups, &[], "2026-02-01T00:00:00Z")),
        ["new"]
    );
}

#[test]
fn within_is_strict_and_counts_from_the_newest_backup_not_the_clock() {
    let backups = [
        backup("new", "2026-01-10T00:00:00Z"),
        backup("edge", "2026-01-07T00:00:00Z"),
        backup("in", "2026-01-07T00:00:01Z"),
    ];
    let rules = [KeepRule::Within(span("3d"))];
    assert_eq!(
        kept(&fates(&policy(&rules), &backups, &[], "2036-01-01T00:00:00Z")),
        ["in", "new"]
    );
}

#[test]
fn weeks_are_iso_weeks_of_iso_years() {
    // 2027-01-01 lies in week 53 of 2026, like 2026-12-31; a key of (calendar year, week) would split them.
    let backups = [
        backup("fri", "2027-01-01T12:00:00Z"),
        backup("thu", "2026-12-31T12:00:00Z"),
        backup("prev", "2026-12-27T12:00:00Z"),
        backup("x", "2026-12-01T12:00:00Z"),
    ];
    assert_eq!(
        kept(&fates(
            &policy(&[KeepRule::Counted(Period::Week, count(2))]),
            &backups,
            &[],
            "2027-02-01T00:00:00Z"
        )),
        ["fri", "prev"]
    );
}

#[test]
fn quarters_begin_in_the_policys_zone() {
    let mut singapore = policy(&[KeepRule::Counted(Period::Quarter, count(2))]);
    singapore.zone = Zone::of("Asia/Singapore");
    // 31 March 17:00Z is already April in Singapore.
    let backups = [
        backup("q2", "2026-04-20T00:00:00Z"),
        backup("q2too", "2026-03-31T17:00:00Z"),
        backup("q1", "2026-03-31T15:00:00Z"),
        backup("old", "2026-01-05T00:00:00Z"),
    ];
    assert_eq!(
        kept(&fates(&singapore, &backups, &[], "2026-06-01T00:00:00Z")),
        ["q1", "q2"]
    );
}

#[test]
fn a_repeated_hour_is_two_buckets_and_a_skipped_one_none() {
    let mut berlin = policy(&[KeepRule::Counted(Period::Hour, count(9))]);
    berlin.zone = Zone::of("Europe/Berlin");
    let autumn = [
        backup("a", "2026-10-25T00:30:00Z"),
        backup("b", "2026-10-25T01:30:00Z"),
        backup("c", "2026-10-25T01:10:00Z"),
        backup("d", "2026-10-24T01:10:00Z"),
    ];
    assert_eq!(
        kept(&fates(&berlin, &autumn, &[], "2026-11-01T00:00:00Z")),
        ["a", "b", "d"]
    );
}

#[test]
fn a_midnight_that_is_repeated_does_not_open_a_day_twice() {
    // Newfoundland put its clocks back at 00:01 (until 2011): 7 November 2010 began, was left and began again.
    let mut st_johns = policy(&[KeepRule::Counted(Period::Day, count(2))]);
    st_johns.zone = Zone::of("America/St_Johns");
    let backups = [
        backup("again-7th", "2010-11-07T03:45:00Z"), // 00:15 NST on the 7th, second time
        backup("still-6th", "2010-11-07T02:50:00Z"), // 23:20 NST on the 6th, after the change
        backup("first-7th", "2010-11-07T02:30:30Z"), // 00:00:30 NDT on the 7th, first time
        backup("early-6th", "2010-11-06T20:00:00Z"),
        backup("5th", "2010-11-05T20:00:00Z"),
    ];
    assert_eq!(
        kept(&fates(&st_johns, &backups, &[], "2010-12-01T00:00:00Z")),
        ["again-7th", "still-6th"]
    );
    // Whatever part of it comes first.
    let without_newest = &backups[1..];
    assert_eq!(
        kept(&fates(&st_johns, without_newest, &[], "2010-12-01T00:00:00Z")),
        ["first-7th", "still-6th"]
    );
    let mut three = st_johns.clone();
    three.keep = KeepRules::new(vec![KeepRule::Counted(Period::Day, count(3))], Vec::new()).unwrap();
    assert_eq!(
        kept(&fates(&three, without_newest, &[], "2010-12-01T00:00:00Z")),
        ["5th", "first-7th", "still-6th"]
    );
}

#[test]
fn a_day_that_is_met_left_and_met_again_takes_one_slot() {
    // St John's put its clock back from 00:01 on 7 November 2010 to 23:01 on the 6th.
    let policy = Policy {
        zone: Zone::of("America/St_Johns"),
        ..policy(&[KeepRule::Counted(Period::Day, count(3))])
    };
    let backups = [
        backup("fifth", "2010-11-05T15:00:00Z"),
        backup("sixth-first-pass", "2010-11-07T02:00:00Z"),
        backup("seventh-earlier", "2010-11-07T02:30:10Z"),
        backup("seventh", "2010-11-07T02:30:30Z"),
        backup("sixth-second-pass", "2010-11-07T03:00:00Z"),
    ];
    let found = fates(&policy, &backups, &[], "2010-11-08T00:00:00Z");
    assert_eq!(kept(&found), ["fifth", "seventh", "sixth-second-pass"]);
}
