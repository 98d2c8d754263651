//! `state: {postgres: …}` through the built binary: the same commands, leases, and a database that cannot be used.
//!
//! Skipped, loudly, where PostgreSQL is not installed.

use std::process::Stdio;
use std::time::Duration;

use rds_retentiond::simulator::Op;

use super::postgres_server::{Server, server};
use super::world::{KEEP_3, Ran, World, backup_id, ids, output};

/// Gives a world's configuration another state.
fn on(world: &World, url: &str) {
    let text = std::fs::read_to_string(world.config_file()).unwrap();
    let state = format!("state: {{postgres: \"{url}\"}}");
    std::fs::write(world.config_file(), text.replace("state_dir: state", &state)).unwrap();
}

/// A world with its state in a database of its own.
async fn shared(backups: &[usize]) -> Option<(World, &'static Server, String)> {
    let server = server()?;
    let world = World::new(backups).await;
    let database = server.database();
    on(&world, &server.url(&database));
    Some((world, server, database))
}

#[tokio::test]
async fn apply_deletes_what_is_due_and_a_hold_from_another_machine_is_kept() {
    let Some((world, server, database)) = shared(&[10]).await else {
        return;
    };
    let id = backup_id(1, 5);
    let hold = ["hold", &id, "--reason", "case 1", "--force"];
    world.run(&hold).await.exits(0);
    world.apply().await.exits(0);
    let mut due = ids(1, 3..10);
    due.remove(&id);
    world.deleted_exactly(&due);
    assert!(!world.state().exists(), "nothing lies on this machine");
    let holds = world.run(&["holds", "--format", "json"]).await.exits(0).json();
    assert_eq!(holds["holds"].as_array().unwrap().len(), 1);
    let runs = world.run(&["history", "--format", "json"]).await.exits(0).json();
    assert_eq!(runs["runs"][0]["result"], "success");
    world.run(&["audit", "verify"]).await.exits(0);
    assert_eq!(
        server.psql(&database, "SELECT COUNT(*) FROM lease WHERE expires > now()"),
        "0",
        "given back"
    );
    assert_eq!(
        server.psql(&database, "SELECT COUNT(*) FROM member"),
        "0",
        "it has left"
    );
}

#[tokio::test]
async fn while_another_daemon_has_the_project_apply_exits_75_and_then_deletes() {
    let Some((world, server, database)) = shared(&[10]).await else {
        return;
    };
    // Makes the tables.
    let freeze = ["freeze", "--reason", "not yet"];
    world.run(&freeze).await.exits(0);
    world.run(&["thaw"]).await.exits(0);
    let project = server.psql(
        &database,
        "INSERT INTO lease SELECT 'demo', 'another', 1, now() + interval '1 day' RETURNING project",
    );
    let text = std::fs::read_to_string(world.config_file()).unwrap();
    let named = text.lines().find_map(|line| line.split("name: ").nth(1)).unwrap();
    let named = named.split([',', '}']).next().unwrap().trim();
    server.psql(
        &database,
        &format!("UPDATE lease SET project = '{named}' WHERE project = '{project}'"),
    );
    world.run(&["apply", "--no-wait"]).await.exits(75);
    assert_eq!(world.simulator.calls_of(Op::DeleteBatch).len(), 0);
    server.psql(&database, "UPDATE lease SET expires = now()");
    world.apply().await.exits(0);
    world.deleted_exactly(&ids(1, 3..10));
}

#[tokio::test]
async fn a_member_with_another_configuration_stops_deletions_until_it_is_gone() {
    // More than one batch: those that are written together are refused for the same reason.
    let Some((world, server, database)) = shared(&[103]).await else {
        return;
    };
    world.run(&["freeze", "--reason", "makes the tables"]).await.exits(0);
    world.run(&["thaw"]).await.exits(0);
    server.psql(
        &database,
        "INSERT INTO member VALUES ('other', 'db-host-2', 'another digest', now() + interval '1 hour')",
    );
    let plan = world.plan().await.exits(0).json();
    assert_eq!(plan["policies"][0]["verdict"], "refused", "{plan}");
    assert_eq!(plan["policies"][0]["refusal"]["limit"], "members");
    let metrics = world.dir().join("metrics.prom");
    let args = ["apply", "--metrics-file", metrics.to_str().unwrap()];
    world.run(&args).await.exits(3).says("db-host-2");
    // The state is as it was: only the members differ.
    let metrics = std::fs::read_to_string(metrics).unwrap();
    let is_counted = |line: &str| line.contains("limit=\"members\"") && line.ends_with(" 1");
    assert!(metrics.lines().any(is_counted), "{metrics}");
    assert!(
        metrics.lines().any(|line| line == "rds_retention_ledger_rewound 0"),
        "{metrics}"
    );
    assert_eq!(world.simulator.calls_of(Op::DeleteBatch).len(), 0);
    let shown = world.run(&["status", "--format", "json"]).await.exits(0).json();
    assert_eq!(shown["shared"]["members"][0]["host"], "db-host-2");
    server.psql(&database, "DELETE FROM member");
    world.apply().await.exits(0);
    world.deleted_exactly(&ids(1, 3..103));
    let shown = world.run(&["status", "--format", "json"]).await.exits(0).json();
    assert_eq!(shown["shared"]["is_agreed"], true);
    assert_eq!(shown["shared"]["leases"][0]["is_held"], false, "given back");
}

/// The next holder waits for what the killed one may have sent, lists, and sends nothing twice.
#[tokio::test]
async fn a_killed_holder_s_requests_are_waited_for_and_listed_before_the_next_deletes() {
    let Some((world, server, database)) = shared(&[103]).await else {
        return;
    };
    world.policies(&KEEP_3.replace("max_percent: 100", "max_percent: 100, max_deletions: 500"));
    on(&world, &server.url(&database));
    world.fault("delete_batch:delay=5s:times=1");
    let mut child = world
        .command(&["apply"])
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    while world.simulator.calls_of(Op::DeleteBatch).is_empty() {
        assert!(child.try_wait().unwrap().is_none(), "it ended before it sent anything");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    child.kill().unwrap();
    child.wait().unwrap();
    world.run(&["apply", "--no-wait"]).await.exits(75);
    // As the 30 s of the lease, without waiting for them.
    server.psql(&database, "UPDATE lease SET expires = now(); DELETE FROM member");
    let before = world.simulator.calls_of(Op::DeleteBatch).len();
    let started = std::time::Instant::now();
    world.apply().await.exits(0);
    assert!(
        started.elapsed() > Duration::from_secs(20),
        "it waited for what may be under way"
    );
    assert!(world.simulator.calls_of(Op::DeleteBatch).len() > before);
    world.deleted_exactly(&ids(1, 3..103));
}

#[tokio::test]
async fn what_cannot_be_written_says_that_it_did_not_happen() {
    let Some(server) = server() else { return };
    let mut world = World::new(&[10]).await;
    let refused = |ran: Ran, code: i32, words: &str| {
        assert_eq!(ran.code, code, "{}\n{}", ran.stdout, ran.stderr);
        ran.says(words);
    };
    let freeze = ["freeze", "--reason", "audit"];
    let hold = ["hold", &backup_id(1, 5), "--reason", "case 1", "--force"];
    on(&world, "postgres://retention@127.0.0.1:1/retention");
    refused(world.run(&freeze).await, 69, "NOT frozen");
    refused(world.run(&hold).await, 69, "no hold was placed");
    refused(world.apply().await, 69, "cannot be reached");
    server.psql("postgres", "CREATE ROLE retention LOGIN PASSWORD 'right'");
    world.policies(KEEP_3);
    on(
        &world,
        &format!("postgres://retention@127.0.0.1:{}/postgres", server.port),
    );
    world.set_env("PGPASSWORD", "wrong");
    refused(world.run(&freeze).await, 77, "NOT frozen");
    refused(world.apply().await, 77, "password_file");
    let shown = world.apply().await;
    assert!(
        !shown.stderr.contains("wrong\""),
        "a password is in no message: {}",
        shown.stderr
    );
    world.policies(KEEP_3);
    on(&world, &server.url("not_there"));
    refused(world.run(&freeze).await, 78, "create it");
    assert_eq!(world.simulator.calls_of(Op::DeleteBatch).len(), 0);
}

#[tokio::test]
async fn a_database_that_its_owner_made_read_only_is_written_by_nobody() {
    let Some((world, server, database)) = shared(&[10]).await else {
        return;
    };
    let placed = world
        .run(&["hold", &backup_id(1, 5), "--reason", "case 1", "--force"])
        .await;
    assert_eq!(placed.code, 0, "{}", placed.stderr);
    server.psql(
        "postgres",
        &format!("ALTER DATABASE {database} SET default_transaction_read_only = on"),
    );
    for (args, words) in [
        (&["freeze", "--reason", "audit"][..], "NOT frozen"),
        (&["thaw", "--all"], "no freeze was ended"),
        (
            &["hold", &backup_id(1, 6), "--reason", "case 2", "--force"],
            "no hold was placed",
        ),
        (&["release", "h1"], "nothing was released"),
        (&["approve", "--listing", "all"], "nothing was approved"),
        (&["apply"], "nothing is deleted by this process"),
    ] {
        let refused = world.run(args).await;
        assert_eq!(refused.code, 69, "{args:?}\n{}\n{}", refused.stdout, refused.stderr);
        refused.says("default_transaction_read_only").says(words);
    }
    let checked = world.run(&["check", "--online"]).await;
    assert_ne!(checked.code, 0, "{}", checked.stdout);
    checked.says("read-only");
    assert_eq!(world.simulator.calls_of(Op::DeleteBatch).len(), 0);
    // What is read is read.
    let holds = world.run(&["holds", "--format", "json"]).await.exits(0).json();
    assert_eq!(holds["holds"].as_array().unwrap().len(), 1);
}

#[tokio::test]
async fn a_daemon_is_a_member_until_it_is_stopped() {
    let Some((world, server, database)) = shared(&[3]).await else {
        return;
    };
    let mut child = world
        .command(&["run"])
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let members = || server.psql(&database, "SELECT COUNT(*) FROM member");
    let made = || server.psql(&database, "SELECT COUNT(*) FROM pg_tables WHERE tablename = 'member'") == "1";
    for round in 0.. {
        if made() && members() == "1" {
            break;
        }
        assert!(round < 300 && child.try_wait().unwrap().is_none(), "never a member");
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    let pid = child.id().to_string();
    let mut kill = std::process::Command::new("kill");
    kill.args(["-TERM", &pid]);
    output(kill).await.exits(0);
    let ended = tokio::task::spawn_blocking(move || child.wait_with_output().unwrap())
        .await
        .unwrap();
    assert_eq!(
        ended.status.code(),
        Some(0),
        "{}",
        String::from_utf8_lossy(&ended.stderr)
    );
    assert_eq!(members(), "0");
}
