//! `apply --metrics-file` takes regular files only, and says so before anything is deleted.

use std::fs;
use std::os::unix::fs::{FileTypeExt, symlink};
use std::process::Command;

use super::world::{World, ids};

#[tokio::test]
async fn what_is_no_regular_file_is_refused_before_anything_is_deleted_and_left_as_it_is() {
    let world = World::new(&[8]).await;
    let path = |name: &str| world.dir().join(name);
    fs::write(path("target"), "theirs").unwrap();
    symlink(path("target"), path("link")).unwrap();
    fs::create_dir(path("directory")).unwrap();
    let made = Command::new("mkfifo").arg(path("pipe")).status().unwrap();
    assert!(made.success());
    // As root a device node of one's own would do, too; nobody else can make one.
    let device = path("null");
    let is_made = Command::new("mknod")
        .arg(&device)
        .args(["c", "1", "3"])
        .status()
        .unwrap()
        .success();
    let devices = [("/dev/full", "a device"), (device.to_str().unwrap(), "a device")];
    let others = [
        ("link", "a symbolic link"),
        ("directory", "a directory"),
        ("pipe", "a pipe"),
        ("missing/m.prom", "does not exist"),
    ];
    for (name, why) in others.iter().chain(&devices[..=usize::from(is_made)]) {
        let file = path(name);
        world
            .run(&["apply", "--metrics-file", file.to_str().unwrap()])
            .await
            .exits(64)
            .says(why);
        assert_eq!(world.simulator.calls().len(), 0, "{name}");
    }
    assert_eq!(fs::read_to_string(path("target")).unwrap(), "theirs");
    if is_made {
        assert!(fs::metadata(&device).unwrap().file_type().is_char_device());
    }
    let file = path("m.prom");
    for _ in 0..2 {
        world
            .run(&["apply", "--metrics-file", file.to_str().unwrap()])
            .await
            .exits(0);
    }
    world.deleted_exactly(&ids(1, 3..8));
    let text = fs::read_to_string(&file).unwrap();
    assert!(
        text.contains("rds_retention_runs_total{policy=\"p\",result=\"success\"} 2"),
        "{text}"
    );
}
