//! A backup that a restore reads: kept as `in_use`, and no harm where the API does not say which that is.

use std::collections::BTreeSet;

use rds_retentiond::simulator::Op;

use super::world::{World, backup_id, decisions, ids};

const KEEP_3: &str = "\n  - {name: p, mode: enforce, keep: {last: 3}, grace: 0s, limits: {max_percent: 100}}\n";

async fn world() -> World {
    let world = World::new(&[6, 6]).await;
    world.policies(KEEP_3);
    world
}

#[tokio::test]
async fn a_backup_that_a_restore_reads_is_kept_as_in_use_and_goes_when_the_restore_is_over() {
    let world = world().await;
    let used = backup_id(1, 4);
    world.simulator.set_in_use(&used, true);
    // One that is kept anyway says nothing about it.
    world.simulator.set_in_use(&backup_id(2, 0), true);
    let plan = world.plan().await.exits(0).json();
    assert_eq!(decisions(&plan, "p")[&used]["reasons"][0]["rule"], "in_use");
    assert_eq!(decisions(&plan, "p")[&backup_id(2, 0)]["reasons"][0]["rule"], "last");
    let ran = world.apply().await.exits(0);
    assert_eq!(decisions(&ran.json(), "p")[&used]["decision"], "keep");
    let others: BTreeSet<String> = [ids(1, [3, 5]), ids(2, 3..6)].into_iter().flatten().collect();
    world.deleted_exactly(&others);
    // The twin.
    world.simulator.set_in_use(&used, false);
    world.apply().await.exits(0);
    world.deleted_exactly(&others.into_iter().chain([used]).collect());
}

/// Nothing waits for it: whoever may not ask learns it from the refusal.
#[tokio::test]
async fn without_an_answer_about_tasks_a_run_goes_on_and_asks_once() {
    for rule in ["status=403:code=DBS.200010", "status=404", "status=500", "reset"] {
        let world = world().await;
        world.simulator.set_in_use(&backup_id(1, 4), true);
        world.fault(&format!("list_tasks:{rule}"));
        let ran = world.apply().await.exits(1);
        let outcome = &decisions(&ran.json(), "p")[&backup_id(1, 4)]["outcome"];
        assert_eq!(outcome, "rejected", "{rule}");
        // That the key may not ask is no news in each run; that the answer is missing is.
        let is_said = ran.json()["notices"]
            .to_string()
            .contains("the tasks cannot be read now");
        assert_eq!(is_said, !rule.contains("=40"), "{rule}");
        let others: BTreeSet<String> = [ids(1, [3, 5]), ids(2, 3..6)].into_iter().flatten().collect();
        assert_eq!(world.deleted(), others, "{rule}");
        // Both instances at once.
        assert!(world.simulator.calls_of(Op::ListTasks).len() <= 2, "{rule}");
    }
}

#[tokio::test]
async fn where_nothing_is_due_no_tasks_are_asked_for() {
    let world = world().await;
    world.policies(&KEEP_3.replace("last: 3", "last: 6"));
    world.apply().await.exits(0);
    assert!(world.simulator.calls_of(Op::ListTasks).is_empty());
    // The twin.
    world.policies(KEEP_3);
    world.apply().await.exits(0);
    assert_eq!(world.simulator.calls_of(Op::ListTasks).len(), 2);
    world.deleted_exactly(&[ids(1, 3..6), ids(2, 3..6)].into_iter().flatten().collect());
}
