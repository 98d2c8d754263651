//! A policy's decisions, a line an instance: for reports with too many backups to look at each.

use std::collections::HashMap;
use std::io::{self, Write};

use anstyle::AnsiColor;

use super::table::{Cell, Column, Grid};
use super::theme::{DIM, Theme};
use crate::retention::report::{InstanceSummary, PolicyReport, Tally};
use crate::retention::{InstanceId, InstanceLife};
use crate::wording::Natural;
use crate::wording::numbers::{number, size};
use crate::wording::sanitize::clean;
use crate::wording::times::day;

/// Draws the instances of a policy by name.
pub(super) fn draw(out: &mut dyn Write, policy: &PolicyReport, theme: &Theme) -> io::Result<()> {
    let mut instances: Vec<&InstanceSummary> = policy.instances.iter().collect();
    instances.sort_by_key(|of| (Natural(&of.instance.name), &of.instance.project, &of.instance.id));
    let held_back = held_back(policy);
    let columns = vec![
        Column::wrapping("INSTANCE", 12),
        Column::right("KEEP"),
        Column::right("WAIT"),
        Column::right("DELETE"),
        Column::right("FREED"),
        Column::right("FREED LATER"),
        Column::left("OLDEST THAT STAYS"),
        Column::wrapping("GUARD", 12),
        Column::left("PROJECT").or_none(),
        Column::left("ID").if_space(),
    ];
    let mut grid = Grid::new(columns, 2);
    let rows: Vec<Vec<Cell<'_>>> = instances.iter().map(|of| cells(of, policy, &held_back)).collect();
    for row in &rows {
        grid.measure(row);
    }
    grid.fit(theme.width);
    grid.header(out, theme)?;
    rows.iter().try_for_each(|row| grid.row(out, theme, row))
}

/// Which instances the guard leaves alone, or would if the policy were enforced, by which limit.
fn held_back(policy: &PolicyReport) -> HashMap<&InstanceId, &'static str> {
    let enforced = policy.when_enforced.iter().flatten();
    let all = policy.refusals.iter().chain(enforced);
    all.filter_map(|refusal| Some((refusal.instance()?, refusal.limit())))
        .collect()
}

fn cells<'a>(
    of: &'a InstanceSummary,
    policy: &PolicyReport,
    held_back: &HashMap<&InstanceId, &'static str>,
) -> Vec<Cell<'a>> {
    let InstanceSummary {
        instance,
        summary,
        oldest_kept,
    } = of;
    let name = match instance.life {
        InstanceLife::Listed => clean(&instance.name),
        InstanceLife::Deleted { .. } => format!("{} (deleted)", clean(&instance.name)).into(),
    };
    let painted = |tally: Tally, colour: AnsiColor| match tally.count {
        0 => Cell::styled("0", DIM),
        count => Cell::styled(number(count), colour.on_default()),
    };
    let bytes = |tally: Tally| match tally.bytes {
        0 => Cell::from("-"),
        bytes => Cell::from(size(bytes)),
    };
    vec![
        name.into(),
        painted(summary.keep, AnsiColor::Green),
        painted(summary.wait, AnsiColor::Yellow),
        painted(summary.delete, AnsiColor::Red),
        bytes(summary.delete),
        bytes(summary.wait),
        oldest_kept
            .map_or_else(|| "none".to_owned(), |at| day(at, policy.zone))
            .into(),
        Cell::styled(
            held_back.get(&instance.id).copied().unwrap_or("-"),
            AnsiColor::Yellow.on_default(),
        ),
        clean(instance.project.as_str()).into(),
        Cell::styled(clean(instance.id.as_str()), DIM),
    ]
}
