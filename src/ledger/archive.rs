//! Old rows of the chain, many to a piece, compressed: the same text, sealed by the same hashes.
//!
//! A year of deletions is ten times smaller that way, and nothing of it is lost: `audit verify`, `audit export` and `why`
//! read a packed row as any other. Packed are intents, outcomes, settlements, what runs decided on and what became of grace periods;
//! runs, configurations and what people did stay as they are.

use std::ops::ControlFlow;

use chrono::{DateTime, TimeDelta, Utc};
use sha2::{Digest, Sha256};

use super::chain::{Kind, Row};
use super::records::IntentBody;
use super::rows::{pack, unpack};
use super::sql::Tx;
use super::sql_value::SqlValue;
use super::{Error, Ledger, chain};
use crate::retention::BackupId;

/// Rows younger than this stay as they are.
const KEPT_OPEN: TimeDelta = TimeDelta::days(30);
/// A piece is closed when it holds so many rows, or so much text.
const ROWS: usize = 256;
const TEXT: usize = 1 << 18;
/// At most so many pieces in one go, so that a run is not held up by a backlog.
const PIECES: usize = 32;

/// The intents that name a backup, in order.
pub(super) fn intents_of(tx: &Tx<'_>, backup: &BackupId) -> Result<Vec<i64>, Error> {
    let names = |row: &Row| -> Result<bool, Error> {
        let intent: IntentBody = serde_json::from_str(&row.body)?;
        Ok(intent.items.iter().any(|item| item.backup == *backup))
    };
    let mut found = Vec::new();
    let mut firsts = Vec::new();
    tx.each("SELECT first, ids FROM packed ORDER BY first", (), |piece| {
        if matches!(piece.value(1)?, SqlValue::Bytes(ids) if may_name(&ids, backup)) {
            firsts.push(piece.get::<i64>(0)?);
        }
        Ok(ControlFlow::Continue(()))
    })?;
    for first in firsts {
        let rows: Vec<u8> = tx
            .value("SELECT rows FROM packed WHERE first = ?1", [first])?
            .unwrap_or_default();
        for row in unpack(&rows)? {
            if row.kind == Kind::Intent.as_str() && names(&row)? {
                found.push(row.seq);
            }
        }
    }
    // The id as the row's JSON writes it.
    let needle = serde_json::to_string(backup)?;
    let sql = format!(
        "SELECT {} FROM chain WHERE kind = ?1 AND replace(body, ?2, '') <> body ORDER BY seq",
        chain::COLUMNS
    );
    tx.each(&sql, (Kind::Intent.as_str(), needle), |row| {
        let row = Row::read(row)?;
        if names(&row)? {
            found.push(row.seq);
        }
        Ok(ControlFlow::Continue(()))
    })?;
    Ok(found)
}

impl Ledger {
    /// Packs what is old: intents, outcomes and settlements of more than 30 days ago. How many rows it packed.
    pub fn pack(&self, now: DateTime<Utc>) -> Result<usize, Error> {
        let edge = chain::written(now - KEPT_OPEN);
        // All up to the last old one: a row that a wrong clock dated ahead holds nothing up.
        let sql = "SELECT seq FROM chain WHERE at < ?1 ORDER BY seq DESC LIMIT 1";
        let Some(upto) = self.read(|tx| tx.value::<i64>(sql, [edge]))? else {
            return Ok(0);
        };
        let mut packed = 0;
        for _ in 0..PIECES {
            if self.read(|tx| Ok(next_chunk(tx, upto)?.is_empty()))? {
                break;
            }
            packed += self.write_soon(|tx| {
                let rows = next_chunk(tx, upto)?;
                write_chunk(tx, &rows)?;
                Ok(rows.len())
            })?;
        }
        Ok(packed)
    }
}

/// The rows of the next piece, up to this one; empty until it is full. Never the very last of the chain, nor the last one about grace
/// periods, which says what these are now.
fn next_chunk(tx: &Tx<'_>, upto: i64) -> Result<Vec<Row>, Error> {
    let after = chain::last_packed(tx)?;
    // Of rows that are no details there are few.
    let sql = format!(
        "SELECT {} FROM chain WHERE seq > ?1 AND seq <= ?2 AND seq < (SELECT MAX(seq) FROM chain) \
         AND seq IS DISTINCT FROM (SELECT MAX(seq) FROM chain WHERE kind = 'grace') \
         AND kind IN ('intent', 'outcome', 'confirmed', 'returned', 'grace', 'decided') ORDER BY seq LIMIT {ROWS}",
        chain::COLUMNS
    );
    let (mut rows, mut text) = (Vec::new(), 0);
    tx.each(&sql, (after, upto), |row| {
        let row = Row::read(row)?;
        if Kind::parse(&row.kind).is_some_and(Kind::is_detail) {
            text += row.body.len();
            rows.push(row);
        }
        let is_full = rows.len() >= ROWS || text >= TEXT;
        Ok(if is_full {
            ControlFlow::Break(())
        } else {
            ControlFlow::Continue(())
        })
    })?;
    Ok(if rows.len() >= ROWS || text >= TEXT {
        rows
    } else {
        Vec::new()
    })
}

fn write_chunk(tx: &Tx<'_>, rows: &[Row]) -> Result<(), Error> {
    let (Some(first), Some(last)) = (rows.first(), rows.last()) else {
        return Ok(());
    };
    let mut ids = Vec::new();
    for row in rows.iter().filter(|row| row.kind == Kind::Intent.as_str()) {
        let intent: IntentBody = serde_json::from_str(&row.body)?;
        ids.extend(intent.items.iter().map(|item| fingerprint(&item.backup)));
    }
    ids.sort_unstable();
    tx.execute(
        "INSERT INTO packed (first, last, ids, rows) VALUES (?1, ?2, ?3, ?4)",
        (first.seq, last.seq, ids.concat(), pack(rows)?),
    )?;
    tx.execute_each("DELETE FROM chain WHERE seq = ?1", rows.iter().map(|row| [row.seq]))
}

/// A number that stands for an id, so that a piece without it need not be unpacked.
fn fingerprint(backup: &BackupId) -> [u8; 4] {
    let digest = Sha256::digest(backup.as_str());
    [digest[0], digest[1], digest[2], digest[3]]
}

fn may_name(ids: &[u8], backup: &BackupId) -> bool {
    let (ids, _) = ids.as_chunks::<4>();
    ids.binary_search(&fingerprint(backup)).is_ok()
}
