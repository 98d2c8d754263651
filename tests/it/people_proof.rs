//! Who did something, and what takes two people: approvals, releases and thaws, compliance holds. One person with several names is
//! one person.

use std::collections::BTreeSet;

use chrono::TimeDelta;
use rds_retentiond::ledger::{Actor, Person, RefusedPlan};
use rds_retentiond::retention::{Hold, HoldTarget, People, PolicyName};
use serde_json::Value;

use super::world::{KEEP_3, World, backup_id, ids};

/// Another user of this host, without a login.
fn person(nth: u32) -> Person {
    let of_this_process = Person::of_this_process();
    let uid = of_this_process.uid.unwrap() + nth;
    Person {
        uid: Some(uid),
        login_uid: None,
        ..of_this_process
    }
}

fn actor(person: &Person) -> Actor<'_> {
    Actor {
        by: "another",
        reason: None,
        person: Some(person),
        protect: People::Two,
    }
}

const TWO: &str = "
  - name: p
    mode: enforce
    keep: {last: 3}
    grace: 0s
    approvals: 2
    limits: {max_percent: 100, max_deletions: 2}
";

fn event(events: &Value, nth: usize) -> &Value {
    &events["events"][nth]
}

#[tokio::test]
async fn who_acts_is_recorded_by_the_system_and_what_the_environment_says_is_only_claimed() {
    let mut world = World::new(&[8]).await;
    world.apply().await.exits(0);
    let mut names = BTreeSet::new();
    for claimed in ["mallory", "root", "boss"] {
        for variable in ["SUDO_USER", "USER", "LOGNAME"] {
            world.set_env(variable, claimed);
        }
        world
            .run(&["hold", &backup_id(1, 1), "--reason", "case 4711"])
            .await
            .exits(0);
        let events = world.run(&["history", "--events", "--format", "json"]).await.json();
        let last = event(&events, 0);
        assert_eq!(last["person"]["claimed"], claimed);
        assert_eq!(last["person"]["uid"], Person::of_this_process().uid.unwrap());
        assert_eq!(last["person"]["version"], env!("CARGO_PKG_VERSION"));
        assert_eq!(last["person"]["config_sha256"].as_str().unwrap().len(), 64);
        names.insert(last["by"].as_str().unwrap().to_owned());
    }
    assert_eq!(names.len(), 1, "{names:?}");
    let holds = world.run(&["holds", "--format", "json"]).await.json();
    assert_eq!(holds["holds"][0]["placed_by"], *names.first().unwrap());
    let shown = world.run(&["history", "--events"]).await.exits(0);
    assert!(shown.stdout.contains("claims to be"), "{shown:?}");
    world.run(&["audit", "verify"]).await.exits(0);
}

#[tokio::test]
async fn one_person_approves_once_and_a_second_one_for_the_same_plan() {
    let world = World::new(&[18]).await;
    world.policies(TWO);
    world.apply().await.exits(3);
    let checked = world.run(&["check"]).await.exits(0);
    let is_warned = (checked.stdout.clone() + &checked.stderr).contains("there is no login here");
    assert_eq!(is_warned, Person::of_this_process().login_uid.is_none(), "{checked:?}");
    let policy = PolicyName::from("p");
    let plan = world.ledger().waiting(&policy).unwrap().unwrap();
    let approve = ["approve", "p", "--plan", &plan.digest];
    // Twice, under two names, from two terminals: one person.
    world.run(&approve).await.exits(1).says("takes two people");
    let mut command = world.command(&approve);
    command.env("USER", "bob").env("SUDO_USER", "carol");
    super::world::output(command).await.exits(1);
    world.apply().await.exits(3);
    world.deleted_exactly(&BTreeSet::new());
    let (now, another) = (rds_retentiond::clock::now(), person(1));
    let until = now + TimeDelta::hours(48);
    // Another person, but another plan of fewer ids; and one whose approval has run out.
    let fewer = plan.backups[1..].to_vec();
    let other = RefusedPlan::new(&plan.run, plan.limits.clone(), fewer, plan.at);
    world
        .ledger()
        .approve_plan(&policy, &other, until, actor(&another), now)
        .unwrap();
    world
        .ledger()
        .approve_plan(&policy, &plan, now, actor(&another), now)
        .unwrap();
    world.apply().await.exits(3);
    world.deleted_exactly(&BTreeSet::new());
    world
        .ledger()
        .approve_plan(&policy, &plan, until, actor(&another), now)
        .unwrap();
    world.apply().await.exits(0);
    world.deleted_exactly(&ids(1, 3..18));
    world.run(&["audit", "verify"]).await.exits(0);
}

#[tokio::test]
async fn where_one_is_enough_one_approves() {
    let world = World::new(&[18]).await;
    world.policies(&TWO.replace("approvals: 2", "approvals: 1"));
    world.apply().await.exits(3);
    world.approve("p").await.exits(0);
    world.apply().await.exits(0);
    world.deleted_exactly(&ids(1, 3..18));
}

#[tokio::test]
async fn what_another_placed_takes_two_to_end_where_the_configuration_says_so() {
    let world = World::new(&[8]).await;
    world.policies_and(KEEP_3, "protect: two");
    world.apply().await.exits(0);
    world.simulator.add_backup(super::world::backup(1, 3));
    let (now, another, third) = (rds_retentiond::clock::now(), person(1), person(2));
    let target = HoldTarget::Matching {
        instance: None,
        name: None,
    };
    let hold = Hold {
        id: None,
        target,
        reason: "case 4711".to_owned(),
        owner: None,
        until: None,
    };
    world.ledger().add_hold(&hold, actor(&another), now).unwrap();
    world.run(&["freeze", "--reason", "mine"]).await.exits(0);
    // One's own is one's own.
    world.run(&["thaw", "f1"]).await.exits(0);
    for _ in 0..2 {
        world
            .run(&["release", "h1"])
            .await
            .exits(1)
            .says("takes a second person")
            .says("another");
    }
    world.apply().await.exits(0);
    assert!(!world.deleted().contains(&backup_id(1, 2)));
    let listed = world.run(&["holds", "--format", "json"]).await.json();
    assert_eq!(listed["holds"][0]["active"], true);
    let ended = world
        .ledger()
        .release("h1", actor(&third), rds_retentiond::clock::now())
        .unwrap();
    assert!(ended.awaits.is_none());
    world.run(&["audit", "verify"]).await.exits(0);
    // Where one is enough, it says whose it was.
    world.policies(KEEP_3);
    world.apply().await.exits(0);
    world.ledger().add_hold(&hold, actor(&another), now).unwrap();
    let released = world.run(&["release", "h2"]).await.exits(0);
    assert!(released.stdout.contains("placed by another"), "{released:?}");
}

#[tokio::test]
async fn nobody_releases_a_compliance_hold_before_its_end() {
    let world = World::new(&[8]).await;
    let hold = ["hold", "--name", "nightly-5", "--reason", "law", "--compliance"];
    world.run(&hold).await.exits(64);
    let long = [&hold[..], &["--until", "4000d"]].concat();
    world.run(&long).await.exits(64).says("ten years");
    let placed = world.run(&[&hold[..], &["--until", "30d"]].concat()).await.exits(0);
    assert!(placed.stdout.contains("nobody can release it before"), "{placed:?}");
    world.run(&["release", "h1"]).await.exits(1).says("compliance hold");
    // A shorter one beside it, in the configuration and by command, ends nothing.
    world.policies_and(KEEP_3, "holds: [{name: nightly-5, reason: short, until: 2099-01-01}]");
    world
        .run(&["hold", "--name", "nightly-5", "--reason", "short", "--until", "1h"])
        .await
        .exits(0);
    world.run(&["release", "h2"]).await.exits(0);
    world.policies(KEEP_3);
    world.apply().await.exits(0);
    let kept = backup_id(1, 5);
    let mut others = ids(1, 3..8);
    others.remove(&kept);
    world.deleted_exactly(&others);
    // With sqlite3: it is held all the same, and found.
    let file = rusqlite::Connection::open(world.state().join("ledger.sqlite3")).unwrap();
    file.execute("UPDATE hold SET released_at = 1", ()).unwrap();
    world.apply().await;
    world.deleted_exactly(&others);
    world
        .run(&["audit", "verify"])
        .await
        .exits(1)
        .says("the table of holds");
    file.execute("UPDATE hold SET released_at = NULL WHERE number = 1", ())
        .unwrap();
    // After its end it holds nothing.
    world.pass().later(TimeDelta::days(31)).try_run().await.ok();
}

/// What the person who places no bounds on themselves writes.
fn own_configuration(world: &World) -> std::path::PathBuf {
    let text = std::fs::read_to_string(world.config_file()).unwrap();
    let own = world.dir().join("own.yaml");
    std::fs::write(
        &own,
        text.replace("protect: two", "").replace("approvals: 2", "approvals: 1"),
    )
    .unwrap();
    own
}

#[tokio::test]
async fn nobody_ends_what_another_placed_by_a_configuration_of_their_own() {
    let world = World::new(&[3]).await;
    world.policies_and(KEEP_3, "protect: two");
    world.apply().await.exits(0);
    let (now, another) = (rds_retentiond::clock::now(), person(1));
    let hold = Hold {
        id: None,
        target: HoldTarget::Backup(backup_id(1, 1).as_str().into()),
        reason: "case 4711".to_owned(),
        owner: None,
        until: None,
    };
    world.ledger().add_hold(&hold, actor(&another), now).unwrap();
    let freeze = rds_retentiond::retention::Freeze {
        reason: "audit".to_owned(),
        until: None,
    };
    world.ledger().set_freeze(&freeze, actor(&another), now).unwrap();
    let own = own_configuration(&world);
    // Also not after a run with it.
    for _ in 0..2 {
        for end in [["release", "h1"], ["thaw", "f1"]] {
            let ended = super::world::output(world.command_with(&own, &end)).await.exits(1);
            ended
                .says("takes a second person")
                .says("config.yaml, by which runs began");
        }
        super::world::output(world.command_with(&own, &["apply"]))
            .await
            .exits(0);
    }
    assert!(world.ledger().frozen(now).unwrap().is_some());
    // Who may change the configuration of the runs changes it.
    world.policies(KEEP_3);
    world.apply().await.exits(0);
    world.run(&["thaw", "f1"]).await.exits(0);
    world.run(&["release", "h1"]).await.exits(0);
    world.run(&["audit", "verify"]).await.exits(0);
}

#[tokio::test]
async fn one_approval_does_not_count_by_a_configuration_of_ones_own() {
    let world = World::new(&[18]).await;
    world.policies(TWO);
    world.apply().await.exits(3);
    let plan = world.ledger().waiting(&"p".into()).unwrap().unwrap();
    let own = own_configuration(&world);
    let approve = world.command_with(&own, &["approve", "p", "--plan", &plan.digest]);
    super::world::output(approve).await.exits(1).says("takes two people");
    super::world::output(world.command_with(&own, &["apply"]))
        .await
        .exits(3);
    world.deleted_exactly(&BTreeSet::new());
    world.policies(&TWO.replace("approvals: 2", "approvals: 1"));
    world.apply().await.exits(0);
    world.deleted_exactly(&ids(1, 3..18));
}
