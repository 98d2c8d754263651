//! The audit report as one HTML file without scripts or links, to be printed or archived.

use std::collections::BTreeMap;
use std::io::{self, Write};

use super::history::act;
use super::past_deletion::became;
use crate::ledger::{PastDeletion, Verification};
use crate::operations::audit_report::AuditReport;
use crate::retention::{ExpireReason, Zone};
use crate::wording::numbers::{count, number, size};
use crate::wording::reasons::expired;
use crate::wording::sanitize::clean;
use crate::wording::times::timestamp;

const STYLE: &str = "body{font:14px/1.45 system-ui,sans-serif;max-width:75em;margin:2em auto;padding:0 1em}\
    table{border-collapse:collapse;width:100%;margin:.5em 0 1.5em}\
    th,td{text-align:left;vertical-align:top;padding:.2em .6em .2em 0;border-bottom:1px solid #bbb;overflow-wrap:anywhere}\
    code{font:12px ui-monospace,monospace;overflow-wrap:anywhere}thead th{white-space:nowrap}.bad{font-weight:bold;border:2px solid;padding:.5em}\
    @page{size:A4 landscape;margin:12mm}@media print{body{font-size:9pt;margin:0;max-width:none}code{font-size:7.5pt}\
    thead{display:table-header-group}tr{break-inside:avoid}h2,h3{break-after:avoid}}";

/// Writes it; all times are in UTC.
pub fn write(out: &mut dyn Write, report: &AuditReport) -> io::Result<()> {
    let (from, to) = (timestamp(report.from), timestamp(report.to));
    write!(
        out,
        "<!doctype html><html lang=\"en\"><meta charset=\"utf-8\"><title>Audit report {from} to {to}</title><style>{STYLE}</style>\n\
         <h1>Audit report</h1>\n<p>From {from} to before {to}, from the ledger {}, made at {} by rds-retentiond {}. All times are in UTC.</p>\n",
        text(&report.state.to_string_lossy()),
        timestamp(report.made_at),
        report.version
    )?;
    verification(out, &report.verification)?;
    let bytes = report.deletions.iter().map(|past| past.size_bytes).sum();
    writeln!(
        out,
        "<p>{} asked for, of {}; {}; {}; {}.</p>",
        count(report.deletions.len() as u64, "deletion"),
        size(bytes),
        count(report.events.len() as u64, "act"),
        count(report.runs.len() as u64, "run of a policy"),
        count(report.configurations.len() as u64, "configuration")
    )?;
    deletions(out, &report.deletions)?;
    people(out, report)?;
    runs(out, report)?;
    out.write_all(b"</html>\n")
}

fn verification(out: &mut dyn Write, found: &Verification) -> io::Result<()> {
    match found {
        Verification::Intact { rows, head } => writeln!(
            out,
            "<p>The hash chain is intact: {} rows, head <code>{}</code>.</p>",
            number(*rows),
            text(head)
        ),
        Verification::Broken { row, what } => writeln!(
            out,
            "<p class=\"bad\">The hash chain is BROKEN at row {row}: {}. What is below may be false.</p>",
            text(what)
        ),
    }
}

fn deletions(out: &mut dyn Write, deletions: &[PastDeletion]) -> io::Result<()> {
    let mut by_instance: BTreeMap<(&str, &str, &str), Vec<&PastDeletion>> = BTreeMap::new();
    for past in deletions {
        let key = (past.policy.as_str(), past.project.as_str(), past.instance_id.as_str());
        by_instance.entry(key).or_default().push(past);
    }
    out.write_all(b"<h2>Deletions</h2>\n")?;
    for ((policy, project, instance), of) in by_instance {
        let name = of.last().map_or("", |past| &past.instance_name);
        writeln!(
            out,
            "<h3>Policy {}: {} ({}), project {}: {}</h3>",
            text(policy),
            text(name),
            text(instance),
            text(project),
            count(of.len() as u64, "deletion")
        )?;
        let columns = [
            "Backup",
            "Begun",
            "Size",
            "Why",
            "Listed",
            "Asked for",
            "Became",
            "Evidence",
        ];
        table(out, &columns)?;
        for past in of {
            deletion(out, past)?;
        }
        out.write_all(b"</table>\n")?;
    }
    Ok(())
}

fn deletion(out: &mut dyn Write, past: &PastDeletion) -> io::Result<()> {
    let why = ExpireReason::from_key(&past.rule);
    let why = why.map_or_else(|| past.rule.clone(), |reason| expired(reason).to_owned());
    let settled = past
        .settled_at
        .map_or_else(String::new, |at| format!(" {}", timestamp(at)));
    writeln!(
        out,
        "<tr><td>{}<br><code>{}</code><td>{}<td>{}<td>{}<td>{}, {}<td>{}<td>{}{settled}<td>row {} of run <code>{}</code>, \
         configuration <code>{}</code>",
        text(&past.backup_name),
        text(past.backup.as_str()),
        timestamp(past.begin_time),
        size(past.size_bytes),
        text(&why),
        timestamp(past.listing.read_at),
        count(past.listing.count, "backup"),
        timestamp(past.sent_at),
        became(past.state).0,
        past.request,
        text(&past.run),
        text(past.config_sha256.get(..12).unwrap_or(&past.config_sha256)),
    )
}

fn people(out: &mut dyn Write, report: &AuditReport) -> io::Result<()> {
    out.write_all(b"<h2>Holds, freezes and approvals by command</h2>\n")?;
    table(out, &["At", "What", "Of", "By", "Reason"])?;
    for event in &report.events {
        let (what, of) = act(&event.act, Zone::UTC);
        writeln!(
            out,
            "<tr><td>{}<td>{what}<td>{}<td>{}<td>{}",
            timestamp(event.at),
            text(&of),
            text(&event.by),
            text(event.reason.as_deref().unwrap_or("-"))
        )?;
    }
    out.write_all(b"</table>\n")
}

fn runs(out: &mut dyn Write, report: &AuditReport) -> io::Result<()> {
    out.write_all(b"<h2>Runs</h2>\n")?;
    table(
        out,
        &[
            "Began",
            "Policy",
            "Mode",
            "Started by",
            "Result",
            "Run",
            "Configuration",
        ],
    )?;
    for run in &report.runs {
        writeln!(
            out,
            "<tr><td>{}<td>{}<td>{}<td>{}<td>{}<td><code>{}</code><td><code>{}</code>",
            timestamp(run.started_at),
            text(run.policy.as_str()),
            text(&run.mode),
            text(&run.cause),
            text(run.result.as_deref().unwrap_or("not finished")),
            text(&run.run),
            text(run.config_sha256.get(..12).unwrap_or(&run.config_sha256))
        )?;
    }
    out.write_all(b"</table>\n<h2>Configurations</h2>\n")?;
    table(out, &["SHA-256", "First run", "Last run"])?;
    for of in &report.configurations {
        let (first, last) = (timestamp(of.first), timestamp(of.last));
        writeln!(out, "<tr><td><code>{}</code><td>{first}<td>{last}", text(&of.sha256))?;
    }
    out.write_all(b"</table>\n")
}

fn table(out: &mut dyn Write, columns: &[&str]) -> io::Result<()> {
    writeln!(out, "<table><thead><tr><th>{}</thead>", columns.join("<th>"))
}

/// Text of an element: markup is escaped, and what steers or hides text is spelled out.
fn text(raw: &str) -> String {
    clean(raw)
        .replace('&', "&amp;")
        .replace('<', "&lt;")
        .replace('>', "&gt;")
}
