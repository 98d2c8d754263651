//! Commands that people type beside a running daemon: holds and freezes (approvals: `approve`). They write the state the
//! daemon has, and say which one it is; only what keeps backups makes one where there is none.

use std::collections::BTreeSet;
use std::io::Write;
use std::path::Path;

use chrono::{DateTime, Utc};

use super::args::{Format, Freeze, Global, Hold, Holds, Release, Thaw};
use super::failure::{CommandResult, Failure};
use super::output::lists::HoldEntry;
use super::output::stdout::{Out, finish};
use super::sentences::{clean, timestamp};
use super::{context, exit, output::lists, under_way};
use crate::ledger::{self, Access, Actor, Ledger};
use crate::retention::{self, BackupId, HoldTarget};
use crate::run;

/// The state to write to, which must exist.
pub(super) fn open(state_dir: &Path, now: DateTime<Utc>) -> Result<Ledger, Failure> {
    Ok(Ledger::open(state_dir, Access::Existing, now)?)
}

/// Who types: for the ledger, not for permission.
pub(super) fn who() -> String {
    let given = |name| std::env::var(name).ok().filter(|user| !user.is_empty());
    let user = ["SUDO_USER", "USER", "LOGNAME"].into_iter().find_map(given);
    user.unwrap_or_else(|| "unknown".to_owned())
}

fn actor<'a>(by: &'a str, reason: Option<&'a str>) -> Actor<'a> {
    Actor { by, reason }
}

pub(super) fn say(global: &Global, text: &str) -> CommandResult {
    let mut out = Out::table(global.color);
    let written = writeln!(out, "{text}");
    finish(out, written, exit::DONE)
}

pub(super) fn hold(args: &Hold, global: &Global) -> CommandResult {
    let state_dir = context::state_dir(global)?;
    let now = crate::clock::now();
    if args.until.is_some_and(|until| until <= now) {
        return Err(Failure::new(
            exit::USAGE,
            "--until lies in the past: such a hold would hold nothing",
        ));
    }
    let ledger = match (&args.backup, args.force) {
        // An id that no run has seen leaves no state behind.
        (Some(id), false) => match Ledger::open(&state_dir, Access::Existing, now) {
            Err(ledger::Error::Missing { .. }) => return Err(never_seen(id, None)),
            opened => opened?,
        },
        _ => Ledger::open(&state_dir, Access::Create, now)?,
    };
    let target = match &args.backup {
        Some(id) => HoldTarget::Backup(known_id(id, args.force, &ledger)?),
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
        HoldTarget::Matching { .. } => covered(&ledger, &placed, global)?,
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

/// The id as the ledger knows it, in whatever case it was typed.
fn known_id(typed: &str, force: bool, ledger: &Ledger) -> Result<BackupId, Failure> {
    let id = BackupId::from(typed);
    // The API's ids are in small letters.
    let small = BackupId::from(typed.to_ascii_lowercase());
    for id in [&id, &small] {
        if ledger.known_backup(id)?.is_some() {
            return Ok(id.clone());
        }
    }
    if force {
        return Ok(id);
    }
    for id in [&id, &small] {
        if let Some(since) = ledger.gone_since(id)? {
            let message = format!(
                "backup {} cannot be held: it is not listed any more, since {}, and not by a request of this program; \
                 --force holds it all the same, should it come back",
                clean(id.as_str()),
                timestamp(since)
            );
            return Err(Failure::new(exit::UNDONE, message));
        }
    }
    let mut of_that_name = None;
    ledger.each_known_backup(|known| {
        if known.name == typed {
            of_that_name = Some(known.backup.clone());
        }
        of_that_name.is_none()
    })?;
    Err(never_seen(typed, of_that_name.as_ref()))
}

fn never_seen(typed: &str, of_that_name: Option<&BackupId>) -> Failure {
    let hint = match of_that_name {
        Some(id) => format!("that is a backup's name; the backup's id is {id}"),
        None => "check the id (`plan --wide` shows them), or add --force to hold it all the same".to_owned(),
    };
    Failure::new(exit::USAGE, format!("no run has ever seen a backup {typed}; {hint}"))
}

/// What a hold by patterns covers at present: whoever misspelt one must not go away believing that something is held.
fn covered(ledger: &Ledger, hold: &retention::Hold, global: &Global) -> Result<String, Failure> {
    let (mut backups, mut instances) = (0_u64, BTreeSet::new());
    ledger.each_known_backup(|known| {
        if hold.covers_names(known.instance.as_str(), &known.backup, &known.name) {
            backups += 1;
            instances.insert(known.instance.clone());
        }
        true
    })?;
    if backups == 0 {
        let config = context::configuration(global).ok();
        let projects = config.iter().flat_map(|config| &config.projects);
        let projects: Vec<_> = projects.map(|project| project.name.clone()).collect();
        let notice = run::notice_of_hold(hold, &projects, ledger)?;
        let notice = notice.unwrap_or_else(|| "there may be none yet".to_owned());
        return Ok(format!(
            "\nWARNING: of the backups that runs have seen it covers none ({notice}). --instance is compared with ids, \
             --name with names of backups, both letter by letter; `plan --wide` shows them"
        ));
    }
    Ok(format!(
        "\nof the backups that runs have seen it covers {backups}, of {} instances, and new ones",
        instances.len()
    ))
}

pub(super) fn release(args: &Release, global: &Global) -> CommandResult {
    let config = context::configuration(global)?;
    let now = crate::clock::now();
    let ledger = open(&config.state_dir, now)?;
    let released = ledger.release(&args.id, actor(&who(), args.reason.as_deref()), now)?;
    let id = released.id.unwrap_or_default();
    say(
        global,
        &format!(
            "hold {id} ({}) is released, in {}; a grace period that applies restarts",
            clean(&released.reason),
            ledger.path().display()
        ),
    )
}

pub(super) fn holds(args: &Holds, global: &Global) -> CommandResult {
    let config = context::configuration(global)?;
    let now = crate::clock::now();
    let configured = config.holds.iter().map(|hold| HoldEntry {
        active: hold.is_active(now),
        hold: hold.clone(),
        placed_at: None,
        released_at: None,
    });
    let mut entries: Vec<HoldEntry> = configured.collect();
    if let Some(ledger) = context::ledger_to_read(&config, now)? {
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
        Format::Json => lists::write_holds(&mut out, &entries),
        Format::Table => {
            let theme = out.theme(global);
            lists::holds(&mut out, &entries, &theme)
        }
    };
    finish(out, written, exit::DONE)
}

pub(super) fn freeze(args: &Freeze, global: &Global) -> CommandResult {
    let state_dir = context::state_dir(global)?;
    let now = crate::clock::now();
    if args.until.is_some_and(|until| until <= now) {
        return Err(Failure::new(
            exit::USAGE,
            "--until lies in the past: such a freeze would freeze nothing",
        ));
    }
    let ledger = Ledger::open(&state_dir, Access::Create, now)?;
    let freeze = retention::Freeze {
        reason: args.reason.clone(),
        until: args.until,
    };
    let placed = ledger.set_freeze(&freeze, &who(), now)?;
    let id = &placed.id;
    let until = args.until.map_or_else(|| format!("`thaw {id}`"), timestamp);
    let others = ledger.freezes()?;
    let others = others
        .iter()
        .filter(|other| other.id != *id && other.freeze.is_active(now));
    let beside: Vec<&str> = others.map(|other| other.id.as_str()).collect();
    let beside = match beside.as_slice() {
        [] => String::new(),
        ids => format!("\nalso in force, and not changed by this: {}", ids.join(", ")),
    };
    say(
        global,
        &format!(
            "freeze {id} is in force until {until}: no batch is sent from now on, in {}{beside}\n{}",
            ledger.path().display(),
            under_way::after_freeze(&ledger, !args.no_wait)?
        ),
    )
}

pub(super) fn thaw(args: &Thaw, global: &Global) -> CommandResult {
    let config = context::configuration(global)?;
    let now = crate::clock::now();
    let ledger = open(&config.state_dir, now)?;
    let which = match &args.id {
        Some(id) => ledger::Thaw::Id(id),
        None if args.all => ledger::Thaw::All,
        None => ledger::Thaw::Only,
    };
    let ended = ledger.thaw(which, actor(&who(), args.reason.as_deref()), now)?;
    let mut lines: Vec<String> = ended
        .iter()
        .map(|placed| {
            let (reason, at) = (clean(&placed.freeze.reason), timestamp(placed.placed_at));
            format!("freeze {} ({reason}, placed {at}) is ended", placed.id)
        })
        .collect();
    if lines.is_empty() {
        lines.push("no freeze placed by command is in force".to_owned());
    }
    let left = ledger.freezes()?;
    let left = left.iter().filter(|placed| placed.freeze.is_active(now));
    lines.extend(left.map(|placed| {
        format!(
            "freeze {} ({}) is still in force",
            placed.id,
            clean(&placed.freeze.reason)
        )
    }));
    lines.push(format!("the state is {}", ledger.path().display()));
    let configured = config.freeze.as_ref().filter(|freeze| freeze.is_active(now));
    if let Some(freeze) = configured {
        let place = config
            .freeze_place
            .as_ref()
            .map_or_else(String::new, ToString::to_string);
        let reason = clean(&freeze.reason);
        lines.push(format!(
            "{place}: the configuration still freezes everything ({reason}): remove `freeze` there to end it"
        ));
    }
    let mut out = Out::table(global.color);
    let written = writeln!(out, "{}", lines.join("\n"));
    finish(
        out,
        written,
        if configured.is_some() { exit::UNDONE } else { exit::DONE },
    )
}
