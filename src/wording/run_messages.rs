//! What a person is sent about a run: one or two sentences a policy. What to do about it is in `remedies`.

use std::fmt::Write as _;

use chrono::{DateTime, Utc};

use super::numbers::{count, number, size};
use super::refusals;
use super::sanitize::clean;
use super::times::timestamp;
use crate::retention::report::{PolicyReport, RunResult};
use crate::retention::{Mode, PolicyName, Refusal, RunReport};

/// A longer reason is cut: it may quote what the API said.
const LONGEST_REASON: usize = 300;

/// A run of these policies begins.
pub fn starting<'p>(policies: impl Iterator<Item = &'p PolicyName>) -> String {
    let names: Vec<_> = policies.map(|policy| clean(policy.as_str())).collect();
    let noun = if names.len() == 1 { "policy" } else { "policies" };
    format!("A run of {noun} {} begins.", names.join(", "))
}

/// How the run of one policy ended. `why` is why there is no report, where there is none.
pub fn ended(report: &RunReport, policy: &PolicyReport, why: Option<&str>) -> String {
    let name = clean(policy.policy.as_str());
    let gravest = policy.refusals.first();
    match (policy.result, gravest) {
        (RunResult::Skipped, _) => format!("Policy {name} did not run: another run was under way."),
        (RunResult::Failed, _) => {
            let why = why.map(cut).or_else(|| left_alone(report));
            let why = why.unwrap_or_else(|| "the log says why".to_owned());
            format!("The run of policy {name} failed: {why}.")
        }
        (RunResult::Refused, Some(refusal @ Refusal::Freeze { .. })) => {
            format!("Policy {name} deletes nothing: {}.", cut(&refusal.to_string()))
        }
        (RunResult::Refused, _) => {
            let what = if policy.approved == 0 {
                "its plan"
            } else {
                "a part of its plan"
            };
            let limits = refusals::in_a_line(&policy.refusals, &|id| report.name_of(id).to_string());
            let why: Vec<String> = limits.iter().map(|limit| cut(&limit.text)).collect();
            format!("Policy {name}: the guard refused {what}: {}.", why.join("; "))
        }
        (RunResult::Partial, _) => {
            let alone = left_alone(report).map_or_else(String::new, |alone| format!(" Left alone: {alone}."));
            format!(
                "Policy {name} left something undone: {}.{alone} The next run tries again.",
                figures(policy)
            )
        }
        (RunResult::Success, _) => format!("Policy {name}: {}.", figures(policy)),
    }
}

/// What was deleted, and what stays.
fn figures(policy: &PolicyReport) -> String {
    let sent = |fate: &str| -> u64 { policy.sent.values().filter_map(|sent| sent.fates.get(fate)).sum() };
    let summary = policy.summary;
    let (gone, accepted) = (sent("confirmed"), sent("accepted"));
    let mut text = match (policy.mode, gone + accepted) {
        (Mode::DryRun, _) => format!(
            "dry-run, {} ({}) would be deleted",
            count(summary.delete.count, "backup"),
            size(summary.delete.bytes)
        ),
        (Mode::Enforce, 0) if summary.delete.count == 0 => "nothing to delete".to_owned(),
        (Mode::Enforce, deleted) => {
            let open = if accepted > 0 {
                format!(" ({} not confirmed yet)", number(accepted))
            } else {
                String::new()
            };
            format!("{} deleted{open}", count(deleted, "backup"))
        }
    };
    for (count, what) in [
        (sent("rejected"), "rejected"),
        (sent("unanswered"), "unanswered"),
        (sent("returned"), "returned"),
        (policy.left, "left to the next run"),
    ] {
        if count > 0 {
            let _ = write!(text, ", {} {what}", number(count));
        }
    }
    let _ = write!(text, "; {} kept", number(summary.keep.count));
    if summary.wait.count > 0 {
        let _ = write!(text, ", {} in the grace period", number(summary.wait.count));
    }
    text
}

/// The first thing that was left alone, and how many more there are.
fn left_alone(report: &RunReport) -> Option<String> {
    let skipped = &report.skipped;
    let first = skipped.first()?;
    let place = first.instance.as_ref().map_or_else(
        || format!("project {}", clean(first.project.as_str())),
        |instance| format!("instance {}", clean(&report.name_of(instance))),
    );
    let more = match skipped.len() - 1 {
        0 => String::new(),
        more => format!(" (and {more} more)"),
    };
    Some(format!("{place}: {}{more}", cut(&first.message)))
}

/// Deleted backups that are COMPLETED again.
pub fn returned(policy: &PolicyName, backups: u64) -> String {
    let is = if backups == 1 { "is" } else { "are" };
    format!(
        "{} that policy {} deleted {is} still COMPLETED 30 minutes after the API accepted the deletion. The next run deletes \
         what is still due; if this repeats, ask the cloud's support.",
        count(backups, "backup"),
        clean(policy.as_str())
    )
}

/// A run that a killed process left open.
pub fn interrupted(policy: &PolicyName, at: DateTime<Utc>) -> String {
    format!(
        "The run of policy {} of {} was interrupted and counts as failed. What it had sent is settled by the next listing.",
        clean(policy.as_str()),
        timestamp(at)
    )
}

/// A hold or freeze, called `what`, that ends soon.
pub fn ending(what: &str, reason: &str, until: DateTime<Utc>) -> String {
    format!(
        "The {} ({}) ends at {}. Then the policies decide again, after the grace period.",
        clean(what),
        cut(reason),
        timestamp(until)
    )
}

/// One line, not too long.
fn cut(text: &str) -> String {
    let cleaned = clean(text.trim_end_matches('.'));
    match cleaned.char_indices().nth(LONGEST_REASON) {
        Some((end, _)) => format!("{}…", &cleaned[..end]),
        None => cleaned.into_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::retention::Zone;
    use crate::retention::report::{Sent, Skip, SkipReason, Tally};

    fn report(result: RunResult, change: impl FnOnce(&mut PolicyReport)) -> String {
        let mut policy = PolicyReport::new("p".into(), Mode::Enforce, Zone::UTC, result);
        policy.summary.keep = Tally { count: 61, bytes: 1 };
        change(&mut policy);
        let mut report = RunReport::new(DateTime::UNIX_EPOCH);
        report.skipped = vec![Skip {
            project: "dr".into(),
            instance: None,
            reason: SkipReason::Unreachable,
            message: "connection refused\n\u{202e}".to_owned(),
        }];
        ended(&report, &policy, None)
    }

    #[test]
    fn each_result_is_a_sentence_with_figures() {
        let sent = |fates: &[(&str, u64)]| {
            let fates = fates.iter().map(|(fate, count)| ((*fate).to_owned(), *count)).collect();
            [(
                "prod".into(),
                Sent {
                    fates,
                    ..Sent::default()
                },
            )]
            .into()
        };
        assert_eq!(
            report(RunResult::Success, |_| {}),
            "Policy p: nothing to delete; 61 kept."
        );
        assert_eq!(
            report(RunResult::Success, |policy| {
                policy.summary.delete.count = 9;
                policy.summary.wait.count = 4;
                policy.sent = sent(&[("confirmed", 6), ("accepted", 3)]);
            }),
            "Policy p: 9 backups deleted (3 not confirmed yet); 61 kept, 4 in the grace period."
        );
        assert_eq!(
            report(RunResult::Partial, |policy| {
                policy.summary.delete.count = 9;
                policy.left = 2;
                policy.sent = sent(&[("confirmed", 6), ("rejected", 1)]);
            }),
            "Policy p left something undone: 6 backups deleted, 1 rejected, 2 left to the next run; 61 kept. Left alone: project \
             dr: connection refused\\n\\u{202e}. The next run tries again."
        );
        assert_eq!(
            report(RunResult::Failed, |_| {}),
            "The run of policy p failed: project dr: connection refused\\n\\u{202e}."
        );
        let refused = report(RunResult::Refused, |policy| {
            policy.refusals = vec![Refusal::MaxDeletions { planned: 9, limit: 8 }];
        });
        assert!(
            refused.starts_with("Policy p: the guard refused its plan: 9 deletions are more than"),
            "{refused}"
        );
    }

    #[test]
    fn a_limit_that_many_instances_exceed_is_said_once_with_their_names() {
        let refused = |nth: u8| Refusal::MaxPercent {
            instance: format!("id{nth}in04").as_str().into(),
            planned: 27,
            of: 39,
            percent: 30,
        };
        let mut policy = PolicyReport::new("p".into(), Mode::Enforce, Zone::UTC, RunResult::Refused);
        policy.refusals = (1..=4).map(refused).collect();
        let mut report = RunReport::new(DateTime::UNIX_EPOCH);
        for nth in 1..=4_u8 {
            let id = format!("id{nth}in04");
            report
                .names
                .insert(id.as_str().into(), format!("prod-{nth}").as_str().into());
        }
        assert_eq!(
            ended(&report, &policy, None),
            "Policy p: the guard refused its plan: deletions exceed max_percent 30; 4 instances are left alone: prod-1 (27 of \
             39), prod-2 (27 of 39), and 2 more."
        );
    }
}
