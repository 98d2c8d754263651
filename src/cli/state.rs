//! Commands that people type beside a running daemon: holds, freeze, approvals. They write the state the daemon has,
//! create none, and say which one it is.

use std::collections::BTreeSet;
use std::io::Write;
use std::path::Path;

use chrono::{DateTime, TimeDelta, Utc};

use super::args::{Approve, Format, Freeze, Global, Hold, Holds, Release};
use super::listing::HoldEntry;
use super::out::Out;
use super::sentences::{clean, timestamp};
use super::{CommandResult, Failure, exit, finish, listing, session, under_way};
use crate::ledger::{Access, Ledger, SeenBackup};
use crate::retention::{self, BackupId, HoldTarget, InstanceId, PolicyName};

/// How long an approval lasts.
const APPROVED_FOR: TimeDelta = TimeDelta::hours(48);

/// The state to write to, which must exist.
fn open(state_dir: &Path, now: DateTime<Utc>) -> Result<Ledger, Failure> {
    Ok(Ledger::open(state_dir, Access::Existing, now)?)
}

/// Who types: for the ledger, not for permission.
fn who() -> String {
    let user = ["SUDO_USER", "USER", "LOGNAME"]
        .into_iter()
        .find_map(|name| std::env::var(name).ok());
    user.filter(|user| !user.is_empty())
        .unwrap_or_else(|| "unknown".to_owned())
}

fn say(global: &Global, text: &str) -> CommandResult {
    let mut out = Out::table(global.color);
    let written = writeln!(out, "{text}");
    finish(out, written, exit::DONE)
}

pub(super) fn hold(args: &Hold, global: &Global) -> CommandResult {
    let state_dir = session::state_dir(global)?;
    let now = crate::clock::now();
    if args.until.is_some_and(|until| until <= now) {
        return Err(Failure::new(
            exit::USAGE,
            "--until lies in the past: such a hold would hold nothing",
        ));
    }
    let ledger = open(&state_dir, now)?;
    let target = match &args.backup {
        Some(id) => {
            let mut id = BackupId::from(id.as_str());
            let mut is_known = ledger.known_backup(&id)?.is_some();
            if !is_known {
                // The API's ids are in small letters.
                let small = BackupId::from(id.as_str().to_ascii_lowercase());
                is_known = ledger.known_backup(&small)?.is_some();
                id = if is_known { small } else { id };
            }
            if !args.force && !is_known {
                let message = format!(
                    "no run has ever seen a backup {id}; check the id (`plan --wide` shows them), or add --force to hold it all the same"
                );
                return Err(Failure::new(exit::USAGE, message));
            }
            HoldTarget::Backup(id)
        }
        None => HoldTarget::Matching {
            instance: args.instance.clone(),
            name: args.name.clone(),
        },
    };
    let hold = retention::Hold {
        id: None,
        target,
        reason: args.reason.clone(),
        owner: args.owner.clone(),
        until: args.until,
    };
    if let HoldTarget::Backup(id) = &hold.target
        && let Some(why) = under_way::deleted(&ledger, id)?
    {
        return Err(Failure::new(exit::UNDONE, why));
    }
    let placed = ledger.add_hold(&hold, &who(), now)?;
    let late = under_way::too_late_for(&ledger, &placed)?;
    let covered = match &placed.target {
        HoldTarget::Backup(_) => String::new(),
        HoldTarget::Matching { .. } => covered(&ledger, &placed)?,
    };
    let id = placed.id.unwrap_or_default();
    let until = placed.until.map_or_else(|| format!("`release {id}`"), timestamp);
    say(
        global,
        &format!(
            "hold {id} is placed until {until}, in {}{covered}{}",
            ledger.path().display(),
            late.as_ref().map_or_else(String::new, |late| format!("\n{late}"))
        ),
    )?;
    Ok(if late.is_some() { exit::UNDONE } else { exit::DONE })
}

/// What a hold by patterns covers at present: whoever misspelt one must not go away believing that something is held.
fn covered(ledger: &Ledger, hold: &retention::Hold) -> Result<String, Failure> {
    let known = ledger.known_backups()?;
    let covers = |known: &&SeenBackup| hold.covers_names(known.instance.as_str(), &known.backup, &known.name);
    let found: Vec<&SeenBackup> = known.iter().filter(covers).collect();
    let instances: BTreeSet<&InstanceId> = found.iter().map(|known| &known.instance).collect();
    Ok(match (found.len(), instances.len()) {
        (0, _) => "\nWARNING: of the backups that runs have seen it covers none. --instance is compared with ids, --name with \
             names of backups, both letter by letter; `plan --wide` shows them"
            .to_owned(),
        (backups, instances) => {
            format!("\nof the backups that runs have seen it covers {backups}, of {instances} instances, and new ones")
        }
    })
}

pub(super) fn release(args: &Release, global: &Global) -> CommandResult {
    let config = session::configuration(global)?;
    let now = crate::clock::now();
    let ledger = open(&config.state_dir, now)?;
    let released = ledger.release(&args.id, &who(), now)?;
    let id = released.id.unwrap_or_default();
    say(
        global,
        &format!(
            "hold {id} ({}) is released, in {}; a grace that applies starts anew",
            clean(&released.reason),
            ledger.path().display()
        ),
    )
}

pub(super) fn holds(args: &Holds, global: &Global) -> CommandResult {
    let config = session::configuration(global)?;
    let now = crate::clock::now();
    let configured = config.holds.iter().map(|hold| HoldEntry {
        active: hold.is_active(now),
        hold: hold.clone(),
        placed_at: None,
        released_at: None,
    });
    let mut entries: Vec<HoldEntry> = configured.collect();
    if let Some(ledger) = session::ledger_to_read(&config, now)? {
        entries.extend(ledger.holds()?.into_iter().map(|placed| HoldEntry {
            active: placed.is_active(now),
            placed_at: Some(placed.placed_at),
            released_at: placed.released_at,
            hold: placed.hold,
        }));
    }
    entries.retain(|entry| args.all || entry.active);
    let mut out = Out::of(args.format, global.color);
    let written = match args.format {
        Format::Json => listing::write_holds(&mut out, &entries),
        Format::Table => {
            let look = out.look(global);
            listing::holds(&mut out, &entries, &look)
        }
    };
    finish(out, written, exit::DONE)
}

pub(super) fn freeze(args: &Freeze, global: &Global) -> CommandResult {
    let state_dir = session::state_dir(global)?;
    let now = crate::clock::now();
    if args.until.is_some_and(|until| until <= now) {
        return Err(Failure::new(
            exit::USAGE,
            "--until lies in the past: such a freeze would freeze nothing",
        ));
    }
    let ledger = open(&state_dir, now)?;
    ledger.set_freeze(
        &retention::Freeze {
            reason: args.reason.clone(),
            until: args.until,
        },
        &who(),
        now,
    )?;
    let until = args.until.map_or_else(|| "`thaw`".to_owned(), timestamp);
    say(
        global,
        &format!(
            "frozen until {until}: no batch is sent from now on, in {}\n{}",
            ledger.path().display(),
            under_way::after_freeze(&ledger, !args.no_wait)?
        ),
    )
}

pub(super) fn thaw(global: &Global) -> CommandResult {
    let config = session::configuration(global)?;
    let now = crate::clock::now();
    let ledger = open(&config.state_dir, now)?;
    let text = match ledger.thaw(&who(), now)? {
        Some(freeze) => format!("thawed ({}), in {}", clean(&freeze.reason), ledger.path().display()),
        None => format!("nothing was frozen by command, in {}", ledger.path().display()),
    };
    let configured = config.freeze.as_ref().filter(|freeze| freeze.is_active(now));
    let rest = configured.map_or_else(String::new, |freeze| {
        format!(
            "\nthe configuration still freezes everything ({}): remove `freeze` from {}",
            clean(&freeze.reason),
            config.path.display()
        )
    });
    say(global, &format!("{text}{rest}"))
}

pub(super) fn approve(args: &Approve, global: &Global) -> CommandResult {
    let config = session::configuration(global)?;
    let now = crate::clock::now();
    let ledger = open(&config.state_dir, now)?;
    let until = now + APPROVED_FOR;
    if let Some(target) = &args.listing {
        let is_project = config.projects.iter().any(|project| project.name.as_str() == target);
        let mut is_instance = false;
        for project in &config.projects {
            is_instance |= ledger
                .seen_instances(&project.name)?
                .iter()
                .any(|seen| seen.instance.id.as_str() == target);
        }
        if !is_project && !is_instance {
            let message = format!(
                "no run has ever seen an instance {target}, and no project has that name; check the id in `plan`"
            );
            return Err(Failure::new(exit::USAGE, message));
        }
        ledger.approve_listing(target, until, &who(), now)?;
        let text = format!(
            "the next listing of {} is believed, until {}, in {}",
            clean(target),
            timestamp(until),
            ledger.path().display()
        );
        return say(global, &text);
    }
    let name = PolicyName::from(args.policy.as_deref().unwrap_or_default());
    if !config.policies.iter().any(|entry| entry.policy.name == name) {
        return Err(Failure::new(exit::USAGE, format!("no policy is named `{name}`")));
    }
    let Some(refused) = ledger.refused(&name)? else {
        return say(
            global,
            &format!("nothing of {name} waits for approval, in {}", ledger.path().display()),
        );
    };
    ledger.approve_ids(&name, &refused.backups, until, &who(), now)?;
    let text = format!(
        "{} backups of {name}, refused by {} on {}, are exempt from max_deletions and max_percent until {}, in {}",
        refused.backups.len(),
        refused.limits.join(" and "),
        timestamp(refused.at),
        timestamp(until),
        ledger.path().display()
    );
    say(global, &text)
}
