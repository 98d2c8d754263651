//! Deletion requests that were under way when a person froze or held, in words.

use std::collections::BTreeMap;

use crate::ledger::{DeletionState, PastDeletion};
use crate::operations::under_way::{LONGEST_WAIT, TooLate};
use crate::wording::numbers::{count, number};
use crate::wording::sanitize::clean;
use crate::wording::times::timestamp;

/// What a killed process left open.
pub fn left_over(ids: u64) -> String {
    format!(
        "no process is deleting; {} of a process that was killed without an outcome: the next run lists them",
        were(ids, "left over")
    )
}

/// That a freeze waits for answers.
pub fn waiting(ids: u64) -> String {
    format!(
        "the freeze is in force; {} {} under way: waiting for the answers, at most {} s (Ctrl-C ends the waiting, not the freeze)",
        count(ids, "id"),
        if ids == 1 { "is" } else { "are" },
        LONGEST_WAIT.as_secs()
    )
}

/// What became of the ids that were under way.
pub fn became(ids: u64, states: &BTreeMap<&str, u64>) -> String {
    let each: Vec<String> = states.iter().map(|(word, number)| format!("{number} {word}")).collect();
    format!("{}: {}", were(ids, "under way"), each.join(", "))
}

fn were(ids: u64, what: &str) -> String {
    format!("{} {} {what}", count(ids, "id"), if ids == 1 { "was" } else { "were" })
}

/// Why a backup cannot be held any more: it is deleted, or its deletion was accepted.
pub fn cannot_be_held(past: &PastDeletion) -> String {
    let advice = match past.state {
        DeletionState::Confirmed => "",
        _ => "; should it still be listed in half an hour, hold it then",
    };
    let id = clean(past.backup.as_str());
    format!("backup {id} cannot be held: it {}{advice}", what_became(past))
}

/// That a hold may be too late.
pub fn too_late(late: &TooLate) -> String {
    match late {
        TooLate::Backup(past) => format!(
            "WARNING: the hold may be too late: it {}; `why {}` says what became of it",
            what_became(past),
            clean(past.backup.as_str())
        ),
        TooLate::Backups(late) => {
            let mut lines = vec![format!(
                "WARNING: the hold is too late for {}, deleted or being deleted already; `why ID` says what became of each:",
                count(late.count, "backup")
            )];
            let named = late.named.iter();
            lines.extend(named.map(|past| format!("  {}: it {}", clean(past.backup.as_str()), what_became(past))));
            match late.count - late.named.len() as u64 {
                0 => {}
                more => lines.push(format!("  and {} more", number(more))),
            }
            lines.join("\n")
        }
    }
}

/// What became of a backup whose deletion was asked for, by whom and when.
fn what_became(past: &PastDeletion) -> String {
    let asked = asked_for(past);
    match past.state {
        DeletionState::Confirmed => {
            let gone = past.settled_at.map_or_else(String::new, timestamp);
            format!("was deleted ({asked}, gone from the listing of {gone})")
        }
        DeletionState::Accepted => format!("is being deleted ({asked}, accepted)"),
        DeletionState::Unanswered => {
            format!("may be deleted ({asked}; the request was never answered, and may have been acted on)")
        }
        _ => format!("is about to be deleted ({asked}; a request that deletes it is under way)"),
    }
}

fn asked_for(past: &PastDeletion) -> String {
    format!(
        "asked for {} by policy {}, run {}",
        timestamp(past.sent_at),
        clean(past.policy.as_str()),
        clean(&past.run)
    )
}
