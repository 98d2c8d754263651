//! The gateway: signatures, lock-out, temporary keys, projects, throttling.

use rds_retentiond::simulator::signature::{Parts, authorization};
use rds_retentiond::simulator::{Agency, Key, MetadataToken, RateLimit};

use super::{Lab, at};

#[tokio::test]
async fn wrong_signatures_are_refused_and_then_the_key_is_locked() {
    let lab = Lab::small().await;
    let wrong = Key {
        secret: "wrong".to_owned(),
        ..lab.key.clone()
    };
    let target = lab.path("instances");
    for _ in 0..5 {
        let answer = lab.send("GET", &target, None, &wrong).await.unwrap();
        assert_eq!(answer.code(), (401, "APIGW.0301".to_owned()));
        assert!(answer.json()["request_id"].is_string());
    }
    // Five failures are forgiven by one success, six are not.
    assert_eq!(lab.get("instances").await.status, 200);
    for _ in 0..6 {
        assert_eq!(lab.send("GET", &target, None, &wrong).await.unwrap().status, 401);
    }
    assert_eq!(lab.simulator.lockouts(), 1);
    assert_eq!(lab.get("instances").await.status, 401);
    lab.pass(299);
    assert_eq!(lab.get("instances").await.status, 401);
    lab.pass(1);
    assert_eq!(lab.get("instances").await.status, 200);
    assert_eq!(lab.simulator.lockouts(), 1);
}

#[tokio::test]
async fn what_is_not_signed_right_is_refused() {
    let lab = Lab::small().await;
    let unknown = Key::permanent("NOBODY", &lab.key.secret);
    let token = Key {
        security_token: Some("made up".to_owned()),
        ..lab.key.clone()
    };
    for key in [unknown, token] {
        assert_eq!(
            lab.send("GET", &lab.path("instances"), None, &key)
                .await
                .unwrap()
                .status,
            401
        );
    }
    let unsigned = lab
        .http
        .get(format!("{}{}", lab.simulator.url(), lab.path("instances")));
    assert_eq!(
        Lab::read(unsigned).await.unwrap().code(),
        (401, "APIGW.0301".to_owned())
    );
    let project = format!("/v3/{}/instances", "f".repeat(32));
    assert_eq!(
        lab.send("GET", &project, None, &lab.key).await.unwrap().code(),
        (403, "DBS.200010".to_owned())
    );
}

#[tokio::test]
async fn a_clock_more_than_fifteen_minutes_off_is_refused() {
    let lab = Lab::small().await;
    for (off, status) in [(-900, 200), (900, 200), (-901, 401), (901, 401)] {
        let url = lab.simulator.url();
        let (path, host) = (lab.path("instances"), lab.simulator.address().to_string());
        let date = at(off).format("%Y%m%dT%H%M%SZ").to_string();
        let headers = [("host".to_owned(), host), ("x-sdk-date".to_owned(), date.clone())];
        let parts = Parts {
            method: "GET",
            path: &path,
            query: "",
            headers: &headers,
            body: b"",
        };
        let signature = authorization(&parts, &["host", "x-sdk-date"], &lab.key.access, &lab.key.secret).unwrap();
        let request = lab
            .http
            .get(format!("{url}{path}"))
            .header("authorization", signature)
            .header("x-sdk-date", date);
        assert_eq!(Lab::read(request).await.unwrap().status, status, "{off}");
    }
}

#[tokio::test]
async fn temporary_keys_come_from_the_metadata_service_and_expire() {
    let lab = Lab::small().await;
    let url = lab.simulator.metadata_url();
    let key = async |token: Option<&str>| {
        let mut request = lab.http.get(format!("{url}/openstack/latest/securitykey"));
        if let Some(token) = token {
            request = request.header("x-metadata-token", token);
        }
        let answer = Lab::read(request).await.unwrap();
        let credential = (answer.status == 200).then(|| answer.json()["credential"].clone());
        credential.map(|credential| Key {
            access: credential["access"].as_str().unwrap().to_owned(),
            secret: credential["secret"].as_str().unwrap().to_owned(),
            security_token: credential["securitytoken"].as_str().map(str::to_owned),
            expires_at: credential["expires_at"].as_str().unwrap().parse().ok(),
        })
    };
    lab.simulator
        .set(|settings| settings.agency.token = MetadataToken::Required);
    assert_eq!(key(None).await, None);
    let put = lab
        .http
        .put(format!("{url}/meta-data/latest/api/token"))
        .header("x-metadata-token-ttl-seconds", "21600");
    let token = Lab::read(put).await.unwrap().text;
    let first = key(Some(&token)).await.unwrap();
    assert_eq!(first.expires_at, Some(at(3600)));
    let list = async |key: &Key| lab.send("GET", &lab.path("instances"), None, key).await.unwrap().status;
    assert_eq!(list(&first).await, 200);
    assert_eq!(
        list(&Key {
            security_token: None,
            ..first.clone()
        })
        .await,
        401
    );
    lab.pass(2999);
    assert_eq!(key(Some(&token)).await, Some(first.clone()));
    lab.pass(1);
    let second = key(Some(&token)).await.unwrap();
    assert_ne!(second.access, first.access);
    assert_eq!((list(&first).await, list(&second).await), (200, 200));
    lab.pass(600);
    assert_eq!((list(&first).await, list(&second).await), (401, 200));
    lab.simulator.expire_temporary_keys();
    assert_eq!(list(&second).await, 401);
    assert_eq!(list(&key(Some(&token)).await.unwrap()).await, 200);
    lab.simulator.set(|settings| {
        settings.agency = Agency {
            bound: false,
            ..Agency::default()
        }
    });
    assert_eq!(key(None).await, None);
}

#[tokio::test]
async fn iam_names_the_project_of_a_region() {
    let lab = Lab::start(|options| {
        options
            .extra_projects
            .push(("ap-southeast-3_sub".to_owned(), "sub".to_owned()));
    })
    .await;
    let all = lab.send("GET", "/v3/projects", None, &lab.key).await.unwrap();
    assert_eq!(all.ids("projects"), [lab.simulator.project_id(), "sub"]);
    let one = lab
        .send("GET", "/v3/projects?name=ap-southeast-3", None, &lab.key)
        .await
        .unwrap();
    assert_eq!(one.ids("projects"), [lab.simulator.project_id()]);
    assert_eq!(one.json()["projects"][0]["name"], "ap-southeast-3");
    assert!(one.headers.contains_key("x-iam-trace-id"));
    let domains = lab.send("GET", "/v3/auth/domains", None, &lab.key).await.unwrap();
    assert_eq!(domains.ids("domains").len(), 1);
}

#[tokio::test]
async fn requests_beyond_the_rate_are_throttled() {
    let lab = Lab::small().await;
    lab.simulator.set_rate_limit(Some(RateLimit {
        per_second: 0,
        retry_after: Some(7),
    }));
    let answer = lab.get("instances").await;
    assert_eq!(answer.code(), (429, "APIGW.0308".to_owned()));
    assert_eq!(answer.headers["retry-after"], "7");
    lab.simulator.set_rate_limit(Some(RateLimit {
        per_second: 1000,
        retry_after: None,
    }));
    assert_eq!(lab.get("instances").await.status, 200);
}
