//! The changes between two configurations, as tables.

use std::collections::HashSet;
use std::io::{self, Write};

use anstyle::{AnsiColor, Style};

use super::left_out;
use super::table::{Cell, Column, Grid};
use super::theme::{BOLD, DIM, Theme};
use super::wrap::paragraph;
use crate::operations::diff::{Diff, PolicyChanges};
use crate::retention::compare::{Changed, DiffOutcome, Group};
use crate::retention::report::Tally;
use crate::retention::{InstanceId, Mode, Zone};
use crate::wording::numbers::{count, number, size};
use crate::wording::reasons::{gone_by, keep};
use crate::wording::sanitize::clean;
use crate::wording::times::day;

/// More changes than this are not all listed unless asked for.
const MOST_ROWS: usize = 200;

/// Draws the changes by policy, and what they come to.
pub(in crate::cli) fn draw(out: &mut dyn Write, changes: &Diff, theme: &Theme) -> io::Result<()> {
    let names = [&changes.config, &changes.against].map(|file| clean(file));
    let say = |out: &mut dyn Write, style: Style, text: &str| paragraph(out, theme, 0, 0, style, text);
    let unread = left_out::sentence(&changes.skipped);
    if changes.policies.is_empty() {
        let of = if unread.is_some() { " that could be read" } else { "" };
        let text = format!("No backup{of} changes fate between {} and {}.", names[0], names[1]);
        say(out, Style::new(), &text)?;
        return unread.map_or(Ok(()), |text| say(out, BOLD, &text));
    }
    let rows: usize = changes.policies.iter().map(|of| of.group.changes.len()).sum();
    let listed = theme.all || rows <= MOST_ROWS;
    for PolicyChanges { policy, mode, group } in &changes.policies {
        let mode = mode.map_or("", Mode::as_str);
        writeln!(out, "policy {}, {mode}", theme.paint(BOLD, &clean(policy.as_str())))?;
        if listed {
            draw_changes(out, theme, group)?;
        }
        paragraph(out, theme, 2, 0, Style::new(), &totals(group))?;
        writeln!(out)?;
    }
    if !listed {
        let text = format!("{} changes are not listed; --all lists them.\n", number(rows as u64));
        say(out, DIM, &text)?;
    }
    let groups = changes.policies.iter().map(|of| &of.group);
    let instances: HashSet<&InstanceId> = groups
        .clone()
        .flat_map(|group| &group.changes)
        .map(|change| &change.instance.id)
        .collect();
    let all = groups.fold(Group::default(), |all, group| all.and(group));
    let text = format!("On {}: {}.", count(instances.len() as u64, "instance"), totals(&all));
    say(out, BOLD, &text)?;
    let text = format!("With {} instead of {}; grace counted as over.", names[1], names[0]);
    say(out, Style::new(), &text)?;
    unread.map_or(Ok(()), |text| say(out, BOLD, &text))
}

/// Why a backup is where it is, in few words; the mode where it alone makes the difference.
fn why(fate: &DiffOutcome, other: &DiffOutcome) -> String {
    match fate {
        DiffOutcome::Unmanaged => "no policy's".to_owned(),
        DiffOutcome::Keep(_, reasons) => keep(reasons),
        DiffOutcome::Expire { mode, reason, .. } if other.expires() => {
            format!("{}, {}", gone_by(*reason), mode.as_str())
        }
        DiffOutcome::Expire { reason, .. } => gone_by(*reason).to_owned(),
    }
}

fn totals(group: &Group) -> String {
    let part = |tally: Tally, what: &str| {
        (tally.count > 0).then(|| format!("{} ({}) would {what}", count(tally.count, "backup"), size(tally.bytes)))
    };
    let go = part(group.would_go, "go that stay now");
    let dry = (group.in_dry_run.count > 0).then(|| {
        if group.in_dry_run == group.would_go {
            "but only once their policy is enforced".to_owned()
        } else {
            format!(
                "{} of them only once their policy is enforced",
                number(group.in_dry_run.count)
            )
        }
    });
    let stay = part(group.would_stay, "stay that go now");
    [go, dry, stay].into_iter().flatten().collect::<Vec<_>>().join(", ")
}

fn draw_changes(out: &mut dyn Write, theme: &Theme, group: &Group) -> io::Result<()> {
    let wide = theme.width.is_none();
    let mut columns = vec![Column::wrapping("INSTANCE", 15), Column::wrapping("BACKUP", 16)];
    columns.extend(wide.then_some(Column::left("ID")));
    columns.extend([
        Column::right("SIZE").or_none(),
        Column::left("BEGIN").or_none(),
        Column::left("CHANGE"),
        Column::wrapping("NOW", 8),
        Column::wrapping("THEN", 8),
    ]);
    let mut grid = Grid::new(columns, 2);
    let cells = |change: &Changed| -> Vec<Cell<'static>> {
        let Changed {
            instance,
            backup,
            now,
            then,
        } = change;
        let mut cells: Vec<Cell<'static>> = vec![
            clean(&instance.name).into_owned().into(),
            clean(&backup.name).into_owned().into(),
        ];
        if wide {
            cells.push(Cell::styled(clean(backup.id.as_str()).into_owned(), DIM));
        }
        let (word, colour) = if change.goes() {
            ("goes", AnsiColor::Red)
        } else {
            ("stays", AnsiColor::Green)
        };
        cells.extend([
            size(backup.size_bytes).into(),
            backup
                .begin
                .map_or_else(|| "?".to_owned(), |begin| day(begin, Zone::UTC))
                .into(),
            Cell::styled(word, colour.on_default()),
            why(now, then).into(),
            why(then, now).into(),
        ]);
        cells
    };
    group.changes.iter().for_each(|change| grid.measure(&cells(change)));
    grid.fit(theme.width);
    grid.header(out, theme)?;
    group
        .changes
        .iter()
        .try_for_each(|change| grid.row(out, theme, &cells(change)))
}
