//! `forecast`: its words, and that it is what the plans of the days to come say.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;

use super::{Files, backups, golden};

#[test]
fn forecast_draws_days_weeks_and_bars() {
    let files = Files::new();
    let found = files.offline("forecast --days 35", 0) + &files.offline("forecast --days 35 --backup-every 24h", 0);
    golden("forecast.txt", &found);
    let json = files.json("forecast --days 35", 0);
    let entries = json["backups"].as_array().unwrap();
    assert_eq!(entries.len(), 30);
    let going = entries.iter().filter(|entry| !entry["goes_at"].is_null()).count();
    let week = |nth: usize| json["weeks"][nth]["go"]["count"].as_u64().unwrap();
    assert_eq!((0..5).map(week).sum::<u64>(), going as u64);
    // What stays after the last run is what a plan of that day keeps or lets wait.
    assert_eq!(json["weeks"][4]["left"]["count"].as_u64().unwrap(), 30 - going as u64);
}

/// The days to come, played by `plan`: each plan is made of what is there that day, and what it lets go for as long as the
/// grace is taken away.
struct DaysToCome {
    present: Vec<Value>,
    gone: BTreeMap<String, String>,
    made: u64,
}

impl DaysToCome {
    const GRACE: chrono::TimeDelta = chrono::TimeDelta::hours(36);
    const PACE: chrono::TimeDelta = chrono::TimeDelta::hours(30);

    fn play(files: &Files, present: Vec<Value>, days: i64) -> Self {
        let time = |text: &str| text.parse::<chrono::DateTime<chrono::Utc>>().unwrap();
        let mut coming = time("2026-11-23T02:00:00Z") + Self::PACE;
        let mut since: BTreeMap<String, chrono::DateTime<chrono::Utc>> = BTreeMap::new();
        let newest = present[0].clone();
        let mut world = Self {
            present,
            gone: BTreeMap::new(),
            made: 0,
        };
        for day in 1..=days {
            let at = time("2026-11-23T03:00:00Z") + chrono::TimeDelta::days(day);
            while coming <= at {
                let mut backup = newest.clone();
                backup["id"] = format!("new{:04}br04", world.made).into();
                backup["begin_time"] = coming.format("%Y-%m-%dT%H:%M:%S+0000").to_string().into();
                backup["end_time"] = backup["begin_time"].clone();
                world.present.push(backup);
                coming += Self::PACE;
                world.made += 1;
            }
            let expired = world.expired(files, at);
            since.retain(|id, _| expired.contains(id));
            for id in expired {
                if *since.entry(id.clone()).or_insert(at) <= at - Self::GRACE {
                    world.gone.insert(id, at.format("%Y-%m-%dT%H:%M:%SZ").to_string());
                }
            }
            let gone = &world.gone;
            world
                .present
                .retain(|backup| !gone.contains_key(backup["id"].as_str().unwrap()));
        }
        world
    }

    fn expired(&self, files: &Files, at: chrono::DateTime<chrono::Utc>) -> BTreeSet<String> {
        files.write("today.json", &Value::from(self.present.clone()).to_string());
        let at = at.format("%Y-%m-%dT%H:%M:%SZ");
        let output = files.ask(&format!("plan --backups today.json --at {at} --format json"));
        let plan: Value = serde_json::from_slice(&output.stdout).unwrap();
        let decisions = plan["policies"][0]["decisions"].as_array().unwrap();
        let expired = decisions.iter().filter(|decision| decision["decision"] == "delete");
        expired
            .map(|decision| decision["backup_id"].as_str().unwrap().to_owned())
            .collect()
    }
}

#[test]
fn forecast_is_what_the_plans_of_the_days_to_come_say() {
    let files = Files::new();
    let policy = "version: 1\nstate_dir: STATE\npolicies:\n  - {name: p, mode: enforce, schedule: \"0 3 * * *\", grace: 36h, \
                  keep: {last: 2, daily: 4, weekly: 3, monthly: 2, within_daily: 10d}, failed_after: 3d, max_age: 40d, min_backups: 2}\n\
                  holds: [{backup: b0022br04, reason: r, until: 2026-12-05}]\n";
    files.write(
        "config.yaml",
        &policy.replace("STATE", files.path("state").to_str().unwrap()),
    );
    let mut present: Vec<Value> = serde_json::from_str(&backups(30)).unwrap();
    // One that names a database, as the API writes it.
    present[9]["databases"] = serde_json::json!([{"name": "orders"}]);
    files.write("backups.json", &Value::from(present.clone()).to_string());
    let forecast = files.json("forecast --days 45 --backup-every 30h", 0);
    let world = DaysToCome::play(&files, present, 45);
    let entries = forecast["backups"].as_array().unwrap();
    for entry in entries {
        let id = entry["backup_id"].as_str().unwrap();
        assert_eq!(
            entry["goes_at"].as_str(),
            world.gone.get(id).map(String::as_str),
            "{id}"
        );
    }
    let gone = world.gone.len();
    assert!(gone > entries.len() + 10, "assumed ones go, too: {gone}");
    let weeks = forecast["weeks"].as_array().unwrap();
    assert_eq!(
        weeks.last().unwrap()["left"]["count"].as_u64(),
        Some(world.present.len() as u64)
    );
    let sum = |what: &str| {
        weeks
            .iter()
            .map(|week| week[what]["count"].as_u64().unwrap())
            .sum::<u64>()
    };
    assert_eq!((sum("go"), sum("new")), (gone as u64, world.made));
}
