//! One look at each project at start, so that missing or refused keys show at once and not at the first run.

use rds_retentiond::simulator::Op;

use super::*;

/// A daemon whose one run is years away, with this secret.
async fn daemon_with(lab: &Lab, secret: Option<&str>) -> Running {
    lab.configure(&policy("p", NEVER, ""));
    let mut command = lab.command();
    match secret {
        Some(secret) => command.env("HUAWEICLOUD_SDK_SK", secret),
        None => command.env_remove("HUAWEICLOUD_SDK_SK"),
    };
    command.args(["run", "--log-format", "json"]);
    let daemon = Running::start(command).await;
    daemon.is_ready().await;
    daemon
}

/// What the API says of the project, once it does.
async fn project_problem(daemon: &Running) -> String {
    eventually("the project is a problem", async || {
        let status = daemon.status().await;
        let problems = status["problems"].as_array()?;
        let of_project = problems.iter().find(|problem| problem["about"] == "project")?;
        Some(of_project["message"].as_str()?.to_owned())
    })
    .await
}

fn refused(lab: &Lab) -> usize {
    let calls = lab.simulator.calls();
    calls.iter().filter(|call| call.status == Some(401)).count()
}

#[tokio::test(flavor = "multi_thread")]
async fn missing_keys_show_on_page_and_api_at_once_and_count_as_no_run() {
    let lab = Lab::start(3).await;
    let mut daemon = daemon_with(&lab, None).await;
    let problem = project_problem(&daemon).await;
    assert!(
        problem.contains("project simulator") && problem.contains("credentials"),
        "{problem}"
    );
    let page = daemon.get("/").await.1;
    assert!(
        page.contains("A project cannot be read") && page.contains("needs a look"),
        "{page}"
    );
    assert_eq!(daemon.get("/readyz").await.0, 200, "it is ready: the state works");
    for result in ["success", "partial", "failed", "refused", "skipped"] {
        let series = format!("runs_total{{policy=\"p\",result=\"{result}\"}}");
        assert_eq!(daemon.metric(&series).await, Some(0.0), "{series}");
    }
    assert_eq!(daemon.status().await["policies"][0]["last_run"], Value::Null);
    assert!(lab.simulator.calls().is_empty(), "without keys nothing is sent");
    assert!(daemon.stop().await.success());
}

/// Five failures in a row would lock the key for everybody who uses it.
#[tokio::test(flavor = "multi_thread")]
async fn a_refused_key_is_not_tried_again_by_restarts_and_reloads() {
    let lab = Lab::start(3).await;
    for _ in 0..3 {
        let mut daemon = daemon_with(&lab, Some("not-the-secret")).await;
        project_problem(&daemon).await;
        daemon.signal("HUP");
        daemon.says("configuration unchanged").await;
        assert!(daemon.stop().await.success());
    }
    assert!(refused(&lab) <= 2, "{:?}", lab.simulator.calls());
    assert_eq!(lab.simulator.lockouts(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn good_keys_cost_one_request_and_runs_go_on_deleting() {
    let lab = Lab::start(8).await;
    let mut daemon = daemon_with(&lab, Some(lab.simulator.secret_key())).await;
    eventually("the look", async || (!lab.simulator.calls().is_empty()).then_some(())).await;
    lab.configure(&policy("p", "* * * * * *", ""));
    daemon.signal("HUP");
    daemon.reaches("runs_total{policy=\"p\",result=\"success\"}", 1.0).await;
    let calls = lab.simulator.calls();
    assert_eq!(calls[0].operation, Some(Op::ListInstances));
    assert!(daemon.status().await["problems"].as_array().unwrap().is_empty());
    assert_eq!(deleted(&lab.simulator).len(), 5);
    assert!(daemon.stop().await.success());
}
