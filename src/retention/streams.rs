//! The streams of backups that are made on an instance: what a forecast assumes to go on.
//!
//! The backups that are there do not say how many of a kind are made: those that rules let go are missing, and protected ones
//! pile up. So a stream is known by its name, and the one whose backups follow each other fastest is the one that is made
//! most often.

use std::cmp::Reverse;
use std::collections::BTreeMap;
use std::sync::Arc;

use chrono::{DateTime, TimeDelta, Utc};

use super::backup::FUTURE_TOLERANCE;
use super::{Backup, BackupKind, BackupStatus, Policy};

/// Intervals are looked at from the newest backup back, so many at most.
const LAST: usize = 8;
/// Two backups by hand have an interval, too; three make a stream.
const LEAST: usize = 2;

/// Backups whose names differ in digits alone, and which the same policies have in their scope.
#[derive(Clone, Debug)]
pub struct Stream {
    /// Its newest backup.
    pub newest: Backup,
    /// The median of its last intervals; `None` where there are too few.
    pub interval: Option<TimeDelta>,
    /// How many intervals that is the median of.
    pub intervals: usize,
    is_made: bool,
}

/// The streams of an instance that go on: the one that is made most often, whatever is known of it; then, for the scope of
/// other policies, the one of each that is still being made.
pub fn streams(policies: &[Arc<Policy>], backups: &[Backup], from: DateTime<Utc>) -> Vec<Stream> {
    let mut groups: BTreeMap<(Vec<bool>, String), Vec<&Backup>> = BTreeMap::new();
    for backup in backups.iter().filter(|backup| is_template(policies, backup, from)) {
        let scope = policies
            .iter()
            .map(|policy| policy.select.takes_backup(backup))
            .collect();
        groups.entry((scope, shape(&backup.name))).or_default().push(backup);
    }
    let mut best: BTreeMap<Vec<bool>, (Rank, Stream)> = BTreeMap::new();
    for ((scope, _), mut backups) in groups {
        backups.sort_by(|a, b| (b.begin, &a.id).cmp(&(a.begin, &b.id)));
        let Some(stream) = Stream::of(&backups, from) else {
            continue;
        };
        let rank = stream.rank(backups.len(), is_protected(policies, &stream.newest));
        match best.get(&scope) {
            Some((other, _)) if *other >= rank => {}
            _ => drop(best.insert(scope, (rank, stream))),
        }
    }
    let mut best: Vec<(Rank, Stream)> = best.into_values().collect();
    best.sort_by(|(a, _), (b, _)| b.cmp(a));
    let streams = best.into_iter().map(|(_, stream)| stream).enumerate();
    streams
        .filter(|(nth, stream)| *nth == 0 || stream.is_made)
        .map(|(_, stream)| stream)
        .collect()
}

/// Whether any of these policies has the backup in its scope.
pub fn is_in_scope(policies: &[Arc<Policy>], backup: &Backup) -> bool {
    let ours = matches!(backup.kind, BackupKind::Manual | BackupKind::Other(_));
    ours && policies.iter().any(|policy| policy.select.takes_backup(backup))
}

/// Finished, full, made by hand or by a job of ours, in some policy's scope, and with a time that can be believed.
fn is_template(policies: &[Arc<Policy>], backup: &Backup, from: DateTime<Utc>) -> bool {
    backup.kind == BackupKind::Manual
        && backup.status == BackupStatus::Completed
        && backup.databases.is_full()
        && backup.doubt.is_none()
        && is_in_scope(policies, backup)
        && backup
            .believed_begin()
            .is_some_and(|begin| begin - from <= FUTURE_TOLERANCE)
}

/// `nightly_2026-11-23` and `nightly_2026-11-24` are of one shape.
fn shape(name: &str) -> String {
    let mut shape = String::with_capacity(name.len());
    for letter in name.chars() {
        let letter = if letter.is_ascii_digit() { '#' } else { letter };
        if letter != '#' || !shape.ends_with('#') {
            shape.push(letter);
        }
    }
    shape
}

fn is_protected(policies: &[Arc<Policy>], backup: &Backup) -> bool {
    let mut names = policies.iter().flat_map(|policy| policy.keep.names());
    names.any(|pattern| pattern.matches(&backup.name))
}

/// Streams that are still being made first, by how often; the others by how many there are.
type Rank = (bool, Reverse<TimeDelta>, usize, bool, Option<DateTime<Utc>>);

impl Stream {
    fn of(newest_first: &[&Backup], from: DateTime<Utc>) -> Option<Self> {
        let newest = Backup::clone(newest_first.first()?);
        let begins: Vec<DateTime<Utc>> = newest_first.iter().filter_map(|backup| backup.begin).collect();
        let mut between: Vec<TimeDelta> = begins.windows(2).take(LAST).map(|pair| pair[0] - pair[1]).collect();
        between.sort_unstable();
        let median = between.get(between.len() / 2).copied();
        let interval = median.filter(|interval| between.len() >= LEAST && *interval > TimeDelta::zero());
        let is_made = interval
            .zip(newest.begin)
            .is_some_and(|(interval, begin)| from - begin <= interval * 3);
        Some(Self {
            newest,
            interval,
            intervals: between.len(),
            is_made,
        })
    }

    fn rank(&self, count: usize, is_protected: bool) -> Rank {
        let pace = Reverse(self.interval.unwrap_or(TimeDelta::MAX));
        (self.is_made, pace, count, !is_protected, self.newest.begin)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_that_differ_in_digits_are_of_one_shape() {
        assert_eq!(shape("nightly_2026-11-23"), "nightly_#-#-#");
        assert_eq!(shape("release-9"), shape("release-10"));
        assert_ne!(shape("release-9"), shape("release-9a"));
        assert_eq!(shape(""), "");
    }
}
