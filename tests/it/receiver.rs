//! A webhook on loopback that notes what it is sent, and answers as badly as it is set to.

use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use serde_json::Value;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};

/// Longer than anything here takes on a busy machine.
pub const PATIENCE: Duration = Duration::from_secs(90);
/// A part of a URL that must never be seen.
pub const SECRET: &str = "s3cr3t-path-4711";

/// What a receiver does with a request.
#[derive(Clone, Copy, Debug)]
pub enum Answer {
    /// This status.
    Status(u16),
    /// A status and a body that never ends.
    Endless,
    /// Nothing at all, and the connection stays open.
    Hangs,
}

/// A request that arrived: its path and its body.
pub type Arrived = (String, String);

/// A server on loopback that notes what it is sent. Answers are taken in order; the last one is repeated.
pub struct Receiver {
    pub url: String,
    arrived: Arc<Mutex<Vec<Arrived>>>,
}

impl Receiver {
    pub async fn start(answers: &[Answer]) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}/{SECRET}", listener.local_addr().unwrap());
        let arrived = Arc::new(Mutex::new(Vec::new()));
        let (log, answers) = (Arc::clone(&arrived), answers.to_vec());
        tokio::spawn(async move {
            for number in 0.. {
                let (stream, _) = listener.accept().await.unwrap();
                let answer = answers[number.min(answers.len() - 1)];
                tokio::spawn(serve(stream, answer, Arc::clone(&log)));
            }
        });
        Self { url, arrived }
    }

    pub fn arrived(&self) -> Vec<Arrived> {
        self.arrived.lock().unwrap().clone()
    }

    /// The paths behind the secret part.
    pub fn pings(&self) -> Vec<String> {
        let path = |(path, _): Arrived| path.replacen(&format!("/{SECRET}"), "", 1);
        self.arrived().into_iter().map(path).collect()
    }

    pub fn json(&self) -> Vec<Value> {
        let parsed = |(_, body): Arrived| serde_json::from_str(&body).unwrap();
        self.arrived().into_iter().map(parsed).collect()
    }

    /// Waits until this many requests have arrived.
    pub async fn has(&self, count: usize) {
        let end = Instant::now() + PATIENCE;
        while self.arrived().len() < count {
            assert!(Instant::now() < end, "only {:?}", self.arrived());
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }
}

async fn serve(mut stream: TcpStream, answer: Answer, log: Arc<Mutex<Vec<Arrived>>>) {
    let mut read = Vec::new();
    let mut piece = [0; 4096];
    let (path, body) = loop {
        let count = stream.read(&mut piece).await.unwrap_or(0);
        if count == 0 {
            return;
        }
        read.extend_from_slice(&piece[..count]);
        let text = String::from_utf8_lossy(&read).into_owned();
        let Some((head, body)) = text.split_once("\r\n\r\n") else {
            continue;
        };
        let length = head
            .lines()
            .find_map(|line| line.to_ascii_lowercase().strip_prefix("content-length: ")?.parse().ok());
        if body.len() >= length.unwrap_or(0) {
            assert!(head.starts_with("POST "), "{head}");
            break (head.split(' ').nth(1).unwrap().to_owned(), body.to_owned());
        }
    };
    log.lock().unwrap().push((path, body));
    match answer {
        Answer::Status(status) => {
            let head = format!(
                "HTTP/1.1 {status} x\r\nLocation: /elsewhere\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"
            );
            let _ = stream.write_all(head.as_bytes()).await;
        }
        Answer::Endless => {
            let _ = stream
                .write_all(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
                .await;
            while stream.write_all(b"1\r\nx\r\n").await.is_ok() {
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
        }
        Answer::Hangs => {
            let _ = stream.read(&mut piece).await;
        }
    }
}

/// The `notify` section with one entry for each format, URL and list.
pub fn notify(targets: &[(&str, &str, &str)]) -> String {
    let entry =
        |(format, url, on): &(&str, &str, &str)| format!("  - {{url: \"{url}\", format: {format}, on: [{on}]}}\n");
    format!("notify:\n{}", targets.iter().map(entry).collect::<String>())
}
