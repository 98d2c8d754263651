//! A run that does not come to its end counts as failed, is shown, and is made up for.

use chrono::{Datelike, Timelike};
use rds_retentiond::ledger::{Access, Ledger, RunFilter, RunRow};
use rds_retentiond::retention::report::RunResult;
use rds_retentiond::simulator::Op;

use super::*;

/// A schedule of one tick, soon; the next comes in a year.
pub(super) fn soon() -> String {
    let at = clock::now() + TimeDelta::seconds(3);
    let (second, minute, hour) = (at.second(), at.minute(), at.hour());
    format!("{second} {minute} {hour} {} {} *", at.day(), at.month())
}

/// Newest first.
fn runs(lab: &Lab) -> Vec<RunRow> {
    let ledger = Ledger::open(&lab.state(), Access::ReadOnly, clock::now()).unwrap();
    ledger.runs(&RunFilter::default()).unwrap()
}

fn causes_and_results(lab: &Lab) -> Vec<(String, String)> {
    let of = |run: RunRow| (run.cause, run.result.map_or("", RunResult::as_str).to_owned());
    runs(lab).into_iter().map(of).collect()
}

fn pair(cause: &str, result: &str) -> (String, String) {
    (cause.to_owned(), result.to_owned())
}

/// A daemon in the middle of a run; `rest` of its policy.
async fn in_mid_run(rest: &str) -> (Lab, Running) {
    let lab = Lab::start(203).await;
    lab.simulator
        .set(|settings| settings.latency = Duration::from_millis(500));
    lab.configure(&policy("p", &soon(), rest));
    let daemon = lab.run().await;
    eventually("the first batch", async || {
        lab.simulator.calls_of(Op::DeleteBatch).first().map(|_| ())
    })
    .await;
    (lab, daemon)
}

const FAILED: &str = "runs_total{policy=\"p\",result=\"failed\"}";
const SUCCESS: &str = "runs_total{policy=\"p\",result=\"success\"}";

#[tokio::test(flavor = "multi_thread")]
async fn a_run_that_was_interrupted_is_failed_and_made_up_for_once() {
    for signal in ["KILL", "TERM"] {
        let (lab, mut daemon) = in_mid_run("").await;
        daemon.signal(signal);
        daemon.ends().await;
        lab.simulator.set(|settings| settings.latency = Duration::ZERO);
        assert!(lab.simulator.backups_of(HOME).len() > 3, "{signal}: work was left");
        let mut daemon = lab.run().await;
        daemon.reaches(SUCCESS, 1.0).await;
        assert_eq!(daemon.metric(FAILED).await, Some(1.0), "{signal}");
        let wanted = [pair("catch-up", "success"), pair("cron", "failed")];
        assert_eq!(causes_and_results(&lab), wanted, "{signal}");
        assert_eq!(lab.simulator.backups_of(HOME).len(), 3, "{signal}");
        assert!(daemon.stop().await.success());
        // Once.
        let mut daemon = lab.run().await;
        daemon.is_ready().await;
        assert_eq!(daemon.metric(FAILED).await, Some(0.0), "{signal}");
        assert!(daemon.stop().await.success());
        assert_eq!(causes_and_results(&lab), wanted, "{signal}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn where_that_is_not_wanted_it_is_shown_and_not_made_up_for() {
    for signal in ["KILL", "TERM"] {
        let (lab, mut daemon) = in_mid_run(", catch_up: false").await;
        daemon.signal(signal);
        daemon.ends().await;
        let mut daemon = lab.run().await;
        daemon.is_ready().await;
        assert_eq!(daemon.metric(FAILED).await, Some(1.0), "{signal}");
        assert!(
            daemon
                .metric("last_run_timestamp_seconds{policy=\"p\"}")
                .await
                .is_some()
        );
        let status = daemon.status().await;
        assert_eq!(status["policies"][0]["last_run"]["result"], "failed", "{signal}");
        let message = status["problems"][0]["message"].as_str().unwrap();
        let by = if signal == "KILL" { "killed" } else { "stopped" };
        let why = format!("failed: interrupted ({by}); no run has succeeded yet");
        assert!(message.ends_with(&why), "{signal}: {message}");
        assert!(daemon.stop().await.success());
        assert_eq!(causes_and_results(&lab), [pair("cron", "failed")], "{signal}");
        assert!(runs(&lab)[0].is_interrupted(), "{signal}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_run_that_came_to_its_end_is_not_made_up_for() {
    let lab = Lab::start(20).await;
    lab.configure(&policy("p", &soon(), ""));
    let mut daemon = lab.run().await;
    daemon.reaches(SUCCESS, 1.0).await;
    assert!(daemon.stop().await.success());
    assert_eq!(lab.simulator.backups_of(HOME).len(), 3);
    let mut daemon = lab.run().await;
    daemon.is_ready().await;
    assert_eq!(daemon.metric(FAILED).await, Some(0.0));
    assert!(daemon.stop().await.success());
    assert_eq!(causes_and_results(&lab), [pair("cron", "success")]);
}
