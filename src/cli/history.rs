//! `history` and `audit`: what the ledger says about the past. Read only.

use std::collections::BTreeMap;
use std::io::{ErrorKind, Write};

use super::args::{AuditArgs, AuditWhat, Format, Global, HistoryArgs, ReportFormat};
use super::failure::{CommandResult, Failure};
use super::operator::Operator;
use super::output::stdout::{Out, finish};
use super::output::{audit_csv, audit_html, history as output, json, lists};
use super::{context, exit};
use crate::ledger::{Fault, Verification};
use crate::operations::audit_report::audit_report;
use crate::operations::{Error, audit, history as operation, past_run};
use crate::retention::PolicyName;
use crate::wording::numbers::count;

pub(super) fn history(args: &HistoryArgs, global: &Global) -> CommandResult {
    let config = context::people_configuration(global)?;
    let mut out = Out::of(args.format, global.color);
    let (now, theme) = (crate::clock::now(), out.theme(global));
    let zone = context::zone_of(&config);
    if let Some(run) = &args.run {
        let run = past_run::past_run(&config, run, now)?;
        let written = match args.format {
            Format::Json => json::write(&mut out, &run),
            Format::Table => output::run(&mut out, &run, zone, &theme),
        };
        return finish(out, written, exit::DONE);
    }
    if args.events {
        let events = operation::events(&config, args.limit, now)?;
        let written = match args.format {
            Format::Json => json::write(&mut out, &BTreeMap::from([("events", &events)])),
            Format::Table => output::events(&mut out, &events, zone, &theme),
        };
        return finish(out, written, exit::DONE);
    }
    let policy = args.policy.as_deref().map(PolicyName::from);
    let entries = operation::history(&config, policy, args.limit, now)?;
    let written = match args.format {
        Format::Json => lists::write_history(&mut out, &entries),
        Format::Table if entries.is_empty() => lists::no_runs(&mut out, &crate::run::state_of(&config)),
        Format::Table => lists::history(&mut out, &entries, zone, &theme),
    };
    finish(out, written, exit::DONE)
}

pub(super) fn audit(args: &AuditArgs, global: &Global) -> CommandResult {
    let config = context::people_configuration(global)?;
    let now = crate::clock::now();
    match &args.what {
        AuditWhat::Verify { head, anchors } => match operation::verify(&config, head.as_deref(), now)? {
            (Verification::Intact { rows, head }, state) => {
                let mut out = Out::table(global.color);
                let written = writeln!(out, "{}: intact: {rows} rows, head {head}", state.display());
                if *anchors {
                    let (text, code) = anchored(&audit::anchors(&config, now)?);
                    let written = written.and_then(|()| writeln!(out, "{text}"));
                    return finish(out, written, code);
                }
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
        AuditWhat::Report {
            from,
            to,
            format,
            recompute,
        } => {
            let report = audit_report(
                &config,
                (*from, to.unwrap_or(now)),
                Operator::of(Some(&config)).into_person(),
                *recompute,
                now,
            )?;
            let mut out = Out::raw();
            let written = match format {
                ReportFormat::Html => audit_html::write(&mut out, &report),
                ReportFormat::Csv => audit_csv::write(&mut out, &report),
                ReportFormat::Json => json::write(&mut out, &report),
            };
            // A report on a ledger that was changed, or of which deletions do not follow, is written, and is no success.
            finish(out, written, if report.is_good() { exit::DONE } else { exit::UNDONE })
        }
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

/// What the anchor says, and the exit code.
fn anchored(found: &audit::Anchors) -> (String, u8) {
    match found.missing.last() {
        None if found.heads == 0 && found.has_run => (
            format!(
                "{}: no head of this state, although runs on it have ended: nothing could be compared",
                found.place
            ),
            exit::UNDONE,
        ),
        None => (
            format!(
                "{}: {}, and the state contains each",
                found.place,
                count(found.heads as u64, "head")
            ),
            exit::DONE,
        ),
        Some(last) => {
            let text = format!(
                "{}: {} of {} MISSING, the last one of row {}: the state was set back; put the newest one back, or see `state \
                 accept-rewind`",
                found.place,
                found.missing.len(),
                count(found.heads as u64, "head"),
                last.row
            );
            (text, exit::UNDONE)
        }
    }
}
