//! Values of the metrics: what was found and done, as numbers.
//!
//! Not for names (`metric_families`) nor for the newer text format ([`super::openmetrics`]). Series follow the configuration:
//! [`Metrics::set_policies`] makes those of every policy and project at zero and removes those of the gone, and what is
//! reported afterwards of a policy or project that is gone (a run under way keeps the policies it began with) is dropped,
//! so that no series comes back from the dead to fire alerts for ever.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use chrono::{DateTime, Utc};
use prometheus::proto::MetricFamily;
use prometheus::{Registry, TextEncoder};

use super::known_labels::{KnownLabels, OTHER};
use super::metric_families::{MetricFamilies, retain};
use super::openmetrics;
use crate::retention::plan::ClockCheck;
use crate::retention::report::{InstanceCounts, RunResult};
use crate::retention::{Fate, PolicyName, ProjectName};

/// All metrics of the process. A clone is another handle on the same numbers.
#[derive(Clone)]
pub struct Metrics {
    ours: Registry,
    process: Registry,
    pub(super) families: MetricFamilies,
    pub(super) operations: Arc<[&'static str]>,
    started_at: DateTime<Utc>,
    known: Arc<Mutex<KnownLabels>>,
}

impl Metrics {
    /// The metrics of a program that started at `started_at`; `operations` are the names of all API operations, the
    /// closed set of that label. Policies and projects have no series before [`Self::set_policies`].
    #[expect(
        clippy::missing_panics_doc,
        reason = "only a mistake in the constants of `metric_families` could"
    )]
    pub fn new(version: &str, revision: &str, started_at: DateTime<Utc>, operations: &[&'static str]) -> Self {
        // Two registries, because ours could carry a prefix or labels one day that `process_*` must not.
        let (ours, process) = (Registry::new(), Registry::new());
        let families =
            MetricFamilies::register(&ours).expect("names, labels and buckets are constants, seen by every test");
        #[cfg(target_os = "linux")]
        process
            .register(Box::new(prometheus::process_collector::ProcessCollector::for_self()))
            .expect("a new registry has no duplicate");
        families.build_info.with_label_values(&[version, revision]).set(1);
        Self {
            ours,
            process,
            families,
            operations: operations.into(),
            started_at,
            known: Arc::default(),
        }
    }

    pub(super) fn known(&self) -> MutexGuard<'_, KnownLabels> {
        // What it guards is whole after every statement, so a panic elsewhere does not spoil it.
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Counts what a listing said, after their run, of deletions accepted in an earlier one: `confirmed` (with the
    /// `bytes` gone) or `returned`. Those of this run are counted by [`Self::observe_run`].
    pub fn settled(&self, policy: &PolicyName, project: &ProjectName, fate: &Fate, count: u64, bytes: u64) {
        let known = self.known();
        if !known.policies.contains_key(policy) || !known.projects.contains(project) {
            return;
        }
        let labels = [policy.as_str(), project.as_str()];
        self.families
            .deletions
            .with_label_values(&[labels[0], labels[1], fate.key()])
            .inc_by(count);
        if *fate == Fate::Confirmed {
            self.families.deleted_bytes.with_label_values(&labels).inc_by(bytes);
        }
    }

    /// The accepted deletions that no listing has confirmed, of every project; one not named has none.
    pub fn unconfirmed(&self, counts: &BTreeMap<ProjectName, u64>) {
        self.show_unconfirmed(&self.known(), counts);
    }

    /// A policy was due while a run was under way: counted as a skipped tick and as a skipped run.
    pub fn tick_skipped(&self, policy: &PolicyName) {
        if self.known().policies.contains_key(policy) {
            self.families.ticks_skipped.with_label_values(&[policy.as_str()]).inc();
            self.families
                .runs
                .with_label_values(&[policy.as_str(), RunResult::Skipped.as_str()])
                .inc();
        }
    }

    /// A run of an earlier process was interrupted: it counts as failed.
    pub fn run_interrupted(&self, policy: &PolicyName) {
        if self.known().policies.contains_key(policy) {
            let labels = [policy.as_str(), RunResult::Failed.as_str()];
            self.families.runs.with_label_values(&labels).inc();
        }
    }

    /// When a policy is due next; `None` when never. To be set as soon as the schedule has fired: a time that stays in the
    /// past is what the shipped alert takes for a scheduler that stands still.
    pub fn next_run(&self, policy: &PolicyName, at: Option<DateTime<Utc>>) {
        match at {
            Some(at) if self.known().policies.contains_key(policy) => {
                self.families
                    .next_run
                    .with_label_values(&[policy.as_str()])
                    .set(seconds(at));
            }
            // An error only says that there was none.
            _ => drop(self.families.next_run.remove_label_values(&[policy.as_str()])),
        }
    }

    /// Whether a refused plan of a policy waits for approval: `false` once it was approved.
    pub fn guard_open(&self, policy: &PolicyName, open: bool) {
        if self.known().policies.contains_key(policy) {
            self.families
                .guard_open
                .with_label_values(&[policy.as_str()])
                .set(i64::from(open));
        }
    }

    /// Holds in force.
    pub fn holds(&self, count: usize) {
        self.families.holds.set(to_i64(to_u64(count)));
    }

    /// Whether a freeze is in force.
    pub fn frozen(&self, frozen: bool) {
        self.families.frozen.set(i64::from(frozen));
    }

    /// One request to the cloud API: its status, or `None` when no answer came; how long it took; whether it was
    /// turned away for being one too many (429).
    pub fn api_event(
        &self,
        project: &ProjectName,
        operation: &str,
        status: Option<u16>,
        took: Duration,
        throttled: bool,
    ) {
        if !self.known().projects.contains(project) {
            return;
        }
        let project = project.as_str();
        let operation = self
            .operations
            .iter()
            .copied()
            .find(|known| *known == operation)
            .unwrap_or(OTHER);
        let status = status.map_or_else(|| "error".to_owned(), |code| code.to_string());
        self.families
            .api_requests
            .with_label_values(&[project, operation, &status])
            .inc();
        self.families
            .api_duration
            .with_label_values(&[project, operation])
            .observe(took.as_secs_f64());
        self.families
            .api_throttled
            .with_label_values(&[project])
            .inc_by(u64::from(throttled));
    }

    /// How a project's clock compares with ours. Without a `Date` to compare, the last known skew stays.
    pub fn clock_skew(&self, project: &ProjectName, check: ClockCheck) {
        if let ClockCheck::Skew(skew) = check
            && self.known().projects.contains(project)
        {
            self.families
                .clock_skew
                .with_label_values(&[project.as_str()])
                .set(skew.as_seconds_f64());
        }
    }

    /// A configuration was loaded and is in force; `sha256` is its fingerprint in hex.
    pub fn config_loaded(&self, sha256: &str, at: DateTime<Utc>) {
        let f = &self.families;
        f.config_info.with_label_values(&[sha256]).set(1);
        retain(&f.config_info, |labels| labels["sha256"] == sha256);
        f.reload_timestamp.with_label_values::<&str>(&[]).set(seconds(at));
        f.reload_successful.set(1);
    }

    /// A configuration was refused; the one before stays in force.
    pub fn config_rejected(&self) {
        self.families.reload_successful.set(0);
    }

    /// The ledger could not be read or written.
    pub fn ledger_error(&self) {
        self.families.ledger_errors.inc();
    }

    /// Whether the state that this process knew is gone, replaced or set back, so that nothing is deleted.
    pub fn ledger_rewound(&self, is_lost: bool) {
        self.families.ledger_rewound.set(i64::from(is_lost));
    }

    /// Who works on a shared state: members, whether they agree, and in which projects this process may delete.
    pub fn members(&self, members: usize, is_agreed: bool, leases: impl IntoIterator<Item = (ProjectName, bool)>) {
        let f = &self.families;
        let none: [&str; 0] = [];
        f.members
            .with_label_values(&none)
            .set(i64::try_from(members).unwrap_or(i64::MAX));
        f.config_agreed.with_label_values(&none).set(i64::from(is_agreed));
        f.lease_held.reset();
        let known = self.known();
        for project in &known.projects {
            f.lease_held.with_label_values(&[project.as_str()]);
            f.takeovers.with_label_values(&[project.as_str()]);
        }
        for (project, is_held) in leases {
            if known.projects.contains(&project) {
                f.lease_held
                    .with_label_values(&[project.as_str()])
                    .set(i64::from(is_held));
            }
        }
    }

    /// A lease was taken over.
    pub fn taken_over(&self, project: &ProjectName) {
        if self.known().projects.contains(project) {
            self.families.takeovers.with_label_values(&[project.as_str()]).inc();
        }
    }

    /// What [`Self::ledger_rewound`] was given last.
    pub fn is_ledger_rewound(&self) -> bool {
        self.families.ledger_rewound.get() > 0
    }

    /// Everything, in the text format 0.0.4 or in `OpenMetrics` 1.0; their content types are
    /// [`openmetrics::TEXT_TYPE`] and [`openmetrics::OPENMETRICS_TYPE`].
    pub fn render(&self, openmetrics: bool) -> String {
        let mut families = self.gather_ours();
        families.extend(with_start_time(self.process.gather(), self.started_at));
        if openmetrics {
            return openmetrics::encode(&families);
        }
        TextEncoder::new().encode_to_string(&families).unwrap_or_else(|error| {
            tracing::error!(%error, "the metrics could not be written as text");
            String::new()
        })
    }

    pub(super) fn gather_ours(&self) -> Vec<MetricFamily> {
        // Not while a reload is half done.
        let _known = self.known();
        self.ours.gather()
    }

    /// A run that could not read a project knows nothing of its instances: what was known stays, for zeros would look
    /// like an empty world.
    pub(super) fn show_instances(&self, known: &mut KnownLabels, counts: BTreeMap<ProjectName, InstanceCounts>) {
        let KnownLabels {
            projects, instances, ..
        } = known;
        instances.extend(counts.into_iter().filter(|(project, _)| projects.contains(project)));
        if instances.is_empty() {
            self.families.instances.reset();
            return;
        }
        let counts: InstanceCounts = instances.values().sum();
        let states = [
            ("managed", counts.managed),
            ("unmanaged", counts.unmanaged),
            ("overlapping", counts.overlapping),
            ("failed", counts.failed),
        ];
        for (state, count) in states {
            self.families.instances.with_label_values(&[state]).set(to_i64(count));
        }
    }

    /// Nothing before the first run.
    pub(super) fn show_unselected(&self, known: &KnownLabels) {
        if known.unselected.is_empty() {
            self.families.backups_unselected.reset();
            return;
        }
        for project in &known.projects {
            let of_policies = known.unselected.values().filter_map(|of| of.get(project));
            self.families
                .backups_unselected
                .with_label_values(&[project.as_str()])
                .set(to_i64(of_policies.sum()));
        }
    }

    pub(super) fn show_unconfirmed(&self, known: &KnownLabels, counts: &BTreeMap<ProjectName, u64>) {
        for project in &known.projects {
            let count = counts.get(project).copied().unwrap_or(0);
            self.families
                .unconfirmed
                .with_label_values(&[project.as_str()])
                .set(to_i64(count));
        }
    }
}

/// The process collector reads the boot time from `/proc/stat`, which `ProcSubset=pid` of the shipped unit hides; it
/// then says 0, that is, 1970. Ours is used instead.
pub(super) fn with_start_time(mut families: Vec<MetricFamily>, started_at: DateTime<Utc>) -> Vec<MetricFamily> {
    for family in families
        .iter_mut()
        .filter(|family| family.name() == "process_start_time_seconds")
    {
        for metric in family.mut_metric() {
            if metric.get_gauge().get_value() <= 0.0 {
                let mut gauge = prometheus::proto::Gauge::default();
                gauge.set_value(seconds(started_at));
                metric.set_gauge(gauge);
            }
        }
    }
    families
}

/// Unix time with its fraction, as Prometheus wants it.
#[expect(
    clippy::cast_precision_loss,
    reason = "microseconds since 1970 fit in 53 bits until the year 2255"
)]
pub(super) fn seconds(at: DateTime<Utc>) -> f64 {
    at.timestamp_micros() as f64 / 1e6
}

/// Beyond what a gauge holds, the most it holds.
pub(super) fn to_i64(count: u64) -> i64 {
    i64::try_from(count).unwrap_or(i64::MAX)
}

pub(super) fn to_u64(count: usize) -> u64 {
    u64::try_from(count).unwrap_or(u64::MAX)
}
