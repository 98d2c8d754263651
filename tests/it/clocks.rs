//! Wrong clocks. Those of the API are moved by the simulator; our own by `faketime`, which `tests/run` installs.

use std::collections::BTreeSet;
use std::path::Path;

use chrono::TimeDelta;
use rds_retentiond::clock::now;
use rds_retentiond::simulator::Op;

use super::world::{World, backup_id, ids, instance_id, output};

const GRACE: &str =
    "\n  - name: p\n    mode: enforce\n    keep: {last: 3}\n    max_age: 1y\n    limits: {max_percent: 100}\n";

/// Runs `apply` under the clock that `variables` of libfaketime describe.
async fn apply_at(world: &World, variables: &[(&str, &str)]) -> super::world::Ran {
    let library = ["x86_64-linux-gnu", "aarch64-linux-gnu"]
        .map(|machine| format!("/usr/lib/{machine}/faketime/libfaketime.so.1"))
        .into_iter()
        .find(|file| Path::new(file).exists())
        .expect("libfaketime is not installed (Debian: faketime); tests/run installs it");
    let mut command = world.command(&["apply", "--confirm-for", "1s", "--format", "json"]);
    command
        .env("LD_PRELOAD", library)
        .env("FAKETIME_DONT_FAKE_MONOTONIC", "1")
        .envs(variables.iter().copied());
    output(command).await
}

/// Expired backups whose grace began an hour ago, so that a clock in the future would find it over.
async fn waiting() -> World {
    let world = World::new(&[8]).await;
    world.policies(GRACE);
    world.pass().later(-TimeDelta::hours(1)).run().await;
    assert_eq!(world.ledger().grace(&"p".into()).unwrap().len(), 5);
    world
}

#[tokio::test]
async fn the_api_s_clock_twenty_minutes_away_or_unknown_refuses() {
    for date in ["date=+20m", "date=-20m", "date=none", "date=garbage"] {
        let world = World::new(&[8]).await;
        world.fault(&format!("*:{date}"));
        let report = world.apply().await.exits(3).json();
        assert_eq!(report["policies"][0]["refusal"]["limit"], "clock", "{date}");
        world.deleted_exactly(&BTreeSet::new());
    }
    let world = World::new(&[8]).await;
    world.fault("*:date=+4m");
    world.apply().await.exits(0);
    world.deleted_exactly(&ids(1, 3..8));
}

/// The list of instances was dated an hour off, and what followed was not.
#[tokio::test]
async fn one_answer_of_a_run_that_is_dated_far_off_refuses() {
    for date in ["+60m", "-60m", "none"] {
        let world = World::new(&[8]).await;
        world.fault(&format!("list_instances:date={date}"));
        let report = world.apply().await.exits(3).json();
        assert_eq!(report["policies"][0]["refusal"]["limit"], "clock", "{date}");
        world.deleted_exactly(&BTreeSet::new());
    }
}

#[tokio::test]
async fn a_clock_that_goes_wrong_between_two_batches_stops_the_second() {
    let world = World::new(&[60]).await;
    let projects = format!("{}    concurrency: 1\n", world.simulator.config_yaml());
    world.configure(&projects, super::world::KEEP_3, "");
    world.fault("delete_batch:date=+20m");
    let report = world.apply().await.exits(3).json();
    assert_eq!(world.simulator.calls_of(Op::DeleteBatch).len(), 1);
    assert_eq!(report["policies"][0]["left"], 7);
    world.deleted_exactly(&ids(1, 10..60));
}

#[tokio::test]
#[ignore = "needs faketime: cargo test --test it -- --ignored clocks::"]
async fn a_daemon_s_clock_in_2043_and_in_1970_deletes_nothing() {
    for clock in [
        "@2043-06-01 00:00:00",
        "@1970-01-01 00:10:00",
        "+2d",
        "-2d",
        "+10m",
        "-10m",
    ] {
        let world = waiting().await;
        let ran = apply_at(&world, &[("FAKETIME", clock), ("FAKETIME_DONT_RESET", "1")]).await;
        // A signature more than fifteen minutes off is refused before the guard is asked.
        assert!([3, 77, 0].contains(&ran.code), "{clock}: {ran:?}");
        world.deleted_exactly(&BTreeSet::new());
        assert_eq!(world.simulator.calls_of(Op::DeleteBatch).len(), 0);
        // Set right, it goes on as if nothing had been; no grace was begun or ended by the wrong clock.
        world.apply().await.exits(0);
        world.deleted_exactly(&BTreeSet::new());
        assert_eq!(world.ledger().grace(&"p".into()).unwrap().len(), 5);
        world.pass().later(TimeDelta::hours(24)).run().await;
        world.deleted_exactly(&ids(1, 3..8));
    }
}

/// The clock is wrong when the run decides and right when it would send: every check of the moment is good.
#[tokio::test]
#[ignore = "needs faketime: cargo test --test it -- --ignored clocks::"]
async fn a_clock_set_right_in_mid_run_deletes_nothing() {
    // Not more than seven days: grace that nobody saw for longer restarts, and nothing would be due.
    for (first, then) in [("+2d", "+0"), ("+0", "+2d"), ("-2d", "+0")] {
        let world = waiting().await;
        let file = world.dir().join("faketime.rc");
        std::fs::write(&file, first).unwrap();
        // The listing is answered only when the clock has been set.
        world
            .simulator
            .set(|settings| settings.latency = std::time::Duration::from_millis(300));
        // Signatures of a wrong clock are refused by the API, so its own clock is moved along with ours.
        let days = |text: &str| text.trim_end_matches('d').parse::<i64>().unwrap();
        world.shift(TimeDelta::days(days(first)));
        let path = file.to_str().unwrap().to_owned();
        let before = world.simulator.calls_of(Op::ListBackups).len();
        let variables = [("FAKETIME_TIMESTAMP_FILE", path.as_str()), ("FAKETIME_NO_CACHE", "1")];
        let (ran, ()) = tokio::join!(apply_at(&world, &variables), async {
            while world.simulator.calls_of(Op::ListBackups).len() == before {
                tokio::task::yield_now().await;
            }
            std::fs::write(&file, then).unwrap();
            world.shift(TimeDelta::days(days(then) - days(first)));
        });
        assert_eq!(
            ran.code,
            if first == "+2d" { 3 } else { 0 },
            "{first} → {then}: {ran:?}"
        );
        world.deleted_exactly(&BTreeSet::new());
    }
}

/// Seven days of doubt must not be over because one run's clock stood in 1970 or 2043.
#[tokio::test]
async fn a_wrong_clock_does_not_end_the_doubt_about_a_shrunken_listing() {
    for wrong in [TimeDelta::days(-20_000), TimeDelta::days(6000)] {
        let world = World::new(&[20]).await;
        world.policies(&super::world::KEEP_3.replace("last: 3", "last: 20"));
        world.pass().run().await;
        for number in 0..12 {
            world.simulator.remove_backup(&backup_id(1, number));
        }
        world.policies(super::world::KEEP_3);
        // The run decides by a wrong clock, and the API's date says so.
        world.fault("*:date=+20m");
        world.pass().later(wrong).run().await;
        world.simulator.faults().clear();
        let report = world.pass().later(TimeDelta::hours(1)).run().await;
        assert_eq!(
            report.skipped[0].instance.as_ref().map(|id| id.as_str().to_owned()),
            Some(instance_id(1))
        );
        world.deleted_exactly(&BTreeSet::new());
    }
}

#[tokio::test]
async fn a_grace_that_begins_in_the_future_counts_as_not_begun() {
    let world = World::new(&[8]).await;
    world.policies(GRACE);
    world.pass().later(TimeDelta::minutes(4)).run().await;
    world.pass().run().await;
    world.deleted_exactly(&BTreeSet::new());
    assert!(
        world
            .ledger()
            .grace(&"p".into())
            .unwrap()
            .iter()
            .all(|period| period.since < now() + TimeDelta::minutes(5))
    );
}
