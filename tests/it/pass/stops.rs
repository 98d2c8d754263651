//! A run that is told to stop, or whose time is over, ends soon and leaves nothing unrecorded.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use rds_retentiond::cli::exit;
use rds_retentiond::simulator::Op;

use super::super::world::{KEEP_3, World, ids};

/// Retries of a listing last for minutes; a stop must not wait for them.
#[tokio::test]
async fn told_to_stop_while_the_api_hangs_it_ends_in_time() {
    let world = World::new(&[8]).await;
    world.fault("list_backups:delay=120s");
    let (stop, stopped) = tokio::sync::watch::channel(false);
    let mut pass = world.pass();
    pass.stop = stopped;
    let begun = Instant::now();
    let (report, ()) = tokio::join!(pass.run(), async {
        while world.simulator.calls_of(Op::ListBackups).is_empty() {
            tokio::task::yield_now().await;
        }
        stop.send(true).unwrap();
    });
    assert!(begun.elapsed() < Duration::from_secs(8), "{:?}", begun.elapsed());
    assert_eq!(exit::of_run(&report), 1);
    world.deleted_exactly(&BTreeSet::new());
}

/// Throttling is waited out for minutes; the budget of a run must not be.
#[tokio::test]
async fn the_time_budget_ends_reads_that_are_throttled() {
    let world = World::new(&[8]).await;
    world.fault("list_backups:status=429:retry_after=30");
    let mut pass = world.pass();
    pass.budget = Duration::from_secs(2);
    let begun = Instant::now();
    let report = pass.run().await;
    assert!(begun.elapsed() < Duration::from_secs(8), "{:?}", begun.elapsed());
    assert_eq!(exit::of_run(&report), 1);
}

#[tokio::test]
async fn told_to_stop_the_batch_under_way_is_finished_and_no_other_begun() {
    let world = World::new(&[60]).await;
    let projects = format!("{}    concurrency: 1\n", world.simulator.config_yaml());
    world.configure(&projects, KEEP_3, "");
    world.fault("delete_batch:delay=300ms");
    let (stop, stopped) = tokio::sync::watch::channel(false);
    let mut pass = world.pass();
    pass.stop = stopped;
    let (report, ()) = tokio::join!(pass.run(), async {
        while world.simulator.calls_of(Op::DeleteBatch).is_empty() {
            tokio::task::yield_now().await;
        }
        stop.send(true).unwrap();
    });
    world.deleted_exactly(&ids(1, 10..60));
    assert_eq!(report.sent("accepted") + report.sent("confirmed"), 50);
    assert_eq!((report.policies[0].left, exit::of_run(&report)), (7, 1));
    assert!(world.ledger().open_requests().unwrap().is_empty());
}

/// The whole program, stopped while a request of its batch is not answered.
#[tokio::test]
async fn sigterm_ends_the_program_within_thirty_seconds_with_every_id_recorded() {
    let world = World::new(&[60]).await;
    let projects = format!("{}    concurrency: 1\n", world.simulator.config_yaml());
    world.configure(&projects, KEEP_3, "");
    world.fault("delete_batch:delay=120s:done");
    let mut child = world.command(&["apply"]).spawn().unwrap();
    while world.simulator.calls_of(Op::DeleteBatch).is_empty() {
        tokio::task::yield_now().await;
    }
    let begun = Instant::now();
    let pid = child.id().to_string();
    assert!(
        std::process::Command::new("kill")
            .args(["-TERM", &pid])
            .status()
            .unwrap()
            .success()
    );
    let ended = tokio::task::spawn_blocking(move || child.wait().unwrap())
        .await
        .unwrap();
    assert!(begun.elapsed() < Duration::from_secs(30), "{:?}", begun.elapsed());
    assert_eq!(ended.code(), Some(1));
    assert_eq!(world.simulator.calls_of(Op::DeleteBatch).len(), 1);
    assert_eq!(
        world.simulator.calls().len(),
        4,
        "two listings, tasks and the batch: once stop is requested it asks nothing more"
    );
    let ledger = world.ledger();
    assert!(ledger.open_requests().unwrap().is_empty());
    assert_eq!(ledger.unconfirmed().unwrap().len(), 50, "all are unanswered");
    world.simulator.faults().clear();
    world.apply().await.exits(0);
    world.deleted_exactly(&ids(1, 3..60));
}
