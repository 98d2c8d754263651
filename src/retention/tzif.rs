//! The reader of `TZif` (RFC 9636), the format of compiled zones: bytes in, a table of offsets out.
//!
//! A file lists the changes of the past and ends with a rule for the future, as `CET-1CEST,M3.5.0,M10.5.0/3`. The table
//! has both: the rule is written out for one cycle of the calendar, so that a look-up is one search. Whatever is odd
//! about a file makes it damaged, never a guess: an hour's difference can delete the wrong backup.

use std::fmt;

use chrono::{DateTime, Datelike, Days, FixedOffset, NaiveDate, Weekday};

/// The Gregorian calendar repeats itself, weekdays too, after 400 years: so many seconds.
pub(super) const CYCLE: i64 = 146_097 * 86_400;

/// More changes than any zone has had; a file that claims more is not allocated for.
const MOST_CHANGES: usize = 4_096;

/// Times beyond this are no times (RFC 9636, 3.2 has the lower one).
const FARTHEST: i64 = 1 << 59;

/// A `TZif` file that cannot be used, and why.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Damaged(&'static str);

impl fmt::Display for Damaged {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.0)
    }
}

impl std::error::Error for Damaged {}

/// What is in a file, and what its rule says for one cycle beyond.
#[derive(Debug)]
pub(super) struct TzTable {
    pub(super) changes: Vec<i64>,
    pub(super) offsets: Vec<FixedOffset>,
    pub(super) repeats_from: Option<i64>,
}

/// Reads a file.
pub(super) fn read(bytes: &[u8]) -> Result<TzTable, Damaged> {
    let mut rest = Bytes(bytes);
    let first = Header::read(&mut rest)?;
    if first.version == 0 {
        return first.block(&mut rest, 4);
    }
    rest.take(first.length(4))?;
    let second = Header::read(&mut rest)?;
    let mut table = second.block(&mut rest, 8)?;
    let footer = rest
        .0
        .strip_prefix(b"\n")
        .and_then(|footer| {
            footer
                .split(|byte| *byte == b'\n')
                .next()
                .zip(footer.contains(&b'\n').then_some(()))
        })
        .and_then(|(footer, ())| std::str::from_utf8(footer).ok())
        .ok_or(Damaged("it is cut off before its rule for the future"))?;
    if !footer.is_empty() {
        let rule = Rule::parse(footer).ok_or(Damaged("its rule for the future cannot be read"))?;
        table.extend(&rule)?;
    }
    Ok(table)
}

/// What is left to read.
struct Bytes<'a>(&'a [u8]);

impl<'a> Bytes<'a> {
    fn take(&mut self, length: usize) -> Result<&'a [u8], Damaged> {
        let (taken, rest) = self.0.split_at_checked(length).ok_or(Damaged("it is cut off"))?;
        self.0 = rest;
        Ok(taken)
    }
}

/// A big-endian number of four or eight bytes.
fn number(bytes: &[u8]) -> i64 {
    let negative = bytes.first().is_some_and(|byte| byte & 0x80 != 0);
    let start = if negative { -1 } else { 0 };
    bytes.iter().fold(start, |sum, byte| (sum << 8) | i64::from(*byte))
}

struct Header {
    version: u8,
    ut_indicators: usize,
    standard_indicators: usize,
    leap_seconds: usize,
    changes: usize,
    types: usize,
    letters: usize,
}

impl Header {
    fn read(rest: &mut Bytes<'_>) -> Result<Self, Damaged> {
        let header = rest.take(44)?;
        if !header.starts_with(b"TZif") {
            return Err(Damaged("it is not a TZif file"));
        }
        let count = |nth: usize| usize::try_from(number(&header[20 + 4 * nth..24 + 4 * nth])).unwrap_or(usize::MAX);
        let header = Self {
            version: header[4],
            ut_indicators: count(0),
            standard_indicators: count(1),
            leap_seconds: count(2),
            changes: count(3),
            types: count(4),
            letters: count(5),
        };
        let most = [
            header.ut_indicators,
            header.standard_indicators,
            header.leap_seconds,
            header.changes,
            header.types,
            header.letters,
        ];
        if most.iter().any(|count| *count > MOST_CHANGES) {
            return Err(Damaged("its header makes no sense"));
        }
        Ok(header)
    }

    /// How long the block is that this header describes, with times of that width.
    fn length(&self, width: usize) -> usize {
        self.changes * (width + 1)
            + self.types * 6
            + self.letters
            + self.leap_seconds * (width + 4)
            + self.standard_indicators
            + self.ut_indicators
    }

    fn block(&self, rest: &mut Bytes<'_>, width: usize) -> Result<TzTable, Damaged> {
        let mut block = Bytes(rest.take(self.length(width))?);
        if self.leap_seconds > 0 {
            return Err(Damaged("it counts leap seconds"));
        }
        let changes: Vec<i64> = block.take(self.changes * width)?.chunks(width).map(number).collect();
        if !changes.is_sorted_by(|a, b| a < b) || changes.iter().any(|at| at.abs() > FARTHEST) {
            return Err(Damaged("its changes are out of order"));
        }
        let kinds = block.take(self.changes)?;
        let offset = |kind: &[u8]| {
            let seconds = i32::try_from(number(&kind[..4])).ok();
            seconds
                .and_then(FixedOffset::east_opt)
                .ok_or(Damaged("an offset is a day or longer"))
        };
        let types = block
            .take(self.types * 6)?
            .chunks(6)
            .map(offset)
            .collect::<Result<Vec<_>, _>>()?;
        // Before its first change a zone has the first type.
        let mut offsets = vec![*types.first().ok_or(Damaged("it has no offset"))?];
        for kind in kinds {
            let offset = types
                .get(usize::from(*kind))
                .ok_or(Damaged("it names an offset that it does not have"))?;
            offsets.push(*offset);
        }
        Ok(TzTable {
            changes,
            offsets,
            repeats_from: None,
        })
    }
}

impl TzTable {
    /// Writes out the rule for what follows the last change, until it repeats itself.
    fn extend(&mut self, rule: &Rule) -> Result<(), Damaged> {
        const BEYOND: Damaged = Damaged("its changes are beyond the calendar");
        let Some(daylight) = &rule.daylight else {
            // A zone without changes has its only offset in the rule, too.
            if self.offsets.last() != Some(&rule.standard) {
                return Err(Damaged("its rule for the future contradicts its last change"));
            }
            return Ok(());
        };
        let last = self.changes.last().copied();
        let year = match last {
            Some(last) => DateTime::from_timestamp(last, 0).ok_or(BEYOND)?.year(),
            None => 1_900,
        };
        // From the second year on nothing but the rule is in force.
        let first = NaiveDate::from_ymd_opt(year + 2, 1, 1).ok_or(BEYOND)?;
        let mut changes: Vec<(i64, bool, FixedOffset)> = Vec::new();
        for year in year - 1..=year + 2 + 400 + 1 {
            let begins = daylight.begins.at(year, rule.standard).ok_or(BEYOND)?;
            let ends = daylight.ends.at(year, daylight.offset).ok_or(BEYOND)?;
            // Where one year's end is the next one's beginning, daylight saving time lasts all year.
            changes.extend([(ends, false, rule.standard), (begins, true, daylight.offset)]);
        }
        changes.sort_unstable_by_key(|(at, is_daylight, _)| (*at, *is_daylight));
        for (at, _, offset) in changes {
            if last.is_none_or(|last| at > last) {
                self.push(at, offset);
            }
        }
        self.repeats_from = Some(first.and_time(chrono::NaiveTime::MIN).and_utc().timestamp());
        Ok(())
    }

    fn push(&mut self, at: i64, offset: FixedOffset) {
        if self.changes.last() == Some(&at) {
            self.changes.pop();
            self.offsets.pop();
        }
        if self.offsets.last() != Some(&offset) {
            self.changes.push(at);
            self.offsets.push(offset);
        }
    }
}

/// The rule at the end of a file, in the form that POSIX has for the variable `TZ`.
#[derive(Debug, PartialEq, Eq)]
struct Rule {
    standard: FixedOffset,
    daylight: Option<Daylight>,
}

#[derive(Debug, PartialEq, Eq)]
struct Daylight {
    offset: FixedOffset,
    begins: Yearly,
    ends: Yearly,
}

/// A moment of every year, on the wall clock that it ends.
#[derive(Debug, PartialEq, Eq)]
struct Yearly {
    day: Day,
    /// Seconds after midnight; may be of another day.
    time: i32,
}

#[derive(Debug, PartialEq, Eq)]
enum Day {
    /// The day of the year, from 1; the 29th of February is not counted.
    Julian(u32),
    /// The day of the year, from 0.
    Ordinal(u32),
    /// The so-manieth weekday of a month; the fifth is the last.
    Weekday { month: u32, week: u8, weekday: Weekday },
}

impl Yearly {
    fn at(&self, year: i32, offset: FixedOffset) -> Option<i64> {
        let day = match self.day {
            Day::Julian(day) => {
                let leap = NaiveDate::from_ymd_opt(year, 2, 29).is_some() && day > 59;
                NaiveDate::from_yo_opt(year, day + u32::from(leap))?
            }
            Day::Ordinal(day) => NaiveDate::from_ymd_opt(year, 1, 1)?.checked_add_days(Days::new(day.into()))?,
            Day::Weekday { month, week, weekday } => {
                NaiveDate::from_weekday_of_month_opt(year, month, weekday, week)
                    .or_else(|| NaiveDate::from_weekday_of_month_opt(year, month, weekday, 4))?
            }
        };
        let midnight = day.and_time(chrono::NaiveTime::MIN).and_utc().timestamp();
        Some(midnight + i64::from(self.time) - i64::from(offset.local_minus_utc()))
    }
}

impl Rule {
    fn parse(text: &str) -> Option<Self> {
        let mut text = TzText(text);
        text.name()?;
        // POSIX counts westwards.
        let standard = -text.time(24)?;
        let daylight = if text.0.is_empty() {
            None
        } else {
            text.name()?;
            let offset = if text.0.starts_with(',') {
                standard + 3_600
            } else {
                -text.time(24)?
            };
            let (begins, ends) = (text.yearly()?, text.yearly()?);
            Some(Daylight {
                offset: FixedOffset::east_opt(offset)?,
                begins,
                ends,
            })
        };
        text.0.is_empty().then_some(())?;
        Some(Self {
            standard: FixedOffset::east_opt(standard)?,
            daylight,
        })
    }
}

/// What is left of a rule to read.
struct TzText<'a>(&'a str);

impl TzText<'_> {
    fn skip(&mut self, prefix: char) -> bool {
        let rest = self.0.strip_prefix(prefix);
        self.0 = rest.unwrap_or(self.0);
        rest.is_some()
    }

    /// `CET`, or `<+03>`. What it is does not matter here.
    fn name(&mut self) -> Option<()> {
        let rest = match self.0.strip_prefix('<') {
            Some(quoted) => quoted.split_once('>')?.1,
            None => self.0.trim_start_matches(|c: char| c.is_ascii_alphabetic()),
        };
        (rest.len() < self.0.len()).then_some(())?;
        self.0 = rest;
        Some(())
    }

    fn number(&mut self, most: u32) -> Option<u32> {
        let digits = self.0.len() - self.0.trim_start_matches(|c: char| c.is_ascii_digit()).len();
        let (number, rest) = self.0.split_at(digits.min(3));
        self.0 = rest;
        number.parse().ok().filter(|number| *number <= most)
    }

    /// `2`, `-3:30`, `+24:00:00`, in seconds.
    fn time(&mut self, most_hours: u32) -> Option<i32> {
        let negative = self.skip('-');
        if !negative {
            self.skip('+');
        }
        let mut seconds = self.number(most_hours)? * 3_600;
        for unit in [60, 1] {
            if !self.skip(':') {
                break;
            }
            seconds += self.number(59)? * unit;
        }
        let seconds = i32::try_from(seconds).ok()?;
        Some(if negative { -seconds } else { seconds })
    }

    /// `,M3.5.0/2`
    fn yearly(&mut self) -> Option<Yearly> {
        self.skip(',').then_some(())?;
        let day = if self.skip('J') {
            Day::Julian(self.number(365).filter(|day| *day > 0)?)
        } else if self.skip('M') {
            let month = self.number(12).filter(|month| *month > 0)?;
            self.skip('.').then_some(())?;
            let week = self.number(5).filter(|week| *week > 0)?;
            self.skip('.').then_some(())?;
            // POSIX begins with Sunday, chrono with Monday.
            let weekday = Weekday::try_from(u8::try_from((self.number(6)? + 6) % 7).ok()?).ok()?;
            Day::Weekday {
                month,
                week: u8::try_from(week).ok()?,
                weekday,
            }
        } else {
            Day::Ordinal(self.number(365)?)
        };
        let time = if self.skip('/') { self.time(167)? } else { 2 * 3_600 };
        Some(Yearly { day, time })
    }
}
