//! Holds, those that end soonest first.

use chrono::{DateTime, TimeDelta, Utc};
use maud::{Markup, html};

use super::html::{clip, instant, time};
use super::layout::{MAX_ENTRIES, row, table};
use crate::retention::{Hold, Zone};
use crate::status::Status;
use crate::wording::numbers::count;
use crate::wording::reasons::target;
use crate::wording::times::distance;

/// A hold that ends within this many days is marked.
pub(super) const SOON_DAYS: i64 = 7;
/// A longer reason is cut.
pub(super) const LONGEST_REASON: usize = 200;
/// A notice repeats names and patterns, at whatever length.
const LONGEST_NOTICE: usize = 400;

const COLUMNS: [(&str, bool); 5] = [
    ("Holds", false),
    ("Reason", false),
    ("Owner", false),
    ("Until", false),
    ("Placed", false),
];

/// Whether it ends so soon that its owner may want to know.
pub(super) fn ends_soon(hold: &Hold, now: DateTime<Utc>) -> bool {
    hold.until
        .is_some_and(|until| until.signed_duration_since(now) <= TimeDelta::days(SOON_DAYS))
}

pub(super) fn draw(status: &Status, zone: Zone) -> Markup {
    html! {
        (draw_holds(status, zone))
        @if !status.notices.is_empty() {
            ul.d { @for notice in status.notices.iter().take(MAX_ENTRIES) { li { (clip(notice, LONGEST_NOTICE)) } } }
        }
    }
}

fn draw_holds(status: &Status, zone: Zone) -> Markup {
    if status.holds.is_empty() {
        return html! { p.d { "No holds; policies decide." } };
    }
    let mut holds: Vec<&Hold> = status.holds.iter().collect();
    holds.sort_by_key(|hold| (hold.until.is_none(), hold.until));
    let rows = html! { @for hold in holds.iter().take(MAX_ENTRIES) { (draw_one(hold, status.at, zone)) } };
    html! {
        div.card.s { (table("Holds, those that end soonest first", &COLUMNS, &rows)) }
        @if holds.len() > MAX_ENTRIES {
            p.d { "and " (count((holds.len() - MAX_ENTRIES) as u64, "hold")) " more: " code { (status.program()) " holds" } }
        }
    }
}

fn draw_one(hold: &Hold, now: DateTime<Utc>, zone: Zone) -> Markup {
    let until = match hold.until {
        None => html! { "released" },
        Some(until) if ends_soon(hold, now) => html! {
            span.chip.warn { "ends " (distance(until, now)) } " " (instant(until, zone))
        },
        Some(until) => time(until, now, zone),
    };
    let cells = [
        html! { (target(&hold.target)) },
        html! { (clip(&hold.reason, LONGEST_REASON)) },
        html! { (hold.owner.as_deref().map_or("-", |owner| clip(owner, LONGEST_REASON))) },
        until,
        html! {
            @match &hold.id { Some(id) => { "by command, " (id) } None => "in the configuration" }
        },
    ];
    row(&COLUMNS, &cells)
}
