//! What a run found and did, as values of the metrics.

use std::collections::BTreeMap;
use std::time::Duration;

use chrono::{DateTime, Utc};
use prometheus::IntGaugeVec;

use super::known_labels::{KnownLabels, code_label};
use super::metrics::{Metrics, seconds, to_i64, to_u64};
use crate::retention::report::{InstanceCounts, PolicyReport, RunResult, SkipReason, Summary, Tally};
use crate::retention::{Fate, Mode, PolicyName, ProjectName, Refusal, RunReport};

/// What the ledger remembers of a policy's last run, to show after a restart.
#[derive(Clone, Debug)]
pub struct LastRunSample {
    /// The policy.
    pub policy: PolicyName,
    /// When its last run ended.
    pub finished_at: DateTime<Utc>,
    /// When its last successful run ended.
    pub last_success_at: Option<DateTime<Utc>>,
    /// Its decisions in numbers; `None` when the run could not read the world.
    pub summary: Option<Summary>,
    /// Due, and held back by the guard or a freeze.
    pub held_back: Tally,
    /// Backups that no policy has in scope, by project, as far as this policy counts them.
    pub unselected: BTreeMap<ProjectName, u64>,
}

impl Metrics {
    /// Shows what the ledger remembers: each policy's last run, the instances and the unconfirmed deletions as of the
    /// last run of all. Counters are not restored; a counter that starts at zero is what Prometheus expects.
    pub fn restore(
        &self,
        runs: &[LastRunSample],
        instances: BTreeMap<ProjectName, InstanceCounts>,
        unconfirmed: &BTreeMap<ProjectName, u64>,
    ) {
        let mut known = self.known();
        let f = &self.families;
        for run in runs {
            if !known.policies.contains_key(&run.policy) {
                continue;
            }
            let policy = run.policy.as_str();
            f.last_run.with_label_values(&[policy]).set(seconds(run.finished_at));
            if let Some(at) = run.last_success_at {
                f.last_success.with_label_values(&[policy]).set(seconds(at));
            }
            if let Some(summary) = run.summary {
                self.show_summary(policy, summary, run.held_back);
                known.unselected.insert(run.policy.clone(), run.unselected.clone());
            }
        }
        self.show_instances(&mut known, instances);
        self.show_unselected(&known);
        self.show_unconfirmed(&known, unconfirmed);
    }

    /// Counts a run that ended; `took` is measured on the monotonic clock. A report without a run id is a plan,
    /// not a run, and is not counted.
    ///
    /// `deletions_total` counts events: an id that was accepted and then confirmed within the run counts under both.
    pub fn observe_run(&self, report: &RunReport, took: Duration) {
        if report.run_id.is_none() {
            return;
        }
        let mut known = self.known();
        for policy in &report.policies {
            if known.policies.contains_key(&policy.policy) {
                self.observe_policy(report, policy, took);
                self.observe_sent(&mut known, policy);
                self.observe_refusals(&known, report, policy);
                if policy.has_read() {
                    known
                        .unselected
                        .insert(policy.policy.clone(), policy.unselected.clone());
                }
            }
        }
        self.show_unselected(&known);
        self.show_instances(&mut known, report.instances.clone());
        self.show_unconfirmed(&known, &report.unconfirmed);
        drop(known);
        for settled in &report.settled_earlier {
            self.settled(&settled.policy, &settled.project, &settled.fate, 1, settled.size_bytes);
        }
    }

    fn observe_policy(&self, report: &RunReport, policy: &PolicyReport, took: Duration) {
        let f = &self.families;
        let name = policy.policy.as_str();
        f.runs.with_label_values(&[name, policy.result.as_str()]).inc();
        if policy.result == RunResult::Skipped {
            return;
        }
        f.run_duration.with_label_values(&[name]).observe(took.as_secs_f64());
        f.last_run.with_label_values(&[name]).set(seconds(report.finished_at));
        if policy.result == RunResult::Success {
            f.last_success
                .with_label_values(&[name])
                .set(seconds(report.finished_at));
        }
        if policy.has_read() {
            self.show_summary(name, policy.summary, policy.held_back);
        }
    }

    fn observe_sent(&self, known: &mut KnownLabels, policy: &PolicyReport) {
        let name = policy.policy.as_str();
        let KnownLabels { projects, codes, .. } = known;
        for (project, sent) in policy.sent.iter().filter(|(project, _)| projects.contains(*project)) {
            let project = project.as_str();
            let count = |outcome: &str| sent.fates.get(outcome).copied().unwrap_or(0);
            for outcome in Fate::KEYS {
                // Only what was accepted can be confirmed or come back, so those were accepted first.
                let times = match outcome {
                    "accepted" => count("accepted") + count("confirmed") + count("returned"),
                    other => count(other),
                };
                self.families
                    .deletions
                    .with_label_values(&[name, project, outcome])
                    .inc_by(times);
            }
            for (code, times) in &sent.codes {
                let code = code_label(codes, code);
                self.families
                    .deletion_errors
                    .with_label_values(&[project, code])
                    .inc_by(*times);
            }
            self.families
                .deleted_bytes
                .with_label_values(&[name, project])
                .inc_by(sent.confirmed_bytes);
        }
    }

    fn observe_refusals(&self, known: &KnownLabels, report: &RunReport, policy: &PolicyReport) {
        let f = &self.families;
        let name = policy.policy.as_str();
        if policy.result == RunResult::Skipped {
            return;
        }
        for refusal in &policy.refusals {
            f.guard_refusals.with_label_values(&[name, refusal.limit()]).inc();
        }
        // A listing that was not believed is reported once, not for each policy: it held back every policy that may
        // touch the project.
        let may = &known.policies[&policy.policy];
        let unbelieved = report
            .skipped
            .iter()
            .filter(|skip| skip.reason == SkipReason::Listing && may.contains(&skip.project));
        f.guard_refusals
            .with_label_values(&[name, "listing"])
            .inc_by(to_u64(unbelieved.count()));
        // A dry-run sends nothing, so nothing of it waits for anybody.
        let open = policy.mode == Mode::Enforce && policy.refusals.iter().any(Refusal::waits_for_approval);
        f.guard_open.with_label_values(&[name]).set(i64::from(open));
    }

    fn show_summary(&self, policy: &str, summary: Summary, held_back: Tally) {
        let f = &self.families;
        f.expired_refused
            .with_label_values(&[policy])
            .set(to_i64(held_back.count));
        f.expired_refused_bytes
            .with_label_values(&[policy])
            .set(to_i64(held_back.bytes));
        let show = |vector: &IntGaugeVec, decision: &str, value: u64| {
            vector.with_label_values(&[policy, decision]).set(to_i64(value));
        };
        let tallies: [(&str, Tally); 3] = [
            ("keep", summary.keep),
            ("wait", summary.wait),
            ("delete", summary.delete),
        ];
        for (decision, tally) in tallies {
            show(&self.families.backups, decision, tally.count);
            show(&self.families.backup_bytes, decision, tally.bytes);
        }
    }
}
