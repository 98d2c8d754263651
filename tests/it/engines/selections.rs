//! Edits that let a policy select an engine, or what deleted instances left, and no longer: listings, grace and confirmations go on.

use std::collections::BTreeSet;
use std::time::Duration;

use chrono::TimeDelta;
use rds_retentiond::simulator::{Engine, Fleet, Instance};

use super::super::world::{World, backup};
use super::{all, ids, keep_3, of, world};

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
    let first = super::super::world::ids(1, 3..6);
    world.deleted_exactly(&first);
    // Gone while nobody asked: that proves nothing.
    assert!(world.simulator.remove_instance(&super::super::world::instance_id(2)));
    world.policies(&include("[sqlserver, mysql]", "last: 3"));
    world.pass().later(TimeDelta::hours(40)).run().await;
    let others = (3..=10).flat_map(|number| super::super::world::ids(number, 3..6));
    world.deleted_exactly(&first.into_iter().chain(others).collect());
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
