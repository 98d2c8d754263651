//! Backups of `MySQL`, `PostgreSQL` and `MariaDB`: selected by a policy that says so, deleted one by one, and in doubt about the engine kept.

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

/// What is not known to be the instance's engine, and one that a policy selects, is kept; the others of the instance go on.
#[tokio::test]
async fn a_backup_whose_engine_is_in_doubt_is_kept() {
    let world = world(12).await;
    world.policies(&keep_3(EVERY));
    let odd = [
        json!({"datastore": null}),
        json!({"datastore": {"$null": true}}),
        json!({"datastore": "MySQL"}),
        json!({"datastore": {"type": 5, "version": "8.0"}}),
        json!({"datastore": {"type": "GaussDB"}}),
        json!({"datastore": {"type": "SQLServer"}}),
        json!({"datastore": {"type": "PostgreSQL"}}),
    ];
    for (patch, nth) in odd.into_iter().zip(4..) {
        world.simulator.patch(&id(Engine::MySql, 2, nth), patch);
    }
    // Another case of letters is the same engine.
    world.simulator.patch(
        &id(Engine::MySql, 2, 11),
        json!({"datastore": {"type": "mysql", "version": "8.0"}}),
    );
    // SQL Server's listing names another engine, which a policy selects, too.
    world
        .simulator
        .patch(&id(Engine::SqlServer, 1, 11), json!({"datastore": {"type": "MySQL"}}));
    let plan = world.plan().await.exits(0).json();
    for nth in 4..11 {
        let row = &decisions(&plan, "p")[&id(Engine::MySql, 2, nth)];
        assert_eq!(row["reasons"][0]["rule"], "unknown_engine", "{row}");
    }
    world.apply().await.exits(0);
    world.deleted_exactly(&all([
        ids(Engine::SqlServer, 1, 3..11),
        ids(Engine::MySql, 2, [3, 11]),
        ids(Engine::PostgreSql, 3, 3..12),
        ids(Engine::MariaDb, 4, 3..12),
    ]));
}

#[tokio::test]
async fn what_changes_its_engine_between_runs_is_kept_until_it_is_accepted() {
    let world = world(8).await;
    world.policies(&keep_3(EVERY).replace("last: 3", "last: 8"));
    world.apply().await.exits(0);
    world.policies(&keep_3(EVERY));
    // All of an instance, and one backup of another one.
    world
        .simulator
        .change_instance(&of(Engine::MySql, 2), |instance| instance.engine = Engine::SqlServer);
    world
        .simulator
        .patch(&id(Engine::PostgreSql, 3, 5), json!({"datastore": {"type": "MariaDB"}}));
    let ran = world.apply().await.exits(1);
    assert!(
        ran.stdout.contains("engine is not the one that it had"),
        "{}",
        ran.stdout
    );
    let without_it = all([
        ids(Engine::SqlServer, 1, 3..8),
        ids(Engine::PostgreSql, 3, [3, 4, 6, 7]),
        ids(Engine::MariaDb, 4, 3..8),
    ]);
    world.deleted_exactly(&without_it);
    // The twin: first the instance is accepted, then what its backups say.
    for _ in 0..2 {
        world
            .run(&["approve", "--listing", &of(Engine::MySql, 2)])
            .await
            .exits(0);
        world.apply().await;
    }
    world.deleted_exactly(&all([without_it, ids(Engine::MySql, 2, 3..8)]));
    assert!(
        batched(&world).contains(&id(Engine::MySql, 2, 3)),
        "it is SQL Server's now"
    );
}

/// A proxy that drops the filter, or an API that does not know it.
#[tokio::test]
async fn an_instance_that_is_listed_with_two_engines_is_left_alone() {
    let world = world(6).await;
    world.policies(&keep_3("[sqlserver, mysql]"));
    // Listed without its engine, whichever is asked for.
    world.simulator.set(|settings| settings.ignores_engine_filter = true);
    world
        .simulator
        .patch(&of(Engine::SqlServer, 1), json!({"datastore": null}));
    world.apply().await;
    world.deleted_exactly(&ids(Engine::MySql, 2, 3..6));
    // Those of engines that nobody selects come through as well, and are none of this program's business.
    let check = world.run(&["check", "--online"]).await.exits(0);
    assert!(
        check.stdout.contains("2 instances of the selected engines"),
        "{}",
        check.stdout
    );
    // The twin: the filter says which it is.
    world.simulator.set(|settings| settings.ignores_engine_filter = false);
    world.apply().await.exits(0);
    world.deleted_exactly(&all([ids(Engine::SqlServer, 1, 3..6), ids(Engine::MySql, 2, 3..6)]));
}

/// The list of SQL Server names an engine that nobody knows: it is there, and nothing of it goes.
#[tokio::test]
async fn an_instance_whose_engine_is_not_known_is_named_and_left_alone() {
    let odd = json!({"datastore": {"type": "Microsoft SQL Server", "version": "2022_EE"}});
    let new = world(6).await;
    new.simulator.patch(&of(Engine::SqlServer, 1), odd.clone());
    let plan = decisions(&new.plan().await.exits(0).json(), "p");
    assert_eq!(plan.len(), 6, "{plan:?}");
    assert!(
        plan.values().all(|row| row["reasons"][0]["rule"] == "unknown_engine"),
        "{plan:?}"
    );
    new.apply().await.exits(0);
    new.deleted_exactly(&BTreeSet::new());
    // Seen before as what it is: left alone until a person accepts it. Also where the new one is known, and nobody asks for it.
    for odd in [odd, json!({"datastore": {"type": "MySQL", "version": "8.0"}})] {
        let seen = world(6).await;
        seen.policies(&keep_3("[sqlserver]").replace("last: 3", "last: 6"));
        seen.apply().await.exits(0);
        seen.policies(&keep_3("[sqlserver]"));
        seen.simulator.patch(&of(Engine::SqlServer, 1), odd);
        let ran = seen.apply().await.exits(1);
        assert!(
            ran.stdout.contains("engine is not the one that it had"),
            "{}",
            ran.stdout
        );
        seen.deleted_exactly(&BTreeSet::new());
        let missed = seen.ledger().seen_instances(&"simulator".into()).unwrap();
        assert!(
            missed.iter().all(|seen| seen.missed == 0),
            "the list names it: {missed:?}"
        );
    }
}

#[tokio::test]
async fn an_engine_that_an_edit_adds_or_takes_away_is_no_shrunken_listing_and_no_deleted_instance() {
    let world = World::with(|options| {
        let created = rds_retentiond::clock::now() - TimeDelta::days(2000);
        let instance = |number: usize| Instance {
            engine: if number > 1 { Engine::MySql } else { Engine::SqlServer },
            ..Instance::sql_server(&format!("{number:032x}in04"), &format!("db-{number}"), created)
        };
        options.fleet = Fleet::Given {
            instances: (1..=10).map(instance).collect(),
            backups: (1..=10)
                .flat_map(|number| (0..6).map(move |nth| backup(number, nth)))
                .collect(),
        };
    })
    .await;
    let include = |engines: &str, last: &str| {
        keep_3(engines)
            .replace("}\n    keep", ", deleted_instances: include}\n    keep")
            .replace("last: 3", last)
    };
    world.policies(&include("[sqlserver, mysql]", "last: 6"));
    world.pass().run().await;
    world.policies(&include("[sqlserver]", "last: 3"));
    for hours in [1, 13, 26, 39] {
        let report = world.pass().later(TimeDelta::hours(hours)).run().await;
        assert!(report.skipped.is_empty(), "{:?}", report.skipped);
    }
    let first = super::world::ids(1, 3..6);
    world.deleted_exactly(&first);
    // Gone while nobody asked: that proves nothing.
    assert!(world.simulator.remove_instance(&super::world::instance_id(2)));
    world.policies(&include("[sqlserver, mysql]", "last: 3"));
    world.pass().later(TimeDelta::hours(40)).run().await;
    let others = (3..=10).flat_map(|number| super::world::ids(number, 3..6));
    world.deleted_exactly(&first.into_iter().chain(others).collect());
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

/// Several instances of one engine.
async fn fleet_of(engine: Engine, instances: usize, backups: usize) -> World {
    World::with(|options| {
        let created = rds_retentiond::clock::now() - TimeDelta::days(2000);
        let instance = |number| Instance {
            engine,
            ..Instance::sql_server(&of(engine, number), &format!("db-{number}"), created)
        };
        let backup = |number, nth| Backup {
            id: id(engine, number, nth),
            instance_id: of(engine, number),
            ..backup(number, nth)
        };
        options.fleet = Fleet::Given {
            instances: (1..=instances).map(instance).collect(),
            backups: (1..=instances)
                .flat_map(|number| (0..backups).map(move |nth| backup(number, nth)))
                .collect(),
        };
    })
    .await
}

/// One that is not what it is listed as, says the API, must neither go nor keep a fleet's retention from going on.
#[tokio::test]
async fn a_backup_that_the_api_refuses_for_its_engine_keeps_its_instance_and_the_others_go_on() {
    for (engine, operation) in [(Engine::SqlServer, "delete_batch"), (Engine::MySql, "delete_one")] {
        let world = fleet_of(engine, 5, 23).await;
        world.policies(&keep_3(EVERY));
        // The oldest: it is in the first batch of every run.
        let odd = id(engine, 2, 22);
        world.fault(&format!("{operation}:status=400:code=DBS.201207:backup={odd}"));
        let ran = world.apply().await.exits(1);
        let deleted = world.deleted();
        assert!(!deleted.contains(&odd));
        for number in [1, 3, 4, 5] {
            let wanted = ids(engine, number, 3..23);
            assert!(deleted.is_superset(&wanted), "{number}: {}", ran.stdout);
        }
        let json = ran.json();
        let left = json["skipped"].as_array().unwrap();
        assert_eq!(left.len(), 1, "{left:?}");
        assert_eq!(left[0]["instance_id"], json!(of(engine, 2)));
        assert!(left[0]["message"].to_string().contains(&odd), "{left:?}");
        // The twin.
        world.simulator.faults().clear();
        world.apply().await.exits(0);
        world.deleted_exactly(&all((1..=5).map(|number| ids(engine, number, 3..23))));
    }
}

#[tokio::test]
async fn a_call_that_the_api_refuses_for_an_engine_ends_with_the_third_instance_and_the_other_engines_go_on() {
    let world = fleet_of(Engine::SqlServer, 10, 23).await;
    let created = rds_retentiond::clock::now() - TimeDelta::days(2000);
    for number in [11, 12] {
        let mysql = of(Engine::MySql, number);
        world.simulator.add_instance(Instance {
            engine: Engine::MySql,
            ..Instance::sql_server(&mysql, &format!("db-{number}"), created)
        });
        for nth in 0..6 {
            world.simulator.add_backup(Backup {
                id: id(Engine::MySql, number, nth),
                instance_id: mysql.clone(),
                ..backup(number, nth)
            });
        }
    }
    world.policies(&keep_3("[sqlserver, mysql]"));
    world.fault("delete_batch:status=400:code=DBS.201207");
    // Of MySQL it is one backup: that ends its instance's, however many of SQL Server are refused.
    let odd = id(Engine::MySql, 11, 5);
    world.fault(&format!("delete_one:status=400:code=DBS.201207:backup={odd}"));
    let ran = world.apply().await.exits(1);
    let deleted = world.deleted();
    assert!(deleted.is_superset(&ids(Engine::MySql, 12, 3..6)), "{deleted:?}");
    assert!(
        deleted.is_subset(&all([ids(Engine::MySql, 11, 3..5), ids(Engine::MySql, 12, 3..6)])),
        "{deleted:?}"
    );
    // Four batches, each halved until an id stands alone, while three instances are found.
    let calls = world.simulator.calls_of(Op::DeleteBatch).len();
    assert!(calls <= 80, "{calls}");
    assert!(ran.stdout.contains("no more backups of SQLServer"), "{}", ran.stdout);
    assert!(!ran.stdout.contains("no more backups of MySQL"), "{}", ran.stdout);
    // The twin.
    world.simulator.faults().clear();
    world.apply().await.exits(0);
    let sql_server = (1..=10).map(|number| ids(Engine::SqlServer, number, 3..23));
    let mysql = [11, 12].map(|number| ids(Engine::MySql, number, 3..6));
    world.deleted_exactly(&all(sql_server.chain(mysql)));
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

/// An edit that takes an engine out of the policy lets nothing of it be expired, although its instances are no longer listed.
#[tokio::test]
async fn an_engine_that_a_policy_does_not_select_for_a_while_has_its_grace_periods_begin_again() {
    let world = world(6).await;
    let policy = |engines: &str| keep_3(engines).replace("grace: 0s", "grace: 24h");
    let run = async |hours: i64, engines: &str| {
        world.policies(&policy(engines));
        world.pass().later(TimeDelta::hours(hours)).run().await;
    };
    run(0, "[mysql]").await;
    run(12, "[postgresql]").await;
    run(30, "[mysql]").await;
    world.deleted_exactly(&BTreeSet::new());
    // The twin: expired for a whole day without a break.
    run(55, "[mysql]").await;
    world.deleted_exactly(&ids(Engine::MySql, 2, 3..6));
}

/// The same of a deleted instance, which is not listed either.
#[tokio::test]
async fn a_deleted_instance_that_a_policy_ignores_for_a_while_has_its_grace_periods_begin_again() {
    let world = world(6).await;
    let run = async |hours: i64, deleted: &str, last: usize| {
        let select = format!("mysql], deleted_instances: {deleted}}}");
        let policy = keep_3("[mysql]").replace("mysql]}", &select);
        let policy = policy.replace("last: 3", &format!("last: {last}"));
        world.policies(&policy.replace("grace: 0s", "grace: 24h"));
        world.pass().later(TimeDelta::hours(hours)).run().await;
    };
    run(0, "include", 6).await;
    assert!(world.simulator.remove_instance(&of(Engine::MySql, 2)));
    for hours in [1, 13, 26] {
        run(hours, "include", 6).await;
    }
    run(30, "include", 3).await;
    run(40, "ignore", 3).await;
    run(60, "include", 3).await;
    world.deleted_exactly(&BTreeSet::new());
    // The twin.
    run(85, "include", 3).await;
    world.deleted_exactly(&ids(Engine::MySql, 2, 3..6));
}

#[tokio::test]
async fn a_deletion_is_confirmed_although_no_policy_selects_its_engine_any_more() {
    let world = world(6).await;
    world
        .simulator
        .set(|settings| settings.deletion_takes = Duration::from_secs(3600));
    world.policies(&keep_3("[mysql]"));
    let report = world.pass().run().await;
    assert_eq!(report.unconfirmed.values().sum::<u64>(), 3);
    world.policies(&keep_3("[postgresql]"));
    world.simulator.set(|settings| settings.deletion_takes = Duration::ZERO);
    let report = world.pass().later(TimeDelta::minutes(5)).run().await;
    assert_eq!(report.settled_earlier.len(), 3, "{:?}", report.settled_earlier);
    assert_eq!(report.unconfirmed.values().sum::<u64>(), 0);
    assert!(report.unmanaged.is_empty(), "{:?}", report.unmanaged);
    world.deleted_exactly(&all([ids(Engine::MySql, 2, 3..6), ids(Engine::PostgreSql, 3, 3..6)]));
}

/// By its code this may be one backup's or the permission's: the next call tells.
#[tokio::test]
async fn one_backup_that_is_refused_as_missing_or_not_permitted_holds_up_no_other() {
    let world = world(6).await;
    world.policies(&keep_3("[sqlserver, mysql]"));
    let oldest = id(Engine::MySql, 2, 5);
    world.fault(&format!("delete_one:status=403:code=DBS.201003:backup={oldest}"));
    world.apply().await.exits(1);
    assert_eq!(
        world.deleted(),
        all([ids(Engine::SqlServer, 1, 3..6), ids(Engine::MySql, 2, 3..5)])
    );
    // The twin.
    world.simulator.faults().clear();
    world.apply().await.exits(0);
    world.deleted_exactly(&all([ids(Engine::SqlServer, 1, 3..6), ids(Engine::MySql, 2, 3..6)]));
}

/// A refused permission is that of each backup: asking again for every one of them would only fill the ledger.
#[tokio::test]
async fn single_deletions_that_are_not_permitted_end_with_the_first_answers() {
    let world = world(60).await;
    world.policies(&keep_3("[mysql]"));
    world.fault("delete_one:status=403:code=DBS.200010");
    world.apply().await.exits(77);
    assert!(singles(&world).len() <= 20, "{}", singles(&world).len());
    assert!(world.deleted().is_empty());
}
