//! Doubt is no permission: what looks twice like one thing, what is half gone, what an edit took away and gave back.

use std::collections::BTreeSet;
use std::time::Duration;

use chrono::TimeDelta;
use rds_retentiond::cli::exit;
use serde_json::json;

use super::world::{KEEP_3, World, backup_id, decided, decisions, fleet, ids, instance_id};

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
async fn an_edit_that_takes_a_backup_out_of_scope_and_back_restarts_its_grace_period() {
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

/// The same backup under two instances: one of the two listings is wrong, and nobody can tell which.
#[tokio::test]
async fn an_id_that_two_instances_list_is_sent_for_neither() {
    // What instance 2 lists, as which of instance 1: due under both, under the one, under the other.
    for (listed, as_if) in [(5, 6), (1, 5), (6, 1)] {
        let world = World::new(&[8, 8, 8]).await;
        world
            .simulator
            .patch(&backup_id(2, listed), json!({"id": backup_id(1, as_if)}));
        // Also where no state remembers what was listed.
        let plan = world.plan().await.exits(0).json();
        assert_eq!(plan["skipped"].as_array().unwrap().len(), 2, "{listed} as {as_if}");
        let report = world.apply().await.exits(1).json();
        world.deleted_exactly(&ids(3, 3..8));
        let skipped: BTreeSet<&str> = report["skipped"]
            .as_array()
            .unwrap()
            .iter()
            .inspect(|skip| assert_eq!(skip["reason"], "listing"))
            .map(|skip| skip["instance_id"].as_str().unwrap())
            .collect();
        let both = [instance_id(1), instance_id(2)];
        assert_eq!(
            skipped,
            both.iter().map(String::as_str).collect(),
            "{listed} as {as_if}"
        );
        // Nothing of these listings is believed.
        let counts = world.ledger().believed(&"simulator".into()).unwrap();
        assert_eq!(
            counts.backups.keys().map(ToString::to_string).collect::<Vec<_>>(),
            [instance_id(3)]
        );
        // When the listings have agreed for seven days, all goes on.
        world.simulator.patch(&backup_id(2, listed), json!({}));
        world.apply().await.exits(1);
        world.deleted_exactly(&ids(3, 3..8));
        assert_eq!(run(&world, 7 * 24 + 1).await, 0);
        world.deleted_exactly(&(1..=3).flat_map(|instance| ids(instance, 3..8)).collect());
    }
}

/// The two instances are listed by the passes of two policies.
#[tokio::test]
async fn an_id_that_another_pass_listed_under_another_instance_is_not_sent() {
    let world = World::new(&[8, 8]).await;
    world.policies(
        "
  - {name: a, mode: enforce, keep: {last: 3}, grace: 0s, limits: {max_percent: 100}, select: {instances: {names: [mssql-1]}}}
  - {name: b, mode: dry-run, keep: {last: 9}, select: {instances: {names: [mssql-2]}}}
",
    );
    world.simulator.patch(&backup_id(2, 1), json!({"id": backup_id(1, 5)}));
    world.run(&["apply", "--policy", "b"]).await.exits(0);
    for command in ["plan", "apply"] {
        let args = [command, "--policy", "a", "--format", "json"];
        let report = world.run(&args).await.exits(i32::from(command == "apply")).json();
        assert_eq!(report["skipped"][0]["instance_id"], instance_id(1));
        let message = report["skipped"][0]["message"].as_str().unwrap();
        assert!(
            message.contains(&backup_id(1, 5)) && message.contains(&instance_id(2)),
            "{message}"
        );
    }
    world.deleted_exactly(&BTreeSet::new());
    // It was the other listing that was wrong.
    world.simulator.patch(&backup_id(2, 1), json!({}));
    world.run(&["apply", "--policy", "b"]).await.exits(1);
    world.run(&["apply", "--policy", "a"]).await.exits(1);
    world.deleted_exactly(&BTreeSet::new());
    let mut later = world.pass().later(TimeDelta::days(8));
    later.policies = Some(vec!["a".into()]);
    later.run().await;
    world.deleted_exactly(&ids(1, 3..8));
}

/// One instance in two projects: what the one lists of it says nothing of what the other would delete.
#[tokio::test]
async fn an_instance_that_two_projects_list_is_left_alone() {
    let world = World::new(&[8, 8]).await;
    let second = World::with(|options| {
        options.fleet = fleet(&[0, 8, 8]);
        // One key for both projects.
        options.keys[0].access = world.simulator.access_key().to_owned();
        options.project_id = "0123456789abcdef0123456789abcdef".to_owned();
    })
    .await;
    let other = second
        .simulator
        .config_yaml()
        .replace("projects:\n", "")
        .replace("name: simulator", "name: other");
    // Instance 3 is in the second project alone; 1 has no backups there.
    world.configure(&format!("{}{other}", world.simulator.config_yaml()), KEEP_3, "");
    let report = world.apply().await.exits(1).json();
    world.deleted_exactly(&BTreeSet::new());
    second.deleted_exactly(&ids(3, 3..8));
    let skipped = report["skipped"].as_array().unwrap().iter().map(|skip| {
        let text = |key: &str| skip[key].as_str().unwrap().to_owned();
        (text("project"), text("instance_id"), text("reason"))
    });
    let both = |instance| {
        ["other", "simulator"].map(|project| (project.to_owned(), instance_id(instance), "listing".to_owned()))
    };
    assert_eq!(
        skipped.collect::<BTreeSet<_>>(),
        both(1).into_iter().chain(both(2)).collect()
    );
}

/// Whoever types an id in capitals means the backup: what protects goes by letters, not by their case.
#[tokio::test]
async fn ids_in_capitals_protect_as_well() {
    let world = World::new(&[8, 8]).await;
    let capital = |id: String| id.to_uppercase();
    let leave_out = format!(
        "{}    select: {{instances: {{exclude_ids: [{}]}}}}\n",
        KEEP_3.trim_end_matches('\n').to_owned() + "\n",
        capital(instance_id(2))
    );
    // The state knows the backups, and a grace has begun.
    let waits = leave_out.replace("grace: 0s", "grace: 1d");
    let holds = format!("holds: [{{backup: {}, reason: case 4711}}]", capital(backup_id(1, 7)));
    world.policies_and(&waits, &holds);
    world.apply().await.exits(0);
    let hold = |args: Vec<String>| {
        let world = &world;
        async move {
            let args: Vec<&str> = ["hold", "--reason", "mine"]
                .into_iter()
                .chain(args.iter().map(String::as_str))
                .collect();
            world.run(&args).await.exits(0)
        }
    };
    // Known by its letters: no --force.
    hold(vec![capital(backup_id(1, 6))]).await;
    let covered = hold(vec![
        "--instance".to_owned(),
        "*0001IN04".to_owned(),
        "--name".to_owned(),
        "nightly-5".to_owned(),
    ])
    .await;
    assert!(
        covered.stdout.contains("covers 1, of 1 instances"),
        "{}",
        covered.stdout
    );
    world.pass().later(TimeDelta::hours(25)).run().await;
    world.deleted_exactly(&ids(1, 3..5));
    // Released by the id as it is. A hold's end restarts the grace period.
    world.run(&["release", &backup_id(1, 6)]).await.exits(0);
    world.pass().later(TimeDelta::hours(26)).run().await;
    world.deleted_exactly(&ids(1, 3..5));
    world.pass().later(TimeDelta::hours(51)).run().await;
    world.deleted_exactly(&ids(1, [3, 4, 6]));
}
