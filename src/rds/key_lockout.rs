//! Access keys that must not be tried again, and the rule that an unproven key is tried by one request at a time.
//!
//! More than five failed authentications in a row lock an access key for everybody who uses it (API reference, section 6.6). The guard is
//! shared by all clients of the process, because the lock counts by key, not by project. It holds fingerprints, never keys.
//!
//! Two counts: of a key (access key, secret and token together), so that a corrected secret is tried at once, and of an access key
//! whatever its secret, because that is what the API locks. Both go by the monotonic clock: a key is refused because the
//! wall clock is wrong more often than for any other reason.

use std::collections::HashMap;
use std::fmt;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use tokio::sync::Notify;
use tokio::time::Instant;

use super::credentials::Fingerprint;
use super::key_trial::{KeyClaim, KeyHistory, KeyTrials, PATIENCE, REREAD};
use crate::blocking::blocking;

/// A request that was answered 401.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RefusedKey {
    /// The key it was made with.
    pub key: Fingerprint,
    /// When.
    pub at: DateTime<Utc>,
    /// Until when the key is blocked because of it, if it is.
    pub blocked_until: Option<DateTime<Utc>>,
}

/// Called with each refusal, before any other request can start: the caller persists it at once.
pub type OnRefusal = Arc<dyn Fn(&RefusedKey) + Send + Sync>;

/// How long a key stays blocked.
const BLOCKED_FOR: Duration = Duration::from_secs(15 * 60);
/// So many 401 in a row block a key. The API's own lock falls after more than five.
const REFUSALS: usize = 2;
/// A changed secret is tried once.
const REFUSALS_OF_A_CHANGED_KEY: usize = 1;
/// So many of one access key within an hour are the end for that hour, whatever the secret.
const REFUSALS_AN_HOUR: usize = 5;
const HOUR: Duration = Duration::from_secs(3600);

#[derive(Debug)]
struct KeyState {
    under_way: usize,
    /// One request at a time, until one was answered in a way that proves the key.
    alone: bool,
    /// Grows with each doubt: an answer to a request from before it settles nothing.
    doubts: u64,
    /// A request was ever answered in a way that proves it.
    is_proven: bool,
    /// In a row.
    refusals: usize,
    blocked_until: Option<Instant>,
    /// When what other processes know of it was last read.
    read_at: Option<Instant>,
}

/// A refusal, and when that was by the monotonic clock.
#[derive(Debug)]
struct Refused {
    whole: String,
    noted: DateTime<Utc>,
    at: Instant,
}

impl Default for KeyState {
    fn default() -> Self {
        Self {
            under_way: 0,
            alone: true,
            doubts: 0,
            is_proven: false,
            refusals: 0,
            blocked_until: None,
            read_at: None,
        }
    }
}

#[derive(Debug, Default)]
struct Keys {
    /// By the fingerprint of the whole key.
    keys: HashMap<String, KeyState>,
    /// When which key was refused, by the fingerprint of the access key.
    refusals: HashMap<String, Vec<Refused>>,
}

/// The blocked and the unproven keys of the process; clones share them.
#[derive(Clone, Default)]
pub struct KeyLockout(Arc<SharedLockout>);

#[derive(Default)]
struct SharedLockout {
    keys: Mutex<Keys>,
    changed: Notify,
    on_refusal: Option<OnRefusal>,
    /// Where other processes may use the same keys.
    trials: Option<Arc<dyn KeyTrials>>,
}

impl fmt::Debug for KeyLockout {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("KeyLockout")
            .field("keys", &*self.lock())
            .finish_non_exhaustive()
    }
}

impl Keys {
    fn of(&mut self, key: &Fingerprint) -> &mut KeyState {
        self.keys.entry(key.whole.clone()).or_default()
    }

    /// The refusals of an access key within the last hour, in their order.
    fn within_the_hour(&mut self, access_key: &str) -> &mut Vec<Refused> {
        let refusals = self.refusals.entry(access_key.to_owned()).or_default();
        refusals.retain(|refused| refused.at.elapsed() < HOUR);
        refusals.sort_by_key(|refused| refused.at);
        refusals
    }

    fn blocked_until(&mut self, key: &Fingerprint) -> Option<Instant> {
        let blocked = self.keys.get(&key.whole).and_then(|key| key.blocked_until);
        let refusals = self.within_the_hour(&key.access_key);
        let fifth_last = refusals.len().checked_sub(REFUSALS_AN_HOUR);
        let end = fifth_last.map(|place| refusals[place].at + HOUR);
        blocked.max(end).filter(|until| *until > Instant::now())
    }

    fn refused(&mut self, key: &Fingerprint, again: bool, noted: DateTime<Utc>) -> Option<Instant> {
        let refusals = self.within_the_hour(&key.access_key);
        let is_changed = refusals.iter().any(|other| other.whole != key.whole);
        refusals.push(Refused {
            whole: key.whole.clone(),
            noted,
            at: Instant::now(),
        });
        let state = self.of(key);
        state.doubts += 1;
        state.alone = true;
        state.refusals += 1;
        let most = if is_changed && !state.is_proven {
            REFUSALS_OF_A_CHANGED_KEY
        } else {
            REFUSALS
        };
        if again || state.refusals >= most {
            // When the block is over the key is tried by one request again.
            state.refusals = 0;
            state.blocked_until = Some(Instant::now() + BLOCKED_FOR);
        }
        self.blocked_until(key)
    }

    /// Takes over what all processes know of a key; that includes what this one wrote down.
    fn learn(&mut self, key: &Fingerprint, history: KeyHistory) {
        let now = Instant::now();
        let before = |age: Duration| now.checked_sub(age).unwrap_or(now);
        let of_this = history.refusals.iter().filter(|refusal| refusal.whole == key.whole);
        let blocked = of_this
            .filter_map(|refusal| Some(before(refusal.age) + refusal.blocked_for?))
            .max();
        let state = self.of(key);
        state.read_at = Some(now);
        state.blocked_until = state.blocked_until.max(blocked);
        state.refusals = history.in_a_row;
        if history.in_a_row > 0 && !state.alone {
            state.alone = true;
            state.doubts += 1;
        }
        if history.in_a_row >= REFUSALS {
            state.refusals = 0;
            state.blocked_until = state.blocked_until.max(Some(now + BLOCKED_FOR));
        }
        let refused = history.refusals.into_iter().map(|refusal| Refused {
            whole: refusal.whole,
            noted: refusal.at,
            at: before(refusal.age),
        });
        self.refusals.insert(key.access_key.clone(), refused.collect());
    }

    /// Takes over a refusal of an earlier process.
    fn restore(&mut self, RefusedKey { key, at, blocked_until }: RefusedKey, now: DateTime<Utc>) {
        let instant = Instant::now();
        // A block that lasts longer than blocks do was written by a wrong clock.
        let left = blocked_until.and_then(|until| (until - now).to_std().ok());
        let until = left.filter(|left| *left <= BLOCKED_FOR).map(|left| instant + left);
        let known = self.of(&key);
        known.blocked_until = known.blocked_until.max(until);
        let refusals = self.within_the_hour(&key.access_key);
        // A daemon takes over its own, too, when it opens its state again.
        if refusals
            .iter()
            .any(|known| (known.noted, &known.whole) == (at, &key.whole))
        {
            return;
        }
        // One that is dated ahead was noted by a wrong clock. When it really was cannot be known: it counts as just now.
        let age = (now - at).to_std().unwrap_or_default();
        refusals.push(Refused {
            whole: key.whole,
            noted: at,
            at: instant.checked_sub(age).unwrap_or(instant),
        });
    }
}

/// By the wall clock, for people and for the ledger.
fn on_the_wall(until: Instant, now: DateTime<Utc>) -> DateTime<Utc> {
    now + TimeDelta::from_std(until.saturating_duration_since(Instant::now())).unwrap_or_default()
}

impl KeyLockout {
    /// A guard that reports each refusal. `KeyLockout::default()` is one that reports nothing.
    pub fn new(on_refusal: OnRefusal) -> Self {
        Self(Arc::new(SharedLockout {
            on_refusal: Some(on_refusal),
            ..SharedLockout::default()
        }))
    }

    /// A guard that shares what it learns with other processes.
    pub fn shared(on_refusal: OnRefusal, trials: Arc<dyn KeyTrials>) -> Self {
        Self(Arc::new(SharedLockout {
            on_refusal: Some(on_refusal),
            trials: Some(trials),
            ..SharedLockout::default()
        }))
    }

    /// Until when the key is blocked, if it is at `now`.
    pub fn blocked_until(&self, key: &Fingerprint, now: DateTime<Utc>) -> Option<DateTime<Utc>> {
        let until = self.lock().blocked_until(key)?;
        Some(on_the_wall(until, now))
    }

    /// Takes over refusals and blocks from before a restart. Reports nothing.
    pub fn restore(&self, refusals: impl IntoIterator<Item = RefusedKey>, now: DateTime<Utc>) {
        let mut keys = self.lock();
        for refusal in refusals {
            keys.restore(refusal, now);
        }
    }

    /// The next request with this key goes alone.
    pub(super) fn invalidate(&self, key: &Fingerprint) {
        let mut keys = self.lock();
        let key = keys.of(key);
        key.alone = true;
        key.doubts += 1;
    }

    /// Waits until a request with this key may start; `Err` is the end of its block.
    pub(super) async fn enter(&self, fingerprint: &Fingerprint) -> Result<KeyPermit, DateTime<Utc>> {
        let Some(trials) = &self.0.trials else {
            return self.enter_here(fingerprint).await;
        };
        if self
            .lock()
            .of(fingerprint)
            .read_at
            .is_none_or(|at| at.elapsed() >= REREAD)
            && let Some(history) = blocking(|| trials.read(fingerprint))
        {
            self.lock().learn(fingerprint, history);
        }
        let permit = self.enter_here(fingerprint).await?;
        if !self.lock().of(fingerprint).alone {
            return Ok(permit);
        }
        // It is the only one of this process; now it becomes the only one of all.
        let mut unreachable_since = None;
        loop {
            match blocking(|| trials.claim(fingerprint)) {
                KeyClaim::Local => return Ok(permit),
                KeyClaim::Granted(history) => {
                    permit.is_claimed.store(true, Ordering::Relaxed);
                    let mut keys = self.lock();
                    keys.learn(fingerprint, history);
                    let blocked = keys.blocked_until(fingerprint);
                    drop(keys);
                    return match blocked {
                        Some(until) => Err(on_the_wall(until, crate::clock::now())),
                        None => Ok(permit),
                    };
                }
                KeyClaim::Busy => unreachable_since = None,
                KeyClaim::Unavailable => {
                    let since = *unreachable_since.get_or_insert_with(Instant::now);
                    if since.elapsed() >= PATIENCE {
                        return Err(crate::clock::now());
                    }
                }
            }
            tokio::time::sleep(Duration::from_millis(fastrand::u64(100..300))).await;
        }
    }

    /// As [`Self::enter`], as far as this process knows.
    async fn enter_here(&self, fingerprint: &Fingerprint) -> Result<KeyPermit, DateTime<Utc>> {
        loop {
            let changed = self.0.changed.notified();
            tokio::pin!(changed);
            // Registered before looking, so that a change in between is not missed.
            changed.as_mut().enable();
            {
                let mut keys = self.lock();
                if let Some(until) = keys.blocked_until(fingerprint) {
                    return Err(on_the_wall(until, crate::clock::now()));
                }
                let key = keys.of(fingerprint);
                if !key.alone || key.under_way == 0 {
                    key.under_way += 1;
                    return Ok(KeyPermit {
                        guard: self.clone(),
                        key: fingerprint.clone(),
                        doubts: key.doubts,
                        is_claimed: AtomicBool::new(false),
                    });
                }
            }
            changed.await;
        }
    }

    fn lock(&self) -> MutexGuard<'_, Keys> {
        self.0.keys.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The right to have one request under way with a key; ends when dropped.
#[derive(Debug)]
pub(super) struct KeyPermit {
    guard: KeyLockout,
    key: Fingerprint,
    doubts: u64,
    /// No other process tries the key until this is given back.
    is_claimed: AtomicBool,
}

impl KeyPermit {
    fn give_back(&self, is_proven: bool) {
        if let Some(trials) = &self.guard.0.trials
            && self.is_claimed.swap(false, Ordering::Relaxed)
        {
            blocking(|| trials.release(&self.key, is_proven));
        }
    }

    /// The request was answered in a way that proves the key.
    pub(super) fn proven(&self) {
        self.give_back(true);
        let mut keys = self.guard.lock();
        let key = keys.of(&self.key);
        key.refusals = 0;
        key.is_proven = true;
        // An answer to a request from before the doubt does not settle it.
        if self.doubts == key.doubts {
            key.alone = false;
        }
    }

    /// The request was answered 401; `again` when this request was refused before with the same key. Until when the key is
    /// blocked now, if it is.
    pub(super) fn refused(&self, again: bool, now: DateTime<Utc>) -> Option<DateTime<Utc>> {
        let until = self.guard.lock().refused(&self.key, again, now);
        let blocked_until = until.map(|until| on_the_wall(until, now));
        if let Some(on_refusal) = &self.guard.0.on_refusal {
            on_refusal(&RefusedKey {
                key: self.key.clone(),
                at: now,
                blocked_until,
            });
        }
        self.guard.0.changed.notify_waiters();
        blocked_until
    }
}

impl Drop for KeyPermit {
    fn drop(&mut self) {
        self.give_back(false);
        let mut keys = self.guard.lock();
        let key = keys.of(&self.key);
        key.under_way = key.under_way.saturating_sub(1);
        drop(keys);
        self.guard.0.changed.notify_waiters();
    }
}

#[cfg(test)]
mod tests;
