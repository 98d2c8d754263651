//! The two log lines that must not differ from one caller to the next: a run's and a deletion request's.
//!
//! Not for how a line looks: that is [`super::logging`], whose convention for names in `.json` is used here.

use serde_json::{Map, Value, json};

use crate::retention::report::{InstanceCounts, Outcome, PolicyReport, RunResult, Sent, Skip, Summary};
use crate::retention::{BackupId, Fate, InstanceId, PolicyName, ProjectName, Refusal, RunReport};

/// A run as one line, the whole report as fields. ERROR where somebody must act: a run that failed, a plan that waits
/// for approval.
pub fn run_line(report: &RunReport) {
    let waits = report
        .policies
        .iter()
        .flat_map(|policy| &policy.refusals)
        .any(Refusal::waits_for_approval);
    let any = |result| report.policies.iter().any(|policy| policy.result == result);
    let count =
        |decision: fn(&Summary) -> u64| -> u64 { report.policies.iter().map(|policy| decision(&policy.summary)).sum() };
    let bytes: u64 = sent(report)
        .map(|sent| sent.confirmed_bytes)
        .fold(0, u64::saturating_add);
    let instances: InstanceCounts = report.instances.values().sum();
    // tracing wants the level of an event as a constant.
    macro_rules! line {
        ($level:ident) => {
            tracing::$level!(
                run_id = report.run_id.as_deref(),
                at = %report.at.to_rfc3339(),
                seconds = report.finished_at.signed_duration_since(report.at).as_seconds_f64(),
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
                ledger_head = report.ledger_head.as_deref(),
                policies.json = %policies(report),
                skipped.json = %skipped(report),
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

fn sent(report: &RunReport) -> impl Iterator<Item = &Sent> {
    report.policies.iter().flat_map(|policy| policy.sent.values())
}

fn policies(report: &RunReport) -> Value {
    let one = |policy: &PolicyReport| {
        let refusals: Vec<Value> = policy
            .refusals
            .iter()
            .map(|refusal| json!({"limit": refusal.limit(), "message": refusal.to_string()}))
            .collect();
        json!({
            "policy": policy.policy.as_str(),
            "mode": policy.mode.as_str(),
            "result": policy.result.as_str(),
            "summary": policy.summary,
            "left": policy.left,
            "sent": policy.sent,
            "refusals": refusals,
        })
    };
    report.policies.iter().map(one).collect()
}

fn skipped(report: &RunReport) -> Value {
    let one = |skip: &Skip| {
        json!({
            "project": skip.project.as_str(),
            "instance_id": skip.instance.as_ref().map(InstanceId::as_str),
            "reason": skip.reason.key(),
            "message": skip.message,
        })
    };
    report.skipped.iter().map(one).collect()
}

/// A deletion request as one line: run id, ids and what the API said of each. WARN where it did not accept all.
pub fn deletion_line(run_id: &str, policy: &PolicyName, project: &ProjectName, outcomes: &[(BackupId, Outcome)]) {
    let all_accepted = outcomes.iter().all(|(_, outcome)| *outcome == Outcome::Accepted);
    // Nobody reads it: not made, for a large run has a thousand of them.
    if all_accepted && !tracing::enabled!(tracing::Level::INFO) {
        return;
    }
    let count = |key: &str| {
        outcomes
            .iter()
            .filter(|(_, it)| Fate::Answered(it.clone()).key() == key)
            .count()
    };
    let each: Map<String, Value> = outcomes
        .iter()
        .map(|(id, outcome)| {
            (
                id.as_str().to_owned(),
                serde_json::to_value(outcome).unwrap_or(Value::Null),
            )
        })
        .collect();
    let each = Value::Object(each);
    macro_rules! line {
        ($level:ident) => {
            tracing::$level!(
                run_id,
                policy = policy.as_str(),
                project = project.as_str(),
                accepted = count("accepted"),
                rejected = count("rejected"),
                unanswered = count("unanswered"),
                outcomes.json = %each,
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
