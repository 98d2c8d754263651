//! The hash chain: rows that are appended and never changed, each sealed over the one before.
//!
//! `hash` is the SHA-256 in lower-case hex of `seq` (8 bytes, big-endian), then of `at`, `kind`, `body` and `prev`, each
//! with its length in bytes before it (8 bytes, big-endian). `body` is compact JSON, hashed as the text it is. The first
//! row's `prev` is 64 zeros.
//!
//! What it proves: no row was changed, removed, put in or moved, short of writing the whole rest again. Rows cut off at
//! the end are noticed as long as `meta` was not changed with them; against that, each run logs its head, and
//! `audit verify --head` asks for it.

use std::io::Write;

use chrono::{DateTime, SecondsFormat, Utc};
use serde::Serialize;
use sha2::{Digest, Sha256};

use super::archive::{Chunks, Unpacking};
use super::sql::{FoundRow, Tx};
use super::verify::Replay;
use super::{Error, Fault, Ledger};

/// What stands before the first row.
pub(super) const GENESIS: &str = "0000000000000000000000000000000000000000000000000000000000000000";

/// What a row is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Created,
    RunBegun,
    Intent,
    Outcome,
    Withdrawn,
    Confirmed,
    Returned,
    RunFinished,
    Hold,
    Release,
    Freeze,
    Thaw,
    Approve,
    ApproveListing,
}

impl Kind {
    pub(super) const ALL: [Self; 14] = [
        Self::Created,
        Self::RunBegun,
        Self::Intent,
        Self::Outcome,
        Self::Withdrawn,
        Self::Confirmed,
        Self::Returned,
        Self::RunFinished,
        Self::Hold,
        Self::Release,
        Self::Freeze,
        Self::Thaw,
        Self::Approve,
        Self::ApproveListing,
    ];

    pub(super) fn as_str(self) -> &'static str {
        match self {
            Self::Created => "created",
            Self::RunBegun => "run_begun",
            Self::Intent => "intent",
            Self::Outcome => "outcome",
            Self::Withdrawn => "withdrawn",
            Self::Confirmed => "confirmed",
            Self::Returned => "returned",
            Self::RunFinished => "run_finished",
            Self::Hold => "hold",
            Self::Release => "release",
            Self::Freeze => "freeze",
            Self::Thaw => "thaw",
            Self::Approve => "approve",
            Self::ApproveListing => "approve_listing",
        }
    }

    pub(super) fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.as_str() == text)
    }

    /// About single backups: by far the most of a ledger, and packed when old.
    pub(super) fn is_detail(self) -> bool {
        matches!(self, Self::Intent | Self::Outcome | Self::Confirmed | Self::Returned)
    }
}

/// What `audit verify` found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verification {
    /// Every row is as it was written.
    Intact {
        /// How many there are.
        rows: u64,
        /// The last one's hash.
        head: String,
    },
    /// Something was changed.
    Broken {
        /// The first row that is not as it was written, or the last good one where rows are missing after it.
        row: u64,
        /// What is wrong with it.
        what: String,
    },
}

/// An instant as rows of the chain write it.
pub(super) fn written(at: DateTime<Utc>) -> String {
    at.to_rfc3339_opts(SecondsFormat::Micros, true)
}

fn hash(seq: i64, at: &str, kind: &str, body: &str, prev: &str) -> String {
    let mut digest = Sha256::new();
    digest.update(seq.to_be_bytes());
    for field in [at, kind, body, prev] {
        digest.update((field.len() as u64).to_be_bytes());
        digest.update(field.as_bytes());
    }
    hex::encode(digest.finalize())
}

/// The last row's number and hash, after checking that it is the one that was last written.
pub(super) fn tail(tx: &Tx<'_>) -> Result<(i64, String), Error> {
    let last: Option<(i64, String)> = tx.first("SELECT seq, hash FROM chain ORDER BY seq DESC LIMIT 1", (), |row| {
        Ok((row.get(0)?, row.get(1)?))
    })?;
    let (seq, hash) = last.unwrap_or((0, GENESIS.to_owned()));
    let (rows, head) = noted(tx)?;
    if rows != seq || head != hash {
        return Err(Error::corrupt(format!(
            "the audit chain ends at row {seq}, but row {rows} was written last; `audit verify` says more"
        )));
    }
    Ok((seq, hash))
}

/// The number and hash of the row that was written last, by the note beside the chain.
pub(super) fn noted(tx: &Tx<'_>) -> Result<(i64, String), Error> {
    let rows = note(tx, "rows")?.and_then(|rows| rows.parse().ok()).unwrap_or(-1);
    Ok((rows, note(tx, "head")?.unwrap_or_default()))
}

fn note(tx: &Tx<'_>, key: &str) -> Result<Option<String>, Error> {
    tx.value("SELECT value FROM meta WHERE key = ?1", [key])
}

/// When the ledger was made, as its first row says it.
pub(super) fn created_at(tx: &Tx<'_>) -> Result<String, Error> {
    note(tx, "created_at")?.ok_or_else(|| Error::corrupt("created_at is missing"))
}

/// The first row of a new ledger, whose tables are empty.
pub(super) fn begin(tx: &Tx<'_>, now: DateTime<Utc>) -> Result<(), Error> {
    tx.execute(
        "INSERT INTO meta (key, value) VALUES ('created_at', ?1), ('rows', '0'), ('head', ?2), ('probes', '0')",
        (written(now), GENESIS),
    )?;
    let program = serde_json::json!({"program": env!("CARGO_PKG_NAME")});
    append(tx, now, Kind::Created, &program)?;
    Ok(())
}

/// Appends a row; its number.
pub(super) fn append(tx: &Tx<'_>, at: DateTime<Utc>, kind: Kind, body: &impl Serialize) -> Result<i64, Error> {
    let (last, prev) = match kind {
        // The very first row; `tail` accepts an empty chain only while `meta` says so.
        Kind::Created => (0, GENESIS.to_owned()),
        _ => tail(tx)?,
    };
    let (seq, at, kind, body) = (last + 1, written(at), kind.as_str(), serde_json::to_string(body)?);
    let hash = hash(seq, &at, kind, &body, &prev);
    tx.execute(
        "INSERT INTO chain (seq, at, kind, body, prev, hash) VALUES (?1, ?2, ?3, ?4, ?5, ?6)",
        (seq, at, kind, body, prev, &hash),
    )?;
    tx.execute_each(
        "UPDATE meta SET value = ?2 WHERE key = ?1",
        [("rows", seq.to_string()), ("head", hash)],
    )?;
    Ok(seq)
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

/// The columns of a row, as [`Row::read`] takes them.
pub(super) const COLUMNS: &str = "seq, at, kind, body, prev, hash";

/// One row.
#[derive(Clone)]
pub(super) struct Row {
    pub(super) seq: i64,
    pub(super) at: String,
    pub(super) kind: String,
    pub(super) body: String,
    pub(super) prev: String,
    pub(super) hash: String,
}

impl Row {
    pub(super) fn read(row: &FoundRow<'_>) -> Result<Self, Error> {
        Ok(Self {
            seq: row.get(0)?,
            at: row.get(1)?,
            kind: row.get(2)?,
            body: row.get(3)?,
            prev: row.get(4)?,
            hash: row.get(5)?,
        })
    }

    /// Whether its content is what its hash says.
    pub(super) fn is_sealed(&self) -> bool {
        hash(self.seq, &self.at, &self.kind, &self.body, &self.prev) == self.hash
    }
}

/// What is said of a row that was changed.
pub(super) const NOT_SEALED: &str = "its content is not what was sealed";

/// Visits all rows in order, packed or not, until one says stop.
fn rows(
    tx: &Tx<'_>,
    mut visit: impl FnMut(Row) -> Result<Option<Verification>, Error>,
) -> Result<Option<Verification>, Error> {
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

fn broken(row: i64, what: impl Into<String>) -> Verification {
    Verification::Broken {
        row: super::from_column(row),
        what: what.into(),
    }
}

impl Ledger {
    /// The last row's hash.
    pub fn head(&self) -> Result<String, Error> {
        self.read(|tx| Ok(tail(tx)?.1))
    }

    /// Reads the whole chain, and compares the tables derived from it (runs, requests, deletions, holds, the freeze,
    /// approvals). With `head`, a hash that some run logged, that row must be there too: so a tail that was cut
    /// off skilfully is found.
    pub fn verify(&self, head: Option<&str>) -> Result<Verification, Error> {
        self.read(|tx| {
            let mut last = (0, GENESIS.to_owned());
            let mut head_seen = head.is_none();
            let mut replay = Replay::default();
            let found = rows(tx, |row| {
                let (before, prev) = &last;
                if row.seq != before + 1 {
                    return Ok(Some(broken(*before, format!("row {} is missing after it", before + 1))));
                }
                if row.prev != *prev {
                    return Ok(Some(broken(row.seq, "it does not follow the row before it")));
                }
                if !row.is_sealed() {
                    return Ok(Some(broken(row.seq, NOT_SEALED)));
                }
                if let Err(error) = replay.take(tx, row.seq, &row.at, &row.kind, &row.body) {
                    return Ok(Some(broken(row.seq, format!("it cannot be read: {error}"))));
                }
                head_seen = head_seen || head.is_some_and(|head| head.eq_ignore_ascii_case(&row.hash));
                last = (row.seq, row.hash);
                Ok(None)
            })?;
            if let Some(found) = found {
                return Ok(found);
            }
            let (seq, hash) = last;
            let (noted_rows, noted_head) = noted(tx)?;
            if noted_rows != seq || noted_head != hash {
                return Ok(broken(
                    seq,
                    format!("the chain ends here, but row {noted_rows} was written last"),
                ));
            }
            if !head_seen {
                return Ok(broken(
                    seq,
                    "no row has the head that was asked for: rows after this one are missing",
                ));
            }
            if let Some(what) = replay.difference(tx)? {
                return Ok(broken(seq, what));
            }
            Ok(Verification::Intact {
                rows: super::from_column(seq),
                head: hash,
            })
        })
    }

    /// Writes the chain as JSON lines, one for each row: `seq`, `at`, `kind`, `prev`, `hash` and the sealed `body`. A row
    /// of outcomes also carries `deletions`, made from it and its intent: for each backup everything about its deletion.
    pub fn export(&self, out: &mut dyn Write) -> Result<(), Error> {
        let fail = |error: std::io::Error| Error::storage(std::path::Path::new("output"), Fault::Io(error));
        self.read(|tx| {
            let pieces = Chunks::default();
            rows(tx, |row| {
                let Row {
                    seq,
                    at,
                    kind,
                    body,
                    prev,
                    hash,
                } = row;
                let deletions = match Kind::parse(&kind) {
                    Some(Kind::Outcome) => {
                        let deletions = super::history::deletions_of(tx, &pieces, &body)?;
                        format!(r#","deletions":{}"#, serde_json::to_string(&deletions)?)
                    }
                    _ => String::new(),
                };
                let (at, kind) = (serde_json::to_string(&at)?, serde_json::to_string(&kind)?);
                let (prev, hash) = (serde_json::to_string(&prev)?, serde_json::to_string(&hash)?);
                writeln!(
                    out,
                    r#"{{"seq":{seq},"at":{at},"kind":{kind},"prev":{prev},"hash":{hash},"body":{body}{deletions}}}"#
                )
                .map_err(fail)?;
                Ok(None)
            })?;
            out.flush().map_err(fail)
        })
    }
}
