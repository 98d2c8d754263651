//! Deleted instances whose backups remain are named with what they hold, and nothing of them is deleted for it.

use rds_retentiond::simulator::{DeletedListing, Op};
use serde_json::json;

use super::world::{World, ids, instance_id};

const KEEP_3: &str = "\n  - {name: p, mode: enforce, keep: {last: 3}, grace: 0s, limits: {max_percent: 100}}\n";

/// Of two instances the second is deleted before anything looked.
async fn world(policies: &str) -> World {
    let world = World::new(&[6, 6]).await;
    world.policies(policies);
    assert!(world.simulator.remove_instance(&instance_id(2)));
    world
        .simulator
        .set(|settings| settings.deleted_listing = DeletedListing::NotFound);
    world
}

#[tokio::test]
async fn plan_and_status_name_a_deleted_instance_whose_backups_remain_although_this_state_never_saw_it() {
    let world = world(KEEP_3).await;
    let plan = world.plan().await.exits(0).json();
    let orphan = &plan["orphans"][0];
    assert_eq!(orphan["instance_id"], json!(instance_id(2)), "{plan}");
    assert_eq!((&orphan["backups"], &orphan["bytes"]), (&json!(6), &json!(6_u64 << 30)));
    assert_eq!(orphan["is_selected"], json!(false));
    let said = "backups of 1 deleted instance remain, 6.0 GiB in all";
    assert!(plan["notices"].to_string().contains(said), "{}", plan["notices"]);
    world.policies_and(KEEP_3, "price: {per_gib_month: 0.02, currency: USD}");
    let priced = world.plan().await.exits(0).json()["notices"].to_string();
    assert!(priced.contains("6.0 GiB in all (0.12 USD a month)"), "{priced}");
    let status = async || world.run(&["status"]).await.stdout.replace('\n', " ");
    world.apply().await.exits(0);
    assert!(status().await.contains("1 deleted instance"), "{}", status().await);
    // The twin: the living one goes on, and of the deleted one nothing goes, whatever a policy includes: this state never saw it.
    world.deleted_exactly(&ids(1, 3..6));
    let include = KEEP_3.replace("keep:", "select: {deleted_instances: include}, keep:");
    world.policies(&include);
    let ran = world.apply().await.exits(0).json();
    assert_eq!(ran["orphans"][0]["is_selected"], json!(true));
    world.deleted_exactly(&ids(1, 3..6));
}

#[tokio::test]
async fn an_instance_that_is_listed_is_no_orphan_and_a_refusal_names_none() {
    for rule in ["status=403:code=DBS.200010", "status=404", "body=html"] {
        let world = world(KEEP_3).await;
        world.fault(&format!("list_retain_policies:{rule}"));
        let ran = world.apply().await.exits(0).json();
        assert_eq!(ran["orphans"], json!(null), "{rule}");
        // That the key may not ask is no news in each run; that the answer is missing is.
        let is_said = ran["notices"]
            .to_string()
            .contains("whether backups of deleted instances remain is not known");
        assert_eq!(is_said, !rule.contains("=40"), "{ran}");
        assert_eq!(world.simulator.calls_of(Op::ListRetainPolicies).len(), 1, "{rule}");
        world.deleted_exactly(&ids(1, 3..6));
    }
    // A retain policy that names an instance which the list has is wrong.
    let world = World::new(&[6]).await;
    world.policies(KEEP_3);
    assert_eq!(world.plan().await.exits(0).json()["orphans"], json!(null));
}

/// A size may be any number. Of living and of deleted instances, wherever sizes are added up.
#[tokio::test]
async fn sizes_that_no_sum_can_hold_break_nothing() {
    let world = world(KEEP_3).await;
    for backup in (1..=2).flat_map(|instance| ids(instance, 0..6)) {
        world.simulator.patch(&backup, json!({"size": u64::MAX}));
    }
    let plan = world.plan().await.exits(0).json();
    assert_eq!(plan["orphans"][0]["bytes"], json!(u64::MAX), "{plan}");
    world.run(&["forecast"]).await.exits(0);
    world.apply().await.exits(0);
    world.deleted_exactly(&ids(1, 3..6));
    for look in [
        &["status"][..],
        &["history"],
        &["audit", "report", "--from", "2020-01-01", "--to", "2100-01-01"],
        &["plan"],
        &["check", "--online"],
    ] {
        world.run(look).await.exits(0);
    }
}
