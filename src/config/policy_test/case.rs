//! One policy test as it is written.

use std::collections::BTreeMap;
use std::fmt;
use std::path::PathBuf;

use chrono::{DateTime, NaiveTime, Utc};
use serde::Deserialize;
use serde::de::value::{MapAccessDeserializer, SeqAccessDeserializer};
use serde::de::{Deserializer, MapAccess, SeqAccess, Visitor};
use serde_json::Value;
use serde_yaml::Spanned;

use super::super::holds;
use super::values::{BackupSize, DayOrMoment, ReasonName, SeriesEnd, hold_end, moment, time_of_day};
use crate::retention::{Hold, Pattern, Span};

/// One policy test.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TestCase {
    /// What it is called in the result.
    pub name: Spanned<String>,
    /// The policy that decides.
    pub policy: Spanned<String>,
    /// The moment to decide at.
    #[serde(deserialize_with = "moment")]
    pub at: DateTime<Utc>,
    /// The backups to decide on.
    pub backups: TestBackups,
    /// Holds beside those of the configuration.
    #[serde(default)]
    pub holds: Vec<Spanned<TestHold>>,
    /// What the instance is called; without it, selectors on names, tags and projects match everything.
    pub instance: Option<TestInstance>,
    /// What must come out.
    pub expect: Spanned<Expectations>,
}

/// Where a test's backups come from.
#[derive(Debug)]
pub enum TestBackups {
    /// A file as for `plan --backups`.
    File(Spanned<PathBuf>),
    /// Listed, made, or both.
    Entries(Vec<Spanned<TestEntry>>),
}

/// One backup in the API's shape, where only `begin_time` is needed, or (with `every`) many that are made.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TestEntry {
    /// The id; made up where it is left out.
    pub id: Option<String>,
    /// The name; of made ones a template with `{date}`, `{time}` and `{n}`.
    pub name: Option<String>,
    /// `begin_time` of a listed one.
    pub begin_time: Option<String>,
    /// `end_time` of a listed one; the same as `begin_time` where it is left out.
    pub end_time: Option<String>,
    /// The instance of a listed one.
    pub instance_id: Option<String>,
    /// The type; `manual` where it is left out.
    #[serde(rename = "type")]
    pub kind: Option<String>,
    /// The engine, as `{type: MySQL}`; the first that the policy selects where it is left out.
    pub datastore: Option<Value>,
    /// The databases of a partial backup, by name or as `{name: …}`.
    pub databases: Option<Value>,
    /// The status; `COMPLETED` where it is left out.
    pub status: Option<String>,
    /// The size.
    pub size: Option<BackupSize>,
    /// Makes one backup at this interval, counted back on the policy's wall clock.
    pub every: Option<Span>,
    /// The time of day of made ones.
    #[serde(default, deserialize_with = "time_of_day")]
    pub at: Option<NaiveTime>,
    /// How far back made ones reach.
    #[serde(rename = "for")]
    pub reach: Option<Span>,
    /// When the newest made one was made, at the latest.
    pub until: Option<SeriesEnd>,
}

/// The instance of a test, as selectors see it.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TestInstance {
    /// Its id.
    pub id: Option<String>,
    /// Its name.
    pub name: Option<String>,
    /// Its tags.
    #[serde(default)]
    pub tags: BTreeMap<String, String>,
    /// Its project; by default the first that the policy selects.
    pub project: Option<String>,
    /// Its enterprise project.
    pub enterprise_project: Option<String>,
}

/// A hold, with the configuration's keys.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TestHold {
    backup: Option<String>,
    instance: Option<Pattern>,
    name: Option<Pattern>,
    #[serde(default)]
    reason: String,
    owner: Option<String>,
    #[serde(default, deserialize_with = "hold_end")]
    until: Option<DateTime<Utc>>,
}

impl TestHold {
    /// The hold; the error says what is wrong with its target, and what to write.
    pub fn hold(self) -> Result<Hold, (&'static str, &'static str)> {
        let backup = self.backup.as_deref().map(holds::backup_id).transpose();
        let target = backup.and_then(|backup| holds::target(backup, self.instance, self.name));
        Ok(Hold {
            id: None,
            target: target.map_err(|why| (why.message, why.hint))?,
            reason: self.reason,
            owner: self.owner,
            until: self.until,
        })
    }
}

/// What a test expects of the decisions. What is left out is not checked.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Expectations {
    /// How many backups of the policy's scope stay.
    pub kept: Option<u64>,
    /// How many go.
    pub expired: Option<u64>,
    /// When the oldest that stays was begun.
    pub oldest_kept: Option<DayOrMoment>,
    /// When the newest that goes was begun.
    pub newest_expired: Option<DayOrMoment>,
    /// How many backups have each of these reasons.
    #[serde(default)]
    pub rules: BTreeMap<ReasonName, u64>,
    /// Ids, names or days of backups that must stay.
    #[serde(default)]
    pub keep: Vec<String>,
    /// Ids, names or days of backups that must go.
    #[serde(default)]
    pub gone: Vec<String>,
}

impl Expectations {
    /// Whether it checks nothing.
    pub fn is_empty(&self) -> bool {
        self.kept.is_none()
            && self.expired.is_none()
            && self.oldest_kept.is_none()
            && self.newest_expired.is_none()
            && self.rules.is_empty()
            && self.keep.is_empty()
            && self.gone.is_empty()
    }
}

impl<'de> Deserialize<'de> for TestBackups {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        #[derive(Deserialize)]
        #[serde(deny_unknown_fields)]
        struct OfFile {
            file: Spanned<PathBuf>,
        }
        struct ListOrFile;
        impl<'de> Visitor<'de> for ListOrFile {
            type Value = TestBackups;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a list of backups, or `{file: backups.json}`")
            }
            fn visit_seq<A: SeqAccess<'de>>(self, seq: A) -> Result<TestBackups, A::Error> {
                Deserialize::deserialize(SeqAccessDeserializer::new(seq)).map(TestBackups::Entries)
            }
            fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<TestBackups, A::Error> {
                OfFile::deserialize(MapAccessDeserializer::new(map)).map(|of| TestBackups::File(of.file))
            }
        }
        deserializer.deserialize_any(ListOrFile)
    }
}
