//! The ledger of a process that must not end because its ledger cannot be opened.
//!
//! A daemon whose state is damaged, full or read-only stays up and reports it: it deletes nothing and tries again. Not for
//! what is in the ledger, nor for finding out whether it works (`daemon::ledger_probe`).

use std::sync::{Arc, Mutex, PoisonError};

use crate::ledger::Ledger;

/// Holds the ledger while it is open.
#[derive(Clone, Debug, Default)]
pub struct SharedLedger(Arc<Mutex<Option<Arc<Ledger>>>>);

impl SharedLedger {
    /// The ledger, if it is open.
    pub fn ledger(&self) -> Option<Arc<Ledger>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Replaces the ledger; `None` closes it once the runs that use it are over.
    pub fn set(&self, ledger: Option<Arc<Ledger>>) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = ledger;
    }
}
