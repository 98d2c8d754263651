//! What an operator asks: `why`, `forecast`, `diff`, `schema`, and the lints of `check`; through the built binary, offline.
//!
//! The answers are golden files: after a change of words, run with `BLESS=1` and read the difference before committing it.

use std::fmt::Write as _;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use serde_json::Value;
use tempfile::TempDir;

const NOW: &str = "2026-11-23T04:00:00Z";
const POLICY: &str = "version: 1
state_dir: STATE
policies:
  - name: production
    mode: enforce
    schedule: \"0 3 * * *\"
    timezone: Asia/Singapore
    keep: {daily: 5, weekly: 3, monthly: 2}
    failed_after: 3d
holds:
  - {backup: b0020br04, reason: case 4711, owner: dba, until: 2026-12-05}
";

/// A directory with a configuration, another one, and a file of backups.
struct Desk(TempDir);

impl Desk {
    fn new() -> Self {
        let desk = Self(tempfile::tempdir().unwrap());
        let policy = POLICY.replace("STATE", desk.path("state").to_str().unwrap());
        desk.write("config.yaml", &policy);
        desk.write("other.yaml", &policy.replace("weekly: 3, monthly: 2", "weekly: 4"));
        desk.write("backups.json", &backups(30));
        desk
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    fn write(&self, name: &str, text: &str) {
        fs::write(self.path(name), text).unwrap();
        fs::set_permissions(self.path(name), fs::Permissions::from_mode(0o640)).unwrap();
    }

    fn ask(&self, words: &str) -> Output {
        Command::new(env!("CARGO_BIN_EXE_rds-retentiond"))
            .args(words.split_whitespace())
            .current_dir(self.0.path())
            .env_clear()
            .env("LANG", "C.UTF-8")
            .env("RDS_RETENTIOND_CONFIG", "config.yaml")
            .output()
            .unwrap()
    }

    /// Asks about the file of backups; the code must be this one.
    fn offline(&self, words: &str, code: i32) -> String {
        let output = self.ask(&format!("{words} --backups backups.json --at {NOW}"));
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(code), "{words}: {said}");
        assert!(!self.path("state").exists(), "{words} made a state");
        String::from_utf8(output.stdout).unwrap()
    }

    fn json(&self, words: &str, code: i32) -> Value {
        serde_json::from_str(&self.offline(&format!("{words} --format json"), code)).unwrap()
    }
}

/// One backup a day, the newest at 02:00 of 23 November; the second one FAILED.
fn backups(count: u32) -> String {
    let day: chrono::DateTime<chrono::Utc> = "2026-11-23T02:00:00Z".parse().unwrap();
    let mut entries = Vec::new();
    for nth in 0..count {
        let begin = day - chrono::TimeDelta::days(i64::from(nth));
        entries.push(serde_json::json!({
            "id": format!("b{nth:04}br04"), "name": format!("nightly_{nth}"), "type": "manual", "size": 1024 * (1000 + nth),
            "status": if nth == 1 { "FAILED" } else { "COMPLETED" }, "instance_id": "cd613in04",
            "begin_time": begin.format("%Y-%m-%dT%H:%M:%S+0000").to_string(), "end_time": "",
            "datastore": {"type": "SQLServer", "version": "2019_SE"},
        }));
    }
    Value::from(entries).to_string()
}

fn golden(name: &str, found: &str) {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden").join(name);
    if std::env::var_os("BLESS").is_some() {
        fs::write(&file, found).unwrap();
    }
    assert_eq!(fs::read_to_string(&file).unwrap_or_default(), found, "{name}");
}

#[test]
fn why_says_which_slot_until_when_and_what_would_change_it() {
    let desk = Desk::new();
    let mut said = String::new();
    for id in ["b0000br04", "b0005br04", "b0001br04", "b0012br04", "b0020br04"] {
        let _ = writeln!(said, "$ why {id}\n{}", desk.offline(&format!("why {id}"), 0));
    }
    golden("why.txt", &said);
    assert_eq!(desk.offline("why nobody", 64), "");
}

#[test]
fn what_why_proposes_does_what_it_says() {
    let desk = Desk::new();
    let keep = |desk: &Desk, id: &str| {
        let plan = desk.json("plan", 0);
        let decisions = plan["policies"][0]["decisions"].as_array().unwrap().clone();
        let own = decisions
            .into_iter()
            .find(|decision| decision["backup_id"] == id)
            .unwrap();
        own["decision"] == "keep"
    };
    let plain = fs::read_to_string(desk.path("config.yaml")).unwrap();
    let mut tried = 0;
    for nth in (0..30).filter(|nth| ![0, 1, 20].contains(nth)) {
        let id = format!("b{nth:04}br04");
        let answer = desk.json(&format!("why {id}"), 0);
        let policy = &answer["backup"]["policies"][0];
        let kept = policy["decision"] == "keep";
        let changes = if kept {
            vec![policy["would_go"].clone()]
        } else {
            policy["would_stay"].as_array().unwrap().clone()
        };
        for change in changes.iter().filter(|change| !change.is_null()) {
            let mut edited = plain.clone();
            for edit in change["edits"].as_array().unwrap() {
                let text = |key: &str| edit[key].as_str().unwrap_or_default().to_owned();
                let (key, from, to) = (text("key"), text("from"), text("to"));
                let before = format!("{key}: {from}");
                assert!(edited.contains(&before), "{before}");
                let after = if to.is_empty() {
                    String::new()
                } else {
                    format!("{key}: {to}")
                };
                edited = edited
                    .replacen(&before, &after, 1)
                    .replace("{, ", "{")
                    .replace(", ,", ",")
                    .replace(", }", "}");
            }
            desk.write("config.yaml", &edited);
            assert_eq!(keep(&desk, &id), !kept, "{id}: {change}");
            tried += 1;
        }
        desk.write("config.yaml", &plain);
    }
    assert!(tried > 30, "{tried}");
}

#[test]
fn forecast_draws_days_weeks_and_bars() {
    let desk = Desk::new();
    let found = desk.offline("forecast --days 35", 0) + &desk.offline("forecast --days 35 --backup-every 24h", 0);
    golden("forecast.txt", &found);
    let json = desk.json("forecast --days 35", 0);
    let entries = json["backups"].as_array().unwrap();
    assert_eq!(entries.len(), 30);
    let going = entries.iter().filter(|entry| !entry["goes_at"].is_null()).count();
    let week = |nth: usize| json["weeks"][nth]["go"]["count"].as_u64().unwrap();
    assert_eq!((0..5).map(week).sum::<u64>(), going as u64);
    // What stays after the last run is what a plan of that day keeps or lets wait.
    assert_eq!(json["weeks"][4]["left"]["count"].as_u64().unwrap(), 30 - going as u64);
}

#[test]
fn diff_is_0_for_none_and_1_for_some() {
    let desk = Desk::new();
    let same = desk.offline("diff --against config.yaml", 0);
    assert_eq!(same, "No backup changes fate between config.yaml and config.yaml.\n");
    golden("diff.txt", &desk.offline("diff --against other.yaml", 1));
    let json = desk.json("diff --against other.yaml", 1);
    let group = &json["policies"][0];
    let fates: Vec<(&str, &str)> = group["changes"]
        .as_array()
        .unwrap()
        .iter()
        .map(|change| {
            (
                change["now"]["fate"].as_str().unwrap(),
                change["then"]["fate"].as_str().unwrap(),
            )
        })
        .collect();
    let of = |pair: (&str, &str)| fates.iter().filter(|fate| **fate == pair).count() as u64;
    assert_eq!(group["would_go"]["count"].as_u64().unwrap(), of(("keep", "expire")));
    assert_eq!(group["would_stay"]["count"].as_u64().unwrap(), of(("expire", "keep")));
    assert_eq!(
        desk.ask("diff --against missing.yaml --backups backups.json")
            .status
            .code(),
        Some(78)
    );
}

#[test]
fn schemas_are_printed() {
    let desk = Desk::new();
    for (words, key) in [("schema", "projects"), ("schema --included", "policies")] {
        let output = desk.ask(words);
        let schema: Value = serde_json::from_slice(&output.stdout).unwrap();
        assert_eq!(output.status.code(), Some(0));
        assert!(schema["properties"][key]["description"].is_string(), "{words}");
    }
}

/// The warnings of one policy, without the file's name and snippet.
fn lints(policy: &str) -> Vec<String> {
    let desk = Desk::new();
    let text = format!("version: 1\nprojects: [{{name: prod, region: r}}]\npolicies:\n{policy}");
    desk.write("lint.yaml", &text);
    let output = desk.ask("check --config lint.yaml");
    assert_eq!(
        output.status.code(),
        Some(0),
        "{text}\n{}",
        String::from_utf8_lossy(&output.stderr)
    );
    let said = String::from_utf8(output.stdout).unwrap();
    let strict = desk.ask("check --strict --config lint.yaml").status.code();
    assert_eq!(strict, Some(if said.contains("warning: ") { 78 } else { 0 }));
    let place = |line: &str| line.split_once(": ").map(|(_, rest)| rest.to_owned());
    let warnings = said.lines().filter_map(|line| line.strip_prefix("warning: "));
    warnings.filter_map(place).collect()
}

fn one(rest: &str) -> Vec<String> {
    lints(&format!(
        "  - {{name: p, mode: enforce, schedule: \"0 3 * * *\", {rest}}}\n"
    ))
}

#[test]
fn rules_that_never_matter_are_named() {
    let of = |keep: &str| one(&format!("keep: {{{keep}}}"));
    assert_eq!(
        of("within: 7d, within_daily: 5d"),
        ["policies[0].keep.within_daily: `within_daily` keeps nothing that `within` does not keep"]
    );
    assert_eq!(
        of("daily: 7, yearly: 1"),
        ["policies[0].keep.yearly: `yearly: 1` keeps the newest backup alone, which `daily` keeps anyway"]
    );
    assert_eq!(
        of("hourly: all, monthly: 12"),
        ["policies[0].keep.monthly: `monthly` keeps nothing that `hourly` does not keep"]
    );
    assert_eq!(of("last: 1, daily: 1").len(), 1);
    for fine in [
        "daily: 7, within: 30d",
        "last: 3, daily: 7, weekly: 4, monthly: 12, yearly: 7",
        "weekly: all, monthly: 12",
        "within: 7d, within_daily: 8d",
        "last: 1",
    ] {
        assert_eq!(of(fine), [""; 0], "{fine}");
    }
}

#[test]
fn policies_that_delete_nothing_or_less_than_they_say_are_named() {
    assert_eq!(
        one("keep: {daily: 7, names: [\"*\"]}"),
        ["policies[0].keep.names: `names: [\"*\"]` keeps every backup: the policy never deletes anything"]
    );
    assert_eq!(
        one("keep: {last: all}"),
        ["policies[0].keep.last: `last: all` keeps every COMPLETED backup: the policy never deletes one"]
    );
    assert_eq!(one("keep: {last: all}, max_age: 1y"), [""; 0]);
    assert_eq!(
        one("keep: {daily: 7}, select: {backups: {exclude_names: [\"*\"]}}"),
        [
            "policies[0].select.backups.exclude_names: `exclude_names: [\"*\"]` leaves out every backup: the policy selects nothing"
        ]
    );
    assert_eq!(
        one("keep: {yearly: 7}, max_age: 1y"),
        ["policies[0].max_age: `yearly: 7` reaches further back than `max_age: 1y` lets it"]
    );
    assert_eq!(one("keep: {yearly: 7}, max_age: 7y"), [""; 0]);
}

#[test]
fn schedules_that_do_not_go_with_the_grace_are_named() {
    let of = |rest: &str| lints(&format!("  - {{name: p, mode: enforce, keep: {{last: 3}}, {rest}}}\n"));
    assert_eq!(
        of("schedule: \"*/5 * * * *\""),
        ["policies[0].schedule: it runs every 5min, though an expired backup waits for `grace: 24h`"]
    );
    assert_eq!(
        of("schedule: \"@monthly\", grace: 24h"),
        ["policies[0].grace: runs are up to 31d apart, so an expired backup waits for that long and not for 24h"]
    );
    assert_eq!(
        of("schedule: \"@hourly\", jitter: 1h"),
        ["policies[0].jitter: the jitter of 1h is as long as the 1h between two runs"]
    );
    for fine in [
        "schedule: \"@hourly\"",
        "schedule: \"@weekly\"",
        "schedule: \"*/5 * * * *\", grace: 0s",
    ] {
        assert_eq!(of(fine), [""; 0], "{fine}");
    }
}

#[test]
fn two_policies_on_the_same_are_named() {
    let two = |first: &str, second: &str| {
        lints(&format!(
            "  - {{name: p, mode: enforce, schedule: \"@daily\", keep: {{last: 3}}{first}}}\n  \
             - {{name: q, mode: enforce, schedule: \"@daily\", keep: {{daily: 3}}{second}}}\n"
        ))
    };
    let a = ", select: {instances: {names: [\"a-*\"]}}";
    assert_eq!(two("", ""), ["policies[1]: it selects the same as policy `p`"]);
    assert_eq!(two(a, a).len(), 1);
    assert_eq!(two(a, ""), [""; 0]);
}
