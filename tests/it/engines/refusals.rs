//! What the API refuses for its engine, or of single deletions, ends no more than it must.

use chrono::TimeDelta;
use rds_retentiond::simulator::{Backup, Engine, Fleet, Instance, Op};
use serde_json::json;

use super::super::world::{World, backup};
use super::{EVERY, all, id, ids, keep_3, of, singles, world};

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
