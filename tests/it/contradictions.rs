//! Answers that contradict each other: two instances that list one backup, a backup or an instance that says something else than
//! before. Whatever contradicts is kept until the contradiction is over or a person accepts it.

use std::collections::BTreeSet;

use chrono::{DateTime, TimeDelta, Utc};
use rds_retentiond::cli::exit;
use rds_retentiond::run::Purpose;
use rds_retentiond::simulator::{Fleet, Instance, Status};
use serde_json::{Value, json};
use tokio::task::JoinSet;

use super::world::{KEEP_3, World, backup, backup_id, begun, decided, decisions, fleet, ids, instance_id};

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

/// Deletes nothing, learns what is there, then lies.
async fn learned(backups: &[usize]) -> World {
    let world = World::new(backups).await;
    world.policies(&KEEP_3.replace("last: 3", "last: 50"));
    world.apply().await.exits(0);
    world.policies(KEEP_3);
    world
}

/// Five partial backups say nothing of their databases any more: as full ones they would fill the slots of the full ones.
#[tokio::test]
async fn a_partial_backup_that_names_no_database_any_more_is_no_full_one() {
    let partial = |world: &World, is_named: bool| {
        for number in 0..5 {
            let databases = json!([{"name": "orders"}]);
            world.simulator.patch(
                &backup_id(1, number),
                json!({"databases": if is_named { databases } else { Value::Null }}),
            );
        }
    };
    let world = World::new(&[10]).await;
    partial(&world, true);
    world.policies(&KEEP_3.replace("last: 3", "last: 50"));
    world.apply().await.exits(0);
    world.policies(KEEP_3);
    partial(&world, false);
    let report = world.apply().await.exits(0).json();
    for number in 0..5 {
        assert_eq!(rules(&report, &backup_id(1, number)), ["changed"], "{number}");
    }
    // The full ones that are really there: three of them stay.
    world.deleted_exactly(&ids(1, 8..10));
    // Said wherever somebody looks: nothing of them goes any more.
    let said = format!(
        "5 backups of 1 instance say something else than an earlier run saw, and are kept until `approve --listing` with the instance's id: mssql-1 ({}: 5)",
        instance_id(1)
    );
    assert!(report["notices"].to_string().contains(&said), "{}", report["notices"]);
    for look in [
        &["status", "--format", "json"][..],
        &["check"],
        &["plan", "--format", "json"],
    ] {
        let shown = world.run(look).await.stdout.replace('\n', " ");
        let shown = shown.split_whitespace().collect::<Vec<_>>().join(" ");
        assert!(shown.contains("5 backups of 1 instance say something else"), "{shown}");
    }
    // It goes on, run after run, until a person says that it is right.
    let report = world.plan().await.exits(0).json();
    assert_eq!(rules(&report, &backup_id(1, 4)), ["changed"]);
    let why = world.run(&["why", &backup_id(1, 4)]).await.exits(0).stdout;
    let command = format!("approve --listing {}", instance_id(1));
    assert!(
        why.contains("changed since an earlier run") && why.contains(&command),
        "{why}"
    );
    world.run(&["approve", "--listing", &instance_id(1)]).await.exits(0);
    let report = world.apply().await.exits(0).json();
    assert!(
        !report["notices"].to_string().contains("say something else"),
        "{report}"
    );
    world.deleted_exactly(&ids(1, 3..10));
    // What was accepted is what is compared from now on.
    let report = world.apply().await.exits(0).json();
    assert_eq!(rules(&report, &backup_id(1, 1)), ["last"]);
}

/// The twin: partial ones that go on naming their database, and a backup that was still being made when it was first seen.
#[tokio::test]
async fn what_says_the_same_as_before_and_what_was_still_being_made_goes() {
    let world = World::new(&[10]).await;
    let named = json!({"databases": [{"name": "orders"}]});
    for number in 0..5 {
        world.simulator.patch(&backup_id(1, number), named.clone());
    }
    world.simulator.set_status(&backup_id(1, 9), Status::Building);
    world.simulator.patch(
        &backup_id(1, 9),
        json!({"begin_time": written(begun(20)), "end_time": null, "databases": named["databases"]}),
    );
    world.policies(&KEEP_3.replace("last: 3", "last: 50"));
    world.apply().await.exits(0);
    world.policies(KEEP_3);
    world.simulator.set_status(&backup_id(1, 9), Status::Completed);
    world.simulator.patch(&backup_id(1, 9), json!({}));
    world.apply().await.exits(0);
    world.deleted_exactly(&[3, 4, 8, 9].map(|number| backup_id(1, number)).into());
}

/// Everything that decides is compared, not the databases alone.
#[tokio::test]
async fn whatever_decides_and_is_changed_is_kept_and_not_counted() {
    // Of 0, which fills a slot; of 6, which is due.
    for (number, patch) in [
        (0, json!({"begin_time": written(begun(5))})),
        (
            6,
            json!({"begin_time": written(begun(7)), "end_time": written(begun(6))}),
        ),
        (6, json!({"databases": [{"name": "orders"}]})),
        (6, json!({"status": "FAILED"})),
        (6, json!({"name": "another"})),
        (6, json!({"name": null})),
    ] {
        let world = learned(&[10]).await;
        world.simulator.patch(&backup_id(1, number), patch.clone());
        let report = world.apply().await.exits(0).json();
        let found = rules(&report, &backup_id(1, number));
        assert!(found.contains(&"changed".to_owned()), "{patch}: {found:?}");
        let mut due = ids(1, 3..10);
        due.remove(&backup_id(1, number));
        if number == 0 {
            due.remove(&backup_id(1, 3));
        }
        world.deleted_exactly(&due);
        // It says what it said: it is decided again.
        world.simulator.patch(&backup_id(1, number), json!({}));
        world.apply().await.exits(0);
        world.deleted_exactly(&ids(1, 3..10));
    }
}

/// Its listing was without it for a while, and then it is back as another one.
#[tokio::test]
async fn a_backup_that_comes_back_changed_is_compared_with_what_it_was() {
    let world = World::new(&[10]).await;
    let id = backup_id(1, 0);
    world.simulator.patch(&id, json!({"databases": [{"name": "orders"}]}));
    world.policies(&KEEP_3.replace("last: 3", "last: 50"));
    assert_eq!(run(&world, 0).await, 0);
    assert!(world.simulator.remove_backup(&id));
    assert_eq!(run(&world, 1).await, 0);
    assert!(world.simulator.add_backup(backup(1, 0)));
    world.simulator.patch(&id, json!({}));
    world.policies(KEEP_3);
    assert_eq!(run(&world, 2).await, 0);
    world.deleted_exactly(&ids(1, 4..10));
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

/// A policy that protects by what an instance is tagged with, and one that takes the rest.
const BY_TAG: &str = "
  - {name: gold, mode: enforce, keep: {last: 50}, grace: 0s, select: {instances: {tags: {tier: gold}}}}
  - {name: p, mode: enforce, keep: {last: 3}, grace: 0s, limits: {max_percent: 100}}
";

async fn tagged() -> World {
    let world = World::new(&[8, 8]).await;
    world.simulator.change_instance(&instance_id(1), |instance| {
        instance.tags = vec![("tier".to_owned(), "gold".to_owned())];
        "7".clone_into(&mut instance.enterprise_project);
    });
    world
}

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
