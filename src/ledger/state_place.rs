//! Where a ledger is.

use std::fmt;
use std::path::{Path, PathBuf};

use super::PostgresAddress;

/// Where a ledger is: in a directory, or in a database.
#[derive(Clone, Debug)]
pub enum StatePlace {
    /// A state directory.
    Directory(PathBuf),
    /// A database of PostgreSQL.
    Postgres(PostgresAddress),
}

impl fmt::Display for StatePlace {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Directory(dir) => dir.display().fmt(f),
            Self::Postgres(address) => address.fmt(f),
        }
    }
}

impl<P: AsRef<Path> + ?Sized> From<&P> for StatePlace {
    fn from(dir: &P) -> Self {
        Self::Directory(dir.as_ref().to_owned())
    }
}
