//! Instances that are not what they were: their tags or enterprise project are gone, or they were made again under their name.

use std::collections::BTreeSet;

use chrono::TimeDelta;
use rds_retentiond::simulator::Instance;
use serde_json::json;

use super::super::world::{KEEP_3, World, backup, decisions, ids, instance_id};
use super::{run, tagged};

/// A policy that protects by what an instance is tagged with, and one that takes the rest.
const BY_TAG: &str = "
  - {name: gold, mode: enforce, keep: {last: 50}, grace: 0s, select: {instances: {tags: {tier: gold}}}}
  - {name: p, mode: enforce, keep: {last: 3}, grace: 0s, limits: {max_percent: 100}}
";

#[tokio::test]
async fn an_instance_whose_tags_or_enterprise_project_are_gone_is_left_alone() {
    let by_project = BY_TAG.replace("tags: {tier: gold}", "enterprise_projects: [\"7\"]");
    let by_name = BY_TAG.replace("tags: {tier: gold}", "names: [mssql-1]");
    for (policies, patch, what) in [
        (BY_TAG, json!({"tags": null}), "tags"),
        (BY_TAG, json!({"tags": []}), "tags"),
        (BY_TAG, json!({"tags": {"$null": true}}), "tags"),
        (BY_TAG, json!({"tags": [{"key": "tier", "value": null}]}), "tags"),
        (BY_TAG, json!({"tags": [{"key": "tier", "value": ""}]}), "tags"),
        (BY_TAG, json!({"tags": [{"key": "tier"}]}), "tags"),
        (BY_TAG, json!({"tags": [{"key": "", "value": "gold"}]}), "tags"),
        (BY_TAG, json!({"tags": [7]}), "tags"),
        (
            &by_project,
            json!({"enterprise_project_id": null}),
            "enterprise project",
        ),
        (&by_project, json!({"enterprise_project_id": ""}), "enterprise project"),
        (&by_name, json!({"name": null}), "name"),
    ] {
        let world = tagged().await;
        world.policies(policies);
        world.apply().await.exits(0);
        world.deleted_exactly(&ids(2, 3..8));
        world.simulator.patch(&instance_id(1), patch.clone());
        // Also run alone, and run after run.
        for args in [
            vec!["apply", "--format", "json"],
            vec!["apply", "--policy", "p", "--format", "json"],
        ] {
            let report = world.run(&args).await.exits(1).json();
            let skip = &report["skipped"][0];
            assert_eq!(skip["instance_id"], instance_id(1), "{patch}");
            let message = skip["message"].as_str().unwrap();
            assert!(
                message.contains(what) && message.contains("it is left alone until"),
                "{message}"
            );
        }
        world.deleted_exactly(&ids(2, 3..8));
        // They are back.
        world.simulator.patch(&instance_id(1), json!({}));
        world.apply().await.exits(0);
        world.deleted_exactly(&ids(2, 3..8));
        // They are gone, and a person accepts that; what cannot be read cannot be accepted.
        world.simulator.patch(&instance_id(1), patch);
        let report = world.apply().await.exits(1).json();
        let is_odd = report["skipped"][0]["message"]
            .as_str()
            .unwrap()
            .contains("cannot be read");
        let accepted = world.run(&["approve", "--listing", &instance_id(1)]).await;
        accepted.exits(i32::from(is_odd));
        world.apply().await.exits(i32::from(is_odd));
        let first = if is_odd { ids(1, 8..8) } else { ids(1, 3..8) };
        world.deleted_exactly(&first.into_iter().chain(ids(2, 3..8)).collect());
    }
}

/// The twins: an instance that never had tags, and one whose tags are others now.
#[tokio::test]
async fn an_instance_without_tags_ever_and_one_with_other_tags_are_managed() {
    let world = World::new(&[8, 8]).await;
    world.policies(&BY_TAG.replace("last: 3", "last: 20"));
    world.simulator.change_instance(&instance_id(2), |instance| {
        instance.tags = vec![("tier".to_owned(), "gold".to_owned())];
    });
    world.apply().await.exits(0);
    world.policies(BY_TAG);
    world.simulator.patch(&instance_id(1), json!({"tags": []}));
    world.simulator.change_instance(&instance_id(2), |instance| {
        instance.tags = vec![("tier".to_owned(), "silver".to_owned())];
    });
    world.apply().await.exits(0);
    world.deleted_exactly(&ids(1, 3..8).into_iter().chain(ids(2, 3..8)).collect());
}

/// An instance was deleted and made again under its name: all that is remembered is remembered by id.
#[tokio::test]
async fn an_instance_made_again_under_its_name_is_another_one() {
    let world = World::new(&[8, 0, 8]).await;
    world.simulator.remove_instance(&instance_id(2));
    world.policies(&KEEP_3.replace("last: 3", "last: 20"));
    assert_eq!(run(&world, 0).await, 0);
    assert!(world.simulator.remove_instance(&instance_id(1)));
    let created = rds_retentiond::clock::now();
    let again = Instance::sql_server(&instance_id(4), "mssql-1", created);
    assert!(world.simulator.add_instance(again));
    for number in 0..8 {
        assert!(world.simulator.add_backup(backup(4, number)));
    }
    for hours in [1, 13, 26] {
        assert_eq!(run(&world, hours).await, 0);
    }
    // The new one is no longer missed because it has the name of the old one, nor the old one found again.
    let seen = world.ledger().seen_instances(&"simulator".into()).unwrap();
    let of = |number: usize| {
        seen.iter()
            .find(|seen| seen.instance.id.as_str() == instance_id(number))
            .unwrap()
    };
    let then = created + TimeDelta::hours(26);
    assert!(of(1).is_long_missed(then) && !of(4).is_long_missed(then));
    world.policies(KEEP_3);
    assert_eq!(run(&world, 27).await, 0);
    world.deleted_exactly(&ids(3, 3..8).into_iter().chain(ids(4, 3..8)).collect());
    // Asked for by name, a plan shows all that have it.
    world.policies(&KEEP_3.replace("limits", "select: {deleted_instances: include}\n    limits"));
    let at = (created + TimeDelta::hours(27)).to_rfc3339();
    let plan = world
        .run(&["plan", "--instance", "mssql-1", "--format", "json", "--at", &at])
        .await;
    let shown: BTreeSet<String> = decisions(&plan.exits(0).json(), "p").into_keys().collect();
    assert_eq!(shown, ids(1, 0..8).into_iter().chain(ids(4, 0..3)).collect());
}
