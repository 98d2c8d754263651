//! `deletions.lock` is taken for a stale file and removed or replaced under an `apply` that deletes; a second one begins.

use std::process::{Command, Stdio};
use std::time::Duration;

use rds_retentiond::simulator::Op;

use super::world::{KEEP_3, Ran, World, ids, output};

/// 57 backups go in two requests, one after the other. The first one is under way when `command` is done to the lock file.
async fn two_applies(command: &str) -> (World, Ran, Ran) {
    let world = World::new(&[60]).await;
    let projects = format!("{}    concurrency: 1\n", world.simulator.config_yaml());
    world.configure(&projects, KEEP_3, "");
    world.fault("delete_batch:delay=3s");
    let mut first = world.command(&["apply", "--metrics-file", "metrics.prom"]);
    first
        .current_dir(world.dir())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    let first = first.spawn().unwrap();
    while world.simulator.calls_of(Op::DeleteBatch).is_empty() {
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    let done = Command::new("sh")
        .args(["-ec", command])
        .current_dir(world.state())
        .status();
    assert!(done.unwrap().success(), "{command}");
    let second = output(world.command(&["apply", "--no-wait"])).await;
    let first = tokio::task::spawn_blocking(move || first.wait_with_output().unwrap());
    let first = Ran::of(&first.await.unwrap());
    // Each id once, whoever sent it.
    let sent = world.simulator.calls_of(Op::DeleteBatch);
    let mut sent: Vec<String> = sent.into_iter().flat_map(|call| call.backup_ids).collect();
    let count = sent.len();
    sent.sort();
    sent.dedup();
    assert_eq!(count, sent.len(), "{command}: ids were sent twice");
    (world, first, second)
}

async fn the_first_stops_and_the_second_goes_on(command: &str) {
    let (world, first, second) = two_applies(command).await;
    let first = first.exits(3);
    for text in ["/state/deletions.lock: the right to delete is lost", "leave it alone"] {
        assert!(first.stderr.contains(text), "{command}: {}", first.stderr);
    }
    let metrics = std::fs::read_to_string(world.dir().join("metrics.prom")).unwrap();
    let refused = "rds_retention_guard_refusals_total{limit=\"ledger\",policy=\"p\"} 1";
    assert!(metrics.contains(refused), "{metrics}");
    second.exits(0);
    world.deleted_exactly(&ids(1, 3..60));
    assert!(world.ledger().open_requests().unwrap().is_empty());
    world.run(&["audit", "verify"]).await.exits(0);
}

#[tokio::test]
async fn an_apply_whose_lock_file_is_removed_sends_nothing_more_and_no_id_is_sent_twice() {
    the_first_stops_and_the_second_goes_on("rm deletions.lock").await;
}

#[tokio::test]
async fn an_apply_whose_lock_file_is_replaced_by_a_copy_sends_nothing_more_and_no_id_is_sent_twice() {
    the_first_stops_and_the_second_goes_on("cp -p deletions.lock copy; mv copy deletions.lock").await;
}

/// The twin: the same file, however it is written or moved and moved back, is the same lock.
#[tokio::test]
async fn an_apply_whose_lock_file_is_written_in_place_or_moved_back_deletes_all() {
    let command = "echo 1 > deletions.lock; mv deletions.lock aside; mv aside deletions.lock";
    let (world, first, second) = two_applies(command).await;
    first.exits(0);
    second.exits(75);
    world.deleted_exactly(&ids(1, 3..60));
}
