//! One message to one target: a few tries, no redirects, and no word about the URL but scheme and host.

use std::time::Duration;

use serde::{Serialize, Serializer};
use tokio::task::JoinSet;
use url::Url;

use super::format::{WebhookRequest, request};
use super::notification::Notification;
use crate::config::{NotifyFormat, NotifyTarget, NotifyUrl, notify_url};
use crate::rds::credentials::process_env;
use crate::rds::{back_off, http_client, proxy_variable, read_secret, retry_after};
use crate::wording::error_chain;

/// One try, connection and answer together.
const TIMEOUT: Duration = Duration::from_secs(10);
/// How often a message is tried.
const TRIES: u32 = 3;
/// The wait after the first failure; it doubles.
const PAUSE: Duration = Duration::from_secs(1);

/// Why a message did not arrive.
#[derive(Debug)]
pub(super) struct NotSent {
    /// Scheme and host, where they are known.
    pub(super) host: Option<String>,
    /// For a reader.
    pub(super) why: String,
    /// Another try may help; what the target asked to wait.
    again: Option<Duration>,
}

/// Sends a message, with up to [`TRIES`] tries.
pub(super) async fn deliver(target: &NotifyTarget, message: &Notification) -> Result<(), NotSent> {
    let mut tried = 1;
    loop {
        match attempt(target, message).await {
            Ok(_) => return Ok(()),
            Err(NotSent { again: Some(asked), .. }) if tried < TRIES => {
                tokio::time::sleep(back_off(PAUSE, tried, Some(asked))).await;
                tried += 1;
            }
            Err(failed) => return Err(failed),
        }
    }
}

/// Sends a message once: scheme and host, and the status. The answer's body is not read.
async fn attempt(target: &NotifyTarget, message: &Notification) -> Result<(String, u16), NotSent> {
    let unusable = |host: Option<&str>, why: String| NotSent {
        host: host.map(str::to_owned),
        why,
        again: None,
    };
    let base = url_of(target).await.map_err(|why| unusable(None, why))?;
    let host = base.origin().ascii_serialization();
    // Without its path: an error may name the endpoint.
    let endpoint = Url::parse(&host).map_err(|error| unusable(Some(&host), error.to_string()))?;
    proxy_variable(&endpoint, &process_env()).map_err(|why| unusable(Some(&host), why))?;
    let client = http_client(&endpoint, TIMEOUT, false).map_err(|error| unusable(Some(&host), error_chain(&error)))?;
    let WebhookRequest {
        url,
        content_type,
        body,
    } = request(target.format, base, message);
    let sent = client
        .post(url)
        .header("content-type", content_type)
        .body(body)
        .send()
        .await;
    let failed = |why: String, again| NotSent {
        host: Some(host.clone()),
        why,
        again,
    };
    let answer = sent.map_err(|error| failed(error_chain(&error.without_url()), Some(Duration::ZERO)))?;
    let status = answer.status().as_u16();
    let asked = answer
        .headers()
        .get("retry-after")
        .and_then(|value| value.to_str().ok());
    let asked = asked.and_then(|text| retry_after(text, crate::clock::now()));
    match status {
        200..=299 => Ok((host, status)),
        300..=399 => Err(failed(
            format!("answered {status}: redirects are not followed, write the new URL"),
            None,
        )),
        429 | 500..=599 => Err(failed(format!("answered {status}"), Some(asked.unwrap_or_default()))),
        _ => Err(failed(format!("answered {status}"), None)),
    }
}

/// The target's URL, read again where it is in a file.
async fn url_of(target: &NotifyTarget) -> Result<Url, String> {
    match &target.url {
        NotifyUrl::Given(url) => notify_url(secrecy::ExposeSecret::expose_secret(url)).map_err(str::to_owned),
        NotifyUrl::File(file) => {
            let path = file.clone();
            let read = tokio::task::spawn_blocking(move || read_secret(&path, &process_env())).await;
            let text = read
                .map_err(|error| error.to_string())?
                .map_err(|error| error_chain(&error))?;
            notify_url(&text).map_err(|why| format!("{}: {why}", file.display()))
        }
    }
}

/// How a test message to one target went.
#[derive(Debug, Serialize)]
pub struct TestedTarget {
    /// Its place in `notify`, from 1.
    pub target: usize,
    /// How messages to it look.
    #[serde(serialize_with = "format_name")]
    pub format: NotifyFormat,
    /// Scheme and host of its URL, where they are known.
    pub host: Option<String>,
    /// What it answered.
    pub status: Option<u16>,
    /// Why the message did not arrive.
    pub error: Option<String>,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "as serde calls it")]
fn format_name<S: Serializer>(format: &NotifyFormat, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(format.as_str())
}

/// Sends a test message to every target, each once, all at the same time.
pub async fn test_targets(targets: &[NotifyTarget]) -> Vec<TestedTarget> {
    let message = Notification::test(crate::clock::now());
    let mut tasks = JoinSet::new();
    for (nth, target) in targets.iter().cloned().enumerate() {
        let message = message.clone();
        tasks.spawn(async move {
            let (host, status, error) = match attempt(&target, &message).await {
                Ok((host, status)) => (Some(host), Some(status), None),
                Err(NotSent { host, why, .. }) => (host, None, Some(why)),
            };
            TestedTarget {
                target: nth + 1,
                format: target.format,
                host,
                status,
                error,
            }
        });
    }
    let mut tested = tasks.join_all().await;
    tested.sort_by_key(|tested| tested.target);
    tested
}
