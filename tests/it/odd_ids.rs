//! Ids with blanks around them, where people write them and where the API lists them.

use std::collections::BTreeSet;

use serde_json::json;

use super::world::{KEEP_3, World, backup_id, ids, instance_id};

#[tokio::test]
async fn an_id_that_is_written_with_blanks_around_it_protects() {
    let held = backup_id(1, 5);
    let holds = |backup: &str| format!("holds:\n  - {{backup: \"{backup}\", reason: case}}\n");
    let instance = format!(
        "holds:\n  - {{instance: \" *{} \", reason: case}}\n",
        &instance_id(2)[10..]
    );
    let excludes = KEEP_3.replace(
        "mode: enforce",
        &format!(
            "mode: enforce\n    select: {{instances: {{exclude_ids: [\" {} \"]}}}}",
            instance_id(2)
        ),
    );
    let one: BTreeSet<String> = ids(1, 3..8).into_iter().filter(|id| *id != held).collect();
    let both = |first: &BTreeSet<String>| first.union(&ids(2, 3..8)).cloned().collect::<BTreeSet<String>>();
    for (policies, more, due) in [
        (KEEP_3, holds(&format!(" {held} ")), both(&one)),
        (KEEP_3, holds(&format!("\\t{held}\\u00a0")), both(&one)),
        (KEEP_3, instance, ids(1, 3..8)),
        (&*excludes, String::new(), ids(1, 3..8)),
        // The twin.
        (KEEP_3, String::new(), both(&ids(1, 3..8))),
    ] {
        let world = World::new(&[8, 8]).await;
        world.policies_and(policies, &more);
        world.apply().await.exits(0);
        world.deleted_exactly(&due);
    }
}

#[tokio::test]
async fn commands_take_an_id_with_blanks_around_it() {
    let world = World::new(&[3]).await;
    world.apply().await.exits(0);
    let held = backup_id(1, 2);
    let padded = format!(" {held}\t");
    world.run(&["hold", &padded, "--reason", "case"]).await.exits(0);
    let holds = world.run(&["holds", "--format", "json"]).await.json();
    assert_eq!(holds["holds"][0]["backup_id"], held);
    world.run(&["why", &padded]).await.exits(0);
    world.run(&["release", " h1 "]).await.exits(0);
    world.run(&["hold", " ", "--reason", "case"]).await.exits(64);
}

/// A listed id that is no id might be another backup's for whoever compares it with a hold: its listing is not believed.
#[tokio::test]
async fn a_listed_id_with_a_blank_or_a_sign_is_never_sent() {
    let id = backup_id(1, 5);
    for odd in [
        format!(" {id}"),
        format!("{id} "),
        format!("{id}\u{a0}"),
        format!("{}\u{200b}{}", &id[..9], &id[9..]),
        format!("{id}/../x"),
        format!("{id}\","),
    ] {
        let world = World::new(&[8, 8]).await;
        world.simulator.patch(&id, json!({"id": odd}));
        world.apply().await.exits(1);
        // The twin is the other instance.
        world.deleted_exactly(&ids(2, 3..8));
    }
}
