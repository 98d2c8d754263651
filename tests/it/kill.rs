//! `kill -9` at random instants: no deletion reaches the API without an intent on disk, nothing wrong is deleted, and the
//! next run settles what was open.
//!
//! `KILLS=1000 cargo test kill` is the long version (`tests/bench/kill`).

use std::collections::BTreeSet;
use std::process::Stdio;
use std::time::Duration;

use rds_retentiond::ledger::Verification;
use rds_retentiond::simulator::Op;
use tokio::task::JoinSet;

use super::world::{KEEP_3, World, backup_id, ids};

const WORLDS: usize = 5;

/// The ids that the ledger knows as intended, whatever became of them.
fn intended(world: &World) -> BTreeSet<String> {
    let file = world.state().join("ledger.sqlite3");
    // The first process may be killed before it has made one; opening it here would.
    if !file.exists() {
        return BTreeSet::new();
    }
    let connection = rusqlite::Connection::open(file).unwrap();
    let intents =
        "SELECT DISTINCT j.value ->> 'backup' FROM chain c, json_each(c.body, '$.items') j WHERE c.kind = 'intent'";
    let mut statement = connection.prepare(intents).unwrap();
    let rows = statement.query_map([], |row| row.get::<_, String>(0)).unwrap();
    rows.map(Result::unwrap).collect()
}

/// Kills one run after a random while; whether it was under way then.
async fn kill_one(world: &World) -> bool {
    let before = world.simulator.calls_of(Op::DeleteBatch).len();
    let mut command = world.command(&["apply", "--confirm-for", "1s"]);
    command.stdout(Stdio::null()).stderr(Stdio::null());
    let mut child = command.spawn().unwrap();
    // Mostly in the time of the batches; sometimes anywhere.
    if fastrand::u8(..4) > 0 {
        while world.simulator.calls_of(Op::DeleteBatch).len() == before && child.try_wait().unwrap().is_none() {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    }
    tokio::time::sleep(Duration::from_micros(fastrand::u64(..120_000))).await;
    let alive = child.try_wait().unwrap().is_none();
    child.kill().unwrap();
    child.wait().unwrap();
    alive
}

async fn one_world(kills: usize) -> usize {
    // Each kill leaves some of its batches to the next run.
    let backups = 3 + kills * 60;
    let world = World::new(&[backups, 8]).await;
    world.policies(&KEEP_3.replace(
        "max_percent: 100",
        "max_percent: 100, max_deletions: 120, over_limit: oldest-first",
    ));
    let settings = |latency, takes| {
        world.simulator.set(|settings| {
            settings.latency = Duration::from_millis(latency);
            settings.deletion_takes = Duration::from_millis(takes);
        });
    };
    let due: BTreeSet<String> = ids(1, 3..backups).into_iter().chain(ids(2, 3..8)).collect();
    let mut survived = 0;
    for _ in 0..kills {
        settings(fastrand::u64(..15), fastrand::u64(..200));
        survived += usize::from(kill_one(&world).await);
        world.deleted_only(&due);
        let lost: Vec<_> = world.asked().difference(&intended(&world)).cloned().collect();
        assert!(lost.is_empty(), "sent without an intent on disk: {lost:?}");
    }
    settings(0, 0);
    world.simulator.finish_deletions();
    world.policies(
        KEEP_3
            .replace("max_percent: 100", "max_percent: 100, max_deletions: 100000")
            .as_str(),
    );
    world.apply().await.exits(0);
    world.deleted_exactly(&due);
    let ledger = world.ledger();
    assert!(ledger.open_requests().unwrap().is_empty());
    assert!(ledger.unconfirmed().unwrap().is_empty(), "every answer is settled");
    assert!(matches!(ledger.verify(None).unwrap(), Verification::Intact { .. }));
    world.run(&["audit", "verify"]).await.exits(0);
    assert!(world.simulator.backup(&backup_id(1, 2)).is_some());
    survived
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn killed_at_random_instants() {
    let kills: usize = std::env::var("KILLS").map_or(100, |text| text.parse().unwrap());
    let mut worlds = JoinSet::new();
    for _ in 0..WORLDS {
        worlds.spawn(one_world(kills / WORLDS));
    }
    let mut under_way = 0;
    while let Some(joined) = worlds.join_next().await {
        under_way += joined.unwrap();
    }
    show(&format!("{kills} kills, {under_way} of them in mid-run"));
    assert!(
        under_way * 2 > kills,
        "only {under_way} of {kills} runs were still under way"
    );
}

#[expect(clippy::print_stdout, reason = "the long version is run for this line")]
fn show(text: &str) {
    println!("{text}");
}
