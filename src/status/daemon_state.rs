//! What the daemon knows of itself.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use chrono::{DateTime, Utc};

use super::snapshot::LastRun;
use crate::retention::report::InstanceCounts;
use crate::retention::{PolicyName, ProjectName, RunReport};

/// A project that could not be read when it was checked last.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UnreadProject {
    /// Why not.
    pub why: String,
    /// When that was.
    pub since: DateTime<Utc>,
}

/// What the daemon writes for those who show it.
#[derive(Debug, Default)]
pub struct DaemonState {
    /// When the configuration in force was loaded.
    pub loaded_at: Option<DateTime<Utc>>,
    /// What is wrong with the newest version of the files; empty when it is in force.
    pub config_problems: Vec<String>,
    /// Projects that could not be read.
    pub unread_projects: BTreeMap<ProjectName, UnreadProject>,
    /// That a newer version of the files waits, and for what.
    pub config_waiting: Option<String>,
    /// What is wrong with the state directory.
    pub state_problem: Option<String>,
    /// The database of the state has not answered of late.
    pub is_out_of_touch: bool,
    /// A stop was requested.
    pub stopping: bool,
    /// When each policy fires next.
    pub next: BTreeMap<PolicyName, Option<DateTime<Utc>>>,
    /// Policies that wait for their run.
    pub waiting: BTreeSet<PolicyName>,
    /// The policies of the runs in progress, and since when.
    pub running: BTreeMap<PolicyName, DateTime<Utc>>,
    /// The policies whose newest run was cut short, with when it began.
    pub cut_short: BTreeMap<PolicyName, DateTime<Utc>>,
    /// Each policy's last run.
    pub last: BTreeMap<PolicyName, LastRun>,
    /// When each policy's last successful run ended.
    pub last_success: BTreeMap<PolicyName, DateTime<Utc>>,
    /// Each policy's last run that came to its end, whole.
    pub reports: BTreeMap<PolicyName, Arc<RunReport>>,
    /// By project, as of the last run that listed its instances.
    pub instances: BTreeMap<ProjectName, InstanceCounts>,
    /// Deletions, accepted or unanswered, that no listing has confirmed yet.
    pub unconfirmed: BTreeMap<ProjectName, u64>,
    /// Holds and patterns that cover nothing, by the last run or reload.
    pub notices: Vec<String>,
    /// The configuration whose notices were logged.
    pub noticed: Option<String>,
    /// Policies whose refused plan waits for approval, with the digest by which it can be approved.
    pub guard_open: BTreeMap<PolicyName, Option<String>>,
}

impl DaemonState {
    /// Shows a policy's last run. Backups are still there when a run could not read them: they are shown as the run before read them.
    pub fn set_last(&mut self, policy: PolicyName, mut run: LastRun) {
        let before = self.last.get(&policy).and_then(|before| before.known);
        run.known = run.known.or(before);
        self.last.insert(policy, run);
    }
}
