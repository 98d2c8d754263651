//! What an operator should look at, in `status`, on the page and in the log.

use chrono::{DateTime, Utc};

use super::times::{timestamp, zoned};
use crate::retention::{PolicyName, ProjectName, Zone};

/// The ledger's file has not answered.
pub const SLOW_LEDGER: &str =
    "the ledger has not answered for 15 seconds: its disk is slow, or another process has locked it";
/// The ledger's database has not answered.
pub const SILENT_DATABASE: &str =
    "the database of the state does not answer: nothing new begins until it does; check the server and the network";
/// A run of which not all could be done.
pub const LEFT_UNDONE: &str = "its last run left something undone";
/// A refused plan that a person has approved.
pub const APPROVED_SINCE: &str = "its last run was refused; its plan has been approved since";

/// The ledger could not be read since.
pub fn stale_ledger(read_at: DateTime<Utc>) -> String {
    let at = timestamp(read_at);
    format!("the ledger does not answer: holds, freeze and past runs are shown as of {at}")
}

/// Daemons that differ delete nothing.
pub fn members_differ(others: &[String]) -> String {
    format!(
        "nothing is deleted until all daemons on this state have the same projects, policies, holds and freeze; different: {}",
        others.join(", ")
    )
}

/// A run whose process was killed.
pub fn cut_short(at: DateTime<Utc>, zone: Zone) -> String {
    format!(
        "its run of {} was cut short: its process ended before it wrote down how it went; the next run finds out what became of what \
         was sent",
        zoned(at, zone)
    )
}

/// A plan that was refused; `digest` is that by which it can be approved still.
pub fn refused_plan(policy: &PolicyName, digest: Option<&str>, why: &str) -> String {
    let colon = if why.is_empty() { "" } else { ": " };
    let waits = match digest {
        Some(digest) => format!("waits for `approve {policy} --plan {digest}`"),
        None => "was not approved within 48 hours; the next run decides again".to_owned(),
    };
    format!("its plan was refused and {waits}{colon}{why}")
}

/// A run that failed, with why, where that is known.
pub fn failed_run(at: DateTime<Utc>, causes: &[String], last_success: Option<DateTime<Utc>>, zone: Zone) -> String {
    let why = match causes {
        [] => String::new(),
        causes => format!(": {}", causes.join("; ")),
    };
    let since = last_success.map_or_else(
        || "no run has succeeded yet".to_owned(),
        |at| format!("none has succeeded since {}", zoned(at, zone)),
    );
    format!("its run of {} failed{why}; {since}", zoned(at, zone))
}

/// A project that could not be read, where a problem of its own says why.
pub fn unread_project(project: &ProjectName) -> String {
    format!("project {project} cannot be read")
}

/// Instances that are not named.
pub fn more_left_alone(count: usize) -> String {
    format!("and {count} more left alone")
}

/// Which backups a restore reads could not be asked.
pub fn restores_unknown(project: &ProjectName) -> String {
    format!(
        "project {project}: which backups a restore reads is not known, as the tasks cannot be read now; the API refuses to delete \
         such a backup"
    )
}
