//! The command line: the list of commands and the flags they all take. Each command's own flags are in the file of its
//! group, as `--help` has them.
//!
//! Not for what a command does. A value that leaves here is already valid: times are instants, durations are spans,
//! globs are compiled.

mod look;
mod parse;
mod protect;
mod prove;
mod run;
mod tools;
mod values;

use std::fmt::Write as _;
use std::path::PathBuf;
use std::sync::LazyLock;

use clap::{ArgAction, Args, Parser, Subcommand};

pub use self::look::*;
pub use self::protect::*;
pub use self::prove::*;
pub use self::run::*;
pub use self::tools::*;
pub use self::values::{Color, ForecastFormat, Format, LogFormat, LogLevel, ReportFormat, TestFormat, TimeLapse};
use crate::config::zones::ZoneSource;

/// The configuration's default path.
pub use crate::wording::remedies::DEFAULT_CONFIG;

const AFTER_HELP: &str = "\
A first look, with nothing to configure:
  rds-retentiond demo --once

Then with your own fleet:
  rds-retentiond check --online   is the configuration right, is it allowed in?
  rds-retentiond plan             what would go, and why; deletes nothing

Exit codes: 0 done, 1 something left undone, 3 a guard refused, 64 usage,
69 the API cannot be reached, 75 another process runs on this state,
77 not allowed, 78 configuration. Of several, the first in 78 77 69 3 1.";

/// The commands by what they are for, as `--help` shows them.
pub const GROUPS: [(&str, &[&str]); 5] = [
    ("Look", &["status", "plan", "why", "forecast", "diff", "history"]),
    ("Run", &["check", "run", "apply"]),
    (
        "Protect",
        &["hold", "release", "holds", "freeze", "thaw", "approve", "state"],
    ),
    ("Prove", &["test", "audit"]),
    ("Tools", &["init", "demo", "simulator", "schema", "completions", "man"]),
];

/// The command line with its commands in groups, which clap has not.
pub fn in_groups(command: clap::Command) -> clap::Command {
    let styles = command.get_styles().clone();
    let (header, literal) = (*styles.get_header(), *styles.get_literal());
    let mut text = String::new();
    for (title, names) in GROUPS {
        let _ = writeln!(text, "{header}{title}:{header:#}");
        for name in names {
            let about = command.find_subcommand(name).and_then(clap::Command::get_about);
            let about = about.map(ToString::to_string).unwrap_or_default();
            let _ = writeln!(
                text,
                "  {literal}{name}{literal:#}{:pad$}{about}",
                "",
                pad = 13 - name.len()
            );
        }
        text.push('\n');
    }
    let template = format!(
        "{{about-with-newline}}\n{{usage-heading}} {{usage}}\n\n{text}{header}Options:{header:#}\n{{options}}{{after-help}}"
    );
    command.help_template(template)
}

/// The command line.
#[derive(Clone, Debug, Parser)]
#[command(
    name = "rds-retentiond",
    version,
    long_version = long_version(),
    about = "Expires manual backups of Huawei Cloud RDS for SQL Server by policy; in doubt it keeps",
    long_about = "Expires manual backups of Huawei Cloud RDS for SQL Server by policy.\n\n\
                  Policies in a YAML file say which backups of which instances are kept (daily, weekly, within 30d, ...). \
                  What no rule keeps waits for a grace period, must pass a guard that limits what one run may delete, and is then \
                  deleted in batches. In doubt, a backup is kept.",
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

/// What `--version` says beyond `-V`: whose time zone rules are followed.
fn long_version() -> &'static str {
    static TEXT: LazyLock<String> = LazyLock::new(|| {
        let tzdir = std::env::var_os("TZDIR").map(PathBuf::from);
        let zones = ZoneSource::find(tzdir.as_deref());
        format!("{}\ntime zone rules: {zones}", env!("CARGO_PKG_VERSION"))
    });
    &TEXT
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

    /// Colour in tables: `auto` (on a terminal, unless `NO_COLOR` is set), `always` or `never`.
    #[arg(
        long,
        global = true,
        value_name = "WHEN",
        value_enum,
        hide_possible_values = true,
        default_value_t = Color::Auto,
        help_heading = "Global options"
    )]
    pub color: Color,

    /// The least serious log line to write on stderr: `error`, `warn`, `info`, `debug` or `trace`.
    #[arg(
        long,
        global = true,
        value_name = "LEVEL",
        value_enum,
        hide_possible_values = true,
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

    /// How log lines look: `text` for people, `json` for machines (one object per line).
    #[arg(
        long,
        global = true,
        value_name = "FORMAT",
        value_enum,
        hide_possible_values = true,
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
        crate::wording::remedies::program(&self.config)
    }
}

/// The commands.
#[derive(Clone, Debug, Subcommand)]
pub enum Command {
    /// Run the daemon: every policy on its schedule, until it is stopped.
    #[command(
        long_about = "Run the daemon: it runs every policy on its schedule, serves metrics and a status page on `listen`, and applies a \
                  changed configuration without a restart (on SIGHUP at once). A bad configuration changes nothing.\n\n\
                  On SIGTERM it finishes the current batch and exits within 30 s."
    )]
    Run(RunArgs),
    /// Write a configuration to begin with; its policy is a dry run.
    #[command(
        long_about = "Write an annotated configuration to begin with. Its one policy is a dry run, so nothing is deleted; the lines \
                  marked EDIT say which region and which instances.\n\n\
                  An existing file is never overwritten, and no directory is made."
    )]
    Init(InitArgs),
    /// Show what needs attention, last and next runs, holds and freezes.
    #[command(
        long_about = "Show what the status page says, in the terminal: what needs attention and the command that helps, the last and the \
                  next run of each policy, what goes next, holds, freezes and storage. It reads the configuration and the \
                  ledger; it asks neither the network nor a daemon, and it works even if the configuration has errors.\n\n\
                  It exits 0 whatever it shows: it is no health check. Use `/healthz`, `/readyz` or the metrics for that."
    )]
    Status(StatusArgs),
    /// Validate the configuration.
    #[command(
        alias = "validate",
        long_about = "Validate the configuration. All problems are reported together, each with file, line and what was expected.\n\n\
                  It also says where policies overlap and what looks unintended."
    )]
    Check(CheckArgs),
    /// Show what would happen now, with reasons; never deletes.
    #[command(
        long_about = "Show what would happen now to every backup, and why: which rule and slot keeps it, until when, or why it \
                  may go. Nothing is deleted and no grace period starts.\n\n\
                  It exits 0 whenever it could compute a plan, even one that the guard refuses."
    )]
    Plan(PlanArgs),
    /// Check policies against examples: which backups must stay, which must go.
    #[command(
        long_about = "Check policies against examples in YAML files: backups that are listed or made (one every 24h at 19:00 for 400 \
                  days), a moment, and how many must stay and go, and by which rule. The decision is that of `plan --backups`: no \
                  network, credentials or state are used, and grace counts as over.\n\n\
                  It exits 0 when all tests pass, 1 when some fail, 64 when there are none, and 78 when a file is wrong."
    )]
    Test(TestArgs),
    /// Run once, now, as the daemon would.
    #[command(
        long_about = "Run once, now, as the daemon would: with grace period, guard and ledger. For cron or manual use.\n\n\
                  A backup is deleted only after it has been seen expired for its whole grace period, so with a grace period \
                  above 0 the first run on a new state deletes nothing."
    )]
    Apply(ApplyArgs),
    /// Explain what happens to one backup, and why.
    #[command(
        long_about = "Explain what happens to one backup: which rule and slot keep it, until when, and what edit would let it go; or \
                  since when it has been expired, when it is due, and what edit would keep it; or, for one that is already \
                  deleted, when, by which policy, run and rule, and on which listing.\n\n\
                  Every proposed edit has been tried on the backups as they are now."
    )]
    Why(WhyArgs),
    /// Show when each backup goes, and how much stays.
    #[command(
        long_about = "Show when each backup goes, and how many backups and how much storage are left week by week, by simulating the runs to come. \
                  Nothing is deleted and nothing is written."
    )]
    Forecast(ForecastArgs),
    /// Show which backups change fate under another configuration.
    #[command(
        long_about = "Show which real backups stay under one configuration and go under the other, grouped by policy, and how much \
                  storage that is. Grace counts as over on both sides.\n\n\
                  It exits 0 when no backup changes fate and 1 when some do."
    )]
    Diff(DiffArgs),
    /// Hold one backup, or many: they are kept whatever a policy says.
    #[command(
        long_about = "Hold a backup: it is kept whatever a policy says, and no rule counts it, until the hold ends or is released. \
                  With --instance or --name one hold covers many backups, also ones not made yet.\n\n\
                  When a hold ends the backup's grace period restarts."
    )]
    Hold(HoldArgs),
    /// End a hold.
    #[command(
        long_about = "End a hold that was placed by command. Holds of the configuration are ended there.\n\n\
                  Name the backup, or the hold by its own id, which `holds` shows; with several holds on one backup \
                  the hold's id is needed."
    )]
    Release(ReleaseArgs),
    /// List the holds.
    #[command(
        long_about = "List the holds, those of the configuration and those placed by command, with reason, owner and end."
    )]
    Holds(HoldsArgs),
    /// Approve what the guard refused.
    #[command(
        long_about = "Approve what the guard refused. With a policy and the digest of a plan that max_deletions or \
                  max_percent refused within the last 48 hours: exactly the backups of that plan are exempt from these two \
                  limits for 48 hours; others face the limits alone. The refusal and the status page print the \
                  command. With --listing: what the last run saw of an instance or a project, and did not believe, is \
                  accepted: that it fell by more than half, or says something else than before of backups, tags, enterprise \
                  project or name. What is listed otherwise later is in doubt again; what two instances list stays \
                  contested.\n\n\
                  Nothing else can be overridden. Look at `plan` first."
    )]
    Approve(ApproveArgs),
    /// Stop all deletions, everywhere.
    #[command(
        long_about = "Stop all deletions, of all policies and projects, from the next batch on. Runs still look, decide and report.\n\n\
                  A new freeze does not end an earlier one: several can be in force at once."
    )]
    Freeze(FreezeArgs),
    /// End a freeze.
    #[command(
        long_about = "End a freeze that was placed by command. Where several are in force, name one by its id, or end them all \
                  with --all. A freeze in the configuration is ended there."
    )]
    Thaw(ThawArgs),
    /// List past runs, show one, or list what people did.
    #[command(
        long_about = "List past runs from the ledger, the latest first; with a run's id that run, what the guard said, what it left alone, \
                  and each deletion with its evidence; with --events who held, released, froze, thawed or approved what, when \
                  and why."
    )]
    History(HistoryArgs),
    /// Check or export the ledger.
    #[command(
        long_about = "The ledger holds every deletion that was intended, with its outcome, as rows of a hash chain. `verify` \
                  recomputes the chain, `export` writes it out."
    )]
    Audit(AuditArgs),
    /// Move the state, or continue with one that was set back.
    #[command(
        long_about = "Moves the state to another place, or continues with one that was set back.\n\n\
                  `state move` takes the whole ledger from a directory into a database or the other way.\n\n\
                  Each run's head of the audit chain is written down outside the state (`audit` in the configuration). While the state does \
                  not contain one of them, it is an older copy, another one, or new, and nothing is deleted. `state accept-rewind` \
                  records that a person has looked at it: check `holds` and the freeze first, for those placed since are gone."
    )]
    State(StateArgs),
    /// Serve an RDS API on loopback with a made-up fleet.
    #[command(
        long_about = "Serve an RDS API on loopback with a made-up fleet, and print the configuration to use with it. Nothing \
                  leaves this machine. The same seed makes the same fleet."
    )]
    Simulator(SimulatorArgs),
    /// Simulator, daemon and status page in one process; nothing to configure.
    #[command(
        long_about = "Simulator, daemon and status page in one process: a made-up fleet with policies on it, real HTTP in \
                  between. Nothing to configure, nothing leaves this machine, nothing is left on it."
    )]
    Demo(DemoArgs),
    /// Print a JSON Schema of the configuration, for editors.
    #[command(
        long_about = "Print a JSON Schema of the configuration (draft 2020-12), with descriptions and examples, for editors with a \
                  YAML language server. `check` knows more: zones, schedules, names of projects, which keys go together."
    )]
    Schema(SchemaArgs),
    /// Print a shell's completion script.
    #[command(long_about = "Print a completion script for a shell.")]
    Completions(CompletionsArgs),
    /// Print the man page.
    #[command(
        long_about = "Print the man page, with all commands in it, or write one page per command into a directory."
    )]
    Man(ManArgs),
}

#[cfg(test)]
#[path = "args_tests.rs"]
mod tests;
