//! `plan`: what would happen now, with reasons. Never deletes, writes nothing.

use std::sync::Arc;
use std::time::Duration;

use chrono::{DateTime, Utc};

use super::error::Error;
use super::source::BackupSource;
use crate::config::Config;
use crate::retention::report::{InstanceCounts, Summary};
use crate::retention::{InstanceId, PolicyName, RunReport};
use crate::run::{Purpose, ReportDetail, RunRequest};

/// Long enough for the largest fleet at the slowest pace; a plan that takes longer says what it left out.
const BUDGET: Duration = Duration::from_secs(6 * 3_600);

/// What to plan.
#[derive(Clone, Debug)]
pub struct PlanRequest {
    /// The policies that run; `None` is all of them. The others still keep what they keep.
    pub policies: Option<Vec<PolicyName>>,
    /// Only this instance, by id or name.
    pub instance: Option<InstanceId>,
    /// The moment to decide at.
    pub at: DateTime<Utc>,
    /// Which decisions are wanted in the report, beside their numbers.
    pub rows: ReportDetail,
}

impl PlanRequest {
    pub(super) fn run_request(self) -> RunRequest {
        RunRequest {
            purpose: Purpose::Plan,
            policies: self.policies,
            instance: self.instance,
            now: self.at,
            rows: self.rows,
            trigger: "plan",
            person: None,
            budget: BUDGET,
        }
    }
}

/// Decides on what the source has.
pub async fn plan(config: &Arc<Config>, request: PlanRequest, source: BackupSource) -> Result<RunReport, Error> {
    let request = request.run_request();
    let ledger = source.ledger(config, &request)?;
    let report = source.decide(config, &request, ledger).await?;
    match request.instance {
        // A project that could not be asked may have it.
        Some(wanted) if !is_there(&report) && report.skipped.is_empty() => {
            Err(Error::NoSuchInstance(wanted.as_str().to_owned()))
        }
        _ => Ok(report),
    }
}

fn is_there(report: &RunReport) -> bool {
    let counts: InstanceCounts = report.instances.values().sum();
    // A deleted instance is in no list, and has backups.
    let mut decided = report.policies.iter().map(|policy| policy.summary);
    counts.managed + counts.unmanaged > 0 || decided.any(|summary| summary != Summary::default())
}
