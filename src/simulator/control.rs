//! What the owner of a running simulator may do to its world, and read in its journal.
//!
//! Everything here happens behind the daemon's back, as other people change a real cloud; nothing goes over HTTP.

use std::collections::BTreeMap;
use std::sync::MutexGuard;
use std::time::Duration;

use serde_json::Value;

use super::faults::Op;
use super::journal::Call;
use super::model::{Backup, Instance, Status};
use super::server::Simulator;
use super::state::State;
use super::world::Deletion;

/// The world: read and changed by tests, as other people change a real one.
impl Simulator {
    /// All instances, deleted ones too.
    pub fn instances(&self) -> Vec<Instance> {
        self.shared
            .state()
            .world
            .homes
            .iter()
            .map(|home| home.instance.clone())
            .collect()
    }

    /// All backups that exist, of every kind and engine, those being deleted too.
    pub fn backups(&self) -> Vec<Backup> {
        let mut state = self.settled();
        let homes = &mut state.world.homes;
        homes
            .iter()
            .flat_map(|home| home.records.iter().map(|record| home.backup(record)))
            .collect()
    }

    /// The backups of one instance, the oldest first.
    pub fn backups_of(&self, instance: &str) -> Vec<Backup> {
        let state = self.settled();
        let home = state.world.home(instance);
        home.map(|home| home.records.iter().map(|record| home.backup(record)).collect())
            .unwrap_or_default()
    }

    /// One backup, if it exists.
    pub fn backup(&self, id: &str) -> Option<Backup> {
        self.settled().world.backup(id)
    }

    /// False when there is one of this id.
    pub fn add_instance(&self, instance: Instance) -> bool {
        self.shared.state().world.add_instance(instance, "backup")
    }

    /// False when its instance is unknown, or there is a backup of this id.
    pub fn add_backup(&self, backup: Backup) -> bool {
        self.shared.state().world.add_backup(backup)
    }

    /// Changes an instance (name, tags, status, …; not its id). False when it is unknown.
    pub fn change_instance(&self, id: &str, change: impl FnOnce(&mut Instance)) -> bool {
        let mut state = self.shared.state();
        let Some(instance) = state.world.instance_mut(id) else {
            return false;
        };
        change(instance);
        // The index knows it by this id.
        id.clone_into(&mut instance.id);
        true
    }

    /// Deletes an instance: it is no longer listed, its automated backups go, its manual ones are retained.
    pub fn remove_instance(&self, id: &str) -> bool {
        let now = (self.shared.clock)();
        let mut state = self.shared.state();
        if state.world.place(id).is_none() {
            return false;
        }
        state.world.delete_instance(id, now);
        true
    }

    /// Changes a backup's state. False when it is unknown.
    pub fn set_status(&self, id: &str, status: Status) -> bool {
        self.shared.state().world.change(id, |record| record.status = status)
    }

    /// Changes a backup's name. False when it is unknown.
    pub fn rename_backup(&self, id: &str, name: &str) -> bool {
        self.shared
            .state()
            .world
            .change(id, |record| record.name = Some(name.into()))
    }

    /// Makes a backup vanish, as if deleted by another program. False when it is unknown.
    pub fn remove_backup(&self, id: &str) -> bool {
        self.shared.state().world.remove_backup(id)
    }

    /// A deletion under way fails: the backup is COMPLETED again. False when none is under way.
    pub fn return_backup(&self, id: &str) -> bool {
        self.shared.state().world.return_backup(id)
    }

    /// A restore reads this backup, or does no more: while it does, it cannot be deleted.
    pub fn set_in_use(&self, id: &str, is_used: bool) {
        let in_use = &mut self.shared.state().world.in_use;
        if is_used {
            in_use.insert(id.to_owned());
        } else {
            in_use.remove(id);
        }
    }

    /// Ends all deletions under way now.
    pub fn finish_deletions(&self) {
        let now = (self.shared.clock)();
        self.shared.state().world.settle(now, Duration::ZERO);
    }

    /// Lays a JSON patch over an entry (backup, retained backup or instance) of this id wherever it is listed: members
    /// replace, `null` removes, `{"$null": true}` is a null. For whatever no type here can say: odd states, unreadable
    /// times, missing and unknown members.
    pub fn patch(&self, id: &str, patch: Value) {
        self.shared.state().world.patches.insert(id.to_owned(), patch);
    }

    fn settled(&self) -> MutexGuard<'_, State> {
        let now = (self.shared.clock)();
        let mut state = self.shared.state();
        let takes = state.settings.deletion_takes;
        state.world.settle(now, takes);
        state
    }
}

/// The journal.
impl Simulator {
    /// Every request that arrived, in order; also those that a fault or nothing answered.
    pub fn calls(&self) -> Vec<Call> {
        self.shared.state().calls.clone()
    }

    /// The requests of one operation, in order.
    pub fn calls_of(&self, operation: Op) -> Vec<Call> {
        self.shared
            .state()
            .calls
            .iter()
            .filter(|call| call.operation == Some(operation))
            .cloned()
            .collect()
    }

    /// How many requests of each operation arrived.
    pub fn counts(&self) -> BTreeMap<Op, usize> {
        let mut counts = BTreeMap::new();
        for operation in self.shared.state().calls.iter().filter_map(|call| call.operation) {
            *counts.entry(operation).or_default() += 1;
        }
        counts
    }

    /// The deletions that were accepted, in order. A backup is here once, however often it was asked for.
    pub fn deletions(&self) -> Vec<Deletion> {
        self.shared.state().world.deletions.clone()
    }
}
