//! What the page says of the next runs and what `forecast` draws: from the same simulation, and true.

use std::sync::Arc;

use chrono::TimeDelta;
use rds_retentiond::operations::inventory::Inventory;
use rds_retentiond::operations::next_runs::{NextRun, next_runs};
use rds_retentiond::retention::RunReport;
use rds_retentiond::retention::report::Tally;

use super::world::{World, begun, ids};

const GRACE: &str = "
  - name: p
    mode: enforce
    schedule: \"0 3 * * *\"
    grace: 24h
    keep: {last: 3}
    limits: {max_percent: 100}
";
const PRICE: &str = "price: {per_gib_month: 0.02, currency: USD}";

/// What the next run of `p` is said to do so many hours from now, by what the last one listed.
fn next(world: &World, report: &Arc<RunReport>, hours: i64) -> NextRun {
    next_of(world, report, &[("p", hours)]).remove(0)
}

/// The same of several policies.
fn next_of(world: &World, report: &Arc<RunReport>, hours: &[(&str, i64)]) -> Vec<NextRun> {
    let now = rds_retentiond::clock::now();
    let ledger = Arc::new(world.ledger());
    let reports = hours.iter().map(|(name, _)| ((*name).into(), Arc::clone(report)));
    let inventory = Inventory::of_last_runs(
        &reports.collect(),
        ledger.active_holds(now).unwrap(),
        Some(Arc::clone(&ledger)),
    );
    let at = hours
        .iter()
        .map(|(name, hours)| ((*name).into(), now + TimeDelta::hours(*hours)));
    next_runs(&world.config(), &inventory, now, &at.collect()).unwrap()
}

#[tokio::test]
async fn what_the_next_run_is_said_to_delete_is_what_it_deletes() {
    let world = World::new(&[20]).await;
    world.policies(GRACE);
    let report = Arc::new(world.pass().run().await);
    let too_early = next(&world, &report, 23);
    assert_eq!(
        (too_early.goes.count, too_early.stays.count),
        (0, 20),
        "in the grace period"
    );
    // A hold that was placed since counts.
    world
        .run(&["hold", &super::world::backup_id(1, 19), "--reason", "case"])
        .await
        .exits(0);
    let said = next(&world, &report, 25);
    assert_eq!(
        said.goes,
        Tally {
            count: 16,
            bytes: 16 << 30
        }
    );
    assert_eq!(said.stays.count, 4);
    assert_eq!(said.oldest_stays.unwrap().date_naive(), begun(19).date_naive());
    let later = Arc::new(world.pass().later(TimeDelta::hours(25)).run().await);
    world.deleted_exactly(&ids(1, 3..19));
    // What is gone is not said to go again.
    let after = next(&world, &later, 50);
    assert_eq!((after.goes.count, after.stays.count), (0, 4));
}

/// Two policies on the same backups, each with its mode and grace.
fn two(first: (&str, &str), second: (&str, &str)) -> String {
    let policy = |name: &str, (mode, grace): (&str, &str)| {
        format!(
            "\n  - name: {name}\n    mode: {mode}\n    schedule: \"0 3 * * *\"\n    grace: {grace}\n    keep: {{last: 3}}\n    limits: {{max_percent: 100}}"
        )
    };
    policy("a", first) + &policy("b", second) + "\n"
}

#[tokio::test]
async fn what_two_policies_let_go_is_said_of_the_one_that_deletes_it_and_counted_once() {
    let world = World::new(&[20]).await;
    world.policies(&two(("enforce", "24h"), ("enforce", "24h")));
    let report = Arc::new(world.pass().run().await);
    let said = next_of(&world, &report, &[("a", 25), ("b", 26)]);
    let numbers: Vec<_> = said.iter().map(|run| (run.goes.count, run.stays.count)).collect();
    assert_eq!(numbers, [(17, 3), (0, 3)]);
    // Before `b` deletes anything, what it will delete is still there for `a`.
    let said = next_of(&world, &report, &[("a", 23), ("b", 26)]);
    let numbers: Vec<_> = said.iter().map(|run| (run.goes.count, run.stays.count)).collect();
    assert_eq!(numbers, [(0, 20), (17, 3)]);
    world.pass().later(TimeDelta::hours(25)).run().await;
    world.deleted_exactly(&ids(1, 3..20));
}

#[tokio::test]
async fn a_dry_run_takes_nothing_from_what_an_enforcing_run_is_said_to_delete_and_adds_nothing() {
    let world = World::new(&[20]).await;
    world.policies(&two(("enforce", "24h"), ("dry-run", "0s")));
    let report = Arc::new(world.pass().run().await);
    let said = next_of(&world, &report, &[("a", 3), ("b", 2)]);
    let numbers: Vec<_> = said.iter().map(|run| (run.goes.count, run.stays.count)).collect();
    assert_eq!(
        numbers,
        [(0, 20), (17, 3)],
        "`a` waits for its grace period, whatever `b` would do"
    );
    let said = next_of(&world, &report, &[("a", 26), ("b", 2)]);
    let numbers: Vec<_> = said.iter().map(|run| (run.goes.count, run.stays.count)).collect();
    assert_eq!(numbers, [(17, 3), (17, 3)], "each by itself");
    world.pass().later(TimeDelta::hours(26)).run().await;
    world.deleted_exactly(&ids(1, 3..20));
}

#[tokio::test]
async fn a_forecast_as_html_shows_calendar_storage_money_and_the_other_file_and_no_script() {
    let world = World::with(|options| {
        options.fleet = super::world::fleet(&[20, 12]);
        let rds_retentiond::simulator::Fleet::Given { instances, .. } = &mut options.fleet else {
            unreachable!()
        };
        instances[0].name = "<script>alert(1)</script>\u{202e}".to_owned();
    })
    .await;
    world.policies_and(GRACE, PRICE);
    let own = std::fs::read_to_string(world.config_file()).unwrap();
    let other = world.dir().join("new.yaml");
    std::fs::write(&other, own.replace("last: 3", "last: 10")).unwrap();
    let args = ["forecast", "--format", "html", "--policy", "p"];
    let html = world.run(&args).await.exits(0).stdout;
    for part in [
        "<!doctype html>",
        "Forecast for policy p until",
        "class=\"cal\"",
        "one more backup on each instance every 24h",
        "USD a month",
        "&lt;script&gt;",
    ] {
        assert!(html.contains(part), "no `{part}` in {html}");
    }
    assert!(!html.contains("<script") && !html.contains('\u{202e}') && !html.contains("line1\""));
    let beside = [&args[..], &["--against", other.to_str().unwrap()]].concat();
    let html = world.run(&beside).await.exits(0).stdout;
    assert!(html.contains("new.yaml") && html.contains("class=\"line1\""), "{html}");
    // With new backups every night none of today's 32 is there after two years.
    assert!(html.contains("<dt>Of them go</dt><dd>32 "), "{html}");
    let usage = world
        .run(&["forecast", "--against", other.to_str().unwrap()])
        .await
        .exits(64);
    assert!(usage.stderr.contains("--format html"), "{}", usage.stderr);
    world.deleted_exactly(&std::collections::BTreeSet::new());
}

#[tokio::test]
async fn plan_and_forecast_show_money_where_a_price_is_set() {
    let world = World::new(&[20]).await;
    let without = [world.run(&["plan"]).await, world.run(&["forecast"]).await];
    assert!(
        without
            .iter()
            .all(|ran| !ran.stdout.contains("A MONTH") && !ran.stdout.contains("A month"))
    );
    world.policies_and(super::world::KEEP_3, PRICE);
    let plan = world.run(&["plan"]).await.exits(0).stdout;
    assert!(
        plan.contains(
            "A month: 0.06 USD for what is kept, 0.00 USD for what waits, 0.34 USD for what is to be deleted."
        ),
        "{plan}"
    );
    let table = world.run(&["forecast"]).await.exits(0).stdout;
    assert!(table.contains("A MONTH") && table.contains("0.40 USD"), "{table}");
    let json = world.run(&["forecast", "--format", "json"]).await.exits(0).json();
    assert_eq!(json["price"]["currency"], "USD");
    for (price, wrong) in [
        ("price: {per_gib_month: 0, currency: USD}", "no price of a GiB"),
        ("price: {per_gib_month: 1e-2, currency: USD}", "no price of a GiB"),
        ("price: {per_gib_month: 0.02}", "currency"),
        ("price: {per_gib_month: 0.02, currency: \"U S\"}", "no currency"),
    ] {
        world.policies_and(super::world::KEEP_3, price);
        let ran = world.run(&["check"]).await;
        assert!(
            ran.code != 0 && (ran.stdout.clone() + &ran.stderr).contains(wrong),
            "{price}: {ran:?}"
        );
    }
}
