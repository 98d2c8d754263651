//! Holds, those that end soonest first.

use std::fmt::Write as _;

use chrono::{DateTime, TimeDelta, Utc};

use super::layout::{END_OF_TABLE, MAX_ENTRIES, program, table};
use super::words::{clip, counted, distance, text, time};
use crate::retention::{Hold, HoldTarget};
use crate::status::Status;

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
                until.format("%Y-%m-%d %H:%M")
            ),
            Some(until) => time(until, status.at),
        };
        let _ = write!(
            out,
            "<tr><th scope=\"row\">{}<td>{}<td>{}<td>{until}<td>{}",
            what(&hold.target),
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
            counted(holds.len() - MAX_ENTRIES, "hold"),
            text(&program(status))
        );
    }
}

fn what(target: &HoldTarget) -> String {
    match target {
        HoldTarget::Backup(id) => format!("backup {}", text(id.as_str())),
        HoldTarget::Matching { instance, name } => {
            let name = name.as_ref().map(|name| format!("named {}", text(name.as_str())));
            // Said of all of them, it says nothing.
            let instance = instance
                .as_ref()
                .filter(|id| id.as_str() != "*" || name.is_none())
                .map(|id| format!("of instances {}", text(id.as_str())));
            let parts: Vec<String> = name.into_iter().chain(instance).collect();
            format!("backups {}", parts.join(" "))
        }
    }
}
