//! What a run adds to the numbers, and what of it is shown after a restart.

use std::collections::BTreeMap;
use std::time::Duration;

use chrono::TimeDelta;

use super::LastRunSample;
use super::metrics_tests::{at, expect, metrics, policy, project, report, value};
use crate::retention::report::{InstanceCounts, RunResult, Summary, Tally};
use crate::retention::{Fate, Mode};

#[test]
fn a_run_is_counted_field_by_field() {
    let metrics = metrics();
    metrics.observe_run(&report(RunResult::Success), Duration::from_secs(90));
    for (series, wanted) in [
        ("runs_total{policy=\"a\",result=\"success\"}", 1.0),
        ("runs_total{policy=\"b\",result=\"success\"}", 0.0),
        ("run_duration_seconds_sum{policy=\"a\"}", 90.0),
        ("run_duration_seconds_bucket{policy=\"a\",le=\"60\"}", 0.0),
        ("run_duration_seconds_bucket{policy=\"a\",le=\"120\"}", 1.0),
        ("last_run_timestamp_seconds{policy=\"a\"}", 1_795_402_890.25),
        ("last_success_timestamp_seconds{policy=\"a\"}", 1_795_402_890.25),
        ("backups{decision=\"keep\",policy=\"a\"}", 61.0),
        ("backups{decision=\"wait\",policy=\"a\"}", 4.0),
        ("backups{decision=\"delete\",policy=\"a\"}", 9.0),
        ("backup_bytes{decision=\"keep\",policy=\"a\"}", 610.0),
        ("backup_bytes{decision=\"delete\",policy=\"a\"}", 90.0),
        ("backups_unselected{project=\"p1\"}", 17.0),
        ("backups_unselected{project=\"p2\"}", 18.0),
        ("expired_refused{policy=\"a\"}", 9.0),
        ("expired_refused_bytes{policy=\"a\"}", 90.0),
        ("instances{state=\"managed\"}", 21.0),
        ("instances{state=\"unmanaged\"}", 22.0),
        ("instances{state=\"overlapping\"}", 23.0),
        ("instances{state=\"failed\"}", 24.0),
        // Two that only were accepted, three since confirmed, five since returned.
        (
            "deletions_total{outcome=\"accepted\",policy=\"a\",project=\"p1\"}",
            10.0,
        ),
        (
            "deletions_total{outcome=\"confirmed\",policy=\"a\",project=\"p1\"}",
            3.0,
        ),
        ("deletions_total{outcome=\"returned\",policy=\"a\",project=\"p1\"}", 5.0),
        ("deletions_total{outcome=\"rejected\",policy=\"a\",project=\"p2\"}", 7.0),
        (
            "deletions_total{outcome=\"unanswered\",policy=\"a\",project=\"p2\"}",
            11.0,
        ),
        ("deletions_total{outcome=\"accepted\",policy=\"a\",project=\"p2\"}", 0.0),
        ("deletion_errors_total{code=\"DBS.200011\",project=\"p2\"}", 7.0),
        ("deleted_bytes_total{policy=\"a\",project=\"p1\"}", 33.0),
        ("deletions_unconfirmed{project=\"p1\"}", 2.0),
        ("deletions_unconfirmed{project=\"p2\"}", 0.0),
        ("guard_refusals_total{limit=\"max_deletions\",policy=\"a\"}", 1.0),
        ("guard_refusals_total{limit=\"listing\",policy=\"a\"}", 1.0),
        ("guard_refusals_total{limit=\"listing\",policy=\"b\"}", 0.0),
        ("guard_open{policy=\"a\"}", 1.0),
    ] {
        expect(&metrics, series, wanted);
    }
    metrics.settled(&policy("a"), &project("p1"), &Fate::Confirmed, 2, 22);
    metrics.unconfirmed(&BTreeMap::new());
    expect(
        &metrics,
        "deletions_total{outcome=\"confirmed\",policy=\"a\",project=\"p1\"}",
        5.0,
    );
    expect(&metrics, "deleted_bytes_total{policy=\"a\",project=\"p1\"}", 55.0);
    expect(&metrics, "deletions_unconfirmed{project=\"p1\"}", 0.0);
    metrics.guard_open(&policy("a"), false);
    expect(&metrics, "guard_open{policy=\"a\"}", 0.0);
}

#[test]
fn a_failed_run_leaves_the_last_good_numbers_and_the_last_success() {
    let metrics = metrics();
    metrics.observe_run(&report(RunResult::Success), Duration::from_secs(90));
    let mut failed = report(RunResult::Failed);
    failed.finished_at += TimeDelta::seconds(3600);
    failed.policies[0].summary = Summary::default();
    failed.instances = BTreeMap::new();
    metrics.observe_run(&failed, Duration::from_secs(1));
    expect(&metrics, "backups{decision=\"keep\",policy=\"a\"}", 61.0);
    expect(&metrics, "instances{state=\"managed\"}", 21.0);
    expect(&metrics, "last_run_timestamp_seconds{policy=\"a\"}", 1_795_406_490.25);
    expect(
        &metrics,
        "last_success_timestamp_seconds{policy=\"a\"}",
        1_795_402_890.25,
    );
    expect(&metrics, "runs_total{policy=\"a\",result=\"failed\"}", 1.0);
}

#[test]
fn instances_are_those_of_all_projects_also_when_each_has_runs_of_its_own() {
    let metrics = metrics();
    let mut run = report(RunResult::Success);
    metrics.observe_run(&run, Duration::from_secs(1));
    let other = InstanceCounts {
        managed: 100,
        ..InstanceCounts::default()
    };
    run.instances = BTreeMap::from([(project("p2"), other)]);
    metrics.observe_run(&run, Duration::from_secs(1));
    expect(&metrics, "instances{state=\"managed\"}", 121.0);
    expect(&metrics, "instances{state=\"failed\"}", 24.0);
    // A project that is configured no longer has no instances.
    metrics.set_policies(&[], &[project("p2")]);
    expect(&metrics, "instances{state=\"managed\"}", 100.0);
    metrics.set_policies(&[], &[]);
    assert_eq!(value(&metrics, "instances{state=\"managed\"}"), None);
}

#[test]
fn a_plan_is_no_run_and_a_dry_run_waits_for_nobody() {
    let metrics = metrics();
    let mut plan = report(RunResult::Success);
    plan.run_id = None;
    metrics.observe_run(&plan, Duration::from_secs(1));
    expect(&metrics, "runs_total{policy=\"a\",result=\"success\"}", 0.0);
    let mut dry = report(RunResult::Refused);
    dry.policies[0].mode = Mode::DryRun;
    metrics.observe_run(&dry, Duration::from_secs(1));
    expect(&metrics, "runs_total{policy=\"a\",result=\"refused\"}", 1.0);
    expect(&metrics, "guard_open{policy=\"a\"}", 0.0);
}

#[test]
fn what_the_ledger_remembers_is_shown_after_a_restart() {
    let metrics = metrics();
    let mut last = LastRunSample {
        policy: policy("a"),
        finished_at: at("2026-11-22T03:00:00Z"),
        last_success_at: None,
        summary: Some(report(RunResult::Success).policies[0].summary),
        held_back: Tally { count: 4, bytes: 44 },
        unselected: BTreeMap::from([(project("p1"), 5)]),
    };
    let counts = InstanceCounts {
        managed: 1,
        unmanaged: 2,
        overlapping: 3,
        failed: 4,
    };
    let gone = LastRunSample {
        policy: policy("gone"),
        ..last.clone()
    };
    metrics.restore(
        &[last.clone(), gone],
        BTreeMap::from([(project("p1"), counts)]),
        &BTreeMap::from([(project("p2"), 6)]),
    );
    expect(&metrics, "last_run_timestamp_seconds{policy=\"a\"}", 1_795_316_400.0);
    assert_eq!(value(&metrics, "last_success_timestamp_seconds{policy=\"a\"}"), None);
    expect(&metrics, "backups{decision=\"wait\",policy=\"a\"}", 4.0);
    expect(&metrics, "instances{state=\"failed\"}", 4.0);
    expect(&metrics, "backups_unselected{project=\"p1\"}", 5.0);
    expect(&metrics, "expired_refused_bytes{policy=\"a\"}", 44.0);
    expect(&metrics, "deletions_unconfirmed{project=\"p2\"}", 6.0);
    assert!(!metrics.render(false).contains("gone\""));
    last.last_success_at = Some(at("2026-11-21T03:00:00Z"));
    metrics.restore(&[last], BTreeMap::new(), &BTreeMap::new());
    expect(
        &metrics,
        "last_success_timestamp_seconds{policy=\"a\"}",
        1_795_230_000.0,
    );
}

#[test]
fn the_fifty_first_kind_of_error_is_other() {
    let metrics = metrics();
    let mut run = report(RunResult::Partial);
    let codes = &mut run.policies[0].sent.get_mut(&project("p2")).expect("sent there").codes;
    codes.clear();
    for number in 0..60 {
        codes.insert(format!("DBS.{number:03}"), 1);
    }
    codes.insert("evil\ncode".to_owned(), 3);
    metrics.observe_run(&run, Duration::from_secs(1));
    let text = metrics.render(false);
    let kinds = text
        .lines()
        .filter(|line| line.starts_with("rds_retention_deletion_errors_total{code=\"DBS."))
        .count();
    assert_eq!(kinds, 50);
    expect(&metrics, "deletion_errors_total{code=\"other\",project=\"p2\"}", 13.0);
}
