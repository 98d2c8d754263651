//! `approve`: what the guard refused is let run, exactly as it was shown.

use std::fmt::Write as _;
use std::io::{self, IsTerminal};

use super::args::{ApproveArgs, Global};
use super::failure::{CommandResult, Failure};
use super::operator::{Typist, anchor_act, say};
use super::{ask, context, exit};
use crate::ledger::{ListingDoubt, ListingPart, RefusedPlan};
use crate::operations::approve::{self as operation, AcceptedListing, RefusedPlans};
use crate::retention::PolicyName;
use crate::wording::numbers::count;
use crate::wording::sanitize::clean;
use crate::wording::times::timestamp;

/// How many backups of a plan are shown before it is asked for.
const SHOWN: usize = 20;

pub(super) fn approve(args: &ApproveArgs, global: &Global) -> CommandResult {
    let config = context::configuration(global)?;
    let now = crate::clock::now();
    let typist = Typist::of(Some(&config));
    let actor = typist.actor(args.reason.as_deref());
    if let Some(target) = &args.listing {
        let accepted = operation::accept_listing(&config, target, actor, now)?;
        anchor_act(Some(&config));
        return say(global, &accepted_text(target, &accepted), exit::DONE);
    }
    let name = PolicyName::from(args.policy.as_deref().unwrap_or_default());
    let refused = operation::refused_plans(&config, &name, now)?;
    let command = format!("{} approve {name}", global.invocation());
    let Some(plan) = chosen(args.plan.as_deref(), &name, &refused, &command)? else {
        let text = format!(
            "policy {name} has nothing awaiting approval, in {}",
            refused.ledger.path().display()
        );
        return say(global, &text, exit::DONE);
    };
    let until = refused.approve(&name, plan, actor, now)?;
    anchor_act(Some(&config));
    if !refused.is_approved(&config, &name, plan, now)? {
        let message = format!(
            "your approval is recorded until {}, and does not count alone: policy {name} takes two people (`approvals: 2`). Another person \
             has to type:\n  {command} --plan {}",
            timestamp(until),
            plan.digest
        );
        return Err(Failure::new(exit::UNDONE, message));
    }
    let text = format!(
        "{} of {name}, refused by {} at {}, {} exempt from max_deletions and max_percent until {}, in {}",
        count(plan.backups.len() as u64, "backup"),
        plan.limits.join(" and "),
        timestamp(plan.at),
        if plan.backups.len() == 1 { "is" } else { "are" },
        timestamp(until),
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

/// The plan with this digest, else the one that a person at the terminal confirms; `None` where there is none.
fn chosen<'r>(
    digest: Option<&str>,
    name: &PolicyName,
    refused: &'r RefusedPlans,
    command: &str,
) -> Result<Option<&'r RefusedPlan>, Failure> {
    let choices = || choices(name, &refused.plans, command);
    if let Some(digest) = digest {
        let unknown = || {
            let message = format!(
                "no run of {name} was refused a plan with the digest {digest} within the last 48 hours, so nothing was approved{}",
                choices()
            );
            Failure::new(exit::USAGE, message)
        };
        return refused.of_digest(digest).ok_or_else(unknown).map(Some);
    }
    if !(io::stdin().is_terminal() && io::stderr().is_terminal()) {
        let message = format!(
            "--plan is missing: what is approved is exactly one plan, by the digest of its ids{}",
            choices()
        );
        return Err(Failure::new(exit::USAGE, message));
    }
    match refused.latest() {
        Some(plan) if !is_confirmed(name, plan, refused)? => {
            Err(Failure::new(exit::UNDONE, "not confirmed, so nothing was approved"))
        }
        latest => Ok(latest),
    }
}

/// The plans that can be approved, the latest first, each with its command.
fn choices(name: &PolicyName, plans: &[RefusedPlan], command: &str) -> String {
    if plans.is_empty() {
        return format!("; policy {name} has nothing awaiting approval");
    }
    let line = |plan: &RefusedPlan| {
        let backups = count(plan.backups.len() as u64, "backup");
        let digest = &plan.digest;
        format!(
            "\n  {command} --plan {digest}   # {backups}, refused at {}",
            timestamp(plan.at)
        )
    };
    plans.iter().rev().map(line).collect()
}

/// Shows the plan on the terminal and asks.
fn is_confirmed(name: &PolicyName, plan: &RefusedPlan, refused: &RefusedPlans) -> Result<bool, Failure> {
    let mut text = format!(
        "Run {} of policy {name} was refused by {} at {}:\n",
        clean(&plan.run),
        plan.limits.join(" and "),
        timestamp(plan.at)
    );
    for (id, seen) in refused.backups_of(plan, SHOWN)? {
        let what = seen.map_or_else(
            || "no longer listed".to_owned(),
            |seen| format!("{} of instance {}", clean(&seen.name), clean(seen.instance.as_str())),
        );
        let _ = writeln!(text, "  {}  {what}", clean(id.as_str()));
    }
    if let Some(more) = plan.backups.len().checked_sub(SHOWN).filter(|more| *more > 0) {
        let _ = writeln!(text, "  and {more} more; `plan --all` shows every backup");
    }
    let backups = count(plan.backups.len() as u64, "backup");
    let _ = write!(
        text,
        "Approve the deletion of {backups}? They cannot be restored. [y/N] "
    );
    ask::is_confirmed(&text)
}
