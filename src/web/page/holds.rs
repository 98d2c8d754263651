//! Holds, those that end soonest first.

use std::fmt::Write as _;

use chrono::{DateTime, TimeDelta, Utc};

use super::html::{clip, text, time};
use super::layout::{END_OF_TABLE, MAX_ENTRIES, table};
use crate::retention::{Hold, Zone};
use crate::status::Status;
use crate::wording::numbers::count;
use crate::wording::reasons::target;
use crate::wording::times::{distance, moment};

/// A hold that ends within this many days is marked.
pub(super) const SOON_DAYS: i64 = 7;
/// A longer reason is cut.
pub(super) const LONGEST_REASON: usize = 200;

/// A notice repeats names and patterns, at whatever length.
const LONGEST_NOTICE: usize = 400;

/// Whether it ends so soon that its owner may want to know.
pub(super) fn ends_soon(hold: &Hold, now: DateTime<Utc>) -> bool {
    hold.until
        .is_some_and(|until| until.signed_duration_since(now) <= TimeDelta::days(SOON_DAYS))
}

pub(super) fn draw(out: &mut String, status: &Status) {
    draw_holds(out, status);
    if status.notices.is_empty() {
        return;
    }
    out.push_str("<ul class=\"d\">");
    for notice in status.notices.iter().take(MAX_ENTRIES) {
        let _ = write!(out, "<li>{}</li>", text(clip(notice, LONGEST_NOTICE)));
    }
    out.push_str("</ul>");
}

fn draw_holds(out: &mut String, status: &Status) {
    if status.holds.is_empty() {
        out.push_str("<p class=\"d\">None: what happens to a backup is for the policies to say.</p>");
        return;
    }
    let columns = [
        ("Holds", false),
        ("Reason", false),
        ("Owner", false),
        ("Until", false),
        ("Placed", false),
    ];
    table(out, " card", "Holds, those that end soonest first", &columns);
    let mut holds: Vec<&Hold> = status.holds.iter().collect();
    holds.sort_by_key(|hold| (hold.until.is_none(), hold.until));
    for hold in holds.iter().take(MAX_ENTRIES) {
        let until = match hold.until {
            None => "released".to_owned(),
            Some(until) if ends_soon(hold, status.at) => format!(
                "<span class=\"chip warn\">ends {}</span> {}",
                distance(until, status.at),
                moment(until, Zone::UTC)
            ),
            Some(until) => time(until, status.at),
        };
        let _ = write!(
            out,
            "<tr><th scope=\"row\">{}<td>{}<td>{}<td>{until}<td>{}",
            text(&target(&hold.target)),
            text(clip(&hold.reason, LONGEST_REASON)),
            hold.owner
                .as_deref()
                .map_or_else(|| "-".to_owned(), |owner| text(clip(owner, LONGEST_REASON))),
            hold.id.as_deref().map_or_else(
                || "in the configuration".to_owned(),
                |id| format!("by command, {}", text(id))
            ),
        );
    }
    out.push_str(END_OF_TABLE);
    if holds.len() > MAX_ENTRIES {
        let _ = write!(
            out,
            "<p class=\"d\">and {} more: <code>{} holds</code></p>",
            count((holds.len() - MAX_ENTRIES) as u64, "hold"),
            text(&status.program())
        );
    }
}
