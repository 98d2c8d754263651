use std::sync::LazyLock;

use chrono::Timelike;

use super::*;

fn utc(text: &str) -> DateTime<Utc> {
    text.parse().unwrap()
}

fn next(pattern: &str, zone: Zone, after: &str) -> String {
    let next = Schedule::parse(pattern).unwrap().next_after(utc(after), zone).unwrap();
    next.format("%Y-%m-%dT%H:%M:%SZ").to_string()
}

static BERLIN: LazyLock<Zone> = LazyLock::new(|| Zone::of("Europe/Berlin"));

#[test]
fn ordinary_days() {
    assert_eq!(
        next("0 3 * * *", Zone::of("Asia/Singapore"), "2026-11-23T19:00:00Z"),
        "2026-11-24T19:00:00Z"
    );
    assert_eq!(
        next("0 3 * * *", Zone::of("Asia/Singapore"), "2026-11-23T18:59:59.5Z"),
        "2026-11-23T19:00:00Z"
    );
    assert_eq!(
        next("*/20 * * * * *", Zone::UTC, "2026-11-23T18:59:40Z"),
        "2026-11-23T19:00:00Z"
    );
    assert_eq!(
        next("@hourly", Zone::UTC, "2026-11-23T18:59:40Z"),
        "2026-11-23T19:00:00Z"
    );
    assert_eq!(next("@daily", *BERLIN, "2026-11-23T12:00:00Z"), "2026-11-23T23:00:00Z");
    assert_eq!(
        next("@weekly", Zone::UTC, "2026-11-23T00:00:00Z"),
        "2026-11-29T00:00:00Z"
    );
    assert_eq!(
        next("@monthly", Zone::UTC, "2026-11-23T00:00:00Z"),
        "2026-12-01T00:00:00Z"
    );
    assert_eq!(
        next("0 0 29 2 *", Zone::UTC, "2026-11-23T00:00:00Z"),
        "2028-02-29T00:00:00Z"
    );
    assert_eq!(
        next("0 0 L * *", Zone::UTC, "2026-11-23T00:00:00Z"),
        "2026-11-30T00:00:00Z"
    );
}

#[test]
fn either_day_field_may_match_as_in_unix() {
    // The 25th is a Wednesday, the 27th a Friday.
    assert_eq!(
        next("0 0 25 * FRI", Zone::UTC, "2026-11-23T00:00:00Z"),
        "2026-11-25T00:00:00Z"
    );
    assert_eq!(
        next("0 0 25 * FRI", Zone::UTC, "2026-11-25T00:00:00Z"),
        "2026-11-27T00:00:00Z"
    );
}

#[test]
fn a_fixed_time_in_a_skipped_hour_runs_once_right_after() {
    // 29 March 2026, 02:00 CET is 03:00 CEST, 01:00Z.
    assert_eq!(
        next("30 2 * * *", *BERLIN, "2026-03-28T12:00:00Z"),
        "2026-03-29T01:00:00Z"
    );
    assert_eq!(
        next("30 2 * * *", *BERLIN, "2026-03-29T01:00:00Z"),
        "2026-03-30T00:30:00Z"
    );
    // Two skipped times are one run.
    assert_eq!(
        next("15,45 2 * * *", *BERLIN, "2026-03-29T01:00:00Z"),
        "2026-03-30T00:15:00Z"
    );
    // Beirut skips midnight.
    assert_eq!(
        next("@daily", Zone::of("Asia/Beirut"), "2026-03-28T12:00:00Z"),
        "2026-03-28T22:00:00Z"
    );
    assert_eq!(
        next("@daily", Zone::of("Asia/Beirut"), "2026-03-28T22:00:00Z"),
        "2026-03-29T21:00:00Z"
    );
}

#[test]
fn a_fixed_time_in_a_repeated_hour_runs_once() {
    // 25 October 2026, 03:00 CEST is 02:00 CET, 01:00Z.
    assert_eq!(
        next("30 2 * * *", *BERLIN, "2026-10-24T12:00:00Z"),
        "2026-10-25T00:30:00Z"
    );
    assert_eq!(
        next("30 2 * * *", *BERLIN, "2026-10-25T00:30:00Z"),
        "2026-10-26T01:30:00Z"
    );
    assert_eq!(
        next("30 2 * * *", *BERLIN, "2026-10-25T01:10:00Z"),
        "2026-10-26T01:30:00Z"
    );
}

#[test]
fn a_pattern_for_every_hour_runs_in_both_passes_and_skips_what_is_not_there() {
    let mut at = utc("2026-10-24T23:30:00Z");
    let schedule = Schedule::parse("*/30 * * * *").unwrap();
    for _ in 0..6 {
        let due = schedule.next_after(at, *BERLIN).unwrap();
        assert_eq!(due - at, Duration::minutes(30));
        at = due;
    }
    assert_eq!(
        next("30 * * * *", *BERLIN, "2026-03-29T00:30:00Z"),
        "2026-03-29T01:30:00Z"
    );
    // The second pass of a fold at midnight, when the pattern is for that day only.
    assert_eq!(
        next("30 * 24 10 *", Zone::of("Asia/Beirut"), "2026-10-24T20:40:00Z"),
        "2026-10-24T21:30:00Z"
    );
}

#[test]
fn refusals_say_what_was_expected() {
    for (text, expected) in [
        ("0 0 31 2 *", "never comes"),
        ("0 0 30 2 *", "never comes"),
        ("0 0 31 4,6,9,11 *", "never comes"),
        ("0 0 31W 2 *", "never comes"),
        ("0 0 1-3 * +MON#2", "never comes"),
        ("0 3 * *", "this one has 4"),
        ("0 0 3 * * * *", "this one has 7"),
        ("", "this one has 0"),
        ("@dayly", "is no nickname"),
        ("@yearly", "is no nickname"),
        ("61 * * * *", "not a cron schedule"),
        ("0 24 * * *", "not a cron schedule"),
        ("ä * * * *", "not a cron schedule"),
        ("0 3 * * MONDAY", "not a cron schedule"),
        ("5-1 * * * *", "not a cron schedule"),
    ] {
        let message = Schedule::parse(text).unwrap_err().to_string();
        assert!(message.contains(expected), "{text}: {message}");
    }
}

type Matcher = fn(NaiveDateTime) -> bool;

/// The slow oracle: every minute of three days is looked at, on the instants' side, without asking what a wall-clock
/// time means. A minute is due when its wall clock matches and was not shown before (unless the pattern is for every
/// hour), or when the wall clock has just jumped over a match.
fn due_minutes(
    matches: &dyn Fn(NaiveDateTime) -> bool,
    every_hour: bool,
    from: DateTime<Utc>,
    zone: Zone,
) -> Vec<DateTime<Utc>> {
    let wall = |at: DateTime<Utc>| at.with_timezone(&zone).naive_local();
    let mut shown = std::collections::HashSet::new();
    let mut due = Vec::new();
    for minute in 0..3 * 24 * 60 {
        let at = from + Duration::minutes(minute);
        let mut jumped = wall(at - Duration::minutes(1)) + Duration::minutes(1);
        let mut has_jumped_over = false;
        while jumped < wall(at) {
            has_jumped_over |= matches(jumped);
            jumped += Duration::minutes(1);
        }
        let is_new = shown.insert(wall(at)) || every_hour;
        if (matches(wall(at)) && is_new) || (has_jumped_over && !every_hour) {
            due.push(at);
        }
    }
    due
}

#[test]
fn the_search_agrees_with_brute_force_around_every_kind_of_transition() {
    let transitions = [
        (*BERLIN, "2026-03-28T00:00:00Z"),
        (*BERLIN, "2026-10-24T00:00:00Z"),
        (Zone::of("America/New_York"), "2026-03-07T05:00:00Z"),
        (Zone::of("America/New_York"), "2026-10-31T05:00:00Z"),
        (Zone::of("Australia/Lord_Howe"), "2026-04-03T12:00:00Z"),
        (Zone::of("Australia/Lord_Howe"), "2026-10-02T12:00:00Z"),
        (Zone::of("Asia/Beirut"), "2026-03-28T00:00:00Z"),
        (Zone::of("Asia/Beirut"), "2026-10-24T00:00:00Z"),
        (Zone::of("Antarctica/Troll"), "2026-03-28T00:00:00Z"),
        (Zone::of("Antarctica/Troll"), "2026-10-24T00:00:00Z"),
        (Zone::of("Asia/Singapore"), "2026-10-24T00:00:00Z"),
    ];
    // Each pattern is written a second time, in Rust.
    let patterns: [(&str, Matcher); 9] = [
        ("30 2 * * *", |t| t.hour() == 2 && t.minute() == 30),
        ("0 0 * * *", |t| t.hour() == 0 && t.minute() == 0),
        ("15 2,3 * * *", |t| [2, 3].contains(&t.hour()) && t.minute() == 15),
        ("*/10 1-2 * * *", |t| [1, 2].contains(&t.hour()) && t.minute() % 10 == 0),
        ("45 */2 * * *", |t| t.hour() % 2 == 0 && t.minute() == 45),
        ("*/30 * * * *", |t| t.minute() % 30 == 0),
        ("7 * * * *", |t| t.minute() == 7),
        ("* * * * *", |_| true),
        ("59 23 * * *", |t| t.hour() == 23 && t.minute() == 59),
    ];
    let mut compared = 0;
    for (zone, from) in transitions {
        for (pattern, matches) in &patterns {
            let schedule = Schedule::parse(pattern).unwrap();
            let from = utc(from);
            let every_hour = pattern.split(' ').nth(1) == Some("*");
            let due = due_minutes(matches, every_hour, from, zone);
            // 37 and 1440 have no common divisor, so that all minutes of the hour are starting points.
            let mut start = from - Duration::seconds(1);
            while start < from + Duration::hours(46) {
                let expected = due.iter().find(|at| **at > start).copied();
                let found = schedule.next_after(start, zone);
                assert_eq!(found, expected, "{pattern} after {start} in {zone}");
                compared += 1;
                start += Duration::minutes(7) + Duration::seconds(20);
            }
        }
    }
    assert!(compared > 30_000);
}

#[test]
fn the_ends_of_the_calendar_are_no_panic() {
    let schedule = Schedule::parse("* * * * *").unwrap();
    for at in [
        DateTime::<Utc>::MIN_UTC,
        DateTime::<Utc>::MAX_UTC,
        utc("4998-12-31T23:59:59Z"),
    ] {
        let next = schedule.next_after(at, Zone::of("Pacific/Apia"));
        assert!(next.is_none_or(|next| next > at));
    }
}

#[test]
fn it_never_goes_back_and_never_stands_still() {
    for zone in [
        *BERLIN,
        Zone::of("Australia/Lord_Howe"),
        Zone::of("Pacific/Apia"),
        Zone::of("Africa/Casablanca"),
    ] {
        for pattern in ["*/15 * * * *", "30 2 * * *", "0 0 1 * *", "@hourly"] {
            let schedule = Schedule::parse(pattern).unwrap();
            let mut at = utc("2011-12-28T00:00:00Z");
            for _ in 0..300 {
                let due = schedule.next_after(at, zone).unwrap();
                assert!(due > at, "{pattern} {zone} {at}");
                at = due;
            }
        }
    }
}

#[test]
fn a_day_that_comes_is_accepted() {
    for text in [
        "0 0 31 2,3 *",
        "0 0 29 2 *",
        "0 0 31 2 MON",
        "0 0 L 2 *",
        "0 0 13 * +FRI",
        "0 0 * * MON#5",
    ] {
        let schedule = Schedule::parse(text).unwrap();
        assert!(
            schedule.next_after(utc("2026-11-23T00:00:00Z"), Zone::UTC).is_some(),
            "{text}"
        );
    }
}

#[test]
fn a_list_with_an_empty_item_is_refused() {
    // Found by fuzzing: croner reads `,` as a set of no hours, and the policy would never have run.
    for text in [
        "0 , * * *",
        ",0 3 * * *",
        "0 3, * * *",
        "0 3,,4 * * *",
        "0 0 1 JAN, *",
        "0 0 * * ,",
    ] {
        let why = Schedule::parse(text).unwrap_err();
        assert!(why.to_string().contains("empty item"), "{text}: {why}");
    }
    assert_eq!(
        next("0 3,15 * * *", Zone::UTC, "2026-11-23T12:00:00Z"),
        "2026-11-23T15:00:00Z"
    );
}

#[test]
fn the_longest_distance_between_two_ticks_is_found_among_any_number_of_them() {
    let around = "2026-11-23T03:00:00Z".parse().unwrap();
    let hours = |text: &str| {
        let distance = Schedule::parse(text).unwrap().longest_distance(Zone::UTC, around);
        assert!(distance.num_seconds() % 3600 < 2, "{text}: {distance}");
        distance.num_hours()
    };
    for (text, wanted) in [
        ("0 3 * * 1", 7 * 24),
        ("0 3 * * 1-5", 72),
        ("0 3 1,20 * *", 19 * 24),
        ("@monthly", 31 * 24),
        ("0 0 29 2 *", 1461 * 24),
        // Every second of a Monday, of a January.
        ("* * * * * 1", 6 * 24),
        ("* * * * 1 *", 335 * 24),
    ] {
        assert_eq!(hours(text), wanted, "{text}");
    }
    for text in ["* * * * * *", "@hourly", "@daily"] {
        assert!(hours(text) < 48, "{text}");
    }
}
