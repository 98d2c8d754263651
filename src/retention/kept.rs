//! What an edit of the configuration may keep of a run that began before it.
//!
//! Pure, and wide on purpose: a run under way has forgotten the backups that it keeps, so nothing can be decided again, and
//! whatever the edit may keep is left to the next run.

use std::collections::BTreeSet;
use std::sync::Arc;

use super::plan::PlannedDeletion;
use super::policy::Knowledge;
use super::{Policy, PolicyName, ProjectName};

/// Which planned deletions must not be sent any more.
#[derive(Clone, Debug, Default)]
pub struct KeptByEdit {
    /// Policies that are gone, in dry-run, or may keep more: nothing more goes by them.
    pub policies: BTreeSet<PolicyName>,
    /// Projects that are gone, or are asked elsewhere.
    pub projects: BTreeSet<ProjectName>,
    /// Policies that are new or may keep more: what they have in their scope does not go by another one either.
    pub protecting: Vec<Arc<Policy>>,
}

impl KeptByEdit {
    /// Whether this deletion is left to the next run.
    pub fn keeps(&self, planned: &PlannedDeletion) -> bool {
        let candidate = &planned.candidate;
        let in_scope = |policy: &Arc<Policy>| {
            policy.select.claims(&candidate.instance, Knowledge::Full) && policy.select.takes_name(&candidate.name)
        };
        self.policies.contains(&planned.policy)
            || self.projects.contains(&candidate.instance.project)
            || self.protecting.iter().any(in_scope)
    }
}
