//! Each fault, seen from a client.

use std::time::{Duration, Instant};

use rds_retentiond::simulator::{BodyKind, DateFault, Fault, FaultKind, Op};

use super::{HOME, Lab, id};

/// A lab with one fault on the listing of backups.
async fn with(rule: &str) -> Lab {
    let lab = Lab::small().await;
    lab.simulator.faults().add(Fault::parse(rule).unwrap());
    lab
}

async fn try_list(lab: &Lab) -> reqwest::Result<super::Got> {
    lab.send("GET", &lab.path(&format!("backups?instance_id={HOME}")), None, &lab.key)
        .await
}

#[tokio::test]
async fn every_status_of_every_operation() {
    let lab = Lab::small().await;
    for operation in Op::ALL {
        let (method, target) = match operation {
            Op::ListInstances => ("GET", lab.path("instances")),
            Op::ListBackups => ("GET", lab.path(&format!("backups?instance_id={HOME}"))),
            Op::ListRetained => ("GET", lab.path(&format!("instances/{HOME}/retain-backups"))),
            Op::DeleteBatch => ("POST", lab.path("backups/batch-delete")),
            Op::DeleteOne => ("DELETE", lab.path(&format!("backups/{}", id(0)))),
            Op::CreateBackup => ("POST", lab.path("backups")),
            Op::DeleteInstance => ("DELETE", lab.path(&format!("instances/{HOME}"))),
            Op::ListRetainPolicies => ("POST", lab.path("backup-retain-policy")),
            Op::ListTasks => ("GET", lab.path(&format!("instances/{HOME}/tasklist/detail"))),
            Op::ShowQuotas => ("GET", lab.path("quotas")),
            Op::ShowBackupPolicy => ("GET", lab.path(&format!("instances/{HOME}/backups/policy"))),
            Op::SetBackupPolicy => ("PUT", lab.path(&format!("instances/{HOME}/backups/policy"))),
            Op::IssueToken => ("POST", "/v3/auth/tokens".to_owned()),
            Op::ListProjects => ("GET", "/v3/projects".to_owned()),
            Op::ListDomains => ("GET", "/v3/auth/domains".to_owned()),
            Op::MetadataToken => ("PUT", "/meta-data/latest/api/token".to_owned()),
            Op::SecurityKey => ("GET", "/openstack/latest/securitykey".to_owned()),
            Op::Metadata => ("GET", "/openstack/latest/meta_data.json".to_owned()),
        };
        for status in [307, 400, 401, 403, 404, 409, 413, 429, 500, 502, 503, 504] {
            lab.simulator.faults().clear();
            lab.simulator
                .faults()
                .add(Fault::on(operation, FaultKind::status(status)).times(1));
            let body = (method == "POST").then_some("{}");
            let answer = lab.send(method, &target, body, &lab.key).await.unwrap();
            assert_eq!(answer.status, status, "{operation:?}");
            assert!(answer.json().is_object(), "{operation:?}");
            assert_eq!(lab.simulator.faults().applied(), 1);
        }
    }
    assert_eq!(
        lab.simulator.backups().len(),
        5,
        "a fault before the work must not delete"
    );
}

#[tokio::test]
async fn rules_count_and_look_at_the_request() {
    let lab = with("list_backups:status=503:after=1:times=2").await;
    let mut seen = Vec::new();
    for _ in 0..4 {
        seen.push(lab.list().await.status);
    }
    assert_eq!(seen, [200, 503, 503, 200]);
    lab.simulator
        .faults()
        .add(Fault::everywhere(FaultKind::status(500)).instance("another"));
    assert_eq!(lab.list().await.status, 200);
    lab.simulator
        .faults()
        .add(Fault::everywhere(FaultKind::status(500)).backup(&id(3)));
    assert_eq!(lab.batch(&[id(1)]).await.unwrap().status, 200);
    assert_eq!(lab.batch(&[id(2), id(3)]).await.unwrap().status, 500);
    lab.simulator.faults().clear();
    assert_eq!(lab.batch(&[id(2), id(3)]).await.unwrap().status, 200);
}

#[tokio::test]
async fn throttling_with_and_without_retry_after() {
    let lab = Lab::small().await;
    let faults = lab.simulator.faults();
    faults.add(Fault::on(Op::ListBackups, FaultKind::throttled(Some("3"))).times(1));
    faults.add(Fault::on(Op::ListBackups, FaultKind::throttled(None)).after(1).times(1));
    let (first, second) = (lab.list().await, lab.list().await);
    assert_eq!(first.code(), (429, "APIGW.0308".to_owned()));
    assert_eq!(first.headers["retry-after"], "3");
    assert_eq!((second.status, second.headers.get("retry-after")), (429, None));
}

#[tokio::test]
async fn resets_and_errors_before_and_after_the_work() {
    for (rule, status, left) in [
        ("delete_batch:reset", None, 5),
        ("delete_batch:reset:done", None, 4),
        ("delete_batch:status=500", Some(500), 5),
        ("delete_batch:status=500:done", Some(500), 4),
    ] {
        let lab = with(rule).await;
        let answer = lab.batch(&[id(0)]).await;
        assert_eq!(answer.ok().map(|answer| answer.status), status, "{rule}");
        assert_eq!(lab.simulator.backups().len(), left, "{rule}");
        let call = &lab.simulator.calls()[0];
        assert_eq!((call.status, call.done), (status, left == 4), "{rule}");
        assert_eq!(call.faults.len(), 1);
    }
}

#[tokio::test]
async fn delays_drips_and_latency_take_time() {
    for rule in ["*:delay=80ms", "*:delay=80ms:done", "*:drip=4ms"] {
        let lab = with(rule).await;
        let start = Instant::now();
        assert_eq!(lab.list().await.ids("backups").len(), 5);
        assert!(start.elapsed() >= Duration::from_millis(80), "{rule}");
    }
    let lab = Lab::small().await;
    lab.simulator
        .set(|settings| settings.latency = Duration::from_millis(40));
    let start = Instant::now();
    lab.list().await;
    assert!(start.elapsed() >= Duration::from_millis(40));
}

#[tokio::test]
async fn a_client_that_gives_up_may_have_had_its_way() {
    for (rule, left) in [("delete_batch:delay=60s", 5), ("delete_batch:delay=60s:done", 4)] {
        let lab = with(rule).await;
        let ids = [id(0)];
        let mut request = Box::pin(lab.batch(&ids));
        // Until the request has arrived and, if it will be, the work is done.
        loop {
            let _ = tokio::time::timeout(Duration::from_millis(5), &mut request).await;
            if lab.simulator.calls().iter().any(|call| call.done || left == 5) {
                break;
            }
        }
        drop(request);
        assert_eq!(lab.simulator.backups().len(), left, "{rule}");
        assert_eq!(lab.simulator.calls()[0].status, None);
    }
}

#[tokio::test]
async fn broken_bodies() {
    for (rule, body) in [
        ("list_backups:body=html", Some("<html>")),
        ("list_backups:body=empty", Some("")),
        ("list_backups:body=text", Some("upstream")),
        ("list_backups:body=half", Some("{\"backups\"")),
        ("list_backups:truncate=40", None),
        ("list_backups:truncate=0", None),
    ] {
        let lab = with(rule).await;
        let answer = try_list(&lab).await;
        match body {
            None => assert!(answer.is_err(), "{rule}"),
            Some(start) => {
                let answer = answer.unwrap();
                assert_eq!(answer.status, 200);
                assert!(answer.text.starts_with(start), "{rule}");
                assert!(
                    serde_json::from_str::<serde_json::Value>(&answer.text).is_err(),
                    "{rule}"
                );
            }
        }
    }
    let lab = with("list_backups:huge=3000000").await;
    let answer = lab.list().await;
    assert!(answer.text.len() > 3_000_000 && answer.ids("backups").len() == 5);
    let lab = with("list_backups:status=502:body=html").await;
    let answer = lab.list().await;
    assert_eq!((answer.status, &answer.text[..6]), (502, "<html>"));
}

#[tokio::test]
async fn wrong_lists() {
    let usual = [4, 3, 2, 1, 0].map(id);
    for (rule, expected, count) in [
        ("list_backups:missing", Some(usual[1..].to_vec()), 5),
        ("list_backups:missing=9", Some(vec![]), 5),
        ("list_backups:duplicate", Some([&usual[..], &usual[..1]].concat()), 5),
        ("list_backups:count=-2", Some(usual.to_vec()), 3),
        ("list_backups:shuffle", None, 5),
        ("list_backups:extra", None, 5),
    ] {
        let answer = with(rule).await.list().await;
        let ids = answer.ids("backups");
        assert_eq!(answer.json()["total_count"], count, "{rule}");
        match expected {
            Some(expected) => assert_eq!(ids, expected, "{rule}"),
            None => assert_ne!(ids, usual, "{rule}"),
        }
    }
    let mut shuffled = with("list_backups:shuffle").await.list().await.ids("backups");
    shuffled.sort();
    assert_eq!(shuffled, [0, 1, 2, 3, 4].map(id));
    assert_eq!(with("list_backups:extra").await.list().await.ids("backups").len(), 6);
    assert!(
        with("list_backups:no_count")
            .await
            .list()
            .await
            .json()
            .get("total_count")
            .is_none()
    );
    let first = |answer: super::Got| answer.json()["backups"][0].clone();
    assert_ne!(
        first(with("list_backups:foreign_instance").await.list().await)["instance_id"],
        HOME
    );
    assert_eq!(
        first(with("list_backups:foreign_type").await.list().await)["type"],
        "auto"
    );
}

#[tokio::test]
async fn pages_shift_while_they_are_read() {
    for (rule, second, count) in [
        ("list_backups:shift=1", [1, 0], 4),
        ("list_backups:shift=-1", [3, 2], 6),
    ] {
        let lab = with(rule).await;
        let page = async |offset: usize| {
            lab.get(&format!("backups?instance_id={HOME}&limit=2&offset={offset}"))
                .await
        };
        assert_eq!(page(0).await.ids("backups"), [4, 3].map(id));
        let answer = page(2).await;
        assert_eq!(answer.ids("backups"), second.map(id), "{rule}");
        assert_eq!(answer.json()["total_count"], count, "{rule}");
    }
}

#[tokio::test]
async fn wrong_results_of_a_batch() {
    let ids = [id(0), id(1), id(2)];
    for (rule, answered, left) in [
        ("delete_batch:missing", 2, 2),
        ("delete_batch:extra", 4, 2),
        ("delete_batch:duplicate", 4, 2),
        ("delete_batch:ignore", 3, 5),
        ("delete_batch:result=DBS.200054", 3, 5),
    ] {
        let lab = with(rule).await;
        let answer = lab.batch(&ids).await.unwrap();
        assert_eq!(answer.ids("delete_results").len(), answered, "{rule}");
        assert_eq!(lab.simulator.backups().len(), left, "{rule}");
    }
    let answer = with("delete_batch:shuffle").await.batch(&ids).await.unwrap();
    assert_ne!(answer.ids("delete_results"), ids);
    let lab = with(&format!("delete_batch:result=DBS.200054:backup={}", id(1))).await;
    let answer = lab.batch(&ids).await.unwrap().json();
    let codes = [0, 1, 2].map(|place| {
        answer["delete_results"][place]["error_code"]
            .as_str()
            .unwrap()
            .to_owned()
    });
    assert_eq!(codes, ["0", "DBS.200054", "0"]);
    assert_eq!(lab.simulator.deletions().len(), 2);
}

#[tokio::test]
async fn wrong_dates() {
    for (rule, date) in [
        ("*:date=none", None),
        ("*:date=garbage", Some("yesterday, about noon")),
        ("*:date=-20m", Some("Sat, 14 Mar 2026 01:40:00 GMT")),
        ("*:date=90s", Some("Sat, 14 Mar 2026 02:01:30 GMT")),
    ] {
        let answer = with(rule).await.list().await;
        let got = answer.headers.get("date").map(|value| value.to_str().unwrap());
        assert_eq!(got, date, "{rule}");
    }
}

#[test]
fn rules_are_read() {
    let half = FaultKind::Status {
        status: 404,
        retry_after: Some("2".to_owned()),
        code: Some("DBS.200002".to_owned()),
        body: BodyKind::HalfJson,
        done: true,
    };
    for (text, fault) in [
        ("*:reset", Fault::everywhere(FaultKind::Reset { done: false })),
        (
            "list_backups:status=503:times=2",
            Fault::on(Op::ListBackups, FaultKind::status(503)).times(2),
        ),
        (
            "delete_one:status=404:retry_after=2:code=DBS.200002:body=half:done",
            Fault::on(Op::DeleteOne, half),
        ),
        ("*:missing=3:after=4", Fault::everywhere(FaultKind::Missing(3)).after(4)),
        ("*:date=+5s:instance=a:backup=b", {
            Fault::everywhere(FaultKind::Date(DateFault::Off(5)))
                .instance("a")
                .backup("b")
        }),
    ] {
        assert_eq!(Fault::parse(text), Ok(fault), "{text}");
    }
    for (text, message) in [
        ("", "`` is no operation"),
        ("list:reset", "`list` is no operation"),
        ("*", "`*` says where but not what"),
        ("*:explode", "`explode` is no fault"),
        ("*:reset=1", "`reset=1` needs no value"),
        ("*:status", "`status` needs a status"),
        ("*:status=99", "`status=99` needs a status"),
        ("*:delay=5", "`delay=5` needs a duration"),
        ("*:reset:code=1", "`code=1` is no fault"),
        ("*:reset:times=x", "`times=x` needs a whole number"),
    ] {
        let error = Fault::parse(text).unwrap_err().to_string();
        assert!(error.starts_with(message), "{text}: {error}");
    }
}
