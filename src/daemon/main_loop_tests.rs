//! The loop in paused time, with runs that do what a test wants of them.

use std::fmt::Write as _;
use std::fs;
use std::path::PathBuf;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

use chrono::TimeDelta;
use tokio::task::JoinHandle;
use tokio::time::sleep;

use super::*;
use crate::config::load;
use crate::ledger::Ledger;
use crate::retention::RunReport;
use crate::retention::report::{PolicyReport, RunResult, RunSummary};
use crate::run::{RunContext, RunRequest};

const START: i64 = 1_795_402_800;
const PROJECTS: [(&str, &str); 2] = [
    ("prod", "054e292c9880d4992f02c0196d3ea468"),
    ("other", "154e292c9880d4992f02c0196d3ea469"),
];

/// A daemon in paused time.
struct Lab {
    dir: tempfile::TempDir,
    status: Arc<SharedStatus>,
    metrics: Metrics,
    stop: watch::Sender<bool>,
    running: JoinHandle<Result<LoopEnded, Error>>,
    started: Arc<Mutex<Vec<Vec<String>>>>,
}

/// A configuration of policies by name and schedule; `SCHEDULE in PROJECT` selects that project alone.
fn text(dir: &std::path::Path, policies: &[(&str, &str)]) -> String {
    let state = dir.join("state");
    let mut text = format!("version: 1\nstate_dir: {}\nlisten: none\nprojects:\n", state.display());
    for (name, id) in PROJECTS {
        let loopback = "http://127.0.0.1:9";
        writeln!(
            text,
            "  - {{name: {name}, region: r-1, project_id: \"{id}\", endpoint: \"{loopback}\", iam_endpoint: \"{loopback}\"}}"
        )
        .unwrap();
    }
    text.push_str("policies:\n");
    for (name, schedule) in policies {
        let (schedule, select) = match schedule.split_once(" in ") {
            Some((schedule, project)) => (schedule, format!("select: {{projects: [{project}]}}, ")),
            None => (*schedule, String::new()),
        };
        writeln!(
            text,
            "  - {{name: {name}, mode: enforce, schedule: \"{schedule}\", {select}keep: {{last: 1}}}}"
        )
        .unwrap();
    }
    text
}

fn report(request: &RunRequest, context: &RunContext) -> RunReport {
    let of = |name: &PolicyName| {
        let entry = context
            .config
            .policies
            .iter()
            .find(|entry| entry.policy.name == *name)
            .unwrap();
        PolicyReport::new(name.clone(), entry.policy.mode, entry.policy.zone, RunResult::Success)
    };
    RunReport {
        run_id: Some("id".to_owned()),
        policies: request.policies.iter().flatten().map(of).collect(),
        ..RunReport::new(request.now)
    }
}

impl Lab {
    /// `act` is what the nth run does before it reports.
    fn start<F>(
        policies: &[(&str, &str)],
        prepare: impl FnOnce(&PathBuf),
        act: impl Fn(usize) -> F + Send + Sync + 'static,
    ) -> Self
    where
        F: Future<Output = ()> + Send + 'static,
    {
        let _ = rustls::crypto::ring::default_provider().install_default();
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("config.yaml");
        fs::write(&file, text(dir.path(), policies)).unwrap();
        prepare(&dir.path().join("state"));
        let config = load(&file, &Environment::default()).unwrap_or_else(|problems| panic!("{problems}"));
        let origin = Instant::now();
        let clock: Clock = Arc::new(move || {
            let passed = TimeDelta::from_std(origin.elapsed()).unwrap();
            DateTime::from_timestamp(START, 0).unwrap() + passed
        });
        let started = Arc::new(Mutex::new(Vec::new()));
        let (log, count, act) = (Arc::clone(&started), Arc::new(AtomicUsize::new(0)), Arc::new(act));
        let run: Runner = Arc::new(move |request, context| {
            let names = request.policies.iter().flatten().map(ToString::to_string).collect();
            log.lock().unwrap().push(names);
            let (nth, act) = (count.fetch_add(1, Ordering::SeqCst), Arc::clone(&act));
            Box::pin(async move {
                act(nth).await;
                Ok(report(&request, &context))
            })
        });
        let (stop, stopped) = watch::channel(false);
        let options = Options {
            config: Arc::new(config),
            environment: Environment::default(),
            stop: stopped,
            hangups: Arc::new(Notify::new()),
            clock,
            clock_set: Arc::new(Notify::new()),
            host: "host".to_owned(),
            demo: false,
        };
        let main_loop = MainLoop::with_runner(options, run).unwrap();
        Self {
            dir,
            status: main_loop.status(),
            metrics: main_loop.metrics.clone(),
            stop,
            running: tokio::spawn(main_loop.run()),
            started,
        }
    }

    fn value(&self, series: &str) -> Option<f64> {
        let text = self.metrics.render(false);
        let line = text.lines().find_map(|line| {
            line.strip_prefix("rds_retention_")?
                .strip_prefix(series)?
                .strip_prefix(' ')
        });
        line.map(|value| value.parse().unwrap())
    }

    #[track_caller]
    fn expect(&self, series: &str, wanted: f64) {
        let found = self.value(series);
        assert!(
            found.is_some_and(|found| (found - wanted).abs() < 0.5),
            "{series}: {found:?}, not {wanted}"
        );
    }

    fn started(&self) -> usize {
        self.started.lock().unwrap().len()
    }

    async fn end(self) -> LoopEnded {
        self.stop.send(true).unwrap();
        self.running.await.unwrap().unwrap()
    }
}

async fn pause(seconds: u64) {
    sleep(Duration::from_secs(seconds)).await;
}

#[tokio::test(start_paused = true)]
async fn ten_thousand_runs_leave_nothing_behind() {
    let lab = Lab::start(&[("p", "* * * * * *")], |_| {}, |_| async {});
    pause(100).await;
    let tasks = tokio::runtime::Handle::current().metrics().num_alive_tasks();
    let lines = lab.metrics.render(false).lines().count();
    pause(9_900).await;
    let runs = lab.value("runs_total{policy=\"p\",result=\"success\"}").unwrap();
    assert!((9_995.0..=10_001.0).contains(&runs), "{runs}");
    lab.expect("ticks_skipped_total{policy=\"p\"}", 0.0);
    let now = tokio::runtime::Handle::current().metrics().num_alive_tasks();
    assert!(now <= tasks, "{tasks} → {now} tasks");
    assert_eq!(lab.metrics.render(false).lines().count(), lines);
    assert_eq!(lab.status.status().reports.len(), 1);
    assert_eq!(lab.end().await, LoopEnded::Drained);
}

#[tokio::test(start_paused = true)]
async fn a_panic_fails_its_run_and_the_next_one_comes() {
    let lab = Lab::start(
        &[("p", "* * * * *")],
        |_| {},
        |nth| async move { assert!(nth != 1, "on purpose") },
    );
    pause(200).await;
    assert_eq!(lab.started(), 3);
    lab.expect("runs_total{policy=\"p\",result=\"success\"}", 2.0);
    lab.expect("runs_total{policy=\"p\",result=\"failed\"}", 1.0);
    let status = lab.status.status();
    assert_eq!(status.policies[0].last_run.as_ref().unwrap().result, RunResult::Success);
    assert_eq!(lab.end().await, LoopEnded::Drained);
}

#[tokio::test(start_paused = true)]
async fn a_reload_does_not_bring_back_an_older_run_than_the_last() {
    let lab = Lab::start(&[("p", "* * * * *")], |_| {}, |_| async { panic!("on purpose") });
    pause(100).await;
    let failed = lab.value("last_run_timestamp_seconds{policy=\"p\"}").unwrap();
    // What the ledger knows is an hour old: a run that panicked did not write its end.
    let before = DateTime::from_timestamp(START - 3600, 0).unwrap();
    {
        let ledger = Ledger::open(&lab.dir.path().join("state"), crate::ledger::Access::Create, before).unwrap();
        let run = crate::ledger::NewRun {
            id: "before",
            policies: &[(PolicyName::from("p"), crate::retention::Mode::Enforce)],
            config_sha256: "0",
            started_at: before,
            cause: "cron",
            person: None,
        };
        ledger.begin_run(&run).unwrap();
        let finished = crate::ledger::FinishedPolicy {
            policy: PolicyName::from("p"),
            result: RunResult::Success,
            summary: RunSummary::default(),
        };
        ledger.finish_run("before", before, &[finished]).unwrap();
    }
    let both = [("p", "* * * * *"), ("q", "0 4 * * *")];
    fs::write(lab.dir.path().join("config.yaml"), text(lab.dir.path(), &both)).unwrap();
    until("taken into force", || lab.status.status().policies.len() == 2).await;
    let shown = lab.value("last_run_timestamp_seconds{policy=\"p\"}").unwrap();
    assert!(shown >= failed, "{failed} → {shown}");
    assert_eq!(lab.value("last_success_timestamp_seconds{policy=\"p\"}"), None);
    assert_eq!(
        lab.status.status().policies[0].last_run.as_ref().unwrap().result,
        RunResult::Failed
    );
    lab.end().await;
}

#[tokio::test(start_paused = true)]
async fn it_is_not_ready_before_its_state_was_opened() {
    let lab = Lab::start(&[("p", "0 3 * * *")], |_| {}, |_| async {});
    assert_eq!(lab.status.obstacles()[0].about, "state");
    pause(1).await;
    assert_eq!(lab.status.obstacles(), []);
    lab.end().await;
}

#[tokio::test(start_paused = true)]
async fn a_main_loop_that_stands_still_is_told_of() {
    let lab = Lab::start(&[("p", "0 3 * * *")], |_| {}, |_| async {});
    pause(3600).await;
    assert_eq!(lab.status.stalled_for(), None);
    let status = Arc::clone(&lab.status);
    lab.end().await;
    pause(100).await;
    assert_eq!(status.stalled_for(), None);
    pause(60).await;
    assert!(status.stalled_for() >= Some(Duration::from_secs(155)));
}

#[tokio::test(start_paused = true)]
async fn a_run_that_hangs_is_cut_and_does_not_stop_the_others() {
    let lab = Lab::start(
        &[("a", "0 * * * *"), ("b", "30 * * * *")],
        |_| {},
        |nth| async move {
            if nth == 0 {
                std::future::pending::<()>().await;
            }
        },
    );
    // It is 3:00. `b` begins at 3:30 and is cut at 7:40; then `a`, which has been waiting since 4:00, has its turn.
    pause(5 * 3600 + 60).await;
    assert_eq!(lab.started.lock().unwrap().concat(), ["b", "a", "a"]);
    lab.expect("runs_total{policy=\"b\",result=\"failed\"}", 1.0);
    lab.expect("ticks_skipped_total{policy=\"b\"}", 4.0);
    lab.expect("ticks_skipped_total{policy=\"a\"}", 3.0);
    lab.expect("runs_total{policy=\"a\",result=\"success\"}", 2.0);
    assert_eq!(lab.end().await, LoopEnded::Drained);
}

#[tokio::test(start_paused = true)]
async fn a_project_that_hangs_delays_no_policy_of_another_and_both_share_the_right_to_delete() {
    let lab = Lab::start(
        &[("a", "* * * * * in prod"), ("b", "30 * * * * in other")],
        |_| {},
        |nth| async move {
            if nth == 0 {
                std::future::pending::<()>().await;
            }
        },
    );
    // `a` begins at 3:01 and hangs until 7:11.
    pause(4 * 3600).await;
    assert_eq!(lab.started.lock().unwrap().concat(), ["a", "b", "b", "b", "b"]);
    lab.expect("runs_total{policy=\"b\",result=\"success\"}", 4.0);
    lab.expect("ticks_skipped_total{policy=\"b\"}", 0.0);
    assert!(lab.status.status().policies[0].running_since.is_some());
    pause(3600).await;
    lab.expect("runs_total{policy=\"a\",result=\"failed\"}", 1.0);
    assert!(lab.value("runs_total{policy=\"a\",result=\"success\"}").unwrap() > 30.0);
    assert_eq!(lab.end().await, LoopEnded::Drained);
}

#[tokio::test(start_paused = true)]
async fn a_panic_in_a_shared_pass_stops_only_the_policy_it_comes_from() {
    // The first run is of both; then they run alone, `bad` before `good`.
    let lab = Lab::start(
        &[("bad", "* * * * *"), ("good", "* * * * *")],
        |_| {},
        |nth| async move { assert!(nth != 0 && nth % 2 == 0, "on purpose") },
    );
    pause(200).await;
    lab.expect("runs_total{policy=\"bad\",result=\"failed\"}", 4.0);
    lab.expect("runs_total{policy=\"good\",result=\"failed\"}", 1.0);
    lab.expect("runs_total{policy=\"good\",result=\"success\"}", 3.0);
    assert_eq!(lab.end().await, LoopEnded::Drained);
}

#[tokio::test(start_paused = true)]
async fn a_tick_while_busy_is_skipped_and_counted_and_others_wait_their_turn() {
    let lab = Lab::start(
        &[("long", "0 * * * * *"), ("other", "30 * * * * *")],
        |_| {},
        |_| pause(50),
    );
    // `other` has the run from 0:30 to 1:20; `long`, due at 1:00, waits and has it until 2:10, over its own tick at 2:00.
    pause(125).await;
    assert_eq!(lab.started.lock().unwrap().concat(), ["other", "long"]);
    lab.expect("ticks_skipped_total{policy=\"long\"}", 1.0);
    lab.expect("runs_total{policy=\"long\",result=\"skipped\"}", 1.0);
    lab.expect("ticks_skipped_total{policy=\"other\"}", 0.0);
    lab.end().await;
}

#[tokio::test(start_paused = true)]
async fn the_end_waits_for_a_pass_but_not_for_ever() {
    let lab = Lab::start(&[("p", "* * * * * *")], |_| {}, |_| std::future::pending());
    pause(5).await;
    assert_eq!(lab.started(), 1);
    let asked = Instant::now();
    assert_eq!(lab.end().await, LoopEnded::Aborted);
    assert!(asked.elapsed() < Duration::from_secs(30), "{:?}", asked.elapsed());
}

#[tokio::test(start_paused = true)]
async fn without_a_state_nothing_runs_and_everything_is_told_until_it_is_there() {
    // A file where the state's directory should be.
    let lab = Lab::start(
        &[("p", "* * * * *")],
        |state| fs::write(state, "in the way").unwrap(),
        |_| async {},
    );
    pause(300).await;
    assert_eq!(lab.started(), 0);
    assert_eq!(lab.status.obstacles()[0].about, "state");
    assert!(lab.value("ledger_errors_total").unwrap() >= 4.0);
    fs::remove_file(lab.dir.path().join("state")).unwrap();
    pause(61).await;
    assert_eq!(lab.status.obstacles(), []);
    assert!(lab.started() >= 1, "what was due meanwhile runs at once");
    lab.end().await;
}

#[tokio::test(start_paused = true)]
async fn a_state_that_is_moved_away_is_noticed_and_not_written_into() {
    let lab = Lab::start(&[("p", "0 3 * * *")], |_| {}, |_| async {});
    pause(1).await;
    assert_eq!(lab.status.obstacles(), []);
    let state = lab.dir.path().join("state");
    fs::rename(&state, lab.dir.path().join("moved")).unwrap();
    pause(301).await;
    assert_eq!(lab.status.obstacles()[0].about, "state");
    fs::rename(lab.dir.path().join("moved"), &state).unwrap();
    pause(61).await;
    assert_eq!(lab.status.obstacles(), []);
    lab.end().await;
}

/// Lets real time run for the file system's news, and paused time with it.
async fn until(what: &str, mut holds: impl FnMut() -> bool) {
    for _ in 0..1_000 {
        if holds() {
            return;
        }
        sleep(Duration::from_millis(100)).await;
    }
    panic!("never: {what}");
}

#[tokio::test(start_paused = true)]
async fn files_that_change_are_seen_by_the_fingerprint_alone_too() {
    let lab = Lab::start(&[("p", "0 3 * * *")], |_| {}, |_| async {});
    pause(1).await;
    let file = lab.dir.path().join("config.yaml");
    let good = fs::read_to_string(&file).unwrap();
    fs::write(&file, good.replace("last: 1", "lats: 1")).unwrap();
    until("refused", || !lab.status.status().config.last_reload_ok).await;
    lab.expect("config_last_reload_successful", 0.0);
    assert!(lab.status.status().config.problems[0].contains("lats"));
    fs::write(&file, text(lab.dir.path(), &[("p", "0 3 * * *"), ("q", "0 4 * * *")])).unwrap();
    until("taken into force", || lab.status.status().policies.len() == 2).await;
    lab.expect("config_last_reload_successful", 1.0);
    lab.expect("runs_total{policy=\"q\",result=\"success\"}", 0.0);
    fs::write(
        &file,
        text(lab.dir.path(), &[("q", "0 4 * * *")]).replace("listen: none", "listen: 127.0.0.1:1"),
    )
    .unwrap();
    until("refused by name", || !lab.status.status().config.last_reload_ok).await;
    assert!(lab.status.status().config.problems[0].contains("listen: cannot change from none"));
    assert_eq!(lab.status.status().policies.len(), 2);
    fs::write(&file, text(lab.dir.path(), &[("q", "0 4 * * *")])).unwrap();
    until("one left", || lab.status.status().policies.len() == 1).await;
    assert_eq!(lab.value("runs_total{policy=\"p\",result=\"success\"}"), None);
    lab.end().await;
}
