//! Heads anchored outside the state: a state without them was set back, and deletes nothing until a person accepts it. What is
//! honest goes on.

use std::collections::BTreeSet;
use std::fs;

use super::world::{KEEP_3, World, backup, ids};

/// A world that anchors to a file, with an older copy of its state, and five backups that are due.
pub async fn anchored() -> World {
    let world = World::new(&[3]).await;
    world.policies_and(KEEP_3, "audit: {anchor: ./anchors}");
    world.apply().await.exits(0);
    world.shell("cp -r state older");
    world.apply().await.exits(0);
    for number in 3..8 {
        world.simulator.add_backup(backup(1, number));
    }
    world
}

#[tokio::test]
async fn a_state_that_was_set_back_or_made_again_deletes_nothing_until_a_person_accepts_it() {
    for back in ["rm -r state; cp -r older state", "rm -r state"] {
        let world = anchored().await;
        world.shell(back);
        for _ in 0..2 {
            let metrics = world.dir().join("metrics.prom");
            let ran = world
                .run(&["apply", "--metrics-file", metrics.to_str().unwrap()])
                .await
                .exits(3);
            ran.says("set back").says("state accept-rewind");
            let metrics = fs::read_to_string(metrics).unwrap();
            assert!(
                metrics.lines().any(|line| line == "rds_retention_ledger_rewound 1"),
                "{metrics}"
            );
        }
        world.deleted_exactly(&BTreeSet::new());
        let status = world.run(&["status", "--format", "json"]).await.exits(0).json();
        assert!(status["problems"].to_string().contains("set back"), "{status}");
        let checked = world.run(&["check"]).await;
        assert!(checked.stdout.contains("set back"), "{checked:?}");
        let verified = world.run(&["audit", "verify", "--anchors"]).await.exits(1);
        assert!(verified.stdout.contains("MISSING"), "{verified:?}");
        world
            .run(&["state", "accept-rewind", "--reason", "restored"])
            .await
            .exits(0);
        let events = world.run(&["history", "--events", "--format", "json"]).await.json();
        assert_eq!(events["events"][0]["event"], "accept_rewind");
        assert_eq!(events["events"][0]["reason"], "restored");
        let verified = world.run(&["audit", "verify", "--anchors"]).await.exits(0);
        assert!(verified.stdout.contains("and the state contains each"), "{verified:?}");
        world.apply().await.exits(0);
        world.deleted_exactly(&ids(1, 3..8));
        // What was accepted once is not accepted again.
        if back.contains("cp") {
            world.shell(back);
            world.apply().await.exits(3);
        }
    }
}

#[tokio::test]
async fn an_honest_state_goes_on_with_an_anchor_that_is_new_rotated_or_unreadable() {
    let world = anchored().await;
    // As after logrotate.
    world.shell("rm anchors");
    let checked = world.run(&["check"]).await.exits(0);
    assert!(checked.stdout.contains("rotated"), "{checked:?}");
    world.apply().await.exits(0);
    world.deleted_exactly(&ids(1, 3..8));
    let checked = world.run(&["check"]).await.exits(0);
    assert!(!checked.stdout.contains("rotated"), "{checked:?}");
    // A directory cannot be read as a file.
    world.shell("rm anchors; mkdir anchors");
    let checked = world.run(&["check"]).await.exits(0);
    assert!(checked.stdout.contains("cannot be read"), "{checked:?}");
    world.simulator.add_backup(backup(1, 9));
    world.apply().await.exits(0);
    assert!(world.deleted().contains(&super::world::backup_id(1, 9)));
    world
        .run(&["audit", "verify", "--anchors"])
        .await
        .exits(1)
        .says("cannot be read");
    world.policies_and(KEEP_3, "audit: {anchor: none}");
    world
        .run(&["audit", "verify", "--anchors"])
        .await
        .exits(78)
        .says("audit: {anchor");
    world.policies_and(KEEP_3, "audit: {anchor: state/anchors}");
    world.run(&["check"]).await.exits(78);
}

#[tokio::test]
async fn a_hold_that_is_lost_with_a_state_set_back_to_before_it_is_noticed_before_anything_is_deleted() {
    let acts = [
        vec!["hold", "--name", "nightly-5", "--reason", "case 4711"],
        vec!["freeze", "--reason", "audit", "--until", "1h"],
    ];
    for act in acts {
        let world = World::new(&[3]).await;
        world.policies_and(KEEP_3, "audit: {anchor: ./anchors}");
        world.apply().await.exits(0);
        for number in 3..8 {
            world.simulator.add_backup(backup(1, number));
        }
        world.shell("cp -r state older");
        world.run(&act).await.exits(0);
        world.shell("cp -r state newer; rm -r state; cp -r older state");
        world.apply().await.exits(3).says("set back");
        world.deleted_exactly(&BTreeSet::new());
        // With its own state it goes on.
        world.shell("rm -r state; cp -r newer state");
        if act[0] == "freeze" {
            world.run(&["thaw"]).await.exits(0);
            world.apply().await.exits(0);
            world.deleted_exactly(&ids(1, 3..8));
        } else {
            world.apply().await.exits(0);
            let mut others = ids(1, 3..8);
            others.remove(&super::world::backup_id(1, 5));
            world.deleted_exactly(&others);
        }
        assert_eq!(world.run(&["audit", "verify", "--anchors"]).await.exits(0).code, 0);
    }
}
