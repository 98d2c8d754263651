//! One past run, and what people did. The list of runs is in `lists`.

use std::io::{self, Write};

use anstyle::{AnsiColor, Style};

use super::lists::{history as list_of_runs, write_list};
use super::past_deletion::became;
use super::table::{Cell, Column};
use super::theme::{BOLD, DIM, Theme};
use super::wrap::paragraph;
use crate::ledger::{OperatorAct, OperatorEvent, PastDeletion};
use crate::operations::past_run::PastRun;
use crate::retention::{ExpireReason, Zone};
use crate::wording::numbers::{count, size};
use crate::wording::reasons::{expired, target};
use crate::wording::sanitize::clean;
use crate::wording::times::{moment, until, zoned};

/// Draws one run: its policies, what the guard said, what was left alone, and each deletion with its evidence.
pub fn run(out: &mut dyn Write, run: &PastRun, zone: Zone, theme: &Theme) -> io::Result<()> {
    let Some(first) = run.runs.first() else {
        return writeln!(out, "The ledger has nothing of it.");
    };
    let (at, end) = (zoned(first.entry.at, zone), first.entry.finished_at);
    let end = end.map_or_else(String::new, |end| format!(", ended {}", zoned(end, zone)));
    let sha256 = first.config_sha256.get(..12).unwrap_or(&first.config_sha256);
    let title = format!(
        "Run {}, {} at {at}{end}",
        clean(&first.entry.run_id),
        clean(&first.cause)
    );
    paragraph(out, theme, 0, 2, BOLD, &title)?;
    paragraph(out, theme, 0, 2, DIM, &format!("configuration {}", clean(sha256)))?;
    writeln!(out)?;
    let entries: Vec<_> = run.runs.iter().map(|of| of.entry.clone()).collect();
    list_of_runs(out, &entries, zone, theme)?;
    for of in &run.runs {
        let policy = &of.entry.policy;
        let refused = of
            .refusals
            .iter()
            .map(|refusal| format!("{policy}: refused: {}", refusal.message));
        let skipped = of.skipped.iter().map(|skip| format!("{policy}: left alone: {skip}"));
        for text in refused.chain(skipped) {
            paragraph(out, theme, 0, 2, Style::new(), &clean(&text))?;
        }
    }
    if run.deletions.is_empty() {
        return Ok(());
    }
    writeln!(
        out,
        "\n{}",
        theme.paint(BOLD, &format!("Deletions, times in {}", zone.name()))
    )?;
    deletions(out, &run.deletions, zone, theme)
}

fn deletions(out: &mut dyn Write, deletions: &[PastDeletion], zone: Zone, theme: &Theme) -> io::Result<()> {
    let columns = vec![
        Column::wrapping("INSTANCE", 10),
        Column::wrapping("BACKUP", 12),
        Column::left("BEGIN").or_none(),
        Column::right("SIZE").or_none(),
        Column::wrapping("WHY", 12),
        Column::left("REQUESTED"),
        Column::wrapping("OUTCOME", 12),
        Column::left("LISTED").or_none(),
        Column::left("ID").if_space(),
    ];
    let is_of_one = deletions.iter().all(|past| past.policy == deletions[0].policy);
    let cells = |past: &PastDeletion| -> Vec<Cell<'static>> {
        let (word, colour) = became(past.state);
        let why = ExpireReason::from_key(&past.rule)
            .map_or_else(|| clean(&past.rule).into_owned(), |reason| expired(reason).to_owned());
        vec![
            clean(&past.instance_name).into_owned().into(),
            clean(&past.backup_name).into_owned().into(),
            moment(past.begin_time, zone).into(),
            size(past.size_bytes).into(),
            if is_of_one {
                why
            } else {
                format!("{}: {why}", clean(past.policy.as_str()))
            }
            .into(),
            moment(past.sent_at, zone).into(),
            Cell::styled(word, colour.on_default()),
            format!(
                "{}, {}",
                moment(past.listing.read_at, zone),
                count(past.listing.count, "backup")
            )
            .into(),
            Cell::styled(clean(past.backup.as_str()).into_owned(), DIM),
        ]
    };
    write_list(out, theme, 2, columns, deletions, cells)?;
    let text = format!(
        "{}. `why BACKUP_ID` shows the record of one.",
        count(deletions.len() as u64, "deletion")
    );
    writeln!(out)?;
    paragraph(out, theme, 0, 0, DIM, &text)
}

/// Draws what people did.
pub fn events(out: &mut dyn Write, events: &[OperatorEvent], zone: Zone, theme: &Theme) -> io::Result<()> {
    if events.is_empty() {
        return writeln!(out, "Nothing was held, frozen or approved by command yet.");
    }
    let columns = vec![
        Column::left(format!("AT ({})", zone.name())),
        Column::left("WHAT"),
        Column::wrapping("OF", 16),
        Column::wrapping("BY", 8),
        Column::wrapping("REASON", 14),
    ];
    let cells = |event: &OperatorEvent| -> Vec<Cell<'static>> {
        let (what, of) = act(&event.act, zone);
        vec![
            moment(event.at, zone).into(),
            Cell::styled(what, AnsiColor::Cyan.on_default()),
            of.into(),
            by(event).into(),
            event
                .reason
                .as_deref()
                .map_or_else(|| "-".to_owned(), |reason| clean(reason).into_owned())
                .into(),
        ]
    };
    write_list(out, theme, 0, columns, events, cells)
}

/// Who it was, where, and whom they claim to be where that differs.
pub(super) fn by(event: &OperatorEvent) -> String {
    let mut text = clean(&event.by).into_owned();
    let Some(person) = &event.person else { return text };
    if let Some(role) = &person.role {
        text.extend([" (role ", &clean(role), ")"]);
    }
    if let Some(host) = &person.host {
        text.extend([" on ", &clean(host)]);
    }
    let claims = person
        .claimed
        .as_deref()
        .filter(|claimed| !event.by.split(' ').any(|name| name == *claimed));
    if let Some(claimed) = claims {
        text.extend([", claims to be ", &clean(claimed)]);
    }
    text
}

/// What a person did, and to what.
pub(super) fn act(act: &OperatorAct, zone: Zone) -> (&'static str, String) {
    let end = |at: &Option<_>| at.map_or_else(String::new, |at| format!(", {}", until(at, zone)));
    match act {
        OperatorAct::Hold {
            id,
            target: of,
            until: at,
            owner,
            compliance,
        } => {
            let owner = owner
                .as_deref()
                .map_or_else(String::new, |owner| format!(" (for {})", clean(owner)));
            let what = if *compliance { "compliance hold" } else { "hold" };
            (what, format!("{id}: {}{}{owner}", target(of), end(at)))
        }
        OperatorAct::Release { id } => ("release", id.clone()),
        OperatorAct::Freeze { id, until: at } => ("freeze", format!("{id}{}", end(at))),
        OperatorAct::Thaw { id } => ("thaw", id.clone()),
        OperatorAct::Propose { id, until: at } => ("asked to end", format!("{id}, {}", until(*at, zone))),
        OperatorAct::Move { from, to } => ("move", format!("{from} to {to}")),
        OperatorAct::AcceptRewind { missing } => ("accept rewind", count(*missing as u64, "missing head")),
        OperatorAct::Approve {
            policy,
            backups,
            digest,
            until: at,
        } => {
            let plan = digest
                .as_deref()
                .map_or_else(String::new, |digest| format!(", plan {}", clean(digest)));
            let of = format!(
                "{}: {}{plan}, {}",
                clean(policy.as_str()),
                count(*backups as u64, "backup"),
                until(*at, zone)
            );
            ("approve", of)
        }
        OperatorAct::ApproveListing { target } => ("approve listing", clean(target).into_owned()),
    }
}
