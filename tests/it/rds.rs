//! The API client against a scripted server on loopback: what is sent, what is believed, what is tried again.

mod begin;
mod deletions;
mod keys;
mod reads;
pub mod server;

use std::sync::{Arc, Mutex};

use rds_retentiond::rds::{Class, Client, DeletionAnswer, Error, IntendedAt, KeyLockout, Observer, Settings};
use rds_retentiond::retention::plan::ClockCheck;
use rds_retentiond::retention::{Batch, Engine, InstanceId};

use self::server::{INSTANCE, Play, Server, client, keys, manual, ok, page, settings, status, tuned};

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
