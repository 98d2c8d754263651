//! `status`: what the page says, in the terminal, from configuration and ledger alone.

use chrono::TimeDelta;
use rds_retentiond::status;
use serde_json::Value;

use super::world::{KEEP_3, World, backup_id, ids, output};

const REFUSED: &str = "
  - name: p
    mode: enforce
    grace: 0s
    keep: {last: 3}
";

#[tokio::test]
async fn status_names_what_needs_a_look_with_the_command_that_helps() {
    let world = World::new(&[20, 20, 4]).await;
    world.policies(REFUSED);
    let new = world.run(&["status"]).await.exits(0).stdout;
    assert!(new.starts_with("No run yet"), "{new}");
    assert!(!world.state().exists(), "status makes no state");
    world.run(&["apply"]).await.exits(3);
    let calls = world.simulator.calls().len();
    let table = world.run(&["status"]).await.exits(0).stdout;
    assert_eq!(world.simulator.calls().len(), calls, "the network is not asked");
    for part in [
        "1 thing needs a look",
        "Refused by max_percent, policy p",
        "2 instances are left alone: mssql-1 (17 of 20), mssql-2 (17 of 20)",
        "refused in part: max_percent; 1 sent, 34 held back",
        "34 (34.0 GiB) expired and held back by the guard or a freeze",
    ] {
        assert!(table.contains(part), "no `{part}` in:\n{table}");
    }
    let json = world.run(&["status", "--format", "json"]).await.exits(0).json();
    assert!(json["started_at"].is_null() && json["policies"][0]["last_run"]["refusals"][0]["limit"] == "max_percent");
    let day = &json["storage"][0];
    assert_eq!(day["kept_bytes"], 43_u64 << 30, "{json}");
    assert_eq!(day["held_back_bytes"], 34_u64 << 30, "{json}");
    // The command that it prints is the one that helps; and then what was approved is deleted.
    let command = table
        .lines()
        .find_map(|line| line.trim().split_once(" approve "))
        .unwrap()
        .1;
    let args: Vec<&str> = std::iter::once("approve").chain(command.split(' ')).collect();
    world.run(&args).await.exits(0);
    let table = world.run(&["status"]).await.exits(0).stdout;
    assert!(!table.contains(" approve "), "an approved plan waits no more: {table}");
    world.run(&["apply"]).await.exits(0);
    let gone = [ids(1, 3..20), ids(2, 3..20), ids(3, 3..4)];
    world.deleted_exactly(&gone.into_iter().flatten().collect());
    let table = world.run(&["status"]).await.exits(0).stdout;
    assert!(table.starts_with("All is well"), "{table}");
    assert!(table.contains("35.0 GiB freed since"), "{table}");
}

#[tokio::test]
async fn status_says_what_goes_next_and_which_run_did_not_begin() {
    let world = World::new(&[20]).await;
    world.policies(
        "
  - name: p
    mode: enforce
    schedule: \"0 3 * * *\"
    grace: 24h
    keep: {last: 3}
    limits: {max_percent: 100}
",
    );
    world.run(&["apply"]).await.exits(0);
    let (config, now) = (world.config(), rds_retentiond::clock::now());
    let at = |days: i64| status::at_rest(&config, "host", now + TimeDelta::days(days)).unwrap();
    let next = |status: &status::Status| {
        let next = status.policies[0].goes_next.unwrap();
        (next.due, next.later)
    };
    // The next run is within a day, that of tomorrow later than the grace period's end.
    let today = at(0);
    assert_eq!((next(&today), status::alerts(&today).len()), ((0, 17), 0));
    let late = at(2);
    assert_eq!(next(&late), (17, 0));
    let alerts = status::alerts(&late);
    assert!(
        alerts.len() == 1 && alerts[0].lines[0].contains("is the daemon running?"),
        "{alerts:?}"
    );
    let table = world.run(&["status"]).await.exits(0).stdout;
    assert!(
        table.contains("17 backups in the grace period, the first until"),
        "{table}"
    );
    // The honest twin: without the grace period they go.
    world.policies(KEEP_3);
    world.run(&["apply"]).await.exits(0);
    world.deleted_exactly(&ids(1, 3..20));
}

#[tokio::test]
async fn status_works_beside_a_configuration_with_errors() {
    let world = World::new(&[5]).await;
    world.run(&["apply"]).await.exits(0);
    world
        .run(&["hold", "--name", "nightly-1", "--reason", "case 4711"])
        .await
        .exits(0);
    world.run(&["freeze", "--reason", "audit"]).await.exits(0);
    world.policies("\n  - name: p\n    mode: enforce\n    keep: {lsat: 3}\n");
    let table = world.run(&["status"]).await.exits(0).stdout;
    for part in [
        "1 thing needs a look",
        "Configuration",
        "lsat",
        " check\n",
        "Frozen: nothing is deleted",
        "f1: audit",
        " thaw f1\n",
        "case 4711",
        "success",
    ] {
        assert!(table.contains(part), "no `{part}` in:\n{table}");
    }
    let json: Value = world.run(&["status", "--format", "json"]).await.exits(0).json();
    assert_eq!(json["config"]["last_reload_ok"], false);
    assert_eq!(json["freeze"]["reason"], "audit");
    // Where the state's place cannot be read there is nothing to show.
    std::fs::write(world.config_file(), "version: 1\nstate_dir: {\n").unwrap();
    world.run(&["status"]).await.exits(78);
}

#[tokio::test]
async fn metrics_count_what_was_held_back_and_what_no_policy_has_in_scope() {
    let world = World::new(&[20, 5]).await;
    // Each backup of the first instance is in the scope of one of the two; of the second five are in none.
    let policies = |limits: &str| {
        format!(
            "
  - name: a
    mode: enforce
    grace: 0s
    keep: {{last: 3}}
    limits: {{max_percent: {limits}}}
    select: {{instances: {{names: [mssql-1]}}, backups: {{exclude_names: [nightly-0]}}}}
  - name: b
    mode: enforce
    keep: {{last: 3}}
    select: {{backups: {{names: [nightly-0], exclude_names: [\"nightly-[1-9]\"]}}}}
"
        )
    };
    world.policies(&policies("50"));
    let file = world.dir().join("metrics.prom");
    let args = ["apply", "--metrics-file", file.to_str().unwrap()];
    world.run(&args).await.exits(3);
    let has = |line: &str| {
        let text = std::fs::read_to_string(&file).unwrap();
        assert!(text.lines().any(|found| found == line), "no `{line}` in:\n{text}");
    };
    has("rds_retention_backups_unselected{project=\"simulator\"} 4");
    has("rds_retention_expired_refused{policy=\"a\"} 16");
    has("rds_retention_expired_refused{policy=\"b\"} 0");
    has("rds_retention_expired_refused_bytes{policy=\"a\"} 17179869184");
    world.policies(&policies("100"));
    world.run(&args).await.exits(0);
    has("rds_retention_expired_refused{policy=\"a\"} 0");
    world.deleted_exactly(&ids(1, 4..20));
}

#[tokio::test]
async fn history_shows_one_run_with_its_evidence_and_what_people_did() {
    let world = World::new(&[6, 20]).await;
    world.policies(
        "\n  - name: p\n    mode: enforce\n    grace: 0s\n    keep: {last: 3}\n    limits: {max_percent: 60}\n",
    );
    world
        .run(&["hold", "--name", "golden-*", "--reason", "case 4711", "--owner", "dba"])
        .await
        .exits(0);
    world.run(&["release", "h1", "--reason", "closed"]).await.exits(0);
    world.run(&["freeze", "--reason", "audit"]).await.exits(0);
    world.run(&["thaw", "--reason", "audited"]).await.exits(0);
    world.run(&["apply"]).await.exits(3);
    world.deleted_exactly(&ids(1, 3..6));
    // A part was sent: people read so, machines read `refused` as ever.
    let table = world.run(&["history"]).await.exits(0).stdout;
    assert!(table.contains("1 run: 1 refused in part; 3 deletions sent"), "{table}");
    assert!(table.contains("3 confirmed, 17 held back"), "{table}");
    let table = world.run(&["status"]).await.exits(0).stdout;
    assert!(
        table.contains("refused in part: max_percent; 3 sent, 17 held back"),
        "{table}"
    );
    world.approve("p").await.exits(0);
    let listed = world.run(&["history", "--format", "json"]).await.exits(0).json();
    let id = listed["runs"][0]["run_id"].as_str().unwrap();
    for typed in [id, &id[..30], &id.to_uppercase()] {
        let table = world.run(&["history", typed]).await.exits(0).stdout;
        for part in [
            id,
            "1 instance is left alone: mssql-2 (17 of 20)",
            "nightly-3",
            "deleted",
            ", 6 backups",
        ] {
            assert!(table.contains(part), "no `{part}` in:\n{table}");
        }
        assert_eq!(table.matches("no rule keeps it").count(), 3, "{table}");
    }
    let json = world.run(&["history", id, "--format", "json"]).await.exits(0).json();
    assert_eq!(json["runs"][0]["result"], "refused");
    assert_eq!(json["deletions"].as_array().unwrap().len(), 3);
    assert_eq!(json["deletions"][0]["state"], "confirmed");
    for typed in ["ffff", "%", "zz"] {
        world
            .run(&["history", typed])
            .await
            .exits(64)
            .says("`history` lists them");
    }
    let json = world
        .run(&["history", "--events", "--format", "json"])
        .await
        .exits(0)
        .json();
    let events = json["events"].as_array().unwrap();
    let acts: Vec<&str> = events.iter().map(|event| event["event"].as_str().unwrap()).collect();
    assert_eq!(acts, ["approve", "thaw", "freeze", "release", "hold"]);
    let reasons: Vec<&str> = events[1..]
        .iter()
        .map(|event| event["reason"].as_str().unwrap())
        .collect();
    assert_eq!(reasons, ["audited", "audit", "closed", "case 4711"]);
    let table = world.run(&["history", "--events"]).await.exits(0).stdout;
    for part in [
        "h1: backups named golden-* (for dba)",
        "case 4711",
        "p: 17 backups, plan ",
    ] {
        assert!(table.contains(part), "no `{part}` in:\n{table}");
    }
}

#[tokio::test]
async fn what_is_typed_wrongly_leads_to_what_is_meant() {
    let world = World::new(&[5]).await;
    world
        .run(&["apply", "--dry-run"])
        .await
        .exits(64)
        .says("`plan` shows what would happen and deletes nothing");
    world
        .run(&["diff", "--against", "nofile"])
        .await
        .exits(78)
        .says("--against nofile: file not found");
    world.deleted_exactly(&ids(1, 0..0));
    let listed = |id: &str| {
        format!(
            "{{\"id\": \"{id}\", \"instance_id\": \"i\", \"name\": \"n\", \"begin_time\": \"2026-01-01T00:00:00+0000\"}}"
        )
    };
    let (a, b) = (listed("a"), listed("b"));
    let file = world.dir().join("backups.json");
    let plan = ["plan", "--format", "json", "--backups", file.to_str().unwrap()];
    for text in [
        format!("[{a}, {b}]"),
        format!("{{\"backups\": [{a}, {b}]}}"),
        format!("{a}\n{b}\n"),
        format!("{{\"backups\": [{a}], \"total_count\": 2}}\n{{\"backups\": [{b}]}}"),
        format!("[{{\"backups\": [{a}]}}, {{\"backups\": [{b}]}}]"),
    ] {
        std::fs::write(&file, &text).unwrap();
        let json = world.run(&plan).await.exits(0).json();
        assert_eq!(json["policies"][0]["decisions"].as_array().unwrap().len(), 2, "{text}");
    }
    for text in [
        "hello".to_owned(),
        format!("{a}\n3"),
        format!("{{\"backups\": [{{\"name\": \"n\"}}]}}\n{b}"),
    ] {
        std::fs::write(&file, &text).unwrap();
        world.run(&plan).await.exits(64).says("or one backup per line (NDJSON)");
    }
}

#[tokio::test]
async fn what_a_person_reads_of_the_past_is_in_the_zone_of_the_policy() {
    let world = World::new(&[5]).await;
    world.policies(&format!(
        "{}    timezone: Asia/Singapore\n",
        KEEP_3.trim_end().to_owned() + "\n"
    ));
    world.apply().await.exits(0);
    world.deleted_exactly(&ids(1, 3..5));
    let now = rds_retentiond::clock::now() + TimeDelta::hours(8);
    let told = world.run(&["why", &backup_id(1, 4)]).await.exits(0).stdout;
    for label in ["asked for", "answered", "gone"] {
        let line = told.lines().find(|line| line.contains(label)).unwrap();
        assert!(
            line.contains(" Asia/Singapore") && line.contains(&now.format("%Y-%m-%d %H:").to_string()),
            "{told}"
        );
    }
    let table = world.run(&["status"]).await.exits(0).stdout;
    let since = now.format("freed since %Y-%m-%d Asia/Singapore").to_string();
    assert!(table.contains(&since), "no `{since}` in:\n{table}");
    // What a shell offers behind `history`.
    let run = world.run(&["history", "--format", "json"]).await.exits(0).json();
    let mut asked = world.command(&["--"]);
    let line = [
        "rds-retentiond",
        "--config",
        world.config_file().to_str().unwrap(),
        "history",
        "",
    ]
    .map(str::to_owned);
    asked
        .args(line)
        .env("RDS_RETENTIOND_COMPLETE", "zsh")
        .env("_CLAP_COMPLETE_INDEX", "4");
    asked.env("RDS_RETENTIOND_CONFIG", world.config_file());
    let offered = output(asked).await.stdout;
    let line = offered
        .lines()
        .find(|line| line.contains(run["runs"][0]["run_id"].as_str().unwrap()));
    assert!(
        line.is_some_and(|line| line.contains(" Asia/Singapore p success")),
        "{offered}"
    );
}
