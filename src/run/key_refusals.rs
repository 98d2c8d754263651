//! Between the guard of keys and the ledger, which keeps what it learns: neither knows the other.

use std::sync::Arc;
use std::time::Duration;

use chrono::{DateTime, Utc};

use crate::ledger::{self, KeyRefusal, KeyTrial, Ledger, SharedRefusal};
use crate::rds::credentials::Fingerprint;
use crate::rds::{KeyClaim, KeyHistory, KeyTrials, KnownRefusal, RefusedKey};

/// A refusal as the ledger keeps it.
pub fn refusal_to_keep(refusal: &RefusedKey) -> KeyRefusal {
    let RefusedKey { key, at, blocked_until } = refusal.clone();
    KeyRefusal {
        access_key: key.access_key,
        whole: key.whole,
        at,
        blocked_until,
    }
}

/// The refusals that the ledger has kept.
pub fn refusals_kept(ledger: &Ledger, now: DateTime<Utc>) -> Result<Vec<RefusedKey>, ledger::Error> {
    let refusal = |kept: KeyRefusal| RefusedKey {
        key: Fingerprint {
            access_key: kept.access_key,
            whole: kept.whole,
        },
        at: kept.at,
        blocked_until: kept.blocked_until,
    };
    Ok(ledger.key_refusals(now)?.into_iter().map(refusal).collect())
}

/// The keys of a state that several processes may share.
pub struct LedgerKeyTrials {
    /// The ledger that is open at that time.
    ledger: Box<dyn Fn() -> Option<Arc<Ledger>> + Send + Sync>,
    holder: String,
}

impl LedgerKeyTrials {
    /// On the ledger that is open when a key is tried.
    pub fn new(ledger: impl Fn() -> Option<Arc<Ledger>> + Send + Sync + 'static) -> Arc<Self> {
        Arc::new(Self {
            ledger: Box::new(ledger),
            holder: uuid::Uuid::now_v7().to_string(),
        })
    }
}

impl KeyTrials for LedgerKeyTrials {
    fn claim(&self, key: &Fingerprint) -> KeyClaim {
        let Some(ledger) = (self.ledger)() else {
            return KeyClaim::Unavailable;
        };
        match ledger.try_key(&key.access_key, &self.holder) {
            Ok(KeyTrial::Local) => KeyClaim::Local,
            Ok(KeyTrial::Busy) => KeyClaim::Busy,
            Ok(KeyTrial::Granted(refusals)) => KeyClaim::Granted(history(key, refusals)),
            // Who may only read sends nothing that needs the state.
            Err(error)
                if matches!(
                    error.fault(),
                    Some(ledger::Fault::Privileges(_) | ledger::Fault::ReadOnly)
                ) =>
            {
                KeyClaim::Local
            }
            Err(error) => {
                tracing::warn!(error = %error, "the right to try an access key could not be asked for");
                KeyClaim::Unavailable
            }
        }
    }

    fn read(&self, key: &Fingerprint) -> Option<KeyHistory> {
        let refusals = (self.ledger)()?.shared_key_refusals(&key.access_key).ok()??;
        Some(history(key, refusals))
    }

    fn release(&self, key: &Fingerprint, is_proven: bool) {
        let Some(ledger) = (self.ledger)() else { return };
        let proven = is_proven.then_some(&*key.whole);
        if let Err(error) = ledger.end_key_trial(&key.access_key, &self.holder, proven) {
            tracing::debug!(error = %error, "the right to try an access key could not be given back; it ends by itself");
        }
    }
}

fn history(key: &Fingerprint, shared: Vec<SharedRefusal>) -> KeyHistory {
    let mut history = KeyHistory::default();
    for SharedRefusal {
        refusal,
        age,
        is_settled,
    } in shared
    {
        if refusal.whole == key.whole {
            let is_over = is_settled || refusal.blocked_until.is_some();
            history.in_a_row = if is_over { 0 } else { history.in_a_row + 1 };
        }
        let blocked_for = |until: DateTime<Utc>| (until - refusal.at).to_std().unwrap_or(Duration::ZERO);
        history.refusals.push(KnownRefusal {
            blocked_for: refusal.blocked_until.map(blocked_for),
            whole: refusal.whole,
            at: refusal.at,
            age,
        });
    }
    history
}
