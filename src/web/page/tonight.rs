//! What the next runs delete, by the same simulation as `forecast`.

use chrono::TimeDelta;
use maud::{Markup, html};

use super::html::{encoded, instant};
use super::layout::{MAX_ENTRIES, money, row, section, table};
use crate::operations::next_runs::NextRun;
use crate::retention::Zone;
use crate::retention::report::Tally;
use crate::status::{PolicyStatus, Status};
use crate::wording::numbers::{count, number, size};
use crate::wording::times::{day, distance};

/// The last one only where something is in the way.
const COLUMNS: [(&str, bool); 6] = [
    ("Policy", false),
    ("Runs", false),
    ("Deletes", true),
    ("Frees", true),
    ("Oldest that stays", false),
    ("In the way", false),
];

/// Runs within this long are tonight's.
const TONIGHT: TimeDelta = TimeDelta::hours(24);

/// `next` is `None` where the last listings are not in memory.
pub(super) fn draw(status: &Status, next: Option<&[NextRun]>, zone: Zone) -> Markup {
    if status.policies.iter().all(|policy| policy.next_run.is_none()) {
        return Markup::default();
    }
    let content = match next {
        None | Some([]) => html! {
            p.d { "Known after the next run of each policy. Now: " code { (status.program()) " forecast" } }
        },
        Some(next) => draw_runs(status, next, zone),
    };
    let is_tonight = |at| at - status.at <= TONIGHT;
    let times = next.unwrap_or_default().iter().map(|run| run.at);
    let title = if next.is_some_and(|next| !next.is_empty()) && times.clone().all(is_tonight) {
        "Tonight"
    } else {
        "Next runs"
    };
    section("tonight", title, &content)
}

fn draw_runs(status: &Status, next: &[NextRun], zone: Zone) -> Markup {
    let policy_of = |run: &NextRun| status.policies.iter().find(|policy| policy.policy == run.policy);
    let acts = |run: &&NextRun| policy_of(run).is_some_and(|policy| obstacle(policy, status).is_none());
    let goes = next
        .iter()
        .filter(acts)
        .fold(Tally::default(), |sum, run| sum.and(run.goes));
    let is_clear = next.iter().all(|run| acts(&run));
    let columns = if is_clear { &COLUMNS[..5] } else { &COLUMNS };
    let rows = html! {
        @for run in next.iter().take(MAX_ENTRIES) { (row(columns, &cells(status, run, policy_of(run), zone))) }
    };
    html! {
        p {
            @if goes.count == 0 { "Nothing will be deleted by the next runs." } @else {
                strong { (count(goes.count, "backup")) ", " (size(goes.bytes)) }
                @if let Some(cost) = money(status, goes.bytes) { " (" (cost) " a month)" }
                " will be deleted, unless the guard refuses or a hold, freeze or edit keeps them."
            }
        }
        div.card.s { (table("Next runs", columns, &rows)) }
    }
}

/// Why the next run deletes nothing, whatever is due.
fn obstacle(policy: &PolicyStatus, status: &Status) -> Option<&'static str> {
    let waits = |policy: &PolicyStatus| {
        let last = policy.last_run.as_ref();
        last.and_then(|run| run.refusal.as_ref())
            .is_some_and(|refusal| refusal.waits)
    };
    if policy.mode == "dry-run" {
        Some("a dry run")
    } else if status.freeze.is_some() {
        Some("frozen")
    } else if waits(policy) {
        Some("was refused and waits for approval")
    } else {
        None
    }
}

fn cells(status: &Status, run: &NextRun, policy: Option<&PolicyStatus>, zone: Zone) -> [Markup; 6] {
    let zone_of = policy.map_or(zone, |policy| policy.zone);
    let cost = money(status, run.goes.bytes).filter(|_| run.goes.bytes > 0);
    [
        html! { a href={ "/policy/" (encoded(run.policy.as_str())) } { (run.policy.as_str()) } },
        html! { (distance(run.at, status.at)) " " span.d { (instant(run.at, zone_of)) " " (zone_of.name()) } },
        html! { (number(run.goes.count)) },
        html! { (size(run.goes.bytes)) @if let Some(cost) = cost { br; span.d { (cost) " a month" } } },
        html! { (run.oldest_stays.map_or_else(|| "-".to_owned(), |at| day(at, zone_of))) },
        html! { (policy.and_then(|policy| obstacle(policy, status)).unwrap_or("-")) },
    ]
}
