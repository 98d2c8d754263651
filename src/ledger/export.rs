//! The whole chain as JSON lines.

use std::io::Write;

use super::chain::{Kind, Row};
use super::rows::{Chunks, rows};
use super::{Error, Fault, Ledger, history};

impl Ledger {
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
                        let deletions = history::deletions_of(tx, &pieces, &body)?;
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
                Ok(None::<()>)
            })?;
            out.flush().map_err(fail)
        })
    }
}
