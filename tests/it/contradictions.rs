//! Answers that contradict each other: two instances that list one backup, a backup or an instance that says something else than
//! before. Whatever contradicts is kept until the contradiction is over or a person accepts it.

mod changed;
mod instances;
mod lies;

use std::collections::BTreeSet;

use chrono::{DateTime, TimeDelta, Utc};
use rds_retentiond::cli::exit;
use rds_retentiond::run::Purpose;
use rds_retentiond::simulator::Fleet;
use serde_json::{Value, json};

use super::world::{KEEP_3, World, backup_id, begun, decided, decisions, fleet, ids, instance_id};

/// A time as the API writes it.
fn written(at: DateTime<Utc>) -> Value {
    json!(at.format("%Y-%m-%dT%H:%M:%S+0000").to_string())
}

async fn run(world: &World, hours: i64) -> u8 {
    let report = world.pass().later(TimeDelta::hours(hours)).run().await;
    exit::of_run(&report)
}

/// The rules that keep a backup in a report.
fn rules(report: &Value, backup: &str) -> Vec<String> {
    let reasons = decisions(report, "p")[backup]["reasons"].clone();
    let rules = reasons.as_array().unwrap().iter();
    rules
        .map(|reason| reason["rule"].as_str().unwrap().to_owned())
        .collect()
}

/// Instance 1 with eight backups of its own, listed as numbers 5 to 12, and as its newest five those of instance 2.
async fn five_of_another() -> World {
    let world = World::new(&[13, 8]).await;
    world.policies(&format!("{KEEP_3}    min_backups: 3\n"));
    for number in 0..5 {
        world
            .simulator
            .patch(&backup_id(1, number), json!({"id": backup_id(2, number)}));
    }
    world
}

/// The other instance's newest fill the slots of this one, and nothing that is due is contested.
#[tokio::test]
async fn the_newest_backups_of_another_instance_push_none_out() {
    let world = five_of_another().await;
    let both = [instance_id(1), instance_id(2)];
    for command in ["plan", "apply", "plan", "apply"] {
        let ran = world.run(&[command, "--format", "json"]).await;
        let report = ran.exits(i32::from(command == "apply")).json();
        let skipped = report["skipped"].as_array().unwrap().iter();
        let skipped: Vec<&str> = skipped.map(|skip| skip["instance_id"].as_str().unwrap()).collect();
        assert_eq!(skipped, both, "{command}");
        // Each decision stands in the report once, and so do its numbers.
        let rows = report["policies"][0]["decisions"].as_array().unwrap();
        assert_eq!(rows.len(), 13 + 8, "{command}");
        let of = |decision: &str| rows.iter().filter(|row| row["decision"] == decision).count();
        let summary = &report["policies"][0]["summary"];
        assert_eq!(
            (json!(of("keep")), json!(of("delete"))),
            (summary["keep"].clone(), summary["delete"].clone())
        );
        for row in rows {
            let is_contested = (0..5).any(|number| row["backup_id"] == backup_id(2, number));
            assert_eq!(
                row["reasons"][0]["rule"] == "contested",
                is_contested,
                "{command}: {row}"
            );
        }
        // Not counted: three of its own stay, too.
        let own: BTreeSet<String> = (5..8).map(|number| backup_id(1, number)).collect();
        assert!(own.is_disjoint(&decided(&report, "p", "delete")), "{command}");
        world.deleted_exactly(&BTreeSet::new());
    }
}

/// What was listed within the last seven days is compared, also after the answer that lied.
#[tokio::test]
async fn a_conflict_is_remembered_for_seven_days() {
    let world = five_of_another().await;
    assert_eq!(run(&world, 0).await, 1);
    // From now on each lists its own.
    for number in 0..5 {
        world.simulator.patch(&backup_id(1, number), json!({}));
        assert!(world.simulator.remove_backup(&backup_id(1, number)));
    }
    for hours in [1, 24, 6 * 24] {
        assert_eq!(run(&world, hours).await, 1, "{hours}");
        world.deleted_exactly(&BTreeSet::new());
    }
    assert_eq!(run(&world, 7 * 24 + 1).await, 0);
    world.deleted_exactly(&ids(1, 8..13).into_iter().chain(ids(2, 3..8)).collect());
}

/// The twin: without a conflict all of it goes at once.
#[tokio::test]
async fn instances_that_list_their_own_are_not_left_alone() {
    let world = World::new(&[8, 8]).await;
    world.apply().await.exits(0);
    world.deleted_exactly(&ids(1, 3..8).into_iter().chain(ids(2, 3..8)).collect());
}

/// Nothing was listed for longer: what the other instance listed then contests nothing, in whichever order they are read.
#[tokio::test]
async fn what_was_listed_longer_than_seven_days_ago_contests_nothing() {
    for liar in [1, 2] {
        let world = World::new(&[8, 8]).await;
        let other = 3 - liar;
        world.policies(&KEEP_3.replace("last: 3", "last: 20"));
        world
            .simulator
            .patch(&backup_id(liar, 7), json!({"id": backup_id(other, 1)}));
        assert_eq!(run(&world, 0).await, 1);
        world.simulator.patch(&backup_id(liar, 7), json!({}));
        world.policies(KEEP_3);
        let mut plan = world.pass().later(TimeDelta::days(8));
        plan.purpose = Some(Purpose::Plan);
        assert_eq!(plan.run().await.skipped, []);
        assert_eq!(run(&world, 8 * 24).await, 0);
        world.deleted_exactly(&ids(1, 3..8).into_iter().chain(ids(2, 3..8)).collect());
    }
}

#[tokio::test]
async fn a_time_that_is_not_believed_is_kept_and_fills_no_slot() {
    let (newest, older) = (backup_id(1, 0), backup_id(1, 6));
    for (id, patch) in [
        (&newest, json!({"begin_time": "1970-01-01T00:00:00+0000"})),
        (&newest, json!({"begin_time": "0001-01-01T00:00:00Z"})),
        (&newest, json!({"begin_time": "2009-12-31T23:59:59Z", "end_time": null})),
        (&newest, json!({"begin_time": written(begun(0) - TimeDelta::days(8))})),
        (&older, json!({"begin_time": written(begun(0))})),
    ] {
        let world = World::new(&[10]).await;
        world.simulator.patch(id, patch.clone());
        let report = world.apply().await.exits(0).json();
        assert_eq!(rules(&report, id), ["unknown_time"], "{patch}");
        let mut due = ids(1, if *id == newest { 4..10 } else { 3..10 });
        due.remove(id);
        world.deleted_exactly(&due);
    }
    // The twin: a backup that took six days.
    let world = World::new(&[10]).await;
    world
        .simulator
        .patch(&older, json!({"end_time": written(begun(6) + TimeDelta::days(6))}));
    world.apply().await.exits(0);
    world.deleted_exactly(&ids(1, 3..10));
}

/// `require_backup_within` wants something to restore from.
#[tokio::test]
async fn only_a_finished_full_backup_of_a_known_engine_is_recent() {
    const REQUIRE: &str = "    require_backup_within: 3d\n";
    let manual = [
        json!({"databases": [{"name": "orders"}]}),
        json!({"datastore": {"type": "MySQL", "version": "8.0"}}),
        json!({"datastore": null}),
        json!({"end_time": null}),
        json!({"end_time": written(begun(0) + TimeDelta::days(2))}),
        json!({"size": 0}),
        json!({"size": null}),
        json!({"status": "FAILED"}),
        json!({"begin_time": written(begun(0) + TimeDelta::days(1))}),
        json!({"begin_time": written(begun(8)), "end_time": written(begun(0))}),
    ];
    for patch in manual.iter().chain([&json!({})]) {
        // The newest is two hours old, manual or automated, the one before five days.
        for is_automated in [false, true] {
            let world = World::with(|options| {
                let Fleet::Given { instances, mut backups } = fleet(&[12]) else {
                    unreachable!()
                };
                backups.retain(|one| one.id == backup_id(1, 0) || one.begin < begun(4) - TimeDelta::hours(1));
                if is_automated {
                    backups[0].kind = rds_retentiond::simulator::BackupKind::Auto;
                }
                options.fleet = Fleet::Given { instances, backups };
            })
            .await;
            world.policies(&format!("{KEEP_3}{REQUIRE}"));
            world.simulator.patch(&backup_id(1, 0), patch.clone());
            let is_honest = *patch == json!({});
            let ran = world.apply().await.exits(if is_honest { 0 } else { 3 });
            if is_honest {
                let kept = if is_automated { 8 } else { 7 };
                world.deleted_exactly(&ids(1, kept..12));
            } else {
                let refusal = &ran.json()["policies"][0]["refusal"];
                assert_eq!(refusal["limit"], "require_backup_within", "{patch}");
                world.deleted_exactly(&BTreeSet::new());
            }
        }
    }
}

async fn tagged() -> World {
    let world = World::new(&[8, 8]).await;
    world.simulator.change_instance(&instance_id(1), |instance| {
        instance.tags = vec![("tier".to_owned(), "gold".to_owned())];
        "7".clone_into(&mut instance.enterprise_project);
    });
    world
}

/// Ten of eleven nightly backups are over 50 %, however many others there are that no rule counts.
#[tokio::test]
async fn what_no_rule_counts_is_not_what_max_percent_is_a_percentage_of() {
    let keep_one = "
  - name: p
    mode: enforce
    keep: {last: 1, names: [\"release-*\"]}
    grace: 0s
";
    let uncounted: [(&str, Value); 5] = [
        ("kept by name", json!({"name": "release-1"})),
        ("held", json!({"name": "held"})),
        ("unreadable", json!({"begin_time": "yesterday"})),
        ("FAILED", json!({"status": "FAILED"})),
        ("being made", json!({"status": "BUILDING"})),
    ];
    for (what, patch) in uncounted {
        let world = World::new(&[31]).await;
        world.policies_and(keep_one, "holds: [{instance: \"*\", name: held, reason: case 4711}]");
        for number in 11..31 {
            world.simulator.patch(&backup_id(1, number), patch.clone());
        }
        let report = world.apply().await.exits(3).json();
        let refusal = &report["policies"][0]["refusal"];
        assert_eq!(refusal["limit"], "max_percent", "{what}");
        assert!(refusal["message"].as_str().unwrap().contains("10 of 11"), "{refusal}");
        world.deleted_exactly(&BTreeSet::new());
    }
    // The twins: half of what counts goes, and FAILED ones beside it without a limit.
    let world = World::new(&[31]).await;
    world.policies(&keep_one.replace("last: 1", "last: 10"));
    for number in 20..31 {
        world
            .simulator
            .patch(&backup_id(1, number), json!({"status": "FAILED"}));
    }
    world.apply().await.exits(0);
    world.deleted_exactly(&ids(1, 10..31));
}
