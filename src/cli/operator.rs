//! Commands that people type beside a running daemon: holds and freezes (approvals: `approve`). They write the state the
//! daemon has, and say which one it is.

use std::io::Write;

use super::args::{Format, FreezeArgs, Global, HoldArgs, HoldsArgs, ReleaseArgs, ThawArgs};
use super::failure::{CommandResult, Failure};
use super::output::stdout::{Out, finish, note};
use super::output::{lists, under_way as words};
use super::{context, exit};
use crate::ledger::{self, Actor, Ledger};
use crate::operations::operator::{self as operation, Covered, HoldOutcome, HoldPlaced, HoldRequest};
use crate::operations::under_way::{self, UnderWay};
use crate::wording::sanitize::clean;
use crate::wording::times::timestamp;
use crate::{operations, retention};

/// Who types: for the ledger, not for permission.
pub(super) fn who() -> String {
    let given = |name| std::env::var(name).ok().filter(|user| !user.is_empty());
    let user = ["SUDO_USER", "USER", "LOGNAME"].into_iter().find_map(given);
    user.unwrap_or_else(|| "unknown".to_owned())
}

pub(super) fn say(global: &Global, text: &str, code: u8) -> CommandResult {
    let mut out = Out::table(global.color);
    let written = writeln!(out, "{text}");
    finish(out, written, code)
}

/// A failure that begins with what did not happen: the operator must not believe in it.
fn not_done(what: &str, error: operations::Error) -> Failure {
    let is_state = matches!(&error, operations::Error::Ledger(error) if error.fault().is_some());
    let failure = Failure::from(error);
    if !is_state {
        return failure;
    }
    Failure::new(failure.code, format!("{what}: {}", failure.message))
}

pub(super) fn hold(args: &HoldArgs, global: &Global) -> CommandResult {
    let state = context::state(global)?;
    let request = HoldRequest {
        backup: args.backup.clone(),
        instance: args.instance.clone(),
        name: args.name.clone(),
        reason: args.reason.clone(),
        owner: args.owner.clone(),
        until: args.until,
        force: args.force,
    };
    let projects = || {
        let config = context::configuration(global).ok();
        let projects = config.iter().flat_map(|config| &config.projects);
        projects.map(|project| project.name.clone()).collect()
    };
    match operation::hold(&state, request, &who(), crate::clock::now(), projects)
        .map_err(|error| not_done("no hold was placed", error))?
    {
        HoldOutcome::Deleted(past) => Err(Failure::new(exit::UNDONE, words::cannot_be_held(&past))),
        HoldOutcome::Placed(placed) => say_placed(&placed, global),
    }
}

fn say_placed(placed: &HoldPlaced, global: &Global) -> CommandResult {
    let id = placed.hold.id.as_deref().unwrap_or_default();
    let until = placed.hold.until.map_or_else(|| format!("`release {id}`"), timestamp);
    let state = placed.state.display();
    let covers = match &placed.covers {
        None => String::new(),
        Some(Covered::Backups { backups, instances }) => {
            format!("\nof the backups that runs have seen it covers {backups}, of {instances} instances, and new ones")
        }
        Some(Covered::Nothing(notice)) => format!(
            "\nWARNING: of the backups that runs have seen it covers none ({}). --instance is compared with ids, \
             --name with names of backups, both letter by letter; `plan --wide` shows them",
            notice.as_deref().unwrap_or("there may be none yet")
        ),
    };
    let mut text = format!("hold {id} is placed until {until}, in {state}{covers}");
    let code = match &placed.late {
        None => exit::DONE,
        Some(late) => {
            text.push('\n');
            text.push_str(&words::too_late(late));
            exit::UNDONE
        }
    };
    say(global, &text, code)
}

pub(super) fn release(args: &ReleaseArgs, global: &Global) -> CommandResult {
    let config = context::configuration(global)?;
    let by = who();
    let actor = Actor {
        by: &by,
        reason: args.reason.as_deref(),
    };
    let (hold, state) = operation::release(&config, &args.id, actor, crate::clock::now())?;
    let text = format!(
        "hold {} ({}) is released, in {}; a grace period that applies restarts",
        hold.id.unwrap_or_default(),
        clean(&hold.reason),
        state.display()
    );
    say(global, &text, exit::DONE)
}

pub(super) fn holds(args: &HoldsArgs, global: &Global) -> CommandResult {
    let config = context::configuration(global)?;
    let entries = operation::holds(&config, args.all, crate::clock::now())?;
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

pub(super) fn freeze(args: &FreezeArgs, global: &Global) -> CommandResult {
    let state = context::state(global)?;
    let freeze = retention::Freeze {
        reason: args.reason.clone(),
        until: args.until,
    };
    let frozen = operation::freeze(&state, &freeze, &who(), crate::clock::now())
        .map_err(|error| not_done("NOT frozen", error))?;
    let id = &frozen.placed.id;
    let until = args.until.map_or_else(|| format!("`thaw {id}`"), timestamp);
    let beside = if frozen.beside.is_empty() {
        String::new()
    } else {
        format!("\nalso in force, and not changed by this: {}", frozen.beside.join(", "))
    };
    let text = format!(
        "freeze {id} is in force until {until}: no batch is sent from now on, in {}{beside}\n{}",
        frozen.ledger.path().display(),
        after_freeze(&frozen.ledger, !args.no_wait)?
    );
    say(global, &text, exit::DONE)
}

/// Waits until no request is under way, and says how many ids were and what became of them.
fn after_freeze(ledger: &Ledger, wait: bool) -> Result<String, Failure> {
    let (ids, requests) = match under_way::under_way(ledger)? {
        UnderWay::Nothing => return Ok("no deletion request is under way".to_owned()),
        UnderWay::LeftOver(ids) => return Ok(words::left_over(ids)),
        UnderWay::Requests { ids, requests } => (ids, requests),
    };
    if wait {
        note(&words::waiting(ids));
        context::block_on(1, async {
            Ok(under_way::until_answered(ledger, &requests, context::stop_signal()?).await?)
        })?;
    }
    Ok(words::became(ids, &under_way::states(ledger, &requests)?))
}

pub(super) fn thaw(args: &ThawArgs, global: &Global) -> CommandResult {
    let config = context::configuration(global)?;
    let now = crate::clock::now();
    let by = who();
    let actor = Actor {
        by: &by,
        reason: args.reason.as_deref(),
    };
    let which = match &args.id {
        Some(id) => ledger::Thaw::Id(id),
        None if args.all => ledger::Thaw::All,
        None => ledger::Thaw::Only,
    };
    let thawed = operation::thaw(&config, which, actor, now)?;
    let ended = |placed: &ledger::PlacedFreeze| {
        let (reason, at) = (clean(&placed.freeze.reason), timestamp(placed.placed_at));
        format!("freeze {} ({reason}, placed {at}) is ended", placed.id)
    };
    let mut lines: Vec<String> = thawed.ended.iter().map(ended).collect();
    if lines.is_empty() {
        lines.push("no freeze placed by command is in force".to_owned());
    }
    let left = |placed: &ledger::PlacedFreeze| {
        let reason = clean(&placed.freeze.reason);
        format!("freeze {} ({reason}) is still in force", placed.id)
    };
    lines.extend(thawed.left.iter().map(left));
    lines.push(format!("the state is {}", thawed.state.display()));
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
    let code = if configured.is_some() { exit::UNDONE } else { exit::DONE };
    say(global, &lines.join("\n"), code)
}
