//! `forecast`: when each backup goes, and how many and how much stays. Writes nothing.

use chrono::TimeDelta;

use super::args::{ForecastArgs, Format, Global};
use super::failure::CommandResult;
use super::output::stdout::{Out, finish};
use super::output::{forecast, json, left_out};
use super::{context, exit, plan};
use crate::operations::forecast::{self as operation, ForecastRequest};
use crate::operations::inventory::Inventory;

pub(super) fn forecast(args: &ForecastArgs, global: &Global) -> CommandResult {
    let config = context::configuration(global)?;
    context::log(global)?;
    let from = args.at.unwrap_or_else(crate::clock::now);
    let every = args
        .backup_every
        .map(|span| TimeDelta::seconds(i64::try_from(span.approximate_seconds()).unwrap_or(i64::MAX / 1_000)));
    let policies = plan::policies(&args.policies);
    let request = ForecastRequest::new(&config, policies.as_deref(), from, args.days, every)?;
    let inventory = context::with_backups(args.backups.as_deref(), |source| {
        Inventory::gather(&config, config.policies.clone(), None, from, source)
    })?;
    left_out::note(&inventory.skipped);
    let forecast = operation::forecast(&config, &inventory, &request)?;
    let mut out = Out::of(args.show.format, global.color);
    let written = match args.show.format {
        Format::Json => json::write(&mut out, &forecast),
        Format::Table => {
            let theme = out.theme_of_report(global, &args.show);
            forecast::draw(&mut out, &forecast, &theme)
        }
    };
    finish(out, written, exit::of_inventory(&forecast.skipped))
}
