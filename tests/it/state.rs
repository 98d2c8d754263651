//! The state is damaged, foreign, full, read-only, busy: nothing is deleted, and the message says what to do.

use std::collections::BTreeSet;
use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt, chown};
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::time::Duration;

use rds_retentiond::ledger::Ledger;
use rds_retentiond::simulator::Op;

use super::world::{World, backup_id, ids, output};

fn is_root() -> bool {
    fs::metadata("/proc/self").unwrap().uid() == 0
}

/// A world with a ledger, and something that became due after it was made.
async fn with_ledger() -> World {
    let world = World::new(&[3]).await;
    world.apply().await.exits(0);
    for number in 3..8 {
        world.simulator.add_backup(super::world::backup(1, number));
    }
    world
}

/// Nothing was deleted, nor asked to be.
fn untouched(world: &World) {
    world.deleted_exactly(&BTreeSet::new());
    assert_eq!(world.simulator.calls_of(Op::DeleteBatch).len(), 0);
}

#[tokio::test]
async fn hold_and_freeze_do_not_wait_for_a_good_configuration() {
    let world = with_ledger().await;
    let good = fs::read_to_string(world.config_file()).unwrap();
    fs::write(world.config_file(), good.replace("keep:", "kepe:")).unwrap();
    let hold = ["hold", &backup_id(1, 1), "--reason", "x"];
    world.run(&hold).await.exits(0).says("the configuration is bad");
    world
        .run(&["freeze", "--reason", "x"])
        .await
        .exits(0)
        .says("the configuration is bad");
    // What lets go of something waits, and so does everything where the state is not known for sure.
    world.run(&["thaw"]).await.exits(78);
    world.run(&["release", "h1"]).await.exits(78);
    for bad in ["state_dir: [here]", "state_dir: elsewhere\nstate_dir: here", "{"] {
        let rest: Vec<&str> = good.lines().filter(|line| !line.starts_with("state_dir")).collect();
        fs::write(world.config_file(), format!("{bad}\n{}\n", rest.join("\n"))).unwrap();
        world.run(&["freeze", "--reason", "x"]).await.exits(78);
    }
    fs::write(world.config_file(), good).unwrap();
    world.run(&["apply"]).await.exits(3);
    untouched(&world);
}

#[tokio::test]
async fn a_damaged_ledger_deletes_nothing_and_is_left_as_it_is() {
    for damage in [
        b"".as_slice(),
        b"this is no database at all, whatever its name says",
        &[0xff; 10_000],
    ] {
        let world = with_ledger().await;
        let file = world.state().join("ledger.sqlite3");
        for name in ["ledger.sqlite3-wal", "ledger.sqlite3-shm"] {
            let _ = fs::remove_file(world.state().join(name));
        }
        fs::write(&file, damage).unwrap();
        let ran = world
            .apply()
            .await
            .exits(1)
            .says("nothing is deleted")
            .says("put a backup of the state back");
        assert!(ran.stderr.contains("ledger.sqlite3"), "{}", ran.stderr);
        world
            .run(&["hold", &backup_id(1, 5), "--reason", "x"])
            .await
            .exits(1)
            .says("damaged");
        untouched(&world);
        // SQLite makes a header of nothing at all; it is refused again all the same.
        if !damage.is_empty() {
            assert_eq!(fs::read(&file).unwrap(), damage);
        }
        world.apply().await.exits(1).says("damaged");
        untouched(&world);
    }
}

#[tokio::test]
async fn a_page_damaged_in_the_middle_deletes_nothing() {
    let world = with_ledger().await;
    let file = world.state().join("ledger.sqlite3");
    drop(world.ledger());
    let mut bytes = fs::read(&file).unwrap();
    let length = bytes.len();
    // Everything behind the first page, where the schema is.
    bytes[4096.min(length)..].fill(0xa5);
    fs::write(&file, bytes).unwrap();
    world.apply().await.exits(1).says("damaged");
    untouched(&world);
}

#[tokio::test]
async fn a_ledger_of_a_newer_version_is_refused_unchanged() {
    let world = with_ledger().await;
    let file = world.state().join("ledger.sqlite3");
    let connection = rusqlite::Connection::open(&file).unwrap();
    connection.pragma_update(None, "user_version", 99).unwrap();
    connection.close().unwrap();
    let before = fs::read(&file).unwrap();
    for args in [["apply", "--all"], ["plan", "--all"], ["freeze", "--reason=x"]] {
        world.run(&args).await.exits(1).says("newer version").says("format 99");
    }
    untouched(&world);
    assert_eq!(fs::read(&file).unwrap(), before);
}

#[tokio::test]
async fn a_changed_row_is_found_by_audit_verify() {
    let world = World::new(&[8]).await;
    world.apply().await.exits(0);
    world.run(&["audit", "verify"]).await.exits(0);
    let connection = rusqlite::Connection::open(world.state().join("ledger.sqlite3")).unwrap();
    // The program's own triggers would not let it happen; somebody with an editor can.
    let triggers: Vec<String> = connection
        .prepare("SELECT name FROM sqlite_schema WHERE type = 'trigger'")
        .unwrap()
        .query_map([], |row| row.get(0))
        .unwrap()
        .map(Result::unwrap)
        .collect();
    for trigger in triggers {
        connection.execute(&format!("DROP TRIGGER {trigger}"), []).unwrap();
    }
    let changed = connection
        .execute("UPDATE chain SET body = replace(body, 'p', 'q') WHERE seq = 3", [])
        .unwrap();
    assert_eq!(changed, 1);
    drop(connection);
    let ran = world.run(&["audit", "verify"]).await;
    assert_eq!(ran.code, 1, "{ran:?}");
    assert!(format!("{}{}", ran.stdout, ran.stderr).contains("row 3"), "{ran:?}");
}

/// Makes a directory that the process will not be able to write; as root, by becoming nobody.
fn as_nobody(world: &World, mut command: std::process::Command) -> std::process::Command {
    fs::set_permissions(world.dir(), fs::Permissions::from_mode(0o755)).unwrap();
    if is_root() {
        command.uid(65534).gid(65534);
    }
    command
}

#[tokio::test]
async fn a_state_directory_that_cannot_be_written_deletes_nothing() {
    let world = World::new(&[8]).await;
    fs::create_dir(world.state()).unwrap();
    fs::set_permissions(world.state(), fs::Permissions::from_mode(0o555)).unwrap();
    let ran = output(as_nobody(&world, world.command(&["apply"]))).await.exits(1);
    assert!(ran.stderr.contains("may not be opened"), "{}", ran.stderr);
    untouched(&world);
}

#[tokio::test]
async fn a_ledger_that_can_only_be_read_deletes_nothing() {
    let world = with_ledger().await;
    drop(world.ledger());
    for entry in fs::read_dir(world.state()).unwrap() {
        fs::set_permissions(entry.unwrap().path(), fs::Permissions::from_mode(0o444)).unwrap();
    }
    fs::set_permissions(world.state(), fs::Permissions::from_mode(0o555)).unwrap();
    let ran = output(as_nobody(&world, world.command(&["apply"]))).await.exits(1);
    assert!(!ran.stderr.is_empty());
    untouched(&world);
}

/// Every write beyond a size fails, as on a full disk.
#[tokio::test]
async fn a_full_disk_deletes_nothing_that_is_not_on_disk() {
    for blocks in [0, 8, 24, 40, 56] {
        let world = with_ledger().await;
        drop(world.ledger());
        let mut shell = std::process::Command::new("sh");
        let program = env!("CARGO_BIN_EXE_rds-retentiond");
        let config = world.config_file();
        shell
            .env_clear()
            .envs(world.simulator.environment())
            .arg("-c")
            .arg(format!(
                "trap '' XFSZ; ulimit -f {blocks}; exec {program} --config {} apply",
                config.display()
            ));
        let ran = output(shell).await;
        assert_eq!(ran.code, 1, "{blocks} blocks: {ran:?}");
        untouched(&world);
        world.apply().await.exits(0);
        world.deleted_exactly(&ids(1, 3..8));
    }
}

/// `fsync` fails from some call on: what could not be made durable is not sent.
#[tokio::test]
#[ignore = "needs strace: cargo test --test it -- --ignored state::"]
async fn a_disk_that_fails_to_sync_deletes_nothing_that_is_not_on_disk() {
    for from in [1, 2, 3, 4, 5, 6, 8, 12] {
        let world = with_ledger().await;
        drop(world.ledger());
        let mut command = std::process::Command::new("strace");
        let rule = format!("inject=fsync,fdatasync:error=EIO:when={from}+");
        let trace = [
            "-f",
            "-q",
            "-o",
            "/dev/null",
            "-e",
            "trace=fsync,fdatasync",
            "-e",
            &rule,
        ];
        command.env_clear().envs(world.simulator.environment()).args(trace);
        command
            .arg(env!("CARGO_BIN_EXE_rds-retentiond"))
            .arg("--config")
            .arg(world.config_file());
        let ran = output({
            command.args(["apply", "--confirm-for", "0s"]);
            command
        })
        .await;
        world.deleted_only(&ids(1, 3..8));
        assert!(ran.code == 1 || !world.deleted().is_empty(), "{from}: {ran:?}");
        let connection = rusqlite::Connection::open(world.state().join("ledger.sqlite3")).unwrap();
        let intents: i64 = connection
            .query_row(
                "SELECT count(DISTINCT j.value ->> 'backup') FROM chain c, json_each(c.body, '$.items') j WHERE c.kind = 'intent'",
                [],
                |row| row.get(0),
            )
            .unwrap();
        drop(connection);
        assert!(
            world.asked().len() <= usize::try_from(intents).unwrap(),
            "{from}: sent without an intent"
        );
        world.apply().await.exits(0);
        world.deleted_exactly(&ids(1, 3..8));
        world.run(&["audit", "verify"]).await.exits(0);
    }
}

#[tokio::test]
async fn while_one_process_has_the_right_to_delete_another_waits_or_exits_75() {
    let world = with_ledger().await;
    let lock = Ledger::lock_deletions(&world.state(), &[]).unwrap().unwrap();
    world
        .run(&["apply", "--no-wait"])
        .await
        .exits(75)
        .says("another process");
    untouched(&world);
    let waiting = output(world.command(&["apply"]));
    let (ran, ()) = tokio::join!(waiting, async {
        // Long enough to have deleted, if it did not wait; it is not what the test relies on.
        tokio::time::sleep(Duration::from_millis(600)).await;
        untouched(&world);
        drop(lock);
    });
    ran.exits(0).says("waiting for it");
    world.deleted_exactly(&ids(1, 3..8));
}

#[tokio::test]
async fn of_two_processes_at_once_each_deletes_alone() {
    let world = World::new(&[120]).await;
    world
        .simulator
        .set(|settings| settings.latency = Duration::from_millis(20));
    let (one, other) = tokio::join!(world.apply(), world.apply());
    one.exits(0);
    other.exits(0);
    world.deleted_exactly(&ids(1, 3..120));
    assert_eq!(world.simulator.deletions().len(), 117);
}

fn owners(dir: &Path) -> BTreeSet<u32> {
    let entries = fs::read_dir(dir)
        .unwrap()
        .map(|entry| entry.unwrap().metadata().unwrap().uid());
    entries.chain([fs::metadata(dir).unwrap().uid()]).collect()
}

#[tokio::test]
async fn commands_typed_by_root_leave_files_of_the_directory_s_owner() {
    let world = World::new(&[8]).await;
    fs::create_dir(world.state()).unwrap();
    let owner = if is_root() {
        65534
    } else {
        fs::metadata("/proc/self").unwrap().uid()
    };
    if is_root() {
        chown(world.state(), Some(owner), Some(owner)).unwrap();
    }
    world.apply().await.exits(0);
    for args in [
        vec!["hold", "--name", "x-*", "--reason", "y"],
        vec!["freeze", "--reason", "z"],
        vec!["thaw"],
        vec!["plan"],
        vec!["history"],
        vec!["audit", "verify"],
        vec!["approve", "--listing", "simulator"],
    ] {
        let nothing_in_doubt = i32::from(args[0] == "approve");
        world.run(&args).await.exits(nothing_in_doubt);
        assert_eq!(owners(&world.state()), BTreeSet::from([owner]), "{args:?}");
    }
}

#[tokio::test]
async fn commands_on_a_state_that_is_not_there_make_none() {
    let world = World::new(&[8]).await;
    for args in [
        vec!["hold", &backup_id(1, 7), "--reason", "y"],
        vec!["release", "h1"],
        vec!["thaw"],
        vec!["approve", "p"],
        vec!["history"],
        vec!["audit", "verify"],
    ] {
        let ran = world.run(&args).await;
        assert!([1, 64].contains(&ran.code) || args == ["history"], "{args:?}: {ran:?}");
        assert!(!world.state().exists(), "{args:?}");
    }
}

/// What keeps backups does not wait for the daemon's first start.
#[tokio::test]
async fn hold_and_freeze_make_the_state_where_there_is_none() {
    for args in [
        vec!["hold", "--name", "nightly-7", "--reason", "y"],
        vec!["hold", &backup_id(1, 7), "--force", "--reason", "y"],
        vec!["freeze", "--reason", "z"],
    ] {
        let world = World::new(&[8]).await;
        world.run(&args).await.exits(0);
        let code = if args[0] == "freeze" { 3 } else { 0 };
        world.apply().await.exits(code);
        let gone = if args[0] == "freeze" {
            BTreeSet::new()
        } else {
            ids(1, 3..7)
        };
        world.deleted_exactly(&gone);
    }
}
