//! Flags of the commands that run: `check`, `run`, `apply`.

use std::path::PathBuf;

use clap::{ArgAction, Args};

use super::look::ShowArgs;
use super::parse::parse_span;
use super::values::Format;
use crate::retention::Span;

/// `run`
#[derive(Clone, Copy, Debug, Args)]
#[command(
    after_help = "Examples:\n  rds-retentiond run\n  rds-retentiond run --config ./config.yaml --log-format json"
)]
pub struct RunArgs {}

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
