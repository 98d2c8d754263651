//! The main loop and reloads: when to read the files again, and what to do with what they say.

use std::collections::BTreeSet;
use std::sync::Arc;

use chrono::{DateTime, Utc};
use tokio::task::JoinError;
use tokio::time::Instant;

use super::super::reload::{self, Found};
use super::super::reload_request::{LoadedFiles, ReloadRequest, RunningReload, SETTLE};
use super::super::systemd::Systemd;
use super::MainLoop;
use crate::blocking::blocking;
use crate::config::{Config, Environment, file_fingerprints, fingerprint};
use crate::retention::{PolicyName, ProjectName};
use crate::run::Projects;
use crate::status::process_metrics;

/// How often files that change while they are read are read again.
const MAX_TRIES: usize = 5;

/// What the files say, and the fingerprint they had before they were read.
fn load_once(config: &Config, environment: &Environment) -> LoadedFiles {
    let before = fingerprint(config);
    (reload::load(config, environment), before)
}

impl MainLoop {
    /// SIGHUP: the files are read again now.
    pub(super) fn request_reload_now(&mut self) {
        self.reload_request = Some(ReloadRequest::at_once(Instant::now()));
    }

    /// The files changed: they are read again when they have been left alone.
    pub(super) fn request_reload_when_settled(&mut self) {
        self.reload_request = Some(ReloadRequest::when_settled(self.reload_request.take(), Instant::now()));
    }

    /// Finds changes without an event from the kernel.
    pub(super) fn check_for_changes(&mut self) {
        if self.reload.is_none() && fingerprint(&self.config()) != self.fingerprint {
            self.request_reload_when_settled();
        }
    }

    pub(super) fn start_reload(&mut self, instant: Instant) {
        if self.reload.is_some() {
            return;
        }
        let Some(ReloadRequest { by_sighup, .. }) = self.reload_request.take_if(|request| request.at <= instant) else {
            return;
        };
        if by_sighup {
            Systemd::reloading();
        }
        let (config, environment) = (self.config(), self.environment.clone());
        let task = tokio::task::spawn_blocking(move || {
            let mut found = load_once(&config, &environment);
            for _ in 1..MAX_TRIES {
                // Written to while it was read: what was found may be neither the old nor the new version.
                if fingerprint(&config) == found.1 {
                    break;
                }
                std::thread::sleep(SETTLE);
                found = load_once(&config, &environment);
            }
            found
        });
        self.reload = Some(RunningReload { task, by_sighup });
    }

    pub(super) fn reload_finished(&mut self, loaded: Result<LoadedFiles, JoinError>) {
        let Some(RunningReload { by_sighup, .. }) = self.reload.take() else {
            return;
        };
        let (found, seen) = loaded.unwrap_or_else(|error| {
            let problem = format!("reading the configuration panicked: {error}");
            (Found::Bad(vec![problem]), self.fingerprint)
        });
        self.fingerprint = seen;
        let now = (self.clock)();
        if by_sighup {
            blocking(|| self.projects.renew_connections());
            // Their credentials may have been mended.
            self.project_checks.request(&self.projects);
        }
        match found {
            Found::Bad(problems) => self.reject_edit(problems, by_sighup),
            Found::Good(new) if self.is_newest_applied() && reload::is_same(&self.applied, &new) => {
                self.keep_applied(&new, now, by_sighup);
            }
            Found::Good(new) if by_sighup || self.may_apply(&new) => {
                if !by_sighup {
                    blocking(|| self.projects.renew_connections());
                }
                self.apply(&new, now, by_sighup);
                // Its files may be others, which were not watched while they were read.
                self.fingerprint = fingerprint(&self.config());
                self.request_reload_when_settled();
            }
            Found::Good(new) => self.hold_edit_back(&new, now),
        }
        if by_sighup {
            self.publish();
            self.systemd.ready();
        }
    }

    /// The files say what is in force already.
    fn keep_applied(&mut self, config: &Config, now: DateTime<Utc>, by_sighup: bool) {
        let was_bad = !self.status.state().config_problems.is_empty();
        if was_bad || by_sighup || self.held_edit.is_some() {
            tracing::info!("configuration unchanged");
            self.mark_applied(config, now);
        }
        self.discard_held_edit();
        self.fingerprints = file_fingerprints(&config.files);
        self.config_watch.writers().forget_closed();
        // A directory may have been replaced.
        self.config_watch.follow(&[config]);
    }

    fn reject_edit(&mut self, problems: Vec<String>, by_sighup: bool) {
        self.metrics.config_rejected();
        // A held edit is no longer what the files say; what it kept is kept until a good version is applied.
        self.discard_held_edit();
        let mut state = self.status.state();
        // Every change in the directory causes a reload; the same problems are logged once.
        if by_sighup || state.config_problems != problems {
            for problem in &problems {
                tracing::error!("{problem}");
            }
            tracing::error!(
                problems = problems.len(),
                "the new configuration is refused; the one before stays in force"
            );
        }
        state.config_problems = problems;
    }

    fn apply(&mut self, new: &Arc<Config>, now: DateTime<Utc>, by_sighup: bool) {
        let old = Arc::clone(&self.applied);
        if old.projects != new.projects {
            match Projects::connect(new, &self.key_lockout, &self.observer) {
                // A run in progress keeps its own.
                Ok(projects) => {
                    self.projects = Arc::new(projects);
                    self.project_checks.request(&self.projects);
                }
                Err(error) => return self.reject_edit(vec![error.chain()], by_sighup),
            }
        }
        self.discard_held_edit();
        self.config_watch.writers().forget_closed();
        self.applied = Arc::clone(new);
        self.notifier.configure(&new.notify);
        self.fingerprints = file_fingerprints(&new.files);
        // Metrics first: a reader that sees the new policies finds their series.
        process_metrics::set_series(&self.metrics, new);
        self.mark_applied(new, now);
        self.live.send_replace(Arc::clone(new));
        self.config_watch.follow(&[new]);
        self.adopt(new, now);
        tracing::info!(
            sha256 = new.sha256,
            policies = new.policies.len(),
            "configuration reloaded"
        );
        reload::log_difference(&old, new);
        self.log_changed_backups(&old, new, now);
        self.forget_removed(new);
        // Also holds that no run will see. And a policy that came back has earlier runs.
        self.unrecorded_holds.push(new.holds.clone());
        self.status.invalidate();
        self.status_stale = true;
        self.next_holds_check = None;
    }

    /// What the change means for the backups that the last runs saw.
    fn log_changed_backups(&self, old: &Config, new: &Config, now: DateTime<Utc>) {
        let placed = self.status.placed_holds();
        let seen = self.status.state().reports.clone();
        blocking(|| reload::log_fates(old, new, &placed, &seen, now));
    }

    pub(super) fn mark_applied(&self, config: &Config, now: DateTime<Utc>) {
        self.metrics.config_loaded(&config.sha256, now);
        let mut state = self.status.state();
        state.config_problems.clear();
        state.loaded_at = Some(now);
    }

    fn forget_removed(&self, config: &Config) {
        let configured: BTreeSet<&PolicyName> = config.policies.iter().map(|entry| &entry.policy.name).collect();
        let mut state = self.status.state();
        state.last.retain(|name, _| configured.contains(name));
        state.last_success.retain(|name, _| configured.contains(name));
        state.reports.retain(|name, _| configured.contains(name));
        state.guard_open.retain(|name, _| configured.contains(name));
        let is_configured = |name: &ProjectName| config.projects.iter().any(|project| project.name == *name);
        state.instances.retain(|name, _| is_configured(name));
        state.unread_projects.retain(|name, _| is_configured(name));
    }
}
