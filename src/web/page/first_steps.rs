//! What to type while there is nothing to see.

use maud::{Markup, html};

use super::layout::section;
use crate::status::Status;
use crate::wording::times::distance;

pub(super) fn draw(status: &Status) -> Markup {
    if status.policies.iter().any(|policy| policy.last_run.is_some()) {
        return Markup::default();
    }
    let program = status.program();
    let next = status.policies.iter().filter_map(|policy| policy.next_run).min();
    let steps = [
        (
            "check --online",
            "reaches every project with its credentials, and says what may be done there",
        ),
        ("plan", "every backup with its decision and the reason; deletes nothing"),
        ("forecast", "what goes on which day"),
        (
            "apply",
            "runs the policies now instead of waiting for the schedule; those with mode: enforce delete",
        ),
    ];
    let content = html! {
        p {
            @match next {
                Some(at) => { "The first run is due " (distance(at, status.at)) ". Until then:" }
                None => "No policy has a schedule. By hand:"
            }
        }
        dl.steps { @for (command, what) in steps { dt { code { (program) " " (command) } } dd { (what) } } }
    };
    section("first", "First steps", &content)
}
