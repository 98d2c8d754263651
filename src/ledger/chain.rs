//! The hash chain: rows that are appended and never changed, each sealed over the one before.
//!
//! `hash` is the SHA-256 in lower-case hex of `seq` (8 bytes, big-endian), then of `at`, `kind`, `body` and `prev`, each
//! with its length in bytes before it (8 bytes, big-endian). `body` is compact JSON, hashed as the text it is. The first
//! row's `prev` is 64 zeros.
//!
//! What it proves: no row was changed, removed, put in or moved, short of writing the whole rest again. Rows cut off at
//! the end are noticed as long as `meta` was not changed with them; against that, each run logs its head, and
//! `audit verify --head` asks for it.

use chrono::{DateTime, SecondsFormat, Utc};
use serde::Serialize;
use serde::de::DeserializeOwned;
use sha2::{Digest, Sha256};

use super::Error;
use super::sql::{FoundRow, Tx};

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
    /// A person asks for the end of what another one placed, which takes two.
    Propose,
    /// A person goes on although heads that were anchored are missing.
    AcceptRewind,
    /// A person moves the state elsewhere.
    Move,
    /// A configuration that runs begin with from here on.
    Configuration,
    /// What became of grace periods.
    Grace,
    /// What a run decided on.
    Decided,
    /// What listings changed of what is remembered.
    Observed,
}

impl Kind {
    pub(super) const ALL: [Self; 21] = [
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
        Self::Propose,
        Self::AcceptRewind,
        Self::Move,
        Self::Configuration,
        Self::Grace,
        Self::Decided,
        Self::Observed,
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
            Self::Propose => "propose",
            Self::AcceptRewind => "accept_rewind",
            Self::Move => "move",
            Self::Configuration => "configuration",
            Self::Grace => "grace",
            Self::Decided => "decided",
            Self::Observed => "observed",
        }
    }

    pub(super) fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.as_str() == text)
    }

    /// About single backups: by far the most of a ledger, and packed when old.
    pub(super) fn is_detail(self) -> bool {
        matches!(
            self,
            Self::Intent | Self::Outcome | Self::Confirmed | Self::Returned | Self::Grace | Self::Decided
        )
    }
}

/// An instant as rows of the chain write it.
pub(super) fn written(at: DateTime<Utc>) -> String {
    at.to_rfc3339_opts(SecondsFormat::Micros, true)
}

pub(super) fn read_time(text: &str) -> Result<DateTime<Utc>, Error> {
    DateTime::parse_from_rfc3339(text)
        .map(|at| at.to_utc())
        .map_err(|error| Error::corrupt(format!("the time {text:?} in a row: {error}")))
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
            "the audit chain ends at row {seq}, but row {rows} was written last: rows were removed or changed at its end"
        )));
    }
    Ok((seq, hash))
}

/// The number and hash of the row that was written last, by the note beside the chain.
pub(super) fn noted(tx: &Tx<'_>) -> Result<(i64, String), Error> {
    let (mut rows, mut head) = (-1, String::new());
    let noted: Vec<(String, String)> =
        tx.all("SELECT key, value FROM meta WHERE key IN ('rows', 'head')", (), |row| {
            Ok((row.get(0)?, row.get(1)?))
        })?;
    for (key, value) in noted {
        if key == "rows" {
            rows = value.parse().unwrap_or(-1);
        } else {
            head = value;
        }
    }
    Ok((rows, head))
}

/// When the ledger was made, as its first row says it.
pub(super) fn created_at(tx: &Tx<'_>) -> Result<String, Error> {
    tx.value("SELECT value FROM meta WHERE key = 'created_at'", ())?
        .ok_or_else(|| Error::corrupt("created_at is missing"))
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
    let (last, prev) = match (kind, tx.appended()) {
        // The very first row; `tail` accepts an empty chain only while `meta` says so.
        (Kind::Created, _) => (0, GENESIS.to_owned()),
        (_, Some(last)) => last,
        (_, None) => tail(tx)?,
    };
    let (seq, at, kind, body) = (last + 1, written(at), kind.as_str(), serde_json::to_string(body)?);
    let hash = hash(seq, &at, kind, &body, &prev);
    tx.execute(
        "INSERT INTO chain (seq, at, kind, body, prev, hash) VALUES (?1, ?2, ?3, ?4, ?5, ?6)",
        (seq, at, kind, body, prev, &hash),
    )?;
    tx.execute(
        "UPDATE meta SET value = CASE key WHEN 'rows' THEN ?1 ELSE ?2 END WHERE key IN ('rows', 'head')",
        (seq.to_string(), &hash),
    )?;
    tx.note_appended(seq, hash);
    Ok(seq)
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

/// The last row of a kind, each of which says what a table is then. An index finds it, and it is never packed.
pub(super) fn last_of<T: DeserializeOwned>(tx: &Tx<'_>, kind: Kind) -> Result<Option<(i64, T)>, Error> {
    let kind = kind.as_str();
    let sql = format!("SELECT {COLUMNS} FROM chain WHERE kind = '{kind}' ORDER BY seq DESC LIMIT 1");
    let Some(row) = tx.first(&sql, (), Row::read)? else {
        return Ok(None);
    };
    if !row.is_sealed() {
        return Err(Error::corrupt(format!("row {}: {NOT_SEALED}", row.seq)));
    }
    Ok(Some((row.seq, serde_json::from_str(&row.body)?)))
}

/// The last row of this kind, which says what a table holds now; `None` in a state of an older format, which has none. Fails where such a row
/// may have been removed.
pub(super) fn newest_of<T: DeserializeOwned>(tx: &Tx<'_>, kind: Kind) -> Result<Option<T>, Error> {
    let found = last_of(tx, kind)?;
    let after = match &found {
        Some((row, _)) => *row,
        // What is packed is older than 30 days, and complete.
        None => last_packed(tx)?,
    };
    must_be_whole_after(tx, after)?;
    Ok(found.map(|(_, body)| body))
}

/// The last row that is packed; 0 where none is. Found by the key: pieces follow each other, and a year has thousands.
pub(super) fn last_packed(tx: &Tx<'_>) -> Result<i64, Error> {
    let last: Option<i64> = tx.value("SELECT last FROM packed ORDER BY first DESC LIMIT 1", ())?;
    Ok(last.unwrap_or(0))
}

/// Fails where a later one may have been removed.
fn must_be_whole_after(tx: &Tx<'_>, row: i64) -> Result<(), Error> {
    let after = tx.number("SELECT COUNT(*) FROM chain WHERE seq > ?1", [row])?;
    let (end, _) = tail(tx)?;
    // Rows are packed 30 days later.
    if after != end - row && last_packed(tx)? <= row {
        return Err(Error::corrupt(format!("rows after row {row} are missing")));
    }
    Ok(())
}

/// The kinds of operator rows, which an index has: what people did by command.
macro_rules! operator_rows {
    ($before:literal, $after:literal) => {
        concat!(
            $before,
            "kind IN ('hold', 'release', 'freeze', 'thaw', 'approve', 'approve_listing', 'propose', 'accept_rewind', 'move')",
            $after
        )
    };
}

/// The operator rows of the chain.
pub(super) const OPERATOR_ROWS: &str = operator_rows!(
    "SELECT seq, at, kind, body, prev, hash FROM chain WHERE ",
    " ORDER BY seq"
);

/// The newest of them.
pub(super) const LAST_OPERATOR_ROWS: &str =
    operator_rows!("SELECT at, kind, body FROM chain WHERE ", " ORDER BY seq DESC LIMIT ?1");

/// How many of them there are after one row and up to another.
pub(super) const COUNT_OPERATOR_ROWS: &str =
    operator_rows!("SELECT COUNT(*) FROM chain WHERE ", " AND seq > ?1 AND seq <= ?2");
