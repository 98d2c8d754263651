//! Moments, and how long something takes or is away.

use std::fmt::Write as _;

use chrono::{DateTime, Datelike, NaiveDateTime, SecondsFormat, TimeDelta, Timelike, Utc};

use crate::retention::Zone;

/// A length of time in its largest unit: `45min`, `7h`, `412d`; cut, not rounded.
pub fn length(span: TimeDelta) -> String {
    match span {
        span if span < TimeDelta::minutes(1) => format!("{}s", span.num_seconds()),
        span if span < TimeDelta::hours(1) => format!("{}min", span.num_minutes()),
        span if span < TimeDelta::hours(48) => format!("{}h", span.num_hours()),
        span => format!("{}d", span.num_days()),
    }
}

/// An interval in the largest unit that loses nothing but seconds: `24h`, `90min`, `7d`.
pub fn interval(of: TimeDelta) -> String {
    if of.num_hours() >= 48 && of == TimeDelta::days(of.num_days()) {
        format!("{}d", of.num_days())
    } else if of.num_hours() >= 1 && of == TimeDelta::hours(of.num_hours()) {
        format!("{}h", of.num_hours())
    } else {
        format!("{}min", of.num_minutes())
    }
}

/// An age for a column that says what it is: `45min`, `7h`, `412d`; `in 3d` for what is ahead.
pub fn age(at: DateTime<Utc>, now: DateTime<Utc>) -> String {
    let ago = now.signed_duration_since(at);
    if ago < TimeDelta::zero() {
        format!("in {}", length(-ago))
    } else {
        length(ago)
    }
}

/// How far away a moment is: `7h ago`, `in 3d`, `just now`.
pub fn distance(at: DateTime<Utc>, now: DateTime<Utc>) -> String {
    let ago = now.signed_duration_since(at);
    match ago {
        _ if ago.abs() >= TimeDelta::minutes(1) && ago < TimeDelta::zero() => format!("in {}", length(-ago)),
        _ if ago.abs() >= TimeDelta::minutes(1) => format!("{} ago", length(ago)),
        _ if ago < TimeDelta::zero() => "in a moment".to_owned(),
        _ => "just now".to_owned(),
    }
}

/// A day on a zone's calendar.
pub fn day(at: DateTime<Utc>, zone: Zone) -> String {
    let wall = zone.wall(at);
    let mut text = String::with_capacity(10);
    push_day(&mut text, wall);
    text
}

/// A moment on a zone's wall clock, to the minute.
pub fn moment(at: DateTime<Utc>, zone: Zone) -> String {
    let wall = zone.wall(at);
    let mut text = String::with_capacity(16);
    push_day(&mut text, wall);
    text.push(' ');
    push_two(&mut text, wall.hour());
    text.push(':');
    push_two(&mut text, wall.minute());
    text
}

/// A moment on a zone's wall clock, with the zone.
pub fn zoned(at: DateTime<Utc>, zone: Zone) -> String {
    format!("{} {}", moment(at, zone), zone.name())
}

/// A day on a zone's calendar, with the zone.
pub fn day_zoned(at: DateTime<Utc>, zone: Zone) -> String {
    format!("{} {}", day(at, zone), zone.name())
}

/// The zone in which a list that concerns several policies shows its times: theirs where they share one, else UTC.
pub fn common_zone(zones: impl IntoIterator<Item = Zone>) -> Zone {
    let mut zones = zones.into_iter();
    let first = zones.next().unwrap_or(Zone::UTC);
    if zones.all(|zone| zone == first) {
        first
    } else {
        Zone::UTC
    }
}

/// Until when something lasts, in words that follow it: `through 2026-12-03` where it ends with a day, else `until` a moment.
pub fn until(at: DateTime<Utc>, zone: Zone) -> String {
    let ends_with_day = |zone: Zone| {
        let wall = zone.wall(at);
        (wall.num_seconds_from_midnight() == 0 && wall.nanosecond() == 0).then(|| day(at - TimeDelta::seconds(1), zone))
    };
    match (ends_with_day(zone), ends_with_day(Zone::UTC)) {
        (Some(day), _) => format!("through {day} {}", zone.name()),
        (None, Some(day)) => format!("through {day} UTC"),
        (None, None) => format!("until {}", zoned(at, zone)),
    }
}

/// A moment in UTC to the second, as machines and the API write it.
pub fn timestamp(at: DateTime<Utc>) -> String {
    let wall = at.naive_utc();
    if !(0..=9999).contains(&wall.year()) || wall.nanosecond() >= 1_000_000_000 {
        return at.to_rfc3339_opts(SecondsFormat::Secs, true);
    }
    let mut text = String::with_capacity(20);
    push_day(&mut text, wall);
    for (before, part) in [('T', wall.hour()), (':', wall.minute()), (':', wall.second())] {
        text.push(before);
        push_two(&mut text, part);
    }
    text.push('Z');
    text
}

/// By hand: a report may have a million rows, and chrono's formatting language would cost as much as all the rest of a row.
fn push_day(text: &mut String, wall: NaiveDateTime) {
    match u32::try_from(wall.year()) {
        Ok(year) if year <= 9999 => {
            push_two(text, year / 100);
            push_two(text, year % 100);
        }
        // As chrono writes them: with a sign.
        _ => {
            let _ = write!(text, "{}", wall.format("%Y"));
        }
    }
    for part in [wall.month(), wall.day()] {
        text.push('-');
        push_two(text, part);
    }
}

/// Two digits of a number below 100.
fn push_two(text: &mut String, number: u32) {
    for digit in [number / 10 % 10, number % 10] {
        text.push(char::from_digit(digit, 10).unwrap_or('?'));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(text: &str) -> DateTime<Utc> {
        text.parse().unwrap()
    }

    #[test]
    fn ages_and_distances_grow_from_seconds_to_days() {
        let now = at("2026-11-23T03:00:00Z");
        for (begin, age_text, distance_text) in [
            ("2026-11-23T02:59:30Z", "30s", "just now"),
            ("2026-11-23T02:15:00Z", "45min", "45min ago"),
            ("2026-11-22T20:00:00Z", "7h", "7h ago"),
            ("2026-11-21T03:00:00Z", "2d", "2d ago"),
            ("2025-10-07T03:00:00Z", "412d", "412d ago"),
            ("2026-11-26T04:00:00Z", "in 3d", "in 3d"),
            ("2026-11-23T03:00:59Z", "in 59s", "in a moment"),
        ] {
            assert_eq!(
                [age(at(begin), now), distance(at(begin), now)],
                [age_text, distance_text]
            );
        }
    }

    #[test]
    fn intervals_are_exact() {
        let intervals = [TimeDelta::hours(24), TimeDelta::days(7), TimeDelta::minutes(90)].map(interval);
        assert_eq!(intervals, ["24h", "7d", "90min"]);
    }

    #[test]
    fn moments_are_on_the_zones_wall_clock() {
        let singapore = Zone::of("Asia/Singapore");
        assert_eq!(moment(at("2026-10-01T19:05:59Z"), singapore), "2026-10-02 03:05");
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
}
