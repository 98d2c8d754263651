//! Which label values exist: policies, projects, and the first error codes seen.

use std::collections::{BTreeMap, BTreeSet};

use crate::retention::report::InstanceCounts;
use crate::retention::{PolicyName, ProjectName};

/// Error codes that one process distinguishes; the API's list of codes has no end.
const MAX_CODES: usize = 50;
/// The code, and the operation, of everything else.
pub(super) const OTHER: &str = "other";

/// Policies and projects with series, and error codes that have one.
#[derive(Default)]
pub(super) struct KnownLabels {
    pub(super) policies: BTreeMap<PolicyName, BTreeSet<ProjectName>>,
    pub(super) projects: BTreeSet<ProjectName>,
    pub(super) codes: BTreeSet<String>,
    /// What the last list of each project's instances said; a run asks only the projects of its policies.
    pub(super) instances: BTreeMap<ProjectName, InstanceCounts>,
    /// Backups that no policy has in scope, as the last run of each policy counted its part of them.
    pub(super) unselected: BTreeMap<PolicyName, BTreeMap<ProjectName, u64>>,
}

/// The label for an error code: itself while there is space, else `other`.
pub(super) fn code_label<'a>(seen: &mut BTreeSet<String>, code: &'a str) -> &'a str {
    let odd = code.is_empty() || code.len() > 64 || code.chars().any(crate::wording::sanitize::is_unsafe);
    if !odd && (seen.contains(code) || seen.len() < MAX_CODES) {
        seen.insert(code.to_owned());
        code
    } else {
        OTHER
    }
}
