//! Heads of the chain that are known elsewhere and that the state does not contain: then it was set back.
//!
//! On a shared state a daemon that finds out writes the head that it knows into the state itself, so that every other one stops, too.

use std::collections::HashMap;

use serde::{Deserialize, Serialize};

use super::anchor_log::AnchoredHead;
use super::chain::{Kind, OPERATOR_ROWS};
use super::rows::{Chunks, row_if_any};
use super::sql::Tx;
use super::{Error, Fault, Person};

/// What the keys in `meta` of known heads begin with; the row, the hash, and as their value the host of whoever knew it.
const NOTE: &str = "known:";

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

/// The heads that people accepted to be missing.
fn accepted(tx: &Tx<'_>) -> Result<Vec<(i64, String)>, Error> {
    let operator_rows: Vec<(String, String)> = tx.all(OPERATOR_ROWS, (), |row| Ok((row.get(2)?, row.get(3)?)))?;
    let mut accepted = Vec::new();
    for (_, body) in operator_rows
        .iter()
        .filter(|(kind, _)| kind == Kind::AcceptRewind.as_str())
    {
        accepted.extend(serde_json::from_str::<AcceptRewindBody>(body)?.missing);
    }
    Ok(accepted)
}

/// Whether a person accepted that this head is missing.
pub(super) fn is_accepted(tx: &Tx<'_>, row: i64, hash: &str) -> Result<bool, Error> {
    Ok(accepted(tx)?.iter().any(|(known, of)| *known == row && of == hash))
}

/// Those that the chain does not have, and that nobody has accepted to be missing.
pub(super) fn missing(tx: &Tx<'_>, heads: &[AnchoredHead]) -> Result<Vec<AnchoredHead>, Error> {
    let there = hashes_of(tx, heads)?;
    let chunks = Chunks::default();
    let mut missing = Vec::new();
    for head in heads {
        if there.get(&head.row) == Some(&head.head) {
            continue;
        }
        // Packed, perhaps: a person acted during a run.
        if row_if_any(tx, &chunks, head.row)?.is_none_or(|row| row.hash != head.head) {
            missing.push(head.clone());
        }
    }
    if !missing.is_empty() {
        let accepted = accepted(tx)?;
        missing.retain(|head| {
            !accepted
                .iter()
                .any(|(row, hash)| (*row, hash) == (head.row, &head.head))
        });
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

/// Writes down a head that a process knows and the state lacks.
pub(super) fn note(tx: &Tx<'_>, row: i64, hash: &str, host: &str) -> Result<(), Error> {
    tx.execute(
        "INSERT INTO meta (key, value) VALUES (?1, ?2) ON CONFLICT (key) DO NOTHING",
        (format!("{NOTE}{row}:{hash}"), host),
    )?;
    Ok(())
}

/// The heads that were written down so, each with the host.
pub(super) fn noted(tx: &Tx<'_>) -> Result<Vec<(AnchoredHead, String)>, Error> {
    let sql = "SELECT key, value FROM meta WHERE key LIKE 'known:%' ORDER BY key";
    tx.all(sql, (), |row| {
        let (key, host): (String, String) = (row.get(0)?, row.get(1)?);
        let of = key.strip_prefix(NOTE).and_then(|key| key.split_once(':'));
        let head = of.and_then(|(row, head)| {
            Some(AnchoredHead {
                row: row.parse().ok()?,
                head: head.to_owned(),
                ..AnchoredHead::default()
            })
        });
        Ok((head.ok_or_else(|| Error::corrupt("a known head cannot be read"))?, host))
    })
}

/// Fails where a head that was written down so is missing.
pub(super) fn check_noted(tx: &Tx<'_>) -> Result<(), Error> {
    for (head, host) in noted(tx)? {
        if !missing(tx, std::slice::from_ref(&head))?.is_empty() {
            return Err(Error::of_file(Fault::SetBackFor { host, row: head.row }));
        }
    }
    Ok(())
}
