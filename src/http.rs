//! The only hyper plumbing: an accept loop with a stop future, used by the status page and the simulator.
//!
//! It accepts connections, limits what they may cost (time, bytes, number), hands whole requests to a service and stops in
//! order. It is *not* for routes, content types or anything a request means.
//!
//! What limits a connection: the head must arrive within [`HttpLimits::header_timeout`] (which also ends an idle keep-alive),
//! the body within [`HttpLimits::body_timeout`], the answer must be made within [`HttpLimits::answer_timeout`], and the whole
//! connection, slow readers included, is over after [`HttpLimits::lifetime`]. When all slots are taken, the connection that has
//! been silent for the longest is closed: a thousand idle connections must not keep out one with a request.

mod body;
mod connection_slots;

use std::future::Future;
use std::io;
use std::sync::Arc;
use std::time::Duration;

use http_body_util::{BodyExt, LengthLimitError, Limited};
use hyper::body::Incoming;
use hyper::header::{CONTENT_TYPE, HeaderValue};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::{Id, JoinError, JoinSet};
use tokio::time::{Instant, sleep, timeout};

pub use body::Body;
use connection_slots::{ConnectionSlot, ConnectionSlots};
pub use connection_slots::{open_files_limit, places};
pub use hyper::body::Bytes;
pub use hyper::{HeaderMap, Method, Request, Response, StatusCode, header};

/// What one server grants its clients.
#[derive(Debug, Clone)]
pub struct HttpLimits {
    /// A request's head must arrive within this time; an idle connection is closed after it. Cuts a slow-loris.
    pub header_timeout: Duration,
    /// A request's body must arrive within this time, else 408.
    pub body_timeout: Duration,
    /// The service must have an answer within this time, else 503.
    pub answer_timeout: Duration,
    /// A connection is ended after this time, whatever it does: a client that never reads cannot hold its slot for ever.
    pub lifetime: Duration,
    /// The methods that are served, as in `Allow`; any other gets a 405, and its body is not read. `None`: all.
    pub methods: Option<&'static str>,
    /// Longest request body in bytes, else 413.
    pub max_body: usize,
    /// Longest request head in bytes (at least 8 KiB), else 431.
    pub max_head: usize,
    /// Connections open at once. One more, and the one that has been silent for the longest is closed; where every one is
    /// being answered, the new one is.
    pub max_connections: usize,
    /// After the stop, requests in progress may take this long to finish.
    pub drain: Duration,
    /// Whether hyper adds `Date` to answers that have none. The simulator sets its own, or on purpose none.
    pub date_header: bool,
}

impl Default for HttpLimits {
    fn default() -> Self {
        Self {
            header_timeout: Duration::from_secs(10),
            body_timeout: Duration::from_secs(10),
            answer_timeout: Duration::from_secs(30),
            lifetime: Duration::from_secs(300),
            methods: None,
            max_body: 64 * 1024,
            max_head: 64 * 1024,
            max_connections: 256,
            drain: Duration::from_secs(5),
            date_header: true,
        }
    }
}

/// What a service makes of a request.
#[derive(Debug)]
pub enum ServiceAnswer {
    /// This answer.
    Send(Response<Body>),
    /// Not one byte: the connection is closed.
    HangUp,
}

impl From<Response<Body>> for ServiceAnswer {
    fn from(response: Response<Body>) -> Self {
        Self::Send(response)
    }
}

/// How serving ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ServerEnded {
    /// Every request in progress was answered.
    Drained,
    /// This number of connections was closed when [`HttpLimits::drain`] was over.
    Cut(usize),
}

/// A failing `accept` is logged at most this often: without file descriptors it fails many times a second.
const LOG_INTERVAL: Duration = Duration::from_secs(60);

/// A pause between new connections while all slots are taken. They wait in the kernel's queue.
const CROWDED: Duration = Duration::from_millis(1);

/// Serves until `stop`, then finishes the requests in progress and returns.
///
/// A failing `accept` (out of file descriptors) is logged, waited out and tried again: a server does not end for it.
/// A panic of the service ends its own connection only.
pub async fn serve<S, F>(
    listener: TcpListener,
    limits: HttpLimits,
    service: S,
    stop: impl Future<Output = ()>,
) -> ServerEnded
where
    S: Fn(Request<Bytes>) -> F + Send + Sync + 'static,
    F: Future<Output = ServiceAnswer> + Send + 'static,
{
    let limits = Arc::new(limits);
    let service = Arc::new(service);
    let mut slots = ConnectionSlots::default();
    let mut logged_at: Option<Instant> = None;
    let (stopping, stopped) = watch::channel(false);
    let mut connections = JoinSet::new();
    let mut stop = std::pin::pin!(stop);
    loop {
        tokio::select! {
            biased;
            () = &mut stop => break,
            Some(ended) = connections.join_next_with_id(), if !connections.is_empty() => {
                slots.release(report(ended));
            }
            accepted = listener.accept() => match accepted {
                Ok((stream, peer)) => {
                    if !slots.make_slot(limits.max_connections) {
                        tracing::debug!(%peer, "connection closed: all places are taken");
                        continue;
                    }
                    let (slot, bounds) = (Arc::new(ConnectionSlot::new()), Arc::clone(&limits));
                    let connection = connection(stream, bounds, Arc::clone(&service), stopped.clone(), Arc::clone(&slot));
                    slots.take(connections.spawn(connection).id(), slot);
                    if slots.are_taken(limits.max_connections) {
                        // Or a flood of the silent would be through all places before anybody can say a word.
                        sleep(CROWDED).await;
                    }
                }
                Err(error) => {
                    if logged_at.is_none_or(|at| at.elapsed() >= LOG_INTERVAL) {
                        logged_at = Some(Instant::now());
                        tracing::warn!(%error, "accepting a connection failed; it is tried again ten times a second");
                    }
                    tokio::select! {
                        () = &mut stop => break,
                        () = sleep(Duration::from_millis(100)) => {}
                    }
                }
            },
        }
    }
    // Closed first, so that a client connecting now is refused rather than left waiting.
    drop(listener);
    let _ = stopping.send(true);
    drain(connections, limits.drain).await
}

/// Waits for the answers under way; what takes longer is cut.
async fn drain(mut connections: JoinSet<()>, within: Duration) -> ServerEnded {
    let drained = timeout(within, async {
        while let Some(ended) = connections.join_next_with_id().await {
            report(ended);
        }
    })
    .await;
    if drained.is_ok() {
        return ServerEnded::Drained;
    }
    let left = connections.len();
    connections.shutdown().await;
    ServerEnded::Cut(left)
}

/// The end of a connection's task, and whose it was: only a panic is worth a word.
fn report(ended: Result<(Id, ()), JoinError>) -> Id {
    match ended {
        Ok((id, ())) => id,
        Err(error) => {
            if error.is_panic() {
                tracing::error!(%error, "answering a request panicked; its connection was closed");
            }
            error.id()
        }
    }
}

/// One connection, from its first byte to its end.
async fn connection<S, F>(
    stream: TcpStream,
    limits: Arc<HttpLimits>,
    service: Arc<S>,
    mut stopped: watch::Receiver<bool>,
    slot: Arc<ConnectionSlot>,
) where
    S: Fn(Request<Bytes>) -> F + Send + Sync + 'static,
    F: Future<Output = ServiceAnswer> + Send + 'static,
{
    // Small answers must not wait for the peer's acknowledgement; a failure costs time only.
    let _ = stream.set_nodelay(true);
    let answering = {
        let (limits, slot) = (Arc::clone(&limits), Arc::clone(&slot));
        service_fn(move |request| answer(request, Arc::clone(&limits), Arc::clone(&service), Arc::clone(&slot)))
    };
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(limits.header_timeout)
        .auto_date_header(limits.date_header)
        .max_buf_size(limits.max_head.max(8 * 1024))
        .serve_connection(TokioIo::new(stream), answering);
    let mut connection = std::pin::pin!(connection);
    let grace = tokio::select! {
        ended = connection.as_mut() => return note(ended),
        // What is lost is at most an answer that its reader was slow to take.
        () = slot.evicted() => return tracing::debug!("connection closed: another one needs its place"),
        // `serve` limits the time of this one, and counts the connections that it closes.
        _ = stopped.wait_for(|stop| *stop) => Duration::MAX,
        () = sleep(limits.lifetime) => limits.drain,
    };
    connection.as_mut().graceful_shutdown();
    if let Ok(ended) = timeout(grace, connection).await {
        note(ended);
    } else {
        tracing::debug!("connection cut: it outlived its time");
    }
}

/// How a connection ended matters for debugging only.
fn note(ended: hyper::Result<()>) {
    if let Err(error) = ended {
        tracing::debug!(%error, "connection ended early");
    }
}

/// Reads one request whole and lets the service answer it. An error closes the connection without an answer.
async fn answer<S, F>(
    request: Request<Incoming>,
    limits: Arc<HttpLimits>,
    service: Arc<S>,
    slot: Arc<ConnectionSlot>,
) -> Result<Response<Body>, io::Error>
where
    S: Fn(Request<Bytes>) -> F + Send + Sync + 'static,
    F: Future<Output = ServiceAnswer> + Send + 'static,
{
    let (head, body) = request.into_parts();
    if let Some(allowed) = limits.methods
        && !allowed.split(", ").any(|method| head.method == method)
    {
        let mut refusal = refusal(StatusCode::METHOD_NOT_ALLOWED);
        refusal
            .headers_mut()
            .insert(header::ALLOW, HeaderValue::from_static(allowed));
        return Ok(refusal);
    }
    let body = match timeout(limits.body_timeout, Limited::new(body, limits.max_body).collect()).await {
        Ok(Ok(body)) => body.to_bytes(),
        Ok(Err(error)) if error.is::<LengthLimitError>() => return Ok(refusal(StatusCode::PAYLOAD_TOO_LARGE)),
        Ok(Err(error)) => return Err(io::Error::other(error)),
        Err(_) => return Ok(refusal(StatusCode::REQUEST_TIMEOUT)),
    };
    // While head or body is incomplete the connection counts as silent.
    slot.answers(true);
    let answered = timeout(limits.answer_timeout, service(Request::from_parts(head, body))).await;
    slot.answers(false);
    match answered {
        Ok(ServiceAnswer::Send(response)) => Ok(response),
        Ok(ServiceAnswer::HangUp) => Err(io::Error::other("closed without an answer on purpose")),
        Err(_) => Ok(refusal(StatusCode::SERVICE_UNAVAILABLE)),
    }
}

/// The plain answer to a request that is not served; the connection is not used again.
fn refusal(status: StatusCode) -> Response<Body> {
    let text = format!(
        "{} {}\n",
        status.as_u16(),
        status.canonical_reason().unwrap_or_default()
    );
    let mut response = Response::new(Body::full(text));
    *response.status_mut() = status;
    response
        .headers_mut()
        .insert(CONTENT_TYPE, HeaderValue::from_static("text/plain; charset=utf-8"));
    response
        .headers_mut()
        .insert(header::CONNECTION, HeaderValue::from_static("close"));
    response
}
