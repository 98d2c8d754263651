//! `approve`: what the guard refused is let run, exactly as it was shown.

use std::collections::HashMap;
use std::fmt::Write as _;
use std::io::{self, BufRead, IsTerminal, Write as _};

use chrono::{DateTime, Utc};

use super::args::{Approve, Global};
use super::failure::{CommandResult, Failure};
use super::sentences::{clean, count, timestamp};
use super::{context, exit, operator};
use crate::config::Config;
use crate::ledger::{APPROVABLE_FOR, Actor, Ledger, RefusedPlan};
use crate::retention::{BackupId, PolicyName};

/// So many backups of a plan are shown before it is asked for.
const SHOWN: usize = 20;

pub(super) fn approve(args: &Approve, global: &Global) -> CommandResult {
    let config = context::configuration(global)?;
    let now = crate::clock::now();
    let by = operator::who();
    let actor = Actor {
        by: &by,
        reason: args.reason.as_deref(),
    };
    if let Some(target) = &args.listing {
        return listing(target, &config, actor, now, global);
    }
    let name = PolicyName::from(args.policy.as_deref().unwrap_or_default());
    if !config.policies.iter().any(|entry| entry.policy.name == name) {
        return Err(Failure::new(exit::USAGE, format!("no policy is named `{name}`")));
    }
    let ledger = operator::open(&config.state_dir, now)?;
    let mut plans = ledger.refused_plans(&name)?;
    plans.retain(|plan| plan.is_approvable(now));
    let command = format!("{} approve {name}", global.invocation());
    let plan = match &args.plan {
        Some(digest) => match plans.iter().find(|plan| plan.digest == *digest) {
            Some(plan) => plan,
            None => return Err(unknown(&name, digest, &plans, &command)),
        },
        None if !(io::stdin().is_terminal() && io::stderr().is_terminal()) => {
            let message = format!(
                "--plan is missing: what is approved is exactly one plan, by the digest of its ids{}",
                choices(&name, &plans, &command)
            );
            return Err(Failure::new(exit::USAGE, message));
        }
        None => {
            let Some(plan) = plans.iter().max_by_key(|plan| (plan.waits, plan.at)) else {
                let text = format!(
                    "policy {name} has nothing awaiting approval, in {}",
                    ledger.path().display()
                );
                return operator::say(global, &text);
            };
            if !is_confirmed(&name, plan, &ledger)? {
                return Err(Failure::new(exit::UNDONE, "not confirmed, so nothing was approved"));
            }
            plan
        }
    };
    let until = now + APPROVABLE_FOR;
    ledger.approve_plan(&name, plan, until, actor, now)?;
    let text = format!(
        "{} of {name}, refused by {} at {}, {} exempt from max_deletions and max_percent until {}, in {}",
        count(plan.backups.len() as u64, "backup"),
        plan.limits.join(" and "),
        timestamp(plan.at),
        if plan.backups.len() == 1 { "is" } else { "are" },
        timestamp(until),
        ledger.path().display()
    );
    operator::say(global, &text)
}

fn unknown(name: &PolicyName, digest: &str, plans: &[RefusedPlan], command: &str) -> Failure {
    let message = format!(
        "no run of {name} was refused a plan with the digest {digest} within the last 48 hours, so nothing was approved{}",
        choices(name, plans, command)
    );
    Failure::new(exit::USAGE, message)
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
fn is_confirmed(name: &PolicyName, plan: &RefusedPlan, ledger: &Ledger) -> Result<bool, Failure> {
    let wanted: &[BackupId] = plan.backups.get(..SHOWN).unwrap_or(&plan.backups);
    let mut known: HashMap<&BackupId, String> = HashMap::new();
    for seen in ledger.known_backups()? {
        if let Ok(nth) = wanted.binary_search(&seen.backup) {
            known.insert(
                &wanted[nth],
                format!("{} of instance {}", clean(&seen.name), clean(seen.instance.as_str())),
            );
        }
    }
    let failed = |error: io::Error| Failure::new(exit::UNDONE, format!("the terminal: {error}"));
    let mut terminal = io::stderr().lock();
    let mut text = format!(
        "Run {} of policy {name} was refused by {} at {}:\n",
        clean(&plan.run),
        plan.limits.join(" and "),
        timestamp(plan.at)
    );
    for id in wanted {
        let what = known.get(id).map_or("no longer listed", String::as_str);
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
    terminal
        .write_all(text.as_bytes())
        .and_then(|()| terminal.flush())
        .map_err(failed)?;
    let mut answer = String::new();
    io::stdin().lock().read_line(&mut answer).map_err(failed)?;
    Ok(["y", "yes"].contains(&answer.trim().to_ascii_lowercase().as_str()))
}

/// Believes the next listing of an instance or of a project's instances.
fn listing(target: &str, config: &Config, actor: Actor<'_>, now: DateTime<Utc>, global: &Global) -> CommandResult {
    let ledger = operator::open(&config.state_dir, now)?;
    let is_project = config.projects.iter().any(|project| project.name.as_str() == target);
    let mut is_instance = false;
    for project in &config.projects {
        is_instance |= ledger
            .seen_instances(&project.name)?
            .iter()
            .any(|seen| seen.instance.id.as_str() == target);
    }
    if !is_project && !is_instance {
        let message =
            format!("no run has ever seen an instance {target}, and no project has that name; check the id in `plan`");
        return Err(Failure::new(exit::USAGE, message));
    }
    let until = now + APPROVABLE_FOR;
    ledger.approve_listing(target, until, actor, now)?;
    let text = format!(
        "the next listing of {} is believed, until {}, in {}",
        clean(target),
        timestamp(until),
        ledger.path().display()
    );
    operator::say(global, &text)
}
