//! Reads credentials: environment, files, the SDK's profile, the ECS metadata service, and the chain of them.
//!
//! API reference, sections 6.4 and 6.5. Not for caching or renewal: that is `auth`.

use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use reqwest::StatusCode;
use secrecy::SecretString;
use serde::Deserialize;
use url::Url;

use super::back_off::back_off;
use super::credentials::{AuthError, CredentialSource, Credentials, Env};
use super::wire::parse_time;

/// The metadata service of an ECS; link-local, so plain http and never through a proxy.
const METADATA: &str = "http://169.254.169.254";
/// For one request and its whole answer.
const METADATA_TIMEOUT: Duration = Duration::from_secs(3);
/// It is one hop away: an address that is not there is known by then.
const METADATA_CONNECT: Duration = Duration::from_secs(2);
/// How often it is asked, and the first pause; the pause doubles.
const METADATA_ATTEMPTS: u32 = 4;
const METADATA_PAUSE: Duration = Duration::from_millis(250);
/// Its longest answer, the keys with their token, has some 4 KB.
const METADATA_LARGEST: usize = 64 * 1024;
/// A secret longer than this is some other file.
const LONGEST_SECRET: u64 = 64 * 1024;

/// A source with the environment it is read in.
pub(super) struct Reader {
    pub(super) source: CredentialSource,
    pub(super) env: Env,
}

impl Reader {
    pub(super) async fn read(&self) -> Result<Credentials, AuthError> {
        match &self.source {
            CredentialSource::Chain => self.chain().await,
            CredentialSource::Environment => self.environment()?.ok_or_else(|| {
                AuthError::Missing("HUAWEICLOUD_SDK_AK and HUAWEICLOUD_SDK_SK are not set in the environment".into())
            }),
            CredentialSource::Profile { path, profile } => self.profile(path.as_deref(), profile.as_deref()),
            CredentialSource::Files {
                access_key_file,
                secret_key_file,
                security_token_file,
            } => {
                let token = security_token_file
                    .as_deref()
                    .map(|path| self.secret_file(path))
                    .transpose()?;
                let access_key = self.secret_file(access_key_file)?;
                Ok(Credentials::new(
                    access_key,
                    self.secret_file(secret_key_file)?.into(),
                    token.map(Into::into),
                    None,
                ))
            }
            CredentialSource::EcsAgency { endpoint } => ecs(endpoint).await,
        }
    }

    /// The first source that has anything. One that has half of it is an error: another identity must not slip in.
    async fn chain(&self) -> Result<Credentials, AuthError> {
        if let Some(credentials) = self.environment()? {
            return Ok(credentials);
        }
        if let Some(directory) = self.var("CREDENTIALS_DIRECTORY").map(PathBuf::from)
            && ["access_key", "secret_key"]
                .iter()
                .any(|name| directory.join(name).exists())
        {
            let token = directory.join("security_token");
            let token = token.exists().then(|| self.secret_file(&token)).transpose()?;
            let access_key = self.secret_file(&directory.join("access_key"))?;
            let secret_key = self.secret_file(&directory.join("secret_key"))?;
            return Ok(Credentials::new(
                access_key,
                secret_key.into(),
                token.map(Into::into),
                None,
            ));
        }
        if self.profile_path().is_some_and(|path| path.exists()) {
            return self.profile(None, None);
        }
        let endpoint = Url::parse(METADATA).map_err(|error| AuthError::Missing(error.to_string()))?;
        ecs(&endpoint).await.map_err(|error| {
            match error {
                AuthError::Metadata { endpoint, why, source, .. } => AuthError::Metadata {
                    elsewhere: "none in the environment (HUAWEICLOUD_SDK_AK, HUAWEICLOUD_SDK_SK), in systemd credentials (access_key, \
                                secret_key) or in the SDK's profile, and ",
                    endpoint,
                    why,
                    source,
                },
                other => other,
            }
        })
    }

    fn environment(&self) -> Result<Option<Credentials>, AuthError> {
        match (self.var("HUAWEICLOUD_SDK_AK"), self.var("HUAWEICLOUD_SDK_SK")) {
            (Some(access), Some(secret)) => {
                let token = self.var("HUAWEICLOUD_SDK_SECURITY_TOKEN").map(SecretString::from);
                let id = self.var("HUAWEICLOUD_SDK_PROJECT_ID");
                Ok(Some(
                    Credentials::new(access, secret.into(), token, None).with_project_id(id),
                ))
            }
            (None, None) => Ok(None),
            (Some(_), None) => Err(AuthError::Missing(
                "HUAWEICLOUD_SDK_AK is set but HUAWEICLOUD_SDK_SK is not: set both".into(),
            )),
            (None, Some(_)) => Err(AuthError::Missing(
                "HUAWEICLOUD_SDK_SK is set but HUAWEICLOUD_SDK_AK is not: set both".into(),
            )),
        }
    }

    fn profile_path(&self) -> Option<PathBuf> {
        let file = self.var("HUAWEICLOUD_SDK_CREDENTIALS_FILE").map(PathBuf::from);
        file.or_else(|| Some(PathBuf::from(self.var("HOME")?).join(".huaweicloud/credentials")))
    }

    fn profile(&self, path: Option<&Path>, section: Option<&str>) -> Result<Credentials, AuthError> {
        let path = path.map(Path::to_owned).or_else(|| self.profile_path());
        let path = path.ok_or_else(|| {
            AuthError::Missing("no profile: neither HUAWEICLOUD_SDK_CREDENTIALS_FILE nor HOME is set".into())
        })?;
        let text = read_guarded(&path)?;
        let section = section.unwrap_or("basic");
        let values = ini_section(&text, section)
            .ok_or_else(|| AuthError::Missing(format!("{} has no section [{section}]", path.display())))?;
        let value = |key: &str| {
            values
                .iter()
                .find(|(name, _)| name.eq_ignore_ascii_case(key))
                .map(|(_, value)| (*value).to_owned())
        };
        let needed = |key: &str| {
            value(key).ok_or_else(|| AuthError::Missing(format!("{}: [{section}] has no {key}", path.display())))
        };
        let secret = needed("sk")?.into();
        Ok(
            Credentials::new(needed("ak")?, secret, value("security_token").map(Into::into), None)
                .with_project_id(value("project_id")),
        )
    }

    fn secret_file(&self, path: &Path) -> Result<String, AuthError> {
        read_secret(path, &self.env)
    }

    /// A variable that is set and not empty.
    fn var(&self, name: &str) -> Option<String> {
        (self.env)(name).filter(|value| !value.is_empty())
    }
}

/// One secret from a file, without the line end an editor leaves. A relative name is taken in `$CREDENTIALS_DIRECTORY`.
pub(crate) fn read_secret(path: &Path, env: &Env) -> Result<String, AuthError> {
    let path = if path.is_absolute() {
        path.to_owned()
    } else {
        let directory = env("CREDENTIALS_DIRECTORY").filter(|value| !value.is_empty()).ok_or_else(|| {
            AuthError::Missing(format!(
                "{} is a relative name, but $CREDENTIALS_DIRECTORY is not set (LoadCredential= in the unit sets it)",
                path.display()
            ))
        })?;
        Path::new(&directory).join(path)
    };
    let text = read_guarded(&path)?;
    let secret = text.trim_end_matches(['\r', '\n']);
    if secret.is_empty() || secret.contains(char::is_control) {
        let what = if secret.is_empty() {
            "is empty"
        } else {
            "holds more than one line"
        };
        return Err(AuthError::Missing(format!(
            "{} {what}; it should hold one secret",
            path.display()
        )));
    }
    Ok(secret.to_owned())
}

/// Reads a secret file, unless another user may have written it.
fn read_guarded(path: &Path) -> Result<String, AuthError> {
    use std::io::Read as _;
    let failed = |source| AuthError::File {
        path: path.to_owned(),
        source,
    };
    // Opening a pipe would wait for a writer.
    if !std::fs::metadata(path).map_err(failed)?.is_file() {
        return Err(AuthError::NoFile { path: path.to_owned() });
    }
    // One open file is looked at and read: no exchange in between.
    let file = std::fs::File::open(path).map_err(failed)?;
    let meta = file.metadata().map_err(failed)?;
    let mode = meta.mode() & 0o7777;
    let by = if mode & 0o002 != 0 {
        Some("everybody")
    } else if mode & 0o020 != 0 && meta.gid() != 0 {
        Some("its group")
    } else {
        None
    };
    if let Some(by) = by {
        return Err(AuthError::Writable {
            path: path.to_owned(),
            by,
            mode,
        });
    }
    if mode & 0o004 != 0 {
        tracing::warn!(file = %path.display(), mode = format_args!("{mode:04o}"), "everybody may read this secret file: chmod o-r");
    }
    let mut text = String::new();
    file.take(LONGEST_SECRET + 1)
        .read_to_string(&mut text)
        .map_err(failed)?;
    if text.len() as u64 > LONGEST_SECRET {
        return Err(AuthError::TooLong {
            path: path.to_owned(),
            most: LONGEST_SECRET,
        });
    }
    Ok(text)
}

/// The `key = value` or `key: value` lines of an INI section; as the SDK's reader, it does not mind the case of keys.
fn ini_section<'a>(text: &'a str, section: &str) -> Option<Vec<(&'a str, &'a str)>> {
    let mut values = None;
    let mut inside = false;
    for line in text.lines().map(str::trim) {
        if let Some(name) = line.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')) {
            inside = name.trim() == section;
            if inside {
                values.get_or_insert_with(Vec::new);
            }
        } else if inside
            && !line.starts_with(['#', ';'])
            && let Some((key, value)) = line.split_once(['=', ':'])
            && !value.trim().is_empty()
        {
            values.get_or_insert_with(Vec::new).push((key.trim(), value.trim()));
        }
    }
    values
}

#[derive(Deserialize)]
struct SecurityKey {
    credential: MetadataKeys,
}

#[derive(Deserialize)]
struct MetadataKeys {
    access: String,
    secret: SecretText,
    #[serde(default)]
    securitytoken: Option<SecretText>,
    #[serde(default)]
    expires_at: Option<String>,
}

/// A secret while it is read.
#[derive(Deserialize)]
#[serde(transparent)]
struct SecretText(String);

/// The metadata service gave no keys: whether asking again makes sense, and why.
type NoKeys = (bool, String, Option<reqwest::Error>);

/// Keys of the agency. What passes (a reset, 429, 5xx, an answer that cannot be read) is tried again, as any read.
async fn ecs(endpoint: &Url) -> Result<Credentials, AuthError> {
    let failed = |(_, why, source): NoKeys| AuthError::Metadata {
        elsewhere: "",
        endpoint: endpoint.to_string(),
        why,
        source: source.map(|error| error.without_url().into()),
    };
    let client = super::transport::builder()
        .no_proxy()
        .tls_certs_only([])
        .connect_timeout(METADATA_CONNECT)
        .timeout(METADATA_TIMEOUT)
        .build()
        .map_err(|error| failed((false, "no client".to_owned(), Some(error))))?;
    let mut attempt = 1;
    loop {
        match agency_keys(&client, endpoint.as_str().trim_end_matches('/')).await {
            Ok(keys) => return Ok(keys),
            Err(no_keys) if no_keys.0 && attempt < METADATA_ATTEMPTS => {
                tokio::time::sleep(back_off(METADATA_PAUSE, attempt, None)).await;
                attempt += 1;
            }
            Err(no_keys) => return Err(failed(no_keys)),
        }
    }
}

/// One attempt, by the token variant where the service has it.
async fn agency_keys(client: &reqwest::Client, base: &str) -> Result<Credentials, NoKeys> {
    let token = client
        .put(format!("{base}/meta-data/latest/api/token"))
        .header("X-Metadata-Token-Ttl-Seconds", "21600")
        // Some servers wait for a body, or refuse, where a PUT does not say that it has none.
        .header(reqwest::header::CONTENT_LENGTH, "0");
    // 404, 405 and 503 mean that there is no such variant; whatever else goes wrong here, the plain request says it better.
    let (token, token_may_come) = match ask(token).await {
        Ok((status, body)) if status.is_success() => (String::from_utf8(body).ok(), false),
        Ok((status, _)) => (None, passes(status)),
        Err((again, ..)) => (None, again),
    };
    let mut request = client.get(format!("{base}/openstack/latest/securitykey"));
    if let Some(token) = &token {
        request = request.header("X-Metadata-Token", token.trim());
    }
    let (status, body) = ask(request).await?;
    if !status.is_success() {
        let again = passes(status) || (status == StatusCode::UNAUTHORIZED && token_may_come);
        return Err((again, format!("HTTP {}", status.as_u16()), None));
    }
    // The parser's own error may quote the answer, which holds secrets.
    let keys: SecurityKey =
        serde_json::from_slice(&body).map_err(|_| (true, "its answer is not the documented JSON".to_owned(), None))?;
    let keys = keys.credential;
    let expires = keys.expires_at.as_deref().and_then(parse_time);
    let token = keys.securitytoken.map(|token| token.0.into());
    Ok(Credentials::new(keys.access, keys.secret.0.into(), token, expires))
}

fn passes(status: StatusCode) -> bool {
    status.is_server_error() || matches!(status, StatusCode::TOO_MANY_REQUESTS | StatusCode::REQUEST_TIMEOUT)
}

/// One request to the metadata service and its bounded answer.
async fn ask(request: reqwest::RequestBuilder) -> Result<(StatusCode, Vec<u8>), NoKeys> {
    // Where nothing answers at all, as on a machine that is no ECS, asking again only takes longer.
    let again = |error: &reqwest::Error| !error.is_timeout();
    let mut answer = request
        .send()
        .await
        .map_err(|error| (again(&error), "no answer".to_owned(), Some(error)))?;
    let (body, whole) = super::transport::body(&mut answer, METADATA_LARGEST)
        .await
        .map_err(|error| (again(&error), "the answer broke off".to_owned(), Some(error)))?;
    if whole {
        Ok((answer.status(), body))
    } else {
        let why = format!("its answer is larger than {} KiB", METADATA_LARGEST >> 10);
        Err((false, why, None))
    }
}

#[cfg(test)]
mod tests;
