//! The keys of one project, read when needed and renewed before they run out.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use chrono::{DateTime, TimeDelta, Utc};

use super::credential_sources::Reader;
use super::credentials::{AuthError, Credentials};

/// Keys are renewed when less of their life than this remains (the SDK's value) …
const RENEW_BELOW: TimeDelta = TimeDelta::minutes(40);
/// … and then not asked for more often than this: the service may give the same keys for a while.
const RENEW_EVERY: TimeDelta = TimeDelta::minutes(1);

#[derive(Debug)]
struct CachedCredentials {
    credentials: Arc<Credentials>,
    renew_at: Option<DateTime<Utc>>,
    stale: bool,
}

/// The present credentials of one project.
pub(super) struct CredentialCache {
    reader: Reader,
    held: Mutex<Option<CachedCredentials>>,
    /// One reading at a time.
    reading: tokio::sync::Mutex<()>,
}

impl CredentialCache {
    pub(super) fn new(reader: Reader) -> Self {
        Self {
            reader,
            held: Mutex::default(),
            reading: tokio::sync::Mutex::default(),
        }
    }

    /// The credentials to use now, read or renewed where needed.
    pub(super) async fn current(&self) -> Result<Arc<Credentials>, AuthError> {
        if let Some(credentials) = self.fresh(crate::clock::now()) {
            return Ok(credentials);
        }
        let _one = self.reading.lock().await;
        let now = crate::clock::now();
        if let Some(credentials) = self.fresh(now) {
            return Ok(credentials);
        }
        match self.reader.read().await {
            Ok(credentials) => Ok(self.hold(Arc::new(credentials), now)),
            Err(error) => self.valid_still(now).ok_or(error),
        }
    }

    /// Keys without a known end are read again before the next request: they may have been changed. Those of the
    /// metadata service are renewed by their time.
    pub(super) fn invalidate(&self) {
        if let Some(held) = &mut *self.lock() {
            held.stale |= held.renew_at.is_none();
        }
    }

    /// These were refused and are read again, if they are still the present ones; what another request renewed already is not renewed.
    pub(super) fn invalidate_if(&self, used: &Arc<Credentials>) {
        if let Some(held) = &mut *self.lock()
            && Arc::ptr_eq(&held.credentials, used)
        {
            held.stale = true;
        }
    }

    /// Whether these are still what [`Self::current`] would give.
    pub(super) fn is_current(&self, credentials: &Arc<Credentials>) -> bool {
        self.lock()
            .as_ref()
            .is_some_and(|held| !held.stale && Arc::ptr_eq(&held.credentials, credentials))
    }

    fn fresh(&self, now: DateTime<Utc>) -> Option<Arc<Credentials>> {
        let held = self.lock();
        let held = held
            .as_ref()
            .filter(|held| !held.stale && held.renew_at.is_none_or(|at| now < at))?;
        Some(Arc::clone(&held.credentials))
    }

    fn hold(&self, credentials: Arc<Credentials>, now: DateTime<Utc>) -> Arc<Credentials> {
        let renew_at = credentials.expires.map(|expires| renewal(expires, now));
        *self.lock() = Some(CachedCredentials {
            credentials: Arc::clone(&credentials),
            renew_at,
            stale: false,
        });
        credentials
    }

    /// When a renewal before time fails, temporary keys that have not run out and were not refused go on being used.
    fn valid_still(&self, now: DateTime<Utc>) -> Option<Arc<Credentials>> {
        let mut held = self.lock();
        let held = held.as_mut().filter(|held| !held.stale)?;
        let expires = held.credentials.expires.filter(|expires| now < *expires)?;
        held.renew_at = Some(renewal(expires, now));
        Some(Arc::clone(&held.credentials))
    }

    fn lock(&self) -> MutexGuard<'_, Option<CachedCredentials>> {
        self.held.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// When keys read at `now` are to be renewed: when less than 40 minutes or half of what is left remains, whichever comes first; not sooner
/// than in a minute, or a quarter of what is left.
fn renewal(expires: DateTime<Utc>, now: DateTime<Utc>) -> DateTime<Utc> {
    let left = (expires - now).max(TimeDelta::zero());
    let soonest = now + RENEW_EVERY.min(left / 4);
    (expires - RENEW_BELOW.max(left / 2)).max(soonest)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn temporary_keys_are_renewed_in_time_and_not_all_the_time() {
        let now = crate::clock::now();
        let in_minutes = |minutes| (renewal(now + TimeDelta::minutes(minutes), now) - now).num_seconds();
        assert_eq!(in_minutes(24 * 60), 12 * 3600, "half of a long life");
        assert_eq!(in_minutes(60), 20 * 60, "40 minutes remain");
        assert_eq!(in_minutes(30), 60, "short: once a minute");
        assert_eq!(in_minutes(2), 30, "very short: before it runs out");
        assert_eq!(in_minutes(-5), 0, "run out: at once");
    }
}
