//! What people type beside a running daemon: `hold`, `release`, `holds`, `freeze` and `thaw` (approvals: `approve`). They
//! write the state the daemon has; only what keeps backups makes one where there is none.

use std::path::PathBuf;

use chrono::{DateTime, Utc};
use serde::{Serialize, Serializer};

use super::context::ledger_to_read;
use super::error::Error;
use super::typed_id::Candidates;
use super::under_way::{self, Matched, TooLate};
use crate::config::Config;
use crate::ledger::{
    self, Access, Actor, EndResult, Ledger, OperatorAct, PastDeletion, Person, PlacedFreeze, StatePlace, Thaw,
};
use crate::retention::view::JsonTime;
use crate::retention::{BackupId, Freeze, Hold, HoldTarget, Pattern, ProjectName};
use crate::run;

/// A hold to place: on a backup, or on all that the patterns match.
#[derive(Clone, Debug)]
pub struct HoldRequest {
    /// The backup's id, in any case.
    pub backup: Option<String>,
    /// A glob on ids of instances.
    pub instance: Option<Pattern>,
    /// A glob on names of backups.
    pub name: Option<Pattern>,
    /// Why.
    pub reason: String,
    /// Who asked for it.
    pub owner: Option<String>,
    /// When it ends.
    pub until: Option<DateTime<Utc>>,
    /// Also where no run has ever seen the backup.
    pub force: bool,
    /// Nothing can release it before its end.
    pub compliance: bool,
}

/// What came of it.
#[derive(Debug)]
pub enum HoldOutcome {
    /// It is in force.
    Placed(Box<HoldPlaced>),
    /// The backup is deleted, or its deletion was accepted: nothing was placed.
    Deleted(Box<PastDeletion>),
}

/// A hold that is in force.
#[derive(Debug)]
pub struct HoldPlaced {
    /// With its id.
    pub hold: Hold,
    /// The state it was written to.
    pub state: PathBuf,
    /// What it came too late for.
    pub late: Option<TooLate>,
    /// What it covers at present, where that is not one backup that runs have seen.
    pub covers: Option<Covered>,
}

/// What a hold covers of what runs have seen.
#[derive(Debug)]
pub enum Covered {
    /// A backup of an id that no run has seen.
    UnseenId,
    /// So many backups of so many instances, and new ones.
    Backups {
        /// How many backups.
        backups: u64,
        /// Of how many instances.
        instances: usize,
    },
    /// Nothing; and what may be meant, if that can be told.
    Nothing(Option<String>),
}

/// Places a hold. `projects` are the configuration's, as far as it can be read.
pub fn hold(
    state: &StatePlace,
    request: HoldRequest,
    actor: Actor<'_>,
    now: DateTime<Utc>,
    projects: impl FnOnce() -> Vec<ProjectName>,
) -> Result<HoldOutcome, Error> {
    if request.until.is_some_and(|until| until <= now) {
        return Err(Error::EndsInThePast { what: "hold" });
    }
    let ledger = match (&request.backup, request.force) {
        // An id that no run has seen leaves no state behind.
        (Some(typed), false) => match Ledger::open(state.clone(), Access::Existing, now) {
            Err(ledger::Error::Missing { .. }) => return Err(never_seen(typed, None)),
            opened => opened?,
        },
        _ => Ledger::open(state.clone(), Access::Create, now)?,
    };
    let target = match &request.backup {
        Some(typed) => HoldTarget::Backup(known_id(typed, request.force, &ledger)?),
        None => HoldTarget::Matching {
            instance: request.instance,
            name: request.name,
        },
    };
    if let HoldTarget::Backup(id) = &target
        && let Some(past) = under_way::deleted(&ledger, id)?
    {
        return Ok(HoldOutcome::Deleted(Box::new(past)));
    }
    let hold = Hold {
        id: None,
        target,
        reason: request.reason,
        owner: request.owner,
        until: request.until,
    };
    let hold = if request.compliance {
        ledger.add_compliance_hold(&hold, actor, now)?
    } else {
        ledger.add_hold(&hold, actor, now)?
    };
    let (late, covers) = effect(&ledger, &hold, projects)?;
    Ok(HoldOutcome::Placed(Box::new(HoldPlaced {
        hold,
        state: ledger.path().to_owned(),
        late,
        covers,
    })))
}

/// What a hold that has just been placed came too late for, and what it covers where that is not one backup that runs have seen.
fn effect(
    ledger: &Ledger,
    hold: &Hold,
    projects: impl FnOnce() -> Vec<ProjectName>,
) -> Result<(Option<TooLate>, Option<Covered>), Error> {
    Ok(match &hold.target {
        HoldTarget::Backup(backup) => {
            let is_known = ledger.known_backup(backup)?.is_some();
            let covers = (!is_known).then_some(Covered::UnseenId);
            (under_way::too_late_for(ledger, backup)?, covers)
        }
        HoldTarget::Matching { .. } => {
            let matched = under_way::matched_by(ledger, hold)?;
            let covers = covered(ledger, hold, &matched, projects)?;
            (matched.late.map(TooLate::Backups), Some(covers))
        }
    })
}

/// The id as the ledger knows it, in whatever case it was typed.
fn known_id(typed: &str, force: bool, ledger: &Ledger) -> Result<BackupId, Error> {
    let id = BackupId::from(typed);
    // The API's ids are in small letters.
    let small = BackupId::from(typed.to_ascii_lowercase());
    for id in [&id, &small] {
        if ledger.known_backup(id)?.is_some() {
            return Ok(id.clone());
        }
    }
    if !force {
        for id in [&id, &small] {
            if let Some(since) = ledger.gone_since(id)? {
                return Err(Error::NotListedAnyMore { id: id.clone(), since });
            }
        }
    }
    // Also with --force: a hold on it would hold nothing, and the backup that was meant would go.
    let mut candidates = Candidates::new(typed);
    ledger.each_known_backup(|known| {
        candidates.look_at(&known.backup, &known.name);
        true
    })?;
    match candidates.decide() {
        Ok(None) if force => Ok(id),
        Ok(meant) => Err(never_seen(typed, meant)),
        Err(backups) => Err(Error::SeveralBackups {
            typed: typed.to_owned(),
            backups,
        }),
    }
}

fn never_seen(typed: &str, meant: Option<BackupId>) -> Error {
    Error::NeverSeen {
        typed: typed.to_owned(),
        meant,
    }
}

/// What a hold by patterns covers at present: whoever misspelt one must not go away believing that something is held.
fn covered(
    ledger: &Ledger,
    hold: &Hold,
    matched: &Matched,
    projects: impl FnOnce() -> Vec<ProjectName>,
) -> Result<Covered, Error> {
    if matched.backups > 0 {
        return Ok(Covered::Backups {
            backups: matched.backups,
            instances: matched.instances.len(),
        });
    }
    let notice = match &matched.late {
        Some(_) => Some("what it matches is deleted".to_owned()),
        None => run::notice_of_hold(hold, &projects(), ledger)?,
    };
    Ok(Covered::Nothing(notice))
}

/// What a `release` left.
#[derive(Debug)]
pub struct Released {
    /// The hold that it ended, or would end with a second person.
    pub ended: EndResult<Hold>,
    /// How many backups are known that it held.
    pub backups: u64,
    /// The other holds in force that keep some of them, each with how many.
    pub still_held: Vec<(Hold, u64)>,
    /// The state that was written.
    pub state: PathBuf,
}

/// Ends a hold that was placed by command.
pub fn release(config: &Config, id: &str, actor: Actor<'_>, now: DateTime<Utc>) -> Result<Released, Error> {
    let ledger = open(config, now)?;
    let ended = ledger.release(id, actor, now)?;
    let placed = ledger.holds()?.into_iter().filter(|placed| placed.is_active(now));
    let configured = config.holds.iter().filter(|hold| hold.is_active(now));
    let others = configured.cloned().chain(placed.map(|placed| placed.hold));
    let mut still_held: Vec<(Hold, u64)> = others
        .filter(|other| other.id.is_none() || other.id != ended.what.id)
        .map(|other| (other, 0))
        .collect();
    let mut backups = 0;
    let mut meet = |instance: &str, backup: &BackupId, name: &str| {
        backups += 1;
        for (other, count) in &mut still_held {
            *count += u64::from(other.covers_names(instance, backup, name));
        }
    };
    ledger.each_known_backup(|known| {
        let instance = known.instance.as_str();
        if ended.what.covers_names(instance, &known.backup, &known.name) {
            meet(instance, &known.backup, &known.name);
        }
        true
    })?;
    if let (0, HoldTarget::Backup(id)) = (backups, &ended.what.target) {
        // Held before a run saw it: only a hold on its id is known to be about it.
        for (other, count) in &mut still_held {
            *count = u64::from(
                matches!(&other.target, HoldTarget::Backup(of) if of.as_str().eq_ignore_ascii_case(id.as_str())),
            );
        }
        backups = 1;
    }
    still_held.retain(|(_, count)| *count > 0);
    Ok(Released {
        ended,
        backups,
        still_held,
        state: ledger.path().to_owned(),
    })
}

/// The state to write to, which must exist.
pub(super) fn open(config: &Config, now: DateTime<Utc>) -> Result<Ledger, ledger::Error> {
    Ledger::open(run::state_of(config), Access::Existing, now)
}

/// A hold and what is known of it.
#[derive(Clone, Debug)]
pub struct HoldEntry {
    /// The hold; its id is `None` when it stands in the configuration.
    pub hold: Hold,
    /// Whether it holds now.
    pub active: bool,
    /// When it was placed by command.
    pub placed_at: Option<DateTime<Utc>>,
    /// When it was released.
    pub released_at: Option<DateTime<Utc>>,
    /// Whether nothing can release it before its end.
    pub compliance: bool,
    /// Who placed it by command.
    pub placed_by: Option<String>,
    /// What is known of them.
    pub person: Option<Person>,
    /// Who released it.
    pub released_by: Option<String>,
}

impl HoldEntry {
    /// Where it was placed: `configuration` or `command`.
    pub fn source(&self) -> &'static str {
        if self.hold.id.is_some() {
            "command"
        } else {
            "configuration"
        }
    }
}

impl Serialize for HoldEntry {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        #[derive(Serialize)]
        struct View<'a> {
            id: Option<&'a str>,
            source: &'static str,
            active: bool,
            backup_id: Option<&'a BackupId>,
            instance: Option<&'a str>,
            name: Option<&'a str>,
            reason: &'a str,
            owner: Option<&'a str>,
            until: Option<JsonTime>,
            placed_at: Option<JsonTime>,
            released_at: Option<JsonTime>,
            compliance: bool,
            placed_by: Option<&'a str>,
            #[serde(skip_serializing_if = "Option::is_none")]
            person: Option<&'a Person>,
            released_by: Option<&'a str>,
        }
        let (backup_id, instance, name) = match &self.hold.target {
            HoldTarget::Backup(id) => (Some(id), None, None),
            HoldTarget::Matching { instance, name } => (None, instance.as_ref(), name.as_ref()),
        };
        let view = View {
            id: self.hold.id.as_deref(),
            source: self.source(),
            active: self.active,
            backup_id,
            instance: instance.map(Pattern::as_str),
            name: name.map(Pattern::as_str),
            reason: &self.hold.reason,
            owner: self.hold.owner.as_deref(),
            until: self.hold.until.map(JsonTime),
            placed_at: self.placed_at.map(JsonTime),
            released_at: self.released_at.map(JsonTime),
            compliance: self.compliance,
            placed_by: self.placed_by.as_deref(),
            person: self.person.as_ref(),
            released_by: self.released_by.as_deref(),
        };
        view.serialize(serializer)
    }
}

/// The holds of the configuration and those placed by command; also the ones that have ended, if wanted.
pub fn holds(config: &Config, with_ended: bool, now: DateTime<Utc>) -> Result<Vec<HoldEntry>, Error> {
    let configured = config.holds.iter().map(|hold| HoldEntry {
        active: hold.is_active(now),
        hold: hold.clone(),
        placed_at: None,
        released_at: None,
        compliance: false,
        placed_by: None,
        person: None,
        released_by: None,
    });
    let mut entries: Vec<HoldEntry> = configured.collect();
    if let Some(ledger) = ledger_to_read(config, now)? {
        let events = ledger.operator_events(u32::MAX)?;
        let by = |id: &str, is_release: bool| {
            events.iter().find(|event| match &event.act {
                OperatorAct::Hold { id: of, .. } => !is_release && of == id,
                OperatorAct::Release { id: of } => is_release && of == id,
                _ => false,
            })
        };
        entries.extend(ledger.holds()?.into_iter().map(|placed| {
            let id = placed.hold.id.as_deref().unwrap_or_default();
            let (placing, release) = (by(id, false), by(id, true));
            HoldEntry {
                active: placed.is_active(now),
                placed_at: Some(placed.placed_at),
                released_at: placed.released_at,
                compliance: placed.compliance,
                placed_by: placing.map(|event| event.by.clone()),
                person: placing.and_then(|event| event.person.clone()),
                released_by: release.map(|event| event.by.clone()),
                hold: placed.hold,
            }
        }));
    }
    entries.retain(|entry| with_ended || entry.active);
    Ok(entries)
}

/// A freeze that is in force from now on.
pub struct Frozen {
    /// The freeze, with its id.
    pub placed: PlacedFreeze,
    /// Ids of others that are in force, and not changed by it.
    pub beside: Vec<String>,
    /// The state, to ask what was under way.
    pub ledger: Ledger,
}

/// Stops all deletions, from the next batch on.
pub fn freeze(state: &StatePlace, freeze: &Freeze, actor: Actor<'_>, now: DateTime<Utc>) -> Result<Frozen, Error> {
    if freeze.until.is_some_and(|until| until <= now) {
        return Err(Error::EndsInThePast { what: "freeze" });
    }
    let ledger = Ledger::open(state.clone(), Access::Create, now)?;
    let placed = ledger.set_freeze(freeze, actor, now)?;
    let others = ledger.freezes()?.into_iter();
    let others = others.filter(|other| other.id != placed.id && other.freeze.is_active(now));
    Ok(Frozen {
        beside: others.map(|other| other.id).collect(),
        placed,
        ledger,
    })
}

/// What a `thaw` left.
#[derive(Debug)]
pub struct Thawed {
    /// The freezes that it ended, or would end with a second person.
    pub ended: Vec<EndResult<PlacedFreeze>>,
    /// Those placed by command that are still in force.
    pub left: Vec<PlacedFreeze>,
    /// The state that was written.
    pub state: PathBuf,
}

/// Ends freezes that were placed by command.
pub fn thaw(config: &Config, which: Thaw<'_>, actor: Actor<'_>, now: DateTime<Utc>) -> Result<Thawed, Error> {
    let ledger = open(config, now)?;
    let ended = ledger.thaw(which, actor, now)?;
    let mut left = ledger.freezes()?;
    left.retain(|placed| placed.freeze.is_active(now));
    Ok(Thawed {
        ended,
        left,
        state: ledger.path().to_owned(),
    })
}
