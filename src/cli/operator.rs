//! Commands that people type beside a running daemon: holds and freezes (approvals: `approve`). They write the state the
//! daemon has, and say which one it is.

use std::fmt::Write as _;
use std::io::{self, IsTerminal as _, Write};
use std::sync::Arc;

use chrono::{DateTime, TimeDelta, Utc};

use super::args::{Format, FreezeArgs, Global, HoldArgs, HoldsArgs, ReleaseArgs, ThawArgs};
use super::failure::{CommandResult, Failure};
use super::output::stdout::{Out, finish, note};
use super::output::{lists, under_way as words};
use super::{context, exit};
use crate::config::Config;
use crate::ledger::{self, Actor, Ledger, Person, Proposed};
use crate::operations::audit;
use crate::operations::operator::{self as operation, Covered, HoldOutcome, HoldPlaced, HoldRequest, Released};
use crate::operations::under_way::{self, UnderWay};
use crate::retention::{People, Zone};
use crate::wording::numbers::{count as count_of, number};
use crate::wording::sanitize::clean;
use crate::wording::times::{self, zoned};
use crate::{operations, retention, run};

/// The person who runs the command, for the ledger.
pub(super) struct Operator {
    name: String,
    person: Person,
    protect: People,
}

impl Operator {
    /// As the system knows them; what the environment says is claimed. The configuration may be bad.
    pub(super) fn of(config: Option<&Config>) -> Self {
        let given = |name| std::env::var(name).ok().filter(|user| !user.is_empty());
        let person = Person {
            host: Some(run::host_name()).filter(|host| !host.is_empty()),
            claimed: ["SUDO_USER", "USER", "LOGNAME"].into_iter().find_map(given),
            config_sha256: config.map(|config| config.sha256.clone()),
            ..Person::of_this_process()
        };
        Self {
            name: person.name(),
            person,
            protect: config.map_or(People::Two, |config| config.protect),
        }
    }

    /// What is known of them.
    pub(super) fn into_person(self) -> Person {
        self.person
    }

    /// As an actor, with the reason that they gave.
    pub(super) fn actor<'a>(&'a self, reason: Option<&'a str>) -> Actor<'a> {
        Actor {
            by: &self.name,
            reason,
            person: Some(&self.person),
            protect: self.protect,
        }
    }
}

/// Anchors what was done, so that a state from before it is noticed. Where that fails it is said, and what was done stays.
pub(super) fn anchor_act(config: Option<&Config>) {
    if let Some(why) = config.and_then(|config| audit::anchor_act(config, crate::clock::now())) {
        note(&format!("warning: {why}"));
    }
}

/// The configuration, which may be bad, who types, and the zone of the policies.
fn operator_of_any(global: &Global) -> (Option<Arc<Config>>, Operator, Zone) {
    let config = context::people_configuration(global).ok();
    let zone = config.as_deref().map_or(Zone::UTC, context::zone_of);
    let operator = Operator::of(config.as_deref());
    (config, operator, zone)
}

pub(super) fn say(global: &Global, text: &str, code: u8) -> CommandResult {
    let mut out = Out::table(global.color);
    let written = writeln!(out, "{text}");
    finish(out, written, code)
}

/// A failure that begins with what did not happen: the operator must not believe in it.
pub(super) fn not_done(what: &str, error: impl Into<operations::Error>) -> Failure {
    let error = error.into();
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
        compliance: args.compliance,
    };
    let (config, operator, zone) = operator_of_any(global);
    if args.compliance {
        confirm_compliance(args.until, zone)?;
    }
    let projects = || {
        let projects = config.iter().flat_map(|config| &config.projects);
        projects.map(|project| project.name.clone()).collect()
    };
    match operation::hold(&state, request, operator.actor(None), crate::clock::now(), projects)
        .map_err(|error| not_done("no hold was placed", error))?
    {
        HoldOutcome::Deleted(past) => Err(Failure::new(exit::UNDONE, words::cannot_be_held(&past))),
        HoldOutcome::Placed(placed) => {
            anchor_act(config.as_deref());
            say_placed(&placed, args.compliance, zone, global)
        }
    }
}

fn say_placed(placed: &HoldPlaced, compliance: bool, zone: Zone, global: &Global) -> CommandResult {
    let id = placed.hold.id.as_deref().unwrap_or_default();
    let until = placed
        .hold
        .until
        .map_or_else(|| format!("until `release {id}`"), |until| times::until(until, zone));
    let until = if compliance {
        format!("{until}, and nobody can release it before")
    } else {
        until
    };
    let state = placed.state.display();
    let covers = match &placed.covers {
        None => String::new(),
        Some(Covered::UnseenId) => {
            "\nWARNING: no run has ever seen this id, so nothing that is known is held; `plan --wide` shows the ids"
                .to_owned()
        }
        Some(Covered::Backups { backups, instances }) => {
            format!("\nof the backups that runs have seen it covers {backups}, of {instances} instances, and new ones")
        }
        Some(Covered::Nothing(notice)) => format!(
            "\nWARNING: of the backups that runs have seen it covers none ({}). --instance is compared with ids, \
             --name with names of backups, both letter by letter; `plan --wide` shows them",
            notice.as_deref().unwrap_or("there may be none yet")
        ),
    };
    let mut text = format!("Hold {id} placed {until} (state: {state}){covers}");
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
    let config = context::people_configuration(global)?;
    let operator = Operator::of(Some(&config));
    let actor = operator.actor(args.reason.as_deref());
    let released = operation::release(&config, &args.id, actor, crate::clock::now())
        .map_err(|error| not_done("nothing was released", error))?;
    anchor_act(Some(&config));
    let ended = &released.ended;
    let of = format!(
        "hold {} ({}{})",
        ended.what.id.as_deref().unwrap_or_default(),
        clean(&ended.what.reason),
        placed_by(ended.placed_by.as_deref())
    );
    let state = released.state.display();
    if let Some(proposed) = &ended.awaits {
        return Err(needs_second(&of, proposed, context::zone_of(&config)));
    }
    let still = still_held(&released);
    let text = format!("{of} is released (state: {state}); the grace periods of its backups restart{still}");
    say(global, &text, exit::DONE)
}

/// What the other holds still keep: a backup that one hold lets go may have another.
fn still_held(released: &Released) -> String {
    let mut text = String::new();
    for (other, count) in &released.still_held {
        let by = other.id.as_deref().map_or_else(
            || "a hold of the configuration".to_owned(),
            |id| format!("hold {}", clean(id)),
        );
        let what = match (count, released.backups) {
            (_, 1) => "it is".to_owned(),
            (count, all) => {
                let is = if *count == 1 { "is" } else { "are" };
                format!("{} of its {} {is}", number(*count), count_of(all, "backup"))
            }
        };
        let _ = write!(text, "\nstill held: {what} kept by {by} ({})", clean(&other.reason));
    }
    text
}

fn placed_by(another: Option<&str>) -> String {
    another.map_or_else(String::new, |by| format!(", placed by {}", clean(by)))
}

/// What one person cannot end alone.
fn needs_second(of: &str, proposed: &Proposed, zone: Zone) -> Failure {
    let by = proposed.says_two.as_ref();
    let by = by.map_or_else(String::new, |file| {
        format!(" (in {}, by which runs began)", clean(file))
    });
    let message = format!(
        "{of} is still in force: `protect: two`{by} takes a second person. What you asked for is recorded; another person has to type \
         the same until {}",
        zoned(proposed.until, zone)
    );
    Failure::new(exit::UNDONE, message)
}

/// How long a compliance hold may last before a person is asked whether that is meant.
const LONG: TimeDelta = TimeDelta::days(3653);

/// Refuses a compliance hold without an end, and asks about one of more than ten years.
fn confirm_compliance(until: Option<DateTime<Utc>>, zone: Zone) -> Result<(), Failure> {
    let Some(until) = until else {
        let message = "--compliance needs --until: nobody can release such a hold before its end; nothing was placed";
        return Err(Failure::new(exit::USAGE, message));
    };
    if until <= crate::clock::now() + LONG {
        return Ok(());
    }
    let question = format!(
        "Hold until {}, more than ten years from now? Nobody can release it before. [y/N] ",
        zoned(until, zone)
    );
    if !(io::stdin().is_terminal() && io::stderr().is_terminal()) {
        let message =
            "a compliance hold of more than ten years is placed only from a terminal, which asks; nothing was placed";
        return Err(Failure::new(exit::USAGE, message));
    }
    if super::ask::is_confirmed(&question)? {
        return Ok(());
    }
    Err(Failure::new(exit::UNDONE, "not confirmed, so no hold was placed"))
}

pub(super) fn holds(args: &HoldsArgs, global: &Global) -> CommandResult {
    let config = context::people_configuration(global)?;
    context::note_missing_state(&config);
    let entries = operation::holds(&config, args.all, crate::clock::now())?;
    let mut out = Out::of(args.format, global.color);
    let written = match args.format {
        Format::Json => lists::write_holds(&mut out, &entries),
        Format::Table => {
            let theme = out.theme(global);
            lists::holds(&mut out, &entries, context::zone_of(&config), &theme)
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
    let (config, operator, zone) = operator_of_any(global);
    let frozen = operation::freeze(&state, &freeze, operator.actor(None), crate::clock::now())
        .map_err(|error| not_done("NOT frozen", error))?;
    anchor_act(config.as_deref());
    let id = &frozen.placed.id;
    let until = args
        .until
        .map_or_else(|| format!("until `thaw {id}`"), |until| times::until(until, zone));
    let beside = if frozen.beside.is_empty() {
        String::new()
    } else {
        format!("\nalso in force, and not changed by this: {}", frozen.beside.join(", "))
    };
    let text = format!(
        "Freeze {id} is in force {until}: no new batches (state: {}){beside}\n{}",
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
    let config = context::people_configuration(global)?;
    let now = crate::clock::now();
    let zone = context::zone_of(&config);
    let operator = Operator::of(Some(&config));
    let which = match &args.id {
        Some(id) => ledger::Thaw::Id(id),
        None if args.all => ledger::Thaw::All,
        None => ledger::Thaw::Only,
    };
    let thawed = operation::thaw(&config, which, operator.actor(args.reason.as_deref()), now)
        .map_err(|error| not_done("no freeze was ended", error))?;
    anchor_act(Some(&config));
    let describe = |placed: &ledger::PlacedFreeze, by: Option<&str>| {
        let (reason, at) = (clean(&placed.freeze.reason), zoned(placed.placed_at, zone));
        format!(
            "freeze {} ({reason}, placed {at}{})",
            placed.id,
            by.map_or_else(String::new, |by| format!(" by {}", clean(by)))
        )
    };
    let (waiting, ended): (Vec<_>, Vec<_>) = thawed.ended.iter().partition(|ended| ended.awaits.is_some());
    if let Some(proposed) = waiting.first().and_then(|of| of.awaits.as_ref()) {
        let all: Vec<String> = waiting
            .iter()
            .map(|of| describe(&of.what, of.placed_by.as_deref()))
            .collect();
        return Err(needs_second(&all.join(", "), proposed, zone));
    }
    let mut lines: Vec<String> = ended
        .into_iter()
        .map(|of| format!("{} ended", describe(&of.what, of.placed_by.as_deref())))
        .collect();
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
