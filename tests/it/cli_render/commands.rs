//! The binary's own words and codes: help, usage errors, completions, man pages, and a reader that goes away.

use std::process::{Command, Output, Stdio};

fn rds_retentiond(words: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_rds-retentiond"))
        .args(words)
        .env_remove("RDS_RETENTIOND_CONFIG")
        .output()
        .unwrap()
}

#[test]
fn help_and_version_are_0_on_stdout() {
    for words in [
        &["--help"][..],
        &["plan", "--help"],
        &["--version"],
        &["audit", "verify", "-h"],
    ] {
        let output = rds_retentiond(words);
        assert_eq!(output.status.code(), Some(0), "{words:?}");
        assert!(
            !output.stdout.is_empty() && output.stderr.is_empty(),
            "{words:?} {output:?}"
        );
    }
}

#[test]
fn help_is_understood_as_a_word_too() {
    for (word, flag) in [
        (&["help"][..], &["--help"][..]),
        (&["help", "plan"], &["plan", "--help"]),
        (&["help", "audit", "verify"], &["audit", "verify", "--help"]),
    ] {
        let (found, meant) = (rds_retentiond(word), rds_retentiond(flag));
        assert_eq!(found.status.code(), Some(0), "{word:?} {found:?}");
        assert_eq!(found.stdout, meant.stdout, "{word:?}");
    }
}

#[test]
fn usage_errors_are_64_on_stderr() {
    for words in [
        &[][..],
        &["explode"],
        &["plan", "--at", "tomorrow"],
        &["apply", "--confirm-for", "5m"],
        &["audit"],
    ] {
        let output = rds_retentiond(words);
        assert_eq!(output.status.code(), Some(64), "{words:?}");
        assert!(
            output.stdout.is_empty() && !output.stderr.is_empty(),
            "{words:?} {output:?}"
        );
    }
}

#[test]
fn completions_and_man_pages_name_every_command() {
    let asked = Command::new(env!("CARGO_BIN_EXE_rds-retentiond"))
        .env("RDS_RETENTIOND_COMPLETE", "fish")
        .args(["--", "rds-retentiond", ""])
        .output();
    let man = rds_retentiond(&["man"]);
    for output in [&asked.unwrap(), &man] {
        assert_eq!(output.status.code(), Some(0));
        let text = String::from_utf8_lossy(&output.stdout);
        for command in [
            "check",
            "plan",
            "apply",
            "hold",
            "approve",
            "freeze",
            "history",
            "audit",
            "simulator",
        ] {
            assert!(text.contains(command), "{command} is missing in {}", &text[..200]);
        }
    }
    let dir = tempfile::tempdir().unwrap();
    let pages = rds_retentiond(&["man", "--dir", dir.path().to_str().unwrap()]);
    assert_eq!(pages.status.code(), Some(0));
    let page = dir.path().join("rds-retentiond-plan.1");
    assert!(page.exists());
    // A directory that is missing is made; below a file none can be.
    let made = rds_retentiond(&["man", "--dir", dir.path().join("new/man1").to_str().unwrap()]);
    assert_eq!(made.status.code(), Some(0));
    assert!(dir.path().join("new/man1/rds-retentiond-status.1").exists());
    let nowhere = rds_retentiond(&["man", "--dir", page.join("below").to_str().unwrap()]);
    assert_eq!(nowhere.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&nowhere.stderr).contains("below"));
}

#[test]
fn a_reader_that_goes_away_is_no_error() {
    for words in [&["man"][..], &["completions", "bash"], &["--help"]] {
        let mut child = Command::new(env!("CARGO_BIN_EXE_rds-retentiond"))
            .args(words)
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        drop(child.stdout.take());
        let output = child.wait_with_output().unwrap();
        assert_eq!(output.status.code(), Some(0), "{words:?}");
        assert_eq!(String::from_utf8_lossy(&output.stderr), "", "{words:?}");
    }
}
