//! `history RUN`: one past run with what the guard said, what was left alone, and every deletion that was asked for.

use chrono::{DateTime, Utc};
use serde::Serialize;

use super::error::Error;
use super::history::{HistoryEntry, entry, open};
use crate::config::Config;
use crate::ledger::{PastDeletion, RunRow};
use crate::retention::report::{RefusalRecord, SkipRecord};
use crate::wording::refusals::remembered;

/// A past run.
#[derive(Clone, Debug, Serialize)]
pub struct PastRun {
    /// Each of its policies.
    pub runs: Vec<PastPolicyRun>,
    /// Every deletion that was asked for, or planned and not sent, oldest request first.
    pub deletions: Vec<PastDeletion>,
}

/// One policy in a past run.
#[derive(Clone, Debug, Serialize)]
pub struct PastPolicyRun {
    /// As `history` lists it.
    #[serde(flatten)]
    pub entry: HistoryEntry,
    /// What started it.
    pub cause: String,
    /// The configuration in force.
    pub config_sha256: String,
    /// What the guard held back, in words.
    pub refusals: Vec<RefusalRecord>,
    /// What was left alone.
    pub skipped: Vec<SkipRecord>,
}

/// The run whose id is this or, where only one does, begins so.
pub fn past_run(config: &Config, typed: &str, now: DateTime<Utc>) -> Result<PastRun, Error> {
    let ledger = open(config, now)?;
    let ids = ledger.run_ids(&typed.to_ascii_lowercase())?;
    let id = match &ids[..] {
        [id] => id,
        [] => return Err(Error::NoSuchRun(typed.to_owned())),
        _ => return Err(Error::SeveralRuns(typed.to_owned())),
    };
    let of_policy = |row: RunRow| -> Result<PastPolicyRun, Error> {
        let numbers = row.numbers();
        Ok(PastPolicyRun {
            cause: row.cause.clone(),
            config_sha256: row.config_sha256.clone(),
            refusals: numbers.map(remembered).unwrap_or_default(),
            skipped: numbers.map(|numbers| numbers.skipped.clone()).unwrap_or_default(),
            entry: entry(row, &ledger)?,
        })
    };
    Ok(PastRun {
        runs: ledger.run(id)?.into_iter().map(of_policy).collect::<Result<_, _>>()?,
        deletions: ledger.deletions_of_run(id)?,
    })
}
