//! The API's JSON, read as leniently as is safe: what is not understood becomes an unknown value, and unknown is kept.
//!
//! Spellings and units are those of the API reference, sections 3 and 4. Not for believing a listing: that is `listing`.

use std::fmt;
use std::sync::Arc;

use chrono::{DateTime, NaiveDate, TimeDelta, Utc};
use serde::de::{Deserialize, Deserializer, MapAccess, SeqAccess, Visitor};

use super::lenient_json::{LONGEST_TEXT, Many, Merge, Scalar, lenient_object};
use super::listed::InstanceEntry;
use crate::retention::{
    Backup, BackupId, BackupKind, BackupStatus, Databases, Doubt, Engine, Instance, InstanceId, InstanceLife,
    ProjectName,
};

/// Records a page; the API's most.
pub const LIMIT: usize = 100;

/// Tags of one instance; the API takes 20.
const MOST_TAGS: usize = 1_000;
/// Databases that one backup names; an instance has some hundred.
const MOST_DATABASES: usize = 4_096;
/// Projects of one account and region name; IAM gives a page of at most so many.
const MOST_PROJECTS: usize = 5_000;
/// Results of one batch; 50 are asked for, and each may come twice.
const MOST_RESULTS: usize = 200;

lenient_object! {
    /// `datastore` of a backup or an instance.
    Datastore { kind: Scalar<'a> = "type" }
}
lenient_object! {
    /// `{name}` of a database.
    DatabaseName { name: Scalar<'a> = "name" }
}
lenient_object! {
    /// One tag.
    Tag { key: Scalar<'a> = "key", value: Scalar<'a> = "value" }
}
lenient_object! {
    /// One backup of `ListBackups` or `ListRetainBackups`.
    Entry {
        id: Scalar<'a> = "id",
        instance_id: Scalar<'a> = "instance_id",
        name: Scalar<'a> = "name",
        kind: Scalar<'a> = "type",
        size: Scalar<'a> = "size",
        status: Scalar<'a> = "status",
        begin_time: Scalar<'a> = "begin_time",
        end_time: Scalar<'a> = "end_time",
        datastore: Datastore<'a> = "datastore",
        databases: DatabaseNames = "databases",
    }
}
lenient_object! {
    /// One instance of `ListInstances`.
    InstanceFields {
        id: Scalar<'a> = "id",
        name: Scalar<'a> = "name",
        kind: Scalar<'a> = "type",
        datastore: Datastore<'a> = "datastore",
        tags: Many<Tag<'a>, MOST_TAGS> = "tags",
        enterprise_project: Scalar<'a> = "enterprise_project_id",
    }
}
lenient_object! {
    /// A page of backups; `total` is what `ListRetainBackups` calls its count.
    BackupPage { items: Many<Entry<'a>, LIMIT> = "backups", total: Scalar<'a> = "total_count" | "total" }
}
lenient_object! {
    /// A page of instances.
    InstancePage { items: Many<InstanceFields<'a>, LIMIT> = "instances", total: Scalar<'a> = "total_count" }
}
lenient_object! {
    /// One project of IAM.
    ProjectFields { id: Scalar<'a> = "id", name: Scalar<'a> = "name" }
}
lenient_object! {
    /// IAM's answer.
    ProjectList { projects: Many<ProjectFields<'a>, MOST_PROJECTS> = "projects" }
}
lenient_object! {
    /// What became of one id.
    DeleteResult {
        id: Scalar<'a> = "backup_id",
        code: Scalar<'a> = "error_code",
        message: Scalar<'a> = "error_msg",
    }
}
lenient_object! {
    /// The answer to a batch.
    DeleteResults { results: Many<DeleteResult<'a>, MOST_RESULTS> = "delete_results" }
}

impl Merge for Datastore<'_> {
    fn merge(&mut self, other: Self) {
        self.is_object |= other.is_object;
        self.is_invalid |= other.is_invalid;
        self.kind.merge(other.kind);
    }
}

impl Datastore<'_> {
    /// Unknown where it is not an object throughout, or one that names no engine.
    fn engine(&self) -> Engine {
        let kind = self.kind.word().filter(|_| !self.is_invalid);
        Engine::parse(kind.unwrap_or_default())
    }
}

/// `databases`: which a backup names.
#[derive(Debug, Default, PartialEq)]
pub(super) enum DatabaseNames {
    /// Missing or null.
    #[default]
    Absent,
    /// Their names, sorted; empty is a full backup.
    Names(Vec<String>),
    /// Not readable.
    Invalid,
}

impl Merge for DatabaseNames {
    fn merge(&mut self, other: Self) {
        if *self == Self::Absent {
            *self = other;
        } else if other != Self::Absent && *self != other {
            *self = Self::Invalid;
        }
    }
}

impl<'de> Deserialize<'de> for DatabaseNames {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        /// An element: the name, alone or in an object.
        struct Element(Option<String>);
        impl<'de> Deserialize<'de> for Element {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                struct Any;
                impl<'de> Visitor<'de> for Any {
                    type Value = Element;
                    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                        f.write_str("a database")
                    }
                    fn visit_str<E: serde::de::Error>(self, text: &str) -> Result<Element, E> {
                        let is_name = !text.is_empty() && text.len() <= LONGEST_TEXT;
                        Ok(Element(is_name.then(|| text.to_owned())))
                    }
                    fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Element, A::Error> {
                        let name = DatabaseName::deserialize(serde::de::value::MapAccessDeserializer::new(map))?;
                        Ok(Element(
                            name.name.text().filter(|text| !text.is_empty()).map(str::to_owned),
                        ))
                    }
                    fn visit_seq<A: SeqAccess<'de>>(self, seq: A) -> Result<Element, A::Error> {
                        super::lenient_json::drain_seq(seq).map(|()| Element(None))
                    }
                    super::lenient_json::visit_as!(Element(None) =>
                        visit_bool: bool, visit_i64: i64, visit_u64: u64, visit_f64: f64);
                    super::lenient_json::visit_null!(Element(None));
                }
                deserializer.deserialize_any(Any)
            }
        }
        // A lone object in place of the list is not understood: unknown, so kept.
        Ok(
            match Many::<Element, MOST_DATABASES, false>::deserialize(deserializer)? {
                Many::Absent => Self::Absent,
                Many::Invalid => Self::Invalid,
                Many::Items(items) => match items.into_iter().map(|element| element.0).collect::<Option<Vec<_>>>() {
                    Some(mut names) => {
                        names.sort_unstable();
                        Self::Names(names)
                    }
                    None => Self::Invalid,
                },
            },
        )
    }
}

impl DatabaseNames {
    fn databases(&self) -> Databases {
        match self {
            Self::Absent => Databases::Absent,
            Self::Names(names) => Databases::from_names(names),
            Self::Invalid => Databases::Unreadable,
        }
    }
}

impl Entry<'_> {
    /// The backup as `ListBackups` describes it; `None` without an id.
    pub(super) fn listed(&self) -> Option<Backup> {
        let engine = self.datastore.engine();
        let mut backup = Backup {
            id: BackupId::from(self.id.word()?),
            name: Arc::from(self.name.text().unwrap_or_default()),
            kind: BackupKind::parse(self.kind.text().unwrap_or_default()),
            status: BackupStatus::parse(self.status.text().unwrap_or_default()),
            begin: self.begin_time.text().and_then(parse_time),
            end: self.end_time.text().and_then(parse_time),
            size_bytes: self.bytes(&engine),
            engine,
            databases: self.databases.databases(),
            doubt: None,
        };
        backup.doubt = self.lacks(&backup);
        Some(backup)
    }

    /// What a finished backup must say and this one does not. A FAILED one need not have an end, but not one that cannot be read.
    fn lacks(&self, backup: &Backup) -> Option<Doubt> {
        let lacks_end = backup.end.is_none()
            && match backup.status {
                BackupStatus::Completed => true,
                BackupStatus::Failed => !self.end_time.is_blank(),
                _ => false,
            };
        if lacks_end {
            Some(Doubt::NoEnd)
        } else {
            self.name.is_blank().then_some(Doubt::NoName)
        }
    }

    /// The backup as `ListRetainBackups` describes it: no status, no engine, `Snapshot` for manual, `Db` for automated. `engine` is the
    /// instance's.
    pub(super) fn retained(&self, engine: &Engine) -> Option<Backup> {
        let time = |field: &Scalar<'_>| field.text().and_then(parse_time);
        let (begin, end) = (time(&self.begin_time), time(&self.end_time));
        let kind = match self.kind.text().unwrap_or_default() {
            "Snapshot" => BackupKind::Manual,
            "Db" => BackupKind::Auto,
            other => BackupKind::parse(other),
        };
        // Without both times it is not known to have been finished, so it is not called COMPLETED.
        let whole = matches!(kind, BackupKind::Manual | BackupKind::Auto) && begin.is_some() && end.is_some();
        // By the API reference it names no engine. One that is named all the same counts, readable or not.
        let engine = if self.datastore == Datastore::default() {
            engine.clone()
        } else {
            self.datastore.engine()
        };
        Some(Backup {
            id: BackupId::from(self.id.word()?),
            name: Arc::from(self.name.text().unwrap_or_default()),
            kind,
            // The same with the status.
            status: match &self.status {
                Scalar::Absent if whole => BackupStatus::Completed,
                given => BackupStatus::parse(given.text().unwrap_or_default()),
            },
            begin,
            end,
            size_bytes: self.bytes(&engine),
            engine,
            databases: Databases::Unknown,
            doubt: self.name.is_blank().then_some(Doubt::NoName),
        })
    }

    /// What cannot be read and may be the very thing that protects the backup, if there is such.
    pub(super) fn invalidate(&self) -> Option<&'static str> {
        if self.id.is_odd_id() {
            Some("id")
        } else {
            (!self.name.is_text_or_absent()).then_some("name")
        }
    }

    fn bytes(&self, engine: &Engine) -> u64 {
        self.size.number().unwrap_or(0).saturating_mul(engine.unit_of_size())
    }
}

impl InstanceFields<'_> {
    /// The instance; `None` without an id.
    pub(super) fn listed(&self, project: &ProjectName) -> Option<InstanceEntry> {
        let id = InstanceId::from(self.id.word()?);
        let tags = match &self.tags {
            Many::Items(tags) => tags
                .iter()
                .filter_map(|tag| {
                    Some((
                        tag.key.text()?.to_owned(),
                        tag.value.text().unwrap_or_default().to_owned(),
                    ))
                })
                .collect(),
            Many::Absent | Many::Invalid => Vec::new(),
        };
        let instance = Instance {
            project: project.clone(),
            id,
            name: Arc::from(self.name.text().unwrap_or_default()),
            engine: self.datastore.engine(),
            tags,
            enterprise_project: self.enterprise_project.word().map(str::to_owned),
            life: InstanceLife::Listed,
        };
        let is_replica = self
            .kind
            .word()
            .is_some_and(|kind| kind.eq_ignore_ascii_case("replica"));
        Some(InstanceEntry {
            instance,
            is_replica,
            has_odd_tags: self.has_odd_tags(),
            has_tags: !matches!(self.tags, Many::Absent),
        })
    }

    /// What cannot be read and may be the very thing by which a policy selects the instance to protect it, if there is such.
    pub(super) fn invalidate(&self) -> Option<&'static str> {
        let is_odd = [
            (self.id.is_odd_id(), "id"),
            (!self.name.is_text_or_absent(), "name"),
            (!self.enterprise_project.is_text_or_absent(), "enterprise project"),
        ];
        is_odd.into_iter().find_map(|(is_odd, what)| is_odd.then_some(what))
    }

    /// Whether there are tags that cannot be read, or one without its key or value. A value may be empty, but must be there.
    fn has_odd_tags(&self) -> bool {
        let is_tag = |tag: &Tag<'_>| tag.is_object && tag.key.word().is_some() && tag.value.text().is_some();
        match &self.tags {
            Many::Absent => false,
            Many::Items(tags) => !tags.iter().all(is_tag),
            Many::Invalid => true,
        }
    }
}

/// Reads the API's times: `2026-10-01T19:00:00` followed by `+hhmm`, `+hh:mm`, `Z` or nothing (which means UTC), with a fraction of a
/// second or without, with stray blanks anywhere. `None` for what cannot be read: such a backup is kept.
pub fn parse_time(text: &str) -> Option<DateTime<Utc>> {
    let mut buffer = [0_u8; 48];
    let mut length = 0;
    for byte in text.bytes().filter(|byte| !byte.is_ascii_whitespace()) {
        *buffer.get_mut(length)? = byte;
        length += 1;
    }
    let bytes = buffer.get(..length)?;
    let (date, rest) = bytes.split_at_checked(10)?;
    // A blank between date and time was dropped above, so the T is optional.
    let rest = rest
        .strip_prefix(b"T")
        .or_else(|| rest.strip_prefix(b"t"))
        .unwrap_or(rest);
    let (time, rest) = rest.split_at_checked(8)?;
    let ([.., b'-', _, _], b'-', b':', b':') = (date, *date.get(4)?, *time.get(2)?, *time.get(5)?) else {
        return None;
    };
    let day = NaiveDate::from_ymd_opt(
        i32::try_from(digits(&date[..4])?).ok()?,
        digits(&date[5..7])?,
        digits(&date[8..])?,
    )?;
    let (nanos, zone) = fraction(rest)?;
    let local = day.and_hms_nano_opt(digits(&time[..2])?, digits(&time[3..5])?, digits(&time[6..])?, nanos)?;
    local.checked_sub_signed(offset(zone)?).map(|utc| utc.and_utc())
}

fn digits(bytes: &[u8]) -> Option<u32> {
    bytes.iter().try_fold(0_u32, |sum, byte| {
        let digit = char::from(*byte).to_digit(10)?;
        sum.checked_mul(10)?.checked_add(digit)
    })
}

/// Nanoseconds, and what follows the fraction.
fn fraction(rest: &[u8]) -> Option<(u32, &[u8])> {
    let Some(rest) = rest.strip_prefix(b".").or_else(|| rest.strip_prefix(b",")) else {
        return Some((0, rest));
    };
    let length = rest.iter().take_while(|byte| byte.is_ascii_digit()).count();
    let (fraction, zone) = rest.split_at(length);
    let kept = &fraction[..length.min(9)];
    let scale = 10_u32.pow(u32::try_from(9 - kept.len()).ok()?);
    (length > 0).then_some((digits(kept)? * scale, zone))
}

fn offset(zone: &[u8]) -> Option<TimeDelta> {
    let (sign, rest) = match zone {
        [] | [b'Z' | b'z'] => return Some(TimeDelta::zero()),
        [b'+', rest @ ..] => (1, rest),
        [b'-', rest @ ..] => (-1, rest),
        _ => return None,
    };
    let (hours, minutes) = match rest {
        [_, _] => (digits(rest)?, 0),
        [_, _, b':', _, _] => (digits(&rest[..2])?, digits(&rest[3..])?),
        [_, _, _, _] => (digits(&rest[..2])?, digits(&rest[2..])?),
        _ => return None,
    };
    (hours < 24 && minutes < 60).then(|| TimeDelta::minutes(sign * i64::from(hours * 60 + minutes)))
}

#[cfg(test)]
mod tests;
