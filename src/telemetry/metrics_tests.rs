//! The metrics against the contract's table, over a policy's life, and in both text formats.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};

use super::Metrics;
use super::metrics::with_start_time;
use crate::retention::plan::ClockCheck;
use crate::retention::report::{InstanceCounts, PolicyReport, RunResult, Sent, Skip, SkipReason, Summary, Tally};
use crate::retention::{Fate, Mode, PolicyName, ProjectName, Refusal, RunReport, Zone};

/// Section 6 of the contract, typed off by hand: name without prefix, type, labels.
const CONTRACT: [(&str, &str, &str); 37] = [
    ("build_info", "gauge", "revision,version"),
    ("runs_total", "counter", "policy,result"),
    ("run_duration_seconds", "histogram", "policy"),
    ("last_run_timestamp_seconds", "gauge", "policy"),
    ("last_success_timestamp_seconds", "gauge", "policy"),
    ("next_run_timestamp_seconds", "gauge", "policy"),
    ("ticks_skipped_total", "counter", "policy"),
    ("backups", "gauge", "decision,policy"),
    ("backup_bytes", "gauge", "decision,policy"),
    ("backups_unselected", "gauge", "project"),
    ("expired_refused", "gauge", "policy"),
    ("expired_refused_bytes", "gauge", "policy"),
    ("instances", "gauge", "state"),
    ("deletions_total", "counter", "outcome,policy,project"),
    ("deletion_errors_total", "counter", "code,project"),
    ("deleted_bytes_total", "counter", "policy,project"),
    ("deletions_unconfirmed", "gauge", "project"),
    ("guard_refusals_total", "counter", "limit,policy"),
    ("guard_open", "gauge", "policy"),
    ("holds", "gauge", ""),
    ("frozen", "gauge", ""),
    ("api_requests_total", "counter", "operation,project,status"),
    ("api_request_duration_seconds", "histogram", "operation,project"),
    ("api_throttled_total", "counter", "project"),
    ("clock_skew_seconds", "gauge", "project"),
    ("config_last_reload_successful", "gauge", ""),
    ("config_last_reload_success_timestamp_seconds", "gauge", ""),
    ("config_info", "gauge", "sha256"),
    ("ledger_errors_total", "counter", ""),
    ("ledger_rewound", "gauge", ""),
    ("members", "gauge", ""),
    ("config_agreed", "gauge", ""),
    ("lease_held", "gauge", "project"),
    ("takeovers_total", "counter", "project"),
    // Not of the contract by name: `process_*`, "the usual", of which these are the ones dashboards use.
    ("process_cpu_seconds_total", "counter", ""),
    ("process_resident_memory_bytes", "gauge", ""),
    ("process_start_time_seconds", "gauge", ""),
];

/// Absent before the first run, or before they are reported.
const LATER: [&str; 12] = [
    "members",
    "config_agreed",
    "lease_held",
    "takeovers_total",
    "last_run_timestamp_seconds",
    "last_success_timestamp_seconds",
    "backups",
    "backup_bytes",
    "backups_unselected",
    "expired_refused",
    "expired_refused_bytes",
    "instances",
];

pub(super) fn at(text: &str) -> DateTime<Utc> {
    text.parse().expect("a time")
}

pub(super) fn policy(name: &str) -> PolicyName {
    PolicyName::from(name)
}

pub(super) fn project(name: &str) -> ProjectName {
    ProjectName::from(name)
}

fn full_name(name: &str) -> String {
    if name.starts_with("process_") {
        name.to_owned()
    } else {
        format!("rds_retention_{name}")
    }
}

/// Two policies on two projects: `a` may touch both, `b` the second.
pub(super) fn metrics() -> Metrics {
    let metrics = Metrics::new(
        "1.2.3",
        "abc",
        at("2026-11-23T03:00:00Z"),
        &["list_instances", "delete"],
    );
    metrics.set_policies(
        &[
            (policy("a"), vec![project("p1"), project("p2")]),
            (policy("b"), vec![project("p2")]),
        ],
        &[project("p1"), project("p2")],
    );
    metrics.config_loaded("f00d", at("2026-11-23T03:00:01Z"));
    metrics.next_run(&policy("a"), Some(at("2026-11-23T04:00:00Z")));
    metrics
}

/// A run of `a` that did something of everything; every number has its own value.
pub(super) fn report(result: RunResult) -> RunReport {
    let tally = |count, bytes| Tally { count, bytes };
    let sent = |fates: &[(&str, u64)], codes: &[(&str, u64)], confirmed_bytes| Sent {
        fates: fates.iter().map(|(key, n)| ((*key).to_owned(), *n)).collect(),
        codes: codes.iter().map(|(key, n)| ((*key).to_owned(), *n)).collect(),
        confirmed_bytes,
    };
    RunReport {
        run_id: Some("0193".to_owned()),
        finished_at: at("2026-11-23T03:01:30.250Z"),
        policies: vec![PolicyReport {
            refusals: vec![Refusal::MaxDeletions {
                planned: 501,
                limit: 500,
            }],
            summary: Summary {
                keep: tally(61, 610),
                wait: tally(4, 40),
                delete: tally(9, 90),
            },
            sent: BTreeMap::from([
                (
                    project("p1"),
                    sent(&[("accepted", 2), ("confirmed", 3), ("returned", 5)], &[], 33),
                ),
                (
                    project("p2"),
                    sent(&[("rejected", 7), ("unanswered", 11)], &[("DBS.200011", 7)], 0),
                ),
            ]),
            left: 13,
            held_back: tally(9, 90),
            unselected: BTreeMap::from([(project("p1"), 17), (project("p2"), 18)]),
            ..PolicyReport::new(policy("a"), Mode::Enforce, Zone::UTC, result)
        }],
        skipped: vec![Skip {
            project: project("p1"),
            instance: None,
            reason: SkipReason::Listing,
            message: "17 of 19".to_owned(),
        }],
        instances: BTreeMap::from([(
            project("p1"),
            InstanceCounts {
                managed: 21,
                unmanaged: 22,
                overlapping: 23,
                failed: 24,
            },
        )]),
        unconfirmed: BTreeMap::from([(project("p1"), 2)]),
        calls: 25,
        ledger_head: Some("beef".to_owned()),
        ..RunReport::new(at("2026-11-23T03:00:00Z"))
    }
}

/// The value of a series as it is written, `name{labels}` with the labels in alphabetical order.
pub(super) fn value(metrics: &Metrics, series: &str) -> Option<f64> {
    metrics.render(false).lines().find_map(|line| {
        line.strip_prefix("rds_retention_")?
            .strip_prefix(series)?
            .strip_prefix(' ')?
            .parse()
            .ok()
    })
}

#[track_caller]
pub(super) fn expect(metrics: &Metrics, series: &str, wanted: f64) {
    let found = value(metrics, series);
    assert!(
        found.is_some_and(|found| (found - wanted).abs() < 1e-6),
        "{series}: {found:?}, not {wanted}"
    );
}

/// Name → (type, label sets seen), from the text format.
fn shape(text: &str) -> BTreeMap<String, (String, BTreeSet<String>)> {
    let mut families = BTreeMap::<String, (String, BTreeSet<String>)>::new();
    let mut current = String::new();
    for line in text.lines() {
        if let Some(rest) = line.strip_prefix("# TYPE ") {
            let (name, kind) = rest.split_once(' ').expect("name and type");
            current = name.to_owned();
            families.insert(current.clone(), (kind.to_owned(), BTreeSet::new()));
        } else if !line.starts_with('#') {
            let labels = line
                .split_once('{')
                .map_or("", |(_, rest)| rest.split_once('}').expect("closed").0);
            let mut names: Vec<&str> = labels
                .split(',')
                .filter_map(|pair| Some(pair.split_once('=')?.0))
                .collect();
            names.retain(|name| *name != "le");
            families
                .get_mut(&current)
                .expect("a type before samples")
                .1
                .insert(names.join(","));
        }
    }
    families
}

#[test]
fn after_a_run_every_metric_of_the_contract_is_there_with_exactly_its_labels() {
    let metrics = metrics();
    metrics.observe_run(&report(RunResult::Success), Duration::from_secs(90));
    metrics.members(2, true, [(project("p1"), true)]);
    let found = shape(&metrics.render(false));
    for (name, kind, labels) in CONTRACT {
        let (found_kind, found_labels) = found
            .get(&full_name(name))
            .unwrap_or_else(|| panic!("{name} is missing"));
        assert_eq!(found_kind, kind, "{name}");
        assert_eq!(found_labels, &BTreeSet::from([labels.to_owned()]), "{name}");
    }
    let ours: BTreeSet<_> = found.into_keys().filter(|name| !name.starts_with("process_")).collect();
    let contract: BTreeSet<_> = CONTRACT
        .iter()
        .map(|row| full_name(row.0))
        .filter(|name| !name.starts_with("process_"))
        .collect();
    assert_eq!(ours, contract, "and nothing else");
}

#[test]
fn at_the_start_all_is_zero_and_what_only_a_run_can_know_is_absent() {
    let metrics = metrics();
    let text = metrics.render(false);
    let found = shape(&text);
    for (name, ..) in CONTRACT {
        assert_eq!(found.contains_key(&full_name(name)), !LATER.contains(&name), "{name}");
    }
    for line in text.lines().filter(|line| !line.starts_with('#')) {
        let of_status = ["build_info", "config_", "next_run"];
        if let Some(ours) = line.strip_prefix("rds_retention_")
            && !of_status.iter().any(|name| ours.starts_with(name))
        {
            assert!(line.ends_with(" 0"), "{line}");
        }
    }
    for series in [
        "runs_total{policy=\"b\",result=\"skipped\"}",
        "deletions_total{outcome=\"returned\",policy=\"a\",project=\"p2\"}",
        "deletion_errors_total{code=\"other\",project=\"p1\"}",
        "guard_refusals_total{limit=\"require_backup_within\",policy=\"b\"}",
        "api_requests_total{operation=\"delete\",project=\"p2\",status=\"200\"}",
        "run_duration_seconds_count{policy=\"b\"}",
        "guard_open{policy=\"b\"}",
    ] {
        expect(&metrics, series, 0.0);
    }
    let not_its_project = "deletions_total{outcome=\"returned\",policy=\"b\",project=\"p1\"}";
    assert_eq!(value(&metrics, not_its_project), None);
}

#[test]
fn every_metric_has_help() {
    let metrics = metrics();
    metrics.observe_run(&report(RunResult::Success), Duration::from_secs(90));
    let text = metrics.render(false);
    for name in shape(&text).keys() {
        let help = text
            .lines()
            .find_map(|line| line.strip_prefix(&format!("# HELP {name} ")));
        assert!(help.is_some_and(|help| help.len() > 10), "{name}: {help:?}");
    }
}

/// velero#1333: series of removed policies stayed, and fired alerts for ever.
#[test]
fn series_go_with_their_policy_and_their_project() {
    let metrics = metrics();
    metrics.observe_run(&report(RunResult::Success), Duration::from_secs(90));
    metrics.api_event(&project("p1"), "delete", Some(403), Duration::from_millis(5), false);
    assert!(metrics.render(false).contains("policy=\"a\""));
    metrics.set_policies(&[(policy("b"), vec![project("p2")])], &[project("p2")]);
    let text = metrics.render(false);
    for gone in ["policy=\"a\"", "project=\"p1\""] {
        assert_eq!(text.lines().find(|line| line.contains(gone)), None);
    }
    expect(
        &metrics,
        "deletion_errors_total{code=\"DBS.200011\",project=\"p2\"}",
        7.0,
    );
    assert!(text.contains("policy=\"b\"") && text.contains("project=\"p2\""));
}

#[test]
fn a_run_that_ends_after_its_policy_was_removed_brings_no_series_back() {
    let metrics = metrics();
    metrics.set_policies(&[(policy("b"), vec![project("p2")])], &[project("p2")]);
    let before = shape(&metrics.render(false));
    metrics.observe_run(&report(RunResult::Failed), Duration::from_secs(90));
    metrics.tick_skipped(&policy("a"));
    metrics.next_run(&policy("a"), Some(at("2026-11-24T03:00:00Z")));
    metrics.guard_open(&policy("a"), true);
    metrics.settled(&policy("a"), &project("p1"), &Fate::Confirmed, 1, 1);
    metrics.clock_skew(&project("p1"), ClockCheck::Skew(TimeDelta::seconds(3)));
    metrics.api_event(&project("p1"), "delete", None, Duration::from_millis(5), true);
    assert_eq!(shape(&metrics.render(false)), before);
    let text = metrics.render(false);
    assert!(
        !text.contains("policy=\"a\"") && !text.contains("project=\"p1\""),
        "{text}"
    );
}

#[test]
fn a_reload_keeps_the_numbers_of_what_stays() {
    let metrics = metrics();
    metrics.tick_skipped(&policy("a"));
    metrics.set_policies(&[(policy("a"), vec![project("p1")])], &[project("p1")]);
    expect(&metrics, "ticks_skipped_total{policy=\"a\"}", 1.0);
    expect(&metrics, "runs_total{policy=\"a\",result=\"skipped\"}", 1.0);
    metrics.config_loaded("cafe", at("2026-11-23T05:00:00Z"));
    expect(&metrics, "config_info{sha256=\"cafe\"}", 1.0);
    assert_eq!(value(&metrics, "config_info{sha256=\"f00d\"}"), None);
    metrics.config_rejected();
    expect(&metrics, "config_last_reload_successful", 0.0);
    expect(
        &metrics,
        "config_last_reload_success_timestamp_seconds",
        1_795_410_000.0,
    );
}

#[test]
fn requests_are_counted_by_closed_sets() {
    let metrics = metrics();
    let p1 = project("p1");
    metrics.api_event(&p1, "delete", Some(429), Duration::from_millis(30), true);
    metrics.api_event(&p1, "delete", None, Duration::from_secs(20), false);
    metrics.api_event(&p1, "made-up", Some(200), Duration::from_millis(1), false);
    expect(
        &metrics,
        "api_requests_total{operation=\"delete\",project=\"p1\",status=\"429\"}",
        1.0,
    );
    expect(
        &metrics,
        "api_requests_total{operation=\"delete\",project=\"p1\",status=\"error\"}",
        1.0,
    );
    expect(
        &metrics,
        "api_requests_total{operation=\"other\",project=\"p1\",status=\"200\"}",
        1.0,
    );
    expect(&metrics, "api_throttled_total{project=\"p1\"}", 1.0);
    expect(
        &metrics,
        "api_request_duration_seconds_sum{operation=\"delete\",project=\"p1\"}",
        20.03,
    );
    metrics.clock_skew(&p1, ClockCheck::Skew(TimeDelta::milliseconds(-1500)));
    metrics.clock_skew(&p1, ClockCheck::NoDate);
    expect(&metrics, "clock_skew_seconds{project=\"p1\"}", -1.5);
    metrics.holds(3);
    metrics.frozen(true);
    metrics.ledger_error();
    for (series, wanted) in [("holds", 3.0), ("frozen", 1.0), ("ledger_errors_total", 1.0)] {
        expect(&metrics, series, wanted);
    }
    metrics.next_run(&policy("a"), None);
    assert_eq!(value(&metrics, "next_run_timestamp_seconds{policy=\"a\"}"), None);
}

/// With `ProcSubset=pid` the collector says 0.
#[test]
fn a_start_time_that_proc_hides_is_ours() {
    let family = |start: f64| {
        let mut gauge = prometheus::proto::Gauge::default();
        gauge.set_value(start);
        let mut family = prometheus::proto::MetricFamily::default();
        family.set_name("process_start_time_seconds".to_owned());
        family.set_metric(vec![prometheus::proto::Metric::from_gauge(gauge)]);
        family
    };
    let shown = |start| {
        with_start_time(vec![family(start)], at("2026-11-23T03:00:00Z"))[0].get_metric()[0]
            .get_gauge()
            .get_value()
    };
    assert!((shown(0.0) - 1_795_402_800.0).abs() < 1e-6);
    assert!((shown(1_700_000_000.0) - 1_700_000_000.0).abs() < 1e-6);
}

/// Writes both formats where `tests/ops/metrics.sh` has them checked by promtool and by the Python client.
#[test]
fn samples_for_other_readers() {
    let metrics = metrics();
    metrics.observe_run(&report(RunResult::Success), Duration::from_secs(90));
    assert!(metrics.render(true).ends_with("# EOF\n"));
    if let Some(directory) = std::env::var_os("RDS_RETENTIOND_SAMPLES") {
        let directory = std::path::PathBuf::from(directory);
        std::fs::write(directory.join("metrics.txt"), metrics.render(false)).expect("written");
        std::fs::write(directory.join("metrics.om"), metrics.render(true)).expect("written");
    }
}
