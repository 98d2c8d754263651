//! The state of an `apply` goes away, or comes back older, between the beginning of its run and its first batch.

use std::collections::BTreeSet;
use std::time::Duration;

use rds_retentiond::simulator::Op;

use super::world::{Ran, World, backup, backup_id, ids, output};

/// A world with a ledger, an older copy of it, and then a hold on one of five backups that are due.
async fn with_a_hold() -> World {
    let world = World::new(&[3]).await;
    world.apply().await.exits(0);
    world.shell("cp -r state older");
    let hold = ["hold", &backup_id(1, 5), "--reason", "case 4711", "--force"];
    world.run(&hold).await.exits(0);
    for number in 3..8 {
        world.simulator.add_backup(backup(1, number));
    }
    world
}

/// Does this to the state while an `apply` lists.
async fn apply_while(world: &World, command: &str) -> Ran {
    let before = world.simulator.calls().len();
    world
        .simulator
        .set(|settings| settings.latency = Duration::from_millis(400));
    let change = async {
        while world.simulator.calls().len() == before {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        world.shell(command);
    };
    let args = ["apply", "--metrics-file", "metrics.prom"];
    let mut apply = world.command(&args);
    apply.current_dir(world.dir());
    let (ran, ()) = tokio::join!(output(apply), change);
    world.simulator.set(|settings| settings.latency = Duration::ZERO);
    ran
}

#[tokio::test]
async fn an_apply_whose_state_is_lost_sends_nothing_exits_3_and_the_next_one_with_the_state_deletes() {
    for (command, why) in [
        ("mv state aside", "the state is gone"),
        ("mv state aside; mkdir state", "the state is gone"),
        ("mv state aside; cp -r older state", "was replaced"),
        (
            "cp -r state aside; cp older/ledger.sqlite3 state/ledger.sqlite3",
            "set back",
        ),
    ] {
        let world = with_a_hold().await;
        let ran = apply_while(&world, command).await.exits(3).says(why);
        assert_eq!(world.simulator.calls_of(Op::DeleteBatch).len(), 0, "{command}: {ran:?}");
        world.deleted_exactly(&BTreeSet::new());
        let metrics = std::fs::read_to_string(world.dir().join("metrics.prom")).unwrap();
        for line in [
            "rds_retention_guard_refusals_total{limit=\"ledger\",policy=\"p\"} 1",
            "rds_retention_runs_total{policy=\"p\",result=\"refused\"} 1",
            "rds_retention_ledger_rewound 1",
        ] {
            assert!(metrics.lines().any(|found| found == line), "{line}");
        }
        world.shell("rm -rf state; mv aside state");
        world.apply().await.exits(0);
        let mut due = ids(1, 3..8);
        due.remove(&backup_id(1, 5));
        world.deleted_exactly(&due);
    }
}
