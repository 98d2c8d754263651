//! Floor 4: words in, words out, exit codes.
//!
//! This room turns what is typed into calls of the floors below and what they return into tables, JSON and an exit code.
//! It is *not* for deciding anything. It alone writes to stdout, through [`stdout::Out`]; every sentence a terminal shows is
//! made in [`sentences`], [`render`] (with `ending`) and [`listing`].

mod apply;
mod approve;
pub mod args;
mod check;
mod context;
mod demo;
mod diff;
pub mod exit;
mod flags;
mod follow;
mod forecast;
mod history;
mod inventory;
pub mod man;
mod metrics_file;
mod operator;
pub mod output;
mod parse;
mod plan;
mod run;
mod schema;
pub mod sentences;
mod signals;
mod simulator;
mod under_way;
mod why;

use std::io::{self, IsTerminal, Write};
use std::path::Path;
use std::process::ExitCode;

use clap::error::{ContextKind, ContextValue};
use clap::{CommandFactory, FromArgMatches};

use self::args::{Cli, Command, Format, Global, Show};
use self::output::decisions::Kind;
use self::output::row_buffer::BufferedRows;
use self::output::stdout::{Out, forgive_broken_pipe};
use crate::retention::RunReport;
use crate::telemetry::logging;

/// Why a command ended without its result: what to say, and the exit code.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Failure {
    /// One of [`exit`]'s codes.
    pub code: u8,
    /// For a person; may have several lines, secrets never.
    pub message: String,
    /// Whether the message begins with a place, `FILE:LINE:COLUMN:`. Editors find it there, so nothing stands before it.
    pub begins_with_place: bool,
}

impl Failure {
    /// With the whole chain of causes, which is printed here and nowhere else.
    pub fn of(code: u8, error: &dyn std::error::Error) -> Self {
        let mut message = error.to_string();
        let mut source = error.source();
        while let Some(cause) = source {
            let cause_text = cause.to_string();
            // Many errors repeat their cause in their own words.
            if !message.ends_with(&cause_text) {
                message.push_str(": ");
                message.push_str(&cause_text);
            }
            source = cause.source();
        }
        Self::new(code, message)
    }

    /// With words of our own.
    pub fn new(code: u8, message: impl Into<String>) -> Self {
        Self {
            code,
            message: message.into(),
            begins_with_place: false,
        }
    }
}

/// What a command returns: its exit code, or why there is none of its own.
pub type CommandResult = Result<u8, Failure>;

/// The program.
pub fn main() -> ExitCode {
    signals::listen();
    let parsed = command()
        .try_get_matches()
        .and_then(|matches| Cli::from_arg_matches(&matches));
    let code = match parsed {
        Ok(cli) => dispatch(&cli).unwrap_or_else(|failure| complain(&failure)),
        Err(error) => answer(&error),
    };
    // What is not written by then is lost: the end of the process waits for no reader.
    logging::flush();
    ExitCode::from(code)
}

/// The command line, but for variables of the environment that are empty: those are not set.
fn command() -> clap::Command {
    let command = Cli::command();
    let is_empty = |arg: &&clap::Arg| {
        let value = arg.get_env().and_then(std::env::var_os);
        value.is_some_and(|value| value.is_empty())
    };
    let empty: Vec<clap::Id> = command
        .get_arguments()
        .filter(is_empty)
        .map(|arg| arg.get_id().clone())
        .collect();
    let choice = if output::stdout::is_coloured(io::stderr().is_terminal()) {
        clap::ColorChoice::Always
    } else {
        clap::ColorChoice::Never
    };
    let without = |command: clap::Command, id: clap::Id| command.mut_arg(id, |arg| arg.env(None::<&str>));
    empty.into_iter().fold(command.color(choice), without)
}

/// What other programs call what this one does otherwise.
fn meant_by(command: &str) -> Option<&'static str> {
    Some(match command {
        "prune" | "forget" | "delete" | "expire" => {
            "`apply` deletes what is due; `plan` shows first what that would be"
        }
        "explain" => "`why BACKUP` explains what happens to a backup",
        "list" => "`plan --all` lists every backup with its decision; `holds` and `history` list holds and past runs",
        _ => return None,
    })
}

fn dispatch(cli: &Cli) -> CommandResult {
    let global = &cli.global;
    if !matches!(cli.command, Command::Run(_) | Command::Demo(_)) {
        signals::end_on_hangup();
    }
    match &cli.command {
        Command::Completions(completions) => {
            let mut out = Out::raw();
            let written = man::completions(completions.shell, &mut out);
            finish(out, written, exit::DONE)
        }
        Command::Man(page) => print_man(page.dir.as_deref()),
        Command::Run(_) => run::run(global),
        Command::Check(args) => check::check(args, global),
        Command::Plan(args) => plan::plan(args, global),
        Command::Apply(args) => apply::apply(args, global),
        Command::Why(args) => why::why(args, global),
        Command::Forecast(args) => forecast::forecast(args, global),
        Command::Diff(args) => diff::diff(args, global),
        Command::Schema(args) => schema::schema(*args, global),
        Command::Hold(args) => operator::hold(args, global),
        Command::Release(args) => operator::release(args, global),
        Command::Holds(args) => operator::holds(args, global),
        Command::Approve(args) => approve::approve(args, global),
        Command::Freeze(args) => operator::freeze(args, global),
        Command::Thaw(args) => operator::thaw(args, global),
        Command::History(args) => history::history(args, global),
        Command::Audit(args) => history::audit(args, global),
        Command::Simulator(args) => simulator::simulator(args, global),
        Command::Demo(args) => demo::demo(args, global),
    }
}

fn print_man(dir: Option<&Path>) -> CommandResult {
    let Some(dir) = dir else {
        let mut out = Out::raw();
        let written = man::page(&mut out);
        return finish(out, written, exit::DONE);
    };
    man::pages(dir)
        .map(|()| exit::DONE)
        .map_err(|error| Failure::new(exit::UNDONE, format!("{}: {error}", dir.display())))
}

/// Shows a report as asked for, as JSON with what its run told, and returns the exit code it deserves.
pub fn show_report(report: &RunReport, told: &BufferedRows, kind: Kind, show: &Show, global: &Global) -> CommandResult {
    let code = match kind {
        Kind::Plan | Kind::Offline => exit::of_plan(report),
        Kind::Apply => exit::of_run(report),
    };
    let mut out = Out::of(show.format, global.color);
    let written = match show.format {
        Format::Json => output::json::write_report(&mut out, report, told),
        Format::Table => {
            let theme = out.theme_of_report(global, show);
            output::decisions::report(&mut out, report, kind, &theme)
        }
    };
    finish(out, written, code)
}

/// Ends a command's output: what was done stays done, and its code stands, when the reader went away meanwhile.
pub fn finish(out: Out, written: io::Result<()>, code: u8) -> CommandResult {
    let written = forgive_broken_pipe(written);
    written
        .and_then(|()| out.finish())
        .map(|()| code)
        .map_err(|error| Failure::new(exit::UNDONE, format!("stdout: {error}")))
}

/// Says something beside a result, on stderr: which state is used, that nothing can be deleted yet.
pub fn note(text: &str) {
    // As with the error at the end: without stderr there is nobody to tell.
    if logging::flush() {
        let _ = writeln!(anstream::stderr(), "{}", sentences::clean(text));
    }
}

/// Help and version go to stdout with 0; anything else that clap says is a usage error.
fn answer(error: &clap::Error) -> u8 {
    if let Some(ContextValue::String(typed)) = error.get(ContextKind::InvalidSubcommand)
        && let Some(meant) = meant_by(typed)
    {
        return complain(&Failure::new(
            exit::USAGE,
            format!("there is no command `{typed}`: {meant}"),
        ));
    }
    // Whether somebody still reads the help cannot change the code.
    let _ = error.print();
    if error.use_stderr() { exit::USAGE } else { exit::DONE }
}

fn complain(failure: &Failure) -> u8 {
    let mut lines = failure.message.lines().map(sentences::clean);
    let first = lines.next().unwrap_or_default();
    let rest = lines.fold(String::new(), |text, line| text + "\n" + &line);
    let name = if failure.begins_with_place {
        ""
    } else {
        "rds-retentiond: "
    };
    // There is nobody left to tell when stderr is gone, or nobody reads it.
    if logging::flush() {
        let _ = writeln!(anstream::stderr(), "{name}{first}{rest}");
    }
    failure.code
}
