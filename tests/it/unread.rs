//! What is said of backups that the last run could not read: they are there, and they cost as much as before.

use super::world::{KEEP_3, World};

#[tokio::test]
async fn backups_that_a_failed_run_could_not_read_are_still_counted() {
    let world = World::new(&[8]).await;
    world.policies(&KEEP_3.replace("enforce", "dry-run"));
    world.apply().await.exits(0);
    let storage = |text: &str| {
        let mut lines = text.lines().skip_while(|line| !line.starts_with("Storage"));
        lines.nth(1).map(str::to_owned)
    };
    let before = world.run(&["status"]).await.exits(0).stdout;
    assert!(storage(&before).is_some_and(|line| line.contains("kept")), "{before}");
    world.fault("list_instances:status=403");
    world.apply().await.exits(77);
    let after = world.run(&["status"]).await.exits(0).stdout;
    assert!(after.contains("failed"), "{after}");
    assert_eq!(storage(&before), storage(&after));
    // One cause is one alert.
    assert!(!after.contains("Left alone"), "{after}");
}
