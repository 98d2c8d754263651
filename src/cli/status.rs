//! `status`: what needs attention, last and next runs, what goes next, holds and freezes.

use super::args::{Format, Global, StatusArgs};
use super::failure::CommandResult;
use super::output::stdout::{Out, finish};
use super::output::{json, status as output};
use super::{context, exit};
use crate::config;
use crate::retention::Zone;
use crate::run::{self, state_place};
use crate::status;

pub(super) fn status(args: StatusArgs, global: &Global) -> CommandResult {
    context::log(global)?;
    let now = crate::clock::now();
    let (status, zone) = match config::load(&global.config, &context::people_environment()) {
        Ok(config) if config.policies.is_empty() => {
            context::note_missing_state(&config);
            let status = status::of_state(&global.config, Vec::new(), run::state_of(&config), now)?;
            (status, Zone::UTC)
        }
        Ok(config) => {
            let zone = context::zone_of(&config);
            context::note_missing_state(&config);
            (status::at_rest(&config, &context::host_of(&config), now)?, zone)
        }
        Err(problems) => {
            let Some(place) = problems.state().map(state_place) else {
                return Err(problems.into());
            };
            let problems = problems.iter().map(config::Problem::one_line).collect();
            let status = status::of_state(&global.config, problems, place, now)?;
            (status, Zone::UTC)
        }
    };
    let mut out = Out::of(args.format, global.color);
    let written = match args.format {
        Format::Json => json::write(&mut out, &status),
        Format::Table => {
            let theme = out.theme(global);
            output::status(&mut out, &status, zone, &theme)
        }
    };
    finish(out, written, exit::DONE)
}
