//! `simulator`: an RDS API on loopback with a made-up fleet; prints the configuration to use with it.

use std::io::Write as _;
use std::sync::Arc;

use super::args::{FleetArgs, Global, SimulatorArgs};
use super::failure::{CommandResult, Failure};
use super::output::stdout::{Out, finish};
use super::{context, exit, scenario};
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
        let (options, of_scenario) = options(&args.fleet)?;
        let options = Options {
            listen: args.listen,
            rate_limit: args.rate_limit.map(|per_second| RateLimit {
                per_second: usize::try_from(per_second).unwrap_or(usize::MAX),
                retry_after: None,
            }),
            ..options
        };
        let simulator = start(options).await?;
        simulator.set(|settings| settings.latency = args.latency);
        for fault in faults.into_iter().chain(of_scenario) {
            simulator.faults().add(fault);
        }
        let mut out = Out::raw();
        let written = write!(out, "{}", instructions(&simulator)).and_then(|()| out.flush());
        let ended = finish(out, written, exit::DONE);
        // The sender lives as long as the runtime, so the wait ends with a signal only.
        let _ = stop.wait_for(|stop| *stop).await;
        simulator.stop().await;
        ended
    })
}

/// Options for a fleet as the flags describe it, and the faults of its scenario.
pub(super) fn options(fleet: &FleetArgs) -> Result<(Options, Vec<Fault>), Failure> {
    let scenario = fleet
        .scenario
        .as_deref()
        .map(|path| scenario::read(path, crate::clock::now()));
    let (given, faults) = scenario.transpose()?.unzip();
    let defaults = Options::new(Arc::new(crate::clock::now));
    let instances = usize::try_from(fleet.instances).unwrap_or(usize::MAX);
    let backups_per_instance = usize::try_from(fleet.backups).unwrap_or(usize::MAX);
    let options = Options {
        seed: fleet.seed,
        fleet: if let Some(given) = given {
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
            ..defaults.settings
        },
        ..defaults
    };
    Ok((options, faults.unwrap_or_default()))
}

pub(super) async fn start(options: Options) -> Result<simulator::Simulator, Failure> {
    let listen = options.listen;
    simulator::Simulator::start(options)
        .await
        .map_err(|error| Failure::new(exit::UNDONE, format!("cannot listen on {listen}: {error}")))
}

fn instructions(simulator: &simulator::Simulator) -> String {
    let export = |(name, value): &(&str, String)| format!("#   export {name}={value}\n");
    let exports = simulator.environment().iter().map(export).collect::<Vec<_>>().concat();
    format!(
        "# An RDS API with a made-up fleet listens on {url} until you press Ctrl-C.\n\
         # Save the lines below as config.yaml; in another terminal:\n\
         {exports}\
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
        projects = simulator.config_yaml(),
    )
}
