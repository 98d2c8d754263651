//! Freezing and holding while deletion requests are under way: `freeze` waits for them, `hold` says that it is too late.

use std::collections::BTreeSet;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use rds_retentiond::simulator::Op;

use super::world::{KEEP_3, Ran, World, backup_id, ids, instance_id, output};

/// Answers come when the test says so, with `end_delays`; shorter than the 20 s after which a request has no answer.
const UNTIL_TOLD: &str = "17s";

/// 107 backups go in three requests, two at once, which are answered after this long.
async fn world(delay: &str) -> World {
    let world = World::new(&[110]).await;
    let projects = format!("{}    concurrency: 2\n", world.simulator.config_yaml());
    world.configure(&projects, KEEP_3, "");
    world.fault(&format!("delete_batch:delay={delay}"));
    world
}

fn spawn(mut command: Command) -> Child {
    command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap()
}

async fn ended(child: Child) -> Ran {
    let output = tokio::task::spawn_blocking(move || child.wait_with_output().unwrap());
    Ran::of(&output.await.unwrap())
}

fn signal(child: &Child, name: &str) {
    let pid = child.id().to_string();
    assert!(Command::new("kill").args([name, &pid]).status().unwrap().success());
}

/// `apply`, with its first two requests under way.
async fn apply(world: &World) -> Child {
    let child = spawn(world.command(&["apply"]));
    while world.simulator.calls_of(Op::DeleteBatch).len() < 2 {
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    child
}

#[tokio::test]
async fn freeze_waits_for_what_is_under_way_and_says_what_became_of_it() {
    let world = world(UNTIL_TOLD).await;
    let run = apply(&world).await;
    let waiting = tokio::spawn(ended(spawn(world.command(&["freeze", "--reason", "stop"]))));
    while world.ledger().freezes().unwrap().is_empty() {
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    world.simulator.faults().end_delays();
    let ran = waiting.await.unwrap().exits(0);
    let ran = ran.says("the freeze is in force; 100 ids are under way");
    // Accepted, or already confirmed by the run's listing.
    let (_, became) = ran.stdout.split_once("100 ids were under way: ").unwrap();
    assert!(became.contains("accepted") || became.contains("confirmed"), "{became}");
    assert!(!became.contains("still"), "{became}");
    assert!(world.ledger().open_requests().unwrap().is_empty());
    let ran = ended(run).await.exits(3);
    assert!(ran.stdout.contains(" thaw f1\n"), "{}", ran.stdout);
    assert_eq!(
        world.simulator.calls_of(Op::DeleteBatch).len(),
        2,
        "nothing began after the freeze"
    );
    world.deleted_exactly(&ids(1, 10..110));
    // What the freeze held back in the middle of the run is counted so at once, and is there.
    let status = world.run(&["status", "--format", "json"]).await.exits(0).json();
    let last = &status["policies"][0]["last_run"];
    assert_eq!(
        (&last["left"], &last["held_back"]["count"]),
        (&7.into(), &7.into()),
        "{last}"
    );
    let bytes = |of: &serde_json::Value| of.as_u64().unwrap();
    let there = bytes(&last["summary"]["bytes"]["keep"]) + bytes(&last["held_back"]["bytes"]);
    assert_eq!(bytes(&status["storage"][0]["kept_bytes"]), there, "{status}");
    let ran = world.run(&["freeze", "--reason", "stop"]).await.exits(0);
    assert!(
        ran.stdout.contains("no deletion request is under way"),
        "{}",
        ran.stdout
    );
    // The twin.
    world.simulator.faults().clear();
    world.run(&["thaw", "--all"]).await;
    world.run(&["thaw"]).await;
    world.apply().await.exits(0);
    world.deleted_exactly(&ids(1, 3..110));
}

/// The configuration's freeze, by an edit in the middle of a run: no command ends it.
#[tokio::test]
async fn a_freeze_that_an_edit_brings_in_the_middle_of_a_run_is_named_with_its_file_and_line() {
    let world = world("4s").await;
    let run = apply(&world).await;
    let before = std::fs::read_to_string(world.config_file()).unwrap();
    std::fs::write(world.config_file(), format!("{before}freeze: {{reason: audit}}\n")).unwrap();
    let ran = ended(run).await.exits(3);
    let said = ran.stdout.split_whitespace().collect::<Vec<_>>().join(" ");
    let place = format!("{}:{}", world.config_file().display(), before.lines().count() + 1);
    assert!(said.contains(&format!("take `freeze` out of {place}")), "{said}");
    assert!(!said.contains("thaw"), "{said}");
    world.deleted_exactly(&ids(1, 10..110));
    // The twin.
    world.simulator.faults().clear();
    std::fs::write(world.config_file(), before).unwrap();
    world.apply().await.exits(0);
    world.deleted_exactly(&ids(1, 3..110));
}

#[tokio::test]
async fn no_wait_and_ctrl_c_end_the_waiting_and_not_the_freeze() {
    let world = world("9s").await;
    let run = apply(&world).await;
    let begun = Instant::now();
    let ran = world.run(&["freeze", "--reason", "stop", "--no-wait"]).await.exits(0);
    let open = "100 ids were under way: 100 still without an answer";
    assert!(ran.stdout.contains(open), "{}", ran.stdout);
    let waiting = spawn(world.command(&["freeze", "--reason", "stop"]));
    let pid = waiting.id();
    // Its handler is there once it waits, which it says on stderr; asked again until it is gone.
    let interrupted = tokio::spawn(ended(waiting));
    while !interrupted.is_finished() {
        tokio::time::sleep(Duration::from_millis(500)).await;
        let _ = Command::new("kill")
            .args(["-INT", &pid.to_string()])
            .stderr(Stdio::null())
            .status();
    }
    let ran = interrupted.await.unwrap();
    if begun.elapsed() < Duration::from_secs(7) {
        assert!(ran.exits(0).stdout.contains(open));
    }
    ended(run).await.exits(3);
    world.deleted_exactly(&ids(1, 10..110));
}

#[tokio::test]
async fn freeze_does_not_wait_for_a_process_that_was_killed() {
    let world = world("60s").await;
    let run = apply(&world).await;
    signal(&run, "-KILL");
    ended(run).await;
    let begun = Instant::now();
    let ran = world.run(&["freeze", "--reason", "stop"]).await.exits(0);
    assert!(begun.elapsed() < Duration::from_secs(20), "{:?}", begun.elapsed());
    assert!(
        ran.stdout
            .contains("100 ids were left over of a process that was killed"),
        "{}",
        ran.stdout
    );
}

#[tokio::test]
async fn a_hold_says_when_it_is_too_late_and_keeps_what_is_not_yet_sent() {
    let world = world(UNTIL_TOLD).await;
    let run = apply(&world).await;
    let (sent, waits) = (backup_id(1, 50), backup_id(1, 5));
    let hold = async |id: &str| output(world.command(&["hold", id, "--reason", "mine"])).await;
    let late = hold(&sent).await.exits(1);
    assert!(late.stdout.contains("Hold h1 placed"), "{}", late.stdout);
    assert!(
        late.stdout.contains("a request that deletes it is under way"),
        "{}",
        late.stdout
    );
    assert!(late.stdout.contains("policy p"), "{}", late.stdout);
    hold(&waits).await.exits(0);
    let many = ["hold", "--name", "nightly-5*", "--reason", "mine"];
    let many = output(world.command(&many)).await.exits(1);
    assert!(many.stdout.contains("too late for 10 backups"), "{}", many.stdout);
    world.simulator.faults().clear();
    world.simulator.faults().end_delays();
    ended(run).await;
    let mut due = ids(1, 3..110);
    due.remove(&waits);
    world.deleted_exactly(&due);
    // What is gone cannot be held, and nothing is placed.
    let placed = world.ledger().holds().unwrap().len();
    for args in [
        vec!["hold", &sent, "--reason", "late"],
        vec!["hold", &sent, "--reason", "late", "--force"],
    ] {
        let ran = world.run(&args).await.exits(1);
        assert!(ran.stderr.contains("it was deleted (asked for"), "{}", ran.stderr);
        assert!(ran.stderr.contains("by policy p, run"), "{}", ran.stderr);
    }
    assert_eq!(world.ledger().holds().unwrap().len(), placed);
}

#[tokio::test]
async fn what_is_being_deleted_cannot_be_held() {
    let world = World::new(&[8]).await;
    let hour = Duration::from_secs(3600);
    world.simulator.set(|settings| settings.deletion_takes = hour);
    world.run(&["apply", "--confirm-for", "0s"]).await.exits(0);
    let ran = world
        .run(&["hold", &backup_id(1, 5), "--reason", "late"])
        .await
        .exits(1);
    assert!(ran.stderr.contains("it is being deleted (asked for"), "{}", ran.stderr);
    assert_eq!(world.ledger().holds().unwrap(), []);
    // The twin: one that stays can be held.
    world
        .run(&["hold", &backup_id(1, 0), "--reason", "mine"])
        .await
        .exits(0);
}

/// It may have been deleted or not, and is asked to be deleted again where it is still there: the hold keeps it then.
#[tokio::test]
async fn what_was_never_answered_is_held_with_a_warning() {
    let world = World::new(&[8]).await;
    world.fault("delete_batch:status=500");
    world.fault("list_backups:status=503:after=1");
    let run = spawn(world.command(&["apply", "--confirm-for", "0s"]));
    ended(run).await.exits(1);
    let id = backup_id(1, 5);
    let ran = world.run(&["hold", &id, "--reason", "mine"]).await.exits(1);
    assert!(ran.stdout.contains("Hold h1 placed"), "{}", ran.stdout);
    assert!(ran.stdout.contains("never answered"), "{}", ran.stdout);
    world.simulator.faults().clear();
    world.apply().await.exits(0);
    let mut due: BTreeSet<String> = ids(1, 3..8);
    due.remove(&id);
    assert_eq!(world.deleted(), due);
}

/// Three are kept, five were asked for and are gone from the listing since.
#[tokio::test]
async fn a_hold_by_patterns_over_deleted_backups_covers_what_is_left_and_says_when_that_is_nothing() {
    let world = World::new(&[8]).await;
    world.apply().await.exits(0);
    world.deleted_exactly(&ids(1, 3..8));
    let hold = async |args: &[&str]| {
        let args = [&["hold"], args, &["--reason", "mine"]].concat();
        output(world.command(&args)).await
    };
    let gone = hold(&["--name", "nightly-5"]).await.exits(1);
    for text in [
        "it covers none",
        "too late for 1 backup, deleted or being deleted",
        &format!("{}: it was deleted (asked for ", backup_id(1, 5)),
        "by policy p, run ",
    ] {
        assert!(gone.stdout.contains(text), "no `{text}` in {}", gone.stdout);
    }
    // The twins.
    let left = hold(&["--instance", &instance_id(1)]).await.exits(0);
    assert!(left.stdout.contains("it covers 3, of 1 instances"), "{}", left.stdout);
    let kept = hold(&["--name", "nightly-1"]).await.exits(0);
    assert!(kept.stdout.contains("it covers 1, of 1 instances"), "{}", kept.stdout);
    let none = hold(&["--name", "NIGHTLY-*"]).await.exits(0);
    assert!(none.stdout.contains("it covers none"), "{}", none.stdout);
}

/// Accepted, and still listed.
#[tokio::test]
async fn a_hold_by_patterns_over_accepted_backups_is_placed_names_them_and_exits_1() {
    let world = World::new(&[10]).await;
    world.fault("delete_batch:ignore");
    world.run(&["apply", "--confirm-for", "0s"]).await.exits(0);
    let hold = [
        "hold",
        "--instance",
        "*01IN04",
        "--name",
        "nightly-*",
        "--reason",
        "mine",
    ];
    let late = world.run(&hold).await.exits(1);
    for text in [
        "Hold h1 placed",
        "it covers 10, of 1 instances",
        "too late for 7 backups",
        "it is being deleted (asked for ",
        "accepted)",
        "and 2 more",
    ] {
        assert!(late.stdout.contains(text), "no `{text}` in {}", late.stdout);
    }
    assert_eq!(late.stdout.matches("it is being deleted").count(), 5, "{}", late.stdout);
    let kept = world
        .run(&["hold", "--name", "nightly-[0-2]", "--reason", "mine"])
        .await;
    assert!(kept.exits(0).stdout.contains("it covers 3, of 1 instances"));
}
