//! Which backups tasks under way use: a restore names the backup that it reads (API reference, section 12).
//!
//! A courtesy: the API refuses to delete such a backup anyway. So it is asked once, and whatever is no answer counts as none.

use std::fmt;

use serde::de::value::MapAccessDeserializer;
use serde::de::{Deserialize, Deserializer, MapAccess, SeqAccess, Visitor};

use super::client::Client;
use super::lenient_json::{Many, Merge, Scalar, lenient_object};
use super::operation::Operation;
use crate::retention::{BackupId, InstanceId};

/// Tasks of one instance; the API lists those of a month.
const MOST_TASKS: usize = 2_000;

lenient_object! {
    /// What a task is about.
    TaskDetail { backup: Scalar<'a> = "backupId" | "backup_id" }
}
lenient_object! {
    /// One task.
    Task { name: Scalar<'a> = "name", status: Scalar<'a> = "status", detail: Detail = "task_detail" }
}
lenient_object! {
    /// The tasks of an instance.
    TaskList { count: Scalar<'a> = "count" | "total_count", tasks: Many<Task<'a>, MOST_TASKS> = "jobs" | "tasks" }
}

/// The backup that `task_detail` names, which is an object or a text of JSON.
#[derive(Debug, Default, PartialEq)]
pub(super) struct Detail(Option<BackupId>);

impl Merge for Detail {
    fn merge(&mut self, other: Self) {
        self.0 = other.0.or(self.0.take());
    }
}

impl Detail {
    fn of(detail: &TaskDetail<'_>) -> Self {
        Self(detail.backup.word().map(BackupId::from))
    }
}

impl<'de> Deserialize<'de> for Detail {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Any;
        impl<'de> Visitor<'de> for Any {
            type Value = Detail;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("what a task is about")
            }
            fn visit_str<E: serde::de::Error>(self, text: &str) -> Result<Detail, E> {
                Ok(serde_json::from_str(text).map_or_else(|_| Detail::default(), |detail| Detail::of(&detail)))
            }
            fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Detail, A::Error> {
                TaskDetail::deserialize(MapAccessDeserializer::new(map)).map(|detail| Detail::of(&detail))
            }
            fn visit_seq<A: SeqAccess<'de>>(self, seq: A) -> Result<Detail, A::Error> {
                super::lenient_json::drain_seq(seq).map(|()| Detail::default())
            }
            super::lenient_json::visit_as!(Detail::default() =>
                visit_bool: bool, visit_i64: i64, visit_u64: u64, visit_f64: f64);
            super::lenient_json::visit_null!(Detail::default());
        }
        deserializer.deserialize_any(Any)
    }
}

/// The backups that tasks name which are not known to have ended; `None` where not all tasks are there, or a restore names none.
fn used(body: &[u8]) -> Option<Vec<BackupId>> {
    let list: TaskList<'_> = serde_json::from_slice(body).ok()?;
    let Many::Items(tasks) = list.tasks else { return None };
    if list.count.number().is_some_and(|count| count > tasks.len() as u64) {
        return None;
    }
    let is_restore = |task: &Task<'_>| {
        let name = task.name.word().unwrap_or_default();
        name.get(..7).is_some_and(|start| start.eq_ignore_ascii_case("restore"))
    };
    let has_ended = |task: &Task<'_>| {
        let status = task.status.word().unwrap_or_default();
        ["completed", "failed"]
            .iter()
            .any(|end| status.eq_ignore_ascii_case(end))
    };
    let open = tasks.into_iter().filter(|task| !has_ended(task));
    let mut used = Vec::new();
    for task in open {
        match &task.detail.0 {
            Some(backup) => used.push(backup.clone()),
            None if is_restore(&task) => return None,
            None => {}
        }
    }
    Some(used)
}

/// What an instance's tasks say.
#[derive(Debug)]
pub enum InUse {
    /// These backups are in use.
    Backups(Vec<BackupId>),
    /// The key may not ask, or the API has no such call.
    NotPermitted,
    /// The answer cannot be had or read now.
    Unknown,
}

impl Client {
    /// The backups that tasks of an instance use now.
    pub async fn backups_in_use(&self, instance: &InstanceId) -> InUse {
        let segments = ["instances", instance.as_str(), "tasklist", "detail"];
        let ask = self
            .ask(Operation::ListTasks, Some(instance), &segments, Vec::new())
            .await;
        let Ok(ask) = ask else { return InUse::Unknown };
        let Ok(Ok(reply)) = self.exchange().send(&ask).await else {
            return InUse::Unknown;
        };
        match reply.status {
            200 => used(&reply.body).map_or(InUse::Unknown, InUse::Backups),
            400 | 403..=405 | 501 => InUse::NotPermitted,
            _ => InUse::Unknown,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_task_that_has_not_ended_names_the_backup_in_use_however_it_is_written() {
        let body = br#"{"count": 11, "jobs": [
            {"status": "Running", "task_detail": "{\"backupId\": \"a\"}"},
            {"status": "Running", "task_detail": {"backupId": "b", "x": [1]}},
            {"status": "Paused", "task_detail": "{\"backup_id\": \"c\"}"},
            {"task_detail": {"backupId": "d"}},
            {"status": "Completed", "task_detail": "{\"backupId\": \"e\"}"},
            {"status": "FAILED", "task_detail": "{\"backupId\": \"f\"}"},
            {"status": "Running"}, {"status": "Running", "task_detail": ["g"]}, {"status": "Running", "task_detail": "g"}, null, 7
        ]}"#;
        assert_eq!(used(body), Some(["a", "b", "c", "d"].map(BackupId::from).to_vec()));
        assert_eq!(used(br#"{"jobs": []}"#), Some(Vec::new()));
        for no_answer in [
            "",
            "{}",
            "[]",
            "<html>",
            r#"{"jobs": 7}"#,
            r#"{"count": 200, "jobs": [{"status": "Running"}]}"#,
            r#"{"jobs": [{"name": "RestoreSqlserverToInstance", "status": "Running", "task_detail": "{\"backupId"}]}"#,
        ] {
            assert_eq!(used(no_answer.as_bytes()), None, "{no_answer}");
        }
    }
}
