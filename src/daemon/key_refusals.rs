//! Refused access keys outlive the process: the ledger remembers them.

use std::sync::Arc;

use crate::blocking::blocking;
use crate::rds::{KeyLockout, RefusedKey};
use crate::run;
use crate::status::SharedLedger;

/// A key lockout that records each refusal in the ledger that is open at that time.
pub fn key_lockout(shared: &SharedLedger, is_shared: bool) -> KeyLockout {
    let opened = shared.clone();
    let shared = shared.clone();
    let on_refusal = Arc::new(move |refusal: &RefusedKey| {
        let Some(ledger) = shared.ledger() else {
            tracing::warn!("a refused access key could not be written down: the state is not open");
            return;
        };
        let kept = run::refusal_to_keep(refusal);
        let written = blocking(|| ledger.record_key_refusal(&kept, crate::clock::now()));
        if let Err(error) = written {
            let error: &(dyn std::error::Error + 'static) = &error;
            tracing::warn!(error, "a refused access key could not be written down");
        }
    });
    if is_shared {
        KeyLockout::shared(on_refusal, run::LedgerKeyTrials::new(move || opened.ledger()))
    } else {
        KeyLockout::new(on_refusal)
    }
}
