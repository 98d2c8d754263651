//! Floor 3: showing, over HTTP. GET and HEAD only; nothing can be changed here.
//!
//! ```text
//! /metrics          Prometheus text, or OpenMetrics for who asks for it
//! /healthz          the process turns
//! /readyz           it can do its work: 200, or 503 with the reasons
//! /api/v1/status    everything, as JSON
//! /                 the page (`page`)
//! ```
//!
//! Not for finding anything out: that is the daemon's [`SharedStatus`]. A client costs little, whatever it does: heads are small
//! and must come soon, bodies are not read, places are counted ([`crate::http`]), and pages are drawn one at a time, each
//! once a second however many ask.

mod encoding;
pub mod page;

use std::future::Future;
use std::sync::{Arc, LazyLock};
use std::time::Duration;

use tokio::net::TcpListener;
use tokio::sync::{Mutex, Semaphore};
use tokio::time::Instant;

use self::page::View;
use crate::daemon::{SharedStatus, blocking};
use crate::http::header::HeaderValue;
use crate::http::{self, Answer, Body, Bytes, Limits, Request, Response, StatusCode, header};
use crate::telemetry::openmetrics;
use crate::wording::sanitize;

const TEXT: &str = "text/plain; charset=utf-8";
const JSON: &str = "application/json";
const HTML: &str = "text/html; charset=utf-8";
/// Nothing is loaded from anywhere, no script runs, nobody frames the page. The one style element is allowed by its hash; the
/// picture of the browser's tab is part of the page.
static CONTENT_SECURITY: LazyLock<HeaderValue> = LazyLock::new(|| {
    let style = page::style_source();
    let policy = format!(
        "default-src 'none'; style-src {style}; img-src data:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    );
    // Base64 and constants: always a header's text. Were it not, nothing at all would be allowed.
    HeaderValue::from_str(&policy).unwrap_or(HeaderValue::from_static("default-src 'none'"))
});
/// A page is drawn no more often than this.
const PAGE_FOR: Duration = Duration::from_secs(1);
/// Pages that are remembered for so long; large fleets have several.
const MOST_PAGES: usize = 8;
/// Readers who may wait for a page to be drawn; each page takes a core some tens of milliseconds.
const MOST_WAITING: usize = 16;

/// Clients that may be connected at once, where there are descriptors enough.
const MOST_CLIENTS: usize = 256;
/// Descriptors that a process has or may need besides connections: the ledger, files that are read, the log, timers, signals. An idle
/// daemon holds some 20.
const OF_THE_PROCESS: u64 = 48;

/// How many clients may be connected: strangers must not take the descriptors that a run needs.
fn most_clients(shared_status: &SharedStatus) -> usize {
    // A run has a connection for each request under way, and another to IAM or the metadata service; and so again after a reload.
    let of_runs: u64 = shared_status
        .config()
        .projects
        .iter()
        .map(|project| 2 * (u64::from(project.concurrency.get()) + 1))
        .sum();
    let Some(limit) = http::open_files_limit() else {
        return MOST_CLIENTS;
    };
    let places = http::places(limit, OF_THE_PROCESS + of_runs, MOST_CLIENTS);
    if places < MOST_CLIENTS {
        tracing::info!(
            limit,
            places,
            "few files may be open, so fewer clients may be connected than 256; LimitNOFILE= raises the limit"
        );
    }
    places
}

/// What this server grants: its clients are a scraper, a probe and a few browsers.
fn limits(max_connections: usize) -> Limits {
    Limits {
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

/// A page as it was drawn last.
struct Page {
    view: View,
    drawn_at: Instant,
    html: Bytes,
}

/// The pages that were drawn just now, and who waits for one.
struct Pages {
    drawn: Mutex<Vec<Page>>,
    places: Semaphore,
}

/// Serves until `stop`, then finishes the requests under way.
pub async fn serve(listener: TcpListener, shared_status: Arc<SharedStatus>, stop: impl Future<Output = ()>) {
    let pages = Arc::new(Pages::none());
    let places = most_clients(&shared_status);
    let service = move |request: Request<Bytes>| {
        let (shared_status, pages) = (Arc::clone(&shared_status), Arc::clone(&pages));
        async move { Answer::from(answer(&request, &shared_status, &pages).await) }
    };
    http::serve(listener, limits(places), service, stop).await;
}

async fn answer(request: &Request<Bytes>, shared_status: &Arc<SharedStatus>, pages: &Pages) -> Response<Body> {
    if matches!(request.uri().path(), "/metrics" | "/api/v1/status" | "/") {
        shared_status.refreshed().await;
    }
    match request.uri().path() {
        "/metrics" => {
            let accept = said(request, &header::ACCEPT);
            let wanted = openmetrics::is_wanted(&accept);
            let kind = if wanted {
                openmetrics::OPENMETRICS_TYPE
            } else {
                openmetrics::TEXT_TYPE
            };
            metrics(
                kind,
                shared_status.metrics(wanted),
                encoding::wants_gzip(&said(request, &header::ACCEPT_ENCODING)),
            )
        }
        "/healthz" => match shared_status.stands_still() {
            None => response(StatusCode::OK, TEXT, "ok\n"),
            Some(since) => {
                let text = format!("the scheduler has not turned for {} s\n", since.as_secs());
                response(StatusCode::SERVICE_UNAVAILABLE, TEXT, text)
            }
        },
        "/readyz" => {
            let obstacles = shared_status.obstacles();
            if obstacles.is_empty() {
                return response(StatusCode::OK, TEXT, "ready\n");
            }
            let lines = obstacles.iter().map(|it| format!("{}: {}\n", it.about, it.message));
            response(StatusCode::SERVICE_UNAVAILABLE, TEXT, lines.collect::<String>())
        }
        "/api/v1/status" => {
            let mut json = Vec::new();
            match sanitize::write_json(&mut json, &shared_status.status()) {
                Ok(()) => response(StatusCode::OK, JSON, json),
                Err(error) => {
                    tracing::error!(%error, "the status cannot be written as JSON");
                    response(StatusCode::INTERNAL_SERVER_ERROR, TEXT, "the log says more\n")
                }
            }
        }
        "/" => {
            let view = View::of(request.uri().query());
            match pages
                .page(view.clone(), || page::render(&shared_status.status(), &view))
                .await
            {
                Some(html) => response(StatusCode::OK, HTML, html),
                None => busy(),
            }
        }
        _ => response(
            StatusCode::NOT_FOUND,
            TEXT,
            "not found; there are /, /metrics, /healthz, /readyz and /api/v1/status\n",
        ),
    }
}

/// A header's value; it may come in several lines, which mean the same as one.
fn said(request: &Request<Bytes>, name: &header::HeaderName) -> String {
    let lines = request.headers().get_all(name).iter();
    let lines: Vec<&str> = lines.filter_map(|value| value.to_str().ok()).collect();
    lines.join(",")
}

/// The metrics, packed where that is asked for: those of 200 policies are half a megabyte, every few seconds.
fn metrics(kind: &'static str, text: impl Into<Bytes>, wants_gzip: bool) -> Response<Body> {
    let text = text.into();
    let packed = wants_gzip.then(|| blocking(|| encoding::gzip(&text))).flatten();
    let is_packed = packed.is_some();
    let mut response = response(StatusCode::OK, kind, packed.map_or(text, Bytes::from));
    let headers = response.headers_mut();
    headers.insert(header::VARY, HeaderValue::from_static("accept, accept-encoding"));
    if is_packed {
        headers.insert(header::CONTENT_ENCODING, HeaderValue::from_static("gzip"));
    }
    response
}

impl Pages {
    fn none() -> Self {
        Self {
            drawn: Mutex::new(Vec::new()),
            places: Semaphore::new(MOST_WAITING),
        }
    }

    /// The page of that view, drawn anew when it is old. Pages are drawn one after the other and beside the runtime,
    /// so that whoever asks for nothing but pages delays no scrape; `None` when too many wait already.
    async fn page(&self, view: View, draw: impl FnOnce() -> String) -> Option<Bytes> {
        let _place = self.places.try_acquire().ok()?;
        let mut drawn = self.drawn.lock().await;
        drawn.retain(|page| page.drawn_at.elapsed() < PAGE_FOR);
        if let Some(page) = drawn.iter().find(|page| page.view == view) {
            return Some(page.html.clone());
        }
        let html = Bytes::from(blocking(draw));
        if drawn.len() >= MOST_PAGES {
            drawn.remove(0);
        }
        drawn.push(Page {
            view,
            drawn_at: Instant::now(),
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
    headers.insert(header::CONTENT_SECURITY_POLICY, CONTENT_SECURITY.clone());
    response
}
