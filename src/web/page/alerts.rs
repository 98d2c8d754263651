//! What needs an operator, as cards.

use maud::{Markup, html};

use super::html::clip;
use super::layout::{MAX_ENTRIES, section};
use crate::status::Alert;
use crate::wording::remedies::Remedy;

/// A message may hold what a server said; more of it is in the log.
const LONGEST_MESSAGE: usize = 600;
/// Messages on one card.
const MOST_LINES: usize = 8;

pub(super) fn draw(alerts: &[Alert]) -> Markup {
    if alerts.is_empty() {
        return Markup::default();
    }
    let cards = html! {
        ul.look {
            @for alert in alerts.iter().take(MAX_ENTRIES) { (draw_one(alert)) }
            @if alerts.len() > MAX_ENTRIES {
                li.card {
                    "and " (alerts.len() - MAX_ENTRIES) " more; " a href="/api/v1/status" { "the JSON" } " and the log have them all"
                }
            }
        }
    };
    section("look", "Needs a look", &cards)
}

fn draw_one(alert: &Alert) -> Markup {
    html! {
        li.card {
            h3 { (alert.title) }
            @for line in alert.lines.iter().take(MOST_LINES) { p { (clip(line, LONGEST_MESSAGE)) } }
            @if alert.lines.len() > MOST_LINES { p.d { "and " (alert.lines.len() - MOST_LINES) " more" } }
            @match &alert.remedy {
                Some(Remedy::Command(command)) => { pre { (command) } }
                Some(Remedy::Words(words)) => { p { "To let it pass: " (words) "." } }
                None => {}
            }
        }
    }
}
