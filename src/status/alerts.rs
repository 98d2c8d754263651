//! What needs an operator: a rejected configuration, what the guard holds back with the command that lets it pass, and the
//! other problems. What one command or one cause explains is one alert, however many instances it concerns.

use std::collections::HashSet;

use super::snapshot::{PolicyStatus, RefusalStatus, Status, StatusProblem};
use crate::retention::PolicyName;
use crate::retention::report::SkipRecord;
use crate::wording::numbers::count;
use crate::wording::remedies::{Remedy, remedy_of_record};

/// One thing that needs a look. Nothing in it is escaped yet.
#[derive(Clone, Debug)]
pub struct Alert {
    /// What it is about.
    pub title: String,
    /// What is wrong.
    pub lines: Vec<String>,
    /// What to do, where that is known.
    pub remedy: Option<Remedy>,
}

/// How things stand, the gravest first.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Health {
    /// Something needs an operator, or the daemon cannot do its work.
    Bad,
    /// Nothing is deleted because of a freeze.
    Frozen,
    /// Nothing is known yet.
    New,
    /// All is well.
    Good,
}

/// The headline, with so many alerts.
pub fn health(status: &Status, alerts: usize) -> (Health, String) {
    if !status.ready {
        (Health::Bad, "It cannot do its work".to_owned())
    } else if alerts > 0 {
        let needs = if alerts == 1 { "needs" } else { "need" };
        (Health::Bad, format!("{} {needs} a look", count(alerts as u64, "thing")))
    } else if status.freeze.is_some() {
        (Health::Frozen, "Frozen".to_owned())
    } else if status.policies.iter().all(|policy| policy.last_run.is_none()) {
        (Health::New, "No run yet".to_owned())
    } else {
        (Health::Good, "All is well".to_owned())
    }
}

/// All there is, the gravest first.
pub fn alerts(status: &Status) -> Vec<Alert> {
    let mut alerts = Vec::new();
    alerts.extend(configuration(status));
    refusals(status, &mut alerts);
    for problem in &status.problems {
        match problem.about {
            // These have alerts already, or get one together.
            "configuration" if !status.config.last_reload_ok => {}
            "guard" if is_told(status, problem, &alerts) => {}
            "instance" => {}
            about => alerts.push(Alert {
                title: title(about, problem.policy.as_ref()),
                lines: vec![problem.message.clone()],
                remedy: None,
            }),
        }
    }
    alerts.extend(left_alone(status, &alerts));
    alerts
}

/// What the last runs left alone for another reason than those that have alerts, or than what a failed run's alert says.
fn left_alone(status: &Status, alerts: &[Alert]) -> Option<Alert> {
    let policies = status.policies.iter();
    let refused = policies.flat_map(|policy| policy.last_run.iter().flat_map(|run| &run.refusals));
    let refused: HashSet<&str> = refused.map(|refusal| refusal.limit.as_str()).collect();
    let others = status
        .skipped
        .iter()
        .filter(|skip| !refused.contains(skip.reason.as_str()));
    // Of a whole project the message alone names it.
    let text = |skip: &SkipRecord| match skip.instance_id {
        None => skip.message.clone(),
        Some(_) => skip.to_string(),
    };
    let said = |text: &str| {
        alerts
            .iter()
            .flat_map(|alert| &alert.lines)
            .any(|line| line.contains(text))
    };
    let lines: Vec<String> = others
        .filter(|skip| !said(&text(skip)))
        .map(ToString::to_string)
        .collect();
    (!lines.is_empty()).then(|| Alert {
        title: "Left alone".to_owned(),
        lines,
        remedy: None,
    })
}

fn title(about: &str, policy: Option<&PolicyName>) -> String {
    let subject = match about {
        "run" => "Last run",
        "guard" => "Refused",
        "state" => "State",
        "stopping" => "Stopping",
        "project" => "A project cannot be read",
        other => other,
    };
    match policy {
        Some(policy) => format!("{subject}, policy {policy}"),
        None => subject.to_owned(),
    }
}

/// What a freeze refuses that is in force is no news: the headline says it, with the command that ends it.
fn is_of_the_freeze(status: &Status, limit: &str) -> bool {
    status.freeze.is_some() && limit == "freeze"
}

/// An alert for each policy and each way out: a hundred instances over `max_percent` need one approval.
fn refusals(status: &Status, alerts: &mut Vec<Alert>) {
    for PolicyStatus { policy, last_run, .. } in &status.policies {
        let begin = alerts.len();
        let Some(last) = last_run else { continue };
        let gravest = last.refusal.as_ref();
        if gravest.is_some_and(RefusalStatus::is_approved) {
            continue;
        }
        let digest = gravest.and_then(|refusal| refusal.digest.as_deref());
        let refusals = last.refusals.iter();
        for refusal in refusals.filter(|refusal| !is_of_the_freeze(status, &refusal.limit)) {
            let remedy = remedy_of_record(refusal, policy.as_str(), digest, &status.program());
            let title = format!("Refused by {}, policy {policy}", refusal.limit);
            let mut known = alerts[begin..].iter_mut();
            match known.find(|alert| alert.remedy == remedy && alert.title == title) {
                Some(alert) => alert.lines.push(refusal.message.clone()),
                None => alerts.push(Alert {
                    title,
                    lines: vec![refusal.message.clone()],
                    remedy,
                }),
            }
        }
    }
}

/// Whether a problem of the guard is on an alert, is the freeze's, or was approved. A refused plan may wait still although the last run failed:
/// then it is not.
fn is_told(status: &Status, problem: &StatusProblem, alerts: &[Alert]) -> bool {
    let Some(policy) = &problem.policy else { return false };
    let end = format!(", policy {policy}");
    let last = status.policies.iter().find(|it| it.policy == *policy);
    let refusal = last.and_then(|it| it.last_run.as_ref()?.refusal.as_ref());
    alerts.iter().any(|alert| alert.title.ends_with(&end))
        || refusal.is_some_and(|refusal| refusal.is_approved() || is_of_the_freeze(status, &refusal.limit))
}

fn configuration(status: &Status) -> Option<Alert> {
    let intro = if status.started_at.is_some() {
        "The files have changed, but what they say now is not valid, so the configuration that was loaded before stays in force."
    } else {
        "The configuration has errors. A daemon that is running goes on with what it loaded before; it cannot be started again."
    };
    (!status.config.last_reload_ok).then(|| Alert {
        title: "Configuration".to_owned(),
        lines: [intro.to_owned()]
            .into_iter()
            .chain(status.config.problems.iter().cloned())
            .collect(),
        remedy: Some(Remedy::Command(format!("{} check", status.program()))),
    })
}
