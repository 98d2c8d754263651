//! `why`: what happens to one backup, by which rule and slot, until when, and what would change that; or what became of
//! it. Writes nothing.
//!
//! This file finds the backup and asks floor 0 about it; the words are made in `because`.

use std::sync::Arc;

use chrono::{DateTime, TimeDelta, Utc};

use super::args::{Format, Global, Why};
use super::because;
use super::fleet::{self, Fleet, Resident};
use super::out::Out;
use super::{CommandResult, Failure, exit, finish, forecast, session};
use crate::config::{Config, PolicyEntry};
use crate::ledger::{DeletionState, PastDeletion};
use crate::retention::edit::{self, Bound, Case, Change};
use crate::retention::forecast::Departure;
use crate::retention::{
    Backup, BackupId, BackupStatus, Databases, Instance, Keeper, Mode, Policy, PolicyName, Verdict, decide,
};

/// How far the forecast of a kept backup looks.
const HORIZON: TimeDelta = TimeDelta::days(2 * 366);

/// All there is to say about one backup.
pub(super) struct Answer {
    pub(super) at: DateTime<Utc>,
    pub(super) id: BackupId,
    /// How to call this program, for the commands that are proposed.
    pub(super) program: String,
    /// What the listing shows; `None` when it is not there (any more).
    pub(super) present: Option<Present>,
    /// Deletions that were requested, oldest first.
    pub(super) past: Vec<PastDeletion>,
    /// Whether the past is known: there is a state, and it was asked.
    pub(super) knows_past: bool,
}

/// A backup that is there.
pub(super) struct Present {
    pub(super) instance: Arc<Instance>,
    pub(super) backup: Backup,
    /// What each policy that has it in its scope says, in the configuration's order.
    pub(super) sayings: Vec<Saying>,
    /// When a kept one would expire if nothing else changed.
    pub(super) expires_at: Option<DateTime<Utc>>,
    /// When it would go if backups went on being made as of late.
    pub(super) at_this_pace: Option<Pace>,
}

impl Present {
    /// Whether some policy keeps it, or none has it in its scope.
    pub(super) fn is_kept(&self) -> bool {
        self.sayings.is_empty()
            || self
                .sayings
                .iter()
                .any(|saying| matches!(saying.verdict, Verdict::Keep(_)))
    }
}

/// What backups made at the usual pace would do to a kept one.
pub(super) struct Pace {
    pub(super) every: TimeDelta,
    pub(super) departure: Option<Departure>,
    pub(super) until: DateTime<Utc>,
}

/// What one policy says of it, on its own.
pub(super) struct Saying {
    pub(super) policy: Arc<Policy>,
    pub(super) verdict: Verdict,
    /// Of a kept one: the smallest edit that would let it go.
    pub(super) would_go: Option<Result<Change, Bound>>,
    /// Of an expired one: edits that would keep it.
    pub(super) would_stay: Vec<Change>,
    /// Of an expired one: since when, as runs have seen it.
    pub(super) since: Option<DateTime<Utc>>,
    /// Of an expired one: when its grace is over; counted from the next run where it has not begun.
    pub(super) due_at: Option<DateTime<Utc>>,
    /// The first run that may delete it, or begin its grace.
    pub(super) next_run: Option<DateTime<Utc>>,
}

pub(super) fn why(args: &Why, global: &Global) -> CommandResult {
    let config = session::configuration(global)?;
    session::log(global)?;
    let at = args.at.unwrap_or_else(crate::clock::now);
    let id = BackupId::from(args.backup.as_str());
    let (answer, code) = match &args.backups {
        Some(file) => {
            let fleet = Fleet::of_file(&config, file)?;
            let present = find(&config, fleet, &id, at)?;
            (answer_of(id, at, global, present, None), exit::DONE)
        }
        None => online(&config, id, at, global)?,
    };
    if answer.present.is_none() && answer.past.is_empty() {
        let message = format!(
            "no backup {}: {}",
            super::sentences::clean(answer.id.as_str()),
            if args.backups.is_some() {
                "the file does not have it"
            } else {
                "no listing shows it and the ledger has never seen it deleted; `plan --wide` shows the ids"
            }
        );
        // A project that could not be asked may have it.
        return Err(Failure::new(
            if code == exit::DONE { exit::USAGE } else { code },
            message,
        ));
    }
    let mut out = Out::of(args.format, global.color);
    let written = match args.format {
        Format::Json => because::write_json(&mut out, &answer),
        Format::Table => {
            let look = out.look(global);
            because::draw(&mut out, &answer, &look)
        }
    };
    finish(out, written, code)
}

fn answer_of(
    id: BackupId,
    at: DateTime<Utc>,
    global: &Global,
    present: Option<Present>,
    past: Option<Vec<PastDeletion>>,
) -> Answer {
    Answer {
        at,
        id,
        program: global.invocation(),
        present,
        knows_past: past.is_some(),
        past: past.unwrap_or_default(),
    }
}

/// Asks the ledger, then the cloud: only the instance the ledger knows it by, else all of them.
fn online(config: &Config, id: BackupId, at: DateTime<Utc>, global: &Global) -> Result<(Answer, u8), Failure> {
    let ledger = session::ledger_to_read(config, at)?;
    let (past, known) = match &ledger {
        Some(ledger) => (Some(ledger.backup_history(&id)?), ledger.known_backup(&id)?),
        None => (None, None),
    };
    let last = past.as_ref().and_then(|past| past.last());
    if last.is_some_and(|last| last.state == DeletionState::Confirmed) {
        // It is gone for good: nobody needs to be asked.
        return Ok((answer_of(id, at, global, None, past), exit::DONE));
    }
    // Also what no policy manages is listed: "nothing deletes it" is an answer.
    let mut policies = config.policies.clone();
    policies.extend(fleet::everything());
    let fleet = Fleet::of_cloud(config, policies, known.map(|known| known.instance), at)?;
    let code = fleet.code;
    let present = find(config, fleet, &id, at)?;
    Ok((answer_of(id, at, global, present, past), code))
}

/// Finds the backup in the fleet and asks every policy about it.
fn find(config: &Config, mut fleet: Fleet, id: &BackupId, at: DateTime<Utc>) -> Result<Option<Present>, Failure> {
    let has = |resident: &Resident| resident.backups.iter().any(|backup| backup.id == *id);
    fleet.residents.retain(has);
    let Some(resident) = fleet.residents.first() else {
        return Ok(None);
    };
    let place = resident
        .backups
        .iter()
        .position(|backup| backup.id == *id)
        .unwrap_or_default();
    let claiming = fleet.claiming(config, &resident.instance);
    let holds = fleet.holds(config);
    let mut sayings = Vec::new();
    for entry in claiming.iter().map(|place| &config.policies[*place]) {
        let case = Case {
            instance: &resident.instance,
            backups: &resident.backups,
            backup: place,
            holds: &holds,
            policy: &entry.policy,
            now: at,
        };
        let since = match &fleet.ledger {
            Some(ledger) => ledger.grace(&entry.policy.name)?.get(id).copied(),
            None => None,
        };
        sayings.extend(ask(&case, entry, since));
    }
    let policies: Vec<Arc<Policy>> = claiming
        .iter()
        .map(|place| Arc::clone(&config.policies[*place].policy))
        .collect();
    let decided = decide(&resident.instance, &resident.backups, &holds, &policies, at);
    let mut own = decided.iter().flatten().filter(|decision| decision.backup == place);
    let expires_at = own.next().and_then(|decision| decision.expires_at);
    let mut present = Present {
        instance: Arc::clone(&resident.instance),
        backup: resident.backups[place].clone(),
        sayings,
        expires_at,
        at_this_pace: None,
    };
    present.at_this_pace = pace(config, &fleet, &present, at)?;
    Ok(Some(present))
}

/// What one policy says; `None` when the backup is out of its scope.
fn ask(case: &Case<'_>, entry: &PolicyEntry, since: Option<DateTime<Utc>>) -> Option<Saying> {
    let policy = Arc::clone(case.policy);
    let decided = decide(
        case.instance,
        case.backups,
        case.holds,
        std::slice::from_ref(case.policy),
        case.now,
    );
    let own = decided
        .into_iter()
        .flatten()
        .find(|decision| decision.backup == case.backup)?;
    let next_after = |after: DateTime<Utc>| {
        let before = after.checked_sub_signed(TimeDelta::seconds(1))?;
        entry.schedule.as_ref()?.next_after(before, policy.zone)
    };
    let expired = matches!(own.verdict, Verdict::Expire(_));
    // Where no run has begun it, the next one does.
    let begins = since.or_else(|| next_after(case.now)).unwrap_or(case.now);
    let due_at = policy.grace.boundary_after(begins, policy.zone).filter(|_| expired);
    Some(Saying {
        would_go: (!expired).then(|| edit::lets_go(case)),
        would_stay: if expired { edit::keeps(case) } else { Vec::new() },
        since: since.filter(|since| expired && *since <= case.now),
        next_run: due_at.and_then(|due| next_after(due.max(case.now))),
        due_at,
        verdict: own.verdict,
        policy,
    })
}

/// What happens if backups go on being made as of late; only for what rules keep, and only where there is a pace.
fn pace(config: &Config, fleet: &Fleet, present: &Present, at: DateTime<Utc>) -> Result<Option<Pace>, Failure> {
    let by_rules = |saying: &Saying| match &saying.verdict {
        Verdict::Keep(reasons) => reasons
            .iter()
            .all(|reason| matches!(reason.keeper, Keeper::Rule(_) | Keeper::Floor)),
        Verdict::Expire(_) => true,
    };
    if !present.is_kept() || present.sayings.is_empty() || !present.sayings.iter().all(by_rules) {
        return Ok(None);
    }
    let Some(every) = fleet
        .residents
        .first()
        .and_then(|resident| usual_interval(&resident.backups))
    else {
        return Ok(None);
    };
    let until = at + HORIZON;
    let wanted: Vec<usize> = (0..config.policies.len()).collect();
    let fates = forecast::foretell(config, fleet, &wanted, at, until, Some(every))?;
    let mut futures = fates.into_iter().flat_map(|of| of.futures);
    let own = futures.find(|future| future.backup.id == present.backup.id);
    Ok(own.map(|future| Pace {
        every,
        departure: future.departure,
        until,
    }))
}

/// The median of the last intervals between COMPLETED full backups, in whole hours.
fn usual_interval(backups: &[Backup]) -> Option<TimeDelta> {
    const LAST: usize = 8;
    let full = |backup: &&Backup| backup.status == BackupStatus::Completed && backup.databases == Databases::All;
    let mut begins: Vec<DateTime<Utc>> = backups.iter().filter(full).filter_map(|backup| backup.begin).collect();
    begins.sort_unstable_by(|a, b| b.cmp(a));
    let mut between: Vec<i64> = begins
        .windows(2)
        .take(LAST)
        .map(|pair| (pair[0] - pair[1]).num_minutes())
        .collect();
    if between.len() < 3 {
        return None;
    }
    between.sort_unstable();
    let hours = (between[between.len() / 2] + 30) / 60;
    (1..=24 * 366).contains(&hours).then(|| TimeDelta::hours(hours))
}

/// Policies that keep it, by name.
pub(super) fn keepers(present: &Present) -> Vec<&PolicyName> {
    let keeps = present
        .sayings
        .iter()
        .filter(|saying| matches!(saying.verdict, Verdict::Keep(_)));
    keeps.map(|saying| &saying.policy.name).collect()
}

/// Whether a policy acts.
pub(super) fn acts(policy: &Policy) -> bool {
    policy.mode == Mode::Enforce
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_usual_interval_is_a_median_in_hours() {
        let newest: DateTime<Utc> = "2026-11-23T03:00:00Z".parse().unwrap();
        let backup = |minutes: i64| Backup {
            id: format!("b{minutes}").into(),
            name: "n".into(),
            kind: crate::retention::BackupKind::Manual,
            engine: crate::retention::Engine::SqlServer,
            status: BackupStatus::Completed,
            begin: Some(newest - TimeDelta::minutes(minutes)),
            size_bytes: 1,
            databases: Databases::All,
        };
        let daily: Vec<Backup> = [0, 1442, 2880, 4325, 9000].map(backup).into();
        assert_eq!(usual_interval(&daily), Some(TimeDelta::hours(24)));
        assert_eq!(usual_interval(&daily[..3]), None);
    }
}
