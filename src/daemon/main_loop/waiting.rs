//! The planner's patience: a newer configuration that keeps less waits until its files are closed and left alone.
//!
//! What it keeps beside the one in force is kept at once.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use chrono::{DateTime, Utc};
use tokio::time::Instant;

use super::super::watch::prints;
use super::super::writers::Needs;
use super::MainLoop;
use crate::config::{Config, difference, keeping};

/// How often the files of a configuration that waits are looked at.
const EVERY: Duration = Duration::from_millis(500);

/// A configuration that waits. It is read again before it is taken.
#[derive(Debug)]
pub(super) struct Waiting {
    sha256: String,
    /// Its files and those of the configuration that was taken last, as they are now.
    prints: BTreeMap<PathBuf, Option<u64>>,
    quiet_since: Instant,
    pub(super) next_look: Instant,
}

impl MainLoop {
    /// Whether nothing is in force beside the configuration that was taken last.
    pub(super) fn is_taken(&self) -> bool {
        Arc::ptr_eq(&self.taken, &self.live.borrow())
    }

    /// Whether a newer configuration keeps what the one in force keeps, or its files have been left alone for long enough.
    pub(super) fn may_be_taken(&self, new: &Config) -> bool {
        if !difference::whole(&self.config(), new).may_keep_less() {
            return true;
        }
        let Some(waiting) = &self.waiting else { return false };
        waiting.sha256 == new.sha256
            && waiting.prints == self.prints_with(new)
            && self.is_quiet(waiting, Instant::now())
    }

    fn prints_with(&self, new: &Config) -> BTreeMap<PathBuf, Option<u64>> {
        prints(self.prints.keys().chain(&new.files))
    }

    fn is_quiet(&self, waiting: &Waiting, instant: Instant) -> bool {
        match self.needs(waiting) {
            Needs::Close(_) => false,
            Needs::Quiet(long) => waiting.quiet_since + long <= instant,
        }
    }

    fn needs(&self, waiting: &Waiting) -> Needs {
        let changed = waiting
            .prints
            .iter()
            .filter(|(file, print)| self.prints.get(*file) != Some(print));
        self.watch.writers().needs(changed.map(|(file, _)| file))
    }

    /// Has a configuration that keeps less wait, and keeps what it keeps more.
    pub(super) fn hold_back(&mut self, new: &Arc<Config>, now: DateTime<Utc>) {
        let (prints, instant) = (self.prints_with(new), Instant::now());
        let before = self.waiting.take();
        let is_known = before.as_ref().is_some_and(|before| before.sha256 == new.sha256);
        let quiet_since = before.filter(|before| is_known && before.prints == prints);
        self.waiting = Some(Waiting {
            sha256: new.sha256.clone(),
            prints,
            quiet_since: quiet_since.map_or(instant, |before| before.quiet_since),
            next_look: instant + EVERY,
        });
        // Its files may lie elsewhere.
        self.watch.follow(&[&self.taken, new]);
        if !self.shared_status.facts().config_problems.is_empty() {
            self.in_force(&self.config(), now);
        }
        self.say_what_it_waits_for();
        if is_known {
            return;
        }
        let waiting = self.shared_status.facts().config_waiting.clone().unwrap_or_default();
        tracing::warn!(sha256 = new.sha256, "{waiting}; SIGHUP applies it at once");
        let current = self.config();
        if difference::whole(&current, new).may_keep_more() {
            let merged = keeping::merge(&current, new);
            tracing::info!("holds, freeze and whatever else it keeps are in force already, also for a run under way");
            self.adopt(&merged, now);
            self.live.send_replace(Arc::new(merged));
            self.next_holds = None;
        }
    }

    fn say_what_it_waits_for(&self) {
        let Some(waiting) = &self.waiting else { return };
        let what = "a new configuration that may keep less waits until";
        let message = match self.needs(waiting) {
            Needs::Close(file) => format!("{what} whoever writes {} has closed the file", file.display()),
            Needs::Quiet(long) => format!("{what} its files have been quiet for {} s", long.as_secs()),
        };
        self.shared_status.facts().config_waiting = Some(message);
    }

    pub(super) fn forget_what_waits(&mut self) {
        self.waiting = None;
        self.shared_status.facts().config_waiting = None;
    }

    /// Looks whether the files are left alone; after long enough they are read again, and taken if they say the same.
    pub(super) fn look_at_what_waits(&mut self, instant: Instant) {
        let Some(mut waiting) = self.waiting.take_if(|waiting| waiting.next_look <= instant) else {
            return;
        };
        waiting.next_look = instant + EVERY;
        let prints = prints(waiting.prints.keys());
        if waiting.prints != prints {
            waiting.prints = prints;
            waiting.quiet_since = instant;
            self.want_when_settled();
        } else if self.is_quiet(&waiting, instant) {
            self.want_when_settled();
        }
        self.waiting = Some(waiting);
        self.say_what_it_waits_for();
    }
}
