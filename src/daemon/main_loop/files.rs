//! The planner's reloads: when to look at the files, and what to do with what is found.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use chrono::{DateTime, Utc};
use tokio::task::JoinError;
use tokio::time::Instant;

use super::super::reload::{self, Found};
use super::super::systemd::Systemd;
use super::super::watch::{fingerprint, prints};
use super::super::{blocking, observe};
use super::{Loaded, MainLoop, Reloading};
use crate::config::{Config, Environment};
use crate::retention::{PolicyName, ProjectName};
use crate::run::Projects;

/// After a change of the files, the next look waits until they have been left alone for so long.
const SETTLE: Duration = Duration::from_millis(300);
/// But not longer than this in all: a directory may never come to rest.
const SETTLE_AT_MOST: Duration = Duration::from_secs(3);
/// Looks at files that change while they are read.
const TRIES: usize = 5;

/// A look at the files that is wanted.
#[derive(Debug)]
pub(super) struct Wanted {
    /// When it was wanted first.
    since: Instant,
    /// Not before this.
    pub(super) at: Instant,
    /// SIGHUP asked for it, and is told of its end.
    by_hand: bool,
}

impl Wanted {
    fn at_once(now: Instant) -> Self {
        Self {
            since: now,
            at: now,
            by_hand: true,
        }
    }

    /// The files were touched: half of one can be a whole configuration, one that keeps less.
    fn when_settled(before: Option<Self>, now: Instant) -> Self {
        match before {
            Some(wanted) if wanted.by_hand => wanted,
            before => {
                let since = before.map_or(now, |wanted| wanted.since);
                Self {
                    since,
                    at: (now + SETTLE).min(since + SETTLE_AT_MOST),
                    by_hand: false,
                }
            }
        }
    }
}

/// What the files say, and the fingerprint they had before they were read.
fn look_once(config: &Config, environment: &Environment) -> Loaded {
    let before = fingerprint(config);
    (reload::look(config, environment), before)
}

impl MainLoop {
    /// SIGHUP: a look at the files, now.
    pub(super) fn want_at_once(&mut self) {
        self.wanted = Some(Wanted::at_once(Instant::now()));
    }

    /// Something happened to the files: a look when whoever writes them seems to be done.
    pub(super) fn want_when_settled(&mut self) {
        self.wanted = Some(Wanted::when_settled(self.wanted.take(), Instant::now()));
    }

    /// What the kernel did not tell.
    pub(super) fn look_for_changes(&mut self) {
        if self.reloading.is_none() && fingerprint(&self.config()) != self.fingerprint {
            self.want_when_settled();
        }
    }

    pub(super) fn begin_reload(&mut self, instant: Instant) {
        if self.reloading.is_some() {
            return;
        }
        let Some(Wanted { by_hand, .. }) = self.wanted.take_if(|wanted| wanted.at <= instant) else {
            return;
        };
        if by_hand {
            Systemd::reloading();
        }
        let (config, environment) = (self.config(), self.environment.clone());
        let task = tokio::task::spawn_blocking(move || {
            let mut found = look_once(&config, &environment);
            for _ in 1..TRIES {
                // Written to while it was read: what was found may be neither the old nor the new.
                if fingerprint(&config) == found.1 {
                    break;
                }
                std::thread::sleep(SETTLE);
                found = look_once(&config, &environment);
            }
            found
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
        if by_hand {
            blocking(|| self.projects.renew_connections());
        }
        match found {
            Found::Bad(problems) => self.refuse(problems, by_hand),
            Found::Good(new) if self.is_taken() && reload::is_same(&self.taken, &new) => {
                self.unchanged(&new, now, by_hand);
            }
            Found::Good(new) if by_hand || self.may_be_taken(&new) => {
                if !by_hand {
                    blocking(|| self.projects.renew_connections());
                }
                self.take_into_force(&new, now, by_hand);
                // Its files may be others, which nobody watched while they were read.
                self.fingerprint = fingerprint(&self.config());
                self.want_when_settled();
            }
            Found::Good(new) => self.hold_back(&new, now),
        }
        if by_hand {
            self.publish();
            self.systemd.ready();
        }
    }

    /// The files say what is in force.
    fn unchanged(&mut self, config: &Config, now: DateTime<Utc>, by_hand: bool) {
        let was_bad = !self.shared_status.facts().config_problems.is_empty();
        if was_bad || by_hand || self.waiting.is_some() {
            tracing::info!("the configuration is the one in force");
            self.in_force(config, now);
        }
        self.forget_what_waits();
        self.prints = prints(&config.files);
        self.watch.writers().forget_closed();
        // A directory may have been made anew.
        self.watch.follow(&[config]);
    }

    fn refuse(&mut self, problems: Vec<String>, by_hand: bool) {
        self.metrics.config_rejected();
        // What waited is no longer what the files say; what it kept is kept until a good version is taken.
        self.forget_what_waits();
        let mut facts = self.shared_status.facts();
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
        let old = Arc::clone(&self.taken);
        if old.projects != new.projects {
            match Projects::connect(new, &self.keys, &self.observer) {
                // A run under way keeps its own.
                Ok(projects) => self.projects = Arc::new(projects),
                Err(error) => return self.refuse(vec![error.chain()], by_hand),
            }
        }
        self.forget_what_waits();
        self.watch.writers().forget_closed();
        self.taken = Arc::clone(new);
        self.prints = prints(&new.files);
        // The numbers first: whoever sees the new policies sees that they are in force, and finds their series.
        observe::series(&self.metrics, new);
        self.in_force(new, now);
        self.live.send_replace(Arc::clone(new));
        self.watch.follow(&[new]);
        self.adopt(new, now);
        tracing::info!(
            sha256 = new.sha256,
            policies = new.policies.len(),
            "configuration reloaded"
        );
        reload::log_difference(&old, new);
        self.log_fates(&old, new, now);
        self.forget_removed(new);
        // Also holds that no run will see. And a policy that came back has a past.
        self.unnoted.push(new.holds.clone());
        self.shared_status.outdate();
        self.refresh = true;
        self.next_holds = None;
    }

    /// What the change means for the backups that the last runs saw.
    fn log_fates(&self, old: &Config, new: &Config, now: DateTime<Utc>) {
        let placed = self.shared_status.placed_holds();
        let seen = self.shared_status.facts().reports.clone();
        blocking(|| reload::log_fates(old, new, &placed, &seen, now));
    }

    pub(super) fn in_force(&self, config: &Config, now: DateTime<Utc>) {
        self.metrics.config_loaded(&config.sha256, now);
        let mut facts = self.shared_status.facts();
        facts.config_problems.clear();
        facts.loaded_at = Some(now);
    }

    fn forget_removed(&self, config: &Config) {
        let there: BTreeSet<&PolicyName> = config.policies.iter().map(|entry| &entry.policy.name).collect();
        let mut facts = self.shared_status.facts();
        facts.last.retain(|name, _| there.contains(name));
        facts.last_success.retain(|name, _| there.contains(name));
        facts.reports.retain(|name, _| there.contains(name));
        facts.guard_open.retain(|name, _| there.contains(name));
        let known = |name: &ProjectName| config.projects.iter().any(|project| project.name == *name);
        facts.instances.retain(|name, _| known(name));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_look_waits_until_the_files_are_left_alone_but_not_for_ever() {
        let begin = Instant::now();
        let mut wanted = Wanted::when_settled(None, begin);
        assert_eq!(wanted.at, begin + SETTLE);
        // Written piece by piece, two hundred milliseconds apart.
        for piece in 1..=5 {
            let now = begin + Duration::from_millis(200) * piece;
            wanted = Wanted::when_settled(Some(wanted), now);
            assert_eq!(wanted.at, now + SETTLE);
        }
        for piece in 6..100 {
            wanted = Wanted::when_settled(Some(wanted), begin + Duration::from_millis(200) * piece);
        }
        assert_eq!(wanted.at, begin + SETTLE_AT_MOST);
        // Whoever asks by hand does not wait for whoever else writes.
        let asked = Wanted::when_settled(Some(Wanted::at_once(begin)), begin + SETTLE);
        assert!(asked.by_hand && asked.at == begin);
    }
}
