//! One backup: what the last runs decided of it, and every deletion of it that was asked for, with what justified it.

use maud::{Markup, html};

use super::deletions::rule;
use super::html::{clip, instant, time, why};
use super::instances::{address, parts};
use super::layout::{LONGEST_NAME, section};
use super::timeline::{self, MarkKind};
use crate::ledger::PastDeletion;
use crate::operations::answer::became;
use crate::retention::report::{Action, BackupRow};
use crate::retention::{BackupId, Outcome, PolicyName, Zone};
use crate::status::Status;
use crate::wording::numbers::{count, size};
use crate::wording::remedies::shell_word;

/// A longer answer of the API is cut.
const LONGEST_ANSWER: usize = 400;
/// Requests that are shown, the last ones.
const MOST_REQUESTS: usize = 20;

pub(super) fn draw(status: &Status, id: &BackupId, past: &[PastDeletion], zone: Zone) -> Markup {
    let rows: Vec<(&PolicyName, &BackupRow)> = parts(status)
        .flat_map(|part| {
            let own = part.rows.iter().filter(|row| row.backup.id == *id);
            own.map(|row| (&part.policy, row))
        })
        .collect();
    let name = rows.first().map(|(_, row)| &*row.backup.name);
    let name = name.or(past.last().map(|past| past.backup_name.as_str()));
    let content = html! {
        p { code { (clip(id.as_str(), LONGEST_NAME)) } }
        @if name.is_none() {
            p { "The last runs did not list it, and no deletion of it was ever asked for; or the fleet is too large to keep every decision in memory." }
        }
        @if let Some((_, row)) = rows.first() { (facts(status, row, zone)) }
        @for (policy, row) in &rows { (decision(policy, row, zone)) }
        @for past in past.iter().rev().take(MOST_REQUESTS) { (request(past, zone)) }
        p.d { "What would change that, and what it was decided on:" }
        pre { (status.program()) " why " (shell_word(clip(id.as_str(), LONGEST_NAME))) }
    };
    section(
        "why",
        name.map_or("Not known", |name| clip(name, LONGEST_NAME)),
        &content,
    )
}

fn fact(name: &str, value: &Markup) -> Markup {
    html! { div { dt { (name) } dd { (value) } } }
}

fn facts(status: &Status, row: &BackupRow, zone: Zone) -> Markup {
    let (instance, backup) = (&row.instance, &row.backup);
    html! {
        dl.facts {
            (fact("Instance", &html! {
                a href=(address(&instance.id)) { bdi { (clip(&instance.name, LONGEST_NAME)) } } ", project " (instance.project.as_str())
            }))
            (fact("Begun", &html! { @match backup.begin { Some(at) => (time(at, status.at, zone)), None => "at a time that cannot be read" } }))
            (fact("Size", &html! { (size(backup.size_bytes)) }))
            (fact("Status", &html! { (backup.status.as_str()) }))
        }
    }
}

fn decision(policy: &PolicyName, row: &BackupRow, zone: Zone) -> Markup {
    let word = row.fate.as_deref().map_or(MarkKind::of(row).word(), timeline::outcome);
    let until = match &row.action {
        Action::Keep(_) => row.expires_at,
        Action::Wait { .. } | Action::Delete(_) => None,
    };
    html! {
        article.card.one {
            h3 { "Policy " (policy.as_str()) ": " (word) }
            p { (why(&row.action, true, zone)) }
            @if let Some(until) = until { p.d { "Expires at " (instant(until, zone)) " if nothing else changes." } }
        }
    }
}

fn request(past: &PastDeletion, zone: Zone) -> Markup {
    let answer = |outcome: &Outcome| match outcome {
        Outcome::Accepted => "accepted".to_owned(),
        Outcome::Rejected { code, message } => format!("rejected: {code} {message}"),
        Outcome::Unanswered { why } => format!("unanswered: {why}"),
    };
    html! {
        article.card.one {
            h3 { (became(past.state)) }
            dl.facts {
                (fact("Instance", &html! {
                    bdi { (clip(&past.instance_name, LONGEST_NAME)) } ", " code { (past.instance_id.as_str()) } ", project " (past.project.as_str())
                }))
                (fact("Backup", &html! {
                    "begun " (instant(past.begin_time, zone)) ", " (size(past.size_bytes)) ", " (past.status)
                }))
                (fact("By policy", &html! { (past.policy.as_str()) ": " (rule(past)) }))
                (fact("Requested", &html! { (instant(past.sent_at, zone)) ", run " code { (past.run) } ", attempt " (past.attempt) }))
                @if let Some(at) = past.answered_at {
                    (fact("Answered", &html! {
                        (instant(at, zone)) ", "
                        (clip(&past.outcome.as_ref().map_or_else(|| "no word of this backup".to_owned(), answer), LONGEST_ANSWER))
                        @if let Some(request) = &past.request_id { ", API request " code { (clip(request, LONGEST_NAME)) } }
                    }))
                }
                @if let Some(at) = past.settled_at { (fact("Seen by a listing", &instant(at, zone))) }
                (fact("On the listing of", &html! { (instant(past.listing.read_at, zone)) ", with " (count(past.listing.count, "manual backup")) }))
                (fact("Record", &html! { "ledger row " (past.request.to_string()) ", configuration " code { (clip(&past.config_sha256, 12)) } }))
            }
        }
    }
}
