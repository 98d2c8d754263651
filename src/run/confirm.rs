//! Accepted is not deleted: the instances that were touched are listed again until the ids are gone.
//!
//! A deletion is a task (API page "Deleting Manual Backups in Batches": the code says that the task was accepted). What is
//! not gone when the waiting time is over is confirmed by the next run's listing.

use std::collections::BTreeMap;
use std::time::Duration;

use tokio::task::JoinSet;
use tokio::time::Instant;

use super::listing::{SeenDatabases, backups_of};
use super::send::{Item, Sending, touched};
use super::{Error, World, blocking, told_to_stop};
use crate::retention::{BackupId, Fate, InstanceId, Outcome};

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

/// Codes that mean "there is no such backup" (API reference, section 7): gone once a listing agrees.
const NOT_FOUND: [&str; 2] = ["DBS.280214", "DBS.201010"];

/// Looks until every accepted id is gone, the time is over, or the program is told to stop.
pub(super) async fn confirm(
    mut sending: Sending,
    world: &World,
    run_id: &str,
    deadline: Instant,
) -> Result<Sending, Error> {
    let mut waits = WAITS.iter().copied().chain(std::iter::repeat(WAITS[WAITS.len() - 1]));
    loop {
        let open = touched(sending.items.iter().filter(|item| is_open(item)));
        if open.is_empty() {
            return Ok(sending);
        }
        let mut listings = JoinSet::new();
        for instance in open {
            let Some(client) = world.projects.get(&instance.project).cloned() else {
                continue;
            };
            let world = world.clone();
            listings.spawn(async move {
                let nothing_seen = SeenDatabases::new();
                let listed = tokio::select! {
                    // Once told to stop no request is begun, not even to be dropped.
                    biased;
                    () = told_to_stop(&world) => None,
                    listed = backups_of(&client, &instance, &nothing_seen) => listed.ok(),
                    // At least one look, however short the time.
                    () = tokio::time::sleep_until(deadline + FIRST_LOOK) => None,
                };
                (instance.id.clone(), listed)
            });
        }
        let mut there: BTreeMap<InstanceId, Vec<BackupId>> = BTreeMap::new();
        while let Some(joined) = listings.join_next().await {
            // A listing that cannot be believed confirms nothing; the next look, or the next run, will.
            if let (instance, Some(backups)) = joined? {
                there.insert(instance, backups.into_iter().map(|backup| backup.id).collect());
            }
        }
        settle(&mut sending, &there, world, run_id)?;
        let wait = waits.next().unwrap_or(WAITS[0]);
        let finished = !sending.items.iter().any(is_open);
        if finished || Instant::now() + wait > deadline || !rest(world, wait).await {
            return Ok(sending);
        }
    }
}

fn is_open(item: &Item) -> bool {
    match &item.fate {
        Some(Fate::Answered(Outcome::Accepted | Outcome::Unanswered { .. })) => true,
        Some(Fate::Answered(Outcome::Rejected { code, .. })) => NOT_FOUND.contains(&code.as_str()),
        Some(Fate::Confirmed | Fate::Returned) | None => false,
    }
}

fn settle(
    sending: &mut Sending,
    there: &BTreeMap<InstanceId, Vec<BackupId>>,
    world: &World,
    run_id: &str,
) -> Result<(), Error> {
    let mut gone = Vec::new();
    for item in sending.items.iter_mut().filter(|item| is_open(item)) {
        let candidate = &item.doomed.candidate;
        if there
            .get(&candidate.instance.id)
            .is_some_and(|ids| !ids.contains(&candidate.id))
        {
            gone.push(candidate.id.clone());
            item.fate = Some(Fate::Confirmed);
        }
    }
    if let Some(ledger) = &world.ledger {
        blocking(|| ledger.settle(run_id, crate::clock::now(), &gone, &[]))?;
    }
    Ok(())
}

async fn rest(world: &World, wait: Duration) -> bool {
    tokio::select! {
        () = tokio::time::sleep(wait) => true,
        () = told_to_stop(world) => false,
    }
}
