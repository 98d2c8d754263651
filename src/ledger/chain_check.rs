//! `audit verify`: the whole chain, and the tables beside it.

use super::chain::{GENESIS, NOT_SEALED, noted};
use super::rows::rows;
use super::sql::Tx;
use super::sql_value::from_column;
use super::verify::Replay;
use super::{Error, Ledger};

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

fn broken(row: i64, what: impl Into<String>) -> Verification {
    Verification::Broken {
        row: from_column(row),
        what: what.into(),
    }
}

impl Ledger {
    /// Reads the whole chain, and compares the tables derived from it (runs, requests, deletions, holds, the freeze,
    /// approvals). With `head`, a hash that some run logged, that row must be there too: so a tail that was cut
    /// off skilfully is found.
    pub fn verify(&self, head: Option<&str>) -> Result<Verification, Error> {
        self.read(|tx| verify(tx, head))
    }
}

/// The same of one transaction.
pub(super) fn verify(tx: &Tx<'_>, head: Option<&str>) -> Result<Verification, Error> {
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
        rows: from_column(seq),
        head: hash,
    })
}
