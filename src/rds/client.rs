//! The client of one project: what can be asked, and how often a read is tried.
//!
//! Not for HTTP (that is `exchange`) nor for whether pages agree (`listing`).

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};
use std::time::Duration;

use tokio::sync::OnceCell;

use super::api_clock::ApiClock;
use super::back_off::back_off;
use super::credential_cache::CredentialCache;
use super::credential_sources::Reader;
use super::credentials::{Env, process_env};
use super::error::{CallPlace, Error};
use super::failure::{FailureKind, TransportFailure};
use super::key_lockout::KeyLockout;
use super::lenient_json::Many;
use super::observer::Observer;
use super::operation::Operation;
use super::proxy;
use super::rate::Throttle;
use super::refusal::refusal;
use super::request::{ApiRequest, Exchange};
use super::response::Response;
use super::settings::Settings;
use super::transport::Http;
use super::wire::ProjectList;
use crate::retention::plan::ClockCheck;
use crate::retention::{InstanceId, ProjectName};

/// What only tests change.
#[derive(Clone)]
pub struct Tuning {
    /// Where environment variables are looked up.
    pub env: Env,
    /// The first back-off; it doubles.
    pub back_off: Duration,
    /// How often a read is tried.
    pub attempts: u32,
    /// How often a read is tried that is answered 429: more often, for nothing is wrong but the pace, which is being found.
    pub attempts_throttled: u32,
}

impl Default for Tuning {
    fn default() -> Self {
        Self {
            env: process_env(),
            back_off: Duration::from_millis(250),
            attempts: 4,
            attempts_throttled: 8,
        }
    }
}

/// The client of one project; clones share everything.
#[derive(Clone)]
pub struct Client(Arc<Inner>);

struct Inner {
    settings: Settings,
    tuning: Tuning,
    exchange: Exchange,
    project_id: OnceCell<String>,
    /// Reads in a row that were not answered in time.
    silent: AtomicU32,
    /// The API refused to name deleted instances.
    is_naming_refused: AtomicBool,
}

/// After so many reads in a row that were not answered in time, a run asks no more: a server that sends a byte now and then would
/// else hold it for as long as it may take, at [`Settings::TIMEOUT`] for each attempt on each instance.
const MOST_SILENT: u32 = 16;

impl std::fmt::Debug for Client {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Client")
            .field("settings", &self.0.settings)
            .finish_non_exhaustive()
    }
}

impl Client {
    /// A client; nothing is read or sent yet. `keys` is shared by all clients of the process.
    pub fn new(settings: Settings, keys: KeyLockout, observer: Observer) -> Result<Self, Error> {
        Self::tuned(settings, keys, observer, Tuning::default())
    }

    /// As [`Self::new`], with another environment and other back-offs.
    pub fn tuned(settings: Settings, keys: KeyLockout, observer: Observer, tuning: Tuning) -> Result<Self, Error> {
        let http = |endpoint: &url::Url| {
            let proxy = proxy::variable(endpoint, &tuning.env).map_err(|message| Error::Configuration {
                project: settings.project.clone(),
                message,
                source: None,
            })?;
            Http::new(endpoint.clone(), settings.timeout, proxy).map_err(|source| Error::Configuration {
                project: settings.project.clone(),
                message: format!("no HTTP client for {endpoint}: is a CA store (package ca-certificates) installed?"),
                source: Some(source.into()),
            })
        };
        let reader = Reader {
            source: settings.source.clone(),
            env: Arc::clone(&tuning.env),
        };
        let exchange = Exchange {
            rds: http(&settings.endpoint)?,
            iam: http(&settings.iam_endpoint)?,
            throttle: Throttle::new(settings.requests_per_second, settings.concurrency),
            credentials: CredentialCache::new(reader),
            keys,
            observer,
            alone_next: AtomicBool::new(true),
            calls: AtomicU64::new(0),
            api_clock: ApiClock::default(),
            project_compared: AtomicBool::new(false),
        };
        let project_id = OnceCell::new_with(settings.project_id.clone());
        Ok(Self(Arc::new(Inner {
            settings,
            tuning,
            exchange,
            project_id,
            silent: AtomicU32::new(0),
            is_naming_refused: AtomicBool::new(false),
        })))
    }

    /// The configuration's name of the project.
    pub fn project(&self) -> &ProjectName {
        &self.0.settings.project
    }

    /// A run begins: credentials are read again, and the next request goes alone until it proves the key (contract, 4.7).
    pub fn begin_run(&self) {
        self.0.exchange.credentials.invalidate();
        self.0.exchange.api_clock.begin_run();
        self.0.exchange.alone_next.store(true, Ordering::SeqCst);
        self.0.silent.store(0, Ordering::Relaxed);
    }

    /// Reads the CA certificates again, which may have been renewed. Requests under way are not touched.
    pub fn renew_connections(&self) {
        self.0.exchange.rds.renew();
        self.0.exchange.iam.renew();
    }

    /// How the local clock compares at this moment with the API's latest `Date`, or compared with the worst one since the run began.
    pub fn clock(&self) -> ClockCheck {
        self.0.exchange.api_clock.check()
    }

    /// How many requests may be under way at once.
    pub fn concurrency(&self) -> usize {
        self.0.settings.concurrency.max(1)
    }

    /// How many requests were sent since the client was made.
    pub fn calls(&self) -> u64 {
        self.0.exchange.calls.load(Ordering::Relaxed)
    }

    pub(super) fn tuning(&self) -> &Tuning {
        &self.0.tuning
    }

    /// The cloud's project id: configured, or asked of IAM by the region's name, once.
    pub async fn project_id(&self) -> Result<String, Error> {
        self.0
            .project_id
            .get_or_try_init(|| self.look_up_project())
            .await
            .cloned()
    }

    /// The same, as far as it is known without asking.
    pub fn known_project_id(&self) -> Option<&str> {
        self.0.project_id.get().map(String::as_str)
    }

    /// The region.
    pub fn region(&self) -> &str {
        &self.0.settings.region
    }

    async fn look_up_project(&self) -> Result<String, Error> {
        let region = &self.0.settings.region;
        let ask = ApiRequest {
            place: self.place(Operation::ListProjects, None),
            segments: vec!["v3".into(), "projects".into()],
            query: vec![("name", region.clone())],
            body: None,
            project_id: None,
        };
        let mut ids = self
            .read(&ask, |body| {
                let list: ProjectList<'_> = serde_json::from_slice(body).map_err(|error| error.to_string())?;
                let Many::Items(projects) = list.projects else {
                    return Err("it holds no projects".to_owned());
                };
                let named = projects.iter().filter(|project| project.name.text() == Some(region));
                Ok(named
                    .filter_map(|project| project.id.word().map(str::to_owned))
                    .collect::<Vec<_>>())
            })
            .await?;
        ids.sort_unstable();
        ids.dedup();
        let message = match ids.as_slice() {
            [id] => return Ok(id.clone()),
            [] => format!("IAM knows no project named {region} for these credentials; check region, or set project_id"),
            several => format!(
                "IAM knows several projects named {region} ({}); set project_id",
                several.join(", ")
            ),
        };
        Err(Error::Configuration {
            project: self.project().clone(),
            message,
            source: None,
        })
    }

    /// Whether the API refused to name deleted instances; it is not asked again in this process.
    pub(super) fn is_naming_refused(&self) -> &AtomicBool {
        &self.0.is_naming_refused
    }

    pub(super) fn exchange(&self) -> &Exchange {
        &self.0.exchange
    }

    /// A deletion without its body.
    pub(super) async fn deletion(&self) -> Result<ApiRequest, Error> {
        self.ask(Operation::BatchDelete, None, &["backups", "batch-delete"], Vec::new())
            .await
    }

    /// A read: tried again after 429, 5xx, time-outs, broken connections and answers that cannot be read.
    pub(super) async fn read<T>(
        &self,
        ask: &ApiRequest,
        parse: impl Fn(&[u8]) -> Result<T, String>,
    ) -> Result<T, Error> {
        let tuning = self.tuning();
        let (mut failed, mut throttled) = (0, 0);
        loop {
            let (mut at_once, mut lasts) = (false, false);
            self.refuse_if_silent(ask, failed)?;
            let sent = self.0.exchange.send(ask).await?;
            self.note_silence(&sent);
            let (why, source, wait) = match sent {
                Ok(reply) if (200..=299).contains(&reply.status) => match parse(&reply.body) {
                    Ok(value) => return Ok(value),
                    Err(why) => (format!("the answer cannot be read: {why}"), None, None),
                },
                Ok(reply) if reply.status == 429 => {
                    throttled += 1;
                    if throttled >= tuning.attempts_throttled {
                        let said = reply.said();
                        return Err(Error::Throttled {
                            place: ask.place.clone(),
                            attempts: throttled,
                            said,
                        });
                    }
                    tokio::time::sleep(back_off(tuning.back_off, throttled, reply.retry_after)).await;
                    continue;
                }
                Ok(reply) if reply.status >= 500 || reply.status == 408 => (
                    format!("HTTP {} ({})", reply.status, reply.said()),
                    None,
                    reply.retry_after,
                ),
                Ok(reply) => return Err(refusal(&ask.place, &reply)),
                Err(failure) => {
                    at_once = failure.kind == FailureKind::Broke;
                    lasts = matches!(failure.kind, FailureKind::Certificate | FailureKind::Final);
                    (failure.why, failure.source, None)
                }
            };
            failed += 1;
            if lasts || failed >= tuning.attempts {
                return Err(Error::Unreachable {
                    place: ask.place.clone(),
                    why,
                    attempts: failed,
                    source,
                });
            }
            if !at_once || failed > 1 {
                tokio::time::sleep(back_off(tuning.back_off, failed, wait)).await;
            }
        }
    }

    fn refuse_if_silent(&self, ask: &ApiRequest, attempts: u32) -> Result<(), Error> {
        if self.0.silent.load(Ordering::Relaxed) < MOST_SILENT {
            return Ok(());
        }
        Err(Error::Unreachable {
            place: ask.place.clone(),
            why: format!("{MOST_SILENT} reads in a row were not answered in time, so this run asks no more"),
            attempts,
            source: None,
        })
    }

    fn note_silence(&self, sent: &Result<Response, TransportFailure>) {
        match sent {
            Err(failure) if failure.kind == FailureKind::TimeOut => {
                self.0.silent.fetch_add(1, Ordering::Relaxed);
            }
            _ => self.0.silent.store(0, Ordering::Relaxed),
        }
    }

    pub(super) async fn ask(
        &self,
        operation: Operation,
        instance: Option<&InstanceId>,
        segments: &[&str],
        query: Vec<(&'static str, String)>,
    ) -> Result<ApiRequest, Error> {
        let project_id = self.project_id().await?;
        let mut path = vec!["v3".to_owned(), project_id.clone()];
        path.extend(segments.iter().map(|segment| (*segment).to_owned()));
        let place = self.place(operation, instance);
        Ok(ApiRequest {
            place,
            segments: path,
            query,
            body: None,
            project_id: Some(project_id),
        })
    }

    fn place(&self, operation: Operation, instance: Option<&InstanceId>) -> CallPlace {
        CallPlace {
            project: self.project().clone(),
            operation,
            instance: instance.cloned(),
        }
    }
}
