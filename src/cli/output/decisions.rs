//! Reports as tables for people: what happens to each backup, or to each instance of a large fleet, and why.
//!
//! The numbers and what the guard says stand first (`report`), then the tables by policy, backups by instance; times are on the
//! policy's wall clock. Not for JSON. Names are made by strangers: all run through `clean`.

use std::borrow::Cow;
use std::io::{self, Write};

use anstyle::{AnsiColor, Style};
use chrono::{DateTime, Utc};

use super::instance_table;
use super::not_kept::Reach;
use super::report::{self, ReportKind};
use super::table::{Cell, Column, Grid};
use super::theme::{BOLD, DIM, Theme};
use crate::retention::report::{Action, BackupRow, PolicyReport};
use crate::retention::{ExpireReason, Fate, Instance, InstanceLife, Outcome, RunReport};
use crate::wording::Natural;
use crate::wording::numbers::{number, size};
use crate::wording::reasons::{action, expired, fate};
use crate::wording::sanitize::clean;
use crate::wording::times::{age, day, moment, zoned};

/// Of more backups than this a report has a line an instance, unless all are asked for.
pub const MOST_ROWS: usize = 100;

/// Draws a report.
pub fn report(out: &mut dyn Write, report: &RunReport, kind: ReportKind, theme: &Theme) -> io::Result<()> {
    report::head(out, report, theme)?;
    let rows: usize = report.policies.iter().map(decided).sum();
    let is_large = rows > MOST_ROWS && !theme.all;
    for policy in &report.policies {
        draw_policy(out, policy, report.at, is_large, theme)?;
    }
    report::tail(out, report, (kind, is_large), theme)
}

/// How many backups a policy decided on, also those of which the report holds no row.
fn decided(policy: &PolicyReport) -> usize {
    let counted = usize::try_from(policy.summary.count()).unwrap_or(usize::MAX);
    policy.rows.len().max(counted)
}

/// The tables of one policy: of a large report a line an instance, and what was sent.
fn draw_policy(
    out: &mut dyn Write,
    policy: &PolicyReport,
    now: DateTime<Utc>,
    is_large: bool,
    theme: &Theme,
) -> io::Result<()> {
    let name = theme.paint(BOLD, &clean(policy.policy.as_str()));
    writeln!(out, "policy {name}, {}, times in {}", policy.mode.as_str(), policy.zone)?;
    if decided(policy) == 0 {
        return writeln!(out, "  no backup in its scope\n");
    }
    let mut rows: Vec<&BackupRow> = policy.rows.iter().collect();
    rows.sort_by(|a, b| order(a).cmp(&order(b)));
    if is_large {
        instance_table::draw(out, policy, theme)?;
        rows.retain(|row| row.fate.is_some());
        if rows.is_empty() {
            return writeln!(out);
        }
        writeln!(out, "\n  {}", theme.paint(BOLD, "what was sent"))?;
    }
    draw_backups(out, policy, &rows, now, theme)?;
    writeln!(out)
}

/// A line a backup, by instance.
fn draw_backups(
    out: &mut dyn Write,
    policy: &PolicyReport,
    rows: &[&BackupRow],
    now: DateTime<Utc>,
    theme: &Theme,
) -> io::Result<()> {
    let table = Table {
        policy,
        now,
        width: TableWidth::of(theme),
        sent: rows.iter().any(|row| row.fate.is_some()),
    };
    let same =
        |a: &&BackupRow, b: &&BackupRow| a.instance.project == b.instance.project && a.instance.id == b.instance.id;
    let mut grid = Grid::new(table.columns(), 4);
    // Cells are made twice, to be measured and to be drawn, and never all at once.
    for group in rows.chunk_by(same) {
        let reach = Reach::of(&policy.rules, policy.zone, group);
        for row in group {
            grid.measure(&table.cells(row, &reach));
        }
    }
    grid.fit(theme.width);
    grid.header(out, theme)?;
    for group in rows.chunk_by(same) {
        draw_heading(out, group, policy, theme)?;
        let reach = Reach::of(&policy.rules, policy.zone, group);
        for row in group {
            grid.row(out, theme, &table.cells(row, &reach))?;
        }
    }
    Ok(())
}

/// Instances by name, their backups newest first; a backup without a time stands at the top, where it is seen.
fn order(row: &BackupRow) -> impl Ord + '_ {
    let BackupRow { instance, backup, .. } = row;
    let newest_first = backup.begin.map(std::cmp::Reverse);
    (
        &instance.project,
        Natural(&instance.name),
        &instance.id,
        newest_first,
        &backup.id,
    )
}

/// An instance, and how many of the backups below stay and go.
fn draw_heading(out: &mut dyn Write, group: &[&BackupRow], policy: &PolicyReport, theme: &Theme) -> io::Result<()> {
    let Some(first) = group.first() else { return Ok(()) };
    let Instance {
        project,
        id,
        name,
        life,
        ..
    } = &*first.instance;
    let tally = |key: &str| group.iter().filter(|row| row.action.key() == key).count() as u64;
    let deleted = match life {
        InstanceLife::Listed => String::new(),
        InstanceLife::Deleted { missed_since } => {
            format!(", deleted, missed since {}", zoned(*missed_since, policy.zone))
        }
    };
    let name = clean(name);
    let place = format!("({}, {}{deleted})", clean(project.as_str()), clean(id.as_str()));
    let kinds = ["keep", "wait", "delete"].map(|key| (key, tally(key)));
    let numbers: Vec<String> = kinds
        .iter()
        .filter(|(_, count)| *count > 0)
        .map(|(key, count)| format!("{} {key}", number(*count)))
        .collect();
    let numbers = numbers.join(", ");
    let whole = format!("  {name} {place}: {numbers}");
    let fits = theme
        .width
        .is_none_or(|width| unicode_width::UnicodeWidthStr::width(whole.as_str()) <= width);
    let (name, place) = (theme.paint(BOLD, &name), theme.paint(DIM, &place));
    if fits {
        writeln!(out, "  {name} {place}: {numbers}")
    } else {
        writeln!(out, "  {name}: {numbers}\n    {place}")
    }
}

/// How much fits beside each other.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum TableWidth {
    /// Less than [`TableWidth::NARROW`] columns: no age, no size, days for times; an outcome stands in the place of the end.
    Narrow,
    /// More, or no limit at all.
    Usual,
}

impl TableWidth {
    const NARROW: usize = 110;

    fn of(theme: &Theme) -> Self {
        match theme.width {
            Some(width) if width < Self::NARROW => Self::Narrow,
            Some(_) | None => Self::Usual,
        }
    }
}

/// The table of one policy's backups.
struct Table<'a> {
    policy: &'a PolicyReport,
    now: DateTime<Utc>,
    width: TableWidth,
    /// Whether something was sent, so that there are outcomes.
    sent: bool,
}

impl Table<'_> {
    fn shows_age(&self) -> bool {
        self.width != TableWidth::Narrow
    }

    fn shows_end(&self) -> bool {
        self.width != TableWidth::Narrow || !self.sent
    }

    fn columns(&self) -> Vec<Column> {
        let mut columns = vec![Column::wrapping("BACKUP", 16)];
        columns.push(Column::left("BEGIN"));
        if self.shows_age() {
            columns.extend([Column::right("AGE"), Column::right("SIZE")]);
        }
        columns.extend([Column::left("DECISION"), Column::wrapping("WHY", 14)]);
        columns.extend(self.shows_end().then_some(Column::left("UNTIL")));
        columns.extend(self.sent.then_some(Column::wrapping("OUTCOME", 14)));
        // Whole, for it is copied; and last, so that it is looked for in one place.
        columns.push(Column::left("ID").if_space());
        columns
    }

    fn cells<'a>(&self, row: &'a BackupRow, reach: &Reach<'_>) -> Vec<Cell<'a>> {
        let BackupRow {
            backup, action: what, ..
        } = row;
        let zone = self.policy.zone;
        let unknown = || "?".to_owned();
        let mut cells = vec![Cell::from(clean(&backup.name))];
        cells.push(backup.begin.map_or_else(unknown, |begin| moment(begin, zone)).into());
        if self.shows_age() {
            cells.push(backup.begin.map_or_else(unknown, |begin| age(begin, self.now)).into());
            cells.push(size(backup.size_bytes).into());
        }
        cells.push(Cell::styled(what.key(), decision_style(what)));
        cells.push(why(row, reach).into());
        if self.shows_end() {
            let until = match what {
                Action::Keep(_) => row.expires_at,
                Action::Wait { due_at, .. } => *due_at,
                Action::Delete(_) => None,
            };
            let written = if self.width == TableWidth::Narrow { day } else { moment };
            cells.push(
                until
                    .map_or(Cow::Borrowed("-"), |at| Cow::Owned(written(at, zone)))
                    .into(),
            );
        }
        if self.sent {
            let outcome = |known: &Fate| Cell::styled(fate(known), fate_style(known));
            cells.push(row.fate.as_deref().map_or_else(|| Cell::from(""), outcome));
        }
        cells.push(Cell::styled(clean(backup.id.as_str()), DIM));
        cells
    }
}

/// Why a backup is kept, waits or goes; of one that no rule keeps, what it lacks.
pub(super) fn why(row: &BackupRow, reach: &Reach<'_>) -> String {
    let lacks = match &row.action {
        Action::Wait { reason, .. } | Action::Delete(reason) if *reason == ExpireReason::NotKept => {
            // The words that everything else says, and then what is lacking.
            let lacks = reach.lacks(&row.backup);
            lacks.map(|lacks| format!("{}: {lacks}", expired(ExpireReason::NotKept)))
        }
        _ => None,
    };
    action(&row.action, lacks.as_deref())
}

fn decision_style(action: &Action) -> Style {
    match action {
        Action::Keep(_) => AnsiColor::Green.on_default(),
        Action::Wait { .. } => AnsiColor::Yellow.on_default(),
        Action::Delete(_) => AnsiColor::Red.on_default(),
    }
}

fn fate_style(fate: &Fate) -> Style {
    match fate {
        Fate::Confirmed => AnsiColor::Green.on_default(),
        Fate::Answered(Outcome::Accepted) => Style::new(),
        Fate::Answered(Outcome::Rejected { .. } | Outcome::Unanswered { .. }) | Fate::Returned => {
            AnsiColor::Red.on_default()
        }
    }
}
