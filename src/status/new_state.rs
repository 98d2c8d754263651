//! A warning for a new state directory: it may replace one that was lost.

use crate::config::{Config, PolicyEntry};
use crate::ledger::Ledger;
use crate::retention::Mode;

/// Warns when the ledger has just been created: nothing is deleted before its grace period, and holds of a lost state are gone.
pub fn warn_if_new(config: &Config, ledger: &Ledger) {
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
            "the state is new: {state}. If there was one before, its grace periods, holds placed by command and history are gone"
        );
    } else {
        tracing::warn!(
            "the state is new: {state}. Nothing can be deleted yet by {}: every expired backup first waits for its whole grace period. If there was \
             a state before, its grace periods, holds placed by command and history are gone",
            waiting.join(", ")
        );
    }
}
