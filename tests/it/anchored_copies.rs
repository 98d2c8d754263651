//! Heads that are anchored outside the state are found wherever a copy of it lies, and by whatever name; and `plan` says what a run would.

use std::collections::BTreeSet;
use std::fs;

use super::anchors::anchored;
use super::world::{KEEP_3, World, backup, ids};

/// The configuration's state is elsewhere, as under the path of a bind mount.
const ELSEWHERE: &str = "sed -i 's#^state_dir: .*#state_dir: other#' config.yaml";

/// Heads as versions before this one wrote them.
const AS_BEFORE: &str = r#"sed -i -E 's/,"(named|origin)":"[^"]*"//g' anchors"#;

#[tokio::test]
async fn a_link_or_another_path_to_an_older_copy_or_a_new_state_deletes_nothing() {
    for (before, change) in [
        ("", "mv state real; ln -s older state"),
        (AS_BEFORE, "mv state real; ln -s older state"),
        ("", &*format!("mv older other; {ELSEWHERE}")),
        ("", &*format!("ln -s older other; {ELSEWHERE}")),
        // A link from the beginning, which leads elsewhere now: to an older copy, or to nothing.
        ("mv state real; ln -s real state; APPLY", "rm state; ln -s older state"),
        (
            "mv state real; ln -s real state; APPLY",
            "rm state; mkdir empty; ln -s empty state",
        ),
    ] {
        let world = World::new(&[3]).await;
        world.policies_and(KEEP_3, "audit: {anchor: ./anchors}");
        world.apply().await.exits(0);
        world.shell("cp -r state older");
        let (before, runs) = before
            .split_once("APPLY")
            .map_or((before, 1), |(before, _)| (before, 2));
        world.shell(if before.is_empty() { "true" } else { before });
        for _ in 0..runs {
            world.apply().await.exits(0);
        }
        if before == AS_BEFORE {
            world.shell(AS_BEFORE);
            assert!(
                !fs::read_to_string(world.dir().join("anchors"))
                    .unwrap()
                    .contains("origin")
            );
        }
        for number in 3..8 {
            world.simulator.add_backup(backup(1, number));
        }
        world.shell(change);
        world.apply().await.exits(3).says("set back");
        world.deleted_exactly(&BTreeSet::new());
    }
}

/// The twins: the same state elsewhere, by hand or by `state move`, behind a link or not.
#[tokio::test]
async fn a_state_that_was_moved_whole_deletes() {
    let moved = format!("mv state other; {ELSEWHERE}");
    for change in ["mv state real; ln -s real state", &*moved] {
        let world = anchored().await;
        world.shell(change);
        world.apply().await.exits(0);
        world.deleted_exactly(&ids(1, 3..8));
    }
    let world = anchored().await;
    let to = world.dir().join("other");
    // Of an older copy it would make the state that was meant the one that was set back.
    world.shell("mv state newest; cp -r older state");
    let refused = world.run(&["state", "move", "--to", to.to_str().unwrap()]).await;
    refused.exits(3).says("set back");
    world.shell("rm -r state; mv newest state");
    world
        .run(&["state", "move", "--to", to.to_str().unwrap()])
        .await
        .exits(0);
    world.shell(ELSEWHERE);
    world.apply().await.exits(0);
    world.deleted_exactly(&ids(1, 3..8));
}

#[tokio::test]
async fn a_plan_on_a_state_that_was_set_back_or_is_gone_is_refused_as_a_run_would_be() {
    for back in ["rm -r state; cp -r older state", "rm -r state"] {
        let world = anchored().await;
        let plan = world.plan().await.exits(0).json();
        assert_eq!(plan["policies"][0]["verdict"], "approved");
        world.shell(back);
        let plan = world.plan().await.exits(0).json();
        let policy = &plan["policies"][0];
        assert_eq!(policy["verdict"], "refused", "{plan}");
        assert_eq!(policy["refusal"]["limit"], "ledger");
        assert!(
            policy["refusal"]["message"].as_str().unwrap().contains("set back"),
            "{plan}"
        );
        // As they would be without the refusal.
        assert_eq!(policy["summary"]["delete"], 5);
        let shown = world.run(&["plan"]).await.exits(0).stdout;
        assert!(
            shown.contains("refused") && shown.contains("state accept-rewind"),
            "{shown}"
        );
        // The twin.
        world.apply().await.exits(3);
        world
            .run(&["state", "accept-rewind", "--reason", "restored"])
            .await
            .exits(0);
        let plan = world.plan().await.exits(0).json();
        assert_eq!(plan["policies"][0]["verdict"], "approved");
        world.apply().await.exits(0);
        world.deleted_exactly(&ids(1, 3..8));
    }
}
