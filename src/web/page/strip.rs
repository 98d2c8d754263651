//! The last runs of a policy as a strip, the newest on the right.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use maud::{Markup, html};

use crate::ledger::RunMark;
use crate::retention::Zone;
use crate::retention::report::RunResult;
use crate::wording::numbers::count;
use crate::wording::times::moment;

/// The width of one mark.
const STEP: usize = 10;

/// How a result is drawn; not by colour alone: full, half, broken, low.
fn mark(result: Option<RunResult>) -> (&'static str, &'static str) {
    match result {
        Some(RunResult::Success) => ("rs", "2v16"),
        Some(RunResult::Partial | RunResult::Refused) => ("rw", "9v9"),
        Some(RunResult::Failed) => ("rf", "2v5m0 6v5"),
        Some(RunResult::Skipped) | None => ("rn", "15v3"),
    }
}

fn word(result: Option<RunResult>) -> &'static str {
    result.map_or("not finished", RunResult::as_str)
}

/// With `each`, every run is an element with its own title; else runs of one result share one.
pub(super) fn draw(runs: &[RunMark], each: bool, zone: Zone) -> Markup {
    let mut results: BTreeMap<&str, (u64, Option<RunResult>, String)> = BTreeMap::new();
    for (nth, run) in runs.iter().enumerate() {
        let (_, stroke) = mark(run.result);
        let (times, _, path) = results
            .entry(word(run.result))
            .or_insert((0, run.result, String::new()));
        *times += 1;
        let _ = write!(path, "M{} {stroke}", place(nth));
    }
    let words: Vec<String> = results
        .iter()
        .map(|(word, (times, ..))| format!("{times} {word}"))
        .collect();
    let words = format!("{}: {}", last_runs(runs.len()), words.join(", "));
    html! {
        svg.strip role="img" aria-label=(words) width=(runs.len() * STEP) viewBox={ "0 0 " (runs.len() * STEP) " 20" } {
            @if each {
                @for (nth, run) in runs.iter().enumerate() {
                    @let (class, stroke) = mark(run.result);
                    path class=(class) d={ "M" (place(nth)) " " (stroke) } {
                        title { (moment(run.started_at, zone)) ": " (word(run.result)) }
                    }
                }
            } @else {
                @for (word, (times, result, path)) in &results {
                    path class=(mark(*result).0) d=(path) { title { (times) " " (word) } }
                }
            }
        }
        p.d { (words) }
    }
}

fn place(nth: usize) -> usize {
    nth * STEP + STEP / 2
}

fn last_runs(runs: usize) -> String {
    if runs == 1 {
        "Last run".to_owned()
    } else {
        format!("Last {}", count(runs as u64, "run"))
    }
}
