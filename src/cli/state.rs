//! `state`: what a person decides about the state as a whole.

use std::path::{Path, PathBuf};

use super::args::{Global, StateArgs, StateWhat};
use super::failure::{CommandResult, Failure};
use super::operator::{Operator, say};
use super::{context, exit};
use crate::config::{Config, StateAt, parse_postgres_url};
use crate::ledger::{PostgresAddress, StatePlace};
use crate::operations::audit as operation;
use crate::operations::state_move::{MoveOutcome, move_state};
use crate::wording::numbers::count;

pub(super) fn state(args: &StateArgs, global: &Global) -> CommandResult {
    let config = context::configuration(global)?;
    let operator = Operator::of(Some(&config));
    let text = match &args.what {
        StateWhat::AcceptRewind { reason } => accept_rewind(&config, &operator, reason.as_deref())?,
        StateWhat::Move {
            to,
            password_file,
            ca,
            reason,
        } => {
            let to = place(to, password_file.clone(), ca.as_deref())?;
            let actor = operator.actor(reason.as_deref());
            let outcome = move_state(&config, &to, actor, crate::clock::now())?;
            moved(&config, &to, outcome)
        }
    };
    say(global, &text, exit::DONE)
}

fn accept_rewind(config: &Config, operator: &Operator, reason: Option<&str>) -> Result<String, Failure> {
    let (missing, state) = operation::accept_rewind(config, operator.actor(reason), crate::clock::now())?;
    let state = state.display();
    Ok(match missing {
        0 => format!("{state} contains every anchored head: there is nothing to accept"),
        missing => format!(
            "{state} is accepted as it is, without {}; a daemon goes on by itself",
            count(missing as u64, "anchored head")
        ),
    })
}

/// Where the state is to go.
fn place(typed: &str, password_file: Option<PathBuf>, ca: Option<&Path>) -> Result<StatePlace, Failure> {
    let usage = |message: String| Failure::new(exit::USAGE, format!("--to {message}"));
    let absolute =
        |path: &Path| std::path::absolute(path).map_err(|error| usage(format!("{}: {error}", path.display())));
    if typed.starts_with("postgres://") || typed.starts_with("postgresql://") {
        return Ok(StatePlace::Postgres(PostgresAddress {
            target: parse_postgres_url(typed).map_err(usage)?,
            // A relative name may be that of a credential of systemd's.
            password_file,
            ca: ca.map(absolute).transpose()?,
        }));
    }
    if password_file.is_some() || ca.is_some() {
        return Err(usage(format!(
            "{typed} is a directory: --password-file and --ca are for a database, `postgres://USER@HOST/DATABASE`"
        )));
    }
    absolute(Path::new(typed)).map(StatePlace::Directory)
}

fn moved(config: &Config, to: &StatePlace, outcome: MoveOutcome) -> String {
    let (is_new, moved) = match outcome {
        MoveOutcome::Moved(moved) => (true, moved),
        MoveOutcome::MovedBefore(moved) => (false, moved),
    };
    let was = if is_new { "is moved to" } else { "was moved before, to" };
    let old = match &config.state {
        StateAt::Directory(_) => "`state_dir`",
        StateAt::Postgres(_) => "`state`",
    };
    let next = match to {
        StatePlace::Directory(dir) => format!("`state_dir: {}`", dir.display()),
        StatePlace::Postgres(_) => {
            "`state: {postgres: …}` with that address, run config/postgres/roles.sql in the database, then `check --online`".to_owned()
        }
    };
    format!(
        "the state of {} {was} {to}: {}, head {}, the same at both ends\nNext: in {} replace {old} by {next}, on every machine; then start the daemon",
        config.state,
        count(moved.rows, "row"),
        moved.head,
        config.path.display()
    )
}
