//! FIELD: what went wrong elsewhere, row by row, and does not happen here.
//!
//! Some rows are tested where their subject is, by the peer's name too: velero#1333 (`telemetry::metrics_tests`), zot#4384 and
//! mediamtx#181 (`daemon::files`), vmware-tanzu/helm-charts#562 (here its form, `config/prometheus/rds-retentiond.rules.test.yml`
//! that each alert fires), the zone and the shutdown of tokio-cron-scheduler (`daemon::scheduler_tests`, `daemon::runs`).

use std::collections::BTreeSet;
use std::fs;
use std::time::Duration;

use chrono::TimeDelta;
use rds_retentiond::cli::exit;
use rds_retentiond::simulator::{Op, RateLimit, Status};
use serde_json::{Value, json};

use super::world::{KEEP_3, World, backup, backup_id, decided, decisions, ids};

fn policy(keep: &str, more: &str) -> String {
    format!(
        "\n  - name: p\n    mode: enforce\n    keep: {keep}\n    grace: 0s\n    limits: {{max_percent: 100}}\n{more}"
    )
}

/// Decides a list of `(id, begin_time)` offline; the ids that stay.
async fn kept(zone: &str, keep: &str, at: &str, backups: &[(&str, &str)]) -> BTreeSet<String> {
    let world = World::new(&[]).await;
    world.configure("", &policy(keep, &format!("    timezone: {zone}\n")), "");
    let entry = |(id, begin): &(&str, &str)| {
        json!({"id": id, "instance_id": "i", "name": id, "type": "manual", "status": "COMPLETED", "size": 1,
               "begin_time": begin, "end_time": begin, "datastore": {"type": "SQLServer", "version": "2022_SE"}})
    };
    let list: Vec<Value> = backups.iter().map(entry).collect();
    let file = world.dir().join("b.json");
    fs::write(&file, json!(list).to_string()).unwrap();
    let args = [
        "plan",
        "--format",
        "json",
        "--at",
        at,
        "--backups",
        file.to_str().unwrap(),
    ];
    decided(&world.run(&args).await.exits(0).json(), "p", "keep")
}

fn set<const N: usize>(ids: [&str; N]) -> BTreeSet<String> {
    ids.into_iter().map(str::to_owned).collect()
}

/// velero#9061, dbatools#6590: failed ones counted.
#[tokio::test]
async fn the_last_good_backup_stays_although_newer_ones_failed() {
    let world = World::new(&[12]).await;
    for number in 0..10 {
        world.simulator.set_status(&backup_id(1, number), Status::Failed);
    }
    world.policies(&policy("{last: 1}", "    failed_after: 0s\n    max_age: 1d\n"));
    world.apply().await.exits(0);
    // The newest COMPLETED one is kept by the floor, and without a newer COMPLETED one no FAILED one goes.
    world.deleted_exactly(&ids(1, [11]));
}

/// elasticsearch#106584, `OpenSearch` SM: the schedule had stopped, and age kept running.
#[tokio::test]
async fn backups_stay_when_no_new_ones_are_made() {
    let world = World::new(&[8]).await;
    world.policies(&policy("{within: 10d}", ""));
    let report = world.pass().later(TimeDelta::days(4000)).run().await;
    assert_eq!((report.policies[0].summary.keep.count, exit::of_run(&report)), (8, 0));
    world.deleted_exactly(&BTreeSet::new());
    // Whoever asks for an age by the clock still keeps the last ones.
    world.policies(&policy("{last: 8}", "    max_age: 30d\n    min_backups: 2\n"));
    let report = world.pass().later(TimeDelta::days(4000)).run().await;
    assert_eq!(report.policies[0].summary.keep.count, 2);
    world.deleted_exactly(&ids(1, 2..8));
}

/// longhorn#9530
#[tokio::test]
async fn an_empty_or_short_listing_is_not_believed() {
    for fault in [
        "list_backups:missing=20",
        "list_backups:missing=7",
        "list_backups:count=5",
        "list_instances:missing=1",
    ] {
        let world = World::new(&[20, 20]).await;
        world.fault(fault);
        let report = world.apply().await.json();
        assert!(!report["skipped"].as_array().unwrap().is_empty(), "{fault}");
        world.deleted_exactly(&BTreeSet::new());
        let counts = world.ledger().believed(&"simulator".into()).unwrap();
        assert!(
            counts.backups.is_empty(),
            "{fault}: nothing of it is remembered as believed"
        );
    }
}

/// zrepl#659: of several in one period the older one was kept, so the one just taken was deleted at once.
#[tokio::test]
async fn the_backup_just_taken_is_not_the_one_that_goes() {
    let taken = [
        ("a", "2026-05-01T01:00:00+0000"),
        ("b", "2026-05-01T02:00:00+0000"),
        ("c", "2026-05-01T03:00:00+0000"),
        ("d", "2026-05-02T01:00:00+0000"),
    ];
    for rule in [
        "last: 1",
        "daily: 1",
        "weekly: 1",
        "monthly: 1",
        "yearly: 1",
        "within_yearly: 1h",
    ] {
        for count in 1..=taken.len() {
            let newest = taken[count - 1].0;
            let kept = kept("UTC", &format!("{{{rule}}}"), "2026-05-03", &taken[..count]).await;
            assert_eq!(kept, set([newest]), "{rule}, of {count}");
        }
    }
}

/// zrepl#651, zrepl#716, gitlab#325429: nobody was told before it happened what a policy, or an edit of it, would delete.
#[tokio::test]
async fn what_an_edit_would_delete_is_said_before() {
    let world = World::new(&[30]).await;
    world.policies(&policy("{last: 30}", ""));
    let now = fs::read_to_string(world.config_file()).unwrap();
    let edited = world.dir().join("edited.yaml");
    fs::write(&edited, now.replace("last: 30", "last: 3")).unwrap();
    let args = ["diff", "--against", edited.to_str().unwrap(), "--format", "json"];
    let diff = world.run(&args).await.exits(1).json();
    let changes = diff["policies"][0]["changes"].as_array().unwrap();
    let would_go: BTreeSet<String> = changes
        .iter()
        .map(|change| change["backup_id"].as_str().unwrap().to_owned())
        .collect();
    assert_eq!(would_go, ids(1, 3..30));
    fs::copy(&edited, world.config_file()).unwrap();
    let plan = world.plan().await.exits(0).json();
    assert_eq!(decided(&plan, "p", "delete"), would_go, "`plan` says the same");
    for decision in decisions(&plan, "p").values() {
        assert!(!decision["reasons"].as_array().unwrap().is_empty(), "{decision}");
    }
    world.deleted_exactly(&BTreeSet::new());
    world.apply().await.exits(0);
    world.deleted_exactly(&would_go);
}

/// zrepl#651, kopia#3758, AWS DLM, azure-docs#42117: the policy was misunderstood, or shortened, and acted at the next tick.
#[tokio::test]
async fn a_shortened_policy_acts_on_nothing_at_the_next_tick() {
    let world = World::new(&[30]).await;
    let shortened = |last: u32| format!("\n  - {{name: p, mode: enforce, keep: {{last: {last}}}}}\n");
    world.policies(&shortened(30));
    world.apply().await.exits(0);
    world.policies(&shortened(1));
    let report = world.apply().await.exits(0).json();
    assert_eq!(decided(&report, "p", "wait").len(), 29);
    assert_eq!(
        decisions(&report, "p")[&backup_id(1, 5)]["reasons"][0]["rule"],
        "not_kept",
        "`plan` says why"
    );
    // When the grace is over the guard is asked.
    let report = world.pass().later(TimeDelta::hours(25)).run().await;
    assert_eq!(exit::of_run(&report), 3);
    world.deleted_exactly(&BTreeSet::new());
}

/// harbor#15332, harbor#20996, zrepl#651
#[tokio::test]
async fn a_dry_run_deletes_nothing() {
    let world = World::new(&[30]).await;
    world.policies(&policy("{last: 1}", "").replace("enforce", "dry-run"));
    let report = world.apply().await.exits(0).json();
    assert_eq!(decided(&report, "p", "delete").len(), 29);
    assert_eq!(world.simulator.calls_of(Op::DeleteBatch).len(), 0);
}

/// restic#2233, restic#3722, kopia#5348, borg#1980, rotate-backups#31
#[tokio::test]
async fn buckets_are_those_of_the_zone_and_of_the_iso_calendar() {
    // Both on 2 January in Singapore, on two days in UTC.
    let two = [
        ("a", "2026-01-01T17:00:00+0000"),
        ("b", "2026-01-02T01:00:00+0000"),
        ("z", "2025-12-01T00:00:00+0000"),
    ];
    assert_eq!(
        kept("Asia/Singapore", "{daily: 2}", "2026-02-01", &two).await,
        set(["b", "z"])
    );
    assert_eq!(kept("UTC", "{daily: 2}", "2026-02-01", &two).await, set(["a", "b"]));
    // 31 December 2024 is in the first week of 2025, as is 1 January.
    let weeks = [
        ("a", "2024-12-31T12:00:00+0000"),
        ("b", "2025-01-01T12:00:00+0000"),
        ("z", "2024-12-01T12:00:00+0000"),
    ];
    assert_eq!(kept("UTC", "{weekly: 2}", "2025-02-01", &weeks).await, set(["b", "z"]));
    // The hour that Berlin repeats is two.
    let hours = [
        ("a", "2026-10-25T00:30:00+0000"),
        ("b", "2026-10-25T01:30:00+0000"),
        ("z", "2026-10-01T00:00:00+0000"),
    ];
    assert_eq!(
        kept("Europe/Berlin", "{hourly: 2}", "2026-11-01", &hours).await,
        set(["a", "b"])
    );
}

/// kopia#2964
#[tokio::test]
async fn week_and_month_keys_do_not_take_each_other_s_slots() {
    // Week 10 and month 10 of one year.
    let both = [
        ("w", "2026-03-04T12:00:00+0000"),
        ("m", "2026-10-07T12:00:00+0000"),
        ("n", "2026-10-08T12:00:00+0000"),
    ];
    assert_eq!(
        kept("UTC", "{weekly: 2, monthly: 2}", "2026-12-01", &both).await,
        set(["n", "w"])
    );
}

/// restic: month arithmetic rolled over.
#[tokio::test]
async fn one_month_before_31_march_is_the_last_of_february() {
    let list = [
        ("new", "2027-03-31T12:00:00+0000"),
        ("in", "2027-03-01T12:00:00+0000"),
        ("edge", "2027-02-28T12:00:00+0000"),
        ("out", "2027-02-28T11:59:59+0000"),
    ];
    assert_eq!(
        kept("UTC", "{within: 1mo}", "2027-04-01", &list).await,
        set(["in", "new"])
    );
}

/// kopia#3736
#[tokio::test]
async fn one_backup_dated_in_the_future_takes_no_slot() {
    let list = [
        ("future", "2099-01-01T00:00:00+0000"),
        ("today", "2026-05-02T00:00:00+0000"),
        ("old", "2026-05-01T00:00:00+0000"),
    ];
    assert_eq!(
        kept("UTC", "{last: 1}", "2026-05-03", &list).await,
        set(["future", "today"])
    );
    assert_eq!(
        kept("UTC", "{within: 1d}", "2026-05-03", &list).await,
        set(["future", "today"])
    );
}

/// restic#3515, velero#6928, btrbk#395
#[tokio::test]
async fn what_never_deletes_anything_is_noticed() {
    let world = World::new(&[8]).await;
    world.fault("delete_batch:ignore");
    let file = world.dir().join("m.prom");
    let args = ["apply", "--confirm-for", "0s", "--metrics-file", file.to_str().unwrap()];
    world.run(&args).await.exits(0);
    let text = fs::read_to_string(&file).unwrap();
    for line in [
        r#"rds_retention_deletions_unconfirmed{project="simulator"} 5"#,
        r#"rds_retention_backups{decision="delete",policy="p"} 5"#,
        r#"rds_retention_deleted_bytes_total{policy="p",project="simulator"} 0"#,
    ] {
        assert!(text.lines().any(|found| found == line), "no `{line}` in\n{text}");
    }
    assert!(text.contains("rds_retention_last_success_timestamp_seconds"));
}

/// vmware-tanzu/helm-charts#562: a ratio of counters over a whole life hardly moves any more after a good year.
#[test]
fn no_alert_divides_by_what_counts_for_ever() {
    let rules = include_str!("../../config/prometheus/rds-retentiond.rules.yml");
    let lines: Vec<&str> = rules.lines().map(str::trim).collect();
    let is_key = |line: &&str| {
        ["for:", "labels:", "annotations:"]
            .iter()
            .any(|key| line.starts_with(key))
    };
    let begins = (0..lines.len()).filter(|place| lines[*place].starts_with("expr:"));
    let exprs: Vec<String> = begins
        .map(|place| {
            let rest = lines[place..].iter().copied();
            rest.take_while(|line| !is_key(line)).collect::<Vec<_>>().join(" ")
        })
        .collect();
    assert_eq!(exprs.len(), rules.matches("- alert:").count());
    for expr in &exprs {
        assert!(!expr.contains(" / "), "{expr}");
        for (place, _) in expr.match_indices("_total") {
            let name = expr[..place].rfind("rds_retention_").unwrap();
            let of_late = expr[..name].ends_with("increase(");
            // A counter that was not there some time ago began at zero: what it says is of late, too.
            let is_new = expr[place..].contains(" unless ") || expr[..name].ends_with(" unless ");
            assert!(of_late || is_new, "{expr}");
        }
    }
}

/// cloud-custodian#10000
#[tokio::test]
async fn a_failed_deletion_is_not_reported_as_done() {
    let world = World::new(&[8]).await;
    world.fault(&format!("delete_batch:result=DBS.200054:backup={}", backup_id(1, 6)));
    let report = world.apply().await.exits(1).json();
    let rows = decisions(&report, "p");
    assert_eq!(rows[&backup_id(1, 6)]["outcome"], "rejected");
    assert_eq!(rows[&backup_id(1, 7)]["outcome"], "confirmed");
    assert_eq!(world.deleted(), ids(1, [3, 4, 5, 7]));
}

/// AWS, Huawei: the code says only that the task was accepted.
#[tokio::test]
async fn accepted_is_not_taken_for_deleted() {
    let world = World::new(&[8]).await;
    world.fault("delete_batch:ignore:times=1");
    let first = world.pass().run().await;
    assert_eq!((first.sent("accepted"), first.sent("confirmed")), (5, 0));
    let later = world.pass().later(TimeDelta::minutes(31)).run().await;
    let returned = later
        .settled_earlier
        .iter()
        .filter(|settled| settled.fate.key() == "returned")
        .count();
    assert_eq!((returned, later.sent("confirmed")), (5, 5));
    world.deleted_exactly(&ids(1, 3..8));
}

/// barman#1081
#[tokio::test]
async fn redundancy_is_not_met_by_partial_backups() {
    let world = World::new(&[4]).await;
    for number in 0..6_u32 {
        let mut partial = backup(1, 100 + usize::try_from(number).unwrap());
        partial.begin = super::world::begun(0) + TimeDelta::minutes(i64::from(number));
        partial.end = Some(partial.begin + TimeDelta::minutes(10));
        partial.databases = vec!["crm".to_owned()];
        world.simulator.add_backup(partial);
    }
    world.policies(&policy("{last: 2}", ""));
    world.apply().await.exits(0);
    let remaining: BTreeSet<String> = world.simulator.backups().into_iter().map(|backup| backup.id).collect();
    // Two full ones, and the two newest that hold crm.
    assert!(remaining.is_superset(&ids(1, [0, 1, 104, 105])), "{remaining:?}");
    assert_eq!(remaining.len(), 4);
}

/// VaultSync#158
#[tokio::test]
async fn one_bad_item_does_not_stop_the_run() {
    let world = World::new(&[8, 8, 8]).await;
    world.fault(&format!(
        "list_backups:status=500:instance={}",
        super::world::instance_id(2)
    ));
    world.fault(&format!("delete_batch:status=400:backup={}", backup_id(1, 5)));
    world.apply().await.exits(1);
    let mut due: BTreeSet<String> = ids(1, 3..8).into_iter().chain(ids(3, 3..8)).collect();
    due.remove(&backup_id(1, 5));
    assert_eq!(world.deleted(), due);
    world.sent_by_the_rules();
}

/// cloud-nuke#371, aws-nuke#426
#[tokio::test]
async fn a_throttled_inventory_is_read_to_its_end() {
    let world = World::new(&[5; 25]).await;
    world.simulator.set_rate_limit(Some(RateLimit {
        per_second: 8,
        retry_after: None,
    }));
    let report = world.pass().run().await;
    assert_eq!(exit::of_run(&report), 0, "{:?}", report.skipped);
    let due = (1..=25).flat_map(|instance| ids(instance, 3..5)).collect();
    world.deleted_exactly(&due);
    let throttled = world
        .simulator
        .calls()
        .iter()
        .filter(|call| call.status == Some(429))
        .count();
    assert!(
        (1..60).contains(&throttled),
        "{throttled} of {}",
        world.simulator.calls().len()
    );
}

/// tokio-cron-scheduler: a slow job ran several times at once.
#[tokio::test]
async fn a_slow_run_is_not_run_a_second_time_at_once() {
    let world = World::new(&[8]).await;
    world
        .simulator
        .set(|settings| settings.latency = Duration::from_millis(200));
    let (slow, second) = tokio::join!(world.apply(), async {
        while world.simulator.calls_of(Op::ListBackups).is_empty() {
            tokio::task::yield_now().await;
        }
        world.run(&["apply", "--no-wait"]).await
    });
    slow.exits(0);
    second.exits(75);
    world.deleted_exactly(&ids(1, 3..8));
}

/// Not in the table: the plan of the hour is the whole plan. A policy that selects nothing deletes nothing.
#[tokio::test]
async fn a_policy_that_selects_nothing_deletes_nothing() {
    let world = World::new(&[8]).await;
    let select = "    select: {backups: {exclude_names: [\"*\"]}}\n";
    world.policies(&format!("{}{select}", KEEP_3.trim_end_matches('\n').to_owned() + "\n"));
    world.apply().await.exits(0);
    world.deleted_exactly(&BTreeSet::new());
}
