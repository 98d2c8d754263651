//! A forecast as tables: the backups that go, and week by week how many and how much is left.

use std::io::{self, Write};

use anstyle::AnsiColor;

use super::left_out;
use super::table::{Cell, Column, Grid};
use super::theme::{BOLD, DIM, Theme};
use super::wrap::paragraph;
use crate::operations::forecast::{Forecast, Going};
use crate::retention::Zone;
use crate::retention::report::Tally;
use crate::retention::weeks::Week;
use crate::wording::numbers::{count, number, size};
use crate::wording::reasons::gone_by;
use crate::wording::sanitize::clean;
use crate::wording::times::day;
use crate::wording::times::interval;

/// More departures than this are not all listed unless asked for.
const MOST_ROWS: usize = 100;
/// How wide the bars of the chart are.
const BAR: usize = 30;

/// Draws the backups that go, the weeks, and what was assumed.
pub(in crate::cli) fn draw(out: &mut dyn Write, forecast: &Forecast, zone: Zone, theme: &Theme) -> io::Result<()> {
    draw_departures(out, forecast, zone, theme)?;
    draw_weeks(out, forecast, zone, theme, speaks_unicode())?;
    draw_assumptions(out, forecast, zone, theme)?;
    let unread = left_out::sentence(&forecast.skipped);
    unread.map_or(Ok(()), |text| paragraph(out, theme, 0, 0, BOLD, &text))
}

fn draw_departures(out: &mut dyn Write, forecast: &Forecast, zone: Zone, theme: &Theme) -> io::Result<()> {
    let going = forecast.going();
    let stays = forecast.real().count() - going.len();
    draw_total(out, forecast, zone, theme, (going.len() as u64, stays as u64))?;
    let shown = if theme.all {
        going.len()
    } else {
        going.len().min(MOST_ROWS)
    };
    let wide = theme.width.is_none();
    let mut columns = vec![
        Column::left("GOES"),
        Column::wrapping("INSTANCE", 14),
        Column::wrapping("BACKUP", 16),
    ];
    columns.extend(wide.then_some(Column::left("ID")));
    // The names and the reason are what one looks for; the rest is there where it fits.
    columns.extend([
        Column::left("BEGIN").if_space(),
        Column::right("SIZE").if_space(),
        Column::wrapping("POLICY", 8).if_space(),
        Column::wrapping("WHY", 8),
    ]);
    let mut grid = Grid::new(columns, 2);
    let cells = |row: &Going<'_>| departure_cells(row, zone, wide);
    for row in &going[..shown] {
        grid.measure(&cells(row));
    }
    grid.fit(theme.width);
    if shown > 0 {
        grid.header(out, theme)?;
    }
    for row in &going[..shown] {
        grid.row(out, theme, &cells(row))?;
    }
    if shown < going.len() {
        let more = number((going.len() - shown) as u64);
        let note = format!("and {more} more; --all lists them, --format json has them all.");
        paragraph(out, theme, 2, 0, DIM, &note)?;
    }
    if shown > 0 {
        writeln!(out)?;
    }
    Ok(())
}

fn draw_total(
    out: &mut dyn Write,
    forecast: &Forecast,
    zone: Zone,
    theme: &Theme,
    (going, stays): (u64, u64),
) -> io::Result<()> {
    let horizon = day(forecast.until, zone);
    let text = if going == 0 {
        format!("None of today's {} will be gone by {horizon}.", count(stays, "backup"))
    } else {
        format!(
            "{} of today's {} will be gone by {horizon}; {} will stay.",
            number(going),
            count(going + stays, "backup"),
            number(stays)
        )
    };
    paragraph(out, theme, 0, 0, BOLD, &text)?;
    writeln!(out)
}

fn draw_weeks(out: &mut dyn Write, forecast: &Forecast, zone: Zone, theme: &Theme, unicode: bool) -> io::Result<()> {
    let mut columns = vec![Column::left("WEEK FROM")];
    columns.extend(forecast.backup_every.map(|_| Column::right("NEW")));
    columns.extend([
        Column::right("GO"),
        Column::right("FREED"),
        Column::right("LEFT"),
        Column::right("STORAGE"),
    ]);
    columns.extend(forecast.price.as_ref().map(|_| Column::right("A MONTH")));
    columns.extend([Column::left("")]);
    let mut grid = Grid::new(columns, 2);
    let mut rows = vec![(forecast.now, week_cells(forecast, "now".to_owned(), None, forecast.now))];
    rows.extend(forecast.weeks.iter().map(|week| {
        let from = day(week.from, zone);
        (week.left, week_cells(forecast, from, Some(week), week.left))
    }));
    for (_, row) in &rows {
        grid.measure(row);
    }
    // The bars take what the numbers leave.
    let columns = theme
        .width
        .map_or(BAR, |width| width.saturating_sub(grid.width()))
        .min(BAR);
    let most = rows.iter().map(|(left, _)| left.bytes).max().unwrap_or(0);
    for (left, row) in &mut rows {
        let bar = bar(left.bytes, most, columns, unicode);
        row.push(Cell::styled(bar, AnsiColor::Cyan.on_default()));
        grid.measure(row);
    }
    grid.header(out, theme)?;
    rows.iter().try_for_each(|(_, row)| grid.row(out, theme, row))
}

/// A week's numbers; its bar comes later.
fn week_cells(forecast: &Forecast, name: String, week: Option<&Week>, left: Tally) -> Vec<Cell<'static>> {
    let tally = |of: fn(&Week) -> Tally| week.map_or_else(String::new, |week| number(of(week).count));
    let freed = week.map(|week| week.went).filter(|went| went.count > 0);
    let mut cells: Vec<Cell<'static>> = vec![name.into()];
    cells.extend(forecast.backup_every.map(|_| tally(|week| week.came).into()));
    cells.extend([
        tally(|week| week.went).into(),
        freed.map_or_else(String::new, |went| size(went.bytes)).into(),
        number(left.count).into(),
        size(left.bytes).into(),
    ]);
    cells.extend(
        forecast
            .price
            .as_ref()
            .map(|price| clean(&price.of(left.bytes)).into_owned().into()),
    );
    cells
}

fn draw_assumptions(out: &mut dyn Write, forecast: &Forecast, zone: Zone, theme: &Theme) -> io::Result<()> {
    let new = match forecast.backup_every {
        Some(every) => format!(
            "one more COMPLETED full backup on each instance every {}, with the name and size of those made most often (names \
             that differ only in digits count as one); those of other policies at their own pace",
            interval(every)
        ),
        None => "no new backups (--backup-every 24h adds some)".to_owned(),
    };
    let text = format!(
        "Assumed: {new}; runs at the policies' schedules, or daily; nothing is refused by the guard. Days are in {}.",
        zone.name()
    );
    writeln!(out)?;
    paragraph(out, theme, 0, 0, DIM, &text)?;
    if !forecast.dry_run.is_empty() {
        let names: Vec<_> = forecast.dry_run.iter().map(|policy| clean(policy.as_str())).collect();
        let text = format!(
            "In dry-run, so nothing is deleted until it says `mode: enforce`: {}.",
            names.join(", ")
        );
        paragraph(out, theme, 0, 0, AnsiColor::Yellow.on_default(), &text)?;
    }
    Ok(())
}

fn departure_cells((instance, future, departure): &Going<'_>, zone: Zone, wide: bool) -> Vec<Cell<'static>> {
    let backup = &future.backup;
    let mut cells: Vec<Cell<'static>> = vec![
        Cell::styled(day(departure.at, zone), AnsiColor::Red.on_default()),
        clean(&instance.name).into_owned().into(),
        clean(&backup.name).into_owned().into(),
    ];
    if wide {
        cells.push(Cell::styled(clean(backup.id.as_str()).into_owned(), DIM));
    }
    cells.extend([
        backup
            .begin
            .map_or_else(|| "?".to_owned(), |begin| day(begin, zone))
            .into(),
        size(backup.size_bytes).into(),
        clean(departure.policy.as_str()).into_owned().into(),
        gone_by(departure.reason).into(),
    ]);
    cells
}

/// A bar as long as its share of the width: in eighths of a character, or in `#`.
fn bar(value: u64, most: u64, columns: usize, unicode: bool) -> String {
    const EIGHTHS: [&str; 8] = ["", "▏", "▎", "▍", "▌", "▋", "▊", "▉"];
    if most == 0 {
        return String::new();
    }
    let share = |steps: usize| usize::try_from(u128::from(value) * steps as u128 / u128::from(most)).unwrap_or(steps);
    if unicode {
        let eighths = share(columns * 8);
        format!("{}{}", "█".repeat(eighths / 8), EIGHTHS[eighths % 8])
    } else {
        "#".repeat(share(columns))
    }
}

/// Whether the terminal shows more than ASCII, by the locale's usual three variables.
fn speaks_unicode() -> bool {
    let set = ["LC_ALL", "LC_CTYPE", "LANG"]
        .into_iter()
        .filter_map(std::env::var_os)
        .find(|value| !value.is_empty());
    set.is_some_and(|value| {
        let value = value.to_string_lossy().to_ascii_lowercase();
        value.contains("utf-8") || value.contains("utf8")
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bars_are_shares_in_eighths_or_in_ascii() {
        assert_eq!(bar(100, 100, 30, true), "█".repeat(30));
        assert_eq!(bar(50, 100, 20, true), "█".repeat(10));
        assert_eq!(bar(1, 240, 30, true), "▏");
        assert_eq!(bar(u64::MAX, u64::MAX, 30, false), "#".repeat(30));
        assert_eq!(
            (bar(0, 100, 30, true), bar(0, 0, 30, false)),
            (String::new(), String::new())
        );
        assert_eq!(bar(100, 100, 0, true), "", "no columns");
    }
}
