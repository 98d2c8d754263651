//! Rows of the chain, packed or not: the same text, sealed by the same hashes.

use std::cell::RefCell;
use std::collections::VecDeque;
use std::io::{Read, Write};
use std::rc::Rc;

use chrono::{DateTime, Utc};
use flate2::Compression;
use flate2::read::DeflateDecoder;
use flate2::write::DeflateEncoder;

use super::Error;
use super::chain::{COLUMNS, Row, read_time};
use super::sql::Tx;

/// No piece is larger, unpacked, than one row beyond its text.
const LARGEST: u64 = 64 << 20;

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

/// Each row as its number (8 bytes, big-endian) and its texts, each with its length before it (4 bytes, big-endian).
pub(super) fn pack(rows: &[Row]) -> Result<Vec<u8>, Error> {
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

pub(super) fn unpack(packed: &[u8]) -> Result<Vec<Row>, Error> {
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

/// The body of one row.
pub(super) fn body<T: serde::de::DeserializeOwned>(tx: &Tx<'_>, seq: i64) -> Result<T, Error> {
    Ok(serde_json::from_str(&row(tx, &Chunks::default(), seq)?.body)?)
}

/// One row, packed or not.
pub(super) fn row(tx: &Tx<'_>, pieces: &Chunks, seq: i64) -> Result<Row, Error> {
    row_if_any(tx, pieces, seq)?.ok_or_else(|| Error::corrupt(format!("row {seq} is missing")))
}

/// One row, packed or not, where it is there.
pub(super) fn row_if_any(tx: &Tx<'_>, pieces: &Chunks, seq: i64) -> Result<Option<Row>, Error> {
    let sql = format!("SELECT {COLUMNS} FROM chain WHERE seq = ?1");
    match tx.first(&sql, [seq], Row::read)? {
        Some(row) => Ok(Some(row)),
        None => pieces.row(tx, seq),
    }
}

/// Visits all rows in order, packed or not, until one says stop.
pub(super) fn rows<T>(tx: &Tx<'_>, mut visit: impl FnMut(Row) -> Result<Option<T>, Error>) -> Result<Option<T>, Error> {
    let mut packed = Unpacking::new(tx);
    // A page at a time: a PostgreSQL client would keep all rows in memory.
    let sql = format!("SELECT {COLUMNS} FROM chain WHERE seq > ?1 ORDER BY seq LIMIT 1000");
    let (mut page, mut last) = (Vec::new().into_iter(), i64::MIN);
    loop {
        if page.len() == 0 {
            page = tx.all(&sql, [last], Row::read)?.into_iter();
        }
        let next = page.next();
        while let Some(row) = packed.before(next.as_ref().map_or(i64::MAX, |row| row.seq))? {
            if let Some(stop) = visit(row)? {
                return Ok(Some(stop));
            }
        }
        let Some(row) = next else { return Ok(None) };
        last = row.seq;
        if let Some(stop) = visit(row)? {
            return Ok(Some(stop));
        }
    }
}

pub(super) fn time_of(tx: &Tx<'_>, pieces: &Chunks, seq: i64) -> Result<DateTime<Utc>, Error> {
    read_time(&row(tx, pieces, seq)?.at)
}
