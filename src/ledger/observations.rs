//! What listings showed: instances, and counts that were believed. Of backups: `observed`.
//!
//! The chain has sums of it (`observed_chain`).

use std::collections::HashMap;
use std::ops::ControlFlow;
use std::sync::Arc;

use chrono::{DateTime, TimeDelta, Utc};

use super::observed_backups::note_listings;
use super::records::IntentBody;
use super::request_state::RequestState;
use super::sql::{FoundRow, Tx};
use super::sql_value::{Stamp, from_column, to_column};
use super::{Error, Ledger, chain, observed_chain, rows};
use crate::retention::{BackupId, Engine, Instance, InstanceId, InstanceLife, ProjectName};

/// An instance as it was last listed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SeenInstance {
    /// Last seen name, engine, tags and enterprise project. `life` is `Listed`: whether it is deleted, the caller asks.
    pub instance: Instance,
    /// When it was last listed.
    pub seen_at: DateTime<Utc>,
    /// How many listings since then did not have it.
    pub missed: u32,
    /// The first of those.
    pub missed_since: Option<DateTime<Utc>>,
    /// The last of those.
    pub missed_last: Option<DateTime<Utc>>,
}

impl SeenInstance {
    /// Whether it was missed by three listings over at least 24 hours until `now`. It is deleted if its id then finds nothing,
    /// too.
    pub fn is_long_missed(&self, now: DateTime<Utc>) -> bool {
        match (self.missed_since, self.missed_last) {
            // A last time ahead of now was noted by a wrong clock.
            (Some(first), Some(last)) => self.missed >= 3 && last.min(now) - first >= TimeDelta::hours(24),
            _ => false,
        }
    }

    /// Deleted, as far as lists tell, once it was missed for long.
    pub fn life(&self, now: DateTime<Utc>) -> InstanceLife {
        match self.missed_since {
            Some(missed_since) if self.is_long_missed(now) => InstanceLife::Deleted { missed_since },
            _ => InstanceLife::Listed,
        }
    }
}

/// A count that was believed, for the shrink guard.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Believed {
    /// Manual backups of the instance, or instances of the project; `None` when no listing was believed yet.
    pub count: Option<u64>,
    /// When it was believed.
    pub at: Option<DateTime<Utc>>,
    /// How many of the instance's backups this program sent that may have gone since: accepted or unanswered and not
    /// settled, or confirmed since. 0 for a project.
    pub sent: u64,
    /// Since when listings are disbelieved for having shrunk.
    pub shrunk_since: Option<DateTime<Utc>>,
}

/// All believed counts of a project.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct BelievedCounts {
    /// Of its list of instances.
    pub instances: Option<Believed>,
    /// Of the manual backups of each instance.
    pub backups: HashMap<InstanceId, Believed>,
}

/// A backup that a listing has shown or that was sent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KnownBackup {
    /// Its project.
    pub project: ProjectName,
    /// Its instance.
    pub instance: InstanceId,
}

/// A backup as a run last listed it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SeenBackup {
    /// Its instance.
    pub instance: InstanceId,
    /// Its id.
    pub backup: BackupId,
    /// Its name.
    pub name: String,
    /// When it began; `None` before a believed time was seen.
    pub begin: Option<DateTime<Utc>>,
}

impl SeenBackup {
    fn read(row: &FoundRow<'_>) -> Result<Self, Error> {
        Ok(Self {
            instance: InstanceId::from(row.get::<String>(0)?),
            backup: BackupId::from(row.get::<String>(1)?),
            name: row.get(2)?,
            begin: row.get::<Option<Stamp>>(3)?.map(|at| at.0),
        })
    }
}

impl Ledger {
    /// Every backup that the last listings showed.
    pub fn known_backups(&self) -> Result<Vec<SeenBackup>, Error> {
        self.read(|tx| {
            let sql =
                "SELECT instance, backup, name, begin FROM seen_backup WHERE gone_since IS NULL ORDER BY instance, backup";
            tx.all(sql, (), SeenBackup::read)
        })
    }

    /// Visits every backup that the last listings showed, until the visitor has enough. Keeps nothing of it.
    pub fn each_known_backup(&self, mut visit: impl FnMut(&SeenBackup) -> bool) -> Result<(), Error> {
        self.read(|tx| {
            let sql = "SELECT instance, backup, name, begin FROM seen_backup WHERE gone_since IS NULL";
            tx.each(sql, (), |row| {
                Ok(if visit(&SeenBackup::read(row)?) {
                    ControlFlow::Continue(())
                } else {
                    ControlFlow::Break(())
                })
            })
        })
    }

    /// Every instance of the project that was ever listed and not forgotten.
    pub fn seen_instances(&self, project: &ProjectName) -> Result<Vec<SeenInstance>, Error> {
        self.read(|tx| {
            let sql = "SELECT instance, name, tags, enterprise_project, seen_at, missed, missed_since, missed_last, engine \
                 FROM seen_instance WHERE project = ?1 ORDER BY instance";
            tx.all(sql, [project.as_str()], |row| {
                let tags: String = row.get(2)?;
                Ok(SeenInstance {
                    instance: Instance {
                        project: project.clone(),
                        id: InstanceId::from(row.get::<String>(0)?),
                        name: Arc::from(row.get::<String>(1)?),
                        engine: row.get::<Option<String>>(8)?.map_or(Engine::SqlServer, |engine| Engine::parse(&engine)),
                        tags: serde_json::from_str(&tags)?,
                        enterprise_project: row.get(3)?,
                        life: InstanceLife::Listed,
                    },
                    seen_at: row.get::<Stamp>(4)?.0,
                    missed: row.get(5)?,
                    missed_since: row.get::<Option<Stamp>>(6)?.map(|at| at.0),
                    missed_last: row.get::<Option<Stamp>>(7)?.map(|at| at.0),
                })
            })
        })
    }

    /// Whether a backup was ever listed or sent, and where: `hold` of an id never seen needs `--force`.
    pub fn known_backup(&self, backup: &BackupId) -> Result<Option<KnownBackup>, Error> {
        self.read(|tx| {
            let sql = "SELECT project, instance FROM seen_backup WHERE backup = ?1 AND gone_since IS NULL LIMIT 1";
            let listed = tx.first(sql, [backup.as_str()], |row| {
                Ok(KnownBackup {
                    project: ProjectName::from(row.get::<String>(0)?),
                    instance: InstanceId::from(row.get::<String>(1)?),
                })
            })?;
            if listed.is_some() {
                return Ok(listed);
            }
            let Some(request) = super::archive::intents_of(tx, backup)?.pop() else {
                return Ok(None);
            };
            let IntentBody { project, items, .. } = rows::body(tx, request)?;
            let item = items.into_iter().find(|item| item.backup == *backup);
            Ok(item.map(|item| KnownBackup {
                project,
                instance: item.instance,
            }))
        })
    }

    /// When a backup was first missed that is listed no more, as long as that is remembered.
    pub fn gone_since(&self, backup: &BackupId) -> Result<Option<DateTime<Utc>>, Error> {
        self.read(|tx| {
            let sql = "SELECT MAX(gone_since) FROM seen_backup WHERE backup = ?1";
            let since: Option<Option<Stamp>> = tx.value(sql, [backup.as_str()])?;
            Ok(since.flatten().map(|since| since.0))
        })
    }

    /// What was last believed of a project.
    pub fn believed(&self, project: &ProjectName) -> Result<BelievedCounts, Error> {
        self.read(|tx| {
            let mut unsettled: HashMap<InstanceId, u64> = HashMap::new();
            for request_state in RequestState::unsettled(tx)? {
                for place in request_state.places.iter().filter(|place| place.state.is_unsettled()) {
                    *unsettled.entry(request_state.instance_of(place).clone()).or_default() += 1;
                }
            }
            let sql = "SELECT b.instance, b.count, b.at, b.shrunk_since, (SELECT CAST(COALESCE(SUM(c.ids), 0) AS BIGINT) FROM confirmed c \
                    WHERE c.instance = b.instance AND c.seq > COALESCE(b.seq, 0)) \
                 FROM believed b WHERE b.project = ?1";
            let mut counts = BelievedCounts::default();
            tx.each(sql, [project.as_str()], |row| {
                let instance: String = row.get(0)?;
                let believed = Believed {
                    count: row.get::<Option<i64>>(1)?.map(from_column),
                    at: row.get::<Option<Stamp>>(2)?.map(|at| at.0),
                    shrunk_since: row.get::<Option<Stamp>>(3)?.map(|at| at.0),
                    sent: from_column(row.get(4)?) + unsettled.get(instance.as_str()).copied().unwrap_or_default(),
                };
                if instance.is_empty() {
                    counts.instances = Some(believed);
                } else {
                    counts.backups.insert(InstanceId::from(instance), believed);
                }
                Ok(ControlFlow::Continue(()))
            })?;
            Ok(counts)
        })
    }
}

impl Ledger {
    /// Takes in what a run's listings showed, all of it in one transaction. Fails where something other than this program changed what they
    /// showed before.
    pub fn observe<T>(
        &self,
        now: DateTime<Utc>,
        write: impl FnOnce(&ObservationWriter<'_, '_>) -> Result<T, Error>,
    ) -> Result<T, Error> {
        self.write(|tx| observed_chain::observe(tx, now, || write(&ObservationWriter { tx, now })))
    }
}

/// Takes in what listings showed.
pub struct ObservationWriter<'a, 't> {
    tx: &'a Tx<'t>,
    now: DateTime<Utc>,
}

impl ObservationWriter<'_, '_> {
    /// A believed list of a project's instances of some engines: the listed ones are there, all others of these engines, or of
    /// one that is not known, were missed once more.
    pub fn remember_instances(
        &self,
        project: &ProjectName,
        engines: &[Engine],
        listed: &[Instance],
    ) -> Result<(), Error> {
        let not_asked = Engine::known().filter(|engine| !engines.contains(engine));
        // With none it is one comma: two would hold the empty engine, which is always asked for.
        let not_asked = not_asked.fold(",".to_owned(), |list, engine| list + engine.as_str() + ",");
        self.tx.execute(
            "UPDATE seen_instance SET missed = missed + 1, missed_last = ?2, \
                 missed_since = CASE WHEN missed_since < ?2 THEN missed_since ELSE ?2 END \
                 WHERE project = ?1 AND ?3 NOT LIKE '%,' || COALESCE(engine, 'SQLServer') || ',%'",
            (project.as_str(), Stamp(self.now), not_asked.as_str()),
        )?;
        let tags = listed.iter().map(|instance| serde_json::to_string(&instance.tags));
        let tags = tags.collect::<Result<Vec<_>, _>>()?;
        let rows = listed.iter().zip(&tags).map(|(instance, tags)| {
            (
                project.as_str(),
                instance.id.as_str(),
                &*instance.name,
                tags,
                &instance.enterprise_project,
                Stamp(self.now),
                // An unknown word is worth no more than none.
                if instance.engine.is_known() {
                    instance.engine.as_str()
                } else {
                    ""
                },
            )
        });
        self.tx.execute_each(
            "INSERT INTO seen_instance (project, instance, name, tags, enterprise_project, seen_at, missed, engine) \
                 VALUES (?1, ?2, ?3, ?4, ?5, ?6, 0, ?7) ON CONFLICT (project, instance) DO UPDATE \
                 SET name = excluded.name, tags = excluded.tags, enterprise_project = excluded.enterprise_project, \
                 engine = excluded.engine, seen_at = excluded.seen_at, missed = 0, missed_since = NULL, missed_last = NULL",
                rows,
            )
    }

    /// These instances are there, although the list of instances lacks them: their absence begins with the next miss.
    pub fn restart_absence<'a>(
        &self,
        project: &ProjectName,
        instances: impl Iterator<Item = &'a InstanceId>,
    ) -> Result<(), Error> {
        self.tx.execute_each(
            "UPDATE seen_instance SET seen_at = ?3, missed = 0, missed_since = NULL, missed_last = NULL \
             WHERE project = ?1 AND instance = ?2",
            instances.map(|instance| (project.as_str(), instance.as_str(), Stamp(self.now))),
        )
    }

    /// Forgets an instance of which nothing is left.
    pub fn forget_instance(&self, project: &ProjectName, instance: &InstanceId) -> Result<(), Error> {
        let key = (project.as_str(), instance.as_str());
        for sql in [
            "DELETE FROM seen_instance WHERE project = ?1 AND instance = ?2",
            "DELETE FROM believed WHERE project = ?1 AND instance = ?2",
        ] {
            self.tx.execute(sql, key)?;
        }
        for sql in [
            "DELETE FROM seen_backup WHERE instance = ?1",
            "DELETE FROM seen_sum WHERE instance = ?1",
            "DELETE FROM last_listing WHERE instance = ?1",
            "DELETE FROM listing_doubt WHERE target = ?1",
        ] {
            self.tx.execute(sql, [instance.as_str()])?;
        }
        Ok(())
    }

    /// Counts that are believed: of the list of instances, and of instances' manual backups. Ends their disbelief.
    pub fn accept_count(
        &self,
        project: &ProjectName,
        instances: Option<u64>,
        backups: &[(InstanceId, u64)],
    ) -> Result<(), Error> {
        let (seq, _) = chain::tail(self.tx)?;
        // The list of instances has the empty name.
        let of_project = instances.map(|count| ("", count));
        let of_instances = backups.iter().map(|(instance, count)| (instance.as_str(), *count));
        let rows = of_project.into_iter().chain(of_instances);
        self.tx.execute_each(
            "INSERT INTO believed (project, instance, count, at, seq) VALUES (?1, ?2, ?3, ?4, ?5) \
                 ON CONFLICT (project, instance) DO UPDATE \
                 SET count = excluded.count, at = excluded.at, seq = excluded.seq, shrunk_since = NULL",
            rows.map(|(instance, count)| (project.as_str(), instance, to_column(count), Stamp(self.now), seq)),
        )?;
        // What was confirmed before this listing is in its count.
        self.tx.execute_each(
            "DELETE FROM confirmed WHERE instance = ?1 AND seq <= ?2",
            backups.iter().map(|(instance, _)| (instance.as_str(), seq)),
        )
    }

    /// When these instances were last listed.
    pub fn remember_listings<'a>(&self, instances: impl Iterator<Item = &'a InstanceId>) -> Result<(), Error> {
        // Written by a wrong clock.
        self.tx
            .execute("UPDATE last_listing SET at = ?1 WHERE at > ?1", [Stamp(self.now)])?;
        note_listings(self.tx, instances, self.now)
    }

    /// A listing shrank and is not believed; since when that has been so, never since a time ahead of now. `instance` is `None` for the
    /// project's list of instances.
    pub fn mark_shrunk(&self, project: &ProjectName, instance: Option<&InstanceId>) -> Result<DateTime<Utc>, Error> {
        let instance = instance.map_or("", InstanceId::as_str);
        let since = self.tx.number(
                "INSERT INTO believed (project, instance, shrunk_since) VALUES (?1, ?2, ?3) \
                 ON CONFLICT (project, instance) DO UPDATE SET shrunk_since = \
                 CASE WHEN believed.shrunk_since < excluded.shrunk_since THEN believed.shrunk_since ELSE excluded.shrunk_since END \
                 RETURNING shrunk_since",
                (project.as_str(), instance, Stamp(self.now)),
            )?;
        Ok(DateTime::from_timestamp_micros(since).unwrap_or(self.now))
    }
}
