//! What is mistyped or covers nothing is named, and what may have been meant.

use super::super::world::{World, backup_id, ids, instance_id};

#[tokio::test]
async fn what_somebody_else_has_released_or_deleted_meanwhile_is_1_and_what_never_was_is_64() {
    let world = World::new(&[4]).await;
    world.policies(&super::super::world::KEEP_3.replace("enforce", "dry-run"));
    world.apply().await.exits(0);
    let id = backup_id(1, 1);
    world.run(&["hold", &id, "--reason", "x"]).await.exits(0);
    world.run(&["release", "h1"]).await.exits(0);
    for name in ["h1", "H1", &id] {
        world
            .run(&["release", name])
            .await
            .exits(1)
            .says("not in force any more");
    }
    world.run(&["release", "h2"]).await.exits(64).says("no active hold");
}

/// What is written and covers nothing is said wherever somebody looks, and is no error.
#[tokio::test]
async fn what_covers_nothing_is_named_by_check_plan_and_run() {
    let world = World::new(&[8]).await;
    let policies = "
  - name: p
    mode: enforce
    select: {instances: {exclude_names: [\"MSSQL-9\"], exclude_ids: [mssql-1]}, backups: {exclude_names: [\"golden-*\"]}}
    keep: {last: 3, names: [\"^rel-.*\", \"nightly-[67]\"]}
    grace: 0s
    limits: {max_percent: 100}
";
    let holds = format!(
        "holds:\n- {{backup: {}, reason: a}}\n- {{backup: {}x, reason: b}}\n- {{instance: mssql-1, reason: c}}\n- {{name: \"NIGHTLY-*\", reason: d}}\n- {{name: nightly-4, reason: e}}\n",
        backup_id(1, 5).to_uppercase(),
        backup_id(1, 3),
    );
    world.policies_and(policies, &holds);
    let report = world.apply().await.exits(0).json();
    let notices: Vec<String> = serde_json::from_value(report["notices"].clone()).unwrap();
    let wanted = [
        ("`^rel-.*` has `^`", "regular expression"),
        ("`^rel-.*` covers no backup", ""),
        ("exclude_names `MSSQL-9` covers no instance", ""),
        (
            "exclude_ids `mssql-1` covers no instance",
            "that is an instance's name; its id is",
        ),
        ("exclude_names `golden-*` covers no backup", ""),
        (
            &format!("backup {}x) covers no backup", backup_id(1, 3)),
            "config.yaml:",
        ),
        (
            "(backups of instances mssql-1) covers no backup",
            "`instance` takes ids",
        ),
        ("(backups named NIGHTLY-*) covers no backup", "differs in case"),
    ];
    for (what, hint) in wanted {
        let found = notices.iter().find(|notice| notice.contains(what));
        assert!(
            found.is_some_and(|notice| notice.contains(hint)),
            "{what} {hint}: {notices:#?}"
        );
    }
    assert_eq!(
        notices.len(),
        wanted.len(),
        "what covers something is not named: {notices:#?}"
    );
    world.deleted_exactly(&ids(1, [3]));
    assert_eq!(
        world.plan().await.exits(0).json()["notices"].as_array().unwrap().len(),
        notices.len()
    );
    let checked = world
        .run(&["check", "--strict", "--format", "json"])
        .await
        .exits(0)
        .json();
    assert_eq!(checked["notices"].as_array().unwrap().len(), notices.len());
    let checked = world.run(&["check"]).await.exits(0);
    assert!(checked.stdout.contains("note: hold at "), "{checked:?}");
    // A run before says nothing: there is nothing to look in.
    let new = World::new(&[8]).await;
    new.policies_and(super::super::world::KEEP_3, "holds: [{name: other-*, reason: x}]");
    assert_eq!(
        new.run(&["check", "--format", "json"]).await.exits(0).json()["notices"],
        serde_json::json!([])
    );
}

#[tokio::test]
async fn hold_says_what_a_mistyped_name_or_id_may_mean() {
    let world = World::new(&[4]).await;
    world.apply().await.exits(0);
    let mistaken = world
        .run(&["hold", "--instance", "mssql-1", "--reason", "x"])
        .await
        .exits(0);
    assert!(
        mistaken.stdout.contains("WARNING") && mistaken.stdout.contains("its id is"),
        "{mistaken:?}"
    );
    let odd = world
        .run(&["hold", "--name", "^nightly", "--reason", "x"])
        .await
        .exits(0);
    assert!(odd.stdout.contains("regular expression"), "{odd:?}");
    let name = world.run(&["hold", "nightly-2", "--reason", "x"]).await.exits(64);
    name.says("that is a backup's name").says(&backup_id(1, 2));
    // Nor with --force: it would hold nothing, and the backup that was meant would go.
    let begin = &backup_id(1, 2)[..backup_id(1, 2).len() - 4];
    for typed in ["nightly-2", begin] {
        let forced = world.run(&["hold", typed, "--force", "--reason", "x"]).await.exits(64);
        forced.says("hold it by its id");
    }
    let unseen = world
        .run(&["hold", "0123abcdbr04", "--force", "--reason", "x"])
        .await
        .exits(0);
    assert!(
        unseen.stdout.contains("WARNING: no run has ever seen this id"),
        "{unseen:?}"
    );
    world.run(&["release", "0123abcdbr04"]).await.exits(0);
    let good = world
        .run(&["hold", "--name", "nightly-*", "--reason", "x", "--until", "7d"])
        .await
        .exits(0);
    assert!(!good.stdout.contains("WARNING"), "{good:?}");
    let listing = world.run(&["approve", "--listing", "mssql-1"]).await.exits(64);
    listing.says("that is an instance's name").says(&instance_id(1));
    // A hold is released by its backup's id in any case, as it is placed.
    let id = backup_id(1, 1);
    world.run(&["hold", &id, "--reason", "x"]).await.exits(0);
    world
        .run(&["release", &id.to_uppercase(), "--reason", "done"])
        .await
        .exits(0);
    world.run(&["release", "H1"]).await.exits(0);
    world.run(&["audit", "verify"]).await.exits(0);
}

/// A `state_dir` that is misspelt has no holds, and that says nothing about those of the one that was meant.
#[tokio::test]
async fn where_no_state_is_that_is_said() {
    let world = World::new(&[4]).await;
    for look in [&["holds"][..], &["status"], &["why", "0123abcd"]] {
        world.run(look).await.says("there is no ledger here");
    }
    world.apply().await.exits(0);
    for look in [&["holds"][..], &["status"]] {
        let shown = world.run(look).await.exits(0);
        assert!(!shown.stderr.contains("there is no ledger here"), "{shown:?}");
    }
}

#[tokio::test]
async fn commands_of_other_programs_name_the_one_that_is_meant() {
    let world = World::new(&[1]).await;
    world.run(&["validate"]).await.exits(0);
    for (typed, meant) in [
        ("prune", "`apply`"),
        ("forget", "`apply`"),
        ("delete", "`apply`"),
        ("expire", "`apply`"),
        ("explain", "`why"),
        ("list", "`plan"),
    ] {
        let ran = world.run(&[typed]).await.exits(64).says(meant);
        assert_eq!(ran.stdout, "");
    }
    world.run(&["typo"]).await.exits(64).says("typo");
}

#[tokio::test]
async fn history_knows_policies_that_are_or_were() {
    let world = World::new(&[1]).await;
    world.apply().await.exits(0);
    world.run(&["history", "--policy", "p"]).await.exits(0);
    world.run(&["history", "--policy", "typo"]).await.exits(64).says("typo");
    world.policies(&super::super::world::KEEP_3.replace("name: p", "name: q"));
    world.run(&["history", "--policy", "q"]).await.exits(0);
    world.run(&["history", "--policy", "p"]).await.exits(0);
}
