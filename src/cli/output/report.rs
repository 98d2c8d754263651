//! What stands around a report's tables: first the numbers and verdict of every policy, what was left alone and why, and what to
//! type next; at the end what concerns the configuration.
//!
//! What is long is cut, unless everything was asked for: the machine-readable report has it all. Sentences are wrapped at
//! the terminal's end; commands to type are not.

use std::collections::HashSet;
use std::io::{self, Write};

use anstyle::{AnsiColor, Style};

use super::lists::tally;
use super::table::{Cell, Column, Grid};
use super::theme::{BOLD, DIM, Theme};
use super::wrap::paragraph;
use crate::retention::policy::Mode;
use crate::retention::report::{
    GuardVerdict, InstanceSummary, PolicyReport, Restart, Sent, Skip, SkipReason, Summary, Tally,
};
use crate::retention::{Fate, InstanceId, Refusal, RunReport};
use crate::wording::Natural;
use crate::wording::numbers::{count, number, size};
use crate::wording::refusals::{RefusalInWords, by_limit};
use crate::wording::remedies::{approve_listing, remedy};
use crate::wording::results::REFUSED_IN_PART;
use crate::wording::sanitize::clean;
use crate::wording::times::{common_zone, zoned};

/// So many lines of each kind, unless everything was asked for.
const MOST_LINES: usize = 20;

/// What kind of report it is; decides the closing words.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ReportKind {
    /// `plan`
    Plan,
    /// `plan --backups FILE`
    Offline,
    /// `apply`
    Apply,
}

/// Draws what stands first: the numbers, what was sent, and what the guard and the listings held back.
pub(in crate::cli) fn head(out: &mut dyn Write, report: &RunReport, theme: &Theme) -> io::Result<()> {
    summary(out, report, theme)?;
    let sent = report.policies.iter().flat_map(sent_lines).collect();
    section(out, theme, "Sent", sent)?;
    let restarted = report.policies.iter().flat_map(restart_lines).collect();
    section(out, theme, "Grace periods that restart", restarted)?;
    let policies = || report.policies.iter();
    let refused = policies().flat_map(|policy| refusal_lines(report, policy, theme));
    section(out, theme, "Refused by the guard", refused.collect())?;
    let enforced = policies().flat_map(|policy| when_enforced_lines(report, policy));
    section(out, theme, "When enforced", enforced.collect())?;
    section(out, theme, "Left alone", skip_lines(report, theme))
}

/// Draws what follows the tables.
pub(in crate::cli) fn tail(
    out: &mut dyn Write,
    report: &RunReport,
    (kind, is_large): (ReportKind, bool),
    theme: &Theme,
) -> io::Result<()> {
    section(out, theme, "Instances that no policy selects", unmanaged_lines(report))?;
    section(out, theme, "Policies that overlap", overlap_lines(report))?;
    let notices = report.notices.iter().map(|notice| clean(notice).into_owned().into());
    section(out, theme, "Notices", notices.collect())?;
    closing(out, report, kind, theme)?;
    if is_large {
        let more = match kind {
            ReportKind::Plan | ReportKind::Offline => {
                "One line per instance; --all lists every backup, --instance NAME those of one."
            }
            ReportKind::Apply => "One line per instance; --all lists every backup.",
        };
        paragraph(out, theme, 0, 0, DIM, more)?;
    }
    Ok(())
}

fn summary(out: &mut dyn Write, report: &RunReport, theme: &Theme) -> io::Result<()> {
    let zone = common_zone(report.policies.iter().map(|policy| policy.zone));
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
        theme.paint(BOLD, &format!("Summary at {}", zoned(report.at, zone)))
    )?;
    if rows.is_empty() {
        writeln!(out, "  no policy")?;
    } else {
        grid.header(out, theme)?;
    }
    for row in &rows {
        grid.row(out, theme, row)?;
    }
    cost(out, report, theme)?;
    writeln!(out)
}

/// What that is in money, where the price is known.
fn cost(out: &mut dyn Write, report: &RunReport, theme: &Theme) -> io::Result<()> {
    let Some(price) = &theme.price else { return Ok(()) };
    let sum = |of: fn(&Summary) -> Tally| {
        let all = report.policies.iter().map(|policy| of(&policy.summary).bytes);
        price.of(all.fold(0, u64::saturating_add))
    };
    let text = format!(
        "A month: {} for what is kept, {} for what waits, {} for what is to be deleted.",
        sum(|summary| summary.keep),
        sum(|summary| summary.wait),
        sum(|summary| summary.delete)
    );
    paragraph(out, theme, 2, 2, DIM, &clean(&text))
}

fn verdict(policy: &PolicyReport) -> Cell<'static> {
    match policy.verdict() {
        GuardVerdict::Unknown => Cell::styled("unknown", AnsiColor::Red.on_default()),
        GuardVerdict::Approved | GuardVerdict::Refused
            if policy.when_enforced.as_ref().is_some_and(|all| !all.is_empty()) =>
        {
            Cell::styled("refused when enforced", AnsiColor::Yellow.on_default())
        }
        GuardVerdict::Approved if policy.instances.is_empty() && policy.has_read() => {
            Cell::styled("nothing in scope", AnsiColor::Yellow.on_default())
        }
        GuardVerdict::Approved => Cell::styled("approved", AnsiColor::Green.on_default()),
        GuardVerdict::Refused if policy.is_wholly_refused() => Cell::styled("refused", AnsiColor::Red.on_default()),
        // What concerns an instance or a project holds that back and lets the others go on.
        GuardVerdict::Refused => Cell::styled(REFUSED_IN_PART, AnsiColor::Yellow.on_default()),
    }
}

/// A sentence of a section, and what to type next.
struct ReportLine {
    text: String,
    next: Option<String>,
}

impl From<String> for ReportLine {
    fn from(text: String) -> Self {
        Self { text, next: None }
    }
}

fn section(out: &mut dyn Write, theme: &Theme, title: &str, lines: Vec<ReportLine>) -> io::Result<()> {
    if lines.is_empty() {
        return Ok(());
    }
    writeln!(out, "{}", theme.paint(BOLD, title))?;
    let most = if theme.all { lines.len() } else { MOST_LINES };
    let more = lines.len().saturating_sub(most);
    // What is cut may say at its end what to type; so many lines of one kind end in one command.
    let last = lines.iter().skip(most).rev().find_map(|line| line.next.clone());
    for ReportLine { text, next } in lines.into_iter().take(most) {
        paragraph(out, theme, 2, 2, Style::new(), &text)?;
        draw_next(out, theme, next.as_deref())?;
    }
    if more > 0 {
        writeln!(out, "  and {} more; --all lists them", number(more as u64))?;
        draw_next(out, theme, last.as_deref())?;
    }
    writeln!(out)
}

fn draw_next(out: &mut dyn Write, theme: &Theme, next: Option<&str>) -> io::Result<()> {
    next.map_or(Ok(()), |next| {
        writeln!(out, "    next: {}", theme.paint(AnsiColor::Cyan.on_default(), next))
    })
}

fn restart_lines(policy: &PolicyReport) -> Vec<ReportLine> {
    let name = clean(policy.policy.as_str());
    let line = |(why, times): (&Restart, &u64)| {
        let why = match why {
            Restart::HoldEnded => "a hold has covered the backup since it started",
            Restart::NotSeen => "no enforcing run of the policy saw the backup expired for too long",
            Restart::StartAhead => "its start is dated ahead of now",
        };
        format!("{name}: {}: {why}", number(*times)).into()
    };
    policy.restarted.iter().map(line).collect()
}

fn sent_lines(policy: &PolicyReport) -> Vec<ReportLine> {
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
    policy
        .sent
        .iter()
        .map(of_project)
        .chain(left)
        .map(ReportLine::from)
        .collect()
}

fn refusal_lines(report: &RunReport, policy: &PolicyReport, theme: &Theme) -> Vec<ReportLine> {
    let name = policy.policy.as_str();
    // Of a dry run that is said of when it will be enforced.
    let only_then = |refusal: &Refusal| policy.when_enforced.iter().flatten().any(|then| then == refusal);
    let refusals: Vec<Refusal> = policy
        .refusals
        .iter()
        .filter(|refusal| !only_then(refusal))
        .cloned()
        .collect();
    let mut lines: Vec<ReportLine> = Vec::with_capacity(refusals.len());
    for refused in by_limit(&refusals, &|id| report.name_of(id).to_string()) {
        let remedy = Some(remedy(refused.refusal, name, policy.digest.as_deref(), &theme.program).to_string());
        // One command lifts many refusals: it is named once, behind the last of a row of them.
        if let Some(previous) = lines.last_mut().filter(|previous| previous.next == remedy) {
            previous.next = None;
        }
        lines.push(ReportLine {
            text: format!("{}: {}", clean(name), clean(&refused.text)),
            next: remedy,
        });
    }
    lines
}

/// What the guard would refuse if a policy in dry-run were enforced and every grace period over.
fn when_enforced_lines(report: &RunReport, policy: &PolicyReport) -> Vec<ReportLine> {
    let refusals = policy.when_enforced.as_deref().unwrap_or_default();
    let expired = |of: &&InstanceSummary| of.summary.wait.count + of.summary.delete.count > 0;
    let of = policy.instances.iter().filter(expired).count().max(1) as u64;
    let name = clean(policy.policy.as_str());
    let line = |refused: RefusalInWords<'_>| {
        let limit = refused.refusal.limit();
        let alike = refusals.iter().filter(|refusal| refusal.limit() == limit).count();
        let scope = match refused.refusal.instance() {
            Some(_) => format!("{} of {}", number(alike as u64), count(of, "instance")),
            None => "its plan".to_owned(),
        };
        format!("{name}: {limit} would refuse {scope}: {}", clean(&refused.text))
    };
    let name_of = |id: &InstanceId| report.name_of(id).to_string();
    by_limit(refusals, &name_of)
        .into_iter()
        .map(line)
        .map(ReportLine::from)
        .collect()
}

fn skip_line(report: &RunReport, skip: &Skip, theme: &Theme) -> ReportLine {
    let project = clean(skip.project.as_str());
    let what = match &skip.instance {
        Some(instance) => {
            let (name, id) = (report.name_of(instance), clean(instance.as_str()));
            if *name == *instance.as_str() {
                format!("instance {id} of {project}")
            } else {
                format!("{} ({project}, {id})", clean(&name))
            }
        }
        None => format!("project {project}"),
    };
    let next = match &skip.reason {
        SkipReason::Shrink => {
            let target = skip
                .instance
                .as_ref()
                .map_or(skip.project.as_str(), |instance| instance.as_str());
            Some(approve_listing(target, &theme.program).to_string())
        }
        SkipReason::NotAllowed => Some(format!("{} check --online", theme.program)),
        SkipReason::Listing
        | SkipReason::Unreachable
        | SkipReason::Configuration
        | SkipReason::Budget
        | SkipReason::Refused => None,
        // No policy's alone, and none of those that wait for an approval: the guard refuses these while batches are sent.
        SkipReason::Guard(refusal) => Some(remedy(refusal, "", None, &theme.program).to_string()),
    };
    ReportLine {
        text: format!("{what}: {}: {}", skip.reason.key(), clean(&skip.message)),
        next,
    }
}

/// What was left alone, but for what the guard said of it a few lines above.
fn skip_lines(report: &RunReport, theme: &Theme) -> Vec<ReportLine> {
    let refusals = report.policies.iter().flat_map(|policy| &policy.refusals);
    let said: HashSet<String> = refusals.map(Refusal::to_string).collect();
    let is_said = |skip: &&Skip| matches!(skip.reason, SkipReason::Guard(_)) && said.contains(&skip.message);
    let others = report.skipped.iter().filter(|skip| !is_said(skip));
    others.map(|skip| skip_line(report, skip, theme)).collect()
}

fn unmanaged_lines(report: &RunReport) -> Vec<ReportLine> {
    let line = |instance: &std::sync::Arc<crate::retention::Instance>| {
        let (project, id) = (clean(instance.project.as_str()), clean(instance.id.as_str()));
        format!("{} ({project}, {id})", clean(&instance.name))
    };
    let mut unmanaged: Vec<_> = report.unmanaged.iter().collect();
    unmanaged.sort_by_key(|instance| (&instance.project, Natural(&instance.name), &instance.id));
    unmanaged.into_iter().map(line).map(ReportLine::from).collect()
}

fn overlap_lines(report: &RunReport) -> Vec<ReportLine> {
    let line = |overlap: &crate::retention::report::Overlap| {
        let names: Vec<_> = overlap.policies.iter().map(|name| clean(name.as_str())).collect();
        format!(
            "{} on {}: a backup goes only if every one of them lets it go",
            names.join(", "),
            count(overlap.instances, "instance")
        )
    };
    report.overlaps.iter().map(line).map(ReportLine::from).collect()
}

fn closing(out: &mut dyn Write, report: &RunReport, kind: ReportKind, theme: &Theme) -> io::Result<()> {
    for (project, unconfirmed) in report.unconfirmed.iter().filter(|(_, unconfirmed)| **unconfirmed > 0) {
        let deletions = count(*unconfirmed, "deletion");
        writeln!(
            out,
            "{deletions} in {}, accepted or unanswered, not confirmed by a listing yet.",
            clean(project.as_str())
        )?;
    }
    let calls = count(report.calls, "API call");
    let say = |out: &mut dyn Write, text: &str| paragraph(out, theme, 0, 0, Style::new(), text);
    match kind {
        ReportKind::Plan => say(out, &format!("Nothing was deleted: this is a plan. {calls}.")),
        ReportKind::Offline => say(
            out,
            "Nothing was deleted: this is a plan of a file. Grace counts as over, and selectors on instance names, tags and \
             projects match everything.",
        ),
        ReportKind::Apply => {
            if report.policies.iter().all(|policy| policy.mode == Mode::DryRun) {
                say(out, "Nothing was deleted: every policy is in dry-run.")?;
            }
            let run = report.run_id.as_deref().unwrap_or("-");
            let head = report
                .ledger_head
                .as_deref()
                .map(|head| format!(", ledger head {}", clean(head)));
            let text = format!("Run {}, {calls}{}.", clean(run), head.unwrap_or_default());
            paragraph(out, theme, 0, 0, Style::new().dimmed(), &text)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::retention::Zone;
    use crate::retention::report::RunResult;
    use crate::wording::remedies::one_of_each;

    #[test]
    fn each_refusal_is_shown_with_the_remedy_that_the_page_shows() {
        let theme = Theme {
            program: "rds-retentiond --config c".to_owned(),
            ..Theme::default()
        };
        for refusal in one_of_each() {
            let wanted = remedy(&refusal, "my policy", Some("c0ffee"), &theme.program);
            let policy = PolicyReport {
                refusals: vec![refusal],
                digest: Some("c0ffee".to_owned()),
                ..PolicyReport::new("my policy".into(), Mode::Enforce, Zone::UTC, RunResult::Refused)
            };
            let lines = refusal_lines(&RunReport::new(crate::clock::now()), &policy, &theme);
            assert_eq!(lines[0].next, Some(wanted.to_string()), "{}", lines[0].text);
        }
    }
}
