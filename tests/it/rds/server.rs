//! A scripted server on loopback, and clients, pages and batches to try on it.

use std::collections::{BTreeMap, HashSet, VecDeque};
use std::num::NonZeroU32;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use rds_retentiond::clock;
use rds_retentiond::rds::credentials::{CredentialSource, Env};
use rds_retentiond::rds::{Client, Error, KeyLockout, Listed, Observer, Settings, Tuning};
use rds_retentiond::retention::plan::{ClockCheck, Conditions, InstanceDue};
use rds_retentiond::retention::{
    ApprovedPlan, Backup, BackupStatus, Batch, Candidate, Count, Engine, ExpireReason, Instance, InstanceLife,
    KeepRule, KeepRules, Limits, Mode, Plan, Policy, Selector, Span, Zone,
};
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;

pub const AK: &str = "AKIDEXAMPLE00000001";
pub const SK: &str = "sekrit-of-the-test-0001";
pub const TOKEN: &str = "tokn-of-the-test-0001";
pub const INSTANCE: &str = "c5cdfc5b3de14bcabb72fb8bf55b1f56in04";

/// One request as it came in.
#[derive(Clone, Debug)]
pub struct Seen {
    pub line: String,
    pub headers: BTreeMap<String, String>,
    pub body: String,
}

/// One scripted answer.
pub enum Play {
    /// Status, extra header lines, body.
    Say(u16, &'static str, String),
    /// Closes the connection without an answer.
    Reset,
    /// Never answers.
    Hang,
    /// Promises more bytes than come.
    Truncate,
    /// Answers 200 without a Date.
    NoDate(String),
    /// Status, extra header lines, a body of any bytes.
    Bytes(u16, &'static str, Vec<u8>),
    /// Status, and a body of these bytes again and again, without end.
    Endless(u16, &'static [u8]),
    /// Status 200 and a body of which one byte comes now and then.
    Drip(Duration),
}

/// A gzip body of this text, repeated; see [`unpacked`].
pub fn packed(head: &str, part: &str, times: usize, tail: &str) -> Vec<u8> {
    use std::io::Write as _;
    let mut packer = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::best());
    packer.write_all(head.as_bytes()).unwrap();
    let many = part.repeat(1_000);
    for _ in 0..times / 1_000 {
        packer.write_all(many.as_bytes()).unwrap();
    }
    packer.write_all(tail.as_bytes()).unwrap();
    packer.finish().unwrap()
}

/// The answer that a client must unpack.
pub fn unpacked(body: &[u8]) -> Play {
    Play::Bytes(200, "Content-Encoding: gzip\r\n", body.to_vec())
}

pub fn ok(body: impl Into<String>) -> Play {
    Play::Say(200, "", body.into())
}

pub fn status(status: u16, body: &str) -> Play {
    Play::Say(status, "", body.to_owned())
}

pub struct Script {
    plays: Mutex<VecDeque<Play>>,
    seen: Mutex<Vec<Seen>>,
    /// How many connections were opened.
    pub connections: AtomicUsize,
    /// Every connection is closed, without an answer, when a second request comes on it.
    pub once_each: AtomicBool,
    /// When closed to begin with, answers wait for a permit each.
    pub gate: Semaphore,
    under_way: Mutex<(usize, usize)>,
}

pub struct Server {
    pub url: String,
    pub script: Arc<Script>,
}

impl Server {
    pub async fn new(plays: impl IntoIterator<Item = Play>) -> Self {
        let server = Self::gated(plays).await;
        server.script.gate.add_permits(Semaphore::MAX_PERMITS / 2);
        server
    }

    pub async fn gated(plays: impl IntoIterator<Item = Play>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let script = Arc::new(Script {
            plays: Mutex::new(plays.into_iter().collect()),
            seen: Mutex::default(),
            connections: AtomicUsize::new(0),
            once_each: AtomicBool::new(false),
            gate: Semaphore::new(0),
            under_way: Mutex::default(),
        });
        let shared = Arc::clone(&script);
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                tokio::spawn(serve(stream, Arc::clone(&shared)));
            }
        });
        Self { url, script }
    }

    pub fn seen(&self) -> Vec<Seen> {
        self.script.seen.lock().unwrap().clone()
    }

    pub fn lines(&self) -> Vec<String> {
        self.seen().into_iter().map(|seen| seen.line).collect()
    }

    /// The most requests that were ever under way at once.
    pub fn most_under_way(&self) -> usize {
        self.script.under_way.lock().unwrap().1
    }

    pub async fn until_seen(&self, count: usize) {
        while self.script.seen.lock().unwrap().len() < count {
            tokio::task::yield_now().await;
        }
    }
}

async fn serve(stream: TcpStream, script: Arc<Script>) {
    let mut stream = BufReader::new(stream);
    script.connections.fetch_add(1, Ordering::SeqCst);
    let mut answered = 0;
    while let Some(seen) = request(&mut stream).await {
        if answered > 0 && script.once_each.load(Ordering::SeqCst) {
            return;
        }
        answered += 1;
        {
            let mut under_way = script.under_way.lock().unwrap();
            under_way.0 += 1;
            under_way.1 = under_way.1.max(under_way.0);
        }
        script.seen.lock().unwrap().push(seen);
        let play = script.plays.lock().unwrap().pop_front();
        script.gate.acquire().await.unwrap().forget();
        script.under_way.lock().unwrap().0 -= 1;
        let date = clock::now().format("Date: %a, %d %b %Y %H:%M:%S GMT\r\n").to_string();
        let (status, headers, body) = match play {
            None => (599, String::new(), "the script is over".to_owned()),
            Some(Play::Say(status, headers, body)) if headers.contains("Date:") => (status, headers.to_owned(), body),
            Some(Play::Say(status, headers, body)) => (status, format!("{date}{headers}"), body),
            Some(Play::NoDate(body)) => (200, String::new(), body),
            Some(Play::Reset) => return,
            Some(Play::Hang) => return std::future::pending().await,
            Some(Play::Bytes(status, headers, body)) => {
                let length = body.len();
                let head = format!("HTTP/1.1 {status} X\r\n{date}{headers}Content-Length: {length}\r\n\r\n");
                let sent = stream.write_all(&[head.into_bytes(), body].concat()).await;
                if sent.is_err() {
                    return;
                }
                continue;
            }
            Some(Play::Endless(status, part)) => {
                let head = format!("HTTP/1.1 {status} X\r\n{date}\r\n");
                let mut sent = stream.write_all(head.as_bytes()).await;
                let many = part.repeat(8_192);
                while sent.is_ok() {
                    sent = stream.write_all(&many).await;
                }
                return;
            }
            Some(Play::Drip(every)) => {
                let head = format!("HTTP/1.1 200 X\r\n{date}Content-Length: 100000\r\n\r\n");
                let mut sent = stream.write_all(head.as_bytes()).await;
                while sent.is_ok() {
                    tokio::time::sleep(every).await;
                    sent = stream.write_all(b" ").await;
                }
                return;
            }
            Some(Play::Truncate) => {
                let _ = stream
                    .write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n{\"tot")
                    .await;
                return;
            }
        };
        let head = format!(
            "HTTP/1.1 {status} X\r\n{headers}Content-Length: {}\r\n\r\n{body}",
            body.len()
        );
        if stream.write_all(head.as_bytes()).await.is_err() {
            return;
        }
    }
}

async fn request(stream: &mut BufReader<TcpStream>) -> Option<Seen> {
    let mut line = String::new();
    stream.read_line(&mut line).await.ok().filter(|read| *read > 0)?;
    let mut headers = BTreeMap::new();
    loop {
        let mut header = String::new();
        stream.read_line(&mut header).await.ok()?;
        let Some((name, value)) = header.trim_end().split_once(": ") else {
            break;
        };
        headers.insert(name.to_ascii_lowercase(), value.to_owned());
    }
    let mut body = vec![
        0;
        headers
            .get("content-length")
            .map_or(0, |length| length.parse().unwrap())
    ];
    stream.read_exact(&mut body).await.ok()?;
    let line = line.trim_end().trim_end_matches(" HTTP/1.1").to_owned();
    Some(Seen {
        line,
        headers,
        body: String::from_utf8(body).unwrap(),
    })
}

pub fn env(pairs: &[(&str, &str)]) -> Env {
    let map: BTreeMap<String, String> = pairs.iter().map(|(k, v)| ((*k).into(), (*v).into())).collect();
    Arc::new(move |name| map.get(name).cloned())
}

pub fn keys() -> Env {
    env(&[
        ("HUAWEICLOUD_SDK_AK", AK),
        ("HUAWEICLOUD_SDK_SK", SK),
        ("HUAWEICLOUD_SDK_SECURITY_TOKEN", TOKEN),
    ])
}

pub fn settings(server: &Server) -> Settings {
    Settings {
        project: "prod".into(),
        region: "xx-test-1".into(),
        project_id: Some("pid-1".into()),
        endpoint: server.url.parse().unwrap(),
        iam_endpoint: server.url.parse().unwrap(),
        source: CredentialSource::Environment,
        requests_per_second: 10_000,
        concurrency: 4,
        timeout: Duration::from_secs(20),
    }
}

pub fn tuned(settings: Settings, guard: KeyLockout, observer: Observer, env: Env) -> Client {
    let tuning = Tuning {
        env,
        back_off: Duration::from_millis(1),
        ..Tuning::default()
    };
    Client::tuned(settings, guard, observer, tuning).unwrap()
}

pub fn client(server: &Server) -> Client {
    tuned(settings(server), KeyLockout::default(), Arc::new(|_| {}), keys())
}

/// A page of manual backups with these ids.
pub fn page(ids: &[&str], total: usize) -> String {
    let entry = |id: &&str| {
        format!(r#"{{"id": "{id}", "instance_id": "{INSTANCE}", "type": "manual", "status": "COMPLETED"}}"#)
    };
    let entries: Vec<String> = ids.iter().map(entry).collect();
    format!(r#"{{"backups": [{}], "total_count": {total}}}"#, entries.join(","))
}

pub async fn manual(client: &Client) -> Result<Vec<String>, Error> {
    let backups = client.list_backups(&INSTANCE.into(), Listed::Manual).await?;
    Ok(backups.into_iter().map(|Backup { id, .. }| id.to_string()).collect())
}

pub fn batch(ids: &[&str]) -> Batch {
    batch_of(Engine::SqlServer, ids)
}

/// The oldest of these, where the engine has no deletion in batches.
pub fn batch_of(engine: Engine, ids: &[&str]) -> Batch {
    let policy = Policy {
        name: "daily".into(),
        mode: Mode::Enforce,
        zone: Zone::UTC,
        select: Selector::default(),
        keep: KeepRules::new(vec![KeepRule::Last(Count::All)], Vec::new()).unwrap(),
        max_age: None,
        failed_after: Span::days(7),
        min_backups: NonZeroU32::MIN,
        grace: Span::ZERO,
        require_backup_within: None,
        limits: Limits {
            max_percent: 100,
            ..Limits::default()
        },
    };
    let instance = Arc::new(Instance {
        engine,
        project: "prod".into(),
        id: INSTANCE.into(),
        name: "mssql-1".into(),
        tags: Vec::new(),
        enterprise_project: None,
        life: InstanceLife::Listed,
    });
    let candidate = |id: &&str| Candidate {
        instance: Arc::clone(&instance),
        id: (*id).into(),
        name: "nightly".into(),
        begin: chrono::DateTime::UNIX_EPOCH,
        size_bytes: 1,
        status: BackupStatus::Completed,
        reason: ExpireReason::NotKept,
    };
    let due: Vec<Candidate> = ids.iter().map(candidate).collect();
    let mut plan = Plan::new(Arc::new(policy));
    plan.add(InstanceDue {
        instance: Arc::clone(&instance),
        counted: 100,
        newest_recovery_point: None,
        due,
    });
    let clocks = BTreeMap::from([("prod".into(), ClockCheck::Skew(chrono::TimeDelta::zero()))]);
    let conditions = Conditions {
        now: clock::now(),
        freeze: None,
        clocks: &clocks,
        approved: &HashSet::new(),
    };
    let approval = plan.approve(&conditions);
    assert!(approval.refusals.is_empty(), "{:?}", approval.refusals);
    ApprovedPlan::batches(vec![approval.plan])
        .into_iter()
        .flatten()
        .next()
        .unwrap()
}
