//! Reports as tables for people: what happens to each backup, and why.
//!
//! Grouped by policy, then by instance; times stand on the policy's wall clock. What concerns the whole (verdicts, who was
//! left alone, what to type next) follows in `ending`. Not for JSON. Names are made by strangers: all run `clean`.

use std::borrow::Cow;
use std::io::{self, Write};

use anstyle::{AnsiColor, Style};
use chrono::{DateTime, Utc};

use super::report::{self, Kind};
use super::table::{Cell, Column, Grid};
use super::theme::{BOLD, DIM, Theme};
use crate::retention::report::{Action, PolicyReport, Row, Summary};
use crate::retention::{Fate, Instance, InstanceLife, Outcome, RunReport};
use crate::wording::numbers::{number, size};
use crate::wording::reasons::{action, fate};
use crate::wording::sanitize::clean;
use crate::wording::times::{age, day, moment};

/// More rows than this are not all shown unless asked for: whoever looks at so many wants to know what goes.
const MOST_ROWS: usize = 200;

/// Draws a report.
pub fn report(out: &mut dyn Write, report: &RunReport, kind: Kind, theme: &Theme) -> io::Result<()> {
    let rows: usize = report.policies.iter().map(decided).sum();
    let detail = if theme.all || rows <= MOST_ROWS {
        Detail::All
    } else {
        Detail::WhatGoes
    };
    for policy in &report.policies {
        draw_policy(out, policy, report.at, detail, theme)?;
    }
    if detail == Detail::WhatGoes {
        let note = format!(
            "{} backups: kept ones are not listed; --all lists them.",
            number(rows as u64)
        );
        writeln!(out, "{}\n", theme.paint(DIM, &note))?;
    }
    report::draw(out, report, kind, theme)
}

/// How many backups a policy decided on, also those of which the report holds no row.
fn decided(policy: &PolicyReport) -> usize {
    let Summary { keep, wait, delete } = policy.summary;
    let counted = keep.count + wait.count + delete.count;
    policy.rows.len().max(usize::try_from(counted).unwrap_or(usize::MAX))
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Detail {
    All,
    WhatGoes,
}

impl Detail {
    fn shows(self, row: &Row) -> bool {
        self == Self::All || row.fate.is_some() || !matches!(row.action, Action::Keep(_))
    }
}

fn draw_policy(
    out: &mut dyn Write,
    policy: &PolicyReport,
    now: DateTime<Utc>,
    detail: Detail,
    theme: &Theme,
) -> io::Result<()> {
    let name = theme.paint(BOLD, &clean(policy.policy.as_str()));
    writeln!(out, "policy {name}, {}, times in {}", policy.mode.as_str(), policy.zone)?;
    if decided(policy) == 0 {
        writeln!(out, "  no backup in its scope\n")?;
        return Ok(());
    }
    let mut rows: Vec<&Row> = policy.rows.iter().collect();
    rows.sort_by(|a, b| order(a).cmp(&order(b)));
    let table = Table {
        policy,
        now,
        room: Room::of(theme),
        sent: policy.rows.iter().any(|row| row.fate.is_some()),
    };
    let mut grid = Grid::new(table.columns(), 4);
    // Cells are made twice, to be measured and to be drawn, and never all at once.
    for row in rows.iter().filter(|row| detail.shows(row)) {
        grid.measure(&table.cells(row));
    }
    grid.fit(theme.width);
    if rows.iter().any(|row| detail.shows(row)) {
        grid.header(out, theme)?;
    }
    for group in rows.chunk_by(|a, b| a.instance.project == b.instance.project && a.instance.id == b.instance.id) {
        draw_heading(out, group, policy.rows.len() == decided(policy), theme)?;
        for row in group.iter().filter(|row| detail.shows(row)) {
            grid.row(out, theme, &table.cells(row))?;
        }
    }
    writeln!(out)
}

/// Instances by name, their backups newest first; a backup without a time stands at the top, where it is seen.
fn order(row: &Row) -> impl Ord + '_ {
    let Row { instance, backup, .. } = row;
    let newest_first = backup.begin.map(std::cmp::Reverse);
    (
        &instance.project,
        &instance.name,
        &instance.id,
        newest_first,
        &backup.id,
    )
}

/// An instance and how many go; how many stay only where the report holds them.
fn draw_heading(out: &mut dyn Write, group: &[&Row], is_whole: bool, theme: &Theme) -> io::Result<()> {
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
            format!(
                ", deleted, missed since {}",
                crate::wording::times::timestamp(*missed_since)
            )
        }
    };
    let name = clean(name);
    let place = format!("({}, {}{deleted})", clean(project.as_str()), clean(id.as_str()));
    let kept = if is_whole {
        format!("{} keep, ", number(tally("keep")))
    } else {
        String::new()
    };
    let numbers = format!(
        "{kept}{} wait, {} delete",
        number(tally("wait")),
        number(tally("delete"))
    );
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
enum Room {
    /// Less than [`Room::NARROW`] columns: no age, no size, days for times; an outcome stands in the place of the end.
    Narrow,
    /// A usual terminal.
    Usual,
    /// No limit: full ids, too.
    Wide,
}

impl Room {
    const NARROW: usize = 110;

    fn of(theme: &Theme) -> Self {
        match theme.width {
            None => Self::Wide,
            Some(width) if width < Self::NARROW => Self::Narrow,
            Some(_) => Self::Usual,
        }
    }
}

/// The table of one policy's backups.
struct Table<'a> {
    policy: &'a PolicyReport,
    now: DateTime<Utc>,
    room: Room,
    /// Whether something was sent, so that there are outcomes.
    sent: bool,
}

impl Table<'_> {
    fn shows_age(&self) -> bool {
        self.room != Room::Narrow
    }

    fn shows_end(&self) -> bool {
        self.room != Room::Narrow || !self.sent
    }

    fn columns(&self) -> Vec<Column> {
        let mut columns = vec![Column::wrapping("BACKUP", 16)];
        columns.extend((self.room == Room::Wide).then_some(Column::left("ID")));
        columns.push(Column::left("BEGIN"));
        if self.shows_age() {
            columns.extend([Column::right("AGE"), Column::right("SIZE")]);
        }
        columns.extend([Column::left("DECISION"), Column::wrapping("WHY", 14)]);
        columns.extend(self.shows_end().then_some(Column::left("UNTIL")));
        columns.extend(self.sent.then_some(Column::wrapping("OUTCOME", 14)));
        columns
    }

    fn cells<'a>(&self, row: &'a Row) -> Vec<Cell<'a>> {
        let Row {
            backup, action: what, ..
        } = row;
        let zone = self.policy.zone;
        let unknown = || "?".to_owned();
        let mut cells = vec![Cell::from(clean(&backup.name))];
        if self.room == Room::Wide {
            cells.push(Cell::styled(clean(backup.id.as_str()), DIM));
        }
        cells.push(backup.begin.map_or_else(unknown, |begin| moment(begin, zone)).into());
        if self.shows_age() {
            cells.push(backup.begin.map_or_else(unknown, |begin| age(begin, self.now)).into());
            cells.push(size(backup.size_bytes).into());
        }
        cells.push(Cell::styled(what.key(), decision_style(what)));
        cells.push(action(what).into());
        if self.shows_end() {
            let until = match what {
                Action::Keep(_) => row.expires_at,
                Action::Wait { due_at, .. } => *due_at,
                Action::Delete(_) => None,
            };
            let written = if self.room == Room::Narrow { day } else { moment };
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
        cells
    }
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
