//! What people and consoles ask of RDS beside the daemon: create a backup, delete an instance, backup and retain policies, tasks, quotas.
//!
//! Shapes are those of the SDK's models (`tests/sdk/check.py`); the SDK types the tasks and the retain policies as one object, and so
//! reads nothing of a list of them.

use chrono::DateTime;
use serde_json::{Value, json};

use super::model::{BackupKind, Status};
use super::rds::{Answered, invalid, no_instance};
use super::wire;
use super::work::{Reply, Work};
use super::world::{Home, Id, Record};

/// `POST /v3/{project_id}/backups`: BUILDING, and COMPLETED after [`Settings::creation_takes`](super::Settings::creation_takes).
pub(super) fn create_backup(work: &mut Work<'_>) -> Answered {
    let body: Value = serde_json::from_slice(&work.asked.body).map_err(|_| invalid("body"))?;
    let text = |key: &str| body.get(key).and_then(Value::as_str);
    let instance = text("instance_id").ok_or_else(|| invalid("instance_id"))?;
    let name = text("name")
        .filter(|name| is_name(name))
        .ok_or_else(|| invalid("name"))?;
    let databases: Option<Vec<Box<str>>> = match body.get("databases") {
        None | Some(Value::Null) => Some(Vec::new()),
        Some(list) => list.as_array().and_then(|list| list.iter().map(database).collect()),
    };
    let databases = databases.ok_or_else(|| invalid("databases"))?;
    let world = &mut work.state.world;
    let place = world.place(instance).ok_or_else(no_instance)?;
    let home = &world.homes[place];
    if home.instance.deleted {
        return Err(no_instance());
    }
    if home.instance.kind == super::model::InstanceKind::Replica {
        let message = "A read replica has no manual backups.";
        return Err(Reply::refused(400, "DBS.201014", message));
    }
    let is_named = |record: &Record| record.kind == BackupKind::Manual && home.backup(record).name == name;
    if home.records.iter().any(is_named) {
        return Err(Reply::refused(409, "DBS.201209", "The backup name already exists."));
    }
    let digits = home.instance.engine.digits();
    let id = Id::new(&format!("{:032x}br{digits}", work.shared.rng(work.number).u128(..)));
    let answer = json!({"backup": {
        "id": id.to_string(), "name": name, "instance_id": instance, "description": text("description").unwrap_or_default(),
        "databases": databases.iter().map(|name| json!({"name": name})).collect::<Vec<_>>(),
        // Without an offset, as the page's example has it.
        "begin_time": work.now.format("%Y-%m-%dT%H:%M:%S").to_string(), "status": "BUILDING", "type": "manual",
    }});
    let record = Record {
        id: id.clone(),
        name: Some(name.into()),
        databases: databases.into_boxed_slice(),
        begin: work.now.timestamp(),
        size_kb: home.records.last().map_or(1024 * 1024, |last| last.size_kb),
        took: None,
        kind: BackupKind::Manual,
        status: Status::Building,
    };
    world.add_record(place, record);
    world.begin_backup(id, work.now);
    Ok(Reply::value(&answer))
}

fn database(entry: &Value) -> Option<Box<str>> {
    entry.get("name")?.as_str().map(Box::from)
}

/// 4 to 64 characters, first a letter, then letters, digits, `-`, `_`.
fn is_name(name: &str) -> bool {
    (4..=64).contains(&name.len())
        && name.starts_with(|first: char| first.is_ascii_alphabetic())
        && name
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || b"-_".contains(&byte))
}

/// `DELETE /v3/{project_id}/instances/{instance_id}`: its automated backups go with it, the manual ones stay.
pub(super) fn delete_instance(work: &mut Work<'_>) -> Answered {
    let instance = work.asked.instance.clone().unwrap_or_default();
    let is_there = |home: &Home| !home.instance.deleted;
    if !work.state.world.home(&instance).is_some_and(is_there) {
        return Err(no_instance());
    }
    work.state.world.delete_instance(&instance, work.now);
    let job = format!("{:032x}", work.shared.rng(work.number).u128(..));
    Ok(Reply::value(&json!({"job_id": job})))
}

/// `POST /v3/{project_id}/backup-retain-policy`: instances, deleted or not, with what of their backups is retained.
pub(super) fn list_retain_policies(work: &Work<'_>) -> Answered {
    let body: Value = serde_json::from_slice(&work.asked.body).map_err(|_| invalid("body"))?;
    let number = |key: &str, default: u64| match body.get(key) {
        None | Some(Value::Null) => Ok(default),
        Some(value) => value.as_u64().ok_or_else(|| invalid(key)),
    };
    let (offset, limit) = (number("offset", 0)?, number("limit", 10)?);
    if !(1..=100).contains(&limit) {
        return Err(invalid("limit"));
    }
    let deleted = match body.get("instance_status").and_then(Value::as_str) {
        None => None,
        Some("deleted") => Some(true),
        Some("normal") => Some(false),
        Some(_) => return Err(invalid("instance_status")),
    };
    let ids: Option<Vec<&str>> = body
        .get("instanceids")
        .and_then(Value::as_array)
        .map(|ids| ids.iter().filter_map(Value::as_str).collect());
    let is_wanted = |home: &&Home| {
        deleted.is_none_or(|deleted| home.instance.deleted == deleted)
            && ids.as_ref().is_none_or(|ids| ids.contains(&home.instance.id.as_str()))
            && (!home.instance.deleted || home.records.iter().any(wire::Retained::keeps))
    };
    let found: Vec<&Home> = work.state.world.homes.iter().filter(is_wanted).collect();
    let entry = |home: &&Home| {
        let instance = &home.instance;
        let deleted_at = work.state.world.deleted_at.get(&instance.id).copied();
        let deleted_at = deleted_at.filter(|_| instance.deleted).map(|at| at.timestamp_millis());
        json!({"instance_id": instance.id, "name": instance.name, "engine_name": instance.engine.name(),
               "engine_version": instance.version, "instance_delete_time": deleted_at, "auto": "NONE", "manual": "ALL"})
    };
    let skip = usize::try_from(offset).unwrap_or(usize::MAX);
    let page = found.iter().skip(skip).take(usize::try_from(limit).unwrap_or(100));
    let page: Vec<Value> = page.map(entry).collect();
    Ok(work.list(&json!({"backup_retain_policies": page, "total_count": found.len()})))
}

/// `GET /v3/{project_id}/instances/{instance_id}/tasklist/detail`: backups being made, and restores that use one.
pub(super) fn list_tasks(work: &Work<'_>) -> Answered {
    let instance = work.asked.instance.as_deref().unwrap_or_default();
    let world = &work.state.world;
    let home = world.home(instance).ok_or_else(no_instance)?;
    let of = json!({"id": home.instance.id, "name": home.instance.name});
    let task = |record: &Record| {
        let is_used = world.in_use.contains(&record.id.to_string());
        let (name, key) = match (is_used, record.status) {
            (true, _) => ("RestoreSqlserverToInstance", "backupId"),
            (false, Status::Building) => ("ManualBackup", "backup_id"),
            _ => return None,
        };
        let created = DateTime::from_timestamp(record.begin, 0).map(wire::time);
        Some(
            json!({"id": format!("{key}-{}", record.id), "name": name, "status": "Running", "created": created, "ended": "",
            "process": "50%", "task_detail": json!({key: record.id.to_string()}).to_string(), "instance": of, "entities": {}, "fail_reason": ""}),
        )
    };
    let tasks: Vec<Value> = home.records.iter().filter_map(task).collect();
    Ok(work.list(&json!({"count": tasks.len(), "jobs": tasks})))
}

/// `GET /v3/{project_id}/instances/{instance_id}/backups/policy`
pub(super) fn show_backup_policy(work: &Work<'_>) -> Answered {
    let home = living(work)?;
    let (days, start, period) = home.instance.backup_policy.clone();
    Ok(Reply::value(
        &json!({"backup_policy": {"keep_days": days, "start_time": start, "period": period}}),
    ))
}

/// `PUT /v3/{project_id}/instances/{instance_id}/backups/policy`: of automated backups; zero days switches them off, but not where there is
/// a standby.
pub(super) fn set_backup_policy(work: &mut Work<'_>) -> Answered {
    let body: Value = serde_json::from_slice(&work.asked.body).map_err(|_| invalid("body"))?;
    let wanted = &body["backup_policy"];
    let is_ha = living(work)?.instance.kind == super::model::InstanceKind::Ha;
    let days = wanted["keep_days"].as_u64().and_then(|days| u16::try_from(days).ok());
    let days = days.filter(|days| (u16::from(is_ha)..=732).contains(days));
    let days = days.ok_or_else(|| invalid("keep_days"))?;
    let text = |key: &'static str, is_good: fn(&str) -> bool| match wanted[key].as_str() {
        Some(text) if is_good(text) => Ok(text.to_owned()),
        None if days == 0 => Ok(String::new()),
        _ => Err(invalid(key)),
    };
    let policy = (days, text("start_time", is_hour)?, text("period", is_week)?);
    let instance = work.asked.instance.clone().unwrap_or_default();
    if let Some(instance) = work.state.world.instance_mut(&instance) {
        instance.backup_policy = policy;
    }
    Ok(Reply::value(&json!({})))
}

fn living<'a>(work: &'a Work<'_>) -> Result<&'a Home, Reply> {
    let instance = work.asked.instance.as_deref().unwrap_or_default();
    let home = work.state.world.home(instance).filter(|home| !home.instance.deleted);
    home.ok_or_else(no_instance)
}

/// `19:00-20:00`: one hour, on a quarter of an hour.
fn is_hour(text: &str) -> bool {
    let minutes = |time: &str| {
        let time = chrono::NaiveTime::parse_from_str(time, "%H:%M").ok()?;
        Some(chrono::Timelike::num_seconds_from_midnight(&time) / 60)
    };
    let span = text
        .split_once('-')
        .and_then(|(from, to)| minutes(from).zip(minutes(to)));
    span.is_some_and(|(from, to)| from % 15 == 0 && (from + 60) % (24 * 60) == to)
}

/// `1,3,7`: days of a week, Monday is 1.
fn is_week(text: &str) -> bool {
    text.split(',')
        .all(|day| ["1", "2", "3", "4", "5", "6", "7"].contains(&day))
}

/// `GET /v3/{project_id}/quotas`: of instances alone; there is none of backups.
pub(super) fn show_quotas(work: &Work<'_>) -> Reply {
    let used = work
        .state
        .world
        .homes
        .iter()
        .filter(|home| !home.instance.deleted)
        .count();
    Reply::value(&json!({"quotas": {"resources": [{"type": "instance", "quota": 10_000, "used": used}]}}))
}
