//! Projects: endpoints and where credentials come from. Nothing is fetched here; that is `rds`.

use std::collections::HashMap;
use std::num::NonZeroU32;
use std::path::PathBuf;

use url::Url;

use super::configuration::{CredentialsSetting, Project};
use super::files;
use super::reader::{Cursor, Fields};
use super::spec::{CREDENTIALS, PROJECT, SOURCES};
use super::values::PlainHttp;
use super::yaml::clip;
use crate::retention::ProjectName;

/// Default ceiling of the request rate.
const REQUESTS_PER_SECOND: NonZeroU32 = NonZeroU32::new(20).expect("20 is not zero");
/// Default number of requests under way at once.
const CONCURRENCY: NonZeroU32 = NonZeroU32::new(8).expect("8 is not zero");
/// The metadata service of an ECS, reachable from within it only.
const METADATA: &str = "http://169.254.169.254";

/// Projects that are good, and every name that was given, for the selectors.
#[derive(Default)]
pub(super) struct CompiledProjects {
    pub good: Vec<Project>,
    /// `None` when `projects` is left out: then a selector cannot be checked.
    pub names: Option<Vec<String>>,
}

/// Reads the list of projects.
pub(super) fn compile(list: &Cursor<'_>) -> CompiledProjects {
    let mut projects = CompiledProjects {
        good: Vec::new(),
        names: Some(Vec::new()),
    };
    let mut lines: HashMap<String, usize> = HashMap::new();
    for item in list.items("a list of projects").unwrap_or_default() {
        let Some(fields) = item.section(&PROJECT) else { continue };
        let name = fields.get("name").and_then(Cursor::name);
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
    let endpoint = service(fields, "endpoint", region.as_deref().and_then(default_endpoint));
    let iam_endpoint = service(fields, "iam_endpoint", region.as_deref().and_then(default_iam_endpoint));
    if let (Some(at), Some(region)) = (fields.get("region"), &region) {
        let mut missing = Vec::new();
        if endpoint.is_none() && fields.get("endpoint").is_none() {
            missing.push("`endpoint`");
        }
        // With the project's id IAM is never asked.
        if iam_endpoint.is_none() && fields.get("iam_endpoint").is_none() && fields.get("project_id").is_none() {
            missing.push("`iam_endpoint`");
        }
        if !missing.is_empty() {
            at.fail(
                format!("no endpoints are known for region `{region}`"),
                format!("write {}, or correct the region", missing.join(" and ")),
            );
        }
    }
    let iam_endpoint = iam_endpoint.or_else(|| {
        let unused = fields.get("iam_endpoint").is_none() && fields.get("project_id").is_some();
        unused.then(|| endpoint.clone()).flatten()
    });
    let limit = |key: &str, most: u32, default: NonZeroU32| match fields.get(key) {
        Some(at) => at.integer(1, most).and_then(NonZeroU32::new),
        None => Some(default),
    };
    let requests_per_second = limit("requests_per_second", 1_000, REQUESTS_PER_SECOND);
    let concurrency = limit("concurrency", 64, CONCURRENCY);
    let project_id = fields.get("project_id").map(project_id);
    let credentials = fields
        .get("credentials")
        .map_or(Some(CredentialsSetting::Chain), credentials);
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

fn region(at: &Cursor<'_>) -> Option<String> {
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

/// Whether it can be the id of a project: ids end up in the path of a URL.
pub fn is_project_id(text: &str) -> bool {
    let is_usual = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_';
    (1..=64).contains(&text.len()) && text.bytes().all(is_usual)
}

fn project_id(at: &Cursor<'_>) -> Option<String> {
    let text = at.text()?;
    if !is_project_id(text) {
        at.fail(
            format!("`{}` is not the id of a project", clip(text)),
            "it has 32 letters and digits; see `My Credentials` in the console, or leave the key out",
        );
        return None;
    }
    Some(text.to_owned())
}

fn service(fields: &Fields<'_>, key: &str, default: Option<Url>) -> Option<Url> {
    match fields.get(key) {
        Some(at) => at.endpoint(PlainHttp::Loopback),
        None => default,
    }
}

/// The domain of a region's endpoints; `None` where it is not known. Source: the regions and endpoints pages of Huawei Cloud and
/// Open Telekom Cloud.
fn domain(region: &str) -> Option<&'static str> {
    match region {
        "eu-west-101" => Some("myhuaweicloud.eu"),
        "eu-de" | "eu-nl" => Some("otc.t-systems.com"),
        // All others, those to come too, are called as cn-north-4. What is called otherwise, as the Swiss eu-ch2, is another cloud.
        _ => {
            let mut parts = region.split('-');
            let area = parts.next()?;
            let (side, number) = (parts.next()?, parts.next()?);
            let letters = |part: &str| !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_lowercase());
            let is_number = !number.is_empty() && number.bytes().all(|byte| byte.is_ascii_digit());
            let is_usual = area.len() == 2 && letters(area) && letters(side) && is_number && parts.next().is_none();
            is_usual.then_some("myhuaweicloud.com")
        }
    }
}

fn default_endpoint(region: &str) -> Option<Url> {
    Url::parse(&format!("https://rds.{region}.{}", domain(region)?)).ok()
}

/// IAM has an endpoint in most regions; some are served by the global one (API reference, section 9).
fn default_iam_endpoint(region: &str) -> Option<Url> {
    let host = match region {
        "af-north-1" | "ap-southeast-5" | "cn-north-11" | "cn-south-4" | "cn-southwest-3" | "ru-northwest-2" => {
            "iam.myhuaweicloud.com".to_owned()
        }
        _ => format!("iam.{region}.{}", domain(region)?),
    };
    Url::parse(&format!("https://{host}")).ok()
}

fn credentials(at: &Cursor<'_>) -> Option<CredentialsSetting> {
    if let super::yaml::NodeKind::Scalar { text, quoted: false } = &at.node.kind
        && SOURCES.contains(&text.as_str())
    {
        at.mismatch("a mapping", &format!("write {{source: {text}}}"));
        return None;
    }
    let fields = at.section(&CREDENTIALS)?;
    let source = fields.get("source")?.choice(SOURCES)?;
    refuse_keys_of_others(&fields, source);
    match source {
        "environment" => Some(CredentialsSetting::Environment),
        "profile" => {
            let path = fields.get("path").map(secret_file);
            let profile = fields.get("profile").map(|at| at.text().map(str::to_owned));
            Some(CredentialsSetting::Profile {
                path: path.map_or(Some(None), |path| path.map(Some))?,
                profile: profile.map_or(Some(None), |profile| profile.map(Some))?,
            })
        }
        "files" => secret_files(&fields),
        "ecs-agency" => {
            let endpoint = match fields.get("endpoint") {
                Some(at) => at.endpoint(PlainHttp::Metadata),
                None => Url::parse(METADATA).ok(),
            };
            Some(CredentialsSetting::EcsAgency { endpoint: endpoint? })
        }
        _ => Some(CredentialsSetting::Chain),
    }
}

/// The keys of a source mean nothing with another one.
fn refuse_keys_of_others(fields: &Fields<'_>, source: &str) {
    let own: &[&str] = match source {
        "profile" => &["path", "profile"],
        "files" => &["access_key_file", "secret_key_file", "security_token_file"],
        "ecs-agency" => &["endpoint"],
        _ => &[],
    };
    let others = fields.present();
    for (key, at) in others.filter(|(key, _)| *key != "source" && !own.contains(key)) {
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
}

fn secret_files(fields: &Fields<'_>) -> Option<CredentialsSetting> {
    for key in ["access_key_file", "secret_key_file"] {
        if fields.get(key).is_none() {
            fields.own.fail(
                format!("`source: files` needs `{key}`"),
                "name the file; relative to $CREDENTIALS_DIRECTORY",
            );
        }
    }
    let access_key_file = fields.get("access_key_file").and_then(secret_file);
    let secret_key_file = fields.get("secret_key_file").and_then(secret_file);
    let token = fields.get("security_token_file").map(secret_file);
    Some(CredentialsSetting::Files {
        access_key_file: access_key_file?,
        secret_key_file: secret_key_file?,
        security_token_file: token.map_or(Some(None), |file| file.map(Some))?,
    })
}

fn secret_file(at: &Cursor<'_>) -> Option<PathBuf> {
    let file = PathBuf::from(at.text()?);
    files::check_secret(at, &file);
    Some(file)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn endpoints_are_made_of_regions_that_are_known() {
        let rds = |region: &str| default_endpoint(region).map(|url| url.host_str().unwrap().to_owned());
        let iam = |region: &str| default_iam_endpoint(region).map(|url| url.host_str().unwrap().to_owned());
        let some = |host: &str| Some(host.to_owned());
        assert_eq!(rds("cn-north-4"), some("rds.cn-north-4.myhuaweicloud.com"));
        assert_eq!(iam("cn-north-4"), some("iam.cn-north-4.myhuaweicloud.com"));
        assert_eq!(rds("my-kualalumpur-1"), some("rds.my-kualalumpur-1.myhuaweicloud.com"));
        assert_eq!(iam("eu-west-101"), some("iam.eu-west-101.myhuaweicloud.eu"));
        assert_eq!(iam("eu-nl"), some("iam.eu-nl.otc.t-systems.com"));
        for global in [
            "af-north-1",
            "ap-southeast-5",
            "cn-north-11",
            "cn-south-4",
            "cn-southwest-3",
            "ru-northwest-2",
        ] {
            assert_eq!(iam(global), some("iam.myhuaweicloud.com"), "{global}");
            assert_eq!(rds(global), Some(format!("rds.{global}.myhuaweicloud.com")));
        }
        for unknown in [
            "eu-ch2",
            "r1",
            "cn-north",
            "cn--1",
            "cn-north-4a",
            "europe-west-1",
            "cn-north-4-1",
        ] {
            assert_eq!((rds(unknown), iam(unknown)), (None, None), "{unknown}");
        }
    }
}
