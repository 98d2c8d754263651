//! What the guard refuses and an approval lets go: limits, a recovery point that is missing, listings that shrank.

use std::collections::BTreeSet;

use chrono::TimeDelta;
use rds_retentiond::cli::exit;
use rds_retentiond::clock::now;
use rds_retentiond::simulator::{Backup, BackupKind, Op};
use serde_json::Value;

use super::super::world::{KEEP_3, World, backup, backup_id, begun, decided, ids, instance_id};
use super::{AT_ONCE, policy};

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
