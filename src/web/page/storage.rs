//! Storage day by day: what is there upwards, with what is held back on top, freed downwards, on one scale; the numbers in a table behind
//! the picture.

use maud::{Markup, html};

use super::layout::{money, row, table};
use crate::status::{Status, StorageDay};
use crate::wording::numbers::size;

/// At most this many days: more would be too thin to point at.
const MOST_DAYS: usize = 60;
/// The picture's height, and the part of it above the line, in its own units.
const HEIGHT: u128 = 150;
const ABOVE: u128 = 100;

const COLUMNS: [(&str, bool); 4] = [
    ("Day (UTC)", false),
    ("There", true),
    ("Of it held back", true),
    ("Freed", true),
];

pub(super) fn draw(status: &Status) -> Markup {
    let days = &status.storage[status.storage.len().saturating_sub(MOST_DAYS)..];
    let kept = days.iter().map(|day| day.kept_bytes).max().unwrap_or(0);
    let freed = days.iter().map(|day| day.freed_bytes).max().unwrap_or(0);
    let (Some(first), Some(last), true) = (days.first(), days.last(), kept.max(freed) > 0) else {
        return html! { p.d { "Nothing is known yet: the first run shows what is kept." } };
    };
    // Twice as much space above as below; both sides by the one scale that fits the two.
    let scale = u128::from(kept)
        .max(u128::from(freed) * ABOVE / (HEIGHT - ABOVE))
        .max(1);
    let height = |bytes: u64| (u128::from(bytes) * (ABOVE - 4)).div_ceil(scale);
    html! {
        figure.card.fig {
            figcaption {
                span { "Up: what is there after the day's last runs. Down: freed that day." }
                span.key {
                    span { (swatch("k")) " kept or waiting" }
                    span { (swatch("x")) " expired, but refused or frozen" }
                    span { (swatch("g")) " freed" }
                }
            }
            div.plot {
                span.y { (size(kept)) @if let Some(cost) = money(status, kept) { br; (cost) } }
                svg.days role="img" viewBox={ "0 0 1000 " (HEIGHT) } preserveAspectRatio="none"
                    aria-label={ "Storage by day from " (first.day) " to " (last.day) } {
                    path class="a" d={ "M0 4H1000M0 " (ABOVE) "H1000" } {}
                    (bars(days, height))
                }
                p.ends { span { (first.day) } span { @if days.len() > 1 { (last.day) } } }
            }
            (behind(days))
        }
    }
}

/// A bar a day, to both sides of the line; pointing anywhere above or below it tells its numbers.
fn bars(days: &[StorageDay], height: impl Fn(u64) -> u128) -> Markup {
    // A few days are not stretched over the whole width: a bar stays a bar.
    let step = 1000 / days.len().max(14);
    let width = step * 4 / 5;
    let numbers = |day: &StorageDay| {
        let held_back = match day.held_back_bytes {
            0 => String::new(),
            bytes => format!(", {} of it held back", size(bytes)),
        };
        format!(
            "{}: {} there{held_back}, {} freed",
            day.day,
            size(day.kept_bytes),
            size(day.freed_bytes)
        )
    };
    html! {
        @for (nth, day) in days.iter().enumerate() {
            @let (up, down) = (height(day.kept_bytes), height(day.freed_bytes));
            @let held = height(day.held_back_bytes).min(up);
            @let x = nth * step;
            g {
                title { (numbers(day)) }
                rect class="k" x=(x) y=(ABOVE - (up - held)) width=(width) height=(up - held) {}
                @if held > 0 { rect class="x" x=(x) y=(ABOVE - up) width=(width) height=(held) {} }
                @if down > 0 { rect class="g" x=(x) y=(ABOVE + 1) width=(width) height=(down) {} }
                rect class="t" x=(x) width=(step) height=(HEIGHT) {}
            }
        }
    }
}

/// The table behind the picture, folded.
fn behind(days: &[StorageDay]) -> Markup {
    let cells = |day: &StorageDay| {
        [
            html! { (day.day) },
            html! { (size(day.kept_bytes)) },
            html! { (size(day.held_back_bytes)) },
            html! { (size(day.freed_bytes)) },
        ]
    };
    html! {
        details {
            summary { @if days.len() == 1 { "1 day" } @else { (days.len()) " days" } " as a table" }
            (table("Storage by day", &COLUMNS, &html! { @for day in days.iter().rev() { (row(&COLUMNS, &cells(day))) } }))
        }
    }
}

/// A colour of the legend.
pub(super) fn swatch(class: &str) -> Markup {
    html! {
        svg viewBox="0 0 16 16" aria-hidden="true" { rect class=(class) x="2" y="2" width="12" height="12" rx="2" {} }
    }
}
