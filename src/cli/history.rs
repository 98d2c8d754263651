//! `history` and `audit`: what the ledger says about the past. Read only.

use std::collections::BTreeMap;
use std::io::{ErrorKind, Write};

use super::args::{Audit, AuditWhat, Format, Global, History};
use super::failure::{CommandResult, Failure};
use super::output::lists::HistoryEntry;
use super::output::stdout::{Out, finish};
use super::{context, exit, output::lists};
use crate::ledger::{Access, Fault, Ledger, RunFilter, RunRow, Verification};
use crate::retention::report::{RunResult, Sent};
use crate::retention::{Mode, PolicyName};
use crate::run;

fn open(global: &Global) -> Result<Ledger, Failure> {
    let config = context::configuration(global)?;
    Ok(Ledger::open(&config.state_dir, Access::ReadOnly, crate::clock::now())?)
}

pub(super) fn history(args: &History, global: &Global) -> CommandResult {
    let config = context::configuration(global)?;
    let ledger = Ledger::open(&config.state_dir, Access::ReadOnly, crate::clock::now())?;
    let filter = RunFilter {
        policy: args.policy.as_deref().map(PolicyName::from),
        limit: Some(args.limit),
    };
    let entries: Vec<HistoryEntry> = ledger.runs(&filter)?.into_iter().map(entry).collect();
    if let Some(name) = filter.policy.filter(|_| entries.is_empty()) {
        // One that the configuration does not have any more may have a past.
        run::check_policy_names(Some(&[name]), &config)?;
    }
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

fn entry(row: RunRow) -> HistoryEntry {
    let summary = row.summary.unwrap_or_default();
    let part = |key: &str| summary.get(key).cloned().unwrap_or_default();
    let by_project: BTreeMap<String, Sent> = serde_json::from_value(part("sent")).unwrap_or_default();
    let mut sent = BTreeMap::new();
    for (fate, count) in by_project.into_values().flat_map(|of| of.fates) {
        *sent.entry(fate).or_default() += count;
    }
    let refused: Vec<String> = serde_json::from_value(part("refused")).unwrap_or_default();
    HistoryEntry {
        run_id: row.run,
        policy: row.policy,
        mode: if row.mode == Mode::Enforce.as_str() {
            Mode::Enforce
        } else {
            Mode::DryRun
        },
        at: row.started_at,
        finished_at: row.finished_at,
        result: row
            .result
            .and_then(|name| RunResult::ALL.into_iter().find(|result| result.as_str() == name)),
        summary: serde_json::from_value(part("summary")).ok(),
        sent,
        left: part("left").as_u64().unwrap_or(0),
        message: refused_by(&refused),
    }
}

/// Which limits refused something, each once: some refuse single instances, and there may be thousands of these.
fn refused_by(limits: &[String]) -> Option<String> {
    let mut times: BTreeMap<&str, usize> = BTreeMap::new();
    for limit in limits {
        *times.entry(limit).or_default() += 1;
    }
    let name = |(limit, times): (&str, usize)| match times {
        1 => limit.to_owned(),
        times => format!("{limit} ({times} instances)"),
    };
    let names: Vec<String> = times.into_iter().map(name).collect();
    (!names.is_empty()).then(|| format!("refused by {}", names.join(", ")))
}

pub(super) fn audit(args: &Audit, global: &Global) -> CommandResult {
    let ledger = open(global)?;
    match &args.what {
        AuditWhat::Verify { head } => match ledger.verify(head.as_deref())? {
            Verification::Intact { rows, head } => {
                let mut out = Out::table(global.color);
                let written = writeln!(out, "{}: intact: {rows} rows, head {head}", ledger.path().display());
                finish(out, written, exit::DONE)
            }
            Verification::Broken { row, what } => {
                let message = format!(
                    "{}: BROKEN at row {row}: {what}; the ledger was changed by something other than this program: keep the file as it is, \
                     and compare it with your backups of it",
                    ledger.path().display()
                );
                Err(Failure::new(exit::UNDONE, message))
            }
        },
        AuditWhat::Export => {
            let mut out = Out::raw();
            match ledger.export(&mut out) {
                Ok(()) => finish(out, Ok(()), exit::DONE),
                // A reader that went away has read all it wanted.
                Err(error) if matches!(error.fault(), Some(Fault::Io(io)) if io.kind() == ErrorKind::BrokenPipe) => {
                    Ok(exit::DONE)
                }
                Err(error) => Err(error.into()),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_limit_that_refused_many_instances_is_named_once() {
        let limits = ["max_percent", "shrink", "max_percent"].map(str::to_owned);
        assert_eq!(
            refused_by(&limits).unwrap(),
            "refused by max_percent (2 instances), shrink"
        );
        assert_eq!(refused_by(&[]), None);
    }
}
