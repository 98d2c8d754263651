//! A forecast added up by week.

use chrono::{DateTime, TimeDelta, Utc};
use serde::Serialize;

use super::forecast::Future;
use super::report::Tally;
use super::view::stamp;

/// One week of a forecast, of all instances together.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Week {
    /// Its first moment.
    #[serde(serialize_with = "stamp")]
    pub from: DateTime<Utc>,
    /// The first moment after it.
    #[serde(serialize_with = "stamp")]
    pub until: DateTime<Utc>,
    /// What came.
    #[serde(rename = "new")]
    pub came: Tally,
    /// What went.
    #[serde(rename = "go")]
    pub went: Tally,
    /// What is there at its end.
    pub left: Tally,
}

/// Adds futures up by week.
#[derive(Clone, Debug)]
pub struct Weeks {
    weeks: Vec<Week>,
    now: Tally,
}

impl Weeks {
    /// The weeks from `from` until `until`, the last one possibly shorter.
    pub fn new(from: DateTime<Utc>, until: DateTime<Utc>) -> Self {
        let mut weeks = Vec::new();
        let mut at = from;
        while at < until {
            let end = at
                .checked_add_signed(TimeDelta::days(7))
                .map_or(until, |end| end.min(until));
            weeks.push(Week {
                from: at,
                until: end,
                came: Tally::default(),
                went: Tally::default(),
                left: Tally::default(),
            });
            at = end;
        }
        Self {
            weeks,
            now: Tally::default(),
        }
    }

    /// Enters one backup.
    pub fn add(&mut self, future: &Future) {
        let bytes = future.backup.size_bytes;
        let came = future.backup.begin.filter(|_| future.assumed);
        match came {
            None => self.now.add(bytes),
            Some(at) => {
                if let Some(week) = self.week_of(at) {
                    week.came.add(bytes);
                }
            }
        }
        if let Some(departure) = &future.departure
            && let Some(week) = self.week_of(departure.at)
        {
            week.went.add(bytes);
        }
    }

    fn week_of(&mut self, at: DateTime<Utc>) -> Option<&mut Week> {
        let place = self.weeks.partition_point(|week| week.until <= at);
        // The horizon itself belongs to the last week.
        let place = place.min(self.weeks.len().checked_sub(1)?);
        self.weeks.get_mut(place)
    }

    /// What is there now, and the weeks with what is left at the end of each.
    pub fn close(mut self) -> (Tally, Vec<Week>) {
        let mut left = self.now;
        for week in &mut self.weeks {
            left.count = (left.count + week.came.count).saturating_sub(week.went.count);
            left.bytes = (left.bytes + week.came.bytes).saturating_sub(week.went.bytes);
            week.left = left;
        }
        (self.now, self.weeks)
    }
}
