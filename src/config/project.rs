//! Projects: endpoints and where credentials come from. Nothing is fetched here; that is the `rds` room.

use std::collections::HashMap;
use std::num::NonZeroU32;
use std::path::PathBuf;

use url::Url;

use super::files;
use super::raw::{CREDENTIALS, PROJECT, SOURCES};
use super::read::{At, Fields};
use super::tree::clip;
use super::values::PlainHttp;
use super::{Credentials, Project};
use crate::retention::ProjectName;

/// Default ceiling of the request rate.
const REQUESTS_PER_SECOND: NonZeroU32 = NonZeroU32::new(20).expect("20 is not zero");
/// Default number of requests under way at once.
const CONCURRENCY: NonZeroU32 = NonZeroU32::new(8).expect("8 is not zero");
/// The metadata service of an ECS, reachable from within it only.
const METADATA: &str = "http://169.254.169.254";

/// Projects that are good, and every name that was given, for the selectors.
#[derive(Default)]
pub(super) struct Projects {
    pub good: Vec<Project>,
    /// `None` when `projects` is left out: then a selector cannot be checked.
    pub names: Option<Vec<String>>,
}

/// Reads the list of projects.
pub(super) fn compile(list: &At<'_>) -> Projects {
    let mut projects = Projects {
        good: Vec::new(),
        names: Some(Vec::new()),
    };
    let mut lines: HashMap<String, usize> = HashMap::new();
    for item in list.items("a list of projects").unwrap_or_default() {
        let Some(fields) = item.section(&PROJECT) else { continue };
        let name = fields.get("name").and_then(At::name);
        if let (Some(at), Some(name)) = (fields.get("name"), &name) {
            if let Some(line) = lines.get(name) {
                at.fail(
                    format!("a project of the name `{name}` stands in line {line} already"),
                    "every project has a name of its own",
                );
            } else {
                lines.insert(name.clone(), at.node.spot.line);
            }
            projects.names.get_or_insert_default().push(name.clone());
        }
        if let Some(project) = project(&fields, name) {
            if let Some(other) = projects.good.iter().find(|other| is_same(other, &project)) {
                item.fail(
                    format!(
                        "projects `{}` and `{}` are one and the same project",
                        other.name, project.name
                    ),
                    "two names for one project would not keep each other's backups: use one name in all policies",
                );
            }
            projects.good.push(project);
        }
    }
    projects
}

/// Whether two entries certainly mean one project of the cloud: by its id, or by everything it would be looked up by.
fn is_same(a: &Project, b: &Project) -> bool {
    match (&a.project_id, &b.project_id) {
        (Some(a), Some(b)) => a == b,
        (None, None) => (&a.region, &a.iam_endpoint, &a.credentials) == (&b.region, &b.iam_endpoint, &b.credentials),
        _ => false,
    }
}

fn project(fields: &Fields<'_>, name: Option<String>) -> Option<Project> {
    let region = fields.get("region").and_then(region);
    let endpoint = service(fields, "endpoint", "rds", region.as_deref());
    let iam_endpoint = service(fields, "iam_endpoint", "iam", region.as_deref());
    let limit = |key: &str, most: u32, default: NonZeroU32| match fields.get(key) {
        Some(at) => at.integer(1, most).and_then(NonZeroU32::new),
        None => Some(default),
    };
    let requests_per_second = limit("requests_per_second", 1_000, REQUESTS_PER_SECOND);
    let concurrency = limit("concurrency", 64, CONCURRENCY);
    let project_id = fields.get("project_id").map(project_id);
    let credentials = fields.get("credentials").map_or(Some(Credentials::Chain), credentials);
    Some(Project {
        name: ProjectName::from(name?),
        region: region?,
        project_id: project_id.map_or(Some(None), |id| id.map(Some))?,
        endpoint: endpoint?,
        iam_endpoint: iam_endpoint?,
        credentials: credentials?,
        requests_per_second: requests_per_second?,
        concurrency: concurrency?,
    })
}

fn region(at: &At<'_>) -> Option<String> {
    let text = at.text()?;
    let is_region = text
        .bytes()
        .all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-');
    if !is_region || text.len() > 64 || text.starts_with('-') || text.ends_with('-') {
        at.fail(
            format!("`{}` is not a region", clip(text)),
            "a region is written in small letters, digits and `-`, as ap-southeast-3",
        );
        return None;
    }
    Some(text.to_owned())
}

/// Ids end up in the path of a URL.
fn project_id(at: &At<'_>) -> Option<String> {
    let text = at.text()?;
    if text.len() > 64
        || !text
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_')
    {
        at.fail(
            format!("`{}` is not the id of a project", clip(text)),
            "it has 32 letters and digits; see `My Credentials` in the console, or leave the key out",
        );
        return None;
    }
    Some(text.to_owned())
}

fn service(fields: &Fields<'_>, key: &str, service: &str, region: Option<&str>) -> Option<Url> {
    match fields.get(key) {
        Some(at) => at.endpoint(PlainHttp::Loopback),
        None => default_endpoint(service, region?),
    }
}

/// Endpoints by region. Source: the regions and endpoints pages of Huawei Cloud and Open Telekom Cloud.
fn default_endpoint(service: &str, region: &str) -> Option<Url> {
    let domain = match region {
        "eu-west-101" => "myhuaweicloud.eu",
        "eu-de" | "eu-nl" => "otc.t-systems.com",
        _ => "myhuaweicloud.com",
    };
    Url::parse(&format!("https://{service}.{region}.{domain}")).ok()
}

fn credentials(at: &At<'_>) -> Option<Credentials> {
    if let super::tree::Kind::Scalar { text, quoted: false } = &at.node.kind
        && SOURCES.contains(&text.as_str())
    {
        at.mismatch("a mapping", &format!("write {{source: {text}}}"));
        return None;
    }
    let fields = at.section(&CREDENTIALS)?;
    let source = fields.get("source")?.choice(SOURCES)?;
    let own: &[&str] = match source {
        "profile" => &["path", "profile"],
        "files" => &["access_key_file", "secret_key_file", "security_token_file"],
        "ecs-agency" => &["endpoint"],
        _ => &[],
    };
    for (key, at) in fields
        .present()
        .filter(|(key, _)| *key != "source" && !own.contains(key))
    {
        let home = match key {
            "path" | "profile" => "profile",
            "endpoint" => "ecs-agency",
            _ => "files",
        };
        at.fail(
            format!("`{key}` means nothing with `source: {source}`"),
            format!("remove it, or write `source: {home}`"),
        );
    }
    match source {
        "environment" => Some(Credentials::Environment),
        "profile" => {
            let path = fields.get("path").map(secret_file);
            let profile = fields.get("profile").map(|at| at.text().map(str::to_owned));
            Some(Credentials::Profile {
                path: path.map_or(Some(None), |path| path.map(Some))?,
                profile: profile.map_or(Some(None), |profile| profile.map(Some))?,
            })
        }
        "files" => {
            for key in ["access_key_file", "secret_key_file"] {
                if fields.get(key).is_none() {
                    at.fail(
                        format!("`source: files` needs `{key}`"),
                        "name the file; relative to $CREDENTIALS_DIRECTORY",
                    );
                }
            }
            let access_key_file = fields.get("access_key_file").and_then(secret_file);
            let secret_key_file = fields.get("secret_key_file").and_then(secret_file);
            let token = fields.get("security_token_file").map(secret_file);
            Some(Credentials::Files {
                access_key_file: access_key_file?,
                secret_key_file: secret_key_file?,
                security_token_file: token.map_or(Some(None), |file| file.map(Some))?,
            })
        }
        "ecs-agency" => {
            let endpoint = match fields.get("endpoint") {
                Some(at) => at.endpoint(PlainHttp::Metadata),
                None => Url::parse(METADATA).ok(),
            };
            Some(Credentials::EcsAgency { endpoint: endpoint? })
        }
        _ => Some(Credentials::Chain),
    }
}

fn secret_file(at: &At<'_>) -> Option<PathBuf> {
    let file = PathBuf::from(at.text()?);
    files::check_secret(at, &file);
    Some(file)
}
