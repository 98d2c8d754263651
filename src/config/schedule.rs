//! When a policy runs: cron on the wall clock of its zone.
//!
//! `croner` reads the pattern and searches the *wall clock*, which knows no transitions; what a wall-clock time means on
//! the day the clocks change is decided here. (croner's own search across such a day has returned times in the past.)
//! A time that the zone skips runs once, right after the gap; a time that it repeats runs at its first pass. A pattern for every hour
//! needs neither: it skips what does not exist and runs in both passes.

use std::fmt;
use std::ops::Range;

use chrono::{DateTime, Datelike, Duration, LocalResult, NaiveDateTime, Offset, SubsecRound, TimeZone, Utc};
use croner::Cron;
use croner::parser::{CronParser, Seconds, Year};

use super::diagnostics::{nearest, one_of};
use super::yaml::clip;
use crate::retention::Zone;

/// How far the wall clock is searched around a transition. Zones jump by at most two hours in our days; one jump of a
/// whole day (Samoa, 2011) is past.
const AROUND: Duration = Duration::hours(3);

/// The years croner searches; beyond them, calendar arithmetic would run over.
const YEARS: Range<i32> = 2..4_999;

/// Ticks that are nearer to each other than two of these need not be distinguished by whoever asks for the longest distance.
const STEP: Duration = Duration::hours(28);
/// How far to look for the longest distance: a 29 February has its neighbours within it.
const YEARS_AROUND: Duration = Duration::days(5 * 366);

const NICKNAMES: [&str; 4] = ["@hourly", "@daily", "@weekly", "@monthly"];

/// A cron schedule: five fields, or six with seconds first, or a nickname. When both day fields are given, either may
/// match, as in Unix.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Schedule {
    text: String,
    cron: Cron,
    every_hour: bool,
}

/// Why a schedule was refused.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ScheduleError {
    message: String,
    hint: String,
}

impl ScheduleError {
    /// What to do about it.
    pub fn hint(&self) -> &str {
        &self.hint
    }
}

impl fmt::Display for ScheduleError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for ScheduleError {}

fn unreadable<T>(message: String, hint: &str) -> Result<T, ScheduleError> {
    Err(ScheduleError {
        message,
        hint: hint.to_owned(),
    })
}

impl Schedule {
    /// Reads a schedule and makes sure that it ever comes due.
    pub fn parse(text: &str) -> Result<Self, ScheduleError> {
        let text = text.trim();
        Self::check_fields(text)?;
        let parser = CronParser::builder()
            .seconds(Seconds::Optional)
            .year(Year::Disallowed)
            .dom_and_dow(false)
            .build();
        let cron = match parser.parse(text) {
            Ok(cron) => cron,
            Err(why) => {
                return unreadable(
                    format!(
                        "`{}` is not a cron schedule: {}",
                        clip(text),
                        in_our_words(&why.to_string())
                    ),
                    "minute 0-59, hour 0-23, day of month 1-31, month 1-12, day of week 0-7; as \"0 3 * * *\" for 03:00 every day",
                );
            }
        };
        if !is_ever_due(&cron) {
            return unreadable(
                format!("`{}` is a date that never comes", clip(text)),
                "no such day exists in that month; for the last day of a month write `L`",
            );
        }
        let every_hour = cron.pattern.hours.values().len() == 24;
        Ok(Self {
            text: text.to_owned(),
            cron,
            every_hour,
        })
    }

    /// Refuses what croner takes for something else.
    fn check_fields(text: &str) -> Result<(), ScheduleError> {
        if text.starts_with('@') && !NICKNAMES.contains(&text) {
            let hint = match nearest(text, NICKNAMES) {
                Some(near) => format!("did you mean `{near}`?"),
                None => "or write five fields: minute hour day-of-month month day-of-week".to_owned(),
            };
            return unreadable(
                format!("`{}` is no nickname; known are {}", clip(text), one_of(NICKNAMES)),
                &hint,
            );
        }
        let fields = text.split_whitespace().count();
        if !text.starts_with('@') && !(5..=6).contains(&fields) {
            return unreadable(
                format!("a schedule has 5 fields, or 6 with seconds first; this one has {fields}"),
                "minute hour day-of-month month day-of-week, as \"0 3 * * *\" for 03:00 every day",
            );
        }
        // croner looks at letters, not at fields, for names of days and months: anything beyond ASCII is noise.
        if !text.is_ascii() || text.len() > 256 {
            return unreadable(
                format!("`{}` is not a cron schedule", clip(text)),
                "minute hour day-of-month month day-of-week, as \"0 3 * * *\" for 03:00 every day",
            );
        }
        // croner takes an empty item for no time at all: `0 , * * *` would never come due, and take seconds to find that out.
        if text
            .split_whitespace()
            .flat_map(|field| field.split(','))
            .any(str::is_empty)
        {
            return unreadable(
                format!("`{}` is not a cron schedule: a list has an empty item", clip(text)),
                "write the items of a list with one comma between them, as \"0 3,15 * * *\"",
            );
        }
        Ok(())
    }

    /// As it was written.
    pub fn text(&self) -> &str {
        &self.text
    }

    /// The first time it is due after `after`, in the zone; always later than `after`. `None` when there is none before
    /// the end of the calendar.
    pub fn next_after(&self, after: DateTime<Utc>, zone: Zone) -> Option<DateTime<Utc>> {
        if !YEARS.contains(&after.year()) {
            return None;
        }
        let after = after.trunc_subsecs(0);
        let wall = after.with_timezone(&zone).naive_local();
        if let Some(plain) = self.next_on_a_plain_stretch(after, wall, zone) {
            return Some(plain);
        }
        // The clocks change near by: all wall-clock times around are translated, and the earliest one that is still to
        // come wins.
        let mut cursor = wall.checked_sub_signed(AROUND)?;
        let mut inclusive = true;
        let mut best: Option<DateTime<Utc>> = None;
        loop {
            let Some(due) = self.cron.find_next_occurrence(&cursor, inclusive).ok() else {
                return best;
            };
            let beyond = |best: DateTime<Utc>| due > best.with_timezone(&zone).naive_local() + AROUND;
            if best.is_some_and(beyond) {
                return best;
            }
            for instant in self.instants(due, zone).into_iter().flatten() {
                if instant > after && best.is_none_or(|best| instant < best) {
                    best = Some(instant);
                }
            }
            (cursor, inclusive) = (due, false);
        }
    }

    /// The longest distance between two ticks near `around`; where it is shorter than two days, any that is.
    ///
    /// It looks for distances in which a whole step fits, and for where they begin: a schedule of every second has too many
    /// ticks to look at each.
    pub fn longest_distance(&self, zone: Zone, around: DateTime<Utc>) -> Duration {
        let (mut cursor, end) = (around - YEARS_AROUND, around + YEARS_AROUND);
        let mut longest = Duration::zero();
        // A tick, or where the search began.
        let mut last = cursor;
        while cursor < end
            && let Some(next) = self.next_after(cursor, zone)
        {
            if next - cursor < STEP {
                cursor += STEP;
            } else {
                if next - last > longest {
                    longest = longest.max(next - self.last_until(last, cursor, zone));
                }
                cursor = next;
            }
            last = next;
        }
        longest
    }

    /// The last tick at `end` or before it, `first` being before it. Searched by halves.
    fn last_until(&self, first: DateTime<Utc>, end: DateTime<Utc>, zone: Zone) -> DateTime<Utc> {
        let (mut last, mut until) = (first, end);
        while last < until {
            let middle = last + (until - last) / 2;
            match self.next_after(middle, zone).filter(|tick| *tick <= end) {
                Some(tick) => last = tick,
                None => until = middle.trunc_subsecs(0).min(until - Duration::seconds(1)),
            }
        }
        last
    }

    /// Whether the zone's wall clock shows a time of the schedule at that moment: what fuzzing checks the search by.
    #[cfg(any(test, fuzzing))]
    pub(super) fn is_on_wall_clock(&self, at: DateTime<Utc>, zone: Zone) -> bool {
        let wall = at.with_timezone(&zone).naive_local();
        self.cron.is_time_matching(&wall).unwrap_or(false)
    }

    /// The ordinary case, without a transition between `after` and the next time it is due.
    fn next_on_a_plain_stretch(&self, after: DateTime<Utc>, wall: NaiveDateTime, zone: Zone) -> Option<DateTime<Utc>> {
        let offset = |at: DateTime<Utc>| zone.offset_from_utc_datetime(&at.naive_utc()).fix();
        let due = self.cron.find_next_occurrence(&wall, false).ok()?;
        let due = zone.from_local_datetime(&due).single()?.to_utc();
        // Transitions amid the stretch do not matter, as nothing is due there; those near its ends do.
        let ends = [
            after.checked_sub_signed(AROUND)?,
            after.checked_add_signed(AROUND)?,
            due,
            due.checked_add_signed(AROUND)?,
        ];
        (due > after && ends.iter().all(|at| offset(*at) == offset(after))).then_some(due)
    }

    /// The instants that a wall-clock time means.
    fn instants(&self, wall: NaiveDateTime, zone: Zone) -> [Option<DateTime<Utc>>; 2] {
        match zone.from_local_datetime(&wall) {
            LocalResult::Single(at) => [Some(at.to_utc()), None],
            LocalResult::Ambiguous(a, b) => {
                let (first, second) = (a.to_utc().min(b.to_utc()), a.to_utc().max(b.to_utc()));
                [Some(first), self.every_hour.then_some(second)]
            }
            LocalResult::None if self.every_hour => [None, None],
            LocalResult::None => [end_of_gap(wall, zone), None],
        }
    }
}

/// Whether there is a day that matches at all: `0 0 31 2 *` parses, too.
fn is_ever_due(cron: &Cron) -> bool {
    let pattern = &cron.pattern;
    let has_modifiers = pattern.days.has_modifiers() || pattern.days_of_week.has_modifiers();
    if has_modifiers || pattern.matches_dom_and_dow() {
        // The calendar repeats, so one search from anywhere settles it; it takes long when there is none.
        return cron.find_next_occurrence(&NaiveDateTime::default(), true).is_ok();
    }
    // Either day field may match, and every month has every weekday.
    if !pattern.is_dow_wildcard() {
        return true;
    }
    let longest = |month: u16| match month {
        2 => 29,
        4 | 6 | 9 | 11 => 30,
        _ => 31,
    };
    let days = pattern.days.values();
    let first = days.iter().min().copied().unwrap_or(u16::MAX);
    pattern.months.values().iter().any(|month| first <= longest(*month))
}

/// The first instant after the gap in which `wall` lies.
fn end_of_gap(wall: NaiveDateTime, zone: Zone) -> Option<DateTime<Utc>> {
    // Under the offset before the gap the wall time lies after the transition, under the one after it before.
    let wall_utc = wall.and_utc();
    let offset = |at: DateTime<Utc>| zone.offset_from_utc_datetime(&at.naive_utc()).fix();
    let (mut low, mut high) = (
        wall_utc.checked_sub_signed(Duration::hours(40))?.timestamp(),
        wall_utc.checked_add_signed(Duration::hours(40))?.timestamp(),
    );
    let at = |seconds: i64| DateTime::from_timestamp(seconds, 0);
    let before = offset(at(low)?);
    while high - low > 1 {
        let middle = low + (high - low) / 2;
        if offset(at(middle)?) == before {
            low = middle;
        } else {
            high = middle;
        }
    }
    at(high)
}

/// croner's sentences name its types.
fn in_our_words(why: &str) -> String {
    let why = why
        .trim_start_matches("Component error: ")
        .trim_start_matches("Invalid pattern: ")
        .trim_start_matches("Pattern contains illegal characters: ")
        .trim_start_matches("CronPattern contains ")
        .trim_end_matches('.');
    let mut letters = why.chars();
    let first = letters.next().map(|c| c.to_ascii_lowercase());
    // Pattern and message are short and ASCII by now.
    first.into_iter().chain(letters).collect()
}

#[cfg(test)]
mod tests;
