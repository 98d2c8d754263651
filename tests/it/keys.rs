//! Access keys: more than five failures in a row lock one for everybody who uses it, so two are enough for us.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use chrono::TimeDelta;
use rds_retentiond::cli::exit;
use rds_retentiond::clock::now;
use rds_retentiond::ledger::KeyRefusal;
use rds_retentiond::rds::credentials::fingerprint;
use rds_retentiond::simulator::{MetadataToken, Op};

use super::world::{KEEP_3, World, ids};

/// How many requests were answered 401.
fn refused(world: &World) -> usize {
    world
        .simulator
        .calls()
        .iter()
        .filter(|call| call.status == Some(401))
        .count()
}

#[tokio::test]
async fn a_wrong_secret_is_tried_twice_across_projects_policies_and_restarts() {
    // Twelve instances, eight requests at once: none of them starts before the key is proven.
    let mut world = World::new(&[8; 12]).await;
    let first = world.simulator.config_yaml();
    let second = first
        .replace("projects:\n", "")
        .replace("name: simulator", "name: again")
        .replace(world.simulator.project_id(), "0123456789abcdef0123456789abcdef");
    let two = KEEP_3.replace("name: p", "name: q");
    world.configure(&format!("{first}{second}"), &format!("{KEEP_3}{two}"), "");
    world.set_env("HUAWEICLOUD_SDK_SK", "not-the-secret");
    let ran = world.apply().await.exits(77);
    assert_eq!((refused(&world), world.simulator.calls().len()), (2, 2));
    assert_eq!(
        ran.json()["skipped"].as_array().unwrap().len(),
        2,
        "both projects say so"
    );
    for args in [
        ["apply", "--all"],
        ["plan", "--all"],
        ["check", "--online"],
        ["apply", "--wide"],
    ] {
        world.run(&args).await.exits(77);
    }
    assert_eq!((refused(&world), world.simulator.lockouts()), (2, 0));
    world.deleted_exactly(&BTreeSet::new());
}

#[tokio::test]
async fn a_plan_with_a_wrong_secret_remembers_the_refusal_too() {
    let mut world = World::new(&[3]).await;
    world.apply().await.exits(0);
    world.set_env("HUAWEICLOUD_SDK_SK", "not-the-secret");
    for _ in 0..4 {
        world.plan().await.exits(77);
    }
    assert_eq!((refused(&world), world.simulator.lockouts()), (2, 0));
}

/// Also one that a person corrected within the quarter of an hour for which the wrong one is blocked.
#[tokio::test]
async fn a_changed_secret_and_a_changed_key_are_used_at_once() {
    for access_key in [None, Some("NEWACCESSKEY00000001")] {
        let mut world = World::new(&[8]).await;
        let good = world.simulator.secret_key().to_owned();
        world.set_env("HUAWEICLOUD_SDK_SK", "not-the-secret");
        for _ in 0..2 {
            world.apply().await.exits(77);
        }
        assert_eq!(refused(&world), 2);
        if let Some(key) = access_key {
            world
                .simulator
                .add_key(rds_retentiond::simulator::Key::permanent(key, &good));
            world.set_env("HUAWEICLOUD_SDK_AK", key);
        }
        world.set_env("HUAWEICLOUD_SDK_SK", &good);
        world.apply().await.exits(0);
        world.deleted_exactly(&ids(1, 3..8));
    }
}

#[tokio::test]
async fn five_refusals_of_an_access_key_are_the_end_for_the_hour_whatever_the_secret() {
    let mut world = World::new(&[8]).await;
    let good = world.simulator.secret_key().to_owned();
    // Two of the first, one of each that follows: none is tried again.
    for (secret, refusals) in [
        ("a", 2),
        ("b", 3),
        ("b", 3),
        ("c", 4),
        ("d", 5),
        ("e", 5),
        (good.as_str(), 5),
    ] {
        world.set_env("HUAWEICLOUD_SDK_SK", secret);
        let ran = world.apply().await.exits(77);
        assert_eq!(refused(&world), refusals, "{secret}");
        assert!(ran.stdout.contains("until"), "{}", ran.stdout);
    }
    assert_eq!(world.simulator.lockouts(), 0);
    an_hour_passes(&world);
    world.apply().await.exits(0);
    world.deleted_exactly(&ids(1, 3..8));
}

fn an_hour_passes(world: &World) {
    let connection = rusqlite::Connection::open(world.state().join("ledger.sqlite3")).unwrap();
    let hour = TimeDelta::hours(1).num_microseconds().unwrap();
    let changed = connection.execute("UPDATE key_refusal SET at = at - ?1", [hour]);
    assert_eq!(changed.unwrap(), 5);
}

/// A clock in 2043 makes every signature wrong; the block that follows must not last until 2043.
#[tokio::test]
async fn a_block_written_under_a_wrong_clock_ends() {
    let world = World::new(&[8]).await;
    let (now, then) = (now(), now() + TimeDelta::days(17 * 365));
    let note = |at| {
        let key = fingerprint(world.simulator.access_key(), world.simulator.secret_key(), None);
        let refusal = KeyRefusal {
            access_key: key.access_key,
            whole: key.whole,
            at,
            blocked_until: Some(at + TimeDelta::minutes(15)),
        };
        world.ledger().record_key_refusal(&refusal, at).unwrap();
    };
    note(then);
    world.apply().await.exits(0);
    world.deleted_exactly(&ids(1, 3..8));
    note(now);
    world.apply().await.exits(77);
}

/// Each refusal by the wrong clock counts, for an hour from when it is right again.
#[tokio::test]
async fn five_refusals_under_a_wrong_clock_are_the_end_for_one_hour_only() {
    let world = World::new(&[8]).await;
    let then = now() + TimeDelta::days(17 * 365);
    for (nth, secret) in (0..).zip(["a", "a", "b", "c", "d"]) {
        let key = fingerprint(world.simulator.access_key(), secret, None);
        let refusal = KeyRefusal {
            access_key: key.access_key,
            whole: key.whole,
            at: then + TimeDelta::seconds(nth),
            blocked_until: None,
        };
        world.ledger().record_key_refusal(&refusal, refusal.at).unwrap();
    }
    world.apply().await.exits(77);
    assert_eq!(refused(&world), 0);
    an_hour_passes(&world);
    world.apply().await.exits(0);
    world.deleted_exactly(&ids(1, 3..8));
}

#[tokio::test]
async fn temporary_keys_that_run_out_in_mid_run_are_renewed() {
    for token in [MetadataToken::Required, MetadataToken::Unsupported] {
        let world = Arc::new(World::new(&[60, 60, 60]).await);
        world.simulator.set(|settings| settings.agency.token = token);
        let source = format!("{{source: ecs-agency, endpoint: {}}}", world.simulator.metadata_url());
        let projects = world.simulator.config_yaml().replace("{source: environment}", &source);
        // As many at once as the key survives.
        world.configure(&format!("{projects}    concurrency: 4\n"), KEEP_3, "");
        let (done, again) = (AtomicBool::new(false), Arc::clone(&world));
        let mut pass = world.pass();
        pass.watcher = Arc::new(move |at| {
            if at.sent > 0 && !done.swap(true, Ordering::SeqCst) {
                again.simulator.expire_temporary_keys();
            }
        });
        let report = pass.run().await;
        assert_eq!(exit::of_run(&report), 0, "{:?}", report.skipped);
        let due = (1..=3).flat_map(|instance| ids(instance, 3..60)).collect();
        world.deleted_exactly(&due);
        assert!(refused(&world) > 0, "the key did run out");
        assert_eq!(world.simulator.lockouts(), 0);
        assert!(world.simulator.calls_of(Op::SecurityKey).len() >= 2);
    }
}

#[tokio::test]
async fn eight_requests_are_under_way_at_once_and_not_more() {
    let world = World::new(&[4; 30]).await;
    world
        .simulator
        .set(|settings| settings.latency = Duration::from_millis(500));
    let begun = std::time::Instant::now();
    world.pass().run().await;
    // One at a time these 32 requests would take 16 seconds; at twenty a second they begin within two.
    assert!(begun.elapsed() < Duration::from_secs(15), "{:?}", begun.elapsed());
    let calls = world.simulator.calls();
    let listings: Vec<_> = calls
        .iter()
        .filter(|call| call.operation == Some(Op::ListBackups))
        .collect();
    let within = |from: usize| {
        let edge = listings[from].at + TimeDelta::milliseconds(490);
        listings[from..].iter().filter(|call| call.at < edge).count()
    };
    let most = (0..listings.len()).map(within).max().unwrap();
    assert!((2..=8).contains(&most), "{most} at once");
}
