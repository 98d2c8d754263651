//! `plan`: what would happen now, with reasons. Never deletes, writes nothing.

use super::args::{Format, Global, PlanArgs, ShowArgs};
use super::context;
use super::failure::CommandResult;
use super::output::decisions::MOST_ROWS;
use super::output::report::ReportKind;
use super::output::row_buffer::BufferedRows;
use super::output::show_report::show_report;
use crate::operations::plan::{self, PlanRequest};
use crate::retention::{InstanceId, PolicyName};
use crate::run::ReportDetail;

pub(super) fn plan(args: &PlanArgs, global: &Global) -> CommandResult {
    let config = context::configuration(global)?;
    context::log(global)?;
    let buffered = BufferedRows::default();
    // Of one instance every backup is shown.
    let show = ShowArgs {
        all: args.show.all || args.instance.is_some(),
        ..args.show
    };
    let request = PlanRequest {
        policies: policies(&args.policies),
        instance: args.instance.as_deref().map(InstanceId::from),
        at: args.at.unwrap_or_else(crate::clock::now),
        rows: match (show.format, &args.backups) {
            (Format::Json, None) => buffered.rows(),
            // Of a large fleet the table has a line an instance.
            (Format::Table, _) if !show.all => ReportDetail::UpTo(MOST_ROWS),
            // A table is sorted; and a file's backups are in memory already, so that packing their decisions saves nothing but takes time.
            (Format::Table, _) | (Format::Json, Some(_)) => ReportDetail::All,
        },
    };
    let kind = match &args.backups {
        Some(_) => ReportKind::Offline,
        None => ReportKind::Plan,
    };
    let report = context::with_backups(args.backups.as_deref(), |source| plan::plan(&config, request, source))?;
    let shown = show_report(&report, &buffered, kind, (&show, config.price.as_ref()), global);
    // The process ends now: giving back the memory of a million rows one by one would only take time.
    std::mem::forget((report, buffered));
    shown
}

/// The policies named on the command line; none named is all of them.
pub(super) fn policies(names: &[String]) -> Option<Vec<PolicyName>> {
    (!names.is_empty()).then(|| names.iter().map(|name| PolicyName::from(name.as_str())).collect())
}
