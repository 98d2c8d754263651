//! How a run of one policy went in numbers, as the ledger keeps it of every past run.

use std::collections::BTreeMap;
use std::fmt;

use serde::{Deserialize, Serialize};

use super::decisions::{Summary, Tally};
use super::policy_report::Sent;
use super::run_report::InstanceCounts;
use super::skip::SkipRecord;
use crate::retention::{Mode, ProjectName};

/// How a run of one policy went.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct RunSummary {
    /// Why it did not come to its end, where it had work left.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub interrupted: Option<Interruption>,
    /// What it came to; `None` of one whose process ended before it could say.
    #[serde(flatten)]
    pub numbers: Option<RunNumbers>,
}

/// Why a run did not come to its end.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Interruption {
    /// Stop was requested.
    Stopped,
    /// Its process ended, or it was cut, and a later one closed it.
    Killed,
    /// It ended with an error, before it could write down what it came to.
    Failed,
}

impl fmt::Display for Interruption {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Stopped => "stopped",
            Self::Killed => "killed",
            Self::Failed => "failed",
        })
    }
}

/// What a run of one policy came to. Older programs wrote fewer of these.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct RunNumbers {
    /// Requests made to the API, by all policies of the run.
    #[serde(default)]
    pub calls: u64,
    /// Due, and held back by the guard or a freeze.
    #[serde(default, skip_serializing_if = "Tally::is_empty")]
    pub held_back: Tally,
    /// The instances of each project whose list was believed.
    #[serde(default)]
    pub instances: BTreeMap<ProjectName, InstanceCounts>,
    /// Approved, but not sent.
    #[serde(default)]
    pub left: u64,
    /// Whether the policy acted.
    pub mode: Mode,
    /// What there is to say of deleted instances whose backups remain, by project.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub orphans: BTreeMap<ProjectName, String>,
    /// What was held back, in words.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub refusals: Vec<RefusalRecord>,
    /// The limits that refused something.
    #[serde(default)]
    pub refused: Vec<String>,
    /// What became of what was sent, by project.
    #[serde(default)]
    pub sent: BTreeMap<ProjectName, Sent>,
    /// What was left alone.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub skipped: Vec<SkipRecord>,
    /// The decisions.
    pub summary: Summary,
    /// Backups that no policy has in scope, by project.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub unselected: BTreeMap<ProjectName, u64>,
    /// What earlier runs sent and this one saw to be gone.
    #[serde(default, skip_serializing_if = "Tally::is_empty")]
    pub settled: Tally,
}

/// What one limit held back, as the ledger keeps it and status shows it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RefusalRecord {
    /// The limit's name.
    pub limit: String,
    /// In words; empty where only the limit is remembered.
    #[serde(default)]
    pub message: String,
    /// What `approve --listing` takes, of a listing that shrank.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub listing: Option<String>,
}

#[cfg(test)]
mod tests {
    use super::*;

    /// As it stands in ledgers of format 3.
    const OF_FORMAT_3: &str = r#"{"calls":5,"instances":{"simulator":{"failed":0,"managed":2,"overlapping":1,"unmanaged":0}},"left":0,"mode":"enforce","refused":["freeze"],"sent":{"simulator":{"codes":{},"confirmed_bytes":2147483648,"fates":{"confirmed":2}}},"summary":{"delete":{"bytes":2147483648,"count":2},"keep":{"bytes":6442450944,"count":6},"wait":{"bytes":0,"count":0}}}"#;

    #[test]
    fn what_older_programs_wrote_is_read_and_written_as_they_did() {
        let read: RunSummary = serde_json::from_str(OF_FORMAT_3).unwrap();
        let as_value: serde_json::Value = serde_json::from_str(OF_FORMAT_3).unwrap();
        assert_eq!(serde_json::to_value(&read).unwrap(), as_value);
        let numbers = read.numbers.unwrap();
        assert_eq!((numbers.mode, numbers.summary.keep.count), (Mode::Enforce, 6));
        assert_eq!(numbers.sent[&ProjectName::from("simulator")].fates["confirmed"], 2);
    }

    #[test]
    fn a_run_that_never_came_to_its_numbers_has_none() {
        for text in ["{}", r#"{"interrupted":"killed"}"#] {
            let read: RunSummary = serde_json::from_str(text).unwrap();
            assert_eq!(read.numbers, None, "{text}");
            assert_eq!(serde_json::to_string(&read).unwrap(), text);
        }
        let text = r#"{"interrupted":"stopped",TAIL"#.replace("TAIL", &OF_FORMAT_3[1..]);
        let read: RunSummary = serde_json::from_str(&text).unwrap();
        assert_eq!(
            (read.interrupted, read.numbers.unwrap().calls),
            (Some(Interruption::Stopped), 5)
        );
    }
}
