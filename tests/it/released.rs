//! What `release` says of a backup that has another hold: ending one must not look as if the backup were free to go.

use super::world::{KEEP_3, World, backup_id, ids};

#[tokio::test]
async fn release_says_which_other_holds_still_keep_the_backups() {
    let world = World::new(&[6]).await;
    let id = backup_id(1, 5);
    let configured = format!("holds: [{{backup: {id}, reason: legal}}]");
    world.policies_and(&KEEP_3.replace("enforce", "dry-run"), &configured);
    world.apply().await.exits(0);
    world.run(&["hold", &id, "--reason", "case 1"]).await.exits(0);
    let many = ["hold", "--name", "nightly-*", "--reason", "migration"];
    world.run(&many).await.exits(0);
    let first = world.run(&["release", "h1"]).await.exits(0).stdout;
    assert!(first.contains("it is kept by hold h2 (migration)"), "{first}");
    assert!(
        first.contains("it is kept by a hold of the configuration (legal)"),
        "{first}"
    );
    let many = world.run(&["release", "h2"]).await.exits(0).stdout;
    assert!(
        many.contains("1 of its 6 backups is kept by a hold of the configuration (legal)"),
        "{many}"
    );
    assert!(!many.contains("hold h1"), "it is over: {many}");
    // Without another hold nothing more is said, and what was held goes.
    world.policies(KEEP_3);
    world.run(&["hold", &id, "--reason", "case 2"]).await.exits(0);
    let last = world.run(&["release", "h3"]).await.exits(0).stdout;
    assert!(!last.contains("still held"), "{last}");
    world.apply().await.exits(0);
    world.deleted_exactly(&ids(1, 3..6));
}
