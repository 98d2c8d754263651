//! What people say while the daemon runs: freezes, approvals, holds. Nothing that one person says undoes what another
//! one did, and what is approved is what was read.

mod approvals;
mod mistyped;

use std::collections::BTreeSet;

use chrono::TimeDelta;
use serde_json::Value;

use super::world::{World, backup_id, ids};

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
