//! `state move`: the whole state in another place.

use std::time::{Duration, Instant};

use chrono::{DateTime, Utc};

use super::error::Error;
use crate::blocking::blocking;
use crate::clock::protocol_time;
use crate::config::Config;
use crate::ledger::{
    self, Access, Actor, DeletionLock, Fault, Ledger, LockSeeker, MovedState, StatePlace, Verification,
};
use crate::retention::ProjectName;
use crate::run;

/// A lease that is not renewed is over after this.
const LEASES_END: Duration = Duration::from_secs(30);
const ASK_AGAIN: Duration = Duration::from_millis(500);

/// What became of a move.
#[derive(Debug)]
pub enum MoveOutcome {
    /// It was made.
    Moved(MovedState),
    /// An earlier one to the same place was made, or has been finished now.
    MovedBefore(MovedState),
}

/// Moves the state of a configuration while no other process works on it.
pub fn move_state(
    config: &Config,
    to: &StatePlace,
    actor: Actor<'_>,
    now: DateTime<Utc>,
) -> Result<MoveOutcome, Error> {
    let from = run::state_of(config);
    let projects = match Ledger::open(from.clone(), Access::ReadOnly, now) {
        Ok(ledger) => ledger.leased_projects()?,
        Err(error) if is_moved_to(&error, to) => return moved_before(to, now).map(MoveOutcome::MovedBefore),
        // The move itself converts it.
        Err(error) if matches!(error.fault(), Some(Fault::Older(_))) => Vec::new(),
        Err(error) => return Err(error.into()),
    };
    let named = config.projects.iter().map(|project| project.name.clone());
    let projects: Vec<_> = projects.into_iter().chain(named).collect();
    let lock = lock(&from, &projects)?;
    if let StatePlace::Directory(dir) = &from {
        Ledger::must_be_alone(dir)?;
    }
    // Requests of a process that was killed may be on their way; where the state goes, they are none of an earlier holder.
    blocking(|| std::thread::sleep(lock.drains_for()));
    let ledger = Ledger::open(from.clone(), Access::Existing, now)?;
    // A copy that was set back would take the place of the state that the heads are of.
    run::check_anchor(config, &ledger)?;
    if ledger.awaits_other_holder(&lock)? {
        return Err(Error::Busy(from.to_string().into()));
    }
    let moved = ledger.move_to(&from, to, &lock, actor, now)?;
    let there = Ledger::open(to.clone(), Access::Existing, now)?;
    run::anchor(config, &there, now);
    Ok(MoveOutcome::Moved(moved))
}

/// The right to delete in all projects. A process that was killed, an earlier move perhaps, leaves its leases behind for half a minute.
fn lock(from: &StatePlace, projects: &[ProjectName]) -> Result<DeletionLock, Error> {
    let mut seeker = LockSeeker::new(from.clone());
    let given_up = match from {
        StatePlace::Directory(_) => Instant::now(),
        StatePlace::Postgres(_) => Instant::now() + protocol_time(LEASES_END) + ASK_AGAIN,
    };
    loop {
        if let Some(lock) = blocking(|| seeker.take(projects))? {
            return Ok(lock);
        }
        if Instant::now() >= given_up {
            return Err(Error::Busy(from.to_string().into()));
        }
        blocking(|| std::thread::sleep(ASK_AGAIN));
    }
}

fn is_moved_to(error: &ledger::Error, place: &StatePlace) -> bool {
    matches!(error.fault(), Some(Fault::Moved { to, .. }) if *to == place.to_string())
}

/// What is there. Opening it finishes a move that was killed.
fn moved_before(to: &StatePlace, now: DateTime<Utc>) -> Result<MovedState, Error> {
    match Ledger::open(to.clone(), Access::Existing, now)?.verify(None)? {
        Verification::Intact { rows, head } => Ok(MovedState { rows, head }),
        Verification::Broken { row, what } => Err(Error::MovedStateBroken { row, what }),
    }
}
