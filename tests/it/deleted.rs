//! Backups that deleted instances left behind: found by memory, proved by the API, touched only where a policy says so.

use std::collections::BTreeSet;

use chrono::TimeDelta;

use rds_retentiond::retention::RunReport;
use rds_retentiond::simulator::DeletedListing;

use crate::world::{World, ids, instance_id};

/// Keeps so many, with that word on deleted instances, without a grace.
fn policy(last: u32, deleted: &str) -> String {
    format!(
        "\n  - name: p\n    mode: enforce\n    keep: {{last: {last}}}\n    grace: 0s\n    limits: {{max_percent: 100}}\n    \
         select: {{deleted_instances: {deleted}}}\n"
    )
}

async fn run(world: &World, hours: i64) -> RunReport {
    world.pass().later(TimeDelta::hours(hours)).run().await
}

/// Three instances seen once; the first is deleted then and missed by three runs over a day.
async fn missed_for_a_day(listing: DeletedListing) -> World {
    let world = World::new(&[8, 8, 8]).await;
    world.simulator.set(|settings| settings.deleted_listing = listing);
    world.policies(&policy(20, "include"));
    run(&world, 0).await;
    assert!(world.simulator.remove_instance(&instance_id(1)));
    for hours in [1, 13, 26] {
        run(&world, hours).await;
    }
    world.deleted_exactly(&BTreeSet::new());
    world
}

#[tokio::test]
async fn include_applies_the_same_rules_to_what_is_left() {
    for listing in [DeletedListing::NotFound, DeletedListing::Empty, DeletedListing::Full] {
        let world = missed_for_a_day(listing).await;
        world.policies(&policy(3, "include"));
        let report = run(&world, 30).await;
        let wanted: BTreeSet<String> = (1..=3).flat_map(|instance| ids(instance, 3..8)).collect();
        world.deleted_exactly(&wanted);
        assert_eq!(
            report.sent("confirmed"),
            15,
            "{listing:?}: also what is listed as retained only is seen to be gone"
        );
    }
}

#[tokio::test]
async fn a_plan_of_it_alone_finds_it_although_no_list_names_it() {
    let world = missed_for_a_day(DeletedListing::NotFound).await;
    // What the runs remember is dated ahead of this process's clock, and would not be believed now.
    let at = (rds_retentiond::clock::now() + TimeDelta::hours(30)).to_rfc3339();
    for format in ["json", "table"] {
        let plan = world
            .run(&["plan", "--at", &at, "--instance", &instance_id(1), "--format", format])
            .await;
        assert_eq!(plan.code, 0, "{}", plan.stderr);
        if format == "json" {
            let decisions = &plan.json()["policies"][0]["decisions"];
            assert_eq!(decisions.as_array().map(Vec::len), Some(8), "{decisions:#}");
        } else {
            assert!(plan.stdout.contains("deleted, missed since"), "{}", plan.stdout);
        }
    }
}

#[tokio::test]
async fn ignore_leaves_it_alone() {
    let world = missed_for_a_day(DeletedListing::NotFound).await;
    world.policies(&policy(3, "ignore"));
    run(&world, 30).await;
    world.deleted_exactly(&(2..=3).flat_map(|instance| ids(instance, 3..8)).collect());
}

#[tokio::test]
async fn expire_after_takes_the_floor_too_and_nothing_before() {
    let world = missed_for_a_day(DeletedListing::NotFound).await;
    world.policies(&policy(3, "{expire_after: 10d}"));
    let living: BTreeSet<String> = (2..=3).flat_map(|instance| ids(instance, 3..8)).collect();
    run(&world, 30).await;
    world.deleted_exactly(&living);
    // Ten days after the first run that missed it, which was an hour after the beginning.
    run(&world, 240).await;
    world.deleted_exactly(&living);
    run(&world, 242).await;
    world.deleted_exactly(&living.union(&ids(1, 0..8)).cloned().collect());
}

#[tokio::test]
async fn two_runs_or_less_than_a_day_prove_nothing() {
    let world = World::new(&[8, 8, 8]).await;
    world.policies(&policy(20, "include"));
    run(&world, 0).await;
    assert!(world.simulator.remove_instance(&instance_id(1)));
    world.policies(&policy(3, "include"));
    for hours in [1, 2, 3, 4] {
        run(&world, hours).await;
    }
    world.deleted_exactly(&(2..=3).flat_map(|instance| ids(instance, 3..8)).collect());
}

#[tokio::test]
async fn an_answer_that_is_no_answer_leaves_it_alone() {
    let world = missed_for_a_day(DeletedListing::NotFound).await;
    world.policies(&policy(3, "include"));
    // Whether it is deleted cannot be asked, or what is retained of it cannot be read.
    world.fault("list_retained:status=403");
    run(&world, 30).await;
    world.deleted_exactly(&(2..=3).flat_map(|instance| ids(instance, 3..8)).collect());
}

#[tokio::test]
async fn databases_that_were_never_seen_are_not_guessed() {
    // Nobody listed its backups while it lived: whether they are full is not known.
    let world = World::new(&[8, 8, 8]).await;
    let everything_else = policy(20, "include").replace("select: {", "select: {instances: {names: [\"nothing\"]}, ");
    world.policies(&everything_else);
    run(&world, 0).await;
    assert!(world.simulator.remove_instance(&instance_id(1)));
    for hours in [1, 13, 26] {
        run(&world, hours).await;
    }
    world.policies(&policy(3, "include"));
    run(&world, 30).await;
    world.deleted_exactly(&(2..=3).flat_map(|instance| ids(instance, 3..8)).collect());
}
