use std::num::NonZeroU32;
use std::sync::Arc;

use chrono::{DateTime, Utc};

use super::*;
use crate::retention::{Count, Pattern, Period, Span};

fn at(text: &str) -> DateTime<Utc> {
    text.parse().unwrap()
}

fn reason(keeper: KeptBy, slot: Option<u32>, series: Option<Series>) -> KeepReason {
    KeepReason {
        keeper,
        slot,
        series,
        oldest: false,
    }
}

fn rule(period: Period) -> KeptBy {
    KeptBy::Rule(KeepRule::Counted(period, Count::AtMost(NonZeroU32::new(9).unwrap())))
}

fn database(name: &str) -> Series {
    Series::Database(Arc::from(name))
}

#[test]
fn keep_reasons_are_listed() {
    let full = Some(Series::Full);
    let reasons = [
        reason(rule(Period::Week), Some(2), full.clone()),
        reason(rule(Period::Month), Some(1), full),
    ];
    assert_eq!(keep(&reasons), "weekly 2, monthly 1");
    let within = |rule| keep(&[reason(KeptBy::Rule(rule), Some(4), Some(Series::Full))]);
    assert_eq!(within(KeepRule::Within(Span::days(3))), "within 3d");
    assert_eq!(
        within(KeepRule::WithinPeriod(Period::Day, Span::days(30))),
        "within_daily 30d"
    );
    let oldest = KeepReason {
        oldest: true,
        ..reason(rule(Period::Month), Some(7), Some(Series::Full))
    };
    assert_eq!(keep(&[oldest]), "oldest; monthly has free slots");
}

#[test]
fn a_databases_series_is_named_where_it_says_something_else() {
    let mut reasons = vec![reason(rule(Period::Day), Some(3), Some(Series::Full))];
    reasons.push(reason(rule(Period::Day), Some(3), Some(database("crm"))));
    assert_eq!(keep(&reasons), "daily 3");
    for name in ["a", "b", "c", "d\x07", "e"] {
        reasons.push(reason(rule(Period::Day), Some(2), Some(database(name))));
    }
    assert_eq!(keep(&reasons), "daily 3; daily 2 of a, b, c and 2 more");
    assert_eq!(keep(&reasons[5..6]), "daily 2 of d\\u{7}");
}

#[test]
fn other_keepers_have_their_sentence() {
    let one = |keeper| keep(&[reason(keeper, None, None)]);
    let mut hold = Hold {
        id: None,
        target: HoldTarget::Backup("b1".into()),
        reason: "case 4711".to_owned(),
        owner: None,
        until: Some(at("2027-06-30T00:00:00Z")),
    };
    assert_eq!(
        one(KeptBy::Hold(Box::new(hold.clone()))),
        "held: case 4711 through 2027-06-29 UTC"
    );
    (hold.owner, hold.until) = (Some("dba".to_owned()), Some(at("2027-06-30T09:00:00Z")));
    assert_eq!(
        one(KeptBy::Hold(Box::new(hold))),
        "held: case 4711 until 2027-06-30 09:00 UTC (dba)"
    );
    assert_eq!(one(KeptBy::Policy("wide".into())), "policy wide keeps it");
    assert_eq!(
        keep(&[reason(KeptBy::Floor, Some(1), Some(Series::Full))]),
        "the floor (newest of its series)"
    );
    assert_eq!(one(KeptBy::Floor), "its instance is deleted, expire_after is not over");
}

#[test]
fn waiting_says_whether_its_grace_has_begun() {
    let wait = |since| Action::Wait {
        reason: ExpireReason::MaxAge,
        since,
        due_at: Some(at("2026-11-24T03:00:00Z")),
    };
    let begun = wait(Some(at("2026-11-23T03:00:00Z")));
    assert_eq!(action(&begun, None), "older than max_age");
    assert_eq!(
        action(&wait(None), None),
        "older than max_age; grace period not started"
    );
    assert_eq!(
        action(&begun, Some("no slot left in daily 14")),
        "no slot left in daily 14"
    );
}

#[test]
fn holds_say_what_they_hold() {
    let matching = |instance: Option<&str>, name: Option<&str>| {
        let pattern = |text: Option<&str>| text.map(|text| Pattern::parse(text).unwrap());
        target(&HoldTarget::Matching {
            instance: pattern(instance),
            name: pattern(name),
        })
    };
    assert_eq!(target(&HoldTarget::Backup("b1".into())), "backup b1");
    assert_eq!(matching(Some("*in04"), None), "backups of instances *in04");
    assert_eq!(matching(Some("x"), Some("pre-*")), "backups named pre-* of instances x");
}

#[test]
fn briefly_equal_reasons_read_equally() {
    let reasons = [
        reason(rule(Period::Day), Some(3), Some(Series::Full)),
        reason(rule(Period::Day), Some(2), Some(database("crm"))),
        reason(KeptBy::Floor, Some(1), Some(Series::Full)),
    ];
    assert_eq!(keep_briefly(&reasons), "daily, the floor (min_backups)");
}
