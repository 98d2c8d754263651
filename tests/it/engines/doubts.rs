//! Instances and backups whose engine is in doubt: another one than before, two at once, none that is known.

use std::collections::BTreeSet;

use rds_retentiond::simulator::Engine;
use serde_json::json;

use super::super::world::decisions;
use super::{EVERY, all, batched, id, ids, keep_3, of, world};

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
