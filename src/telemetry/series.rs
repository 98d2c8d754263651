//! Which series exist: made with their policy and project, gone with them, and few of each.
//!
//! Not for values: those are set in [`super::metrics`].

use std::collections::{BTreeMap, BTreeSet};

use super::known_labels::{KnownLabels, OTHER};
use super::metric_families::retain;
use super::metrics::Metrics;
use crate::retention::report::RunResult;
use crate::retention::{Fate, PolicyName, ProjectName, Refusal};

impl Metrics {
    /// Makes the series of these policies (each with the projects it may touch) and projects, counters and histograms
    /// at zero, and removes all series of policies and projects that are not among them. Numbers of those that stay
    /// are untouched.
    pub fn set_policies(&self, policies: &[(PolicyName, Vec<ProjectName>)], projects: &[ProjectName]) {
        let mut known = self.known();
        known.policies = policies
            .iter()
            .map(|(name, may)| (name.clone(), may.iter().cloned().collect()))
            .collect();
        known.projects = projects.iter().cloned().collect();
        self.drop_the_gone(&known);
        let KnownLabels {
            projects: there,
            policies: running,
            instances,
            unselected,
            ..
        } = &mut *known;
        instances.retain(|project, _| there.contains(project));
        unselected.retain(|policy, _| running.contains_key(policy));
        self.show_unselected(&known);
        self.show_instances(&mut known, BTreeMap::new());
        for (policy, may) in &known.policies {
            self.begin_policy(policy.as_str());
            for project in may {
                for outcome in Fate::KEYS {
                    self.families
                        .deletions
                        .with_label_values(&[policy.as_str(), project.as_str(), outcome]);
                }
                self.families
                    .deleted_bytes
                    .with_label_values(&[policy.as_str(), project.as_str()]);
            }
        }
        for project in &known.projects {
            self.begin_project(project.as_str());
        }
    }

    fn begin_policy(&self, policy: &str) {
        let f = &self.families;
        for result in RunResult::ALL {
            f.runs.with_label_values(&[policy, result.as_str()]);
        }
        for limit in Refusal::LIMITS {
            f.guard_refusals.with_label_values(&[policy, limit]);
        }
        f.run_duration.with_label_values(&[policy]);
        f.ticks_skipped.with_label_values(&[policy]);
        f.guard_open.with_label_values(&[policy]);
    }

    fn begin_project(&self, project: &str) {
        let f = &self.families;
        f.deletion_errors.with_label_values(&[project, OTHER]);
        f.unconfirmed.with_label_values(&[project]);
        f.api_throttled.with_label_values(&[project]);
        f.clock_skew.with_label_values(&[project]);
        for operation in self.operations.iter() {
            f.api_requests.with_label_values(&[project, operation, "200"]);
            f.api_duration.with_label_values(&[project, operation]);
        }
    }

    fn drop_the_gone(&self, known: &KnownLabels) {
        let f = &self.families;
        let policies: BTreeSet<&str> = known.policies.keys().map(PolicyName::as_str).collect();
        let projects: BTreeSet<&str> = known.projects.iter().map(ProjectName::as_str).collect();
        let pairs: BTreeSet<(&str, &str)> = known
            .policies
            .iter()
            .flat_map(|(policy, may)| may.iter().map(|project| (policy.as_str(), project.as_str())))
            .collect();
        for vector in [&f.runs, &f.ticks_skipped, &f.guard_refusals] {
            retain(vector, |labels| policies.contains(labels["policy"]));
        }
        for vector in [&f.last_run, &f.last_success, &f.next_run] {
            retain(vector, |labels| policies.contains(labels["policy"]));
        }
        for vector in [
            &f.backups,
            &f.backup_bytes,
            &f.guard_open,
            &f.expired_refused,
            &f.expired_refused_bytes,
        ] {
            retain(vector, |labels| policies.contains(labels["policy"]));
        }
        retain(&f.run_duration, |labels| policies.contains(labels["policy"]));
        for vector in [&f.deletions, &f.deleted_bytes] {
            retain(vector, |labels| pairs.contains(&(labels["policy"], labels["project"])));
        }
        retain(&f.lease_held, |labels| projects.contains(labels["project"]));
        for vector in [&f.deletion_errors, &f.api_requests, &f.api_throttled, &f.takeovers] {
            retain(vector, |labels| projects.contains(labels["project"]));
        }
        retain(&f.backups_unselected, |labels| projects.contains(labels["project"]));
        retain(&f.unconfirmed, |labels| projects.contains(labels["project"]));
        retain(&f.clock_skew, |labels| projects.contains(labels["project"]));
        retain(&f.api_duration, |labels| projects.contains(labels["project"]));
    }
}
