//! The policies: when each runs, how its last run went, and what it keeps, lets wait and lets go.

use std::fmt::Write as _;

use super::html::text;
use super::layout::MAX_ENTRIES;
use super::timeline::{MarkKind, mark};
use crate::retention::Zone;
use crate::status::{Counts, LastRun, PolicyStatus, Status};
use crate::wording::numbers::{self, count, number, size};
use crate::wording::times::{distance, moment};

pub(super) fn draw(out: &mut String, status: &Status) {
    out.push_str("<ul class=\"pol\">");
    for policy in status.policies.iter().take(MAX_ENTRIES) {
        draw_one(out, policy, status);
    }
    out.push_str("</ul>");
    if status.policies.len() > MAX_ENTRIES {
        let _ = write!(
            out,
            "<p class=\"d\">and {} more: <a href=\"/api/v1/status\">the JSON</a> has them all</p>",
            count((status.policies.len() - MAX_ENTRIES) as u64, "policy")
        );
    }
    if let Some(unmanaged) = status.unmanaged.filter(|unmanaged| *unmanaged > 0) {
        let _ = write!(
            out,
            "<p class=\"d\">No policy selects {} of the instances; nothing of theirs is ever deleted.</p>",
            number(unmanaged)
        );
    }
}

fn draw_one(out: &mut String, policy: &PolicyStatus, status: &Status) {
    let schedule = policy.schedule.as_deref().map_or_else(
        || "no schedule".to_owned(),
        |schedule| format!("<code>{}</code>", text(schedule)),
    );
    let class = if policy.mode == "enforce" { "cold" } else { "flat" };
    let _ = write!(
        out,
        "<li class=\"card\"><div class=\"who\"><h3>{} <span class=\"chip {class}\">{}</span></h3><p class=\"d\">{schedule} {}</p></div><dl>",
        text(policy.policy.as_str()),
        policy.mode,
        text(policy.timezone),
    );
    let _ = write!(out, "<div><dt>Last run<dd>{}</div>", last_run(policy, status));
    let _ = write!(out, "<div><dt>Next run<dd>{}</div></dl>", next_run(policy, status));
    out.push_str("<div class=\"share\">");
    match policy.last_run.as_ref().and_then(|run| run.summary) {
        Some(counts) => share(out, policy.policy.as_str(), counts),
        None => out.push_str("<p class=\"d\">What it keeps is shown after its first run.</p>"),
    }
    if let Some(sent) = policy.last_run.as_ref().and_then(sent) {
        let _ = write!(out, "<p class=\"d\">{sent}</p>");
    }
    out.push_str("</div></li>");
}

fn last_run(policy: &PolicyStatus, status: &Status) -> String {
    let Some(run) = &policy.last_run else {
        return "none yet".to_owned();
    };
    let (class, result) = match (run.result.as_str(), &run.refusal) {
        ("success", None) => ("good", "success".to_owned()),
        ("failed", _) => ("bad", "failed".to_owned()),
        (_, Some(refusal)) => ("bad", format!("refused: {}", text(&refusal.limit))),
        (other, None) => ("warn", text(other)),
    };
    let mut said = format!(
        "<span class=\"chip {class}\">{result}</span> {}<br><time class=\"d\" datetime=\"{}\">{}</time>",
        distance(run.finished_at, status.at),
        run.finished_at.to_rfc3339_opts(chrono::SecondsFormat::Secs, true),
        moment(run.finished_at, Zone::UTC),
    );
    if let (true, Some(at)) = (run.result != "success", policy.last_success) {
        let _ = write!(
            said,
            "<br><span class=\"d\">last success {}</span>",
            distance(at, status.at)
        );
    }
    said
}

fn next_run(policy: &PolicyStatus, status: &Status) -> String {
    if let Some(since) = policy.running_since {
        return format!(
            "<span class=\"chip cold\">running</span> since {}",
            since.format("%H:%M:%S")
        );
    }
    match policy.next_run {
        _ if policy.waiting => "due, waits for its turn".to_owned(),
        None => "only by <code>apply</code>".to_owned(),
        Some(at) => format!(
            "{}<br><time class=\"d\" datetime=\"{}\">{}</time>",
            distance(at, status.at),
            at.to_rfc3339_opts(chrono::SecondsFormat::Secs, true),
            moment(at, Zone::UTC),
        ),
    }
}

/// A bar of storage by decision, with its numbers below.
fn share(out: &mut String, name: &str, counts: Counts) {
    let parts = [
        (MarkKind::Keep, counts.keep, counts.bytes.keep),
        (MarkKind::Wait, counts.wait, counts.bytes.wait),
        (MarkKind::Delete, counts.delete, counts.bytes.delete),
    ];
    let all = parts.iter().fold(0u64, |sum, (.., bytes)| sum.saturating_add(*bytes));
    let _ = write!(
        out,
        "<svg class=\"bar\" role=\"img\" viewBox=\"0 0 1000 12\" preserveAspectRatio=\"none\" aria-label=\"Storage of {} by decision\">",
        text(name)
    );
    let mut x = 0;
    for (kind, count, bytes) in parts {
        let width = u128::from(bytes) * 1000 / u128::from(all.max(1));
        if width > 0 {
            let _ = write!(
                out,
                "<rect class=\"{}\" x=\"{x}\" width=\"{}\" height=\"12\"><title>{}: {}, {}</title></rect>",
                kind.class(),
                // A gap, so that neighbours differ without their colours.
                width.saturating_sub(3).max(1),
                kind.word(),
                numbers::count(count, "backup"),
                size(bytes)
            );
        }
        x += width;
    }
    out.push_str("</svg><ul class=\"nums\">");
    for (kind, count, bytes) in parts {
        let _ = write!(
            out,
            "<li>{}<strong>{}</strong> {} <span class=\"d\">{}</span>",
            mark(kind),
            number(count),
            kind.word(),
            size(bytes)
        );
    }
    out.push_str("</ul>");
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
        parts.push(format!("codes {}", text(&codes.join(" "))));
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
