//! `check`: is the configuration right, and (`--online`) may it do its work? `--strict` makes errors of all warnings.

use super::args::{CheckArgs, Format, Global};
use super::failure::{CommandResult, Failure};
use super::output::stdout::{Out, finish};
use super::output::{check, json};
use super::{context, exit};
use crate::operations::check::{self as operation, Checked};

pub(super) fn check(args: &CheckArgs, global: &Global) -> CommandResult {
    let config = match context::own_configuration(global) {
        Ok(config) => config,
        Err(problems) if args.format == Format::Json => {
            let file = global.config.to_string_lossy().into_owned();
            return bad(&Checked::bad(file, problems.iter().cloned().collect()));
        }
        Err(problems) => return Err(problems.into()),
    };
    context::log(global)?;
    let projects = if args.online {
        context::block_on(1, async { Ok(operation::reach_projects(&config).await?) })?
    } else {
        Vec::new()
    };
    let mut checked = operation::check(&config, projects, crate::clock::now());
    if args.online {
        checked.warnings.extend(operation::database_risks(&config)?);
    }
    if !checked.good {
        if args.format == Format::Table {
            // Says them.
            context::refuse_ended(&config)?;
        }
        return bad(&checked);
    }
    if args.notify_test {
        checked.notify = Some(context::block_on(1, async {
            Ok(operation::test_notifications(&config).await)
        })?);
    }
    let tested = checked.notify.iter().flatten();
    let unsent = tested
        .filter(|tested| tested.error.is_some())
        .map(|_| exit::UNAVAILABLE);
    let failed = checked
        .projects
        .iter()
        .filter_map(|project| project.found.as_ref().err());
    let failed = failed.map(Failure::code_of_api);
    let strict = (args.strict && checked.warnings() > 0).then_some(exit::CONFIGURATION);
    let code = exit::combine(failed.chain(unsent).chain(strict));
    let mut out = Out::of(args.format, global.color);
    let written = match args.format {
        Format::Json => json::write(&mut out, &checked),
        Format::Table => {
            let theme = out.theme(global);
            check::draw(&mut out, &theme, &checked, args.strict)
        }
    };
    finish(out, written, code)
}

fn bad(checked: &Checked) -> CommandResult {
    let mut out = Out::raw();
    let written = json::write(&mut out, checked);
    finish(out, written, exit::CONFIGURATION)
}
