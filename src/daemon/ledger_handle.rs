//! The ledger of a process that must not end because the ledger is not there.
//!
//! A daemon whose state is damaged, full or read-only stays up and says so: it deletes nothing, tries again, and can be
//! asked what is the matter. Not for what is in the ledger, nor for finding out whether it works (`ledger_probe`).

use std::sync::{Arc, Mutex, PoisonError};

use super::blocking;
use crate::config::{Config, PolicyEntry};
use crate::ledger::Ledger;
use crate::rds::{KeyLockout, Refusal};
use crate::retention::Mode;
use crate::run;

/// The place where the ledger is when it is open; shared with those who only look.
#[derive(Clone, Debug, Default)]
pub struct SharedLedger(Arc<Mutex<Option<Arc<Ledger>>>>);

impl SharedLedger {
    /// The ledger, if it is open.
    pub fn ledger(&self) -> Option<Arc<Ledger>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    pub(super) fn put(&self, ledger: Option<Arc<Ledger>>) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = ledger;
    }
}

/// A guard of access keys that writes what it learns into whichever ledger is open then.
pub fn key_lockout(slot: &SharedLedger) -> KeyLockout {
    let slot = slot.clone();
    KeyLockout::new(Arc::new(move |refusal: &Refusal| {
        let Some(ledger) = slot.ledger() else {
            tracing::warn!("a refused access key could not be written down: the state is not open");
            return;
        };
        let kept = run::refusal_to_keep(refusal);
        let written = blocking(|| ledger.record_key_refusal(&kept, crate::clock::now()));
        if let Err(error) = written {
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
