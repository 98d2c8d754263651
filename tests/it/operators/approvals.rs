//! Approvals: of what was read and refused and of nothing else, with the command shown, and asked for on a terminal.

use std::collections::BTreeSet;

use serde_json::Value;

use super::super::world::{World, backup, backup_id, ids};
use super::{FEW, digest, refusal};

#[tokio::test]
async fn an_approval_covers_what_was_read_and_not_what_a_later_run_was_refused() {
    let world = World::new(&[18]).await;
    world.policies(FEW);
    let shown = world.apply().await.exits(3).json();
    assert_eq!(refusal(&shown)["limit"], "max_deletions");
    let read = digest(&shown);
    // Meanwhile an edit, and a run: what is stored last is not what was read.
    world.policies(
        &FEW.replace("last: 3", "last: 1")
            .replace("max_deletions: 2", "max_deletions: 1"),
    );
    let later = digest(&world.apply().await.exits(3).json());
    assert_ne!(read, later);
    world.run(&["approve", "p"]).await.exits(64).says(&read).says(&later);
    world.apply().await.exits(3);
    world.deleted_exactly(&BTreeSet::new());
    world
        .run(&["approve", "p", "--plan", &read, "--reason", "looked at it"])
        .await
        .exits(0);
    let report = world.apply().await.exits(3).json();
    assert_eq!(refusal(&report)["limit"], "max_deletions");
    world.deleted_exactly(&ids(1, 3..18));
    // The rest has a digest of its own.
    let rest = digest(&report);
    assert!(rest != read && rest != later, "{rest}");
    world.run(&["approve", "p", "--plan", &rest]).await.exits(0);
    world.apply().await.exits(0);
    world.deleted_exactly(&ids(1, 1..18));
    world.run(&["audit", "verify"]).await.exits(0);
}

#[tokio::test]
async fn what_no_run_was_refused_cannot_be_approved() {
    let world = World::new(&[8]).await;
    world.policies(FEW);
    assert_eq!(
        refusal(&world.plan().await.exits(0).json())["digest"],
        Value::Null,
        "no run was refused it"
    );
    let refused = digest(&world.apply().await.exits(3).json());
    assert_eq!(digest(&world.plan().await.exits(0).json()), refused, "the same ids");
    world.simulator.add_backup(backup(1, 8));
    assert_eq!(
        refusal(&world.plan().await.exits(0).json())["digest"],
        Value::Null,
        "one more"
    );
    let unknown = "0".repeat(32);
    world
        .run(&["approve", "p", "--plan", &unknown])
        .await
        .exits(64)
        .says(&refused);
    world.run(&["approve", "p", "--plan", "short"]).await.exits(64);
    world
        .run(&["approve", "p", "--listing", "x", "--plan", &unknown])
        .await
        .exits(64);
    world.run(&["approve", "nobody", "--plan", &refused]).await.exits(64);
    world.apply().await.exits(3);
    world.deleted_exactly(&BTreeSet::new());
    // The plan that was shown is approved, in capitals too; what came since faces the limits alone, and is within them.
    world
        .run(&["approve", "p", "--plan", &refused.to_uppercase()])
        .await
        .exits(0);
    world.apply().await.exits(0);
    world.deleted_exactly(&ids(1, 3..9));
}

#[tokio::test]
async fn the_command_that_approves_stands_beside_the_refusal() {
    let world = World::new(&[8]).await;
    world.policies(FEW);
    world.run(&["apply"]).await.exits(3);
    let ran = world.run(&["plan"]).await.exits(0);
    let line = ran
        .stdout
        .lines()
        .find(|line| line.contains("approve p --plan"))
        .expect("a command");
    let words: Vec<&str> = line.split_whitespace().collect();
    let at = words.iter().position(|word| *word == "approve").unwrap();
    world.run(&words[at..]).await.exits(0);
    world.run(&["apply"]).await.exits(0);
    world.deleted_exactly(&ids(1, 3..8));
}

/// Through a terminal that `script` makes; where there is none, the test says nothing.
#[tokio::test]
async fn on_a_terminal_approve_shows_the_plan_and_asks() {
    let world = World::new(&[8]).await;
    world.policies(FEW);
    world.apply().await.exits(3);
    let mut said = String::new();
    for (answer, code) in [("n", 1), ("", 1), ("yes", 0)] {
        let command = format!(
            "{} --config {} approve p",
            env!("CARGO_BIN_EXE_rds-retentiond"),
            world.config_file().display()
        );
        let mut script = std::process::Command::new("sh");
        script.args([
            "-c",
            &format!("command -v script >/dev/null || exit 99; echo '{answer}' | script -qec '{command}' /dev/null"),
        ]);
        let ran = super::super::world::output(script).await;
        if ran.code == 99 {
            return;
        }
        said.clone_from(&ran.stdout);
        ran.exits(code);
        world.apply().await.exits(if code == 0 { 0 } else { 3 });
    }
    // As `plan` shows them: name, date, the instance's name, id; the oldest first.
    let row = |number: usize| {
        said.lines()
            .position(|line| line.contains(&backup_id(1, number)))
            .expect(&said)
    };
    assert!(row(7) < row(3), "{said}");
    let line = said.lines().nth(row(7)).unwrap();
    let date = super::super::world::begun(7).format("%Y-%m-%d ").to_string();
    for part in ["nightly-7", &date, "mssql-1"] {
        assert!(line.contains(part), "{part}: {said}");
    }
    assert!(said.contains("Approve the deletion of 5 backups?"), "{said}");
    world.deleted_exactly(&ids(1, 3..8));
}
