//! `plan --backups FILE`: the decision without network, credentials and state, and what it says to bad files.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;

use serde::Deserialize;
use serde_json::{Value, json};

use super::world::{Ran, World, decided, decisions};

#[derive(Deserialize)]
struct Golden {
    backups: Vec<Value>,
    cases: Vec<Case>,
}

#[derive(Deserialize)]
struct Case {
    #[serde(rename = "case")]
    number: u32,
    policy: Value,
    keep: BTreeSet<String>,
    reasons: BTreeMap<String, Vec<Value>>,
}

/// A plan of a file, with nothing in the environment that could reach anything.
async fn plan(world: &mut World, file: &str, more: &[&str]) -> Ran {
    world.set_env("HUAWEICLOUD_SDK_AK", "");
    let mut args = vec!["plan", "--format", "json", "--backups", file];
    args.extend(more);
    world.run(&args).await
}

fn policy(keep: &Value) -> String {
    // JSON is YAML.
    format!(
        "\n  - name: p\n    mode: enforce\n    keep: {keep}\n    limits: {{max_percent: 100, max_deletions: 1000}}\n"
    )
}

#[tokio::test]
async fn restic_s_cases_through_the_binary_with_reasons() {
    let golden: Golden = serde_json::from_str(include_str!("../data/restic.json")).unwrap();
    let mut world = World::new(&[]).await;
    let file = world.dir().join("backups.json");
    fs::write(&file, json!(golden.backups).to_string()).unwrap();
    assert_eq!(golden.cases.len(), 36);
    for case in golden.cases {
        world.configure("", &policy(&case.policy["keep"]), "");
        let ran = plan(&mut world, file.to_str().unwrap(), &["--at", "2016-01-19T00:00:00Z"])
            .await
            .exits(0);
        let report = ran.json();
        assert_eq!(report["at"], "2016-01-19T00:00:00Z");
        assert_eq!(decided(&report, "p", "keep"), case.keep, "case {}", case.number);
        let rows = decisions(&report, "p");
        assert_eq!(rows.len(), golden.backups.len());
        let short = |reasons: &[Value]| {
            let one = |reason: &Value| format!("{} {}", reason["rule"], reason["oldest"]);
            reasons.iter().map(one).collect::<BTreeSet<_>>()
        };
        for (id, expected) in &case.reasons {
            let found = rows[id]["reasons"].as_array().unwrap();
            assert_eq!(short(found), short(expected), "case {} {id}", case.number);
        }
        for id in rows.keys().filter(|id| !case.keep.contains(*id)) {
            assert_eq!(
                (&rows[id]["decision"], &rows[id]["reasons"][0]["rule"]),
                (&json!("delete"), &json!("not_kept"))
            );
        }
    }
    assert!(world.simulator.calls().is_empty() && !world.state().exists());
}

fn entry(id: &str, begin: &str) -> Value {
    json!({"id": id, "instance_id": "i1in04", "name": "n", "type": "manual", "status": "COMPLETED", "size": 1,
           "begin_time": begin, "end_time": begin, "datastore": {"type": "SQLServer", "version": "2019_SE"}})
}

#[tokio::test]
async fn bad_files_are_a_usage_error_that_says_what_is_wrong() {
    let mut world = World::new(&[]).await;
    world.configure("", &policy(&json!({"last": 1})), "");
    let file = world.dir().join("b.json");
    let (one, other) = (
        entry("a", "2026-01-01T00:00:00+0000"),
        entry("a", "2026-01-02T00:00:00+0000"),
    );
    let nameless = json!([{"name": "no id", "status": "COMPLETED"}]);
    for (text, says) in [
        (String::new(), "EOF"),
        ("this is no JSON".to_owned(), "line 1"),
        ("[{".to_owned(), "EOF"),
        ("{}".to_owned(), "backups"),
        ("{\"instances\": []}".to_owned(), "backups"),
        ("42".to_owned(), "array"),
        ("[42]".to_owned(), "entry 0"),
        (nameless.to_string(), "entry 0 has no id"),
        (
            json!([one, other]).to_string(),
            "entry 1 differs from an earlier one with its id a",
        ),
        (format!("{}x", json!([one])), "trailing"),
    ] {
        fs::write(&file, &text).unwrap();
        let ran = plan(&mut world, file.to_str().unwrap(), &[]).await;
        assert_eq!((ran.code, ran.stdout.as_str()), (64, ""), "{text}: {ran:?}");
        assert!(
            ran.stderr.contains("b.json") && ran.stderr.contains(says),
            "{text}: {}",
            ran.stderr
        );
    }
    fs::write(&file, b"[\"\xff\xfe\"]").unwrap();
    plan(&mut world, file.to_str().unwrap(), &[]).await.exits(64);
    plan(&mut world, "/nowhere/at/all.json", &[])
        .await
        .exits(64)
        .says("/nowhere/at/all.json");
    let directory = world.dir().to_str().unwrap().to_owned();
    plan(&mut world, &directory, &[]).await.exits(64).says("directory");
}

#[tokio::test]
async fn empty_lists_and_repeated_entries_are_fine() {
    let mut world = World::new(&[]).await;
    world.configure("", &policy(&json!({"last": 1})), "");
    let file = world.dir().join("b.json");
    let one = entry("a", "2026-01-01T00:00:00+0000");
    for (text, rows) in [
        ("[]".to_owned(), 0),
        ("{\"backups\": [], \"total_count\": 0}".to_owned(), 0),
        (json!([one, one]).to_string(), 1),
        (json!({"backups": [one]}).to_string(), 1),
    ] {
        fs::write(&file, &text).unwrap();
        let report = plan(&mut world, file.to_str().unwrap(), &[]).await.exits(0).json();
        assert_eq!(decisions(&report, "p").len(), rows, "{text}");
    }
}

/// Another program's list, through a pipe; and one from a tool that begins its files with a byte order mark.
#[tokio::test]
async fn a_list_comes_from_stdin_or_with_a_byte_order_mark() {
    let world = World::new(&[]).await;
    world.configure("", &policy(&json!({"last": 1})), "");
    let text = format!("\u{feff}{}", json!([entry("a", "2026-01-01T00:00:00+0000")]));
    let file = world.dir().join("b.json");
    fs::write(&file, &text).unwrap();
    for name in ["-", file.to_str().unwrap()] {
        let mut command = world.command(&["plan", "--format", "json", "--backups", name]);
        command.stdin(fs::File::open(&file).unwrap());
        let report = super::world::output(command).await.exits(0).json();
        assert_eq!(
            decided(&report, "p", "keep"),
            BTreeSet::from(["a".to_owned()]),
            "{name}"
        );
    }
}

#[tokio::test]
async fn an_instance_that_nothing_lists_is_a_usage_error() {
    let mut world = World::new(&[2]).await;
    let file = world.dir().join("b.json");
    fs::write(&file, json!([entry("a", "2026-01-01T00:00:00+0000")]).to_string()).unwrap();
    let says = "has the id or name `nope`";
    let file = file.to_str().unwrap().to_owned();
    let ran = plan(&mut world, &file, &["--instance", "nope"])
        .await
        .exits(64)
        .says(says);
    assert_eq!(ran.stdout, "");
    plan(&mut world, &file, &["--instance", "i1in04"]).await.exits(0);
    // In the cloud by id and by name; a project that cannot be asked is what the exit code speaks of.
    let mut world = World::new(&[2]).await;
    let id = super::world::instance_id(1);
    for (known, code) in [(id.as_str(), 0), ("mssql-1", 0), ("nope", 64)] {
        world.run(&["plan", "--instance", known]).await.exits(code);
    }
    world.set_env("HUAWEICLOUD_SDK_SK", "wrong");
    world.run(&["plan", "--instance", "nope"]).await.exits(77);
}

#[tokio::test]
async fn at_moves_the_decision_and_takes_a_date() {
    let mut world = World::new(&[]).await;
    world.configure(
        "",
        &policy(&json!({"last": 1})).replace("enforce", "enforce\n    max_age: 30d"),
        "",
    );
    let file = world.dir().join("b.json");
    let list = json!([
        entry("a", "2026-01-01T00:00:00+0000"),
        entry("b", "2026-01-03T00:00:00+0000")
    ]);
    fs::write(&file, list.to_string()).unwrap();
    let file = file.to_str().unwrap().to_owned();
    let before = plan(&mut world, &file, &["--at", "2026-01-02"]).await.exits(0).json();
    assert_eq!(decisions(&before, "p")["b"]["reasons"][0]["rule"], "future_dated");
    assert!(
        decided(&before, "p", "delete").is_empty(),
        "what is dated in the future pushes nothing out"
    );
    let later = plan(&mut world, &file, &["--at", "2026-01-04T00:00:00+08:00"])
        .await
        .exits(0)
        .json();
    assert_eq!(decided(&later, "p", "delete"), BTreeSet::from(["a".to_owned()]));
    let much_later = plan(&mut world, &file, &["--at", "2027-01-01"]).await.exits(0).json();
    assert_eq!(decisions(&much_later, "p")["b"]["decision"], "keep", "the floor stays");
}

/// The guard of an offline plan is shown, and it exits 0.
#[tokio::test]
async fn an_offline_plan_shows_what_the_guard_would_refuse() {
    let mut world = World::new(&[]).await;
    world.configure(
        "",
        "\n  - {name: p, mode: enforce, keep: {last: 1}}\n",
        "freeze: {reason: audit}",
    );
    let file = world.dir().join("b.json");
    let list: Vec<Value> = (1..9)
        .map(|day| entry(&format!("b{day}"), &format!("2026-01-0{day}T00:00:00+0000")))
        .collect();
    fs::write(&file, json!(list).to_string()).unwrap();
    let report = plan(&mut world, file.to_str().unwrap(), &[]).await.exits(0).json();
    assert_eq!(report["policies"][0]["verdict"], "refused");
    assert_eq!(report["policies"][0]["refusal"]["limit"], "freeze");
    assert_eq!(decided(&report, "p", "delete").len(), 7);
}

/// A name may be what protects a backup, so one that cannot be read is no name that protects nothing.
#[test]
fn a_backup_whose_name_is_no_text_is_kept() {
    let dir = tempfile::tempdir().unwrap();
    let write = |name: &str, text: &str| fs::write(dir.path().join(name), text).unwrap();
    write(
        "config.yaml",
        "version: 1\nstate_dir: state\npolicies:\n  - {name: p, mode: enforce, keep: {last: 1, names: [\"2026*\"]}, limits: {max_percent: 100}}\n",
    );
    let entry = |nth: u32, name: Value| {
        serde_json::json!({
            "id": format!("b{nth}br04"), "name": name, "type": "manual", "size": 1, "status": "COMPLETED", "instance_id": "i1in04",
            "begin_time": format!("2026-11-{:02}T02:00:00+0000", 20 - nth), "end_time": format!("2026-11-{:02}T03:00:00+0000", 20 - nth),
            "datastore": {"type": "SQLServer", "version": "2019_SE"},
        })
    };
    let backups = [
        entry(0, "a".into()),
        entry(1, "b".into()),
        entry(2, 20_261_221.into()),
        entry(3, "20261220".into()),
    ];
    write("backups.json", &serde_json::to_string(&backups).unwrap());
    let output = std::process::Command::new(env!("CARGO_BIN_EXE_rds-retentiond"))
        .current_dir(dir.path())
        .env_clear()
        .args([
            "--config",
            "config.yaml",
            "plan",
            "--backups",
            "backups.json",
            "--format",
            "json",
        ])
        .output()
        .unwrap();
    assert!(output.status.success(), "{output:?}");
    let report: Value = serde_json::from_slice(&output.stdout).unwrap();
    let decided = |id: &str| {
        let decisions = report["policies"][0]["decisions"].as_array().unwrap();
        let own = decisions.iter().find(|decision| decision["backup_id"] == id).unwrap();
        (own["decision"].clone(), own["reasons"][0]["rule"].clone())
    };
    assert_eq!(decided("b2br04"), ("keep".into(), "unknown_status".into()));
    assert_eq!(decided("b3br04"), ("keep".into(), "names".into()));
    assert_eq!(decided("b1br04").0, "delete", "a name that can be read and is not kept");
}
