//! What strangers write, wherever it is shown: names of backups and instances, tags, the API's own words.

use rds_retentiond::simulator::{Fault, FaultKind, Fleet, Op};
use serde_json::Value;

use super::world::{KEEP_3, World, backup_id, fleet, ids};

/// It clears a terminal in both spellings, forges a line of a log, and turns the text that follows.
const EVIL: &str = "x\u{1b}[2J\n<3>forged\u{9b}2J\u{202e}\u{2066}\u{7f}\u{ad}\u{200b}\u{e0041}y";

fn bad(text: &str) -> Option<char> {
    let hidden = |c: &char| matches!(*c, '\u{ad}' | '\u{200b}'..='\u{202e}' | '\u{2060}'..='\u{2069}' | '\u{e0041}');
    text.chars().find(|c| (c.is_control() && *c != '\n') || hidden(c))
}

async fn world() -> World {
    World::with(|options| {
        options.fleet = match fleet(&[6]) {
            Fleet::Given {
                mut instances,
                mut backups,
            } => {
                EVIL.clone_into(&mut instances[0].name);
                for backup in &mut backups {
                    backup.name = format!("{EVIL}{}", backup.id);
                }
                Fleet::Given { instances, backups }
            }
            other => other,
        };
    })
    .await
}

#[tokio::test]
async fn nothing_that_is_printed_steers_a_terminal() {
    let world = world().await;
    let kept = backup_id(1, 0);
    world.simulator.faults().add(
        Fault::on(
            Op::DeleteBatch,
            FaultKind::Result {
                code: "DBS.1".to_owned(),
                message: EVIL.to_owned(),
            },
        )
        .times(1),
    );
    for args in [
        vec!["plan", "--all"],
        vec!["plan", "--format", "json"],
        vec!["why", &kept],
        vec!["why", &kept, "--format", "json"],
        vec!["forecast"],
        vec!["forecast", "--format", "json"],
        vec!["apply", "--format", "json", "--log-level", "debug"],
        vec!["apply", "--all", "--log-level", "debug", "--log-format", "json"],
        vec!["hold", &kept, "--reason", EVIL],
        vec!["holds"],
        vec!["holds", "--format", "json"],
        vec!["history"],
        vec!["history", "--format", "json"],
        vec!["why", EVIL],
    ] {
        let ran = world.run(&args).await;
        for text in [&ran.stdout, &ran.stderr] {
            assert_eq!(bad(text), None, "{args:?}: {text:?}");
            assert!(!text.lines().any(|line| line.starts_with("<3>")), "{args:?}: {text:?}");
        }
    }
    world.deleted_exactly(&ids(1, 3..6));
}

#[tokio::test]
async fn json_loses_nothing_by_it() {
    let world = world().await;
    world.policies(KEEP_3);
    let report = world.plan().await.exits(0).json();
    let decisions = report["policies"][0]["decisions"].as_array().unwrap();
    assert_eq!(decisions.len(), 6);
    for decision in decisions {
        let id = decision["backup_id"].as_str().unwrap();
        assert_eq!(
            decision["backup_name"],
            Value::from(format!("{EVIL}{id}")),
            "{decision}"
        );
    }
}
