//! A limited number of connections, and which one is closed when all slots are taken.
//!
//! Closing the newest instead would be simpler, and would let a few hundred idle connections keep the scraper out for as long
//! as they like.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::Notify;
use tokio::task::Id;
use tokio::time::Instant;

/// There are at least this many slots, even with few descriptors: a scraper and a person.
const MIN_SLOTS: usize = 2;

/// How many files this process may have open (the soft `RLIMIT_NOFILE`), where the kernel says so.
pub fn open_files_limit() -> Option<u64> {
    let limits = std::fs::read_to_string("/proc/self/limits").ok()?;
    let line = limits.lines().find_map(|line| line.strip_prefix("Max open files"))?;
    match line.split_whitespace().next()? {
        "unlimited" => None,
        number => number.parse().ok(),
    }
}

/// How many connections may be open when `needed` of `limit` descriptors are needed for other things; at most `most`.
pub fn places(limit: u64, needed: u64, most: usize) -> usize {
    usize::try_from(limit.saturating_sub(needed))
        .unwrap_or(most)
        .clamp(MIN_SLOTS, most)
}

/// One connection's slot, shared by the accept loop and the connection.
#[derive(Debug)]
pub(super) struct ConnectionSlot {
    /// `None` while a request of it is being answered; else since when it has been silent.
    silent_since: Mutex<Option<Instant>>,
    /// It has to close.
    leave: Notify,
}

impl ConnectionSlot {
    pub(super) fn new() -> Self {
        Self {
            silent_since: Mutex::new(Some(Instant::now())),
            leave: Notify::new(),
        }
    }

    /// A request of it is being answered, or no longer is.
    pub(super) fn answers(&self, now: bool) {
        let since = (!now).then(Instant::now);
        *self.silent_since.lock().unwrap_or_else(PoisonError::into_inner) = since;
    }

    /// Ends when this connection has to close.
    pub(super) async fn evicted(&self) {
        self.leave.notified().await;
    }

    fn silent_since(&self) -> Option<Instant> {
        *self.silent_since.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The taken slots, by the connection's task.
#[derive(Debug, Default)]
pub(super) struct ConnectionSlots(HashMap<Id, Arc<ConnectionSlot>>);

impl ConnectionSlots {
    /// Whether there is a slot for one more; closes the one that has been silent for the longest if need be.
    pub(super) fn make_slot(&mut self, most: usize) -> bool {
        if !self.are_taken(most) {
            return true;
        }
        let silent = |(id, slot): (&Id, &Arc<ConnectionSlot>)| Some((*id, slot.silent_since()?));
        let Some((longest, _)) = self.0.iter().filter_map(silent).min_by_key(|(_, since)| *since) else {
            return false;
        };
        if let Some(slot) = self.0.remove(&longest) {
            slot.leave.notify_one();
        }
        true
    }

    /// Whether no slot is left.
    pub(super) fn are_taken(&self, most: usize) -> bool {
        self.0.len() >= most
    }

    /// The connection of this task takes the slot.
    pub(super) fn take(&mut self, task: Id, slot: Arc<ConnectionSlot>) {
        self.0.insert(task, slot);
    }

    /// The task has ended.
    pub(super) fn release(&mut self, task: Id) {
        self.0.remove(&task);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_follow_the_limit_of_open_files() {
        assert_eq!(places(1024, 66, 256), 256);
        assert_eq!(places(128, 66, 256), 62);
        assert_eq!(places(24, 66, 256), 2, "a scraper and a person get in all the same");
        assert!(open_files_limit().is_none_or(|limit| limit > 0));
    }
}
