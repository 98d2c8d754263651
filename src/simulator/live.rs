//! Schedules: backups that are made as time passes.

use chrono::{DateTime, TimeDelta, Utc};

use super::model::{BackupKind, InstanceKind, Status};
use super::server::Simulator;
use super::world::{Home, Id, Record};

/// At most so many of one instance at once.
const MOST: usize = 10_000;

impl Simulator {
    /// Makes the manual backups that became due since the newest of each instance, by the instances' own schedules; how many.
    pub fn make_due_backups(&self) -> usize {
        let now = (self.shared.clock)();
        let mut state = self.shared.state();
        let mut rng = self.shared.rng(usize::try_from(now.timestamp()).unwrap_or_default());
        let mut made = 0;
        for place in 0..state.world.homes.len() {
            let home = &state.world.homes[place];
            let digits = home.instance.engine.digits();
            let databases = series(home).map(|last| last.databases.clone()).unwrap_or_default();
            for (begin, size_kb) in due(home, now) {
                let record = Record {
                    id: Id::new(&format!("{:032x}br{digits}", rng.u128(..))),
                    name: None,
                    databases: databases.clone(),
                    begin: begin.timestamp(),
                    size_kb,
                    took: Some(600),
                    kind: BackupKind::Manual,
                    status: Status::Completed,
                };
                made += usize::from(state.world.add_record(place, record));
            }
        }
        made
    }
}

/// The newest of the backups that its schedule goes on with: the full ones, or those there are.
fn series(home: &Home) -> Option<&Record> {
    let newest = || {
        home.records
            .iter()
            .rev()
            .filter(|record| record.kind == BackupKind::Manual)
    };
    newest()
        .find(|record| record.databases.is_empty())
        .or_else(|| newest().next())
}

/// When backups of an instance were due since its newest, each a little larger than the one before.
fn due(home: &Home, now: DateTime<Utc>) -> Vec<(DateTime<Utc>, u64)> {
    let instance = &home.instance;
    let Some(every) = instance.every.filter(|every| *every > TimeDelta::zero()) else {
        return Vec::new();
    };
    if instance.deleted || instance.kind == InstanceKind::Replica {
        return Vec::new();
    }
    let last = series(home);
    let begun = last.and_then(|last| DateTime::from_timestamp(last.begin, 0));
    let mut next = (
        begun.unwrap_or(instance.created),
        last.map_or(1024 * 1024, |last| last.size_kb),
    );
    let mut due = Vec::new();
    while let Some(begin) = next.0.checked_add_signed(every).filter(|begin| *begin <= now) {
        next = (begin, next.1 + next.1 / 1000);
        due.push(next);
    }
    // What ended before is of the past.
    due.split_off(due.len().saturating_sub(MOST))
}
