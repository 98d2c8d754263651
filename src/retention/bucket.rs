//! Calendar buckets as typed keys.
//!
//! Two backups share a bucket exactly when their keys are equal. There is no "same month?" predicate to copy wrongly
//! (rustic compared half-years for minutes), and a week can never take a month's slot (kopia#2964).

use chrono::{DateTime, Datelike, NaiveDateTime, Timelike, Utc};

use super::Zone;
use super::policy::Period;

/// One hour, day, week, month, quarter or year in some zone.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Bucket {
    /// The instant at which the hour begins, in Unix seconds. An instant and not a wall-clock hour, so that a repeated
    /// hour is two buckets.
    Hour(i64),
    /// A civil day, counted from the first of January of year 1.
    Day(i32),
    /// An ISO 8601 week: the year is the week's own, which differs from the calendar's around New Year (restic#2233).
    Week(i32, u32),
    /// A civil month.
    Month(i32, u32),
    /// A civil quarter, 1 to 4.
    Quarter(i32, u32),
    /// A civil year.
    Year(i32),
}

impl Bucket {
    /// The bucket of that period in which an instant lies; `wall` is the zone's wall clock at that instant.
    pub fn of(period: Period, instant: DateTime<Utc>, wall: &NaiveDateTime) -> Self {
        match period {
            Period::Hour => {
                // Cut on the wall clock, so that a half-hour zone's hours begin on its own full hours.
                Self::Hour(instant.timestamp() - i64::from(wall.minute() * 60 + wall.second()))
            }
            Period::Day => Self::Day(wall.num_days_from_ce()),
            Period::Week => {
                let week = wall.iso_week();
                Self::Week(week.year(), week.week())
            }
            Period::Month => Self::Month(wall.year(), wall.month()),
            Period::Quarter => Self::Quarter(wall.year(), wall.quarter()),
            Period::Year => Self::Year(wall.year()),
        }
    }
}

/// Whether in that zone every hour lies within one day. Where clocks go back across midnight by an odd time, an hour's first
/// part is of the next day and its second of the day before: St John's did so, at one past midnight.
pub fn hours_lie_within_days(zone: Zone) -> bool {
    zone.changes().all(|change| {
        let around = [change.checked_sub(1), Some(change)];
        let seen = around.map(|at| {
            let at = DateTime::from_timestamp(at?, 0)?;
            let wall = zone.wall(at);
            Some((Bucket::of(Period::Hour, at, &wall), Bucket::of(Period::Day, at, &wall)))
        });
        match seen {
            [Some((hour, day)), Some((next_hour, next_day))] => hour != next_hour || day == next_day,
            _ => false,
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bucket(period: Period, zone: Zone, at: &str) -> Bucket {
        let at: DateTime<Utc> = at.parse().unwrap();
        Bucket::of(period, at, &at.with_timezone(&zone).naive_local())
    }

    #[test]
    fn a_repeated_hour_is_two_buckets() {
        let first = bucket(Period::Hour, Zone::of("Europe/Berlin"), "2026-10-25T00:15:00Z");
        assert_eq!(
            first,
            bucket(Period::Hour, Zone::of("Europe/Berlin"), "2026-10-25T00:59:59Z")
        );
        assert_ne!(
            first,
            bucket(Period::Hour, Zone::of("Europe/Berlin"), "2026-10-25T01:15:00Z")
        );
    }

    #[test]
    fn hours_of_half_hour_zones_begin_on_their_own_full_hours() {
        let kolkata = Zone::of("Asia/Kolkata");
        assert_eq!(
            bucket(Period::Hour, kolkata, "2026-01-01T00:30:00Z"),
            bucket(Period::Hour, kolkata, "2026-01-01T01:29:59Z")
        );
        assert_ne!(
            bucket(Period::Hour, kolkata, "2026-01-01T00:29:59Z"),
            bucket(Period::Hour, kolkata, "2026-01-01T00:30:00Z")
        );
    }

    #[test]
    fn an_hour_of_two_days_is_known() {
        assert!(hours_lie_within_days(Zone::UTC) && hours_lie_within_days(Zone::of("Australia/Lord_Howe")));
        let st_johns = Zone::of("America/St_Johns");
        assert!(!hours_lie_within_days(st_johns));
        // 2010-11-07, first pass of 00:00:30, and 23:30 of the day before, an hour later.
        let (first, second) = ("2010-11-07T02:30:30Z", "2010-11-07T03:00:00Z");
        let same = |period| bucket(period, st_johns, first) == bucket(period, st_johns, second);
        assert!(same(Period::Hour) && !same(Period::Day));
    }

    #[test]
    fn iso_weeks_carry_their_own_year() {
        // 1 January 2027 is a Friday of week 53 of 2026.
        assert_eq!(
            bucket(Period::Week, Zone::UTC, "2027-01-01T12:00:00Z"),
            Bucket::Week(2026, 53)
        );
        assert_eq!(
            bucket(Period::Week, Zone::UTC, "2025-12-29T12:00:00Z"),
            Bucket::Week(2026, 1)
        );
    }

    #[test]
    fn days_follow_the_zone() {
        let sg = Zone::of("Asia/Singapore");
        assert_ne!(
            bucket(Period::Day, sg, "2026-01-01T15:59:59Z"),
            bucket(Period::Day, sg, "2026-01-01T16:00:00Z")
        );
        assert_eq!(
            bucket(Period::Quarter, sg, "2026-03-31T16:00:00Z"),
            Bucket::Quarter(2026, 2)
        );
        assert_eq!(bucket(Period::Year, sg, "2026-12-31T16:00:00Z"), Bucket::Year(2027));
        assert_eq!(
            bucket(Period::Month, sg, "2026-01-31T16:00:00Z"),
            Bucket::Month(2026, 2)
        );
    }
}
