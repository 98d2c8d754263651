//! The planner's reloads: when to look at the files, and what to do with what is found.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use chrono::{DateTime, Utc};
use tokio::task::JoinError;
use tokio::time::Instant;

use super::super::reload::{self, Found};
use super::super::systemd::Systemd;
use super::super::watch::fingerprint;
use super::super::{gauges, off_the_runtime};
use super::{Loaded, Planner, Reloading};
use crate::config::Config;
use crate::retention::{PolicyName, ProjectName};
use crate::run::Projects;

impl Planner {
    /// Asks for a look at the files.
    pub(super) fn want(&mut self, after: Duration, by_hand: bool) {
        let at = Instant::now() + after;
        let (sooner, asked) = self.wanted.unwrap_or((at, false));
        self.wanted = Some((at.min(sooner), by_hand || asked));
    }

    /// What the kernel did not tell.
    pub(super) fn look_for_changes(&mut self) {
        if self.reloading.is_none() && fingerprint(&self.config()) != self.fingerprint {
            self.want(Duration::ZERO, false);
        }
    }

    pub(super) fn begin_reload(&mut self, instant: Instant) {
        let Some((at, by_hand)) = self.wanted.filter(|_| self.reloading.is_none()) else {
            return;
        };
        if instant < at {
            return;
        }
        self.wanted = None;
        if by_hand {
            Systemd::reloading();
        }
        let (config, surroundings) = (self.config(), self.surroundings.clone());
        let task = tokio::task::spawn_blocking(move || {
            // Before reading: what changes while it is read makes another fingerprint, and so another look.
            let before = fingerprint(&config);
            let found = reload::look(&config, &surroundings);
            let seen = match &found {
                Found::New(new) if new.files != config.files || new.watch_dirs != config.watch_dirs => fingerprint(new),
                _ => before,
            };
            (found, seen)
        });
        self.reloading = Some(Reloading { task, by_hand });
    }

    pub(super) fn loaded(&mut self, loaded: Result<Loaded, JoinError>) {
        let Some(Reloading { by_hand, .. }) = self.reloading.take() else {
            return;
        };
        let (found, seen) = loaded.unwrap_or_else(|error| {
            let problem = format!("reading the configuration panicked: {error}");
            (Found::Bad(vec![problem]), self.fingerprint)
        });
        self.fingerprint = seen;
        let now = (self.clock)();
        match found {
            Found::Bad(problems) => self.refuse(problems, by_hand),
            Found::Unchanged => {
                let was_bad = !self.board.facts().config_problems.is_empty();
                if was_bad || by_hand {
                    tracing::info!("the configuration is the one in force");
                    self.in_force(&self.config(), now);
                }
                // A directory may have been made anew.
                self.watch.follow(&self.config());
            }
            Found::New(new) => self.take_into_force(&new, now, by_hand),
        }
        if by_hand {
            self.publish();
            self.systemd.ready();
        }
    }

    fn refuse(&mut self, problems: Vec<String>, by_hand: bool) {
        self.metrics.config_rejected();
        let mut facts = self.board.facts();
        // Every touch of the directory makes a look; the same problems are told once.
        if by_hand || facts.config_problems != problems {
            for problem in &problems {
                tracing::error!("{problem}");
            }
            tracing::error!(
                problems = problems.len(),
                "the new configuration is refused; the one before stays in force"
            );
        }
        facts.config_problems = problems;
    }

    fn take_into_force(&mut self, new: &Arc<Config>, now: DateTime<Utc>, by_hand: bool) {
        let old = self.config();
        if old.projects != new.projects {
            match Projects::connect(new, &self.keys, &self.observer) {
                // A run under way keeps its own.
                Ok(projects) => self.projects = Arc::new(projects),
                Err(error) => return self.refuse(vec![error.chain()], by_hand),
            }
        }
        self.live.send_replace(Arc::clone(new));
        self.watch.follow(new);
        self.adopt(new, now);
        gauges::series(&self.metrics, new);
        tracing::info!(
            sha256 = new.sha256,
            policies = new.policies.len(),
            "configuration reloaded"
        );
        reload::log_difference(&old, new);
        self.forget_the_gone(new);
        if let Some(ledger) = self.store.ledger() {
            // A policy that came back has a past.
            let shown = off_the_runtime(|| gauges::restore(&self.metrics, &ledger));
            if shown.is_err() {
                self.doubt = true;
            }
        }
        self.next_holds = None;
        self.board.refresh(true);
        self.in_force(new, now);
    }

    fn in_force(&self, config: &Config, now: DateTime<Utc>) {
        self.metrics.config_loaded(&config.sha256, now);
        let mut facts = self.board.facts();
        facts.config_problems.clear();
        facts.loaded_at = Some(now);
    }

    fn forget_the_gone(&self, config: &Config) {
        let there: BTreeSet<&PolicyName> = config.policies.iter().map(|entry| &entry.policy.name).collect();
        let mut facts = self.board.facts();
        facts.last.retain(|name, _| there.contains(name));
        facts.last_success.retain(|name, _| there.contains(name));
        facts.reports.retain(|name, _| there.contains(name));
        facts.guard_open.retain(|name| there.contains(name));
        let known = |name: &ProjectName| config.projects.iter().any(|project| project.name == *name);
        facts.instances.retain(|name, _| known(name));
    }
}
