//! `audit report --recompute`: what the record leads to, by the program at hand.

use chrono::TimeDelta;
use rusqlite::Connection;
use serde_json::Value;
use sha2::{Digest, Sha256};

use super::world::{Ran, World, backup_id};

/// One more backup a day is too old.
const AGING: &str = "
  - name: p
    mode: enforce
    keep: {last: 30}
    max_age: 4d
    grace: 24h
    limits: {max_percent: 100}
";

async fn recompute(world: &World) -> Ran {
    let args = [
        "audit",
        "report",
        "--from",
        "2020-01-01",
        "--to",
        "2099-01-01",
        "--recompute",
        "--format",
        "json",
    ];
    world.run(&args).await
}

/// Some days of a fleet, with holds and an edit.
async fn some_days() -> World {
    let world = World::new(&[12, 12]).await;
    world.policies(AGING);
    for day in 0..6 {
        if day == 2 {
            world
                .run(&["hold", "--name", "nightly-2", "--reason", "case 4711"])
                .await
                .exits(0);
        }
        if day == 3 {
            world.policies_and(
                &AGING.replace("max_age: 4d", "max_age: 5d"),
                "holds: [{name: nightly-1, reason: case}]",
            );
        }
        if day == 4 {
            world.run(&["release", "h1"]).await.exits(0);
        }
        world.pass().later(TimeDelta::days(day)).run().await;
    }
    world
}

fn of(ran: &Ran) -> Value {
    ran.json()["recomputed"].clone()
}

/// As whoever writes the state, knows how rows are sealed and has time.
fn seal_again(file: &Connection) {
    let mut prev = "0".repeat(64);
    let mut rows = file
        .prepare("SELECT seq, at, kind, body FROM chain ORDER BY seq")
        .unwrap();
    let rows: Vec<(i64, [String; 3])> = rows
        .query_map((), |row| Ok((row.get(0)?, [row.get(1)?, row.get(2)?, row.get(3)?])))
        .unwrap()
        .collect::<Result<_, _>>()
        .unwrap();
    for (seq, texts) in &rows {
        let mut digest = Sha256::new();
        digest.update(seq.to_be_bytes());
        for text in texts.iter().chain([&prev]) {
            digest.update((text.len() as u64).to_be_bytes());
            digest.update(text.as_bytes());
        }
        let hash = hex::encode(digest.finalize());
        file.execute(
            "UPDATE chain SET prev = ?2, hash = ?3 WHERE seq = ?1",
            (seq, &prev, &hash),
        )
        .unwrap();
        prev = hash;
    }
    file.execute("UPDATE meta SET value = ?1 WHERE key = 'head'", [&prev])
        .unwrap();
}

#[tokio::test]
async fn honest_days_are_decided_again_as_they_were_and_a_forged_deletion_is_named() {
    let world = some_days().await;
    let deleted = world.deleted();
    assert!(deleted.len() > 8, "{deleted:?}");
    let ran = recompute(&world).await.exits(0);
    let found = of(&ran);
    assert_eq!(found["deletions"], deleted.len());
    assert_eq!(found["agreed"], deleted.len(), "{found}");
    assert_eq!(found["differences"], serde_json::json!([]));
    let configurations = ran.json()["configurations"].clone();
    assert_eq!(configurations.as_array().unwrap().len(), 2);
    assert!(
        configurations[0]["files"][0]["text"]
            .as_str()
            .unwrap()
            .contains("max_age: 4d")
    );
    // A deletion that nobody decided, sealed as if this program had written it.
    let (gone, kept) = (deleted.first().unwrap(), backup_id(1, 0));
    let file = Connection::open(world.state().join("ledger.sqlite3")).unwrap();
    file.execute_batch("DROP TRIGGER chain_no_update").unwrap();
    file.execute(
        "UPDATE chain SET body = replace(body, ?1, ?2) WHERE kind IN ('intent', 'outcome', 'confirmed')",
        [gone, &kept],
    )
    .unwrap();
    seal_again(&file);
    world.run(&["audit", "verify"]).await.exits(0);
    let ran = recompute(&world).await.exits(1);
    let found = of(&ran);
    assert_eq!(found["differences"].as_array().unwrap().len(), 1, "{found}");
    assert_eq!(found["differences"][0]["backup"], kept);
    assert_eq!(found["differences"][0]["what"], "the policy keeps it");
}

#[tokio::test]
async fn a_record_of_what_was_listed_that_was_changed_is_named() {
    let world = some_days().await;
    let file = Connection::open(world.state().join("ledger.sqlite3")).unwrap();
    file.execute_batch("DROP TRIGGER chain_no_update; UPDATE chain SET body = replace(body, 'nightly-9', 'nightly-0') WHERE kind = 'decided'")
        .unwrap();
    seal_again(&file);
    let found = of(&recompute(&world).await.exits(1));
    let what = found["differences"][0]["what"].as_str().unwrap();
    assert!(what.contains("does not fit together"), "{found}");
}

#[tokio::test]
async fn a_token_of_a_webhook_is_not_in_the_record() {
    let world = World::new(&[6]).await;
    let notify = "notify: [{url: https://hooks.example/T0/s3cr3t, format: json, on: [failed]}]";
    world.policies_and(super::world::KEEP_3, notify);
    let _ = world.pass().run().await;
    let configurations = recompute(&world).await.exits(0).json()["configurations"].clone();
    let text = configurations[0]["files"][0]["text"].as_str().unwrap();
    assert!(
        text.contains("https://hooks.example/x") && text.contains("keep: {last: 3}"),
        "{text}"
    );
    let exported = world.run(&["audit", "export"]).await.exits(0).stdout;
    assert!(!exported.contains("T0/s3cr3t"), "{exported}");
}
