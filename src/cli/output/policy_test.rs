//! How policy tests came out: lines for people, JSON for machines.

use std::collections::HashMap;
use std::io::{self, Write};

use anstyle::{AnsiColor, Style};
use serde::Serialize;

use super::decision_json::DecisionJson;
use super::decisions::why;
use super::json;
use super::not_kept::Reach;
use super::table::{Cell, Column, Grid};
use super::theme::{BOLD, DIM, Theme};
use super::wrap::{paragraph, wrap};
use crate::operations::policy_test::{Mismatch, TestOutcome};
use crate::retention::report::{Action, BackupRow};
use crate::retention::{InstanceId, Zone};
use crate::wording::numbers::{count, number};
use crate::wording::reasons;
use crate::wording::sanitize::clean;
use crate::wording::times::moment;

/// So many backups of a mismatch are listed unless all are wanted.
pub(super) const MOST_BACKUPS: usize = 20;

/// Draws a line for each test, what is not as expected below it, and the total.
pub(in crate::cli) fn draw(out: &mut dyn Write, theme: &Theme, outcomes: &[TestOutcome], all: bool) -> io::Result<()> {
    let most = if all { usize::MAX } else { MOST_BACKUPS };
    for outcome in outcomes {
        let (word, colour, zone) = if outcome.passes() {
            ("PASS", AnsiColor::Green, String::new())
        } else {
            let zone = format!("; times in {}", outcome.zone.name());
            ("FAIL", AnsiColor::Red, zone)
        };
        let head = format!(
            "{}: {}  ({}, {} kept, {} expired{zone})",
            clean(&outcome.file.to_string_lossy()),
            clean(&outcome.name),
            clean(outcome.policy.as_str()),
            number(outcome.kept),
            number(outcome.expired)
        );
        let word = theme.paint(colour.on_default().bold(), word);
        let lines = theme.width.map_or_else(
            || vec![head.as_str()],
            |width| wrap(&head, width.saturating_sub(6).max(20)),
        );
        for (nth, line) in lines.into_iter().enumerate() {
            match nth {
                0 => writeln!(out, "{word}  {line}")?,
                _ => writeln!(out, "      {line}")?,
            }
        }
        let reaches = reaches(outcome);
        for mismatch in &outcome.mismatches {
            paragraph(out, theme, 6, 2, Style::new(), &clean(&difference(mismatch)))?;
            draw_backups(out, theme, mismatch, outcome.zone, &reaches, most)?;
        }
    }
    let failed = outcomes.iter().filter(|outcome| !outcome.passes()).count();
    let total = count(outcomes.len() as u64, "test");
    let text = if failed == 0 {
        format!("\n{total} passed.")
    } else {
        format!("\n{total}: {} passed, {failed} failed.", outcomes.len() - failed)
    };
    writeln!(out, "{}", theme.paint(BOLD, &text))
}

/// What was expected and what came out, in one line.
pub(super) fn difference(mismatch: &Mismatch) -> String {
    let (expectation, expected, got) = (&mismatch.expectation, &mismatch.expected, &mismatch.got);
    match expectation.as_str() {
        "keep" | "gone" => format!("{expectation} {expected}: {got}"),
        _ => format!("{expectation}: expected {expected}, got {got}"),
    }
}

fn draw_backups(
    out: &mut dyn Write,
    theme: &Theme,
    mismatch: &Mismatch,
    zone: Zone,
    reaches: &Reaches<'_>,
    most: usize,
) -> io::Result<()> {
    let shown = &mismatch.backups[..mismatch.backups.len().min(most)];
    let columns = vec![
        Column::left(""),
        Column::wrapping("", 12),
        Column::left(""),
        Column::wrapping("", 16),
    ];
    let mut grid = Grid::new(columns, 8);
    let cells = |row: &BackupRow| -> Vec<Cell<'static>> {
        let (word, colour) = match row.action {
            Action::Keep(_) => ("stays", AnsiColor::Green),
            Action::Wait { .. } | Action::Delete(_) => ("goes", AnsiColor::Red),
        };
        vec![
            begun(row, zone).into(),
            clean(&row.backup.name).into_owned().into(),
            Cell::styled(word, colour.on_default()),
            reason(row, reaches).into(),
        ]
    };
    for row in shown {
        grid.measure(&cells(row));
    }
    grid.fit(theme.width);
    shown.iter().try_for_each(|row| grid.row(out, theme, &cells(row)))?;
    match mismatch.backups.len() - shown.len() {
        0 => Ok(()),
        more => writeln!(
            out,
            "        {}",
            theme.paint(DIM, &format!("and {} more", number(more as u64)))
        ),
    }
}

/// How far the policy's rules reach on each instance of a test.
pub(super) type Reaches<'a> = HashMap<&'a InstanceId, Reach<'a>>;

/// Of all decisions of a test.
pub(super) fn reaches(outcome: &TestOutcome) -> Reaches<'_> {
    let mut rows: HashMap<&InstanceId, Vec<&BackupRow>> = HashMap::new();
    for row in &outcome.rows {
        rows.entry(&row.instance.id).or_default().push(row);
    }
    let of = |rows: Vec<&BackupRow>| Reach::of(&outcome.rules, outcome.zone, &rows);
    rows.into_iter().map(|(id, rows)| (id, of(rows))).collect()
}

/// Why a backup stays or goes.
pub(super) fn reason(row: &BackupRow, reaches: &Reaches<'_>) -> String {
    let reach = reaches.get(&row.instance.id);
    reach.map_or_else(|| reasons::action(&row.action, None), |reach| why(row, reach))
}

/// When a backup was begun, in the policy's zone.
pub(super) fn begun(row: &BackupRow, zone: Zone) -> String {
    row.backup
        .begin
        .map_or_else(|| "?".to_owned(), |begin| moment(begin, zone))
}

/// Writes `{"tests": [...], "passed": …, "failed": …}`.
pub(in crate::cli) fn write_json(out: &mut dyn Write, outcomes: &[TestOutcome]) -> io::Result<()> {
    let failed = outcomes.iter().filter(|outcome| !outcome.passes()).count();
    json::write(
        out,
        &TestReportJson {
            tests: outcomes.iter().map(TestJson::of).collect(),
            passed: outcomes.len() - failed,
            failed,
        },
    )
}

#[derive(Serialize)]
struct TestReportJson<'a> {
    tests: Vec<TestJson<'a>>,
    passed: usize,
    failed: usize,
}

#[derive(Serialize)]
struct TestJson<'a> {
    file: String,
    name: &'a str,
    policy: &'a str,
    result: &'static str,
    kept: u64,
    expired: u64,
    mismatches: Vec<MismatchJson<'a>>,
}

#[derive(Serialize)]
struct MismatchJson<'a> {
    expectation: &'a str,
    expected: &'a str,
    got: &'a str,
    backups: Vec<DecisionJson<'a>>,
}

impl<'a> TestJson<'a> {
    fn of(outcome: &'a TestOutcome) -> Self {
        let mismatch = |mismatch: &'a Mismatch| MismatchJson {
            expectation: &mismatch.expectation,
            expected: &mismatch.expected,
            got: &mismatch.got,
            backups: mismatch.backups.iter().map(DecisionJson::of).collect(),
        };
        Self {
            file: outcome.file.to_string_lossy().into_owned(),
            name: &outcome.name,
            policy: outcome.policy.as_str(),
            result: if outcome.passes() { "pass" } else { "fail" },
            kept: outcome.kept,
            expired: outcome.expired,
            mismatches: outcome.mismatches.iter().map(mismatch).collect(),
        }
    }
}
