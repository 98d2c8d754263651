//! Makes up fleets: the same seed and `now` give the same fleet, to the last id.

use chrono::{DateTime, TimeDelta, Utc};
use fastrand::Rng;

use super::model::{Backup, BackupKind, Engine, Instance, InstanceKind, Status};
use super::world::{Id, Record, World};

/// What exists when a simulator starts.
#[derive(Debug, Clone)]
pub enum Fleet {
    /// Made up with everything a real project shows: other engines, replicas, partial and failed backups, automated
    /// ones that the manual listing hides, one under way, deleted instances.
    Seeded {
        /// Instances of SQL Server that can have manual backups.
        instances: usize,
        /// About so many manual backups each.
        backups_per_instance: usize,
    },
    /// Exactly so many SQL Server instances of exactly so many COMPLETED full manual backups, evenly spaced.
    Regular {
        /// Instances.
        instances: usize,
        /// Manual backups of each.
        backups_per_instance: usize,
        /// From one backup to the next, in minutes; the newest is one step old.
        minutes_apart: u32,
    },
    /// These.
    Given {
        /// The instances.
        instances: Vec<Instance>,
        /// Their backups; those of unknown instances and repeated ids are left out.
        backups: Vec<Backup>,
    },
}

const ENVIRONMENTS: [(&str, &str); 3] = [("prod", "0"), ("staging", "2"), ("dev", "3")];
const DATABASES: [&str; 6] = ["crm", "billing", "orders", "reporting", "identity", "archive"];
const VERSIONS: [&str; 4] = ["2017_SE", "2019_EE", "2019_SE", "2022_WEB"];

impl Fleet {
    pub(super) fn build(self, seed: u64, now: DateTime<Utc>) -> World {
        let mut world = World::default();
        let rng = Rng::with_seed(seed);
        match self {
            Self::Given { instances, backups } => {
                for instance in instances {
                    world.add_instance(instance, "backup");
                }
                for backup in backups {
                    world.add_backup(backup);
                }
            }
            Self::Regular {
                instances,
                backups_per_instance,
                minutes_apart,
            } => {
                regular(&mut world, rng, now, instances, backups_per_instance, minutes_apart);
            }
            Self::Seeded {
                instances,
                backups_per_instance,
            } => {
                Maker {
                    world: &mut world,
                    rng,
                    now,
                }
                .fleet(instances, backups_per_instance);
            }
        }
        world
    }
}

fn instance_id(rng: &mut Rng, engine: Engine) -> String {
    format!("{:032x}in{}", rng.u128(..), engine.digits())
}

fn backup_id(rng: &mut Rng, engine: Engine) -> Id {
    let digits = engine.digits().as_bytes().try_into().unwrap_or(*b"04");
    Id::Usual(rng.u128(..).to_be_bytes(), digits)
}

fn completed(id: Id, begin: DateTime<Utc>, took: u32, size_kb: u64) -> Record {
    Record {
        id,
        name: None,
        databases: Box::default(),
        begin: begin.timestamp(),
        size_kb,
        took: Some(took),
        kind: BackupKind::Manual,
        status: Status::Completed,
    }
}

fn regular(world: &mut World, mut rng: Rng, now: DateTime<Utc>, instances: usize, backups: usize, apart: u32) {
    for number in 0..instances {
        let id = instance_id(&mut rng, Engine::SqlServer);
        let created = now - TimeDelta::days(3650);
        if !world.add_instance(
            Instance::sql_server(&id, &format!("mssql-{:05}", number + 1), created),
            "backup",
        ) {
            continue;
        }
        let home = world.homes.len() - 1;
        world.homes[home].records.reserve_exact(backups);
        for step in (1..=i64::try_from(backups).unwrap_or(i64::MAX)).rev() {
            let begin = now - TimeDelta::minutes(i64::from(apart) * step);
            let id = backup_id(&mut rng, Engine::SqlServer);
            world.add_record(home, completed(id, begin, 60, 1024 * 1024));
        }
    }
}

/// Makes up a realistic fleet.
struct Maker<'a> {
    world: &'a mut World,
    rng: Rng,
    now: DateTime<Utc>,
}

impl Maker<'_> {
    fn fleet(&mut self, instances: usize, backups: usize) {
        for number in 0..instances {
            let (environment, project) = ENVIRONMENTS[self.rng.usize(..ENVIRONMENTS.len())];
            let name = format!("mssql-{environment}-{}", number + 1);
            let mut instance = self.instance(&name, Engine::SqlServer, (environment, project));
            if self.rng.u8(..4) == 0 {
                instance.kind = InstanceKind::Ha;
            }
            // A deleted instance or two, but never the first: a fleet of one should show something.
            instance.deleted = number > 0 && number % 25 == 7;
            let deleted = instance.deleted;
            let prefix = ["nightly", "before_release", "evening", "manual"][self.rng.usize(..4)];
            self.home(instance, prefix, backups);
            if number % 10 == 4 && !deleted {
                let name = format!("{name}-replica");
                let mut replica = self.instance(&name, Engine::SqlServer, (environment, project));
                replica.kind = InstanceKind::Replica;
                self.world.add_instance(replica, prefix);
            }
            if number % 5 == 2 {
                let engine = if number % 20 == 12 {
                    Engine::MariaDb
                } else if number % 2 == 0 {
                    Engine::MySql
                } else {
                    Engine::PostgreSql
                };
                let name = format!("{}-{environment}-{}", engine.name().to_lowercase(), number + 1);
                let other = self.instance(&name, engine, (environment, project));
                self.home(other, "manual", backups.min(5));
            }
        }
    }

    fn instance(&mut self, name: &str, engine: Engine, (environment, project): (&str, &str)) -> Instance {
        let created = self.now - TimeDelta::days(self.rng.i64(400..1500));
        let mut instance = Instance::sql_server(&instance_id(&mut self.rng, engine), name, created);
        instance.engine = engine;
        instance.every = Some(TimeDelta::days(1));
        instance.version = match engine {
            Engine::SqlServer => VERSIONS[self.rng.usize(..VERSIONS.len())].to_owned(),
            Engine::MySql => "8.0".to_owned(),
            Engine::PostgreSql => "15".to_owned(),
            Engine::MariaDb => "10.5".to_owned(),
        };
        project.clone_into(&mut instance.enterprise_project);
        instance.tags.push(("env".to_owned(), environment.to_owned()));
        if self.rng.bool() {
            let team = ["finance", "sales", "platform"][self.rng.usize(..3)];
            instance.tags.push(("team".to_owned(), team.to_owned()));
        }
        instance
    }

    /// An instance with its backups, one about every day and irregular by minutes, the oldest first.
    fn home(&mut self, instance: Instance, prefix: &str, backups: usize) {
        let engine = instance.engine;
        let deleted = instance.deleted;
        if !self.world.add_instance(instance, prefix) {
            return;
        }
        let home = self.world.homes.len() - 1;
        let base_kb = self.rng.u64(200_000..80_000_000);
        for day in (0..i64::try_from(backups).unwrap_or(i64::MAX)).rev() {
            let begin = self.now - TimeDelta::days(day) - TimeDelta::seconds(self.rng.i64(3600..3600 * 9));
            let size = base_kb + self.rng.u64(..base_kb / 5);
            let took = self.rng.u32(180..5400);
            let mut record = completed(backup_id(&mut self.rng, engine), begin, took, size);
            self.vary(&mut record, day, deleted);
            self.world.add_record(home, record);
            // Automated backups exist too; a listing of manual ones must not show them.
            if !deleted && day < 7 {
                let mut auto = completed(
                    backup_id(&mut self.rng, engine),
                    begin + TimeDelta::hours(1),
                    took,
                    size,
                );
                auto.kind = if day % 3 == 0 {
                    BackupKind::Fragment
                } else {
                    BackupKind::Auto
                };
                auto.name = Some(format!("sqlserver-auto-{}", auto.begin).into());
                self.world.add_record(home, auto);
            }
        }
    }

    /// About 3 % failed, about 6 % partial, now and then one of its own name, seldom one still being made.
    fn vary(&mut self, record: &mut Record, day: i64, deleted: bool) {
        match self.rng.u8(..100) {
            0..3 => record.status = Status::Failed,
            3..9 => {
                let first = self.rng.usize(..DATABASES.len() - 1);
                let several = 1 + self.rng.usize(..2);
                record.databases = DATABASES[first..first + several]
                    .iter()
                    .map(|name| Box::from(*name))
                    .collect();
                record.size_kb /= 10;
                record.name = Some(format!("{}_only_{}", DATABASES[first], record.begin).into());
            }
            9..12 => record.name = Some(format!("before_upgrade_{}", record.begin).into()),
            12..22 if day == 0 && !deleted => {
                record.status = Status::Building;
                record.took = None;
                record.begin = self.now.timestamp() - 300;
            }
            _ => {}
        }
    }
}
