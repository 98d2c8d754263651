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
//! Not for finding anything out: that is the daemon's [`Board`]. A client costs little, whatever it does: heads are small
//! and must come soon, bodies are not read, places are counted ([`crate::http`]), and the page is drawn once a second
//! however many ask.

pub mod page;

use std::future::Future;
use std::sync::{Arc, LazyLock, Mutex, PoisonError};
use std::time::Duration;

use tokio::net::TcpListener;
use tokio::time::Instant;

use crate::daemon::Board;
use crate::http::header::HeaderValue;
use crate::http::{self, Answer, Body, Bytes, Limits, Method, Request, Response, StatusCode, header};
use crate::telemetry::openmetrics;

const TEXT: &str = "text/plain; charset=utf-8";
const JSON: &str = "application/json";
const HTML: &str = "text/html; charset=utf-8";
/// Nothing is loaded from anywhere, no script runs, nobody frames the page. The one style element is allowed by its hash.
static CONTENT_SECURITY: LazyLock<HeaderValue> = LazyLock::new(|| {
    let style = page::style_source();
    let policy =
        format!("default-src 'none'; style-src {style}; base-uri 'none'; form-action 'none'; frame-ancestors 'none'");
    // Base64 and constants: always a header's text. Were it not, nothing at all would be allowed.
    HeaderValue::from_str(&policy).unwrap_or(HeaderValue::from_static("default-src 'none'"))
});
/// A page is drawn no more often than this.
const PAGE_FOR: Duration = Duration::from_secs(1);

/// What this server grants: its clients are a scraper, a probe and a few browsers.
fn limits() -> Limits {
    Limits {
        header_timeout: Duration::from_secs(5),
        body_timeout: Duration::from_secs(2),
        answer_timeout: Duration::from_secs(15),
        lifetime: Duration::from_secs(120),
        // No request here has a body.
        max_body: 0,
        max_head: 16 * 1024,
        max_connections: 256,
        drain: Duration::from_secs(2),
        date_header: true,
    }
}

/// The page as it was drawn last.
#[derive(Default)]
struct Drawn(Mutex<Option<(Instant, Bytes)>>);

/// Serves until `stop`, then finishes the requests under way.
pub async fn serve(listener: TcpListener, board: Arc<Board>, stop: impl Future<Output = ()>) {
    let drawn = Arc::new(Drawn::default());
    let service = move |request: Request<Bytes>| {
        let (board, drawn) = (Arc::clone(&board), Arc::clone(&drawn));
        async move { Answer::from(answer(&request, &board, &drawn)) }
    };
    http::serve(listener, limits(), service, stop).await;
}

fn answer(request: &Request<Bytes>, board: &Board, drawn: &Drawn) -> Response<Body> {
    if !matches!(*request.method(), Method::GET | Method::HEAD) {
        let mut refusal = response(StatusCode::METHOD_NOT_ALLOWED, TEXT, "only GET and HEAD\n");
        refusal
            .headers_mut()
            .insert(header::ALLOW, HeaderValue::from_static("GET, HEAD"));
        return refusal;
    }
    match request.uri().path() {
        "/metrics" => {
            let accept = request
                .headers()
                .get(header::ACCEPT)
                .and_then(|value| value.to_str().ok());
            let wanted = openmetrics::is_wanted(accept);
            let kind = if wanted {
                openmetrics::OPENMETRICS_TYPE
            } else {
                openmetrics::TEXT_TYPE
            };
            response(StatusCode::OK, kind, board.metrics(wanted))
        }
        "/healthz" => response(StatusCode::OK, TEXT, "ok\n"),
        "/readyz" => {
            let obstacles = board.obstacles();
            if obstacles.is_empty() {
                return response(StatusCode::OK, TEXT, "ready\n");
            }
            let lines = obstacles.iter().map(|it| format!("{}: {}\n", it.about, it.message));
            response(StatusCode::SERVICE_UNAVAILABLE, TEXT, lines.collect::<String>())
        }
        "/api/v1/status" => match serde_json::to_vec(&board.status()) {
            Ok(json) => response(StatusCode::OK, JSON, json),
            Err(error) => {
                tracing::error!(%error, "the status cannot be written as JSON");
                response(StatusCode::INTERNAL_SERVER_ERROR, TEXT, "the log says more\n")
            }
        },
        "/" => {
            let from = request.uri().query().and_then(|query| query.strip_prefix("from="));
            match from.and_then(|from| from.parse().ok()) {
                // Large fleets have further pages, which few ask for: only the first is kept.
                Some(from) => response(StatusCode::OK, HTML, page::render_from(&board.status(), from)),
                None => response(StatusCode::OK, HTML, drawn.page(|| page::render(&board.status()))),
            }
        }
        _ => response(
            StatusCode::NOT_FOUND,
            TEXT,
            "not found; there are /, /metrics, /healthz, /readyz and /api/v1/status\n",
        ),
    }
}

impl Drawn {
    /// The page, drawn anew when it is old. Who asks meanwhile waits for that one drawing.
    fn page(&self, draw: impl FnOnce() -> String) -> Bytes {
        let mut drawn = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        match &*drawn {
            Some((at, page)) if at.elapsed() < PAGE_FOR => page.clone(),
            _ => {
                let page = Bytes::from(draw());
                *drawn = Some((Instant::now(), page.clone()));
                page
            }
        }
    }
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
