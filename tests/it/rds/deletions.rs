//! Deletion requests: each is sent once, answered id by id, and the first of a run goes alone.

use std::sync::Arc;
use std::time::Duration;

use rds_retentiond::rds::{Class, DeletionAnswer, KeyLockout, Settings};
use rds_retentiond::retention::Outcome;
use tokio::net::TcpListener;

use super::delete;
use super::server::{Play, Server, batch, client, keys, manual, ok, page, settings, status, tuned};

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
