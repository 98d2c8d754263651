//! What stops must stop: whatever a deletion request waits for, five seconds after a hold, a freeze or a stop nothing
//! that it forbids begins.

use std::collections::BTreeSet;
use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use rds_retentiond::clock::now;
use rds_retentiond::ledger::{DeletionState, Verification};
use rds_retentiond::retention::{Freeze, Hold, HoldTarget};
use rds_retentiond::simulator::Op;
use tokio::sync::watch;
use tokio::task::JoinSet;

use super::world::{KEEP_3, World, backup_id, ids};

/// What requests wait for.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Waits {
    Slot,
    Rate,
    RetryAfter,
    Renewal,
}

/// What happens meanwhile.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Meanwhile {
    Nothing,
    Hold,
    Freeze,
    Stop,
}

/// Longer than the five seconds that a request has to begin.
const LONG: &str = "7s";

/// A world in which all but the first requests wait; how many backups the instance has, and of how many the requests do
/// not wait.
async fn world(waits: Waits) -> (World, usize, usize) {
    let (backups, first, more) = match waits {
        Waits::Slot | Waits::RetryAfter => (110, 2, "concurrency: 2"),
        Waits::Rate => (500, 1, "requests_per_second: 1"),
        Waits::Renewal => (8, 1, "concurrency: 1"),
    };
    let world = World::new(&[backups]).await;
    world.configure(&format!("{}    {more}\n", world.simulator.config_yaml()), KEEP_3, "");
    match waits {
        Waits::Slot => world.fault(&format!("delete_batch:delay={LONG}:times=2")),
        Waits::Rate => {}
        Waits::RetryAfter => {
            // Both are under way before the first is answered, else the second would wait, too, and be the one that succeeds.
            world.fault("delete_batch:delay=2s:times=2");
            world.fault("delete_batch:status=429:retry_after=7:times=2");
        }
        Waits::Renewal => {
            world.fault(&format!("delete_batch:delay={LONG}:times=1"));
            world.fault("delete_batch:status=401:times=1");
        }
    }
    (world, backups, first)
}

/// Waits until the first requests are where the others have to wait.
async fn until_they_wait(world: &World, waits: Waits, first: usize) {
    loop {
        let calls = world.simulator.calls_of(Op::DeleteBatch);
        let answered = calls.iter().filter(|call| call.status.is_some()).count();
        let there = if waits == Waits::RetryAfter {
            answered
        } else {
            calls.len()
        };
        if there >= first {
            return;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

/// Does it; when it was done.
fn act(world: &World, meanwhile: Meanwhile, stop: &watch::Sender<bool>) -> DateTime<Utc> {
    match meanwhile {
        Meanwhile::Nothing => {}
        Meanwhile::Hold => {
            let hold = Hold {
                id: None,
                // In the last batch.
                target: HoldTarget::Backup(backup_id(1, 3).as_str().into()),
                reason: "just now".to_owned(),
                owner: None,
                until: None,
            };
            world.ledger().add_hold(&hold, "somebody", now()).unwrap();
        }
        Meanwhile::Freeze => {
            let freeze = Freeze {
                reason: "just now".to_owned(),
                until: None,
            };
            world.ledger().set_freeze(&freeze, "somebody", now()).unwrap();
        }
        Meanwhile::Stop => stop.send(true).unwrap(),
    }
    now()
}

async fn scenario(waits: Waits, meanwhile: Meanwhile) {
    let (world, backups, first) = world(waits).await;
    let (stop, stopped) = watch::channel(false);
    let mut pass = world.pass();
    pass.stop = stopped;
    pass.budget = Duration::from_secs(120);
    let (report, done) = tokio::join!(pass.run(), async {
        until_they_wait(&world, waits, first).await;
        act(&world, meanwhile, &stop)
    });
    let case = format!("{waits:?} {meanwhile:?}");
    let due = ids(1, 3..backups);
    let held = BTreeSet::from([backup_id(1, 3)]);
    let kept: BTreeSet<String> = due.difference(&held).cloned().collect();
    let calls = world.simulator.calls_of(Op::DeleteBatch);
    let late = calls.iter().filter(|call| call.at > done + TimeDelta::seconds(5));
    let late: BTreeSet<&String> = late.flat_map(|call| &call.backup_ids).collect();
    match meanwhile {
        Meanwhile::Nothing => assert_eq!(world.deleted(), due, "{case}"),
        Meanwhile::Hold => {
            assert!(!late.contains(&backup_id(1, 3)), "{case}: asked to delete what is held");
            assert_eq!(world.deleted(), kept, "{case}");
            assert_eq!(report.policies[0].left, 0, "{case}: held is kept, not left undone");
        }
        Meanwhile::Freeze | Meanwhile::Stop => {
            assert!(late.is_empty(), "{case}: {} ids were sent later", late.len());
            let sent = match waits {
                Waits::Slot => ids(1, 10..110),
                // What had begun before.
                Waits::Rate => world.asked(),
                Waits::RetryAfter | Waits::Renewal => BTreeSet::new(),
            };
            assert_eq!(world.deleted(), sent, "{case}");
            assert_eq!(
                usize::try_from(report.policies[0].left).unwrap(),
                due.len() - sent.len(),
                "{case}"
            );
        }
    }
    world.sent_by_the_rules();
    let ledger = world.ledger();
    assert_eq!(ledger.open_requests().unwrap(), [], "{case}");
    let verified = ledger.verify(None).unwrap();
    assert!(matches!(verified, Verification::Intact { .. }), "{case}: {verified:?}");
}

/// Each wait with each stop, and with none: then everything goes.
#[tokio::test]
async fn whatever_a_request_waits_for_a_hold_a_freeze_and_a_stop_reach_it() {
    let mut scenarios = JoinSet::new();
    for waits in [Waits::Slot, Waits::Rate, Waits::RetryAfter, Waits::Renewal] {
        for meanwhile in [Meanwhile::Nothing, Meanwhile::Hold, Meanwhile::Freeze, Meanwhile::Stop] {
            scenarios.spawn(scenario(waits, meanwhile));
        }
    }
    let mut failed = Vec::new();
    while let Some(ended) = scenarios.join_next().await {
        failed.extend(ended.err().map(|error| error.to_string()));
    }
    assert!(failed.is_empty(), "{failed:#?}");
}

/// A ledger that somebody else has locked while an intent is to be written, for longer than the request may take to begin.
async fn with_a_slow_ledger(meanwhile: Meanwhile) -> World {
    let world = World::new(&[8]).await;
    world.fault("delete_batch:status=429:retry_after=1:times=1");
    let (stop, stopped) = watch::channel(false);
    let mut pass = world.pass();
    pass.stop = stopped;
    pass.budget = Duration::from_secs(120);
    tokio::join!(pass.run(), async {
        until_they_wait(&world, Waits::RetryAfter, 1).await;
        while !world.ledger().open_requests().unwrap().is_empty() {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        let lock = rusqlite::Connection::open(world.ledger().path()).unwrap();
        lock.execute_batch("BEGIN IMMEDIATE").unwrap();
        tokio::time::sleep(Duration::from_millis(8_500)).await;
        if meanwhile == Meanwhile::Stop {
            stop.send(true).unwrap();
        }
        lock.execute_batch("ROLLBACK").unwrap();
    });
    world
}

#[tokio::test]
async fn an_intent_that_waited_too_long_for_the_ledger_is_withdrawn_and_sent_by_another() {
    let world = with_a_slow_ledger(Meanwhile::Nothing).await;
    world.deleted_exactly(&ids(1, 3..8));
    assert_eq!(world.simulator.calls_of(Op::DeleteBatch).len(), 2);
    let past = world.ledger().backup_history(&backup_id(1, 5).as_str().into()).unwrap();
    let states: Vec<DeletionState> = past.iter().map(|past| past.state).collect();
    let expected = [
        DeletionState::Rejected,
        DeletionState::Withdrawn,
        DeletionState::Confirmed,
    ];
    assert_eq!(states, expected);
    let verified = world.run(&["audit", "verify"]).await.exits(0);
    assert!(verified.stdout.contains("intact"), "{}", verified.stdout);
    let why = world.run(&["why", &backup_id(1, 5)]).await.exits(0);
    assert!(
        why.stdout.contains("a deletion was planned and not sent"),
        "{}",
        why.stdout
    );
}

#[tokio::test]
async fn an_intent_that_waited_too_long_for_the_ledger_is_not_sent_after_a_stop() {
    let world = with_a_slow_ledger(Meanwhile::Stop).await;
    assert_eq!(world.deleted(), BTreeSet::new());
    assert_eq!(
        world.simulator.calls_of(Op::DeleteBatch).len(),
        1,
        "the one that was throttled"
    );
    let ledger = world.ledger();
    assert_eq!(ledger.open_requests().unwrap(), []);
    assert_eq!(ledger.unconfirmed().unwrap(), []);
    let past = ledger.backup_history(&backup_id(1, 5).as_str().into()).unwrap();
    let states: Vec<DeletionState> = past.iter().map(|past| past.state).collect();
    assert_eq!(states, [DeletionState::Rejected, DeletionState::Withdrawn]);
    // The twin: the next run sends them.
    world.apply().await.exits(0);
    world.deleted_exactly(&ids(1, 3..8));
}
