//! `init`: the configuration to begin with, and what it refuses.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::Command;

use super::world::{Ran, World};

fn init(dir: &Path, words: &[&str]) -> Ran {
    let mut command = Command::new(env!("CARGO_BIN_EXE_rds-retentiond"));
    command.env_clear().current_dir(dir).args(words);
    Ran::of(&command.output().unwrap())
}

#[tokio::test]
async fn what_init_writes_passes_check_and_plans_after_its_edits() {
    let world = World::new(&[5]).await;
    fs::remove_file(world.config_file()).unwrap();
    // Without FILE it is the one that `--config` names.
    let ran = world.run(&["init"]).await.exits(0);
    for next in ["check ", "check --online", "plan "] {
        assert!(ran.stdout.contains(next), "{}", ran.stdout);
    }
    let mode = fs::metadata(world.config_file()).unwrap().permissions().mode();
    assert_eq!(mode & 0o7777, 0o644);
    let text = fs::read_to_string(world.config_file()).unwrap();
    assert_eq!(text.lines().filter(|line| line.contains("# EDIT")).count(), 2);
    let projects = world.simulator.config_yaml();
    let region = projects.lines().find(|line| line.contains("region:")).unwrap();
    let service: Vec<&str> = projects
        .lines()
        .filter(|line| line.contains("endpoint:") || line.contains("project_id:"))
        .collect();
    let edited = text
        .replace(
            "    region: ap-southeast-3 ",
            &format!("{region}\n{}\n    ", service.join("\n")),
        )
        .replace("[\"mssql-prod-*\"]", "[\"mssql-*\"]")
        .replace("state_dir: /var/lib/rds-retentiond", "state_dir: state");
    fs::write(world.config_file(), edited).unwrap();
    world.run(&["check"]).await.exits(0);
    let report = world.plan().await.exits(0).json();
    assert_eq!(report["policies"][0]["mode"], "dry-run");
    assert_eq!(report["policies"][0]["decisions"].as_array().unwrap().len(), 5);
    assert!(world.asked().is_empty(), "a dry run");
}

#[test]
fn init_overwrites_nothing_and_makes_no_directory() {
    let dir = tempfile::tempdir().unwrap();
    fs::write(dir.path().join("mine.yaml"), "mine").unwrap();
    std::os::unix::fs::symlink("elsewhere.yaml", dir.path().join("link.yaml")).unwrap();
    for there in ["mine.yaml", "link.yaml"] {
        init(dir.path(), &["init", there]).exits(64).says("there already");
    }
    assert_eq!(fs::read_to_string(dir.path().join("mine.yaml")).unwrap(), "mine");
    assert!(!dir.path().join("elsewhere.yaml").exists());
    init(dir.path(), &["init", "no/such/c.yaml"])
        .exits(64)
        .says("mkdir -p no/such");
    assert!(!dir.path().join("no").exists());
}

#[test]
fn init_shows_the_shipped_example_on_stdout() {
    let dir = tempfile::tempdir().unwrap();
    let ran = init(dir.path(), &["init", "-"]).exits(0);
    let shipped = Path::new(env!("CARGO_MANIFEST_DIR")).join("config/config.yaml");
    assert_eq!(ran.stdout, fs::read_to_string(shipped).unwrap());
    assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 0);
}
