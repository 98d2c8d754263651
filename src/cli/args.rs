//! What may be typed: every command, every flag, and the help that teaches them.
//!
//! Not for what a command does. A value that leaves here is already good: times are instants, durations are spans,
//! globs are compiled.

use std::path::PathBuf;
use std::time::Duration;

use chrono::{DateTime, NaiveDate, NaiveTime, Utc};
use clap::{ArgAction, ArgGroup, Args, Parser, Subcommand, ValueEnum};
use clap_complete::Shell;

use crate::retention::{Pattern, Span};

/// Where the configuration is when nobody says otherwise.
pub const DEFAULT_CONFIG: &str = "/etc/rds-retentiond/config.yaml";

const AFTER_HELP: &str = "\
A first look, with nothing to configure:
  rds-retentiond demo --once

Then with your own fleet:
  rds-retentiond check --online      is the configuration right, may it reach the projects?
  rds-retentiond plan                what would go, and why; deletes nothing

Exit codes: 0 done, 1 something left undone, 3 a guard refused, 64 usage, 69 the API cannot be reached,
75 another process runs on this state, 77 not allowed, 78 configuration.";

/// The command line.
#[derive(Clone, Debug, Parser)]
#[command(
    name = "rds-retentiond",
    version,
    about = "Expires manual backups of Huawei Cloud RDS for SQL Server by policy; in doubt it keeps",
    long_about = "Expires manual backups of Huawei Cloud RDS for SQL Server by policy.\n\n\
                  Policies in a YAML file say which backups of which instances are kept (daily, weekly, within 30d, ...). \
                  What no rule keeps waits for a grace, passes a guard that limits what one run may delete, and is then \
                  deleted in batches. Whatever is doubtful is kept.",
    after_help = AFTER_HELP,
    subcommand_required = true,
    arg_required_else_help = false,
    disable_help_subcommand = true
)]
pub struct Cli {
    /// Flags of every command.
    #[command(flatten)]
    pub global: Global,
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

/// Flags that every command takes.
#[derive(Clone, Debug, Args)]
pub struct Global {
    /// The configuration file.
    #[arg(
        long,
        global = true,
        value_name = "FILE",
        env = "RDS_RETENTIOND_CONFIG",
        default_value = DEFAULT_CONFIG,
        help_heading = "Global options"
    )]
    pub config: PathBuf,

    /// Colour in tables; `auto` is on a terminal only, and honours `NO_COLOR`.
    #[arg(
        long,
        global = true,
        value_name = "WHEN",
        value_enum,
        default_value_t = Color::Auto,
        help_heading = "Global options"
    )]
    pub color: Color,

    /// The least serious log line to write, on stderr.
    #[arg(
        long,
        global = true,
        value_name = "LEVEL",
        value_enum,
        env = "RDS_RETENTIOND_LOG",
        help_heading = "Global options"
    )]
    pub log_level: Option<LogLevel>,

    /// Write more log lines: -v for info, -vv for debug, -vvv for trace.
    #[arg(
        short,
        long,
        global = true,
        action = ArgAction::Count,
        help_heading = "Global options"
    )]
    pub verbose: u8,

    /// How log lines look: `text` for people, `json` for machines (one object a line).
    #[arg(
        long,
        global = true,
        value_name = "FORMAT",
        value_enum,
        env = "RDS_RETENTIOND_LOG_FORMAT",
        default_value_t = LogFormat::Text,
        help_heading = "Global options"
    )]
    pub log_format: LogFormat,
}

impl Global {
    /// The level asked for by `--log-level`, else the command's own, raised by `-v`.
    pub fn level_or(&self, default: LogLevel) -> LogLevel {
        let asked = self.log_level.unwrap_or(default);
        // `-v` raises what the environment says, too; it never makes anything more silent.
        match self.verbose {
            0 => asked,
            1 => asked.max(LogLevel::Info),
            2 => asked.max(LogLevel::Debug),
            _ => LogLevel::Trace,
        }
    }

    /// How to call this program again with the same configuration, for the commands that messages name.
    pub fn invocation(&self) -> String {
        if self.config.as_os_str() == DEFAULT_CONFIG {
            "rds-retentiond".to_owned()
        } else {
            let file = self.config.to_string_lossy();
            format!("rds-retentiond --config {}", super::sentences::shell_word(&file))
        }
    }
}

/// When tables are coloured.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Color {
    /// On a terminal, unless `NO_COLOR` is set.
    Auto,
    /// Also into pipes.
    Always,
    /// Nowhere.
    Never,
}

/// How serious a log line is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, ValueEnum)]
pub enum LogLevel {
    /// Somebody must act.
    Error,
    /// Something is left undone or looks wrong.
    Warn,
    /// What is done.
    Info,
    /// How it is done.
    Debug,
    /// Everything.
    Trace,
}

impl LogLevel {
    /// Its name, as typed.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Error => "error",
            Self::Warn => "warn",
            Self::Info => "info",
            Self::Debug => "debug",
            Self::Trace => "trace",
        }
    }
}

/// How log lines look.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum LogFormat {
    /// A line for people.
    Text,
    /// One JSON object a line.
    Json,
}

/// How something is listed on stdout.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum Format {
    /// Aligned, for people.
    #[default]
    Table,
    /// For machines; stdout carries JSON alone.
    Json,
}

/// The commands.
#[derive(Clone, Debug, Subcommand)]
pub enum Command {
    /// Validate the configuration.
    #[command(
        long_about = "Validate the configuration. All problems are reported together, each with file, line and what was expected.\n\n\
                  It also says where policies overlap and what looks unintended."
    )]
    Check(Check),
    /// Show what would happen now, with reasons; never deletes.
    #[command(
        long_about = "Show what would happen now to every backup, and why: which rule and slot keeps it, until when, or why it \
                  may go. Nothing is deleted and no grace begins.\n\n\
                  It exits 0 whenever it could compute, refused by the guard or not."
    )]
    Plan(Plan),
    /// One run now, as the daemon would.
    #[command(
        long_about = "One run now, as the daemon would do it: with grace, guard and ledger. For cron jobs and hands.\n\n\
                  A backup is deleted only after it has been seen expired for its whole grace, so the first run on a new \
                  state deletes nothing."
    )]
    Apply(Apply),
    /// Hold a backup, or many: they are kept whatever a policy says.
    #[command(
        long_about = "Hold a backup: it is kept whatever a policy says, and no rule counts it, until the hold ends or is released. \
                  With --instance or --name one hold covers many backups, also ones not made yet.\n\n\
                  When a hold ends the backup's grace starts anew."
    )]
    Hold(Hold),
    /// End a hold.
    #[command(
        long_about = "End a hold that was placed by command. Holds of the configuration are ended there.\n\n\
                  Name the backup, or the hold by its own id, which `holds` shows; with several holds on one backup only \
                  the latter is clear enough."
    )]
    Release(Release),
    /// List the holds.
    #[command(
        long_about = "List the holds, those of the configuration and those placed by command, with reason, owner and end."
    )]
    Holds(Holds),
    /// Approve what the guard refused.
    #[command(
        long_about = "Approve what the guard refused, for 48 hours. With a policy: exactly the backups of the plan that \
                  max_deletions or max_percent refused are exempt from these two limits in the next runs; what is new \
                  since then faces the limits alone. With --listing: a listing that fell by more than half is believed.\n\n\
                  Nothing else can be overridden. Look at `plan` first."
    )]
    Approve(Approve),
    /// Stop all deletions, everywhere.
    #[command(
        long_about = "Stop all deletions, of all policies and projects, from the next batch on. Runs still look, decide and report."
    )]
    Freeze(Freeze),
    /// End the freeze.
    #[command(long_about = "End the freeze that was placed by command. A freeze in the configuration is ended there.")]
    Thaw(Thaw),
    /// List past runs.
    #[command(long_about = "List past runs from the ledger, the latest first.")]
    History(History),
    /// Check or export the ledger.
    #[command(
        long_about = "The ledger holds every deletion that was intended, with its outcome, as rows of a hash chain. `verify` \
                  recomputes the chain, `export` writes it out."
    )]
    Audit(Audit),
    /// Serve an RDS API on loopback with a made-up fleet.
    #[command(
        long_about = "Serve an RDS API on loopback with a made-up fleet, and print the configuration to use with it. Nothing \
                  leaves this machine. The same seed makes the same fleet."
    )]
    Simulator(Simulator),
    /// Simulator, daemon and status page in one process; nothing to configure.
    #[command(
        long_about = "Simulator, daemon and status page in one process: a made-up fleet with policies on it, real HTTP in \
                  between. Nothing to configure, nothing leaves this machine, nothing is left on it."
    )]
    Demo(Demo),
    /// Print a shell's completion script.
    #[command(long_about = "Print a completion script for a shell.")]
    Completions(Completions),
    /// Print the man page.
    #[command(long_about = "Print the man page, all commands in one; or write a page a command into a directory.")]
    Man(Man),
}

/// `check`
#[derive(Clone, Debug, Args)]
#[command(after_help = "Example, before a reload:\n  rds-retentiond check --strict && systemctl reload rds-retentiond")]
pub struct Check {
    /// Also reach every project with its credentials, and say what it may do there.
    #[arg(long)]
    pub online: bool,
    /// Warnings are errors.
    #[arg(long)]
    pub strict: bool,
}

/// How a report is shown: flags that `plan` and `apply` share.
#[derive(Clone, Copy, Debug, Args)]
pub struct Show {
    /// How the result is written to stdout.
    #[arg(long, value_enum, default_value_t = Format::Table, value_name = "FORMAT")]
    pub format: Format,
    /// List every backup and every message, however many; by default a large report lists only what goes.
    #[arg(long)]
    pub all: bool,
    /// Do not fit the table to the terminal: full ids, nothing wrapped.
    #[arg(long)]
    pub wide: bool,
}

/// `plan`
#[derive(Clone, Debug, Args)]
#[command(after_help = "Examples:\n  rds-retentiond plan --policy production\n  \
                  rds-retentiond plan --at 2027-01-01                 what would go at New Year\n  \
                  rds-retentiond plan --backups backups.json          offline: no network, no credentials, no state\n  \
                  rds-retentiond plan --format json | jq '.policies[].summary'")]
pub struct Plan {
    /// Only this policy; may be given several times. The others still keep what they keep.
    #[arg(long = "policy", value_name = "NAME", action = ArgAction::Append)]
    pub policies: Vec<String>,
    /// Only this instance, by id.
    #[arg(long, value_name = "ID")]
    pub instance: Option<String>,
    /// Decide as of this moment: RFC 3339, or a date (midnight UTC).
    #[arg(long, value_name = "TIME", value_parser = parse_time)]
    pub at: Option<DateTime<Utc>>,
    /// Offline: decide on this file, a JSON array of backups in the API's list shape or `{"backups": [...]}`.
    ///
    /// No network, credentials or state are used; grace counts as over. All backups are taken as one project; selectors
    /// on instance names, tags and projects match everything.
    #[arg(long, value_name = "FILE")]
    pub backups: Option<PathBuf>,
    /// How it is shown.
    #[command(flatten)]
    pub show: Show,
}

/// `apply`
#[derive(Clone, Debug, Args)]
#[command(after_help = "Examples:\n  rds-retentiond apply --policy production\n  \
                  rds-retentiond apply --confirm-for 0s --metrics-file /var/lib/node_exporter/textfile/rds-retentiond.prom")]
pub struct Apply {
    /// Only this policy; may be given several times. The others still keep what they keep.
    #[arg(long = "policy", value_name = "NAME", action = ArgAction::Append)]
    pub policies: Vec<String>,
    /// Wait at most so long until accepted deletions are confirmed; the rest is left to the next run.
    #[arg(long, value_name = "DURATION", default_value = "60s", value_parser = parse_span)]
    pub confirm_for: Span,
    /// Exit 75 at once when another process runs on this state, instead of waiting for it.
    #[arg(long)]
    pub no_wait: bool,
    /// Write the metrics to this file, for a textfile collector.
    #[arg(long, value_name = "FILE")]
    pub metrics_file: Option<PathBuf>,
    /// How it is shown.
    #[command(flatten)]
    pub show: Show,
}

/// `hold`
#[derive(Clone, Debug, Args)]
#[command(
    group(ArgGroup::new("target").required(true).multiple(true).args(["backup", "instance", "name"])),
    after_help = "Examples:\n  rds-retentiond hold 63ad3439af9776054br04 --reason 'case 4711' --until 2027-06-30\n  \
                  rds-retentiond hold --name 'pre-migration-*' --reason 'kept for rollback' --owner dba"
)]
pub struct Hold {
    /// The backup's id, as `plan --wide` shows it.
    #[arg(value_name = "BACKUP_ID", conflicts_with_all = ["instance", "name"])]
    pub backup: Option<String>,
    /// Hold the backups of the instances whose id matches this glob.
    #[arg(long, value_name = "ID", value_parser = parse_pattern)]
    pub instance: Option<Pattern>,
    /// Hold the backups whose name matches this glob.
    #[arg(long, value_name = "GLOB", value_parser = parse_pattern)]
    pub name: Option<Pattern>,
    /// Why; shown wherever the backup is.
    #[arg(long, value_name = "TEXT", value_parser = parse_text)]
    pub reason: String,
    /// When it ends: RFC 3339, or a date (midnight UTC). By default it lasts until `release`.
    #[arg(long, value_name = "TIME", value_parser = parse_time)]
    pub until: Option<DateTime<Utc>>,
    /// Who asked for it.
    #[arg(long, value_name = "NAME", value_parser = parse_text)]
    pub owner: Option<String>,
    /// Also when no run has ever seen this backup id.
    #[arg(long, conflicts_with_all = ["instance", "name"])]
    pub force: bool,
}

/// `release`
#[derive(Clone, Debug, Args)]
#[command(after_help = "Example:\n  rds-retentiond release 63ad3439af9776054br04")]
pub struct Release {
    /// The backup's id, or the hold's.
    #[arg(value_name = "BACKUP_ID|HOLD_ID")]
    pub id: String,
}

/// `holds`
#[derive(Clone, Debug, Args)]
#[command(after_help = "Example:\n  rds-retentiond holds --format json | jq -r '.holds[].reason'")]
pub struct Holds {
    /// How the result is written to stdout.
    #[arg(long, value_enum, default_value_t = Format::Table, value_name = "FORMAT")]
    pub format: Format,
    /// Also the ones that have ended.
    #[arg(long)]
    pub all: bool,
}

/// `approve`
#[derive(Clone, Debug, Args)]
#[command(
    group(ArgGroup::new("what").required(true).args(["policy", "listing"])),
    after_help = "Examples:\n  rds-retentiond plan --policy production && rds-retentiond approve production\n  \
                  rds-retentiond approve --listing cd613e30d8f16adf91b7584a2265b1f5in04"
)]
pub struct Approve {
    /// The policy whose refused plan is approved.
    #[arg(value_name = "POLICY")]
    pub policy: Option<String>,
    /// The instance (or, for its list of instances, the project) whose shrunken listing is believed.
    #[arg(long, value_name = "INSTANCE_ID")]
    pub listing: Option<String>,
}

/// `freeze`
#[derive(Clone, Debug, Args)]
#[command(after_help = "Example:\n  rds-retentiond freeze --reason audit --until 2026-12-31")]
pub struct Freeze {
    /// Why; shown wherever a deletion would be.
    #[arg(long, value_name = "TEXT", value_parser = parse_text)]
    pub reason: String,
    /// When it ends: RFC 3339, or a date (midnight UTC). By default it lasts until `thaw`.
    #[arg(long, value_name = "TIME", value_parser = parse_time)]
    pub until: Option<DateTime<Utc>>,
}

/// `thaw`
#[derive(Clone, Copy, Debug, Args)]
#[command(after_help = "Example:\n  rds-retentiond thaw")]
pub struct Thaw {}

/// `history`
#[derive(Clone, Debug, Args)]
#[command(after_help = "Example:\n  rds-retentiond history --policy production --limit 100")]
pub struct History {
    /// Only runs of this policy.
    #[arg(long, value_name = "NAME")]
    pub policy: Option<String>,
    /// At most so many.
    #[arg(long, value_name = "N", default_value_t = 20, value_parser = clap::value_parser!(u32).range(1..))]
    pub limit: u32,
    /// How the result is written to stdout.
    #[arg(long, value_enum, default_value_t = Format::Table, value_name = "FORMAT")]
    pub format: Format,
}

/// `audit`
#[derive(Clone, Debug, Args)]
#[command(
    after_help = "Examples:\n  rds-retentiond audit verify --head 5f0c...   the head that the last run logged\n  \
                  rds-retentiond audit export > ledger.jsonl"
)]
pub struct Audit {
    /// Which of the two.
    #[command(subcommand)]
    pub what: AuditWhat,
}

/// What to do with the ledger.
#[derive(Clone, Debug, Subcommand)]
pub enum AuditWhat {
    /// Check the hash chain.
    Verify {
        /// A head hash that a run logged: also check that nothing after it is missing.
        #[arg(long, value_name = "HASH", value_parser = parse_hash)]
        head: Option<String>,
    },
    /// Write every row as a line of JSON to stdout.
    Export,
}

/// `simulator`
#[derive(Clone, Debug, Args)]
#[command(after_help = "Examples:\n  rds-retentiond simulator --instances 20 --backups 60\n  \
                  rds-retentiond simulator --rate-limit 5 --fault list_backups:status=503:times=2")]
pub struct Simulator {
    /// Address to listen on; port 0 takes a free one.
    #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1:0", value_parser = parse_loopback)]
    pub listen: std::net::SocketAddr,
    /// How the fleet and the faults are made.
    #[command(flatten)]
    pub fleet: Fleet,
    /// A request takes at least so long, as in `50ms`.
    #[arg(long, value_name = "DURATION", default_value = "0s", value_parser = parse_short)]
    pub latency: Duration,
    /// Answer 429 to more requests than this a second.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    pub rate_limit: Option<u32>,
    /// Make something go wrong, as OPERATION:FAULT[:CONDITION]...; may be given several times.
    #[arg(long = "fault", value_name = "FAULT", action = ArgAction::Append)]
    pub faults: Vec<String>,
}

/// The made-up fleet of `simulator` and `demo`.
#[derive(Clone, Copy, Debug, Args)]
pub struct Fleet {
    /// The same seed makes the same fleet.
    #[arg(long, value_name = "N", default_value_t = 1)]
    pub seed: u64,
    /// How many instances.
    #[arg(long, value_name = "N", default_value_t = 6, value_parser = clap::value_parser!(u32).range(1..=100_000))]
    pub instances: u32,
    /// How many backups an instance, about.
    #[arg(long, value_name = "N", default_value_t = 40, value_parser = clap::value_parser!(u32).range(0..=100_000))]
    pub backups: u32,
    /// How long an accepted deletion takes, as in `5s` or `200ms`.
    #[arg(long, value_name = "DURATION", default_value = "2s", value_parser = parse_short)]
    pub deletion_takes: Duration,
}

/// `demo`
#[derive(Clone, Debug, Args)]
#[command(
    after_help = "Examples:\n  rds-retentiond demo             open the address that it prints\n  \
                  rds-retentiond demo --once      a plan, a run and its result in the terminal, then exit"
)]
pub struct Demo {
    /// One plan and one run, then exit.
    #[arg(long)]
    pub once: bool,
    /// How the fleet is made.
    #[command(flatten)]
    pub fleet: Fleet,
    /// Address of the status page; port 0 takes a free one.
    #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1:9465", value_parser = parse_loopback)]
    pub listen: std::net::SocketAddr,
}

/// `completions`
#[derive(Clone, Copy, Debug, Args)]
#[command(
    after_help = "Examples:\n  rds-retentiond completions bash > /usr/share/bash-completion/completions/rds-retentiond\n  \
                  rds-retentiond completions zsh > \"${fpath[1]}/_rds-retentiond\"\n  \
                  rds-retentiond completions fish > ~/.config/fish/completions/rds-retentiond.fish"
)]
pub struct Completions {
    /// The shell.
    #[arg(value_enum)]
    pub shell: Shell,
}

/// `man`
#[derive(Clone, Debug, Args)]
#[command(
    after_help = "Examples:\n  rds-retentiond man | man -l -\n  rds-retentiond man --dir /usr/local/share/man/man1"
)]
pub struct Man {
    /// Write a page for every command into this directory.
    #[arg(long, value_name = "DIR")]
    pub dir: Option<PathBuf>,
}

/// Reads RFC 3339, or a date, which means its midnight in UTC.
pub fn parse_time(text: &str) -> Result<DateTime<Utc>, String> {
    if let Ok(at) = DateTime::parse_from_rfc3339(text) {
        return Ok(at.with_timezone(&Utc));
    }
    NaiveDate::parse_from_str(text, "%Y-%m-%d")
        .map(|date| date.and_time(NaiveTime::MIN).and_utc())
        .map_err(|_| "expected RFC 3339, as in 2026-11-23T03:00:00Z, or a date, as in 2026-11-23".to_owned())
}

fn parse_span(text: &str) -> Result<Span, String> {
    Span::parse(text).map_err(|error| error.to_string())
}

/// A duration of at most a day that may be given in milliseconds; for the simulator, which knows no calendar.
fn parse_short(text: &str) -> Result<Duration, String> {
    let duration = match text.strip_suffix("ms") {
        Some(number) => number
            .parse()
            .map(Duration::from_millis)
            .map_err(|_| format!("`{text}` is no number of milliseconds; write for example `200ms`"))?,
        None => Duration::from_secs(parse_span(text)?.approximate_seconds()),
    };
    if duration > Duration::from_hours(24) {
        return Err("at most a day".to_owned());
    }
    Ok(duration)
}

fn parse_pattern(text: &str) -> Result<Pattern, String> {
    Pattern::parse(text).map_err(|error| error.to_string())
}

fn parse_text(text: &str) -> Result<String, String> {
    let text = text.trim();
    if text.is_empty() {
        return Err("it is empty; say something that a colleague understands in a year".to_owned());
    }
    Ok(text.to_owned())
}

fn parse_hash(text: &str) -> Result<String, String> {
    if text.len() == 64 && text.bytes().all(|byte| byte.is_ascii_hexdigit()) {
        Ok(text.to_ascii_lowercase())
    } else {
        Err("expected a head hash as a run logs it: 64 hex digits".to_owned())
    }
}

/// The simulator signs with made-up keys and the demo's page shows everything, so neither leaves the machine.
fn parse_loopback(text: &str) -> Result<std::net::SocketAddr, String> {
    let address: std::net::SocketAddr = text
        .parse()
        .map_err(|_| "expected an address and a port, as in 127.0.0.1:9465".to_owned())?;
    if address.ip().is_loopback() {
        Ok(address)
    } else {
        Err("only a loopback address, as in 127.0.0.1:9465".to_owned())
    }
}

#[cfg(test)]
#[path = "args_tests.rs"]
mod tests;
