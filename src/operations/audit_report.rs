//! `audit report`: what was deleted in a time, on what evidence, and what people did, from the ledger alone.

use std::collections::BTreeMap;
use std::path::PathBuf;

use chrono::{DateTime, Utc};
use serde::{Serialize, Serializer};

use super::error::Error;
use super::history::open;
use super::recompute::{Recomputed, recompute};
use crate::config::Config;
use crate::ledger::{Ledger, OperatorEvent, PastDeletion, Person, RecordedFile, RunFilter, RunRow, Verification};
use crate::retention::view::stamp;

/// A time of the past, for an auditor.
#[derive(Clone, Debug, Serialize)]
pub struct AuditReport {
    /// The state that was read.
    pub state: PathBuf,
    /// From then on.
    #[serde(serialize_with = "stamp")]
    pub from: DateTime<Utc>,
    /// Before then.
    #[serde(serialize_with = "stamp")]
    pub to: DateTime<Utc>,
    /// When the report was made.
    #[serde(serialize_with = "stamp")]
    pub made_at: DateTime<Utc>,
    /// Who made it.
    pub made_by: Person,
    /// The version of the program that made it.
    pub version: &'static str,
    /// What the check of the whole chain found, whatever the time of the report.
    #[serde(serialize_with = "verification")]
    pub verification: Verification,
    /// The configurations that runs began with.
    pub configurations: Vec<ConfigurationInForce>,
    /// The runs that began, oldest first.
    pub runs: Vec<RunRow>,
    /// What people did, oldest first.
    pub events: Vec<OperatorEvent>,
    /// Every deletion that was asked for, oldest first.
    pub deletions: Vec<PastDeletion>,
    /// What deciding again said, where that was asked for.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub recomputed: Option<Recomputed>,
}

impl AuditReport {
    /// Whether the chain is as it was written, and what was decided again came out as it was.
    pub fn is_good(&self) -> bool {
        let is_intact = matches!(self.verification, Verification::Intact { .. });
        is_intact && self.recomputed.as_ref().is_none_or(|of| of.differences.is_empty())
    }
}

/// A configuration that runs began with.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct ConfigurationInForce {
    /// SHA-256 of its files.
    pub sha256: String,
    /// The files, without secrets; empty where no run recorded them.
    pub files: Vec<RecordedFile>,
    /// When the first of the runs began.
    #[serde(serialize_with = "stamp")]
    pub first: DateTime<Utc>,
    /// When the last of them began.
    #[serde(serialize_with = "stamp")]
    pub last: DateTime<Utc>,
}

fn verification<S: Serializer>(found: &Verification, serializer: S) -> Result<S::Ok, S::Error> {
    let value = match found {
        Verification::Intact { rows, head } => serde_json::json!({"intact": true, "rows": rows, "head": head}),
        Verification::Broken { row, what } => serde_json::json!({"intact": false, "row": row, "what": what}),
    };
    value.serialize(serializer)
}

/// What the ledger has of the time from `from` to before `to`.
pub fn audit_report(
    config: &Config,
    (from, to): (DateTime<Utc>, DateTime<Utc>),
    made_by: Person,
    with_recomputed: bool,
    now: DateTime<Utc>,
) -> Result<AuditReport, Error> {
    if to <= from {
        return Err(Error::EmptyTime { from, to });
    }
    let ledger = open(config, now)?;
    let is_in = |at: DateTime<Utc>| from <= at && at < to;
    let mut runs = ledger.runs(&RunFilter::default())?;
    runs.retain(|run| is_in(run.started_at));
    runs.reverse();
    let mut events = ledger.operator_events(u32::MAX)?;
    events.retain(|event| is_in(event.at));
    events.reverse();
    Ok(AuditReport {
        state: ledger.path().to_owned(),
        from,
        to,
        made_at: now,
        made_by,
        version: env!("CARGO_PKG_VERSION"),
        verification: ledger.verify(None)?,
        configurations: configurations(&ledger, &runs)?,
        runs,
        events,
        deletions: ledger.deletions_between(from, to)?,
        recomputed: with_recomputed.then(|| recompute(&ledger, (from, to))).transpose()?,
    })
}

fn configurations(ledger: &Ledger, runs: &[RunRow]) -> Result<Vec<ConfigurationInForce>, Error> {
    let mut found: BTreeMap<&str, ConfigurationInForce> = BTreeMap::new();
    for run in runs {
        let of = found.entry(&run.config_sha256).or_insert_with(|| ConfigurationInForce {
            sha256: run.config_sha256.clone(),
            files: Vec::new(),
            first: run.started_at,
            last: run.started_at,
        });
        of.last = of.last.max(run.started_at);
    }
    let mut found: Vec<_> = found.into_values().collect();
    found.sort_by_key(|of| of.first);
    for of in &mut found {
        of.files = ledger.configuration_files(&of.sha256)?;
    }
    Ok(found)
}
