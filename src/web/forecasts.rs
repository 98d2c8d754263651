//! Forecasts for the pages, made from what the last runs listed, without a request. The same forecast is made once, however often it is
//! shown.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, PoisonError};

use chrono::{DateTime, TimeDelta, Utc};

use crate::blocking::blocking;
use crate::config::Config;
use crate::operations::Error;
use crate::operations::forecast::{ForecastRequest, forecast};
use crate::operations::forecast_picture::ForecastPicture;
use crate::operations::inventory::Inventory;
use crate::operations::next_runs::{NextRun, next_runs};
use crate::retention::{Hold, PolicyName};
use crate::status::{SharedStatus, Status};

/// How far the forecast of a policy reaches: two years.
pub const DAYS: u32 = 731;
/// Of more instances the page assumes no new backups: two years of nightly ones on each take seconds for every hundred.
const MOST_ASSUMED: usize = 100;
/// Forecasts that are kept.
const MAX_PICTURES: usize = 8;

/// What a forecast is made from: while it is the same, so is the forecast.
#[derive(Clone, PartialEq)]
struct Basis {
    sha256: String,
    runs: Vec<(PolicyName, DateTime<Utc>)>,
    holds: Vec<Hold>,
    next: BTreeMap<PolicyName, DateTime<Utc>>,
    day: i64,
}

impl Basis {
    fn of(status: &Status) -> Self {
        let runs = status.reports.iter();
        let next = status.policies.iter();
        Self {
            sha256: status.config.sha256.clone(),
            runs: runs.map(|(name, report)| (name.clone(), report.finished_at)).collect(),
            holds: status.holds.clone(),
            next: next
                .filter_map(|policy| Some((policy.policy.clone(), policy.next_run?)))
                .collect(),
            day: status.at.timestamp() / 86_400,
        }
    }
}

/// The forecasts that were made last.
#[derive(Default)]
pub(super) struct ForecastCache {
    next: Mutex<Option<(Basis, Arc<[NextRun]>)>>,
    pictures: tokio::sync::Mutex<Vec<(PolicyName, Basis, Arc<ForecastPicture>)>>,
}

impl ForecastCache {
    /// What the next runs delete, as it was made last; `None` where it was not.
    pub(super) fn next_runs(&self) -> Option<Arc<[NextRun]>> {
        let known = self.next.lock().unwrap_or_else(PoisonError::into_inner);
        known.as_ref().map(|(_, next)| Arc::clone(next))
    }

    /// Makes that again where what it is made from has changed. May wait for the ledger.
    pub(super) fn update_next_runs(&self, shared: &SharedStatus) {
        let status = shared.status();
        let basis = Basis::of(&status);
        let is_known = |known: &Option<(Basis, _)>| known.as_ref().is_some_and(|(made_from, _)| *made_from == basis);
        if is_known(&self.next.lock().unwrap_or_else(PoisonError::into_inner)) {
            return;
        }
        let listed = listed(&status);
        let next: BTreeMap<PolicyName, DateTime<Utc>> = basis.next.clone();
        let next = next.into_iter().filter(|(name, _)| listed.contains(name)).collect();
        let made = next_runs(&shared.config(), &inventory(shared, &status), status.at, &next);
        if let Some(made) = logged(made) {
            *self.next.lock().unwrap_or_else(PoisonError::into_inner) = Some((basis, made.into()));
        }
    }

    /// The forecast of one policy; `None` where there is no such policy, or its last listing is not in memory. One at a time, and not
    /// while other pages wait: that of a large fleet takes seconds.
    pub(super) async fn picture(
        &self,
        shared: &SharedStatus,
        status: &Status,
        policy: &PolicyName,
    ) -> Option<Arc<ForecastPicture>> {
        if !listed(status).contains(policy) {
            return None;
        }
        let basis = Basis::of(status);
        let mut pictures = self.pictures.lock().await;
        let is_same = |(name, made_from, _): &&(PolicyName, Basis, _)| name == policy && *made_from == basis;
        if let Some((.., picture)) = pictures.iter().find(is_same) {
            return Some(Arc::clone(picture));
        }
        let made = blocking(|| draw_picture(&shared.config(), &inventory(shared, status), policy, status.at));
        let picture = Arc::new(logged(made)?);
        pictures.retain(|(name, made_from, _)| name != policy && made_from.runs == basis.runs);
        if pictures.len() >= MAX_PICTURES {
            pictures.remove(0);
        }
        pictures.push((policy.clone(), basis, Arc::clone(&picture)));
        Some(picture)
    }
}

fn draw_picture(
    config: &Config,
    inventory: &Inventory,
    policy: &PolicyName,
    from: DateTime<Utc>,
) -> Result<ForecastPicture, Error> {
    let request = ForecastRequest::new(
        config,
        Some(std::slice::from_ref(policy)),
        from,
        DAYS,
        None::<TimeDelta>,
    )?;
    let request = if inventory.instances.len() <= MOST_ASSUMED {
        request.at_usual_pace(config, inventory)
    } else {
        request
    };
    let forecast = forecast(config, inventory, &request)?;
    let entry = config.policies.iter().find(|entry| entry.policy.name == *policy);
    let zone = entry.map_or(crate::retention::Zone::UTC, |entry| entry.policy.zone);
    let file = config.path.to_string_lossy().into_owned();
    Ok(ForecastPicture::new(format!("policy {policy}"), file, &forecast, zone))
}

fn inventory(shared: &SharedStatus, status: &Status) -> Inventory {
    Inventory::of_last_runs(&status.reports, shared.placed_holds(), shared.ledger())
}

/// The policies whose last listing is in memory, backup by backup.
fn listed(status: &Status) -> BTreeSet<&PolicyName> {
    let is_listed = |(name, report): &(&PolicyName, &Arc<crate::retention::RunReport>)| {
        let part = report.policies.iter().find(|part| part.policy == **name);
        part.is_some_and(|part| !part.rows.is_empty() || (part.has_read() && part.summary.count() == 0))
    };
    status.reports.iter().filter(is_listed).map(|(name, _)| name).collect()
}

fn logged<T>(made: Result<T, Error>) -> Option<T> {
    made.inspect_err(|error| {
        let error: &(dyn std::error::Error + 'static) = error;
        tracing::warn!(error, "the page has no forecast");
    })
    .ok()
}
