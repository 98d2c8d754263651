//! `diff`: which backups change fate between two configurations. Writes nothing.

use super::args::{DiffArgs, Format, Global};
use super::failure::CommandResult;
use super::output::stdout::{Out, finish, note};
use super::output::{diff, json, left_out};
use super::{context, exit};
use crate::operations::diff as operation;
use crate::operations::inventory::Inventory;

pub(super) fn diff(args: &DiffArgs, global: &Global) -> CommandResult {
    let config = context::configuration(global)?;
    // The other file is not this service's: its state directory is not compared with systemd's.
    let against = context::load_other(&args.against)?;
    context::log(global)?;
    let at = args.at.unwrap_or_else(crate::clock::now);
    if args.backups.is_none() {
        for project in operation::projects_left_out(&config, &against) {
            note(&format!(
                "project {project} is in the other configuration only: its backups are not looked at"
            ));
        }
    }
    let inventory = context::with_backups(args.backups.as_deref(), |source| {
        let policies = operation::policies_of_both(&config, &against);
        Inventory::gather(&config, policies, None, at, source)
    })?;
    left_out::note(&inventory.skipped);
    let changes = operation::diff(&config, &against, &inventory, at);
    let code = if changes.policies.is_empty() {
        exit::DONE
    } else {
        exit::UNDONE
    };
    let mut out = Out::of(args.show.format, global.color);
    let written = match args.show.format {
        Format::Json => json::write(&mut out, &changes),
        Format::Table => {
            let theme = out.theme_of_report(global, &args.show);
            diff::draw(&mut out, &changes, &theme)
        }
    };
    finish(
        out,
        written,
        exit::combine([code, exit::of_inventory(&changes.skipped)]),
    )
}
