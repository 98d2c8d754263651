//! One run from end to end: grace, guard, holds, freeze, several policies, confirmation, exit codes.

mod guard;
mod holds;
mod metrics_files;
mod stops;

use std::collections::BTreeSet;
use std::time::Duration;

use chrono::TimeDelta;
use rds_retentiond::cli::exit;
use rds_retentiond::clock::now;
use rds_retentiond::retention::report::RunResult;
use rds_retentiond::simulator::{Op, Status};
use serde_json::{Value, json};

use super::world::{KEEP_3, World, backup_id, decided, decisions, ids, instance_id};

/// A policy that keeps the last three; the rest as given.
fn policy(name: &str, keep: &str, more: &str) -> String {
    format!("\n  - name: {name}\n    mode: enforce\n    keep: {keep}\n{more}")
}

const AT_ONCE: &str = "    grace: 0s\n    limits: {max_percent: 100}\n";

#[tokio::test]
async fn the_first_run_begins_the_grace_and_sends_nothing() {
    let world = World::new(&[8]).await;
    world.policies(&policy("p", "{last: 3}", "    limits: {max_percent: 100}\n"));
    let ran = world
        .apply()
        .await
        .exits(0)
        .says("the state is new")
        .says("p (grace 24h)");
    assert_eq!(decided(&ran.json(), "p", "wait"), ids(1, 3..8));
    world.pass().later(TimeDelta::hours(23)).run().await;
    world.deleted_exactly(&BTreeSet::new());
    let ran = world.apply().await.exits(0);
    assert!(!ran.stderr.contains("the state is new"), "{}", ran.stderr);
    world.pass().later(TimeDelta::hours(25)).run().await;
    world.deleted_exactly(&ids(1, 3..8));
}

#[tokio::test]
async fn an_edit_that_unexpires_a_backup_ends_its_wait() {
    let world = World::new(&[8]).await;
    let limits = "    limits: {max_percent: 100}\n";
    world.policies(&policy("p", "{last: 3}", limits));
    world.pass().run().await;
    world.policies(&policy("p", "{last: 5}", limits));
    world.pass().later(TimeDelta::hours(12)).run().await;
    world.policies(&policy("p", "{last: 3}", limits));
    world.pass().later(TimeDelta::hours(13)).run().await;
    world.pass().later(TimeDelta::hours(30)).run().await;
    world.deleted_exactly(&ids(1, 5..8));
    world.pass().later(TimeDelta::hours(38)).run().await;
    world.deleted_exactly(&ids(1, 3..8));
}

#[tokio::test]
async fn a_run_that_did_not_see_a_backup_neither_clears_nor_advances_its_grace() {
    let world = World::new(&[8]).await;
    world.policies(&policy("p", "{last: 3}", "    limits: {max_percent: 100}\n"));
    world.pass().run().await;
    let grace = || world.ledger().grace(&"p".into()).unwrap();
    let before = grace();
    world.fault("list_backups:no_count");
    world.pass().later(TimeDelta::hours(12)).run().await;
    assert_eq!((before.len(), grace()), (5, before));
}

#[tokio::test]
async fn batches_of_fifty_oldest_first_across_instances_each_id_once() {
    let world = World::new(&[60, 60]).await;
    let projects = format!("{}    concurrency: 1\n", world.simulator.config_yaml());
    world.configure(&projects, KEEP_3, "");
    let ran = world.apply().await.exits(0);
    let due: BTreeSet<String> = ids(1, 3..60).union(&ids(2, 3..60)).cloned().collect();
    world.deleted_exactly(&due);
    let calls = world.simulator.calls_of(Op::DeleteBatch);
    let sizes: Vec<usize> = calls.iter().map(|call| call.backup_ids.len()).collect();
    assert_eq!(sizes, [50, 50, 14]);
    let sent: Vec<String> = calls.into_iter().flat_map(|call| call.backup_ids).collect();
    // The number of a backup is its age in days.
    let age = |id: &String| std::cmp::Reverse(usize::from_str_radix(&id[16..32], 16).unwrap());
    assert!(sent.is_sorted_by_key(age));
    let report = ran.json();
    let rows = decisions(&report, "p");
    assert!(due.iter().all(|id| rows[id]["outcome"] == "confirmed"), "{report}");
    assert!(report["run_id"].is_string());
    world.run(&["audit", "verify"]).await.exits(0);
    let history = world.run(&["history", "--format", "json"]).await.exits(0);
    assert!(history.stdout.contains("success"), "{}", history.stdout);
}

#[tokio::test]
async fn every_policy_must_let_a_backup_go_dry_run_and_idle_ones_too() {
    for (b_mode, args) in [
        ("enforce", vec!["apply"]),
        ("dry-run", vec!["apply"]),
        ("enforce", vec!["apply", "--policy", "a"]),
    ] {
        let world = World::new(&[8]).await;
        let b = policy("b", "{last: 6}", AT_ONCE).replace("enforce", b_mode);
        world.policies(&format!("{}{b}", policy("a", "{last: 3}", AT_ONCE)));
        let mut args = args;
        args.extend(["--format", "json"]);
        let report = world.run(&args).await.exits(0).json();
        world.deleted_exactly(&ids(1, 6..8));
        let row = &decisions(&report, "a")[&backup_id(1, 4)];
        assert_eq!(row["decision"], "keep");
        assert_eq!(row["reasons"][0]["rule"], "policy:b");
        assert_eq!(report["overlaps"], json!([{"policies": ["a", "b"], "instances": 1}]));
    }
}

#[tokio::test]
async fn a_dry_run_sends_nothing_and_begins_no_grace() {
    let world = World::new(&[8]).await;
    world.policies(&policy("p", "{last: 3}", AT_ONCE).replace("enforce", "dry-run"));
    let report = world.apply().await.exits(0).json();
    assert_eq!(decided(&report, "p", "delete"), ids(1, 3..8));
    world.policies(&policy("p", "{last: 3}", "    limits: {max_percent: 100}\n").replace("enforce", "dry-run"));
    world.apply().await.exits(0);
    world.plan().await.exits(0);
    assert!(world.ledger().grace(&"p".into()).unwrap().is_empty());
    assert_eq!(world.simulator.calls_of(Op::DeleteBatch).len(), 0);
}

#[tokio::test]
async fn plan_writes_no_state_and_says_what_no_policy_covers() {
    let world = World::new(&[8, 4]).await;
    let select = "    select: {instances: {names: [mssql-1]}}\n";
    world.policies(&policy("p", "{last: 3}", &format!("{AT_ONCE}{select}")));
    let plan = world.plan().await.exits(0).json();
    assert!(!world.state().exists());
    let uncovered = json!([{"project": "simulator", "instance_id": instance_id(2), "instance_name": "mssql-2"}]);
    assert_eq!(plan["unmanaged"], uncovered);
    assert_eq!(decided(&plan, "p", "delete"), ids(1, 3..8));
    world.fault("list_backups:no_count");
    let plan = world.plan().await.exits(0).json();
    assert_eq!(plan["skipped"][0]["reason"], "listing");
    assert_eq!(plan["skipped"][0]["instance_id"], instance_id(1));
    world.deleted_exactly(&BTreeSet::new());
}

#[tokio::test]
async fn what_is_not_certain_is_never_touched() {
    let world = World::new(&[20]).await;
    let id = |number| backup_id(1, number);
    let simulator = &world.simulator;
    simulator.set_status(&id(4), Status::Building);
    simulator.set_status(&id(5), Status::Deleting);
    simulator.patch(&id(6), json!({"status": "ARCHIVED"}));
    simulator.patch(&id(7), json!({"begin_time": "the day before yesterday"}));
    simulator.patch(&id(8), json!({"begin_time": null}));
    simulator.patch(&id(9), json!({"datastore": {"type": "Oracle", "version": "23"}}));
    simulator.patch(
        &id(10),
        json!({"begin_time": (now() + TimeDelta::minutes(6)).format("%Y-%m-%dT%H:%M:%S+0000").to_string()}),
    );
    let report = world.apply().await.exits(0).json();
    let rows = decisions(&report, "p");
    for (number, rule) in [
        (4, "in_progress"),
        (5, "in_progress"),
        (6, "unknown_status"),
        (7, "unknown_time"),
        (8, "unknown_time"),
        (9, "unknown_engine"),
        (10, "future_dated"),
    ] {
        assert_eq!(rows[&id(number)]["reasons"][0]["rule"], rule, "{number}");
    }
    let mut due = ids(1, 11..20);
    due.insert(id(3));
    world.deleted_exactly(&due);
}

#[tokio::test]
async fn accepted_is_confirmed_by_the_next_run() {
    let world = World::new(&[8]).await;
    world
        .simulator
        .set(|settings| settings.deletion_takes = Duration::from_secs(3600));
    let report = world
        .run(&["apply", "--confirm-for", "0s", "--format", "json"])
        .await
        .exits(0)
        .json();
    assert_eq!(report["unconfirmed"]["simulator"], 5);
    assert_eq!(decisions(&report, "p")[&backup_id(1, 7)]["outcome"], "accepted");
    // Still under way: not sent again.
    world.run(&["apply", "--confirm-for", "0s"]).await.exits(0);
    world.simulator.finish_deletions();
    let report = world.apply().await.exits(0).json();
    assert_eq!(report["unconfirmed"], Value::Null);
    assert_eq!(world.simulator.calls_of(Op::DeleteBatch).len(), 1);
    world.deleted_exactly(&ids(1, 3..8));
    assert!(world.ledger().unconfirmed().unwrap().is_empty());
}

#[tokio::test]
async fn accepted_and_still_there_after_half_an_hour_is_returned_and_sent_again() {
    let world = World::new(&[8]).await;
    world.fault("delete_batch:ignore:times=1");
    world.pass().run().await;
    let soon = world.pass().later(TimeDelta::minutes(29)).run().await;
    assert_eq!(
        (
            soon.settled_earlier.len(),
            world.simulator.calls_of(Op::DeleteBatch).len()
        ),
        (0, 1)
    );
    let late = world.pass().later(TimeDelta::minutes(31)).run().await;
    assert_eq!(late.settled_earlier.len(), 5);
    // The API said yes and did not delete: no run after that goes well without a word.
    assert_eq!((late.policies[0].result, exit::of_run(&late)), (RunResult::Partial, 1));
    assert!(
        late.notices
            .iter()
            .any(|notice| notice.contains("5 backups that the API accepted for deletion"))
    );
    let after = world.pass().later(TimeDelta::minutes(40)).run().await;
    assert_eq!((after.policies[0].result, after.notices.len()), (RunResult::Success, 0));
    assert_eq!(world.simulator.calls_of(Op::DeleteBatch).len(), 2);
    world.deleted_exactly(&ids(1, 3..8));
}

#[tokio::test]
async fn the_backup_that_spoils_its_batch_is_found_and_the_others_go() {
    let world = World::new(&[40]).await;
    world.fault(&format!(
        "delete_batch:status=400:code=DBS.200054:backup={}",
        backup_id(1, 20)
    ));
    let report = world.apply().await.exits(1).json();
    let mut due = ids(1, 3..40);
    due.remove(&backup_id(1, 20));
    assert_eq!(world.deleted(), due);
    assert_eq!(decisions(&report, "p")[&backup_id(1, 20)]["outcome"], "rejected");
    world.sent_by_the_rules();
}

#[tokio::test]
async fn exit_codes_of_things_that_are_wrong() {
    let mut world = World::new(&[8]).await;
    world
        .run(&["apply", "--policy", "nobody"])
        .await
        .exits(64)
        .says("no policy is named `nobody`");
    assert!(!world.state().exists(), "a misspelt name made a state");
    world.run(&["apply", "--no-such-flag"]).await.exits(64);
    world.run(&["plan", "--at", "yesterday"]).await.exits(64);
    world.policies("\n  - name: p\n    mode: enforce\n    keep: {}\n");
    world.run(&["check"]).await.exits(78);
    world.apply().await.exits(78).says("config.yaml");
    world.policies(KEEP_3);
    world.fault("list_instances:status=403");
    world.apply().await.exits(77);
    world.plan().await.exits(77);
    world.simulator.faults().clear();
    let nobody_there = world
        .simulator
        .config_yaml()
        .replace(&world.simulator.url(), "http://127.0.0.1:9");
    world.configure(&nobody_there, KEEP_3, "");
    world.plan().await.exits(69);
    world.run(&["check", "--online"]).await.exits(69);
    world.policies(KEEP_3);
    world.set_env("HUAWEICLOUD_SDK_AK", "");
    world.apply().await.exits(77);
    world.deleted_exactly(&BTreeSet::new());
}

/// Found only when IAM is asked, and all the same a matter of the configuration; it stops no other project.
#[tokio::test]
async fn a_region_that_iam_does_not_know_is_78_and_the_other_project_goes_on() {
    let world = World::new(&[8]).await;
    let good = world.simulator.config_yaml();
    let id = format!("    project_id: \"{}\"\n", world.simulator.project_id());
    let without_id = good.replace(&id, "");
    assert_ne!(without_id, good);
    let (_, entry) = without_id.split_once("projects:\n").unwrap();
    let lost = entry
        .replace("name: simulator", "name: lost")
        .replace("ap-southeast-3", "nowhere-1");
    world.configure(&format!("{good}{lost}"), KEEP_3, "");
    let said = "IAM knows no project named nowhere-1";
    assert!(world.run(&["check", "--online"]).await.exits(78).stdout.contains(said));
    let plan = world.plan().await.exits(78).json();
    assert_eq!(
        (&plan["skipped"][0]["project"], &plan["skipped"][0]["reason"]),
        (&"lost".into(), &"configuration".into())
    );
    world.apply().await.exits(78);
    world.deleted_exactly(&ids(1, 3..8));
}

#[tokio::test]
async fn a_large_run_shows_what_goes_and_holds_no_row_of_what_stays() {
    let world = World::new(&[250, 3]).await;
    world.policies(&policy("p", "{last: 240}", AT_ONCE));
    let ran = world.run(&["apply"]).await.exits(0);
    let heading = format!("mssql-1 (simulator, {}): 10 delete", instance_id(1));
    let text = ran.stdout;
    assert!(text.contains(&heading), "{text}");
    assert!(
        text.contains("One line per instance; --all lists every backup."),
        "{text}"
    );
    assert!(
        text.contains(&backup_id(1, 249)) && !text.contains(&backup_id(1, 239)),
        "{text}"
    );
    assert!(!text.contains(&backup_id(2, 0)), "{text}");
    let report = world.apply().await.exits(0).json();
    assert_eq!(decided(&report, "p", "keep").len(), 243, "machines get all of it");
}
