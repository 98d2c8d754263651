//! Access keys: how they are kept, renewed and named. Where they are read from is in `sources`.
//!
//! Secrets live in [`SecretString`]: no debug print, log or error shows them; of an access key the first four characters
//! are shown. Not for whether a key may be used: that is `keys`.

use std::fmt;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use chrono::{DateTime, TimeDelta, Utc};
use secrecy::{ExposeSecret, SecretString};
use sha2::{Digest, Sha256};
use thiserror::Error;
use url::Url;

use super::credential_sources::Reader;
use super::error::Cause;

/// Looks up an environment variable. A value, so that tests need not touch the process's environment.
pub type Env = Arc<dyn Fn(&str) -> Option<String> + Send + Sync>;

/// The process's environment; an empty variable is one that is not set.
pub fn process_env() -> Env {
    Arc::new(|name| std::env::var(name).ok().filter(|value| !value.is_empty()))
}

/// Where credentials come from (contract, section 1). Read when needed, not when configured.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub enum CredentialSource {
    /// The first that has any: environment, systemd credentials, profile, ECS agency.
    #[default]
    Chain,
    /// `HUAWEICLOUD_SDK_AK`, `_SK`, `_SECURITY_TOKEN`.
    Environment,
    /// The SDK's INI file.
    Profile {
        /// The file; else `$HUAWEICLOUD_SDK_CREDENTIALS_FILE`, else `~/.huaweicloud/credentials`.
        path: Option<PathBuf>,
        /// The section; else `basic`.
        profile: Option<String>,
    },
    /// One file a secret; relative names are taken in `$CREDENTIALS_DIRECTORY`.
    Files {
        /// Holds the access key.
        access_key_file: PathBuf,
        /// Holds the secret key.
        secret_key_file: PathBuf,
        /// Holds the security token of temporary keys.
        security_token_file: Option<PathBuf>,
    },
    /// Temporary keys of the agency that is bound to this ECS.
    EcsAgency {
        /// The metadata service.
        endpoint: Url,
    },
}

/// Why there are no credentials. Never holds a secret.
#[derive(Debug, Error)]
pub enum AuthError {
    /// A file is longer than any secret.
    #[error("{} is larger than {} KiB, so it is no file of credentials", path.display(), most >> 10)]
    TooLong {
        /// The file.
        path: PathBuf,
        /// So many bytes are read.
        most: u64,
    },
    /// A source lacks something.
    #[error("{0}")]
    Missing(String),
    /// A file cannot be read.
    #[error("cannot read {}", path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// The cause.
        #[source]
        source: std::io::Error,
    },
    /// A pipe, a device, a directory.
    #[error("{}: it is no regular file", path.display())]
    NoFile {
        /// Its name.
        path: PathBuf,
    },
    /// A file could have been written by somebody who must not choose the credentials.
    #[error("{} may be written by {by} (mode {mode:04o}): chmod go-w, then make sure of what is in it", path.display())]
    Writable {
        /// The file.
        path: PathBuf,
        /// Who may write it.
        by: &'static str,
        /// Its permission bits.
        mode: u32,
    },
    /// The metadata service gave no keys.
    #[error("the ECS metadata service at {endpoint} gave no keys: {why}; is an agency bound to this ECS?")]
    Metadata {
        /// Its address.
        endpoint: String,
        /// What happened.
        why: String,
        /// The cause.
        #[source]
        source: Option<Cause>,
    },
}

/// One set of keys.
pub struct Credentials {
    pub(super) access_key: String,
    pub(super) secret_key: SecretString,
    pub(super) security_token: Option<SecretString>,
    /// When temporary keys of the metadata service run out.
    pub(super) expires: Option<DateTime<Utc>>,
    /// The project id that stands beside the keys. It decides nothing; one that differs draws a warning.
    pub(super) project_id: Option<String>,
    fingerprint: Fingerprint,
}

impl Credentials {
    pub(super) fn new(
        access_key: String,
        secret_key: SecretString,
        security_token: Option<SecretString>,
        expires: Option<DateTime<Utc>>,
    ) -> Self {
        let token = security_token.as_ref().map(ExposeSecret::expose_secret);
        let fingerprint = fingerprint(&access_key, secret_key.expose_secret(), token);
        Self {
            access_key,
            secret_key,
            security_token,
            expires,
            project_id: None,
            fingerprint,
        }
    }

    pub(super) fn with_project_id(mut self, id: Option<String>) -> Self {
        self.project_id = id;
        self
    }

    /// The name of these keys for [`super::KeyLockout`].
    pub fn fingerprint(&self) -> &Fingerprint {
        &self.fingerprint
    }

    /// The first four characters of the access key and an ellipsis: enough to recognise it.
    pub fn masked(&self) -> String {
        // Of a key hardly longer than that, nothing is shown.
        let shown = if self.access_key.chars().count() >= 12 { 4 } else { 0 };
        self.access_key
            .chars()
            .take(shown)
            .chain(std::iter::once('…'))
            .collect()
    }
}

impl fmt::Debug for Credentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Credentials")
            .field("access_key", &self.masked())
            .field("expires", &self.expires)
            .finish_non_exhaustive()
    }
}

/// Names keys without being them, or telling any of them.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Fingerprint {
    /// Of the access key alone: hex SHA-256.
    pub access_key: String,
    /// Of access key, secret key and token: another one when any of them changes.
    pub whole: String,
}

/// How often the digest of the whole is repeated: it is kept in the ledger, and makes each guess at a secret cost as much.
const ROUNDS: usize = 1_000;

/// The fingerprint of a set of keys.
pub fn fingerprint(access_key: &str, secret_key: &str, security_token: Option<&str>) -> Fingerprint {
    let mut digest = Sha256::new();
    for part in [access_key, secret_key, security_token.unwrap_or_default()] {
        // The length keeps ("ab", "c") from being ("a", "bc").
        digest.update((part.len() as u64).to_be_bytes());
        digest.update(part);
    }
    let mut whole = digest.finalize();
    for _ in 1..ROUNDS {
        whole = Sha256::new().chain_update(whole).chain_update(access_key).finalize();
    }
    Fingerprint {
        access_key: hex::encode(Sha256::digest(access_key.as_bytes())),
        whole: hex::encode(whole),
    }
}

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

    /// Keys without a known end are read again before the next request: somebody may have changed them. Those of the
    /// metadata service are renewed by their time.
    pub(super) fn invalidate(&self) {
        if let Some(held) = &mut *self.lock() {
            held.stale |= held.renew_at.is_none();
        }
    }

    /// These were refused and are read again, if they are still the present ones; nobody renews what another request renewed already.
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

    #[test]
    fn debug_and_mask_show_no_secret() {
        let credentials = Credentials::new(
            "AKIDEXAMPLE0001".into(),
            "s3cret-key".into(),
            Some("t0ken".into()),
            None,
        );
        let shown = format!("{credentials:?}");
        assert!(shown.contains("AKID…") && !shown.contains("AKIDE"), "{shown}");
        assert!(!shown.contains("s3cret") && !shown.contains("t0ken"), "{shown}");
        let short = Credentials::new("short".into(), "x".into(), None, None);
        assert_eq!(short.masked(), "…");
        assert_eq!(
            fingerprint("abc", "s", None).access_key,
            "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
        );
    }

    #[test]
    fn a_fingerprint_changes_with_each_part_of_a_key() {
        let parts = [
            ("a", "bc", None),
            ("ab", "c", None),
            ("a", "b", Some("c")),
            ("a", "b", None),
            ("a", "c", None),
        ];
        let prints: std::collections::HashSet<String> = parts
            .into_iter()
            .map(|(access_key, secret, token)| fingerprint(access_key, secret, token).whole)
            .collect();
        assert_eq!(prints.len(), parts.len());
    }
}
