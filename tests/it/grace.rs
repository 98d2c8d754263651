//! Grace periods: a backup waits its whole grace period, continuously expired, before it goes (contract, section 2, 10).

use std::collections::BTreeSet;

use chrono::{DateTime, TimeDelta, Utc};
use rds_retentiond::clock::now;
use rds_retentiond::ledger::{FinishedPolicy, NewRun};
use rds_retentiond::retention::report::{Restart, RunResult, RunSummary};
use rds_retentiond::retention::{Mode, RunReport};
use rds_retentiond::run::Purpose;

use super::world::{World, backup_id, ids, instance_id};

/// Keeps the last three; the grace period is a day.
fn policy(more: &str) -> String {
    format!("\n  - {{name: p, mode: enforce, keep: {{last: 3}}, limits: {{max_percent: 100}}{more}}}\n")
}

fn everything_kept(mode: &str) -> String {
    format!("\n  - {{name: p, mode: {mode}, keep: {{last: 100}}}}\n")
}

async fn world(policies: &str) -> World {
    let world = World::new(&[8]).await;
    world.policies(policies);
    world
}

async fn run(world: &World, days: i64) -> RunReport {
    world.pass().later(TimeDelta::days(days)).run().await
}

/// What `plan` says after so many days: how many would go, and which grace periods would restart.
async fn planned(world: &World, days: i64) -> (u64, Vec<(Restart, u64)>) {
    let mut pass = world.pass().later(TimeDelta::days(days));
    pass.purpose = Some(Purpose::Plan);
    let report = pass.run().await;
    let policy = &report.policies[0];
    (
        policy.summary.delete.count,
        policy.restarted.clone().into_iter().collect(),
    )
}

fn restarted(report: &RunReport) -> Vec<(Restart, u64)> {
    report.policies[0].restarted.clone().into_iter().collect()
}

#[tokio::test]
async fn a_weekly_policy_deletes_with_its_second_run() {
    let world = world(&policy(", schedule: \"0 3 * * 1\"")).await;
    run(&world, 0).await;
    assert_eq!(planned(&world, 7).await, (5, vec![]));
    assert_eq!(restarted(&run(&world, 7).await), []);
    world.deleted_exactly(&ids(1, 3..8));
}

/// Two days of it lie between the runs of a weekly policy, and no run saw it.
#[tokio::test]
async fn a_configured_hold_that_ended_between_two_runs_restarts_the_grace_period() {
    let until: DateTime<Utc> = now() + TimeDelta::days(2);
    for hold in [
        format!("backup: {}", backup_id(1, 5).to_uppercase()),
        format!("instance: \"{}\", name: \"nightly-5\"", instance_id(1)),
    ] {
        let world = world(&policy("")).await;
        run(&world, 0).await;
        world.policies_and(
            &policy(""),
            &format!("holds: [{{{hold}, reason: x, until: {}}}]", until.to_rfc3339()),
        );
        let one = vec![(Restart::HoldEnded, 1)];
        assert_eq!(planned(&world, 7).await, (4, one.clone()));
        assert_eq!(planned(&world, 7).await, (4, one.clone()), "a plan changes nothing");
        assert_eq!(restarted(&run(&world, 7).await), one);
        world.deleted_exactly(&ids(1, [3, 4, 6, 7]));
        // By the clock of the tests, which batches ask again, it has not ended.
        world.policies(&policy(""));
        assert_eq!(restarted(&run(&world, 8).await), []);
        world.deleted_exactly(&ids(1, 3..8));
    }
}

/// Another policy's run read the configuration while the hold was in it.
#[tokio::test]
async fn a_configured_hold_that_came_and_went_between_two_runs_restarts_the_grace_period() {
    let other = "  - {name: q, mode: dry-run, keep: {last: 1}, select: {instances: {ids: [none]}}}\n";
    let both = format!("{}{other}", policy(""));
    let world = world(&both).await;
    run(&world, 0).await;
    world.policies_and(&both, "holds: [{name: \"nightly-[67]\", reason: \"case 4711\"}]");
    let mut of_q = world.pass().later(TimeDelta::days(2));
    of_q.policies = Some(vec!["q".into()]);
    of_q.run().await;
    world.policies(&both);
    assert_eq!(planned(&world, 7).await, (3, vec![(Restart::HoldEnded, 2)]));
    assert_eq!(restarted(&run(&world, 7).await), [(Restart::HoldEnded, 2)]);
    world.deleted_exactly(&ids(1, 3..6));
    run(&world, 8).await;
    world.deleted_exactly(&ids(1, 3..8));
}

#[tokio::test]
async fn a_hold_by_command_that_no_run_saw_restarts_the_grace_period_and_apply_says_so() {
    let world = world(&policy("")).await;
    world.pass().later(-TimeDelta::hours(25)).run().await;
    let id = backup_id(1, 5);
    // It was not there yet a day ago, but for the run it is the fifth of seven.
    world.run(&["hold", &id, "--reason", "x"]).await.exits(0);
    world.run(&["release", &id]).await.exits(0);
    let plan = world.plan().await.exits(0).json();
    assert_eq!(
        plan["policies"][0]["grace_restarted"],
        serde_json::json!({"hold_ended": 1})
    );
    let ran = world.run(&["apply"]).await.exits(0);
    assert!(
        ran.stdout
            .contains("p: 1: a hold has covered the backup since it started"),
        "{}",
        ran.stdout
    );
    let gone: BTreeSet<String> = ids(1, [4, 6, 7]);
    world.deleted_exactly(&gone);
}

#[tokio::test]
async fn a_dry_run_that_finds_a_backup_kept_ends_its_grace_period() {
    let world = world(&policy("")).await;
    run(&world, 0).await;
    world.policies(&everything_kept("dry-run"));
    run(&world, 1).await;
    world.policies(&policy(""));
    run(&world, 2).await;
    world.deleted_exactly(&BTreeSet::new());
    run(&world, 3).await;
    world.deleted_exactly(&ids(1, 3..8));
}

#[tokio::test]
async fn a_dry_run_that_finds_a_backup_expired_neither_starts_nor_ends_its_grace_period() {
    let world = world(&policy("").replace("enforce", "dry-run")).await;
    run(&world, 0).await;
    assert_eq!(world.ledger().grace(&"p".into()).unwrap(), []);
    world.policies(&policy(""));
    run(&world, 1).await;
    world.policies(&policy("").replace("enforce", "dry-run"));
    run(&world, 2).await;
    world.policies(&policy(""));
    run(&world, 3).await;
    world.deleted_exactly(&ids(1, 3..8));
}

#[tokio::test]
async fn what_no_enforcing_run_saw_for_long_waits_again() {
    let renamed = policy("")
        .replace("name: p", "name: other")
        .replace("last: 3", "last: 100");
    let dry = policy("").replace("enforce", "dry-run");
    for (meanwhile, days, restarts) in [
        (&dry, 6, false),
        (&dry, 10, true),
        (&renamed, 6, false),
        (&renamed, 30, true),
    ] {
        let world = world(&policy("")).await;
        run(&world, 0).await;
        world.policies(meanwhile);
        for day in 1..days {
            run(&world, day).await;
        }
        world.policies(&policy(""));
        let wanted = if restarts { vec![(Restart::NotSeen, 5)] } else { vec![] };
        assert_eq!(planned(&world, days).await.1, wanted, "{meanwhile} {days}");
        assert_eq!(restarted(&run(&world, days).await), wanted, "{meanwhile} {days}");
        if restarts {
            world.deleted_exactly(&BTreeSet::new());
            run(&world, days + 1).await;
        }
        world.deleted_exactly(&ids(1, 3..8));
    }
}

#[tokio::test]
async fn how_long_is_too_long_follows_the_schedule() {
    for (schedule, days, restarts) in [
        ("0 3 * * *", 6, false),
        ("0 3 * * *", 8, true),
        ("0 3 * * 1", 20, false),
        ("0 3 * * 1", 22, true),
        ("@monthly", 92, false),
        ("@monthly", 94, true),
    ] {
        let world = world(&policy(&format!(", schedule: \"{schedule}\""))).await;
        run(&world, 0).await;
        run(&world, days).await;
        let wanted = if restarts { BTreeSet::new() } else { ids(1, 3..8) };
        assert_eq!(world.deleted(), wanted, "{schedule} {days}");
    }
}

/// It has no ticks: how far its last runs are apart says what is long. Else one that `apply` runs monthly would never delete.
#[tokio::test]
async fn a_policy_without_a_schedule_deletes_however_rarely_it_runs() {
    let world = world(&policy("")).await;
    run(&world, 0).await;
    run(&world, 31).await;
    world.deleted_exactly(&BTreeSet::new());
    run(&world, 62).await;
    world.deleted_exactly(&ids(1, 3..8));
}

/// Only some of an instance's backups were listed: the others were not seen.
#[tokio::test]
async fn a_backup_that_was_not_listed_for_long_waits_again_and_the_others_do_not() {
    let world = world(&policy(", grace: 20d")).await;
    run(&world, 0).await;
    let gone = world.simulator.backup(&backup_id(1, 7)).unwrap();
    world.simulator.remove_backup(&backup_id(1, 7));
    for day in 1..12 {
        run(&world, day).await;
    }
    world.simulator.add_backup(gone);
    for day in 12..21 {
        run(&world, day).await;
    }
    world.deleted_exactly(&ids(1, 3..7));
    for day in 21..32 {
        run(&world, day).await;
    }
    world.deleted_exactly(&ids(1, 3..7));
    run(&world, 32).await;
    world.deleted_exactly(&ids(1, 3..8));
}

/// One that had ended when the period started has not covered it.
#[tokio::test]
async fn a_configured_hold_that_ended_before_the_grace_period_started_does_not_restart_it() {
    let world = world(&policy("")).await;
    let until = now() - TimeDelta::days(3);
    let hold = format!(
        "holds: [{{backup: {}, reason: x, until: {}}}]",
        backup_id(1, 5),
        until.to_rfc3339()
    );
    world.policies_and(&policy(""), &hold);
    run(&world, -5).await;
    // Two days ago the newest two were not made yet.
    run(&world, -2).await;
    assert_eq!(planned(&world, 0).await, (3, vec![]));
    assert_eq!(restarted(&run(&world, 0).await), []);
    world.deleted_exactly(&ids(1, 5..8));
}

/// How far apart its last runs are is what its enforcing runs say that read something, and that a right clock dates.
#[tokio::test]
async fn runs_that_saw_nothing_do_not_make_a_pause_shorter() {
    for (days, mode, result, restarts) in [
        (-20, Mode::Enforce, "success", false),
        (-20, Mode::Enforce, "failed", true),
        (-20, Mode::Enforce, "skipped", true),
        (-20, Mode::DryRun, "success", true),
        (100, Mode::Enforce, "success", true),
    ] {
        let world = world(&policy("")).await;
        let (ledger, started_at) = (world.ledger(), now() + TimeDelta::days(days));
        let run_of_p = NewRun {
            id: "another",
            policies: &[("p".into(), mode)],
            config_sha256: "c0ffee",
            started_at,
            cause: "apply",
            person: None,
        };
        let ended = FinishedPolicy {
            policy: "p".into(),
            result: RunResult::named(result).unwrap(),
            summary: RunSummary::default(),
        };
        ledger.begin_run(&run_of_p).unwrap();
        ledger.finish_run("another", started_at, &[ended]).unwrap();
        run(&world, 0).await;
        let wanted = if restarts { vec![(Restart::NotSeen, 5)] } else { vec![] };
        assert_eq!(restarted(&run(&world, 20).await), wanted, "{days} {mode:?} {result}");
        let gone = if restarts { BTreeSet::new() } else { ids(1, 3..8) };
        world.deleted_exactly(&gone);
    }
}
