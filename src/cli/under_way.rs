//! Deletion requests that were under way when a person froze or held: waited for, and said what became of them.

use std::collections::{BTreeMap, HashSet};
use std::time::{Duration, Instant};

use super::context;
use super::failure::Failure;
use super::output::stdout::note;
use super::sentences::{clean, count, timestamp};
use crate::ledger::{DeletionState, Ledger, OpenRequest, PastDeletion, RequestKey};
use crate::retention::{BackupId, Hold, HoldTarget};

/// A freeze waits at most this long (contract, 3): longer than a request may take.
const LONGEST_WAIT: Duration = Duration::from_secs(30);
/// How often the ledger is asked meanwhile.
const ASK_AGAIN: Duration = Duration::from_millis(100);

/// Waits until no request is under way, and says how many ids were and what became of them. Called once the freeze is in
/// force: no intent is recorded after that, so what is open now is all there is.
pub(super) fn after_freeze(ledger: &Ledger, wait: bool) -> Result<String, Failure> {
    let open = ledger.open_requests()?;
    let ids = open.iter().map(|request| request.items.len()).sum::<usize>() as u64;
    if open.is_empty() {
        return Ok("no deletion request is under way".to_owned());
    }
    // Asked again: a run that has ended since has closed its own.
    if !ledger.is_deleting() && ledger.open_requests()? == open {
        return Ok(format!(
            "no process is deleting; {} of a process that was killed without an outcome: the next run lists them",
            were(ids, "left over")
        ));
    }
    let requests: Vec<RequestKey> = open.iter().map(|request| request.request).collect();
    if wait {
        note(&format!(
            "the freeze is in force; {} under way: waiting for the answers, at most {} s (Ctrl-C ends the waiting, not the freeze)",
            are(ids),
            LONGEST_WAIT.as_secs()
        ));
        context::block_on(1, until_answered(ledger, &requests))?;
    }
    became(ledger, &requests, ids)
}

async fn until_answered(ledger: &Ledger, requests: &[RequestKey]) -> Result<(), Failure> {
    let mut stop = context::stop_signal()?;
    let begun = Instant::now();
    loop {
        let is_deleting = ledger.is_deleting();
        let open = ledger.open_requests()?;
        let is_open = |request: &OpenRequest| requests.contains(&request.request);
        if !is_deleting || !open.iter().any(is_open) || begun.elapsed() >= LONGEST_WAIT {
            return Ok(());
        }
        tokio::select! {
            () = tokio::time::sleep(ASK_AGAIN) => {}
            _ = stop.wait_for(|stop| *stop) => return Ok(()),
        }
    }
}

fn became(ledger: &Ledger, requests: &[RequestKey], ids: u64) -> Result<String, Failure> {
    let mut states: BTreeMap<&str, u64> = BTreeMap::new();
    for state in ledger.states_of(requests)? {
        let word = match state {
            DeletionState::Intended => "still without an answer",
            state => state.as_str(),
        };
        *states.entry(word).or_default() += 1;
    }
    let each: Vec<String> = states.iter().map(|(word, number)| format!("{number} {word}")).collect();
    Ok(format!("{}: {}", were(ids, "under way"), each.join(", ")))
}

fn were(ids: u64, what: &str) -> String {
    format!("{} {} {what}", count(ids, "id"), if ids == 1 { "was" } else { "were" })
}

fn are(ids: u64) -> String {
    format!("{} {}", count(ids, "id"), if ids == 1 { "is" } else { "are" })
}

/// Why a backup cannot be held any more: it is deleted, or its deletion was accepted.
pub(super) fn deleted(ledger: &Ledger, backup: &BackupId) -> Result<Option<String>, Failure> {
    let Some(last) = last_sent(ledger, backup)? else {
        return Ok(None);
    };
    Ok(match (last.state, last.settled_at) {
        (DeletionState::Confirmed, gone) => Some(format!(
            "backup {} cannot be held: it was deleted ({}, gone from the listing of {})",
            clean(backup.as_str()),
            asked_for(&last),
            gone.map_or_else(String::new, timestamp)
        )),
        (DeletionState::Accepted, _) => Some(format!(
            "backup {} cannot be held: it is being deleted ({}, accepted); should it still be listed in half an hour, hold it then",
            clean(backup.as_str()),
            asked_for(&last)
        )),
        _ => None,
    })
}

/// What a hold that has just been placed came too late for: ids whose request was under way, or may have been answered
/// meanwhile.
pub(super) fn too_late_for(ledger: &Ledger, hold: &Hold) -> Result<Option<String>, Failure> {
    let HoldTarget::Backup(backup) = &hold.target else {
        return too_late_for_many(ledger, hold);
    };
    let Some(last) = last_sent(ledger, backup)? else {
        return Ok(None);
    };
    let what = match last.state {
        DeletionState::Intended => "a request that deletes it is under way",
        DeletionState::Accepted | DeletionState::Confirmed => "a request that deletes it was accepted meanwhile",
        DeletionState::Unanswered => "a request that deletes it was never answered, and may have been acted on",
        DeletionState::Rejected | DeletionState::Withdrawn | DeletionState::Resent | DeletionState::Returned => {
            return Ok(None);
        }
    };
    Ok(Some(format!(
        "WARNING: the hold may be too late: {what} ({}); `why {}` says what became of it",
        asked_for(&last),
        clean(backup.as_str())
    )))
}

fn too_late_for_many(ledger: &Ledger, hold: &Hold) -> Result<Option<String>, Failure> {
    let open = ledger.open_requests()?;
    if open.is_empty() {
        return Ok(None);
    }
    let known = ledger.known_backups()?;
    let covered = known
        .iter()
        .filter(|known| hold.covers_names(known.instance.as_str(), &known.backup, &known.name));
    let covered: HashSet<&BackupId> = covered.map(|known| &known.backup).collect();
    let items = open.iter().flat_map(|request| &request.items);
    let late = items.filter(|item| covered.contains(&item.backup)).count() as u64;
    Ok((late > 0).then(|| {
        format!(
            "WARNING: the hold is too late for {}: a request that deletes {} is under way; `why ID` says what became of each",
            count(late, "backup"),
            if late == 1 { "it" } else { "them" }
        )
    }))
}

fn last_sent(ledger: &Ledger, backup: &BackupId) -> Result<Option<PastDeletion>, Failure> {
    let past = ledger.backup_history(backup)?;
    Ok(past.into_iter().rfind(PastDeletion::was_sent))
}

fn asked_for(past: &PastDeletion) -> String {
    format!(
        "asked for {} by policy {}, run {}",
        timestamp(past.sent_at),
        clean(past.policy.as_str()),
        clean(&past.run)
    )
}
