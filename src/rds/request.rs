//! One signed request and its answer: slot, turn, credentials, the key's gate, signature, body, observer.
//!
//! A read's 401 is settled here, because nothing happened: credentials are renewed once and the request is sent once more, alone (contract,
//! 4.7). Not for any other retry: reads are retried by `client`, deletions, which take a permit (`permit`), by `run`.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use chrono::{DateTime, Utc};
use reqwest::header::{HeaderMap, HeaderValue, RETRY_AFTER};
use secrecy::ExposeSecret;
use tokio::time::Instant;

use super::api_clock::ApiClock;
use super::credential_cache::CredentialCache;
use super::credentials::{Credentials, Fingerprint};
use super::error::{CallPlace, Error};
use super::failure::{FailureKind, TransportFailure};
use super::key_lockout::{KeyLockout, KeyPermit};
use super::observer::{Event, Observer};
use super::operation::Operation;
use super::rate::{ConcurrencyPermit, Throttle};
use super::response::{Response, retry_after, tidy};
use super::sign::Signable;
use super::transport::{Http, Target, body};
use crate::clock;

/// Of an error's body no more is read than this: its first sentences are shown.
const LARGEST_ERROR: usize = 64 * 1024;

/// What is asked.
#[derive(Clone, Debug)]
pub(super) struct ApiRequest {
    pub(super) place: CallPlace,
    /// Path segments, not encoded.
    pub(super) segments: Vec<String>,
    /// The query, not encoded.
    pub(super) query: Vec<(&'static str, String)>,
    /// JSON, where the call takes any.
    pub(super) body: Option<Vec<u8>>,
    /// Sent as X-Project-Id; without one it is IAM that is asked.
    pub(super) project_id: Option<String>,
}

/// The right to send one request now.
pub(super) struct Admission {
    pub(super) credentials: Arc<Credentials>,
    pass: KeyPermit,
    _slot: ConcurrencyPermit,
}

impl Admission {
    /// The name of the key that it uses.
    pub(super) fn fingerprint(&self) -> Fingerprint {
        self.credentials.fingerprint().clone()
    }
}

pub(super) struct Exchange {
    pub(super) rds: Http,
    pub(super) iam: Http,
    pub(super) throttle: Throttle,
    pub(super) credentials: CredentialCache,
    pub(super) keys: KeyLockout,
    pub(super) observer: Observer,
    /// The next request goes alone.
    pub(super) alone_next: AtomicBool,
    pub(super) calls: AtomicU64,
    /// The API's latest time.
    pub(super) api_clock: ApiClock,
    /// Whether it was said already that the credentials name another project.
    pub(super) project_compared: AtomicBool,
}

impl Exchange {
    /// Reads: sends and reads one answer; the inner `Err` when there was none. A 401 is an [`Error`], all other statuses are answers.
    pub(super) async fn send(&self, ask: &ApiRequest) -> Result<Result<Response, TransportFailure>, Error> {
        let mut refused: Option<Fingerprint> = None;
        loop {
            let admission = self.admission(&ask.place).await?;
            let (request, generation) = self.request(ask, &admission.credentials)?;
            let reply = match self.attempt(ask, request, generation).await {
                Ok(reply) => reply,
                Err(failure) => return Ok(Err(failure)),
            };
            let fingerprint = admission.fingerprint();
            if self.settle_key(&ask.place, admission, refused.as_ref(), &reply)? {
                return Ok(Ok(reply));
            }
            refused = Some(fingerprint);
        }
    }

    /// Waits for everything that a request waits for before it is sent: a slot, the rate's turn, credentials, the key.
    pub(super) async fn admission(&self, place: &CallPlace) -> Result<Admission, Error> {
        let slot = self.throttle.slot().await;
        // Held until the key lets this one go, so that those behind are paced from then on.
        let turn = self.throttle.turn().await;
        let (credentials, pass) = self.admit(place).await?;
        drop(turn);
        Ok(Admission {
            credentials,
            pass,
            _slot: slot,
        })
    }

    /// What an answer says about the key it was asked with; `refused` is the key that answered 401 to the same request before. False
    /// after a first 401: the same request once more, with renewed credentials.
    pub(super) fn settle_key(
        &self,
        place: &CallPlace,
        admission: Admission,
        refused: Option<&Fingerprint>,
        reply: &Response,
    ) -> Result<bool, Error> {
        let Admission {
            credentials,
            pass,
            _slot,
        } = admission;
        match reply.status {
            401 => {
                // Before the pass ends, so that whoever goes next goes with renewed credentials.
                self.credentials.invalidate_if(&credentials);
                let blocked = pass.refused(refused == Some(credentials.fingerprint()), clock::now());
                if refused.is_some() {
                    return Err(not_authenticated(place, &credentials, blocked, reply));
                }
                return Ok(false);
            }
            // These may come from in front of the authentication and prove nothing.
            429 | 500.. => {}
            _ => pass.proven(),
        }
        Ok(true)
    }

    /// Credentials, and the right to use them now.
    async fn admit(&self, place: &CallPlace) -> Result<(Arc<Credentials>, KeyPermit), Error> {
        loop {
            let credentials = self.credentials.current().await;
            let credentials = credentials.map_err(|source| Error::Credentials {
                project: place.project.clone(),
                source,
            })?;
            if self.alone_next.swap(false, Ordering::SeqCst) {
                self.keys.invalidate(credentials.fingerprint());
            }
            let pass = self
                .keys
                .enter(credentials.fingerprint())
                .await
                .map_err(|until| Error::KeyBlocked {
                    place: place.clone(),
                    key: credentials.masked(),
                    until,
                })?;
            // Renewed while this one waited.
            if self.credentials.is_current(&credentials) {
                return Ok((credentials, pass));
            }
        }
    }

    /// Who is asked: RDS, or without a project id IAM.
    fn http(&self, ask: &ApiRequest) -> &Http {
        if ask.project_id.is_some() { &self.rds } else { &self.iam }
    }

    /// Says once that the credentials' own source names another project than the one that is used.
    fn compare_project(&self, ask: &ApiRequest, credentials: &Credentials) {
        let (Some(used), Some(named)) = (&ask.project_id, &credentials.project_id) else {
            return;
        };
        if used != named && !self.project_compared.swap(true, Ordering::Relaxed) {
            tracing::warn!(
                project = %ask.place.project, used, named,
                "HUAWEICLOUD_SDK_PROJECT_ID or the SDK profile's project_id names another project id than the one that is used here; \
                 only project_id in the configuration counts"
            );
        }
    }

    /// The signed request, and the generation of the HTTP client that sends it.
    pub(super) fn request(
        &self,
        ask: &ApiRequest,
        credentials: &Credentials,
    ) -> Result<(reqwest::RequestBuilder, u64), Error> {
        self.compare_project(ask, credentials);
        let endpoint = &self.http(ask).endpoint;
        let (http, generation) = self.http(ask).client();
        let wrong = |message: String| Error::Configuration {
            project: ask.place.project.clone(),
            message,
            source: None,
        };
        let segments: Vec<&str> = ask.segments.iter().map(String::as_str).collect();
        let query: Vec<(&str, &str)> = ask.query.iter().map(|(name, value)| (*name, value.as_str())).collect();
        let target = Target::new(endpoint, &segments, &query).map_err(wrong)?;
        let date = clock::now().format("%Y%m%dT%H%M%SZ").to_string();
        let mut headers = vec![
            ("host", target.host.as_str()),
            ("x-sdk-date", &date),
            ("content-type", "application/json"),
        ];
        if let Some(id) = &ask.project_id {
            headers.push(("x-project-id", id));
        }
        if let Some(token) = &credentials.security_token {
            headers.push(("x-security-token", token.expose_secret()));
        }
        let body = ask.body.as_deref().unwrap_or_default();
        let method = ask.place.operation.method();
        let signable = Signable {
            method: method.as_str(),
            path: &target.path,
            query: &query,
            headers: &headers,
            body,
        };
        let authorization = signable.authorization(&credentials.access_key, &credentials.secret_key, &date);
        let mut sent = HeaderMap::new();
        // `host` is made from the URL by the HTTP client, the same.
        for (name, value) in headers
            .into_iter()
            .skip(1)
            .chain([("authorization", authorization.as_str())])
        {
            let mut value = HeaderValue::from_str(value).map_err(|_| {
                wrong(format!(
                    "the credentials or the project id hold a character that {name} cannot carry"
                ))
            })?;
            value.set_sensitive(matches!(name, "authorization" | "x-security-token"));
            sent.insert(name, value);
        }
        let request = http.request(method, target.url).headers(sent);
        Ok((request.body(body.to_vec()), generation))
    }

    pub(super) async fn attempt(
        &self,
        ask: &ApiRequest,
        request: reqwest::RequestBuilder,
        generation: u64,
    ) -> Result<Response, TransportFailure> {
        self.calls.fetch_add(1, Ordering::Relaxed);
        let sent = Instant::now();
        let mut reply = self.answer(ask, request).await;
        if let Err(failure) = &mut reply {
            match failure.kind {
                FailureKind::Broke => self.http(ask).broke(generation),
                FailureKind::Certificate if self.http(ask).renew_after(generation) => {
                    failure.kind = FailureKind::Passing;
                }
                _ => {}
            }
        }
        let status = reply.as_ref().ok().map(|reply| reply.status);
        let throttled = status == Some(429);
        match &reply {
            Ok(reply) if throttled => self.throttle.refused(sent, reply.retry_after),
            Ok(_) => self.throttle.answered(sent),
            Err(_) => {}
        }
        (self.observer)(&Event {
            project: &ask.place.project,
            operation: ask.place.operation,
            status,
            took: sent.elapsed(),
            throttled,
        });
        reply
    }

    async fn answer(&self, ask: &ApiRequest, request: reqwest::RequestBuilder) -> Result<Response, TransportFailure> {
        let failure = |error| TransportFailure::of(error, self.http(ask).proxy);
        let mut answer = request.send().await.map_err(failure)?;
        let now = clock::now();
        let status = answer.status().as_u16();
        if ask.place.operation != Operation::ListProjects {
            self.api_clock.note(answer.headers(), answer.status().is_success());
        }
        let header = |name: &str| answer.headers().get(name).and_then(|value| value.to_str().ok());
        let request_id = header("x-request-id").or_else(|| header("x-iam-trace-id")).map(tidy);
        let wait = header(RETRY_AFTER.as_str()).and_then(|text| retry_after(text, now));
        let success = answer.status().is_success();
        let most = if success {
            ask.place.operation.largest_answer()
        } else {
            LARGEST_ERROR
        };
        let body = match body(&mut answer, most).await {
            Ok((body, whole)) if whole || !success => body,
            Ok(_) => return Err(TransportFailure::too_long(most)),
            Err(error) if success => return Err(failure(error)),
            // The status alone says enough: a 401 must count although its text broke off.
            Err(_) => Vec::new(),
        };
        Ok(Response {
            status,
            body,
            request_id,
            retry_after: wait,
        })
    }
}

fn not_authenticated(
    place: &CallPlace,
    credentials: &Credentials,
    blocked_until: Option<DateTime<Utc>>,
    reply: &Response,
) -> Error {
    let pause = blocked_until.map_or_else(String::new, |until| {
        let until = until.format("%Y-%m-%d %H:%M:%S UTC");
        format!(", and is not used until {until} so that the API does not lock it, unless its secret or token changes")
    });
    Error::NotAllowed {
        place: place.clone(),
        status: reply.status,
        said: reply.said(),
        hint: format!(
            "access key {} was refused{pause}; check access key, secret key, security token and this machine's clock",
            credentials.masked()
        ),
    }
}
