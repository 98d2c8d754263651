//! `forecast`: when each backup goes, and how many and how much stays. Writes nothing.

use std::io::Write as _;

use chrono::TimeDelta;

use super::args::{ForecastArgs, ForecastFormat, Format, Global, ShowArgs};
use super::failure::{CommandResult, Failure};
use super::output::stdout::{Out, finish};
use super::output::{forecast, json, left_out};
use super::{context, exit, plan};
use crate::config::Config;
use crate::operations::diff::policies_of_both;
use crate::operations::forecast::{self as operation, Forecast, ForecastRequest};
use crate::operations::forecast_picture::ForecastPicture;
use crate::operations::inventory::Inventory;
use crate::retention::{PolicyName, Zone};
use crate::web;
use crate::wording::times::common_zone;

/// How far a table or JSON looks, unless it is said.
const DAYS: u32 = 90;

pub(super) fn forecast(args: &ForecastArgs, global: &Global) -> CommandResult {
    let is_html = args.format == ForecastFormat::Html;
    if args.against.is_some() && !is_html {
        let message = "--against shows two configurations beside each other and needs --format html; `diff` compares them as of now";
        return Err(Failure::new(exit::USAGE, message.to_owned()));
    }
    let config = context::configuration(global)?;
    let against = args.against.as_deref().map(context::load_other).transpose()?;
    context::log(global)?;
    let from = args.at.unwrap_or_else(crate::clock::now);
    let every = args
        .backup_every
        .map(|span| TimeDelta::seconds(i64::try_from(span.approximate_seconds()).unwrap_or(i64::MAX / 1_000)));
    let policies = plan::policies(&args.policies);
    let days = args.days.unwrap_or(if is_html { web::DAYS } else { DAYS });
    let request = |config: &Config| ForecastRequest::new(config, policies.as_deref(), from, days, every);
    let mut own = request(&config)?;
    let other = against.as_ref().map(|config| request(config)).transpose()?;
    let inventory = context::with_backups(args.backups.as_deref(), |source| {
        let of_both = against.as_ref().map(|against| policies_of_both(&config, against));
        Inventory::gather(
            &config,
            of_both.unwrap_or_else(|| config.policies.clone()),
            None,
            from,
            source,
        )
    })?;
    left_out::note(&inventory.skipped);
    if is_html && every.is_none() {
        own = own.at_usual_pace(&config, &inventory);
    }
    let made = operation::forecast(&config, &inventory, &own)?;
    let mut out = match args.format {
        ForecastFormat::Table => Out::table(global.color),
        ForecastFormat::Json | ForecastFormat::Html => Out::raw(),
    };
    let written = match args.format {
        ForecastFormat::Json => json::write(&mut out, &made),
        ForecastFormat::Html => {
            let mut picture = picture(&config, policies.as_deref(), &made);
            if let (Some(against), Some(request)) = (&against, other) {
                let request = request.at_pace(made.backup_every);
                let beside = operation::forecast(against, &inventory, &request)?;
                picture = picture.beside(against.path.to_string_lossy().into_owned(), &beside);
            }
            out.write_all(web::page::forecast_document(&picture).as_bytes())
        }
        ForecastFormat::Table => {
            let show = ShowArgs {
                format: Format::Table,
                all: args.all,
                wide: args.wide,
            };
            let theme = out.theme_of_report(global, &show);
            forecast::draw(&mut out, &made, zone_of(&config, policies.as_deref()), &theme)
        }
    };
    finish(out, written, exit::of_inventory(&made.skipped))
}

/// The picture of these policies, or of all.
fn picture(config: &Config, policies: Option<&[PolicyName]>, forecast: &Forecast) -> ForecastPicture {
    let is_asked = |name: &PolicyName| policies.is_none_or(|policies| policies.contains(name));
    let asked = || config.policies.iter().filter(|entry| is_asked(&entry.policy.name));
    let names: Vec<&str> = asked().map(|entry| entry.policy.name.as_str()).collect();
    let subject = match names.as_slice() {
        [one] => format!("policy {one}"),
        _ if policies.is_none() => "all policies".to_owned(),
        several => format!("policies {}", several.join(", ")),
    };
    let file = config.path.to_string_lossy().into_owned();
    ForecastPicture::new(subject, file, forecast, zone_of(config, policies))
}

/// The zone of these policies, or of all.
fn zone_of(config: &Config, policies: Option<&[PolicyName]>) -> Zone {
    let is_asked = |name: &PolicyName| policies.is_none_or(|policies| policies.contains(name));
    let asked = config.policies.iter().filter(|entry| is_asked(&entry.policy.name));
    common_zone(asked.map(|entry| entry.policy.zone))
}
