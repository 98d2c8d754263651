//! `test FILE…`: the shipped examples, the formats, the exit codes.

use std::fs;
use std::path::Path;
use std::process::Command;

use serde_json::json;
use tempfile::TempDir;

use super::world::Ran;

const CONFIG: &str = "version: 1\nstate_dir: /nowhere/at/all\npolicies:\n  - {name: p, mode: enforce, keep: {last: 3}, timezone: Asia/Singapore}\n";

/// The binary with nothing in its environment, in a directory.
fn test(dir: &Path, words: &[&str]) -> Ran {
    let mut command = Command::new(env!("CARGO_BIN_EXE_rds-retentiond"));
    command.env_clear().current_dir(dir).arg("test").args(words);
    Ran::of(&command.output().unwrap())
}

/// A directory with a configuration that keeps the last three, and a file with this one test of ten nightlies.
fn with(expect: &str) -> TempDir {
    let dir = tempfile::tempdir().unwrap();
    fs::write(dir.path().join("c.yaml"), CONFIG).unwrap();
    let text = format!(
        "policies: c.yaml\ntests:\n  - name: <ten> & \"more\"\n    policy: p\n    at: 2027-01-01T03:00:00+0800\n    \
         backups: [{{every: 24h, at: \"19:00\", for: 10d, name: \"n_{{date}}\"}}]\n    expect: {expect}\n"
    );
    fs::write(dir.path().join("t.yaml"), text).unwrap();
    dir
}

#[test]
fn every_shipped_policy_has_a_test_that_passes() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let report = test(
        root,
        &[
            "config/tests/production.yaml",
            "config/tests/policies.yaml",
            "--format",
            "json",
        ],
    )
    .exits(0)
    .json();
    let tested: Vec<&str> = report["tests"]
        .as_array()
        .unwrap()
        .iter()
        .map(|one| one["policy"].as_str().unwrap())
        .collect();
    for file in fs::read_dir(root.join("config/policies.d")).unwrap() {
        let name = file.unwrap().path().file_stem().unwrap().to_str().unwrap().to_owned();
        assert!(tested.contains(&name.as_str()), "{name} has no test in config/tests");
    }
    assert!(tested.contains(&"production"));
}

#[test]
fn a_test_that_passes_exits_0_and_one_that_fails_1_with_the_backups() {
    let good = with(
        "{kept: 3, expired: 7, oldest_kept: 2026-12-29, newest_expired: 2026-12-28, rules: {last: 3}, keep: [n_2026-12-31], gone: [2026-12-22]}",
    );
    let ran = test(good.path(), &["t.yaml"]).exits(0);
    assert!(
        ran.stdout.contains("PASS") && ran.stdout.contains("1 test passed."),
        "{}",
        ran.stdout
    );
    let bad = with("{kept: 4, gone: [n_2026-12-31], keep: [2026-12-22]}");
    let ran = test(bad.path(), &["t.yaml"]).exits(1);
    for says in [
        "FAIL",
        "kept: expected 4, got 3: 3 by last",
        "gone n_2026-12-31: it stays",
        "2026-12-31 19:00",
        "last 1",
        "keep 2026-12-22: it goes",
        "no slot left in last 3",
        "0 passed, 1 failed",
    ] {
        assert!(ran.stdout.contains(says), "{says}: {}", ran.stdout);
    }
    let report = test(bad.path(), &["t.yaml", "--format", "json"]).exits(1).json();
    assert_eq!(
        (&report["failed"], &report["tests"][0]["result"]),
        (&json!(1), &json!("fail"))
    );
    assert_eq!(
        report["tests"][0]["mismatches"][2]["backups"][0]["reasons"][0]["rule"],
        "last"
    );
    let xml = test(bad.path(), &["t.yaml", "--format", "junit"]).exits(1).stdout;
    assert!(
        xml.contains("tests=\"1\" failures=\"1\"") && xml.contains("name=\"&lt;ten&gt; &amp; &quot;more&quot;\""),
        "{xml}"
    );
}

#[test]
fn many_backups_are_cut_unless_all_are_wanted() {
    let dir = with("{expired: 0}");
    let text = fs::read_to_string(dir.path().join("t.yaml"))
        .unwrap()
        .replace("10d", "54d");
    fs::write(dir.path().join("t.yaml"), text).unwrap();
    let ran = test(dir.path(), &["t.yaml"]).exits(1);
    assert!(ran.stdout.contains("and 31 more"), "{}", ran.stdout);
    assert!(
        !test(dir.path(), &["t.yaml", "--all"])
            .exits(1)
            .stdout
            .contains(" more\n")
    );
}

#[test]
fn bad_files_and_no_tests_have_their_codes() {
    let dir = with("{kept: 3}");
    let edit = |from: &str, to: &str| {
        let text = fs::read_to_string(dir.path().join("t.yaml")).unwrap();
        assert!(text.contains(from), "{from}");
        fs::write(dir.path().join("bad.yaml"), text.replace(from, to)).unwrap();
        test(dir.path(), &["bad.yaml"])
    };
    let ran = edit("policy: p", "policy: q")
        .exits(78)
        .says("did you mean `p`?")
        .says("bad.yaml:4:13:");
    assert!(!ran.stderr.contains("in the configuration"), "{}", ran.stderr);
    edit("expect:", "expct:").exits(78).says("did you mean `expect`?");
    edit("{kept: 3}", "{}").exits(78).says("expects nothing");
    edit("every: 24h", "every: 24h, id: x")
        .exits(78)
        .says("tests[0].backups[0]");
    edit("policies: c.yaml", "policies: none.yaml")
        .exits(78)
        .says("none.yaml");
    fs::write(dir.path().join("empty.yaml"), "policies: c.yaml\ntests: []\n").unwrap();
    test(dir.path(), &["empty.yaml"]).exits(64);
    test(dir.path(), &[]).exits(64);
    test(dir.path(), &["nowhere.yaml"]).exits(78).says("nowhere.yaml");
}

#[test]
fn holds_listed_backups_and_files_decide_as_plan_does() {
    let dir = with("{kept: 4, rules: {hold: 1}, keep: [n_2026-12-22]}");
    let file = dir.path().join("t.yaml");
    let text = fs::read_to_string(&file).unwrap();
    fs::write(
        &file,
        text.replace(
            "    expect",
            "    holds: [{name: \"n_2026-12-22\", reason: audit}]\n    expect",
        ),
    )
    .unwrap();
    test(dir.path(), &["t.yaml"]).exits(0);
    let start = text.find("    backups").unwrap();
    let listed = "    backups:\n      - {id: a, begin_time: 2026-12-01T00:00:00+0000}\n      - {id: b, begin_time: 2026-12-02T00:00:00Z, status: FAILED}\n      \
                  - {id: c, begin_time: 2026-12-03T00:00:00Z, databases: [d]}\n      - {every: 24h, for: 3d}\n    expect: {kept: 3, gone: [a, b, c]}\n";
    fs::write(&file, format!("{}{listed}", &text[..start])).unwrap();
    test(dir.path(), &["t.yaml"]).exits(0);
    let one = json!([{"id": "x", "name": "n", "type": "manual", "status": "COMPLETED", "size": 1, "begin_time": "2026-12-01T00:00:00+0000",
                      "end_time": "2026-12-01T01:00:00+0000", "datastore": {"type": "SQLServer"}}]);
    fs::write(dir.path().join("b.json"), one.to_string()).unwrap();
    fs::write(
        &file,
        format!(
            "{}    backups: {{file: b.json}}\n    expect: {{kept: 1, keep: [X]}}\n",
            &text[..start]
        ),
    )
    .unwrap();
    test(dir.path(), &["t.yaml"]).exits(0);
}
