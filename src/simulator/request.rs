//! A request, taken apart: which operation it is, and what it names.

use serde_json::Value;

use super::faults::Op;
use super::signature::{self, Parts};
use crate::http::{Bytes, Request, header};

/// A request, taken apart.
#[derive(Debug)]
pub(super) struct IncomingRequest {
    pub(super) operation: Option<Op>,
    pub(super) method: String,
    pub(super) path: String,
    pub(super) query: String,
    headers: Vec<(String, String)>,
    pub(super) body: Bytes,
    pub(super) project: Option<String>,
    /// From the path or the query.
    pub(super) instance: Option<String>,
    /// From the path or the body.
    pub(super) backups: Vec<String>,
    pairs: Vec<(String, String)>,
}

impl IncomingRequest {
    pub(super) fn read(request: Request<Bytes>) -> Self {
        let (head, body) = request.into_parts();
        let path = head.uri.path().to_owned();
        let query = head.uri.query().unwrap_or_default().to_owned();
        let text = |value: &header::HeaderValue| String::from_utf8_lossy(value.as_bytes()).into_owned();
        let headers = head
            .headers
            .iter()
            .map(|(name, value)| (name.as_str().to_owned(), text(value)))
            .collect();
        let mut asked = Self {
            operation: None,
            method: head.method.as_str().to_owned(),
            pairs: signature::pairs(&query),
            path,
            query,
            headers,
            body,
            project: None,
            instance: None,
            backups: Vec::new(),
        };
        asked.route();
        asked
    }

    fn route(&mut self) {
        let path = self.path.clone();
        let steps: Vec<&str> = path.split('/').skip(1).collect();
        let (operation, project) = match (self.method.as_str(), steps.as_slice()) {
            ("GET", ["v3", "projects"]) => (Op::ListProjects, None),
            ("GET", ["v3", "auth", "domains"]) => (Op::ListDomains, None),
            ("POST", ["v3", "auth", "tokens"]) => (Op::IssueToken, None),
            ("PUT", ["meta-data", "latest", "api", "token"]) => (Op::MetadataToken, None),
            ("GET", ["openstack", "latest", "securitykey"]) => (Op::SecurityKey, None),
            ("GET", ["openstack", "latest", "meta_data.json"]) => (Op::Metadata, None),
            ("GET", ["v3", project, "instances"]) => {
                self.instance = self.parameter("id").map(str::to_owned);
                (Op::ListInstances, Some(project))
            }
            ("GET", ["v3", project, "backups"]) => {
                self.instance = self.parameter("instance_id").map(str::to_owned);
                (Op::ListBackups, Some(project))
            }
            ("GET", ["v3", project, "instances", instance, "retain-backups"]) => {
                self.instance = Some((*instance).to_owned());
                (Op::ListRetained, Some(project))
            }
            (method @ ("GET" | "PUT"), ["v3", project, "instances", instance, "backups", "policy"]) => {
                self.instance = Some((*instance).to_owned());
                let is_shown = method == "GET";
                let operation = if is_shown {
                    Op::ShowBackupPolicy
                } else {
                    Op::SetBackupPolicy
                };
                (operation, Some(project))
            }
            ("POST", ["v3", project, "backups"]) => (Op::CreateBackup, Some(project)),
            ("DELETE", ["v3", project, "instances", instance]) => {
                self.instance = Some((*instance).to_owned());
                (Op::DeleteInstance, Some(project))
            }
            ("POST", ["v3", project, "backup-retain-policy"]) => (Op::ListRetainPolicies, Some(project)),
            ("GET", ["v3", project, "instances", instance, "tasklist", "detail"]) => {
                self.instance = Some((*instance).to_owned());
                (Op::ListTasks, Some(project))
            }
            ("GET", ["v3", project, "quotas"]) => (Op::ShowQuotas, Some(project)),
            ("POST", ["v3", project, "backups", "batch-delete"]) => {
                self.backups = batch_ids(&self.body).unwrap_or_default();
                (Op::DeleteBatch, Some(project))
            }
            ("DELETE", ["v3", project, "backups", backup]) => {
                self.backups.push((*backup).to_owned());
                (Op::DeleteOne, Some(project))
            }
            _ => return,
        };
        self.operation = Some(operation);
        self.project = project.map(|project| (*project).to_owned());
    }

    pub(super) fn parameter(&self, name: &str) -> Option<&str> {
        self.pairs
            .iter()
            .find(|(other, _)| other == name)
            .map(|(_, value)| value.as_str())
    }

    pub(super) fn parts(&self) -> Parts<'_> {
        Parts {
            method: &self.method,
            path: &self.path,
            query: &self.query,
            headers: &self.headers,
            body: &self.body,
        }
    }
}

/// The ids of a batch's body; none when it is not an object of exactly one list of texts.
pub(super) fn batch_ids(body: &[u8]) -> Option<Vec<String>> {
    let body: Value = serde_json::from_slice(body).ok()?;
    let object = body.as_object().filter(|object| object.len() == 1)?;
    let ids = object.get("backup_ids")?.as_array()?;
    ids.iter().map(|id| id.as_str().map(str::to_owned)).collect()
}
