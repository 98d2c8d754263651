//! Decisions held against what a test expects.

use std::collections::BTreeMap;
use std::fmt;

use chrono::{DateTime, Utc};

use crate::config::policy_test::{DayOrMoment, Expectations};
use crate::retention::report::{Action, BackupRow};
use crate::retention::view;
use crate::retention::{Backup, Zone};

/// One thing that is not as a test expects it.
#[derive(Debug)]
pub struct Mismatch {
    /// Its key under `expect`, as `kept` or `rules.monthly`.
    pub expectation: String,
    /// What the test expects.
    pub expected: String,
    /// What came out.
    pub got: String,
    /// The backups that make the difference, the newest first.
    pub backups: Vec<BackupRow>,
}

/// What came out of a comparison.
pub(super) struct Compared {
    pub(super) kept: u64,
    pub(super) expired: u64,
    pub(super) mismatches: Vec<Mismatch>,
    pub(super) rows: Vec<BackupRow>,
}

/// Compares the decisions of a policy in its zone.
pub(super) fn compare(expected: &Expectations, mut rows: Vec<BackupRow>, zone: Zone) -> Compared {
    rows.sort_by(|a, b| (b.backup.begin, &a.backup.id).cmp(&(a.backup.begin, &b.backup.id)));
    let decisions = DecidedRows { rows, zone };
    let (kept, expired) = (decisions.count(is_kept), decisions.count(|row| !is_kept(row)));
    let mut mismatches = Vec::new();
    mismatches.extend(
        expected
            .kept
            .and_then(|wanted| decisions.number("kept", wanted, kept, is_kept)),
    );
    mismatches.extend(
        expected
            .expired
            .and_then(|wanted| decisions.number("expired", wanted, expired, |row| !is_kept(row))),
    );
    let oldest_kept = decisions
        .rows
        .iter()
        .rfind(|row| is_kept(row) && row.backup.begin.is_some());
    mismatches.extend(
        expected
            .oldest_kept
            .and_then(|wanted| decisions.date("oldest_kept", wanted, oldest_kept)),
    );
    let newest_expired = decisions.rows.iter().find(|row| !is_kept(row));
    mismatches.extend(
        expected
            .newest_expired
            .and_then(|wanted| decisions.date("newest_expired", wanted, newest_expired)),
    );
    for (rule, wanted) in &expected.rules {
        let has = |row: &BackupRow| reasons(row).iter().any(|reason| reason == rule.as_str());
        let what = format!("rules.{}", rule.as_str());
        mismatches.extend(decisions.number(&what, *wanted, decisions.count(has), has));
    }
    mismatches.extend(
        expected
            .keep
            .iter()
            .filter_map(|wanted| decisions.named("keep", wanted, is_kept)),
    );
    mismatches.extend(
        expected
            .gone
            .iter()
            .filter_map(|wanted| decisions.named("gone", wanted, |row| !is_kept(row))),
    );
    Compared {
        kept,
        expired,
        mismatches,
        rows: decisions.rows,
    }
}

fn is_kept(row: &BackupRow) -> bool {
    matches!(row.action, Action::Keep(_))
}

/// The names of a backup's reasons, each once.
fn reasons(row: &BackupRow) -> Vec<String> {
    let mut names: Vec<String> = match &row.action {
        Action::Keep(reasons) => reasons
            .iter()
            .map(|reason| view::rule(&reason.keeper).into_owned())
            .collect(),
        Action::Wait { reason, .. } | Action::Delete(reason) => vec![reason.key().to_owned()],
    };
    names.sort_unstable();
    names.dedup();
    names
}

/// Every decision of the policy, the newest backup first.
struct DecidedRows {
    rows: Vec<BackupRow>,
    zone: Zone,
}

impl DecidedRows {
    fn count(&self, is_one: impl Fn(&BackupRow) -> bool) -> u64 {
        self.rows.iter().filter(|row| is_one(row)).count() as u64
    }

    fn taken(&self, is_one: impl Fn(&BackupRow) -> bool) -> Vec<BackupRow> {
        self.rows.iter().filter(|row| is_one(row)).cloned().collect()
    }

    /// A number that is another, with what it is made of.
    fn number(&self, what: &str, wanted: u64, got: u64, is_one: impl Fn(&BackupRow) -> bool) -> Option<Mismatch> {
        if wanted == got {
            return None;
        }
        let of = self.taken(is_one);
        let mut by_reason: BTreeMap<String, u64> = BTreeMap::new();
        for reason in of.iter().flat_map(reasons) {
            *by_reason.entry(reason).or_default() += 1;
        }
        let counts: Vec<String> = by_reason
            .iter()
            .map(|(reason, count)| format!("{count} by {reason}"))
            .collect();
        let got = match (counts.as_slice(), self.rows.is_empty()) {
            (_, true) => "0: the policy has none of these backups in its scope; `instance` says what its selectors see"
                .to_owned(),
            ([], _) => got.to_string(),
            (counts, _) => format!("{got}: {}", counts.join(", ")),
        };
        Some(Mismatch {
            expectation: what.to_owned(),
            expected: wanted.to_string(),
            got,
            backups: of,
        })
    }

    /// The age of an outermost backup that is another: the backup itself, and those of the expected day.
    fn date(&self, what: &str, wanted: DayOrMoment, got: Option<&BackupRow>) -> Option<Mismatch> {
        let is_wanted = |row: &BackupRow| row.backup.begin.is_some_and(|begin| self.is_at(begin, wanted));
        if got.is_some_and(is_wanted) {
            return None;
        }
        let begin = got.and_then(|row| row.backup.begin);
        let is_concerned = |row: &BackupRow| is_wanted(row) || got.is_some_and(|got| got.backup.id == row.backup.id);
        Some(Mismatch {
            expectation: what.to_owned(),
            expected: match wanted {
                DayOrMoment::Day(day) => day.to_string(),
                DayOrMoment::Moment(at) => self.show(at).to_string(),
            },
            got: begin.map_or_else(|| "none".to_owned(), |begin| self.show(begin).to_string()),
            backups: self.taken(is_concerned),
        })
    }

    /// Backups of which one does not have the fate it should have.
    fn named(&self, what: &str, wanted: &str, is_good: impl Fn(&BackupRow) -> bool) -> Option<Mismatch> {
        let of: Vec<&BackupRow> = self
            .rows
            .iter()
            .filter(|row| self.is_called(&row.backup, wanted))
            .collect();
        let bad: Vec<BackupRow> = of
            .iter()
            .filter(|row| !is_good(row))
            .map(|row| (*row).clone())
            .collect();
        let got = match (of.len(), bad.len()) {
            (0, _) => "no backup in the policy's scope has this id, name or day".to_owned(),
            (_, 0) => return None,
            (1, _) if what == "keep" => "it goes".to_owned(),
            (1, _) => "it stays".to_owned(),
            (all, bad) if what == "keep" => format!("{bad} of {all} go"),
            (all, bad) => format!("{bad} of {all} stay"),
        };
        Some(Mismatch {
            expectation: what.to_owned(),
            expected: wanted.to_owned(),
            got,
            backups: bad,
        })
    }

    fn is_called(&self, backup: &Backup, wanted: &str) -> bool {
        let is_day = || {
            let day = DayOrMoment::parse(wanted)?;
            Some(self.is_at(backup.begin?, day))
        };
        backup.id.as_str().eq_ignore_ascii_case(wanted) || *backup.name == *wanted || is_day().unwrap_or(false)
    }

    fn is_at(&self, begin: DateTime<Utc>, wanted: DayOrMoment) -> bool {
        match wanted {
            DayOrMoment::Day(day) => self.zone.wall(begin).date() == day,
            DayOrMoment::Moment(at) => begin == at,
        }
    }

    fn show(&self, at: DateTime<Utc>) -> impl fmt::Display {
        self.zone.wall(at).format("%Y-%m-%d %H:%M")
    }
}

#[cfg(test)]
#[path = "compare_tests.rs"]
mod tests;
