//! `why`: what happens to one backup, by which rule and slot, until when, and what would change that; or what became of
//! it. Writes nothing.

use super::args::{Format, Global, Why};
use super::explain::{Answer, find, online};
use super::failure::{CommandResult, Failure};
use super::inventory::Fleet;
use super::output::stdout::{Out, finish};
use super::output::why;
use super::sentences::clean;
use super::{context, exit};
use crate::retention::{BackupId, Freezes};

pub(super) fn why(args: &Why, global: &Global) -> CommandResult {
    let config = context::configuration(global)?;
    context::log(global)?;
    let at = args.at.unwrap_or_else(crate::clock::now);
    let id = BackupId::from(args.backup.as_str());
    let mut answer = Answer {
        at,
        freeze: Freezes::in_force(config.configured_freeze(), [], at),
        id,
        program: global.invocation(),
        present: None,
        past: Vec::new(),
        knows_past: false,
    };
    let mut code = exit::DONE;
    let nowhere = if let Some(file) = &args.backups {
        let fleet = Fleet::of_file(&config, file)?;
        let words = if fleet.residents.is_empty() {
            "the file has no backup"
        } else {
            "the file does not have it"
        };
        find(&config, fleet, &mut answer)?.map(|hint| format!("{words}{hint}"))
    } else {
        online(&config, &mut answer, &mut code)?
    };
    if let (Some(nowhere), true) = (nowhere, answer.past.is_empty()) {
        let message = format!("no backup {}: {nowhere}", clean(answer.id.as_str()));
        // A project that could not be asked may have it.
        return Err(Failure::new(
            if code == exit::DONE { exit::USAGE } else { code },
            message,
        ));
    }
    let mut out = Out::of(args.format, global.color);
    let written = match args.format {
        Format::Json => why::json::write(&mut out, &answer),
        Format::Table => {
            let theme = out.theme(global);
            why::draw(&mut out, &answer, &theme)
        }
    };
    finish(out, written, code)
}
