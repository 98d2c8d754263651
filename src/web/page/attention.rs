//! What needs somebody: problems, what the guard holds back with the command that lets it pass, a rejected configuration.

use std::fmt::Write as _;

use super::words::{clip, remedy, remedy_of, text};
use super::{MOST_ENTRIES, program};
use crate::daemon::{LastRun, PolicyStatus, Problem, Status};
use crate::retention::{PolicyName, Refusal};

/// A message may hold what a server said; more of it is in the log.
const LONGEST_MESSAGE: usize = 600;

/// What the guard held back in a policy's last run.
enum Refused<'a> {
    /// As this process saw it.
    Seen(&'a Refusal),
    /// As the ledger remembers it: the name of the limit.
    Remembered(&'a str),
}

/// So many entries the list has.
pub(super) fn count(status: &Status) -> usize {
    let held = held_back(status);
    others(status, &held).count() + held.len() + usize::from(!status.config.last_reload_ok)
}

/// What a freeze refuses that is in force is no news: the headline says it, with the command that ends it.
fn is_of_the_freeze(status: &Status, limit: &str) -> bool {
    status.freeze.is_some() && limit == "freeze"
}

fn held_back(status: &Status) -> Vec<(&PolicyName, Refused<'_>)> {
    let mut found = Vec::new();
    for PolicyStatus { policy, last_run, .. } in &status.policies {
        let report = status.reports.get(policy);
        let own = report
            .iter()
            .flat_map(|report| &report.policies)
            .filter(|part| part.policy == *policy);
        let before = found.len();
        found.extend(
            own.flat_map(|part| &part.refusals)
                .map(|refusal| (policy, Refused::Seen(refusal))),
        );
        found.retain(|(_, refused)| !matches!(refused, Refused::Seen(it) if is_of_the_freeze(status, it.limit())));
        if found.len() == before
            && let Some(refusal) = last_run.as_ref().and_then(|run| run.refusal.as_ref())
            && !is_of_the_freeze(status, &refusal.limit)
        {
            found.push((policy, Refused::Remembered(&refusal.limit)));
        }
    }
    found
}

/// Problems that have no entry of their own here. A refused plan may wait still although the last run failed.
fn others<'a>(status: &'a Status, held: &[(&PolicyName, Refused<'_>)]) -> impl Iterator<Item = &'a Problem> {
    status.problems.iter().filter(move |problem| match problem.about {
        "configuration" => status.config.last_reload_ok,
        "guard" => {
            let is = |policy: &PolicyName| problem.policy.as_ref() == Some(policy);
            let frozen = |run: &LastRun| {
                let refusal = run.refusal.as_ref();
                refusal.is_some_and(|refusal| is_of_the_freeze(status, &refusal.limit))
            };
            !held.iter().any(|(policy, _)| is(policy))
                && !status
                    .policies
                    .iter()
                    .any(|it| is(&it.policy) && it.last_run.as_ref().is_some_and(frozen))
        }
        _ => true,
    })
}

pub(super) fn draw(out: &mut String, status: &Status) {
    let all = count(status);
    if all == 0 {
        return;
    }
    out.push_str("<section aria-labelledby=\"look\"><h2 id=\"look\">Needs a look</h2><ul class=\"look\">");
    let mut left = MOST_ENTRIES;
    if !status.config.last_reload_ok {
        configuration(out, status);
    }
    let held = held_back(status);
    for (policy, held) in &held {
        if left > 0 {
            left -= 1;
            refused(out, status, policy, held);
        }
    }
    for problem in others(status, &held) {
        if left > 0 {
            left -= 1;
            let whose = problem
                .policy
                .as_ref()
                .map_or_else(String::new, |policy| format!(", policy {}", text(policy.as_str())));
            let _ = write!(
                out,
                "<li class=\"card\"><h3>{}{whose}</h3><p>{}</p></li>",
                about(problem.about),
                text(clip(&problem.message, LONGEST_MESSAGE))
            );
        }
    }
    let shown = MOST_ENTRIES - left + usize::from(!status.config.last_reload_ok);
    if shown < all {
        let _ = write!(
            out,
            "<li class=\"card\">and {} more; <a href=\"/api/v1/status\">the JSON</a> and the log have them all</li>",
            all - shown
        );
    }
    out.push_str("</ul></section>");
}

/// A heading for a problem's subject.
fn about(subject: &str) -> String {
    match subject {
        "run" => "Last run".to_owned(),
        "guard" => "Refused".to_owned(),
        "instance" => "Left alone".to_owned(),
        "state" => "State".to_owned(),
        "stopping" => "Stopping".to_owned(),
        other => text(other),
    }
}

fn refused(out: &mut String, status: &Status, policy: &PolicyName, held: &Refused<'_>) {
    let name = policy.as_str();
    let (limit, what, way) = match held {
        Refused::Seen(refusal) => (
            refusal.limit(),
            text(clip(&refusal.to_string(), LONGEST_MESSAGE)),
            Some(remedy(refusal, name, &program(status))),
        ),
        Refused::Remembered(limit) => (
            *limit,
            "The last run before this process started was refused; the next run says more.".to_owned(),
            remedy_of(limit, name, &program(status)),
        ),
    };
    let way = match way {
        Some((true, command)) => format!("<pre>{}</pre>", text(&command)),
        Some((false, words)) => format!("<p>To let it pass: {}.</p>", text(&words)),
        None => String::new(),
    };
    let _ = write!(
        out,
        "<li class=\"card\"><h3>Refused by {}, policy {}</h3><p>{what}</p>{way}</li>",
        text(limit),
        text(name)
    );
}

fn configuration(out: &mut String, status: &Status) {
    let problems = &status.config.problems;
    let _ = write!(
        out,
        "<li class=\"card\"><h3>Configuration</h3><p>The files have changed, and what is in them now is not in force. In force is what was loaded before.</p>"
    );
    for problem in problems.iter().take(MOST_ENTRIES) {
        let _ = write!(out, "<p><code>{}</code></p>", text(clip(problem, LONGEST_MESSAGE)));
    }
    if problems.len() > MOST_ENTRIES {
        let _ = write!(out, "<p>and {} more:</p>", problems.len() - MOST_ENTRIES);
    }
    let _ = write!(out, "<pre>{}</pre></li>", text(&format!("{} check", program(status))));
}
