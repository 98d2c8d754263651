//! Backups of `MySQL`, `PostgreSQL` and `MariaDB`: selected by a policy that says so, deleted one by one, and in doubt about the engine kept.

mod doubts;
mod refusals;
mod selections;

use std::collections::BTreeSet;
use std::time::Duration;

use chrono::TimeDelta;
use rds_retentiond::simulator::{Backup, DeletedListing, Engine, Fleet, Instance, Op};
use serde_json::{Value, json};

use super::world::{World, backup, begun, decided, decisions};

/// Keeps the last three of these engines.
fn keep_3(engines: &str) -> String {
    format!(
        "\n  - name: p\n    mode: enforce\n    select: {{engines: {engines}}}\n    keep: {{last: 3}}\n    grace: 0s\n    limits: \
         {{max_percent: 100}}\n"
    )
}

fn of(engine: Engine, number: usize) -> String {
    format!("{number:032x}in{}", engine.digits())
}

fn id(engine: Engine, number: usize, nth: usize) -> String {
    format!("{number:016x}{nth:016x}br{}", engine.digits())
}

fn ids(engine: Engine, number: usize, numbers: impl IntoIterator<Item = usize>) -> BTreeSet<String> {
    numbers.into_iter().map(|nth| id(engine, number, nth)).collect()
}

fn all(of: impl IntoIterator<Item = BTreeSet<String>>) -> BTreeSet<String> {
    of.into_iter().flatten().collect()
}

/// One instance of each engine, numbered from 1 in the order of [`Engine::ALL`], with so many backups.
async fn world(backups: usize) -> World {
    World::with(|options| {
        let created = rds_retentiond::clock::now() - TimeDelta::days(2000);
        let numbered = || Engine::ALL.into_iter().zip(1..);
        let instance = |(engine, number): (Engine, usize)| Instance {
            engine,
            ..Instance::sql_server(&of(engine, number), &format!("db-{number}"), created)
        };
        let backup = |engine: Engine, number, nth| Backup {
            id: id(engine, number, nth),
            instance_id: of(engine, number),
            ..backup(number, nth)
        };
        options.fleet = Fleet::Given {
            instances: numbered().map(instance).collect(),
            backups: numbered()
                .flat_map(|(engine, number)| (0..backups).map(move |nth| backup(engine, number, nth)))
                .collect(),
        };
    })
    .await
}

const EVERY: &str = "[sqlserver, mysql, postgresql, mariadb]";

/// The ids of all single deletions, in order.
fn singles(world: &World) -> Vec<String> {
    let calls = world.simulator.calls_of(Op::DeleteOne).into_iter();
    calls.flat_map(|call| call.backup_ids).collect()
}

/// The ids of all batches, in order.
fn batched(world: &World) -> Vec<String> {
    let calls = world.simulator.calls_of(Op::DeleteBatch).into_iter();
    calls.flat_map(|call| call.backup_ids).collect()
}

#[tokio::test]
async fn only_sql_server_is_touched_unless_a_policy_says_otherwise() {
    let world = world(6).await;
    world.apply().await.exits(0);
    world.deleted_exactly(&ids(Engine::SqlServer, 1, 3..6));
    let calls = world.simulator.calls_of(Op::ListInstances);
    assert!(
        calls.iter().all(|call| call.query.contains("datastore_type=SQLServer")),
        "{calls:?}"
    );
    assert!(singles(&world).is_empty());
    // The twin.
    world.policies(&keep_3("[mysql]"));
    let ran = world.apply().await.exits(0);
    let mysql = ids(Engine::MySql, 2, 3..6);
    world.deleted_exactly(&all([ids(Engine::SqlServer, 1, 3..6), mysql.clone()]));
    assert_eq!(singles(&world).into_iter().collect::<BTreeSet<_>>(), mysql);
    let row = &decisions(&ran.json(), "p")[&id(Engine::MySql, 2, 3)];
    assert_eq!(row["outcome"], "confirmed", "{row}");
    world.run(&["audit", "verify"]).await.exits(0);
}

#[tokio::test]
async fn a_plan_of_many_single_deletions_says_how_many_calls_they_are_and_how_long_they_take() {
    let world = world(130).await;
    let projects = world.simulator.config_yaml();
    let slow = projects.replacen("    region:", "    requests_per_second: 2\n    region:", 1);
    assert_ne!(slow, projects);
    world.configure(&slow, &keep_3("[sqlserver, mysql]"), "");
    let notices = world.plan().await.exits(0).json()["notices"].to_string();
    assert!(
        notices.contains("127 backups go one by one") && notices.contains("130 calls"),
        "{notices}"
    );
    assert!(notices.contains("about 2 min at 2 requests a second"), "{notices}");
    // The twin: batches take no time worth a word.
    world.configure(&slow, &keep_3("[sqlserver]"), "");
    let notices = world.plan().await.exits(0).json()["notices"].to_string();
    assert!(!notices.contains("one by one"), "{notices}");
}

/// Each by its own call, whatever the listing of the other says.
#[tokio::test]
async fn a_policy_of_all_engines_sends_batches_and_single_deletions_and_never_an_id_by_the_other_call() {
    let world = world(60).await;
    world.policies(&keep_3(EVERY));
    world.apply().await.exits(0);
    let wanted = Engine::ALL
        .into_iter()
        .zip(1..)
        .map(|(engine, number)| ids(engine, number, 3..60));
    world.deleted_exactly(&all(wanted));
    let (batched, singles) = (batched(&world), singles(&world));
    assert_eq!((batched.len(), singles.len()), (57, 3 * 57));
    assert!(batched.iter().all(|id| id.ends_with("br04")) && singles.iter().all(|id| !id.ends_with("br04")));
    assert_eq!(world.simulator.calls_of(Op::DeleteBatch).len(), 2);
    let calls = world.simulator.calls_of(Op::DeleteOne);
    assert!(
        calls
            .iter()
            .all(|call| call.method == "DELETE" && call.query.is_empty())
    );
}

#[tokio::test]
async fn what_a_deleted_instance_left_goes_by_the_call_of_its_engine() {
    let world = world(6).await;
    world
        .simulator
        .set(|settings| settings.deleted_listing = DeletedListing::NotFound);
    let include = |last: &str| {
        keep_3(EVERY)
            .replace("mariadb]}", "mariadb], deleted_instances: include}")
            .replace("last: 3", last)
    };
    world.policies(&include("last: 6"));
    world.pass().run().await;
    assert!(world.simulator.remove_instance(&of(Engine::PostgreSql, 3)));
    for hours in [1, 13, 26] {
        world.pass().later(TimeDelta::hours(hours)).run().await;
    }
    world.policies(&include("last: 3"));
    world.pass().later(TimeDelta::hours(30)).run().await;
    world.deleted_exactly(&all(Engine::ALL
        .into_iter()
        .zip(1..)
        .map(|(engine, number)| ids(engine, number, 3..6))));
    assert!(!batched(&world).iter().any(|id| id.ends_with("br03")));
}

/// Whatever a single deletion is answered.
#[tokio::test]
async fn an_id_that_is_not_found_is_gone_once_a_listing_agrees_and_only_then() {
    for (fault, result) in [
        ("delete_one:status=404:code=DBS.280214", "rejected"),
        ("delete_one:status=400:code=DBS.200054", "rejected"),
    ] {
        let world = world(4).await;
        world.policies(&keep_3("[mysql]"));
        world.fault(fault);
        let ran = world.apply().await.exits(1);
        let row = decisions(&ran.json(), "p")[&id(Engine::MySql, 2, 3)].clone();
        assert_eq!(
            row["outcome"]["result"].as_str().or(row["outcome"].as_str()),
            Some(result),
            "{fault}: {row}"
        );
        assert!(world.deleted().is_empty());
        // The twin.
        world.simulator.faults().clear();
        world.apply().await.exits(0);
        world.deleted_exactly(&ids(Engine::MySql, 2, [3]));
    }
    let world = world(4).await;
    world.policies(&keep_3("[mysql]"));
    // Another program deletes it between the listing and the request.
    let gone = id(Engine::MySql, 2, 3);
    world.fault("delete_one:delay=2s");
    let run = tokio::spawn(super::world::output(world.command(&["apply", "--format", "json"])));
    while world.simulator.calls_of(Op::DeleteOne).is_empty() {
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    assert!(world.simulator.remove_backup(&gone));
    let ran = run.await.unwrap().exits(0);
    assert_eq!(
        decisions(&ran.json(), "p")[&gone]["outcome"],
        "confirmed",
        "{}",
        ran.stdout
    );
}

#[tokio::test]
async fn an_unanswered_single_deletion_is_listed_before_it_is_sent_again() {
    for fault in [
        "delete_one:reset:times=1",
        "delete_one:status=500:times=1",
        "delete_one:body=html:times=1",
    ] {
        let world = world(5).await;
        world.policies(&keep_3("[postgresql]"));
        world.fault(fault);
        world.apply().await.exits(0);
        world.deleted_exactly(&ids(Engine::PostgreSql, 3, 3..5));
    }
}

/// The floor and `require_backup_within` look at the instance's own engine.
#[tokio::test]
async fn a_backup_of_another_engine_is_no_recovery_point_and_no_floor() {
    let world = world(6).await;
    world.policies(&keep_3("[mysql]").replace("grace: 0s", "grace: 0s\n    require_backup_within: 20h"));
    world
        .simulator
        .patch(&id(Engine::MySql, 2, 0), json!({"datastore": {"type": "PostgreSQL"}}));
    world.apply().await.exits(3);
    world.deleted_exactly(&BTreeSet::new());
    // The twin.
    let world = self::world(6).await;
    world.policies(&keep_3("[mysql]").replace("grace: 0s", "grace: 0s\n    require_backup_within: 20h"));
    world.apply().await.exits(0);
    world.deleted_exactly(&ids(Engine::MySql, 2, 3..6));
}

#[tokio::test]
async fn partial_backups_of_postgresql_make_series_of_their_own() {
    let world = world(6).await;
    world.policies(&keep_3("[postgresql]").replace("last: 3", "last: 1"));
    for nth in [0, 1] {
        world
            .simulator
            .patch(&id(Engine::PostgreSql, 3, nth), json!({"databases": [{"name": "crm"}]}));
    }
    world.apply().await.exits(0);
    // 2 is the newest full one; 0 is the newest of crm.
    world.deleted_exactly(&ids(Engine::PostgreSql, 3, [1, 3, 4, 5]));
}

#[tokio::test]
async fn a_hold_of_a_mysql_backup_keeps_it_and_a_freeze_stops_single_deletions() {
    let world = world(6).await;
    world.policies(&keep_3("[mysql]"));
    world.plan().await.exits(0);
    world
        .run(&["hold", &id(Engine::MySql, 2, 4), "--reason", "case", "--force"])
        .await
        .exits(0);
    world.run(&["freeze", "--reason", "audit"]).await.exits(0);
    world.apply().await.exits(3);
    world.deleted_exactly(&BTreeSet::new());
    world.run(&["thaw"]).await.exits(0);
    world.apply().await.exits(0);
    world.deleted_exactly(&ids(Engine::MySql, 2, [3, 5]));
}

/// The engine of a file's entries selects, as that of an instance.
#[tokio::test]
async fn an_exported_list_is_decided_by_the_engine_of_its_entries() {
    let world = world(1).await;
    let entry = |instance: &str, nth: usize, engine: &str| {
        let at = begun(nth).to_rfc3339();
        json!({"id": format!("{instance}-{nth}"), "instance_id": instance, "name": "n", "type": "manual", "status": "COMPLETED",
            "size": 1, "begin_time": at, "end_time": at, "datastore": {"type": engine}})
    };
    let mut entries: Vec<Value> = Vec::new();
    for nth in 0..5 {
        entries.extend([
            entry("a", nth, "SQLServer"),
            entry("b", nth, "MySQL"),
            entry("c", nth, "PostgreSQL"),
        ]);
        entries.push(entry("d", nth, if nth == 2 { "SQLServer" } else { "MySQL" }));
    }
    let file = world.dir().join("backups.json");
    std::fs::write(&file, Value::from(entries).to_string()).unwrap();
    let plan = async |engines: &str| {
        world.policies(&keep_3(engines));
        let file = file.to_str().unwrap();
        let ran = world
            .run(&["plan", "--backups", file, "--format", "json"])
            .await
            .exits(0)
            .json();
        decided(&ran, "p", "delete")
    };
    let of = |ids: &[&str]| ids.iter().map(|id| (*id).to_owned()).collect::<BTreeSet<_>>();
    assert_eq!(
        plan("[sqlserver]").await,
        of(&["a-3", "a-4"]),
        "d has one of SQL Server alone"
    );
    assert_eq!(
        plan("[mysql]").await,
        of(&["b-3", "b-4", "d-4"]),
        "the one of SQL Server is not counted"
    );
    // Which engine d has is in doubt.
    assert_eq!(plan("[sqlserver, mysql]").await, of(&["a-3", "a-4", "b-3", "b-4"]));
}
