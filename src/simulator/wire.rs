//! The JSON of the simulated services, spelt out here a second time on purpose: a name misspelt in `rds` must not agree
//! with itself.

use chrono::{DateTime, Utc};
use serde::Serialize;
use serde_json::{Value, json};

use super::model::{self, BackupKind, Status};

/// `2026-03-14T02:03:04+0000`, as recordings of the service show it.
pub(super) fn time(at: DateTime<Utc>) -> String {
    at.format("%Y-%m-%dT%H:%M:%S+0000").to_string()
}

#[derive(Debug, Serialize)]
pub(super) struct Datastore {
    r#type: &'static str,
    version: String,
}

#[derive(Debug, Serialize)]
struct Name {
    name: String,
}

/// An entry of `GET /v3/{project_id}/backups`.
#[derive(Debug, Serialize)]
pub(super) struct BackupJson {
    id: String,
    instance_id: String,
    name: String,
    r#type: &'static str,
    /// Kilobytes.
    size: u64,
    status: &'static str,
    begin_time: String,
    end_time: Option<String>,
    datastore: Datastore,
    databases: Vec<Name>,
    associated_with_ddm: bool,
    min_data_volume_capacity_for_restore: u64,
}

impl BackupJson {
    pub(super) fn new(backup: model::Backup, instance: &model::Instance) -> Self {
        Self {
            id: backup.id,
            instance_id: backup.instance_id,
            name: backup.name,
            r#type: backup.kind.name(),
            size: backup.size_kb,
            status: backup.status.name(),
            begin_time: time(backup.begin),
            end_time: backup.end.map(time),
            datastore: Datastore {
                r#type: instance.engine.name(),
                version: instance.version.clone(),
            },
            databases: backup.databases.into_iter().map(|name| Name { name }).collect(),
            associated_with_ddm: false,
            min_data_volume_capacity_for_restore: 40,
        }
    }
}

/// An entry of `GET /v3/{project_id}/instances/{instance_id}/retain-backups`; there is no status, and the size is text.
#[derive(Debug, Serialize)]
pub(super) struct Retained {
    name: String,
    id: String,
    r#type: &'static str,
    begin_time: String,
    end_time: Option<String>,
    size: String,
    describe: &'static str,
    backup_method: &'static str,
    tde: bool,
}

impl Retained {
    pub(super) fn new(backup: model::Backup) -> Self {
        Self {
            name: backup.name,
            id: backup.id,
            r#type: if backup.kind == BackupKind::Manual {
                "Snapshot"
            } else {
                "Db"
            },
            begin_time: time(backup.begin),
            end_time: backup.end.map(time),
            size: backup.size_kb.to_string(),
            describe: "",
            backup_method: "Physical",
            tde: false,
        }
    }

    /// What is kept of a deleted instance.
    pub(super) fn keeps(record: &super::world::Record) -> bool {
        record.kind == BackupKind::Manual && matches!(record.status, Status::Completed | Status::Deleting)
    }
}

/// The one network of all instances.
pub(super) const VPC: &str = "6b6a1a4e-1d3f-4d0a-9d3a-0a1b2c3d4e5f";
/// Its one subnet.
pub(super) const SUBNET: &str = "0f3a9c1e-7b2d-4f6e-8a5c-1b2c3d4e5f60";

/// The group of all flavours.
pub(super) const GROUP: &str = "normal2";

/// An entry of `GET /v3/{project_id}/instances`, with all that typed SDKs read.
pub(super) fn instance(instance: &model::Instance, region: &str) -> Value {
    let tags: Vec<Value> = instance
        .tags
        .iter()
        .map(|(key, value)| json!({"key": key, "value": value}))
        .collect();
    let node = instance.id.replacen("in", "no", 1);
    let created = time(instance.created);
    let mut entry = json!({
        "id": instance.id, "name": instance.name, "alias": "", "status": instance.status,
        "type": instance.kind.name(), "region": region, "created": created, "updated": created,
        "datastore": {"type": instance.engine.name(), "version": instance.version, "complete_version": instance.version},
        "port": 1433, "time_zone": "UTC", "tags": tags, "enterprise_project_id": instance.enterprise_project,
        "backup_strategy": {"start_time": instance.backup_policy.1, "keep_days": instance.backup_policy.0},
        "nodes": [{"id": node, "name": format!("{}_node0", instance.name), "role": "master", "status": "ACTIVE",
                   "availability_zone": format!("{region}a")}],
        "related_instance": [], "volume": {"type": "CLOUDSSD", "size": 100, "used": "12.5"}, "charge_info": {"charge_mode": "postPaid"},
        "flavor_ref": "rds.mssql.spec.se.s6.large.2", "cpu": "2", "mem": "4", "private_ips": ["192.168.0.10"],
        "public_ips": [], "db_user_name": "rdsuser", "collation": "SQL_Latin1_General_CP1_CI_AS",
        "vpc_id": VPC, "subnet_id": SUBNET, "security_group_id": "23fd0cd4-15dc-4d65-bdb3-8844cc291be0", "switch_strategy": "",
        "maintenance_window": "18:00-22:00", "enable_ssl": false, "associated_with_ddm": false, "expiration_time": null,
        "max_iops": 10_000,
    });
    // What few read.
    let more = json!({
        "private_dns_names": [format!("{}.internal.example.com", instance.id)], "public_dns_names": [],
        "read_only_by_user": false, "ha": {"replication_mode": "sync"}, "disk_encryption_id": "", "backup_used_space": 0.0,
        "storage_used_space": 12.5, "order_id": null, "serverless_info": null,
    });
    if let (Some(entry), Value::Object(more)) = (entry.as_object_mut(), more) {
        entry.extend(more);
    }
    entry
}

/// An entry of the batch's `delete_results`.
#[derive(Debug, Serialize)]
pub(super) struct DeleteResult {
    pub(super) backup_id: String,
    pub(super) error_code: String,
    pub(super) error_msg: String,
}

/// An error as RDS words it.
pub(super) fn rds_error(code: &str, message: &str) -> Value {
    json!({"error_code": code, "error_msg": message})
}

/// An error as the gateway words it.
pub(super) fn gateway_error(code: &str, message: &str, request: &str) -> Value {
    json!({"error_code": code, "error_msg": message, "request_id": request})
}

/// An error as IAM words it; its code is a number.
pub(super) fn iam_error(status: u16, title: &str, message: &str) -> Value {
    json!({"error": {"code": status, "message": message, "title": title}})
}

/// An entry of `GET /v3/projects`.
pub(super) fn project(name: &str, id: &str, domain: &str) -> Value {
    json!({"id": id, "name": name, "domain_id": domain, "parent_id": domain, "enabled": true, "is_domain": false,
           "description": "", "links": {"self": format!("https://iam.example.com/v3/projects/{id}")}})
}
