//! What a run hands to the guard and what it keeps of the answer: for `approve`, and for the verdict.

use std::collections::BTreeSet;

use chrono::TimeDelta;
use rds_retentiond::run::Purpose;

use super::world::{World, begun, ids};

fn policy(more: &str) -> String {
    format!("\n  - {{name: p, mode: enforce, keep: {{last: 3}}, grace: 0s{more}}}\n")
}

/// What waits for `approve`.
fn waiting(world: &World) -> Option<BTreeSet<String>> {
    let waiting = world.ledger().waiting(&"p".into()).unwrap();
    waiting.map(|plan| plan.backups.iter().map(ToString::to_string).collect())
}

#[tokio::test]
async fn only_what_the_two_limits_refused_waits_for_an_approval() {
    // Of two instances `max_percent` refuses one, and the other one's go.
    let world = World::new(&[20, 5]).await;
    world.policies(&policy(""));
    world.apply().await.exits(3);
    world.deleted_exactly(&ids(2, 3..5));
    assert_eq!(waiting(&world), Some(ids(1, 3..20)));
    world.approve("p").await.exits(0);
    world.apply().await.exits(0);
    world.deleted_exactly(&ids(1, 3..20).into_iter().chain(ids(2, 3..5)).collect());
    assert_eq!(waiting(&world), None);
    // No approval lifts what another limit refused.
    let world = World::new(&[8]).await;
    for number in 0..3 {
        world.simulator.remove_backup(&super::world::backup_id(1, number));
    }
    world.policies(&policy(", require_backup_within: 2d"));
    world.apply().await.exits(3);
    assert_eq!(waiting(&world), None);
    let mut recent = super::world::backup(1, 100);
    (recent.begin, recent.end) = (begun(0), Some(begun(0)));
    world.simulator.add_backup(recent);
    world.apply().await.exits(0);
    world.deleted_exactly(&ids(1, 5..8));
}

#[tokio::test]
async fn a_plan_names_the_digest_of_a_refused_run_for_two_days() {
    let world = World::new(&[20]).await;
    world.policies(&policy(""));
    world.pass().run().await;
    for (hours, is_named) in [(0, true), (47, true), (49, false)] {
        let mut plan = world.pass().later(TimeDelta::hours(hours));
        plan.purpose = Some(Purpose::Plan);
        assert_eq!(plan.run().await.policies[0].digest.is_some(), is_named, "{hours}");
    }
}

/// Nothing is due on an instance that was left alone, so only this says why.
#[tokio::test]
async fn a_listing_that_shrank_is_among_the_policy_s_refusals() {
    let world = World::new(&[20, 8]).await;
    world.policies(&policy("").replace("last: 3", "last: 100"));
    world.apply().await.exits(0);
    for number in 4..20 {
        world.simulator.remove_backup(&super::world::backup_id(1, number));
    }
    world.policies(&policy(", limits: {max_percent: 100}"));
    let report = world.apply().await.exits(3).json();
    assert_eq!(report["policies"][0]["refusal"]["limit"], "shrink", "{report:#}");
    world.deleted_exactly(&ids(2, 3..8));
    world
        .run(&["approve", "--listing", &super::world::instance_id(1)])
        .await
        .exits(0);
    let report = world.apply().await.exits(0).json();
    assert!(report["policies"][0]["refusal"].is_null());
    world.deleted_exactly(&ids(1, 3..4).into_iter().chain(ids(2, 3..8)).collect());
}
