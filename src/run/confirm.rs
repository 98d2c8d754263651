//! Accepted is not deleted: the instances that were touched are listed again until the ids are gone.
//!
//! A deletion is a task (API page "Deleting Manual Backups in Batches": the code says that the task was accepted). What is
//! not gone when the waiting time is over is confirmed by the next run's listing.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::Arc;
use std::time::Duration;

use tokio::task::JoinSet;
use tokio::time::Instant;

use super::context::{RunContext, stop_requested};
use super::error::Error;
use super::list_backups::{SeenDatabases, backups_of};
use super::sent::{SendResult, SentItem};
use crate::blocking::blocking;
use crate::ledger::Listing;
use crate::rds::{Client, PAGE};
use crate::retention::{BackupId, Fate, Instance, InstanceId, InstanceLife, Outcome};

/// Waits between two looks at an instance, growing.
const WAITS: [Duration; 5] = [
    Duration::from_millis(500),
    Duration::from_secs(2),
    Duration::from_secs(5),
    Duration::from_secs(10),
    Duration::from_secs(15),
];

/// How long a look may take beyond the waiting time: with `--confirm-for 0s` there is still one.
const FIRST_LOOK: Duration = Duration::from_secs(20);

/// Codes that mean "there is no such backup" (API reference, section 7), and the status of a 404 without a code: gone once a listing agrees.
const NOT_FOUND: [&str; 3] = ["DBS.280214", "DBS.201010", "404"];

/// So many confirmed ids are written down in one transaction.
const IDS_A_TRANSACTION: usize = 10_000;

/// Looks until every accepted id is gone, the time is over, or stop is requested.
pub(super) async fn confirm(
    mut sending: SendResult,
    context: &RunContext,
    run_id: &str,
    listings: &HashMap<InstanceId, Listing>,
    deadline: Instant,
) -> Result<SendResult, Error> {
    let mut waits = WAITS.iter().copied().chain(std::iter::repeat(WAITS[WAITS.len() - 1]));
    loop {
        let touched = touched(&sending.items, context, listings);
        if touched.is_empty() {
            return Ok(sending);
        }
        look(&mut sending.items, touched, context, run_id, deadline).await?;
        let wait = waits.next().unwrap_or(WAITS[0]);
        let finished = !sending.items.iter().any(is_open);
        if finished || Instant::now() + wait > deadline || !rest(context, wait).await {
            return Ok(sending);
        }
    }
}

/// An instance with ids that wait for confirmation.
struct Touched {
    client: Client,
    instance: Arc<Instance>,
    /// Places among the sent items.
    open: Vec<usize>,
    /// Their ids.
    ids: HashSet<BackupId>,
    /// Whether asking for each is fewer calls than listing all of the instance.
    is_asked_by_id: bool,
    /// How many backups of the instance were listed and not sent.
    kept: usize,
}

impl Touched {
    /// Whether a listing lacks more than half of what was not sent: then it says nothing about what was.
    fn is_shrunken(&self, listed: &HashSet<BackupId>) -> bool {
        2 * listed.difference(&self.ids).count() < self.kept
    }
}

/// The instances with ids that wait, each once.
fn touched(items: &[SentItem], context: &RunContext, listings: &HashMap<InstanceId, Listing>) -> Vec<Touched> {
    let mut sent: HashMap<&InstanceId, usize> = HashMap::new();
    for item in items {
        *sent.entry(&item.planned.candidate.instance.id).or_default() += 1;
    }
    let mut touched: BTreeMap<&InstanceId, Touched> = BTreeMap::new();
    for (place, item) in items.iter().enumerate().filter(|(_, item)| is_open(item)) {
        let candidate = &item.planned.candidate;
        let instance = &candidate.instance;
        let Some(client) = context.projects.get(&instance.project) else {
            continue;
        };
        let of = touched.entry(&instance.id).or_insert_with(|| Touched {
            client: client.clone(),
            instance: Arc::clone(instance),
            open: Vec::new(),
            ids: HashSet::new(),
            is_asked_by_id: false,
            kept: 0,
        });
        of.open.push(place);
        of.ids.insert(candidate.id.clone());
    }
    for (id, of) in &mut touched {
        let listed = listings.get(*id).map_or(0, |listing| listing.count);
        let listed = usize::try_from(listed).unwrap_or(usize::MAX);
        of.kept = listed.saturating_sub(sent.get(*id).copied().unwrap_or_default());
        let left = listed.saturating_sub(of.open.len());
        // What a deleted instance left is listed by another call, which takes no id.
        of.is_asked_by_id = of.instance.life == InstanceLife::Listed && of.open.len() < left.div_ceil(PAGE);
    }
    touched.into_values().collect()
}

/// One look at every touched instance, a few at a time.
async fn look(
    items: &mut [SentItem],
    touched: Vec<Touched>,
    context: &RunContext,
    run_id: &str,
    deadline: Instant,
) -> Result<(), Error> {
    let at_once: usize = context
        .projects
        .iter()
        .map(|(_, client)| client.concurrency() + 1)
        .sum();
    let mut touched = touched.into_iter();
    let mut looks = JoinSet::new();
    let mut gone = Vec::new();
    loop {
        while looks.len() < at_once
            && let Some(of) = touched.next()
        {
            let context = context.clone();
            looks.spawn(async move {
                let there = tokio::select! {
                    // Once stop is requested no request is begun, not even to be dropped.
                    biased;
                    () = stop_requested(&context) => None,
                    there = still_there(&of) => there,
                    // At least one look, however short the time.
                    () = tokio::time::sleep_until(deadline + FIRST_LOOK) => None,
                };
                (of, there)
            });
        }
        let Some(joined) = looks.join_next().await else { break };
        // A listing that cannot be believed confirms nothing; the next look, or the next run, will.
        if let (of, Some(there)) = joined? {
            let id = |place: usize| (place, items[place].planned.candidate.id.clone());
            let open = of.open.into_iter().map(id);
            gone.extend(open.filter(|(_, id)| !there.contains(id)));
        }
        if gone.len() >= IDS_A_TRANSACTION {
            settle(items, &mut gone, context, run_id)?;
        }
    }
    settle(items, &mut gone, context, run_id)
}

/// Which of the waiting ids are still there, and maybe others; `None` when that could not be found out.
async fn still_there(of: &Touched) -> Option<HashSet<BackupId>> {
    if of.is_asked_by_id
        && let Some(there) = asked_for(of).await
    {
        return Some(there);
    }
    let listed = backups_of(&of.client, &of.instance, &SeenDatabases::new()).await.ok()?;
    let listed = listed.into_iter().map(|backup| backup.id).collect();
    (!of.is_shrunken(&listed)).then_some(listed)
}

/// The same by asking for each id; `None` when an answer does not agree.
async fn asked_for(of: &Touched) -> Option<HashSet<BackupId>> {
    let mut there = HashSet::new();
    for id in &of.ids {
        if of.client.has_backup(&of.instance.id, id).await.ok()? {
            there.insert(id.clone());
        }
    }
    Some(there)
}

fn is_open(item: &SentItem) -> bool {
    match item.fate.as_deref() {
        Some(Fate::Answered(Outcome::Accepted | Outcome::Unanswered { .. })) => true,
        Some(Fate::Answered(Outcome::Rejected { code, .. })) => NOT_FOUND.contains(&code.as_str()),
        Some(Fate::Confirmed | Fate::Returned) | None => false,
    }
}

/// Writes down what is gone, then enters it.
fn settle(
    items: &mut [SentItem],
    gone: &mut Vec<(usize, BackupId)>,
    context: &RunContext,
    run_id: &str,
) -> Result<(), Error> {
    let (places, ids): (Vec<usize>, Vec<BackupId>) = gone.drain(..).unzip();
    if let Some(ledger) = &context.ledger {
        blocking(|| ledger.settle(run_id, crate::clock::now(), &ids, &[]))?;
    }
    let confirmed = Arc::new(Fate::Confirmed);
    for place in places {
        items[place].fate = Some(Arc::clone(&confirmed));
    }
    Ok(())
}

async fn rest(context: &RunContext, wait: Duration) -> bool {
    tokio::select! {
        () = tokio::time::sleep(wait) => true,
        () = stop_requested(context) => false,
    }
}
