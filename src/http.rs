//! The only hyper plumbing: an accept loop with a stop future, used by the status page and the simulator.
//!
//! This tool is for connections: it accepts them, bounds what they may cost (time, bytes, number), hands whole requests
//! to a service and ends in good order. It is *not* for routes, content types or anything a request means.
//!
//! What bounds a connection: the head must arrive within [`Limits::header_timeout`] (which also ends an idle keep-alive),
//! the body within [`Limits::body_timeout`], the answer must be made within [`Limits::answer_timeout`], and the whole
//! connection, slow readers included, is over after [`Limits::lifetime`].

use std::future::Future;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use http_body_util::{BodyExt, LengthLimitError, Limited};
use hyper::body::{Frame, Incoming, SizeHint};
use hyper::header::{CONTENT_TYPE, HeaderValue};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Semaphore, watch};
use tokio::task::JoinSet;
use tokio::time::{Sleep, sleep, timeout};

pub use hyper::body::Bytes;
pub use hyper::{HeaderMap, Method, Request, Response, StatusCode, header};

/// What one server grants its clients.
#[derive(Debug, Clone)]
pub struct Limits {
    /// A request's head must arrive within this time; an idle connection is closed after it. Cuts a slow-loris.
    pub header_timeout: Duration,
    /// A request's body must arrive within this time, else 408.
    pub body_timeout: Duration,
    /// The service must have an answer within this time, else 503.
    pub answer_timeout: Duration,
    /// A connection is ended after this time, whatever it does: a reader that never reads cannot hold its place for ever.
    pub lifetime: Duration,
    /// Longest request body in bytes, else 413.
    pub max_body: usize,
    /// Longest request head in bytes (at least 8 KiB), else 431.
    pub max_head: usize,
    /// Connections open at once; further ones are closed as they come, so that nobody already served is delayed.
    pub max_connections: usize,
    /// After the stop, requests under way may take this long to finish.
    pub drain: Duration,
    /// Whether hyper adds `Date` to answers that have none. The simulator sets its own, or on purpose none.
    pub date_header: bool,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            header_timeout: Duration::from_secs(10),
            body_timeout: Duration::from_secs(10),
            answer_timeout: Duration::from_secs(30),
            lifetime: Duration::from_secs(300),
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
pub enum Answer {
    /// This answer.
    Send(Response<Body>),
    /// Not one byte: the connection is closed.
    HangUp,
}

impl From<Response<Body>> for Answer {
    fn from(response: Response<Body>) -> Self {
        Self::Send(response)
    }
}

/// The body of an answer.
#[derive(Debug)]
pub struct Body {
    rest: Bytes,
    cut: Cut,
    drip: Option<Drip>,
}

/// How far a body that will be cut has come.
#[derive(Debug)]
enum Cut {
    /// It will not be cut.
    Never,
    /// So many bytes go out first.
    After(usize),
    /// They are handed over; one pause makes hyper write them out before it learns of the cut.
    Flushing,
    /// The connection ends here.
    Now,
}

/// A body that comes a few bytes at a time.
#[derive(Debug)]
struct Drip {
    chunk: usize,
    every: Duration,
    pause: Option<Pin<Box<Sleep>>>,
}

impl Body {
    /// All of it at once.
    pub fn full(bytes: impl Into<Bytes>) -> Self {
        Self {
            rest: bytes.into(),
            cut: Cut::Never,
            drip: None,
        }
    }

    /// Announces all of it and cuts the connection after `sent` bytes.
    pub fn truncated(bytes: impl Into<Bytes>, sent: usize) -> Self {
        Self {
            rest: bytes.into(),
            cut: Cut::After(sent),
            drip: None,
        }
    }

    /// Sends `chunk` bytes (at least one) every so often.
    pub fn dripping(bytes: impl Into<Bytes>, chunk: usize, every: Duration) -> Self {
        Self {
            rest: bytes.into(),
            cut: Cut::Never,
            drip: Some(Drip {
                chunk: chunk.max(1),
                every,
                pause: None,
            }),
        }
    }
}

impl From<Bytes> for Body {
    fn from(bytes: Bytes) -> Self {
        Self::full(bytes)
    }
}

impl hyper::body::Body for Body {
    type Data = Bytes;
    type Error = io::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, io::Error>>> {
        match self.cut {
            Cut::Never => {}
            Cut::After(sent) => {
                self.cut = Cut::Flushing;
                let part = sent.min(self.rest.len());
                return Poll::Ready(Some(Ok(Frame::data(self.rest.split_to(part)))));
            }
            Cut::Flushing => {
                self.cut = Cut::Now;
                context.waker().wake_by_ref();
                return Poll::Pending;
            }
            Cut::Now => return Poll::Ready(Some(Err(io::Error::other("the answer is cut here on purpose")))),
        }
        if self.rest.is_empty() {
            return Poll::Ready(None);
        }
        let this = &mut *self;
        let Some(drip) = &mut this.drip else {
            return Poll::Ready(Some(Ok(Frame::data(std::mem::take(&mut this.rest)))));
        };
        let every = drip.every;
        let pause = drip.pause.get_or_insert_with(|| Box::pin(sleep(every)));
        std::task::ready!(pause.as_mut().poll(context));
        drip.pause = None;
        let now = drip.chunk.min(this.rest.len());
        Poll::Ready(Some(Ok(Frame::data(this.rest.split_to(now)))))
    }

    fn is_end_stream(&self) -> bool {
        self.rest.is_empty() && matches!(self.cut, Cut::Never)
    }

    fn size_hint(&self) -> SizeHint {
        // The length that is announced: of a cut body too, or the client could not tell that it was cut.
        SizeHint::with_exact(self.rest.len() as u64)
    }
}

/// How serving ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ended {
    /// Every request under way was answered.
    Drained,
    /// So many connections were cut when [`Limits::drain`] was over.
    Cut(usize),
}

/// Serves until `stop`, then finishes the requests under way and returns.
///
/// A failing `accept` (out of file descriptors) is logged, waited out and tried again: a server does not end for it.
/// A panic of the service ends its own connection only.
pub async fn serve<S, F>(listener: TcpListener, limits: Limits, service: S, stop: impl Future<Output = ()>) -> Ended
where
    S: Fn(Request<Bytes>) -> F + Send + Sync + 'static,
    F: Future<Output = Answer> + Send + 'static,
{
    let limits = Arc::new(limits);
    let service = Arc::new(service);
    let places = Arc::new(Semaphore::new(limits.max_connections));
    let (stopping, stopped) = watch::channel(false);
    let mut connections = JoinSet::new();
    let mut stop = std::pin::pin!(stop);
    loop {
        tokio::select! {
            biased;
            () = &mut stop => break,
            Some(ended) = connections.join_next(), if !connections.is_empty() => report(ended),
            accepted = listener.accept() => match accepted {
                Ok((stream, peer)) => {
                    let Ok(place) = Arc::clone(&places).try_acquire_owned() else {
                        tracing::debug!(%peer, "connection closed: all places are taken");
                        continue;
                    };
                    let connection = connection(stream, Arc::clone(&limits), Arc::clone(&service), stopped.clone());
                    connections.spawn(async move {
                        connection.await;
                        drop(place);
                    });
                }
                Err(error) => {
                    tracing::warn!(%error, "accepting a connection failed");
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
    let drained = timeout(limits.drain, async {
        while let Some(ended) = connections.join_next().await {
            report(ended);
        }
    })
    .await;
    if drained.is_ok() {
        return Ended::Drained;
    }
    let left = connections.len();
    connections.shutdown().await;
    Ended::Cut(left)
}

/// The end of a connection's task: only a panic is worth a word.
fn report(ended: Result<(), tokio::task::JoinError>) {
    if let Err(error) = ended
        && error.is_panic()
    {
        tracing::error!(%error, "answering a request panicked; its connection was closed");
    }
}

/// One connection, from its first byte to its end.
async fn connection<S, F>(stream: TcpStream, limits: Arc<Limits>, service: Arc<S>, mut stopped: watch::Receiver<bool>)
where
    S: Fn(Request<Bytes>) -> F + Send + Sync + 'static,
    F: Future<Output = Answer> + Send + 'static,
{
    // Small answers must not wait for the peer's acknowledgement; a failure costs time only.
    let _ = stream.set_nodelay(true);
    let answering = {
        let limits = Arc::clone(&limits);
        service_fn(move |request| answer(request, Arc::clone(&limits), Arc::clone(&service)))
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
        // `serve` watches this one's time, and counts whom it cuts.
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

/// The end of a connection is nobody's business but a debugger's.
fn note(ended: hyper::Result<()>) {
    if let Err(error) = ended {
        tracing::debug!(%error, "connection ended early");
    }
}

/// Reads one request whole and lets the service answer it. An error closes the connection without an answer.
async fn answer<S, F>(
    request: Request<Incoming>,
    limits: Arc<Limits>,
    service: Arc<S>,
) -> Result<Response<Body>, io::Error>
where
    S: Fn(Request<Bytes>) -> F + Send + Sync + 'static,
    F: Future<Output = Answer> + Send + 'static,
{
    let (head, body) = request.into_parts();
    let body = match timeout(limits.body_timeout, Limited::new(body, limits.max_body).collect()).await {
        Ok(Ok(body)) => body.to_bytes(),
        Ok(Err(error)) if error.is::<LengthLimitError>() => return Ok(refusal(StatusCode::PAYLOAD_TOO_LARGE)),
        Ok(Err(error)) => return Err(io::Error::other(error)),
        Err(_) => return Ok(refusal(StatusCode::REQUEST_TIMEOUT)),
    };
    match timeout(limits.answer_timeout, service(Request::from_parts(head, body))).await {
        Ok(Answer::Send(response)) => Ok(response),
        Ok(Answer::HangUp) => Err(io::Error::other("closed without an answer on purpose")),
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
