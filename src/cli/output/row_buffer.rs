//! A report's decisions as JSON, written down as they are made and packed: a report for machines holds every decision, and two
//! million of them as values would be over a gigabyte.
//!
//! Not for what the JSON says (`json`), nor for tables, which need their rows sorted and measured (`render`). Kept in memory and
//! not in a file, because a file could fail after something was deleted, and the report would be lost.

use std::collections::HashMap;
use std::io::{self, Read, Write};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use flate2::Compression;
use flate2::read::DeflateDecoder;
use flate2::write::DeflateEncoder;
use serde::ser::{Error, SerializeSeq, Serializer};
use serde_json::Value;
use serde_json::value::RawValue;

use super::decision_json::{DecisionJson, FateJson};
use crate::retention::report::{Action, BackupRow};
use crate::retention::view::Reasons;
use crate::retention::{BackupId, Fate, KeepReason, PolicyName};
use crate::run::{ReportDetail, RowSink};

/// What became of the ids that were sent.
pub(in crate::cli) type Fates = HashMap<BackupId, Arc<Fate>>;
/// By which hold those are kept that were due.
pub(in crate::cli) type Held = HashMap<BackupId, KeepReason>;

/// Every decision of a run, by policy, in the order in which they were made.
#[derive(Clone, Default)]
pub struct BufferedRows(Arc<Mutex<HashMap<PolicyName, Text>>>);

impl BufferedRows {
    /// What a run is to do with its decisions so that they arrive here.
    pub(in crate::cli) fn rows(&self) -> ReportDetail {
        let (rows, void) = (self.clone(), self.clone());
        ReportDetail::Streamed(RowSink::new(
            move |policy, row| rows.tell(policy, row),
            move || void.open().clear(),
        ))
    }

    /// Writes one decision down.
    pub fn tell(&self, policy: &PolicyName, row: &BackupRow) {
        let mut policies = self.open();
        if let Some(text) = policies.get_mut(policy) {
            text.write(row);
        } else {
            policies.entry(policy.clone()).or_default().write(row);
        }
    }

    fn open(&self) -> MutexGuard<'_, HashMap<PolicyName, Text>> {
        // What is written is whole after every row.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Writes the decisions of a policy, with what became of the ids that were sent or held.
    pub(in crate::cli) fn serialize<S: Serializer>(
        &self,
        policy: &PolicyName,
        after: (&Fates, &Held),
        serializer: S,
    ) -> Result<S::Ok, S::Error> {
        let mut list = serializer.serialize_seq(None)?;
        if let Some(text) = self.open().get(policy) {
            text.read(&mut |entry: Entry<'_>| entry.serialize(after, &mut list))?;
        }
        list.end()
    }
}

/// The decisions of one policy.
#[derive(Default)]
struct Text {
    /// Entries that are not packed yet.
    open: Vec<u8>,
    packed: Vec<Box<[u8]>>,
    /// Writing into memory does not fail; if it did, the report would say so and not lack an entry.
    failed: Option<io::Error>,
}

impl Text {
    /// A piece is packed when it has so many bytes: twice what the packing looks back.
    const PIECE: usize = 64 * 1024;

    fn write(&mut self, row: &BackupRow) {
        if let Err(error) = Entry::write(row, &mut self.open).and_then(|()| self.pack()) {
            self.failed.get_or_insert(error);
        }
    }

    fn pack(&mut self) -> io::Result<()> {
        if self.open.len() < Self::PIECE {
            return Ok(());
        }
        let mut packed = DeflateEncoder::new(Vec::with_capacity(Self::PIECE / 4), Compression::fast());
        packed.write_all(&self.open)?;
        self.packed.push(packed.finish()?.into_boxed_slice());
        self.open.clear();
        Ok(())
    }

    fn read<E: Error>(&self, each: &mut impl FnMut(Entry<'_>) -> Result<(), E>) -> Result<(), E> {
        if let Some(error) = &self.failed {
            return Err(E::custom(error));
        }
        let mut piece = Vec::new();
        for packed in &self.packed {
            piece.clear();
            DeflateDecoder::new(&**packed)
                .read_to_end(&mut piece)
                .map_err(E::custom)?;
            Entry::each(&piece, each)?;
        }
        Entry::each(&self.open, each)
    }
}

/// One decision: two lengths (4 bytes each), the id where the backup may be sent, the JSON without what became of it.
struct Entry<'a> {
    /// Empty for a kept backup, which is never sent.
    id: &'a [u8],
    json: &'a [u8],
}

impl<'a> Entry<'a> {
    fn write(row: &BackupRow, text: &mut Vec<u8>) -> io::Result<()> {
        let id = match row.action {
            Action::Keep(_) => "",
            Action::Wait { .. } | Action::Delete(_) => row.backup.id.as_str(),
        };
        let begin = text.len();
        text.extend_from_slice(&[0; 8]);
        text.extend_from_slice(id.as_bytes());
        let json = text.len();
        if let Err(error) = serde_json::to_writer(&mut *text, &DecisionJson::of(row)) {
            text.truncate(begin);
            return Err(error.into());
        }
        for (place, length) in [(begin, id.len()), (begin + 4, text.len() - json)] {
            let length = u32::try_from(length).map_err(io::Error::other)?;
            text[place..place + 4].copy_from_slice(&length.to_be_bytes());
        }
        Ok(())
    }

    fn each<E: Error>(mut piece: &'a [u8], each: &mut impl FnMut(Self) -> Result<(), E>) -> Result<(), E> {
        while !piece.is_empty() {
            let (entry, rest) = Self::split(piece).ok_or_else(|| E::custom("a decision is cut off"))?;
            each(entry)?;
            piece = rest;
        }
        Ok(())
    }

    fn split(piece: &'a [u8]) -> Option<(Self, &'a [u8])> {
        let length = |bytes: [u8; 4]| usize::try_from(u32::from_be_bytes(bytes)).ok();
        let (id, rest) = piece.split_first_chunk::<4>()?;
        let (json, rest) = rest.split_first_chunk::<4>()?;
        let (id, rest) = rest.split_at_checked(length(*id)?)?;
        let (json, rest) = rest.split_at_checked(length(*json)?)?;
        Some((Self { id, json }, rest))
    }

    fn serialize<L: SerializeSeq>(&self, (fates, held): (&Fates, &Held), list: &mut L) -> Result<(), L::Error> {
        let json = str::from_utf8(self.json).map_err(L::Error::custom)?;
        let id = str::from_utf8(self.id).map_err(L::Error::custom)?;
        if let Some(reason) = held.get(id) {
            let kept = Action::Keep(vec![reason.clone()]);
            let mut decision: Value = serde_json::from_str(json).map_err(L::Error::custom)?;
            decision["decision"] = kept.key().into();
            decision["reasons"] = serde_json::to_value(Reasons::of_action(&kept)).map_err(L::Error::custom)?;
            return list.serialize_element(&decision);
        }
        let fate = fates.get(id).filter(|_| !id.is_empty());
        let Some(fate) = fate else {
            let raw: &RawValue = serde_json::from_str(json).map_err(L::Error::custom)?;
            return list.serialize_element(raw);
        };
        // Both are objects with at least one member, and what became of a backup comes last.
        let known = serde_json::to_string(&FateJson::of(fate)).map_err(L::Error::custom)?;
        let both = format!("{},{}", &json[..json.len() - 1], &known[1..]);
        list.serialize_element(&RawValue::from_string(both).map_err(L::Error::custom)?)
    }
}

#[cfg(test)]
#[path = "row_buffer_tests.rs"]
mod tests;
