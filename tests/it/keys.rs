//! Access keys: more than five failures in a row lock one for everybody who uses it, so two are enough for us.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use chrono::TimeDelta;
use rds_retentiond::cli::exit;
use rds_retentiond::clock::now;
use rds_retentiond::rds::auth::fingerprint;
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

#[tokio::test]
async fn a_changed_key_is_used_at_once() {
    let mut world = World::new(&[8]).await;
    let good = world.simulator.secret_key().to_owned();
    world
        .simulator
        .add_key(rds_retentiond::simulator::Key::permanent("NEWACCESSKEY00000001", &good));
    world.set_env("HUAWEICLOUD_SDK_SK", "not-the-secret");
    world.apply().await.exits(77);
    world.set_env("HUAWEICLOUD_SDK_SK", &good);
    world.apply().await.exits(77);
    assert_eq!(refused(&world), 2);
    world.set_env("HUAWEICLOUD_SDK_AK", "NEWACCESSKEY00000001");
    world.apply().await.exits(0);
    world.deleted_exactly(&ids(1, 3..8));
}

/// A clock in 2043 makes every signature wrong; the block that follows must not last until 2043.
#[tokio::test]
async fn a_block_written_under_a_wrong_clock_ends() {
    let world = World::new(&[8]).await;
    let key = fingerprint(world.simulator.access_key());
    let then = now() + TimeDelta::days(17 * 365);
    world.ledger().block_key(&key, then, now()).unwrap();
    world.apply().await.exits(0);
    world.deleted_exactly(&ids(1, 3..8));
    world
        .ledger()
        .block_key(&key, now() + TimeDelta::minutes(14), now())
        .unwrap();
    world.apply().await.exits(77);
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
        .set(|settings| settings.latency = Duration::from_millis(200));
    let begun = std::time::Instant::now();
    world.pass().run().await;
    // One at a time these 32 requests would take more than six seconds; at twenty a second they begin within two.
    assert!(begun.elapsed() < Duration::from_secs(6), "{:?}", begun.elapsed());
    let calls = world.simulator.calls();
    let listings: Vec<_> = calls
        .iter()
        .filter(|call| call.operation == Some(Op::ListBackups))
        .collect();
    let within = |from: usize| {
        let edge = listings[from].at + TimeDelta::milliseconds(190);
        listings[from..].iter().filter(|call| call.at < edge).count()
    };
    let most = (0..listings.len()).map(within).max().unwrap();
    assert!((2..=8).contains(&most), "{most} at once");
}
