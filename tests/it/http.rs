//! The accept loop: what it bounds and how it ends.

use std::future::pending;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use rds_retentiond::http::{Body, Bytes, HttpLimits, Request, Response, ServerEnded, ServiceAnswer, serve};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Notify, oneshot};
use tokio::task::JoinHandle;

const HELLO: &[u8] = b"GET /hello HTTP/1.1\r\nHost: test\r\nConnection: close\r\n\r\n";

struct Server {
    address: SocketAddr,
    stop: oneshot::Sender<()>,
    running: JoinHandle<ServerEnded>,
    /// A request of `/slow` has arrived.
    entered: Arc<Notify>,
    /// Lets it end.
    leave: Arc<Notify>,
}

impl Server {
    async fn start(limits: HttpLimits) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let (entered, leave) = (Arc::new(Notify::new()), Arc::new(Notify::new()));
        let (stop, stopped) = oneshot::channel();
        let (inside, outside) = (Arc::clone(&entered), Arc::clone(&leave));
        let service = move |request: Request<Bytes>| {
            let (inside, outside) = (Arc::clone(&inside), Arc::clone(&outside));
            async move {
                match request.uri().path() {
                    "/slow" => {
                        inside.notify_one();
                        outside.notified().await;
                    }
                    "/never" => pending::<()>().await,
                    "/panic" => panic!("on purpose"),
                    "/nothing" => return ServiceAnswer::HangUp,
                    "/cut" => return Response::new(Body::truncated("0123456789", 4)).into(),
                    "/drip" => return Response::new(Body::dripping("0123456789", 3, Duration::from_millis(1))).into(),
                    _ => {}
                }
                Response::new(Body::full(format!("{} bytes", request.body().len()))).into()
            }
        };
        let running = tokio::spawn(serve(listener, limits, service, async move { drop(stopped.await) }));
        Self {
            address,
            stop,
            running,
            entered,
            leave,
        }
    }

    async fn connect(&self) -> TcpStream {
        TcpStream::connect(self.address).await.unwrap()
    }

    async fn ask(&self, path: &str) -> String {
        let mut stream = self.connect().await;
        let request = format!("GET {path} HTTP/1.1\r\nHost: test\r\nConnection: close\r\n\r\n");
        stream.write_all(request.as_bytes()).await.unwrap();
        rest(&mut stream).await
    }
}

/// Everything until the connection ends, in whatever way.
async fn rest(stream: &mut TcpStream) -> String {
    let (mut text, mut part) = (Vec::new(), [0; 1024]);
    while let Ok(read @ 1..) = stream.read(&mut part).await {
        text.extend_from_slice(&part[..read]);
    }
    String::from_utf8(text).unwrap()
}

#[tokio::test]
async fn answers_whole_cut_dripping_and_no_answers() {
    let server = Server::start(HttpLimits::default()).await;
    assert!(server.ask("/hello").await.ends_with("\r\n\r\n0 bytes"));
    let cut = server.ask("/cut").await;
    assert!(
        cut.contains("content-length: 10\r\n") && cut.ends_with("\r\n\r\n0123"),
        "{cut}"
    );
    assert!(server.ask("/drip").await.ends_with("\r\n\r\n0123456789"));
    assert_eq!(server.ask("/nothing").await, "");
}

#[tokio::test]
async fn a_panic_ends_its_own_connection_only() {
    let server = Server::start(HttpLimits::default()).await;
    assert_eq!(server.ask("/panic").await, "");
    assert!(server.ask("/hello").await.starts_with("HTTP/1.1 200"));
}

#[tokio::test]
async fn a_slow_head_is_cut_and_a_slow_service_answered_for() {
    let short = Duration::from_millis(50);
    let server = Server::start(HttpLimits {
        header_timeout: short,
        answer_timeout: short,
        ..HttpLimits::default()
    })
    .await;
    let mut loris = server.connect().await;
    loris.write_all(b"GET /hello HTTP/1.1\r\nHost:").await.unwrap();
    assert!(!rest(&mut loris).await.contains("200"));
    assert!(server.ask("/never").await.starts_with("HTTP/1.1 503"));
}

#[tokio::test]
async fn a_long_or_unfinished_body_is_refused() {
    let limits = HttpLimits {
        max_body: 10,
        body_timeout: Duration::from_millis(50),
        ..HttpLimits::default()
    };
    let server = Server::start(limits).await;
    for (body, answer) in [("0123456789", "HTTP/1.1 200"), ("0123456789a", "HTTP/1.1 413")] {
        let mut stream = server.connect().await;
        let length = body.len();
        let head = format!("POST / HTTP/1.1\r\nHost: test\r\nConnection: close\r\nContent-Length: {length}\r\n\r\n");
        stream.write_all((head + body).as_bytes()).await.unwrap();
        assert!(rest(&mut stream).await.starts_with(answer), "{body}");
    }
    let mut stream = server.connect().await;
    stream
        .write_all(b"POST / HTTP/1.1\r\nHost: test\r\nContent-Length: 5\r\n\r\n12")
        .await
        .unwrap();
    assert!(rest(&mut stream).await.starts_with("HTTP/1.1 408"));
}

#[tokio::test]
async fn connections_beyond_the_limit_are_closed_and_places_come_back() {
    let server = Server::start(HttpLimits {
        max_connections: 1,
        ..HttpLimits::default()
    })
    .await;
    let mut first = server.connect().await;
    first
        .write_all(b"GET /slow HTTP/1.1\r\nHost: test\r\nConnection: close\r\n\r\n")
        .await
        .unwrap();
    server.entered.notified().await;
    assert_eq!(rest(&mut server.connect().await).await, "");
    server.leave.notify_one();
    assert!(rest(&mut first).await.starts_with("HTTP/1.1 200"));
    // The place is given back a moment after the answer has arrived.
    while !server.ask("/hello").await.starts_with("HTTP/1.1 200") {
        tokio::task::yield_now().await;
    }
}

#[tokio::test]
async fn whoever_is_silent_gives_way_and_whoever_is_answered_does_not() {
    let server = Server::start(HttpLimits {
        max_connections: 8,
        ..HttpLimits::default()
    })
    .await;
    let mut busy = server.connect().await;
    busy.write_all(b"GET /slow HTTP/1.1\r\nHost: test\r\nConnection: close\r\n\r\n")
        .await
        .unwrap();
    server.entered.notified().await;
    // Far more than there are places: some say nothing, some only begin to ask.
    let mut silent = Vec::new();
    for number in 0..100 {
        let mut stream = server.connect().await;
        if number % 2 == 0 {
            stream.write_all(b"GET /hello HTTP/1.1\r\nHost:").await.unwrap();
        }
        silent.push(stream);
        if number % 10 == 0 {
            assert!(server.ask("/hello").await.starts_with("HTTP/1.1 200"), "{number}");
        }
    }
    assert_eq!(
        rest(&mut silent[0]).await,
        "",
        "the one that was silent longest has gone"
    );
    server.leave.notify_one();
    assert!(rest(&mut busy).await.starts_with("HTTP/1.1 200"));
}

#[tokio::test]
async fn a_method_that_is_not_heard_is_refused_before_its_body() {
    let server = Server::start(HttpLimits {
        methods: Some("GET, HEAD"),
        max_body: 0,
        ..HttpLimits::default()
    })
    .await;
    for request in [
        "POST /hello HTTP/1.1\r\nHost: test\r\nContent-Length: 5\r\n\r\n12345",
        "PUT /hello HTTP/1.1\r\nHost: test\r\nContent-Length: 1000000\r\n\r\n",
        "DELETE /hello HTTP/1.1\r\nHost: test\r\n\r\n",
    ] {
        let mut stream = server.connect().await;
        stream.write_all(request.as_bytes()).await.unwrap();
        let answer = rest(&mut stream).await;
        assert!(answer.starts_with("HTTP/1.1 405"), "{request}: {answer}");
        assert!(answer.contains("\r\nallow: GET, HEAD\r\n"), "{answer}");
    }
    assert!(server.ask("/hello").await.starts_with("HTTP/1.1 200"));
}

#[tokio::test]
async fn stopping_finishes_what_is_under_way_and_closes_the_idle() {
    let server = Server::start(HttpLimits::default()).await;
    let mut idle = server.connect().await;
    let mut busy = server.connect().await;
    busy.write_all(b"GET /slow HTTP/1.1\r\nHost: test\r\n\r\n")
        .await
        .unwrap();
    server.entered.notified().await;
    server.stop.send(()).unwrap();
    assert_eq!(rest(&mut idle).await, "");
    assert!(TcpStream::connect(server.address).await.is_err(), "still listening");
    server.leave.notify_one();
    assert!(rest(&mut busy).await.starts_with("HTTP/1.1 200"));
    assert_eq!(server.running.await.unwrap(), ServerEnded::Drained);
}

#[tokio::test]
async fn stopping_does_not_wait_for_ever() {
    let server = Server::start(HttpLimits {
        drain: Duration::from_millis(20),
        ..HttpLimits::default()
    })
    .await;
    let mut busy = server.connect().await;
    busy.write_all(&[b"GET /slow HTTP/1.1\r\nHost: test\r\n\r\n", HELLO].concat())
        .await
        .unwrap();
    server.entered.notified().await;
    server.stop.send(()).unwrap();
    assert_eq!(server.running.await.unwrap(), ServerEnded::Cut(1));
    assert_eq!(rest(&mut busy).await, "");
}
