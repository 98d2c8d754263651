//! A report shown as its command was asked to: as tables or as JSON, with the exit code it deserves.

use super::super::args::{Format, Global, ShowArgs};
use super::super::exit;
use super::super::failure::CommandResult;
use super::report::ReportKind;
use super::row_buffer::BufferedRows;
use super::stdout::{Out, finish};
use super::theme::Theme;
use super::{decisions, json};
use crate::retention::RunReport;
use crate::wording::money::Price;

/// Shows a report as asked for, as JSON with what its run buffered, and returns the exit code it deserves.
pub fn show_report(
    report: &RunReport,
    buffered: &BufferedRows,
    kind: ReportKind,
    (show, price): (&ShowArgs, Option<&Price>),
    global: &Global,
) -> CommandResult {
    let code = match kind {
        ReportKind::Plan | ReportKind::Offline => exit::of_plan(report),
        ReportKind::Apply => exit::of_run(report),
    };
    let mut out = Out::of(show.format, global.color);
    let written = match show.format {
        Format::Json => json::write_report(&mut out, report, buffered),
        Format::Table => {
            let theme = Theme {
                price: price.cloned(),
                ..out.theme_of_report(global, show)
            };
            decisions::report(&mut out, report, kind, &theme)
        }
    };
    finish(out, written, code)
}
