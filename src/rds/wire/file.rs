//! Backups from a file, for offline plans; made for a million of them.
//!
//! Not for the API's pages: a file cannot be asked again, so it is read more strictly.

use std::collections::HashMap;
use std::collections::hash_map::Entry as Slot;
use std::fmt;

use serde::de::{DeserializeSeed, Deserializer, Error as _, IgnoredAny, MapAccess, SeqAccess, Visitor};

use super::super::scalar::Scalar;
use super::Entry;
use crate::retention::{Backup, BackupId, InstanceId};

/// Reads backups from a file: a JSON array in the API's list shape, or `{"backups": [...]}`.
///
/// Stricter than a listing, for nobody can be asked again: an entry without id, or two entries of one id that differ, are errors; exact
/// repetitions are dropped. The error names the entry's index (from 0), line and column.
pub fn backups_from_json(bytes: &[u8]) -> Result<Vec<(Option<InstanceId>, Backup)>, String> {
    let mut deserializer = serde_json::Deserializer::from_slice(bytes);
    let mut file = File::default();
    (&mut file)
        .deserialize(&mut deserializer)
        .and_then(|()| deserializer.end())
        .map_err(|error| error.to_string())?;
    Ok(file.rows)
}

/// The rows read so far.
#[derive(Default)]
struct File {
    rows: Vec<(Option<InstanceId>, Backup)>,
    seen: HashMap<BackupId, usize>,
}

impl File {
    fn add<E: serde::de::Error>(&mut self, index: usize, entry: &Entry<'_>) -> Result<(), E> {
        let backup = entry
            .listed()
            .ok_or_else(|| E::custom(format_args!("entry {index} has no id")))?;
        let instance = entry.instance_id.word().map(|id| match self.rows.last() {
            // Files are mostly sorted by instance: share the text.
            Some((Some(last), _)) if last.as_str() == id => last.clone(),
            _ => InstanceId::from(id),
        });
        match self.seen.entry(backup.id.clone()) {
            Slot::Vacant(slot) => {
                slot.insert(self.rows.len());
                self.rows.push((instance, backup));
                Ok(())
            }
            Slot::Occupied(slot) => {
                let same = self
                    .rows
                    .get(*slot.get())
                    .is_some_and(|(i, b)| *i == instance && *b == backup);
                let id = &backup.id;
                let differ = || {
                    E::custom(format_args!(
                        "entry {index} differs from an earlier one with its id {id}"
                    ))
                };
                if same { Ok(()) } else { Err(differ()) }
            }
        }
    }
}

impl<'de> DeserializeSeed<'de> for &mut File {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for &mut File {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an array of backups, or an object with the key `backups`")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<(), A::Error> {
        for index in 0.. {
            let entry = seq.next_element::<Entry<'de>>();
            let entry = entry.map_err(|error| A::Error::custom(format_args!("entry {index}: {error}")))?;
            let Some(entry) = entry else { break };
            self.add(index, &entry)?;
        }
        Ok(())
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
        let mut found = false;
        while let Some(key) = map.next_key::<Scalar<'de>>()? {
            if key.text() != Some("backups") {
                map.next_value::<IgnoredAny>()?;
            } else if std::mem::replace(&mut found, true) {
                return Err(A::Error::custom("the key `backups` occurs twice"));
            } else {
                map.next_value_seed(&mut *self)?;
            }
        }
        if found {
            Ok(())
        } else {
            Err(A::Error::missing_field("backups"))
        }
    }
}
