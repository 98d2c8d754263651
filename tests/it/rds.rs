//! The API client against a scripted server on loopback: what is sent, what is believed, what is tried again.

use std::collections::{BTreeMap, HashSet, VecDeque};
use std::num::NonZeroU32;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use rds_retentiond::clock;
use rds_retentiond::rds::auth::{Env, Source, fingerprint};
use rds_retentiond::rds::{Answer, Class, Client, Error, KeyGuard, Listed, Observer, Settings, Tuning};
use rds_retentiond::retention::plan::{ClockCheck, Conditions, InstanceDue};
use rds_retentiond::retention::{
    ApprovedPlan, Backup, BackupStatus, Batch, Candidate, Count, ExpireReason, Instance, InstanceId, InstanceLife,
    KeepRule, KeepRules, Limits, Mode, Outcome, Plan, Policy, Selector, Span,
};
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;

const AK: &str = "AKIDEXAMPLE00000001";
const SK: &str = "sekrit-of-the-test-0001";
const TOKEN: &str = "tokn-of-the-test-0001";
const INSTANCE: &str = "c5cdfc5b3de14bcabb72fb8bf55b1f56in04";

/// One request as it came in.
#[derive(Clone, Debug)]
struct Seen {
    line: String,
    headers: BTreeMap<String, String>,
    body: String,
}

/// One scripted answer.
enum Play {
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
}

fn ok(body: impl Into<String>) -> Play {
    Play::Say(200, "", body.into())
}

fn status(status: u16, body: &str) -> Play {
    Play::Say(status, "", body.to_owned())
}

struct Script {
    plays: Mutex<VecDeque<Play>>,
    seen: Mutex<Vec<Seen>>,
    /// When closed to begin with, answers wait for a permit each.
    gate: Semaphore,
    under_way: Mutex<(usize, usize)>,
}

struct Server {
    url: String,
    script: Arc<Script>,
}

impl Server {
    async fn new(plays: impl IntoIterator<Item = Play>) -> Self {
        let server = Self::gated(plays).await;
        server.script.gate.add_permits(Semaphore::MAX_PERMITS / 2);
        server
    }

    async fn gated(plays: impl IntoIterator<Item = Play>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let script = Arc::new(Script {
            plays: Mutex::new(plays.into_iter().collect()),
            seen: Mutex::default(),
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

    fn seen(&self) -> Vec<Seen> {
        self.script.seen.lock().unwrap().clone()
    }

    fn lines(&self) -> Vec<String> {
        self.seen().into_iter().map(|seen| seen.line).collect()
    }

    /// The most requests that were ever under way at once.
    fn most_under_way(&self) -> usize {
        self.script.under_way.lock().unwrap().1
    }

    async fn until_seen(&self, count: usize) {
        while self.script.seen.lock().unwrap().len() < count {
            tokio::task::yield_now().await;
        }
    }
}

async fn serve(stream: TcpStream, script: Arc<Script>) {
    let mut stream = BufReader::new(stream);
    while let Some(seen) = request(&mut stream).await {
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

fn env(pairs: &[(&str, &str)]) -> Env {
    let map: BTreeMap<String, String> = pairs.iter().map(|(k, v)| ((*k).into(), (*v).into())).collect();
    Arc::new(move |name| map.get(name).cloned())
}

fn keys() -> Env {
    env(&[
        ("HUAWEICLOUD_SDK_AK", AK),
        ("HUAWEICLOUD_SDK_SK", SK),
        ("HUAWEICLOUD_SDK_SECURITY_TOKEN", TOKEN),
    ])
}

fn settings(server: &Server) -> Settings {
    Settings {
        project: "prod".into(),
        region: "xx-test-1".into(),
        project_id: Some("pid-1".into()),
        endpoint: server.url.parse().unwrap(),
        iam_endpoint: server.url.parse().unwrap(),
        source: Source::Environment,
        requests_per_second: 10_000,
        concurrency: 4,
        timeout: Duration::from_secs(20),
    }
}

fn tuned(settings: Settings, guard: KeyGuard, observer: Observer, env: Env) -> Client {
    let tuning = Tuning {
        env,
        back_off: Duration::from_millis(1),
        ..Tuning::default()
    };
    Client::tuned(settings, guard, observer, tuning).unwrap()
}

fn client(server: &Server) -> Client {
    tuned(settings(server), KeyGuard::default(), Arc::new(|_| {}), keys())
}

/// A page of manual backups with these ids.
fn page(ids: &[&str], total: usize) -> String {
    let entry = |id: &&str| {
        format!(r#"{{"id": "{id}", "instance_id": "{INSTANCE}", "type": "manual", "status": "COMPLETED"}}"#)
    };
    let entries: Vec<String> = ids.iter().map(entry).collect();
    format!(r#"{{"backups": [{}], "total_count": {total}}}"#, entries.join(","))
}

async fn manual(client: &Client) -> Result<Vec<String>, Error> {
    let backups = client.list_backups(&INSTANCE.into(), Listed::Manual).await?;
    Ok(backups.into_iter().map(|Backup { id, .. }| id.to_string()).collect())
}

fn batch(ids: &[&str]) -> Batch {
    let policy = Policy {
        name: "daily".into(),
        mode: Mode::Enforce,
        zone: chrono_tz::UTC,
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
    ApprovedPlan::batches(vec![approval.plan]).remove(0)
}

#[tokio::test]
async fn one_full_page_is_one_call_and_the_request_is_signed() {
    let ids: Vec<String> = (0..100).map(|n| format!("b{n}")).collect();
    let ids: Vec<&str> = ids.iter().map(String::as_str).collect();
    let server = Server::new([ok(page(&ids, 100))]).await;
    let client = client(&server);
    assert_eq!(manual(&client).await.unwrap(), ids);
    let seen = server.seen();
    assert_eq!(seen.len(), 1);
    assert_eq!(client.calls(), 1);
    let query = format!("backup_type=manual&instance_id={INSTANCE}&limit=100&offset=0");
    assert_eq!(seen[0].line, format!("GET /v3/pid-1/backups?{query}"));
    let header = |name: &str| seen[0].headers[name].as_str();
    assert_eq!(format!("http://{}", header("host")), server.url);
    assert_eq!((header("x-project-id"), header("x-security-token")), ("pid-1", TOKEN));
    let signed = "SignedHeaders=content-type;host;x-project-id;x-sdk-date;x-security-token, Signature=";
    assert!(header("authorization").starts_with(&format!("SDK-HMAC-SHA256 Access={AK}, {signed}")));
    let verified = rds_retentiond::rds::sign::Signable {
        method: "GET",
        path: "/v3/pid-1/backups",
        query: &[
            ("backup_type", "manual"),
            ("instance_id", INSTANCE),
            ("limit", "100"),
            ("offset", "0"),
        ],
        headers: &["content-type", "host", "x-project-id", "x-sdk-date", "x-security-token"].map(|n| (n, header(n))),
        body: b"",
    };
    assert_eq!(
        header("authorization"),
        verified.authorization(AK, &SK.into(), header("x-sdk-date"))
    );
    assert!(
        matches!(client.clock(), ClockCheck::Skew(skew) if skew.num_seconds().abs() <= 2),
        "{:?}",
        client.clock()
    );
}

#[tokio::test]
async fn pages_are_read_until_they_add_up() {
    let server = Server::new([ok(page(&["a", "b"], 3)), ok(page(&["c"], 3)), ok(page(&[], 0))]).await;
    let client = client(&server);
    assert_eq!(manual(&client).await.unwrap(), ["a", "b", "c"]);
    assert!(server.lines()[1].ends_with("offset=2"));
    assert_eq!(
        manual(&client).await.unwrap(),
        Vec::<String>::new(),
        "none is an answer too"
    );
}

#[tokio::test]
async fn a_listing_that_disagrees_is_read_again_and_then_believed() {
    let shifted = [ok(page(&["a", "b"], 3)), ok(page(&["b"], 3))];
    let changed = [ok(page(&["a"], 2)), ok(page(&["b"], 3))];
    let good = [ok(page(&["a", "c"], 3)), ok(page(&["b"], 3))];
    let server = Server::new(shifted.into_iter().chain(changed).chain(good)).await;
    assert_eq!(manual(&client(&server)).await.unwrap(), ["a", "c", "b"]);
}

#[tokio::test]
async fn a_listing_that_never_agrees_is_not_believed() {
    let foreign = page(&["a"], 1).replace(INSTANCE, "other-in04");
    for (body, calls, why) in [
        (
            page(&["a"], 2),
            8,
            "1 different ids were listed, but the total count is 2",
        ),
        (
            page(&["a", "b"], 1),
            4,
            "2 different ids were listed, but the total count is 1",
        ),
        (page(&[], 7), 4, "0 different ids were listed, but the total count is 7"),
        (page(&["a", ""], 2), 4, "an entry has no id"),
        (foreign, 4, "backup a does not belong to the instance asked for"),
        (
            page(&["a"], 1).replace("manual", "auto"),
            4,
            "backup a is of type \"auto\", not manual",
        ),
        (r#"{"backups": []}"#.to_owned(), 4, "page 1 gives no total count"),
        (
            r#"{"backups": [], "total_count": null}"#.to_owned(),
            4,
            "page 1 gives no total count",
        ),
    ] {
        // Where a second page is asked for, it is empty.
        let plays = (0..8).map(|n| {
            if calls == 8 && n % 2 == 1 {
                ok(page(&[], 2))
            } else {
                ok(body.clone())
            }
        });
        let server = Server::new(plays).await;
        let error = manual(&client(&server)).await.unwrap_err();
        assert_eq!(error.class(), Class::Disagreement, "{error}");
        assert!(error.to_string().ends_with(why), "{error}");
        assert!(error.to_string().contains(INSTANCE), "{error}");
        assert_eq!(server.seen().len(), calls, "{why}");
    }
}

#[tokio::test]
async fn reads_are_tried_again_after_every_passing_failure() {
    let slow = Play::Say(429, "Retry-After: 0\r\n", r#"{"error_code": "APIGW.0308"}"#.into());
    for play in [
        status(503, "<html>"),
        slow,
        Play::Reset,
        Play::Truncate,
        ok("{\"tot"),
        ok("[]"),
        status(500, ""),
    ] {
        let server = Server::new([play, ok(page(&["a"], 1))]).await;
        assert_eq!(manual(&client(&server)).await.unwrap(), ["a"]);
        assert_eq!(server.seen().len(), 2);
    }
}

#[tokio::test]
async fn reads_give_up_after_four_attempts_and_say_why() {
    let body = r#"{"error_code": "DBS.108000", "error_msg": "server error"}"#;
    let plays = (0..9).map(|_| Play::Say(500, "X-Request-Id: req-77\r\n", body.into()));
    let server = Server::new(plays).await;
    let error = manual(&client(&server)).await.unwrap_err();
    assert_eq!((error.class(), server.seen().len()), (Class::Unreachable, 4));
    let text = error.chain();
    for part in [
        "project prod",
        "list_backups",
        INSTANCE,
        "HTTP 500",
        "DBS.108000",
        "server error",
        "req-77",
    ] {
        assert!(text.contains(part), "{text}");
    }
}

#[tokio::test]
async fn a_time_out_is_a_failure_that_passes() {
    let server = Server::new([Play::Hang, ok(page(&["a"], 1))]).await;
    let settings = Settings {
        timeout: Duration::from_millis(200),
        ..settings(&server)
    };
    let client = tuned(settings, KeyGuard::default(), Arc::new(|_| {}), keys());
    assert_eq!(manual(&client).await.unwrap(), ["a"]);
}

#[tokio::test]
async fn refused_reads_are_not_repeated() {
    for (code, body, class, part) in [
        (
            404,
            r#"{"error_code": "DBS.200002", "error_msg": "gone"}"#,
            Class::NotFound,
            "DBS.200002",
        ),
        (
            400,
            r#"{"error_code": "DBS.200602", "error_msg": "gone"}"#,
            Class::NotFound,
            "gone",
        ),
        (
            404,
            r#"{"error_code": "APIGW.0101", "error_msg": "no API"}"#,
            Class::Configuration,
            "check endpoint",
        ),
        (
            403,
            r#"{"error_code": "DBS.200010", "error_msg": "no"}"#,
            Class::NotAllowed,
            "grant rds:backup:list",
        ),
        (400, r#"{"error_code": "DBS.280001"}"#, Class::Unreachable, "HTTP 400"),
        (307, "", Class::Unreachable, "HTTP 307"),
    ] {
        let server = Server::new([Play::Say(code, "Location: http://127.0.0.1:1/\r\n", body.into())]).await;
        let error = manual(&client(&server)).await.unwrap_err();
        assert_eq!((error.class(), server.seen().len()), (class, 1), "{error}");
        assert!(error.to_string().contains(part), "{error}");
    }
}

#[tokio::test]
async fn an_instance_is_deleted_only_when_the_api_says_so() {
    let one = format!(r#"{{"instances": [{{"id": "{INSTANCE}", "name": "m"}}], "total_count": 1}}"#);
    let none = r#"{"instances": [], "total_count": 0}"#;
    let server = Server::new([
        ok(&*one),
        ok(none),
        status(404, r#"{"error_code": "DBS.200002"}"#),
        status(404, "<html>not here</html>"),
        ok(one.replace(INSTANCE, "another")),
    ])
    .await;
    let client = client(&server);
    let id = InstanceId::from(INSTANCE);
    assert_eq!(client.find_instance(&id).await.unwrap().unwrap().instance.id, id);
    assert_eq!(client.find_instance(&id).await.unwrap(), None);
    assert_eq!(client.find_instance(&id).await.unwrap(), None);
    assert_eq!(
        client.find_instance(&id).await.unwrap_err().class(),
        Class::NotFound,
        "a proxy's 404"
    );
    assert_eq!(
        client.find_instance(&id).await.unwrap_err().class(),
        Class::Disagreement,
        "the filter was ignored"
    );
    assert_eq!(
        server.lines()[0],
        format!("GET /v3/pid-1/instances?id={INSTANCE}&limit=100&offset=0")
    );
}

#[tokio::test]
async fn the_project_id_is_asked_of_iam_once() {
    let projects = r#"{"projects": [{"id": "pid-9", "name": "xx-test-1"}, {"id": "pid-8", "name": "xx-test-1_sub"}]}"#;
    let none = r#"{"instances": [], "total_count": 0}"#;
    let server = Server::new([ok(projects), ok(none), ok(none)]).await;
    let client = tuned(
        Settings {
            project_id: None,
            ..settings(&server)
        },
        KeyGuard::default(),
        Arc::new(|_| {}),
        keys(),
    );
    client.list_instances().await.unwrap();
    client.list_instances().await.unwrap();
    let instances = "GET /v3/pid-9/instances?datastore_type=SQLServer&limit=100&offset=0";
    assert_eq!(
        server.lines(),
        ["GET /v3/projects?name=xx-test-1", instances, instances]
    );
    assert!(!server.seen()[0].headers.contains_key("x-project-id"));
    for (projects, part) in [
        (r#"{"projects": []}"#, "knows no project named xx-test-1"),
        (
            r#"{"projects": [{"id": "1", "name": "xx-test-1"}, {"id": "2", "name": "xx-test-1"}]}"#,
            "several projects",
        ),
    ] {
        let server = Server::new([ok(projects)]).await;
        let settings = Settings {
            project_id: None,
            ..settings(&server)
        };
        let client = tuned(settings, KeyGuard::default(), Arc::new(|_| {}), keys());
        let error = client.project_id().await.unwrap_err();
        assert_eq!(error.class(), Class::Configuration);
        assert!(
            error.to_string().contains(part) && error.to_string().contains("set project_id"),
            "{error}"
        );
    }
}

#[tokio::test]
async fn retained_backups_are_read_in_their_own_shape() {
    let body = r#"{"backups": {"id": "r1", "type": "Snapshot", "name": "n", "size": "2"}, "total": 1}"#;
    let server = Server::new([ok(body)]).await;
    let backups = client(&server).retained_backups(&INSTANCE.into()).await.unwrap();
    assert_eq!((backups.len(), backups[0].size_bytes), (1, 2048));
    assert_eq!(
        server.lines(),
        [format!(
            "GET /v3/pid-1/instances/{INSTANCE}/retain-backups?limit=100&offset=0"
        )]
    );
}

#[tokio::test]
async fn a_batch_is_sent_once_and_answered_id_by_id() {
    let body = r#"{"delete_results": [{"backup_id": "y", "error_code": "DBS.200054", "error_msg": "in use"}, {"backup_id": "x", "error_code": "0"}]}"#;
    let server = Server::new([Play::Say(200, "X-Request-Id: req-5\r\n", body.into())]).await;
    let answer = client(&server).delete(&batch(&["x", "y", "z"])).await.unwrap();
    let Answer::Results { outcomes, request_id } = answer else {
        panic!("{answer:?}")
    };
    assert_eq!(request_id.as_deref(), Some("req-5"));
    let rejected = Outcome::Rejected {
        code: "DBS.200054".into(),
        message: "in use".into(),
    };
    assert_eq!(outcomes[0], ("x".into(), Outcome::Accepted));
    assert_eq!(outcomes[1], ("y".into(), rejected));
    assert!(matches!(&outcomes[2], (id, Outcome::Unanswered { .. }) if id.as_str() == "z"));
    let seen = server.seen();
    assert_eq!(
        (seen.len(), seen[0].line.as_str()),
        (1, "POST /v3/pid-1/backups/batch-delete")
    );
    assert_eq!(seen[0].body, r#"{"backup_ids":["x","y","z"]}"#);
}

#[tokio::test]
async fn a_batch_is_never_sent_again_by_itself() {
    let server = Server::new([
        Play::Say(429, "Retry-After: 3600\r\n", String::new()),
        status(400, r#"{"error_code": "DBS.280001", "error_msg": "bad id"}"#),
        status(502, "<html>"),
        Play::Reset,
        Play::Truncate,
        ok("not json"),
        status(403, r#"{"error_code": "APIGW.0302"}"#),
    ])
    .await;
    let settings = Settings {
        requests_per_second: 10_000,
        ..settings(&server)
    };
    let batch = batch(&["x"]);
    // A client each: the pause after the 429 is the pace's business.
    let send = || async {
        tuned(settings.clone(), KeyGuard::default(), Arc::new(|_| {}), keys())
            .delete(&batch)
            .await
    };
    assert_eq!(
        send().await.unwrap(),
        Answer::Throttled {
            retry_after: Some(Duration::from_secs(60))
        }
    );
    let refused = send().await.unwrap();
    assert!(
        matches!(&refused, Answer::RefusedWhole { status: 400, code, .. } if code == "DBS.280001"),
        "{refused:?}"
    );
    for _ in 0..4 {
        let answer = send().await.unwrap();
        assert!(matches!(answer, Answer::Unanswered { .. }), "{answer:?}");
    }
    let error = send().await.unwrap_err();
    assert_eq!(error.class(), Class::NotAllowed);
    assert!(error.to_string().contains("grant rds:backup:delete"), "{error}");
    assert_eq!(server.seen().len(), 7);
}

#[tokio::test]
async fn without_a_connection_nothing_was_sent() {
    let closed = {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        format!("http://{}", listener.local_addr().unwrap())
    };
    let server = Server {
        url: closed,
        script: Server::new([]).await.script,
    };
    let error = client(&server).delete(&batch(&["x"])).await.unwrap_err();
    assert_eq!(error.class(), Class::Unreachable);
    assert!(
        error.chain().to_lowercase().contains("connection refused"),
        "the cause is told: {}",
        error.chain()
    );
}

#[tokio::test]
async fn the_first_request_of_a_run_goes_alone() {
    let server = Server::gated((0..8).map(|_| ok(page(&["a"], 1)))).await;
    let client = client(&server);
    client.begin_run();
    let tasks: Vec<_> = (0..8)
        .map(|_| {
            let client = client.clone();
            tokio::spawn(async move { manual(&client).await.map(drop) })
        })
        .collect();
    server.until_seen(1).await;
    for _ in 0..1000 {
        tokio::task::yield_now().await;
    }
    assert_eq!(server.seen().len(), 1, "all others wait");
    server.script.gate.add_permits(1);
    server.until_seen(5).await;
    assert_eq!(server.most_under_way(), 4, "then as many as the settings allow");
    server.script.gate.add_permits(7);
    for task in tasks {
        task.await.unwrap().unwrap();
    }
}

#[tokio::test]
async fn two_401_block_the_key_for_everybody_and_are_reported() {
    let refusal = || {
        status(
            401,
            r#"{"error_code": "APIGW.0301", "error_msg": "Incorrect IAM authentication"}"#,
        )
    };
    let server = Server::new((0..20).map(|_| refusal())).await;
    let told = Arc::new(Mutex::new(Vec::new()));
    let ear = Arc::clone(&told);
    let guard = KeyGuard::new(Arc::new(move |key, _| ear.lock().unwrap().push(key.to_owned())));
    let one = tuned(settings(&server), guard.clone(), Arc::new(|_| {}), keys());
    let other = tuned(
        Settings {
            project: "other".into(),
            ..settings(&server)
        },
        guard.clone(),
        Arc::new(|_| {}),
        keys(),
    );
    let tasks: Vec<_> = (0..10)
        .map(|n| {
            let client = if n % 2 == 0 { one.clone() } else { other.clone() };
            client.begin_run();
            tokio::spawn(async move { manual(&client).await })
        })
        .collect();
    for task in tasks {
        assert_eq!(task.await.unwrap().unwrap_err().class(), Class::NotAllowed);
    }
    assert_eq!(
        server.seen().len(),
        2,
        "one attempt and one with renewed credentials, in the whole process"
    );
    assert_eq!(*told.lock().unwrap(), [fingerprint(AK)]);
    one.begin_run();
    let error = one.delete(&batch(&["x"])).await.unwrap_err();
    assert!(matches!(error, Error::KeyBlocked { .. }), "{error}");
    for (shown, secret) in [(error.chain(), SK), (format!("{error:?} {one:?} {guard:?}"), TOKEN)] {
        assert!(
            !shown.contains(AK) && !shown.contains(secret) && !shown.contains(SK),
            "{shown}"
        );
    }
    assert!(error.to_string().contains("AKID…"), "{error}");
    assert_eq!(server.seen().len(), 2);
    let restarted = KeyGuard::default();
    restarted.restore(guard.snapshot());
    let late = tuned(settings(&server), restarted, Arc::new(|_| {}), keys());
    assert_eq!(manual(&late).await.unwrap_err().class(), Class::NotAllowed);
    assert_eq!(server.seen().len(), 2, "a restart changes nothing");
}

#[tokio::test]
async fn after_a_401_a_changed_key_is_used_at_once() {
    let server = Server::new([status(401, ""), ok(page(&["a"], 1)), ok(page(&["b"], 1))]).await;
    let reads = Arc::new(Mutex::new(0));
    let count = Arc::clone(&reads);
    let env: Env = Arc::new(move |name| match name {
        "HUAWEICLOUD_SDK_AK" => {
            let mut reads = count.lock().unwrap();
            *reads += 1;
            Some(format!("AKIDGENERATION{reads:04}"))
        }
        "HUAWEICLOUD_SDK_SK" => Some(SK.to_owned()),
        _ => None,
    });
    let client = tuned(settings(&server), KeyGuard::default(), Arc::new(|_| {}), env);
    assert_eq!(manual(&client).await.unwrap(), ["a"]);
    assert_eq!(manual(&client).await.unwrap(), ["b"]);
    let generation =
        |seen: &Seen| seen.headers["authorization"].split_once("AKIDGENERATION").unwrap().1[..4].to_owned();
    let generations: Vec<String> = server.seen().iter().map(generation).collect();
    assert_eq!(generations, ["0001", "0002", "0002"]);
    assert_eq!(*reads.lock().unwrap(), 2, "renewed once, then kept");
}

#[tokio::test]
async fn keys_of_the_ecs_agency_come_by_the_token_variant_or_without() {
    let soon = (clock::now() + chrono::TimeDelta::hours(2)).format("%Y-%m-%dT%H:%M:%S.000000Z");
    let keys = format!(
        r#"{{"credential": {{"access": "ECSKEY0000000001", "secret": "s", "securitytoken": "ecs-token", "expires_at": "{soon}"}}}}"#
    );
    for (variant, sent) in [
        (ok("meta-token\n"), Some("meta-token")),
        (status(404, ""), None),
        (status(405, ""), None),
        (status(503, ""), None),
        (Play::Reset, None),
    ] {
        let metadata = Server::new([variant, ok(&*keys)]).await;
        let api = Server::new([ok(page(&["a"], 1)), ok(page(&["a"], 1))]).await;
        let source = Source::EcsAgency {
            endpoint: metadata.url.parse().unwrap(),
        };
        let client = tuned(
            Settings {
                source,
                ..settings(&api)
            },
            KeyGuard::default(),
            Arc::new(|_| {}),
            env(&[]),
        );
        client.begin_run();
        manual(&client).await.unwrap();
        client.begin_run();
        manual(&client).await.unwrap();
        let asked = metadata.seen();
        assert_eq!(
            metadata.lines(),
            ["PUT /meta-data/latest/api/token", "GET /openstack/latest/securitykey"]
        );
        assert_eq!(asked[0].headers["x-metadata-token-ttl-seconds"], "21600");
        assert_eq!(asked[1].headers.get("x-metadata-token").map(String::as_str), sent);
        assert_eq!(api.seen()[0].headers["x-security-token"], "ecs-token");
    }
    let metadata = Server::new([status(404, ""), ok(r#"{"credential": {"access": "A", "secret": 7}}"#)]).await;
    let api = Server::new([]).await;
    let source = Source::EcsAgency {
        endpoint: metadata.url.parse().unwrap(),
    };
    let client = tuned(
        Settings {
            source,
            ..settings(&api)
        },
        KeyGuard::default(),
        Arc::new(|_| {}),
        env(&[]),
    );
    let error = manual(&client).await.unwrap_err();
    assert_eq!(error.class(), Class::NotAllowed);
    assert!(
        error.chain().contains("is an agency bound to this ECS?"),
        "{}",
        error.chain()
    );
}

#[tokio::test]
async fn the_clock_is_that_of_the_latest_answer() {
    let old = "Date: Sun, 06 Nov 1994 08:49:37 GMT\r\n";
    let server = Server::new([
        Play::Say(200, old, page(&["a"], 1)),
        Play::NoDate(page(&["a"], 1)),
        ok(page(&["a"], 1)),
    ])
    .await;
    let client = client(&server);
    assert_eq!(client.clock(), ClockCheck::NoDate, "nothing was asked yet");
    manual(&client).await.unwrap();
    assert!(matches!(client.clock(), ClockCheck::Skew(skew) if skew.num_days() < -365));
    manual(&client).await.unwrap();
    assert_eq!(client.clock(), ClockCheck::NoDate);
    manual(&client).await.unwrap();
    assert!(client.clock().is_good());
}

#[tokio::test]
async fn every_request_is_observed() {
    let server = Server::new([status(503, ""), Play::Reset, status(429, ""), ok(page(&["a"], 1))]).await;
    let events = Arc::new(Mutex::new(Vec::new()));
    let log = Arc::clone(&events);
    let observer: Observer = Arc::new(move |event| {
        let project = event.project.to_string();
        log.lock()
            .unwrap()
            .push((project, event.operation.as_str(), event.status, event.throttled));
    });
    let client = tuned(settings(&server), KeyGuard::default(), observer, keys());
    manual(&client).await.unwrap();
    let event = |status, throttled| ("prod".to_owned(), "list_backups", status, throttled);
    let expected = [
        event(Some(503), false),
        event(None, false),
        event(Some(429), true),
        event(Some(200), false),
    ];
    assert_eq!(*events.lock().unwrap(), expected);
    assert_eq!(client.calls(), 4);
}
