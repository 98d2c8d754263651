//! How the simulated cloud is stored: lean enough for ten thousand instances of two hundred backups.
//!
//! This file keeps the world consistent (ids, order, deletions under way). It knows nothing of HTTP.

use std::collections::{HashMap, HashSet, VecDeque};
use std::fmt;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::time::{Duration, Instant as Monotonic};

use chrono::{DateTime, Utc};
use serde_json::Value;

use super::model::{Backup, BackupKind, Instance, Status};

/// A backup's id: 32 hexadecimal digits and a suffix take 17 bytes, any other text what it takes.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) enum Id {
    Usual([u8; 16], [u8; 2]),
    Odd(Box<str>),
}

impl Id {
    pub(super) fn new(text: &str) -> Self {
        let usual = || {
            let (hexadecimal, rest) = text.split_at_checked(32)?;
            let digits: [u8; 2] = rest.strip_prefix("br")?.as_bytes().try_into().ok()?;
            let mut bytes = [0; 16];
            hex::decode_to_slice(hexadecimal, &mut bytes).ok()?;
            // Capital letters would come back as small ones.
            (!hexadecimal.bytes().any(|byte| byte.is_ascii_uppercase()) && digits.is_ascii())
                .then_some(Self::Usual(bytes, digits))
        };
        usual().unwrap_or_else(|| Self::Odd(text.into()))
    }

    fn key(&self) -> u64 {
        let mut hasher = DefaultHasher::new();
        self.hash(&mut hasher);
        hasher.finish()
    }
}

impl fmt::Display for Id {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Usual(bytes, digits) => {
                write!(formatter, "{}br{}", hex::encode(bytes), String::from_utf8_lossy(digits))
            }
            Self::Odd(text) => formatter.write_str(text),
        }
    }
}

/// A backup as stored. A name that follows its instance's habit is not stored but made from the time.
#[derive(Debug)]
pub(super) struct Record {
    pub(super) id: Id,
    pub(super) name: Option<Box<str>>,
    pub(super) databases: Box<[Box<str>]>,
    pub(super) begin: i64,
    pub(super) size_kb: u64,
    /// Seconds from begin to end.
    pub(super) took: Option<u32>,
    pub(super) kind: BackupKind,
    pub(super) status: Status,
}

/// An instance with its backups, oldest first.
#[derive(Debug)]
pub(super) struct Home {
    pub(super) instance: Instance,
    /// The habit: backups are named `{prefix}_20260314_0203` unless they have a name of their own.
    pub(super) prefix: String,
    pub(super) records: Vec<Record>,
}

impl Home {
    pub(super) fn backup(&self, record: &Record) -> Backup {
        let begin = DateTime::from_timestamp(record.begin, 0).unwrap_or_default();
        let name = match &record.name {
            Some(name) => name.to_string(),
            None => format!("{}_{}", self.prefix, begin.format("%Y%m%d_%H%M")),
        };
        Backup {
            id: record.id.to_string(),
            instance_id: self.instance.id.clone(),
            name,
            kind: record.kind,
            status: record.status,
            begin,
            end: record
                .took
                .and_then(|took| DateTime::from_timestamp(record.begin + i64::from(took), 0)),
            size_kb: record.size_kb,
            databases: record.databases.iter().map(ToString::to_string).collect(),
        }
    }
}

/// A deletion that was accepted and is not over.
#[derive(Debug)]
struct UnderWay {
    id: Id,
    since: Monotonic,
    at: DateTime<Utc>,
}

/// An accepted deletion.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Deletion {
    /// The backup.
    pub id: String,
    /// The number of the request that asked for it, see [`Call`](super::Call).
    pub call: usize,
    /// When it was accepted, by the simulator's clock.
    pub at: DateTime<Utc>,
}

/// What became of a request to delete one backup.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Verdict {
    Accepted,
    Unknown,
    Building,
    BeingDeleted,
    NotManual,
    OtherEngine,
    InUse,
}

/// Everything that exists.
#[derive(Debug, Default)]
pub(super) struct World {
    pub(super) homes: Vec<Home>,
    by_instance: HashMap<String, usize>,
    /// The hash of a backup's id leads to its instance.
    by_backup: HashMap<u64, u32>,
    under_way: VecDeque<UnderWay>,
    /// Backups that are being made because of a request.
    being_made: VecDeque<UnderWay>,
    /// Backups that a restore reads.
    pub(super) in_use: HashSet<String>,
    /// When instances were deleted, as far as the simulator saw it.
    pub(super) deleted_at: HashMap<String, DateTime<Utc>>,
    pub(super) deletions: Vec<Deletion>,
    /// What is laid over an entry's JSON before it is sent, by id.
    pub(super) patches: HashMap<String, Value>,
}

impl World {
    /// False when there is one of this id already.
    pub(super) fn add_instance(&mut self, instance: Instance, prefix: &str) -> bool {
        if self.by_instance.contains_key(&instance.id) {
            return false;
        }
        self.by_instance.insert(instance.id.clone(), self.homes.len());
        self.homes.push(Home {
            instance,
            prefix: prefix.to_owned(),
            records: Vec::new(),
        });
        true
    }

    /// False when its instance is unknown or there is a backup of this id already.
    pub(super) fn add_backup(&mut self, backup: Backup) -> bool {
        let Some(&home) = self.by_instance.get(&backup.instance_id) else {
            return false;
        };
        let seconds = |end: DateTime<Utc>| u32::try_from((end - backup.begin).num_seconds()).ok();
        let record = Record {
            id: Id::new(&backup.id),
            name: Some(backup.name.into()),
            databases: backup.databases.into_iter().map(String::into_boxed_str).collect(),
            begin: backup.begin.timestamp(),
            size_kb: backup.size_kb,
            took: backup.end.and_then(seconds),
            kind: backup.kind,
            status: backup.status,
        };
        self.add_record(home, record)
    }

    pub(super) fn add_record(&mut self, home: usize, record: Record) -> bool {
        let Ok(number) = u32::try_from(home) else { return false };
        let key = record.id.key();
        if self.by_backup.contains_key(&key) {
            return false;
        }
        self.by_backup.insert(key, number);
        let records = &mut self.homes[home].records;
        let place = records.partition_point(|other| other.begin <= record.begin);
        records.insert(place, record);
        true
    }

    pub(super) fn home(&self, instance: &str) -> Option<&Home> {
        self.by_instance.get(instance).map(|&place| &self.homes[place])
    }

    pub(super) fn instance_mut(&mut self, instance: &str) -> Option<&mut Instance> {
        self.by_instance
            .get(instance)
            .map(|&place| &mut self.homes[place].instance)
    }

    fn find(&self, id: &Id) -> Option<(usize, usize)> {
        let home = *self.by_backup.get(&id.key())? as usize;
        let record = self.homes[home].records.iter().position(|record| record.id == *id)?;
        Some((home, record))
    }

    pub(super) fn backup(&self, id: &str) -> Option<Backup> {
        let (home, record) = self.find(&Id::new(id))?;
        let home = &self.homes[home];
        Some(home.backup(&home.records[record]))
    }

    /// Runs `change` on a backup; false when there is none of this id.
    pub(super) fn change(&mut self, id: &str, change: impl FnOnce(&mut Record)) -> bool {
        let Some((home, place)) = self.find(&Id::new(id)) else {
            return false;
        };
        let records = &mut self.homes[home].records;
        let mut record = records.remove(place);
        change(&mut record);
        let place = records.partition_point(|other| other.begin <= record.begin);
        records.insert(place, record);
        true
    }

    /// Makes a backup vanish at once, as if deleted by another program.
    pub(super) fn remove_backup(&mut self, id: &str) -> bool {
        self.forget(&Id::new(id))
    }

    fn forget(&mut self, id: &Id) -> bool {
        let Some((home, place)) = self.find(id) else {
            return false;
        };
        self.homes[home].records.remove(place);
        self.by_backup.remove(&id.key());
        true
    }

    /// What would become of deleting this backup now. `any_engine`: the single deletion takes every engine's.
    pub(super) fn verdict(&self, id: &str, any_engine: bool) -> Verdict {
        let Some((home, record)) = self.find(&Id::new(id)) else {
            return Verdict::Unknown;
        };
        let home = &self.homes[home];
        let record = &home.records[record];
        match (record.kind, record.status) {
            _ if !any_engine && home.instance.engine != super::model::Engine::SqlServer => Verdict::OtherEngine,
            (BackupKind::Auto | BackupKind::Fragment | BackupKind::Incremental, _) => Verdict::NotManual,
            (BackupKind::Manual, _) if self.in_use.contains(&record.id.to_string()) => Verdict::InUse,
            (BackupKind::Manual, Status::Building) => Verdict::Building,
            (BackupKind::Manual, Status::Deleting) => Verdict::BeingDeleted,
            (BackupKind::Manual, Status::Completed | Status::Failed) => Verdict::Accepted,
        }
    }

    /// Accepts a deletion that was judged acceptable.
    pub(super) fn accept(&mut self, id: &str, call: usize, at: DateTime<Utc>) {
        self.deletions.push(Deletion {
            id: id.to_owned(),
            call,
            at,
        });
        self.change(id, |record| record.status = Status::Deleting);
        self.under_way.push_back(UnderWay {
            id: Id::new(id),
            since: Monotonic::now(),
            at,
        });
    }

    /// Ends the deletions that have taken their time, by the simulator's clock or by the real one: a test with a
    /// standing clock must see them end too.
    pub(super) fn settle(&mut self, now: DateTime<Utc>, takes: Duration) {
        while let Some(first) = self.under_way.front() {
            let passed = (now - first.at).to_std().unwrap_or_default().max(first.since.elapsed());
            if passed < takes {
                return;
            }
            if let Some(first) = self.under_way.pop_front() {
                self.forget(&first.id);
            }
        }
    }

    /// A backup that was asked for: BUILDING until [`Self::finish_backups`].
    pub(super) fn begin_backup(&mut self, id: Id, at: DateTime<Utc>) {
        let since = Monotonic::now();
        self.being_made.push_back(UnderWay { id, since, at });
    }

    /// Makes those COMPLETED that have taken their time, by either clock.
    pub(super) fn finish_backups(&mut self, now: DateTime<Utc>, takes: Duration) {
        while let Some(first) = self.being_made.front() {
            let passed = (now - first.at).to_std().unwrap_or_default().max(first.since.elapsed());
            if passed < takes {
                return;
            }
            let Some(first) = self.being_made.pop_front() else {
                return;
            };
            let took = u32::try_from(takes.as_secs()).unwrap_or(u32::MAX);
            self.change(&first.id.to_string(), |record| {
                record.status = Status::Completed;
                record.took = Some(took);
            });
        }
    }

    /// The place of an instance in `homes`.
    pub(super) fn place(&self, instance: &str) -> Option<usize> {
        self.by_instance.get(instance).copied()
    }

    /// Deletes an instance as its owner would: automated backups go with it.
    pub(super) fn delete_instance(&mut self, instance: &str, at: DateTime<Utc>) {
        let Some(place) = self.place(instance) else { return };
        let home = &mut self.homes[place];
        home.instance.deleted = true;
        let (manual, automated) = std::mem::take(&mut home.records)
            .into_iter()
            .partition(|record| record.kind == BackupKind::Manual);
        home.records = manual;
        let automated: Vec<Record> = automated;
        for record in automated {
            self.by_backup.remove(&record.id.key());
        }
        self.deleted_at.insert(instance.to_owned(), at);
    }

    /// Takes a backup out of the deletions under way: it is COMPLETED again.
    pub(super) fn return_backup(&mut self, id: &str) -> bool {
        let wanted = Id::new(id);
        let before = self.under_way.len();
        self.under_way.retain(|deletion| deletion.id != wanted);
        before > self.under_way.len() && self.change(id, |record| record.status = Status::Completed)
    }
}
