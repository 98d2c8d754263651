//! Calendar durations: `3d`, `1y6mo`, `36h`.
//!
//! A span is subtracted in three steps, each in its own arithmetic: years and months as calendar units that clamp
//! (31 March less one month is the last of February), then weeks and days as civil days, both on the zone's wall clock,
//! then hours, minutes and seconds as exact time. Every doubt is settled so that the result is earlier, which keeps more.

use std::fmt::{self, Write as _};

use super::Zone;
use chrono::{
    DateTime, Days, LocalResult, Months, NaiveDate, NaiveDateTime, NaiveTime, Offset, TimeDelta, TimeZone, Utc,
};
use serde::{Deserialize, Serialize};

/// A duration in calendar units. Equal spans are written equally: `12mo` and `1y` differ.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Span {
    years: u32,
    months: u32,
    weeks: u32,
    days: u32,
    hours: u32,
    minutes: u32,
    seconds: u32,
}

/// Why a span could not be read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SpanError {
    /// Nothing there.
    Empty,
    /// A bare `m`, which could mean minutes or months.
    AmbiguousM,
    /// A number without a unit.
    NoUnit(String),
    /// An unknown unit.
    UnknownUnit(String),
    /// A letter where a number should begin.
    NoNumber(String),
    /// A smaller unit before a larger one, or one twice.
    Order(&'static str),
    /// More than ten thousand years, or its like.
    TooLarge,
}

impl fmt::Display for SpanError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Empty => write!(f, "the duration is empty; write for example `3d`, `12h` or `1y6mo`"),
            Self::AmbiguousM => write!(f, "`m` is ambiguous: write `min` for minutes or `mo` for months"),
            Self::NoUnit(number) => write!(f, "`{number}` has no unit; use one of s, min, h, d, w, mo, y"),
            Self::UnknownUnit(unit) => write!(f, "`{unit}` is no unit; use one of s, min, h, d, w, mo, y"),
            Self::NoNumber(text) => write!(
                f,
                "expected a whole number at `{text}`; write for example `3d` or `1y6mo`"
            ),
            Self::Order(unit) => write!(
                f,
                "`{unit}` is out of order: units are combined largest first, each once, as in `1y6mo2w`"
            ),
            Self::TooLarge => write!(f, "the duration is too large; at most ten thousand years"),
        }
    }
}

impl std::error::Error for SpanError {}

/// Units from the largest, with the most of each that ten thousand years hold.
const UNITS: [(&str, u64); 7] = [
    ("y", 10_000),
    ("mo", 120_000),
    ("w", 521_775),
    ("d", 3_652_425),
    ("h", 87_658_200),
    ("min", u32::MAX as u64),
    ("s", u32::MAX as u64),
];

impl Span {
    /// The empty duration.
    pub const ZERO: Self = Self {
        years: 0,
        months: 0,
        weeks: 0,
        days: 0,
        hours: 0,
        minutes: 0,
        seconds: 0,
    };

    /// So many civil days.
    pub const fn days(days: u32) -> Self {
        Self { days, ..Self::ZERO }
    }

    /// So many exact hours.
    pub const fn hours(hours: u32) -> Self {
        Self { hours, ..Self::ZERO }
    }

    /// This many times as long, unit by unit; `None` where a unit cannot hold it.
    pub fn times(self, factor: u32) -> Option<Self> {
        Some(Self {
            years: self.years.checked_mul(factor)?,
            months: self.months.checked_mul(factor)?,
            weeks: self.weeks.checked_mul(factor)?,
            days: self.days.checked_mul(factor)?,
            hours: self.hours.checked_mul(factor)?,
            minutes: self.minutes.checked_mul(factor)?,
            seconds: self.seconds.checked_mul(factor)?,
        })
    }

    /// Reads `1y6mo`; units largest first, each at most once.
    pub fn parse(text: &str) -> Result<Self, SpanError> {
        if text.is_empty() {
            return Err(SpanError::Empty);
        }
        let mut amounts = [0u32; UNITS.len()];
        let mut next_unit = 0;
        let mut rest = text;
        while !rest.is_empty() {
            let digits = rest.len() - rest.trim_start_matches(|c: char| c.is_ascii_digit()).len();
            if digits == 0 {
                return Err(SpanError::NoNumber(excerpt(rest)));
            }
            let (number, tail) = rest.split_at(digits);
            let letters = tail.len() - tail.trim_start_matches(|c: char| c.is_alphabetic()).len();
            let (unit, tail) = tail.split_at(letters);
            let place = match (unit, UNITS.iter().position(|(name, _)| *name == unit)) {
                (_, Some(place)) => place,
                ("m", None) => return Err(SpanError::AmbiguousM),
                ("", None) if tail.is_empty() => return Err(SpanError::NoUnit(number.to_owned())),
                ("", None) => return Err(SpanError::UnknownUnit(excerpt(tail))),
                (_, None) => return Err(SpanError::UnknownUnit(excerpt(unit))),
            };
            let (name, most) = UNITS[place];
            if place < next_unit {
                return Err(SpanError::Order(name));
            }
            let amount: u64 = number.parse().map_err(|_| SpanError::TooLarge)?;
            if amount > most {
                return Err(SpanError::TooLarge);
            }
            amounts[place] = u32::try_from(amount).map_err(|_| SpanError::TooLarge)?;
            next_unit = place + 1;
            rest = tail;
        }
        let [years, months, weeks, days, hours, minutes, seconds] = amounts;
        Ok(Self {
            years,
            months,
            weeks,
            days,
            hours,
            minutes,
            seconds,
        })
    }

    /// Whether it is no time at all.
    pub fn is_zero(&self) -> bool {
        *self == Self::ZERO
    }

    /// Roughly how long it is, for lints, jitter and sorting; never for a decision. Months are 30.44 days.
    pub fn approximate_seconds(&self) -> u64 {
        let days = u64::from(self.weeks) * 7 + u64::from(self.days);
        u64::from(self.years) * 31_556_952
            + u64::from(self.months) * 2_629_746
            + days * 86_400
            + u64::from(self.hours) * 3_600
            + u64::from(self.minutes) * 60
            + u64::from(self.seconds)
    }

    /// Whether, in every zone and at every moment, it reaches no further back than the other: where this one keeps, the other
    /// one does. `30d` and `1mo` are neither within the other; where that is unknown, it is not.
    pub fn is_within(&self, other: &Self) -> bool {
        let (Some(own), Some(others)) = (self.civil(), other.civil()) else {
            return false;
        };
        let back =
            |day: NaiveDate, (months, days): (Months, Days)| day.checked_sub_months(months)?.checked_sub_days(days);
        // The calendar repeats itself after 400 years, and up to the 28th no day is clamped: the first stands for them.
        let months = (2_000..2_400).flat_map(|year| (1..=12).map(move |month| (year, month)));
        let mut days = months.flat_map(|(year, month)| {
            [1, 29, 30, 31]
                .into_iter()
                .filter_map(move |day| NaiveDate::from_ymd_opt(year, month, day))
        });
        days.all(|day| match (back(day, own), back(day, others)) {
            // Before the beginning of time everything is kept.
            (_, None) => true,
            (None, Some(_)) => false,
            (Some(own), Some(others)) => {
                // A zone may leave out a whole day.
                let ahead = (own - others).num_days();
                ahead >= 0 && self.exact() - other.exact() <= TimeDelta::days((ahead - 1).max(0))
            }
        })
    }

    fn civil(&self) -> Option<(Months, Days)> {
        let months = self.years.checked_mul(12)?.checked_add(self.months)?;
        let days = u64::from(self.weeks) * 7 + u64::from(self.days);
        Some((Months::new(months), Days::new(days)))
    }

    fn exact(&self) -> TimeDelta {
        // Three u32 amounts of at most 3600 seconds each: far below the limit of TimeDelta.
        TimeDelta::seconds(i64::from(self.hours) * 3_600 + i64::from(self.minutes) * 60 + i64::from(self.seconds))
    }

    fn has_civil_part(&self) -> bool {
        self.years | self.months | self.weeks | self.days != 0
    }

    /// `instant` less this span, in the zone; `None` when that lies before the beginning of time, which keeps.
    pub fn before(&self, instant: DateTime<Utc>, zone: Zone) -> Option<DateTime<Utc>> {
        let civil = if self.has_civil_part() {
            let (months, days) = self.civil()?;
            let wall = zone.wall(instant);
            earliest(zone, wall.checked_sub_months(months)?.checked_sub_days(days)?)?
        } else {
            // The wall clock is not asked: it would turn the second pass of a repeated hour into the first.
            instant
        };
        civil.checked_sub_signed(self.exact())
    }

    /// The first whole second at which `instant` is no longer later than that moment less this span: the end of a
    /// `within`, the boundary of a `max_age`. `None` when it lies beyond the end of time.
    ///
    /// Not simply `instant` plus the span: clamping and wall clocks make subtraction the only definition.
    pub fn boundary_after(&self, instant: DateTime<Utc>, zone: Zone) -> Option<DateTime<Utc>> {
        // What is left of the moment when the calendar units are gone must reach this.
        let target = instant.checked_add_signed(self.exact())?;
        if !self.has_civil_part() {
            let whole = target.timestamp() + i64::from(target.timestamp_subsec_nanos() > 0);
            return DateTime::from_timestamp(whole, 0);
        }
        let (months, days) = self.civil()?;
        let date = zone.wall(target).date();
        // The first day that subtraction takes to that date or beyond. Clamped month ends move it by up to three days.
        let late_enough = |day: &NaiveDate| {
            let earlier = day
                .checked_sub_months(months)
                .and_then(|day| day.checked_sub_days(days));
            earlier.is_some_and(|earlier| earlier >= date)
        };
        let guess = date.checked_add_months(months)?.checked_add_days(days)?;
        let mut near = guess.checked_sub_days(Days::new(4))?.iter_days().take(9);
        let day = near.find(late_enough)?;
        let midnight = |day: NaiveDate| Some(earliest(zone, day.and_time(NaiveTime::MIN))?.timestamp());
        let (before, last) = (midnight(day)? - 1, midnight(day.succ_opt()?)? - 1);

        let reached = |at: i64| {
            let earlier = DateTime::from_timestamp(at, 0).and_then(|at| self.before(at, zone));
            earlier.is_some_and(|earlier| earlier >= instant)
        };
        let changes = |from: i64, to: i64| offset_at(zone, from - DAY) != offset_at(zone, to + DAY);
        let seconds = target.timestamp();
        let plain = !changes(before, last) && !changes(seconds, seconds);
        let (before, last) = if plain && reached(last) {
            (before, last)
        } else {
            // Where the clocks change it may be reached, lost and reached again. They change on quarters of an hour.
            let from = (before - DAY).div_euclid(QUARTER) * QUARTER - 1;
            let quarter = (0..7 * DAY / QUARTER)
                .map(|nth| from + nth * QUARTER)
                .find(|at| reached(*at))?;
            (quarter - QUARTER, quarter)
        };
        DateTime::from_timestamp(first_between(before, last, reached), 0)
    }
}

const DAY: i64 = 86_400;
const QUARTER: i64 = 900;

/// The first number after `low` that is good, where good means good up to `high`.
fn first_between(mut low: i64, mut high: i64, good: impl Fn(i64) -> bool) -> i64 {
    while high - low > 1 {
        let middle = low + (high - low) / 2;
        if good(middle) { high = middle } else { low = middle }
    }
    high
}

fn offset_at(zone: Zone, at: i64) -> Option<i32> {
    let at = DateTime::from_timestamp(at, 0)?.naive_utc();
    Some(zone.offset_from_utc_datetime(&at).fix().local_minus_utc())
}

/// The earlier of the instants that a wall-clock time may mean in a zone. A repeated time is its first pass; a skipped
/// one is taken with the offset that begins at the gap, an instant before it (Temporal calls this `earlier`).
pub fn earliest(zone: Zone, wall: NaiveDateTime) -> Option<DateTime<Utc>> {
    match zone.from_local_datetime(&wall) {
        LocalResult::Single(at) => Some(at.with_timezone(&Utc)),
        LocalResult::Ambiguous(a, b) => Some(a.min(b).with_timezone(&Utc)),
        LocalResult::None => {
            // Half a day later the gap is over in every zone but those that skipped a whole day; then two days do.
            [12, 48].into_iter().find_map(|hours| {
                let later = wall.checked_add_signed(TimeDelta::hours(hours))?;
                let offset = zone.from_local_datetime(&later).earliest()?.offset().fix();
                Some(wall.checked_sub_offset(offset)?.and_utc())
            })
        }
    }
}

fn excerpt(text: &str) -> String {
    text.chars().take(20).collect()
}

impl fmt::Display for Span {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let amounts = [
            self.years,
            self.months,
            self.weeks,
            self.days,
            self.hours,
            self.minutes,
            self.seconds,
        ];
        let mut text = String::new();
        for (amount, (unit, _)) in amounts.into_iter().zip(UNITS).filter(|(amount, _)| *amount > 0) {
            let _ = write!(text, "{amount}{unit}");
        }
        f.pad(if text.is_empty() { "0s" } else { &text })
    }
}

impl fmt::Debug for Span {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Span({self})")
    }
}

impl TryFrom<String> for Span {
    type Error = SpanError;
    fn try_from(text: String) -> Result<Self, SpanError> {
        Self::parse(&text)
    }
}

impl From<Span> for String {
    fn from(span: Span) -> Self {
        span.to_string()
    }
}

#[cfg(test)]
#[path = "span_tests.rs"]
mod tests;
