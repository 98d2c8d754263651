//! The series of an instance: rules and the floor are applied to each on its own.

use std::collections::BTreeMap;
use std::sync::Arc;

use chrono::{DateTime, NaiveDateTime, Utc};

use crate::retention::{Backup, Databases, Zone};

/// Rules and the floor are applied to every series on its own.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Series {
    /// All backups that name no database.
    Full,
    /// The full ones and the partial ones that name this database.
    Database(Arc<str>),
}

/// A counted COMPLETED backup with its time on the zone's wall clock.
pub(super) struct Member {
    pub(super) begin: DateTime<Utc>,
    pub(super) wall: NaiveDateTime,
    pub(super) index: usize,
}

impl Member {
    pub(super) fn new(begin: DateTime<Utc>, index: usize, zone: Zone) -> Self {
        Self {
            begin,
            wall: zone.wall(begin),
            index,
        }
    }
}

/// The series of these backups with their members as places in `completed`, newest first.
pub(super) fn series_of(backups: &[Backup], completed: &[Member]) -> Vec<(Series, Vec<usize>)> {
    let mut full = Vec::with_capacity(completed.len());
    let mut partial: BTreeMap<&Arc<str>, Vec<usize>> = BTreeMap::new();
    for (place, member) in completed.iter().enumerate() {
        match &backups[member.index].databases {
            Databases::Named(names) => {
                for name in names.iter() {
                    partial.entry(name).or_default().push(place);
                }
            }
            // Unknown ones do not come here: they are untouched.
            Databases::All | Databases::Absent | Databases::Unreadable | Databases::Unknown => full.push(place),
        }
    }
    let of_database = |(name, own): (&Arc<str>, Vec<usize>)| {
        // Places are positions in one sorted list, so sorting them restores newest first.
        let mut places: Vec<usize> = full.iter().copied().chain(own).collect();
        places.sort_unstable();
        (Series::Database(Arc::clone(name)), places)
    };
    let mut series: Vec<_> = partial.into_iter().map(of_database).collect();
    series.insert(0, (Series::Full, full));
    series
}
