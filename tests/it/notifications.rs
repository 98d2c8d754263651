//! `notify`: what is sent where, and that nothing waits for it.

use std::fs;
use std::io::Read as _;
use std::process::Stdio;

use serde_json::Value;

use super::receiver::{Answer, PATIENCE, Receiver, SECRET, notify};
use super::world::{Ran, World, ids};

const REFUSES: &str = "
  - name: p
    mode: enforce
    keep: {last: 3}
    grace: 0s
    limits: {max_deletions: 2, max_percent: 100}
";

#[tokio::test]
async fn a_run_pings_its_start_and_its_success() {
    let world = World::new(&[5]).await;
    let receiver = Receiver::start(&[Answer::Status(200)]).await;
    let targets = notify(&[
        ("ping", &receiver.url, "start, success, failed"),
        ("json", &receiver.url, "success"),
    ]);
    world.policies_and(super::world::KEEP_3, &targets);
    let ran = world.apply().await.exits(0);
    world.deleted_exactly(&ids(1, 3..5));
    receiver.has(3).await;
    let mut pings = receiver.pings();
    // The second target has a queue of its own.
    pings.sort();
    assert_eq!(pings, ["", "", "/start"]);
    let arrived = receiver.arrived();
    let json = arrived
        .iter()
        .find_map(|(_, body)| serde_json::from_str::<Value>(body).ok())
        .unwrap();
    assert_eq!(
        (&json["event"], &json["policy"], &json["result"]),
        (&"success".into(), &"p".into(), &"success".into())
    );
    assert_eq!(json["run_id"], ran.json()["run_id"]);
    assert_eq!(
        (&json["summary"]["keep"], &json["summary"]["delete"]),
        (&3.into(), &2.into())
    );
    assert!(
        json["message"].as_str().unwrap().contains("2 backups deleted"),
        "{json}"
    );
    // Nothing to do is a success, too.
    world.apply().await.exits(0);
    receiver.has(6).await;
    assert!(!receiver.pings().contains(&"/fail".to_owned()));
}

#[tokio::test]
async fn a_refused_plan_is_sent_with_the_command_that_approves_it_and_pings_a_failure() {
    let world = World::new(&[8]).await;
    let receiver = Receiver::start(&[Answer::Status(200)]).await;
    let hook = Receiver::start(&[Answer::Status(200)]).await;
    let targets = [
        ("ping", receiver.url.as_str(), "success, failed"),
        ("slack", &hook.url, "refused, failed, partial"),
    ];
    world.policies_and(REFUSES, &notify(&targets));
    world.apply().await.exits(3);
    assert_eq!((receiver.pings(), hook.arrived().len()), (vec!["/fail".to_owned()], 1));
    let waiting = world.ledger().waiting(&"p".into()).unwrap().unwrap();
    let text = hook.json()[0]["text"].as_str().unwrap().to_owned();
    let command = format!(
        "--config {} approve p --plan {}",
        world.config_file().display(),
        waiting.digest
    );
    assert!(text.contains(&command), "{text}");
    world.deleted_exactly(&ids(1, []));
    // What it says is what helps.
    world.approve("p").await.exits(0);
    world.apply().await.exits(0);
    world.deleted_exactly(&ids(1, 3..8));
    assert_eq!(
        (receiver.pings(), hook.arrived().len()),
        (vec!["/fail".to_owned(), String::new()], 1)
    );
}

#[tokio::test]
async fn a_project_that_cannot_be_read_is_sent_as_failed_with_its_reason() {
    let mut world = World::new(&[5]).await;
    let receiver = Receiver::start(&[Answer::Status(200)]).await;
    world.policies_and(
        super::world::KEEP_3,
        &notify(&[("json", &receiver.url, "failed, success")]),
    );
    world.set_env("HUAWEICLOUD_SDK_SK", "wrong");
    assert_ne!(world.apply().await.code, 0);
    let sent = receiver.json();
    assert_eq!((sent.len(), &sent[0]["event"]), (1, &"failed".into()));
    assert!(
        sent[0]["message"].as_str().unwrap().contains("access key"),
        "{}",
        sent[0]
    );
}

#[tokio::test]
async fn a_frozen_run_is_news_once_and_an_ending_freeze_too_across_processes() {
    let world = World::new(&[5]).await;
    let receiver = Receiver::start(&[Answer::Status(200)]).await;
    world.policies_and(
        super::world::KEEP_3,
        &notify(&[("json", &receiver.url, "frozen, ending, success")]),
    );
    world
        .run(&["freeze", "--reason", "audit", "--until", "2d"])
        .await
        .exits(0);
    let events = || -> Vec<String> {
        let sent = receiver.json();
        let mut events: Vec<String> = sent
            .iter()
            .map(|sent| sent["event"].as_str().unwrap().to_owned())
            .collect();
        events.sort();
        events
    };
    for _ in 0..3 {
        world.apply().await.exits(3);
    }
    // On a Sunday midnight the second run may be of another week.
    let mut seen = events();
    seen.dedup();
    assert_eq!(seen, ["ending", "frozen"]);
    assert!(events().len() <= 3, "{:?}", events());
    assert!(
        receiver
            .json()
            .iter()
            .any(|sent| sent["message"].as_str().unwrap().contains("audit"))
    );
    world.deleted_exactly(&ids(1, []));
    world.run(&["thaw"]).await.exits(0);
    world.apply().await.exits(0);
    assert!(events().contains(&"success".to_owned()));
    world.deleted_exactly(&ids(1, 3..5));
}

#[tokio::test]
async fn a_receiver_that_fails_twice_gets_the_message_the_third_time_and_a_redirect_is_not_followed() {
    let world = World::new(&[5]).await;
    let shaky = Receiver::start(&[Answer::Status(500), Answer::Status(503), Answer::Status(200)]).await;
    let moved = Receiver::start(&[Answer::Status(301)]).await;
    let gone = Receiver::start(&[Answer::Status(404)]).await;
    let endless = Receiver::start(&[Answer::Endless]).await;
    let targets: Vec<_> = [&shaky, &moved, &gone, &endless]
        .map(|receiver| ("teams", receiver.url.as_str(), "success"))
        .into();
    world.policies_and(super::world::KEEP_3, &notify(&targets));
    let ran = world.apply().await.exits(0);
    world.deleted_exactly(&ids(1, 3..5));
    let counts = [&shaky, &moved, &gone, &endless].map(|receiver| receiver.arrived().len());
    assert_eq!(counts, [3, 1, 1, 1], "{}", ran.stderr);
    let ran = ran
        .says("answered 301: redirects are not followed")
        .says("answered 404");
    assert!(
        !ran.stderr.contains("#1") && !ran.stderr.contains("#4"),
        "{}",
        ran.stderr
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn no_run_waits_for_a_receiver_that_hangs_and_the_result_is_shown_before() {
    let world = World::new(&[5]).await;
    let receiver = Receiver::start(&[Answer::Hangs]).await;
    world.policies_and(
        super::world::KEEP_3,
        &notify(&[("ping", &receiver.url, "start, success, failed")]),
    );
    let mut command = world.command(&["apply", "--format", "json"]);
    let applied = tokio::task::spawn_blocking(move || {
        let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        // The report, whole, while the process still says goodbye.
        let mut stdout = child.stdout.take().unwrap();
        let mut report = Vec::new();
        while serde_json::from_slice::<Value>(&report).is_err() {
            let mut piece = [0; 4096];
            let count = stdout.read(&mut piece).unwrap();
            assert!(count > 0, "ended early: {}", String::from_utf8_lossy(&report));
            report.extend_from_slice(&piece[..count]);
        }
        assert!(child.try_wait().unwrap().is_none(), "it still waits");
        child.wait_with_output().unwrap()
    });
    let ended = tokio::time::timeout(PATIENCE, applied).await.unwrap().unwrap();
    Ran::of(&ended).exits(0).says("not delivered in time");
    world.deleted_exactly(&ids(1, 3..5));
}

#[tokio::test]
async fn a_test_message_says_what_each_target_answered_and_never_its_path() {
    let world = World::new(&[5]).await;
    let good = Receiver::start(&[Answer::Status(202)]).await;
    let bad = Receiver::start(&[Answer::Status(403)]).await;
    let file = world.dir().join("hook");
    fs::write(&file, format!("{}\n", good.url)).unwrap();
    let targets = format!(
        "{}  - {{url_file: {}, format: json, on: [failed]}}\n",
        notify(&[("slack", &good.url, "refused"), ("ping", &bad.url, "failed")]),
        file.display()
    );
    world.policies_and(super::world::KEEP_3, &targets);
    let ran = world.run(&["check", "--notify-test", "-vvv"]).await.exits(69);
    let host = |receiver: &Receiver| receiver.url.replacen(&format!("/{SECRET}"), "", 1);
    for line in [
        format!("#1 slack {}: 202", host(&good)),
        format!("#2 ping {}: FAILED: answered 403", host(&bad)),
        format!("#3 json {}: 202", host(&good)),
    ] {
        assert!(ran.stdout.contains(&line), "no `{line}` in\n{}", ran.stdout);
    }
    assert!(
        !ran.stdout.contains(SECRET) && !ran.stderr.contains(SECRET),
        "{}",
        ran.stderr
    );
    let ran = world
        .run(&["check", "--notify-test", "--format", "json"])
        .await
        .exits(69);
    assert!(!ran.stdout.contains(SECRET));
    let json = ran.json();
    assert_eq!(
        (&json["notify"][0]["status"], &json["notify"][1]["status"]),
        (&202.into(), &Value::Null)
    );
    assert_eq!(good.arrived().len(), 4);
    // Without the bad one it is good.
    world.policies_and(super::world::KEEP_3, &notify(&[("slack", &good.url, "refused")]));
    world.run(&["check", "--notify-test"]).await.exits(0);
    // A file that everybody may write is refused.
    world.policies_and(super::world::KEEP_3, &targets);
    fs::set_permissions(&file, std::os::unix::fs::PermissionsExt::from_mode(0o666)).unwrap();
    world.run(&["check"]).await.exits(78).says("everybody may write");
}

#[tokio::test]
async fn no_url_of_a_target_is_printed_logged_or_written() {
    let world = World::new(&[8]).await;
    let receiver = Receiver::start(&[Answer::Status(404)]).await;
    let all = "start, success, failed, partial, refused, returned, frozen, ending";
    let nobody = format!("http://127.0.0.1:1/{SECRET}");
    let targets = [("json", receiver.url.as_str(), all), ("teams", &nobody, all)];
    world.policies_and(REFUSES, &notify(&targets));
    for args in [
        vec!["apply", "-vvv"],
        vec!["check", "--notify-test", "-vvv", "--log-format", "json"],
        vec!["history"],
        vec!["audit", "export"],
    ] {
        let ran = world.run(&args).await;
        for said in [&ran.stdout, &ran.stderr] {
            assert!(!said.contains(SECRET), "{args:?}: {said}");
        }
    }
    assert!(!receiver.arrived().is_empty());
    for entry in fs::read_dir(world.state()).unwrap() {
        let file = entry.unwrap().path();
        let bytes = fs::read(&file).unwrap_or_default();
        let found = bytes.windows(SECRET.len()).any(|window| window == SECRET.as_bytes());
        assert!(!found, "{}", file.display());
    }
}
