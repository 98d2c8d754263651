//! Every metric's name, labels, help and buckets, in one place.
//!
//! Not for values: those are set in [`super::metrics`]. The names are the contract with dashboards and alerts, so a
//! change here breaks users' own; the shipped alerts in `config/prometheus` use them too.

use prometheus::core::{Collector, MetricVec, MetricVecBuilder};
use prometheus::{
    GaugeVec, HistogramOpts, HistogramVec, IntCounter, IntCounterVec, IntGauge, IntGaugeVec, Opts, Registry, Result,
};
use std::collections::HashMap;

/// Upper bounds for a run, in seconds: a small fleet takes seconds, a throttled one with thousands of instances an hour.
const RUN_SECONDS: [f64; 12] = [
    1.0, 5.0, 15.0, 30.0, 60.0, 120.0, 300.0, 600.0, 1200.0, 1800.0, 3600.0, 7200.0,
];

/// Upper bounds for one API request, in seconds; the client gives up after 20.
const REQUEST_SECONDS: [f64; 10] = [0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 20.0];

/// The metrics themselves. A vector without children is not exported, which is how a gauge is *absent*.
#[derive(Clone)]
pub(super) struct MetricFamilies {
    pub(super) build_info: IntGaugeVec,
    pub(super) runs: IntCounterVec,
    pub(super) run_duration: HistogramVec,
    pub(super) last_run: GaugeVec,
    pub(super) last_success: GaugeVec,
    pub(super) next_run: GaugeVec,
    pub(super) ticks_skipped: IntCounterVec,
    pub(super) backups: IntGaugeVec,
    pub(super) backup_bytes: IntGaugeVec,
    pub(super) backups_unselected: IntGaugeVec,
    pub(super) expired_refused: IntGaugeVec,
    pub(super) expired_refused_bytes: IntGaugeVec,
    pub(super) instances: IntGaugeVec,
    pub(super) deletions: IntCounterVec,
    pub(super) deletion_errors: IntCounterVec,
    pub(super) deleted_bytes: IntCounterVec,
    pub(super) unconfirmed: IntGaugeVec,
    pub(super) guard_refusals: IntCounterVec,
    pub(super) guard_open: IntGaugeVec,
    pub(super) holds: IntGauge,
    pub(super) frozen: IntGauge,
    pub(super) api_requests: IntCounterVec,
    pub(super) api_duration: HistogramVec,
    pub(super) api_throttled: IntCounterVec,
    pub(super) clock_skew: GaugeVec,
    pub(super) reload_successful: IntGauge,
    pub(super) reload_timestamp: GaugeVec,
    pub(super) config_info: IntGaugeVec,
    pub(super) ledger_errors: IntCounter,
    pub(super) ledger_rewound: IntGauge,
    pub(super) members: IntGaugeVec,
    pub(super) config_agreed: IntGaugeVec,
    pub(super) lease_held: IntGaugeVec,
    pub(super) takeovers: IntCounterVec,
}

/// Makes metrics and registers them, so that none is made and forgotten.
struct FamilyBuilder<'a>(&'a Registry);

impl FamilyBuilder<'_> {
    fn opts(name: &str, help: &str) -> Opts {
        Opts::new(format!("rds_retention_{name}"), help)
    }

    fn keep<C: Collector + Clone + 'static>(&self, metric: C) -> Result<C> {
        self.0.register(Box::new(metric.clone()))?;
        Ok(metric)
    }

    fn counters(&self, name: &str, help: &str, labels: &[&str]) -> Result<IntCounterVec> {
        self.keep(IntCounterVec::new(Self::opts(name, help), labels)?)
    }

    fn gauges(&self, name: &str, help: &str, labels: &[&str]) -> Result<IntGaugeVec> {
        self.keep(IntGaugeVec::new(Self::opts(name, help), labels)?)
    }

    fn floats(&self, name: &str, help: &str, labels: &[&str]) -> Result<GaugeVec> {
        self.keep(GaugeVec::new(Self::opts(name, help), labels)?)
    }

    fn gauge(&self, name: &str, help: &str) -> Result<IntGauge> {
        self.keep(IntGauge::with_opts(Self::opts(name, help))?)
    }

    fn counter(&self, name: &str, help: &str) -> Result<IntCounter> {
        self.keep(IntCounter::with_opts(Self::opts(name, help))?)
    }

    fn histograms(&self, name: &str, help: &str, labels: &[&str], buckets: &[f64]) -> Result<HistogramVec> {
        let opts = HistogramOpts::from(Self::opts(name, help)).buckets(buckets.to_vec());
        self.keep(HistogramVec::new(opts, labels)?)
    }
}

impl MetricFamilies {
    /// All metrics, registered. Fails only for a name, label or bucket that is not allowed or a name used twice, that
    /// is, for a mistake in this function.
    #[rustfmt::skip]
    pub(super) fn register(registry: &Registry) -> Result<Self> {
        let m = FamilyBuilder(registry);
        Ok(Self {
            build_info: m.gauges("build_info", "Always 1; version and revision of the running program.", &["version", "revision"])?,
            runs: m.counters("runs_total", "Runs of a policy by how they ended; skipped ones did not run, because another run was under way.", &["policy", "result"])?,
            run_duration: m.histograms("run_duration_seconds", "How long runs of a policy took.", &["policy"], &RUN_SECONDS)?,
            last_run: m.floats("last_run_timestamp_seconds", "When the last run of a policy ended, however it ended.", &["policy"])?,
            last_success: m.floats("last_success_timestamp_seconds", "When the last successful run of a policy ended.", &["policy"])?,
            next_run: m.floats("next_run_timestamp_seconds", "When the next run of a policy is due, jitter included.", &["policy"])?,
            ticks_skipped: m.counters("ticks_skipped_total", "Times a policy was due while a run was still under way.", &["policy"])?,
            backups: m.gauges("backups", "Backups in a policy's scope by decision, as of its last run that could read them.", &["policy", "decision"])?,
            backup_bytes: m.gauges("backup_bytes", "Size of the backups in a policy's scope by decision, as of its last run that could read them.", &["policy", "decision"])?,
            backups_unselected: m.gauges("backups_unselected", "Manual backups of managed instances that no policy has in scope, as of the last runs.", &["project"])?,
            expired_refused: m.gauges("expired_refused", "Expired backups that the guard or a freeze held back, as of a policy's last run that could read them.", &["policy"])?,
            expired_refused_bytes: m.gauges("expired_refused_bytes", "Size of the expired backups that the guard or a freeze held back, as of a policy's last run that could read them.", &["policy"])?,
            instances: m.gauges("instances", "Instances by state, as of the last run: claimed by a policy, by none, by more than one, or left alone because their backups could not be read.", &["state"])?,
            deletions: m.counters("deletions_total", "Backups sent for deletion, by what became of them: first the API's answer (accepted, rejected, unanswered), later what the listing says of accepted ones (confirmed, returned).", &["policy", "project", "outcome"])?,
            deletion_errors: m.counters("deletion_errors_total", "Rejected deletions by the API's error code; codes beyond the first 50 kinds are counted as other.", &["project", "code"])?,
            deleted_bytes: m.counters("deleted_bytes_total", "Size of the backups whose deletion was confirmed.", &["policy", "project"])?,
            unconfirmed: m.gauges("deletions_unconfirmed", "Deletions, accepted or unanswered, that no listing has confirmed yet.", &["project"])?,
            guard_refusals: m.counters("guard_refusals_total", "What the guard held back, by the limit that did.", &["policy", "limit"])?,
            guard_open: m.gauges("guard_open", "1 while a refused plan of a policy waits for approval.", &["policy"])?,
            holds: m.gauge("holds", "Holds in force.")?,
            frozen: m.gauge("frozen", "1 while all deletions are frozen.")?,
            api_requests: m.counters("api_requests_total", "Requests to the cloud API by HTTP status; error means that no answer came.", &["project", "operation", "status"])?,
            api_duration: m.histograms("api_request_duration_seconds", "How long requests to the cloud API took.", &["project", "operation"], &REQUEST_SECONDS)?,
            api_throttled: m.counters("api_throttled_total", "Requests that the cloud API turned away for being too many.", &["project"])?,
            clock_skew: m.floats("clock_skew_seconds", "The cloud API's clock less ours; 0 until the first answer.", &["project"])?,
            reload_successful: m.gauge("config_last_reload_successful", "1 if the last load of the configuration succeeded.")?,
            reload_timestamp: m.floats("config_last_reload_success_timestamp_seconds", "When the configuration in force was loaded.", &[])?,
            config_info: m.gauges("config_info", "Always 1; fingerprint of the configuration in force.", &["sha256"])?,
            ledger_errors: m.counter("ledger_errors_total", "Errors of the ledger; nothing is deleted that cannot be written down.")?,
            ledger_rewound: m.gauge("ledger_rewound", "1 while the state that was known is gone, replaced or older than it was, and nothing is deleted.")?,
            members: m.gauges("members", "Daemons, and commands that delete, on a state in PostgreSQL.", &[])?,
            config_agreed: m.gauges("config_agreed", "1 while all members of a state in PostgreSQL have the same configuration; while they have not, nothing is deleted.", &[])?,
            lease_held: m.gauges("lease_held", "1 while this process has the right to delete in a project of a state in PostgreSQL.", &["project"])?,
            takeovers: m.counters("takeovers_total", "Leases that this process took over from a holder that did not give them back.", &["project"])?,
        })
    }
}

/// Removes the children that `keep` does not want. Works on what is there, so that open label sets (codes, statuses)
/// need no second book of what was ever seen.
pub(super) fn retain<T: MetricVecBuilder>(vector: &MetricVec<T>, keep: impl Fn(&HashMap<&str, &str>) -> bool) {
    for family in vector.collect() {
        for metric in family.get_metric() {
            let labels: HashMap<&str, &str> = metric
                .get_label()
                .iter()
                .map(|label| (label.name(), label.value()))
                .collect();
            if !keep(&labels) {
                // The only error is that it is already gone.
                let _ = vector.remove(&labels);
            }
        }
    }
}
