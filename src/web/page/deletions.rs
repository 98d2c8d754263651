//! The last deletions, each with a link to what justified it.

use maud::{Markup, html};

use super::html::{clip, encoded, instant};
use super::layout::{LONGEST_NAME, row, table};
use crate::ledger::PastDeletion;
use crate::operations::answer::became;
use crate::retention::{ExpireReason, Zone};
use crate::status::Status;
use crate::wording::numbers::size;
use crate::wording::reasons::expired;

/// Deletions that are not folded.
const SHOWN: usize = 6;

const COLUMNS: [(&str, bool); 6] = [
    ("Backup", false),
    ("Instance", false),
    ("Requested", false),
    ("Size", true),
    ("By", false),
    ("Outcome", false),
];

pub(super) fn draw(status: &Status, zone: Zone) -> Markup {
    let deletions = &status.recent.deletions;
    if deletions.is_empty() {
        return html! { p.d { "Nothing was deleted yet." } };
    }
    let rows = |part: &[PastDeletion]| html! { @for past in part { (draw_one(past, zone)) } };
    let (first, more) = deletions.split_at(deletions.len().min(SHOWN));
    html! {
        div.card.s {
            (table("The last deletions", &COLUMNS, &rows(first)))
            @if !more.is_empty() {
                details.more {
                    summary { (more.len()) " more" }
                    (table("Deletions before", &COLUMNS, &rows(more)))
                }
            }
        }
        p { a href="/history" { "All runs" } }
    }
}

/// Why a policy let it go.
pub(super) fn rule(past: &PastDeletion) -> String {
    let known = ExpireReason::from_key(&past.rule);
    known.map_or_else(|| past.rule.clone(), |reason| expired(reason).to_owned())
}

fn draw_one(past: &PastDeletion, zone: Zone) -> Markup {
    let cells = [
        html! { a href={ "/why/" (encoded(past.backup.as_str())) } { bdi { (clip(&past.backup_name, LONGEST_NAME)) } } },
        html! { bdi { (clip(&past.instance_name, LONGEST_NAME)) } },
        instant(past.sent_at, zone),
        html! { (size(past.size_bytes)) },
        html! { (past.policy.as_str()) ": " (rule(past)) },
        html! { (became(past.state)) },
    ];
    row(&COLUMNS, &cells)
}
