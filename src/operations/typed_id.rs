//! What was typed for a backup: its id in any case, its name, or a start of its id.

use std::collections::BTreeMap;

use crate::retention::BackupId;

/// The backups that may be meant by what was typed.
pub(super) struct Candidates<'t> {
    typed: &'t str,
    /// Its id, in another case.
    ids: BTreeMap<BackupId, String>,
    names: BTreeMap<BackupId, String>,
    starts: BTreeMap<BackupId, String>,
}

impl<'t> Candidates<'t> {
    /// Shorter starts of an id are none.
    const SHORTEST_START: usize = 4;

    pub(super) fn new(typed: &'t str) -> Self {
        Self {
            typed,
            ids: BTreeMap::new(),
            names: BTreeMap::new(),
            starts: BTreeMap::new(),
        }
    }

    /// Takes a backup in, if it may be meant.
    pub(super) fn look_at(&mut self, id: &BackupId, name: &str) {
        let typed = self.typed;
        let start = id.as_str().get(..typed.len());
        let of = match start {
            Some(start) if start.eq_ignore_ascii_case(typed) && start.len() == id.as_str().len() => &mut self.ids,
            _ if name == typed => &mut self.names,
            Some(start) if start.eq_ignore_ascii_case(typed) && typed.len() >= Self::SHORTEST_START => &mut self.starts,
            _ => return,
        };
        if !of.contains_key(id) {
            of.insert(id.clone(), name.to_owned());
        }
    }

    /// The one that was meant, or all that may have been: an id before a name, a name before the start of an id.
    pub(super) fn decide(self) -> Result<Option<BackupId>, BTreeMap<BackupId, String>> {
        let mut found = [self.ids, self.names, self.starts]
            .into_iter()
            .filter(|ids| !ids.is_empty());
        match found.next() {
            None => Ok(None),
            Some(mut ids) if ids.len() == 1 => Ok(ids.pop_first().map(|(id, _)| id)),
            Some(several) => Err(several),
        }
    }
}
