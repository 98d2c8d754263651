//! A conflict makes a run read everything once more; whatever fails in that second round, both instances stay as they are.

use std::collections::BTreeSet;

use rds_retentiond::simulator::Op;
use serde_json::json;

use super::world::{KEEP_3, World, backup_id, ids, instance_id};

/// So many instances of eight backups each; what instance 2 lists as its newest is one of instance 1, which no rule keeps there.
async fn world(instances: usize) -> World {
    let world = World::new(&vec![8; instances]).await;
    claims(&world, 2, 1);
    world
}

fn claims(world: &World, one: usize, other: usize) {
    world
        .simulator
        .patch(&backup_id(one, 0), json!({"id": backup_id(other, 6)}));
}

fn calls(world: &World, instance: usize) -> usize {
    let calls = world.simulator.calls_of(Op::ListBackups);
    calls
        .iter()
        .filter(|call| call.instance == Some(instance_id(instance)))
        .count()
}

fn honest(instances: impl IntoIterator<Item = usize>) -> BTreeSet<String> {
    instances.into_iter().flat_map(|instance| ids(instance, 3..8)).collect()
}

#[tokio::test]
async fn an_instance_with_a_conflict_is_left_alone_where_the_other_one_is_not_read_the_second_time() {
    for (failing, left) in [(2, 1), (1, 2)] {
        let world = world(3).await;
        world.fault(&format!(
            "list_backups:status=400:after=1:instance={}",
            instance_id(failing)
        ));
        world.apply().await.exits(1);
        assert_eq!(
            (calls(&world, failing), calls(&world, left)),
            (2, 2),
            "there was a second round"
        );
        world.deleted_exactly(&honest([3]));
    }
    // The twin: without a conflict there is no second round, and nothing fails.
    let world = World::new(&[8; 3]).await;
    world.fault(&format!("list_backups:status=400:after=1:instance={}", instance_id(2)));
    world.apply().await;
    world.deleted_exactly(&honest(1..=3));
}

/// The instance that lists it, too, is not read at all (the ledger has what it listed), and another conflict asks for a third round.
#[tokio::test]
async fn an_instance_with_a_conflict_is_left_alone_in_a_third_round_too() {
    let world = world(5).await;
    world.policies(&KEEP_3.replace("last: 3", "last: 50"));
    world.apply().await.exits(1);
    world.policies(KEEP_3);
    claims(&world, 3, 4);
    let refuse = |instance: usize, times: &str| {
        world.fault(&format!(
            "list_backups:status=400{times}:instance={}",
            instance_id(instance)
        ));
    };
    refuse(2, "");
    refuse(3, ":times=1");
    let before = calls(&world, 1);
    world.apply().await.exits(1);
    assert_eq!(calls(&world, 1) - before, 3, "there was a third round");
    world.deleted_exactly(&honest([5]));
    // The twin: all list their own.
    world.simulator.faults().clear();
    for number in [2, 3] {
        world.simulator.patch(&backup_id(number, 0), json!({}));
    }
    let pass = world.pass().later(chrono::TimeDelta::days(8));
    pass.run().await;
    world.deleted_exactly(&honest(1..=5));
}
