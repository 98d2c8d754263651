//! Everything that an API may say wrong in one listing: it lets nothing go that an honest one keeps.

use std::collections::BTreeSet;

use chrono::TimeDelta;
use rds_retentiond::simulator::Status;
use serde_json::{Value, json};
use tokio::task::JoinSet;

use super::super::world::{World, backup, backup_id, begun, ids, instance_id};
use super::{run, tagged, written};

/// What an API may say of one backup for the time of one listing.
fn lies(instance: usize, number: usize) -> Vec<Value> {
    let fields = [
        "id",
        "instance_id",
        "name",
        "type",
        "size",
        "status",
        "begin_time",
        "end_time",
        "datastore",
        "databases",
    ];
    let dropped = fields.iter().map(|field| json!({*field: null}));
    let odd = ["name", "size", "databases"].map(|field| json!({field: 7}));
    let changed = [
        json!({"id": backup_id(instance, (number + 1) % 6)}),
        json!({"id": format!("{}x", backup_id(instance, number))}),
        json!({"id": backup_id(3 - instance, 1)}),
        json!({"instance_id": instance_id(3 - instance)}),
        json!({"name": "another"}),
        json!({"name": "release-1"}),
        json!({"type": "auto"}),
        json!({"size": 0}),
        json!({"status": "COMPLETED"}),
        json!({"status": "FAILED"}),
        json!({"status": "BUILDING"}),
        json!({"status": "DELETING"}),
        json!({"begin_time": written(begun(0)), "end_time": null}),
        json!({"begin_time": written(begun(400)), "end_time": null}),
        json!({"begin_time": written(begun(400)), "end_time": written(begun(399))}),
        json!({"begin_time": written(begun(0) + TimeDelta::days(3)), "end_time": null}),
        json!({"begin_time": "1970-01-01T00:00:00Z"}),
        json!({"end_time": written(begun(0) + TimeDelta::days(30))}),
        json!({"datastore": {"type": "MySQL"}}),
        json!({"databases": []}),
        json!({"databases": [{"name": "orders"}]}),
        json!({"databases": [{"name": "crm"}]}),
    ];
    dropped.chain(odd).chain(changed).collect()
}

/// Instance 1 as an honest run leaves it: two partial backups (0, 1), three full ones (2 to 4), a FAILED one (5), one kept by name
/// (6). Instance 2 is an ordinary one.
async fn as_an_honest_run_leaves_it() -> World {
    let world = World::new(&[7, 3]).await;
    let simulator = &world.simulator;
    for number in [0, 1] {
        simulator.remove_backup(&backup_id(1, number));
        let mut partial = backup(1, number);
        partial.databases = vec!["orders".to_owned()];
        assert!(simulator.add_backup(partial));
    }
    simulator.set_status(&backup_id(1, 5), Status::Failed);
    simulator.rename_backup(&backup_id(1, 6), "release-6");
    world.policies(
        "
  - name: p
    mode: enforce
    keep: {last: 5, names: [\"release-*\"]}
    grace: 0s
    limits: {max_percent: 100}
",
    );
    assert_eq!(run(&world, 0).await, 0);
    world.deleted_exactly(&BTreeSet::new());
    world.policies(
        "
  - name: p
    mode: enforce
    keep: {last: 3, names: [\"release-*\"]}
    failed_after: 10d
    grace: 0s
    limits: {max_percent: 100}
",
    );
    world
}

/// For every lie of one listing between two honest ones nothing goes that the honest one keeps.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_lie_of_one_listing_lets_go_what_an_honest_one_keeps() {
    let mut lying = JoinSet::new();
    for number in [0, 2, 4, 5, 6] {
        lying.spawn(lie_about(number));
    }
    while let Some(told) = lying.join_next().await {
        told.unwrap();
    }
}

async fn lie_about(number: usize) {
    let mut world = as_an_honest_run_leaves_it().await;
    for lie in lies(1, number) {
        let id = backup_id(1, number);
        world.simulator.patch(&id, lie.clone());
        run(&world, 0).await;
        assert_eq!(world.asked(), BTreeSet::new(), "{number}: {lie}");
        world.simulator.patch(&id, json!({}));
        let code = run(&world, 0).await;
        assert_eq!(world.asked(), BTreeSet::new(), "{number}, afterwards: {lie}");
        if code != 0 {
            // The contested one: it is remembered, and would hide what comes.
            world = as_an_honest_run_leaves_it().await;
        }
    }
    // And yet it goes on: two new full ones push two full ones out and a partial one.
    for newer in [20, 21] {
        let mut one = backup(1, newer);
        (one.begin, one.end) = (
            begun(0) + TimeDelta::minutes(20),
            Some(begun(0) + TimeDelta::minutes(30)),
        );
        assert!(world.simulator.add_backup(one));
    }
    assert_eq!(run(&world, 0).await, 0, "{number}");
    world.deleted_exactly(&ids(1, [1, 3, 4]));
}

/// The same of the list of instances.
#[tokio::test]
async fn no_lie_of_one_list_of_instances_lets_go_what_an_honest_one_keeps() {
    let world = tagged().await;
    let policies = "
  - {name: gold, mode: enforce, keep: {last: 50}, grace: 0s, select: {instances: {names: [mssql-1], tags: {tier: gold}, enterprise_projects: [\"7\"]}}}
  - {name: p, mode: enforce, keep: {last: 3}, grace: 0s, limits: {max_percent: 100}}
";
    world.policies(policies);
    assert_eq!(run(&world, 0).await, 0);
    let honest = ids(2, 3..8);
    world.deleted_exactly(&honest);
    let fields = [
        "id",
        "name",
        "type",
        "datastore",
        "tags",
        "enterprise_project_id",
        "status",
    ];
    let dropped = fields.iter().map(|field| json!({*field: null}));
    let null = fields.iter().map(|field| json!({*field: {"$null": true}}));
    let odd = fields.iter().map(|field| json!({*field: 7}));
    let empty = fields.iter().map(|field| json!({*field: ""}));
    let changed = [
        json!({"tags": []}),
        json!({"tags": null, "name": null, "enterprise_project_id": null}),
        json!({"id": format!("{:032x}in04", 77)}),
        json!({"type": "Replica"}),
        json!({"datastore": {"type": "MySQL"}}),
    ];
    for lie in dropped.chain(null).chain(odd).chain(empty).chain(changed) {
        world.simulator.patch(&instance_id(1), lie.clone());
        run(&world, 0).await;
        world.deleted_exactly(&honest);
        world.simulator.patch(&instance_id(1), json!({}));
        assert_eq!(run(&world, 0).await, 0, "{lie}");
        world.deleted_exactly(&honest);
    }
}
