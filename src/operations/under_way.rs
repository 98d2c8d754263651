//! Deletion requests that are under way when a person freezes or holds: what they are, and what becomes of them.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::time::{Duration, Instant};

use tokio::sync::watch;

use super::error::Error;
use crate::ledger::{DeletionState, Ledger, OpenRequest, PastDeletion, RequestKey};
use crate::retention::{BackupId, Hold, InstanceId};

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
    /// Of the backups that it covers or would cover some are deleted or being deleted.
    Backups(LateBackups),
}

/// Backups that are deleted or being deleted.
#[derive(Debug)]
pub struct LateBackups {
    /// How many.
    pub count: u64,
    /// At most [`MOST_NAMED`] of them.
    pub named: Vec<PastDeletion>,
}

/// So many backups are named, at most, for which a hold came too late.
pub const MOST_NAMED: usize = 5;

impl LateBackups {
    fn of(ledger: &Ledger, ids: &[BackupId]) -> Result<Option<Self>, Error> {
        let named = ids.iter().take(MOST_NAMED).map(|id| last_sent(ledger, id));
        let named: Vec<_> = named.collect::<Result<_, _>>()?;
        let count = ids.len() as u64;
        Ok((count > 0).then(|| Self {
            count,
            named: named.into_iter().flatten().collect(),
        }))
    }
}

/// Whether a hold comes too late for a backup whose last request is in this state. What was accepted and came back, and what
/// was refused, is there.
fn is_late(state: DeletionState) -> bool {
    match state {
        DeletionState::Intended | DeletionState::Accepted | DeletionState::Confirmed | DeletionState::Unanswered => {
            true
        }
        DeletionState::Rejected | DeletionState::Withdrawn | DeletionState::Resent | DeletionState::Returned => false,
    }
}

pub(super) fn too_late_for(ledger: &Ledger, backup: &BackupId) -> Result<Option<TooLate>, Error> {
    let late = last_sent(ledger, backup)?.filter(|last| is_late(last.state));
    Ok(late.map(|last| TooLate::Backup(Box::new(last))))
}

/// What a hold by patterns matches of what the last listings showed.
#[derive(Debug, Default)]
pub(super) struct Matched {
    /// The backups that are there, as far as is known: the confirmed ones are not.
    pub(super) backups: u64,
    /// Their instances.
    pub(super) instances: BTreeSet<InstanceId>,
    /// Of those that are there the ones that are being deleted; where none is there, those that are deleted.
    pub(super) late: Option<LateBackups>,
}

/// What a hold by patterns that has just been placed matches.
pub(super) fn matched_by(ledger: &Ledger, hold: &Hold) -> Result<Matched, Error> {
    let mut matched: HashMap<BackupId, BTreeSet<InstanceId>> = HashMap::new();
    ledger.each_known_backup(|known| {
        if hold.covers_names(known.instance.as_str(), &known.backup, &known.name) {
            matched
                .entry(known.backup.clone())
                .or_default()
                .insert(known.instance.clone());
        }
        true
    })?;
    let last = ledger.last_states(&matched.keys().cloned().collect())?;
    let mut found = Matched::default();
    let (mut gone, mut going) = (Vec::new(), Vec::new());
    for (backup, instances) in matched {
        let state = last.get(&backup).copied();
        if state == Some(DeletionState::Confirmed) {
            gone.push(backup);
            continue;
        }
        found.backups += instances.len() as u64;
        found.instances.extend(instances);
        if state.is_some_and(is_late) {
            going.push(backup);
        }
    }
    let late = if found.backups == 0 { &mut gone } else { &mut going };
    late.sort();
    found.late = LateBackups::of(ledger, late)?;
    Ok(found)
}

fn last_sent(ledger: &Ledger, backup: &BackupId) -> Result<Option<PastDeletion>, Error> {
    let past = ledger.backup_history(backup)?;
    Ok(past.into_iter().rfind(PastDeletion::was_sent))
}
