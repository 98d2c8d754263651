//! One requested deletion of a backup: when, by which run and policy, on which listing, and what became of it.

use std::io::{self, Write};

use anstyle::AnsiColor;

use super::labelled::{Lines, headline};
use super::theme::Theme;
use crate::ledger::{DeletionState, PastDeletion};
use crate::operations::answer;
use crate::retention::{ExpireReason, Outcome, Zone};
use crate::wording::numbers::{count, size};
use crate::wording::reasons::expired;
use crate::wording::sanitize::clean;
use crate::wording::times::zoned;

/// What became of a deletion, in few words.
pub(super) fn became(state: DeletionState) -> (&'static str, AnsiColor) {
    let colour = match state {
        DeletionState::Confirmed => AnsiColor::Red,
        _ => AnsiColor::Yellow,
    };
    (answer::became(state), colour)
}

pub(super) fn draw_past(
    out: &mut dyn Write,
    past: &PastDeletion,
    present: bool,
    zone: Zone,
    theme: &Theme,
) -> io::Result<()> {
    let (word, colour) = became(past.state);
    if present {
        writeln!(out, "{}", theme.paint(colour.on_default().bold(), word))?;
    } else {
        headline(out, theme, &past.backup_name, past.backup.as_str(), word, colour)?;
    }
    let mut lines = Lines { out, theme };
    if !present {
        lines.say(
            "instance",
            &format!(
                "{} ({}, project {})",
                clean(&past.instance_name),
                clean(past.instance_id.as_str()),
                clean(past.project.as_str())
            ),
        )?;
        lines.say(
            "backup",
            &format!(
                "begun {}, {}, {}",
                zoned(past.begin_time, zone),
                size(past.size_bytes),
                clean(&past.status)
            ),
        )?;
    }
    draw_request(&mut lines, past, zone)?;
    let rule = ExpireReason::from_key(&past.rule)
        .map_or_else(|| clean(&past.rule).into_owned(), |reason| expired(reason).to_owned());
    lines.say("by policy", &format!("{}: {rule}", clean(past.policy.as_str())))?;
    lines.say(
        "on listing",
        &format!(
            "of {} read at {}, with {}",
            clean(&past.instance_name),
            zoned(past.listing.read_at, zone),
            count(past.listing.count, "manual backup")
        ),
    )?;
    lines.say(
        "record",
        &format!(
            "ledger row {}, configuration {}",
            past.request,
            clean(&past.config_sha256)
        ),
    )
}

/// When it was asked for, what was answered, and what a listing said later.
fn draw_request(lines: &mut Lines<'_>, past: &PastDeletion, zone: Zone) -> io::Result<()> {
    lines.say(
        if past.was_sent() { "asked for" } else { "planned" },
        &format!(
            "{} in run {}, attempt {}",
            zoned(past.sent_at, zone),
            clean(&past.run),
            past.attempt
        ),
    )?;
    if let Some(at) = past.answered_at {
        let answer = match &past.outcome {
            Some(Outcome::Accepted) => "accepted".to_owned(),
            Some(Outcome::Rejected { code, message }) => format!("rejected: {} {}", clean(code), clean(message)),
            Some(Outcome::Unanswered { why }) => format!("unanswered: {}", clean(why)),
            None => "no word of this backup".to_owned(),
        };
        let request = past
            .request_id
            .as_ref()
            .map_or_else(String::new, |id| format!(" (API request {})", clean(id)));
        lines.say("answered", &format!("{} {answer}{request}", zoned(at, zone)))?;
    }
    match (past.settled_at, past.state) {
        (Some(at), DeletionState::Confirmed) => {
            lines.say("gone", &format!("{}, confirmed by a listing", zoned(at, zone)))?;
        }
        (Some(at), _) => lines.say("returned", &format!("{}, still listed", zoned(at, zone)))?,
        (None, _) => {}
    }
    Ok(())
}
