//! The simulated IAM: just enough to find a project's id by its region.

use serde_json::{Value, json};

use super::wire;
use super::work::{Reply, Work};

/// The account everything belongs to.
const DOMAIN: &str = "d78cbac186b744899480f25bd02aaaaa";

/// `GET /v3/projects?name={region}`
pub(super) fn list_projects(work: &Work<'_>) -> Reply {
    let shared = work.shared;
    let own = (shared.region.clone(), shared.project_id.clone());
    let wanted = work.asked.parameter("name");
    let projects: Vec<Value> = std::iter::once(&own)
        .chain(&shared.extra_projects)
        .filter(|(name, _)| wanted.is_none_or(|wanted| name == wanted))
        .map(|(name, id)| wire::project(name, id, DOMAIN))
        .collect();
    work.list(&json!({"projects": projects, "links": links("projects")}))
}

/// `GET /v3/auth/domains`
pub(super) fn list_domains(work: &Work<'_>) -> Reply {
    let domain = json!({"id": DOMAIN, "name": "simulator", "enabled": true, "description": "", "links": {}});
    work.list(&json!({"domains": [domain], "links": links("auth/domains")}))
}

fn links(of: &str) -> Value {
    json!({"self": format!("https://iam.example.com/v3/{of}"), "previous": null, "next": null})
}
