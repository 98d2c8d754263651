//! A forecast as it is drawn: what goes on which day, and what is there week by week; under one configuration, or two beside each
//! other.

use std::collections::BTreeMap;

use chrono::{DateTime, NaiveDate, TimeDelta, Utc};

use super::forecast::Forecast;
use crate::retention::report::Tally;
use crate::retention::weeks::Week;
use crate::retention::{PolicyName, Zone};
use crate::wording::money::Price;

/// Names of backups that are kept for one day.
const MOST_NAMES: usize = 5;

/// What a picture shows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ForecastPicture {
    /// What it is about: `policy production`, `all policies`.
    pub subject: String,
    /// Where it begins.
    pub from: DateTime<Utc>,
    /// Where it ends.
    pub until: DateTime<Utc>,
    /// The zone of its days.
    pub zone: Zone,
    /// At which interval one more backup is assumed on each instance.
    pub backup_every: Option<TimeDelta>,
    /// What storage costs.
    pub price: Option<Price>,
    /// The configuration in force, and perhaps another.
    pub sides: Vec<PictureSide>,
    /// How many instances and projects could not be read.
    pub unread: usize,
}

/// What one configuration does.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PictureSide {
    /// The configuration's file.
    pub file: String,
    /// Its policies that are in dry-run.
    pub dry_run: Vec<PolicyName>,
    /// What there is at the beginning.
    pub now: Tally,
    /// Week by week, the assumed backups included.
    pub weeks: Vec<Week>,
    /// Of today's backups: what goes on which day.
    pub days: BTreeMap<NaiveDate, GoingOnDay>,
    /// Of today's backups: what stays until the end.
    pub stays: Tally,
}

/// What goes on one day.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct GoingOnDay {
    /// How many, and how much.
    pub goes: Tally,
    /// The first of them: instance and backup.
    pub names: Vec<(String, String)>,
}

impl ForecastPicture {
    /// Of a forecast, under a configuration's file.
    pub fn new(subject: String, file: String, forecast: &Forecast, zone: Zone) -> Self {
        Self {
            subject,
            from: forecast.from,
            until: forecast.until,
            zone,
            backup_every: forecast.backup_every,
            price: forecast.price.clone(),
            sides: vec![PictureSide::of(file, forecast, zone)],
            unread: forecast.skipped.len(),
        }
    }

    /// With another configuration beside it.
    #[must_use]
    pub fn beside(mut self, file: String, forecast: &Forecast) -> Self {
        self.sides.push(PictureSide::of(file, forecast, self.zone));
        self
    }
}

impl PictureSide {
    fn of(file: String, forecast: &Forecast, zone: Zone) -> Self {
        let mut days: BTreeMap<NaiveDate, GoingOnDay> = BTreeMap::new();
        for (instance, future, departure) in forecast.going() {
            let day = days.entry(zone.wall(departure.at).date()).or_default();
            day.goes.add(future.backup.size_bytes);
            if day.names.len() < MOST_NAMES {
                day.names
                    .push((instance.name.to_string(), future.backup.name.to_string()));
            }
        }
        let mut stays = Tally::default();
        for (_, future) in forecast.real().filter(|(_, future)| future.departure.is_none()) {
            stays.add(future.backup.size_bytes);
        }
        Self {
            file,
            dry_run: forecast.dry_run.clone(),
            now: forecast.now,
            weeks: forecast.weeks.clone(),
            days,
            stays,
        }
    }

    /// What is there at the end.
    pub fn left(&self) -> Tally {
        self.weeks.last().map_or(self.now, |week| week.left)
    }
}
