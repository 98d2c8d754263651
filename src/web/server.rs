//! The server: routes, headers, limits, and a cache of pages.

use std::future::Future;
use std::sync::{Arc, LazyLock};
use std::time::Duration;

use tokio::sync::{Mutex, Semaphore};
use tokio::task::spawn_blocking;
use tokio::time::{Instant, timeout};

use super::forecasts::ForecastCache;
use super::listener::Listener;
use super::page::{self, PageData, View};
use super::{encoding, host};
use crate::blocking::blocking;
use crate::http::header::HeaderValue;
use crate::http::{self, Body, Bytes, HttpLimits, Request, Response, ServiceAnswer, StatusCode, header};
use crate::ledger::{Ledger, RunFilter};
use crate::operations::history::past_runs;
use crate::status::SharedStatus;
use crate::telemetry::openmetrics;
use crate::wording::sanitize;

const TEXT: &str = "text/plain; charset=utf-8";
const JSON: &str = "application/json";
const HTML: &str = "text/html; charset=utf-8";
/// Nothing is loaded from elsewhere, no script runs, no page frames it, and its one form asks this server. The one style element is allowed by its hash; the icon is
/// part of the page.
static CONTENT_SECURITY_POLICY: LazyLock<HeaderValue> = LazyLock::new(|| {
    let style = page::style_source();
    let policy = format!(
        "default-src 'none'; style-src {style}; img-src data:; base-uri 'none'; form-action 'self'; frame-ancestors 'none'"
    );
    // Base64 and constants are always valid in a header. If they were not, nothing would be allowed.
    HeaderValue::from_str(&policy).unwrap_or(HeaderValue::from_static("default-src 'none'"))
});
/// A page is rendered at most this often.
const PAGE_FOR: Duration = Duration::from_secs(1);
/// Pages that are kept for that long; large fleets have several.
const MAX_PAGES: usize = 8;
/// Clients that may wait for a page; each page takes a core some tens of milliseconds.
const MAX_WAITING: usize = 16;

/// Questions to the ledger that may be under way at once.
const MAX_QUESTIONS: usize = 4;
/// How long a page waits for the ledger.
const LEDGER_TIMEOUT: Duration = Duration::from_millis(500);
/// Clients that may be connected at once, if there are enough file descriptors.
const MAX_CLIENTS: usize = 256;
/// Descriptors that a process has or may need besides connections: the ledger, files that are read, the log, timers, signals. An idle
/// daemon holds some 20.
const OWN_DESCRIPTORS: u64 = 48;

/// How many clients may be connected: they must not take the descriptors that a run needs.
fn max_clients(status: &SharedStatus) -> usize {
    // A run has a connection for each request in progress, and another to IAM or the metadata service; and so again after a reload.
    let of_runs: u64 = status
        .config()
        .projects
        .iter()
        .map(|project| 2 * (u64::from(project.concurrency.get()) + 1))
        .sum();
    let Some(limit) = http::open_files_limit() else {
        return MAX_CLIENTS;
    };
    let places = http::places(limit, OWN_DESCRIPTORS + of_runs, MAX_CLIENTS);
    if places < MAX_CLIENTS {
        tracing::info!(
            limit,
            places,
            "few files may be open, so fewer clients may be connected than 256; LimitNOFILE= raises the limit"
        );
    }
    places
}

/// What this server grants: its clients are a scraper, a probe and a few browsers.
fn limits(max_connections: usize) -> HttpLimits {
    HttpLimits {
        header_timeout: Duration::from_secs(5),
        body_timeout: Duration::from_secs(2),
        answer_timeout: Duration::from_secs(15),
        lifetime: Duration::from_secs(120),
        methods: Some("GET, HEAD"),
        // No request here has a body.
        max_body: 0,
        max_head: 16 * 1024,
        max_connections,
        drain: Duration::from_secs(2),
        date_header: true,
    }
}

/// A page as it was rendered last.
struct CachedPage {
    view: View,
    rendered_at: Instant,
    html: Bytes,
}

/// The pages rendered within the last second, and a limit on clients that wait for one.
struct PageCache {
    pages: Mutex<Vec<CachedPage>>,
    places: Semaphore,
    forecasts: Arc<ForecastCache>,
    /// Questions to the ledger that are under way.
    questions: Arc<Semaphore>,
}

/// Serves until `stop`, then finishes the requests in progress.
pub async fn serve(listener: Listener, status: Arc<SharedStatus>, stop: impl Future<Output = ()> + Send) {
    let mut stop = Box::pin(stop);
    let listener = tokio::select! {
        listener = listener.bound() => listener,
        () = &mut stop => return,
    };
    if let Ok(address) = listener.local_addr() {
        tracing::info!(address = %address, "listening on http://{address}/");
    }
    let pages = Arc::new(PageCache::new());
    let places = max_clients(&status);
    let service = move |request: Request<Bytes>| {
        let (status, pages) = (Arc::clone(&status), Arc::clone(&pages));
        async move { ServiceAnswer::from(answer(&request, &status, &pages).await) }
    };
    http::serve(listener, limits(places), service, stop).await;
}

fn metrics_for(request: &Request<Bytes>, status: &SharedStatus) -> Response<Body> {
    let wanted = openmetrics::is_wanted(&header_value(request, &header::ACCEPT));
    let kind = if wanted {
        openmetrics::OPENMETRICS_TYPE
    } else {
        openmetrics::TEXT_TYPE
    };
    let is_gzipped = encoding::wants_gzip(&header_value(request, &header::ACCEPT_ENCODING));
    metrics(kind, status.metrics(wanted), is_gzipped)
}

async fn answer(request: &Request<Bytes>, status: &Arc<SharedStatus>, pages: &PageCache) -> Response<Body> {
    let path = request.uri().path();
    let view = View::of(path, request.uri().query());
    if (view.is_some() || path.starts_with("/api/"))
        && !host::is_answered(request, crate::run::host_name, &status.config().allowed_hosts)
    {
        return response(
            StatusCode::MISDIRECTED_REQUEST,
            TEXT,
            "421: this is not one of the names that page and API answer to; `allowed_hosts` in the configuration adds it\n",
        );
    }
    if view.is_some() || matches!(path, "/metrics" | "/readyz" | "/api/v1/status") {
        status.refresh_if_old().await;
    }
    if let Some(view) = view {
        return match draw(view, status, pages).await {
            Some(html) => response(StatusCode::OK, HTML, html),
            None => busy(),
        };
    }
    match path {
        "/metrics" => metrics_for(request, status),
        "/healthz" => match status.stalled_for() {
            None => response(StatusCode::OK, TEXT, "ok\n"),
            Some(since) => {
                let text = format!("the main loop has not answered for {} s\n", since.as_secs());
                response(StatusCode::SERVICE_UNAVAILABLE, TEXT, text)
            }
        },
        "/readyz" => {
            let obstacles = status.obstacles();
            if obstacles.is_empty() {
                return response(StatusCode::OK, TEXT, "ready\n");
            }
            let lines = obstacles.iter().map(|it| format!("{}: {}\n", it.about, it.message));
            response(StatusCode::SERVICE_UNAVAILABLE, TEXT, lines.collect::<String>())
        }
        "/api/v1/status" => {
            let mut json = Vec::new();
            match sanitize::write_json(&mut json, &status.status()) {
                Ok(()) => response(StatusCode::OK, JSON, json),
                Err(error) => {
                    tracing::error!(%error, "the status cannot be written as JSON");
                    response(StatusCode::INTERNAL_SERVER_ERROR, TEXT, "the log says more\n")
                }
            }
        }
        _ => response(
            StatusCode::NOT_FOUND,
            TEXT,
            "not found; there are /, /history, /policy/NAME, /why/BACKUP_ID, /metrics, /healthz, /readyz and /api/v1/status\n",
        ),
    }
}

/// The page of that view; `None` when too many clients wait already, or the ledger does not answer.
async fn draw(view: View, shared: &Arc<SharedStatus>, pages: &PageCache) -> Option<Bytes> {
    let (mut picture, mut past, mut runs) = (None, Vec::new(), Vec::new());
    match view.clone() {
        View::Overview(_) => {
            let (forecasts, status) = (Arc::clone(&pages.forecasts), Arc::clone(shared));
            // What is not made in time is there for the next reader.
            let _ = pages.ask(move || forecasts.update_next_runs(&status)).await;
        }
        View::Policy(policy) => picture = pages.forecasts.picture(shared, &shared.status(), &policy).await,
        View::Why(id) => {
            let ledger = shared.ledger();
            past = pages
                .ask(move || read(ledger, |ledger| ledger.backup_history(&id)))
                .await?;
        }
        View::History(policy) => {
            let (ledger, limit) = (shared.ledger(), Some(page::MOST_RUNS));
            let filter = RunFilter { policy, limit };
            runs = pages
                .ask(move || read(ledger, |ledger| past_runs(ledger, &filter)))
                .await?;
        }
    }
    let render = || {
        let status = shared.status();
        let data = PageData {
            next_runs: pages.forecasts.next_runs(),
            picture,
            past,
            runs,
            ..PageData::of(&status)
        };
        page::render(&data, &view)
    };
    pages.page(view.clone(), render).await
}

/// What the ledger says; nothing where it is not open or cannot be read, which the page says.
fn read<T, E: std::error::Error + 'static>(
    ledger: Option<Arc<Ledger>>,
    ask: impl FnOnce(&Ledger) -> Result<Vec<T>, E>,
) -> Vec<T> {
    let Some(ledger) = ledger else {
        return Vec::new();
    };
    ask(&ledger).unwrap_or_else(|error| {
        let error: &(dyn std::error::Error + 'static) = &error;
        tracing::warn!(error, "the ledger could not be read for a page");
        Vec::new()
    })
}

/// A header's value; several lines mean the same as one.
fn header_value(request: &Request<Bytes>, name: &header::HeaderName) -> String {
    let lines = request.headers().get_all(name).iter();
    let lines: Vec<&str> = lines.filter_map(|value| value.to_str().ok()).collect();
    lines.join(",")
}

/// The metrics, compressed on request: those of 200 policies are half a megabyte, every few seconds.
fn metrics(kind: &'static str, text: impl Into<Bytes>, wants_gzip: bool) -> Response<Body> {
    let text = text.into();
    let compressed = wants_gzip.then(|| blocking(|| encoding::gzip(&text))).flatten();
    let is_compressed = compressed.is_some();
    let mut response = response(StatusCode::OK, kind, compressed.map_or(text, Bytes::from));
    let headers = response.headers_mut();
    headers.insert(header::VARY, HeaderValue::from_static("accept, accept-encoding"));
    if is_compressed {
        headers.insert(header::CONTENT_ENCODING, HeaderValue::from_static("gzip"));
    }
    response
}

impl PageCache {
    fn new() -> Self {
        Self {
            pages: Mutex::new(Vec::new()),
            places: Semaphore::new(MAX_WAITING),
            forecasts: Arc::default(),
            questions: Arc::new(Semaphore::new(MAX_QUESTIONS)),
        }
    }

    /// Asks what may wait for the ledger, beside the runtime; `None` when it does not answer in time.
    async fn ask<T: Send + 'static>(&self, question: impl FnOnce() -> T + Send + 'static) -> Option<T> {
        let permit = Arc::clone(&self.questions).try_acquire_owned().ok()?;
        let asked = spawn_blocking(move || {
            let answer = question();
            drop(permit);
            answer
        });
        timeout(LEDGER_TIMEOUT, asked).await.ok()?.ok()
    }

    /// The page of that view, rendered again when it is old. Pages are rendered one after the other and beside the runtime, so
    /// that they delay no scrape; `None` when too many clients wait already.
    async fn page(&self, view: View, render: impl FnOnce() -> String) -> Option<Bytes> {
        let _place = self.places.try_acquire().ok()?;
        let mut pages = self.pages.lock().await;
        pages.retain(|page| page.rendered_at.elapsed() < PAGE_FOR);
        if let Some(page) = pages.iter().find(|page| page.view == view) {
            return Some(page.html.clone());
        }
        let html = Bytes::from(blocking(render));
        if pages.len() >= MAX_PAGES {
            pages.remove(0);
        }
        pages.push(CachedPage {
            view,
            rendered_at: Instant::now(),
            html: html.clone(),
        });
        Some(html)
    }
}

fn busy() -> Response<Body> {
    let mut busy = response(
        StatusCode::SERVICE_UNAVAILABLE,
        TEXT,
        "too many ask for pages; try again\n",
    );
    busy.headers_mut()
        .insert(header::RETRY_AFTER, HeaderValue::from_static("1"));
    busy
}

fn response(status: StatusCode, kind: &'static str, body: impl Into<Bytes>) -> Response<Body> {
    let mut response = Response::new(Body::full(body));
    *response.status_mut() = status;
    let headers = response.headers_mut();
    for (name, value) in [
        (header::CONTENT_TYPE, kind),
        (header::CACHE_CONTROL, "no-store"),
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (header::X_FRAME_OPTIONS, "DENY"),
        (header::REFERRER_POLICY, "no-referrer"),
    ] {
        headers.insert(name, HeaderValue::from_static(value));
    }
    headers.insert(header::CONTENT_SECURITY_POLICY, CONTENT_SECURITY_POLICY.clone());
    response
}
