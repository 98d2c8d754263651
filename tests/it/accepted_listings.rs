//! `approve --listing` accepts exactly what a run saw and did not believe: whatever is listed later is in doubt again.

use chrono::TimeDelta;
use serde_json::{Value, json};

use super::world::{KEEP_3, World, backup_id, begun, ids, instance_id};

/// A time as the API writes it.
fn written(days: usize) -> Value {
    json!(begun(days).format("%Y-%m-%dT%H:%M:%S+0000").to_string())
}

/// Lists a backup as one that was begun so many days ago.
fn redate(world: &World, number: usize, days: usize) {
    let patch = json!({"begin_time": written(days), "end_time": written(days)});
    world.simulator.patch(&backup_id(1, number), patch);
}

async fn accept(world: &World, target: &str) -> String {
    world.run(&["approve", "--listing", target]).await.exits(0).stdout
}

/// A policy that protects by tags, and one that takes the rest.
const BY_TAG: &str = "
  - {name: gold, mode: enforce, keep: {last: 50}, grace: 0s, select: {instances: {tags: {tier: gold}}}}
  - {name: p, mode: enforce, keep: {last: 3}, grace: 0s, limits: {max_percent: 100}}
";

#[tokio::test]
async fn what_changes_after_the_acceptance_is_kept_and_what_was_accepted_goes() {
    let world = World::new(&[10]).await;
    world.policies(&KEEP_3.replace("last: 3", "last: 50"));
    world.apply().await.exits(0);
    world.policies(&KEEP_3.replace("last: 3", "last: 1"));
    redate(&world, 8, 100);
    redate(&world, 9, 101);
    world.apply().await.exits(0);
    world.deleted_exactly(&ids(1, 1..8));
    let said = accept(&world, &instance_id(1)).await;
    assert!(
        said.contains(&backup_id(1, 8)) && said.contains(&backup_id(1, 9)),
        "{said}"
    );
    // One that was accepted says something that no run has seen yet.
    redate(&world, 8, 102);
    world.apply().await.exits(0);
    world.deleted_exactly(&ids(1, [1, 2, 3, 4, 5, 6, 7, 9]));
    accept(&world, &instance_id(1)).await;
    world.apply().await.exits(0);
    world.deleted_exactly(&ids(1, 1..10));
}

#[tokio::test]
async fn an_acceptance_of_backups_covers_no_tags_that_vanish_later() {
    let world = tagged_gold().await;
    redate(&world, 7, 100);
    world.apply().await.exits(0);
    accept(&world, &instance_id(1)).await;
    world.simulator.patch(&instance_id(1), json!({"tags": []}));
    world.apply().await.exits(1);
    world.deleted_exactly(&ids(1, 8..8));
    accept(&world, &instance_id(1)).await;
    world.apply().await.exits(0);
    world.deleted_exactly(&ids(1, 3..8));
}

#[tokio::test]
async fn a_listing_that_shrinks_further_than_was_accepted_is_left_alone() {
    let world = World::new(&[30]).await;
    world.policies(&KEEP_3.replace("last: 3", "last: 50"));
    world.apply().await.exits(0);
    world.policies(KEEP_3);
    for number in 0..16 {
        world.simulator.remove_backup(&backup_id(1, number));
    }
    world.apply().await.exits(3);
    let said = accept(&world, &instance_id(1)).await;
    assert!(said.contains("a list of 14 entries"), "{said}");
    assert!(
        said.contains("16 missing backups") && said.contains(&backup_id(1, 15)),
        "{said}"
    );
    for number in 16..20 {
        world.simulator.remove_backup(&backup_id(1, number));
    }
    world.apply().await.exits(3);
    world.deleted_exactly(&ids(1, 8..8));
    accept(&world, &instance_id(1)).await;
    world.apply().await.exits(0);
    world.deleted_exactly(&ids(1, 23..30));
}

/// As many others in their place are no part of what was accepted; what is new beside them takes nothing away.
#[tokio::test]
async fn other_entries_than_those_that_were_accepted_are_not_believed() {
    for is_new in [false, true] {
        let world = World::new(&[20]).await;
        world.policies(&KEEP_3.replace("last: 3", "last: 50"));
        world.apply().await.exits(0);
        world.policies(KEEP_3);
        let gone: Vec<_> = (6..20)
            .map(|number| world.simulator.backup(&backup_id(1, number)).unwrap())
            .collect();
        for backup in &gone {
            world.simulator.remove_backup(&backup.id);
        }
        world.apply().await.exits(3);
        accept(&world, &instance_id(1)).await;
        if is_new {
            world.simulator.add_backup(super::world::backup(1, 40));
            world.apply().await.exits(0);
            world.deleted_exactly(&ids(1, [3, 4, 5, 40]));
        } else {
            world.simulator.remove_backup(&backup_id(1, 0));
            for backup in gone.iter().take(3) {
                world.simulator.add_backup(backup.clone());
            }
            world.apply().await.exits(3);
            world.deleted_exactly(&ids(1, 20..20));
        }
    }
}

/// Two things that cannot be read cannot be told apart.
#[tokio::test]
async fn tags_that_cannot_be_read_cannot_be_accepted() {
    let world = tagged_gold().await;
    for odd in [
        json!("x"),
        json!([7]),
        json!({"tier": "gold"}),
        json!([{"key": "tier"}]),
    ] {
        world.simulator.patch(&instance_id(1), json!({"tags": odd}));
        let report = world.apply().await.exits(1).json();
        let message = report["skipped"][0]["message"].as_str().unwrap();
        assert!(message.contains("until they can be read"), "{message}");
        world.run(&["approve", "--listing", &instance_id(1)]).await.exits(1);
    }
    world.deleted_exactly(&ids(1, 8..8));
}

/// An instance with a tag by which a policy keeps all of it, seen once.
async fn tagged_gold() -> World {
    let world = World::new(&[8]).await;
    world.simulator.change_instance(&instance_id(1), |instance| {
        instance.tags = vec![("tier".to_owned(), "gold".to_owned())];
    });
    world.policies(BY_TAG);
    world.apply().await.exits(0);
    world
}

/// What no run has recorded cannot be accepted; nor what no run doubts.
#[tokio::test]
async fn what_is_not_in_doubt_cannot_be_accepted_ahead() {
    let world = World::new(&[8]).await;
    world.policies(&KEEP_3.replace("last: 3", "last: 50"));
    world.apply().await.exits(0);
    world.policies(KEEP_3);
    redate(&world, 7, 100);
    let ran = world.run(&["approve", "--listing", &instance_id(1)]).await.exits(1);
    assert!(ran.stderr.contains("nothing was accepted"), "{}", ran.stderr);
    world.run(&["approve", "--listing", "simulator"]).await.exits(1);
    world.run(&["approve", "--listing", "nothing"]).await.exits(64);
    world.apply().await.exits(0);
    world.deleted_exactly(&ids(1, 3..7));
    // It says the same as before again: the doubt is over.
    world.simulator.patch(&backup_id(1, 7), json!({}));
    world.apply().await.exits(0);
    world.deleted_exactly(&ids(1, 3..8));
    world.run(&["approve", "--listing", &instance_id(1)]).await.exits(1);
}

/// An id that comes back in capitals is not a backup that was never seen.
#[tokio::test]
async fn a_backup_under_its_id_in_capitals_is_in_doubt_run_after_run() {
    let world = World::new(&[8]).await;
    world.policies(&KEEP_3.replace("last: 3", "last: 50"));
    world.apply().await.exits(0);
    world.policies(KEEP_3);
    let id = backup_id(1, 7);
    world
        .simulator
        .patch(&id, json!({"id": id.to_ascii_uppercase(), "databases": []}));
    for _ in 0..3 {
        world.apply().await.exits(0);
        world.deleted_exactly(&ids(1, 3..7));
    }
}

/// The API lists an empty array where there are no tags (API page "Querying DB Instances"): no list at all is no word on tags.
#[tokio::test]
async fn an_instance_without_a_list_of_tags_at_first_sight_is_left_alone_where_policies_select_by_tags() {
    let by_project = BY_TAG.replace("tags: {tier: gold}", "enterprise_projects: [\"7\"]");
    for (policies, patch, what) in [
        (BY_TAG, json!({"tags": null}), "tags"),
        (BY_TAG, json!({"tags": {"$null": true}}), "tags"),
        (
            &by_project,
            json!({"enterprise_project_id": null}),
            "enterprise project",
        ),
        (
            &by_project,
            json!({"enterprise_project_id": {"$null": true}}),
            "enterprise project",
        ),
    ] {
        let world = World::new(&[8, 8]).await;
        world.policies(policies);
        world.simulator.patch(&instance_id(1), patch.clone());
        for _ in 0..2 {
            let report = world.apply().await.exits(1).json();
            let message = report["skipped"][0]["message"].as_str().unwrap();
            assert!(
                message.contains(what) && message.contains("approve --listing"),
                "{message}"
            );
            world.deleted_exactly(&ids(2, 3..8));
        }
        // Accepted once, it stays so while nothing else is listed.
        accept(&world, &instance_id(1)).await;
        for _ in 0..2 {
            world.apply().await.exits(0);
            world.deleted_exactly(&ids(1, 3..8).into_iter().chain(ids(2, 3..8)).collect());
        }
        world.simulator.patch(&instance_id(1), json!({"tags": [7]}));
        world.apply().await.exits(1);
        // The twin: no policy looks at it.
        let world = World::new(&[8]).await;
        world.policies(KEEP_3);
        world.simulator.patch(&instance_id(1), patch);
        world.apply().await.exits(0);
        world.deleted_exactly(&ids(1, 3..8));
    }
}

/// The list of instances lacks it, asking for its id finds it: it is there, and was at each time it was found.
#[tokio::test]
async fn an_instance_that_its_id_finds_is_not_deleted_and_its_absence_restarts() {
    const EXPIRE: &str = "
  - name: p
    mode: enforce
    keep: {last: 20}
    grace: 0s
    limits: {max_percent: 100}
    select: {deleted_instances: {expire_after: 10d}}
";
    let world = World::new(&[8, 8]).await;
    world.policies(EXPIRE);
    let run = async |hours| world.pass().later(TimeDelta::hours(hours)).run().await;
    run(0).await;
    // A list of SQL Server instances does not have it.
    let set = |engine| {
        world
            .simulator
            .change_instance(&instance_id(1), |instance| instance.engine = engine)
    };
    set(rds_retentiond::simulator::Engine::MySql);
    for hours in [1, 13, 26, 120, 240, 300] {
        let report = run(hours).await;
        let skip = &report.skipped[0];
        assert_eq!(
            skip.instance.as_ref().unwrap().as_str(),
            instance_id(1),
            "after {hours} h"
        );
        assert!(skip.message.contains("asking for its id finds it"), "{}", skip.message);
    }
    // Now it is deleted: three runs over a day, and then ten days from the first of them.
    set(rds_retentiond::simulator::Engine::SqlServer);
    assert!(world.simulator.remove_instance(&instance_id(1)));
    for hours in [301, 313, 326, 400, 540] {
        assert!(run(hours).await.skipped.is_empty(), "after {hours} h");
        world.deleted_exactly(&ids(1, 8..8));
    }
    run(542).await;
    world.deleted_exactly(&ids(1, 0..8));
}
