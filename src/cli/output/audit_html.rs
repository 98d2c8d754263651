//! The audit report as one HTML file without scripts or links, to be printed or archived. All times are in UTC, to the second.

use std::collections::BTreeMap;
use std::io::{self, Write};

use maud::{DOCTYPE, Markup, PreEscaped, html};

use super::history::{act, by};
use super::past_deletion::became;
use crate::ledger::{OperatorEvent, PastDeletion, RunRow, Verification};
use crate::operations::audit_report::AuditReport;
use crate::operations::recompute::{Recomputed, RecomputedDifference};
use crate::retention::report::RunResult;
use crate::retention::{ExpireReason, Zone, total_bytes};
use crate::wording::numbers::{count, number, size};
use crate::wording::reasons::expired;
use crate::wording::sanitize::clean;
use crate::wording::times::timestamp;

const STYLE: &str = "body{font:14px/1.45 system-ui,sans-serif;max-width:75em;margin:2em auto;padding:0 1em}\
    pre{white-space:pre-wrap;font-size:12px}table{border-collapse:collapse;width:100%;margin:.5em 0 1.5em}thead th{white-space:nowrap}\
    th,td{text-align:left;vertical-align:top;padding:.2em .6em .2em 0;border-bottom:1px solid #bbb;overflow-wrap:anywhere}\
    code{font:12px ui-monospace,monospace;overflow-wrap:anywhere}.bad{font-weight:bold;border:2px solid;padding:.5em}\
    @page{size:A4 landscape;margin:12mm}@media print{body{font-size:9pt;margin:0;max-width:none}code{font-size:7.5pt}\
    thead{display:table-header-group}tr{break-inside:avoid}h2,h3{break-after:avoid}}";

/// Writes it, a table at a time.
pub fn write(out: &mut dyn Write, report: &AuditReport) -> io::Result<()> {
    let mut part = |markup: Markup| writeln!(out, "{}", markup.0);
    part(head(report))?;
    part(html! { h2 { "Deletions" } })?;
    let mut by_instance: BTreeMap<(&str, &str, &str), Vec<&PastDeletion>> = BTreeMap::new();
    for past in &report.deletions {
        let key = (past.policy.as_str(), past.project.as_str(), past.instance_id.as_str());
        by_instance.entry(key).or_default().push(past);
    }
    for of in by_instance.values() {
        part(deletions(of))?;
    }
    part(html! { h2 { "Holds, freezes and approvals by command" } })?;
    let columns = ["At", "What", "Of", "By", "Reason"];
    part(table(&columns, report.events.iter().map(event)))?;
    part(html! { h2 { "Runs" } })?;
    let columns = [
        "Began",
        "Policy",
        "Mode",
        "Started by",
        "Result",
        "Run",
        "Configuration",
    ];
    part(table(&columns, report.runs.iter().map(run)))?;
    part(html! { h2 { "Configurations" } })?;
    let configurations = report.configurations.iter().map(|of| {
        html! { tr { td { code { (of.sha256) } } td { (timestamp(of.first)) } td { (timestamp(of.last)) } } }
    });
    part(table(&["SHA-256", "First run", "Last run"], configurations))?;
    let mut files = report
        .configurations
        .iter()
        .flat_map(|of| of.files.iter().map(move |file| (of, file)));
    files.try_for_each(|(of, file)| {
        part(html! {
            h3 { code { (short(&of.sha256)) } " " (clean(&file.name)) }
            pre { (file.text.as_deref().unwrap_or("not recorded: a secret in it could not be told from the rest")) }
        })
    })
}

fn head(report: &AuditReport) -> Markup {
    let (from, to) = (timestamp(report.from), timestamp(report.to));
    let bytes = total_bytes(report.deletions.iter().map(|past| past.size_bytes));
    html! {
        (DOCTYPE)
        html lang="en";
        meta charset="utf-8";
        title { "Audit report " (from) " to " (to) }
        style { (PreEscaped(STYLE)) }
        h1 { "Audit report" }
        p {
            "From " (from) " to before " (to) ", from the ledger " (clean(&report.state.to_string_lossy())) ", made at "
            (timestamp(report.made_at)) " by " (clean(&report.made_by.name())) " with rds-retentiond " (report.version)
            ". All times are in UTC."
        }
        @match &report.verification {
            Verification::Intact { rows, head } => p {
                "The hash chain is intact: " (number(*rows)) " rows, head " code { (head) } "."
            },
            Verification::Broken { row, what } => p.bad {
                "The hash chain is BROKEN at row " (row) ": " (clean(what)) ". What is below may be false."
            },
        }
        p {
            (count(report.deletions.len() as u64, "deletion")) " asked for, of " (size(bytes)) "; "
            (count(report.events.len() as u64, "act")) " by command; " (count(report.runs.len() as u64, "policy run")) "; "
            (count(report.configurations.len() as u64, "configuration")) "."
        }
        @if let Some(recomputed) = &report.recomputed { (differences(recomputed)) }
    }
}

/// What deciding again said.
fn differences(of: &Recomputed) -> Markup {
    let row = |of: &RecomputedDifference| {
        html! {
            tr {
                td { (of.row) } td { (timestamp(of.at)) } td { (clean(of.policy.as_str())) } td { code { (clean(of.instance.as_str())) } }
                td { code { (clean(of.backup.as_str())) } } td { (clean(&of.what)) }
            }
        }
    };
    html! {
        p {
            "Decided again by what was recorded: " (count(of.agreed, "deletion")) " as they were, " (number(of.unrecorded))
            " of runs that recorded no listings, " (number(of.differences.len() as u64)) " different."
        }
        @if !of.differences.is_empty() {
            p.bad { "These deletions do NOT follow from what was recorded:" }
            (table(&["Row", "At", "Policy", "Instance", "Backup", "Difference"], of.differences.iter().map(row)))
        }
    }
}

fn deletions(of: &[&PastDeletion]) -> Markup {
    let Some(last) = of.last() else { return html! {} };
    let columns = [
        "Backup",
        "Begun",
        "Size",
        "Why",
        "Listed",
        "Requested",
        "Outcome",
        "Evidence",
    ];
    html! {
        h3 {
            "Policy " (clean(last.policy.as_str())) ": " (clean(&last.instance_name)) " (" (clean(last.instance_id.as_str()))
            "), project " (clean(last.project.as_str())) ": " (count(of.len() as u64, "deletion"))
        }
        (table(&columns, of.iter().map(|past| deletion(past))))
    }
}

fn deletion(past: &PastDeletion) -> Markup {
    let why = ExpireReason::from_key(&past.rule);
    let why = why.map_or_else(|| past.rule.clone(), |reason| expired(reason).to_owned());
    html! {
        tr {
            td { (clean(&past.backup_name)) br; code { (clean(past.backup.as_str())) } }
            td { (timestamp(past.begin_time)) }
            td { (size(past.size_bytes)) }
            td { (clean(&why)) }
            td { (timestamp(past.listing.read_at)) ", " (count(past.listing.count, "backup")) }
            td { (timestamp(past.sent_at)) }
            td { (became(past.state).0) @if let Some(at) = past.settled_at { " " (timestamp(at)) } }
            td {
                "row " (past.request.to_string()) " of run " code { (clean(&past.run)) } ", configuration "
                code { (short(&past.config_sha256)) }
            }
        }
    }
}

fn event(event: &OperatorEvent) -> Markup {
    let (what, of) = act(&event.act, Zone::UTC);
    html! {
        tr {
            td { (timestamp(event.at)) }
            td { (what) }
            td { (clean(&of)) }
            td { (by(event)) }
            td { (clean(event.reason.as_deref().unwrap_or("-"))) }
        }
    }
}

fn run(run: &RunRow) -> Markup {
    html! {
        tr {
            td { (timestamp(run.started_at)) }
            td { (clean(run.policy.as_str())) }
            td { (run.mode.as_str()) }
            td { (run.cause) }
            td { (run.result.map_or("not finished", RunResult::as_str)) }
            td { code { (clean(&run.run)) } }
            td { code { (short(&run.config_sha256)) } }
        }
    }
}

fn short(sha256: &str) -> &str {
    sha256.get(..12).unwrap_or(sha256)
}

fn table(columns: &[&str], rows: impl Iterator<Item = Markup>) -> Markup {
    html! {
        table {
            thead { tr { @for column in columns { th { (column) } } } }
            tbody { @for row in rows { (row) } }
        }
    }
}
