//! What needs an operator, as cards.

use std::fmt::Write as _;

use super::html::{clip, text};
use super::layout::MAX_ENTRIES;
use crate::status::Alert;
use crate::wording::remedies::Remedy;

/// A message may hold what a server said; more of it is in the log.
const LONGEST_MESSAGE: usize = 600;
/// Messages on one card.
const MOST_LINES: usize = 8;

pub(super) fn draw(out: &mut String, alerts: &[Alert]) {
    if alerts.is_empty() {
        return;
    }
    out.push_str("<section aria-labelledby=\"look\"><h2 id=\"look\">Needs a look</h2><ul class=\"look\">");
    for alert in alerts.iter().take(MAX_ENTRIES) {
        draw_one(out, alert);
    }
    if alerts.len() > MAX_ENTRIES {
        let _ = write!(
            out,
            "<li class=\"card\">and {} more; <a href=\"/api/v1/status\">the JSON</a> and the log have them all</li>",
            alerts.len() - MAX_ENTRIES
        );
    }
    out.push_str("</ul></section>");
}

fn draw_one(out: &mut String, alert: &Alert) {
    let _ = write!(out, "<li class=\"card\"><h3>{}</h3>", text(&alert.title));
    for line in alert.lines.iter().take(MOST_LINES) {
        let _ = write!(out, "<p>{}</p>", text(clip(line, LONGEST_MESSAGE)));
    }
    if alert.lines.len() > MOST_LINES {
        let _ = write!(out, "<p class=\"d\">and {} more</p>", alert.lines.len() - MOST_LINES);
    }
    let _ = match &alert.remedy {
        Some(Remedy::Command(command)) => write!(out, "<pre>{}</pre>", text(command)),
        Some(Remedy::Words(words)) => write!(out, "<p>To let it pass: {}.</p>", text(words)),
        None => Ok(()),
    };
    out.push_str("</li>");
}
