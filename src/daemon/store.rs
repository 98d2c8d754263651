//! The ledger of a process that must not end because the ledger is not there.
//!
//! A daemon whose state is damaged, full or read-only stays up and says so: it deletes nothing, tries again, and can be
//! asked what is the matter. Not for what is in the ledger.

use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};

use chrono::{DateTime, TimeDelta, Utc};

use super::off_the_runtime;
use crate::config::{Config, PolicyEntry};
use crate::ledger::{Access, Error, Ledger};
use crate::rds::KeyGuard;
use crate::retention::Mode;

/// How often a state that does not work is tried again.
const AGAIN: TimeDelta = TimeDelta::seconds(60);
/// How often one that works is asked whether it still can be written: a commit each, so not often.
const LOOK: TimeDelta = TimeDelta::minutes(5);

/// The place where the ledger is when it is open; shared with those who only look.
#[derive(Clone, Debug, Default)]
pub struct Slot(Arc<Mutex<Option<Arc<Ledger>>>>);

impl Slot {
    /// The ledger, if it is open.
    pub fn ledger(&self) -> Option<Arc<Ledger>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn put(&self, ledger: Option<Arc<Ledger>>) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = ledger;
    }
}

/// What a look at the state found.
#[derive(Debug)]
pub enum Look {
    /// Nothing has changed.
    Same,
    /// It is open now, and was not before.
    Opened(Arc<Ledger>),
    /// It does not work.
    Failed(Error),
}

/// The state directory's ledger, opened when it can be.
#[derive(Debug)]
pub struct Store {
    slot: Slot,
    /// Device and inode of the open file.
    file: Option<(u64, u64)>,
    next: Option<DateTime<Utc>>,
}

impl Store {
    /// Not opened yet.
    pub fn new(slot: Slot) -> Self {
        Self {
            slot,
            file: None,
            next: None,
        }
    }

    /// The ledger, if it is open.
    pub fn ledger(&self) -> Option<Arc<Ledger>> {
        self.slot.ledger()
    }

    /// When to look next.
    pub fn next_look(&self) -> Option<DateTime<Utc>> {
        self.next
    }

    /// Opens what is not open, makes sure of what is, when it is time to; `doubt` makes it time.
    pub fn look(&mut self, dir: &Path, doubt: bool, now: DateTime<Utc>) -> Look {
        // A clock that was set back must not put the look off for as long.
        let early = self.next.is_some_and(|next| now < next && next - now <= LOOK);
        if early && !doubt {
            return Look::Same;
        }
        let found = off_the_runtime(|| match self.slot.ledger() {
            Some(ledger) => self.make_sure(&ledger),
            None => self.open(dir, now),
        });
        match &found {
            Look::Failed(_) => {
                self.slot.put(None);
                self.next = Some(now + AGAIN);
            }
            Look::Same | Look::Opened(_) => self.next = Some(now + LOOK),
        }
        found
    }

    /// Lets go of a ledger that opens and cannot be read; it is tried again.
    pub fn give_up(&mut self, now: DateTime<Utc>) {
        self.slot.put(None);
        self.next = Some(now + AGAIN);
    }

    fn open(&mut self, dir: &Path, now: DateTime<Utc>) -> Look {
        let opened = Ledger::open(dir, Access::Create, now).and_then(|ledger| ledger.probe().map(|()| ledger));
        match opened {
            Ok(ledger) => {
                let ledger = Arc::new(ledger);
                self.file = identity(ledger.path());
                self.slot.put(Some(Arc::clone(&ledger)));
                Look::Opened(ledger)
            }
            Err(error) => Look::Failed(error),
        }
    }

    /// The open file may have been moved away, and what is written into it would be lost with it.
    fn make_sure(&self, ledger: &Ledger) -> Look {
        if identity(ledger.path()) != self.file {
            return Look::Failed(Error::Missing {
                path: ledger.path().to_owned(),
            });
        }
        match ledger.probe() {
            Ok(()) => Look::Same,
            Err(error) => Look::Failed(error),
        }
    }
}

fn identity(path: &Path) -> Option<(u64, u64)> {
    let metadata = std::fs::metadata(path).ok()?;
    Some((metadata.dev(), metadata.ino()))
}

/// A guard of access keys that writes what it learns into whichever ledger is open then.
pub fn key_guard(slot: &Slot) -> KeyGuard {
    let slot = slot.clone();
    KeyGuard::new(Arc::new(move |fingerprint: &str, until| {
        let Some(ledger) = slot.ledger() else {
            tracing::warn!("a refused access key could not be written down: the state is not open");
            return;
        };
        if let Err(error) = ledger.block_key(fingerprint, until, crate::clock::now()) {
            let error: &(dyn std::error::Error + 'static) = &error;
            tracing::warn!(error, "a refused access key could not be written down");
        }
    }))
}

/// On a new state nothing can be deleted yet where there is a grace; whoever lost the old one must hear of it.
pub fn say_when_new(config: &Config, ledger: &Ledger) {
    if !ledger.is_new() {
        return;
    }
    let waits = |entry: &&PolicyEntry| entry.policy.mode == Mode::Enforce && !entry.policy.grace.is_zero();
    let waiting: Vec<String> = config
        .policies
        .iter()
        .filter(waits)
        .map(|entry| format!("{} (grace {})", entry.policy.name, entry.policy.grace))
        .collect();
    let state = ledger.path().display();
    if waiting.is_empty() {
        tracing::warn!(
            "the state is new: {state}. If there was one before, its graces, holds placed by command and history are gone"
        );
    } else {
        tracing::warn!(
            "the state is new: {state}. Nothing can be deleted yet by {}: every expired backup first waits for its whole grace. If there was \
             a state before, its graces, holds placed by command and history are gone",
            waiting.join(", ")
        );
    }
}
