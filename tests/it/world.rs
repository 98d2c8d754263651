//! The harness of the tests that try to make the program delete a wrong backup: a simulator, a state, a configuration,
//! and verbs. `apply` and `plan` run the built binary; `pass` runs the library where a test needs shorter time-outs or
//! another `now`.
//!
//! A fleet is made of [`instance_id`] and [`backup_id`]: backup 0 of an instance is its newest, one hour old, and each
//! next one is a day older. So `keep: {last: 3}` deletes exactly the numbers from 3 up, in any zone.

mod pass;

use std::collections::{BTreeMap, BTreeSet};
use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, AtomicU32, Ordering};
use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use rds_retentiond::config::{self, Config, Environment};
use rds_retentiond::ledger::{Access, Ledger};
use rds_retentiond::simulator::{Backup, Fault, Fleet, Instance, Op, Options, Simulator};
use serde_json::Value;
use tokio::sync::watch;

use self::pass::Pass;

/// The one policy most tests need: keeps the last three, at once and without limits that would interfere.
pub const KEEP_3: &str = "
  - name: p
    mode: enforce
    keep: {last: 3}
    grace: 0s
    limits: {max_percent: 100}
";

/// The id of instance `number`.
pub fn instance_id(number: usize) -> String {
    format!("{number:032x}in04")
}

/// The id of backup `number` of an instance, 0 the newest.
pub fn backup_id(instance: usize, number: usize) -> String {
    format!("{instance:016x}{number:016x}br04")
}

/// The ids of some backups of one instance.
pub fn ids(instance: usize, numbers: impl IntoIterator<Item = usize>) -> BTreeSet<String> {
    numbers.into_iter().map(|number| backup_id(instance, number)).collect()
}

/// When backup `number` was begun.
pub fn begun(number: usize) -> DateTime<Utc> {
    let days = i64::try_from(number).unwrap();
    rds_retentiond::clock::now() - TimeDelta::days(days) - TimeDelta::hours(1)
}

/// Backup `number` of an instance.
pub fn backup(instance: usize, number: usize) -> Backup {
    let (id, of) = (backup_id(instance, number), instance_id(instance));
    Backup::manual(&id, &of, &format!("nightly-{number}"), begun(number))
}

/// Instances 1, 2, … with so many backups each.
pub fn fleet(backups: &[usize]) -> Fleet {
    let created = rds_retentiond::clock::now() - TimeDelta::days(2000);
    let numbered = || {
        backups
            .iter()
            .copied()
            .enumerate()
            .map(|(place, count)| (place + 1, count))
    };
    Fleet::Given {
        instances: numbered()
            .map(|(number, _)| Instance::sql_server(&instance_id(number), &format!("mssql-{number}"), created))
            .collect(),
        backups: numbered()
            .flat_map(|(number, count)| (0..count).map(move |nth| backup(number, nth)))
            .collect(),
    }
}

/// Gives a simulator a loopback address and an access key that no other has, in this process or another: a port that is
/// free again is soon the next simulator's, and a client of the one before may still be trying.
pub fn own(options: &mut Options) {
    static NUMBER: AtomicU32 = AtomicU32::new(1);
    let (process, number) = (std::process::id(), NUMBER.fetch_add(1, Ordering::SeqCst));
    // Processes that run at the same time have neighbouring numbers, so those are spread furthest.
    let place = process.wrapping_mul(0x9e_37b1).wrapping_add(number) & 0x00ff_ffff;
    // 127.0.0.0 and 127.255.255.255 are no hosts.
    let place = place.clamp(2, 0x00ff_fffe);
    options.listen = SocketAddr::from((Ipv4Addr::from_bits(0x7f00_0000 | place), 0));
    options.keys[0].access = format!("{OWN_KEY}{process:07}{number:08}");
}

/// How the keys of [`own`] begin.
const OWN_KEY: &str = "WORLD";

/// What a command answered.
#[derive(Debug)]
pub struct Ran {
    pub code: i32,
    pub stdout: String,
    pub stderr: String,
}

impl Ran {
    pub fn of(output: &Output) -> Self {
        Self {
            code: output.status.code().unwrap_or(-1),
            stdout: String::from_utf8_lossy(&output.stdout).into_owned(),
            stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
        }
    }

    /// Checks the exit code, showing everything when it is another.
    #[track_caller]
    pub fn exits(self, code: i32) -> Self {
        assert_eq!(self.code, code, "stdout:\n{}\nstderr:\n{}", self.stdout, self.stderr);
        self
    }

    /// Checks that stderr holds this.
    #[track_caller]
    pub fn says(self, text: &str) -> Self {
        assert!(self.stderr.contains(text), "no `{text}` in:\n{}", self.stderr);
        self
    }

    /// stdout, which must be JSON alone.
    #[track_caller]
    pub fn json(&self) -> Value {
        serde_json::from_str(&self.stdout).unwrap_or_else(|error| panic!("{error}: {}\n{}", self.stdout, self.stderr))
    }
}

/// A simulator with a state directory and a configuration.
pub struct World {
    pub simulator: Simulator,
    dir: tempfile::TempDir,
    seconds: Arc<AtomicI64>,
    env: Vec<(String, String)>,
}

impl World {
    /// A fleet of so many backups an instance, deletions done at once, and the policy [`KEEP_3`].
    pub async fn new(backups: &[usize]) -> Self {
        Self::with(|options| options.fleet = fleet(backups)).await
    }

    /// As [`Self::new`], with the simulator's options changed.
    pub async fn with(change: impl FnOnce(&mut Options)) -> Self {
        let seconds = Arc::new(AtomicI64::new(0));
        let shift = Arc::clone(&seconds);
        let mut options = Options::new(Arc::new(move || {
            rds_retentiond::clock::now() + TimeDelta::seconds(shift.load(Ordering::SeqCst))
        }));
        options.settings.deletion_takes = Duration::ZERO;
        own(&mut options);
        change(&mut options);
        let simulator = Simulator::start(options).await.unwrap();
        let env = simulator
            .environment()
            .into_iter()
            .map(|(name, value)| (name.to_owned(), value))
            .collect();
        let world = Self {
            simulator,
            dir: tempfile::tempdir().unwrap(),
            seconds,
            env,
        };
        world.policies(KEEP_3);
        world
    }

    /// Moves the simulator's clock, and with it the time of commands under `faketime`.
    pub fn shift(&self, by: TimeDelta) {
        self.seconds.fetch_add(by.num_seconds(), Ordering::SeqCst);
    }

    pub fn dir(&self) -> &Path {
        self.dir.path()
    }

    /// Runs a command of the shell in the directory of the configuration.
    pub fn shell(&self, command: &str) {
        let mut shell = Command::new("sh");
        let done = shell.args(["-ec", command]).current_dir(self.dir()).status().unwrap();
        assert!(done.success(), "{command}");
    }

    pub fn state(&self) -> PathBuf {
        self.dir().join("state")
    }

    pub fn config_file(&self) -> PathBuf {
        self.dir().join("config.yaml")
    }

    /// Writes the configuration with these policies.
    pub fn policies(&self, policies: &str) {
        self.policies_and(policies, "");
    }

    /// Writes the configuration with these policies and other top-level keys.
    pub fn policies_and(&self, policies: &str, more: &str) {
        self.configure(&self.simulator.config_yaml(), policies, more);
    }

    /// Writes a whole configuration.
    pub fn configure(&self, projects: &str, policies: &str, more: &str) {
        // This host's journal is not a test's.
        let anchor = if more.contains("audit:") {
            ""
        } else {
            "audit: {anchor: none}"
        };
        let text =
            format!("version: 1\nstate_dir: state\nlisten: none\n{projects}policies:{policies}\n{more}\n{anchor}\n");
        std::fs::write(self.config_file(), text).unwrap();
    }

    /// Sets an environment variable of commands and passes.
    pub fn set_env(&mut self, name: &str, value: &str) {
        self.env.retain(|(known, _)| known != name);
        self.env.push((name.to_owned(), value.to_owned()));
    }

    pub fn fault(&self, rule: &str) {
        self.simulator.faults().add(Fault::parse(rule).unwrap());
    }

    /// The built binary with this configuration and nothing else of this process's environment.
    pub fn command(&self, args: &[&str]) -> Command {
        self.command_with(&self.config_file(), args)
    }

    /// The same with another configuration.
    pub fn command_with(&self, config: &Path, args: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_rds-retentiond"));
        command
            .env_clear()
            .envs(self.env.iter().map(|(name, value)| (name, value)));
        command.arg("--config").arg(config).args(args);
        command.stdin(Stdio::null());
        command
    }

    /// Runs a command to its end.
    pub async fn run(&self, args: &[&str]) -> Ran {
        output(self.command(args)).await
    }

    /// `apply`, as JSON.
    pub async fn apply(&self) -> Ran {
        self.run(&["apply", "--format", "json"]).await
    }

    /// `plan`, as JSON.
    pub async fn plan(&self) -> Ran {
        self.run(&["plan", "--format", "json"]).await
    }

    /// Approves what the policy's latest run was refused.
    pub async fn approve(&self, policy: &str) -> Ran {
        let waiting = self.ledger().waiting(&policy.into()).unwrap().expect("a refused plan");
        self.run(&["approve", policy, "--plan", &waiting.digest]).await
    }

    pub fn config(&self) -> Arc<Config> {
        Arc::new(config::load(&self.config_file(), &Environment::default()).unwrap_or_else(|error| panic!("{error}")))
    }

    pub fn ledger(&self) -> Ledger {
        Ledger::open(&self.state(), Access::Create, rds_retentiond::clock::now()).unwrap()
    }

    /// One pass of the library.
    pub fn pass(&self) -> Pass<'_> {
        Pass {
            world: self,
            now: rds_retentiond::clock::now(),
            budget: Duration::from_secs(30),
            confirm_for: Duration::ZERO,
            timeout: Duration::from_secs(10),
            policies: None,
            purpose: None,
            watcher: Arc::new(|_| {}),
            stop: watch::channel(false).1,
        }
    }

    /// The ids whose deletion was accepted, ever.
    pub fn deleted(&self) -> BTreeSet<String> {
        self.simulator
            .deletions()
            .into_iter()
            .map(|deletion| deletion.id)
            .collect()
    }

    /// The ids that a request to delete named, whatever became of it.
    pub fn asked(&self) -> BTreeSet<String> {
        let calls = [Op::DeleteBatch, Op::DeleteOne].map(|operation| self.simulator.calls_of(operation));
        calls.into_iter().flatten().flat_map(|call| call.backup_ids).collect()
    }

    /// Nothing outside `allowed` was deleted, nor was it ever asked; and the rules of sending were kept.
    #[track_caller]
    pub fn deleted_only(&self, allowed: &BTreeSet<String>) {
        self.sent_by_the_rules();
        let wrong: Vec<_> = self.asked().difference(allowed).cloned().collect();
        assert!(wrong.is_empty(), "asked to delete {wrong:?}");
        assert!(self.deleted().is_subset(allowed));
    }

    /// Exactly these were deleted.
    #[track_caller]
    pub fn deleted_exactly(&self, wanted: &BTreeSet<String>) {
        self.deleted_only(wanted);
        assert_eq!(self.deleted(), *wanted);
    }

    /// At most 50 ids a call, each once in it; and an id whose deletion may have happened is not sent again without a
    /// listing of its instance in between.
    #[track_caller]
    pub fn sent_by_the_rules(&self) {
        let mut open: BTreeMap<String, usize> = BTreeMap::new();
        for call in self.simulator.calls() {
            let stranger = call
                .claimed
                .as_ref()
                .is_some_and(|key| key.starts_with(OWN_KEY) && key != self.simulator.access_key());
            assert!(!stranger, "another world's client came here: {call:?}");
            match (call.operation, &call.instance) {
                (Some(Op::ListBackups | Op::ListRetained), Some(instance)) => {
                    let of = |id: &String| instance_of(id) == *instance;
                    open.retain(|id, _| !of(id));
                }
                (Some(Op::DeleteBatch | Op::DeleteOne), _) => {
                    let unique: BTreeSet<_> = call.backup_ids.iter().collect();
                    assert!(!unique.is_empty() && unique.len() <= 50, "{call:?}");
                    assert_eq!(unique.len(), call.backup_ids.len(), "an id twice in {call:?}");
                    // A refusal as a whole says that nothing happened.
                    let nothing_happened = matches!(call.status, Some(400..=407 | 409..=499)) && !call.done;
                    for id in &call.backup_ids {
                        assert!(
                            !open.contains_key(id),
                            "{id} was sent again without a listing: calls {} and {}",
                            open[id],
                            call.number
                        );
                        if !nothing_happened {
                            open.insert(id.clone(), call.number);
                        }
                    }
                }
                _ => {}
            }
        }
    }
}

/// The instance of a [`backup_id`].
pub fn instance_of(backup: &str) -> String {
    let digits = backup.rsplit_once("br").map_or("04", |(_, digits)| digits);
    usize::from_str_radix(&backup[..16], 16).map_or_else(|_| String::new(), |number| format!("{number:032x}in{digits}"))
}

/// Runs a command to its end while the simulator goes on answering.
pub async fn output(mut command: Command) -> Ran {
    let output = tokio::task::spawn_blocking(move || command.output().unwrap())
        .await
        .unwrap();
    Ran::of(&output)
}

/// The decisions of a policy in a report's JSON, by backup.
pub fn decisions(report: &Value, policy: &str) -> BTreeMap<String, Value> {
    let policies = report["policies"].as_array().unwrap();
    let policy = policies.iter().find(|entry| entry["policy"] == policy).unwrap();
    let decisions = policy["decisions"].as_array().unwrap().iter();
    decisions
        .map(|decision| (decision["backup_id"].as_str().unwrap().to_owned(), decision.clone()))
        .collect()
}

/// The backups for which a policy decided so.
pub fn decided(report: &Value, policy: &str, decision: &str) -> BTreeSet<String> {
    decisions(report, policy)
        .into_iter()
        .filter(|(_, entry)| entry["decision"] == decision)
        .map(|(id, _)| id)
        .collect()
}
