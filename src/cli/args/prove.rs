//! Flags of the commands that prove: `test`, `audit`.

use std::path::PathBuf;

use chrono::{DateTime, Utc};
use clap::{Args, Subcommand, ValueHint};

use super::parse::{parse_hash, parse_time};
use super::values::{ReportFormat, TestFormat};

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
