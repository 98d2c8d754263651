//! Whether the state contains the heads that earlier runs anchored outside of it; where it does not, it was set back.

use std::collections::HashMap;

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

use super::anchor_log::AnchoredHead;
use super::chain::{self, Kind, WORDS};
use super::rows::{Chunks, row_if_any};
use super::sql::Tx;
use super::{Actor, Error, Fault, Ledger, Person};

#[derive(Serialize, Deserialize)]
pub(super) struct AcceptRewindBody {
    /// The heads that are not here: row and hash.
    pub(super) missing: Vec<(i64, String)>,
    pub(super) by: String,
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub(super) reason: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub(super) person: Option<Person>,
}

/// Those that the chain does not have, and that nobody has accepted to be missing.
fn missing(tx: &Tx<'_>, heads: &[AnchoredHead]) -> Result<Vec<AnchoredHead>, Error> {
    let mut accepted = Vec::new();
    let words: Vec<(String, String)> = tx.all(WORDS, (), |row| Ok((row.get(2)?, row.get(3)?)))?;
    for (_, body) in words.iter().filter(|(kind, _)| kind == Kind::AcceptRewind.as_str()) {
        accepted.extend(serde_json::from_str::<AcceptRewindBody>(body)?.missing);
    }
    let there = hashes_of(tx, heads)?;
    let chunks = Chunks::default();
    let mut missing = Vec::new();
    for head in heads {
        if there.get(&head.row) == Some(&head.head) {
            continue;
        }
        // Packed, perhaps: a person acted during a run.
        let row = row_if_any(tx, &chunks, head.row)?;
        let is_accepted = || {
            accepted
                .iter()
                .any(|(row, hash)| (*row, hash) == (head.row, &head.head))
        };
        if row.is_none_or(|row| row.hash != head.head) && !is_accepted() {
            missing.push(head.clone());
        }
    }
    Ok(missing)
}

/// The hashes of these rows, of those that are not packed.
fn hashes_of(tx: &Tx<'_>, heads: &[AnchoredHead]) -> Result<HashMap<i64, String>, Error> {
    if heads.is_empty() {
        return Ok(HashMap::new());
    }
    let rows: Vec<String> = heads.iter().map(|head| head.row.to_string()).collect();
    let sql = format!("SELECT seq, hash FROM chain WHERE seq IN ({})", rows.join(", "));
    Ok(tx
        .all(&sql, (), |row| Ok((row.get(0)?, row.get(1)?)))?
        .into_iter()
        .collect())
}

impl Ledger {
    /// The last row of the chain, to be anchored.
    pub fn head_to_anchor(&self) -> Result<AnchoredHead, Error> {
        let (row, head) = self.read(chain::tail)?;
        Ok(AnchoredHead {
            state: self.path().display().to_string(),
            row,
            head,
        })
    }

    /// The anchored heads that are not in the state.
    pub fn missing_heads(&self, heads: &[AnchoredHead]) -> Result<Vec<AnchoredHead>, Error> {
        self.read(|tx| missing(tx, heads))
    }

    /// Fails where one of these heads is not in the state: then it was set back, and nothing is deleted.
    pub fn must_contain(&self, heads: &[AnchoredHead], place: &str) -> Result<(), Error> {
        let missing = self.missing_heads(heads)?;
        let Some(last) = missing.last() else { return Ok(()) };
        let fault = Fault::SetBack {
            heads: missing.len(),
            row: last.row,
            place: place.to_owned(),
        };
        Err(Error::storage(self.path(), fault))
    }

    /// Goes on without these heads; how many of them were missing.
    pub fn accept_rewind<'a>(
        &self,
        heads: &[AnchoredHead],
        actor: impl Into<Actor<'a>>,
        now: DateTime<Utc>,
    ) -> Result<usize, Error> {
        let actor = actor.into();
        self.write(|tx| {
            let missing: Vec<_> = missing(tx, heads)?
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
