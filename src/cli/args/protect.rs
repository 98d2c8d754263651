//! Flags of the commands that protect: `hold`, `release`, `holds`, `freeze`, `thaw`, `approve`, `state`.

use std::path::PathBuf;

use chrono::{DateTime, Utc};
use clap::{ArgGroup, Args, Subcommand};

use super::parse::{parse_digest, parse_id, parse_id_pattern, parse_pattern, parse_text, parse_until};
use super::values::Format;
use crate::retention::Pattern;

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
