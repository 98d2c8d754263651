//! `history` of runs that are under way or were killed: they have written down no numbers of their own.

use std::process::{Command, Stdio};
use std::time::Duration;

use rds_retentiond::simulator::Op;
use serde_json::{Value, json};

use super::world::{KEEP_3, World, ids};

async fn history(world: &World) -> (String, Vec<Value>) {
    let table = world.run(&["history"]).await.exits(0).stdout;
    let runs = world.run(&["history", "--format", "json"]).await.exits(0).json();
    (table, runs["runs"].as_array().unwrap().clone())
}

#[tokio::test]
async fn history_counts_what_a_run_sent_that_is_under_way_or_was_killed() {
    let world = World::new(&[60]).await;
    let projects = format!("{}    concurrency: 1\n", world.simulator.config_yaml());
    world.configure(&projects, KEEP_3, "");
    world.fault("delete_batch:delay=60s:after=1");
    let mut apply = world.command(&["apply"]);
    let mut apply = apply.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
    while world.simulator.calls_of(Op::DeleteBatch).len() < 2 {
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    let sent = json!({"accepted": 50, "unanswered": 7});
    let (table, runs) = history(&world).await;
    assert!(table.contains("running") && !table.contains("cut short"), "{table}");
    assert!(table.contains("57 deletions sent"), "{table}");
    assert_eq!((&runs[0]["running"], &runs[0]["result"]), (&json!(true), &Value::Null));
    assert_eq!(runs[0]["sent"], sent);

    let pid = apply.id().to_string();
    assert!(Command::new("kill").args(["-KILL", &pid]).status().unwrap().success());
    tokio::task::spawn_blocking(move || apply.wait().unwrap())
        .await
        .unwrap();
    let (table, runs) = history(&world).await;
    assert!(table.contains("cut short") && !table.contains("running"), "{table}");
    assert_eq!((&runs[0]["running"], &runs[0]["result"]), (&json!(false), &Value::Null));
    assert_eq!(runs[0]["sent"], sent);

    // The next run closes it. What both sent counts for both, and a run that ended counts by its own numbers.
    world.simulator.faults().clear();
    world.apply().await.exits(0);
    world.deleted_exactly(&ids(1, 3..60));
    let (table, runs) = history(&world).await;
    assert!(table.contains("cut short"), "{table}");
    assert_eq!(runs[0]["result"], "success");
    assert_eq!(runs[1]["result"], "failed");
    let of = |run: &Value| {
        run["sent"]
            .as_object()
            .unwrap()
            .values()
            .filter_map(Value::as_u64)
            .sum::<u64>()
    };
    assert_eq!(of(&runs[1]), 57, "{runs:?}");
}
