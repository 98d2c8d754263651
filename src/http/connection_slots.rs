//! Who has a place, and who gives his up when all are taken.
//!
//! Closing the newcomer instead would be simpler, and would let a few hundred connections that ask nothing keep the
//! scraper out for as long as they like.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::Notify;
use tokio::task::Id;
use tokio::time::Instant;

/// How few places there are even where descriptors are scarce: a scraper and a person.
const FEWEST: usize = 2;

/// How many files this process may have open (the soft `RLIMIT_NOFILE`), where the kernel says so.
pub fn open_files_limit() -> Option<u64> {
    let limits = std::fs::read_to_string("/proc/self/limits").ok()?;
    let line = limits.lines().find_map(|line| line.strip_prefix("Max open files"))?;
    match line.split_whitespace().next()? {
        "unlimited" => None,
        number => number.parse().ok(),
    }
}

/// How many connections may be open when so many descriptors are there and so many are needed for other things; at most `most`.
pub fn places(limit: u64, needed: u64, most: usize) -> usize {
    usize::try_from(limit.saturating_sub(needed))
        .unwrap_or(most)
        .clamp(FEWEST, most)
}

/// One connection's place, as the accept loop and the connection see it.
#[derive(Debug)]
pub(super) struct ConnectionSlot {
    /// `None` while a request of it is being answered; else since when it has been silent.
    silent_since: Mutex<Option<Instant>>,
    /// Told to go.
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

    /// Ends when this one is told to go.
    pub(super) async fn evicted(&self) {
        self.leave.notified().await;
    }

    fn silent_since(&self) -> Option<Instant> {
        *self.silent_since.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The places, by the task that has one.
#[derive(Debug, Default)]
pub(super) struct ConnectionSlots(HashMap<Id, Arc<ConnectionSlot>>);

impl ConnectionSlots {
    /// Whether there is room for one more, if need be because somebody else was told to go.
    pub(super) fn make_room(&mut self, most: usize) -> bool {
        if !self.are_taken(most) {
            return true;
        }
        let silent = |(id, seat): (&Id, &Arc<ConnectionSlot>)| Some((*id, seat.silent_since()?));
        let Some((longest, _)) = self.0.iter().filter_map(silent).min_by_key(|(_, since)| *since) else {
            return false;
        };
        if let Some(seat) = self.0.remove(&longest) {
            seat.leave.notify_one();
        }
        true
    }

    /// Whether there is no place left.
    pub(super) fn are_taken(&self, most: usize) -> bool {
        self.0.len() >= most
    }

    /// The connection of this task has the seat.
    pub(super) fn take(&mut self, task: Id, seat: Arc<ConnectionSlot>) {
        self.0.insert(task, seat);
    }

    /// The task has ended.
    pub(super) fn give_back(&mut self, task: Id) {
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
