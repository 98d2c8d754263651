//! The ledger's write-ahead log is cut or overwritten in place while an `apply` deletes: the same file, so only its content
//! tells. What is committed after that would be gone when the process ends.

use std::fs::{self, OpenOptions};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use rds_retentiond::simulator::Op;

use super::world::{KEEP_3, Ran, World, backup_id, ids, output};

/// Six batches, one after the other.
async fn with_six_batches() -> World {
    let world = World::new(&[53; 6]).await;
    let projects = format!("{}    concurrency: 1\n", world.simulator.config_yaml());
    world.configure(&projects, &KEEP_3.replace("enforce", "dry-run"), "");
    world.apply().await.exits(0);
    world.configure(&projects, KEEP_3, "");
    world
}

fn log_of(world: &World) -> PathBuf {
    world.state().join("ledger.sqlite3-wal")
}

/// Does this while the third batch is under way; with how many batches were begun after it.
async fn apply_while(world: &World, change: impl AsyncFnOnce(&World)) -> (Ran, usize) {
    world
        .simulator
        .set(|settings| settings.latency = Duration::from_millis(250));
    let sent = || world.simulator.calls_of(Op::DeleteBatch).len();
    let changed = async {
        while sent() < 3 {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        // Its intent is on disk, and its answer comes later.
        change(world).await;
        sent()
    };
    let (ran, before) = tokio::join!(output(world.command(&["apply", "--format", "json"])), changed);
    world.simulator.set(|settings| settings.latency = Duration::ZERO);
    let after = sent() - before;
    (ran, after)
}

fn overwrite(path: &Path, at: u64, bytes: &[u8]) {
    let file = OpenOptions::new().write(true).open(path).unwrap();
    file.write_all_at(bytes, at).unwrap();
}

#[tokio::test]
async fn an_apply_whose_log_is_cut_or_overwritten_in_place_sends_nothing_more_and_exits_3() {
    type Damage = fn(&Path);
    let damages: [(&str, Damage); 6] = [
        ("cut to nothing", |log| {
            OpenOptions::new().write(true).open(log).unwrap().set_len(0).unwrap();
        }),
        ("cut to its header", |log| {
            OpenOptions::new().write(true).open(log).unwrap().set_len(32).unwrap();
        }),
        ("cut by one byte", |log| {
            let file = OpenOptions::new().write(true).open(log).unwrap();
            file.set_len(file.metadata().unwrap().len() - 1).unwrap();
        }),
        ("its header zeroed", |log| overwrite(log, 0, &[0; 32])),
        ("zeroed in the middle", |log| {
            let middle = fs::metadata(log).unwrap().len() / 2;
            overwrite(log, middle, &[0; 4096]);
        }),
        ("an older copy", |log| {
            let bytes = fs::read(log).unwrap();
            // What a copy was that was made some transactions ago: the log is only appended to.
            fs::write(log, &bytes[..bytes.len() / 2]).unwrap();
        }),
    ];
    for (what, damage) in damages {
        let world = with_six_batches().await;
        let (ran, after) = apply_while(&world, async |world| damage(&log_of(world))).await;
        assert_eq!(after, 0, "{what}: {ran:?}");
        ran.exits(3).says("-wal file cut or overwritten");
    }
}

/// What others may do: a hold, and a log that somebody else has worked into the file and emptied.
#[tokio::test]
async fn an_apply_goes_on_beside_a_hold_and_beside_a_log_that_was_emptied_in_order() {
    for is_emptied in [false, true] {
        let world = with_six_batches().await;
        let held = backup_id(6, 3);
        let (ran, after) = apply_while(&world, async |world: &World| {
            world.run(&["hold", &held, "--reason", "x"]).await;
            if is_emptied {
                let file = rusqlite::Connection::open(world.state().join("ledger.sqlite3")).unwrap();
                file.busy_timeout(Duration::from_secs(10)).unwrap();
                let busy: i64 = file
                    .query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |row| row.get(0))
                    .unwrap();
                assert_eq!((busy, fs::metadata(log_of(world)).unwrap().len()), (0, 0));
            }
        })
        .await;
        ran.exits(0);
        assert!(after > 0);
        let mut due: std::collections::BTreeSet<String> = (1..7).flat_map(|instance| ids(instance, 3..53)).collect();
        // Oldest first: the newest of an instance goes with its last batch.
        if !world.deleted().contains(&held) {
            due.remove(&held);
        }
        world.deleted_exactly(&due);
        world.run(&["audit", "verify"]).await.exits(0);
    }
}
