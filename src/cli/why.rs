//! `why`: what happens to one backup, by which rule and slot, until when, and what would change that; or what became of
//! it. Writes nothing.

use super::args::{Format, Global, WhyArgs};
use super::failure::{CommandResult, Failure};
use super::output::stdout::{Out, finish, note};
use super::output::{json, left_out, not_found, why};
use super::{context, exit};
use crate::operations::answer::Answer;
use crate::operations::inventory::Inventory;
use crate::operations::why as operation;
use crate::retention::PolicyName;

pub(super) fn why(args: &WhyArgs, global: &Global) -> CommandResult {
    let config = context::configuration(global)?;
    context::log(global)?;
    let at = args.at.unwrap_or_else(crate::clock::now);
    let mut answer = match &args.backups {
        Some(_) => Answer::new(&config, &args.backup, at),
        None => operation::recall(&config, &args.backup, at)?,
    };
    let mut code = exit::DONE;
    if !answer.is_gone() {
        let (policies, instance) = answer.wanted(&config);
        let inventory = context::with_backups(args.backups.as_deref(), |source| {
            Inventory::gather(&config, policies, instance, at, source)
        })?;
        left_out::note(&inventory.skipped);
        code = exit::of_unread(&inventory.skipped);
        let not_found = operation::explain(&config, inventory, &mut answer)?;
        if let (Some(not_found), []) = (not_found, answer.deletions()) {
            if args.backups.is_none() {
                context::note_missing_state(&config);
            }
            let message = not_found::sentence(&answer, &not_found, args.backups.is_some());
            // A project that could not be asked may have it.
            return Err(Failure::new(
                if code == exit::DONE { exit::USAGE } else { code },
                message,
            ));
        }
    }
    if let (Some(present), 1..) = (&answer.present, answer.other_instances) {
        note(&format!(
            "this id is listed under {} instances; what follows is about the one under {}",
            answer.other_instances + 1,
            present.instance.id
        ));
    }
    let mut out = Out::of(args.format, global.color);
    let written = match args.format {
        Format::Json => json::write(&mut out, &answer),
        Format::Table => {
            let theme = out.theme(global);
            let zone_of = |name: &PolicyName| context::zone_of_policy(&config, name);
            why::draw(&mut out, &answer, &zone_of, &theme)
        }
    };
    finish(out, written, code)
}
