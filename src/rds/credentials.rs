//! Access keys: how they are kept, renewed and named. Where they are read from is in `sources`.
//!
//! Secrets live in [`SecretString`]: no debug print, log or error shows them; of an access key the first four characters
//! are shown. Not for whether a key may be used: that is `keys`.

use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;

use chrono::{DateTime, Utc};
use secrecy::{ExposeSecret, SecretString};
use sha2::{Digest, Sha256};
use thiserror::Error;
use url::Url;

use super::failure::Cause;

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
    /// A file could have been written by a user who must not choose the credentials.
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
    #[error("{elsewhere}the ECS metadata service at {endpoint} gave no keys: {why}; is an agency bound to this ECS?")]
    Metadata {
        /// Where else there are none; empty, or a clause that ends in `and `.
        elsewhere: &'static str,
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

#[cfg(test)]
mod tests {
    use super::*;

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
