//! Backups that a test has made: `{every: 24h, at: "19:00", for: 400d, name: "nightly_{date}"}`.
//!
//! Steps are taken on the wall clock of the policy's zone, as a scheduler takes them, and each is then the instant that clock means: a
//! night with a change of clocks still has its backup at 19:00.

use chrono::{DateTime, Days, NaiveDateTime, NaiveTime, TimeDelta, Utc};

use crate::config::policy_test::{DayOrMoment, SeriesEnd, TestEntry};
use crate::retention::span::earliest;
use crate::retention::{Span, Zone};

/// As many as one test may make: more are a slip, and take memory.
const MOST: usize = 100_000;
const MINUTE: u64 = 60;
const DAY: u64 = 86_400;

/// One backup of a series.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct SeriesMember {
    pub(super) begin: DateTime<Utc>,
    pub(super) wall: NaiveDateTime,
}

/// The backups of a series, the newest first.
pub(super) fn members(entry: &TestEntry, now: DateTime<Utc>, zone: Zone) -> Result<Vec<SeriesMember>, String> {
    let (Some(every), Some(reach)) = (entry.every, entry.reach) else {
        return Err("a made series needs `every` and `for`, as {every: 24h, for: 400d}".to_owned());
    };
    if every.approximate_seconds() < MINUTE {
        return Err("`every` must be at least `1min`".to_owned());
    }
    let beyond = || "it reaches beyond the calendar".to_owned();
    let end = end(entry.until, now, zone).ok_or_else(beyond)?;
    let edge = reach.before(end, zone).ok_or_else(beyond)?;
    let time = entry.at.unwrap_or_else(|| zone.wall(now).time());
    let newest = newest(zone.wall(end), time, every).ok_or_else(beyond)?;
    let mut members: Vec<SeriesMember> = Vec::new();
    for nth in 0.. {
        let Some(wall) = step_back(newest, every, nth) else {
            break;
        };
        let Some(begin) = earliest(zone, wall).filter(|begin| *begin > edge) else {
            break;
        };
        // A wall-clock time that the zone skips may mean the instant of another one.
        if begin <= end && members.last().is_none_or(|later| begin < later.begin) {
            members.push(SeriesMember { begin, wall });
        }
        if members.len() > MOST {
            return Err(format!(
                "it makes more than {MOST} backups; make `every` longer or `for` shorter"
            ));
        }
    }
    if members.is_empty() {
        return Err("it makes no backup: `for` is shorter than the time since the newest".to_owned());
    }
    Ok(members)
}

/// The last moment at which the series may have a backup: never later than the test's own.
fn end(until: Option<SeriesEnd>, now: DateTime<Utc>, zone: Zone) -> Option<DateTime<Utc>> {
    let until = match until {
        None => now,
        Some(SeriesEnd::Before(span)) => span.before(now, zone)?,
        Some(SeriesEnd::On(DayOrMoment::Moment(at))) => at,
        Some(SeriesEnd::On(DayOrMoment::Day(day))) => {
            let midnight = day.checked_add_days(Days::new(1))?.and_time(NaiveTime::MIN);
            earliest(zone, midnight)?.checked_sub_signed(TimeDelta::seconds(1))?
        }
    };
    Some(until.min(now))
}

/// The newest wall-clock time of the series: that time of day, or for short intervals a later one of the same day.
fn newest(end: NaiveDateTime, time: NaiveTime, every: Span) -> Option<NaiveDateTime> {
    let today = end.date().and_time(time);
    let mut newest = if today <= end {
        today
    } else {
        today.checked_sub_days(Days::new(1))?
    };
    let seconds = every.approximate_seconds();
    if seconds < DAY {
        let interval = TimeDelta::seconds(i64::try_from(seconds).ok()?);
        while newest.checked_add_signed(interval)? <= end {
            newest += interval;
        }
    }
    Some(newest)
}

/// Counted from the newest each time, so that the 31st stays the 31st where a month has one. On the wall clock an hour is an hour: UTC
/// has no changes.
fn step_back(newest: NaiveDateTime, every: Span, nth: u32) -> Option<NaiveDateTime> {
    let earlier = every.times(nth)?.before(newest.and_utc(), Zone::UTC)?;
    Some(earlier.naive_utc())
}

/// The name of one, from its template.
pub(super) fn name(template: &str, member: &SeriesMember, number: usize) -> Result<String, String> {
    let mut name = String::new();
    let mut rest = template;
    while let Some((before, after)) = rest.split_once('{') {
        name.push_str(before);
        let (placeholder, tail) = after.split_once('}').unwrap_or((after, ""));
        match placeholder {
            "date" => name.push_str(&member.wall.format("%Y-%m-%d").to_string()),
            "time" => name.push_str(&member.wall.format("%H%M").to_string()),
            "n" => name.push_str(&number.to_string()),
            other => {
                return Err(format!(
                    "`{{{other}}}` is no placeholder of a name; there are {{date}}, {{time}} and {{n}}"
                ));
            }
        }
        rest = tail;
    }
    name.push_str(rest);
    Ok(name)
}

#[cfg(test)]
#[path = "series_tests.rs"]
mod tests;
