//! One run from end to end: grace, guard, holds, freeze, several policies, confirmation, exit codes.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::{Duration, Instant};

use chrono::TimeDelta;
use rds_retentiond::cli::exit;
use rds_retentiond::clock::now;
use rds_retentiond::retention::report::RunResult;
use rds_retentiond::retention::{Freeze, Hold, HoldTarget};
use rds_retentiond::simulator::{Backup, BackupKind, Op, Status};
use serde_json::{Value, json};

use super::world::{KEEP_3, World, backup, backup_id, begun, decided, decisions, ids, instance_id};

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
async fn max_deletions_refuses_the_whole_plan_or_drains_oldest_first() {
    let world = World::new(&[10]).await;
    let limits = |more: &str| format!("    grace: 0s\n    limits: {{max_percent: 100, max_deletions: 4{more}}}\n");
    world.policies(&policy("p", "{last: 3}", &limits("")));
    let report = world.apply().await.exits(3).json();
    assert_eq!(report["policies"][0]["verdict"], "refused");
    assert_eq!(report["policies"][0]["refusal"]["limit"], "max_deletions");
    assert_eq!(
        decided(&report, "p", "delete"),
        ids(1, 3..10),
        "decisions as without the refusal"
    );
    world.deleted_exactly(&BTreeSet::new());
    let plan = world.plan().await.exits(0).json();
    assert_eq!(plan["policies"][0]["verdict"], "refused");
    world.policies(&policy("p", "{last: 3}", &limits(", over_limit: oldest-first")));
    world.apply().await.exits(0);
    world.deleted_exactly(&ids(1, 6..10));
}

#[tokio::test]
async fn max_percent_holds_back_one_instance_and_no_other() {
    let world = World::new(&[20, 8]).await;
    world.policies(&policy("p", "{last: 3}", "    grace: 0s\n"));
    let report = world.apply().await.exits(3).json();
    assert_eq!(report["skipped"][0]["reason"], "max_percent");
    assert_eq!(report["skipped"][0]["instance_id"], instance_id(1));
    // 5 of 8 are more than half, but not more than five backups.
    world.deleted_exactly(&ids(2, 3..8));
}

#[tokio::test]
async fn nothing_goes_where_no_backup_is_recent_manual_or_automated() {
    let world = World::new(&[8, 8]).await;
    world.policies(&policy(
        "p",
        "{last: 3}",
        &format!("{AT_ONCE}    require_backup_within: 36h\n"),
    ));
    for number in 0..3 {
        world.simulator.remove_backup(&backup_id(1, number));
    }
    let report = world.apply().await.exits(3).json();
    assert_eq!(report["policies"][0]["refusal"]["limit"], "require_backup_within");
    world.deleted_exactly(&ids(2, 3..8));
    let asked = world.simulator.calls_of(Op::ListBackups);
    let automated: Vec<_> = asked
        .iter()
        .filter(|call| call.query.contains("backup_type=auto"))
        .collect();
    assert_eq!(automated.len(), 1, "asked only where no manual one is recent");
    assert_eq!(automated[0].instance, Some(instance_id(1)));
    let mut recent = backup(1, 99);
    (recent.kind, recent.begin, recent.end) = (BackupKind::Auto, begun(0), Some(begun(0)));
    world.simulator.add_backup(recent);
    world.apply().await.exits(0);
    let all = ids(1, 6..8).union(&ids(2, 3..8)).cloned().collect();
    world.deleted_exactly(&all);
}

#[tokio::test]
async fn a_freeze_stops_everything_from_configuration_and_by_command() {
    let world = World::new(&[8]).await;
    world.policies_and(KEEP_3, "freeze: {reason: audit}");
    let report = world.apply().await.exits(3).json();
    assert_eq!(report["policies"][0]["refusal"]["limit"], "freeze");
    world.policies(KEEP_3);
    world.run(&["freeze", "--reason", "moving house"]).await.exits(0);
    let report = world.apply().await.exits(3).json();
    assert!(
        report["policies"][0]["refusal"]["message"]
            .to_string()
            .contains("moving house")
    );
    world.deleted_exactly(&BTreeSet::new());
    world.run(&["thaw"]).await.exits(0);
    world.apply().await.exits(0);
    world.deleted_exactly(&ids(1, 3..8));
}

#[tokio::test]
async fn holds_of_the_configuration_and_by_command_keep() {
    let world = World::new(&[8]).await;
    let held = backup_id(1, 7);
    world.policies_and(
        &policy("p", "{last: 3}", "    limits: {max_percent: 100}\n"),
        &format!("holds: [{{backup: {held}, reason: case 4711}}]"),
    );
    world.apply().await.exits(0);
    // Known since that run, so no --force.
    let placed = world
        .run(&["hold", &backup_id(1, 6), "--reason", "mine"])
        .await
        .exits(0);
    assert!(placed.stdout.contains("ledger.sqlite3"), "{}", placed.stdout);
    let by_name = world
        .run(&["hold", "--name", "nightly-5", "--reason", "by name"])
        .await
        .exits(0);
    assert!(
        by_name.stdout.contains("covers 1, of 1 instances"),
        "{}",
        by_name.stdout
    );
    // An instance's name in place of its id holds nothing, and must not look as if it did.
    let mistaken = ["hold", "--instance", "mssql-1", "--reason", "mistaken"];
    let mistaken = world.run(&mistaken).await.exits(0);
    assert!(mistaken.stdout.contains("it covers none"), "{}", mistaken.stdout);
    world.run(&["hold", "0000br04", "--reason", "unknown"]).await.exits(64);
    world.pass().later(TimeDelta::hours(25)).run().await;
    world.deleted_exactly(&ids(1, 3..5));
    // A hold's end restarts the grace period.
    world.run(&["release", &backup_id(1, 6)]).await.exits(0);
    world.pass().later(TimeDelta::hours(26)).run().await;
    world.pass().later(TimeDelta::hours(49)).run().await;
    world.deleted_exactly(&ids(1, 3..5));
    world.pass().later(TimeDelta::hours(51)).run().await;
    world.deleted_exactly(&ids(1, [3, 4, 6]));
}

#[tokio::test]
async fn a_hold_placed_in_mid_run_is_dropped_from_its_batch() {
    let world = World::new(&[8]).await;
    let ledger = world.ledger();
    let mut pass = world.pass();
    // Everything is decided when the last instance was read.
    pass.watcher = Arc::new(move |at| {
        if at.of_sent == 0 && at.instances == at.of_instances {
            let hold = Hold {
                id: None,
                target: HoldTarget::Backup(backup_id(1, 7).as_str().into()),
                reason: "just now".to_owned(),
                owner: None,
                until: None,
            };
            ledger.add_hold(&hold, "somebody", now()).unwrap();
        }
    });
    let report = pass.run().await;
    world.deleted_exactly(&ids(1, 3..7));
    // Held is kept, not left undone.
    assert_eq!((report.policies[0].left, exit::of_run(&report)), (0, 0));
}

#[tokio::test]
async fn a_freeze_in_mid_run_stops_the_next_batch() {
    let world = World::new(&[60]).await;
    let projects = format!("{}    concurrency: 1\n", world.simulator.config_yaml());
    world.configure(&projects, KEEP_3, "");
    let ledger = world.ledger();
    let mut pass = world.pass();
    pass.watcher = Arc::new(move |at| {
        if at.sent == 50 {
            let freeze = Freeze {
                reason: "stop".to_owned(),
                until: None,
            };
            ledger.set_freeze(&freeze, "somebody", now()).unwrap();
        }
    });
    let report = pass.run().await;
    world.deleted_exactly(&ids(1, 10..60));
    assert_eq!((report.policies[0].left, exit::of_run(&report)), (7, 3));
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
async fn approval_covers_the_refused_ids_and_nothing_else() {
    let world = World::new(&[13]).await;
    world.policies(&policy(
        "p",
        "{last: 3}",
        "    grace: 0s\n    limits: {max_percent: 100, max_deletions: 4}\n",
    ));
    world.apply().await.exits(3);
    let approved = world.approve("p").await.exits(0);
    assert!(approved.stdout.contains("10 backups of p"), "{}", approved.stdout);
    // Five more backups were made since, so five more expired: too many without approval.
    for number in 0..5 {
        let minutes = TimeDelta::minutes(i64::from(number) + 1);
        let id = format!("{:016x}{:016x}br04", 1, 1000 + number);
        world
            .simulator
            .add_backup(Backup::manual(&id, &instance_id(1), "new", now() - minutes));
    }
    let report = world.apply().await.exits(3).json();
    assert_eq!(report["policies"][0]["refusal"]["limit"], "max_deletions");
    world.deleted_exactly(&ids(1, 3..13));
    world.approve("p").await.exits(0);
    // After 48 hours an approval is over.
    let late = world.pass().later(TimeDelta::hours(49)).run().await;
    assert_eq!(exit::of_run(&late), 3);
    world.deleted_exactly(&ids(1, 3..13));
    world.run(&["approve", "nobody"]).await.exits(64);
}

#[tokio::test]
async fn a_refused_plan_waits_through_a_freeze_and_a_day_without_listings() {
    let world = World::new(&[13]).await;
    world.policies(&policy(
        "p",
        "{last: 3}",
        "    grace: 0s\n    limits: {max_percent: 100, max_deletions: 4}\n",
    ));
    world.apply().await.exits(3);
    world.run(&["freeze", "--reason", "audit"]).await.exits(0);
    world.apply().await.exits(3);
    world.run(&["thaw"]).await.exits(0);
    world.fault("list_instances:status=404");
    world.apply().await.exits(69);
    world.simulator.faults().clear();
    world.approve("p").await.exits(0);
    world.apply().await.exits(0);
    world.deleted_exactly(&ids(1, 3..13));
    assert!(world.ledger().waiting(&"p".into()).unwrap().is_none());
}

#[tokio::test]
async fn an_instance_whose_listing_shrank_is_left_alone_until_approved() {
    let world = World::new(&[20, 8]).await;
    world.policies(&policy("p", "{last: 19}", AT_ONCE));
    world.apply().await.exits(0);
    world.deleted_exactly(&ids(1, [19]));
    // 19 are expected now; nine are found.
    for number in 0..10 {
        world.simulator.remove_backup(&backup_id(1, number));
    }
    world.policies(KEEP_3);
    let report = world.apply().await.exits(3).json();
    assert_eq!(report["skipped"][0]["reason"], "shrink");
    let second: BTreeSet<String> = ids(2, 3..8).into_iter().chain(ids(1, [19])).collect();
    world.deleted_exactly(&second);
    let report = world.pass().later(TimeDelta::days(6)).run().await;
    assert_eq!(exit::of_run(&report), 3);
    world.run(&["approve", "--listing", &instance_id(1)]).await.exits(0);
    world.apply().await.exits(0);
    world.deleted_exactly(&second.into_iter().chain(ids(1, 13..19)).collect());
}

#[tokio::test]
async fn a_shrunken_listing_is_believed_after_seven_days() {
    let world = World::new(&[20]).await;
    world.policies(&policy("p", "{last: 20}", AT_ONCE));
    world.pass().run().await;
    for number in 0..12 {
        world.simulator.remove_backup(&backup_id(1, number));
    }
    world.policies(KEEP_3);
    world.pass().run().await;
    world.pass().later(TimeDelta::hours(7 * 24 - 1)).run().await;
    world.deleted_exactly(&BTreeSet::new());
    world.pass().later(TimeDelta::hours(7 * 24 + 1)).run().await;
    world.deleted_exactly(&ids(1, 15..20));
}

#[tokio::test]
async fn a_project_whose_list_of_instances_shrank_is_left_alone() {
    let world = World::new(&[8; 10]).await;
    world.policies(&policy("p", "{last: 8}", AT_ONCE));
    world.apply().await.exits(0);
    for number in 1..=7 {
        world
            .simulator
            .change_instance(&instance_id(number), |instance| instance.deleted = true);
    }
    world.policies(KEEP_3);
    let report = world.apply().await.exits(3).json();
    assert_eq!(report["skipped"][0]["reason"], "shrink");
    assert_eq!(report["skipped"][0]["instance_id"], Value::Null);
    world.deleted_exactly(&BTreeSet::new());
    world.run(&["approve", "--listing", "simulator"]).await.exits(0);
    world.apply().await.exits(0);
    let due = (8..=10).flat_map(|instance| ids(instance, 3..8)).collect();
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
async fn the_metrics_file_tells_what_was_done() {
    let world = World::new(&[8]).await;
    world.fault(&format!("delete_batch:result=DBS.200054:backup={}", backup_id(1, 5)));
    let file = world.dir().join("m.prom");
    world
        .run(&["apply", "--metrics-file", file.to_str().unwrap()])
        .await
        .exits(1);
    let text = std::fs::read_to_string(&file).unwrap();
    let has = |line: &str| assert!(text.lines().any(|found| found == line), "no `{line}` in:\n{text}");
    has(r#"rds_retention_deletions_total{outcome="confirmed",policy="p",project="simulator"} 4"#);
    has(r#"rds_retention_deletions_total{outcome="rejected",policy="p",project="simulator"} 1"#);
    has(r#"rds_retention_deletion_errors_total{code="DBS.200054",project="simulator"} 1"#);
    has(r#"rds_retention_runs_total{policy="p",result="partial"} 1"#);
    has(r#"rds_retention_backups{decision="keep",policy="p"} 3"#);
    has(r#"rds_retention_instances{state="managed"} 1"#);
    let left_beside = std::fs::read_dir(world.dir()).unwrap().count();
    assert_eq!(left_beside, 3, "configuration, state and metrics, nothing half-written");
    assert!(!text.contains("process_"), "node_exporter has a process of its own");
}

#[tokio::test]
async fn the_metrics_files_of_run_after_run_count_on_also_when_one_fails() {
    use std::os::unix::fs::PermissionsExt;
    let world = World::new(&[8]).await;
    let file = world.dir().join("m.prom");
    let args = ["apply", "--metrics-file", file.to_str().unwrap()];
    let mode = || std::fs::metadata(&file).unwrap().permissions().mode() & 0o777;
    world.run(&args).await.exits(0);
    assert_eq!(mode(), 0o644, "the collector is another user");
    std::fs::set_permissions(&file, std::fs::Permissions::from_mode(0o640)).unwrap();
    world.run(&args).await.exits(0);
    assert_eq!(mode(), 0o640, "as somebody wanted it");
    world.fault("list_instances:status=403");
    world.run(&args).await.exits(77);
    let text = std::fs::read_to_string(&file).unwrap();
    let has = |line: &str| assert!(text.lines().any(|found| found == line), "no `{line}` in:\n{text}");
    has(r#"rds_retention_runs_total{policy="p",result="success"} 2"#);
    has(r#"rds_retention_runs_total{policy="p",result="failed"} 1"#);
    has(r#"rds_retention_run_duration_seconds_count{policy="p"} 3"#);
    has(r#"rds_retention_deletions_total{outcome="confirmed",policy="p",project="simulator"} 5"#);
    has(r#"rds_retention_api_requests_total{operation="list_instances",project="simulator",status="200"} 2"#);
    // Gauges are those of the last run that knew them.
    has(r#"rds_retention_backups{decision="keep",policy="p"} 3"#);
    has(r#"rds_retention_backups{decision="delete",policy="p"} 0"#);
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

/// Retries of a listing last for minutes; a stop must not wait for them.
#[tokio::test]
async fn told_to_stop_while_the_api_hangs_it_ends_in_time() {
    let world = World::new(&[8]).await;
    world.fault("list_backups:delay=120s");
    let (stop, stopped) = tokio::sync::watch::channel(false);
    let mut pass = world.pass();
    pass.stop = stopped;
    let begun = Instant::now();
    let (report, ()) = tokio::join!(pass.run(), async {
        while world.simulator.calls_of(Op::ListBackups).is_empty() {
            tokio::task::yield_now().await;
        }
        stop.send(true).unwrap();
    });
    assert!(begun.elapsed() < Duration::from_secs(8), "{:?}", begun.elapsed());
    assert_eq!(exit::of_run(&report), 1);
    world.deleted_exactly(&BTreeSet::new());
}

/// Throttling is waited out for minutes; the budget of a run must not be.
#[tokio::test]
async fn the_time_budget_ends_reads_that_are_throttled() {
    let world = World::new(&[8]).await;
    world.fault("list_backups:status=429:retry_after=30");
    let mut pass = world.pass();
    pass.budget = Duration::from_secs(2);
    let begun = Instant::now();
    let report = pass.run().await;
    assert!(begun.elapsed() < Duration::from_secs(8), "{:?}", begun.elapsed());
    assert_eq!(exit::of_run(&report), 1);
}

#[tokio::test]
async fn told_to_stop_the_batch_under_way_is_finished_and_no_other_begun() {
    let world = World::new(&[60]).await;
    let projects = format!("{}    concurrency: 1\n", world.simulator.config_yaml());
    world.configure(&projects, KEEP_3, "");
    world.fault("delete_batch:delay=300ms");
    let (stop, stopped) = tokio::sync::watch::channel(false);
    let mut pass = world.pass();
    pass.stop = stopped;
    let (report, ()) = tokio::join!(pass.run(), async {
        while world.simulator.calls_of(Op::DeleteBatch).is_empty() {
            tokio::task::yield_now().await;
        }
        stop.send(true).unwrap();
    });
    world.deleted_exactly(&ids(1, 10..60));
    assert_eq!(report.sent("accepted") + report.sent("confirmed"), 50);
    assert_eq!((report.policies[0].left, exit::of_run(&report)), (7, 1));
    assert!(world.ledger().open_requests().unwrap().is_empty());
}

/// The whole program, stopped while a request of its batch is not answered.
#[tokio::test]
async fn sigterm_ends_the_program_within_thirty_seconds_with_every_id_recorded() {
    let world = World::new(&[60]).await;
    let projects = format!("{}    concurrency: 1\n", world.simulator.config_yaml());
    world.configure(&projects, KEEP_3, "");
    world.fault("delete_batch:delay=120s:done");
    let mut child = world.command(&["apply"]).spawn().unwrap();
    while world.simulator.calls_of(Op::DeleteBatch).is_empty() {
        tokio::task::yield_now().await;
    }
    let begun = Instant::now();
    let pid = child.id().to_string();
    assert!(
        std::process::Command::new("kill")
            .args(["-TERM", &pid])
            .status()
            .unwrap()
            .success()
    );
    let ended = tokio::task::spawn_blocking(move || child.wait().unwrap())
        .await
        .unwrap();
    assert!(begun.elapsed() < Duration::from_secs(30), "{:?}", begun.elapsed());
    assert_eq!(ended.code(), Some(1));
    assert_eq!(world.simulator.calls_of(Op::DeleteBatch).len(), 1);
    assert_eq!(
        world.simulator.calls().len(),
        4,
        "two listings, tasks and the batch: once stop is requested it asks nothing more"
    );
    let ledger = world.ledger();
    assert!(ledger.open_requests().unwrap().is_empty());
    assert_eq!(ledger.unconfirmed().unwrap().len(), 50, "all are unanswered");
    world.simulator.faults().clear();
    world.apply().await.exits(0);
    world.deleted_exactly(&ids(1, 3..60));
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
