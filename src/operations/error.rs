//! Why an operation has no result. The front door picks the exit code or status.

use std::collections::BTreeMap;
use std::path::PathBuf;

use chrono::{DateTime, Utc};

use crate::retention::{BackupId, InstanceId};
use crate::wording::sanitize::clean;
use crate::wording::times::timestamp;
use crate::{ledger, rds, run};

/// Why an operation has no result.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The state could not be read or written, or does not have what was named.
    #[error(transparent)]
    Ledger(#[from] ledger::Error),
    /// The API.
    #[error(transparent)]
    Api(#[from] rds::Error),
    /// A run could not be made.
    #[error(transparent)]
    Run(#[from] run::Error),
    /// The configuration, at this path, has no project to ask.
    #[error("{}: the configuration has no `projects`, so there is nothing to ask; only `--backups FILE` works without", .0.display())]
    NoProjects(PathBuf),
    /// Another process runs on this state, and waiting for it was not wanted.
    #[error("another process runs on the state in {}; try again when it is done, or without --no-wait", .0.display())]
    Busy(PathBuf),
    /// A stop was requested while another process ran on this state.
    #[error("another process runs on the state in {}; stop requested while waiting", .0.display())]
    StoppedWaiting(PathBuf),
    /// No instance has this id or name.
    #[error("no instance in the policies' projects has the id or name `{0}`; `plan` without --instance lists them")]
    NoSuchInstance(String),
    /// A forecast that ends beyond the calendar.
    #[error("--days reaches beyond the calendar")]
    BeyondCalendar,
    /// A thread of the forecast panicked.
    #[error("a part of the forecast panicked")]
    ForecastPanicked,
    /// What was typed may mean several backups.
    #[error("`{}` may mean several backups; type the id:{}", clean(.typed), list(.backups))]
    SeveralBackups {
        /// What was typed.
        typed: String,
        /// The backups, with their names.
        backups: BTreeMap<BackupId, String>,
    },
    /// No run has ever seen a backup of this id.
    #[error("no run has ever seen a backup {typed}; {}", never_seen_hint(.meant.as_ref()))]
    NeverSeen {
        /// What was typed.
        typed: String,
        /// A backup that has it as its name, or whose id begins with it.
        meant: Option<BackupId>,
    },
    /// A backup that was listed, and is not any more.
    #[error(
        "backup {} cannot be held: it is not listed any more, since {}, and not by a request of this program; --force holds it all \
         the same, should it come back",
        clean(.id.as_str()),
        timestamp(*.since)
    )]
    NotListedAnyMore {
        /// The backup.
        id: BackupId,
        /// When it was last listed.
        since: DateTime<Utc>,
    },
    /// A hold or a freeze that would be over at once.
    #[error("--until lies in the past: such a {what} would {what} nothing")]
    EndsInThePast {
        /// `hold` or `freeze`.
        what: &'static str,
    },
    /// A report of no time at all.
    #[error(
        "--to ({}) is not after --from ({}), so the report would be empty",
        timestamp(*.to),
        timestamp(*.from)
    )]
    EmptyTime {
        /// The first moment.
        from: DateTime<Utc>,
        /// The first moment after it.
        to: DateTime<Utc>,
    },
    /// A listing that runs believe.
    #[error(
        "nothing was accepted: no run has recorded anything about the listing of {} that can be accepted. A run (`apply`, or the daemon) \
         records it; a list that is incomplete or cannot be read cannot be accepted",
        clean(.0)
    )]
    NothingInDoubt(String),
    /// Heads are anchored nowhere.
    #[error(
        "no heads are anchored outside the state: `audit: {{anchor: FILE}}` in the configuration names a file for them, `journal` the journal"
    )]
    NoAnchor,
    /// The anchor cannot be read.
    #[error("the anchored heads in {place} cannot be read: {error}")]
    AnchorUnreadable {
        /// Where they are.
        place: String,
        /// Why.
        error: std::io::Error,
    },
    /// What was moved there earlier is damaged.
    #[error("the state was moved there earlier, and is damaged there: row {row}: {what}; `audit verify` says more")]
    MovedStateBroken {
        /// The first row that is not as it was written.
        row: u64,
        /// What is wrong with it.
        what: String,
    },
    /// No run has this id.
    #[error("no run has the id {}, or one that begins so; `history` lists them", clean(.0))]
    NoSuchRun(String),
    /// What was typed may mean several runs.
    #[error("several runs have an id that begins with {}; type more of it, as `history` shows it", clean(.0))]
    SeveralRuns(String),
    /// Neither an instance that a run has seen nor a project.
    #[error("no run has ever seen an instance {typed}, and no project has that name; {}", listing_hint(.of_that_name.as_ref()))]
    NoSuchListing {
        /// What was typed.
        typed: String,
        /// An instance that has it as its name.
        of_that_name: Option<InstanceId>,
    },
}

fn listing_hint(of_that_name: Option<&InstanceId>) -> String {
    match of_that_name {
        Some(id) => format!("that is an instance's name; accept its listing by its id, {id}"),
        None => "check the id in `plan`".to_owned(),
    }
}

fn never_seen_hint(meant: Option<&BackupId>) -> String {
    match meant {
        Some(id) => format!("that is a backup's name, or how its id begins; hold it by its id, {id}"),
        None => "check the id (`plan --wide` shows them), or add --force to hold it all the same".to_owned(),
    }
}

/// More backups than this are not named.
const MOST_NAMED: usize = 5;

fn list(backups: &BTreeMap<BackupId, String>) -> String {
    let line = |(id, name): (&BackupId, &String)| format!("\n  {id}  {}", clean(name));
    let more = if backups.len() > MOST_NAMED { "\n  and more" } else { "" };
    backups.iter().take(MOST_NAMED).map(line).collect::<Vec<_>>().concat() + more
}
