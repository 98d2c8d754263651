//! Status without a daemon: from configuration and ledger alone, for the terminal.

use std::path::Path;

use chrono::{DateTime, TimeDelta, Utc};

use super::assemble::{Configured, LedgerView, assemble, last_run, storage};
use super::daemon_state::DaemonState;
use super::process_metrics::{PastRuns, waiting_plans};
use super::recent::Recent;
use super::snapshot::{ConfigStatus, PolicyStatus, Status, StatusProblem};
use crate::config::{Config, PolicyEntry};
use crate::ledger::{self, Access, Ledger, StatePlace};
use crate::retention::{Hold, Mode, People, PolicyName, Zone};
use crate::run::{self, DueCounts, GracePeriods};
use crate::wording::times::timestamp;

/// A run that has not begun this long after its tick fired did not fire.
const OVERDUE: TimeDelta = TimeDelta::minutes(5);

/// What a configuration and its ledger say; without a ledger there was no run yet. A daemon on this `host` would run the policies.
pub fn at_rest(config: &Config, host: &str, now: DateTime<Utc>) -> Result<Status, ledger::Error> {
    let ledger = open(run::state_of(config), now)?;
    let ledger = ledger.as_ref();
    let next = |entry: &PolicyEntry| (entry.policy.name.clone(), next_run(entry, host, now));
    let mut state = DaemonState {
        next: config.policies.iter().map(next).collect(),
        ..DaemonState::default()
    };
    let (mut view, mut set_back) = (LedgerView::default(), None);
    if let Some(ledger) = ledger {
        let policies = config.policies.iter().map(|entry| &entry.policy);
        let policies: Vec<_> = policies.map(|policy| (&policy.name, policy.limits.approvals)).collect();
        view = read(ledger, &policies, &mut state, now)?;
        state
            .instances
            .retain(|name, _| config.projects.iter().any(|project| project.name == *name));
        let notices = run::notices(config, ledger, now)?;
        (set_back, state.notices) = (notices.set_back, notices.others);
    }
    let mut configured = Configured::of(config, &state, now);
    if let Some(ledger) = ledger {
        for (shown, entry) in configured.policies.iter_mut().zip(&config.policies) {
            shown.goes_next = goes_next(ledger, entry, &config.holds, (shown.next_run.unwrap_or(now), now))?;
        }
    }
    let mut status = assemble(configured, view, &state, None, now);
    status.problems.extend(set_back.map(|message| StatusProblem {
        about: "state",
        policy: None,
        message,
    }));
    if let Some(ledger) = ledger {
        for entry in &config.policies {
            status.problems.extend(overdue(ledger, entry, host, now)?);
        }
    }
    Ok(status)
}

/// The same where the configuration has problems, or names the state alone: what the ledger says of every policy that ever ran. What the
/// files hold or freeze is not known.
pub fn of_state(
    path: &Path,
    problems: Vec<String>,
    place: StatePlace,
    now: DateTime<Utc>,
) -> Result<Status, ledger::Error> {
    let ledger = open(place, now)?;
    let ledger = ledger.as_ref();
    let mut state = DaemonState {
        config_problems: problems,
        ..DaemonState::default()
    };
    let (mut view, mut policies) = (LedgerView::default(), Vec::new());
    if let Some(ledger) = ledger {
        let last = ledger.last_runs(now)?;
        view = {
            let policies: Vec<_> = last.keys().map(|name| (name, People::One)).collect();
            read(ledger, &policies, &mut state, now)?
        };
        let policy = |(name, last): (&PolicyName, &ledger::LastRuns)| PolicyStatus {
            policy: name.clone(),
            mode: last.finished.mode.as_str(),
            schedule: None,
            zone: Zone::UTC,
            next_run: None,
            waiting: false,
            running_since: None,
            last_run: last_run(&state, name),
            last_success: state.last_success.get(name).copied(),
            goes_next: None,
        };
        policies = last.iter().map(policy).collect();
    }
    let configured = Configured {
        status: ConfigStatus {
            path: path.to_owned(),
            sha256: String::new(),
            loaded_at: now,
            last_reload_ok: state.config_problems.is_empty(),
            problems: state.config_problems.clone(),
            waiting: None,
        },
        policies,
        holds: Vec::new(),
        price: None,
        freeze: None,
    };
    Ok(assemble(configured, view, &state, None, now))
}

fn open(place: StatePlace, now: DateTime<Utc>) -> Result<Option<Ledger>, ledger::Error> {
    match Ledger::open(place, Access::ReadOnly, now) {
        Err(ledger::Error::Missing { .. }) => Ok(None),
        opened => opened.map(Some),
    }
}

/// Reads what the ledger says of these policies.
fn read(
    ledger: &Ledger,
    policies: &[(&PolicyName, People)],
    state: &mut DaemonState,
    now: DateTime<Utc>,
) -> Result<LedgerView, ledger::Error> {
    let past = PastRuns::read(ledger, now)?;
    let is_shown = |policy: &PolicyName| policies.iter().any(|(name, _)| *name == policy);
    let running = past.running.iter().filter(|(policy, _)| is_shown(policy));
    state.running = running.map(|(policy, at)| (policy.clone(), *at)).collect();
    past.fill(state, is_shown);
    state.guard_open = waiting_plans(policies.iter().copied(), ledger, now)?;
    Ok(LedgerView {
        read_at: Some(now),
        placed_holds: ledger.active_holds(now)?,
        freezes: ledger.freezes()?,
        storage: storage(ledger)?,
        shared: ledger.shared_state()?,
        recent: Recent::default(),
    })
}

/// When a daemon on this host would run it next.
fn next_run(entry: &PolicyEntry, host: &str, now: DateTime<Utc>) -> Option<DateTime<Utc>> {
    let delay = entry.delay(host);
    let from = now.checked_sub_signed(delay)?;
    let tick = entry.schedule.as_ref()?.next_after(from, entry.policy.zone)?;
    tick.checked_add_signed(delay)
}

/// What waits now and is due by the next run.
fn goes_next(
    ledger: &Ledger,
    entry: &PolicyEntry,
    holds: &[Hold],
    (by, now): (DateTime<Utc>, DateTime<Utc>),
) -> Result<Option<DueCounts>, ledger::Error> {
    if entry.policy.mode != Mode::Enforce || entry.policy.grace.is_zero() {
        return Ok(None);
    }
    Ok(Some(
        GracePeriods::load(ledger, entry, holds, now)?.due_by(&entry.policy, by),
    ))
}

/// A tick that no run answered: most often no daemon is running.
fn overdue(
    ledger: &Ledger,
    entry: &PolicyEntry,
    host: &str,
    now: DateTime<Utc>,
) -> Result<Option<StatusProblem>, ledger::Error> {
    let Some(schedule) = &entry.schedule else {
        return Ok(None);
    };
    let Some(last) = ledger.last_begun(&entry.policy.name, now)? else {
        return Ok(None);
    };
    let delay = entry.delay(host);
    let from = last.at.checked_sub_signed(delay).unwrap_or(last.at);
    let tick = schedule.next_after(from, entry.policy.zone);
    let fires_at = tick.and_then(|tick| tick.checked_add_signed(delay));
    Ok(fires_at.filter(|at| now - *at > OVERDUE).map(|at| StatusProblem {
        about: "run",
        policy: Some(entry.policy.name.clone()),
        message: format!(
            "was due at {} and has not begun: is the daemon running? (`systemctl status rds-retentiond`)",
            timestamp(at)
        ),
    }))
}
