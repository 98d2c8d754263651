//! Old rows of the chain, many to a piece, compressed: the same text, sealed by the same hashes.
//!
//! A year of deletions is ten times smaller that way, and nothing of it is lost: `audit verify`, `audit export` and `why`
//! read a packed row as any other. Packed are intents, outcomes and settlements; runs and what people did stay as they are.

use std::cell::RefCell;
use std::collections::VecDeque;
use std::io::{Read, Write};
use std::ops::ControlFlow;
use std::rc::Rc;

use chrono::{DateTime, TimeDelta, Utc};
use flate2::Compression;
use flate2::read::DeflateDecoder;
use flate2::write::DeflateEncoder;
use sha2::{Digest, Sha256};

use super::chain::{self, Kind, Row};
use super::requests::IntentBody;
use super::sql::{SqlValue, Tx};
use super::{Error, Ledger};
use crate::retention::BackupId;

/// Rows younger than this stay as they are.
const KEPT_OPEN: TimeDelta = TimeDelta::days(30);
/// A piece is closed when it holds so many rows, or so much text.
const ROWS: usize = 256;
const TEXT: usize = 1 << 18;
/// No piece is larger, unpacked, than one row beyond its text.
const LARGEST: u64 = 64 << 20;
/// At most so many pieces in one go, so that a run is not held up by a backlog.
const PIECES: usize = 32;

/// One piece, unpacked.
struct Chunk {
    first: i64,
    last: i64,
    rows: Vec<Row>,
}

/// The pieces that were looked into last: neighbours are asked for one after another.
#[derive(Default)]
pub(super) struct Chunks(RefCell<VecDeque<Rc<Chunk>>>);

impl Chunks {
    const KEPT: usize = 4;

    /// A packed row; `None` when there is none of this number.
    pub(super) fn row(&self, tx: &Tx<'_>, seq: i64) -> Result<Option<Row>, Error> {
        let row = |piece: &Rc<Chunk>| {
            let at = piece.rows.binary_search_by_key(&seq, |row| row.seq).ok()?;
            Some(piece.rows[at].clone())
        };
        let known = |piece: &&Rc<Chunk>| (piece.first..=piece.last).contains(&seq);
        if let Some(piece) = self.0.borrow().iter().find(known) {
            return Ok(row(piece));
        }
        let sql = "SELECT first, last, rows FROM packed WHERE first <= ?1 ORDER BY first DESC LIMIT 1";
        let found: Option<(i64, i64, Vec<u8>)> =
            tx.first(sql, [seq], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?)))?;
        let Some((first, last, packed)) = found.filter(|(_, last, _)| seq <= *last) else {
            return Ok(None);
        };
        let rows = unpack(&packed)?;
        let piece = Rc::new(Chunk { first, last, rows });
        let found = row(&piece);
        let mut pieces = self.0.borrow_mut();
        pieces.truncate(Self::KEPT - 1);
        pieces.push_front(piece);
        Ok(found)
    }
}

/// Visits all packed rows in order, piece by piece.
pub(super) struct Unpacking<'a> {
    tx: &'a Tx<'a>,
    /// The last piece that was read.
    read: i64,
    rows: VecDeque<Row>,
}

impl<'a> Unpacking<'a> {
    pub(super) fn new(tx: &'a Tx<'a>) -> Self {
        let rows = VecDeque::new();
        Self {
            tx,
            read: i64::MIN,
            rows,
        }
    }

    /// The next row, if it comes before that one.
    pub(super) fn before(&mut self, seq: i64) -> Result<Option<Row>, Error> {
        while self.rows.is_empty() {
            let sql = "SELECT first, rows FROM packed WHERE first > ?1 ORDER BY first LIMIT 1";
            let next: Option<(i64, Vec<u8>)> = self.tx.first(sql, [self.read], |row| Ok((row.get(0)?, row.get(1)?)))?;
            let Some((first, packed)) = next else { return Ok(None) };
            self.read = first;
            self.rows = unpack(&packed)?.into();
        }
        Ok(if self.rows.front().is_some_and(|row| row.seq < seq) {
            self.rows.pop_front()
        } else {
            None
        })
    }
}

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
        let mut packed = 0;
        for _ in 0..PIECES {
            if self.read(|tx| Ok(next_chunk(tx, &edge)?.is_empty()))? {
                break;
            }
            packed += self.write_soon(|tx| {
                let rows = next_chunk(tx, &edge)?;
                write_chunk(tx, &rows)?;
                Ok(rows.len())
            })?;
        }
        Ok(packed)
    }
}

/// The rows of the next piece; empty until it is full.
fn next_chunk(tx: &Tx<'_>, edge: &str) -> Result<Vec<Row>, Error> {
    let after = tx.number("SELECT COALESCE(MAX(last), 0) FROM packed", ())?;
    // All up to the last old one: a row that a wrong clock dated ahead holds nothing up. Never the very last of the chain.
    let sql = "SELECT seq FROM chain WHERE at < ?1 ORDER BY seq DESC LIMIT 1";
    let upto: Option<i64> = tx.value(sql, [edge])?;
    // Of rows that are no details there are few.
    let sql = format!(
        "SELECT {} FROM chain WHERE seq > ?1 AND seq <= ?2 AND seq < (SELECT MAX(seq) FROM chain) \
         AND kind IN ('intent', 'outcome', 'confirmed', 'returned') ORDER BY seq LIMIT {ROWS}",
        chain::COLUMNS
    );
    let (mut rows, mut text) = (Vec::new(), 0);
    tx.each(&sql, (after, upto.unwrap_or(0)), |row| {
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

/// Each row as its number (8 bytes, big-endian) and its texts, each with its length before it (4 bytes, big-endian).
fn pack(rows: &[Row]) -> Result<Vec<u8>, Error> {
    let fail = |error: std::io::Error| Error::corrupt(format!("a piece cannot be packed: {error}"));
    let mut out = DeflateEncoder::new(Vec::new(), Compression::default());
    for row in rows {
        out.write_all(&row.seq.to_be_bytes()).map_err(fail)?;
        for text in [&row.at, &row.kind, &row.body, &row.prev, &row.hash] {
            let length = u32::try_from(text.len()).map_err(|_| Error::corrupt("a row of more than 4 GiB"))?;
            out.write_all(&length.to_be_bytes()).map_err(fail)?;
            out.write_all(text.as_bytes()).map_err(fail)?;
        }
    }
    out.finish().map_err(fail)
}

fn unpack(packed: &[u8]) -> Result<Vec<Row>, Error> {
    let mut text = Vec::new();
    DeflateDecoder::new(packed)
        .take(LARGEST)
        .read_to_end(&mut text)
        .map_err(|error| Error::corrupt(format!("a packed piece: {error}")))?;
    let mut left = text.as_slice();
    let mut rows = Vec::new();
    while !left.is_empty() {
        let row = unpack_row(&mut left).ok_or_else(|| Error::corrupt("a packed piece ends in the middle of a row"))?;
        rows.push(row);
    }
    Ok(rows)
}

fn unpack_row(left: &mut &[u8]) -> Option<Row> {
    let (seq, rest) = left.split_first_chunk::<8>()?;
    *left = rest;
    let mut text = || {
        let (length, rest) = left.split_first_chunk::<4>()?;
        let (text, rest) = rest.split_at_checked(usize::try_from(u32::from_be_bytes(*length)).ok()?)?;
        *left = rest;
        String::from_utf8(text.to_vec()).ok()
    };
    Some(Row {
        seq: i64::from_be_bytes(*seq),
        at: text()?,
        kind: text()?,
        body: text()?,
        prev: text()?,
        hash: text()?,
    })
}
