//! What a state says that was moved elsewhere, and what a copy says of which the original does not say so yet.
//!
//! One commit decides a move: the one by which the original says that it was moved. Before that the copy is not used, and after it the original
//! is not. Both say so where the time is that they were made, too: a program that does not know of moves cannot read that, and shows it.

use std::path::PathBuf;

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

use super::sql::Tx;
use super::{Error, Fault, Person, PostgresAddress, StatePlace};
use crate::wording::times::timestamp;

/// In `meta`.
const KEY: &str = "moved";

/// The row of the chain of a move.
#[derive(Serialize, Deserialize)]
pub(super) struct MoveBody {
    pub(super) from: String,
    pub(super) to: String,
    pub(super) by: String,
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub(super) reason: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub(super) person: Option<Person>,
}

/// What one end of a move says.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct MoveMark {
    /// The same at both ends of a move.
    pub(super) id: String,
    /// The other end, as people know it.
    pub(super) other: String,
    pub(super) at: DateTime<Utc>,
    /// When the ledger was made.
    pub(super) created_at: String,
    /// How the original of a copy is reached; `None` on the original.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub(super) original: Option<OriginalPlace>,
}

/// How the original is reached; no secret is in it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum OriginalPlace {
    Directory(PathBuf),
    Postgres {
        url: String,
        password_file: Option<PathBuf>,
        ca: Option<PathBuf>,
    },
}

impl From<&StatePlace> for OriginalPlace {
    fn from(place: &StatePlace) -> Self {
        match place {
            StatePlace::Directory(dir) => Self::Directory(dir.clone()),
            StatePlace::Postgres(address) => Self::Postgres {
                url: address.url(),
                password_file: address.password_file.clone(),
                ca: address.ca.clone(),
            },
        }
    }
}

impl OriginalPlace {
    /// `None` where it is no address.
    pub(super) fn to_place(&self) -> Option<StatePlace> {
        match self {
            Self::Directory(dir) => Some(StatePlace::Directory(dir.clone())),
            Self::Postgres { url, password_file, ca } => Some(StatePlace::Postgres(PostgresAddress {
                target: Box::new(url.parse().ok()?),
                password_file: password_file.clone(),
                ca: ca.clone(),
            })),
        }
    }
}

impl MoveMark {
    fn fault(self) -> Fault {
        let at = timestamp(self.at);
        match self.original {
            None => Fault::Moved { to: self.other, at },
            Some(_) => Fault::Unfinished(self.other),
        }
    }

    /// Writes it down: from this commit on nothing here is read or written.
    pub(super) fn write(&self, tx: &Tx<'_>) -> Result<(), Error> {
        set_created_at(tx, &self.clone().fault().to_string())?;
        tx.execute(
            "INSERT INTO meta (key, value) VALUES (?1, ?2)",
            (KEY, serde_json::to_string(self)?),
        )?;
        Ok(())
    }

    /// Takes it away: from this commit on the copy is the state.
    pub(super) fn take_away(&self, tx: &Tx<'_>) -> Result<(), Error> {
        set_created_at(tx, &self.created_at)?;
        tx.execute("DELETE FROM meta WHERE key = ?1", [KEY])?;
        Ok(())
    }
}

fn set_created_at(tx: &Tx<'_>, text: &str) -> Result<(), Error> {
    tx.execute("UPDATE meta SET value = ?1 WHERE key = 'created_at'", [text])?;
    Ok(())
}

/// What this end of a move says, if it is one.
pub(super) fn read(tx: &Tx<'_>) -> Result<Option<MoveMark>, Error> {
    let mark: Option<String> = tx.value("SELECT value FROM meta WHERE key = ?1", [KEY])?;
    Ok(mark.map(|mark| serde_json::from_str(&mark)).transpose()?)
}

/// Fails where the state is not here any more, or not yet.
pub(super) fn check(tx: &Tx<'_>) -> Result<(), Error> {
    match read(tx)? {
        Some(mark) => Err(Error::of_file(mark.fault())),
        None => Ok(()),
    }
}
