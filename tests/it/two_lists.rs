//! What two listings say of one thing, in one run or in runs apart: two projects of an instance, manual and automated listings of a backup.

use std::collections::BTreeSet;

use chrono::TimeDelta;
use rds_retentiond::cli::exit;
use rds_retentiond::simulator::{BackupKind, Fleet};
use serde_json::{Value, json};

use super::world::{KEEP_3, World, backup_id, begun, fleet, ids, instance_id};

const A_AND_B: &str = "
  - {name: a, mode: enforce, schedule: \"0 3 * * *\", keep: {last: 50}, grace: 0s, select: {projects: [simulator]}, limits: {max_percent: 100}}
  - {name: b, mode: enforce, schedule: \"0 4 * * *\", keep: {last: 3}, grace: 0s, select: {projects: [other]}, limits: {max_percent: 100}}
";

/// A second project of the same configuration, with so many backups an instance.
async fn with_second(world: &World, backups: &[usize]) -> World {
    let second = World::with(|options| {
        options.fleet = fleet(backups);
        "0123456789abcdef0123456789abcdef".clone_into(&mut options.project_id);
        // One key for both projects.
        world.simulator.access_key().clone_into(&mut options.keys[0].access);
    })
    .await;
    let other = second.simulator.config_yaml().replace("projects:\n", "");
    let other = other.replace("name: simulator", "name: other");
    world.configure(&format!("{}{other}", world.simulator.config_yaml()), A_AND_B, "");
    second
}

async fn run(world: &World, policy: &str, hours: i64) -> u8 {
    let mut pass = world.pass().later(TimeDelta::hours(hours));
    pass.policies = Some(vec![policy.into()]);
    exit::of_run(&pass.run().await)
}

/// Policy `a` keeps all of the instance that both projects list; run alone, `b` knows it from the run before.
#[tokio::test]
async fn an_instance_that_another_project_listed_within_seven_days_is_left_alone() {
    for first in [vec!["apply"], vec!["apply", "--policy", "a"]] {
        let world = World::new(&[8]).await;
        // Instance 2 is in the second project alone: it is managed all the time.
        let second = with_second(&world, &[8, 8]).await;
        world.run(&first).await.exits(i32::from(first.len() == 1));
        let report = world
            .run(&["apply", "--policy", "b", "--format", "json"])
            .await
            .exits(1)
            .json();
        let skip = &report["skipped"][0];
        assert_eq!(
            (&skip["project"], &skip["instance_id"]),
            (&json!("other"), &json!(instance_id(1)))
        );
        let message = skip["message"].as_str().unwrap();
        assert!(
            message.contains("project simulator lists this instance, too"),
            "{message}"
        );
        for hours in [24, 6 * 24] {
            assert_eq!(run(&world, "b", hours).await, 1, "{hours}");
        }
        second.deleted_exactly(&ids(2, 3..8));
        // What was listed longer ago is no contradiction any more.
        assert_eq!(run(&world, "b", 7 * 24 + 1).await, 0);
        second.deleted_exactly(&ids(2, 3..8).into_iter().chain(ids(1, 3..8)).collect());
        world.deleted_exactly(&BTreeSet::new());
    }
}

/// The same of backups: instance 2 of the one project lists those of instance 1 of the other one.
#[tokio::test]
async fn a_backup_that_an_instance_of_another_project_listed_is_contested_in_runs_apart() {
    let world = World::new(&[8]).await;
    let second = with_second(&world, &[0, 8]).await;
    for number in 0..8 {
        let patch = json!({"id": backup_id(1, number)});
        second.simulator.patch(&backup_id(2, number), patch);
    }
    assert_eq!(run(&world, "a", 0).await, 0);
    for hours in [1, 24] {
        assert_eq!(run(&world, "b", hours).await, 1, "{hours}");
    }
    assert!(second.asked().is_empty() && world.asked().is_empty());
    // The twin lists its own.
    for number in 0..8 {
        second.simulator.patch(&backup_id(2, number), json!({}));
    }
    assert_eq!(run(&world, "b", 8 * 24).await, 0);
    second.deleted_exactly(&ids(2, 3..8));
}

/// Manual backups of four days and more, and an automated one of an hour ago, which is listed as this patch makes it.
async fn with_recent_automated(patch: Value) -> World {
    let world = World::with(|options| {
        let Fleet::Given { instances, mut backups } = fleet(&[12]) else {
            unreachable!()
        };
        backups.retain(|one| one.id == backup_id(1, 0) || one.begin < begun(4) + TimeDelta::hours(1));
        backups[0].kind = BackupKind::Auto;
        options.fleet = Fleet::Given { instances, backups };
    })
    .await;
    world.policies(&KEEP_3.replace("last: 3", "last: 50"));
    world.apply().await.exits(0);
    world.policies(&format!("{KEEP_3}    require_backup_within: 3d\n"));
    world.simulator.patch(&backup_id(1, 0), patch);
    world
}

/// An id that is listed as a manual backup's, now or before, is none of an automated one: it proves no recent backup.
#[tokio::test]
async fn an_automated_backup_with_the_id_of_a_manual_one_is_not_recent() {
    for (id, is_gone) in [
        (backup_id(1, 8), false),
        (backup_id(1, 8).to_uppercase(), false),
        (backup_id(1, 8), true),
    ] {
        let world = with_recent_automated(json!({"id": id})).await;
        if is_gone {
            assert!(world.simulator.remove_backup(&backup_id(1, 8)));
        }
        let report = world.apply().await.exits(3).json();
        let refusal = &report["policies"][0]["refusal"];
        assert_eq!(refusal["limit"], "require_backup_within", "{id}");
        world.deleted_exactly(&BTreeSet::new());
    }
    let world = with_recent_automated(json!({})).await;
    world.apply().await.exits(0);
    world.deleted_exactly(&ids(1, 7..12));
}

/// A policy that protects by a tag, and one that takes the rest.
const BY_TAG: &str = "
  - {name: gold, mode: enforce, keep: {last: 50}, grace: 0s, select: {instances: {tags: {tier: gold}}}}
  - {name: p, mode: enforce, keep: {last: 3}, grace: 0s, limits: {max_percent: 100}}
";

#[tokio::test]
async fn an_instance_whose_tags_cannot_be_read_is_left_alone_from_the_first_sight_on() {
    for tags in [
        json!([{"key": "tier"}]),
        json!([{"key": "tier", "value": null}]),
        json!([{"key": "tier", "value": 7}]),
        json!([{"key": "", "value": "gold"}]),
        json!([{"value": "gold"}]),
        json!([{"key": "a", "value": "b"}, {}]),
        json!(["tier=gold"]),
        json!("tier=gold"),
        json!(7),
    ] {
        let world = World::new(&[8, 8]).await;
        world.policies(BY_TAG);
        world.simulator.patch(&instance_id(1), json!({"tags": tags}));
        for _ in 0..2 {
            let report = world.apply().await.exits(1).json();
            let skip = &report["skipped"][0];
            assert_eq!(skip["instance_id"], instance_id(1), "{tags}");
            assert!(skip["message"].as_str().unwrap().contains("tags"), "{skip}");
        }
        // The other instances of the list are believed.
        world.deleted_exactly(&ids(2, 3..8));
        // They can be read: the instance is what they say.
        world
            .simulator
            .patch(&instance_id(1), json!({"tags": [{"key": "tier", "value": "gold"}]}));
        world.apply().await.exits(0);
        world.deleted_exactly(&ids(2, 3..8));
    }
    // The twin: a tag that never had a value, which is its right.
    let world = World::new(&[8]).await;
    world.policies(BY_TAG);
    world
        .simulator
        .patch(&instance_id(1), json!({"tags": [{"key": "tier", "value": ""}]}));
    world.apply().await.exits(0);
    world.deleted_exactly(&ids(1, 3..8));
}
