//! Storage day by day: kept upwards, freed downwards, on one scale; the numbers in a table behind the picture.

use std::fmt::Write as _;

use super::layout::{END_OF_TABLE, table};
use crate::status::StorageDay;
use crate::wording::numbers::size;

/// At most this many days: more would be too thin to point at.
const MOST_DAYS: usize = 60;
/// The picture's height, and the part of it above the line, in its own units.
const HEIGHT: u128 = 150;
const ABOVE: u128 = 100;

pub(super) fn draw(out: &mut String, days: &[StorageDay]) {
    let days = &days[days.len().saturating_sub(MOST_DAYS)..];
    let kept = days.iter().map(|day| day.kept_bytes).max().unwrap_or(0);
    let freed = days.iter().map(|day| day.freed_bytes).max().unwrap_or(0);
    let (Some(first), Some(last), true) = (days.first(), days.last(), kept.max(freed) > 0) else {
        out.push_str("<p class=\"d\">Nothing is known yet: the first run shows what is kept.</p>");
        return;
    };
    // Twice as much space above as below; both sides by the one scale that fits the two.
    let scale = u128::from(kept)
        .max(u128::from(freed) * ABOVE / (HEIGHT - ABOVE))
        .max(1);
    let height = |bytes: u64| (u128::from(bytes) * (ABOVE - 4)).div_ceil(scale);
    let _ = write!(
        out,
        "<figure class=\"card fig\"><figcaption><span>Up: what is there after the day's last runs, also what waits, or is refused or frozen. Down: freed that day.</span>\
         <span class=\"key\"><span>{} kept</span><span>{} freed</span></span></figcaption>\
         <div class=\"plot\"><span class=\"y\">{}</span><svg class=\"days\" role=\"img\" viewBox=\"0 0 1000 {HEIGHT}\" preserveAspectRatio=\"none\" aria-label=\"Storage by day from {} to {}\">\
         <path class=\"a\" d=\"M0 4H1000M0 {ABOVE}H1000\"/>",
        swatch("k"),
        swatch("g"),
        size(kept),
        first.day,
        last.day
    );
    bars(out, days, height);
    let _ = write!(
        out,
        "</svg><p class=\"ends\"><span>{}</span><span>{}</span></p></div>",
        first.day,
        if days.len() > 1 {
            last.day.to_string()
        } else {
            String::new()
        }
    );
    behind(out, days);
    out.push_str("</figure>");
}

/// A bar a day, to both sides of the line; pointing anywhere above or below it tells its numbers.
fn bars(out: &mut String, days: &[StorageDay], height: impl Fn(u64) -> u128) {
    // A few days are not stretched over the whole width: a bar stays a bar.
    let step = 1000 / days.len().max(14);
    for (nth, day) in days.iter().enumerate() {
        let (up, down) = (height(day.kept_bytes), height(day.freed_bytes));
        let (x, width) = (nth * step, step * 4 / 5);
        let _ = write!(
            out,
            "<g><title>{}: {} kept, {} freed</title><rect class=\"k\" x=\"{x}\" y=\"{}\" width=\"{width}\" height=\"{up}\"/>",
            day.day,
            size(day.kept_bytes),
            size(day.freed_bytes),
            ABOVE - up
        );
        if down > 0 {
            let _ = write!(
                out,
                "<rect class=\"g\" x=\"{x}\" y=\"{}\" width=\"{width}\" height=\"{down}\"/>",
                ABOVE + 1
            );
        }
        let _ = write!(
            out,
            "<rect class=\"t\" x=\"{x}\" width=\"{step}\" height=\"{HEIGHT}\"/></g>"
        );
    }
}

/// The table behind the picture, folded.
fn behind(out: &mut String, days: &[StorageDay]) {
    let summary = if days.len() == 1 {
        "1 day".to_owned()
    } else {
        format!("{} days", days.len())
    };
    let _ = write!(out, "<details><summary>{summary} as a table</summary>");
    table(
        out,
        "",
        "Storage by day",
        &[
            ("Day (UTC)", false),
            ("Kept", true),
            ("Held back", true),
            ("Freed", true),
        ],
    );
    for day in days.iter().rev() {
        let _ = write!(
            out,
            "<tr><th scope=\"row\">{}<td class=\"n\">{}<td class=\"n\">{}<td class=\"n\">{}",
            day.day,
            size(day.kept_bytes),
            size(day.held_back_bytes),
            size(day.freed_bytes)
        );
    }
    out.push_str(END_OF_TABLE);
    out.push_str("</details>");
}

fn swatch(class: &str) -> String {
    format!(
        "<svg viewBox=\"0 0 16 16\" aria-hidden=\"true\"><rect class=\"{class}\" x=\"2\" y=\"2\" width=\"12\" height=\"12\" rx=\"2\"/></svg>"
    )
}
