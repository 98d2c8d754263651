//! The policies: when each runs, how its last runs went, and what it keeps, lets wait and lets go.

use maud::{Markup, html};

use super::html::{encoded, instant};
use super::layout::{MAX_ENTRIES, money};
use super::strip;
use super::timeline::{MarkKind, mark};
use crate::retention::report::{RunResult, Tally};
use crate::status::{KnownBackups, LastRun, PolicyStatus, Status};
use crate::wording::numbers::{self, count, number, size};
use crate::wording::times::distance;

/// With more policies than this, the runs of a strip share elements.
const EACH: usize = 6;

pub(super) fn draw(status: &Status) -> Markup {
    html! {
        ul.pol { @for policy in status.policies.iter().take(MAX_ENTRIES) { (draw_one(policy, status)) } }
        @if status.policies.len() > MAX_ENTRIES {
            p.d {
                "and " (count((status.policies.len() - MAX_ENTRIES) as u64, "policy")) " more: "
                a href="/api/v1/status" { "the JSON" } " has them all"
            }
        }
    }
}

fn draw_one(policy: &PolicyStatus, status: &Status) -> Markup {
    let name = encoded(policy.policy.as_str());
    let class = if policy.mode == "enforce" { "cold" } else { "flat" };
    let runs = status.recent.runs.get(&policy.policy).filter(|runs| !runs.is_empty());
    html! {
        li.card {
            div.who {
                h3 { a href={ "/policy/" (name) } { (policy.policy.as_str()) } " " span class={ "chip " (class) } { (policy.mode) } }
                p.d {
                    @match &policy.schedule { Some(schedule) => code { (schedule) }, None => "no schedule" }
                    " " (policy.zone.name())
                }
            }
            dl {
                div { dt { "Last run" } dd { (last_run(policy, status)) } }
                div { dt { "Next run" } dd { (next_run(policy, status)) } }
            }
            div.share {
                @match policy.last_run.as_ref().and_then(|run| run.known) {
                    Some(known) => (share(policy, known, status)),
                    None => { p.d { "What it keeps is shown after the first run that can read its instances." } }
                }
                @if let Some(sent) = policy.last_run.as_ref().and_then(sent) { p.d { (sent) } }
            }
            @if let Some(runs) = runs {
                div.runs {
                    (strip::draw(runs, status.policies.len() <= EACH, policy.zone))
                    p { a href={ "/history?policy=" (name) } { "All its runs" } }
                }
            }
        }
    }
}

fn last_run(policy: &PolicyStatus, status: &Status) -> Markup {
    let Some(run) = &policy.last_run else {
        return html! { "none yet" };
    };
    let (class, result) = match (run.result, &run.refusal) {
        (RunResult::Success, None) => ("good", "success".to_owned()),
        (RunResult::Failed, _) => ("bad", "failed".to_owned()),
        (_, Some(refusal)) => ("bad", run.refusal_in_words(refusal)),
        (other, None) => ("warn", other.as_str().to_owned()),
    };
    html! {
        span class={ "chip " (class) } { (result) } " " (distance(run.finished_at, status.at))
        br; span.d { (instant(run.finished_at, policy.zone)) }
        @if run.result != RunResult::Success {
            br;
            span.d {
                @match policy.last_success {
                    Some(at) => { "last success " (distance(at, status.at)) }
                    None => "no success yet"
                }
            }
        }
    }
}

fn next_run(policy: &PolicyStatus, status: &Status) -> Markup {
    if let Some(since) = policy.running_since {
        return html! { span.chip.cold { "running" } " since " (instant(since, policy.zone)) };
    }
    match policy.next_run {
        _ if policy.waiting => html! { "due, waits for its turn" },
        None => html! { "only by " code { "apply" } },
        Some(at) => html! { (distance(at, status.at)) br; span.d { (instant(at, policy.zone)) } },
    }
}

/// A bar of storage by decision, with its numbers below.
fn share(policy: &PolicyStatus, known: KnownBackups, status: &Status) -> Markup {
    let KnownBackups { counts, held_back, .. } = known;
    let parts = [
        (MarkKind::Keep, counts.keep, counts.bytes.keep),
        (MarkKind::Wait, counts.wait, counts.bytes.wait),
        (MarkKind::Delete, counts.delete, counts.bytes.delete),
    ];
    let all = parts.iter().fold(0u64, |sum, (.., bytes)| sum.saturating_add(*bytes));
    let mut rects = Vec::new();
    let mut x = 0;
    for (kind, count, bytes) in parts {
        let width = u128::from(bytes) * 1000 / u128::from(all.max(1));
        if width > 0 {
            // A gap, so that neighbours differ without their colours.
            rects.push((kind, x, width.saturating_sub(3).max(1), count, bytes));
        }
        x += width;
    }
    html! {
        svg.bar role="img" viewBox="0 0 1000 12" preserveAspectRatio="none"
            aria-label={ "Storage of " (policy.policy.as_str()) " by decision" } {
            @for (kind, x, width, count, bytes) in rects {
                rect class=(kind.class()) x=(x) width=(width) height="12" {
                    title { (kind.word()) ": " (numbers::count(count, "backup")) ", " (size(bytes)) }
                }
            }
        }
        ul.nums {
            @for (kind, count, bytes) in parts {
                li { (mark(kind)) strong { (number(count)) } " " (kind.word()) " " span.d { (size(bytes)) } }
            }
        }
        @if held_back.count > 0 { (held(held_back, status)) }
    }
}

fn held(held_back: Tally, status: &Status) -> Markup {
    html! {
        p {
            (count(held_back.count, "backup")) " (" (size(held_back.bytes))
            @if let Some(cost) = money(status, held_back.bytes) { ", " (cost) " a month" }
            ") expired, and the guard or a freeze holds them back."
        }
    }
}

/// What became of what the last run sent.
fn sent(run: &LastRun) -> Option<String> {
    let mut parts = Vec::new();
    for (key, word) in [
        ("confirmed", "deleted"),
        ("accepted", "accepted, not yet seen to be gone"),
        ("returned", "accepted, but still there"),
        ("rejected", "rejected"),
        ("unanswered", "unanswered"),
    ] {
        let count: u64 = run.sent.values().filter_map(|sent| sent.fates.get(key)).sum();
        if count > 0 {
            parts.push(format!("{} {word}", number(count)));
        }
    }
    let codes: Vec<&str> = run
        .sent
        .values()
        .flat_map(|sent| sent.codes.keys())
        .map(String::as_str)
        .collect();
    if !codes.is_empty() {
        parts.push(format!("codes {}", codes.join(" ")));
    }
    let freed = run
        .sent
        .values()
        .fold(0, |sum: u64, sent| sum.saturating_add(sent.confirmed_bytes));
    if freed > 0 {
        parts.push(format!("{} freed", size(freed)));
    }
    if run.left > 0 {
        parts.push(format!("{} left to the next run", number(run.left)));
    }
    (!parts.is_empty()).then(|| format!("Sent by the last run: {}.", parts.join(", ")))
}
