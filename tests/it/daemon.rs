//! The daemon as it is shipped: the built binary, signals, files and HTTP, against the simulator.

mod certificates;
mod edits;
mod files;
mod frozen;
mod grace;
mod http;
mod interrupted;
mod looks;
mod lost_state;
mod notifications;
mod pages;
mod runs;
mod slow_ledger;
mod systemd;

use std::collections::BTreeSet;
use std::fs;
use std::io::{BufRead, BufReader, Write as _};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use chrono::{DateTime, TimeDelta, Utc};
use rds_retentiond::clock;
use rds_retentiond::simulator::{Backup, Fleet, Instance, Options, Simulator};
use serde_json::Value;

/// Longer than anything here takes on a busy machine.
const PATIENCE: Duration = Duration::from_secs(60);
const HOME: &str = "cd613e30d8f16adf91b7584a2265b1f5in04";
/// A schedule that does not ring during a test.
const NEVER: &str = "0 0 29 2 *";

fn id(number: usize) -> String {
    format!("{number:032x}br04")
}

/// A simulator with one instance, and a directory with a configuration for it.
struct Lab {
    simulator: Simulator,
    dir: tempfile::TempDir,
}

impl Lab {
    /// `backups` backups, an hour apart; number 0 is the oldest.
    async fn start(backups: usize) -> Self {
        let _ = rustls::crypto::ring::default_provider().install_default();
        let now = clock::now();
        let age = |number: usize| now - TimeDelta::hours(i64::try_from(backups - number).unwrap());
        let mut options = Options::new(Arc::new(clock::now));
        super::world::own(&mut options);
        options.settings.deletion_takes = Duration::ZERO;
        options.fleet = Fleet::Given {
            instances: vec![Instance::sql_server(HOME, "prod-1", now - TimeDelta::days(900))],
            backups: (0..backups)
                .map(|number| Backup::manual(&id(number), HOME, &format!("nightly_{number}"), age(number)))
                .collect(),
        };
        let lab = Self {
            simulator: Simulator::start(options).await.unwrap(),
            dir: tempfile::tempdir().unwrap(),
        };
        fs::create_dir(lab.dir.path().join("etc")).unwrap();
        lab
    }

    fn file(&self) -> PathBuf {
        self.dir.path().join("etc/config.yaml")
    }

    fn state(&self) -> PathBuf {
        self.dir.path().join("state")
    }

    /// The text of a configuration with these policies and whatever else.
    fn text(&self, policies: &str, more: &str) -> String {
        let projects = self.simulator.config_yaml();
        let state = self.state();
        format!(
            "version: 1\nstate_dir: {}\nlisten: 127.0.0.1:0\n{more}{projects}    concurrency: 1\npolicies:\n{policies}",
            state.display()
        )
    }

    fn configure(&self, policies: &str) {
        fs::write(self.file(), self.text(policies, "")).unwrap();
    }

    fn command(&self) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_rds-retentiond"));
        command.arg("--config").arg(self.file()).env_clear();
        command.envs(self.simulator.environment()).stdin(Stdio::null());
        command
    }

    /// Starts the daemon and waits until it listens.
    async fn run(&self) -> Running {
        let mut command = self.command();
        command.args(["run", "--log-format", "json"]);
        Running::start(command).await
    }
}

/// A policy as one line of YAML.
fn policy(name: &str, schedule: &str, rest: &str) -> String {
    format!(
        "  - {{name: {name}, mode: enforce, schedule: \"{schedule}\", keep: {{last: 3}}, grace: 0s, \
         limits: {{max_deletions: 1000, max_percent: 100}}{rest}}}\n"
    )
}

/// A daemon that runs; killed when dropped.
struct Running {
    child: Child,
    log: Arc<Mutex<Vec<String>>>,
    url: String,
    http: reqwest::Client,
}

impl Running {
    async fn start(mut command: Command) -> Self {
        let mut child = command.stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap();
        let log = Arc::new(Mutex::new(Vec::new()));
        let (lines, sink) = (BufReader::new(child.stderr.take().unwrap()), Arc::clone(&log));
        std::thread::spawn(move || {
            for line in lines.lines().map_while(Result::ok) {
                sink.lock().unwrap().push(line);
            }
        });
        let http = reqwest::Client::builder()
            .no_proxy()
            .tls_certs_only([])
            .build()
            .unwrap();
        let mut running = Self {
            child,
            log,
            url: String::new(),
            http,
        };
        let log = Arc::clone(&running.log);
        let address = eventually("the daemon listens", async || {
            let lines = log.lock().unwrap();
            let (_, after) = lines.iter().find_map(|line| line.split_once("listening on http://"))?;
            Some(after.split_once('/').unwrap().0.to_owned())
        })
        .await;
        running.url = format!("http://{address}");
        running
    }

    async fn get(&self, path: &str) -> (u16, String) {
        let answer = self.http.get(format!("{}{path}", self.url)).send().await.unwrap();
        (answer.status().as_u16(), answer.text().await.unwrap())
    }

    async fn status(&self) -> Value {
        serde_json::from_str(&self.get("/api/v1/status").await.1).unwrap()
    }

    /// The value of a series, `name{labels}`; `None` where there is none.
    async fn metric(&self, series: &str) -> Option<f64> {
        let (_, text) = self.get("/metrics").await;
        let line = text.lines().find_map(|line| {
            line.strip_prefix("rds_retention_")?
                .strip_prefix(series)?
                .strip_prefix(' ')
        });
        line.map(|value| value.parse().unwrap())
    }

    /// Waits until a series has at least this value.
    async fn reaches(&self, series: &str, least: f64) -> f64 {
        eventually(series, async || {
            self.metric(series).await.filter(|value| *value >= least)
        })
        .await
    }

    async fn is_ready(&self) {
        eventually("ready", async || (self.get("/readyz").await.0 == 200).then_some(())).await;
    }

    fn signal(&self, name: &str) {
        let sent = Command::new("kill")
            .args(["-s", name, &self.child.id().to_string()])
            .status();
        assert!(sent.unwrap().success());
    }

    /// Waits for the end of the process; the time it took.
    async fn ends(&mut self) -> (ExitStatus, Duration) {
        let began = Instant::now();
        let status = eventually("the end", async || self.child.try_wait().unwrap()).await;
        (status, began.elapsed())
    }

    async fn stop(&mut self) -> ExitStatus {
        self.signal("TERM");
        self.ends().await.0
    }

    fn log(&self) -> String {
        self.log.lock().unwrap().join("\n")
    }

    /// Waits until a line says this.
    async fn says(&self, text: &str) -> String {
        eventually(text, async || {
            let lines = self.log.lock().unwrap();
            lines.iter().find(|line| line.contains(text)).cloned()
        })
        .await
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // It may have ended.
        let _ = self.child.kill();
        let _ = self.child.wait();
        if std::thread::panicking() {
            // Whoever reads the failure wants it; nobody reading is no failure of its own.
            let _ = writeln!(std::io::stderr(), "--- the daemon's log\n{}", self.log());
        }
    }
}

/// Asks again and again until there is an answer.
async fn eventually<T>(what: &str, mut ask: impl AsyncFnMut() -> Option<T>) -> T {
    let began = Instant::now();
    loop {
        if let Some(answer) = ask().await {
            return answer;
        }
        assert!(began.elapsed() < PATIENCE, "never: {what}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

/// Every id that the simulator accepted for deletion.
fn deleted(simulator: &Simulator) -> BTreeSet<String> {
    let asked = simulator.deletions();
    let ids: BTreeSet<String> = asked.iter().map(|deletion| deletion.id.clone()).collect();
    assert_eq!(ids.len(), asked.len(), "each once");
    ids
}

fn write_beside_and_rename(file: &Path, text: &str) {
    let beside = file.with_extension("tmp");
    fs::write(&beside, text).unwrap();
    fs::rename(beside, file).unwrap();
}

fn days_ago(days: i64) -> DateTime<Utc> {
    clock::now() - TimeDelta::days(days)
}
