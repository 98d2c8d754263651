//! Flags of the tools: `init`, `demo`, `simulator`, `schema`, `completions`, `man`.

use std::path::PathBuf;
use std::time::Duration;

use clap::{ArgAction, Args, ValueHint};
use clap_complete::Shell;

use super::parse::{parse_lapse, parse_loopback, parse_project_id, parse_short};
use super::values::TimeLapse;
use crate::simulator::Fault;

/// `init`
#[derive(Clone, Debug, Args)]
#[command(after_help = "Examples:\n  rds-retentiond init config.yaml\n  rds-retentiond init -           only show it")]
pub struct InitArgs {
    /// The file to write, which must not exist; `-` is stdout. By default the one that `--config` names.
    #[arg(value_name = "FILE", value_hint = ValueHint::FilePath)]
    pub file: Option<PathBuf>,
}

/// `schema`
#[derive(Clone, Copy, Debug, Args)]
#[command(after_help = "Examples:\n  rds-retentiond schema > config.schema.json\n  \
                  rds-retentiond schema --included > policies.schema.json\n\n\
                  In the first line of a policy file, for editors with a YAML language server:\n  \
                  # yaml-language-server: $schema=policies.schema.json")]
pub struct SchemaArgs {
    /// The schema of the files that `include` names, which hold only `policies:`.
    #[arg(long)]
    pub included: bool,
}

const SIMULATOR_EXAMPLES: &str = "Examples:\n  rds-retentiond simulator --instances 20 --backups 60\n  \
    rds-retentiond simulator --fault list_backups:status=503:times=2\n  \
    rds-retentiond simulator --live 24h=1min        a day passes each minute\n  \
    rds-retentiond demo --watch --live 24h=1min     the same with a daemon";

/// `simulator`
#[derive(Clone, Debug, Args)]
#[command(
    after_help = SIMULATOR_EXAMPLES,
    after_long_help = format!("A fault is\n{}\n\n{SIMULATOR_EXAMPLES}", Fault::GRAMMAR)
)]
pub struct SimulatorArgs {
    /// Address to listen on; port 0 takes a free one.
    #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1:0", value_parser = parse_loopback)]
    pub listen: std::net::SocketAddr,
    /// Write the configuration to this file and not to stdout, whole and before the address is printed. Of files that are there only
    /// one that a simulator wrote is replaced.
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath)]
    pub write: Option<PathBuf>,
    /// How the fleet and the faults are made.
    #[command(flatten)]
    pub fleet: FleetArgs,
    /// The project's id: several simulators are several projects of one configuration where ids and `--seed`s differ.
    #[arg(long, value_name = "ID", value_parser = parse_project_id)]
    pub project_id: Option<String>,
    /// Minimum duration of a request, as in `50ms`.
    #[arg(long, value_name = "DURATION", default_value = "0s", value_parser = parse_short)]
    pub latency: Duration,
    /// Answer 429 to more requests per second than this.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    pub rate_limit: Option<u32>,
    /// Make something go wrong, as `OPERATION:FAULT[:CONDITION]...` (listed below); may be given several times.
    #[arg(long = "fault", value_name = "FAULT", action = ArgAction::Append)]
    pub faults: Vec<String>,
    /// Let the API's clock leap ahead and the fleet's schedules make backups: so much in so short a time, as in `24h=1min`. Nobody
    /// else's clock does: a run whose clock does not agree deletes nothing. With a daemon that follows: `demo --watch --live`.
    #[arg(long, value_name = "SPAN=DURATION", value_parser = parse_lapse)]
    pub live: Option<TimeLapse>,
}

/// The made-up fleet of `simulator` and `demo`.
#[derive(Clone, Debug, Args)]
pub struct FleetArgs {
    /// The same seed makes the same fleet.
    #[arg(long, value_name = "N", default_value_t = 1)]
    pub seed: u64,
    /// Number of SQL Server instances, about: the fleet also has replicas, deleted instances and other engines.
    #[arg(long, value_name = "N", default_value_t = 6, value_parser = clap::value_parser!(u32).range(1..=100_000))]
    pub instances: u32,
    /// Approximate number of backups per instance.
    #[arg(long, value_name = "N", default_value_t = 40, value_parser = clap::value_parser!(u32).range(0..=100_000))]
    pub backups: u32,
    /// No surprises, for measurements: SQL Server instances only, with exactly `--backups` COMPLETED manual backups each, six hours
    /// apart.
    #[arg(long)]
    pub regular: bool,
    /// Instances, backups and faults from a YAML file instead, see `docs/scenarios/example.yaml`.
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath, conflicts_with_all = ["regular", "instances", "backups"])]
    pub scenario: Option<PathBuf>,
    /// How long an accepted deletion takes, as in `5s` or `200ms`.
    #[arg(long, value_name = "DURATION", default_value = "2s", value_parser = parse_short)]
    pub deletion_takes: Duration,
    /// How long a backup that was asked for is BUILDING.
    #[arg(long, value_name = "DURATION", default_value = "2s", value_parser = parse_short)]
    pub creation_takes: Duration,
}

/// `demo`
#[derive(Clone, Debug, Args)]
#[command(
    after_help = "Examples:\n  rds-retentiond demo             open the address that it prints\n  \
                  rds-retentiond demo --once      a plan, a run and its result, then exit\n  \
                  rds-retentiond demo --watch     a year in a minute, on the page"
)]
pub struct DemoArgs {
    /// One plan and one run, then exit.
    #[arg(long)]
    pub once: bool,
    /// Let time pass faster: each night brings backups and a run, and the page shows what becomes of them.
    #[arg(long, conflicts_with = "once")]
    pub watch: bool,
    /// How fast time passes with `--watch`: so much in so short a time, as in `24h=1min`.
    #[arg(
        long,
        value_name = "SPAN=DURATION",
        default_value = "1y=1min", value_parser = parse_lapse, conflicts_with = "once", requires = "watch"
    )]
    pub live: TimeLapse,
    /// How the fleet is made.
    #[command(flatten)]
    pub fleet: FleetArgs,
    /// Address of the status page; port 0 takes a free one.
    #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1:9465", value_parser = parse_loopback)]
    pub listen: std::net::SocketAddr,
}

/// `completions`
#[derive(Clone, Copy, Debug, Args)]
#[command(after_help = "Examples:\n  source <(rds-retentiond completions bash)\n  \
                  rds-retentiond completions zsh > ~/.zfunc/_rds-retentiond\n  \
                  rds-retentiond completions fish | source")]
pub struct CompletionsArgs {
    /// The shell.
    #[arg(value_enum)]
    pub shell: Shell,
}

/// `man`
#[derive(Clone, Debug, Args)]
#[command(
    after_help = "Examples:\n  rds-retentiond man | man -l -\n  rds-retentiond man --dir /usr/local/share/man/man1"
)]
pub struct ManArgs {
    /// Write one page per command into this directory, which is made if need be.
    #[arg(long, value_name = "DIR")]
    pub dir: Option<PathBuf>,
}
