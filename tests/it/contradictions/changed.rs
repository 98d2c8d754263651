//! Backups that say something else than an earlier run saw: kept and not counted until a person accepts it.

use rds_retentiond::simulator::Status;
use serde_json::{Value, json};

use super::super::world::{KEEP_3, World, backup, backup_id, begun, ids, instance_id};
use super::{rules, run, written};

/// Deletes nothing, learns what is there, then lies.
async fn learned(backups: &[usize]) -> World {
    let world = World::new(backups).await;
    world.policies(&KEEP_3.replace("last: 3", "last: 50"));
    world.apply().await.exits(0);
    world.policies(KEEP_3);
    world
}

/// Five partial backups say nothing of their databases any more: as full ones they would fill the slots of the full ones.
#[tokio::test]
async fn a_partial_backup_that_names_no_database_any_more_is_no_full_one() {
    let partial = |world: &World, is_named: bool| {
        for number in 0..5 {
            let databases = json!([{"name": "orders"}]);
            world.simulator.patch(
                &backup_id(1, number),
                json!({"databases": if is_named { databases } else { Value::Null }}),
            );
        }
    };
    let world = World::new(&[10]).await;
    partial(&world, true);
    world.policies(&KEEP_3.replace("last: 3", "last: 50"));
    world.apply().await.exits(0);
    world.policies(KEEP_3);
    partial(&world, false);
    let report = world.apply().await.exits(0).json();
    for number in 0..5 {
        assert_eq!(rules(&report, &backup_id(1, number)), ["changed"], "{number}");
    }
    // The full ones that are really there: three of them stay.
    world.deleted_exactly(&ids(1, 8..10));
    // Said wherever somebody looks: nothing of them goes any more.
    let said = format!(
        "5 backups of 1 instance say something else than an earlier run saw, and are kept until `approve --listing` with the instance's id: mssql-1 ({}: 5)",
        instance_id(1)
    );
    assert!(report["notices"].to_string().contains(&said), "{}", report["notices"]);
    for look in [
        &["status", "--format", "json"][..],
        &["check"],
        &["plan", "--format", "json"],
    ] {
        let shown = world.run(look).await.stdout.replace('\n', " ");
        let shown = shown.split_whitespace().collect::<Vec<_>>().join(" ");
        assert!(shown.contains("5 backups of 1 instance say something else"), "{shown}");
    }
    // It goes on, run after run, until a person says that it is right.
    let report = world.plan().await.exits(0).json();
    assert_eq!(rules(&report, &backup_id(1, 4)), ["changed"]);
    let why = world.run(&["why", &backup_id(1, 4)]).await.exits(0).stdout;
    let command = format!("approve --listing {}", instance_id(1));
    assert!(
        why.contains("changed since an earlier run") && why.contains(&command),
        "{why}"
    );
    world.run(&["approve", "--listing", &instance_id(1)]).await.exits(0);
    let report = world.apply().await.exits(0).json();
    assert!(
        !report["notices"].to_string().contains("say something else"),
        "{report}"
    );
    world.deleted_exactly(&ids(1, 3..10));
    // What was accepted is what is compared from now on.
    let report = world.apply().await.exits(0).json();
    assert_eq!(rules(&report, &backup_id(1, 1)), ["last"]);
}

/// The twin: partial ones that go on naming their database, and a backup that was still being made when it was first seen.
#[tokio::test]
async fn what_says_the_same_as_before_and_what_was_still_being_made_goes() {
    let world = World::new(&[10]).await;
    let named = json!({"databases": [{"name": "orders"}]});
    for number in 0..5 {
        world.simulator.patch(&backup_id(1, number), named.clone());
    }
    world.simulator.set_status(&backup_id(1, 9), Status::Building);
    world.simulator.patch(
        &backup_id(1, 9),
        json!({"begin_time": written(begun(20)), "end_time": null, "databases": named["databases"]}),
    );
    world.policies(&KEEP_3.replace("last: 3", "last: 50"));
    world.apply().await.exits(0);
    world.policies(KEEP_3);
    world.simulator.set_status(&backup_id(1, 9), Status::Completed);
    world.simulator.patch(&backup_id(1, 9), json!({}));
    world.apply().await.exits(0);
    world.deleted_exactly(&[3, 4, 8, 9].map(|number| backup_id(1, number)).into());
}

/// Everything that decides is compared, not the databases alone.
#[tokio::test]
async fn whatever_decides_and_is_changed_is_kept_and_not_counted() {
    // Of 0, which fills a slot; of 6, which is due.
    for (number, patch) in [
        (0, json!({"begin_time": written(begun(5))})),
        (
            6,
            json!({"begin_time": written(begun(7)), "end_time": written(begun(6))}),
        ),
        (6, json!({"databases": [{"name": "orders"}]})),
        (6, json!({"status": "FAILED"})),
        (6, json!({"name": "another"})),
        (6, json!({"name": null})),
    ] {
        let world = learned(&[10]).await;
        world.simulator.patch(&backup_id(1, number), patch.clone());
        let report = world.apply().await.exits(0).json();
        let found = rules(&report, &backup_id(1, number));
        assert!(found.contains(&"changed".to_owned()), "{patch}: {found:?}");
        let mut due = ids(1, 3..10);
        due.remove(&backup_id(1, number));
        if number == 0 {
            due.remove(&backup_id(1, 3));
        }
        world.deleted_exactly(&due);
        // It says what it said: it is decided again.
        world.simulator.patch(&backup_id(1, number), json!({}));
        world.apply().await.exits(0);
        world.deleted_exactly(&ids(1, 3..10));
    }
}

/// Its listing was without it for a while, and then it is back as another one.
#[tokio::test]
async fn a_backup_that_comes_back_changed_is_compared_with_what_it_was() {
    let world = World::new(&[10]).await;
    let id = backup_id(1, 0);
    world.simulator.patch(&id, json!({"databases": [{"name": "orders"}]}));
    world.policies(&KEEP_3.replace("last: 3", "last: 50"));
    assert_eq!(run(&world, 0).await, 0);
    assert!(world.simulator.remove_backup(&id));
    assert_eq!(run(&world, 1).await, 0);
    assert!(world.simulator.add_backup(backup(1, 0)));
    world.simulator.patch(&id, json!({}));
    world.policies(KEEP_3);
    assert_eq!(run(&world, 2).await, 0);
    world.deleted_exactly(&ids(1, 4..10));
}
