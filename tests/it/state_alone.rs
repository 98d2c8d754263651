//! A file that names the state and nothing else is enough for the commands of people, and for no other.

use super::world::{World, backup_id};

#[tokio::test]
async fn people_need_the_state_alone() {
    let world = World::new(&[3]).await;
    world.apply().await.exits(0);
    std::fs::write(
        world.config_file(),
        "version: 1\nstate_dir: state\naudit: {anchor: none}\n",
    )
    .unwrap();
    let id = backup_id(1, 1);
    for args in [
        &["freeze", "--reason", "audit"][..],
        &["thaw", "--all"],
        &["hold", &id, "--reason", "case 1", "--force"],
        &["release", "h1"],
        &["holds"],
        &["status"],
        &["history"],
        &["history", "--events"],
        &["audit", "verify"],
        &["audit", "export"],
    ] {
        world.run(args).await.exits(0);
    }
    // What runs did is known without the policies that did it.
    let status = world.run(&["status", "--format", "json"]).await.exits(0).json();
    assert_eq!(status["policies"][0]["policy"], "p");
    assert_eq!(status["policies"][0]["last_run"]["result"], "success");
    for args in [&["apply"][..], &["plan"], &["check"], &["validate"], &["run"]] {
        world.run(args).await.exits(78).says("there is no policy");
    }
    // What has projects is meant for more.
    let text = format!("version: 1\nstate_dir: state\n{}", world.simulator.config_yaml());
    std::fs::write(world.config_file(), text).unwrap();
    world.run(&["history"]).await.exits(78).says("there is no policy");
}
