//! What is said of a plan is what happened: refused, approved, unknown, and what a dry run would do if it were enforced.

use serde_json::{Value, json};

use super::world::{World, backup_id, ids, instance_id};

/// Keeps the last three of everything; `rest` is more of the policy.
fn keep_3(mode: &str, rest: &str) -> String {
    format!("\n  - name: p\n    mode: {mode}\n    keep: {{last: 3}}\n{rest}")
}

fn policy(report: &Value) -> &Value {
    &report["policies"][0]
}

/// A dry run never starts a grace period, so nothing is ever due in it: its verdict alone would say `approved` for ever.
#[tokio::test]
async fn a_dry_run_says_what_the_guard_would_refuse_if_it_were_enforced() {
    let world = World::new(&[20, 20]).await;
    for (limits, verdict, limit) in [
        ("", "refused", json!("max_percent")),
        ("    limits: {max_percent: 100}\n", "approved", Value::Null),
        (
            "    limits: {max_percent: 100, max_deletions: 5}\n",
            "refused",
            json!("max_deletions"),
        ),
    ] {
        world.policies(&keep_3("dry-run", limits));
        for command in ["plan", "apply"] {
            let ran = world.run(&[command, "--format", "json"]).await.exits(0);
            let json = ran.json();
            let found = policy(&json);
            assert_eq!(found["verdict"], "approved", "{limits}");
            assert_eq!(found["when_enforced"]["verdict"], verdict, "{limits}");
            assert_eq!(found["when_enforced"]["refusal"]["limit"], limit, "{limits}");
        }
        let table = world.run(&["plan"]).await.exits(0).stdout;
        assert_eq!(table.contains("refused when enforced"), verdict == "refused", "{table}");
        assert_eq!(
            table.contains("max_percent would refuse 2 of 2 instances"),
            limit == "max_percent",
            "{table}"
        );
    }
    // The honest twin: enforced, and with a limit that lets it pass, it does what the dry run said.
    world.policies(&keep_3("enforce", "    grace: 0s\n    limits: {max_percent: 100}\n"));
    let json = world.apply().await.exits(0).json();
    assert!(policy(&json)["when_enforced"].is_null());
    world.deleted_exactly(&ids(1, 3..20).union(&ids(2, 3..20)).cloned().collect());
}

#[tokio::test]
async fn refused_in_part_is_said_only_where_a_part_goes() {
    for (fleet, verdict) in [
        (&[20, 20], "refused"),
        (&[20, 5], "refused in part"),
        (&[4, 5], "approved"),
    ] {
        let world = World::new(fleet).await;
        world.policies(&keep_3("enforce", "    grace: 0s\n"));
        let table = world.run(&["plan"]).await.exits(0).stdout;
        let line = table.lines().find(|line| line.starts_with("  p  ")).unwrap();
        assert!(line.trim_end().ends_with(verdict), "{line}");
        assert_eq!(
            verdict == "refused",
            !line.contains("in part") && line.contains("refused"),
            "{line}"
        );
    }
}

#[tokio::test]
async fn what_could_not_be_read_is_neither_approved_nor_unchanged() {
    for (status, code) in [(403, 77), (503, 69)] {
        let world = World::new(&[5, 5]).await;
        world.fault(&format!("list_instances:status={status}"));
        let json = world.plan().await.exits(code).json();
        assert_eq!(policy(&json)["verdict"], "unknown", "{status}");
        let table = world.run(&["plan"]).await.stdout;
        assert!(table.contains("unknown") && !table.contains("approved"), "{table}");
        for command in [
            &["forecast"][..],
            &["diff", "--against", world.config_file().to_str().unwrap()],
        ] {
            let json = world
                .run(&[command, &["--format", "json"]].concat())
                .await
                .exits(code)
                .json();
            assert_eq!(json["skipped"][0]["project"], "simulator");
            let said = world.run(command).await.exits(code).stdout;
            assert!(said.contains("Not read, so left out here: 1 project."), "{said}");
            assert!(!said.contains("No backup changes fate"), "{said}");
        }
    }
}

/// One instance of two: what was read is decided, and the rest is said. `diff` and `forecast` are answers about all of it.
#[tokio::test]
async fn an_instance_that_could_not_be_read_is_said_by_diff_and_forecast() {
    let world = World::new(&[5, 5]).await;
    let same = world.config_file().to_str().unwrap().to_owned();
    let commands = [&["forecast"][..], &["diff", "--against", &same]];
    for command in commands {
        let json = world
            .run(&[command, &["--format", "json"]].concat())
            .await
            .exits(0)
            .json();
        assert_eq!(json["skipped"], json!([]));
        assert!(!world.run(command).await.exits(0).stdout.contains("Not read"));
    }
    let other = instance_id(2);
    world.fault(&format!("list_backups:status=403:instance={other}"));
    assert_eq!(policy(&world.plan().await.exits(0).json())["verdict"], "approved");
    for command in commands {
        let json = world
            .run(&[command, &["--format", "json"]].concat())
            .await
            .exits(1)
            .json();
        assert_eq!(json["skipped"][0]["instance_id"], other.as_str());
        let said = world.run(command).await.exits(1).stdout;
        assert!(said.contains("Not read, so left out here: 1 instance."), "{said}");
    }
}

/// Whoever asks about a deleted backup has its name from an old mail, or an id in capitals from a ticket.
#[tokio::test]
async fn why_knows_a_deleted_backup_by_its_name_a_start_of_its_id_and_in_capitals() {
    let world = World::new(&[5]).await;
    world.apply().await.exits(0);
    world.deleted_exactly(&ids(1, 3..5));
    let id = backup_id(1, 4);
    // The start that no other id has.
    let start = &id[..32];
    for typed in ["nightly-4", &id.to_uppercase(), start, &id] {
        let json = world.run(&["why", typed, "--format", "json"]).await.exits(0).json();
        assert_eq!(json["backup_id"], id.as_str(), "{typed}");
        assert_eq!(json["deletions"][0]["policy"], "p", "{typed}: {json}");
    }
    // One that is still there, the same ways; and what may be several.
    let there = world
        .run(&["why", "nightly-1", "--format", "json"])
        .await
        .exits(0)
        .json();
    assert_eq!(there["backup_id"], backup_id(1, 1).as_str());
    world
        .run(&["why", &id[..8]])
        .await
        .exits(64)
        .says("may mean several backups");
    world.run(&["why", "nightly-77"]).await.exits(64);
}
