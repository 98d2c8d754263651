//! What the answer about a deleted instance's backups may lack by the API reference (engine, status, instance), and what follows where
//! it is there after all and cannot be read.

use std::collections::BTreeSet;

use chrono::TimeDelta;
use rds_retentiond::cli::exit;
use rds_retentiond::simulator::DeletedListing;
use serde_json::{Value, json};

use super::world::{World, backup_id, ids, instance_id};

const DUE: usize = 6;

fn policy(last: u32) -> String {
    format!(
        "
  - {{name: p, mode: enforce, keep: {{last: {last}}}, grace: 0s, limits: {{max_percent: 100}}, select: {{deleted_instances: include}}}}
"
    )
}

async fn run(world: &World, hours: i64) -> u8 {
    exit::of_run(&world.pass().later(TimeDelta::hours(hours)).run().await)
}

/// An instance that is deleted and was missed for a day; of one backup that it left the entry is changed.
async fn deleted_with(patch: &Value) -> World {
    let world = World::new(&[8, 0]).await;
    world
        .simulator
        .set(|settings| settings.deleted_listing = DeletedListing::NotFound);
    world.policies(&policy(20));
    run(&world, 0).await;
    assert!(world.simulator.remove_instance(&instance_id(1)));
    for hours in [1, 13, 26] {
        run(&world, hours).await;
    }
    world.simulator.patch(&backup_id(1, DUE), patch.clone());
    world.policies(&policy(3));
    world
}

#[tokio::test]
async fn what_names_an_unknown_engine_or_status_is_kept_and_what_names_none_goes() {
    let odd = [json!(7), json!(""), json!("SQLServer"), json!([]), json!(true)];
    let odd_engines = odd.iter().cloned().chain([
        json!([{"type": "SQLServer"}]),
        json!({}),
        json!({"type": null}),
        json!({"type": 7}),
        json!({"type": "MySQL"}),
    ]);
    let odd_states = [json!(7), json!(""), json!("DELETING"), json!("completed"), json!([])];
    let kept = odd_engines
        .map(|value| json!({"datastore": value}))
        .chain(odd_states.into_iter().map(|value| json!({"status": value})));
    for patch in kept {
        let world = deleted_with(&patch).await;
        assert_eq!(run(&world, 30).await, 0, "{patch}");
        let others: BTreeSet<String> = ids(1, [3, 4, 5, 7]);
        assert_eq!(world.deleted(), others, "{patch}");
    }
    let goes = [
        json!({}),
        json!({"datastore": {"$null": true}, "status": {"$null": true}, "instance_id": {"$null": true}}),
        json!({"datastore": {"type": "sqlserver"}, "status": "COMPLETED", "instance_id": instance_id(1)}),
    ];
    for patch in goes {
        let world = deleted_with(&patch).await;
        assert_eq!(run(&world, 30).await, 0, "{patch}");
        assert_eq!(world.deleted(), ids(1, 3..8), "{patch}");
    }
}

#[tokio::test]
async fn an_entry_that_may_be_of_another_instance_spoils_the_answer() {
    for of in [json!(7), json!([]), json!({}), json!(instance_id(2))] {
        let world = deleted_with(&json!({"instance_id": of})).await;
        assert_eq!(run(&world, 30).await, 1, "{of}");
        world.deleted_exactly(&BTreeSet::new());
    }
}

/// A policy that protects by name, and one that takes the rest.
#[tokio::test]
async fn an_instance_without_a_name_is_left_alone_from_the_first_sight_on() {
    for name in [Value::Null, json!({"$null": true}), json!(""), json!(" ")] {
        let world = World::new(&[8, 8]).await;
        world.policies(
            "
  - {name: gold, mode: enforce, keep: {last: 50}, grace: 0s, select: {instances: {names: [mssql-1]}}}
  - {name: p, mode: enforce, keep: {last: 3}, grace: 0s, limits: {max_percent: 100}}
",
        );
        world.simulator.patch(&instance_id(1), json!({"name": name}));
        for _ in 0..2 {
            let report = world.apply().await.exits(1).json();
            let skip = &report["skipped"][0];
            assert_eq!(skip["instance_id"], instance_id(1), "{name}");
            assert!(skip["message"].as_str().unwrap().contains("its name"), "{skip}");
        }
        world.deleted_exactly(&ids(2, 3..8));
        // The twins: its name is back, and it is another one.
        world.simulator.patch(&instance_id(1), json!({}));
        world.apply().await.exits(0);
        world.deleted_exactly(&ids(2, 3..8));
        world.simulator.patch(&instance_id(1), json!({"name": "mssql-9"}));
        world.apply().await.exits(0);
        world.deleted_exactly(&(1..3).flat_map(|instance| ids(instance, 3..8)).collect());
    }
}

/// Nothing is left that a shrunken listing could let go: no alarm for a week.
#[tokio::test]
async fn a_deleted_instance_whose_backups_are_gone_with_it_is_no_alarm() {
    let world = World::new(&[8, 2]).await;
    world
        .simulator
        .set(|settings| settings.deleted_listing = DeletedListing::NotFound);
    world.policies(&policy(20));
    run(&world, 0).await;
    assert!(world.simulator.remove_instance(&instance_id(1)));
    for backup in ids(1, 0..8) {
        assert!(world.simulator.remove_backup(&backup));
    }
    for hours in [1, 13, 26, 39, 52] {
        assert_eq!(run(&world, hours).await, 0, "after {hours} h");
    }
    let seen = world.ledger().seen_instances(&"simulator".into()).unwrap();
    assert_eq!(seen.len(), 1, "it is forgotten: {seen:?}");
}
