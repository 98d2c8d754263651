//! Deletion requests that are under way when a person freezes or holds: what they are, and what becomes of them.

use std::collections::{BTreeMap, HashSet};
use std::time::{Duration, Instant};

use tokio::sync::watch;

use super::error::Error;
use crate::ledger::{DeletionState, Ledger, OpenRequest, PastDeletion, RequestKey};
use crate::retention::{BackupId, Hold, HoldTarget};

/// A freeze waits at most this long (contract, 3): longer than a request may take.
pub const LONGEST_WAIT: Duration = Duration::from_secs(30);
/// How often the ledger is asked meanwhile.
const ASK_AGAIN: Duration = Duration::from_millis(100);

/// What a freeze found. Asked once it is in force: no intent is recorded after that, so what is open then is all there is.
#[derive(Debug)]
pub enum UnderWay {
    /// No request is open.
    Nothing,
    /// A killed process left requests for so many ids without an outcome; no process is deleting.
    LeftOver(u64),
    /// A process is deleting.
    Requests {
        /// How many ids.
        ids: u64,
        /// Their requests.
        requests: Vec<RequestKey>,
    },
}

/// What is under way now.
pub fn under_way(ledger: &Ledger) -> Result<UnderWay, Error> {
    let open = ledger.open_requests()?;
    let ids = open.iter().map(|request| request.items.len()).sum::<usize>() as u64;
    if open.is_empty() {
        return Ok(UnderWay::Nothing);
    }
    // Asked again: a run that has ended since has closed its own.
    if !ledger.is_deleting() && ledger.open_requests()? == open {
        return Ok(UnderWay::LeftOver(ids));
    }
    let requests = open.iter().map(|request| request.request).collect();
    Ok(UnderWay::Requests { ids, requests })
}

/// Waits until these requests are answered, a stop is requested, or [`LONGEST_WAIT`] is over.
pub async fn until_answered(
    ledger: &Ledger,
    requests: &[RequestKey],
    mut stop: watch::Receiver<bool>,
) -> Result<(), Error> {
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

/// How many ids of these requests are in which state.
pub fn states(ledger: &Ledger, requests: &[RequestKey]) -> Result<BTreeMap<&'static str, u64>, Error> {
    let mut states: BTreeMap<&str, u64> = BTreeMap::new();
    for state in ledger.states_of(requests)? {
        let word = match state {
            DeletionState::Intended => "still without an answer",
            state => state.as_str(),
        };
        *states.entry(word).or_default() += 1;
    }
    Ok(states)
}

/// The deletion of a backup that cannot be held any more: it was confirmed or accepted.
pub(super) fn deleted(ledger: &Ledger, backup: &BackupId) -> Result<Option<PastDeletion>, Error> {
    let is_over = |last: &PastDeletion| matches!(last.state, DeletionState::Confirmed | DeletionState::Accepted);
    Ok(last_sent(ledger, backup)?.filter(is_over))
}

/// What a hold that has just been placed came too late for.
#[derive(Debug)]
pub enum TooLate {
    /// The backup's deletion is under way, or may have been answered meanwhile.
    Backup(Box<PastDeletion>),
    /// A request that deletes so many of the backups it covers is under way.
    Backups(u64),
}

pub(super) fn too_late_for(ledger: &Ledger, hold: &Hold) -> Result<Option<TooLate>, Error> {
    let HoldTarget::Backup(backup) = &hold.target else {
        return too_late_for_many(ledger, hold);
    };
    let is_late = |last: &PastDeletion| match last.state {
        DeletionState::Intended | DeletionState::Accepted | DeletionState::Confirmed | DeletionState::Unanswered => {
            true
        }
        DeletionState::Rejected | DeletionState::Withdrawn | DeletionState::Resent | DeletionState::Returned => false,
    };
    let late = last_sent(ledger, backup)?.filter(is_late);
    Ok(late.map(|last| TooLate::Backup(Box::new(last))))
}

fn too_late_for_many(ledger: &Ledger, hold: &Hold) -> Result<Option<TooLate>, Error> {
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
    Ok((late > 0).then_some(TooLate::Backups(late)))
}

fn last_sent(ledger: &Ledger, backup: &BackupId) -> Result<Option<PastDeletion>, Error> {
    let past = ledger.backup_history(backup)?;
    Ok(past.into_iter().rfind(PastDeletion::was_sent))
}
