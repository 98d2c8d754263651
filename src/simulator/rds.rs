//! The simulated RDS as the daemon asks it: five operations, each with every limit its page documents.

use chrono::{DateTime, Utc};
use serde::Serialize;
use serde_json::{Value, json};

use super::model::{Engine, Instance};
use super::options::DeletedListing;
use super::request::batch_ids;
use super::wire::{self, DeleteResult, Retained};
use super::work::{Reply, Work};
use super::world::{Home, Record, Verdict};

pub(super) type Answered = Result<Reply, Reply>;

pub(super) fn invalid(what: &str) -> Reply {
    Reply::refused(400, "DBS.200001", &format!("Invalid parameter {what}."))
}

pub(super) fn no_instance() -> Reply {
    Reply::refused(404, "DBS.200002", "The DB instance does not exist.")
}

/// `GET /v3/{project_id}/instances`
pub(super) fn list_instances(work: &Work<'_>) -> Answered {
    let (offset, limit) = work.window(100)?;
    let wanted = InstanceFilter::read(work)?;
    let found: Vec<&Home> = work
        .state
        .world
        .homes
        .iter()
        .filter(|home| wanted.takes(&home.instance))
        .collect();
    let page: Vec<Value> = found
        .iter()
        .skip(offset)
        .take(limit)
        .map(|home| wire::instance(&home.instance, &work.shared.region))
        .collect();
    Ok(work.list(&json!({"instances": page, "total_count": work.count(found.len())})))
}

struct InstanceFilter<'a> {
    id: Option<&'a str>,
    name: Option<&'a str>,
    kind: Option<&'a str>,
    engine: Option<&'a str>,
    project: Option<&'a str>,
    vpc: Option<&'a str>,
    subnet: Option<&'a str>,
    group: Option<&'a str>,
    tags: Vec<(&'a str, &'a str)>,
}

impl<'a> InstanceFilter<'a> {
    fn read(work: &Work<'a>) -> Result<Self, Reply> {
        let asked = work.asked;
        let among = |name: &'static str, values: &[&str]| match asked.parameter(name) {
            Some(value) if !values.contains(&value) => Err(invalid(name)),
            value => Ok(value),
        };
        let name = asked.parameter("name");
        if name == Some("*") {
            return Err(invalid("name"));
        }
        let tags = asked.parameter("tags").unwrap_or_default();
        let tags: Vec<(&str, &str)> = tags
            .split(',')
            .filter(|tag| !tag.is_empty())
            .map(|tag| tag.split_once('=').unwrap_or((tag, "")))
            .collect();
        // The limits of the page count characters.
        let fits = |text: &str, most: usize| text.chars().count() <= most;
        if tags.len() > 10 || tags.iter().any(|(key, value)| !fits(key, 127) || !fits(value, 255)) {
            return Err(invalid("tags"));
        }
        Ok(Self {
            id: asked.parameter("id"),
            name,
            kind: among("type", &["Single", "Ha", "Replica"])?,
            engine: among("datastore_type", &["MySQL", "PostgreSQL", "SQLServer", "MariaDB"])?
                .filter(|_| !work.state.settings.ignores_engine_filter),
            project: asked.parameter("eps_id"),
            vpc: asked.parameter("vpc_id"),
            subnet: asked.parameter("subnet_id"),
            group: asked.parameter("group_type"),
            tags,
        })
    }

    fn takes(&self, instance: &Instance) -> bool {
        !instance.deleted
            && self.id.is_none_or(|id| instance.id == id)
            && self.name.is_none_or(|name| match name.strip_prefix('*') {
                Some(part) => instance.name.contains(part),
                None => instance.name == name,
            })
            && self.kind.is_none_or(|kind| instance.kind.name() == kind)
            && self.engine.is_none_or(|engine| instance.engine.name() == engine)
            && self
                .project
                .is_none_or(|project| instance.enterprise_project == project)
            && self.vpc.is_none_or(|vpc| vpc == wire::VPC)
            && self.subnet.is_none_or(|subnet| subnet == wire::SUBNET)
            && self.group.is_none_or(|group| group == wire::GROUP)
            && self.tags.iter().all(|(key, value)| {
                instance
                    .tags
                    .iter()
                    .any(|(other, theirs)| other == key && (value.is_empty() || theirs == value))
            })
    }
}

#[derive(Serialize)]
struct BackupPage {
    backups: Vec<wire::BackupJson>,
    total_count: usize,
}

/// `GET /v3/{project_id}/backups`, the newest first; the order is not documented.
pub(super) fn list_backups(work: &Work<'_>) -> Answered {
    let (offset, limit) = work.window(100)?;
    let wanted = BackupFilter::read(work)?;
    let instance = work
        .asked
        .parameter("instance_id")
        .ok_or_else(|| invalid("instance_id"))?;
    let home = work.state.world.home(instance).ok_or_else(no_instance)?;
    let hidden = match (home.instance.deleted, work.state.settings.deleted_listing) {
        (true, DeletedListing::NotFound) => return Err(no_instance()),
        (true, DeletedListing::Empty) => true,
        (true, DeletedListing::Full) | (false, _) => false,
    };
    let found: Vec<&Record> = home
        .records
        .iter()
        .rev()
        .filter(|record| !hidden && wanted.takes(record))
        .collect();
    let page = found.iter().skip(offset).take(limit);
    let backups = page
        .map(|record| wire::BackupJson::new(home.backup(record), &home.instance))
        .collect();
    Ok(work.list(&BackupPage {
        backups,
        total_count: work.count(found.len()),
    }))
}

struct BackupFilter<'a> {
    id: Option<&'a str>,
    kind: Option<&'a str>,
    status: Option<&'a str>,
    /// Begun in this span; which time is meant is not documented.
    span: Option<(i64, i64)>,
}

impl<'a> BackupFilter<'a> {
    fn read(work: &Work<'a>) -> Result<Self, Reply> {
        let asked = work.asked;
        let among = |name: &'static str, values: &[&str]| match asked.parameter(name) {
            Some(value) if !values.contains(&value) => Err(invalid(name)),
            value => Ok(value),
        };
        let time = |name: &'static str| match asked.parameter(name) {
            None => Ok(None),
            Some(text) => match DateTime::parse_from_str(text, "%Y-%m-%dT%H:%M:%S%z") {
                Ok(time) => Ok(Some(time.with_timezone(&Utc).timestamp())),
                Err(_) => Err(invalid(name)),
            },
        };
        let span = match (time("begin_time")?, time("end_time")?) {
            (None, None) => None,
            (Some(begin), Some(end)) if begin < end => Some((begin, end)),
            _ => return Err(invalid("begin_time, end_time")),
        };
        Ok(Self {
            id: asked.parameter("backup_id"),
            kind: among("backup_type", &["auto", "manual", "fragment", "incremental"])?,
            // DELETING is a status, but not one that can be asked for.
            status: among("status", &["BUILDING", "COMPLETED", "FAILED"])?,
            span,
        })
    }

    fn takes(&self, record: &Record) -> bool {
        self.kind.is_none_or(|kind| record.kind.name() == kind)
            && self.status.is_none_or(|status| record.status.name() == status)
            && self
                .span
                .is_none_or(|(begin, end)| (begin..=end).contains(&record.begin))
            && self.id.is_none_or(|id| record.id.to_string() == id)
    }
}

#[derive(Serialize)]
struct RetainedPage {
    backups: Vec<Retained>,
    total: usize,
}

/// `GET /v3/{project_id}/instances/{instance_id}/retain-backups`: nothing while the instance exists.
pub(super) fn list_retained(work: &Work<'_>) -> Answered {
    let (offset, limit) = work.window(10)?;
    let instance = work.asked.instance.as_deref().unwrap_or_default();
    let home = work.state.world.home(instance).ok_or_else(no_instance)?;
    let kept = |record: &&Record| home.instance.deleted && Retained::keeps(record);
    let found: Vec<&Record> = home.records.iter().rev().filter(kept).collect();
    let backups = found
        .iter()
        .skip(offset)
        .take(limit)
        .map(|record| Retained::new(home.backup(record)))
        .collect();
    Ok(work.list(&RetainedPage {
        backups,
        total: work.count(found.len()),
    }))
}

/// `POST /v3/{project_id}/backups/batch-delete`: 1 to 50 manual backups of SQL Server.
pub(super) fn delete_batch(work: &mut Work<'_>) -> Answered {
    let json = work
        .asked
        .parts()
        .header("content-type")
        .is_some_and(|kind| kind.starts_with("application/json"));
    if !json {
        return Err(invalid("Content-Type"));
    }
    let ids = batch_ids(&work.asked.body).ok_or_else(|| invalid("backup_ids"))?;
    if !(1..=50).contains(&ids.len()) {
        return Err(invalid("backup_ids: 1 to 50 ids are allowed"));
    }
    let world = &mut work.state.world;
    if ids.iter().any(|id| world.verdict(id, false) == Verdict::OtherEngine) {
        let engine = Engine::SqlServer.name();
        return Err(Reply::refused(
            400,
            "DBS.201207",
            &format!("Only backups of {engine} can be deleted in batches."),
        ));
    }
    let mut results = Vec::with_capacity(ids.len());
    let mut accepted = false;
    for id in ids {
        let verdict = world.verdict(&id, false);
        let (code, message) = match (work.trouble.result(&id), verdict) {
            (Some(fault), _) => fault,
            (None, Verdict::Accepted) => {
                if !work.trouble.ignores() {
                    world.accept(&id, work.number, work.now);
                    accepted = true;
                }
                ("0", "Success")
            }
            (None, refused) => {
                let (_, code, message) = wording(refused);
                (code, message)
            }
        };
        let (error_code, error_msg) = (code.to_owned(), message.to_owned());
        results.push(DeleteResult {
            backup_id: id,
            error_code,
            error_msg,
        });
    }
    let reply = work.list(&json!({"delete_results": results}));
    Ok(if accepted { reply } else { reply.undone() })
}

/// `DELETE /v3/{project_id}/backups/{backup_id}`: a manual backup of any engine.
pub(super) fn delete_one(work: &mut Work<'_>) -> Answered {
    let id = work.asked.backups.first().map_or("", String::as_str);
    let verdict = work.state.world.verdict(id, true);
    if verdict != Verdict::Accepted {
        let (status, code, message) = wording(verdict);
        return Err(Reply::refused(status, code, message));
    }
    let reply = Reply::value(&json!({}));
    if work.trouble.ignores() {
        return Ok(reply.undone());
    }
    work.state.world.accept(id, work.number, work.now);
    Ok(reply)
}

/// How a refusal is worded: the status of the single deletion, the code (of a batch's item too) and the message.
fn wording(verdict: Verdict) -> (u16, &'static str, &'static str) {
    match verdict {
        Verdict::Accepted => (200, "0", "Success"),
        Verdict::Unknown => (404, "DBS.280214", "The backup does not exist."),
        Verdict::Building => (409, "DBS.201205", "The backup is being created."),
        Verdict::BeingDeleted => (400, "DBS.201208", "The backup is being deleted."),
        Verdict::NotManual => (400, "DBS.201208", "Only manual backups can be deleted."),
        Verdict::OtherEngine => (400, "DBS.201207", "The engine is not supported."),
        // The code of the page's example; every table of errors gives it another meaning.
        Verdict::InUse => (400, "DBS.200054", "the backup is in use"),
    }
}
