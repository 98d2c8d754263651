//! What lies in the state directory and is not a ledger of its own: links, second names, files that others may write; and
//! what the process's surroundings do to it.

use std::collections::BTreeSet;
use std::fs::{self, Permissions};
use std::os::unix::fs::{MetadataExt, PermissionsExt, chown, symlink};
use std::process::Command;

use super::world::{World, backup_id, ids, output};

const LEDGER: &str = "ledger.sqlite3";

/// Eight backups, a ledger, and then the policy that deletes five of them.
async fn with_a_ledger() -> World {
    let world = World::new(&[8]).await;
    world.policies(&super::world::KEEP_3.replace("enforce", "dry-run"));
    world.apply().await.exits(0);
    world.policies(super::world::KEEP_3);
    world
}

async fn is_refused(world: &World, code: i32, why: &str) {
    world.apply().await.exits(code).says(why);
    world.deleted_exactly(&BTreeSet::new());
}

async fn deletes(world: &World) {
    world.apply().await.exits(0);
    world.deleted_exactly(&ids(1, 3..8));
}

#[tokio::test]
async fn a_link_in_the_place_of_the_ledger_is_refused_also_where_it_leads_nowhere() {
    let world = with_a_ledger().await;
    let (volume, ledger) = (world.dir().join("volume"), world.state().join(LEDGER));
    fs::create_dir(&volume).unwrap();
    fs::rename(&ledger, volume.join(LEDGER)).unwrap();
    symlink(volume.join(LEDGER), &ledger).unwrap();
    is_refused(&world, 1, "not a plain file but a link").await;
    fs::rename(&volume, world.dir().join("unmounted")).unwrap();
    is_refused(&world, 1, "not a plain file but a link").await;
    for args in [
        &["hold", &backup_id(1, 5), "--force", "--reason", "x"][..],
        &["freeze", "--reason", "x"],
        &["holds"],
    ] {
        world.run(args).await.exits(1).says("not a plain file but a link");
    }
    assert!(fs::symlink_metadata(&ledger).unwrap().is_symlink());
    fs::remove_file(&ledger).unwrap();
    fs::rename(world.dir().join("unmounted").join(LEDGER), &ledger).unwrap();
    deletes(&world).await;
}

#[tokio::test]
async fn a_state_directory_that_is_a_link_to_nowhere_is_refused() {
    let world = with_a_ledger().await;
    let volume = world.dir().join("volume");
    fs::rename(world.state(), &volume).unwrap();
    symlink(&volume, world.state()).unwrap();
    fs::rename(&volume, world.dir().join("unmounted")).unwrap();
    is_refused(&world, 1, "File exists").await;
    fs::rename(world.dir().join("unmounted"), &volume).unwrap();
    deletes(&world).await;
}

#[tokio::test]
async fn a_ledger_with_a_second_name_is_refused_by_whichever_it_is_opened() {
    for name in [LEDGER, "deletions.lock"] {
        let world = with_a_ledger().await;
        let second = world.dir().join("second");
        fs::create_dir(&second).unwrap();
        fs::hard_link(world.state().join(name), second.join(name)).unwrap();
        is_refused(&world, 1, "has a second name").await;
        fs::rename(world.state(), world.dir().join("first")).unwrap();
        fs::rename(&second, world.state()).unwrap();
        is_refused(&world, 1, "has a second name").await;
        fs::remove_dir_all(world.state()).unwrap();
        fs::rename(world.dir().join("first"), world.state()).unwrap();
        deletes(&world).await;
    }
}

#[tokio::test]
async fn a_file_of_the_state_that_others_own_or_may_write_is_refused_in_a_closed_directory_too() {
    for name in [LEDGER, "deletions.lock"] {
        let world = with_a_ledger().await;
        let file = world.state().join(name);
        fs::set_permissions(&file, Permissions::from_mode(0o666)).unwrap();
        is_refused(&world, 78, "everybody may write it").await;
        world.run(&["check"]).await.exits(78).says(name);
        // What keeps works.
        let hold = ["hold", &backup_id(9, 9), "--force", "--reason", "x"];
        world.run(&hold).await.exits(0);
        fs::set_permissions(&file, Permissions::from_mode(0o644)).unwrap();
        if fs::metadata("/proc/self").unwrap().uid() == 0 {
            chown(&file, Some(64_322), None).unwrap();
            is_refused(&world, 78, "belongs to user 64322").await;
            chown(&file, Some(0), None).unwrap();
        }
        deletes(&world).await;
    }
}

#[tokio::test]
async fn a_way_to_the_state_through_a_directory_that_everybody_may_write_is_refused_unless_it_is_sticky() {
    for is_link in [false, true] {
        let world = with_a_ledger().await;
        let (open, config) = (world.dir().join("open"), world.config_file());
        fs::create_dir_all(open.join("closed")).unwrap();
        if is_link {
            // Whoever may write where the link is decides where it leads.
            symlink(world.state(), open.join("state")).unwrap();
        } else {
            fs::rename(world.state(), open.join("closed/state")).unwrap();
            symlink("closed/state", open.join("state")).unwrap();
        }
        let text = fs::read_to_string(&config).unwrap();
        let place = if is_link { "open/state" } else { "open/closed/state" };
        fs::write(
            &config,
            text.replace("state_dir: state", &format!("state_dir: {place}")),
        )
        .unwrap();
        fs::set_permissions(&open, Permissions::from_mode(0o777)).unwrap();
        is_refused(&world, 78, "everybody may write that").await;
        fs::set_permissions(&open, Permissions::from_mode(0o1777)).unwrap();
        deletes(&world).await;
    }
}

#[tokio::test]
async fn a_state_directory_that_everybody_may_write_is_refused_once() {
    let world = with_a_ledger().await;
    fs::set_permissions(world.state(), Permissions::from_mode(0o777)).unwrap();
    let ran = world.apply().await.exits(78);
    assert_eq!(ran.stderr.matches("mode 0777").count(), 1, "{}", ran.stderr);
    world.deleted_exactly(&BTreeSet::new());
    fs::set_permissions(world.state(), Permissions::from_mode(0o700)).unwrap();
    deletes(&world).await;
}

/// The program under these limits, or with these descriptors closed.
async fn under(world: &World, shell: &str, args: &[&str]) -> super::world::Ran {
    let plain = world.command(args);
    let mut command = Command::new("bash");
    command
        .arg("-c")
        .arg(shell)
        .arg(plain.get_program())
        .args(plain.get_args());
    command.env_clear();
    for (name, value) in plain.get_envs() {
        command.env(name, value.unwrap());
    }
    output(command).await
}

#[tokio::test]
async fn too_few_files_are_an_error_and_not_a_panic_whatever_the_number() {
    let world = with_a_ledger().await;
    for files in (5..24).step_by(3) {
        let ran = under(&world, &format!("ulimit -n {files}; exec \"$0\" \"$@\""), &["apply"]).await;
        assert!(ran.code == 1 || ran.code == 127, "{files}: {ran:?}");
        assert!(!ran.stderr.contains("panicked"), "{files}: {ran:?}");
    }
    under(&world, "ulimit -n 8; exec \"$0\" \"$@\"", &["apply"])
        .await
        .exits(1)
        .says("raise `ulimit -n`");
    world.deleted_exactly(&BTreeSet::new());
    under(&world, "ulimit -n 64; exec \"$0\" \"$@\"", &["apply"])
        .await
        .exits(0);
    world.deleted_exactly(&ids(1, 3..8));
}

/// An error with an exit code, never a signal; nothing is sent that is not recorded.
#[tokio::test]
async fn a_file_that_may_not_grow_is_an_error_and_not_the_end_of_the_process() {
    // In KiB; 16 is less than the index of the log has.
    for limit in [0, 1, 16, 32, 100, 200, 210, 220] {
        let world = World::new(&[53; 4]).await;
        let ran = under(&world, &format!("ulimit -f {limit}; exec \"$0\" \"$@\""), &["apply"]).await;
        assert_eq!(ran.code, 1, "{limit}: {ran:?}");
        assert!(ran.stderr.contains(LEDGER), "{limit}: {ran:?}");
        let names_the_limit = ["ulimit -f", "File too large"]
            .iter()
            .any(|word| ran.stderr.contains(word));
        assert!(names_the_limit, "{limit}: {ran:?}");
        let recorded = world.run(&["audit", "export"]).await.stdout;
        let sent = world.asked();
        assert!(sent.iter().all(|id| recorded.contains(id)), "{limit}: {sent:?}");
        world.apply().await.exits(0);
        world.deleted_exactly(&(1..=4).flat_map(|instance| ids(instance, 3..53)).collect());
        world.run(&["audit", "verify"]).await.exits(0);
    }
}

/// A file that is opened as descriptor 1 or 2 would have output and log written into it.
#[tokio::test]
async fn closed_standard_streams_are_not_what_the_ledger_is_opened_as() {
    for (streams, code) in [("<&- >&- 2>&-", 0), ("2>&-", 0), (">&-", 0), ("<&-", 0)] {
        let world = with_a_ledger().await;
        let ran = under(&world, &format!("exec \"$0\" \"$@\" {streams}"), &["apply"]).await;
        assert_eq!(ran.code, code, "{streams}: {ran:?}");
        world.deleted_exactly(&ids(1, 3..8));
        world.run(&["audit", "verify"]).await.exits(0);
    }
}
