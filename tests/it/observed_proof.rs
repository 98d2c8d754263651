//! What listings showed, changed by something other than this program: found before it permits a deletion.

use std::collections::BTreeSet;

use super::world::{KEEP_3, World, ids};

const KEEP_ALL: &str = "
  - name: p
    mode: enforce
    keep: {last: 100}
    grace: 0s
    limits: {max_percent: 100}
";

const HOLD: &str = "holds: [{name: other, reason: case 4711}]";

/// A state that has seen everything and deleted nothing; its policies would delete now.
async fn seen() -> World {
    let world = World::new(&[8, 2]).await;
    world.policies_and(KEEP_ALL, HOLD);
    for _ in 0..2 {
        world.apply().await.exits(0);
    }
    world.policies_and(KEEP_3, HOLD);
    world
}

#[tokio::test]
async fn what_was_seen_and_is_changed_lets_nothing_be_deleted() {
    let world = seen().await;
    let file = world.state().join("ledger.sqlite3");
    let good = std::fs::read(&file).unwrap();
    for change in [
        "UPDATE seen_instance SET tags = '[[\"env\",\"dev\"]]'",
        "UPDATE seen_instance SET missed = 3, missed_since = 1, missed_last = 172800000000",
        "INSERT INTO seen_instance SELECT project, 'x' || instance, name, tags, enterprise_project, seen_at, 3, 1, 172800000000, engine \
         FROM seen_instance LIMIT 1",
        "UPDATE believed SET count = 1",
        "DELETE FROM believed",
        "UPDATE seen_backup SET status = 'FAILED'",
        "UPDATE seen_backup SET begin = begin - 1 WHERE backup = (SELECT MIN(backup) FROM seen_backup)",
        "DELETE FROM seen_backup WHERE backup = (SELECT MAX(backup) FROM seen_backup)",
        "DELETE FROM seen_backup; DELETE FROM seen_sum",
        "UPDATE last_listing SET at = at - 1",
        "INSERT INTO confirmed SELECT instance, 1, 7 FROM believed WHERE instance <> ''",
        "DELETE FROM configured_hold",
        "DROP TRIGGER chain_no_delete; DELETE FROM believed; \
         DELETE FROM chain WHERE seq = (SELECT MAX(seq) FROM chain WHERE kind = 'observed')",
    ] {
        rusqlite::Connection::open(&file)
            .unwrap()
            .execute_batch(change)
            .unwrap();
        let ran = world.apply().await;
        assert_ne!(ran.code, 0, "{change}: {ran:?}");
        world.deleted_exactly(&BTreeSet::new());
        world.run(&["audit", "verify"]).await.exits(1);
        std::fs::write(&file, &good).unwrap();
    }
    world.run(&["audit", "verify"]).await.exits(0);
    world.apply().await.exits(0);
    world.deleted_exactly(&ids(1, 3..8));
}

#[tokio::test]
async fn what_was_seen_and_nothing_changed_lets_go_what_is_due_run_after_run() {
    let world = seen().await;
    world.apply().await.exits(0);
    world.deleted_exactly(&ids(1, 3..8));
    world.simulator.add_backup(super::world::backup(1, 9));
    world.apply().await.exits(0);
    assert!(world.deleted().contains(&super::world::backup_id(1, 9)));
    world.run(&["audit", "verify"]).await.exits(0);
}
