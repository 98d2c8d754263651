//! What the metadata service grants, and what it has given out.

use std::time::Duration;

use super::auth::Key;

/// How the metadata service treats its own token.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum MetadataToken {
    /// Given when asked for, never needed.
    Optional,
    /// Without one the keys are refused (401).
    Required,
    /// The old service: 404 for the token, keys without one.
    Unsupported,
}

/// What the metadata service grants.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Agency {
    /// How it treats its own token.
    pub token: MetadataToken,
    /// How long a temporary key lives. It is replaced when a sixth of that is left; the old one works to its end.
    pub key_lives: Duration,
    /// False: no agency is bound to the machine, and no key is given.
    pub bound: bool,
}

impl Default for Agency {
    fn default() -> Self {
        Self {
            token: MetadataToken::Optional,
            key_lives: Duration::from_secs(3600),
            bound: true,
        }
    }
}

/// What the metadata service remembers.
#[derive(Debug, Default)]
pub(super) struct Issued {
    pub(super) tokens: Vec<String>,
    pub(super) current: Option<Key>,
    pub(super) number: usize,
}
