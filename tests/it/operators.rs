//! What people say while the daemon runs: freezes, approvals, holds. Nothing that one person says undoes what another
//! one did, and what is approved is what was read.

use std::collections::BTreeSet;

use chrono::TimeDelta;
use serde_json::Value;

use super::world::{World, backup, backup_id, ids, instance_id};

const FEW: &str = "
  - name: p
    mode: enforce
    keep: {last: 3}
    grace: 0s
    limits: {max_percent: 100, max_deletions: 2}
";

fn refusal(report: &Value) -> &Value {
    &report["policies"][0]["refusal"]
}

fn digest(report: &Value) -> String {
    refusal(report)["digest"].as_str().unwrap_or_default().to_owned()
}

#[tokio::test]
async fn a_freeze_ends_no_other_one_early() {
    let world = World::new(&[8]).await;
    world.run(&["apply", "--policy", "nobody"]).await.exits(64);
    let first = world.run(&["freeze", "--reason", "case 4711"]).await.exits(0);
    assert!(first.stdout.contains("Freeze f1 "), "{first:?}");
    let second = world
        .run(&["freeze", "--reason", "release night", "--until", "1h"])
        .await
        .exits(0);
    assert!(
        second.stdout.contains("Freeze f2 ") && second.stdout.contains("f1"),
        "{second:?}"
    );
    // The short one is over, the endless one is not.
    let report = world.pass().later(TimeDelta::hours(2)).run().await;
    assert_eq!(report.policies[0].refusals[0].limit(), "freeze");
    // Which one is meant must be said; nothing is ended by a guess.
    world
        .run(&["thaw"])
        .await
        .exits(64)
        .says("f1: case 4711")
        .says("f2: release night");
    world.run(&["thaw", "f7"]).await.exits(64).says("no freeze f7");
    let ran = world.run(&["thaw", "F2", "--reason", "done"]).await.exits(0);
    // Somebody else was faster: nothing is wrong with what was typed.
    world
        .run(&["thaw", "F2"])
        .await
        .exits(1)
        .says("F2 is not in force any more");
    assert!(ran.stdout.contains("f2 (release night"), "{ran:?}");
    assert!(ran.stdout.contains("f1 (case 4711) is still in force"), "{ran:?}");
    world.apply().await.exits(3);
    world.deleted_exactly(&BTreeSet::new());
    let ran = world.run(&["thaw"]).await.exits(0);
    assert!(ran.stdout.contains("f1 (case 4711"), "{ran:?}");
    // An id is never used again.
    let third = world.run(&["freeze", "--reason", "x"]).await.exits(0);
    assert!(third.stdout.contains("Freeze f3 "), "{third:?}");
    world.run(&["freeze", "--reason", "y"]).await.exits(0);
    world.run(&["thaw", "--all"]).await.exits(0);
    world.run(&["audit", "verify"]).await.exits(0);
    world.apply().await.exits(0);
    world.deleted_exactly(&ids(1, 3..8));
}

#[tokio::test]
async fn thaw_names_the_freeze_of_the_configuration_and_leaves_it() {
    let world = World::new(&[8]).await;
    world.policies_and(super::world::KEEP_3, "freeze: {reason: audit}");
    world.run(&["freeze", "--reason", "mine"]).await.exits(0);
    let ran = world.run(&["thaw"]).await.exits(1);
    let line = std::fs::read_to_string(world.config_file()).unwrap();
    let line = line.lines().position(|line| line.starts_with("freeze:")).unwrap() + 1;
    assert!(ran.stdout.contains("f1 (mine"), "{ran:?}");
    assert!(ran.stdout.contains(&format!("config.yaml:{line}: ")), "{ran:?}");
    world.run(&["thaw"]).await.exits(1);
    world.apply().await.exits(3);
    world.deleted_exactly(&BTreeSet::new());
    world.policies(super::world::KEEP_3);
    world.run(&["thaw"]).await.exits(0);
    world.apply().await.exits(0);
    world.deleted_exactly(&ids(1, 3..8));
}

#[tokio::test]
async fn an_approval_covers_what_was_read_and_not_what_a_later_run_was_refused() {
    let world = World::new(&[18]).await;
    world.policies(FEW);
    let shown = world.apply().await.exits(3).json();
    assert_eq!(refusal(&shown)["limit"], "max_deletions");
    let read = digest(&shown);
    // Meanwhile an edit, and a run: what is stored last is not what was read.
    world.policies(
        &FEW.replace("last: 3", "last: 1")
            .replace("max_deletions: 2", "max_deletions: 1"),
    );
    let later = digest(&world.apply().await.exits(3).json());
    assert_ne!(read, later);
    world.run(&["approve", "p"]).await.exits(64).says(&read).says(&later);
    world.apply().await.exits(3);
    world.deleted_exactly(&BTreeSet::new());
    world
        .run(&["approve", "p", "--plan", &read, "--reason", "looked at it"])
        .await
        .exits(0);
    let report = world.apply().await.exits(3).json();
    assert_eq!(refusal(&report)["limit"], "max_deletions");
    world.deleted_exactly(&ids(1, 3..18));
    // The rest has a digest of its own.
    let rest = digest(&report);
    assert!(rest != read && rest != later, "{rest}");
    world.run(&["approve", "p", "--plan", &rest]).await.exits(0);
    world.apply().await.exits(0);
    world.deleted_exactly(&ids(1, 1..18));
    world.run(&["audit", "verify"]).await.exits(0);
}

#[tokio::test]
async fn what_no_run_was_refused_cannot_be_approved() {
    let world = World::new(&[8]).await;
    world.policies(FEW);
    assert_eq!(
        refusal(&world.plan().await.exits(0).json())["digest"],
        Value::Null,
        "no run was refused it"
    );
    let refused = digest(&world.apply().await.exits(3).json());
    assert_eq!(digest(&world.plan().await.exits(0).json()), refused, "the same ids");
    world.simulator.add_backup(backup(1, 8));
    assert_eq!(
        refusal(&world.plan().await.exits(0).json())["digest"],
        Value::Null,
        "one more"
    );
    let unknown = "0".repeat(32);
    world
        .run(&["approve", "p", "--plan", &unknown])
        .await
        .exits(64)
        .says(&refused);
    world.run(&["approve", "p", "--plan", "short"]).await.exits(64);
    world
        .run(&["approve", "p", "--listing", "x", "--plan", &unknown])
        .await
        .exits(64);
    world.run(&["approve", "nobody", "--plan", &refused]).await.exits(64);
    world.apply().await.exits(3);
    world.deleted_exactly(&BTreeSet::new());
    // The plan that was shown is approved, in capitals too; what came since faces the limits alone, and is within them.
    world
        .run(&["approve", "p", "--plan", &refused.to_uppercase()])
        .await
        .exits(0);
    world.apply().await.exits(0);
    world.deleted_exactly(&ids(1, 3..9));
}

#[tokio::test]
async fn the_command_that_approves_stands_beside_the_refusal() {
    let world = World::new(&[8]).await;
    world.policies(FEW);
    world.run(&["apply"]).await.exits(3);
    let ran = world.run(&["plan"]).await.exits(0);
    let line = ran
        .stdout
        .lines()
        .find(|line| line.contains("approve p --plan"))
        .expect("a command");
    let words: Vec<&str> = line.split_whitespace().collect();
    let at = words.iter().position(|word| *word == "approve").unwrap();
    world.run(&words[at..]).await.exits(0);
    world.run(&["apply"]).await.exits(0);
    world.deleted_exactly(&ids(1, 3..8));
}

/// Through a terminal that `script` makes; where there is none, the test says nothing.
#[tokio::test]
async fn on_a_terminal_approve_shows_the_plan_and_asks() {
    let world = World::new(&[8]).await;
    world.policies(FEW);
    world.apply().await.exits(3);
    let mut said = String::new();
    for (answer, code) in [("n", 1), ("", 1), ("yes", 0)] {
        let command = format!(
            "{} --config {} approve p",
            env!("CARGO_BIN_EXE_rds-retentiond"),
            world.config_file().display()
        );
        let mut script = std::process::Command::new("sh");
        script.args([
            "-c",
            &format!("command -v script >/dev/null || exit 99; echo '{answer}' | script -qec '{command}' /dev/null"),
        ]);
        let ran = super::world::output(script).await;
        if ran.code == 99 {
            return;
        }
        said.clone_from(&ran.stdout);
        ran.exits(code);
        world.apply().await.exits(if code == 0 { 0 } else { 3 });
    }
    // As `plan` shows them: name, date, the instance's name, id; the oldest first.
    let row = |number: usize| {
        said.lines()
            .position(|line| line.contains(&backup_id(1, number)))
            .expect(&said)
    };
    assert!(row(7) < row(3), "{said}");
    let line = said.lines().nth(row(7)).unwrap();
    let date = super::world::begun(7).format("%Y-%m-%d ").to_string();
    for part in ["nightly-7", &date, "mssql-1"] {
        assert!(line.contains(part), "{part}: {said}");
    }
    assert!(said.contains("Approve the deletion of 5 backups?"), "{said}");
    world.deleted_exactly(&ids(1, 3..8));
}

#[tokio::test]
async fn what_somebody_else_has_released_or_deleted_meanwhile_is_1_and_what_never_was_is_64() {
    let world = World::new(&[4]).await;
    world.policies(&super::world::KEEP_3.replace("enforce", "dry-run"));
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
    new.policies_and(super::world::KEEP_3, "holds: [{name: other-*, reason: x}]");
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

fn until(seconds: i64) -> String {
    (rds_retentiond::clock::now() + TimeDelta::seconds(seconds)).to_rfc3339_opts(chrono::SecondsFormat::Secs, true)
}

/// A year that was mistyped is not a hold that ended.
#[tokio::test]
async fn a_hold_of_the_file_that_was_over_before_it_was_seen_is_an_error() {
    let world = World::new(&[8]).await;
    let held = |until: &str| {
        format!(
            "holds: [{{backup: {}, reason: case 4711, until: {until}}}]",
            backup_id(1, 7)
        )
    };
    world.policies_and(super::world::KEEP_3, &held("2025-12-31"));
    world
        .apply()
        .await
        .exits(78)
        .says("config.yaml:")
        .says("holds[0].until")
        .says("is past");
    world.run(&["run"]).await.exits(78).says("holds[0].until");
    assert!(!world.state().exists());
    // Where there is no state, it may have been seen elsewhere.
    let checked = world.run(&["check", "--format", "json"]).await.exits(0).json();
    assert_eq!(checked["warnings"][0]["path"], "holds[0].until", "{checked}");
    world.policies_and(super::world::KEEP_3, "freeze: {reason: audit, until: 2025-12-31}");
    world.apply().await.exits(78).says("freeze.until");
    world.deleted_exactly(&BTreeSet::new());
    // One that ends after a run saw it has done what it was for.
    let soon = until(4);
    world.policies_and(super::world::KEEP_3, &held(&soon));
    world.apply().await.exits(0);
    world.deleted_exactly(&ids(1, 3..7));
    while until(0) <= soon {
        tokio::time::sleep(std::time::Duration::from_millis(100)).await;
    }
    world.run(&["check"]).await.exits(0);
    world.run(&["check", "--strict"]).await.exits(78);
    let checked = world.run(&["check", "--format", "json"]).await.exits(0).json();
    assert_eq!(checked["warnings"][0]["path"], "holds[0].until", "{checked}");
    world.apply().await.exits(0).says("holds[0].until");
    world.policies_and(super::world::KEEP_3, &held("2025-12-30"));
    world.apply().await.exits(78);
    world.run(&["check"]).await.exits(78).says("was over before");
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
    world.policies(&super::world::KEEP_3.replace("name: p", "name: q"));
    world.run(&["history", "--policy", "q"]).await.exits(0);
    world.run(&["history", "--policy", "p"]).await.exits(0);
}

#[tokio::test]
async fn times_are_taken_as_people_and_the_api_write_them() {
    let world = World::new(&[4]).await;
    world.apply().await.exits(0);
    for good in [
        "7d",
        "1y6mo",
        "2036-06-30",
        "2036-06-30T12:00:00+0800",
        "2036-06-30T12:00:00Z",
    ] {
        world
            .run(&["hold", "--name", "nightly-*", "--reason", "x", "--until", good])
            .await
            .exits(0);
    }
    for bad in [
        "9999-12-31",
        "9999-12-31T23:59:59-01:00",
        "0s",
        "9999y",
        "7m",
        "yesterday",
        "2020-01-01",
    ] {
        world
            .run(&["hold", "--name", "nightly-*", "--reason", "x", "--until", bad])
            .await
            .exits(64);
        world.run(&["freeze", "--reason", "x", "--until", bad]).await.exits(64);
    }
    world.run(&["plan", "--at", "2036-06-30T12:00:00+0800"]).await.exits(0);
    world
        .run(&["plan", "--at", "9999-12-31T23:59:59-01:00"])
        .await
        .exits(64);
    assert_eq!(
        world.run(&["holds", "--format", "json"]).await.json()["holds"]
            .as_array()
            .unwrap()
            .len(),
        5
    );
    world.policies_and(super::world::KEEP_3, "freeze: {reason: x, until: 9999-12-31}");
    world.run(&["check"]).await.exits(78).says("beyond the year 9999");
}

#[tokio::test]
async fn an_empty_variable_is_one_that_is_not_set() {
    let mut world = World::new(&[4]).await;
    for name in [
        "RDS_RETENTIOND_LOG",
        "RDS_RETENTIOND_LOG_FORMAT",
        "RDS_RETENTIOND_CONFIG",
        "STATE_DIRECTORY",
        "NO_COLOR",
    ] {
        world.set_env(name, "");
    }
    world.run(&["plan"]).await.exits(0);
    // Without a configuration named, an empty variable names none.
    let mut command = std::process::Command::new(env!("CARGO_BIN_EXE_rds-retentiond"));
    command.env_clear().env("RDS_RETENTIOND_CONFIG", "").arg("check");
    super::world::output(command)
        .await
        .exits(78)
        .says("/etc/rds-retentiond/config.yaml");
    world.set_env("CLICOLOR_FORCE", "0");
    let plan = world.run(&["plan"]).await.exits(0);
    assert!(!plan.stdout.contains('\u{1b}'), "{}", plan.stdout);
    assert!(!world.run(&["plan", "--typo"]).await.exits(64).stderr.contains('\u{1b}'));
    world.set_env("CLICOLOR_FORCE", "1");
    assert!(world.run(&["plan"]).await.exits(0).stdout.contains('\u{1b}'));
}
