//! Backups from a file, for offline plans; made for a million of them.
//!
//! Not for the API's pages: a file cannot be asked again, so it is read more strictly.

mod halves;

use std::collections::HashMap;
use std::collections::hash_map::Entry as ConcurrencyPermit;
use std::fmt;

use serde::de::{DeserializeSeed, Deserializer, Error as _, IgnoredAny, MapAccess, SeqAccess, Visitor};

use super::super::lenient_json::Scalar;
use super::Entry;
use crate::retention::{Backup, BackupId, BackupStatus, InstanceId};

/// The backups of one instance, and those of every entry that names none.
pub type BackupsOfInstance = (Option<InstanceId>, Vec<Backup>);

/// A smaller file is not worth a second thread.
const WORTH_HALVING: usize = 1 << 20;

/// Reads backups from a file: a JSON array in the API's list shape, or `{"backups": [...]}`. Instances and their backups come in the
/// file's order.
///
/// Stricter than a listing, for nobody can be asked again: an entry without id, or two entries of one id that differ, are errors; exact
/// repetitions are dropped. The error names the entry's index (from 0), line and column.
pub fn backups_from_json(bytes: &[u8]) -> Result<Vec<BackupsOfInstance>, String> {
    // Windows' tools put a byte order mark before what they write.
    let bytes = bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(bytes);
    if bytes.len() >= WORTH_HALVING
        && let Some(file) = halves::read(bytes)
    {
        return Ok(file.groups);
    }
    whole(bytes).map(|file| file.groups)
}

/// A file read as a whole, and in halves whatever its size.
#[cfg(any(test, fuzzing))]
pub(in crate::rds) fn both_ways(
    bytes: &[u8],
) -> (Result<Vec<BackupsOfInstance>, String>, Option<Vec<BackupsOfInstance>>) {
    (
        whole(bytes).map(|file| file.groups),
        halves::read(bytes).map(|file| file.groups),
    )
}

/// Reads a file from its beginning to its end; only this way says what is wrong with one.
fn whole(bytes: &[u8]) -> Result<File, String> {
    let mut deserializer = serde_json::Deserializer::from_slice(bytes);
    let mut file = File::default();
    (&mut file)
        .deserialize(&mut deserializer)
        .and_then(|()| deserializer.end())
        .map_err(|error| error.to_string())?;
    Ok(file)
}

/// What was read so far.
#[derive(Default)]
struct File {
    groups: Vec<BackupsOfInstance>,
    /// Instance → its place in `groups`.
    group_of: HashMap<Option<InstanceId>, usize>,
    /// Where the entry before was put: files are mostly sorted by instance.
    latest: usize,
    /// Backup → its group and its place there.
    seen: HashMap<BackupId, (usize, usize)>,
}

impl File {
    fn add<E: serde::de::Error>(&mut self, index: usize, entry: &Entry<'_>) -> Result<(), E> {
        let mut backup = entry
            .listed()
            .ok_or_else(|| E::custom(format_args!("entry {index} has no id")))?;
        if entry.invalidate().is_some() {
            // Its name or id, which cannot be read, may be what protects it: it is kept as one of an unknown status.
            backup.status = BackupStatus::Other("unreadable name or id".into());
        }
        let instance = entry.instance_id.word();
        let group = match self.groups.get(self.latest) {
            Some((latest, _)) if latest.as_ref().map(InstanceId::as_str) == instance => self.latest,
            _ => self.group(instance.map(InstanceId::from)),
        };
        self.put(group, backup).map_err(|id| {
            E::custom(format_args!(
                "entry {index} differs from an earlier one with its id {id}"
            ))
        })
    }

    /// The place of an instance's backups.
    fn group(&mut self, instance: Option<InstanceId>) -> usize {
        let next = self.groups.len();
        self.latest = *self.group_of.entry(instance.clone()).or_insert(next);
        if self.latest == next {
            self.groups.push((instance, Vec::new()));
        }
        self.latest
    }

    /// Adds a backup unless it is known; gives back the id of one that is known otherwise.
    fn put(&mut self, group: usize, backup: Backup) -> Result<(), BackupId> {
        match self.seen.entry(backup.id.clone()) {
            ConcurrencyPermit::Vacant(slot) => {
                let backups = &mut self.groups[group].1;
                slot.insert((group, backups.len()));
                backups.push(backup);
                Ok(())
            }
            ConcurrencyPermit::Occupied(slot) => {
                let (of, place) = *slot.get();
                if of == group && self.groups[of].1[place] == backup {
                    Ok(())
                } else {
                    Err(backup.id)
                }
            }
        }
    }

    /// Takes in what followed in the file; `None` where the two do not agree.
    fn join(&mut self, tail: Self) -> Option<()> {
        for (instance, backups) in tail.groups {
            let group = self.group(instance);
            for backup in backups {
                match self.seen.get(&backup.id) {
                    // Not noted as seen: within the tail every id is there once.
                    None => self.groups[group].1.push(backup),
                    Some((of, place)) if *of == group && self.groups[*of].1[*place] == backup => {}
                    Some(_) => return None,
                }
            }
        }
        Some(())
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
