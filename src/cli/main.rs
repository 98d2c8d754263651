//! The program from `argv` to its exit code: reads the command line, calls the command, shows what went wrong.

use std::ffi::OsString;
use std::io::{self, IsTerminal, Write};
use std::path::Path;
use std::process::ExitCode;

use clap::error::{ContextKind, ContextValue};
use clap::{CommandFactory, FromArgMatches};
use rustix::io::Errno;

use super::args::{Cli, Command, in_groups};
use super::failure::{CommandResult, Failure};
use super::output::stdout::{self, Out, finish};
use super::{
    apply, approve, check, completion, demo, diff, exit, forecast, history, init, man, operator, plan, run, schema,
    signals, simulator, state, status, test, why,
};
use crate::telemetry::logging;
use crate::wording::sanitize::clean;

/// The program.
pub fn main() -> ExitCode {
    if completion::answer() {
        return ExitCode::SUCCESS;
    }
    if let Err(failure) = enough_files() {
        return ExitCode::from(complain(&failure));
    }
    signals::listen();
    let parsed = command()
        .try_get_matches_from(with_help_as_flag(std::env::args_os().collect()))
        .and_then(|matches| Cli::from_arg_matches(&matches));
    let code = match parsed {
        Ok(cli) => dispatch(&cli).unwrap_or_else(|failure| complain(&failure)),
        Err(error) => answer(&error),
    };
    // What is not written by then is lost: the end of the process waits for no reader.
    logging::flush();
    ExitCode::from(code)
}

/// How many files any command may need at once.
const FILES: usize = 24;

/// Whether so many can be open: what listens to signals does not start without, but panics.
fn enough_files() -> Result<(), Failure> {
    let open = |_| std::fs::File::open("/");
    let opened: io::Result<Vec<_>> = (0..FILES).map(open).collect();
    match opened {
        Err(error) if matches!(Errno::from_io_error(&error), Some(Errno::MFILE | Errno::NFILE)) => Err(Failure::new(
            exit::UNDONE,
            format!(
                "{error}: fewer than {FILES} more can be opened, so nothing was done: raise `ulimit -n` (systemd: LimitNOFILE=)"
            ),
        )),
        _ => Ok(()),
    }
}

/// The command line, but for variables of the environment that are empty: those are not set.
fn command() -> clap::Command {
    let command = in_groups(Cli::command());
    let is_empty = |arg: &&clap::Arg| {
        let value = arg.get_env().and_then(std::env::var_os);
        value.is_some_and(|value| value.is_empty())
    };
    let empty: Vec<clap::Id> = command
        .get_arguments()
        .filter(is_empty)
        .map(|arg| arg.get_id().clone())
        .collect();
    let choice = if stdout::is_coloured(io::stderr().is_terminal()) {
        clap::ColorChoice::Always
    } else {
        clap::ColorChoice::Never
    };
    let without = |command: clap::Command, id: clap::Id| command.mut_arg(id, |arg| arg.env(None::<&str>));
    empty.into_iter().fold(command.color(choice), without)
}

/// `help` and `help COMMAND` as `--help` and `COMMAND --help`: a command of its own would stand in help, completion and man page.
fn with_help_as_flag(mut args: Vec<OsString>) -> Vec<OsString> {
    if args.get(1).is_some_and(|first| first == "help") {
        args.remove(1);
        args.push("--help".into());
    }
    args
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
            let written = completion::script(completions.shell, &mut out);
            finish(out, written, exit::DONE)
        }
        Command::Man(page) => print_man(page.dir.as_deref()),
        Command::Run(_) => run::run(global),
        Command::Status(args) => status::status(*args, global),
        Command::Check(args) => check::check(args, global),
        Command::Init(args) => init::init(args, global),
        Command::Test(args) => test::test(args, global),
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
        Command::State(args) => state::state(args, global),
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
    if let Some(ContextValue::String(flag)) = error.get(ContextKind::InvalidArg)
        && flag == "--dry-run"
    {
        let hint = "there is no --dry-run: `plan` shows what would happen and deletes nothing; `mode: dry-run` makes a policy one for good";
        return complain(&Failure::new(exit::USAGE, hint.to_owned()));
    }
    // Whether the help is still read cannot change the code.
    let _ = error.print();
    if error.use_stderr() { exit::USAGE } else { exit::DONE }
}

fn complain(failure: &Failure) -> u8 {
    let mut lines = failure.message.lines().map(clean);
    let first = lines.next().unwrap_or_default();
    let rest = lines.fold(String::new(), |text, line| text + "\n" + &line);
    let name = if failure.begins_with_place {
        ""
    } else {
        "rds-retentiond: "
    };
    // When stderr is gone or not read, there is no place left to report it.
    if logging::flush() {
        let _ = writeln!(anstream::stderr(), "{name}{first}{rest}");
    }
    failure.code
}
