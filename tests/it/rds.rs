//! The API client against a scripted server on loopback: what is sent, what is believed, what is tried again.

mod begin;
pub mod server;

use std::sync::{Arc, Mutex};
use std::time::Duration;

use rds_retentiond::clock;
use rds_retentiond::rds::credentials::{CredentialSource, Env, fingerprint};
use rds_retentiond::rds::{Class, Client, DeletionAnswer, Error, IntendedAt, KeyLockout, Observer, Settings};
use rds_retentiond::retention::plan::ClockCheck;
use rds_retentiond::retention::{Batch, Engine, InstanceId, Outcome};
use tokio::net::TcpListener;

use self::server::{
    AK, INSTANCE, Play, SK, Seen, Server, TOKEN, batch, client, env, keys, manual, ok, page, settings, status, tuned,
};

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
    let client = tuned(settings, KeyLockout::default(), Arc::new(|_| {}), keys());
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
        KeyLockout::default(),
        Arc::new(|_| {}),
        keys(),
    );
    client.list_instances(&[Engine::SqlServer]).await.unwrap();
    client.list_instances(&[Engine::SqlServer]).await.unwrap();
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
        let client = tuned(settings, KeyLockout::default(), Arc::new(|_| {}), keys());
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
    let backups = client(&server)
        .retained_backups(&INSTANCE.into(), &Engine::SqlServer)
        .await
        .unwrap();
    assert_eq!((backups.len(), backups[0].size_bytes), (1, 2048));
    assert_eq!(
        server.lines(),
        [format!(
            "GET /v3/pid-1/instances/{INSTANCE}/retain-backups?limit=100&offset=0"
        )]
    );
}

/// One deletion request whose intent is made now.
pub async fn delete(client: &Client, batch: &Batch) -> Result<DeletionAnswer, Error> {
    let permit = client.permit_deletion(None).await?;
    permit.delete(batch, IntendedAt::now(), std::future::pending()).await
}

#[tokio::test]
async fn a_batch_is_sent_once_and_answered_id_by_id() {
    let body = r#"{"delete_results": [{"backup_id": "y", "error_code": "DBS.200054", "error_msg": "in use"}, {"backup_id": "x", "error_code": "0"}]}"#;
    let server = Server::new([Play::Say(200, "X-Request-Id: req-5\r\n", body.into())]).await;
    let answer = delete(&client(&server), &batch(&["x", "y", "z"])).await.unwrap();
    let DeletionAnswer::Results { outcomes, request_id } = answer else {
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
        let client = tuned(settings.clone(), KeyLockout::default(), Arc::new(|_| {}), keys());
        delete(&client, &batch).await
    };
    assert_eq!(
        send().await.unwrap(),
        DeletionAnswer::Throttled {
            retry_after: Some(Duration::from_secs(60))
        }
    );
    let refused = send().await.unwrap();
    assert!(
        matches!(&refused, DeletionAnswer::RefusedWhole { status: 400, code, .. } if code == "DBS.280001"),
        "{refused:?}"
    );
    for _ in 0..4 {
        let answer = send().await.unwrap();
        assert!(matches!(answer, DeletionAnswer::Unanswered { .. }), "{answer:?}");
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
    let error = delete(&client(&server), &batch(&["x"])).await.unwrap_err();
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
    let reported = Arc::new(Mutex::new(Vec::new()));
    let ear = Arc::clone(&reported);
    let guard = KeyLockout::new(Arc::new(move |refusal| ear.lock().unwrap().push(refusal.clone())));
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
    let refusals = reported.lock().unwrap().clone();
    let known = fingerprint(AK, SK, None).access_key;
    assert!(refusals.iter().all(|refusal| refusal.key.access_key == known));
    let blocks: Vec<bool> = refusals.iter().map(|refusal| refusal.blocked_until.is_some()).collect();
    assert_eq!(blocks, [false, true]);
    one.begin_run();
    let error = delete(&one, &batch(&["x"])).await.unwrap_err();
    assert!(matches!(error, Error::KeyBlocked { .. }), "{error}");
    for (shown, secret) in [(error.chain(), SK), (format!("{error:?} {one:?} {guard:?}"), TOKEN)] {
        assert!(
            !shown.contains(AK) && !shown.contains(secret) && !shown.contains(SK),
            "{shown}"
        );
    }
    assert!(error.to_string().contains("AKID…"), "{error}");
    assert_eq!(server.seen().len(), 2);
    let restarted = KeyLockout::default();
    restarted.restore(refusals, clock::now());
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
    let client = tuned(settings(&server), KeyLockout::default(), Arc::new(|_| {}), env);
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
        let source = CredentialSource::EcsAgency {
            endpoint: metadata.url.parse().unwrap(),
        };
        let client = tuned(
            Settings {
                source,
                ..settings(&api)
            },
            KeyLockout::default(),
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
    let source = CredentialSource::EcsAgency {
        endpoint: metadata.url.parse().unwrap(),
    };
    let client = tuned(
        Settings {
            source,
            ..settings(&api)
        },
        KeyLockout::default(),
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

/// Contract 4, 1, in doubt: an answer of the same run that was dated far off, or not at all, may be the one that is right.
#[tokio::test]
async fn the_clock_is_that_of_the_worst_answer_since_the_run_began() {
    let old = "Date: Sun, 06 Nov 1994 08:49:37 GMT\r\n";
    let two = "Date: Sun, 06 Nov 1994 08:49:37 GMT\r\nDate: Mon, 07 Nov 1994 08:49:37 GMT\r\n";
    let server = Server::new([
        Play::Say(200, old, page(&["a"], 1)),
        ok(page(&["a"], 1)),
        ok(page(&["a"], 1)),
        Play::NoDate(page(&["a"], 1)),
        ok(page(&["a"], 1)),
        Play::Say(200, two, page(&["a"], 1)),
        ok(page(&["a"], 1)),
        ok(page(&["a"], 1)),
    ])
    .await;
    let client = client(&server);
    assert_eq!(client.clock(), ClockCheck::NoDate, "nothing was asked yet");
    let is_old = |check| matches!(check, ClockCheck::Skew(skew) if skew.num_days() < -365);
    for _ in 0..2 {
        manual(&client).await.unwrap();
        assert!(is_old(client.clock()));
    }
    client.begin_run();
    manual(&client).await.unwrap();
    assert!(client.clock().is_good(), "the twin: a new run begins afresh");
    for _ in 0..2 {
        manual(&client).await.unwrap();
        assert_eq!(client.clock(), ClockCheck::NoDate);
    }
    client.begin_run();
    for _ in 0..2 {
        manual(&client).await.unwrap();
        assert_eq!(client.clock(), ClockCheck::NoDate, "two dates that differ are none");
    }
    client.begin_run();
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
    let client = tuned(settings(&server), KeyLockout::default(), observer, keys());
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

#[tokio::test]
async fn deleted_instances_are_not_asked_for_again_once_the_api_has_refused_to_name_them() {
    let refusals = [
        (403, r#"{"error_code": "DBS.200010"}"#),
        (404, r#"{"error_code": "APIGW.0101"}"#),
    ];
    for (code, body) in refusals {
        let server = Server::new([status(code, body)]).await;
        let client = client(&server);
        for _ in 0..2 {
            assert_eq!(client.deleted_instances().await, Ok(Vec::new()));
        }
        assert_eq!(server.lines().len(), 1, "{code}");
    }
    // The twins: an answer is asked for by each run, and a server error is no refusal.
    let named = r#"{"backup_retain_policies": [{"instance_id": "ain04"}, {"instance_id": "ain04"}]}"#;
    let server = Server::new([status(503, ""), ok(named.to_owned())]).await;
    let client = client(&server);
    let why = client.deleted_instances().await.unwrap_err();
    assert!(why.contains("the answer cannot be read (HTTP 503)"), "{why}");
    assert_eq!(client.deleted_instances().await.map(|deleted| deleted.len()), Ok(1));
}
