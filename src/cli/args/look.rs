//! Flags of the commands that look: `status`, `plan`, `why`, `forecast`, `diff`, `history`.

use std::path::PathBuf;

use chrono::{DateTime, Utc};
use clap::{ArgAction, Args};

use super::parse::{parse_id, parse_pace, parse_time};
use super::values::{ForecastFormat, Format};
use crate::retention::Span;

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
