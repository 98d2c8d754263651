//! Reads: pages and their counts, what is believed, what is tried again and for how long.

use std::sync::Arc;
use std::time::Duration;

use rds_retentiond::rds::{Class, KeyLockout, Settings};
use rds_retentiond::retention::plan::ClockCheck;

use super::server::{AK, INSTANCE, Play, SK, Server, TOKEN, client, keys, manual, ok, page, settings, status, tuned};

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
