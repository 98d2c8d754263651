use std::borrow::Cow;
use std::num::NonZeroU32;
use std::sync::Arc;

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
fn what_steers_a_terminal_is_escaped() {
    assert_eq!(clean("nightly_1 ü 夜"), "nightly_1 ü 夜");
    assert!(matches!(clean("plain"), Cow::Borrowed(_)));
    assert_eq!(clean("\x1b[2Jx\r\n\t"), "\\u{1b}[2Jx\\r\\n\\t");
    assert_eq!(clean("a\u{9b}31mb\u{7f}"), "a\\u{9b}31mb\\u{7f}");
    assert_eq!(
        clean("\u{202e}gnp.exe\u{200b}\u{feff}"),
        "\\u{202e}gnp.exe\\u{200b}\\u{feff}"
    );
}

#[test]
fn numbers_and_sizes_are_short() {
    assert_eq!(
        [number(0), number(999), number(1_000), number(1_234_567)],
        ["0", "999", "1,000", "1,234,567"]
    );
    assert_eq!(
        [count(1, "backup"), count(1_200, "backup")],
        ["1 backup", "1,200 backups"]
    );
    assert_eq!(
        [
            size(0),
            size(1_023),
            size(1_024),
            size(1_536),
            size(1_073_741_823),
            size(1 << 30),
            size(u64::MAX)
        ],
        [
            "0 B",
            "1023 B",
            "1.0 KiB",
            "1.5 KiB",
            "1023.9 MiB",
            "1.0 GiB",
            "15.9 EiB"
        ]
    );
}

#[test]
fn ages_grow_from_minutes_to_days() {
    let now = at("2026-11-23T03:00:00Z");
    let ages = [
        "2026-11-23T02:15:00Z",
        "2026-11-22T20:00:00Z",
        "2026-11-21T03:00:00Z",
        "2025-10-07T03:00:00Z",
    ];
    assert_eq!(ages.map(|begin| age(now, at(begin))), ["45min", "7h", "2d", "412d"]);
    assert_eq!(age(now, at("2026-11-26T04:00:00Z")), "in 3d");
}

#[test]
fn moments_are_on_the_zones_wall_clock() {
    assert_eq!(
        moment(at("2026-10-01T19:05:59Z"), Zone::of("Asia/Singapore")),
        "2026-10-02 03:05"
    );
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
    assert_eq!(keep(&[oldest]), "oldest, kept while monthly has slots");
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
        "held: case 4711 until 2027-06-30"
    );
    (hold.owner, hold.until) = (Some("dba".to_owned()), Some(at("2027-06-30T09:00:00Z")));
    assert_eq!(
        one(KeptBy::Hold(Box::new(hold))),
        "held: case 4711 until 2027-06-30T09:00:00Z (dba)"
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
    assert_eq!(action(&begun), "older than max_age, in grace");
    assert_eq!(action(&wait(None)), "older than max_age, grace not begun");
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
fn times_are_written_as_chrono_writes_them() {
    let times = [
        "2026-11-23T03:04:05Z",
        "0001-01-01T00:00:00Z",
        "9999-12-31T23:59:59.999Z",
        "2016-12-31T23:59:60Z",
        "1999-02-28T12:00:00.5Z",
    ];
    let far = [
        DateTime::<Utc>::MAX_UTC - TimeDelta::days(2),
        DateTime::<Utc>::MIN_UTC + TimeDelta::days(2),
    ];
    let times = times.into_iter().map(|text| text.parse::<DateTime<Utc>>().unwrap());
    for at in times.chain(far) {
        assert_eq!(timestamp(at), at.to_rfc3339_opts(SecondsFormat::Secs, true));
        for zone in [Zone::UTC, Zone::of("Asia/Singapore"), Zone::of("America/St_Johns")] {
            let local = at.with_timezone(&zone);
            assert_eq!(moment(at, zone), local.format("%Y-%m-%d %H:%M").to_string());
            assert_eq!(day(at, zone), local.format("%Y-%m-%d").to_string());
        }
    }
}
