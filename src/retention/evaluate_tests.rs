//! The decision, case by case, against restic's golden cases, and against a slow oracle written another way.

use std::collections::{BTreeMap, BTreeSet};
use std::num::NonZeroU32;

use super::super::policy::{Limits, Mode, OverLimit, Selector};
use super::super::{Engine, HoldTarget, InstanceId, KeepRules, Pattern, Period, PolicyName, ProjectName, Span};
use super::*;

pub(super) fn utc(text: &str) -> DateTime<Utc> {
    text.parse().unwrap()
}

pub(super) fn span(text: &str) -> Span {
    Span::parse(text).unwrap()
}

pub(super) fn count(number: u32) -> Count {
    Count::AtMost(NonZeroU32::new(number).unwrap())
}

pub(super) fn instance() -> Instance {
    Instance {
        engine: Engine::SqlServer,
        project: ProjectName::from("prod"),
        id: InstanceId::from("i1in04"),
        name: "mssql-1".into(),
        tags: Vec::new(),
        enterprise_project: None,
        life: InstanceLife::Listed,
    }
}

pub(super) fn backup(id: &str, begin: &str) -> Backup {
    Backup {
        id: id.into(),
        name: format!("name-{id}").into(),
        kind: BackupKind::Manual,
        engine: Engine::SqlServer,
        status: BackupStatus::Completed,
        begin: Some(utc(begin)),
        size_bytes: 1024,
        databases: Databases::All,
        end: None,
        doubt: None,
    }
}

pub(super) fn partial(id: &str, begin: &str, databases: &[&str]) -> Backup {
    Backup {
        databases: Databases::from_names(databases),
        ..backup(id, begin)
    }
}

fn failed(id: &str, begin: &str) -> Backup {
    Backup {
        status: BackupStatus::Failed,
        ..backup(id, begin)
    }
}

pub(super) fn policy(rules: &[KeepRule]) -> Policy {
    Policy {
        name: PolicyName::from("p"),
        mode: Mode::Enforce,
        zone: Zone::UTC,
        select: Selector::default(),
        keep: KeepRules::new(rules.to_vec(), Vec::new()).unwrap(),
        max_age: None,
        failed_after: span("7d"),
        min_backups: NonZeroU32::MIN,
        grace: Span::ZERO,
        require_backup_within: None,
        limits: Limits {
            over_limit: OverLimit::Refuse,
            ..Limits::default()
        },
    }
}

/// The decision of one policy, by backup id.
pub(super) fn fates(policy: &Policy, backups: &[Backup], holds: &[Hold], now: &str) -> BTreeMap<String, Decision> {
    fates_of(&instance(), policy, backups, holds, now)
}

fn fates_of(
    instance: &Instance,
    policy: &Policy,
    backups: &[Backup],
    holds: &[Hold],
    now: &str,
) -> BTreeMap<String, Decision> {
    let decisions = decide(instance, backups, holds, &[Arc::new(policy.clone())], utc(now)).remove(0);
    decisions
        .into_iter()
        .map(|decision| (backups[decision.backup].id.as_str().to_owned(), decision))
        .collect()
}

pub(super) fn kept(fates: &BTreeMap<String, Decision>) -> Vec<&str> {
    fates
        .iter()
        .filter(|(_, fate)| matches!(fate.verdict, Verdict::Keep(_)))
        .map(|(id, _)| id.as_str())
        .collect()
}

fn reasons(decision: &Decision) -> &[KeepReason] {
    match &decision.verdict {
        Verdict::Keep(reasons) => reasons,
        Verdict::Expire(reason) => panic!("expired: {reason:?}"),
    }
}

fn keepers(decision: &Decision) -> Vec<&KeptBy> {
    reasons(decision).iter().map(|reason| &reason.keeper).collect()
}

// ---------------------------------------------------------------- restic's golden cases

#[derive(serde::Deserialize)]
struct Golden {
    backups: Vec<GoldenBackup>,
    cases: Vec<GoldenCase>,
}
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
    let golden: Golden = serde_json::from_str(include_str!("../../tests/data/restic.json")).unwrap();
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
fn partial_backups_never_use_up_the_slots_of_full_ones() {
    let backups = [
        partial("p3", "2026-01-06T00:00:00Z", &["sales"]),
        partial("p2", "2026-01-05T00:00:00Z", &["sales"]),
        backup("full2", "2026-01-04T00:00:00Z"),
        partial("p1", "2026-01-03T00:00:00Z", &["sales", "hr"]),
        backup("full1", "2026-01-02T00:00:00Z"),
    ];
    let fates = fates(
        &policy(&[KeepRule::Last(count(1))]),
        &backups,
        &[],
        "2026-02-01T00:00:00Z",
    );
    // full2 by the full series and hr's (p1 gave way to it), p3 by sales'.
    assert_eq!(kept(&fates), ["full2", "p3"]);
    assert_eq!(reasons(&fates["p3"])[0].series, Some(Series::Database("sales".into())));
    let series: Vec<_> = reasons(&fates["full2"])
        .iter()
        .map(|r| r.series.clone().unwrap())
        .collect();
    assert_eq!(series, [Series::Full, Series::Database("hr".into())]);
}

#[test]
fn the_floor_holds_in_every_series() {
    let mut policy = policy(&[KeepRule::Last(count(1))]);
    policy.min_backups = NonZeroU32::new(2).unwrap();
    policy.max_age = Some(span("1d"));
    let backups = [
        partial("p", "2026-01-03T00:00:00Z", &["sales"]),
        backup("b", "2026-01-02T00:00:00Z"),
        backup("a", "2026-01-01T00:00:00Z"),
    ];
    assert_eq!(
        kept(&fates(&policy, &backups, &[], "2027-01-01T00:00:00Z")),
        ["a", "b", "p"]
    );
}

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

fn hold(target: HoldTarget, until: Option<&str>) -> Hold {
    Hold {
        id: None,
        target,
        reason: "case 4711".into(),
        owner: None,
        until: until.map(utc),
    }
}

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
fn only_what_the_rules_counted_is_what_max_percent_is_a_percentage_of() {
    use super::super::{Doubt, KeptBy};
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
    for (doubt, keeper) in [(Doubt::Changed, KeptBy::Changed), (Doubt::Contested, KeptBy::Contested)] {
        let doubtful = Backup {
            doubt: Some(doubt),
            ..completed.clone()
        };
        assert!(!doubtful.is_recovery_point(&instance(), utc("2026-01-02T00:00:00Z")));
        assert!(!keeper.counts());
    }
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
