//! What happens to one backup: finds it by what was typed, and asks every policy about it. The words are `output::why`'s.

use std::collections::BTreeMap;
use std::sync::Arc;

use chrono::{DateTime, TimeDelta, Utc};

use super::failure::Failure;
use super::inventory::{self, Fleet, InstanceBackups};
use super::output::stdout::note;
use super::sentences::{clean, shell_word};
use super::{context, exit, forecast};
use crate::config::{Config, PolicyEntry};
use crate::ledger::{DeletionState, Ledger, PastDeletion};
use crate::retention::forecast::Expiry;
use crate::retention::streams::streams;
use crate::retention::what_if::{self, Bound, EditedValue, WhatIf};
use crate::retention::{Backup, BackupId, Freezes, Instance, KeptBy, Mode, Policy, PolicyName, Verdict, decide};
use crate::run::GracePeriods;

/// More backups than this are not named when none has the id that was typed.
const MOST_HINTS: usize = 5;
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
    /// The freeze in force: nothing is deleted meanwhile.
    pub(super) freeze: Option<Freezes>,
}

impl Answer {
    /// A deletion that was sent and of which no listing has told the end.
    pub(super) fn under_way(&self) -> Option<&PastDeletion> {
        let open = |state| {
            matches!(
                state,
                DeletionState::Intended | DeletionState::Accepted | DeletionState::Unanswered
            )
        };
        let mut sent = self.past.iter().filter(|past| past.was_sent());
        sent.next_back().filter(|last| open(last.state))
    }
}

/// A backup that is there.
pub(super) struct Present {
    pub(super) instance: Arc<Instance>,
    pub(super) backup: Backup,
    /// What each policy that has it in its scope says, in the configuration's order.
    pub(super) sayings: Vec<PolicyAnswer>,
    /// Policies that select its instance, but not a backup like this one.
    pub(super) passed_by: Vec<PolicyName>,
    /// When a kept one would expire if nothing else changed.
    pub(super) expires_at: Option<DateTime<Utc>>,
    /// When it would go if backups went on being made as of late.
    pub(super) at_this_pace: Option<BackupInterval>,
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
pub(super) struct BackupInterval {
    pub(super) every: TimeDelta,
    pub(super) departure: Option<Expiry>,
    pub(super) until: DateTime<Utc>,
}

/// What one policy says of it, on its own.
pub(super) struct PolicyAnswer {
    pub(super) policy: Arc<Policy>,
    pub(super) verdict: Verdict,
    /// Of a kept one: the smallest edit that would let it go.
    pub(super) would_go: Option<Result<EditedValue, Bound>>,
    /// Of an expired one: edits that would keep it.
    pub(super) would_stay: Vec<EditedValue>,
    /// Of an expired one: since when, as runs have seen it; `None` also where another policy keeps it, for then no
    /// grace begins.
    pub(super) since: Option<DateTime<Utc>>,
    /// Of an expired one: when its grace is over; counted from the next run where it has not begun. `None` as above.
    pub(super) due_at: Option<DateTime<Utc>>,
    /// The first run that may delete it, or begin its grace.
    pub(super) next_run: Option<DateTime<Utc>>,
}

/// Asks the ledger, then the cloud: only the instance the ledger knows it by, else all of them. Returns why there is no
/// such backup, if there is none.
pub(super) fn online(config: &Config, answer: &mut Answer, code: &mut u8) -> Result<Option<String>, Failure> {
    let ledger = context::ledger_to_read(config, answer.at)?;
    let mut known = None;
    if let Some(ledger) = &ledger {
        resolve_in(ledger, answer)?;
        answer.past = ledger.backup_history(&answer.id)?;
        answer.knows_past = true;
        known = ledger.known_backup(&answer.id)?;
        let placed = ledger.freezes()?.into_iter().map(|placed| (placed.freeze, placed.id));
        answer.freeze = Freezes::in_force(config.configured_freeze(), placed, answer.at);
    }
    if answer
        .past
        .iter()
        .rfind(|past| past.was_sent())
        .is_some_and(|last| last.state == DeletionState::Confirmed)
    {
        // It is gone for good: nobody needs to be asked.
        return Ok(None);
    }
    // Also what no policy manages is listed: "nothing deletes it" is an answer.
    let mut policies = config.policies.clone();
    policies.extend(inventory::everything());
    let only = known.as_ref().map(|known| known.instance.clone());
    let fleet = Fleet::of_cloud(config, policies, only, answer.at)?;
    *code = fleet.code;
    let nowhere = find(config, fleet, answer)?;
    Ok(nowhere.map(|hint| match known {
        Some(known) => format!(
            "it was one of instance {} and is listed no more, and this program did not delete it",
            clean(known.instance.as_str())
        ),
        None if hint.is_empty() => {
            "no listing shows it and the ledger has never seen it deleted; `plan --wide` shows the ids".to_owned()
        }
        None => format!("no listing shows it and the ledger has never seen it deleted{hint}"),
    }))
}

/// The backups that somebody may have meant by what was typed.
#[derive(Default)]
struct Meant {
    /// Its id, in another case.
    ids: BTreeMap<BackupId, String>,
    names: BTreeMap<BackupId, String>,
    starts: BTreeMap<BackupId, String>,
}

impl Meant {
    /// Shorter starts of an id are none.
    const SHORTEST_START: usize = 4;

    fn look_at(&mut self, typed: &str, id: &BackupId, name: &str) {
        let start = id.as_str().get(..typed.len());
        let of = match start {
            Some(start) if start.eq_ignore_ascii_case(typed) && start.len() == id.as_str().len() => &mut self.ids,
            _ if name == typed => &mut self.names,
            Some(start) if start.eq_ignore_ascii_case(typed) && typed.len() >= Self::SHORTEST_START => &mut self.starts,
            _ => return,
        };
        if !of.contains_key(id) {
            of.insert(id.clone(), name.to_owned());
        }
    }

    /// The one that was meant, or all that may have been: an id before a name, a name before the start of an id.
    fn decide(self) -> Result<Option<BackupId>, BTreeMap<BackupId, String>> {
        let mut found = [self.ids, self.names, self.starts]
            .into_iter()
            .filter(|ids| !ids.is_empty());
        match found.next() {
            None => Ok(None),
            Some(mut ids) if ids.len() == 1 => Ok(ids.pop_first().map(|(id, _)| id)),
            Some(several) => Err(several),
        }
    }
}

/// Takes what was typed for the one backup of the ledger that it can mean.
fn resolve_in(ledger: &Ledger, answer: &mut Answer) -> Result<(), Failure> {
    if ledger.known_backup(&answer.id)?.is_some() {
        return Ok(());
    }
    let typed = answer.id.as_str().to_owned();
    let mut meant = Meant::default();
    for seen in ledger.known_backups()? {
        meant.look_at(&typed, &seen.backup, &seen.name);
    }
    ledger.each_intended(|id, name| meant.look_at(&typed, id, name))?;
    match meant.decide() {
        Ok(found) => {
            answer.id = found.unwrap_or_else(|| answer.id.clone());
            Ok(())
        }
        Err(several) => {
            let all: Vec<String> = several
                .iter()
                .take(MOST_HINTS)
                .map(|(id, name)| format!("\n  {id}  {}", clean(name)))
                .collect();
            let all = all.concat();
            let more = if several.len() > MOST_HINTS { "\n  and more" } else { "" };
            let message = format!("`{}` may mean several backups; type the id:{all}{more}", clean(&typed));
            Err(Failure::new(exit::USAGE, message))
        }
    }
}

/// The one backup of the listings that was meant, if what was typed is no id of them and can mean only one.
fn resolve_among(fleet: &Fleet, typed: &BackupId) -> Option<BackupId> {
    let mut meant = Meant::default();
    for backup in fleet.residents.iter().flat_map(|resident| &resident.backups) {
        if backup.id == *typed {
            return None;
        }
        meant.look_at(typed.as_str(), &backup.id, &backup.name);
    }
    meant.decide().ok().flatten()
}

/// What may have been meant: an instance, a backup by its name, or an id that was cut.
fn hint(fleet: &Fleet, typed: &str) -> String {
    let of_instance =
        |resident: &&InstanceBackups| resident.instance.id.as_str() == typed || &*resident.instance.name == typed;
    // Names are not unique: an instance may have been made again under the name of another.
    let instances: Vec<_> = fleet.residents.iter().filter(of_instance).collect();
    if let Some(first) = instances.first() {
        let (what, named, whose) = match instances.len() {
            1 => ("an instance".to_owned(), first.instance.id.as_str(), "its"),
            several => (format!("the name of {several} instances"), typed, "their"),
        };
        let named = shell_word(named);
        return format!("; that is {what}: `plan --instance {named} --wide` shows the ids of {whose} backups");
    }
    let is_like =
        |backup: &Backup| &*backup.name == typed || (typed.len() >= 4 && backup.id.as_str().starts_with(typed));
    let alike = fleet.residents.iter().flat_map(|resident| {
        let of = resident.backups.iter().filter(|backup| is_like(backup));
        of.map(|backup| {
            format!(
                "\n  {}  {} of {}",
                backup.id,
                clean(&backup.name),
                clean(&resident.instance.name)
            )
        })
    });
    let found: Vec<String> = alike.take(MOST_HINTS + 1).collect();
    match found.len() {
        0 => String::new(),
        number if number > MOST_HINTS => {
            format!(
                "; did you mean one of these (and more)?{}",
                found[..MOST_HINTS].concat()
            )
        }
        1 => format!("; did you mean this one?{}", found.concat()),
        _ => format!("; did you mean one of these?{}", found.concat()),
    }
}

/// Finds the backup in the fleet and asks every policy about it; if it is not there, returns what may have been meant.
pub(super) fn find(config: &Config, mut fleet: Fleet, answer: &mut Answer) -> Result<Option<String>, Failure> {
    if let Some(id) = resolve_among(&fleet, &answer.id) {
        answer.id = id;
    }
    let (id, at) = (answer.id.clone(), answer.at);
    let has = |resident: &InstanceBackups| resident.backups.iter().any(|backup| backup.id == id);
    if !fleet.residents.iter().any(has) {
        return Ok(Some(hint(&fleet, id.as_str())));
    }
    fleet.residents.retain(has);
    if let [first, others @ ..] = fleet.residents.as_slice()
        && !others.is_empty()
    {
        note(&format!(
            "this id is listed under {} instances; what follows is about the one under {}",
            others.len() + 1,
            first.instance.id
        ));
        fleet.residents.truncate(1);
    }
    let Some(resident) = fleet.residents.first() else {
        return Ok(Some(String::new()));
    };
    let place = resident
        .backups
        .iter()
        .position(|backup| backup.id == id)
        .unwrap_or_default();
    let claiming = fleet.claiming(config, &resident.instance);
    let holds = fleet.holds(config);
    let (mut sayings, mut passed_by) = (Vec::new(), Vec::new());
    for entry in claiming.iter().map(|place| &config.policies[*place]) {
        let case = WhatIf {
            instance: &resident.instance,
            backups: &resident.backups,
            backup: place,
            holds: &holds,
            policy: &entry.policy,
            now: at,
        };
        let since = in_grace_since(&fleet, config, entry, &resident.instance, &id, at)?;
        match ask(&case, entry, since) {
            Some(saying) => sayings.push(saying),
            None => passed_by.push(entry.policy.name.clone()),
        }
    }
    let policies = fleet.claiming_policies(config, &resident.instance);
    let decided = decide(&resident.instance, &resident.backups, &holds, &policies, at);
    let mut own = decided.iter().flatten().filter(|decision| decision.backup == place);
    let expires_at = own.next().and_then(|decision| decision.expires_at);
    let mut present = Present {
        instance: Arc::clone(&resident.instance),
        backup: resident.backups[place].clone(),
        sayings,
        passed_by,
        expires_at,
        at_this_pace: None,
    };
    if present.is_kept() {
        // A run that finds it kept, by whichever policy, clears its grace and begins none.
        for saying in &mut present.sayings {
            (saying.since, saying.due_at, saying.next_run) = (None, None, None);
        }
    }
    present.at_this_pace = pace(config, &fleet, &present, at)?;
    answer.present = Some(present);
    Ok(None)
}

/// Since when the backup has been expired under a policy, without a break.
fn in_grace_since(
    fleet: &Fleet,
    config: &Config,
    entry: &PolicyEntry,
    instance: &Instance,
    id: &BackupId,
    at: DateTime<Utc>,
) -> Result<Option<DateTime<Utc>>, Failure> {
    let Some(ledger) = &fleet.ledger else { return Ok(None) };
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
    fleet: &Fleet,
    present: &Present,
    at: DateTime<Utc>,
) -> Result<Option<BackupInterval>, Failure> {
    let by_rules = |saying: &PolicyAnswer| match &saying.verdict {
        Verdict::Keep(reasons) => reasons
            .iter()
            .all(|reason| matches!(reason.keeper, KeptBy::Rule(_) | KeptBy::Floor)),
        Verdict::Expire(_) => true,
    };
    if !present.is_kept() || present.sayings.is_empty() || !present.sayings.iter().all(by_rules) {
        return Ok(None);
    }
    let claiming = |resident: &InstanceBackups| fleet.claiming_policies(config, &resident.instance);
    let Some(every) = fleet
        .residents
        .first()
        .and_then(|resident| usual_interval(&claiming(resident), &resident.backups, at))
    else {
        return Ok(None);
    };
    let until = at + HORIZON;
    let wanted: Vec<usize> = (0..config.policies.len()).collect();
    let fates = forecast::forecast_fleet(config, fleet, &wanted, at, until, Some(every))?;
    let mut futures = fates.into_iter().flat_map(|of| of.futures);
    let own = futures.find(|future| future.backup.id == present.backup.id);
    Ok(own.map(|future| BackupInterval {
        every,
        departure: future.departure,
        until,
    }))
}

/// The interval of the stream that is made most often, in whole hours, where it has at least three.
fn usual_interval(policies: &[Arc<Policy>], backups: &[Backup], at: DateTime<Utc>) -> Option<TimeDelta> {
    let stream = streams(policies, backups, at).into_iter().next()?;
    let interval = stream.interval.filter(|_| stream.intervals >= 3)?;
    let hours = (interval.num_minutes() + 30) / 60;
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

/// Whether what a policy lets go is deleted.
pub(super) fn is_enforced(policy: &Policy) -> bool {
    policy.mode == Mode::Enforce
}

#[cfg(test)]
mod tests {
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
        let policies = [inventory::everything().unwrap().policy];
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
