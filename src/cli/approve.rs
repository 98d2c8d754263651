//! `approve`: what the guard refused is let run, exactly as it was shown.

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::io::{self, IsTerminal};

use super::args::{ApproveArgs, Global};
use super::failure::{CommandResult, Failure};
use super::operator::{Operator, anchor_act, not_done, say};
use super::output::lists::write_list;
use super::output::table::{Cell, Column};
use super::output::theme::Theme;
use super::{ask, context, exit};
use crate::config::Config;
use crate::ledger::{ListingDoubt, ListingPart, RefusedPlan};
use crate::operations::approve::{self as operation, AcceptedListing, PlannedBackup, RefusedPlans};
use crate::retention::{PolicyName, Zone};
use crate::wording::numbers::count;
use crate::wording::sanitize::clean;
use crate::wording::times::{moment, zoned};

/// How many backups of a plan are shown before it is asked for.
const SHOWN: usize = 20;

pub(super) fn approve(args: &ApproveArgs, global: &Global) -> CommandResult {
    let config = context::configuration(global)?;
    let now = crate::clock::now();
    let operator = Operator::of(Some(&config));
    let actor = operator.actor(args.reason.as_deref());
    if let Some(target) = &args.listing {
        let accepted = operation::accept_listing(&config, target, actor, now)
            .map_err(|error| not_done("nothing was approved", error))?;
        anchor_act(Some(&config));
        return say(global, &accepted_text(target, &accepted), exit::DONE);
    }
    let name = PolicyName::from(args.policy.as_deref().unwrap_or_default());
    let refused = operation::refused_plans(&config, &name, now)?;
    let command = format!("{} approve {name}", global.invocation());
    let zone = context::zone_of_policy(&config, &name);
    let asked = Asked {
        name: &name,
        config: &config,
        refused: &refused,
        zone,
        command: &command,
    };
    let Some(plan) = asked.chosen(args.plan.as_deref())? else {
        let text = format!(
            "policy {name} has nothing awaiting approval, in {}",
            refused.ledger.path().display()
        );
        return say(global, &text, exit::DONE);
    };
    let until = refused
        .approve(&name, plan, actor, now)
        .map_err(|error| not_done("nothing was approved", error))?;
    anchor_act(Some(&config));
    if !refused.is_approved(&config, &name, plan, now)? {
        let message = format!(
            "your approval is recorded until {}, and does not count alone: policy {name} takes two people (`approvals: 2`). Another person \
             has to type:\n  {command} --plan {}",
            zoned(until, zone),
            plan.digest
        );
        return Err(Failure::new(exit::UNDONE, message));
    }
    let text = format!(
        "{} of {name}, refused by {} at {}, {} exempt from max_deletions and max_percent until {}, in {}",
        count(plan.backups.len() as u64, "backup"),
        plan.limits.join(" and "),
        zoned(plan.at, zone),
        if plan.backups.len() == 1 { "is" } else { "are" },
        zoned(until, zone),
        refused.ledger.path().display()
    );
    say(global, &text, exit::DONE)
}

/// What was accepted, a line each; whatever is listed later is not.
fn accepted_text(
    target: &str,
    AcceptedListing {
        accepted,
        vanished,
        state,
    }: &AcceptedListing,
) -> String {
    let mut text = format!("accepted for {}, in {}:", clean(target), state.display());
    for ListingDoubt { part, says, .. } in accepted.iter().take(SHOWN) {
        let _ = match part {
            ListingPart::Entries => {
                let ids = serde_json::from_str::<Vec<&str>>(says).map_or(0, |ids| ids.len());
                write!(
                    text,
                    "\n  a list of {}, as the last run saw it",
                    count(ids as u64, "entry")
                )
            }
            ListingPart::Instance => write!(text, "\n  the instance is listed as {}", clean(says)),
            ListingPart::Backup(id) => write!(text, "\n  backup {} is listed as {}", clean(id.as_str()), clean(says)),
        };
    }
    push_more(&mut text, "  ", accepted.len());
    if !vanished.is_empty() {
        let _ = write!(
            text,
            "\n  {} that it listed before:",
            count(vanished.len() as u64, "missing backup")
        );
    }
    for seen in vanished.iter().take(SHOWN) {
        let _ = write!(text, "\n    {}  {}", clean(seen.backup.as_str()), clean(&seen.name));
    }
    push_more(&mut text, "    ", vanished.len());
    text + "\nThe next run believes exactly this, and backups that are new. Anything else it lists is in doubt again."
}

fn push_more(text: &mut String, indent: &str, all: usize) {
    if let Some(more) = all.checked_sub(SHOWN).filter(|more| *more > 0) {
        let _ = write!(text, "\n{indent}and {more} more");
    }
}

/// A policy of which a refused plan is to be approved.
struct Asked<'a> {
    name: &'a PolicyName,
    config: &'a Config,
    refused: &'a RefusedPlans,
    zone: Zone,
    command: &'a str,
}

impl Asked<'_> {
    /// The plan with this digest, else the one that a person at the terminal confirms; `None` where there is none.
    fn chosen(&self, digest: Option<&str>) -> Result<Option<&RefusedPlan>, Failure> {
        let Self { name, refused, .. } = self;
        if let Some(digest) = digest {
            let unknown = || {
                let message = format!(
                    "no run of {name} was refused a plan with the digest {digest} within the last 48 hours, so nothing was approved{}",
                    self.choices()
                );
                Failure::new(exit::USAGE, message)
            };
            return refused.of_digest(digest).ok_or_else(unknown).map(Some);
        }
        if !(io::stdin().is_terminal() && io::stderr().is_terminal()) {
            let message = format!(
                "--plan is missing: what is approved is exactly one plan, by the digest of its ids{}",
                self.choices()
            );
            return Err(Failure::new(exit::USAGE, message));
        }
        match refused.latest() {
            Some(plan) if !self.is_confirmed(plan)? => {
                Err(Failure::new(exit::UNDONE, "not confirmed, so nothing was approved"))
            }
            latest => Ok(latest),
        }
    }

    /// The plans that can be approved, the latest first, each with its command.
    fn choices(&self) -> String {
        let Self { name, command, .. } = self;
        if self.refused.plans.is_empty() {
            return format!("; policy {name} has nothing awaiting approval");
        }
        let line = |plan: &RefusedPlan| {
            let backups = count(plan.backups.len() as u64, "backup");
            let digest = &plan.digest;
            let at = zoned(plan.at, self.zone);
            format!("\n  {command} --plan {digest}   # {backups}, refused at {at}")
        };
        self.refused.plans.iter().rev().map(line).collect()
    }

    /// Shows the plan on the terminal, as `plan` does, and asks.
    fn is_confirmed(&self, plan: &RefusedPlan) -> Result<bool, Failure> {
        let planned = self.refused.backups_of(plan, self.config)?;
        let shown = planned.get(..SHOWN).unwrap_or(&planned);
        let mut text = format!(
            "Run {} of policy {} was refused by {} at {}. Its plan, oldest first, times in {}:\n",
            clean(&plan.run),
            self.name,
            plan.limits.join(" and "),
            zoned(plan.at, self.zone),
            self.zone.name()
        )
        .into_bytes();
        let theme = Theme {
            width: terminal_size::terminal_size().map(|(width, _)| usize::from(width.0)),
            ..Theme::default()
        };
        let columns = vec![
            Column::wrapping("BACKUP", 12),
            Column::left("BEGIN"),
            Column::wrapping("INSTANCE", 12),
            Column::left("ID"),
        ];
        let cells = |of: &PlannedBackup| self.cells(of);
        // Into memory, so it cannot fail.
        let _ = write_list(&mut text, &theme, 2, columns, shown, cells);
        let mut text = String::from_utf8_lossy(&text).into_owned();
        if planned.len() > SHOWN {
            let instances: BTreeSet<_> = planned
                .iter()
                .filter_map(|of| Some(&of.seen.as_ref()?.instance))
                .collect();
            let _ = writeln!(
                text,
                "  and {} more; {} in all; `plan --all` shows every backup",
                planned.len() - SHOWN,
                count(instances.len() as u64, "instance")
            );
        }
        let backups = count(planned.len() as u64, "backup");
        let _ = write!(
            text,
            "Approve the deletion of {backups}? They cannot be restored. [y/N] "
        );
        ask::is_confirmed(&text)
    }

    fn cells(&self, of: &PlannedBackup) -> Vec<Cell<'static>> {
        let seen = of.seen.as_ref();
        let instance = of.instance.as_deref().or(seen.map(|seen| seen.instance.as_str()));
        let begin = seen.and_then(|seen| seen.begin);
        vec![
            seen.map_or("no longer listed".into(), |seen| clean(&seen.name).into_owned())
                .into(),
            begin.map_or("?".to_owned(), |begin| moment(begin, self.zone)).into(),
            clean(instance.unwrap_or("-")).into_owned().into(),
            clean(of.id.as_str()).into_owned().into(),
        ]
    }
}
