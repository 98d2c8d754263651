//! Holds and past runs, as commands list them: tables and JSON. Not for reports (`report`).

use std::collections::BTreeMap;
use std::io::{self, Write};

use anstyle::AnsiColor;

use super::json;
use super::table::{Cell, Column, Grid};
use super::theme::{BOLD, DIM, Theme};
use super::wrap::paragraph;
use crate::ledger::StatePlace;
use crate::operations::history::HistoryEntry;
use crate::operations::operator::HoldEntry;
use crate::retention::Zone;
use crate::retention::report::{RunResult, Summary, Tally};
use crate::wording::numbers::{count, number, size};
use crate::wording::reasons::target;
use crate::wording::results;
use crate::wording::sanitize::clean;
use crate::wording::times::{day, moment, zoned};

/// As much of a run's id as a table shows: `history` takes a unique start. The ids begin with the time, to the millisecond.
const SHORT_ID: usize = 13;
/// From this width on a table shows the whole.
const SPACE_FOR_WHOLE_ID: usize = 160;

/// Draws the holds.
pub fn holds(out: &mut dyn Write, holds: &[HoldEntry], zone: Zone, theme: &Theme) -> io::Result<()> {
    if holds.is_empty() {
        return writeln!(out, "No holds.");
    }
    let columns = vec![
        Column::left("HOLD"),
        Column::wrapping("HOLDS", 16),
        Column::wrapping("REASON", 12),
        Column::left(format!("UNTIL ({})", zone.name())),
        Column::left("STATE"),
        Column::wrapping("OWNER", 5).or_none(),
        Column::wrapping("PLACED BY", 8).or_none(),
    ];
    let cells = |entry: &HoldEntry| -> Vec<Cell<'static>> {
        let state = match (entry.active, entry.released_at) {
            (true, _) if entry.compliance => Cell::styled("active (compliance)", AnsiColor::Green.on_default()),
            (true, _) => Cell::styled("active", AnsiColor::Green.on_default()),
            (false, Some(at)) => Cell::styled(format!("released {}", day(at, zone)), DIM),
            (false, None) => Cell::styled("ended", DIM),
        };
        vec![
            entry
                .hold
                .id
                .as_deref()
                .map_or_else(|| "configuration".to_owned(), |id| clean(id).into_owned())
                .into(),
            target(&entry.hold.target).into(),
            clean(&entry.hold.reason).into_owned().into(),
            entry
                .hold
                .until
                .map_or_else(|| "no end".to_owned(), |until| moment(until, zone))
                .into(),
            state,
            entry
                .hold
                .owner
                .as_deref()
                .map_or_else(|| "-".to_owned(), |owner| clean(owner).into_owned())
                .into(),
            entry
                .placed_by
                .as_deref()
                .map_or_else(|| "-".to_owned(), |by| clean(by).into_owned())
                .into(),
        ]
    };
    write_list(out, theme, 0, columns, holds, cells)?;
    let active = || holds.iter().filter(|entry| entry.active);
    let next = active().filter_map(|entry| entry.hold.until).min();
    let next = next.map_or_else(String::new, |until| {
        format!("; the next one ends at {}", zoned(until, zone))
    });
    let text = format!("{} in force{next}.", count(active().count() as u64, "hold"));
    writeln!(out)?;
    paragraph(out, theme, 0, 0, BOLD, &text)
}

/// That there are no past runs, and in which state: a wrong `state_dir` is seen by it.
pub fn no_runs(out: &mut dyn Write, state: &StatePlace) -> io::Result<()> {
    writeln!(out, "No runs yet in {}.", clean(&state.to_string()))
}

/// Draws past runs.
pub fn history(out: &mut dyn Write, runs: &[HistoryEntry], zone: Zone, theme: &Theme) -> io::Result<()> {
    if runs.is_empty() {
        return writeln!(out, "No runs yet.");
    }
    let columns = vec![
        Column::left(format!("AT ({})", zone.name())),
        Column::wrapping("POLICY", 10),
        Column::left("MODE").or_none(),
        Column::left("RESULT"),
        Column::right("KEEP").or_none(),
        Column::right("WAIT").or_none(),
        Column::right("DELETE"),
        Column::wrapping("SENT", 12),
        Column::left("RUN"),
    ];
    let id_is_whole = theme.width.is_none_or(|width| width >= SPACE_FOR_WHOLE_ID);
    write_list(out, theme, 0, columns, runs, |run| run_cells(run, zone, id_is_whole))?;
    let words = RunResult::ALL
        .into_iter()
        .flat_map(|result| [(result, false), (result, true)])
        .filter(|(result, in_part)| !in_part || *result == RunResult::Refused);
    let results = words.filter_map(|(result, in_part)| {
        let is_so = |run: &&HistoryEntry| run.result == Some(result) && run.is_refused_in_part() == in_part;
        let of = runs.iter().filter(is_so).count() as u64;
        (of > 0).then(|| format!("{} {}", number(of), results::result(result, in_part)))
    });
    let open = [(true, "running"), (false, "cut short")]
        .into_iter()
        .filter_map(|(running, word)| {
            let of = runs.iter().filter(|run| run.result.is_none() && run.running == running);
            let of = of.count() as u64;
            (of > 0).then(|| format!("{} {word}", number(of)))
        });
    let ended: Vec<String> = results.chain(open).collect();
    let sent = runs.iter().flat_map(|run| run.sent.values()).sum();
    let text = format!(
        "{}: {}; {} sent.",
        count(runs.len() as u64, "run"),
        ended.join(", "),
        count(sent, "deletion")
    );
    writeln!(out)?;
    paragraph(out, theme, 0, 0, BOLD, &text)
}

fn run_cells(run: &HistoryEntry, zone: Zone, id_is_whole: bool) -> Vec<Cell<'static>> {
    let tally = |of: fn(&Summary) -> Tally| {
        run.summary
            .as_ref()
            .map_or_else(|| "-".to_owned(), |summary| number(of(summary).count))
    };
    let mut sent: Vec<String> = run
        .sent
        .iter()
        .map(|(fate, count)| format!("{} {}", number(*count), clean(fate)))
        .collect();
    if run.left > 0 {
        sent.push(format!("{} left", number(run.left)));
    }
    if run.held_back.count > 0 {
        sent.push(results::held_back_words(run.held_back));
    }
    sent.extend(run.message.as_deref().map(|message| clean(message).into_owned()));
    vec![
        moment(run.at, zone).into(),
        clean(run.policy.as_str()).into_owned().into(),
        run.mode.as_str().into(),
        match run.result {
            Some(of) => result(of, run.is_refused_in_part()),
            None if run.running => Cell::styled("running", AnsiColor::Cyan.on_default()),
            None => Cell::styled("cut short", AnsiColor::Red.on_default()),
        },
        tally(|summary| summary.keep).into(),
        tally(|summary| summary.wait).into(),
        tally(|summary| summary.delete).into(),
        sent.join(", ").into(),
        clean(
            run.run_id
                .get(..SHORT_ID)
                .filter(|_| !id_is_whole)
                .unwrap_or(&run.run_id),
        )
        .into_owned()
        .into(),
    ]
}

/// Draws a small list behind so many blanks: what is listed here fits into memory twice.
pub(in crate::cli) fn write_list<T>(
    out: &mut dyn Write,
    theme: &Theme,
    indent: usize,
    columns: Vec<Column>,
    entries: &[T],
    cells: impl Fn(&T) -> Vec<Cell<'static>>,
) -> io::Result<()> {
    let mut grid = Grid::new(columns, indent);
    let rows: Vec<Vec<Cell<'_>>> = entries.iter().map(cells).collect();
    for row in &rows {
        grid.measure(row);
    }
    grid.fit(theme.width);
    grid.header(out, theme)?;
    rows.iter().try_for_each(|row| grid.row(out, theme, row))
}

fn result(result: RunResult, in_part: bool) -> Cell<'static> {
    let colour = match result {
        RunResult::Refused if in_part => AnsiColor::Yellow,
        RunResult::Success => AnsiColor::Green,
        RunResult::Partial | RunResult::Skipped => AnsiColor::Yellow,
        RunResult::Failed | RunResult::Refused => AnsiColor::Red,
    };
    Cell::styled(results::result(result, in_part), colour.on_default())
}

/// Writes the holds: `{"holds": [...]}`.
pub fn write_holds(out: &mut dyn Write, holds: &[HoldEntry]) -> io::Result<()> {
    json::write(out, &BTreeMap::from([("holds", holds)]))
}

/// Writes past runs: `{"runs": [...]}`.
pub fn write_history(out: &mut dyn Write, runs: &[HistoryEntry]) -> io::Result<()> {
    json::write(out, &BTreeMap::from([("runs", runs)]))
}

/// `61 (71.0 GiB)`
pub(in crate::cli) fn tally(tally: Tally) -> String {
    format!("{} ({})", number(tally.count), size(tally.bytes))
}
