//! The entries of a file of backups, collected instance by instance.

use std::collections::HashMap;
use std::collections::hash_map::Entry as MapEntry;
use std::fmt;

use serde::de::{DeserializeSeed, Deserializer, Error as _, IgnoredAny, MapAccess, SeqAccess, Visitor};

use super::super::lenient_json::Scalar;
use super::super::wire::Entry;
use crate::retention::{Backup, BackupId, BackupStatus, InstanceId};

/// The backups of one instance, and those of every entry that names none.
pub type BackupsOfInstance = (Option<InstanceId>, Vec<Backup>);

/// Reads a file from its beginning to its end; only this way says what is wrong with one.
pub(super) fn whole(bytes: &[u8]) -> Result<Collected, String> {
    let mut deserializer = serde_json::Deserializer::from_slice(bytes);
    let mut file = Collected::default();
    (&mut file)
        .deserialize(&mut deserializer)
        .and_then(|()| deserializer.end())
        .map_err(|error| error.to_string())?;
    Ok(file)
}

/// What was read so far.
#[derive(Default)]
pub(super) struct Collected {
    pub(super) groups: Vec<BackupsOfInstance>,
    /// Instance → its place in `groups`.
    group_of: HashMap<Option<InstanceId>, usize>,
    /// Where the entry before was put: files are mostly sorted by instance.
    latest: usize,
    /// Backup → its group and its place there.
    seen: HashMap<BackupId, (usize, usize)>,
}

impl Collected {
    pub(super) fn add<E: serde::de::Error>(&mut self, index: usize, entry: &Entry<'_>) -> Result<(), E> {
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
            MapEntry::Vacant(slot) => {
                let backups = &mut self.groups[group].1;
                slot.insert((group, backups.len()));
                backups.push(backup);
                Ok(())
            }
            MapEntry::Occupied(slot) => {
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
    pub(super) fn join(&mut self, tail: Self) -> Option<()> {
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

impl<'de> DeserializeSeed<'de> for &mut Collected {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for &mut Collected {
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
