//! Deletion requests that were under way when a person froze or held, in words.

use std::collections::BTreeMap;

use crate::ledger::{DeletionState, PastDeletion};
use crate::operations::under_way::{LONGEST_WAIT, TooLate};
use crate::wording::numbers::count;
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
    let (id, asked) = (clean(past.backup.as_str()), asked_for(past));
    if past.state == DeletionState::Confirmed {
        let gone = past.settled_at.map_or_else(String::new, timestamp);
        format!("backup {id} cannot be held: it was deleted ({asked}, gone from the listing of {gone})")
    } else {
        format!(
            "backup {id} cannot be held: it is being deleted ({asked}, accepted); should it still be listed in half an hour, hold it then"
        )
    }
}

/// That a hold may be too late.
pub fn too_late(late: &TooLate) -> String {
    let past = match late {
        TooLate::Backup(past) => past,
        TooLate::Backups(late) => {
            return format!(
                "WARNING: the hold is too late for {}: a request that deletes {} is under way; `why ID` says what became of each",
                count(*late, "backup"),
                if *late == 1 { "it" } else { "them" }
            );
        }
    };
    let what = match past.state {
        DeletionState::Accepted | DeletionState::Confirmed => "a request that deletes it was accepted meanwhile",
        DeletionState::Unanswered => "a request that deletes it was never answered, and may have been acted on",
        _ => "a request that deletes it is under way",
    };
    format!(
        "WARNING: the hold may be too late: {what} ({}); `why {}` says what became of it",
        asked_for(past),
        clean(past.backup.as_str())
    )
}

fn asked_for(past: &PastDeletion) -> String {
    format!(
        "asked for {} by policy {}, run {}",
        timestamp(past.sent_at),
        clean(past.policy.as_str()),
        clean(&past.run)
    )
}
