//! `forecast`: when each backup goes, and how many and how much stays, by playing the runs to come. Writes nothing.

use std::collections::HashMap;
use std::sync::Arc;
use std::thread;

use chrono::{DateTime, TimeDelta, Utc};
use serde::{Serialize, Serializer};

use super::error::Error;
use super::inventory::{InstanceBackups, Inventory};
use super::pace::usual_interval_of;
use crate::config::{Config, PolicyEntry};
use crate::retention::forecast::{Expiry, ForecastInput, Future, forecast as simulate};
use crate::retention::report::{Skip, Tally};
use crate::retention::streams::is_in_scope;
use crate::retention::view::{BackupView, JsonTime, stamp};
use crate::retention::weeks::{Week, Weeks};
use crate::retention::{Hold, Instance, Mode, Policy, PolicyName};
use crate::run::{self, GracePeriods};
use crate::wording::Natural;
use crate::wording::money::Price;
use crate::wording::times::interval;

/// Runs that are closer than this are taken as one: the answer is a day.
const CLOSEST_RUNS: TimeDelta = TimeDelta::hours(1);

/// What to look at, and how far ahead.
#[derive(Clone, Debug)]
pub struct ForecastRequest {
    /// Places of the policies that are asked about.
    policies: Vec<usize>,
    /// Where it begins.
    from: DateTime<Utc>,
    /// Where it ends.
    until: DateTime<Utc>,
    /// At which interval one more backup is assumed on each instance.
    backup_every: Option<TimeDelta>,
}

impl ForecastRequest {
    /// With one more backup on each instance at the interval at which most of them are made of late, where there is one.
    #[must_use]
    pub fn at_usual_pace(mut self, config: &Config, inventory: &Inventory) -> Self {
        self.backup_every = usual_interval_of(config, inventory, &self.policies, self.from);
        self
    }

    /// With one more backup on each instance at this interval.
    #[must_use]
    pub fn at_pace(mut self, every: Option<TimeDelta>) -> Self {
        self.backup_every = every;
        self
    }

    /// About these policies, or all where none is named.
    pub fn new(
        config: &Config,
        policies: Option<&[PolicyName]>,
        from: DateTime<Utc>,
        days: u32,
        backup_every: Option<TimeDelta>,
    ) -> Result<Self, Error> {
        run::check_policy_names(policies, config)?;
        let place = |name: &PolicyName| config.policies.iter().position(|entry| entry.policy.name == *name);
        let policies = match policies {
            Some(names) => names.iter().filter_map(place).collect(),
            None => (0..config.policies.len()).collect(),
        };
        let until = from.checked_add_signed(TimeDelta::days(i64::from(days)));
        Ok(Self {
            policies,
            from,
            until: until.ok_or(Error::BeyondCalendar)?,
            backup_every,
        })
    }
}

/// One instance's backups with their futures.
#[derive(Debug)]
pub struct InstanceFutures {
    /// The instance.
    pub instance: Arc<Instance>,
    /// What becomes of its backups, the assumed ones included.
    pub futures: Vec<Future>,
}

/// What a forecast says.
#[derive(Debug, Serialize)]
pub struct Forecast {
    /// Where it begins.
    #[serde(rename = "at", serialize_with = "stamp")]
    pub from: DateTime<Utc>,
    /// Where it ends.
    #[serde(serialize_with = "stamp")]
    pub until: DateTime<Utc>,
    /// At which interval one more backup is assumed on each instance.
    #[serde(serialize_with = "written_interval")]
    pub backup_every: Option<TimeDelta>,
    /// What storage costs.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub price: Option<Price>,
    /// Those of the policies asked about that are in dry-run.
    pub dry_run: Vec<PolicyName>,
    /// What there is at the beginning.
    pub now: Tally,
    /// Week by week.
    pub weeks: Vec<Week>,
    /// Backup by backup.
    #[serde(rename = "backups", serialize_with = "real_backups")]
    pub instances: Vec<InstanceFutures>,
    /// What could not be read.
    pub skipped: Vec<Skip>,
}

#[expect(clippy::ref_option, reason = "as serde calls it")]
fn written_interval<S: Serializer>(every: &Option<TimeDelta>, serializer: S) -> Result<S::Ok, S::Error> {
    every.map(interval).serialize(serializer)
}

/// The backups that are there now; the assumed ones are in the weeks.
fn real_backups<S: Serializer>(instances: &[InstanceFutures], serializer: S) -> Result<S::Ok, S::Error> {
    #[derive(Serialize)]
    struct View<'a> {
        #[serde(flatten)]
        backup: BackupView<'a>,
        /// `null`: not before the forecast ends.
        goes_at: Option<JsonTime>,
        expired_at: Option<JsonTime>,
        policy: Option<&'a PolicyName>,
        rule: Option<&'static str>,
    }
    serializer.collect_seq(real(instances).map(|(instance, future)| {
        let departure = future.departure.as_ref();
        View {
            backup: BackupView::of(instance, &future.backup),
            goes_at: departure.map(|departure| JsonTime(departure.at)),
            expired_at: departure.map(|departure| JsonTime(departure.expired_at)),
            policy: departure.map(|departure| &departure.policy),
            rule: departure.map(|departure| departure.reason.key()),
        }
    }))
}

fn real(instances: &[InstanceFutures]) -> impl Iterator<Item = (&Instance, &Future)> {
    instances
        .iter()
        .flat_map(|of| of.futures.iter().map(move |future| (&*of.instance, future)))
        .filter(|(_, future)| !future.assumed)
}

/// A backup that goes.
pub type Going<'a> = (&'a Instance, &'a Future, &'a Expiry);

impl Forecast {
    /// The backups that are there now, with what becomes of them.
    pub fn real(&self) -> impl Iterator<Item = (&Instance, &Future)> {
        real(&self.instances)
    }

    /// Those of them that go, the first first.
    pub fn going(&self) -> Vec<Going<'_>> {
        let mut going: Vec<Going<'_>> = self
            .real()
            .filter_map(|(instance, future)| Some((instance, future, future.departure.as_ref()?)))
            .collect();
        going.sort_by(|(a, x, p), (b, y, q)| {
            let (x, y) = (&x.backup, &y.backup);
            (p.at, Natural(&a.name), &a.id, x.begin, &x.id).cmp(&(q.at, Natural(&b.name), &b.id, y.begin, &y.id))
        });
        going
    }
}

/// Plays the runs to come on what was gathered.
pub fn forecast(config: &Config, inventory: &Inventory, request: &ForecastRequest) -> Result<Forecast, Error> {
    let ForecastRequest {
        policies,
        from,
        until,
        backup_every,
    } = request;
    let instances = forecast_inventory(config, inventory, policies, (*from, *until), *backup_every)?;
    let mut weeks = Weeks::new(*from, *until);
    instances
        .iter()
        .flat_map(|of| &of.futures)
        .for_each(|future| weeks.add(future));
    let (now, weeks) = weeks.close();
    let policies = policies.iter().map(|place| &config.policies[*place].policy);
    Ok(Forecast {
        from: *from,
        until: *until,
        backup_every: *backup_every,
        price: config.price.clone(),
        dry_run: policies
            .filter(|policy| policy.mode == Mode::DryRun)
            .map(|policy| policy.name.clone())
            .collect(),
        now,
        weeks,
        instances,
        skipped: inventory.skipped.clone(),
    })
}

/// The moments at which a policy runs: by its schedule, else daily. Not more than one an hour.
fn runs_of(entry: &PolicyEntry, from: DateTime<Utc>, until: DateTime<Utc>) -> Vec<DateTime<Utc>> {
    let mut runs = Vec::new();
    let mut after = from;
    loop {
        let next = match &entry.schedule {
            Some(schedule) => schedule.next_after(after, entry.policy.zone),
            None => after.checked_add_signed(TimeDelta::days(1)),
        };
        let Some(next) = next.filter(|next| *next <= until) else {
            return runs;
        };
        runs.push(next);
        after = match entry.schedule {
            Some(_) => next + (CLOSEST_RUNS - TimeDelta::seconds(1)),
            None => next,
        };
    }
}

/// Simulates every instance that a policy claims; of their backups, those that a wanted policy has in its scope.
pub(super) fn forecast_inventory(
    config: &Config,
    inventory: &Inventory,
    wanted: &[usize],
    (from, until): (DateTime<Utc>, DateTime<Utc>),
    every: Option<TimeDelta>,
) -> Result<Vec<InstanceFutures>, Error> {
    let runs = config.policies.iter().map(|entry| runs_of(entry, from, until));
    forecast_runs(config, inventory, wanted, runs.collect(), (from, until), every)
}

/// The same with runs at these moments, one list a policy of the configuration.
pub(super) fn forecast_runs(
    config: &Config,
    inventory: &Inventory,
    wanted: &[usize],
    runs: Vec<Vec<DateTime<Utc>>>,
    (from, until): (DateTime<Utc>, DateTime<Utc>),
    every: Option<TimeDelta>,
) -> Result<Vec<InstanceFutures>, Error> {
    let mut grace = Vec::new();
    for entry in &config.policies {
        grace.push(match &inventory.ledger {
            Some(ledger) => GracePeriods::load(ledger, entry, &config.holds, from)?,
            None => GracePeriods::default(),
        });
    }
    let forecaster = Forecaster {
        config,
        inventory,
        wanted,
        runs,
        grace,
        holds: inventory.holds(config),
        from,
        until,
        every,
    };
    // Instances are independent, so every processor takes a share.
    let workers = thread::available_parallelism().map_or(1, usize::from);
    let share = inventory.instances.len().div_ceil(workers).max(1);
    thread::scope(|scope| {
        let parts: Vec<_> = inventory
            .instances
            .chunks(share)
            .map(|part| scope.spawn(|| part.iter().filter_map(|of| forecaster.forecast(of)).collect::<Vec<_>>()))
            .collect();
        let mut forecasts = Vec::new();
        for part in parts {
            let part = part.join();
            forecasts.extend(part.map_err(|_| Error::ForecastPanicked)?);
        }
        Ok(forecasts)
    })
}

struct Forecaster<'a> {
    config: &'a Config,
    inventory: &'a Inventory,
    wanted: &'a [usize],
    runs: Vec<Vec<DateTime<Utc>>>,
    grace: Vec<GracePeriods>,
    holds: Vec<Hold>,
    from: DateTime<Utc>,
    until: DateTime<Utc>,
    every: Option<TimeDelta>,
}

impl Forecaster<'_> {
    fn forecast(&self, InstanceBackups { instance, backups }: &InstanceBackups) -> Option<InstanceFutures> {
        let claiming = self.inventory.claiming(self.config, instance);
        let policy = |place: &usize| Arc::clone(&self.config.policies[*place].policy);
        let policies: Vec<Arc<Policy>> = claiming.iter().map(policy).collect();
        let wanted: Vec<Arc<Policy>> = claiming
            .iter()
            .filter(|place| self.wanted.contains(place))
            .map(policy)
            .collect();
        if wanted.is_empty() {
            return None;
        }
        let runs: Vec<&[DateTime<Utc>]> = claiming.iter().map(|place| self.runs[*place].as_slice()).collect();
        let none = HashMap::new();
        let of = |place: &usize| self.grace[*place].of(instance);
        let grace: Vec<_> = claiming
            .iter()
            .map(|place| of(place).map_or(&none, |of| &of.running))
            .collect();
        let mut futures = simulate(&ForecastInput {
            instance,
            backups,
            holds: &self.holds,
            policies: &policies,
            runs: &runs,
            grace: &grace,
            from: self.from,
            until: self.until,
            every: self.every,
        });
        futures.retain(|future| is_in_scope(&wanted, &future.backup));
        Some(InstanceFutures {
            instance: Arc::clone(instance),
            futures,
        })
    }
}
