//! Runs: by cron, made up for, one at a time, finished before the end.

use rds_retentiond::ledger::{Access, Ledger, NewRun, RunFilter};
use rds_retentiond::retention::{Mode, PolicyName};
use rds_retentiond::simulator::{Fault, Op};

use super::*;

fn ledger(lab: &Lab, access: Access) -> Ledger {
    Ledger::open(&lab.state(), access, clock::now()).unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn runs_by_its_schedule_and_shows_it() {
    let lab = Lab::start(10).await;
    lab.configure(&(policy("p", "* * * * * *", "") + &policy("q", NEVER, "")));
    let mut daemon = lab.run().await;
    daemon.is_ready().await;
    assert_eq!(daemon.get("/healthz").await, (200, "ok\n".to_owned()));
    daemon.reaches("runs_total{policy=\"p\",result=\"success\"}", 2.0).await;
    for (series, wanted) in [
        ("runs_total{policy=\"q\",result=\"success\"}", 0.0),
        ("runs_total{policy=\"p\",result=\"failed\"}", 0.0),
        ("backups{decision=\"keep\",policy=\"p\"}", 3.0),
        (
            "deletions_total{outcome=\"confirmed\",policy=\"p\",project=\"simulator\"}",
            7.0,
        ),
        ("instances{state=\"managed\"}", 1.0),
        ("holds", 0.0),
        ("frozen", 0.0),
        ("config_last_reload_successful", 1.0),
    ] {
        assert_eq!(daemon.metric(series).await, Some(wanted), "{series}");
    }
    assert_eq!(daemon.metric("last_run_timestamp_seconds{policy=\"q\"}").await, None);
    assert!(
        daemon
            .metric("next_run_timestamp_seconds{policy=\"q\"}")
            .await
            .is_some()
    );
    let status = daemon.status().await;
    assert_eq!(status["policies"][0]["last_run"]["result"], "success");
    assert_eq!(status["policies"][0]["last_run"]["verdict"], "approved");
    assert_eq!(status["policies"][0]["last_run"]["summary"]["keep"], 3);
    assert_eq!(status["policies"][1]["last_run"], Value::Null);
    assert_eq!(status["unmanaged"], 0);
    assert_eq!(lab.simulator.backups_of(HOME).len(), 3);
    let everything = [
        daemon.get("/metrics").await.1,
        daemon.get("/").await.1,
        status.to_string(),
        daemon.log(),
    ];
    for secret in [lab.simulator.secret_key(), lab.simulator.access_key()] {
        assert!(
            everything.iter().all(|text| !text.contains(secret)),
            "a secret is shown"
        );
    }
    assert!(daemon.stop().await.success());
}

/// tokio-cron-scheduler 0.15.1: its shutdown did not wait.
#[tokio::test(flavor = "multi_thread")]
async fn the_end_finishes_and_records_the_batch_under_way() {
    let lab = Lab::start(203).await;
    lab.configure(&policy("p", "* * * * * *", ""));
    let mut daemon = lab.run().await;
    // From now on each answer is late; the first deletion is asked for and not answered when the daemon is to stop.
    lab.simulator
        .set(|settings| settings.latency = Duration::from_millis(700));
    let batches = || lab.simulator.calls_of(Op::DeleteBatch);
    eventually("a batch is under way", async || batches().first().map(|_| ())).await;
    daemon.signal("TERM");
    let (status, took) = daemon.ends().await;
    assert!(status.success(), "{status}");
    assert!(took < Duration::from_secs(30), "{took:?}");
    let sent: BTreeSet<String> = batches().iter().flat_map(|call| call.backup_ids.clone()).collect();
    assert!(sent.len() < 200, "no new batch was begun: {}", sent.len());
    assert_eq!(deleted(&lab.simulator), sent);
    let ledger = ledger(&lab, Access::ReadOnly);
    assert!(
        ledger.open_requests().unwrap().is_empty(),
        "every intent has its outcome"
    );
    assert!(ledger.verify(None).is_ok());
    let runs = ledger.runs(&RunFilter::default()).unwrap();
    assert!(
        runs.iter().all(|run| run.result.is_some()),
        "the run's end is written down"
    );
    for id in &sent {
        assert!(!ledger.backup_history(&id.as_str().into()).unwrap().is_empty(), "{id}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_tick_missed_while_down_is_made_up_for_once() {
    let lab = Lab::start(5).await;
    // Policies of a time before: both have run three days ago, one of them does not want to catch up.
    let daily = "0 3 * * *";
    lab.configure(
        &(policy("p", daily, "") + &policy("strict", daily, ", catch_up: false") + &policy("new", daily, "")),
    );
    {
        let ledger = ledger(&lab, Access::Create);
        let policies = ["p", "strict"].map(|name| (PolicyName::from(name), Mode::Enforce));
        let run = NewRun {
            id: "before",
            policies: &policies,
            config_sha256: "0",
            started_at: days_ago(3),
            cause: "cron",
            person: None,
        };
        ledger.begin_run(&run).unwrap();
    }
    let mut daemon = lab.run().await;
    daemon.reaches("runs_total{policy=\"p\",result=\"success\"}", 1.0).await;
    for other in ["strict", "new"] {
        let series = format!("runs_total{{policy=\"{other}\",result=\"success\"}}");
        assert_eq!(daemon.metric(&series).await, Some(0.0), "{other}");
    }
    assert!(daemon.stop().await.success());
    let causes = || {
        let filter = RunFilter {
            policy: Some(PolicyName::from("p")),
            limit: None,
        };
        let runs = ledger(&lab, Access::ReadOnly).runs(&filter).unwrap();
        runs.into_iter().map(|run| run.cause).collect::<Vec<_>>()
    };
    assert_eq!(causes(), ["catch-up", "cron"]);
    let mut daemon = lab.run().await;
    daemon.is_ready().await;
    // What the ledger remembers is shown at once.
    assert!(
        daemon
            .metric("last_success_timestamp_seconds{policy=\"p\"}")
            .await
            .is_some()
    );
    assert_eq!(
        daemon.metric("backups{decision=\"keep\",policy=\"p\"}").await,
        Some(3.0)
    );
    assert_eq!(daemon.status().await["policies"][0]["last_run"]["result"], "success");
    assert!(daemon.stop().await.success());
    assert_eq!(causes(), ["catch-up", "cron"], "once");
}

#[tokio::test(flavor = "multi_thread")]
async fn of_two_daemons_on_one_state_one_deletes_at_a_time() {
    let lab = Lab::start(400).await;
    lab.configure(&policy("p", "* * * * * *", ""));
    let (mut one, mut two) = (lab.run().await, lab.run().await);
    for daemon in [&one, &two] {
        daemon.reaches("runs_total{policy=\"p\",result=\"success\"}", 2.0).await;
    }
    assert_eq!(deleted(&lab.simulator).len(), 397);
    let asked: Vec<String> = lab
        .simulator
        .calls_of(Op::DeleteBatch)
        .iter()
        .flat_map(|call| call.backup_ids.clone())
        .collect();
    assert_eq!(asked.len(), 397, "no id was asked for twice");
    assert!(one.stop().await.success() && two.stop().await.success());
    assert!(ledger(&lab, Access::ReadOnly).verify(None).is_ok());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_hold_placed_in_the_middle_of_a_run_is_honoured() {
    let lab = Lab::start(203).await;
    lab.configure(&policy("p", "* * * * * *", ""));
    let mut daemon = lab.run().await;
    lab.simulator
        .set(|settings| settings.latency = Duration::from_millis(500));
    eventually("the first batch", async || {
        lab.simulator.calls_of(Op::DeleteBatch).first().map(|_| ())
    })
    .await;
    // The newest that is due goes last.
    let last = id(199);
    let mut hold = lab.command();
    hold.args(["hold", &last, "--reason", "needed"]);
    assert!(hold.output().unwrap().status.success());
    lab.simulator.set(|settings| settings.latency = Duration::ZERO);
    eventually("all but the held one", async || {
        (deleted(&lab.simulator).len() == 199).then_some(())
    })
    .await;
    daemon.reaches("runs_total{policy=\"p\",result=\"success\"}", 2.0).await;
    assert!(lab.simulator.backup(&last).is_some());
    assert_eq!(daemon.metric("holds").await, Some(1.0));
    assert_eq!(daemon.status().await["holds"][0]["reason"], "needed");
    // A freeze is seen without a reload, too.
    let mut freeze = lab.command();
    freeze.args(["freeze", "--reason", "audit"]);
    assert!(freeze.output().unwrap().status.success());
    daemon.reaches("frozen", 1.0).await;
    eventually("the freeze is shown", async || {
        (daemon.status().await["freeze"]["reason"] == "audit").then_some(())
    })
    .await;
    assert!(daemon.stop().await.success());
}

#[tokio::test(flavor = "multi_thread")]
async fn an_approved_plan_waits_no_more_also_after_a_reload_and_a_restart() {
    let lab = Lab::start(20).await;
    let refused = |more: &str| policy("p", NEVER, more).replace("max_deletions: 1000", "max_deletions: 5");
    lab.configure(&refused(""));
    let ran = |args: &'static [&'static str]| lab.command().args(args).output().unwrap();
    assert_eq!(ran(&["apply"]).status.code(), Some(3));
    let open = "guard_open{policy=\"p\"}";
    let mut daemon = lab.run().await;
    daemon.reaches(open, 1.0).await;
    let status = daemon.status().await;
    let problem = status["problems"][0]["message"].to_string();
    let digest = status["policies"][0]["last_run"]["refusal"]["digest"].as_str().unwrap();
    assert!(
        problem.contains(&format!("waits for `approve p --plan {digest}`")),
        "{problem}"
    );
    let approve = ["approve", "p", "--plan", digest];
    assert!(lab.command().args(approve).output().unwrap().status.success());
    eventually("approved", async || {
        (daemon.metric(open).await == Some(0.0)).then_some(())
    })
    .await;
    assert_eq!(
        daemon.status().await["problems"][0]["message"],
        "max_deletions: its last run was refused; its plan has been approved since"
    );
    lab.configure(&refused(", jitter: 1min"));
    daemon.says("configuration reloaded").await;
    assert_eq!(daemon.metric(open).await, Some(0.0), "the reload forgot the approval");
    assert!(daemon.stop().await.success());
    let mut daemon = lab.run().await;
    daemon.is_ready().await;
    assert_eq!(daemon.metric(open).await, Some(0.0), "the restart forgot the approval");
    assert!(daemon.stop().await.success());
}

#[tokio::test(flavor = "multi_thread")]
async fn an_apply_beside_the_daemon_waits_its_turn() {
    let lab = Lab::start(60).await;
    lab.configure(&policy("p", "* * * * * *", ""));
    let mut daemon = lab.run().await;
    daemon.reaches("runs_total{policy=\"p\",result=\"success\"}", 1.0).await;
    let mut apply = lab.command();
    apply.arg("apply");
    let output = tokio::task::spawn_blocking(move || apply.output().unwrap())
        .await
        .unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    assert_eq!(deleted(&lab.simulator).len(), 57);
    assert!(daemon.stop().await.success());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_run_by_hand_shows_in_the_daemons_numbers() {
    let lab = Lab::start(10).await;
    lab.configure(&policy("p", NEVER, ""));
    let mut daemon = lab.run().await;
    daemon.is_ready().await;
    let success = "last_success_timestamp_seconds{policy=\"p\"}";
    assert_eq!(daemon.metric(success).await, None);
    let apply = async |code: i32| {
        let mut apply = lab.command();
        apply.arg("apply");
        let output = tokio::task::spawn_blocking(move || apply.output().unwrap())
            .await
            .unwrap();
        assert_eq!(
            output.status.code(),
            Some(code),
            "{}",
            String::from_utf8_lossy(&output.stderr)
        );
    };
    lab.simulator
        .faults()
        .add(Fault::parse("list_instances:status=403").unwrap());
    apply(77).await;
    daemon.reaches("last_run_timestamp_seconds{policy=\"p\"}", 1.0).await;
    assert_eq!(daemon.status().await["policies"][0]["last_run"]["result"], "failed");
    assert_eq!(daemon.metric("backups{decision=\"keep\",policy=\"p\"}").await, None);
    lab.simulator.faults().clear();
    apply(0).await;
    daemon.reaches(success, 1.0).await;
    assert_eq!(
        daemon.metric("backups{decision=\"keep\",policy=\"p\"}").await,
        Some(3.0)
    );
    assert_eq!(daemon.metric("instances{state=\"managed\"}").await, Some(1.0));
    let status = daemon.status().await;
    assert_eq!(status["policies"][0]["last_run"]["result"], "success");
    assert_eq!(status["problems"], serde_json::json!([]));
    assert!(daemon.stop().await.success());
}

#[tokio::test(flavor = "multi_thread")]
async fn with_a_damaged_state_it_stays_up_says_so_and_runs_nothing() {
    let lab = Lab::start(5).await;
    lab.configure(&policy("p", "* * * * * *", ""));
    fs::create_dir(lab.state()).unwrap();
    fs::write(
        lab.state().join("ledger.sqlite3"),
        "this is no database, and it is long enough to be read as one".repeat(50),
    )
    .unwrap();
    let mut daemon = lab.run().await;
    let (code, reason) = eventually("not ready", async || {
        let answer = daemon.get("/readyz").await;
        let is_opened = !answer.1.contains("not been opened yet");
        (answer.0 == 503 && is_opened).then_some(answer)
    })
    .await;
    assert_eq!(code, 503);
    assert!(reason.starts_with("state: ") && reason.contains("damaged"), "{reason}");
    assert!(daemon.metric("ledger_errors_total").await >= Some(1.0));
    assert_eq!(daemon.get("/healthz").await.0, 200);
    // The schedule rings each second; what rang and did not run is counted.
    daemon.reaches("ticks_skipped_total{policy=\"p\"}", 2.0).await;
    assert_eq!(daemon.status().await["problems"][0]["about"], "state");
    assert!(lab.simulator.calls().is_empty(), "nothing runs");
    assert!(daemon.stop().await.success());
}

#[tokio::test(flavor = "multi_thread")]
async fn an_address_that_is_taken_and_a_bad_configuration_end_the_start() {
    let lab = Lab::start(1).await;
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let text = lab.text(&policy("p", NEVER, ""), "");
    let address = taken.local_addr().unwrap();
    let localhost = format!("localhost:{}", address.port());
    fs::write(lab.file(), text.replace("127.0.0.1:0", &localhost)).unwrap();
    let output = lab.command().arg("run").output().unwrap();
    let words = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(69), "{words}");
    assert!(
        words.contains(&format!("cannot listen on {address}; set `listen`")),
        "{words}"
    );
    assert_eq!(words.matches("Address already in use").count(), 1, "{words}");
    fs::write(lab.file(), text.replace("last: 3", "lats: 3")).unwrap();
    assert_eq!(lab.command().arg("run").output().unwrap().status.code(), Some(78));
}

#[tokio::test(flavor = "multi_thread")]
async fn the_demo_shows_itself_and_leaves_nothing_behind() {
    let place = tempfile::tempdir().unwrap();
    let mut command = Command::new(env!("CARGO_BIN_EXE_rds-retentiond"));
    command.args(["demo", "--listen", "127.0.0.1:0", "-v", "--log-format", "json"]);
    command.env_clear().env("TMPDIR", place.path()).stdin(Stdio::null());
    let mut demo = Running::start(command).await;
    demo.reaches("runs_total{policy=\"production\",result=\"success\"}", 1.0)
        .await;
    assert!(demo.get("/").await.1.contains("production"));
    demo.signal("INT");
    assert!(demo.ends().await.0.success());
    assert_eq!(fs::read_dir(place.path()).unwrap().count(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn no_secret_is_told_however_loud_the_log_and_whatever_goes_wrong() {
    for format in ["text", "json"] {
        let lab = Lab::start(20).await;
        lab.configure(&policy("p", "* * * * * *", ""));
        let mut command = lab.command();
        command.args(["run", "-vvv", "--log-format", format]);
        let (secret, key) = (lab.simulator.secret_key(), lab.simulator.access_key());
        let mut daemon = Running::start(command).await;
        daemon.reaches("runs_total{policy=\"p\",result=\"success\"}", 1.0).await;
        for fault in ["*:status=500:times=3", "*:body=html:times=3"] {
            lab.simulator.faults().add(Fault::parse(fault).unwrap());
        }
        daemon
            .reaches(
                "api_requests_total{operation=\"list_instances\",project=\"simulator\",status=\"500\"}",
                1.0,
            )
            .await;
        // A key typed into the configuration by mistake is refused, and not repeated.
        let typed = lab.text(&policy("p", NEVER, ""), "").replace(
            "{source: environment}",
            &format!("{{source: environment, access_key: {key}, secret_key: {secret}}}"),
        );
        fs::write(lab.file(), typed).unwrap();
        eventually("refused", async || {
            (daemon.metric("config_last_reload_successful").await == Some(0.0)).then_some(())
        })
        .await;
        daemon.says("is refused").await;
        let mut everything = Vec::new();
        for path in [
            "/",
            "/?from=1",
            "/metrics",
            "/api/v1/status",
            "/readyz",
            "/healthz",
            "/nowhere",
        ] {
            everything.push(daemon.get(path).await.1);
        }
        assert!(daemon.stop().await.success());
        everything.push(daemon.log());
        assert!(daemon.log().contains("DEBUG"), "the log is loud");
        for file in fs::read_dir(lab.state()).unwrap() {
            everything.push(String::from_utf8_lossy(&fs::read(file.unwrap().path()).unwrap()).into_owned());
        }
        for text in &everything {
            for word in [secret, key] {
                let found = text.lines().find(|line| line.contains(word));
                assert_eq!(found, None, "{word} is shown");
            }
        }
    }
}
