//! Where the ledger of a configuration is.

use std::fmt;
use std::path::PathBuf;

/// Where the ledger is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum StateAt {
    /// In this directory, absolute.
    Directory(PathBuf),
    /// In this database.
    Postgres(PostgresState),
}

/// A database and how it is reached.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PostgresState {
    /// Hosts, ports, user and database; never a password.
    pub target: Box<tokio_postgres::Config>,
    /// The address as it was typed.
    pub url: String,
    /// The file with the password, as typed.
    pub password_file: Option<PathBuf>,
    /// The authorities that are trusted; `None`: the host's.
    pub ca: Option<PathBuf>,
}

impl fmt::Display for StateAt {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Directory(dir) => dir.display().fmt(f),
            Self::Postgres(state) => state.url.fmt(f),
        }
    }
}
