//! HTTP: what is served, and clients that mean no good.

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use super::*;

/// Sends these bytes and reads whatever comes back until the connection ends.
async fn raw(daemon: &Running, bytes: &[u8]) -> String {
    let mut stream = TcpStream::connect(daemon.url.trim_start_matches("http://"))
        .await
        .unwrap();
    // The server may have closed before it read all.
    let _ = stream.write_all(bytes).await;
    let mut answer = Vec::new();
    let _ = stream.read_to_end(&mut answer).await;
    String::from_utf8_lossy(&answer).into_owned()
}

/// A page elsewhere whose name resolves to this address (DNS rebinding) reads nothing; what monitors ask for answers any name.
#[tokio::test(flavor = "multi_thread")]
async fn page_and_api_answer_to_their_own_names_alone() {
    let lab = Lab::start(3).await;
    lab.configure(&format!(
        "{}\nallowed_hosts: [retention.example.com]\n",
        policy("p", NEVER, "")
    ));
    let mut daemon = lab.run().await;
    daemon.is_ready().await;
    for (host, of_page) in [
        ("127.0.0.1:9465", "200"),
        ("LOCALHOST", "200"),
        ("Retention.Example.com:443", "200"),
        ("evil.example", "421"),
        ("127.0.0.1.evil.example:9465", "421"),
    ] {
        for path in ["/", "/api/v1/status", "/metrics", "/healthz", "/readyz"] {
            let wanted = if path == "/" || path.starts_with("/api") {
                of_page
            } else {
                "200"
            };
            let get = format!("GET {path} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n");
            let answer = raw(&daemon, get.as_bytes()).await;
            assert!(
                answer.starts_with(&format!("HTTP/1.1 {wanted}")),
                "{host} {path}: {answer}"
            );
        }
    }
    assert!(daemon.stop().await.success());
}

#[tokio::test(flavor = "multi_thread")]
async fn only_looking_is_served() {
    let lab = Lab::start(3).await;
    lab.configure(&policy("p", NEVER, ""));
    let mut daemon = lab.run().await;
    daemon.is_ready().await;
    for method in ["POST", "PUT", "DELETE", "PATCH", "OPTIONS", "TRACE", "NONSENSE"] {
        for path in ["/", "/metrics", "/api/v1/status", "/nowhere"] {
            for body in ["\r\n", "Content-Length: 3\r\n\r\nx=y"] {
                let request = format!("{method} {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n{body}");
                let answer = raw(&daemon, request.as_bytes()).await;
                assert!(answer.starts_with("HTTP/1.1 405"), "{request}: {answer}");
                assert!(answer.contains("\r\nallow: GET, HEAD\r\n"), "{answer}");
            }
        }
    }
    for (path, kind, start) in [
        ("/metrics", "text/plain; version=0.0.4; charset=utf-8", "# HELP"),
        ("/healthz", "text/plain; charset=utf-8", "ok\n"),
        ("/readyz", "text/plain; charset=utf-8", "ready\n"),
        ("/api/v1/status", "application/json", "{\"version\":"),
        ("/", "text/html; charset=utf-8", "<!doctype html>"),
    ] {
        let get = format!("GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n");
        let answer = raw(&daemon, get.as_bytes()).await;
        let (head, body) = answer.split_once("\r\n\r\n").unwrap();
        assert!(head.starts_with("HTTP/1.1 200"), "{path}: {head}");
        for line in [
            &format!("content-type: {kind}"),
            "cache-control: no-store",
            "x-content-type-options: nosniff",
            "referrer-policy: no-referrer",
        ] {
            assert!(head.lines().any(|it| it == line), "{path}: {line} is not in {head}");
        }
        assert!(head.contains("content-security-policy: default-src 'none';"), "{head}");
        assert!(body.starts_with(start), "{path}: {body}");
        let head_only = raw(&daemon, get.replacen("GET", "HEAD", 1).as_bytes()).await;
        let (head, body) = head_only.split_once("\r\n\r\n").unwrap();
        assert!(
            head.starts_with("HTTP/1.1 200") && body.is_empty(),
            "{path}: {head_only}"
        );
    }
    assert_eq!(daemon.get("/nowhere").await.0, 404);
    let wants = "GET /metrics HTTP/1.1\r\nHost: localhost\r\nAccept: application/openmetrics-text;version=1.0.0\r\nConnection: close\r\n\r\n";
    let answer = raw(&daemon, wants.as_bytes()).await;
    assert!(answer.contains("application/openmetrics-text; version=1.0.0") && answer.ends_with("# EOF\n"));
    // One header in two lines means the same as one.
    let lines = wants.replacen("Accept:", "Accept: text/plain;q=0.5\r\nAccept:", 1);
    assert!(raw(&daemon, lines.as_bytes()).await.ends_with("# EOF\n"));
    assert!(daemon.stop().await.success());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_thousand_silent_connections_keep_nobody_out() {
    let lab = Lab::start(3).await;
    lab.configure(&policy("p", NEVER, ""));
    let mut daemon = lab.run().await;
    daemon.is_ready().await;
    let mut open = Vec::new();
    for number in 0..1_000 {
        open.push(
            TcpStream::connect(daemon.url.trim_start_matches("http://"))
                .await
                .unwrap(),
        );
        if number % 100 == 99 {
            let answer = raw(
                &daemon,
                b"GET /healthz HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n",
            )
            .await;
            assert!(answer.starts_with("HTTP/1.1 200"), "after {number}: {answer}");
        }
    }
    let fds = fs::read_dir(format!("/proc/{}/fd", daemon.child.id())).unwrap().count();
    assert!(fds < 400, "{fds} file descriptors");
    assert!(daemon.stop().await.success());
}

#[tokio::test(flavor = "multi_thread")]
async fn whoever_asks_for_nothing_but_pages_delays_no_scrape() {
    let lab = Lab::start(3).await;
    lab.configure(&policy("p", NEVER, ""));
    let mut daemon = lab.run().await;
    daemon.is_ready().await;
    let address = daemon.url.trim_start_matches("http://").to_owned();
    let mut readers = tokio::task::JoinSet::new();
    for reader in 0..64 {
        let address = address.clone();
        readers.spawn(async move {
            let mut codes = BTreeSet::new();
            for number in 0..5 {
                let mut stream = TcpStream::connect(&address).await.unwrap();
                let from = reader * 5 + number;
                let request = format!("GET /?from={from} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n");
                stream.write_all(request.as_bytes()).await.unwrap();
                let mut answer = Vec::new();
                stream.read_to_end(&mut answer).await.unwrap();
                codes.insert(String::from_utf8_lossy(&answer[..12]).into_owned());
            }
            codes
        });
    }
    let began = Instant::now();
    assert_eq!(daemon.get("/metrics").await.0, 200);
    assert!(began.elapsed() < Duration::from_secs(3), "{:?}", began.elapsed());
    let codes: BTreeSet<String> = readers.join_all().await.into_iter().flatten().collect();
    assert!(codes.contains("HTTP/1.1 200"), "{codes:?}");
    let known = ["HTTP/1.1 200", "HTTP/1.1 503"];
    assert!(codes.iter().all(|code| known.contains(&code.as_str())), "{codes:?}");
    assert_eq!(daemon.get("/").await.0, 200);
    assert!(daemon.stop().await.success());
}

#[tokio::test(flavor = "multi_thread")]
async fn the_page_shows_every_backup_and_what_was_freed_after_the_very_first_run() {
    let lab = Lab::start(10).await;
    // Once: in three seconds, and not again this year.
    let once = (clock::now() + TimeDelta::seconds(3)).format("%-S %-M %-H %-d %-m *");
    lab.configure(&policy("p", &once.to_string(), ""));
    let mut daemon = lab.run().await;
    daemon.is_ready().await;
    let before = daemon.get("/").await.1;
    assert!(
        before.contains("No run yet") && !before.contains("<article>"),
        "{before}"
    );
    daemon.reaches("runs_total{policy=\"p\",result=\"success\"}", 1.0).await;
    let page = daemon.get("/").await.1;
    assert_eq!(page.matches("<article>").count(), 1, "{page}");
    assert_eq!(
        page.matches("<tr><th scope=\"row\"><a href=\"/why/").count(),
        10 + 6 + 1,
        "{page}"
    );
    assert!(page.contains("Storage by day"), "{page}");
    assert!(daemon.stop().await.success());
}

#[tokio::test(flavor = "multi_thread")]
async fn hostile_clients_delay_nobody() {
    let lab = Lab::start(3).await;
    lab.configure(&policy("p", "* * * * * *", ""));
    let mut daemon = lab.run().await;
    daemon.is_ready().await;
    // Heads that never end, bodies that never come, answers that nobody reads.
    let mut open = Vec::new();
    for number in 0..150 {
        let mut stream = TcpStream::connect(daemon.url.trim_start_matches("http://"))
            .await
            .unwrap();
        let bytes: &[u8] = match number % 3 {
            0 => b"GET /metrics HTTP/1.1\r\nHost:",
            1 => b"POST /metrics HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1000000\r\n\r\nx",
            _ => b"GET /metrics HTTP/1.1\r\nHost: localhost\r\n\r\nGET /metrics HTTP/1.1\r\nHost: localhost\r\n\r\nGET /metrics HTTP/1.1\r\nHost: localhost\r\n\r\n",
        };
        stream.write_all(bytes).await.unwrap();
        open.push(stream);
    }
    let before = daemon
        .metric("runs_total{policy=\"p\",result=\"success\"}")
        .await
        .unwrap();
    let began = Instant::now();
    assert_eq!(daemon.get("/healthz").await.0, 200);
    assert_eq!(daemon.get("/api/v1/status").await.0, 200);
    assert!(began.elapsed() < Duration::from_secs(3), "{:?}", began.elapsed());
    // And the schedule goes on.
    daemon
        .reaches("runs_total{policy=\"p\",result=\"success\"}", before + 2.0)
        .await;

    let long = format!(
        "GET / HTTP/1.1\r\nHost: localhost\r\nX: {}\r\n\r\n",
        "x".repeat(100_000)
    );
    let answer = raw(&daemon, long.as_bytes()).await;
    assert!(answer.is_empty() || answer.starts_with("HTTP/1.1 431"), "{answer}");
    let many = format!("GET / HTTP/1.1\r\nHost: localhost\r\n{}\r\n", "X: y\r\n".repeat(2_000));
    let answer = raw(&daemon, many.as_bytes()).await;
    assert!(answer.is_empty() || answer.starts_with("HTTP/1.1 431"), "{answer}");
    let body = b"GET / HTTP/1.1\r\nHost: localhost\r\nContent-Length: 10\r\n\r\n0123456789";
    assert!(raw(&daemon, body).await.starts_with("HTTP/1.1 413"));
    assert!(
        raw(&daemon, b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03nonsense\r\n\r\n")
            .await
            .len()
            < 200
    );
    assert_eq!(daemon.get("/healthz").await.0, 200);
    assert!(!daemon.log().contains("panic"), "{}", daemon.log());
    assert!(daemon.stop().await.success());
}

/// At boot an interface may come up minutes after the service: deletions do not wait for it.
#[tokio::test(flavor = "multi_thread")]
async fn runs_go_on_while_the_address_to_listen_on_is_missing() {
    let lab = Lab::start(5).await;
    lab.configure(&policy("p", "* * * * * *", ""));
    // Of TEST-NET-3 (RFC 5737): no host has it.
    let text = fs::read_to_string(lab.file())
        .unwrap()
        .replace("127.0.0.1:0", "203.0.113.7:9465");
    fs::write(lab.file(), text).unwrap();
    let mut daemon = lab.command().arg("run").stderr(Stdio::null()).spawn().unwrap();
    eventually("the run", async || (deleted(&lab.simulator).len() == 2).then_some(())).await;
    let id = daemon.id().to_string();
    assert!(
        Command::new("kill")
            .args(["-s", "TERM", &id])
            .status()
            .unwrap()
            .success()
    );
    let status = eventually("the end", async || daemon.try_wait().unwrap()).await;
    assert!(status.success(), "{status}");
}

#[tokio::test(flavor = "multi_thread")]
async fn metrics_are_packed_for_who_asks_for_it() {
    let lab = Lab::start(3).await;
    lab.configure(&policy("p", NEVER, ""));
    let mut daemon = lab.run().await;
    daemon.is_ready().await;
    for (accept, packed) in [
        ("Accept-Encoding: gzip\r\n", true),
        ("Accept-Encoding: br;q=1.0, gzip;q=0.8, *;q=0.1\r\n", true),
        ("Accept-Encoding: br\r\nAccept-Encoding: gzip\r\n", true),
        ("Accept-Encoding: gzip;q=0\r\n", false),
        ("Accept-Encoding: identity\r\n", false),
        ("", false),
    ] {
        for method in ["GET", "HEAD"] {
            let request = format!("{method} /metrics HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n{accept}\r\n");
            let answer = raw(&daemon, request.as_bytes()).await;
            let (head, body) = answer.split_once("\r\n\r\n").unwrap();
            assert_eq!(head.contains("content-encoding: gzip"), packed, "{accept}: {head}");
            assert!(head.contains("vary: accept, accept-encoding"), "{head}");
            assert_eq!(body.starts_with("# HELP"), method == "GET" && !packed, "{accept}");
        }
    }
    // A client that unpacks reads the same.
    assert!(daemon.get("/metrics").await.1.starts_with("# HELP"));
    assert!(daemon.stop().await.success());
}

#[tokio::test(flavor = "multi_thread")]
async fn strangers_do_not_take_the_descriptors_that_a_run_needs() {
    let lab = Lab::start(8).await;
    lab.configure(&policy("p", "* * * * * *", ""));
    let plain = lab.command();
    let mut command = Command::new("sh");
    command
        .args(["-c", "ulimit -n 64 && exec \"$0\" \"$@\""])
        .arg(plain.get_program())
        .args(plain.get_args());
    command
        .args(["run", "--log-format", "json"])
        .env_clear()
        .envs(lab.simulator.environment());
    command.stdin(Stdio::null());
    let mut daemon = Running::start(command).await;
    let mut strangers = Vec::new();
    for _ in 0..150 {
        strangers.push(
            TcpStream::connect(daemon.url.trim_start_matches("http://"))
                .await
                .unwrap(),
        );
    }
    let calls = lab.simulator.calls().len();
    eventually("runs go on", async || {
        (lab.simulator.calls().len() > calls + 5).then_some(())
    })
    .await;
    eventually("what is due is deleted", async || {
        (deleted(&lab.simulator).len() == 5).then_some(())
    })
    .await;
    assert!(!daemon.log().contains("Too many open files"), "{}", daemon.log());
    assert_eq!(daemon.get("/healthz").await.0, 200, "who asks gets in");
    drop(strangers);
    assert!(daemon.stop().await.success());
}
