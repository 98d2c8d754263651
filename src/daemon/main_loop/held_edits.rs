//! The main loop and held edits: a configuration that keeps less waits, and whatever it keeps more is in force at once.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;

use chrono::{DateTime, Utc};
use tokio::time::Instant;

use super::super::held_edit::{CHECK_EVERY, HeldEdit};
use super::super::open_writers::Needs;
use super::MainLoop;
use crate::config::{Config, difference, file_fingerprints, keeping};

impl MainLoop {
    /// Whether the configuration applied last is the one in force, with nothing kept beside it.
    pub(super) fn is_newest_applied(&self) -> bool {
        Arc::ptr_eq(&self.applied, &self.live.borrow())
    }

    /// Whether a newer configuration keeps what the one in force keeps, or its files have been left alone for long enough.
    pub(super) fn may_apply(&self, new: &Config) -> bool {
        if !difference::whole(&self.config(), new).may_keep_less() {
            return true;
        }
        let Some(edit) = &self.held_edit else { return false };
        edit.sha256 == new.sha256
            && edit.fingerprints == self.fingerprints_with(new)
            && self.is_quiet(edit, Instant::now())
    }

    fn fingerprints_with(&self, new: &Config) -> BTreeMap<PathBuf, Option<u64>> {
        file_fingerprints(self.fingerprints.keys().chain(&new.files))
    }

    fn is_quiet(&self, edit: &HeldEdit, instant: Instant) -> bool {
        match self.needs(edit) {
            Needs::Close(_) => false,
            Needs::Quiet(long) => edit.quiet_since + long <= instant,
        }
    }

    fn needs(&self, edit: &HeldEdit) -> Needs {
        let changed = edit
            .fingerprints
            .iter()
            .filter(|(file, fingerprint)| self.fingerprints.get(*file) != Some(fingerprint));
        self.config_watch.writers().needs(changed.map(|(file, _)| file))
    }

    /// Holds back a configuration that keeps less; whatever it keeps more is in force at once.
    pub(super) fn hold_edit_back(&mut self, new: &Arc<Config>, now: DateTime<Utc>) {
        let (fingerprints, instant) = (self.fingerprints_with(new), Instant::now());
        let before = self.held_edit.take();
        let is_known = before.as_ref().is_some_and(|before| before.sha256 == new.sha256);
        let quiet_since = before.filter(|before| is_known && before.fingerprints == fingerprints);
        self.held_edit = Some(HeldEdit {
            sha256: new.sha256.clone(),
            fingerprints,
            quiet_since: quiet_since.map_or(instant, |before| before.quiet_since),
            next_check: instant + CHECK_EVERY,
        });
        // Its files may lie in other directories.
        self.config_watch.follow(&[&self.applied, new]);
        if !self.status.state().config_problems.is_empty() {
            self.mark_applied(&self.config(), now);
        }
        self.describe_held_edit();
        if is_known {
            return;
        }
        let waiting = self.status.state().config_waiting.clone().unwrap_or_default();
        tracing::warn!(sha256 = new.sha256, "{waiting}; SIGHUP applies it at once");
        let current = self.config();
        if difference::whole(&current, new).may_keep_more() {
            let merged = keeping::merge(&current, new);
            tracing::info!("holds, freeze and whatever else it keeps are in force already, also for a run under way");
            self.adopt(&merged, now);
            self.live.send_replace(Arc::new(merged));
            self.next_holds_check = None;
        }
    }

    fn describe_held_edit(&self) {
        let Some(edit) = &self.held_edit else { return };
        let what = "a new configuration that may keep less waits until";
        let message = match self.needs(edit) {
            Needs::Close(file) => format!("{what} the process that writes {} has closed the file", file.display()),
            Needs::Quiet(long) => format!("{what} its files have been quiet for {} s", long.as_secs()),
        };
        self.status.state().config_waiting = Some(message);
    }

    pub(super) fn discard_held_edit(&mut self) {
        self.held_edit = None;
        self.status.state().config_waiting = None;
    }

    /// Checks whether the files are left alone; after long enough they are read again, and applied if they say the same.
    pub(super) fn check_held_edit(&mut self, instant: Instant) {
        let Some(mut edit) = self.held_edit.take_if(|edit| edit.next_check <= instant) else {
            return;
        };
        edit.next_check = instant + CHECK_EVERY;
        let fingerprints = file_fingerprints(edit.fingerprints.keys());
        if edit.fingerprints != fingerprints {
            edit.fingerprints = fingerprints;
            edit.quiet_since = instant;
            self.request_reload_when_settled();
        } else if self.is_quiet(&edit, instant) {
            self.request_reload_when_settled();
        }
        self.held_edit = Some(edit);
        self.describe_held_edit();
    }
}
