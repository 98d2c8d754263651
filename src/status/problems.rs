//! What an operator should look at, the gravest first.

use std::collections::{BTreeSet, HashSet};

use chrono::{DateTime, TimeDelta, Utc};

use super::daemon_state::{DaemonState, UnreadProject};
use super::snapshot::{LastRun, PolicyStatus, StatusProblem};
use crate::ledger::{LiveMember, SharedState};
use crate::retention::report::{RunResult, SkipRecord};
use crate::retention::{PolicyName, Zone};
use crate::wording::problems;

/// A ledger that was read longer ago, and could not be read since, is a problem.
const STALE: TimeDelta = TimeDelta::seconds(30);
/// Skipped instances that are listed as problems; the rest is a number.
const MAX_SKIPS: usize = 20;
/// Causes of a failed run that are named.
const MAX_CAUSES: usize = 3;

/// What the last runs left alone; the same in several policies is listed once. Of a run that made no report the one before it says
/// more.
pub(super) fn skipped(state: &DaemonState) -> Vec<SkipRecord> {
    let reported = state.reports.values().flat_map(|report| {
        let skipped = report.skipped.iter();
        skipped.map(|skip| report.record_of(skip))
    });
    let others = state
        .last
        .iter()
        .filter(|(policy, _)| !state.reports.contains_key(*policy));
    let remembered = others.flat_map(|(_, last)| last.skipped.iter().cloned());
    let mut seen = HashSet::new();
    let all = reported.chain(remembered);
    all.filter(|skip| seen.insert(skip.clone())).collect()
}

/// What prevents the daemon from doing its work.
pub(super) fn obstacles(state: &DaemonState) -> Vec<StatusProblem> {
    let problem = |about, message: &str| StatusProblem {
        about,
        policy: None,
        message: message.to_owned(),
    };
    let broken = state.state_problem.iter().map(|why| problem("state", why));
    let silent = state.is_out_of_touch && state.state_problem.is_none();
    let silent = silent.then(|| problem("state", problems::SILENT_DATABASE));
    let broken = broken.chain(silent);
    let stopping = state.stopping.then(|| problem("stopping", "stop requested"));
    broken.chain(stopping).collect()
}

/// The ledger has not been read for a while, although a reading was just requested.
pub(super) fn stale_ledger(read_at: Option<DateTime<Utc>>, now: DateTime<Utc>) -> Option<StatusProblem> {
    let at = read_at.filter(|at| now - *at > STALE)?;
    Some(StatusProblem {
        about: "state",
        policy: None,
        message: problems::stale_ledger(at),
    })
}

/// Daemons that differ delete nothing.
pub(super) fn members_that_differ(shared: Option<&SharedState>) -> Option<StatusProblem> {
    let shared = shared.filter(|shared| !shared.is_agreed)?;
    let other = |member: &LiveMember| Some(format!("{} ({})", member.host, member.differs_in.as_ref()?));
    let others: Vec<String> = shared.members.iter().filter_map(other).collect();
    Some(StatusProblem {
        about: "state",
        policy: None,
        message: problems::members_differ(&others),
    })
}

/// What else an operator should look at.
pub(super) fn of_policies(state: &DaemonState, policies: &[PolicyStatus]) -> Vec<StatusProblem> {
    let mut found: Vec<StatusProblem> = state
        .config_problems
        .iter()
        .chain(&state.config_waiting)
        .map(|message| StatusProblem {
            about: "configuration",
            policy: None,
            message: message.clone(),
        })
        .collect();
    found.extend(
        state
            .unread_projects
            .values()
            .map(|UnreadProject { why, .. }| StatusProblem {
                about: "project",
                policy: None,
                message: why.clone(),
            }),
    );
    for PolicyStatus { policy: name, zone, .. } in policies {
        // While it runs that is found out, and a database that was away for a minute calls a run cut short that goes on.
        if let (Some(at), false) = (state.cut_short.get(name), state.running.contains_key(name)) {
            found.push(StatusProblem {
                about: "run",
                policy: Some(name.clone()),
                message: problems::cut_short(*at, *zone),
            });
            continue;
        }
        let Some(last) = state.last.get(name) else { continue };
        let mut add = |about, message| {
            found.push(StatusProblem {
                about,
                policy: Some(name.clone()),
                message,
            });
        };
        if let Some(digest) = state.guard_open.get(name) {
            let why = last.refusal.as_ref().map_or("", |refusal| refusal.message.as_str());
            add("guard", problems::refused_plan(name, digest.as_deref(), why));
        } else if let Some(refusal) = &last.refusal {
            let why = if refusal.is_approvable() {
                problems::APPROVED_SINCE
            } else {
                &refusal.message
            };
            add("guard", format!("{}: {why}", refusal.limit));
        }
        match last.result {
            RunResult::Failed => add("run", failed(last, state, name, *zone)),
            RunResult::Partial => add("run", problems::LEFT_UNDONE.to_owned()),
            _ => {}
        }
    }
    found.extend(skipped_instances(state));
    found
}

/// What failed and since when.
fn failed(last: &LastRun, state: &DaemonState, policy: &PolicyName, zone: Zone) -> String {
    let cause = |skip: &SkipRecord| {
        // Why a project cannot be read has a problem of its own.
        let is_known = skip.instance_id.is_none() && state.unread_projects.contains_key(&skip.project);
        if is_known {
            problems::unread_project(&skip.project)
        } else {
            skip.to_string()
        }
    };
    let causes = match &last.error {
        Some(error) => vec![error.clone()],
        None => last.skipped.iter().map(cause).take(MAX_CAUSES).collect(),
    };
    problems::failed_run(last.at, &causes, state.last_success.get(policy).copied(), zone)
}

/// Instances left alone, each once; beyond a number only how many more.
fn skipped_instances(state: &DaemonState) -> impl Iterator<Item = StatusProblem> {
    let skipped: BTreeSet<String> = skipped(state).iter().map(SkipRecord::to_string).collect();
    let more = skipped.len().saturating_sub(MAX_SKIPS);
    let skips = skipped.into_iter().take(MAX_SKIPS);
    let rest = (more > 0).then(|| problems::more_left_alone(more));
    skips.chain(rest).map(|message| StatusProblem {
        about: "instance",
        policy: None,
        message,
    })
}
