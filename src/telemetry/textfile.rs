//! The metrics as a file for `node_exporter`'s textfile collector, which short-lived processes leave behind one after the
//! other.
//!
//! Counters and histograms go on from the file before, as if one process had lived all the time: were each run to begin at
//! zero, two runs that were refused once each would look like one, and no `increase()` would see the second. What the
//! process itself uses (`process_*`) is left out: it is gone when it is read, and `node_exporter` has those names too.
//!
//! Not for writing the file: that is the command's.

use std::collections::{BTreeMap, HashMap};

use prometheus::proto::{Bucket, Histogram, LabelPair, MetricFamily, MetricType};
use prometheus::{IntCounterVec, TextEncoder};

use super::Metrics;
use super::known_labels::{KnownLabels, code_label};
use crate::retention::{PolicyName, ProjectName};

type Labels = BTreeMap<String, String>;
/// Samples by the name and labels that they have in the file.
type Samples = HashMap<(String, Labels), f64>;

impl Metrics {
    /// Everything of ours in the text format, counted on from the text of the file before; an empty one, or one that is
    /// something else, counts as zero. To be called once, at the end.
    pub fn textfile(&self, before: &str) -> String {
        let before: Samples = before.lines().filter_map(sample).collect();
        self.count_on(&before);
        let mut families = self.gather_ours();
        for family in families
            .iter_mut()
            .filter(|it| it.get_field_type() == MetricType::HISTOGRAM)
        {
            add_histograms(family, &before);
        }
        TextEncoder::new().encode_to_string(&families).unwrap_or_else(|error| {
            tracing::error!(%error, "the metrics could not be written as text");
            String::new()
        })
    }

    /// Adds what was counted before to the counters, as far as policy and project are still there.
    fn count_on(&self, before: &Samples) {
        let f = &self.families;
        let vectors: [(&str, &IntCounterVec); 8] = [
            ("rds_retention_runs_total", &f.runs),
            ("rds_retention_ticks_skipped_total", &f.ticks_skipped),
            ("rds_retention_deletions_total", &f.deletions),
            ("rds_retention_deletion_errors_total", &f.deletion_errors),
            ("rds_retention_deleted_bytes_total", &f.deleted_bytes),
            ("rds_retention_guard_refusals_total", &f.guard_refusals),
            ("rds_retention_api_requests_total", &f.api_requests),
            ("rds_retention_api_throttled_total", &f.api_throttled),
        ];
        let mut known = self.known();
        for ((name, labels), value) in before {
            if name == "rds_retention_ledger_errors_total" {
                f.ledger_errors.inc_by(whole(*value));
            }
            let Some((_, vector)) = vectors.iter().find(|(vector, _)| vector == name) else {
                continue;
            };
            if !is_there(&known, labels) {
                continue;
            }
            let mut labels: HashMap<&str, &str> = labels.iter().map(|(key, text)| (&**key, &**text)).collect();
            if let Some(code) = labels.get_mut("code") {
                *code = code_label(&mut known.codes, code);
            }
            // A file from a version with other labels has nothing to say.
            if let Ok(counter) = vector.get_metric_with(&labels) {
                counter.inc_by(whole(*value));
            }
        }
    }
}

/// Whether the policy and the project of a series are still configured.
fn is_there(known: &KnownLabels, labels: &Labels) -> bool {
    let policy = labels.get("policy").map(|name| PolicyName::from(name.as_str()));
    let project = labels.get("project").map(|name| ProjectName::from(name.as_str()));
    match (policy, project) {
        (Some(policy), Some(project)) => known.policies.get(&policy).is_some_and(|may| may.contains(&project)),
        (Some(policy), None) => known.policies.contains_key(&policy),
        (None, project) => project.is_none_or(|project| known.projects.contains(&project)),
    }
}

fn add_histograms(family: &mut MetricFamily, before: &Samples) {
    let name = family.name().to_owned();
    for metric in family.mut_metric() {
        let labels: Labels = metric.get_label().iter().map(pair).collect();
        if let Some(sum) = sum(metric.get_histogram(), &name, &labels, before) {
            metric.set_histogram(sum);
        }
    }
}

fn pair(label: &LabelPair) -> (String, String) {
    (label.name().to_owned(), label.value().to_owned())
}

/// Both together; `None` when the file has none with the same buckets.
fn sum(now: &Histogram, name: &str, labels: &Labels, before: &Samples) -> Option<Histogram> {
    let found = |suffix: &str, labels: &Labels| before.get(&(format!("{name}{suffix}"), labels.clone())).copied();
    let mut buckets = Vec::new();
    for bucket in now.get_bucket() {
        let mut labels = labels.clone();
        labels.insert("le".to_owned(), bucket.upper_bound().to_string());
        let mut both = Bucket::default();
        both.set_upper_bound(bucket.upper_bound());
        both.set_cumulative_count(bucket.cumulative_count() + whole(found("_bucket", &labels)?));
        buckets.push(both);
    }
    let mut both = Histogram::default();
    both.set_bucket(buckets);
    both.set_sample_count(now.get_sample_count() + whole(found("_count", labels)?));
    both.set_sample_sum(now.get_sample_sum() + found("_sum", labels)?);
    Some(both)
}

/// What a counter can have counted.
#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "nonsense in the file ends at the edges"
)]
fn whole(value: f64) -> u64 {
    value as u64
}

/// A line of the text format: name, labels, value. `None` for anything else.
fn sample(line: &str) -> Option<((String, Labels), f64)> {
    let name_end = line.find(['{', ' '])?;
    let (name, rest) = line.split_at(name_end);
    let (labels, value) = match rest.strip_prefix('{') {
        Some(rest) => labels(rest)?,
        None => (Labels::new(), rest),
    };
    let value: f64 = value.trim().parse().ok()?;
    let counted = value.is_finite() && value >= 0.0 && name.starts_with("rds_retention_");
    counted.then(|| ((name.to_owned(), labels), value))
}

/// The labels up to the closing brace, and what comes after it.
fn labels(mut rest: &str) -> Option<(Labels, &str)> {
    let mut labels = Labels::new();
    loop {
        if let Some(after) = rest.strip_prefix('}') {
            return Some((labels, after));
        }
        let (key, quoted) = rest.split_once("=\"")?;
        let mut text = String::new();
        let mut letters = quoted.char_indices();
        let end = loop {
            match letters.next()? {
                (at, '"') => break at,
                (_, '\\') => text.push(match letters.next()?.1 {
                    'n' => '\n',
                    other => other,
                }),
                (_, letter) => text.push(letter),
            }
        };
        labels.insert(key.to_owned(), text);
        rest = &quoted[end + 1..];
        rest = rest.strip_prefix(',').unwrap_or(rest);
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    const HARD: &str = "q\"b\\n\nl, c=\"{}";

    /// Metrics of a process with these policies on one project.
    fn metrics(policies: &[&str]) -> Metrics {
        let metrics = Metrics::new("1", "r", chrono::DateTime::UNIX_EPOCH, &["list_backups", "other"]);
        let project = ProjectName::from("p");
        let policies: Vec<_> = policies
            .iter()
            .map(|name| (PolicyName::from(*name), vec![project.clone()]))
            .collect();
        metrics.set_policies(&policies, &[project]);
        metrics
    }

    /// One life: a tick skipped for each policy, a request of this status that took so long.
    fn live(metrics: &Metrics, policies: &[&str], status: u16, seconds: u64) {
        for policy in policies {
            metrics.tick_skipped(&PolicyName::from(*policy));
        }
        let took = Duration::from_secs(seconds);
        metrics.api_event(
            &ProjectName::from("p"),
            "list_backups",
            Some(status),
            took,
            status == 429,
        );
        metrics.ledger_error();
    }

    #[track_caller]
    fn expect(text: &str, series: &str, wanted: &str) {
        let line = format!("rds_retention_{series} {wanted}");
        assert!(text.lines().any(|it| it == line), "{line} is not in\n{text}");
    }

    #[test]
    fn counters_and_histograms_go_on_and_gauges_do_not() {
        let policies = ["a", HARD];
        let mut file = String::new();
        for (status, seconds) in [(200, 3), (429, 7), (429, 30)] {
            let metrics = metrics(&policies);
            metrics.holds(2);
            live(&metrics, &policies, status, seconds);
            file = metrics.textfile(&file);
        }
        expect(&file, "ticks_skipped_total{policy=\"a\"}", "3");
        expect(&file, "ticks_skipped_total{policy=\"q\\\"b\\\\n\\nl, c=\\\"{}\"}", "3");
        expect(&file, "runs_total{policy=\"a\",result=\"skipped\"}", "3");
        expect(&file, "runs_total{policy=\"a\",result=\"success\"}", "0");
        let of = "operation=\"list_backups\",project=\"p\"";
        // A status that this life did not see, too.
        expect(&file, &format!("api_requests_total{{{of},status=\"200\"}}"), "1");
        expect(&file, &format!("api_requests_total{{{of},status=\"429\"}}"), "2");
        expect(&file, "api_throttled_total{project=\"p\"}", "2");
        expect(&file, "ledger_errors_total", "3");
        let duration = "api_request_duration_seconds";
        for (le, count) in [("2.5", "0"), ("5", "1"), ("10", "2"), ("20", "2"), ("+Inf", "3")] {
            expect(&file, &format!("{duration}_bucket{{{of},le=\"{le}\"}}"), count);
        }
        expect(&file, &format!("{duration}_sum{{{of}}}"), "40");
        expect(&file, &format!("{duration}_count{{{of}}}"), "3");
        expect(&file, "holds", "2");
        expect(&file, "build_info{revision=\"r\",version=\"1\"}", "1");
    }

    #[test]
    fn the_gone_are_not_brought_back_and_the_process_is_left_out() {
        let before = metrics(&["a", "gone"]);
        live(&before, &["a", "gone"], 200, 1);
        let before = before.textfile("");
        let now = metrics(&["a"]).textfile(&before);
        expect(&now, "ticks_skipped_total{policy=\"a\"}", "1");
        assert!(before.contains("\"gone\"") && !now.contains("\"gone\""), "{now}");
        assert!(!now.contains("process_"), "{now}");
    }

    #[test]
    fn another_file_counts_as_none() {
        let empty = metrics(&["a"]).textfile("");
        for before in [
            "\u{0}\u{1}{{{{\"",
            "rds_retention_ticks_skipped_total{policy=\"a\"",
            "rds_retention_ticks_skipped_total{policy=\"a\\",
            "rds_retention_ticks_skipped_total{policy=\"a\"} NaN",
            "rds_retention_ticks_skipped_total{policy=\"a\"} -5",
            "rds_retention_ticks_skipped_total{policy=\"a\",more=\"b\"} 5",
            "other_ticks_skipped_total{policy=\"a\"} 5",
            "rds_retention_run_duration_seconds_sum{policy=\"a\"} 5",
        ] {
            assert_eq!(metrics(&["a"]).textfile(before), empty, "{before:?}");
        }
    }
}
