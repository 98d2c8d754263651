//! The daemon and `notify`: it waits for no target, follows a reload, and says what was interrupted.

use rds_retentiond::simulator::Op;

use super::super::receiver::{Answer, Receiver, notify};
use super::*;

const SUCCESS: &str = "runs_total{policy=\"p\",result=\"success\"}";

fn configure(lab: &Lab, policies: &str, notify: &str) {
    write_beside_and_rename(&lab.file(), &lab.text(policies, notify));
}

#[tokio::test(flavor = "multi_thread")]
async fn no_run_and_no_stop_waits_for_a_target_that_hangs_and_the_other_hears_each_run() {
    let lab = Lab::start(5).await;
    let (hangs, good) = (
        Receiver::start(&[Answer::Hangs]).await,
        Receiver::start(&[Answer::Status(200)]).await,
    );
    let all = "start, success, failed";
    configure(
        &lab,
        &policy("p", "* * * * * *", ""),
        &notify(&[("ping", &hangs.url, all), ("ping", &good.url, all)]),
    );
    let mut daemon = lab.run().await;
    // Many runs, while the first message to the first target still waits for an answer.
    good.has(8).await;
    assert_eq!(good.pings()[..4], ["/start", "", "/start", ""]);
    assert!(hangs.arrived().len() < 8);
    assert_eq!(deleted(&lab.simulator).len(), 2);
    assert!(daemon.stop().await.success());
    daemon.says("not delivered in time").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_edit_of_notify_is_in_force_at_once() {
    let lab = Lab::start(5).await;
    let (old, new) = (
        Receiver::start(&[Answer::Status(200)]).await,
        Receiver::start(&[Answer::Status(200)]).await,
    );
    let of = |receiver: &Receiver| notify(&[("json", &receiver.url, "success")]);
    configure(&lab, &policy("p", "* * * * * *", ""), &of(&old));
    let mut daemon = lab.run().await;
    old.has(1).await;
    configure(&lab, &policy("p", "* * * * * *", ""), &of(&new));
    new.has(1).await;
    let line = daemon.says("changed beside the policies").await;
    assert!(line.contains("\"keeps\":\"same\""), "{line}");
    let after = old.arrived().len();
    new.has(5).await;
    // Some were perhaps on their way.
    assert!(old.arrived().len() < after + 3);
    // And none at all is fine, too.
    configure(&lab, &policy("p", "* * * * * *", ""), "");
    daemon.reaches(SUCCESS, 3.0).await;
    assert!(daemon.stop().await.success());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_run_of_a_killed_process_is_sent_as_failed_by_the_next_one_once() {
    let lab = Lab::start(203).await;
    let receiver = Receiver::start(&[Answer::Status(200)]).await;
    lab.simulator
        .set(|settings| settings.latency = Duration::from_millis(500));
    let schedule = interrupted::soon();
    configure(
        &lab,
        &policy("p", &schedule, ""),
        &notify(&[("json", &receiver.url, "failed, success")]),
    );
    let mut daemon = lab.run().await;
    eventually("the first batch", async || {
        lab.simulator.calls_of(Op::DeleteBatch).first().map(|_| ())
    })
    .await;
    daemon.signal("KILL");
    daemon.ends().await;
    lab.simulator.set(|settings| settings.latency = Duration::ZERO);
    for _ in 0..2 {
        let mut daemon = lab.run().await;
        daemon.is_ready().await;
        receiver.has(2).await;
        assert!(daemon.stop().await.success());
    }
    let mut events: Vec<String> = receiver.json().iter().map(|sent| sent["event"].to_string()).collect();
    events.sort();
    assert_eq!(events, ["\"failed\"", "\"success\""]);
    assert!(
        receiver
            .json()
            .iter()
            .any(|sent| sent["message"].as_str().unwrap().contains("interrupted"))
    );
    assert_eq!(deleted(&lab.simulator).len(), 200);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_hold_that_ends_soon_is_sent_once_by_all_processes_of_a_state() {
    let lab = Lab::start(5).await;
    let receiver = Receiver::start(&[Answer::Status(200)]).await;
    let holds = |days: i64| {
        let until = (clock::now() + TimeDelta::days(days)).format("%Y-%m-%d");
        format!("holds: [{{name: \"nightly_*\", reason: \"case 4711\", until: {until}}}]\n")
    };
    let targets = notify(&[("json", &receiver.url, "ending")]);
    configure(&lab, &policy("p", NEVER, ""), &(holds(3) + &targets));
    for _ in 0..2 {
        let mut daemon = lab.run().await;
        daemon.is_ready().await;
        receiver.has(1).await;
        assert!(daemon.stop().await.success());
    }
    assert_eq!(receiver.arrived().len(), 1);
    assert!(receiver.json()[0]["message"].as_str().unwrap().contains("case 4711"));
    // Another end is news; one that is far is none.
    configure(&lab, &policy("p", NEVER, ""), &(holds(30) + &targets));
    let mut daemon = lab.run().await;
    daemon.is_ready().await;
    configure(&lab, &policy("p", NEVER, ""), &(holds(2) + &targets));
    daemon.signal("HUP");
    receiver.has(2).await;
    assert!(daemon.stop().await.success());
    assert_eq!(receiver.arrived().len(), 2);
}
