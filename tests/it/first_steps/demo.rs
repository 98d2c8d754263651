//! The demo: what it says, how it ends, and that it leaves nothing behind.

use std::collections::BTreeSet;
use std::fs;
use std::io::{BufRead, BufReader, Read};
use std::process::{Command, Stdio};

use serde_json::Value;

use super::super::world::Ran;
use super::program;

#[test]
fn the_demo_ends_by_itself_and_says_what_was_kept_and_why_what_was_deleted_and_in_how_many_calls() {
    let dir = tempfile::tempdir().unwrap();
    let words = ["demo", "--once", "--deletion-takes", "10ms"];
    let shown = Ran::of(&program(dir.path(), &words).output().unwrap()).exits(0);
    assert_eq!(shown.stderr, "");
    for says in [
        "keep      ",
        "daily 1",
        "delete    ",
        "no slot left in ",
        "  gone  ",
        "confirmed (",
        " API calls",
    ] {
        assert!(shown.stdout.contains(says), "no `{says}` in:\n{}", shown.stdout);
    }
    assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 0, "something is left behind");
}

/// A signal ends the staying demo, too, and it takes its directory with it.
#[test]
fn the_demo_that_stays_leaves_nothing_behind() {
    let dir = tempfile::tempdir().unwrap();
    let words = ["demo", "--listen", "127.0.0.1:0"];
    let mut command = program(dir.path(), &words);
    let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let mut reader = BufReader::new(child.stdout.take().unwrap());
    let mut printed = String::new();
    while !printed.contains("Ctrl-C") {
        assert_ne!(reader.read_line(&mut printed).unwrap(), 0, "{printed}");
    }
    assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 1);
    let pid = child.id().to_string();
    assert!(Command::new("kill").args(["-INT", &pid]).status().unwrap().success());
    assert_eq!(child.wait().unwrap().code(), Some(0));
    reader.read_to_string(&mut printed).unwrap();
    assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 0, "{printed}");
    let mut said = String::new();
    child.stderr.take().unwrap().read_to_string(&mut said).unwrap();
    assert!(!said.contains("the state is new"), "nobody lost one: {said}");
}

/// Many nights in a few seconds: backups are made, runs go by, and none finds a wrong clock.
#[test]
fn the_demo_that_is_watched_lets_nights_pass_with_their_backups_and_runs() {
    let dir = tempfile::tempdir().unwrap();
    let words = [
        "demo",
        "--watch",
        "--live",
        "1y=1s",
        "--listen",
        "127.0.0.1:0",
        "--instances",
        "2",
        "--log-level",
        "info",
        "--log-format",
        "json",
    ];
    let mut command = program(dir.path(), &words);
    let mut child = command.stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap();
    let (mut nights, mut deleted) = (BTreeSet::new(), 0);
    for line in BufReader::new(child.stderr.take().unwrap()).lines() {
        let line: Value = serde_json::from_str(&line.unwrap()).unwrap();
        assert!(!line.to_string().contains("limit=clock"), "{line}");
        if line["message"]
            .as_str()
            .is_some_and(|message| message.starts_with("run ended"))
        {
            let night = line["at"].as_str().unwrap()[..10].to_owned();
            if nights.insert(night) && nights.len() > 2 {
                deleted += line["confirmed"].as_u64().unwrap();
            }
        }
        if nights.len() > 6 {
            break;
        }
    }
    assert!(nights.len() > 6 && deleted > 0, "{nights:?}: {deleted}");
    let pid = child.id().to_string();
    assert!(Command::new("kill").args(["-INT", &pid]).status().unwrap().success());
    assert_eq!(child.wait().unwrap().code(), Some(0));
}
