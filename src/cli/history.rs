//! `history` and `audit`: what the ledger says about the past. Read only.

use std::io::{ErrorKind, Write};

use super::args::{AuditArgs, AuditWhat, Format, Global, HistoryArgs};
use super::failure::{CommandResult, Failure};
use super::output::lists;
use super::output::stdout::{Out, finish};
use super::{context, exit};
use crate::ledger::{Fault, Verification};
use crate::operations::{Error, history as operation};
use crate::retention::PolicyName;

pub(super) fn history(args: &HistoryArgs, global: &Global) -> CommandResult {
    let config = context::configuration(global)?;
    let policy = args.policy.as_deref().map(PolicyName::from);
    let entries = operation::history(&config, policy, args.limit, crate::clock::now())?;
    let mut out = Out::of(args.format, global.color);
    let written = match args.format {
        Format::Json => lists::write_history(&mut out, &entries),
        Format::Table => {
            let theme = out.theme(global);
            lists::history(&mut out, &entries, &theme)
        }
    };
    finish(out, written, exit::DONE)
}

pub(super) fn audit(args: &AuditArgs, global: &Global) -> CommandResult {
    let config = context::configuration(global)?;
    let now = crate::clock::now();
    match &args.what {
        AuditWhat::Verify { head } => match operation::verify(&config, head.as_deref(), now)? {
            (Verification::Intact { rows, head }, state) => {
                let mut out = Out::table(global.color);
                let written = writeln!(out, "{}: intact: {rows} rows, head {head}", state.display());
                finish(out, written, exit::DONE)
            }
            (Verification::Broken { row, what }, state) => {
                let message = format!(
                    "{}: BROKEN at row {row}: {what}; the ledger was changed by something other than this program: keep the file as it is, \
                     and compare it with your backups of it",
                    state.display()
                );
                Err(Failure::new(exit::UNDONE, message))
            }
        },
        AuditWhat::Export => {
            let mut out = Out::raw();
            match operation::export(&config, &mut out, now) {
                Ok(()) => finish(out, Ok(()), exit::DONE),
                // A reader that went away has read all it wanted.
                Err(Error::Ledger(error)) if matches!(error.fault(), Some(Fault::Io(io)) if io.kind() == ErrorKind::BrokenPipe) => {
                    Ok(exit::DONE)
                }
                Err(error) => Err(error.into()),
            }
        }
    }
}
