//! What an operator asks: `why`, `forecast`, `diff`, `check` and `schema`; through the built binary, offline.
//!
//! The answers are golden files: after a change of words, run with `BLESS=1` and read the difference before committing it.

mod forecast;

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
pub(super) struct Files(TempDir);

impl Files {
    pub(super) fn new() -> Self {
        let files = Self(tempfile::tempdir().unwrap());
        let policy = POLICY.replace("STATE", files.path("state").to_str().unwrap());
        files.write("config.yaml", &policy);
        files.write("other.yaml", &policy.replace("weekly: 3, monthly: 2", "weekly: 4"));
        files.write("backups.json", &backups(30));
        files
    }

    pub(super) fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    pub(super) fn write(&self, name: &str, text: &str) {
        fs::write(self.path(name), text).unwrap();
        fs::set_permissions(self.path(name), fs::Permissions::from_mode(0o640)).unwrap();
    }

    pub(super) fn ask(&self, words: &str) -> Output {
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
            "begin_time": begin.format("%Y-%m-%dT%H:%M:%S+0000").to_string(), "end_time": (begin + chrono::TimeDelta::minutes(10)).format("%Y-%m-%dT%H:%M:%S+0000").to_string(),
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
    let files = Files::new();
    let mut said = String::new();
    for id in ["b0000br04", "b0005br04", "b0001br04", "b0012br04", "b0020br04"] {
        let _ = writeln!(said, "$ why {id}\n{}", files.offline(&format!("why {id}"), 0));
    }
    golden("why.txt", &said);
    assert_eq!(files.offline("why nobody", 64), "");
}

#[test]
fn what_why_proposes_does_what_it_says() {
    let files = Files::new();
    let keep = |files: &Files, id: &str| {
        let plan = files.json("plan", 0);
        let decisions = plan["policies"][0]["decisions"].as_array().unwrap().clone();
        let own = decisions
            .into_iter()
            .find(|decision| decision["backup_id"] == id)
            .unwrap();
        own["decision"] == "keep"
    };
    let plain = fs::read_to_string(files.path("config.yaml")).unwrap();
    let mut tried = 0;
    for nth in 1..30 {
        let id = format!("b{nth:04}br04");
        let answer = files.json(&format!("why {id}"), 0);
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
                if key == "holds" {
                    // One of the configuration; its line goes.
                    let other = |line: &&str| !line.contains(&from);
                    edited = edited
                        .lines()
                        .filter(other)
                        .collect::<Vec<_>>()
                        .join("\n")
                        .replace("holds:", "");
                    continue;
                }
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
            files.write("config.yaml", &edited);
            assert_eq!(keep(&files, &id), !kept, "{id}: {change}");
            tried += 1;
        }
        files.write("config.yaml", &plain);
    }
    assert!(tried > 32, "{tried}");
}

#[test]
fn why_promises_no_grace_where_another_policy_keeps() {
    let files = Files::new();
    let text = fs::read_to_string(files.path("config.yaml")).unwrap();
    let second = "  - {name: archive, mode: dry-run, schedule: \"@weekly\", keep: {last: 40}}\nholds:";
    files.write("config.yaml", &text.replace("holds:", second));
    let answer = files.json("why b0012br04", 0);
    assert_eq!(answer["backup"]["fate"], "keep");
    let production = &answer["backup"]["policies"][0];
    assert_eq!(
        (&production["policy"], &production["decision"]),
        (&"production".into(), &"expired".into())
    );
    assert_eq!(
        (&production["due_at"], &production["next_run"]),
        (&Value::Null, &Value::Null)
    );
    let said = files.offline("why b0012br04", 0);
    assert!(
        said.contains("kept by archive: it goes, and its grace begins, only when that lets it go, too"),
        "{said}"
    );
    assert!(!said.contains("due"), "{said}");
}

#[test]
fn why_says_what_was_meant_by_a_name_or_a_part_of_an_id() {
    let files = Files::new();
    let asked = |words: &str| {
        let output = files.ask(&format!("why {words} --backups backups.json"));
        assert_eq!(output.status.code(), Some(64), "{words}");
        String::from_utf8(output.stderr).unwrap()
    };
    for words in ["nightly_7", "B0007BR04", "b0007"] {
        let answer = files.json(&format!("why {words}"), 0);
        assert_eq!(answer["backup_id"], "b0007br04", "{words}");
    }
    let said = asked("b000");
    assert!(said.contains("did you mean one of these (and more)?"), "{said}");
    assert_eq!(said.lines().count(), 6, "{said}");
    let said = asked("cd613in04");
    assert!(
        said.contains("that is an instance: `plan --instance cd613in04 --wide`"),
        "{said}"
    );
    assert!(asked("nobody").contains("the file does not have it"));
}

#[test]
fn why_says_that_a_policy_passes_it_by_and_that_all_is_frozen() {
    let files = Files::new();
    let text = fs::read_to_string(files.path("config.yaml")).unwrap();
    let narrow = text.replace(
        "    keep:",
        "    select: {backups: {exclude_names: [\"nightly_12\"]}}\n    keep:",
    );
    files.write("config.yaml", &narrow);
    let said = files.offline("why b0012br04", 0);
    assert!(said.contains("nightly_12: not managed"), "{said}");
    assert!(
        said.contains("production selects its instance, but not a backup of this name"),
        "{said}"
    );
    files.write(
        "config.yaml",
        &format!("{text}freeze: {{reason: audit, until: 2026-12-31}}\n"),
    );
    let said = files.offline("why b0012br04", 0);
    assert!(
        said.contains("frozen        nothing is deleted until 2027-01-01 08:00 Asia/Singapore: audit"),
        "{said}"
    );
    assert_eq!(files.json("why b0012br04", 0)["freeze"]["reason"], "audit");
}

/// What the cloud calls its things may be anything; no line of ours may move a cursor, change colour or hide text.
#[test]
fn hostile_names_cannot_act_on_the_terminal() {
    let files = Files::new();
    let evil = "\u{1b}[2Jx\u{202e}y\u{7}\u{9b}31m\u{200b}<script>\r\n夜間\u{2066}";
    let mut entries: Vec<Value> = serde_json::from_str(&backups(30)).unwrap();
    for entry in &mut entries {
        entry["name"] = evil.into();
        entry["databases"] = serde_json::json!([{"name": evil}]);
        entry["instance_id"] = format!("in\u{1b}[31m{evil}").into();
    }
    entries[3]["id"] = "\u{1b}]0;title\u{7}br04".into();
    files.write("backups.json", &Value::from(entries).to_string());
    let everything = "--all --wide";
    for (words, code) in [
        (format!("plan {everything}"), 0),
        (format!("forecast --days 9 {everything}"), 0),
        (format!("diff --against other.yaml {everything}"), 1),
        ("why b0005br04".to_owned(), 0),
        ("why b0012br04".to_owned(), 0),
    ] {
        let said = files.offline(&words, code);
        let hostile = |c: char| {
            (c.is_control() && c != '\n')
                || matches!(c, '\u{200b}'..='\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2060}'..='\u{206f}')
        };
        assert_eq!(said.chars().find(|c| hostile(*c)), None, "{words}: {said}");
        assert!(said.contains("夜間"), "{words}: what is harmless is shown: {said}");
    }
    // And where the id is asked for and not found, on stderr.
    let output = files.ask("why \u{1b}[31mnobody --backups backups.json");
    assert!(!String::from_utf8(output.stderr).unwrap().contains('\u{1b}'));
}

#[test]
fn check_says_in_json_what_it_says_in_words() {
    let files = Files::new();
    let check = |words: &str, code: i32| -> Value {
        let output = files.ask(&format!("check --format json {words}"));
        assert_eq!(output.status.code(), Some(code), "{words}");
        assert!(output.stderr.is_empty(), "{}", String::from_utf8_lossy(&output.stderr));
        serde_json::from_slice(&output.stdout).unwrap()
    };
    let good = check("", 0);
    assert_eq!(
        (&good["good"], &good["problems"]),
        (&true.into(), &serde_json::json!([]))
    );
    let policy = &good["policies"][0];
    assert_eq!(
        (&policy["policy"], &policy["rules"]),
        (&"production".into(), &serde_json::json!(["daily", "weekly", "monthly"]))
    );
    // Without projects nothing can be listed, which is a warning; `--strict` makes it an error and says the same.
    assert_eq!(good["warnings"].as_array().unwrap().len(), 1);
    assert_eq!(check("--strict", 78)["warnings"], good["warnings"]);

    files.write(
        "config.yaml",
        "version: 1\npolicies:\n  - {name: p, mode: enforce, keep: {dayly: 7}}\n",
    );
    let bad = check("", 78);
    assert_eq!(bad["good"], false);
    let found: Vec<&Value> = bad["problems"]
        .as_array()
        .unwrap()
        .iter()
        .filter(|problem| problem["path"] == "policies[0].keep.dayly")
        .collect();
    assert_eq!(
        (found.len(), &found[0]["line"], &found[0]["column"]),
        (1, &3.into(), &37.into())
    );
    assert_eq!(found[0]["help"], "did you mean `daily`?");
}

#[test]
fn diff_is_0_for_none_and_1_for_some() {
    let files = Files::new();
    let same = files.offline("diff --against config.yaml", 0);
    assert_eq!(same, "No backup changes fate between config.yaml and config.yaml.\n");
    golden("diff.txt", &files.offline("diff --against other.yaml", 1));
    let json = files.json("diff --against other.yaml", 1);
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
        files
            .ask("diff --against missing.yaml --backups backups.json")
            .status
            .code(),
        Some(78)
    );
}

#[test]
fn schemas_are_printed() {
    let files = Files::new();
    for (words, key) in [("schema", "projects"), ("schema --included", "policies")] {
        let output = files.ask(words);
        let schema: Value = serde_json::from_slice(&output.stdout).unwrap();
        assert_eq!(output.status.code(), Some(0));
        assert!(schema["properties"][key]["description"].is_string(), "{words}");
    }
}
