//! Access keys that must not be tried again, and the rule that an unproven key is tried by one request at a time.
//!
//! More than five failed authentications in a row lock an access key for everybody who uses it (API reference, section 6.6). The guard is
//! shared by all clients of the process, because the lock counts by key, not by project. It holds fingerprints, never keys.

use std::collections::HashMap;
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use chrono::{DateTime, TimeDelta, Utc};
use tokio::sync::Notify;

/// Called with fingerprint and end of a new block, before any other request can start: the caller persists it at once.
pub type OnBlock = Arc<dyn Fn(&str, DateTime<Utc>) + Send + Sync>;

/// How long a key stays blocked.
pub const BLOCKED_FOR: TimeDelta = TimeDelta::minutes(15);
/// So many 401 in a row block a key. The API's own lock falls after more than five.
const REFUSALS: u32 = 2;

#[derive(Debug, Default)]
struct Key {
    under_way: usize,
    /// One request at a time, until one was answered in a way that proves the key.
    alone: bool,
    refusals: u32,
    blocked_until: Option<DateTime<Utc>>,
}

/// The blocked and the unproven keys of the process; clones share them.
#[derive(Clone, Default)]
pub struct KeyGuard(Arc<Inner>);

#[derive(Default)]
struct Inner {
    keys: Mutex<HashMap<String, Key>>,
    changed: Notify,
    on_block: Option<OnBlock>,
}

impl fmt::Debug for KeyGuard {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("KeyGuard")
            .field("keys", &*self.lock())
            .finish_non_exhaustive()
    }
}

impl KeyGuard {
    /// A guard that reports each new block. `KeyGuard::default()` is one that reports to nobody.
    pub fn new(on_block: OnBlock) -> Self {
        Self(Arc::new(Inner {
            on_block: Some(on_block),
            ..Inner::default()
        }))
    }

    /// Until when the key is blocked, if it is at `now`.
    pub fn blocked_until(&self, fingerprint: &str, now: DateTime<Utc>) -> Option<DateTime<Utc>> {
        self.lock().get(fingerprint)?.blocked_until.filter(|until| *until > now)
    }

    /// Blocks a key for 15 minutes from `now` and reports it.
    pub fn block(&self, fingerprint: &str, now: DateTime<Utc>) {
        let until = now + BLOCKED_FOR;
        self.set_block(fingerprint, until);
        if let Some(on_block) = &self.0.on_block {
            on_block(fingerprint, until);
        }
        self.0.changed.notify_waiters();
    }

    /// Fingerprints and ends of all blocks, past ones too, sorted.
    pub fn snapshot(&self) -> Vec<(String, DateTime<Utc>)> {
        let mut rows: Vec<_> = self
            .lock()
            .iter()
            .filter_map(|(name, key)| Some((name.clone(), key.blocked_until?)))
            .collect();
        rows.sort();
        rows
    }

    /// Takes over blocks from before a restart; a later end wins. Reports nothing.
    pub fn restore(&self, rows: impl IntoIterator<Item = (String, DateTime<Utc>)>) {
        for (fingerprint, until) in rows {
            self.set_block(&fingerprint, until);
        }
    }

    fn set_block(&self, fingerprint: &str, until: DateTime<Utc>) {
        let mut keys = self.lock();
        let key = keys.entry(fingerprint.to_owned()).or_default();
        key.blocked_until = key.blocked_until.max(Some(until));
        // When the block is over the key is tried by one request again, and two more refusals block it again.
        key.alone = true;
        key.refusals = 0;
    }

    /// The next request with this key goes alone.
    pub(super) fn doubt(&self, fingerprint: &str) {
        self.lock().entry(fingerprint.to_owned()).or_default().alone = true;
    }

    /// Waits until a request with this key may start; `Err` is the end of its block.
    pub(super) async fn enter(&self, fingerprint: &str) -> Result<Pass, DateTime<Utc>> {
        loop {
            let changed = self.0.changed.notified();
            tokio::pin!(changed);
            // Registered before looking, so that a change in between is not missed.
            changed.as_mut().enable();
            if let Some(until) = self.blocked_until(fingerprint, crate::clock::now()) {
                return Err(until);
            }
            {
                let mut keys = self.lock();
                let key = keys.entry(fingerprint.to_owned()).or_default();
                if !key.alone || key.under_way == 0 {
                    key.under_way += 1;
                    let alone = key.alone;
                    return Ok(Pass {
                        guard: self.clone(),
                        fingerprint: fingerprint.to_owned(),
                        alone,
                    });
                }
            }
            changed.await;
        }
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<String, Key>> {
        self.0.keys.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The right to have one request under way with a key; ends when dropped.
#[derive(Debug)]
pub(super) struct Pass {
    guard: KeyGuard,
    fingerprint: String,
    alone: bool,
}

impl Pass {
    /// The request was answered in a way that proves the key.
    pub(super) fn proven(&self) {
        let mut keys = self.guard.lock();
        let key = keys.entry(self.fingerprint.clone()).or_default();
        key.refusals = 0;
        // An answer to a request from before the doubt does not settle it.
        if self.alone {
            key.alone = false;
        }
    }

    /// The request was answered 401; `second` when this request was refused before with the same key. Whether the key is now blocked.
    pub(super) fn refused(&self, second: bool, now: DateTime<Utc>) -> bool {
        let refusals = {
            let mut keys = self.guard.lock();
            let key = keys.entry(self.fingerprint.clone()).or_default();
            key.alone = true;
            key.refusals += 1;
            key.refusals
        };
        let blocked = self.guard.blocked_until(&self.fingerprint, now).is_some();
        if !blocked && (second || refusals >= REFUSALS) {
            self.guard.block(&self.fingerprint, now);
            return true;
        }
        blocked
    }
}

impl Drop for Pass {
    fn drop(&mut self) {
        if let Some(key) = self.guard.lock().get_mut(&self.fingerprint) {
            key.under_way = key.under_way.saturating_sub(1);
        }
        self.guard.0.changed.notify_waiters();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    async fn waits<T>(future: impl Future<Output = T>) -> bool {
        tokio::time::timeout(Duration::from_secs(1), future).await.is_err()
    }

    #[tokio::test(start_paused = true)]
    async fn an_unproven_key_is_tried_by_one_request_at_a_time() {
        let guard = KeyGuard::default();
        let early = guard.enter("k").await.unwrap();
        guard.doubt("k");
        assert!(
            waits(guard.enter("k")).await,
            "one from before the doubt is still under way"
        );
        early.proven();
        drop(early);
        let alone = guard.enter("k").await.unwrap();
        assert!(
            waits(guard.enter("k")).await,
            "an answer from before the doubt settles nothing"
        );
        assert!(!waits(guard.enter("other")).await, "other keys are not held up");
        alone.proven();
        let second = guard.enter("k").await.unwrap();
        let third = guard.enter("k").await.unwrap();
        drop((alone, second, third));
    }

    #[tokio::test(start_paused = true)]
    async fn two_refusals_block_and_are_reported_before_anybody_else_starts() {
        let told = Arc::new(Mutex::new(Vec::new()));
        let ear = Arc::clone(&told);
        let guard = KeyGuard::new(Arc::new(move |key, until| {
            ear.lock().unwrap().push((key.to_owned(), until));
        }));
        let now = crate::clock::now();
        let first = guard.enter("k").await.unwrap();
        assert!(!first.refused(false, now));
        drop(first);
        assert!(told.lock().unwrap().is_empty());
        let second = guard.enter("k").await.unwrap();
        let waiting = tokio::spawn({
            let guard = guard.clone();
            async move { guard.enter("k").await.map(drop) }
        });
        tokio::task::yield_now().await;
        assert!(second.refused(true, now));
        drop(second);
        let until = now + TimeDelta::minutes(15);
        assert_eq!(waiting.await.unwrap(), Err(until), "who waited fails at once");
        assert_eq!(guard.snapshot(), vec![("k".to_owned(), until)]);
        assert_eq!(*told.lock().unwrap(), guard.snapshot());
        assert_eq!(guard.blocked_until("k", until), None);
        let restarted = KeyGuard::default();
        restarted.restore(guard.snapshot());
        assert_eq!(restarted.enter("k").await.err(), Some(until));
        assert!(restarted.enter("changed").await.is_ok(), "a changed key is another key");
    }

    #[tokio::test(start_paused = true)]
    async fn a_proof_between_two_refusals_starts_the_count_anew() {
        let guard = KeyGuard::default();
        let now = crate::clock::now();
        for _ in 0..5 {
            let pass = guard.enter("k").await.unwrap();
            assert!(!pass.refused(false, now));
            drop(pass);
            guard.enter("k").await.unwrap().proven();
        }
    }
}
