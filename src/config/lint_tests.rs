//! Claims about policies, each against what decisions say.

use std::num::NonZeroU32;

use proptest::prelude::*;

use super::*;
use crate::retention::{
    Backup, BackupKind, BackupStatus, Databases, Engine, Instance, InstanceLife, KeepRules, Limits, Mode, Span,
    Verdict, decide,
};

fn instance() -> Instance {
    Instance {
        engine: Engine::SqlServer,
        project: "prod".into(),
        id: "i1in04".into(),
        name: "mssql-1".into(),
        tags: Vec::new(),
        enterprise_project: None,
        life: InstanceLife::Listed,
    }
}

fn backups(begins: &[DateTime<Utc>]) -> Vec<Backup> {
    let backup = |(nth, begin): (usize, &DateTime<Utc>)| Backup {
        id: format!("b{nth}").into(),
        name: "n".into(),
        kind: BackupKind::Manual,
        engine: Engine::SqlServer,
        status: BackupStatus::Completed,
        begin: Some(*begin),
        end: None,
        size_bytes: 1,
        databases: Databases::All,
        doubt: None,
    };
    begins.iter().enumerate().map(backup).collect()
}

fn policy(zone: Zone, rules: Vec<KeepRule>) -> Policy {
    Policy {
        name: "p".into(),
        mode: Mode::Enforce,
        zone,
        select: Selector::default(),
        keep: KeepRules::new(rules, Vec::new()).unwrap(),
        max_age: None,
        failed_after: Span::days(7),
        min_backups: NonZeroU32::MIN,
        grace: Span::ZERO,
        require_backup_within: None,
        limits: Limits::default(),
    }
}

#[test]
fn weeks_do_not_nest_in_months() {
    let nests = |fine, coarse| nests(fine, coarse, Zone::UTC);
    assert!(nests(Period::Day, Period::Week) && nests(Period::Day, Period::Month));
    assert!(nests(Period::Month, Period::Quarter) && nests(Period::Week, Period::Week));
    assert!(!nests(Period::Week, Period::Month) && !nests(Period::Week, Period::Year));
    assert!(!nests(Period::Month, Period::Day) && nests(Period::Hour, Period::Day));
    assert!(!super::nests(Period::Hour, Period::Day, Zone::of("America/St_Johns")));
}

#[test]
fn a_month_and_thirty_days_cover_neither_the_other() {
    let span = |text: &str| Span::parse(text).unwrap();
    let covers = |within: &str, daily: &str| {
        let daily = KeepRule::WithinPeriod(Period::Day, span(daily));
        covers(KeepRule::Within(span(within)), daily, Zone::UTC)
    };
    assert!(!covers("1mo", "30d") && !covers("30d", "1mo") && !covers("1y", "366d") && !covers("365d", "1y"));
    // The twins.
    assert!(covers("1mo", "28d") && covers("31d", "1mo") && covers("1y", "365d") && covers("366d", "1y"));
    assert!(!covers("24h", "1d") && !covers("1d", "24h") && covers("2d", "24h") && covers("1d2h", "1d1h"));
}

fn any_span() -> impl Strategy<Value = Span> {
    let texts = [
        "1h", "23h", "24h", "25h", "48h", "1d", "1d1h", "2d", "3d", "1w", "7d", "28d", "29d", "30d", "31d", "1mo",
        "1mo1d", "2mo", "59d", "60d", "61d", "62d", "1y", "12mo", "365d", "366d",
    ];
    prop::sample::select(texts.to_vec()).prop_map(|text| Span::parse(text).unwrap())
}

fn any_rule() -> impl Strategy<Value = KeepRule> {
    let count = prop_oneof![
        1 => (1..3u32).prop_map(|most| Count::AtMost(NonZeroU32::new(most).unwrap())),
        2 => Just(Count::All),
    ];
    let period = prop::sample::select(Period::ALL.to_vec());
    prop_oneof![
        1 => count.clone().prop_map(KeepRule::Last),
        3 => (period.clone(), count).prop_map(|(period, count)| KeepRule::Counted(period, count)),
        3 => any_span().prop_map(KeepRule::Within),
        3 => (period, any_span()).prop_map(|(period, span)| KeepRule::WithinPeriod(period, span)),
    ]
}

/// Fleets around changes of clocks and ends of months: bursts of minutes, days apart.
fn any_begins() -> impl Strategy<Value = Vec<DateTime<Utc>>> {
    let anchors = [
        "2026-03-01T12:00:00Z",
        "2026-03-29T00:30:00Z",
        "2026-10-25T00:30:00Z",
        "2010-11-07T02:00:00Z",
        "2011-12-30T10:00:00Z",
        "2024-02-29T12:00:00Z",
        "2026-12-31T23:00:00Z",
    ];
    let offset = (0..400i64, 0..1_440i64, prop::sample::select(vec![1i64, 10]));
    (
        prop::sample::select(anchors.to_vec()),
        prop::collection::vec(offset, 2..40),
    )
        .prop_map(|(anchor, offsets)| {
            let anchor: DateTime<Utc> = anchor.parse().unwrap();
            let begin = |(days, minutes, near)| {
                anchor - TimeDelta::days(days / (near * near)) + TimeDelta::minutes(minutes / near - 120)
            };
            offsets.into_iter().map(begin).collect()
        })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 4_000, max_global_rejects: 100_000, ..ProptestConfig::default() })]

    #[test]
    fn what_is_called_redundant_can_be_removed_without_a_change(
        by in any_rule(),
        rule in any_rule(),
        begins in any_begins(),
        zone in prop::sample::select(vec!["UTC", "Europe/Berlin", "America/St_Johns", "Pacific/Apia", "Australia/Lord_Howe"]),
    ) {
        let zone = if zone == "UTC" { Zone::UTC } else { Zone::of(zone) };
        prop_assume!(covers(by, rule, zone));
        let kept = |rules: Vec<KeepRule>| -> Vec<bool> {
            let policies = [Arc::new(policy(zone, rules))];
            let decided = decide(&instance(), &backups(&begins), &[], &policies, begins[0] + TimeDelta::days(500));
            decided[0].iter().map(|decision| matches!(decision.verdict, Verdict::Keep(_))).collect()
        };
        prop_assert_eq!(kept(vec![by, rule]), kept(vec![by]));
    }
}
