//! What `forecast` assumes to come: what is really made, until the end of the horizon.

use std::fs;

use serde_json::{Value, json};

use super::world::World;

async fn forecast(policies: &str, backups: &[(&str, i64)], args: &[&str]) -> Value {
    let world = World::new(&[]).await;
    world.configure("", policies, "");
    let now = chrono::DateTime::parse_from_rfc3339("2026-11-23T12:00:00Z").unwrap();
    let entry = |(nth, (name, hours)): (usize, &(&str, i64))| {
        let begin = (now - chrono::TimeDelta::hours(*hours))
            .format("%Y-%m-%dT%H:%M:%S+0000")
            .to_string();
        json!({"id": format!("b{nth}"), "instance_id": "i1in04", "name": name, "type": "manual", "status": "COMPLETED", "size": 1,
               "begin_time": begin, "end_time": begin, "datastore": {"type": "SQLServer", "version": "2019_SE"}})
    };
    let backups: Vec<Value> = backups.iter().enumerate().map(entry).collect();
    let file = world.dir().join("backups.json");
    fs::write(&file, json!(backups).to_string()).unwrap();
    let all = [
        "forecast",
        "--format",
        "json",
        "--at",
        "2026-11-23T12:00:00Z",
        "--backups",
        file.to_str().unwrap(),
    ];
    world.run(&[&all[..], args].concat()).await.exits(0).json()
}

fn weeks(forecast: &Value, key: &str) -> Vec<u64> {
    let weeks = forecast["weeks"].as_array().unwrap().iter();
    weeks.map(|week| week[key]["count"].as_u64().unwrap()).collect()
}

const NIGHTLIES: [(&str, i64); 4] = [
    ("nightly-4", 10),
    ("nightly-3", 34),
    ("nightly-2", 58),
    ("nightly-1", 82),
];

#[tokio::test]
async fn new_backups_after_the_last_run_are_counted() {
    let policy = |schedule: &str| {
        format!("\n  - {{name: p, mode: enforce, schedule: \"{schedule}\", keep: {{last: 3}}, grace: 0s}}\n")
    };
    let args = ["--days", "21", "--backup-every", "24h"];
    let monthly = forecast(&policy("@monthly"), &NIGHTLIES, &args).await;
    assert_eq!(weeks(&monthly, "new"), [7, 7, 7]);
    assert_eq!(
        weeks(&monthly, "left"),
        [11, 10, 17],
        "the run of 1 December keeps three"
    );
    let daily = forecast(&policy("@daily"), &NIGHTLIES, &args).await;
    assert_eq!(weeks(&daily, "new"), [7, 7, 7]);
    // The last backup comes after the last run.
    assert_eq!(weeks(&daily, "left"), [4, 4, 4]);
    let yearly = forecast(&policy("0 3 1 6 *"), &NIGHTLIES, &args).await;
    assert_eq!(
        (weeks(&yearly, "new"), weeks(&yearly, "left")),
        (vec![7, 7, 7], vec![11, 18, 25])
    );
}

#[tokio::test]
async fn a_protected_newest_backup_does_not_name_those_to_come() {
    let policy =
        "\n  - {name: p, mode: enforce, schedule: \"@daily\", keep: {last: 3, names: [\"release-*\"]}, grace: 0s}\n";
    let backups = [&[("release-9", 1)], &NIGHTLIES[..]].concat();
    let args = ["--days", "21", "--backup-every", "24h"];
    let found = forecast(policy, &backups, &args).await;
    assert_eq!(weeks(&found, "new"), [7, 7, 7]);
    assert_eq!(
        weeks(&found, "left"),
        [5, 5, 5],
        "three or four nightlies and the release"
    );
    // The twin: where releases are all that is made, they pile up.
    let found = forecast(policy, &[("release-9", 1), ("release-8", 25), ("release-7", 49)], &args).await;
    assert_eq!(weeks(&found, "left"), [10, 17, 24]);
}
