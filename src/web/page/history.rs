//! Past runs, the latest first.

use maud::{Markup, html};

use super::html::{encoded, instant};
use super::layout::{MAX_ENTRIES, row, section, table};
use crate::operations::history::HistoryEntry;
use crate::retention::report::{RunResult, Tally};
use crate::retention::{Mode, PolicyName, Zone};
use crate::status::Status;
use crate::wording::numbers::{number, size};

/// Runs on the page; the command has them all.
pub const MOST_RUNS: u32 = 100;

/// The start of a run's id that says the millisecond in which it began; `history` finds it by that.
const MILLISECOND: usize = 13;

const COLUMNS: [(&str, bool); 8] = [
    ("Began", false),
    ("Policy", false),
    ("Result", false),
    ("Kept", true),
    ("Waited", true),
    ("Due", true),
    ("Sent", false),
    ("Run", false),
];

pub(super) fn draw(status: &Status, of: Option<&PolicyName>, runs: &[HistoryEntry], zone: Zone) -> Markup {
    let rows = html! { @for run in runs { (draw_one(run, zone)) } };
    let content = html! {
        p {
            @if of.is_some() { a href="/history" { "All policies" } } @else { "Of one policy:" }
            @for policy in status.policies.iter().take(MAX_ENTRIES).filter(|policy| Some(&policy.policy) != of) {
                " " a href={ "/history?policy=" (encoded(policy.policy.as_str())) } { (policy.policy.as_str()) }
            }
        }
        @if runs.is_empty() { p.d { "No run yet." } } @else { div.card.s { (table("Past runs, the latest first", &COLUMNS, &rows)) } }
        @if runs.len() >= MOST_RUNS as usize {
            p.d { "The last " (MOST_RUNS) " runs. All of them:" }
            pre { (status.program()) " history --limit 1000" }
        }
    };
    let title = of.map_or_else(|| "Runs".to_owned(), |policy| format!("Runs of policy {policy}"));
    section("runs", &title, &content)
}

fn draw_one(run: &HistoryEntry, zone: Zone) -> Markup {
    let (class, word) = match run.result {
        Some(result @ RunResult::Success) => ("good", result.as_str()),
        Some(result @ RunResult::Failed) => ("bad", result.as_str()),
        Some(result) => ("warn", result.as_str()),
        None if run.running => ("cold", "running"),
        None => ("bad", "not finished"),
    };
    let tally = |of: Option<Tally>| {
        html! { @match of { Some(of) => { (number(of.count)) br; span.d { (size(of.bytes)) } } None => "-" } }
    };
    let sent: Vec<String> = run
        .sent
        .iter()
        .map(|(word, count)| format!("{} {word}", number(*count)))
        .collect();
    let cells = [
        instant(run.at, zone),
        html! { (run.policy.as_str()) @if run.mode == Mode::DryRun { br; span.d { "dry-run" } } },
        html! { span class={ "chip " (class) } { (word) } @if let Some(message) = &run.message { br; span.d { (message) } } },
        tally(run.summary.map(|summary| summary.keep)),
        tally(run.summary.map(|summary| summary.wait)),
        tally(run.summary.map(|summary| summary.delete)),
        html! { @if sent.is_empty() { "-" } @else { (sent.join(", ")) } @if run.left > 0 { br; span.d { (number(run.left)) " left" } } },
        html! { code.d { (run.run_id.get(..MILLISECOND).unwrap_or(&run.run_id)) } },
    ];
    row(&COLUMNS, &cells)
}
