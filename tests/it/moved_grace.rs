//! Grace periods that something other than this program moved: found before they permit a deletion.

use std::collections::BTreeSet;

use chrono::TimeDelta;

use super::world::{World, ids};

const GRACE: &str = "
  - name: p
    mode: enforce
    keep: {last: 3}
    grace: 24h
    limits: {max_percent: 100}
";

fn open(world: &World) -> rusqlite::Connection {
    rusqlite::Connection::open(world.state().join("ledger.sqlite3")).unwrap()
}

#[tokio::test]
async fn a_grace_period_that_was_moved_put_in_or_set_free_lets_nothing_be_deleted() {
    for change in [
        "UPDATE grace SET since = since - 172800000000",
        "UPDATE grace SET since = since - 172800000000 WHERE backup = (SELECT MIN(backup) FROM grace)",
        "UPDATE grace SET seen = seen + 1",
        "UPDATE grace SET restarts = 1",
        "INSERT INTO grace SELECT 'q', project, instance, backup, name, since, seen, restarts FROM grace",
        "DROP TRIGGER chain_no_delete; UPDATE grace SET since = since - 172800000000; \
         DELETE FROM chain WHERE seq = (SELECT MAX(seq) FROM chain WHERE kind = 'grace')",
    ] {
        let world = World::new(&[8]).await;
        world.policies(GRACE);
        for _ in 0..2 {
            world.apply().await.exits(0);
        }
        open(&world).execute_batch(change).unwrap();
        let ran = world.apply().await;
        assert_ne!(ran.code, 0, "{change}: {ran:?}");
        world.deleted_exactly(&BTreeSet::new());
        world.run(&["audit", "verify"]).await.exits(1);
    }
}

#[tokio::test]
async fn a_grace_period_that_nothing_moved_ends_and_one_moved_back_again_too() {
    let world = World::new(&[8]).await;
    world.policies(GRACE);
    world.apply().await.exits(0);
    open(&world).execute("UPDATE grace SET since = since - 5", ()).unwrap();
    assert!(world.pass().later(TimeDelta::hours(25)).try_run().await.is_err());
    // What only keeps is done all the same.
    world
        .run(&["hold", "--name", "nightly-9", "--reason", "case 4711"])
        .await
        .exits(0);
    world.run(&["release", "h1"]).await.exits(0);
    world.deleted_exactly(&BTreeSet::new());
    open(&world).execute("UPDATE grace SET since = since + 5", ()).unwrap();
    world.pass().later(TimeDelta::hours(25)).run().await;
    world.deleted_exactly(&ids(1, 3..8));
    world.run(&["audit", "verify"]).await.exits(0);
}
