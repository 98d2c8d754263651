//! The answer of `why` for a machine.

use std::io::{self, Write};

use serde::Serialize;

use super::super::super::explain::{Answer, PolicyAnswer, Present, is_enforced};
use super::super::super::forecast::length;
use super::super::decision_json::{Reasons, Stamp};
use super::super::json;
use super::written;
use crate::ledger::PastDeletion;
use crate::retention::what_if::{Edit, EditedValue};
use crate::retention::{Freeze, KeepRule, Verdict};

/// Writes the answer for a machine.
pub(in crate::cli) fn write(out: &mut dyn Write, answer: &Answer) -> io::Result<()> {
    json::write(
        out,
        &AnswerJson {
            at: Stamp(answer.at),
            backup_id: answer.id.as_str(),
            backup: answer.present.as_ref().map(PresentJson::of),
            deletions: answer.knows_past.then_some(&answer.past),
            freeze: answer.freeze.as_ref().map(|freezes| &freezes.longest),
        },
    )
}

#[derive(Serialize)]
struct AnswerJson<'a> {
    at: Stamp,
    backup_id: &'a str,
    /// `null` when no listing shows it.
    backup: Option<PresentJson<'a>>,
    /// `null` when there is no state to ask.
    deletions: Option<&'a Vec<PastDeletion>>,
    /// The freeze in force.
    freeze: Option<&'a Freeze>,
}

#[derive(Serialize)]
struct PresentJson<'a> {
    project: &'a str,
    instance_id: &'a str,
    instance_name: &'a str,
    backup_name: &'a str,
    begin_time: Option<Stamp>,
    size_bytes: u64,
    status: &'a str,
    /// `keep`, `expired` or `unmanaged`.
    fate: &'static str,
    /// When a kept one would go if no new backups were made; `null` is never.
    expires_at: Option<Stamp>,
    at_this_pace: Option<PaceJson>,
    policies: Vec<SayingJson<'a>>,
}

#[derive(Serialize)]
struct PaceJson {
    backup_every: String,
    goes_at: Option<Stamp>,
    looked_until: Stamp,
}

#[derive(Serialize)]
struct SayingJson<'a> {
    policy: &'a str,
    mode: &'static str,
    decision: &'static str,
    reasons: Reasons<'a>,
    expired_since: Option<Stamp>,
    due_at: Option<Stamp>,
    next_run: Option<Stamp>,
    would_go: Option<ChangeJson>,
    would_stay: Vec<ChangeJson>,
}

#[derive(Serialize)]
struct ChangeJson {
    edits: Vec<EditJson>,
    other_backups: usize,
}

#[derive(Serialize)]
struct EditJson {
    key: &'static str,
    from: String,
    to: Option<String>,
}

impl PresentJson<'_> {
    fn of(present: &Present) -> PresentJson<'_> {
        let Present { instance, backup, .. } = present;
        PresentJson {
            project: instance.project.as_str(),
            instance_id: instance.id.as_str(),
            instance_name: &instance.name,
            backup_name: &backup.name,
            begin_time: backup.begin.map(Stamp),
            size_bytes: backup.size_bytes,
            status: backup.status.as_str(),
            fate: match (present.sayings.is_empty(), present.is_kept()) {
                (true, _) => "unmanaged",
                (false, true) => "keep",
                (false, false) => "expired",
            },
            expires_at: present.expires_at.map(Stamp),
            at_this_pace: present.at_this_pace.as_ref().map(|pace| PaceJson {
                backup_every: length(pace.every),
                goes_at: pace.departure.as_ref().map(|departure| Stamp(departure.at)),
                looked_until: Stamp(pace.until),
            }),
            policies: present.sayings.iter().map(SayingJson::of).collect(),
        }
    }
}

impl SayingJson<'_> {
    fn of(saying: &PolicyAnswer) -> SayingJson<'_> {
        let (decision, reasons) = match &saying.verdict {
            Verdict::Keep(reasons) => ("keep", Reasons::Keep(reasons)),
            Verdict::Expire(reason) => ("expired", Reasons::Expire(*reason)),
        };
        SayingJson {
            policy: saying.policy.name.as_str(),
            mode: saying.policy.mode.as_str(),
            decision,
            reasons,
            expired_since: saying.since.map(Stamp),
            due_at: saying.due_at.filter(|_| is_enforced(&saying.policy)).map(Stamp),
            next_run: saying.next_run.map(Stamp),
            would_go: saying
                .would_go
                .as_ref()
                .and_then(|change| change.as_ref().ok())
                .map(ChangeJson::of),
            would_stay: saying.would_stay.iter().map(ChangeJson::of).collect(),
        }
    }
}

impl ChangeJson {
    fn of(change: &EditedValue) -> Self {
        let value = |rule: KeepRule| written(rule).split(": ").nth(1).unwrap_or_default().to_owned();
        let edit = |edit: &Edit| match edit {
            Edit::Rule { from, to } => EditJson {
                key: from.key(),
                from: value(*from),
                to: to.map(value),
            },
            Edit::MaxAge { from, to } => EditJson {
                key: "max_age",
                from: from.to_string(),
                to: to.map(|to| to.to_string()),
            },
            Edit::FailedAfter { from, to } => EditJson {
                key: "failed_after",
                from: from.to_string(),
                to: Some(to.to_string()),
            },
            Edit::Name(pattern) => EditJson {
                key: "keep.names",
                from: pattern.as_str().to_owned(),
                to: None,
            },
            // By its id where it was placed by command; one of the configuration has none.
            Edit::Hold(hold) => EditJson {
                key: "holds",
                from: hold.id.clone().unwrap_or_else(|| hold.reason.clone()),
                to: None,
            },
        };
        Self {
            edits: change.edits.iter().map(edit).collect(),
            other_backups: change.others,
        }
    }
}
