//! Each field of a backup in each way it may be missing, unreadable or other than before: what is decided then, and why.

use std::collections::BTreeSet;

use chrono::{DateTime, TimeDelta, Utc};
use serde_json::{Value, json};

use super::world::{World, backup_id, begun, decisions, ids, instance_id};

/// What becomes of a backup that is due unless its entry says otherwise.
#[derive(Clone, Copy, Debug)]
enum Fate {
    /// It is deleted.
    Goes,
    /// It alone is kept, and this is among the reasons.
    Stays(&'static str),
    /// Nothing of its instance is deleted: the listing is not believed.
    LeftAlone,
}
use Fate::{Goes, LeftAlone, Stays};

/// What an entry says first, if there is an earlier run, what it says now, and what becomes of it.
type Cell = (Option<Value>, Value, Fate);

/// The backup that each instance's entry is changed of.
const TARGET: usize = 6;
const BACKUPS: usize = 8;

fn written(at: DateTime<Utc>) -> String {
    at.format("%Y-%m-%dT%H:%M:%S+0000").to_string()
}

fn policy(last: usize, failed_after: &str) -> String {
    format!(
        "
  - name: p
    mode: enforce
    keep: {{last: {last}}}
    failed_after: {failed_after}
    grace: 0s
    limits: {{max_percent: 100, max_deletions: 5000}}
"
    )
}

/// An instance for each cell: its target says what the first patch makes of it (where there is one, in a run that deletes nothing),
/// then what the second makes of it.
async fn check(cells: &[Cell]) {
    let world = World::new(&vec![BACKUPS; cells.len()]).await;
    let numbered = || cells.iter().enumerate().map(|(place, cell)| (place + 1, cell));
    if cells.iter().any(|(before, ..)| before.is_some()) {
        for (instance, (before, ..)) in numbered() {
            let patch = before.clone().unwrap_or_else(|| json!({}));
            world.simulator.patch(&backup_id(instance, TARGET), patch);
        }
        world.policies(&policy(50, "400d"));
        world.apply().await.exits(0);
    }
    for (instance, (_, patch, _)) in numbered() {
        world.simulator.patch(&backup_id(instance, TARGET), patch.clone());
    }
    world.policies(&policy(3, "1d"));
    let is_any_left_alone = cells.iter().any(|(.., fate)| matches!(fate, LeftAlone));
    let report = world.apply().await.exits(i32::from(is_any_left_alone)).json();
    let left_alone: BTreeSet<String> = report["skipped"].as_array().unwrap().iter().map(of_instance).collect();
    let decided = decisions(&report, "p");
    let deleted = world.deleted();
    let mut wrong = Vec::new();
    for (instance, (before, patch, fate)) in numbered() {
        let id = patch["id"]
            .as_str()
            .map_or_else(|| backup_id(instance, TARGET), str::to_owned);
        let gone: BTreeSet<String> = deleted.intersection(&ids(instance, 0..BACKUPS)).cloned().collect();
        let reasons = decided
            .get(&id)
            .map(|row| row["reasons"].to_string())
            .unwrap_or_default();
        let mut others = ids(instance, 3..BACKUPS);
        let is_right = match fate {
            Goes => gone == others,
            LeftAlone => gone.is_empty() && left_alone.contains(&instance_id(instance)),
            Stays(rule) => {
                others.remove(&backup_id(instance, TARGET));
                gone == others && reasons.contains(&format!("\"{rule}\""))
            }
        };
        if !is_right {
            let gone = gone.len();
            wrong.push(format!("{before:?} then {patch}: not {fate:?}, {gone} gone, {reasons}"));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    assert!(
        world.asked().is_subset(&deleted),
        "{:?}",
        world.asked().difference(&deleted)
    );
    world.sent_by_the_rules();
}

fn of_instance(skip: &Value) -> String {
    skip["instance_id"].as_str().unwrap().to_owned()
}

/// A field at first sight: absent, null, of a wrong type, empty, unreadable.
fn first_sight(field: &str, fates: [Fate; 5], wrong_type: Value, unreadable: Value) -> Vec<Cell> {
    let values = [Value::Null, json!({"$null": true}), wrong_type, json!(""), unreadable];
    let patches = values.into_iter().map(|value| json!({field: value}));
    patches.zip(fates).map(|(patch, fate)| (None, patch, fate)).collect()
}

#[tokio::test]
async fn a_field_that_is_missing_or_unreadable_at_first_sight() {
    let (status, engine, time) = (Stays("unknown_status"), Stays("unknown_engine"), Stays("unknown_time"));
    let number = || json!(7);
    let mut cells = [
        // Whose entry it is and of what kind must be said of every entry; else none of them is believed.
        first_sight("id", [LeftAlone; 5], number(), json!("one two")),
        first_sight("instance_id", [LeftAlone; 5], number(), json!("another")),
        first_sight("type", [LeftAlone; 5], number(), json!("Manual")),
        // A name may be what protects it. One of a wrong type spoils its page: it may be readable when it is read again.
        first_sight(
            "name",
            [status, status, LeftAlone, status, status],
            number(),
            json!(" "),
        ),
        first_sight("status", [status; 5], number(), json!("completed")),
        first_sight("begin_time", [time; 5], number(), json!("soon")),
        // The reference says that every backup has an end: one that is COMPLETED without is not what it says it is.
        first_sight("end_time", [time; 5], number(), json!("soon")),
        first_sight("datastore", [engine; 5], number(), json!({"type": "MySQL"})),
        // No size decides. (It may justify: `only_a_finished_full_backup_of_a_known_engine_is_recent`.)
        first_sight("size", [Goes; 5], json!([]), json!("much")),
        // The reference says that it is there for partial backups only.
        first_sight(
            "databases",
            [Goes, Goes, status, status, status],
            number(),
            json!([{"name": ""}]),
        ),
    ]
    .concat();
    let id = |case: &str| json!({"id": case});
    let failed = |end: Value| json!({"status": "FAILED", "end_time": end});
    let place = cells.len() + 1;
    cells.extend([
        // Two ids that differ in case are two entries of one backup.
        (None, id(&backup_id(place, 5).to_uppercase()), LeftAlone),
        (None, id(&backup_id(place + 1, 5)), LeftAlone),
        // A backup that failed need not have ended.
        (None, failed(Value::Null), Goes),
        (None, failed(json!({"$null": true})), Goes),
        (None, failed(json!("")), Goes),
        (None, failed(json!("soon")), time),
        (None, failed(number()), time),
        (
            None,
            json!({"status": "FAILED", "end_time": written(begun(TARGET) - TimeDelta::hours(1))}),
            time,
        ),
        // The twins: a backup that took days, a partial one that newer full ones replace, one with an empty list, blanks in a time.
        (
            None,
            json!({"end_time": written(begun(TARGET) + TimeDelta::days(5))}),
            Goes,
        ),
        (None, json!({"databases": [{"name": "orders"}]}), Goes),
        (None, json!({"databases": []}), Goes),
        (None, json!({"end_time": format!(" {} ", written(begun(TARGET)))}), Goes),
        (None, json!({}), Goes),
    ]);
    check(&cells).await;
}

/// The list of databases, which makes a backup a full or a partial one, is compared whatever it was.
#[tokio::test]
async fn a_list_of_databases_that_is_other_than_an_earlier_run_saw_it() {
    let changed = Stays("changed");
    let none = || json!({"$null": true});
    let of = |databases: Value| json!({"databases": databases});
    let (orders, crm) = (json!([{"name": "orders"}]), json!([{"name": "crm"}]));
    let both = |one: &Value, other: &Value| json!([one[0], other[0]]);
    let databases = [
        (json!([]), Value::Null),
        (json!([]), none()),
        (json!([]), json!(7)),
        (json!([]), orders.clone()),
        (Value::Null, json!([])),
        (Value::Null, json!("")),
        (none(), orders.clone()),
        (orders.clone(), Value::Null),
        (orders.clone(), json!([])),
        (orders.clone(), json!(7)),
        (orders.clone(), crm.clone()),
        (orders.clone(), both(&orders, &crm)),
        (json!(7), Value::Null),
        (json!(7), json!([])),
        (json!(7), orders.clone()),
    ];
    let mut cells: Vec<Cell> = databases
        .map(|(before, now)| (Some(of(before)), of(now), changed))
        .into();
    // The twins: the same again, in another order or spelling.
    cells.extend([
        (Some(of(json!([]))), of(json!([])), Goes),
        (Some(of(none())), of(Value::Null), Goes),
        (Some(of(orders.clone())), of(orders.clone()), Goes),
        (Some(of(both(&orders, &crm))), of(both(&crm, &orders)), Goes),
    ]);
    check(&cells).await;
}

#[tokio::test]
async fn a_field_that_is_other_than_an_earlier_run_saw_it() {
    let changed = Stays("changed");
    let nothing = || json!({});
    let none = || json!({"$null": true});
    let mut cells: Vec<Cell> = Vec::new();
    let lost = |field: &str| [Value::Null, none(), json!(7), json!("")].map(|value| json!({field: value}));
    for patch in ["begin_time", "end_time"].iter().flat_map(|field| lost(field)) {
        cells.push((Some(nothing()), patch, changed));
    }
    let place = cells.len() + 1;
    cells.extend([
        (
            Some(nothing()),
            json!({"id": backup_id(place, TARGET).to_uppercase()}),
            changed,
        ),
        (Some(nothing()), json!({"instance_id": instance_id(place)}), LeftAlone),
        (Some(nothing()), json!({"type": "auto"}), LeftAlone),
        (Some(nothing()), json!({"name": "another"}), changed),
        (Some(nothing()), json!({"name": ""}), changed),
        (Some(nothing()), json!({"name": null}), changed),
        (Some(nothing()), json!({"name": none()}), changed),
        (Some(nothing()), json!({"name": 7}), LeftAlone),
        (Some(nothing()), json!({"status": "FAILED"}), changed),
        (Some(json!({"status": "FAILED"})), nothing(), changed),
        (Some(nothing()), json!({"status": "ODD"}), Stays("unknown_status")),
        (Some(nothing()), json!({"status": null}), Stays("unknown_status")),
        (Some(nothing()), json!({"status": "DELETING"}), Stays("in_progress")),
        (
            Some(nothing()),
            json!({"begin_time": written(begun(TARGET) - TimeDelta::minutes(1))}),
            changed,
        ),
        (Some(nothing()), json!({"begin_time": "soon"}), changed),
        (
            Some(nothing()),
            json!({"end_time": written(begun(TARGET) + TimeDelta::days(2))}),
            changed,
        ),
        (Some(nothing()), json!({"end_time": "soon"}), changed),
        (Some(nothing()), json!({"datastore": null}), changed),
        (Some(nothing()), json!({"datastore": {"type": "MySQL"}}), changed),
        (Some(json!({"datastore": {"type": "MySQL"}})), nothing(), changed),
        // No size decides.
        (Some(nothing()), json!({"size": null}), Goes),
        (Some(nothing()), json!({"size": 7}), Goes),
        // The twins: the same again, in another order or spelling.
        (Some(nothing()), nothing(), Goes),
        (Some(nothing()), json!({"datastore": {"type": "sqlserver"}}), Goes),
        // And what was never readable before is not compared: an answer that lacked it is made good by one that has it.
        (Some(json!({"begin_time": "soon"})), nothing(), Goes),
        (Some(json!({"end_time": null})), nothing(), Goes),
        (Some(json!({"name": null})), nothing(), Goes),
        (Some(json!({"status": "BUILDING", "end_time": null})), nothing(), Goes),
    ]);
    check(&cells).await;
}
