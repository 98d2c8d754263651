//! Deletion. Takes approved plans, and nothing else; the only caller of the client's delete.
//!
//! For each request: wait for all that it has to wait for (slot, rate, `Retry-After`, credentials, key) → stop, clock, freeze and
//! holds read and intent on disk in one transaction → the request begins within five seconds, or is withdrawn → one
//! outcome per id on disk. Batches of a project run a few at once, oldest first. What is not answered is listed before it is
//! sent again; what the guard, a hold, a freeze, a wrong clock, the time budget or a stop prevents is left to the next run.
//!
//! `project` has what the batches of a project share, `delivery` the way of one batch, `intent` what comes before its request,
//! `answer` what comes after.

mod answer;
mod delivery;
mod intent;
mod project;

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::AtomicUsize;

use tokio::sync::{Mutex, Semaphore};
use tokio::task::JoinSet;
use tokio::time::Instant;

use super::clock_jump::ClockJumpDetector;
use super::context::{Progress, RunContext};
use super::error::Error;
use super::ledger_writer::{LedgerWriter, WriterThread};
use super::sent::{SendResult, SentItem};
use crate::ledger::Listing;
use crate::retention::plan::Batches;
use crate::retention::report::Skip;
use crate::retention::{ApprovedPlan, InstanceId};
use delivery::Delivery;
use project::{ProjectSender, RunSender};

/// Sends every batch of the approved plans.
pub(super) async fn send(
    approved: Vec<ApprovedPlan>,
    context: &RunContext,
    run_id: &str,
    (deadline, clock_jump): (Instant, ClockJumpDetector),
    listings: Arc<HashMap<InstanceId, Listing>>,
    mut progress: Progress,
) -> Result<SendResult, Error> {
    let (ledger, lock) = context
        .ledger
        .clone()
        .zip(context.lock.clone())
        .ok_or(Error::NoLedger)?;
    let batches = ApprovedPlan::batches(approved);
    progress.of_sent = batches.iter().map(Batches::ids).sum();
    let (writer, writer_thread) = LedgerWriter::open(WriterThread {
        context: context.clone(),
        ledger: Arc::clone(&ledger),
        lock,
        run_id: run_id.to_owned(),
        listings,
    });
    let run = Arc::new(RunSender {
        context: context.clone(),
        ledger,
        id: run_id.to_owned(),
        deadline,
        clock_jump,
        writer,
        sent: AtomicUsize::new(0),
        progress,
    });
    let sent = send_to_projects(&run, batches).await;
    // Dropping the last sender ends the writer thread.
    drop(run);
    writer_thread.await?;
    sent
}

/// Sends to all projects at once. What a project has under way is finished, whatever happens to another.
async fn send_to_projects(run: &Arc<RunSender>, batches: Vec<Batches>) -> Result<SendResult, Error> {
    let mut projects = JoinSet::new();
    for batches in batches {
        if let Some(client) = run.context.projects.get(batches.project()) {
            projects.spawn(send_to_project(ProjectSender::new(run, client.clone()), batches));
        }
    }
    let (mut items, mut skipped, mut broken) = (Vec::new(), Vec::new(), None);
    while let Some(joined) = projects.join_next().await {
        match joined.map_err(Error::from).flatten() {
            Ok((sent, skip)) => {
                items.extend(sent);
                skipped.extend(skip);
            }
            Err(error) => broken = Some(error),
        }
    }
    broken.map_or(Ok(SendResult { items, skipped }), Err)
}

/// Sends the batches of one project, as many at once as the project allows, begun oldest first.
async fn send_to_project(
    project: Arc<ProjectSender>,
    mut batches: Batches,
) -> Result<(Vec<SentItem>, Vec<Skip>), Error> {
    let mut items = Vec::with_capacity(batches.ids());
    let mut under_way: JoinSet<Result<Vec<SentItem>, Error>> = JoinSet::new();
    let mut broken = None;
    // A few more than there are slots for requests, so that some wait for a slot while the answers of others are written.
    let places = project.client.concurrency() + project.client.concurrency() / 2;
    let places = Arc::new(Semaphore::new(places));
    let turns = Arc::new(Mutex::new(()));
    let next = async || {
        (
            Arc::clone(&places).acquire_owned().await,
            Arc::clone(&turns).lock_owned().await,
        )
    };
    loop {
        // After an error nothing new is begun, and what is under way is finished and recorded as far as it can be.
        let more = broken.is_none() && batches.ids() > 0;
        tokio::select! {
            biased;
            Some(joined) = under_way.join_next() => match joined.map_err(Error::from).flatten() {
                Ok(sent) => items.extend(sent),
                Err(error) => {
                    project.close_after_error();
                    broken = Some(error);
                }
            },
            (Ok(place), turn) = next(), if more => {
                if let Some(batch) = batches.next() {
                    under_way.spawn(Delivery::new(Arc::clone(&project), place, turn).run(batch));
                }
            }
            else => break,
        }
    }
    match broken {
        Some(error) => Err(error),
        None => Ok((items, project.take_trouble())),
    }
}
