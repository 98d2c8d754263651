//! `demo`: simulator, configuration and daemon, or one run, in one process. Nothing to configure, nothing leaves the machine, and
//! nothing is left on it.

use std::fs;
use std::io::Write as _;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::Notify;

use super::args::{DemoArgs, Format, Global, ShowArgs};
use super::failure::{CommandResult, Failure};
use super::output::progress::ProgressLine;
use super::output::report::ReportKind;
use super::output::row_buffer::BufferedRows;
use super::output::show_report::show_report;
use super::output::stdout::{Out, finish};
use super::run::Service;
use super::{context, exit, signals, time_lapse};
use crate::config::{Config, Environment};
use crate::daemon::Options;
use crate::ledger::{Access, Ledger};
use crate::operations::ProcessContext;
use crate::operations::apply::ApplyState;
use crate::operations::context::no_observer;
use crate::run::{self, Purpose, RunRequest};
use crate::simulator::Simulator;

/// The demo's policies: one without a grace, so that something is deleted while one watches, and one with the usual day,
/// under which backups wait.
const POLICIES: &str = "
policies:
  - name: production
    mode: enforce
    schedule: \"*/1 * * * *\"
    timezone: Asia/Singapore
    select: {instances: {tags: {env: prod}}}
    keep: {last: 3, daily: 7, weekly: 4, monthly: 6, yearly: all}
    failed_after: 3d
    min_backups: 2
    grace: 0s
    limits: {max_deletions: 1000, max_percent: 90}
  - name: everything-else
    mode: enforce
    schedule: \"*/1 * * * *\"
    timezone: Asia/Singapore
    select: {instances: {names: [\"mssql-staging-*\", \"mssql-test-*\"]}}
    keep: {last: 2, within_daily: 14d}
    max_age: 90d
    min_backups: 1
    grace: 24h
    limits: {max_deletions: 1000, max_percent: 95}
";

/// As the policies have it.
const EVERY_MINUTE: &str = "*/1 * * * *";

fn policies(schedule: &str) -> String {
    POLICIES.replace(EVERY_MINUTE, schedule)
}

/// What to do after the demo.
const NEXT: &str = "`rds-retentiond init` writes a dry-run configuration for your own fleet.";

/// A hold that ends soon, so that it is seen how one looks.
fn holds() -> String {
    let until = (crate::clock::now() + chrono::TimeDelta::days(5)).date_naive();
    format!(
        "
price: {{per_gib_month: 0.02, currency: USD}}
holds:
  - {{instance: \"*\", name: \"before_upgrade_*\", reason: until the upgrade is accepted, owner: dba, until: {until}}}
"
    )
}

pub(super) fn demo(args: &DemoArgs, global: &Global) -> CommandResult {
    context::log(global)?;
    let place = DemoPlace::make()?;
    context::block_on(2, async {
        let (options, described) = super::simulator::options(&args.fleet)?;
        let simulator = super::simulator::start(options, described).await?;
        let code = if args.once {
            once(
                &place.configure(&simulator, "none", schedule(args))?,
                &simulator,
                args,
                global,
            )
            .await
        } else {
            let config = place.configure(&simulator, &args.listen.to_string(), schedule(args))?;
            stay(config, &simulator, args, global).await
        };
        simulator.stop().await;
        code
    })
}

/// When both policies run: often, so that one need not wait; in a time-lapse once a day, as they would.
fn schedule(args: &DemoArgs) -> &'static str {
    if args.watch { "0 3 * * *" } else { EVERY_MINUTE }
}

/// The daemon as `run` starts it, until Ctrl-C.
async fn stay(config: Arc<Config>, simulator: &Simulator, args: &DemoArgs, global: &Global) -> CommandResult {
    introduce(simulator, schedule(args), global)?;
    // Made here: the daemon would warn of a state that may have been lost, and this one never was.
    drop(Ledger::open(
        run::state_of(&config),
        Access::Create,
        crate::clock::now(),
    )?);
    let clock_set = Arc::new(Notify::new());
    let service = Service::bind(Options {
        config,
        environment: Environment::default(),
        stop: context::stop_signal()?,
        hangups: signals::hangups(),
        clock: Arc::new(crate::clock::now),
        clock_set: Arc::clone(&clock_set),
        host: String::new(),
        demo: true,
    })
    .await?;
    if let Some(address) = service.address() {
        let mut out = Out::table(global.color);
        let pace = if args.watch {
            format!(
                "and then every night. Time passes at {}, each night with its backups; the page loads itself every two seconds",
                args.live
            )
        } else {
            "and then every minute".to_owned()
        };
        let written = writeln!(
            out,
            "\nThe daemon runs both policies now, {pace}.\n\n  \
             status page  http://{address}/\n  metrics      http://{address}/metrics\n\nPress Ctrl-C to end it; nothing is left behind. Next: {NEXT}"
        );
        finish(out, written, exit::DONE)?;
    }
    if args.watch {
        let status = service.status();
        tokio::select! {
            ended = service.run() => ended?,
            () = time_lapse::pass(args.live, simulator, &status, &clock_set) => {}
        }
    } else {
        service.run().await?;
    }
    Ok(exit::DONE)
}

/// One plan's worth of looking and one run, shown as one report.
async fn once(config: &Arc<Config>, simulator: &Simulator, args: &DemoArgs, global: &Global) -> CommandResult {
    let now = crate::clock::now();
    signals::end_on_hangup();
    introduce(simulator, schedule(args), global)?;
    let mut stop = context::stop_signal()?;
    let state = ApplyState::open(config, None, false, &mut stop, now).await?;
    let (progress, on_progress) = ProgressLine::of_run();
    let process = ProcessContext {
        stop,
        observer: no_observer(),
        on_progress,
    };
    let context = state.run_context(config, process)?;
    let request = RunRequest {
        purpose: Purpose::Apply {
            confirm_for: Duration::from_secs(60),
        },
        policies: None,
        instance: None,
        now,
        rows: run::ReportDetail::All,
        trigger: "demo",
        person: None,
        budget: Duration::from_secs(600),
    };
    let report = run::run(&request, &context).await;
    progress.finish();
    // All of it: whoever looks at a demo wants to see why things stay.
    let show = ShowArgs {
        format: Format::Table,
        all: true,
        wide: false,
    };
    let code = show_report(
        &report?,
        &BufferedRows::default(),
        ReportKind::Apply,
        (&show, config.price.as_ref()),
        global,
    )?;
    let mut out = Out::table(global.color);
    let written = writeln!(
        out,
        "\nNext: `rds-retentiond demo` serves a status page of such a fleet. {NEXT}"
    );
    finish(out, written, code)
}

fn introduce(simulator: &Simulator, schedule: &str, global: &Global) -> Result<(), Failure> {
    let backups = simulator
        .backups()
        .iter()
        .filter(|backup| backup.kind == crate::simulator::BackupKind::Manual)
        .count();
    let mut out = Out::table(global.color);
    let written = writeln!(
        out,
        "An RDS API with {} instances and {backups} manual backups listens on {}, in this process.\n\
         Two policies run on it, over real HTTP with signed requests; nothing leaves this machine.\n{}{}",
        simulator.instances().len(),
        simulator.url(),
        policies(schedule),
        holds(),
    );
    finish(out, written, exit::DONE).map(drop)
}

/// A directory of the demo's own that goes with it.
struct DemoPlace(PathBuf);

impl DemoPlace {
    fn make() -> Result<Self, Failure> {
        let dir = std::env::temp_dir().join(format!(
            "rds-retentiond-demo-{}-{:08x}",
            std::process::id(),
            fastrand::u32(..)
        ));
        fs::DirBuilder::new()
            .mode(0o700)
            .create(&dir)
            .map_err(|error| cannot(&dir, &error))?;
        Ok(Self(dir))
    }

    /// Writes the configuration and its keys, and loads it as any other.
    fn configure(&self, simulator: &Simulator, listen: &str, schedule: &str) -> Result<Arc<Config>, Failure> {
        let credentials = format!(
            "credentials: {{source: files, access_key_file: {}, secret_key_file: {}}}",
            self.write("access_key", simulator.access_key())?.display(),
            self.write("secret_key", simulator.secret_key())?.display(),
        );
        let projects = simulator
            .config_yaml()
            .replace("credentials: {source: environment}", &credentials);
        let state = self.0.join("state");
        let text = format!(
            "version: 1\nstate_dir: {}\nlisten: {listen}\n{projects}{}{}",
            state.display(),
            policies(schedule),
            holds()
        );
        let mut config = context::load_other(&self.write("config.yaml", &text)?)?;
        // It runs every minute so that one need not wait: no reason to warn a newcomer.
        if let Some(config) = Arc::get_mut(&mut config) {
            config.warnings.clear();
        }
        Ok(config)
    }

    fn write(&self, name: &str, text: &str) -> Result<PathBuf, Failure> {
        let path = self.0.join(name);
        let mut options = fs::OpenOptions::new();
        options.write(true).create_new(true).mode(0o600);
        options
            .open(&path)
            .and_then(|mut file| file.write_all(text.as_bytes()))
            .map_err(|error| cannot(&path, &error))?;
        Ok(path)
    }
}

impl Drop for DemoPlace {
    fn drop(&mut self) {
        if let Err(error) = fs::remove_dir_all(&self.0) {
            tracing::warn!(%error, "the demo's directory {} is left behind", self.0.display());
        }
    }
}

fn cannot(path: &Path, error: &std::io::Error) -> Failure {
    Failure::new(exit::UNDONE, format!("{}: {error}", path.display()))
}
