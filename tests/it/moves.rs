//! `state move` through the built binary: there and back, while a daemon runs, and killed at any moment.
//!
//! Skipped, loudly, where PostgreSQL is not installed.

use std::fs;
use std::process::Stdio;
use std::time::Duration;

use super::postgres_server::server;
use super::world::{KEEP_3, World, backup_id, ids};

/// What a configuration says of the state.
fn at(world: &World, from: &str, to: &str) {
    let text = fs::read_to_string(world.config_file()).unwrap();
    assert!(text.contains(from), "{text}");
    fs::write(world.config_file(), text.replace(from, to)).unwrap();
}

#[tokio::test]
async fn a_state_goes_into_a_database_and_back_with_its_holds_and_what_is_due_is_deleted_there() {
    let Some(server) = server() else { return };
    let world = World::new(&[10]).await;
    let url = server.url(&server.database());
    let (hold, id) = (
        ["hold", &backup_id(1, 5), "--reason", "case 1", "--force"],
        backup_id(1, 5),
    );
    world.run(&hold).await.exits(0);
    let ran = world
        .run(&["state", "move", "--to", &url, "--reason", "two machines"])
        .await
        .exits(0);
    assert!(
        ran.stdout.contains("the same at both ends") && ran.stdout.contains("roles.sql"),
        "{}",
        ran.stdout
    );
    for refused in [["apply"].as_slice(), &hold, &["holds"], &["state", "accept-rewind"]] {
        world
            .run(refused)
            .await
            .exits(78)
            .says("the state was moved to postgres://");
    }
    world.deleted_exactly(&ids(1, []));
    let ran = world.run(&["state", "move", "--to", &url]).await.exits(0);
    assert!(ran.stdout.contains("was moved before"), "{}", ran.stdout);
    let (dir, database) = ("state_dir: state", format!("state: {{postgres: \"{url}\"}}"));
    at(&world, dir, &database);
    world.apply().await.exits(0);
    let mut due = ids(1, 3..10);
    due.remove(&id);
    world.deleted_exactly(&due);
    let old = world.dir().join("state");
    world
        .run(&["state", "move", "--to", old.to_str().unwrap()])
        .await
        .exits(78)
        .says("there is a state already");
    let back = world.dir().join("back");
    world
        .run(&["state", "move", "--to", back.to_str().unwrap()])
        .await
        .exits(0);
    world.run(&["holds"]).await.exits(78).says("moved to");
    at(&world, &database, "state_dir: back");
    world.run(&["release", &id]).await.exits(0);
    world.apply().await.exits(0);
    world.deleted_exactly(&ids(1, 3..10));
    world.run(&["audit", "verify"]).await.exits(0);
    let ran = world.run(&["history", "--events"]).await.exits(0);
    assert!(ran.stdout.contains("two machines"), "{}", ran.stdout);
}

#[tokio::test]
async fn a_state_that_a_daemon_has_is_not_moved() {
    let Some(server) = server() else { return };
    let world = World::new(&[3]).await;
    let mut child = world
        .command(&["run"])
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    while !world.state().join("ledger.sqlite3").exists() {
        assert!(child.try_wait().unwrap().is_none(), "it ended");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    let url = server.url(&server.database());
    world.run(&["state", "move", "--to", &url]).await.exits(75);
    child.kill().unwrap();
    child.wait().unwrap();
    world.run(&["state", "move", "--to", &url]).await.exits(0);
}

/// SIGKILL at some moment of each of several moves: exactly one of both configurations works then, and the same command ends the move.
async fn killed(mut from: String, mut to: String, turns: u32) {
    let mut world = World::new(&[10]).await;
    // The leases of a move that was killed last 3 s then.
    world.set_env("RDS_RETENTIOND_TEST_TIMES", "10");
    at(&world, "state_dir: state", &from);
    world.run(&["freeze", "--reason", "moving"]).await.exits(0);
    let target = |state: &str| match state.strip_prefix("state_dir: ") {
        Some(dir) => world.dir().join(dir).display().to_string(),
        None => state.split('"').nth(1).unwrap().to_owned(),
    };
    for turn in 0..turns {
        let mut child = world
            .command(&["state", "move", "--to", &target(&to)])
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        tokio::time::sleep(Duration::from_millis(fastrand::u64(10..300))).await;
        let _ = child.kill();
        child.wait().unwrap();
        let here = world.run(&["history", "--events"]).await.code;
        at(&world, &from, &to);
        let there = world.run(&["history", "--events"]).await.code;
        at(&world, &to, &from);
        assert!((here == 0) != (there == 0), "turn {turn}: here {here}, there {there}");
        world.run(&["state", "move", "--to", &target(&to)]).await.exits(0);
        at(&world, &from, &to);
        world.run(&["audit", "verify"]).await.exits(0);
        // Back to an empty place.
        if let Some(dir) = from.strip_prefix("state_dir: ") {
            fs::remove_dir_all(world.dir().join(dir)).unwrap();
            std::mem::swap(&mut from, &mut to);
        } else {
            let url = server().map(|server| server.url(&server.database())).unwrap();
            (from, to) = (to, format!("state: {{postgres: \"{url}\"}}"));
        }
    }
    world.run(&["thaw"]).await.exits(0);
    world.policies(KEEP_3);
    at(&world, "state_dir: state", &from);
    world.apply().await.exits(0);
    world.deleted_exactly(&ids(1, 3..10));
}

#[tokio::test]
async fn a_move_that_is_killed_leaves_exactly_one_state() {
    let Some(server) = server() else { return };
    let url = server.url(&server.database());
    killed(
        "state_dir: old".to_owned(),
        format!("state: {{postgres: \"{url}\"}}"),
        6,
    )
    .await;
}
