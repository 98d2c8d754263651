//! One file of tests, decided and compared.

use std::path::PathBuf;
use std::sync::Arc;

use chrono::{DateTime, Utc};

use super::super::plan::PlanRequest;
use super::backups::{TestFleet, fleet};
use super::compare::{Mismatch, compare};
use crate::config::policy_test::{TestCase, TestFile};
use crate::config::{Config, Problem};
use crate::retention::report::BackupRow;
use crate::retention::{Hold, KeepRule, Policy, PolicyName, Zone};
use crate::run::{self, ReportDetail};

/// How a test came out.
#[derive(Debug)]
pub struct TestOutcome {
    /// The file it is from.
    pub file: PathBuf,
    /// Its name.
    pub name: String,
    /// The policy that decided.
    pub policy: PolicyName,
    /// The policy's zone.
    pub zone: Zone,
    /// When it decided.
    pub at: DateTime<Utc>,
    /// How many backups stay.
    pub kept: u64,
    /// How many go.
    pub expired: u64,
    /// The policy's rules.
    pub rules: Vec<KeepRule>,
    /// Every decision, the newest backup first.
    pub rows: Vec<BackupRow>,
    /// What is not as expected; empty for a test that passes.
    pub mismatches: Vec<Mismatch>,
}

impl TestOutcome {
    /// Whether everything is as expected.
    pub fn passes(&self) -> bool {
        self.mismatches.is_empty()
    }
}

/// Runs the tests of a file against the configuration it names.
pub fn run(file: &TestFile, config: &Config) -> Result<Vec<TestOutcome>, Box<Problem>> {
    file.tests.iter().map(|case| test(file, case, config)).collect()
}

fn test(file: &TestFile, case: &TestCase, config: &Config) -> Result<TestOutcome, Box<Problem>> {
    let expected = &case.expect.value;
    if expected.is_empty() {
        let hint = "say at least one of kept, expired, oldest_kept, newest_expired, rules, keep, gone";
        return Err(file.problem(&case.expect, "the test expects nothing", hint));
    }
    let policy = policy(file, case, config)?;
    let mut config = config.clone();
    for hold in &case.holds {
        let held = hold.value.clone().hold();
        let held: Hold = held.map_err(|(message, hint)| file.problem(hold, message, hint))?;
        config.holds.push(held);
    }
    let TestFleet {
        project,
        instances,
        knowledge,
    } = fleet(file, case, &config, &policy)?;
    let request = PlanRequest {
        policies: Some(vec![policy.name.clone()]),
        instance: None,
        at: case.at,
        rows: ReportDetail::All,
    };
    let decided = run::decide_offline(&request.run_request(), &config, &project, instances, knowledge);
    let report = decided.map_err(|error| file.problem(&case.name, &error.to_string(), ""))?;
    let rows = report.policies.into_iter().flat_map(|policy| policy.rows).collect();
    let compared = compare(expected, rows, policy.zone);
    Ok(TestOutcome {
        file: file.path().to_owned(),
        name: case.name.value.clone(),
        policy: policy.name.clone(),
        zone: policy.zone,
        at: case.at,
        kept: compared.kept,
        expired: compared.expired,
        rules: policy.keep.rules().to_vec(),
        rows: compared.rows,
        mismatches: compared.mismatches,
    })
}

fn policy(file: &TestFile, case: &TestCase, config: &Config) -> Result<Arc<Policy>, Box<Problem>> {
    let wanted = case.policy.value.as_str();
    let mut policies = config.policies.iter().map(|entry| &entry.policy);
    let found = policies.find(|policy| policy.name.as_str() == wanted);
    found.cloned().ok_or_else(|| {
        let names = config.policies.iter().map(|entry| entry.policy.name.as_str());
        let message = format!("{} has no policy `{}`", config.path.display(), wanted.escape_debug());
        file.problem(&case.policy, &message, &TestFile::meant(wanted, names))
    })
}
