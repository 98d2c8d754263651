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
mod tests {
    use super::*;

    fn utc(text: &str) -> DateTime<Utc> {
        text.parse().unwrap()
    }

    fn before(span: &str, at: &str, zone: Zone) -> String {
        Span::parse(span)
            .unwrap()
            .before(utc(at), zone)
            .unwrap()
            .to_rfc3339_opts(chrono::SecondsFormat::Secs, true)
    }

    #[test]
    fn reads_and_writes() {
        for text in ["1y6mo", "3d", "36h", "1y2mo3w4d5h6min7s", "9999y"] {
            assert_eq!(Span::parse(text).unwrap().to_string(), text);
        }
        assert_eq!(Span::parse("0s").unwrap(), Span::ZERO);
        assert_eq!(Span::parse("36h").unwrap(), Span::hours(36));
        assert_eq!(Span::parse("3d").unwrap(), Span::days(3));
        assert_eq!(Span::ZERO.to_string(), "0s");
        assert_eq!(Span::try_from("36h".to_owned()), Ok(Span::hours(36)));
        assert_eq!(Span::try_from("36".to_owned()), Err(SpanError::NoUnit("36".into())));
        assert_eq!(String::from(Span::hours(36)), "36h");
    }

    #[test]
    fn is_roughly_so_many_seconds() {
        let seconds = |text: &str| Span::parse(text).unwrap().approximate_seconds();
        let units = ["1y", "1mo", "1w", "1d", "1h", "1min", "1s"].map(seconds);
        assert_eq!(units, [31_556_952, 2_629_746, 604_800, 86_400, 3_600, 60, 1]);
        assert_eq!(
            seconds("2y3mo4w5d6h7min8s"),
            63_113_904 + 7_889_238 + 33 * 86_400 + 22_028
        );
        assert_eq!(seconds("0s"), 0);
        assert!(Span::ZERO.is_zero() && !Span::days(1).is_zero());
        let now: DateTime<Utc> = "2026-11-23T03:00:00Z".parse().unwrap();
        // A grace of zero is over at once, also on a new state.
        assert_eq!(Span::ZERO.before(now, Zone::UTC), Some(now));
        let errors = [
            SpanError::Empty,
            SpanError::AmbiguousM,
            SpanError::TooLarge,
            SpanError::Order("y"),
        ];
        assert!(errors.iter().all(|why| !why.to_string().is_empty()));
        assert_eq!(format!("{:>4}", Span::days(3)), "  3d");
    }

    #[test]
    fn refuses_what_is_ambiguous_or_out_of_order() {
        assert_eq!(Span::parse("6m"), Err(SpanError::AmbiguousM));
        assert_eq!(Span::parse("1y6m"), Err(SpanError::AmbiguousM));
        assert_eq!(Span::parse("30"), Err(SpanError::NoUnit("30".into())));
        assert_eq!(Span::parse("6mo1y"), Err(SpanError::Order("y")));
        assert_eq!(Span::parse("1d1d"), Err(SpanError::Order("d")));
        assert_eq!(Span::parse("-1d"), Err(SpanError::NoNumber("-1d".into())));
        assert_eq!(Span::parse("1 d"), Err(SpanError::UnknownUnit(" d".into())));
        assert_eq!(Span::parse("1M"), Err(SpanError::UnknownUnit("M".into())));
        assert_eq!(Span::parse("1.5d"), Err(SpanError::UnknownUnit(".5d".into())));
        assert_eq!(Span::parse("99999999999999999999d"), Err(SpanError::TooLarge));
        assert_eq!(Span::parse("10001y"), Err(SpanError::TooLarge));
        assert!(Span::parse("10000y").is_ok() && Span::parse("120000mo").is_ok() && Span::parse("120001mo").is_err());
        assert_eq!(Span::parse(""), Err(SpanError::Empty));
    }

    #[test]
    fn months_clamp_restic_rolled_over() {
        let zone = Zone::UTC;
        assert_eq!(before("1mo", "2026-03-31T10:00:00Z", zone), "2026-02-28T10:00:00Z");
        assert_eq!(before("1mo", "2028-03-31T10:00:00Z", zone), "2028-02-29T10:00:00Z");
        assert_eq!(before("1y", "2028-02-29T10:00:00Z", zone), "2027-02-28T10:00:00Z");
        // Months first, then days: 31 March - 1 month = 28 February, - 1 day = 27 February.
        assert_eq!(before("1mo1d", "2026-03-31T10:00:00Z", zone), "2026-02-27T10:00:00Z");
    }

    #[test]
    fn days_are_civil_and_hours_exact_across_dst() {
        let berlin = Zone::of("Europe/Berlin");
        // 29 March 2026: 02:00 CET becomes 03:00 CEST.
        assert_eq!(before("1d", "2026-03-29T10:00:00Z", berlin), "2026-03-28T11:00:00Z");
        assert_eq!(before("24h", "2026-03-29T10:00:00Z", berlin), "2026-03-28T10:00:00Z");
    }

    #[test]
    fn every_unit_counts() {
        let at = "2026-06-30T12:00:00Z";
        assert_eq!(before("1y2mo", at, Zone::UTC), "2025-04-30T12:00:00Z");
        assert_eq!(before("2w1d", at, Zone::UTC), "2026-06-15T12:00:00Z");
        assert_eq!(before("3h20min7s", at, Zone::UTC), "2026-06-30T08:39:53Z");
        assert_eq!(before("3w", at, Zone::UTC), "2026-06-09T12:00:00Z");
        // As many of one as of another.
        assert_eq!(before("1y1mo", at, Zone::UTC), "2025-05-30T12:00:00Z");
        assert_eq!(before("1mo1w", at, Zone::UTC), "2026-05-23T12:00:00Z");
        assert_eq!(before("2w2d", at, Zone::UTC), "2026-06-14T12:00:00Z");
    }

    #[test]
    fn a_skipped_wall_clock_time_means_the_earlier_instant() {
        // 30 March 02:30 CEST less a day is 29 March 02:30, which does not exist: 01:30 CET, not 03:30 CEST.
        assert_eq!(
            before("1d", "2026-03-30T00:30:00Z", Zone::of("Europe/Berlin")),
            "2026-03-29T00:30:00Z"
        );
        // Half-hour change: Lord Howe skips 02:00 to 02:30 on 4 October 2026.
        assert_eq!(
            before("1d", "2026-10-04T15:15:00Z", Zone::of("Australia/Lord_Howe")),
            "2026-10-03T15:15:00Z"
        );
        // Samoa had no 30 December 2011 at all.
        assert_eq!(
            before("1d", "2011-12-30T22:00:00Z", Zone::of("Pacific/Apia")),
            "2011-12-29T22:00:00Z"
        );
    }

    #[test]
    fn a_repeated_wall_clock_time_means_the_first_pass() {
        // 26 October 2026 02:30 CET less a day is 25 October 02:30, twice: 00:30Z and 01:30Z.
        assert_eq!(
            before("1d", "2026-10-26T01:30:00Z", Zone::of("Europe/Berlin")),
            "2026-10-25T00:30:00Z"
        );
        // Exact units never ask the wall clock.
        assert_eq!(
            before("1h", "2026-10-25T01:30:00Z", Zone::of("Europe/Berlin")),
            "2026-10-25T00:30:00Z"
        );
        assert_eq!(
            before("0s", "2026-10-25T01:30:00Z", Zone::of("Europe/Berlin")),
            "2026-10-25T01:30:00Z"
        );
    }

    #[test]
    fn underflow_is_none() {
        assert_eq!(
            Span::parse("9999y")
                .unwrap()
                .before(utc("2016-01-01T00:00:00Z"), Zone::UTC)
                .map(|t| t < utc("2016-01-01T00:00:00Z")),
            Some(true)
        );
        let ancient = DateTime::<Utc>::MIN_UTC + TimeDelta::days(1);
        assert_eq!(Span::parse("1y").unwrap().before(ancient, Zone::UTC), None);
        assert_eq!(Span::parse("100h").unwrap().before(ancient, Zone::UTC), None);
    }

    #[test]
    fn a_span_within_another_reaches_no_further_back_at_any_moment() {
        let texts = [
            "1h", "24h", "25h", "2d", "1d", "1d1h", "7d", "28d", "30d", "31d", "1mo", "1mo1d", "59d", "2mo", "1y",
            "365d", "366d", "1y1mo",
        ];
        let zones = [
            "Europe/Berlin",
            "Pacific/Apia",
            "America/St_Johns",
            "Australia/Lord_Howe",
        ]
        .map(Zone::of);
        let mut within = 0;
        for (short, long) in texts
            .iter()
            .flat_map(|short| texts.iter().map(move |long| (*short, *long)))
        {
            let (shorter, longer) = (Span::parse(short).unwrap(), Span::parse(long).unwrap());
            if !shorter.is_within(&longer) {
                continue;
            }
            within += 1;
            for zone in zones {
                for hours in 0..2_000 {
                    // 2010-10-01 on, with all their changes; the second pass of an hour, too.
                    let at = utc("2010-10-01T00:17:00Z") + TimeDelta::hours(hours * 7);
                    assert!(
                        shorter.before(at, zone) >= longer.before(at, zone),
                        "{short} {long} {zone} {at}"
                    );
                }
            }
        }
        assert!(within > 100, "{within}");
    }

    #[test]
    fn the_ends_of_the_calendar_are_no_panic_and_keep() {
        let spans = [
            "1s",
            "1h",
            "1d",
            "1w",
            "1mo",
            "1y",
            "10000y",
            "120000mo",
            "3652425d",
            "10000y120000mo521775w3652425d87658200h",
        ];
        for span in spans.map(|text| Span::parse(text).unwrap()) {
            for zone in [
                Zone::UTC,
                Zone::of("Pacific/Kiritimati"),
                Zone::of("Pacific/Niue"),
                Zone::of("Europe/Berlin"),
            ] {
                let near = |end: DateTime<Utc>| {
                    [0, 1, 3_600, 86_400].into_iter().flat_map(move |seconds| {
                        let by = TimeDelta::seconds(seconds);
                        [end.checked_add_signed(by), end.checked_sub_signed(by)]
                    })
                };
                for at in near(DateTime::<Utc>::MIN_UTC).flatten() {
                    let before = span.before(at, zone);
                    assert!(
                        before.is_none_or(|before| before <= at + TimeDelta::days(2)),
                        "{span} {zone} {at}"
                    );
                    let _ = span.boundary_after(at, zone);
                }
                for at in near(DateTime::<Utc>::MAX_UTC).flatten() {
                    assert!(
                        span.before(at, zone).is_none_or(|before| before <= at),
                        "{span} {zone} {at}"
                    );
                    let _ = span.boundary_after(at, zone);
                }
            }
        }
    }

    #[test]
    fn the_boundary_is_where_subtraction_reaches_the_instant() {
        let zones = [
            Zone::UTC,
            Zone::of("Europe/Berlin"),
            Zone::of("Asia/Singapore"),
            Zone::of("America/St_Johns"),
            Zone::of("Australia/Lord_Howe"),
        ];
        for zone in zones {
            for span in ["1h", "1d", "7d", "1mo", "1y", "1y6mo2d3h"] {
                let span = Span::parse(span).unwrap();
                for at in [
                    "2026-01-31T23:30:00Z",
                    "2026-02-28T10:00:00Z",
                    "2024-02-29T01:30:00Z",
                    "2026-10-24T00:30:00Z",
                ] {
                    let end = span.boundary_after(utc(at), zone).unwrap();
                    assert!(span.before(end, zone).unwrap() >= utc(at));
                    assert!(
                        span.before(end - TimeDelta::seconds(1), zone).unwrap() < utc(at),
                        "{span} {at} {zone}"
                    );
                }
            }
        }
        assert_eq!(
            Span::days(7).boundary_after(utc("2026-01-01T00:00:00Z"), Zone::UTC),
            Some(utc("2026-01-08T00:00:00Z"))
        );
    }

    #[test]
    fn the_boundary_is_a_whole_second() {
        let boundary = |span: &str, at| Span::parse(span).unwrap().boundary_after(utc(at), Zone::UTC).unwrap();
        assert_eq!(boundary("1h", "2026-10-01T12:00:00Z"), utc("2026-10-01T13:00:00Z"));
        assert_eq!(boundary("1h", "2026-10-01T12:00:00.5Z"), utc("2026-10-01T13:00:01Z"));
        assert_eq!(boundary("1d", "2026-10-01T12:00:00.5Z"), utc("2026-10-02T12:00:01Z"));
        // No second of 30 or 31 October is late enough: less a month, both end at 23:59:59 of 30 September.
        assert_eq!(boundary("1mo", "2026-09-30T23:59:59.5Z"), utc("2026-11-01T00:00:00Z"));
        assert_eq!(boundary("0s", "2026-10-01T12:00:00Z"), utc("2026-10-01T12:00:00Z"));
        // February has no 31st: the first second of March it is.
        assert_eq!(boundary("1mo", "2026-01-31T12:00:00Z"), utc("2026-03-01T00:00:00Z"));
    }

    #[test]
    fn the_boundary_is_the_first_of_several() {
        // Found by fuzzing. Less a month, 30 and 31 October are both 30 September: the first of them is meant.
        let boundary = |span: &str, at, zone| Span::parse(span).unwrap().boundary_after(utc(at), zone).unwrap();
        assert_eq!(
            boundary("1mo", "2026-09-30T12:30:00Z", Zone::of("Europe/Berlin")),
            utc("2026-10-30T13:30:00Z")
        );
        // 02:30 on 25 October comes twice; less a day, both are 02:30 on the 24th, and so is the first.
        assert_eq!(
            boundary("1d", "2026-10-24T00:30:00Z", Zone::of("Europe/Berlin")),
            utc("2026-10-25T00:30:00Z")
        );
        // Less a day, 01:59:59 on 30 March is an hour later than 02:00, which the day before did not have.
        assert_eq!(
            boundary("1d", "2026-03-29T00:59:00Z", Zone::of("Europe/Berlin")),
            utc("2026-03-29T23:59:00Z")
        );
        assert_eq!(
            boundary("7d", "2026-03-29T00:59:00Z", Zone::of("Europe/Berlin")),
            utc("2026-04-04T23:59:00Z")
        );
    }
}
