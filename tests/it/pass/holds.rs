//! Holds and freezes, from the configuration and by command, before a run and in the middle of one.

use std::collections::BTreeSet;
use std::sync::Arc;

use chrono::TimeDelta;
use rds_retentiond::cli::exit;
use rds_retentiond::clock::now;
use rds_retentiond::retention::{Freeze, Hold, HoldTarget};

use super::super::world::{KEEP_3, World, backup_id, ids};
use super::policy;

#[tokio::test]
async fn a_freeze_stops_everything_from_configuration_and_by_command() {
    let world = World::new(&[8]).await;
    world.policies_and(KEEP_3, "freeze: {reason: audit}");
    let report = world.apply().await.exits(3).json();
    assert_eq!(report["policies"][0]["refusal"]["limit"], "freeze");
    world.policies(KEEP_3);
    world.run(&["freeze", "--reason", "moving house"]).await.exits(0);
    let report = world.apply().await.exits(3).json();
    assert!(
        report["policies"][0]["refusal"]["message"]
            .to_string()
            .contains("moving house")
    );
    world.deleted_exactly(&BTreeSet::new());
    world.run(&["thaw"]).await.exits(0);
    world.apply().await.exits(0);
    world.deleted_exactly(&ids(1, 3..8));
}

#[tokio::test]
async fn holds_of_the_configuration_and_by_command_keep() {
    let world = World::new(&[8]).await;
    let held = backup_id(1, 7);
    world.policies_and(
        &policy("p", "{last: 3}", "    limits: {max_percent: 100}\n"),
        &format!("holds: [{{backup: {held}, reason: case 4711}}]"),
    );
    world.apply().await.exits(0);
    // Known since that run, so no --force.
    let placed = world
        .run(&["hold", &backup_id(1, 6), "--reason", "mine"])
        .await
        .exits(0);
    assert!(placed.stdout.contains("ledger.sqlite3"), "{}", placed.stdout);
    let by_name = world
        .run(&["hold", "--name", "nightly-5", "--reason", "by name"])
        .await
        .exits(0);
    assert!(
        by_name.stdout.contains("covers 1, of 1 instances"),
        "{}",
        by_name.stdout
    );
    // An instance's name in place of its id holds nothing, and must not look as if it did.
    let mistaken = ["hold", "--instance", "mssql-1", "--reason", "mistaken"];
    let mistaken = world.run(&mistaken).await.exits(0);
    assert!(mistaken.stdout.contains("it covers none"), "{}", mistaken.stdout);
    world.run(&["hold", "0000br04", "--reason", "unknown"]).await.exits(64);
    world.pass().later(TimeDelta::hours(25)).run().await;
    world.deleted_exactly(&ids(1, 3..5));
    // A hold's end restarts the grace period.
    world.run(&["release", &backup_id(1, 6)]).await.exits(0);
    world.pass().later(TimeDelta::hours(26)).run().await;
    world.pass().later(TimeDelta::hours(49)).run().await;
    world.deleted_exactly(&ids(1, 3..5));
    world.pass().later(TimeDelta::hours(51)).run().await;
    world.deleted_exactly(&ids(1, [3, 4, 6]));
}

#[tokio::test]
async fn a_hold_placed_in_mid_run_is_dropped_from_its_batch() {
    let world = World::new(&[8]).await;
    let ledger = world.ledger();
    let mut pass = world.pass();
    // Everything is decided when the last instance was read.
    pass.watcher = Arc::new(move |at| {
        if at.of_sent == 0 && at.instances == at.of_instances {
            let hold = Hold {
                id: None,
                target: HoldTarget::Backup(backup_id(1, 7).as_str().into()),
                reason: "just now".to_owned(),
                owner: None,
                until: None,
            };
            ledger.add_hold(&hold, "somebody", now()).unwrap();
        }
    });
    let report = pass.run().await;
    world.deleted_exactly(&ids(1, 3..7));
    // Held is kept, not left undone.
    assert_eq!((report.policies[0].left, exit::of_run(&report)), (0, 0));
}

#[tokio::test]
async fn a_freeze_in_mid_run_stops_the_next_batch() {
    let world = World::new(&[60]).await;
    let projects = format!("{}    concurrency: 1\n", world.simulator.config_yaml());
    world.configure(&projects, KEEP_3, "");
    let ledger = world.ledger();
    let mut pass = world.pass();
    pass.watcher = Arc::new(move |at| {
        if at.sent == 50 {
            let freeze = Freeze {
                reason: "stop".to_owned(),
                until: None,
            };
            ledger.set_freeze(&freeze, "somebody", now()).unwrap();
        }
    });
    let report = pass.run().await;
    world.deleted_exactly(&ids(1, 10..60));
    assert_eq!((report.policies[0].left, exit::of_run(&report)), (7, 3));
}
