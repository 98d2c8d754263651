//! A hold that comes while a run sends: what it keeps is kept in every number of that run, at once.

use std::process::Stdio;
use std::time::Duration;

use rds_retentiond::simulator::Op;

use super::world::{KEEP_3, Ran, World, backup_id, decisions, ids};

#[tokio::test]
async fn what_is_held_during_a_run_is_kept_in_report_status_and_metrics() {
    let world = World::new(&[110]).await;
    let projects = format!("{}    concurrency: 2\n", world.simulator.config_yaml());
    world.configure(&projects, KEEP_3, "");
    // Until the test lets them go on.
    world.fault("delete_batch:delay=17s");
    let metrics = world.dir().join("metrics.prom");
    let mut apply = world.command(&["apply", "--format", "json", "--metrics-file", metrics.to_str().unwrap()]);
    let apply = apply.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    while world.simulator.calls_of(Op::DeleteBatch).len() < 2 {
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    // In the last batch, which waits for its place.
    let held = backup_id(1, 5);
    world.run(&["hold", &held, "--reason", "mine"]).await.exits(0);
    world.simulator.faults().clear();
    world.simulator.faults().end_delays();
    let ran = tokio::task::spawn_blocking(move || apply.wait_with_output().unwrap());
    let report = Ran::of(&ran.await.unwrap()).exits(0).json();
    let mut due = ids(1, 3..110);
    due.remove(&held);
    world.deleted_exactly(&due);

    let counts = |summary: &serde_json::Value| ["keep", "wait", "delete"].map(|of| summary[of].as_u64().unwrap());
    assert_eq!(counts(&report["policies"][0]["summary"]), [4, 0, 106], "{report}");
    let decision = &decisions(&report, "p")[&held];
    assert_eq!(decision["decision"], "keep");
    assert_eq!(decision["reasons"][0]["rule"], "hold");
    let status = world.run(&["status", "--format", "json"]).await.exits(0).json();
    let last = &status["policies"][0]["last_run"];
    assert_eq!(counts(&last["summary"]), [4, 0, 106], "{last}");
    assert_eq!(last["left"], 0);
    assert_eq!(status["storage"][0]["kept_bytes"], last["summary"]["bytes"]["keep"]);
    let metrics = std::fs::read_to_string(metrics).unwrap();
    for line in [
        "rds_retention_backups{decision=\"keep\",policy=\"p\"} 4",
        "rds_retention_backups{decision=\"delete\",policy=\"p\"} 106",
    ] {
        assert!(metrics.lines().any(|found| found == line), "no {line} in {metrics}");
    }
    // The twin.
    world.run(&["release", &held]).await.exits(0);
    world.apply().await.exits(0);
    world.deleted_exactly(&ids(1, 3..110));
}

/// What was due and was not deleted is there: on the page's tiles, in the terminal and in the API's storage alike.
#[tokio::test]
async fn what_was_due_and_was_left_is_counted_as_there() {
    let world = World::new(&[8]).await;
    world.fault("delete_batch:result=DBS.200054");
    world.apply().await.exits(1);
    let status = world.run(&["status", "--format", "json"]).await.exits(0).json();
    let summary = &status["policies"][0]["last_run"]["summary"]["bytes"];
    let all = summary["keep"].as_u64().unwrap() + summary["delete"].as_u64().unwrap();
    assert_eq!(status["storage"][0]["kept_bytes"], all, "{status}");
    let shown = world.run(&["status"]).await.exits(0).stdout;
    assert!(
        shown.contains("5 (") && shown.contains("due, left over or not seen to be gone yet"),
        "{shown}"
    );
    // The twin.
    world.simulator.faults().clear();
    world.apply().await.exits(0);
    world.deleted_exactly(&ids(1, 3..8));
    let status = world.run(&["status"]).await.exits(0).stdout;
    assert!(!status.contains("due, left over"), "{status}");
}
