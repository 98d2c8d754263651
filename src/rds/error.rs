//! What can go wrong with the cloud API, each with where it happened and what to do next.
//!
//! Not for the fate of single backups in a batch: that is [`super::DeletionAnswer`].

use std::fmt;

use chrono::{DateTime, Utc};
use thiserror::Error;

use super::failure::Cause;
use super::operation::Operation;
use crate::retention::{InstanceId, ProjectName};

/// Where it happened.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CallPlace {
    /// The project.
    pub project: ProjectName,
    /// What was asked.
    pub operation: Operation,
    /// Of which instance, if of one.
    pub instance: Option<InstanceId>,
}

impl fmt::Display for CallPlace {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "project {}, {}", self.project, self.operation.as_str())?;
        self.instance
            .as_ref()
            .map_or(Ok(()), |instance| write!(f, " of instance {instance}"))
    }
}

/// What the API said when it refused: shortened and free of control characters.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Said {
    /// Its code (`DBS.200002`, `APIGW.0301`); empty when it gave none.
    pub code: String,
    /// Its words; for a body that is not JSON, its beginning.
    pub message: String,
    /// The request id, for a support ticket.
    pub request_id: Option<String>,
}

impl fmt::Display for Said {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let code = if self.code.is_empty() { "no code" } else { &self.code };
        write!(
            f,
            "{code}: {}",
            if self.message.is_empty() {
                "no message"
            } else {
                &self.message
            }
        )?;
        self.request_id
            .as_ref()
            .map_or(Ok(()), |id| write!(f, " (request {id})"))
    }
}

/// Kinds of errors, as far as callers treat them differently.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Class {
    /// Credentials are missing, refused or blocked, or a permission is missing.
    NotAllowed,
    /// No connection, or no sensible answer.
    Unreachable,
    /// The API does not know the instance.
    NotFound,
    /// A listing whose pages do not agree.
    Disagreement,
    /// Still 429 after all attempts.
    Throttled,
    /// The configuration cannot work.
    Configuration,
}

/// An error of the cloud API's client.
#[derive(Debug, Error)]
pub enum Error {
    /// The settings cannot work as they are.
    #[error("project {project}: {message}")]
    Configuration {
        /// The project.
        project: ProjectName,
        /// What is wrong and what to do.
        message: String,
        /// The cause.
        #[source]
        source: Option<Cause>,
    },
    /// No credentials could be had.
    #[error("project {project}: no credentials")]
    Credentials {
        /// The project.
        project: ProjectName,
        /// Why.
        #[source]
        source: super::credentials::AuthError,
    },
    /// The access key was refused: nothing is sent with it for a while.
    #[error(
        "{place}: nothing was sent: access key {key} was refused (401) and is not used until {}, so that the API does not lock it; \
         fix the credentials",
        until.format("%Y-%m-%d %H:%M:%S UTC")
    )]
    KeyBlocked {
        /// Where.
        place: CallPlace,
        /// The beginning of the access key.
        key: String,
        /// Until when.
        until: DateTime<Utc>,
    },
    /// 401 or 403.
    #[error("{place}: not allowed (HTTP {status}, {said}); {hint}")]
    NotAllowed {
        /// Where.
        place: CallPlace,
        /// 401 or 403.
        status: u16,
        /// The API's words.
        said: Box<Said>,
        /// What to do.
        hint: String,
    },
    /// The API does not know the instance.
    #[error("{place}: not found (HTTP {status}, {said})")]
    NotFound {
        /// Where.
        place: CallPlace,
        /// The status, mostly 404.
        status: u16,
        /// The API's words.
        said: Box<Said>,
    },
    /// A read was refused for another reason.
    #[error("{place}: refused (HTTP {status}, {said})")]
    Refused {
        /// Where.
        place: CallPlace,
        /// The status.
        status: u16,
        /// The API's words.
        said: Box<Said>,
    },
    /// Still 429 after all attempts.
    #[error("{place}: throttled {attempts} times in a row ({said}); lower requests_per_second, or run at another time")]
    Throttled {
        /// Where.
        place: CallPlace,
        /// How often it was tried.
        attempts: u32,
        /// The API's words.
        said: Box<Said>,
    },
    /// No answer, or none that makes sense, after all attempts.
    #[error("{place}: {why} (attempts: {attempts}); check the endpoint, the network and the API's state")]
    Unreachable {
        /// Where.
        place: CallPlace,
        /// What happened.
        why: String,
        /// How often it was tried.
        attempts: u32,
        /// The cause.
        #[source]
        source: Option<Cause>,
    },
    /// A listing was read again and again and never agreed with itself.
    #[error("{place}: the listing is not complete after {reads} readings: {why}")]
    Disagreement {
        /// Where.
        place: CallPlace,
        /// How often the whole listing was read.
        reads: u32,
        /// What disagreed in the last reading.
        why: String,
    },
}

impl Error {
    /// How callers treat it.
    pub fn class(&self) -> Class {
        match self {
            Self::Configuration { .. } => Class::Configuration,
            Self::Credentials { .. } | Self::KeyBlocked { .. } | Self::NotAllowed { .. } => Class::NotAllowed,
            Self::NotFound { .. } => Class::NotFound,
            Self::Refused { .. } | Self::Unreachable { .. } => Class::Unreachable,
            Self::Throttled { .. } => Class::Throttled,
            Self::Disagreement { .. } => Class::Disagreement,
        }
    }

    /// A short name for metrics and ledger: the API's code, else the kind of error.
    pub fn code(&self) -> String {
        match self {
            Self::NotAllowed { status, said, .. }
            | Self::NotFound { status, said, .. }
            | Self::Refused { status, said, .. } => {
                if said.code.is_empty() {
                    status.to_string()
                } else {
                    said.code.clone()
                }
            }
            Self::Credentials { .. } => "no_credentials".to_owned(),
            Self::KeyBlocked { .. } => "key_blocked".to_owned(),
            Self::Throttled { .. } => "429".to_owned(),
            Self::Configuration { .. } => "configuration".to_owned(),
            Self::Unreachable { .. } => "unreachable".to_owned(),
            Self::Disagreement { .. } => "disagreement".to_owned(),
        }
    }

    /// The error and all its causes in one line; a cause that only repeats what stands before it is left out.
    pub fn chain(&self) -> String {
        crate::wording::error_chain(self)
    }
}
