//! `history` and `audit`: what the ledger says about the past. Read only.

use std::collections::BTreeMap;
use std::io;
use std::path::PathBuf;

use chrono::{DateTime, Utc};
use serde::{Serialize, Serializer};

use super::error::Error;
use crate::config::Config;
use crate::ledger::{self, Access, DeletionState, Ledger, OperatorEvent, RunFilter, RunRow, Verification};
use crate::retention::report::{RunResult, Summary, Tally};
use crate::retention::view::{SummaryView, stamp, stamp_or_null};
use crate::retention::{Mode, PolicyName};
use crate::run;
use crate::wording::results::is_in_part;

/// A past run of one policy.
#[derive(Clone, Debug, Serialize)]
pub struct HistoryEntry {
    /// The run's id.
    pub run_id: String,
    /// The policy.
    pub policy: PolicyName,
    /// Whether it acted.
    pub mode: Mode,
    /// When it began.
    #[serde(serialize_with = "stamp")]
    pub at: DateTime<Utc>,
    /// When it ended; `None` for one that never said so.
    #[serde(serialize_with = "stamp_or_null")]
    pub finished_at: Option<DateTime<Utc>>,
    /// Whether it is under way.
    pub running: bool,
    /// How it ended; `None` while it is under way, or when its process was killed and no later run has closed it.
    pub result: Option<RunResult>,
    /// Its decisions in numbers.
    #[serde(serialize_with = "summary")]
    pub summary: Option<Summary>,
    /// What became of what was sent, by the outcome's name.
    pub sent: BTreeMap<String, u64>,
    /// Approved, but left to the next run.
    pub left: u64,
    /// Due, and held back by the guard or a freeze.
    #[serde(skip)]
    pub held_back: Tally,
    /// What the guard said against it.
    pub message: Option<String>,
}

impl HistoryEntry {
    /// Whether the guard held back one part and let another go.
    pub fn is_refused_in_part(&self) -> bool {
        let due = self.summary.map(|summary| summary.delete).unwrap_or_default();
        self.result == Some(RunResult::Refused) && is_in_part(due, self.held_back, self.sent.values().sum())
    }
}

#[expect(clippy::ref_option, reason = "as serde calls it")]
fn summary<S: Serializer>(summary: &Option<Summary>, serializer: S) -> Result<S::Ok, S::Error> {
    summary.map(SummaryView::from).serialize(serializer)
}

pub(super) fn open(config: &Config, now: DateTime<Utc>) -> Result<Ledger, Error> {
    Ok(Ledger::open(run::state_of(config), Access::ReadOnly, now)?)
}

/// `None` where no run has made one yet.
fn open_if_there(config: &Config, now: DateTime<Utc>) -> Result<Option<Ledger>, Error> {
    match open(config, now) {
        Err(Error::Ledger(ledger::Error::Missing { .. })) => Ok(None),
        opened => opened.map(Some),
    }
}

/// Past runs, the latest first, of one policy or of all; none of a state that is not there yet.
pub fn history(
    config: &Config,
    policy: Option<PolicyName>,
    limit: u32,
    now: DateTime<Utc>,
) -> Result<Vec<HistoryEntry>, Error> {
    let filter = RunFilter {
        policy,
        limit: Some(limit),
    };
    let Some(ledger) = open_if_there(config, now)? else {
        return Ok(Vec::new());
    };
    let entries = past_runs(&ledger, &filter)?;
    if let Some(name) = filter.policy.filter(|_| entries.is_empty()) {
        // One that the configuration does not have any more may have a past.
        run::check_policy_names(Some(&[name]), config)?;
    }
    Ok(entries)
}

/// Past runs of a ledger that is open, the latest first.
pub fn past_runs(ledger: &Ledger, filter: &RunFilter) -> Result<Vec<HistoryEntry>, Error> {
    let runs = ledger.runs(filter)?.into_iter();
    runs.map(|row| entry(row, ledger)).collect()
}

pub(super) fn entry(row: RunRow, ledger: &Ledger) -> Result<HistoryEntry, Error> {
    let is_cut_short = row.is_cut_short();
    let is_open = row.finished_at.is_none();
    // Such a run wrote down no numbers: its requests are in the ledger.
    let sent = if is_open || is_cut_short {
        sent_by_requests(&row, ledger)?
    } else {
        sent_by_summary(&row)
    };
    let running = is_open && ledger.is_running(&row.run)?;
    let numbers = row.numbers();
    let refused = numbers.and_then(|numbers| refused_by(&numbers.refused));
    Ok(HistoryEntry {
        running,
        summary: numbers.map(|numbers| numbers.summary),
        sent,
        left: numbers.map_or(0, |numbers| numbers.left),
        held_back: numbers.map(|numbers| numbers.held_back).unwrap_or_default(),
        message: refused.or_else(|| is_cut_short.then(|| "cut short".to_owned())),
        run_id: row.run,
        policy: row.policy,
        mode: row.mode,
        at: row.started_at,
        finished_at: row.finished_at,
        result: row.result,
    })
}

fn sent_by_summary(row: &RunRow) -> BTreeMap<String, u64> {
    let by_project = row.numbers().into_iter().flat_map(|numbers| numbers.sent.values());
    let mut sent = BTreeMap::new();
    for (fate, count) in by_project.flat_map(|of| &of.fates) {
        *sent.entry(fate.clone()).or_default() += count;
    }
    sent
}

/// What became of the ids so far, in the words of a run's own numbers.
fn sent_by_requests(row: &RunRow, ledger: &Ledger) -> Result<BTreeMap<String, u64>, Error> {
    let mut sent = BTreeMap::new();
    for (state, count) in ledger.sent_in(&row.run, &row.policy)? {
        let fate = match state {
            // A later run has sent it again, as what was not answered is; or nothing has answered yet.
            DeletionState::Resent | DeletionState::Intended => DeletionState::Unanswered,
            state => state,
        };
        *sent.entry(fate.as_str().to_owned()).or_default() += count;
    }
    Ok(sent)
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

/// What people did, the newest first.
pub fn events(config: &Config, limit: u32, now: DateTime<Utc>) -> Result<Vec<OperatorEvent>, Error> {
    Ok(open(config, now)?.operator_events(limit)?)
}

/// Checks the hash chain, and with a head that a run logged that nothing after it is missing; what was found, and where.
pub fn verify(config: &Config, head: Option<&str>, now: DateTime<Utc>) -> Result<(Verification, PathBuf), Error> {
    let ledger = open(config, now)?;
    Ok((ledger.verify(head)?, ledger.path().to_owned()))
}

/// Writes every row as a line of JSON.
pub fn export(config: &Config, out: &mut dyn io::Write, now: DateTime<Utc>) -> Result<(), Error> {
    Ok(open(config, now)?.export(out)?)
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
