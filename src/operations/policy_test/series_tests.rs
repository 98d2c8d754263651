use std::collections::BTreeSet;

use super::*;

fn entry(yaml: &str) -> TestEntry {
    serde_yaml::from_str(yaml).unwrap()
}

fn at(text: &str) -> DateTime<Utc> {
    text.parse().unwrap()
}

/// When a series was begun, as the zone's clocks show it, the newest first.
fn walls(yaml: &str, now: &str, zone: Zone) -> Vec<String> {
    let members = members(&entry(yaml), at(now), zone).unwrap();
    let show = |member: &SeriesMember| zone.wall(member.begin).format("%Y-%m-%dT%H:%M").to_string();
    members.iter().map(show).collect()
}

#[test]
fn a_nightly_is_counted_back_from_the_last_one_before_the_moment() {
    let zone = Zone::of("Asia/Singapore");
    let found = walls("{every: 24h, at: \"19:00\", for: 400d}", "2026-12-31T19:00:00Z", zone);
    assert_eq!(found.len(), 400);
    assert_eq!(
        (found[0].as_str(), found[399].as_str()),
        ("2026-12-31T19:00", "2025-11-27T19:00")
    );
    // At the moment itself it is there.
    assert_eq!(
        walls("{every: 1d, at: \"03:00\", for: 1d}", "2026-12-31T19:00:00Z", zone),
        ["2027-01-01T03:00"]
    );
}

#[test]
fn a_change_of_clocks_moves_no_nightly_and_loses_none() {
    let zone = Zone::of("Europe/Berlin");
    for (now, day) in [
        ("2026-03-31T12:00:00Z", "2026-03-29"),
        ("2026-10-27T12:00:00Z", "2026-10-25"),
    ] {
        for time in ["19:00", "02:30"] {
            let found = walls(&format!("{{every: 24h, at: \"{time}\", for: 7d}}"), now, zone);
            assert_eq!(found.len(), 7, "{found:?}");
            let days: BTreeSet<&str> = found.iter().map(|wall| &wall[..10]).collect();
            assert_eq!(days.len(), 7, "{found:?}");
            let others = found.iter().filter(|wall| !wall.starts_with(day));
            assert!(others.into_iter().all(|wall| wall.ends_with(time)), "{found:?}");
        }
    }
    // An hour that is skipped gives no instant twice, one that is repeated leaves none out of order.
    for (now, count) in [("2026-03-29T22:00:00Z", 24), ("2026-10-25T23:00:00Z", 23)] {
        let hourly = members(&entry("{every: 1h, at: \"00:00\", for: 24h}"), at(now), zone).unwrap();
        assert_eq!(hourly.len(), count, "{hourly:?}");
        assert!(
            hourly.windows(2).all(|pair| pair[1].begin < pair[0].begin),
            "{hourly:?}"
        );
    }
}

#[test]
fn short_intervals_have_their_place_on_the_clock() {
    let found = walls("{every: 6h, at: \"01:00\", for: 1d}", "2026-06-10T20:00:00Z", Zone::UTC);
    assert_eq!(
        found,
        [
            "2026-06-10T19:00",
            "2026-06-10T13:00",
            "2026-06-10T07:00",
            "2026-06-10T01:00"
        ]
    );
}

#[test]
fn months_keep_their_day_where_they_have_it() {
    let found = walls(
        "{every: 1mo, at: \"00:00\", for: 4mo}",
        "2026-03-31T00:00:00Z",
        Zone::UTC,
    );
    assert_eq!(
        found,
        [
            "2026-03-31T00:00",
            "2026-02-28T00:00",
            "2026-01-31T00:00",
            "2025-12-31T00:00"
        ]
    );
}

#[test]
fn a_series_ends_where_it_is_said_to_and_never_after_the_moment() {
    let now = "2026-06-30T12:00:00Z";
    for (until, newest) in [
        ("2026-06-10", "2026-06-10T19:00"),
        ("2026-06-10T18:00:00Z", "2026-06-09T19:00"),
        ("10d", "2026-06-19T19:00"),
        ("2027-06-10", "2026-06-29T19:00"),
    ] {
        let found = walls(
            &format!("{{every: 24h, at: \"19:00\", for: 3d, until: {until}}}"),
            now,
            Zone::UTC,
        );
        assert_eq!((found.len(), found[0].as_str()), (3, newest), "{until}");
    }
}

#[test]
fn what_makes_no_sense_is_said() {
    for (yaml, says) in [
        ("{every: 24h}", "`every` and `for`"),
        ("{every: 5s, for: 1d}", "at least `1min`"),
        ("{every: 0s, for: 1d}", "at least `1min`"),
        ("{every: 1min, for: 1y}", "more than 100000 backups"),
        ("{every: 24h, at: \"19:00\", for: 1h}", "makes no backup"),
    ] {
        let why = members(&entry(yaml), at("2026-06-30T12:00:00Z"), Zone::UTC);
        let why = why.map(|members| members.len()).unwrap_err();
        assert!(why.contains(says), "{yaml}: {why}");
    }
}

#[test]
fn names_are_made_from_a_template() {
    let member = &members(
        &entry("{every: 1d, at: \"19:05\", for: 2d}"),
        at("2026-06-30T20:00:00Z"),
        Zone::UTC,
    )
    .unwrap()[1];
    let name = |template: &str| name(template, member, 2);
    assert_eq!(
        name("nightly_{date}_{time}-{n}!").unwrap(),
        "nightly_2026-06-29_1905-2!"
    );
    assert!(name("{day}").unwrap_err().contains("{date}"));
    assert!(name("{date").is_ok(), "an open brace at the end is forgiven");
}
