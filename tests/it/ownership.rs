//! Whose the configuration and the state are (contract, section 1): each layout with the user who runs.
//!
//! Root's tests give files away; as another user there is little to test.

use std::collections::BTreeSet;
use std::fs::{self, Permissions};
use std::os::unix::fs::{MetadataExt, PermissionsExt, chown, symlink};
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::Command;

use super::world::{Ran, World, backup_id, ids, output};

const SERVICE: u32 = 64_321;
const OTHER: u32 = 64_322;

fn is_root() -> bool {
    fs::metadata("/proc/self").unwrap().uid() == 0
}

fn chmod(path: &Path, mode: u32) {
    fs::set_permissions(path, Permissions::from_mode(mode)).unwrap();
}

fn give(path: &Path, user: u32) {
    chown(path, Some(user), Some(user)).unwrap();
}

/// A world whose state the service user has, and the configuration, too, when asked for.
async fn of_the_service(configuration_too: bool) -> World {
    let world = World::new(&[8]).await;
    chmod(world.dir(), 0o755);
    fs::create_dir(world.state()).unwrap();
    give(&world.state(), SERVICE);
    if configuration_too {
        give(world.dir(), SERVICE);
        give(&world.config_file(), SERVICE);
    }
    world
}

fn as_user(mut command: Command, user: u32) -> Command {
    command.uid(user).gid(user);
    command
}

/// Refused before anything is listed by what deletes, told by what does not.
#[track_caller]
fn refused(ran: Ran, why: &str) {
    ran.exits(78).says(why);
}

async fn is_refused(world: &World, user: u32, why: &str) {
    let before = world.simulator.calls().len();
    for args in [&["apply"][..], &["check"], &["run"]] {
        refused(output(as_user(world.command(args), user)).await, why);
    }
    assert_eq!(world.simulator.calls().len(), before, "{why}");
    for args in [&["plan"][..], &["forecast"]] {
        output(as_user(world.command(args), user))
            .await
            .exits(0)
            .says("warning: ")
            .says(why);
    }
    world.deleted_exactly(&BTreeSet::new());
}

async fn deletes(world: &World, user: u32) {
    output(as_user(world.command(&["check"]), user)).await.exits(0);
    let ran = output(as_user(world.command(&["apply"]), user)).await.exits(0);
    assert!(!ran.stderr.contains("warning"), "{}", ran.stderr);
    world.deleted_exactly(&ids(1, 3..8));
}

#[tokio::test]
async fn what_root_and_the_service_user_own_is_good_for_both() {
    if !is_root() {
        return;
    }
    for (user, configuration_too) in [(SERVICE, false), (SERVICE, true), (0, false), (0, true)] {
        // Root beside the service's user is `sudo`.
        deletes(&of_the_service(configuration_too).await, user).await;
    }
}

#[tokio::test]
async fn a_private_group_may_write_as_with_umask_002() {
    if !is_root() {
        return;
    }
    for user in [SERVICE, 0] {
        let world = of_the_service(true).await;
        for (path, mode) in [
            (world.dir().to_owned(), 0o775),
            (world.config_file(), 0o664),
            (world.state(), 0o775),
        ] {
            chmod(&path, mode);
        }
        deletes(&world, user).await;
    }
}

#[tokio::test]
async fn another_owner_and_another_group_that_may_write_are_refused() {
    if !is_root() {
        return;
    }
    for user in [SERVICE, 0] {
        for place in ["", "config.yaml", "state"] {
            let world = of_the_service(true).await;
            let path = world.dir().join(place);
            chown(&path, None, Some(OTHER)).unwrap();
            chmod(&path, if path.is_dir() { 0o775 } else { 0o664 });
            is_refused(&world, user, "the group 64322 may write it").await;
            chmod(&path, if path.is_dir() { 0o757 } else { 0o646 });
            is_refused(&world, user, "everybody may write it").await;
            chmod(&path, if path.is_dir() { 0o755 } else { 0o644 });
            deletes(&world, user).await;
        }
        for place in ["", "config.yaml"] {
            let world = of_the_service(true).await;
            give(&world.dir().join(place), OTHER);
            is_refused(&world, user, "belongs to user 64322").await;
        }
    }
    // A state of another user's: root takes it, others do not.
    let world = of_the_service(false).await;
    give(&world.state(), OTHER);
    chmod(&world.state(), 0o777);
    refused(
        output(as_user(world.command(&["check"]), SERVICE)).await,
        "belongs to user 64322",
    );
    let world = of_the_service(true).await;
    chmod(&world.state(), 0o1777);
    refused(
        output(as_user(world.command(&["check"]), 0)).await,
        "everybody may write it",
    );
}

#[tokio::test]
async fn a_state_reached_through_a_directory_or_a_link_of_others_is_refused() {
    if !is_root() {
        return;
    }
    for user in [SERVICE, 0] {
        let world = of_the_service(true).await;
        let (above, link) = (world.dir().join("above"), world.dir().join("above/link"));
        fs::create_dir(&above).unwrap();
        give(&above, SERVICE);
        let text = fs::read_to_string(world.config_file()).unwrap();
        let named = |name: &str| {
            let text = text.replace("state_dir: state", &format!("state_dir: {name}"));
            fs::write(world.config_file(), text).unwrap();
        };
        // A real directory below one that everybody may write.
        fs::rename(world.state(), above.join("state")).unwrap();
        named("above/state");
        chmod(&above, 0o777);
        is_refused(&world, user, "everybody may write that (mode 0777)").await;
        fs::create_dir(above.join("between")).unwrap();
        fs::rename(above.join("state"), above.join("between/state")).unwrap();
        give(&above.join("between"), SERVICE);
        named("above/between/state");
        is_refused(&world, user, "everybody may write that (mode 0777)").await;
        // A link there to one that is good itself.
        fs::rename(above.join("between/state"), world.state()).unwrap();
        symlink("../state", &link).unwrap();
        named("above/link");
        is_refused(&world, user, "everybody may write that (mode 0777)").await;
        // Sticky: the owner of the link may still change it.
        chmod(&above, 0o1777);
        std::os::unix::fs::lchown(&link, Some(OTHER), Some(OTHER)).unwrap();
        is_refused(&world, user, "a link that belongs to user 64322").await;
        std::os::unix::fs::lchown(&link, Some(SERVICE), Some(SERVICE)).unwrap();
        deletes(&world, user).await;
    }
}

#[tokio::test]
async fn a_link_is_followed_to_whose_it_really_is() {
    if !is_root() {
        return;
    }
    let world = of_the_service(false).await;
    let (file, theirs) = (world.config_file(), world.dir().join("theirs"));
    fs::create_dir(&theirs).unwrap();
    fs::rename(&file, theirs.join("config.yaml")).unwrap();
    symlink("theirs/config.yaml", &file).unwrap();
    // `state_dir` is relative to the file that was named.
    give(&theirs, OTHER);
    is_refused(&world, 0, "theirs").await;
    give(&theirs, 0);
    deletes(&world, 0).await;
}

#[tokio::test]
async fn a_config_map_as_kubernetes_mounts_it_is_good() {
    if !is_root() {
        return;
    }
    // Root's files of the pod's group, behind links that everybody may write, in a directory that everybody may write and
    // that is sticky where it is not mounted read-only.
    let world = of_the_service(false).await;
    let (file, data) = (world.config_file(), world.dir().join("..2026_11_28"));
    fs::create_dir(&data).unwrap();
    fs::rename(&file, data.join("config.yaml")).unwrap();
    symlink("..2026_11_28", world.dir().join("..data")).unwrap();
    symlink("..data/config.yaml", &file).unwrap();
    chown(data.join("config.yaml"), Some(0), Some(OTHER)).unwrap();
    chmod(&data.join("config.yaml"), 0o644);
    for directory in [world.dir(), &data] {
        chown(directory, Some(0), Some(OTHER)).unwrap();
        chmod(directory, 0o1777);
    }
    deletes(&world, SERVICE).await;
    chmod(world.dir(), 0o777);
    refused(
        output(as_user(world.command(&["check"]), SERVICE)).await,
        "everybody may write it",
    );
}

#[tokio::test]
async fn a_read_only_mount_is_not_writable() {
    if !is_root() {
        return;
    }
    let world = of_the_service(false).await;
    let etc = world.dir().join("etc");
    fs::create_dir(&etc).unwrap();
    let text = fs::read_to_string(world.config_file()).unwrap();
    let text = text.replace(
        "state_dir: state",
        "state_dir: ../state\ninclude: [\"../etc/p-*.yaml\"]",
    );
    fs::write(etc.join("config.yaml"), text).unwrap();
    fs::write(etc.join("p-1.yaml"), "policies: []\n").unwrap();
    for path in [etc.clone(), etc.join("config.yaml")] {
        chmod(&path, 0o777);
    }
    let program = env!("CARGO_BIN_EXE_rds-retentiond");
    let script = format!(
        "mount --bind {0} {0} && mount -o remount,ro,bind {0} || exit 99; exec {program} --config {0}/config.yaml check",
        etc.display()
    );
    let mut mounted = Command::new("unshare");
    mounted.args(["-m", "sh", "-c", &script]);
    let ran = output(mounted).await;
    // Where the tests themselves may not mount, that is all there is to see.
    if ran.code != 99 && !ran.stderr.contains("unshare") {
        ran.exits(0);
    }
    let mut plain = Command::new(program);
    plain.arg("--config").arg(etc.join("config.yaml")).arg("check");
    refused(output(plain).await, "everybody may write it");
}

#[tokio::test]
async fn where_a_pattern_looks_for_files_nobody_else_may_put_one() {
    if !is_root() {
        return;
    }
    for (include, mode, good) in [
        ("d/*.yaml", 0o755, true),
        ("d/*.yaml", 0o1777, false),
        ("d/*.yaml", 0o777, false),
        // Named directly: nobody else can replace it there.
        ("d/one.yaml", 0o1777, true),
        ("d/one.yaml", 0o777, false),
    ] {
        let world = of_the_service(false).await;
        let directory = world.dir().join("d");
        fs::create_dir(&directory).unwrap();
        fs::write(directory.join("one.yaml"), "policies: []\n").unwrap();
        let text = fs::read_to_string(world.config_file()).unwrap();
        fs::write(world.config_file(), format!("include: [\"{include}\"]\n{text}")).unwrap();
        chmod(&directory, mode);
        if good {
            deletes(&world, 0).await;
        } else {
            is_refused(&world, 0, "everybody may write it").await;
        }
        if mode == 0o755 {
            let world_owned = directory.join("one.yaml");
            give(&world_owned, OTHER);
            refused(world.run(&["check"]).await, "belongs to user 64322");
        }
    }
}

#[tokio::test]
async fn hold_and_freeze_work_in_spite_of_whose_the_files_are() {
    if !is_root() {
        return;
    }
    let world = of_the_service(false).await;
    world.apply().await.exits(0);
    chmod(&world.config_file(), 0o666);
    let hold = ["hold", &backup_id(1, 1), "--reason", "x"];
    world.run(&hold).await.exits(0);
    world.run(&["freeze", "--reason", "x"]).await.exits(0);
    assert!(world.ledger().active_holds(rds_retentiond::clock::now()).unwrap().len() == 1);
}

#[tokio::test]
async fn hold_works_beside_an_included_file_that_is_bad_and_not_where_the_state_may_be_elsewhere() {
    let world = World::new(&[3]).await;
    world.apply().await.exits(0);
    let good = fs::read_to_string(world.config_file()).unwrap();
    let hold = ["hold", &backup_id(1, 1), "--reason", "x"];
    for bad in [
        format!("include: [\"bad.yaml\"]\n{good}"),
        format!("holds: []\nholds: nonsense\n{good}").replacen("holds: []\n", "", 1),
        format!("listen: nowhere\n{good}"),
    ] {
        fs::write(world.dir().join("bad.yaml"), "policies: {\n").unwrap();
        fs::write(world.config_file(), bad).unwrap();
        world.run(&["check"]).await.exits(78);
        world.run(&hold).await.exits(0).says("could be read all the same");
    }
    // A key that may have been meant to say where the state is.
    fs::write(world.config_file(), good.replace("state_dir:", "state_dri:")).unwrap();
    world.run(&hold).await.exits(78);
}
