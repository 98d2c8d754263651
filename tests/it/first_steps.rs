//! What the README tells a newcomer to type: the demo, and the simulator with what it prints. Nothing is configured, and
//! nothing is left behind.

mod demo;

use std::fs;
use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};

use serde_json::Value;
use tempfile::TempDir;

use super::world::Ran;

/// The binary in an environment that has nothing but a place for temporary files.
fn program(dir: &Path, words: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_rds-retentiond"));
    command.env_clear().env("TMPDIR", dir).current_dir(dir).args(words);
    command.stdin(Stdio::null());
    command
}

/// A running simulator, what it printed, and where that was saved.
struct Lab {
    child: Child,
    dir: TempDir,
    keys: Vec<(String, String)>,
}

impl Lab {
    fn start() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let words = ["simulator", "--deletion-takes", "10ms"];
        let mut child = program(dir.path(), &words).stdout(Stdio::piped()).spawn().unwrap();
        let mut reader = BufReader::new(child.stdout.take().unwrap());
        let mut printed = String::new();
        // The last line it prints.
        while !printed.contains("limits:") {
            assert_ne!(reader.read_line(&mut printed).unwrap(), 0, "{printed}");
        }
        let export = |line: &str| {
            let (name, value) = line.strip_prefix("#   export ")?.split_once('=')?;
            Some((name.to_owned(), value.to_owned()))
        };
        let keys = printed.lines().filter_map(export).collect();
        let lab = Self { child, dir, keys };
        lab.save(&printed);
        lab
    }

    fn save(&self, config: &str) {
        fs::write(self.dir.path().join("config.yaml"), config).unwrap();
    }

    fn config(&self) -> String {
        fs::read_to_string(self.dir.path().join("config.yaml")).unwrap()
    }

    fn run(&self, words: &str) -> Ran {
        let words: Vec<&str> = ["--config", "config.yaml"]
            .into_iter()
            .chain(words.split(' '))
            .collect();
        let mut command = program(self.dir.path(), &words);
        Ran::of(&command.envs(self.keys.iter().cloned()).output().unwrap())
    }
}

impl Drop for Lab {
    fn drop(&mut self) {
        // It may have ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn outcomes(report: &Value, wanted: &str) -> usize {
    let rows = report["policies"][0]["decisions"].as_array().unwrap();
    rows.iter().filter(|row| row["outcome"] == wanted).count()
}

#[test]
fn what_the_simulator_prints_is_all_that_check_plan_and_apply_need() {
    let mut lab = Lab::start();
    lab.run("check --strict").exits(0);
    let reached = lab.run("check --online").exits(0);
    assert!(
        reached.stdout.contains("project simulator: reached"),
        "{}",
        reached.stdout
    );
    let plan = lab.run("plan --format json").exits(0).json();
    let (policy, wanted) = (&plan["policies"][0], &plan["policies"][0]["summary"]["delete"]);
    assert_eq!(
        (&policy["mode"], &policy["verdict"]),
        (&"dry-run".into(), &"approved".into()),
        "{policy}"
    );
    assert!(wanted.as_u64().unwrap() > 100, "{wanted}");
    // As it stands it deletes nothing.
    let dry = lab.run("apply --format json").exits(0).json();
    assert!(dry["policies"][0].get("sent").is_none(), "{dry}");
    // As its comment says, it does with `enforce`.
    lab.save(&lab.config().replace("mode: dry-run", "mode: enforce"));
    let done = lab.run("apply --format json").exits(0).json();
    assert_eq!(
        outcomes(&done, "confirmed"),
        usize::try_from(wanted.as_u64().unwrap()).unwrap()
    );
    assert_eq!(
        lab.run("plan --format json").exits(0).json()["policies"][0]["summary"]["delete"],
        0
    );

    let stopped = Command::new("kill").arg(lab.child.id().to_string()).status().unwrap();
    assert!(stopped.success());
    assert_eq!(lab.child.wait().unwrap().code(), Some(0));
}

/// Whoever needs a fault need not read the source.
#[test]
fn the_simulator_s_help_lists_every_fault() {
    let dir = tempfile::tempdir().unwrap();
    let help = Ran::of(&program(dir.path(), &["simulator", "--help"]).output().unwrap()).exits(0);
    for word in [
        "delete_batch",
        "retry_after=2",
        "truncate=100",
        "foreign_instance",
        "date=-20m",
        "times=2",
    ] {
        assert!(help.stdout.contains(word), "no `{word}` in:\n{}", help.stdout);
    }
}

#[test]
fn a_scenario_file_describes_the_fleet_and_the_faults_of_a_simulator() {
    let dir = tempfile::tempdir().unwrap();
    let example = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/scenarios/example.yaml");
    let demo = |file: &Path| {
        let words = [
            "demo",
            "--once",
            "--deletion-takes",
            "10ms",
            "--scenario",
            file.to_str().unwrap(),
        ];
        Ran::of(&program(dir.path(), &words).output().unwrap())
    };
    let shown = demo(&example).exits(0);
    for says in [
        "with 6 instances and",
        "mssql-prod-3",
        "release-42",
        "confirmed (",
        "mssql-prod-old",
    ] {
        assert!(shown.stdout.contains(says), "no `{says}` in:\n{}", shown.stdout);
    }
    let text = fs::read_to_string(&example).unwrap();
    assert!(!shown.stdout.contains("in use by a restore"), "what is kept anyway");
    let used = dir.path().join("used.yaml");
    fs::write(&used, text.replace("in_use: [release-42]", "in_use: [broken]")).unwrap();
    let shown = demo(&used).exits(0);
    assert!(shown.stdout.contains("in use by a restore"), "{}", shown.stdout);
    for (right, wrong, says) in [
        ("engine: mysql", "engine: oracle", "engine `oracle` is not known"),
        ("kind: Ha", "kind: Cluster", "kind `Cluster` is not known"),
        (
            "in_use: [release-42]",
            "in_use: [release-43]",
            "no backup has that name",
        ),
        ("status: FAILED", "status: LOST", "status `LOST` is not known"),
        ("times=2", "times=two", "list_backups:status=503:times=two"),
        ("deleted: true", "gone: true", "gone"),
    ] {
        let file = dir.path().join("odd.yaml");
        fs::write(&file, text.replace(right, wrong)).unwrap();
        let said = demo(&file).exits(64).stderr;
        assert!(said.contains("odd.yaml") && said.contains(says), "{said}");
    }
}

/// The simulator's time-lapse: its clock leaps, schedules make backups, and no clock but its own does: a run of another process deletes
/// nothing, although it reads everything.
#[test]
fn a_simulator_whose_clock_leaps_makes_backups_and_a_run_by_another_clock_deletes_none() {
    let dir = tempfile::tempdir().unwrap();
    let words = [
        "simulator",
        "--live",
        "24h=40ms",
        "--instances",
        "2",
        "--deletion-takes",
        "0s",
    ];
    let mut command = program(dir.path(), &words);
    let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let mut config = String::new();
    for line in BufReader::new(child.stdout.take().unwrap()).lines() {
        config += &(line.unwrap() + "\n");
        if config.contains("max_percent") {
            break;
        }
    }
    // What leaps is said on stderr: stdout is the configuration, which may be a file.
    let mut made = 0;
    let mut told = BufReader::new(child.stderr.take().unwrap()).lines();
    while made <= 4 {
        let line = told.next().unwrap().unwrap();
        let (_, count) = line.split_once(" s ahead, ").unwrap();
        made += count.split(' ').next().unwrap().parse::<u32>().unwrap();
    }
    std::thread::spawn(move || told.for_each(drop));
    assert!(config.contains("demo --watch --live"), "{config}");
    let exports = config
        .lines()
        .filter_map(|line| line.strip_prefix("#   export ")?.split_once('='));
    let exports: Vec<(String, String)> = exports
        .map(|(name, value)| (name.to_owned(), value.to_owned()))
        .collect();
    fs::write(
        dir.path().join("config.yaml"),
        config.replace("mode: dry-run", "mode: enforce"),
    )
    .unwrap();
    let run = |words: &[&str]| {
        let mut command = program(dir.path(), &["--config", "config.yaml"]);
        Ran::of(&command.args(words).envs(exports.clone()).output().unwrap())
    };
    let plan = run(&["plan", "--at", "2100-01-01", "--format", "json"]).exits(0).json();
    assert!(plan["policies"][0]["summary"]["keep"].as_u64() > Some(0), "{plan}");
    let refused = run(&["apply", "--format", "json"]).exits(3).json();
    assert_eq!(refused["policies"][0]["refusal"]["limit"], "clock", "{refused}");
    let pid = child.id().to_string();
    assert!(Command::new("kill").args(["-INT", &pid]).status().unwrap().success());
    assert_eq!(child.wait().unwrap().code(), Some(0));
}

/// Whoever sees the file sees all of it, and a file of somebody's own is never written over.
#[test]
fn a_simulator_writes_its_configuration_whole_and_over_nothing_but_its_own() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("simulator.yaml");
    fs::write(&file, "version: 1\n").unwrap();
    let words = ["simulator", "--write", "simulator.yaml"];
    let refused = Ran::of(&program(dir.path(), &words).output().unwrap()).exits(64);
    refused.says("no simulator wrote it");
    assert_eq!(fs::read_to_string(&file).unwrap(), "version: 1\n");
    fs::remove_file(&file).unwrap();
    for nth in 0..2 {
        let mut child = program(dir.path(), &words)
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let mut said = String::new();
        BufReader::new(child.stdout.take().unwrap())
            .read_line(&mut said)
            .unwrap();
        let config = fs::read_to_string(&file).unwrap();
        let url = config
            .lines()
            .next()
            .unwrap()
            .split(' ')
            .find(|word| word.starts_with("http://"))
            .unwrap();
        assert!(said.contains(url), "start {nth} announced {said} and wrote {url}");
        assert!(config.ends_with("never cleaned up\n"), "{config}");
        Ran::of(
            &program(dir.path(), &["--config", "simulator.yaml", "check"])
                .output()
                .unwrap(),
        )
        .exits(0);
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 1, "nothing else is left");
        let pid = child.id().to_string();
        assert!(Command::new("kill").args(["-INT", &pid]).status().unwrap().success());
        assert_eq!(child.wait().unwrap().code(), Some(0));
    }
}

#[test]
fn a_fleet_without_sql_server_comes_with_a_policy_that_selects_what_is_there() {
    let dir = tempfile::tempdir().unwrap();
    let scenario = "instances:\n  - {name: m, engine: mysql, backups: [{every: 24h, for: 5d}]}\n";
    fs::write(dir.path().join("scenario.yaml"), scenario).unwrap();
    let words = ["simulator", "--scenario", "scenario.yaml", "--write", "simulator.yaml"];
    let mut child = program(dir.path(), &words)
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    BufReader::new(child.stdout.take().unwrap())
        .read_line(&mut String::new())
        .unwrap();
    let config = fs::read_to_string(dir.path().join("simulator.yaml")).unwrap();
    let exports = config
        .lines()
        .filter_map(|line| line.strip_prefix("#   export ")?.split_once('='));
    let mut plan = program(dir.path(), &["--config", "simulator.yaml", "plan", "--format", "json"]);
    let plan = Ran::of(&plan.envs(exports).output().unwrap()).exits(0).json();
    assert!(plan["policies"][0]["summary"]["keep"].as_u64() > Some(0), "{plan}");
    let pid = child.id().to_string();
    assert!(Command::new("kill").args(["-INT", &pid]).status().unwrap().success());
    child.wait().unwrap();
}

#[test]
fn what_would_be_ignored_is_a_usage_error_and_a_port_in_use_is_not_available() {
    let dir = tempfile::tempdir().unwrap();
    let run = |words: &[&str]| Ran::of(&program(dir.path(), words).output().unwrap());
    run(&["demo", "--live", "24h=1min"]).exits(64).says("--watch");
    for flag in ["--instances", "--backups"] {
        run(&["simulator", "--scenario", "x.yaml", flag, "3"])
            .exits(64)
            .says(flag);
    }
    run(&["simulator", "--live", "100y=1s"])
        .exits(64)
        .says("a day takes at least a millisecond");
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    for command in ["simulator", "demo"] {
        run(&[command, "--listen", &address]).exits(69).says(&address);
    }
}

/// Bash takes `--flag=value` apart into three words; the script puts them together again.
#[test]
fn bash_completes_a_value_behind_an_equals_sign() {
    let dir = tempfile::tempdir().unwrap();
    let program = Path::new(env!("CARGO_BIN_EXE_rds-retentiond"));
    let complete = |words: &[&str], typed: &str| {
        let words: Vec<String> = words.iter().map(|word| format!("'{word}'")).collect();
        let script = format!(
            "source <(rds-retentiond completions bash); COMP_WORDS=({}); COMP_CWORD={}; COMP_TYPE=9; \
             _clap_complete_rds_retentiond rds-retentiond '{typed}' x; printf '%s\\n' \"${{COMPREPLY[@]}}\"",
            words.join(" "),
            words.len() - 1
        );
        let path = format!("{}:/usr/bin:/bin", program.parent().unwrap().display());
        let mut bash = Command::new("bash");
        bash.args(["--norc", "-c", &script])
            .env_clear()
            .env("PATH", path)
            .current_dir(dir.path());
        let said = Ran::of(&bash.output().unwrap()).exits(0).stdout;
        said.lines().map(|line| line.trim().to_owned()).collect::<Vec<_>>()
    };
    fs::write(dir.path().join("config.yaml"), "").unwrap();
    let name = "rds-retentiond";
    for (words, typed, wanted) in [
        (vec![name, "--color", "=", "al"], "al", "always"),
        (vec![name, "--color", "="], "", "always"),
        (vec![name, "plan", "--format", "=", "j"], "j", "json"),
        (vec![name, "--config", "=", "con"], "con", "config.yaml"),
        (vec![name, "--color", "=", "always", "fore"], "fore", "forecast"),
        (vec![name, "plan", "--color", "al"], "al", "always"),
    ] {
        let offered = complete(&words, typed);
        assert!(offered.iter().any(|of| of == wanted), "{words:?}: {offered:?}");
    }
}

#[tokio::test]
async fn what_has_nothing_in_scope_or_no_run_yet_says_so() {
    let world = super::world::World::new(&[3]).await;
    world.policies(
        "\n  - name: p\n    mode: dry-run\n    keep: {last: 3}\n    select: {instances: {names: [nothing-*]}}\n",
    );
    let plan = world.run(&["plan"]).await.exits(0).stdout;
    assert!(plan.contains("nothing in scope"), "{plan}");
    let none = world.run(&["history"]).await.exits(0).stdout;
    assert!(none.starts_with("No runs yet in ") && none.contains("/state"), "{none}");
    let none = world.run(&["history", "--format", "json"]).await.exits(0).json();
    assert_eq!(none["runs"].as_array().unwrap().len(), 0);
    // The twin: what is in scope is approved.
    world.policies(super::world::KEEP_3);
    let plan = world.run(&["plan"]).await.exits(0).stdout;
    assert!(
        plan.contains("approved") && !plan.contains("nothing in scope"),
        "{plan}"
    );
}
