//! The record as people keep it: an archive that verifies alone, a dump that was restored. Each line is typed as the documents have it.

use std::path::Path;
use std::process::{Command, Output};

use super::postgres_server::{binaries, server};
use super::world::{World, backup_id};

/// The lines of the console block of a document that has this word.
fn typed(document: &str, word: &str) -> String {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs").join(document);
    let text = std::fs::read_to_string(file).unwrap();
    let mut blocks = text
        .split("```console\n")
        .skip(1)
        .map(|rest| rest.split("```").next().unwrap());
    let block = blocks.find(|block| block.contains(word)).unwrap();
    let line = |line: &str| line.trim_start_matches(['#', '$']).trim_start().to_owned() + "\n";
    block.lines().map(line).collect()
}

fn shell(commands: &str, path: &Path) -> Output {
    let path = format!("{}:{}", path.display(), std::env::var("PATH").unwrap());
    let mut shell = Command::new("sh");
    let output = shell.args(["-euc", commands]).env("PATH", path).output().unwrap();
    assert!(
        output.status.success(),
        "{commands}\n{}",
        String::from_utf8_lossy(&output.stderr)
    );
    output
}

async fn head(world: &World) -> String {
    let verified = world.run(&["audit", "verify"]).await.exits(0);
    verified.stdout.trim().rsplit(' ').next().unwrap().to_owned()
}

#[tokio::test]
async fn an_archive_verifies_alone_and_what_it_has_is_decided_again() {
    if Command::new("sqlite3").arg("-version").output().is_err() {
        eprintln_skipped("sqlite3 is not installed");
        return;
    }
    let world = World::new(&[6]).await;
    world.apply().await.exits(0);
    assert_eq!(world.deleted().len(), 3);
    let head = head(&world).await;
    let archive = world.dir().join("archive");
    let commands = typed("proof.md", "VACUUM INTO")
        .replace("/var/lib/rds-retentiond", world.state().to_str().unwrap())
        .replace("/archive", archive.to_str().unwrap())
        .replace("2027-01-01", "2100-01-01");
    let bin = Path::new(env!("CARGO_BIN_EXE_rds-retentiond")).parent().unwrap();
    let output = tokio::task::spawn_blocking({
        let bin = bin.to_owned();
        move || shell(&commands, &bin)
    });
    let output = String::from_utf8(output.await.unwrap().stdout).unwrap();
    assert!(output.contains(&head), "{output}");
    // The state itself may go.
    std::fs::remove_dir_all(world.state()).unwrap();
    let report = std::fs::read_to_string(archive.join("2026/report.html")).unwrap();
    assert!(report.contains("3 deletions as they were"), "{report}");
    assert!(report.contains(&backup_id(1, 5)), "{report}");
    let verify = world.command_with(&archive.join("2026/config.yaml"), &["audit", "verify", "--head", &head]);
    super::world::output(verify).await.exits(0);
}

#[tokio::test]
async fn a_dump_that_was_restored_is_the_state() {
    let (Some(server), Some(binaries)) = (server(), binaries()) else {
        return;
    };
    let world = World::new(&[6]).await;
    let on = |database: &str| {
        let text = std::fs::read_to_string(world.config_file()).unwrap();
        let line = text.lines().find(|line| line.starts_with("state")).unwrap().to_owned();
        let state = format!("state: {{postgres: \"{}\"}}", server.url(database));
        std::fs::write(world.config_file(), text.replace(&line, &state)).unwrap();
    };
    let database = server.database();
    on(&database);
    world
        .run(&["hold", &backup_id(1, 4), "--force", "--reason", "case 4711"])
        .await
        .exits(0);
    world.apply().await.exits(0);
    let head = head(&world).await;
    let restored = format!("{database}moved");
    let commands = typed("postgresql.md", "pg_dump")
        .replace("postgres://retention@db1/retention", &server.url(&database))
        .replace("postgres://retention@db2/retention", &server.url(&restored))
        .replace(
            "postgres://retention@db2/postgres retention",
            &format!("{} {restored}", server.url("postgres")),
        )
        .replace("retention.sql", world.dir().join("dump.sql").to_str().unwrap());
    tokio::task::spawn_blocking(move || shell(&commands, &binaries))
        .await
        .unwrap();
    on(&restored);
    world.run(&["audit", "verify", "--head", &head]).await.exits(0);
    let holds = world.run(&["holds", "--format", "json"]).await.json();
    assert_eq!(holds["holds"][0]["reason"], "case 4711");
    let before = world.deleted().len();
    world.apply().await.exits(0);
    assert_eq!(world.deleted().len(), before, "nothing twice, and the hold holds");
}

/// Loudly, on stderr.
fn eprintln_skipped(why: &str) {
    use std::io::Write as _;
    let _ = writeln!(std::io::stderr(), "\nSKIPPED, NOT TESTED: {why}\n");
}

/// The table of attacks names a test for each; a test that was renamed is not there any more.
#[test]
fn every_test_that_the_document_on_proof_names_is_there() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let document = std::fs::read_to_string(root.join("docs/proof.md")).unwrap();
    let rows = document
        .lines()
        .filter(|line| line.starts_with("| ") && !line.starts_with("| attack"));
    let mut found = 0;
    for row in rows {
        let tests = row.trim_end_matches('|').rsplit(" | ").next().unwrap();
        let names: Vec<&str> = tests.split('`').skip(1).step_by(2).collect();
        assert!(!names.is_empty(), "no test: {row}");
        for name in names {
            let words: Vec<&str> = name.split("::").collect();
            let source = (1..=words.len()).rev().find_map(|count| {
                let file = words[..count].join("/") + ".rs";
                let at = ["tests/it", "src"].map(|dir| root.join(dir).join(&file));
                let text = at.into_iter().find_map(|file| std::fs::read_to_string(file).ok())?;
                Some((text, words[count..].join("::")))
            });
            let (text, wanted) = source.unwrap_or_else(|| panic!("no file of {name}"));
            let parts: Vec<&str> = wanted.split('…').filter(|part| !part.is_empty()).collect();
            let has = |line: &str| line.contains("fn ") && parts.iter().all(|part| line.contains(part));
            assert!(
                wanted.is_empty() || wanted == "tests" || text.lines().any(has),
                "{name}"
            );
            found += 1;
        }
    }
    assert!(found > 20, "{found}");
}
