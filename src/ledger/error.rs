//! What can go wrong with the ledger, each with what to do about it.

use std::path::{Path, PathBuf};

use chrono::{DateTime, Utc};

use super::fault::Fault;
use super::records::PlacedFreeze;
use crate::retention::{BackupId, InstanceId};
use crate::wording::times::timestamp;

/// Why the ledger did not do what was asked. Whoever gets one deletes nothing on its strength.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// No file there, and this command makes none.
    #[error(
        "{}: there is no ledger here; `run` and `apply` make it: check `state_dir` or `state`, or start the daemon once",
        path.display()
    )]
    Missing {
        /// Where it was looked for.
        path: PathBuf,
    },
    /// The file, or the disk under it.
    #[error("{}: {fault}", path.display())]
    Storage {
        /// The file or directory.
        path: PathBuf,
        /// What is the matter with it; part of the message, so no further source in the chain.
        fault: Fault,
    },
    /// Outcomes that are not exactly one for each id of the intent.
    #[error("request {request}: outcomes do not match the intent: {what}; nothing was recorded")]
    OutcomesDiffer {
        /// The intent's row.
        request: i64,
        /// Which id, and how.
        what: String,
    },
    /// A request that was never intended, or that has its outcomes already.
    #[error("request {0} is not open: it was never intended, or is recorded already")]
    NotOpen(i64),
    /// An intent without the listing that justifies it.
    #[error("instance {0}: no listing justifies deleting from it; the batch is not sent")]
    NoListing(InstanceId),
    /// An id whose last request is still without an outcome.
    #[error(
        "backup {backup}: request {request} has no outcome yet; close the open requests first; the batch is not sent"
    )]
    StillOpen {
        /// The id.
        backup: BackupId,
        /// The row of the open intent.
        request: i64,
    },
    /// A batch whose transaction, shared with others, the disk refused.
    #[error("{0}; the batch that was to be written with others is not sent")]
    NotTried(String),
    /// The lock of another state directory, or one whose file is no longer there.
    #[error(
        "{}: the right to delete is lost: this lock file was removed or replaced while this process held it (or is of another \
         state directory), so another process may be deleting. Nothing more is sent. The file is never stale and never in the \
         way: leave it alone. The next run locks the file that is there now, once no other process has it",
        lock.display()
    )]
    WrongLock {
        /// The lock's file.
        lock: PathBuf,
    },
    /// A run that was never begun, or that is finished.
    #[error("run {0} is not under way: it was never begun, or is finished already")]
    NoSuchRun(String),
    /// Nothing to release.
    #[error("no active hold is called {0} or holds exactly that backup; `holds` lists them")]
    NoSuchHold(String),
    /// A hold that was released or has ended since, perhaps by another person, it was listed.
    #[error("hold {0} is not in force any more: it was released, or has ended; `holds --all` lists it")]
    HoldIsOver(String),
    /// A hold that lasts until its end.
    #[error(
        "hold {hold} is a compliance hold: nobody can release it before {}, not by this command, not by editing the configuration",
        timestamp(*until)
    )]
    ComplianceHold {
        /// Its id.
        hold: String,
        /// Its end.
        until: DateTime<Utc>,
    },
    /// A compliance hold without an end.
    #[error("a compliance hold needs an end, since nobody can release it before that")]
    EndlessCompliance,
    /// A hold or freeze that would be over before it is placed, by the clock of whoever wrote last.
    #[error(
        "it would end at {}, and the newest record of this state is of {}, so the clock of this machine is behind (or that of another one \
         was ahead): nothing was placed. Set the clock, or name a later end with --until",
        timestamp(*until), timestamp(*newest)
    )]
    EndsBeforeNow {
        /// Its end.
        until: DateTime<Utc>,
        /// When the last row of the chain was written.
        newest: DateTime<Utc>,
    },
    /// More than one hold on one backup.
    #[error("backup {backup} has several holds: release one of {} by its id", holds.join(", "))]
    SeveralHolds {
        /// The backup.
        backup: String,
        /// The holds' ids.
        holds: Vec<String>,
    },
    /// No freeze of that id.
    #[error("no freeze {0} is in force; `thaw` without an id names those that are")]
    NoSuchFreeze(String),
    /// A freeze that was ended, perhaps by another person, or is past its end.
    #[error("freeze {0} is not in force any more: it was ended, or is past its end; `audit export` tells who ended it")]
    FreezeIsOver(String),
    /// More than one freeze, and none named.
    #[error("several freezes are in force, so none was ended: name one, or add --all:{}", listed(.0))]
    SeveralFreezes(Vec<PlacedFreeze>),
}

/// A line for each freeze.
fn listed(freezes: &[PlacedFreeze]) -> String {
    let line = |placed: &PlacedFreeze| {
        let until = placed.freeze.until.map_or("`thaw`".to_owned(), timestamp);
        format!(
            "\n  {}: {}, until {until}, placed {}",
            placed.id,
            placed.freeze.reason,
            timestamp(placed.placed_at)
        )
    };
    freezes.iter().map(line).collect()
}

impl Error {
    pub(super) fn storage(path: &Path, fault: impl Into<Fault>) -> Self {
        Self::Storage {
            path: path.to_owned(),
            fault: fault.into(),
        }
    }

    /// A fault of the file, made where its name is not known.
    pub(super) fn of_file(fault: Fault) -> Self {
        Self::storage(Path::new(""), fault)
    }

    pub(super) fn corrupt(what: impl Into<String>) -> Self {
        Self::of_file(Fault::Corrupt(what.into()))
    }

    /// Names the file in an error that was made without knowing it.
    pub(super) fn at(mut self, file: &Path) -> Self {
        if let Self::Storage { path, .. } = &mut self
            && path.as_os_str().is_empty()
        {
            file.clone_into(path);
        }
        self
    }

    /// Whether it is of a database that several machines share.
    pub fn is_shared(&self) -> bool {
        matches!(self, Self::Storage { path, .. } if path.starts_with("postgres:"))
    }

    /// Whether the state that this process knew is not there any more: gone, replaced or set back; or the right to delete by
    /// it is. The guard refuses then.
    pub fn is_lost(&self) -> bool {
        matches!(self, Self::WrongLock { .. })
            || matches!(
                self.fault(),
                Some(
                    Fault::Gone
                        | Fault::Replaced
                        | Fault::Rewound { .. }
                        | Fault::SetBack { .. }
                        | Fault::SetBackFor { .. }
                )
            )
    }

    /// The fault of the file or disk, when that is what it is.
    pub fn fault(&self) -> Option<&Fault> {
        match self {
            Self::Storage { fault, .. } => Some(fault),
            _ => None,
        }
    }
}

impl From<std::io::Error> for Error {
    fn from(error: std::io::Error) -> Self {
        Self::of_file(Fault::Io(error))
    }
}

impl From<rusqlite::Error> for Error {
    fn from(error: rusqlite::Error) -> Self {
        Self::storage(Path::new(""), error)
    }
}

/// Rows hold JSON that this program wrote; JSON that cannot be read is damage.
impl From<serde_json::Error> for Error {
    fn from(error: serde_json::Error) -> Self {
        Self::corrupt(format!("a row's body: {error}"))
    }
}
