//! `simulator`: an RDS API on loopback with a made-up fleet; prints the configuration to use with it.

use std::io::{ErrorKind, Write as _};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use tokio::time::{Instant, sleep_until};

use super::args::{FleetArgs, Global, SimulatorArgs, TimeLapse};
use super::failure::{CommandResult, Failure};
use super::output::stdout::{Out, finish, note};
use super::scenario::{self, Described};
use super::{context, exit};
use crate::simulator::{self, Fault, Options, RateLimit, Settings};
use crate::wording::remedies::program;
use crate::wording::sanitize::clean;

pub(super) fn simulator(args: &SimulatorArgs, global: &Global) -> CommandResult {
    context::log(global)?;
    let faults = args
        .faults
        .iter()
        .map(|text| {
            Fault::parse(text)
                .map_err(|error| Failure::new(exit::USAGE, format!("--fault {text}: {error}\n{}", Fault::GRAMMAR)))
        })
        .collect::<Result<Vec<_>, _>>()?;
    args.write.as_deref().map_or(Ok(()), check_is_own)?;
    context::block_on(2, async {
        let mut stop = context::stop_signal()?;
        let (options, described) = options(&args.fleet)?;
        let leaps = Leaps::default();
        let clock = leaps.clone();
        let options = Options {
            clock: Arc::new(move || clock.now()),
            listen: args.listen,
            project_id: args.project_id.clone().unwrap_or(options.project_id),
            rate_limit: args.rate_limit.map(|per_second| RateLimit {
                per_second: usize::try_from(per_second).unwrap_or(usize::MAX),
                retry_after: None,
            }),
            ..options
        };
        let simulator = start(options, described).await?;
        simulator.set(|settings| {
            settings.latency = args.latency;
            // So that `plan` and `check` are answered whatever their clock is, and a run is refused for what the `Date` says.
            settings.any_signature_date = args.live.is_some();
        });
        for fault in faults {
            simulator.faults().add(fault);
        }
        let mut out = Out::raw();
        let mut text = instructions(&simulator, args);
        if let Some(file) = &args.write {
            write_whole(file, &text)?;
            text = format!(
                "{FIRST_WORDS}{}; configuration and keys: {}\n",
                simulator.url(),
                file.display()
            );
        }
        let written = write!(out, "{text}").and_then(|()| out.flush());
        let ended = finish(out, written, exit::DONE);
        // The sender lives as long as the runtime, so the wait ends with a signal only.
        let stopped = stop.wait_for(|stop| *stop);
        match args.live {
            None => drop(stopped.await),
            Some(lapse) => tokio::select! {
                _ = stopped => {}
                () = leaps.pass(lapse, &simulator) => {}
            },
        }
        simulator.stop().await;
        ended
    })
}

/// Options for a fleet as the flags describe it, and what its scenario has beside it.
pub(super) fn options(fleet: &FleetArgs) -> Result<(Options, Described), Failure> {
    let scenario = fleet
        .scenario
        .as_deref()
        .map(|path| scenario::read(path, crate::clock::now()));
    let mut described = scenario.transpose()?.unwrap_or_default();
    let defaults = Options::new(Arc::new(crate::clock::now));
    let instances = usize::try_from(fleet.instances).unwrap_or(usize::MAX);
    let backups_per_instance = usize::try_from(fleet.backups).unwrap_or(usize::MAX);
    let options = Options {
        seed: fleet.seed,
        fleet: if let Some(given) = described.fleet.take() {
            given
        } else if fleet.regular {
            simulator::Fleet::Regular {
                instances,
                backups_per_instance,
                minutes_apart: 360,
            }
        } else {
            simulator::Fleet::Seeded {
                instances,
                backups_per_instance,
            }
        },
        settings: Settings {
            deletion_takes: fleet.deletion_takes,
            creation_takes: fleet.creation_takes,
            ..defaults.settings
        },
        ..defaults
    };
    Ok((options, described))
}

pub(super) async fn start(options: Options, described: Described) -> Result<simulator::Simulator, Failure> {
    let listen = options.listen;
    let simulator = simulator::Simulator::start(options).await.map_err(|error| {
        Failure::new(
            exit::UNAVAILABLE,
            format!("cannot listen on {listen}: {error}; name another --listen, or port 0 for a free one"),
        )
    })?;
    for fault in described.faults {
        simulator.faults().add(fault);
    }
    for backup in &described.in_use {
        simulator.set_in_use(backup, true);
    }
    Ok(simulator)
}

/// Of a time-lapse at most one line in so long.
const SAYS_EVERY: Duration = Duration::from_millis(500);
/// How a configuration of a simulator begins: no other file is written over.
const FIRST_WORDS: &str = "# An RDS API with a made-up fleet listens on ";

/// How far the API's clock has leapt ahead of the host's, in milliseconds. This process has nothing else that reads it.
#[derive(Clone, Default)]
struct Leaps(Arc<AtomicI64>);

impl Leaps {
    fn now(&self) -> DateTime<Utc> {
        crate::clock::now() + TimeDelta::milliseconds(self.0.load(Ordering::SeqCst))
    }

    /// Leaps at most a day at once, so that each night's backups are made in it, and says so once a second at most. Between two leaps time goes as always, so
    /// that a process that leapt as far agrees with it.
    async fn pass(&self, lapse: TimeLapse, simulator: &simulator::Simulator) {
        let leap = lapse.leap();
        let mut next = Instant::now();
        let (mut said, mut made) = (None, 0);
        loop {
            next += lapse.real(leap);
            sleep_until(next).await;
            let ahead = self.0.fetch_add(leap.num_milliseconds(), Ordering::SeqCst) + leap.num_milliseconds();
            made += simulator.make_due_backups();
            // On stderr: stdout is the configuration.
            if said.is_none_or(|at: Instant| at.elapsed() >= SAYS_EVERY) {
                let at = self.now().format("%Y-%m-%dT%H:%M:%SZ");
                note(&format!("# {at}: {} s ahead, {made} backups made", ahead / 1000));
                (said, made) = (Some(Instant::now()), 0);
            }
        }
    }
}

/// What there is to know where time is lapsed.
fn about_time(lapse: Option<TimeLapse>) -> String {
    let Some(lapse) = lapse else { return String::new() };
    format!(
        "# Its clock leaps ahead, {lapse}, and each instance's schedule makes its backups. `plan --at TIME` shows what a policy does with\n\
         # them. `apply` and `run` delete nothing, also with `mode: enforce` (then exit 3), as their clock is not the API's; under libfaketime, set\n\
         # ahead by the seconds that are printed on stderr, they do: FAKETIME_DONT_FAKE_MONOTONIC=1 faketime -f +SECONDS rds-retentiond --config config.yaml apply\n\
         # A daemon whose clock runs along, with its page: rds-retentiond demo --watch --live SPAN=DURATION\n"
    )
}

/// A policy takes SQL Server unless it says otherwise; a fleet without one has other engines.
fn select(simulator: &simulator::Simulator) -> String {
    let instances = simulator.instances();
    let has = |engine: &simulator::Engine| instances.iter().any(|instance| instance.engine == *engine);
    let there: Vec<String> = simulator::Engine::ALL
        .into_iter()
        .filter(has)
        .map(|engine| engine.name().to_lowercase())
        .collect();
    if there.is_empty() || has(&simulator::Engine::SqlServer) {
        return String::new();
    }
    format!("    select: {{engines: [{}]}}\n", there.join(", "))
}

/// Refuses to write over anything but the configuration of a simulator.
fn check_is_own(file: &Path) -> Result<(), Failure> {
    let refuse = |why: String| {
        let text = format!(
            "--write {}: {why}; nothing was written: name another file",
            file.display()
        );
        Err(Failure::new(exit::USAGE, text))
    };
    match std::fs::read(file) {
        Ok(text) if text.starts_with(FIRST_WORDS.as_bytes()) => Ok(()),
        Ok(_) => refuse("it is there already, and no simulator wrote it".to_owned()),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(()),
        Err(error) => refuse(error.to_string()),
    }
}

/// Writes the whole configuration under another name and renames it: who sees the file sees all of it.
fn write_whole(file: &Path, text: &str) -> Result<(), Failure> {
    check_is_own(file)?;
    let mut beside = file.as_os_str().to_owned();
    beside.push(format!(".{}", std::process::id()));
    let written = std::fs::write(&beside, text).and_then(|()| std::fs::rename(&beside, file));
    written.map_err(|error| {
        let _ = std::fs::remove_file(&beside);
        Failure::new(exit::UNDONE, format!("--write {}: {error}", file.display()))
    })
}

fn instructions(simulator: &simulator::Simulator, args: &SimulatorArgs) -> String {
    let saved = match &args.write {
        Some(file) => format!("This file is {}", clean(&file.to_string_lossy())),
        None => "Save the lines below as config.yaml".to_owned(),
    };
    let program = program(args.write.as_deref().unwrap_or(Path::new("config.yaml")));
    let export = |(name, value): &(&str, String)| format!("#   export {name}={value}\n");
    let exports = simulator.environment().iter().map(export).collect::<Vec<_>>().concat();
    format!(
        "{FIRST_WORDS}{url} until you press Ctrl-C.\n\
         # {saved}; in another terminal:\n\
         {exports}\
         {about_time}\
         #   {program} check --online\n\
         #   {program} plan\n\
         version: 1\n\
         state_dir: state\n\
         {projects}\
         policies:\n  \
           - name: everything\n    \
             mode: dry-run                 # with `enforce`, `apply` deletes\n    \
             schedule: \"0 3 * * *\"\n{select}    \
             keep: {{last: 3, daily: 7, weekly: 4, monthly: 6}}\n    \
             grace: 0s\n    \
             limits: {{max_percent: 80}}     # the default of 50 refuses the first plan of a fleet that was never cleaned up\n",
        url = simulator.url(),
        about_time = about_time(args.live),
        select = select(simulator),
        projects = simulator.config_yaml(),
    )
}
