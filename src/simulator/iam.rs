//! The simulated IAM: just enough to find a project's id by its region, and to be given a token.

use chrono::{DateTime, TimeDelta, Utc};
use serde_json::{Value, json};

use super::rds::Answered;
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

/// How long a token is good.
const TOKEN_LASTS: TimeDelta = TimeDelta::hours(24);

/// `POST /v3/auth/tokens`: by password, for the project of the region. The catalogue leads back here.
pub(super) fn issue_token(work: &mut Work<'_>) -> Answered {
    let refused = |status, title, message| Reply::json(status, &wire::iam_error(status, title, message));
    let body: Value = serde_json::from_slice(&work.asked.body)
        .map_err(|_| refused(400, "Bad Request", "Request body is invalid."))?;
    let user = &body["auth"]["identity"]["password"]["user"];
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let (name, password, domain) = (
        text(&user["name"]),
        text(&user["password"]),
        text(&user["domain"]["name"]),
    );
    let wanted = &body["auth"]["scope"]["project"];
    let shared = work.shared;
    let is_project = |key: &str, own: &str| wanted[key].as_str().is_none_or(|wanted| wanted == own);
    if !is_project("id", &shared.project_id) || !is_project("name", &shared.region) {
        return Err(refused(401, "Unauthorized", "The project does not exist."));
    }
    let (token, until) = (
        format!("{:032x}", shared.rng(work.number).u128(..)),
        work.now + TOKEN_LASTS,
    );
    if !work.state.auth.issue(&name, &password, token.clone(), until) {
        let message = "The username or password is wrong.";
        return Err(refused(401, "Unauthorized", message));
    }
    let time = |at: DateTime<Utc>| at.format("%Y-%m-%dT%H:%M:%S.000000Z").to_string();
    let domain = json!({"id": DOMAIN, "name": domain});
    let url = format!("http://{}/v3", work.asked.parts().header("host").unwrap_or_default());
    let service = |kind: &str, url: String| {
        let endpoint =
            json!({"id": kind, "interface": "public", "region": shared.region, "region_id": shared.region, "url": url});
        json!({"id": kind, "type": kind, "name": kind, "endpoints": [endpoint]})
    };
    let mut reply = Reply::json(
        201,
        &json!({"token": {
            "methods": ["password"], "issued_at": time(work.now), "expires_at": time(until), "roles": [],
            "user": {"id": name, "name": name, "domain": domain, "password_expires_at": ""},
            "project": {"id": shared.project_id, "name": shared.region, "domain": domain},
            "catalog": [service("identity", url.clone()), service("rdsv3", format!("{url}/{}", shared.project_id))],
        }}),
    );
    reply.headers.push(("X-Subject-Token", token));
    reply.done = true;
    Ok(reply)
}

fn links(of: &str) -> Value {
    json!({"self": format!("https://iam.example.com/v3/{of}"), "previous": null, "next": null})
}
