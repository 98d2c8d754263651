//! Between the guard of keys and the ledger, which keeps what it learns: neither knows the other.

use chrono::{DateTime, Utc};

use crate::ledger::{self, KeyRefusal, Ledger};
use crate::rds::RefusedKey;
use crate::rds::credentials::Fingerprint;

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
