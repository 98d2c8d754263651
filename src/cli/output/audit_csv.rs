//! The audit report for a spreadsheet: a line a deletion, then a line for each thing that a person did.

use std::io::{self, Write};

use super::history::{act, by};
use crate::ledger::{OperatorEvent, PastDeletion};
use crate::operations::audit_report::AuditReport;
use crate::retention::Zone;
use crate::wording::sanitize::clean;
use crate::wording::times::timestamp;

const COLUMNS: [&str; 20] = [
    "record",
    "at",
    "policy",
    "project",
    "instance_id",
    "instance_name",
    "backup_id",
    "backup_name",
    "begin_time",
    "size_bytes",
    "status",
    "rule",
    "listed",
    "listing_read_at",
    "state",
    "settled_at",
    "run",
    "row",
    "configuration",
    "by",
];

/// Writes it, in the dialect of RFC 4180.
pub fn write(out: &mut dyn Write, report: &AuditReport) -> io::Result<()> {
    line(out, &COLUMNS.map(str::to_owned))?;
    report
        .deletions
        .iter()
        .try_for_each(|past| line(out, &deletion(past)))?;
    report.events.iter().try_for_each(|of| line(out, &event(of)))
}

fn deletion(past: &PastDeletion) -> [String; 20] {
    [
        "deletion".to_owned(),
        timestamp(past.sent_at),
        past.policy.to_string(),
        past.project.to_string(),
        past.instance_id.to_string(),
        past.instance_name.clone(),
        past.backup.to_string(),
        past.backup_name.clone(),
        timestamp(past.begin_time),
        past.size_bytes.to_string(),
        past.status.clone(),
        past.rule.clone(),
        past.listing.count.to_string(),
        timestamp(past.listing.read_at),
        past.state.as_str().to_owned(),
        past.settled_at.map_or_else(String::new, timestamp),
        past.run.clone(),
        past.request.to_string(),
        past.config_sha256.clone(),
        String::new(),
    ]
}

fn event(event: &OperatorEvent) -> [String; 20] {
    let (what, of) = act(&event.act, Zone::UTC);
    let mut cells = [const { String::new() }; 20];
    cells[0] = what.into();
    cells[1] = timestamp(event.at);
    cells[7] = of;
    cells[11] = event.reason.clone().unwrap_or_default();
    cells[19] = by(event);
    cells
}

fn line(out: &mut dyn Write, cells: &[String]) -> io::Result<()> {
    let cells: Vec<String> = cells.iter().map(|text| cell(text)).collect();
    write!(out, "{}\r\n", cells.join(","))
}

/// A cell that a spreadsheet shows as it is: what it would take for a formula begins with an apostrophe.
fn cell(text: &str) -> String {
    let text = clean(text);
    let is_formula = text.starts_with(['=', '+', '-', '@', '\t', '\r']);
    let text = if is_formula {
        format!("'{text}")
    } else {
        text.into_owned()
    };
    if text.contains([',', '"', '\n', '\r', ';', '\'']) {
        return format!("\"{}\"", text.replace('"', "\"\""));
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_cell_is_a_formula_and_no_cell_ends_a_line() {
        for (text, cell_of_it) in [
            ("nightly-1", "nightly-1"),
            ("", ""),
            ("a,b", "\"a,b\""),
            ("say \"x\"", "\"say \"\"x\"\"\""),
            ("=HYPERLINK(1)", "\"'=HYPERLINK(1)\""),
            ("+1", "\"'+1\""),
            ("-2+3", "\"'-2+3\""),
            ("@SUM(A1)", "\"'@SUM(A1)\""),
        ] {
            assert_eq!(cell(text), cell_of_it);
        }
        for text in ["\t=1", "\r=1", "a\nb", "a\r\n=b"] {
            let cell = cell(text);
            assert!(!cell.contains(['\n', '\r', '\t']) && !cell.starts_with('='), "{cell:?}");
        }
    }
}
