//! `why`: what happens to one backup, by which rule and slot, until when, and what would change that; or what became of
//! it. Writes nothing.
//!
//! Three steps, so that only the one between asks the API: [`recall`] what the ledger knows, gather the inventory
//! ([`Answer::wanted`]), and [`explain`].

use std::sync::Arc;

use chrono::{DateTime, TimeDelta, Utc};

use super::answer::{Answer, BackupInterval, NotFound, PolicyAnswer, Present};
use super::context::ledger_to_read;
use super::error::Error;
use super::forecast::forecast_inventory;
use super::inventory::{InstanceBackups, Inventory};
use super::pace::usual_interval;
use super::typed_id::Candidates;
use crate::config::{Config, PolicyEntry};
use crate::ledger::Ledger;
use crate::retention::what_if::{self, WhatIf};
use crate::retention::{Backup, BackupId, Freezes, Instance, InstanceId, KeptBy, Verdict, decide};
use crate::run::GracePeriods;

/// How far the forecast of a kept backup looks.
const HORIZON: TimeDelta = TimeDelta::days(2 * 366);

/// What the ledger knows of the backup that was typed: by its id in any case, a unique start of it, or its unique name.
pub fn recall(config: &Config, typed: &str, at: DateTime<Utc>) -> Result<Answer, Error> {
    let mut answer = Answer::new(config, typed, at);
    let Some(ledger) = ledger_to_read(config, at)? else {
        return Ok(answer);
    };
    answer.id = resolve_in(&ledger, answer.id)?;
    answer.past = Some(ledger.backup_history(&answer.id)?);
    answer.known = ledger.known_backup(&answer.id)?;
    let placed = ledger.freezes()?.into_iter().map(|placed| (placed.freeze, placed.id));
    answer.freeze = Freezes::in_force(config.configured_freeze(), placed, at);
    Ok(answer)
}

/// Takes what was typed for the one backup of the ledger that it can mean.
fn resolve_in(ledger: &Ledger, typed: BackupId) -> Result<BackupId, Error> {
    if ledger.known_backup(&typed)?.is_some() {
        return Ok(typed);
    }
    let mut candidates = Candidates::new(typed.as_str());
    for seen in ledger.known_backups()? {
        candidates.look_at(&seen.backup, &seen.name);
    }
    ledger.each_intended(|id, name| candidates.look_at(id, name))?;
    match candidates.decide() {
        Ok(found) => Ok(found.unwrap_or(typed)),
        Err(backups) => Err(Error::SeveralBackups {
            typed: typed.as_str().to_owned(),
            backups,
        }),
    }
}

/// The one backup of the listings that was meant, if what was typed is no id of them and can mean only one.
fn resolve_among(inventory: &Inventory, typed: &BackupId) -> Option<BackupId> {
    let mut candidates = Candidates::new(typed.as_str());
    for backup in inventory.instances.iter().flat_map(|of| &of.backups) {
        if backup.id == *typed {
            return None;
        }
        candidates.look_at(&backup.id, &backup.name);
    }
    candidates.decide().ok().flatten()
}

/// What may have been meant: an instance, a backup by its name, or an id that was cut.
fn not_found(inventory: &Inventory, typed: &str) -> NotFound {
    if inventory.instances.is_empty() {
        return NotFound::NothingListed;
    }
    let is_named = |of: &&InstanceBackups| of.instance.id.as_str() == typed || &*of.instance.name == typed;
    // Names are not unique: an instance may have been made again under the name of another.
    let named = inventory.instances.iter().filter(is_named);
    let instances: Vec<InstanceId> = named.map(|of| of.instance.id.clone()).collect();
    if !instances.is_empty() {
        return NotFound::Instances(instances);
    }
    let is_like =
        |backup: &Backup| &*backup.name == typed || (typed.len() >= 4 && backup.id.as_str().starts_with(typed));
    let alike = inventory.instances.iter().flat_map(|of| {
        let like = of.backups.iter().filter(|backup| is_like(backup));
        like.map(|backup| {
            (
                backup.id.clone(),
                Arc::clone(&backup.name),
                Arc::clone(&of.instance.name),
            )
        })
    });
    let alike: Vec<_> = alike.collect();
    if alike.is_empty() {
        NotFound::Nothing
    } else {
        NotFound::Backups(alike)
    }
}

/// Finds the backup in the inventory and asks every policy about it; says what may have been meant if it is not there.
pub fn explain(config: &Config, inventory: Inventory, answer: &mut Answer) -> Result<Option<NotFound>, Error> {
    let mut inventory = inventory;
    if let Some(id) = resolve_among(&inventory, &answer.id) {
        answer.id = id;
    }
    let (id, at) = (answer.id.clone(), answer.at);
    let place_in = |of: &InstanceBackups| of.backups.iter().position(|backup| backup.id == id);
    if inventory.instances.iter().all(|of| place_in(of).is_none()) {
        return Ok(Some(not_found(&inventory, id.as_str())));
    }
    inventory.instances.retain(|of| place_in(of).is_some());
    answer.other_instances = inventory.instances.len() - 1;
    inventory.instances.truncate(1);
    let found = inventory.instances.first().and_then(|of| Some((of, place_in(of)?)));
    let Some((of, place)) = found else {
        return Ok(Some(NotFound::Nothing));
    };
    let mut present = ask_policies(config, &inventory, of, place, at)?;
    present.at_this_pace = pace(config, &inventory, &present, at)?;
    answer.present = Some(present);
    Ok(None)
}

/// What each policy says of one backup of an instance.
fn ask_policies(
    config: &Config,
    inventory: &Inventory,
    of: &InstanceBackups,
    place: usize,
    at: DateTime<Utc>,
) -> Result<Present, Error> {
    let InstanceBackups { instance, backups } = of;
    let holds = inventory.holds(config);
    let (mut answers, mut passed_by) = (Vec::new(), Vec::new());
    for entry in inventory
        .claiming(config, instance)
        .iter()
        .map(|nth| &config.policies[*nth])
    {
        let case = WhatIf {
            instance,
            backups,
            backup: place,
            holds: &holds,
            policy: &entry.policy,
            now: at,
        };
        let since = in_grace_since(inventory, config, entry, instance, &backups[place].id, at)?;
        match ask(&case, entry, since) {
            Some(answer) => answers.push(answer),
            None => passed_by.push(entry.policy.name.clone()),
        }
    }
    let policies = inventory.claiming_policies(config, instance);
    let decided = decide(instance, backups, &holds, &policies, at);
    let mut own = decided.iter().flatten().filter(|decision| decision.backup == place);
    let mut present = Present {
        instance: Arc::clone(instance),
        backup: backups[place].clone(),
        policies: answers,
        passed_by,
        expires_at: own.next().and_then(|decision| decision.expires_at),
        at_this_pace: None,
    };
    if present.is_kept() {
        // A run that finds it kept, by whichever policy, clears its grace and begins none.
        for answer in &mut present.policies {
            (answer.since, answer.due_at, answer.next_run) = (None, None, None);
        }
    }
    Ok(present)
}

/// Since when the backup has been expired under a policy, without a break.
fn in_grace_since(
    inventory: &Inventory,
    config: &Config,
    entry: &PolicyEntry,
    instance: &Instance,
    id: &BackupId,
    at: DateTime<Utc>,
) -> Result<Option<DateTime<Utc>>, Error> {
    let Some(ledger) = &inventory.ledger else {
        return Ok(None);
    };
    let periods = GracePeriods::load(ledger, entry, &config.holds, at)?;
    Ok(periods.of(instance).and_then(|of| of.running.get(id).copied()))
}

/// What one policy says; `None` when the backup is out of its scope.
fn ask(case: &WhatIf<'_>, entry: &PolicyEntry, since: Option<DateTime<Utc>>) -> Option<PolicyAnswer> {
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
    Some(PolicyAnswer {
        would_go: (!expired).then(|| what_if::lets_go(case)),
        would_stay: if expired { what_if::keeps(case) } else { Vec::new() },
        since: since.filter(|since| expired && *since <= case.now),
        next_run: due_at.and_then(|due| next_after(due.max(case.now))),
        due_at,
        verdict: own.verdict,
        policy,
    })
}

/// What happens if backups go on being made as of late; only for what rules keep, and only where there is a pace.
fn pace(
    config: &Config,
    inventory: &Inventory,
    present: &Present,
    at: DateTime<Utc>,
) -> Result<Option<BackupInterval>, Error> {
    let by_rules = |answer: &PolicyAnswer| match &answer.verdict {
        Verdict::Keep(reasons) => reasons
            .iter()
            .all(|reason| matches!(reason.keeper, KeptBy::Rule(_) | KeptBy::Floor)),
        Verdict::Expire(_) => true,
    };
    if !present.is_kept() || present.policies.is_empty() || !present.policies.iter().all(by_rules) {
        return Ok(None);
    }
    let claiming = |of: &InstanceBackups| inventory.claiming_policies(config, &of.instance);
    let Some(every) = inventory
        .instances
        .first()
        .and_then(|of| usual_interval(&claiming(of), &of.backups, at))
    else {
        return Ok(None);
    };
    let until = at + HORIZON;
    let wanted: Vec<usize> = (0..config.policies.len()).collect();
    let fates = forecast_inventory(config, inventory, &wanted, (at, until), Some(every))?;
    let mut futures = fates.into_iter().flat_map(|of| of.futures);
    let own = futures.find(|future| future.backup.id == present.backup.id);
    Ok(own.map(|future| BackupInterval {
        every,
        departure: future.departure,
        until,
    }))
}

#[cfg(test)]
mod tests {
    use super::super::inventory::everything;
    use super::*;
    use crate::retention::{BackupStatus, Databases};

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
            end: None,
            doubt: None,
        };
        let daily: Vec<Backup> = [0, 1442, 2880, 4325, 9000].map(backup).into();
        let policies = [everything(vec![crate::retention::Engine::SqlServer]).unwrap().policy];
        let usual = |backups: &[Backup]| usual_interval(&policies, backups, newest);
        assert_eq!(usual(&daily), Some(TimeDelta::hours(24)));
        assert_eq!(usual(&daily[..3]), None);
        // Automated ones come at a pace of their own, and go by themselves.
        let automated = [60, 120, 180, 240, 300].map(|minutes| Backup {
            kind: crate::retention::BackupKind::Auto,
            ..backup(minutes)
        });
        assert_eq!(usual(&[daily, automated.into()].concat()), Some(TimeDelta::hours(24)));
    }
}
