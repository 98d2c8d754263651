//! Storage: what each policy keeps and lets go as of its last run, and what was kept and freed day by day.

use std::fmt::Write as _;

use super::words::{size, text};
use super::{END_OF_TABLE, table};
use crate::daemon::{Counts, PolicyStatus, Status, StorageDay};

/// What each policy keeps and frees, as a bar and in numbers.
pub(super) fn draw(out: &mut String, status: &Status) {
    let known: Vec<(&PolicyStatus, Counts)> = status
        .policies
        .iter()
        .filter_map(|policy| Some((policy, policy.last_run.as_ref()?.summary?)))
        .collect();
    let all = |counts: &Counts| {
        counts
            .bytes
            .keep
            .saturating_add(counts.bytes.wait)
            .saturating_add(counts.bytes.delete)
    };
    let most = known.iter().map(|(_, counts)| all(counts)).max().unwrap_or(0);
    if most == 0 {
        out.push_str("<p>Nothing is known yet.</p>");
        return;
    }
    table(
        out,
        "Table of storage",
        &[
            ("Policy", false),
            ("Kept", true),
            ("Waiting", true),
            ("Due", true),
            ("Freed by the last run", true),
        ],
    );
    let mut bars = String::new();
    for (policy, counts) in &known {
        let freed = policy
            .last_run
            .iter()
            .flat_map(|run| run.sent.values())
            .map(|sent| sent.confirmed_bytes)
            .sum();
        let name = text(policy.policy.as_str());
        let _ = write!(
            out,
            "<tr><th scope=\"row\">{name}<td class=\"n\">{}<td class=\"n\">{}<td class=\"n\">{}<td class=\"n\">{}",
            size(counts.bytes.keep),
            size(counts.bytes.wait),
            size(counts.bytes.delete),
            size(freed)
        );
        let width = |bytes: u64| u128::from(bytes) * 1000 / u128::from(most);
        let (keep, wait) = (width(counts.bytes.keep), width(counts.bytes.wait));
        let _ = write!(
            bars,
            "<p>{name}<svg role=\"img\" viewBox=\"0 0 1000 34\" preserveAspectRatio=\"none\" aria-label=\"{name}: {} kept, {} waiting, {} due\">\
             <rect class=\"k\" x=\"0\" y=\"4\" width=\"{keep}\" height=\"24\"><title>kept: {}</title></rect>\
             <rect class=\"w\" x=\"{keep}\" y=\"8\" width=\"{wait}\" height=\"16\"><title>waiting: {}</title></rect>\
             <rect class=\"x\" x=\"{}\" y=\"12\" width=\"{}\" height=\"8\"><title>due: {}</title></rect></svg></p>",
            size(counts.bytes.keep),
            size(counts.bytes.wait),
            size(counts.bytes.delete),
            size(counts.bytes.keep),
            size(counts.bytes.wait),
            keep + wait,
            width(counts.bytes.delete),
            size(counts.bytes.delete),
        );
    }
    out.push_str(END_OF_TABLE);
    let _ = write!(out, "<p class=\"d\">Tall: kept. Lower: waiting. Lowest: due.</p>{bars}");
}

/// A bar a day: kept upwards, freed downwards, on one scale; the numbers in a table behind it.
pub(super) fn over_time(out: &mut String, days: &[StorageDay]) {
    const MOST_DAYS: usize = 60;
    let days = &days[days.len().saturating_sub(MOST_DAYS)..];
    let most = days
        .iter()
        .map(|day| day.kept_bytes.max(day.freed_bytes))
        .max()
        .unwrap_or(0);
    let (Some(first), Some(last), true) = (days.first(), days.last(), most > 0) else {
        return;
    };
    let height = |bytes: u64| u128::from(bytes) * 90 / u128::from(most);
    let step = 1000 / days.len();
    let _ = write!(
        out,
        "<h3>Day by day</h3><p class=\"d\">Up: kept. Down: freed. From {} to {}, UTC.</p>\
         <svg role=\"img\" viewBox=\"0 0 1000 184\" preserveAspectRatio=\"none\" aria-label=\"storage by day, {} to {}; the table has the numbers\">",
        first.day, last.day, first.day, last.day
    );
    for (nth, day) in days.iter().enumerate() {
        let (kept, freed) = (height(day.kept_bytes), height(day.freed_bytes));
        let (x, width) = (nth * step, (step * 4 / 5).clamp(1, 60));
        let title = format!(
            "{}: {} kept, {} freed",
            day.day,
            size(day.kept_bytes),
            size(day.freed_bytes)
        );
        let _ = write!(
            out,
            "<g><title>{title}</title><rect class=\"k\" x=\"{x}\" y=\"{}\" width=\"{width}\" height=\"{kept}\"></rect>\
             <rect class=\"x\" x=\"{x}\" y=\"94\" width=\"{width}\" height=\"{freed}\"></rect></g>",
            90 - kept
        );
    }
    let _ = write!(out, "</svg><details><summary>{} days as a table</summary>", days.len());
    table(
        out,
        "Storage by day",
        &[("Day (UTC)", false), ("Kept", true), ("Freed", true)],
    );
    for day in days.iter().rev() {
        let _ = write!(
            out,
            "<tr><th scope=\"row\">{}<td class=\"n\">{}<td class=\"n\">{}",
            day.day,
            size(day.kept_bytes),
            size(day.freed_bytes)
        );
    }
    out.push_str(END_OF_TABLE);
    out.push_str("</details>");
}
