//! Doubt is no permission: what looks twice like one thing, what is half gone, what an edit took away and gave back.

use std::collections::BTreeSet;
use std::time::Duration;

use chrono::TimeDelta;
use rds_retentiond::cli::exit;
use serde_json::json;

use super::world::{KEEP_3, World, backup_id, decided, decisions, ids, instance_id};

/// Keeps the last three after the grace of a day; `select` is what is selected.
fn with_grace(select: &str) -> String {
    format!(
        "\n  - name: p\n    mode: enforce\n    keep: {{last: 3}}\n    limits: {{max_percent: 100}}\n    select: {select}\n"
    )
}

async fn run(world: &World, hours: i64) -> u8 {
    let report = world.pass().later(TimeDelta::hours(hours)).run().await;
    exit::of_run(&report)
}

/// An edit that un-expires a backup ends its wait, also when it does so by no longer selecting it.
#[tokio::test]
async fn an_edit_that_takes_a_backup_out_of_scope_and_back_begins_its_wait_anew() {
    for out_of_scope in [
        "{backups: {exclude_names: [\"nightly-*\"]}}",
        "{backups: {names: [\"weekly-*\"]}}",
        "{instances: {exclude_names: [\"mssql-1\"]}}",
        "{instances: {ids: [0000in04]}}",
        "{projects: [other]}",
    ] {
        let world = World::new(&[8]).await;
        let other = world
            .simulator
            .config_yaml()
            .replace("projects:\n", "")
            .replace("name: simulator", "name: other")
            .replace(world.simulator.project_id(), "0123456789abcdef0123456789abcdef");
        let projects = format!("{}{other}", world.simulator.config_yaml());
        let policies = |select| world.configure(&projects, &with_grace(select), "");
        policies("{projects: [simulator]}");
        assert_eq!(run(&world, 0).await, 0);
        policies(out_of_scope);
        run(&world, 12).await;
        policies("{projects: [simulator]}");
        run(&world, 25).await;
        assert_eq!(world.asked(), BTreeSet::new(), "{out_of_scope}");
        run(&world, 48).await;
        assert_eq!(world.asked(), BTreeSet::new(), "{out_of_scope}");
        run(&world, 50).await;
        world.deleted_exactly(&ids(1, 3..8));
    }
}

/// The API accepted the deletion and still lists the backup as COMPLETED: it must not stand in for one that is kept.
#[tokio::test]
async fn a_backup_whose_deletion_was_accepted_fills_no_slot() {
    let world = World::new(&[3]).await;
    let policy = |keep: &str| {
        world.policies(&format!(
            "\n  - name: p\n    mode: enforce\n    keep: {keep}\n    grace: 0s\n    limits: {{max_percent: 100}}\n"
        ));
    };
    policy("{last: 1, names: [nightly-2]}");
    world.fault("delete_batch:ignore:times=1");
    world.run(&["apply", "--confirm-for", "0s"]).await.exits(0);
    assert_eq!(world.asked(), ids(1, [1]));
    policy("{last: 2}");
    let report = world.plan().await.exits(0).json();
    let rows = decisions(&report, "p");
    assert_eq!(
        rows[&backup_id(1, 1)]["reasons"][0]["rule"],
        "in_progress",
        "it is being deleted"
    );
    assert_eq!(decided(&report, "p", "delete"), BTreeSet::new());
    world.run(&["apply", "--confirm-for", "0s"]).await.exits(0);
    assert_eq!(world.asked(), ids(1, [1]), "with it, only two were left");
}

/// What is accepted and comes back is due again at once: its wait was over, and nobody kept it.
#[tokio::test]
async fn a_returned_backup_does_not_wait_for_its_grace_again() {
    let world = World::new(&[8]).await;
    world.policies(&with_grace("{projects: [simulator]}"));
    // A day ago there were seven, of which the last three stay; by now one more is expired, and waits.
    run(&world, -25).await;
    world.fault("delete_batch:ignore:times=1");
    run(&world, 0).await;
    assert_eq!((world.deleted(), world.asked()), (BTreeSet::new(), ids(1, 4..8)));
    run(&world, 0).await;
    assert_eq!(world.deleted(), BTreeSet::new(), "it may still be under way");
    run(&world, 1).await;
    world.deleted_exactly(&ids(1, 4..8));
}

/// Shrink guard: what this program deleted is subtracted from what is expected once, not in every later run.
#[tokio::test]
async fn what_was_confirmed_by_a_listing_is_not_subtracted_from_that_listing() {
    let world = World::new(&[20]).await;
    world
        .simulator
        .set(|settings| settings.deletion_takes = Duration::from_secs(3600));
    world.policies(&KEEP_3.replace("last: 3", "last: 10"));
    run(&world, 0).await;
    world.simulator.finish_deletions();
    run(&world, 0).await;
    world.deleted_exactly(&ids(1, 10..20));
    // Ten are left and known; somebody takes eight of them away.
    for number in 0..8 {
        world.simulator.remove_backup(&backup_id(1, number));
    }
    world.policies(&KEEP_3.replace("last: 3", "last: 1"));
    assert_eq!(run(&world, 0).await, 3);
    world.deleted_exactly(&ids(1, 10..20));
}

/// Two names for one project of the cloud: a policy on one name would not be asked about what the other deletes.
#[tokio::test]
async fn one_project_under_two_names_is_left_alone() {
    let both = |world: &World| {
        let first = world.simulator.config_yaml();
        // Its id is looked up, so the configuration alone does not tell.
        let second = first
            .replace("projects:\n", "")
            .replace("name: simulator", "name: again");
        let second: Vec<&str> = second.lines().filter(|line| !line.contains("project_id")).collect();
        format!("{first}{}\n", second.join("\n"))
    };
    let policies = "
  - {name: a, mode: enforce, keep: {last: 3}, grace: 0s, limits: {max_percent: 100}, select: {projects: [simulator]}}
  - {name: b, mode: enforce, keep: {last: 8}, grace: 0s, limits: {max_percent: 100}, select: {projects: [again]}}
";
    for args in [
        vec!["apply", "--format", "json"],
        vec!["apply", "--policy", "a", "--format", "json"],
        vec!["apply", "--policy", "b", "--format", "json"],
    ] {
        let world = World::new(&[8]).await;
        world.configure(&both(&world), policies, "");
        let ran = world.run(&args).await;
        world.deleted_exactly(&BTreeSet::new());
        let ran = ran.exits(78);
        let skipped = &ran.json()["skipped"][0];
        assert_eq!(skipped["instance_id"], json!(null), "{args:?}");
        let message = skipped["message"].as_str().unwrap();
        assert!(message.contains("one and the same project"), "{args:?}: {message}");
    }
    // With one name it works.
    let world = World::new(&[8]).await;
    world.apply().await.exits(0);
    world.deleted_exactly(&ids(1, 3..8));
}

/// A value that cannot be read may be the very one that protects: the listing is not believed.
#[tokio::test]
async fn names_and_tags_that_cannot_be_read_are_no_missing_names_and_tags() {
    let protect = "
  - {name: p, mode: enforce, keep: {last: 3, names: [\"nightly-7\"]}, grace: 0s, limits: {max_percent: 100}}
  - {name: q, mode: dry-run, keep: {last: 9}, select: {instances: {tags: {keep: \"*\"}}}}
  - {name: r, mode: dry-run, keep: {last: 9}, select: {instances: {enterprise_projects: [\"7\"]}}}
  - {name: s, mode: dry-run, keep: {last: 9}, select: {instances: {names: [\"gold-*\"]}}}
";
    for (id, patch) in [
        (backup_id(1, 7), json!({"name": 7})),
        (backup_id(1, 7), json!({"name": ["nightly-7"]})),
        (instance_id(1), json!({"name": {"value": "gold-1"}})),
        (instance_id(1), json!({"tags": "keep"})),
        (instance_id(1), json!({"tags": [["keep", "yes"]]})),
        (instance_id(1), json!({"tags": [{"key": ["keep"], "value": "yes"}]})),
        (instance_id(1), json!({"tags": [{"key": "keep", "value": true}]})),
        (instance_id(1), json!({"enterprise_project_id": 7})),
    ] {
        let world = World::new(&[8]).await;
        world.policies(protect);
        world.simulator.patch(&id, patch.clone());
        let report = world.apply().await.json();
        world.deleted_exactly(&BTreeSet::new());
        assert_eq!(report["skipped"][0]["reason"], "listing", "{patch}: {report}");
    }
}
