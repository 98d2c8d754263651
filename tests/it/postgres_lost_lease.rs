//! A run that loses its lease, or waited for it: what it writes down, what the others see, and who does the rest.
//!
//! Skipped, loudly, where PostgreSQL is not installed.

use std::time::Duration;

use rds_retentiond::clock::now;
use rds_retentiond::simulator::Op;

use super::postgres_outage::{Daemon, all_deleted, shared, slow, until_sending};
use super::postgres_server::server;
use super::world::{World, backup_id};

async fn until(what: &str, mut is: impl FnMut() -> bool) {
    for _ in 0..600 {
        if tokio::task::block_in_place(&mut is) {
            return;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    panic!("never: {what}");
}

fn edit(world: &World, change: impl FnOnce(String) -> String) {
    let text = std::fs::read_to_string(world.config_file()).unwrap();
    std::fs::write(world.config_file(), change(text)).unwrap();
}

/// One tick, in three seconds, and none after it.
fn one_tick(world: &World) {
    let tick = (now() + chrono::TimeDelta::seconds(3))
        .format("%S %M %H %d %m *")
        .to_string();
    edit(world, |text| text.replace("* * * * * *", &tick));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_run_left_that_lost_its_lease_is_done_at_once_and_counted() {
    let Some(server) = server() else { return };
    let (world, _proxy, database) = shared(server, 1003).await;
    let sizes = world
        .simulator
        .backups()
        .into_iter()
        .map(|backup| (backup.id, backup.size_kb * 1024));
    let sizes: std::collections::HashMap<String, u64> = sizes.collect();
    slow(&world, "150ms");
    one_tick(&world);
    let _daemon = Daemon::start(&world, "log");
    until_sending(&world).await;
    tokio::time::sleep(Duration::from_millis(300)).await;
    server.psql(&database, "UPDATE lease SET expires = clock_timestamp()");
    all_deleted(&world, 1003).await;
    let finished = "SELECT COUNT(*) FROM run WHERE finished_at IS NOT NULL";
    until("both runs have ended", || server.psql(&database, finished) == "2").await;
    let runs = world.run(&["history", "--format", "json"]).await.exits(0).json();
    let runs = runs["runs"].as_array().unwrap();
    let results: Vec<&str> = runs.iter().map(|run| run["result"].as_str().unwrap()).collect();
    assert_eq!(results, ["success", "failed"], "{runs:?}");
    let status = world.run(&["status", "--format", "json"]).await.exits(0).json();
    let freed: u64 = status["storage"]
        .as_array()
        .unwrap()
        .iter()
        .map(|day| day["freed_bytes"].as_u64().unwrap())
        .sum();
    let deleted: u64 = world.deleted().iter().map(|id| sizes[id]).sum();
    assert_eq!(freed, deleted);
    world.run(&["audit", "verify"]).await.exits(0);
}

/// Of a daemon that is nowhere.
const HELD: &str = "INSERT INTO lease (project, holder, epoch, expires, host, takeovers, server) \
    VALUES ('simulator', 'nobody', 1, clock_timestamp() + interval '1 hour', 'elsewhere', 0, '')";

#[tokio::test(flavor = "multi_thread")]
async fn a_run_that_waited_for_its_lease_shows_the_newest_configuration() {
    let Some(server) = server() else { return };
    let (world, _proxy, database) = shared(server, 1003).await;
    world
        .run(&["freeze", "--reason", "makes the tables", "--no-wait"])
        .await
        .exits(0);
    world.run(&["thaw", "--all"]).await.exits(0);
    server.psql(&database, HELD);
    slow(&world, "150ms");
    let daemon = Daemon::start(&world, "log");
    let digest = || server.psql(&database, "SELECT digest FROM member");
    until("it is a member", || !digest().is_empty()).await;
    let before = digest();
    until("a run waits", || daemon.log().contains("run begins")).await;
    let hold = format!("holds: [{{backup: {}, reason: case 1}}]\n", backup_id(1, 5));
    edit(&world, |text| text + &hold);
    until("the member has it", || digest() != before).await;
    server.psql(&database, "UPDATE lease SET expires = clock_timestamp()");
    until_sending(&world).await;
    assert_ne!(digest(), before, "and has it still");
    assert!(!world.simulator.calls_of(Op::DeleteBatch).is_empty());
}
