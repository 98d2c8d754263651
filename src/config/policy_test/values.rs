//! Single values of policy tests: moments, sizes, names of reasons.

use chrono::{DateTime, NaiveDate, NaiveTime, Utc};
use serde::de::{self, Deserializer};
use serde::{Deserialize, Serialize};

use super::super::diagnostics::nearest;
use super::super::values::end_of_date;
use super::super::yaml::clip;
use crate::retention::Span;
use crate::retention::view::REASON_NAMES;

/// A size in KB, as the API gives it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BackupSize(pub u64);

/// Where a series of made backups ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SeriesEnd {
    /// On a day or at a moment.
    On(DayOrMoment),
    /// This long before the test's `at`.
    Before(Span),
}

/// A day in the policy's zone, or a moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DayOrMoment {
    /// A day.
    Day(NaiveDate),
    /// A moment.
    Moment(DateTime<Utc>),
}

/// The name of a reason, as `plan --format json` has it under `rule`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct ReasonName(String);

impl ReasonName {
    /// As it is written.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// RFC 3339, or the API's form of it (`+0800`).
fn parse_moment(text: &str) -> Option<DateTime<Utc>> {
    let at = DateTime::parse_from_rfc3339(text).or_else(|_| DateTime::parse_from_str(text, "%Y-%m-%dT%H:%M:%S%z"));
    at.ok().map(|at| at.to_utc())
}

pub(super) fn moment<'de, D: Deserializer<'de>>(deserializer: D) -> Result<DateTime<Utc>, D::Error> {
    let text = String::deserialize(deserializer)?;
    parse_moment(&text).ok_or_else(|| {
        de::Error::custom(format_args!(
            "expected a moment with its offset, as 2027-01-01T03:00:00+08:00, found `{}`",
            clip(&text)
        ))
    })
}

/// As in the configuration, where a date means the end of that day in UTC.
pub(super) fn hold_end<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<DateTime<Utc>>, D::Error> {
    let text = String::deserialize(deserializer)?;
    let end = end_of_date(&text).or_else(|| parse_moment(&text));
    end.map(Some).ok_or_else(|| {
        de::Error::custom(format_args!(
            "expected a date, as 2027-06-30, or a moment with its offset, found `{}`",
            clip(&text)
        ))
    })
}

pub(super) fn time_of_day<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<NaiveTime>, D::Error> {
    let text = String::deserialize(deserializer)?;
    let parsed = ["%H:%M", "%H:%M:%S"].iter();
    let mut parsed = parsed.filter_map(|format| NaiveTime::parse_from_str(&text, format).ok());
    parsed.next().map(Some).ok_or_else(|| {
        de::Error::custom(format_args!(
            "expected a time of day, as \"19:00\", found `{}`",
            clip(&text)
        ))
    })
}

impl DayOrMoment {
    /// Reads a day (`2025-12-31`) or a moment.
    pub fn parse(text: &str) -> Option<Self> {
        match NaiveDate::parse_from_str(text, "%Y-%m-%d") {
            Ok(day) if text.len() == 10 => Some(Self::Day(day)),
            _ => parse_moment(text).map(Self::Moment),
        }
    }
}

impl<'de> Deserialize<'de> for DayOrMoment {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        Self::parse(&text).ok_or_else(|| {
            de::Error::custom(format_args!(
                "expected a day in the policy's zone, as 2025-12-31, or a moment with its offset, found `{}`",
                clip(&text)
            ))
        })
    }
}

impl<'de> Deserialize<'de> for SeriesEnd {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        if let Ok(span) = Span::parse(&text) {
            return Ok(Self::Before(span));
        }
        DayOrMoment::parse(&text).map(Self::On).ok_or_else(|| {
            de::Error::custom(format_args!(
                "expected a day, a moment with its offset, or a duration before `at`, as 30d, found `{}`",
                clip(&text)
            ))
        })
    }
}

impl<'de> Deserialize<'de> for ReasonName {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let name = String::deserialize(deserializer)?;
        if REASON_NAMES.contains(&name.as_str()) || name.starts_with("policy:") {
            return Ok(Self(name));
        }
        let meant = nearest(&name, REASON_NAMES).map(|meant| format!("; did you mean `{meant}`?"));
        Err(de::Error::custom(format_args!(
            "`{}` is no rule or reason{}",
            clip(&name),
            meant.unwrap_or_default()
        )))
    }
}

impl BackupSize {
    /// Reads `10GiB`, or KB as the API gives them.
    fn parse(text: &str) -> Option<Self> {
        let digits = text.len() - text.trim_start_matches(|c: char| c.is_ascii_digit()).len();
        let (number, unit) = text.split_at(digits);
        let factor = match unit.trim_start() {
            "" | "KiB" | "KB" => 1,
            "MiB" => 1 << 10,
            "GiB" => 1 << 20,
            "TiB" => 1 << 30,
            _ => return None,
        };
        number.parse::<u64>().ok()?.checked_mul(factor).map(Self)
    }
}

impl<'de> Deserialize<'de> for BackupSize {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        Self::parse(&text).ok_or_else(|| {
            de::Error::custom(format_args!(
                "expected a size as 10GiB, or a number of KB as the API gives it, found `{}`",
                clip(&text)
            ))
        })
    }
}
