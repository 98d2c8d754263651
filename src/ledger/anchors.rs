//! Whether the state contains the heads that earlier runs anchored outside of it; where it does not, it was set back.

use std::path::Path;

use chrono::{DateTime, Utc};

use super::anchor_log::{AnchoredHead, StateKey};
use super::chain::{self, Kind};
use super::rows::{Chunks, row_if_any};
use super::set_back::{self, AcceptRewindBody, missing};
use super::state_file::LEDGER;
use super::{Actor, Error, Fault, Ledger, StatePlace};

/// Where a state is by its name: the ledger's path as it is written, links and all, or the database.
fn named(place: &StatePlace) -> String {
    match place {
        StatePlace::Directory(dir) => {
            let dir = std::path::absolute(dir).unwrap_or_else(|_| dir.clone());
            dir.join(LEDGER).display().to_string()
        }
        StatePlace::Postgres(address) => address.to_string(),
    }
}

/// By what the heads of a state are found that is not there.
pub fn key_of_missing(place: &StatePlace) -> StateKey {
    let mut places = vec![named(place)];
    if let StatePlace::Directory(dir) = place
        && let (Some(parent), Some(name)) = (dir.parent(), dir.file_name())
        && let Ok(parent) = parent.canonicalize()
    {
        places.push(parent.join(name).join(LEDGER).display().to_string());
    }
    StateKey { places, origin: None }
}

/// The error where heads of a state are anchored that is not there.
pub fn must_be_there(place: &StatePlace, heads: &[AnchoredHead], log: &str) -> Result<(), Error> {
    let Some(last) = heads.last() else { return Ok(()) };
    Err(set_back_by(Path::new(&named(place)), heads.len(), last, log))
}

fn set_back_by(path: &Path, heads: usize, last: &AnchoredHead, log: &str) -> Error {
    let fault = Fault::SetBack {
        heads,
        row: last.row,
        place: log.to_owned(),
    };
    Error::storage(path, fault)
}

impl Ledger {
    /// By what its heads are found; it is at `place` by its name.
    pub fn state_key(&self, place: &StatePlace) -> Result<StateKey, Error> {
        let first = self.read(|tx| row_if_any(tx, &Chunks::default(), 1))?;
        let mut places = vec![self.path().display().to_string(), named(place)];
        places.dedup();
        Ok(StateKey {
            places,
            origin: first.map(|row| row.hash),
        })
    }

    /// The last row of the chain, to be anchored.
    pub fn head_to_anchor(&self, place: &StatePlace) -> Result<AnchoredHead, Error> {
        let StateKey { places, origin } = self.state_key(place)?;
        let (row, head) = self.read(chain::tail)?;
        let mut places = places.into_iter();
        Ok(AnchoredHead {
            state: places.next().unwrap_or_default(),
            named: places.next(),
            origin,
            row,
            head,
        })
    }

    /// The anchored heads that are not in the state.
    pub fn missing_heads(&self, heads: &[AnchoredHead]) -> Result<Vec<AnchoredHead>, Error> {
        self.read(|tx| missing(tx, heads))
    }

    /// Whether a daemon wrote down that the state was set back.
    pub fn has_noted_heads(&self) -> Result<bool, Error> {
        self.read(|tx| Ok(!set_back::noted(tx)?.is_empty()))
    }

    /// Fails where another daemon knows a head that is not in the state.
    pub fn must_contain_noted(&self) -> Result<(), Error> {
        self.read(set_back::check_noted)
    }

    /// Fails where one of these heads is not in the state: then it was set back, and nothing is deleted.
    pub fn must_contain(&self, heads: &[AnchoredHead], place: &str) -> Result<(), Error> {
        let missing = self.missing_heads(heads)?;
        let Some(last) = missing.last() else { return Ok(()) };
        Err(set_back_by(self.path(), missing.len(), last, place))
    }

    /// Goes on without these heads, and without those that daemons wrote down; how many of them were missing.
    pub fn accept_rewind<'a>(
        &self,
        heads: &[AnchoredHead],
        actor: impl Into<Actor<'a>>,
        now: DateTime<Utc>,
    ) -> Result<usize, Error> {
        let actor = actor.into();
        self.write(|tx| {
            let noted = set_back::noted(tx)?.into_iter().map(|(head, _)| head);
            let heads: Vec<_> = heads.iter().cloned().chain(noted).collect();
            let missing: Vec<_> = missing(tx, &heads)?
                .into_iter()
                .map(|head| (head.row, head.head))
                .collect();
            if missing.is_empty() {
                return Ok(0);
            }
            let body = AcceptRewindBody {
                missing,
                by: actor.by.to_owned(),
                reason: actor.reason.map(str::to_owned),
                person: actor.person(tx)?,
            };
            chain::append(tx, now, Kind::AcceptRewind, &body)?;
            Ok(body.missing.len())
        })
    }
}
