//! Each command's own flags, with the examples of its help.
//!
//! The list of commands, their long descriptions and the flags of all are in `args`, which re-exports what is here.

use std::path::PathBuf;
use std::time::Duration;

use chrono::{DateTime, Utc};
use clap::{ArgAction, ArgGroup, Args, Subcommand, ValueHint};
use clap_complete::Shell;

use super::parse::{
    parse_digest, parse_hash, parse_id, parse_id_pattern, parse_lapse, parse_loopback, parse_pace, parse_pattern,
    parse_short, parse_span, parse_text, parse_time, parse_until,
};
use super::values::{ForecastFormat, Format, ReportFormat, TestFormat, TimeLapse};
use crate::retention::{Pattern, Span};
use crate::simulator::Fault;

/// `run`
#[derive(Clone, Copy, Debug, Args)]
#[command(
    after_help = "Examples:\n  rds-retentiond run\n  rds-retentiond run --config ./config.yaml --log-format json"
)]
pub struct RunArgs {}

/// `init`
#[derive(Clone, Debug, Args)]
#[command(after_help = "Examples:\n  rds-retentiond init config.yaml\n  rds-retentiond init -           only show it")]
pub struct InitArgs {
    /// The file to write, which must not exist; `-` is stdout. By default the one that `--config` names.
    #[arg(value_name = "FILE", value_hint = ValueHint::FilePath)]
    pub file: Option<PathBuf>,
}

/// `test`
#[derive(Clone, Debug, Args)]
#[command(after_help = "Examples:\n  rds-retentiond test tests/*.yaml\n  \
                  rds-retentiond test policies.yaml --format junit > junit.xml\n\n\
                  A file of tests:\n  \
                  policies: ../config.yaml\n  \
                  tests:\n    \
                  - name: a year of nightlies\n      \
                  policy: production\n      \
                  at: 2027-01-01T03:00:00+08:00\n      \
                  backups: [{every: 24h, at: \"19:00\", for: 400d}]\n      \
                  expect: {kept: 32, rules: {daily: 14, monthly: 12}}")]
pub struct TestArgs {
    /// Files of policy tests.
    #[arg(value_name = "FILE", required = true, value_hint = ValueHint::FilePath)]
    pub files: Vec<PathBuf>,
    /// How the result is written to stdout: `table` for people, `json` for machines, or `junit` (XML) for CI.
    #[arg(long, value_enum, default_value_t = TestFormat::Table, value_name = "FORMAT", hide_possible_values = true)]
    pub format: TestFormat,
    /// List every backup of a failed expectation, however many.
    #[arg(long)]
    pub all: bool,
}

/// `check`
#[derive(Clone, Debug, Args)]
#[command(
    after_help = "Examples:\n  rds-retentiond check --strict && systemctl reload rds-retentiond\n  \
                  rds-retentiond check --format json | jq '.warnings[].message'"
)]
pub struct CheckArgs {
    /// Also reach every project with its credentials, and say what they allow.
    #[arg(long)]
    pub online: bool,
    /// Also send a test message to each target of `notify`, and say what it answered.
    #[arg(long)]
    pub notify_test: bool,
    /// Treat warnings as errors.
    #[arg(long)]
    pub strict: bool,
    /// How the result is written to stdout: `table` for people, or `json` for machines.
    #[arg(long, value_enum, default_value_t = Format::Table, value_name = "FORMAT", hide_possible_values = true)]
    pub format: Format,
}

/// `status`
#[derive(Clone, Copy, Debug, Args)]
#[command(after_help = "Examples:\n  rds-retentiond status\n  \
                  rds-retentiond status --format json | jq -r '.problems[].message'")]
pub struct StatusArgs {
    /// How the result is written to stdout: `table` for people, or `json` for machines (the shape of `/api/v1/status`).
    #[arg(long, value_enum, default_value_t = Format::Table, value_name = "FORMAT", hide_possible_values = true)]
    pub format: Format,
}

/// How a report is shown: flags that `plan` and `apply` share.
#[derive(Clone, Copy, Debug, Args)]
pub struct ShowArgs {
    /// How the result is written to stdout: `table` for people, or `json` for machines.
    #[arg(long, value_enum, default_value_t = Format::Table, value_name = "FORMAT", hide_possible_values = true)]
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
                  rds-retentiond plan --at 2027-01-01          what would go at New Year\n  \
                  rds-retentiond plan --backups backups.json   offline, without credentials\n  \
                  rds-retentiond plan --format json | jq '.policies[].summary'")]
pub struct PlanArgs {
    /// Only this policy; may be given several times. The others still keep what they keep.
    #[arg(long = "policy", value_name = "NAME", action = ArgAction::Append)]
    pub policies: Vec<String>,
    /// Only this instance, by id or name.
    #[arg(long, value_name = "ID", value_parser = parse_id)]
    pub instance: Option<String>,
    /// Decide as of this moment: RFC 3339, or a date (midnight UTC).
    #[arg(long, value_name = "TIME", value_parser = parse_time)]
    pub at: Option<DateTime<Utc>>,
    /// Offline: decide on this file, a JSON array of backups in the API's list shape or `{"backups": [...]}`; `-` is stdin.
    ///
    /// No network, credentials or state are used; grace counts as over. All backups are taken as one project; selectors
    /// on instance names, tags and projects match everything.
    #[arg(long, value_name = "FILE")]
    pub backups: Option<PathBuf>,
    /// How it is shown.
    #[command(flatten)]
    pub show: ShowArgs,
}

/// `apply`
#[derive(Clone, Debug, Args)]
#[command(after_help = "Examples:\n  rds-retentiond apply --policy production\n  \
                  rds-retentiond apply --confirm-for 0s --metrics-file retention.prom")]
pub struct ApplyArgs {
    /// Only this policy; may be given several times. The others still keep what they keep.
    #[arg(long = "policy", value_name = "NAME", action = ArgAction::Append)]
    pub policies: Vec<String>,
    /// How long to wait for accepted deletions to be confirmed; the rest is left to the next run.
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
    pub show: ShowArgs,
}

/// `why`
#[derive(Clone, Debug, Args)]
#[command(after_help = "Examples:\n  rds-retentiond why 63ad3439af9776054br04\n  \
                  rds-retentiond why 63ad3439af9776054br04 --format json | jq .backup.fate")]
pub struct WhyArgs {
    /// The backup: its id in any case, a unique start of it, or its unique name; also of a deleted one.
    #[arg(value_name = "BACKUP", value_parser = parse_id)]
    pub backup: String,
    /// Decide as of this moment: RFC 3339, or a date (midnight UTC).
    #[arg(long, value_name = "TIME", value_parser = parse_time)]
    pub at: Option<DateTime<Utc>>,
    /// Offline: look it up in this file, as for `plan`; nothing is known of the past then.
    #[arg(long, value_name = "FILE")]
    pub backups: Option<PathBuf>,
    /// How the result is written to stdout: `table` for people, or `json` for machines.
    #[arg(long, value_enum, default_value_t = Format::Table, value_name = "FORMAT", hide_possible_values = true)]
    pub format: Format,
}

/// `forecast`
#[derive(Clone, Debug, Args)]
#[command(
    after_help = "Examples:\n  rds-retentiond forecast --days 365 --backup-every 24h\n  \
                  rds-retentiond forecast --backups backups.json --policy production\n  \
                  rds-retentiond forecast --format html --against new.yaml > forecast.html\n  \
                  rds-retentiond forecast --format json | jq '.weeks[].left'"
)]
pub struct ForecastArgs {
    /// Only the backups in this policy's scope; may be given several times. The others still keep what they keep.
    #[arg(long = "policy", value_name = "NAME", action = ArgAction::Append)]
    pub policies: Vec<String>,
    /// How many days to look ahead; default 90, and two years for `html`.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=3660))]
    pub days: Option<u32>,
    /// Assume one new COMPLETED full backup per instance at this interval, with the usual name and size. By default none, and for
    /// `html` at the recent interval.
    #[arg(long, value_name = "DURATION", value_parser = parse_pace)]
    pub backup_every: Option<Span>,
    /// Begin at this moment: RFC 3339, or a date (midnight UTC).
    #[arg(long, value_name = "TIME", value_parser = parse_time)]
    pub at: Option<DateTime<Utc>>,
    /// Offline: the backups of this file, as for `plan`; grace periods start with the first run.
    #[arg(long, value_name = "FILE")]
    pub backups: Option<PathBuf>,
    /// With `--format html`: the same under this configuration file beside it.
    #[arg(long, value_name = "FILE")]
    pub against: Option<PathBuf>,
    /// How the result is written to stdout: `table` for people, `json` for machines, or `html`, a page with calendar and charts.
    #[arg(long, value_enum, default_value_t = ForecastFormat::Table, value_name = "FORMAT", hide_possible_values = true)]
    pub format: ForecastFormat,
    /// List every backup, however many.
    #[arg(long)]
    pub all: bool,
    /// Do not fit the table to the terminal: full ids, nothing wrapped.
    #[arg(long)]
    pub wide: bool,
}

/// `diff`
#[derive(Clone, Debug, Args)]
#[command(after_help = "Examples:\n  rds-retentiond diff --against new.yaml\n  \
                  rds-retentiond diff --against new.yaml --format json | jq .policies")]
pub struct DiffArgs {
    /// The other configuration file.
    #[arg(long, value_name = "FILE")]
    pub against: PathBuf,
    /// Decide as of this moment: RFC 3339, or a date (midnight UTC).
    #[arg(long, value_name = "TIME", value_parser = parse_time)]
    pub at: Option<DateTime<Utc>>,
    /// Offline: the backups of this file, as for `plan`.
    #[arg(long, value_name = "FILE")]
    pub backups: Option<PathBuf>,
    /// How it is shown.
    #[command(flatten)]
    pub show: ShowArgs,
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

/// `hold`
#[derive(Clone, Debug, Args)]
#[command(
    group(ArgGroup::new("target").required(true).multiple(true).args(["backup", "instance", "name"])),
    after_help = "Examples:\n  rds-retentiond hold 63ad3439af9776054br04 --reason 'case 4711'\n  \
                  rds-retentiond hold --name 'pre-*' --reason rollback --until 2027-06-30"
)]
pub struct HoldArgs {
    /// The backup's id, as `plan --wide` shows it.
    #[arg(value_name = "BACKUP_ID", value_parser = parse_id, conflicts_with_all = ["instance", "name"])]
    pub backup: Option<String>,
    /// Hold the backups of the instances whose id matches this glob.
    #[arg(long, value_name = "ID", value_parser = parse_id_pattern)]
    pub instance: Option<Pattern>,
    /// Hold the backups whose name matches this glob.
    #[arg(long, value_name = "GLOB", value_parser = parse_pattern)]
    pub name: Option<Pattern>,
    /// Why; shown wherever the backup is.
    #[arg(long, value_name = "TEXT", value_parser = parse_text)]
    pub reason: String,
    /// When it ends: RFC 3339, a date (the end of that day, UTC), or a duration from now as `7d`. By default it lasts until
    /// `release`.
    #[arg(long, value_name = "TIME", value_parser = parse_until)]
    pub until: Option<DateTime<Utc>>,
    /// Who asked for it.
    #[arg(long, value_name = "NAME", value_parser = parse_text)]
    pub owner: Option<String>,
    /// It cannot be released before its end (`--until` is required); more than ten years asks on a terminal.
    #[arg(long, requires = "until")]
    pub compliance: bool,
    /// Hold it even if no run has ever seen this backup id.
    #[arg(long, conflicts_with_all = ["instance", "name"])]
    pub force: bool,
}

/// `release`
#[derive(Clone, Debug, Args)]
#[command(after_help = "Example:\n  rds-retentiond release 63ad3439af9776054br04")]
pub struct ReleaseArgs {
    /// The backup's id, or the hold's.
    #[arg(value_name = "BACKUP_ID|HOLD_ID", value_parser = parse_id)]
    pub id: String,
    /// Why; kept in the ledger.
    #[arg(long, value_name = "TEXT", value_parser = parse_text)]
    pub reason: Option<String>,
}

/// `holds`
#[derive(Clone, Debug, Args)]
#[command(after_help = "Example:\n  rds-retentiond holds --format json | jq -r '.holds[].reason'")]
pub struct HoldsArgs {
    /// How the result is written to stdout: `table` for people, or `json` for machines.
    #[arg(long, value_enum, default_value_t = Format::Table, value_name = "FORMAT", hide_possible_values = true)]
    pub format: Format,
    /// Also the ones that have ended.
    #[arg(long)]
    pub all: bool,
}

/// `approve`
#[derive(Clone, Debug, Args)]
#[command(
    group(ArgGroup::new("what").required(true).args(["policy", "listing"])),
    after_help = "Examples:\n  rds-retentiond approve production --plan 8f14e45fceea167a5a36dedd4bea2543\n  \
                  rds-retentiond approve --listing cd613e30d8f16adf91b7584a2265b1f5in04"
)]
pub struct ApproveArgs {
    /// The policy whose refused plan is approved.
    #[arg(value_name = "POLICY")]
    pub policy: Option<String>,
    /// Which refused plan: the digest of its ids, which stands beside the refusal. Without it a terminal shows the plan and
    /// asks.
    #[arg(long, value_name = "DIGEST", value_parser = parse_digest, conflicts_with = "listing")]
    pub plan: Option<String>,
    /// Why; kept in the ledger.
    #[arg(long, value_name = "TEXT", value_parser = parse_text)]
    pub reason: Option<String>,
    /// The instance (or, for its list of instances, the project) whose listing is in doubt: it shrank, backups changed, or it lacks tags
    /// or its enterprise project. Accepts exactly what the last run saw of it, not what is listed later.
    #[arg(long, value_name = "INSTANCE_ID", value_parser = parse_id)]
    pub listing: Option<String>,
}

/// `freeze`
#[derive(Clone, Debug, Args)]
#[command(after_help = "Example:\n  rds-retentiond freeze --reason audit --until 2026-12-31")]
pub struct FreezeArgs {
    /// Why; shown wherever a deletion would be.
    #[arg(long, value_name = "TEXT", value_parser = parse_text)]
    pub reason: String,
    /// When it ends: RFC 3339, a date (the end of that day, UTC), or a duration from now as `7d`. By default it lasts until
    /// `thaw`.
    #[arg(long, value_name = "TIME", value_parser = parse_until)]
    pub until: Option<DateTime<Utc>>,
    /// Do not wait until the deletion requests under way are answered.
    #[arg(long)]
    pub no_wait: bool,
}

/// `thaw`
#[derive(Clone, Debug, Args)]
#[command(after_help = "Examples:\n  rds-retentiond thaw\n  rds-retentiond thaw f2 --reason audited")]
pub struct ThawArgs {
    /// The freeze to end; needed where several are in force.
    #[arg(value_name = "FREEZE_ID", value_parser = parse_id, conflicts_with = "all")]
    pub id: Option<String>,
    /// End all freezes that were placed by command.
    #[arg(long)]
    pub all: bool,
    /// Why; kept in the ledger.
    #[arg(long, value_name = "TEXT", value_parser = parse_text)]
    pub reason: Option<String>,
}

/// `history`
#[derive(Clone, Debug, Args)]
#[command(
    after_help = "Examples:\n  rds-retentiond history --policy production --limit 100\n  \
                  rds-retentiond history 019ac0de         one run, by a start of its id\n  \
                  rds-retentiond history --events         who held, froze, approved what"
)]
pub struct HistoryArgs {
    /// One run, with every deletion and its evidence: its id, or a unique start of it.
    #[arg(value_name = "RUN", conflicts_with_all = ["policy", "events", "limit"])]
    pub run: Option<String>,
    /// List what people did (holds, releases, freezes, thaws, approvals) instead of runs.
    #[arg(long, conflicts_with = "policy")]
    pub events: bool,
    /// Show only runs of this policy.
    #[arg(long, value_name = "NAME")]
    pub policy: Option<String>,
    /// Maximum number of entries.
    #[arg(long, value_name = "N", default_value_t = 20, value_parser = clap::value_parser!(u32).range(1..))]
    pub limit: u32,
    /// How the result is written to stdout: `table` for people, or `json` for machines.
    #[arg(long, value_enum, default_value_t = Format::Table, value_name = "FORMAT", hide_possible_values = true)]
    pub format: Format,
}

/// `audit`
#[derive(Clone, Debug, Args)]
#[command(
    after_help = "Examples:\n  rds-retentiond audit verify --head 5f0c...   as the last run logged it\n  \
                  rds-retentiond audit export > ledger.jsonl\n  \
                  rds-retentiond audit report --from 2026-01-01 --to 2027-01-01 > 2026.html"
)]
pub struct AuditArgs {
    /// Which of them.
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
        /// Also compare all heads that runs have anchored outside the state (`audit` in the configuration).
        #[arg(long)]
        anchors: bool,
    },
    /// Write every row to stdout, one JSON object per line.
    Export,
    /// Write to stdout what was deleted in a period, on what evidence, and what people did.
    Report {
        /// From this moment on: RFC 3339, or a date (midnight UTC).
        #[arg(long, value_name = "TIME", value_parser = parse_time)]
        from: DateTime<Utc>,
        /// To before this moment; by default until now.
        #[arg(long, value_name = "TIME", value_parser = parse_time)]
        to: Option<DateTime<Utc>>,
        /// `html` to read and to print, `csv` for a spreadsheet, or `json` for machines.
        #[arg(long, value_enum, default_value_t = ReportFormat::Html, value_name = "FORMAT", hide_possible_values = true)]
        format: ReportFormat,
        /// Decide again, by what was recorded, and say which deletions do not follow (exit code 1).
        #[arg(long)]
        recompute: bool,
    },
}

/// `state`
#[derive(Clone, Debug, Args)]
#[command(
    after_help = "Examples:\n  rds-retentiond state accept-rewind --reason 'case 4711'\n  rds-retentiond state move --to postgres://retention@db1,db2/retention"
)]
pub struct StateArgs {
    /// What to do with it.
    #[command(subcommand)]
    pub what: StateWhat,
}

/// What to do with the state.
#[derive(Clone, Debug, Subcommand)]
pub enum StateWhat {
    /// Continue with a state that lacks heads which earlier runs anchored outside it.
    AcceptRewind {
        /// Why; kept in the ledger.
        #[arg(long, value_name = "TEXT", value_parser = parse_text)]
        reason: Option<String>,
    },
    /// Move the state into another directory or database.
    ///
    /// The whole ledger, holds, freezes, history and proof, with the same hashes. It is read again and compared before the old place says
    /// where it went; from then on nothing is read or written there. Stop every daemon first. Killed at any moment, it leaves one state
    /// that is used; type the same again.
    Move {
        /// An empty directory, or `postgres://USER@HOST/DATABASE`.
        #[arg(long, value_name = "DIR-or-URL", value_parser = parse_text)]
        to: String,
        /// With a database: the file with the password; default PGPASSWORD.
        #[arg(long, value_name = "FILE")]
        password_file: Option<PathBuf>,
        /// With a database: the certificates of the authorities that are trusted; default the host's.
        #[arg(long, value_name = "FILE")]
        ca: Option<PathBuf>,
        /// Why; kept in the ledger.
        #[arg(long, value_name = "TEXT", value_parser = parse_text)]
        reason: Option<String>,
    },
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
    /// How the fleet and the faults are made.
    #[command(flatten)]
    pub fleet: FleetArgs,
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
    /// Number of instances.
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
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath, conflicts_with = "regular")]
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
        default_value = "1y=1min", value_parser = parse_lapse, conflicts_with = "once"
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
                  rds-retentiond completions zsh > \"${fpath[1]}/_rds-retentiond\"\n  \
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
