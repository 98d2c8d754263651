//! The end of a report for people: numbers and verdict of every policy, what was left alone and why, what to type next.
//!
//! What is long is cut, unless everything was asked for: the machine-readable report has it all.

use std::io::{self, Write};

use anstyle::{AnsiColor, Style};

use super::grid::{Cell, Column, Grid};
use super::listing::tally;
use super::out::Look;
use super::render::{BOLD, Kind};
use super::sentences::{believe, clean, count, number, remedy, size, timestamp};
use crate::retention::policy::Mode;
use crate::retention::report::{PolicyReport, Sent, Skip, SkipReason};
use crate::retention::{Fate, Refusal, RunReport};

/// So many lines of each kind, unless everything was asked for.
const MOST_LINES: usize = 20;

/// Draws it.
pub(super) fn draw(out: &mut dyn Write, report: &RunReport, kind: Kind, look: &Look) -> io::Result<()> {
    summary(out, report, look)?;
    let sent = report.policies.iter().flat_map(sent_lines).collect();
    section(out, look, "Sent", sent)?;
    let refused = report
        .policies
        .iter()
        .flat_map(|policy| refusal_lines(policy, look))
        .collect();
    section(out, look, "Refused by the guard", refused)?;
    section(
        out,
        look,
        "Left alone",
        report.skipped.iter().map(|skip| skip_line(skip, look)).collect(),
    )?;
    section(out, look, "Instances that no policy selects", unmanaged_lines(report))?;
    section(out, look, "Policies that overlap", overlap_lines(report))?;
    closing(out, report, kind, look)
}

fn summary(out: &mut dyn Write, report: &RunReport, look: &Look) -> io::Result<()> {
    let columns = ["POLICY", "MODE", "KEEP", "WAIT", "DELETE", "VERDICT"];
    let mut grid = Grid::new(columns.map(Column::left).to_vec(), 2);
    let rows: Vec<[Cell<'_>; 6]> = report
        .policies
        .iter()
        .map(|policy| {
            [
                clean(policy.policy.as_str()).into(),
                policy.mode.as_str().into(),
                tally(policy.summary.keep).into(),
                tally(policy.summary.wait).into(),
                tally(policy.summary.delete).into(),
                verdict(policy),
            ]
        })
        .collect();
    for row in &rows {
        grid.measure(row);
    }
    writeln!(
        out,
        "{}",
        look.paint(BOLD, &format!("Summary at {}", timestamp(report.at)))
    )?;
    if rows.is_empty() {
        writeln!(out, "  no policy")?;
    } else {
        grid.header(out, look)?;
    }
    for row in &rows {
        grid.row(out, look, row)?;
    }
    writeln!(out)
}

fn verdict(policy: &PolicyReport) -> Cell<'static> {
    let whole = |refusal: &Refusal| matches!(refusal, Refusal::Freeze { .. } | Refusal::MaxDeletions { .. });
    if policy.refusals.is_empty() {
        Cell::styled("approved", AnsiColor::Green.on_default())
    } else if policy.refusals.iter().any(whole) {
        Cell::styled("refused", AnsiColor::Red.on_default())
    } else {
        // What concerns an instance or a project holds that back and lets the others go on.
        Cell::styled("refused in part", AnsiColor::Yellow.on_default())
    }
}

fn section(out: &mut dyn Write, look: &Look, title: &str, lines: Vec<String>) -> io::Result<()> {
    if lines.is_empty() {
        return Ok(());
    }
    writeln!(out, "{}", look.paint(BOLD, title))?;
    let most = if look.all { lines.len() } else { MOST_LINES };
    let more = lines.len().saturating_sub(most);
    for line in lines.into_iter().take(most) {
        writeln!(out, "  {line}")?;
    }
    if more > 0 {
        writeln!(out, "  and {} more; --all lists them", number(more as u64))?;
    }
    writeln!(out)
}

fn sent_lines(policy: &PolicyReport) -> Vec<String> {
    let name = clean(policy.policy.as_str());
    let of_project = |(project, sent): (&crate::retention::ProjectName, &Sent)| {
        let fates: Vec<String> = Fate::KEYS
            .iter()
            .filter_map(|key| {
                sent.fates
                    .get(*key)
                    .filter(|count| **count > 0)
                    .map(|count| (key, *count))
            })
            .map(|(key, count)| match *key {
                "confirmed" => format!("{} confirmed ({})", number(count), size(sent.confirmed_bytes)),
                key => format!("{} {key}", number(count)),
            })
            .collect();
        let codes: Vec<String> = sent
            .codes
            .iter()
            .map(|(code, count)| format!("{} x {}", number(*count), clean(code)))
            .collect();
        let codes = if codes.is_empty() {
            String::new()
        } else {
            format!("; rejected with {}", codes.join(", "))
        };
        format!("{name} in {}: {}{codes}", clean(project.as_str()), fates.join(", "))
    };
    let left = (policy.left > 0).then(|| {
        format!(
            "{name}: {} approved but not sent, left to the next run",
            count(policy.left, "backup")
        )
    });
    policy.sent.iter().map(of_project).chain(left).collect()
}

fn refusal_lines(policy: &PolicyReport, look: &Look) -> Vec<String> {
    let name = policy.policy.as_str();
    let mut last_remedy = None;
    let mut lines = Vec::with_capacity(policy.refusals.len());
    for refusal in &policy.refusals {
        let remedy = remedy(refusal, name, &look.program);
        // One command lifts many refusals: it is named once, behind the last of a row of them.
        if last_remedy.as_ref() == Some(&remedy)
            && let Some(previous) = lines.last_mut()
        {
            strip_next(previous);
        }
        lines.push(format!(
            "{}: {}{}",
            clean(name),
            clean(&refusal.to_string()),
            next(&remedy, look)
        ));
        last_remedy = Some(remedy);
    }
    lines
}

const NEXT: &str = "\n    next: ";

fn next(remedy: &str, look: &Look) -> String {
    format!("{NEXT}{}", look.paint(AnsiColor::Cyan.on_default(), remedy))
}

fn strip_next(line: &mut String) {
    if let Some(place) = line.find(NEXT) {
        line.truncate(place);
    }
}

fn skip_line(skip: &Skip, look: &Look) -> String {
    let project = clean(skip.project.as_str());
    let what = match &skip.instance {
        Some(instance) => format!("instance {} of {project}", clean(instance.as_str())),
        None => format!("project {project}"),
    };
    let next = match skip.reason {
        SkipReason::Shrink => {
            let target = skip
                .instance
                .as_ref()
                .map_or(skip.project.as_str(), |instance| instance.as_str());
            next(&believe(target, &look.program), look)
        }
        SkipReason::NotAllowed => next(&format!("{} check --online", look.program), look),
        SkipReason::Listing
        | SkipReason::Unreachable
        | SkipReason::Budget
        | SkipReason::Refused
        | SkipReason::Guard(_) => String::new(),
    };
    format!("{what}: {}: {}{next}", skip.reason.key(), clean(&skip.message))
}

fn unmanaged_lines(report: &RunReport) -> Vec<String> {
    let line = |instance: &std::sync::Arc<crate::retention::Instance>| {
        let (project, id) = (clean(instance.project.as_str()), clean(instance.id.as_str()));
        format!("{} ({project}, {id})", clean(&instance.name))
    };
    report.unmanaged.iter().map(line).collect()
}

fn overlap_lines(report: &RunReport) -> Vec<String> {
    let line = |overlap: &crate::retention::report::Overlap| {
        let names: Vec<_> = overlap.policies.iter().map(|name| clean(name.as_str())).collect();
        format!(
            "{} on {}: a backup goes only if every one of them lets it go",
            names.join(", "),
            count(overlap.instances, "instance")
        )
    };
    report.overlaps.iter().map(line).collect()
}

fn closing(out: &mut dyn Write, report: &RunReport, kind: Kind, look: &Look) -> io::Result<()> {
    for (project, unconfirmed) in report.unconfirmed.iter().filter(|(_, unconfirmed)| **unconfirmed > 0) {
        let deletions = count(*unconfirmed, "accepted deletion");
        writeln!(
            out,
            "{deletions} in {} not confirmed by a listing yet.",
            clean(project.as_str())
        )?;
    }
    let calls = count(report.calls, "API call");
    let dim = |text: String| look.paint(Style::new().dimmed(), &text);
    match kind {
        Kind::Plan => writeln!(out, "Nothing was deleted: this is a plan. {calls}."),
        Kind::Offline => writeln!(
            out,
            "Nothing was deleted: this is a plan of a file. Grace counts as over, and selectors on instance names, tags and \
             projects match everything."
        ),
        Kind::Apply => {
            if report.policies.iter().all(|policy| policy.mode == Mode::DryRun) {
                writeln!(out, "Nothing was deleted: every policy is in dry-run.")?;
            }
            let run = report.run_id.as_deref().unwrap_or("-");
            let head = report
                .ledger_head
                .as_deref()
                .map(|head| format!(", ledger head {}", clean(head)));
            writeln!(
                out,
                "{}",
                dim(format!("Run {}, {calls}{}.", clean(run), head.unwrap_or_default()))
            )
        }
    }
}
