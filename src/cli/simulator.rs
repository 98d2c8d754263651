//! `simulator`: an RDS API on loopback with a made-up fleet; prints the configuration to use with it.

use std::io::Write as _;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};

use super::args::{FleetArgs, Global, SimulatorArgs, TimeLapse};
use super::failure::{CommandResult, Failure};
use super::output::stdout::{Out, finish};
use super::scenario::{self, Described};
use super::{context, exit};
use crate::simulator::{self, Fault, Options, RateLimit, Settings};

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
    context::block_on(2, async {
        let mut stop = context::stop_signal()?;
        let (options, described) = options(&args.fleet)?;
        let leaps = Leaps::default();
        let clock = leaps.clone();
        let options = Options {
            clock: Arc::new(move || clock.now()),
            listen: args.listen,
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
        let text = instructions(&simulator, args.live);
        let written = write!(out, "{text}").and_then(|()| out.flush());
        let ended = finish(out, written, exit::DONE);
        // The sender lives as long as the runtime, so the wait ends with a signal only.
        let stopped = stop.wait_for(|stop| *stop);
        match args.live {
            None => drop(stopped.await),
            Some(lapse) => tokio::select! {
                _ = stopped => {}
                failed = leaps.pass(lapse, &simulator) => failed?,
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
    let simulator = simulator::Simulator::start(options)
        .await
        .map_err(|error| Failure::new(exit::UNDONE, format!("cannot listen on {listen}: {error}")))?;
    for fault in described.faults {
        simulator.faults().add(fault);
    }
    for backup in &described.in_use {
        simulator.set_in_use(backup, true);
    }
    Ok(simulator)
}

/// How far the API's clock has leapt ahead of the host's, in milliseconds. This process has nothing else that reads it.
#[derive(Clone, Default)]
struct Leaps(Arc<AtomicI64>);

impl Leaps {
    fn now(&self) -> DateTime<Utc> {
        crate::clock::now() + TimeDelta::milliseconds(self.0.load(Ordering::SeqCst))
    }

    /// Leaps at most a day at once, so that each night's backups are made in it, and says so. Between two leaps time goes as always, so
    /// that a process that leapt as far agrees with it.
    async fn pass(&self, lapse: TimeLapse, simulator: &simulator::Simulator) -> Result<(), Failure> {
        let leap = lapse.leap();
        let mut next = tokio::time::Instant::now();
        loop {
            next += lapse.real(leap).max(Duration::from_millis(1));
            tokio::time::sleep_until(next).await;
            let ahead = self.0.fetch_add(leap.num_milliseconds(), Ordering::SeqCst) + leap.num_milliseconds();
            let made = simulator.make_due_backups();
            let at = self.now().format("%Y-%m-%dT%H:%M:%SZ");
            let mut out = Out::raw();
            let written = writeln!(out, "# {at}: {} s ahead, {made} backups made", ahead / 1000);
            finish(out, written, exit::DONE)?;
        }
    }
}

/// What there is to know where time is lapsed.
fn about_time(lapse: Option<TimeLapse>) -> String {
    let Some(lapse) = lapse else { return String::new() };
    format!(
        "# Its clock leaps ahead, {lapse}, and each instance's schedule makes its backups. `plan --at TIME` shows what a policy does with\n\
         # them. `apply` and `run` delete nothing (exit 3), as their clock is not the API's; under libfaketime, set ahead by the seconds\n\
         # that are printed below, they do: FAKETIME_DONT_FAKE_MONOTONIC=1 faketime -f +SECONDS rds-retentiond --config config.yaml apply\n\
         # A daemon whose clock runs along, with its page: rds-retentiond demo --watch --live SPAN=DURATION\n"
    )
}

fn instructions(simulator: &simulator::Simulator, lapse: Option<TimeLapse>) -> String {
    let export = |(name, value): &(&str, String)| format!("#   export {name}={value}\n");
    let exports = simulator.environment().iter().map(export).collect::<Vec<_>>().concat();
    format!(
        "# An RDS API with a made-up fleet listens on {url} until you press Ctrl-C.\n\
         # Save the lines below as config.yaml; in another terminal:\n\
         {exports}\
         {about_time}\
         #   rds-retentiond --config config.yaml check --online\n\
         #   rds-retentiond --config config.yaml plan\n\
         version: 1\n\
         state_dir: state\n\
         {projects}\
         policies:\n  \
           - name: everything\n    \
             mode: dry-run                 # with `enforce`, `apply` deletes\n    \
             schedule: \"0 3 * * *\"\n    \
             keep: {{last: 3, daily: 7, weekly: 4, monthly: 6}}\n    \
             grace: 0s\n    \
             limits: {{max_percent: 80}}     # the default of 50 refuses the first plan of a fleet that was never cleaned up\n",
        url = simulator.url(),
        about_time = about_time(lapse),
        projects = simulator.config_yaml(),
    )
}
