//! The two log lines that must not differ from one caller to the next: a run's and a deletion request's.
//!
//! Not for how a line looks: that is [`super::logging`], whose convention for names in `.json` is used here.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use serde_json::{Map, Value, json};

use crate::retention::report::{InstanceCounts, Outcome, PolicyReport, RunResult, Sent, Skip, SkipReason, Summary};
use crate::retention::{BackupId, Fate, InstanceId, PolicyName, ProjectName, Refusal, RunReport};
use crate::wording::numbers::count as count_of;
use crate::wording::refusals::{in_a_line, is_named_with_others};
use crate::wording::remedies::remedy;
use crate::wording::run_messages;

/// So many refusals of a policy stand in its line; those of single instances have lines of their own, too.
const MOST_REFUSALS: usize = 5;
/// So many different messages of the API stand in a deletion's line.
const MOST_MESSAGES: usize = 5;
/// So many ids stand beside each of them, for people.
const MOST_IDS: usize = 5;

/// A run as lines: one for each thing that was left alone, one for each policy, and the sums. ERROR where a person must act: a run that
/// failed, a plan that waits for approval. None grows with the fleet, for the journal takes long lines apart. `program` is how commands
/// call this one.
pub fn run_line(report: &RunReport, program: &str) {
    report.skipped.iter().for_each(|skip| skip_line(report, skip));
    report
        .policies
        .iter()
        .for_each(|policy| policy_line(report, policy, program));
    let any = |result| report.policies.iter().any(|policy| policy.result == result);
    let waits = report.policies.iter().any(waits);
    let count =
        |decision: fn(&Summary) -> u64| -> u64 { report.policies.iter().map(|policy| decision(&policy.summary)).sum() };
    let bytes: u64 = sent(report)
        .map(|sent| sent.confirmed_bytes)
        .fold(0, u64::saturating_add);
    let instances: InstanceCounts = report.instances.values().sum();
    let seconds = report.finished_at.signed_duration_since(report.at).as_seconds_f64();
    let head = report.ledger_head.as_deref();
    let people = run_for_people(report, seconds);
    // tracing wants the level of an event as a constant.
    macro_rules! line {
        ($level:ident) => {
            tracing::$level!(
                people,
                run_id = report.run_id.as_deref(),
                at = %report.at.to_rfc3339(),
                seconds,
                keep = count(|it| it.keep.count),
                wait = count(|it| it.wait.count),
                delete = count(|it| it.delete.count),
                accepted = report.sent("accepted"),
                rejected = report.sent("rejected"),
                unanswered = report.sent("unanswered"),
                confirmed = report.sent("confirmed"),
                returned = report.sent("returned"),
                confirmed_bytes = bytes,
                left = report.policies.iter().map(|policy| policy.left).sum::<u64>(),
                unconfirmed = report.unconfirmed.values().sum::<u64>(),
                managed = instances.managed,
                unmanaged = instances.unmanaged,
                overlapping = instances.overlapping,
                failed = instances.failed,
                calls = report.calls,
                ledger_head = head,
                policies = report.policies.len(),
                skipped = report.skipped.len(),
                "run ended"
            )
        };
    }
    if any(RunResult::Failed) || waits {
        line!(error);
    } else if any(RunResult::Partial) || any(RunResult::Refused) {
        line!(warn);
    } else {
        line!(info);
    }
}

fn run_for_people(report: &RunReport, seconds: f64) -> String {
    let head = report.ledger_head.as_ref();
    format!(
        "run ended after {seconds:.1} s: {}, {} confirmed gone{}",
        count_of(report.calls, "API call"),
        count_of(report.sent("confirmed"), "deletion"),
        head.map_or_else(String::new, |head| format!(", ledger head {head}"))
    )
}

fn sent(report: &RunReport) -> impl Iterator<Item = &Sent> {
    report.policies.iter().flat_map(|policy| policy.sent.values())
}

fn waits(policy: &PolicyReport) -> bool {
    policy.refusals.iter().any(Refusal::waits_for_approval)
}

/// `production: refused, …; to approve: …`
fn policy_for_people(report: &RunReport, policy: &PolicyReport, program: &str) -> String {
    let said = in_a_line(&policy.refusals, &|id| report.name_of(id).to_string());
    let Some(gravest) = said.first().filter(|_| policy.result != RunResult::Failed) else {
        return run_messages::ended(report, policy, None);
    };
    let more = match said.len() - 1 {
        0 => String::new(),
        more => format!(" (and {more} more)"),
    };
    let name = policy.policy.as_str();
    let what = if gravest.refusal.waits_for_approval() {
        "to approve"
    } else {
        "what to do"
    };
    format!(
        "{name}: {}: {}{more}; {what}: {}",
        policy.result.as_str(),
        gravest.text,
        remedy(gravest.refusal, name, policy.digest.as_deref(), program)
    )
}

fn policy_line(report: &RunReport, policy: &PolicyReport, program: &str) {
    let people = policy_for_people(report, policy, program);
    let refusals: Value = policy
        .refusals
        .iter()
        .take(MOST_REFUSALS)
        .map(|refusal| json!({"limit": refusal.limit(), "message": refusal.to_string()}))
        .collect();
    macro_rules! line {
        ($level:ident) => {
            tracing::$level!(
                people,
                run_id = report.run_id.as_deref(),
                policy = policy.policy.as_str(),
                mode = policy.mode.as_str(),
                result = policy.result.as_str(),
                summary.json = %json!(policy.summary),
                left = policy.left,
                sent.json = %json!(policy.sent),
                refused = policy.refusals.len(),
                refusals.json = %refusals,
                digest = policy.digest.as_deref(),
                "policy done"
            )
        };
    }
    match policy.result {
        RunResult::Failed => line!(error),
        _ if waits(policy) => line!(error),
        RunResult::Partial | RunResult::Refused => line!(warn),
        _ => line!(info),
    }
    if !policy.restarted.is_empty() {
        tracing::info!(
            run_id = report.run_id.as_deref(),
            policy = policy.policy.as_str(),
            by_reason.json = %json!(policy.restarted),
            "grace periods restart"
        );
    }
}

fn skip_line(report: &RunReport, skip: &Skip) {
    // The line of its policy says it of all instances together.
    let is_said = matches!(&skip.reason, SkipReason::Guard(refusal) if is_named_with_others(refusal));
    let people = if is_said {
        String::new()
    } else {
        format!("left alone: {}", report.record_of(skip))
    };
    tracing::info!(
        people,
        run_id = report.run_id.as_deref(),
        project = skip.project.as_str(),
        instance_id = skip.instance.as_ref().map(InstanceId::as_str),
        reason = skip.reason.key(),
        details = skip.message,
        "left alone"
    );
}

/// A deletion request as one line: run id, ids, the outcome of each, and what the API said of those that it did not accept, once for each
/// code. WARN where it did not accept all.
pub fn deletion_line(run_id: &str, policy: &PolicyName, project: &ProjectName, outcomes: &[(BackupId, Outcome)]) {
    let all_accepted = outcomes.iter().all(|(_, outcome)| *outcome == Outcome::Accepted);
    // Not read, so not made, for a large run has a thousand of them.
    if all_accepted && !tracing::enabled!(tracing::Level::INFO) {
        return;
    }
    let count = |key: &str| {
        outcomes
            .iter()
            .filter(|(_, it)| Fate::Answered(it.clone()).key() == key)
            .count()
    };
    let (mut each, mut messages) = (Map::new(), Map::new());
    let mut not_accepted: BTreeMap<String, Vec<&str>> = BTreeMap::new();
    for (id, outcome) in outcomes {
        let (code, message) = match outcome {
            Outcome::Accepted => ("accepted", None),
            Outcome::Rejected { code, message } => (code.as_str(), Some(message)),
            Outcome::Unanswered { why } => ("unanswered", Some(why)),
        };
        each.insert(id.as_str().to_owned(), json!(code));
        if let Some(message) = message {
            not_accepted
                .entry(format!("{code} ({message})"))
                .or_default()
                .push(id.as_str());
        }
        if let Some(message) = message.filter(|_| messages.len() < MOST_MESSAGES) {
            messages.entry(code).or_insert_with(|| json!(message));
        }
    }
    let (each, messages) = (Value::Object(each), Value::Object(messages));
    let people = deletion_for_people(policy, project, count("accepted"), &not_accepted);
    macro_rules! line {
        ($level:ident) => {
            tracing::$level!(
                people,
                run_id,
                policy = policy.as_str(),
                project = project.as_str(),
                accepted = count("accepted"),
                rejected = count("rejected"),
                unanswered = count("unanswered"),
                outcomes.json = %each,
                messages.json = %messages,
                "deletion request"
            )
        };
    }
    if all_accepted {
        line!(info);
    } else {
        line!(warn);
    }
}

fn deletion_for_people(
    policy: &PolicyName,
    project: &ProjectName,
    accepted: usize,
    not_accepted: &BTreeMap<String, Vec<&str>>,
) -> String {
    let mut people = format!("deletion request of {policy} in {project}: {accepted} accepted");
    for (why, ids) in not_accepted.iter().take(MOST_MESSAGES) {
        let more = match ids.len().saturating_sub(MOST_IDS) {
            0 => String::new(),
            more => format!(" and {more} more"),
        };
        let named = &ids[..ids.len().min(MOST_IDS)];
        let _ = write!(people, "; {why}: {}{more}", named.join(", "));
    }
    people
}
