//! Access keys: refused ones are not used on, changed ones at once, and those of an agency come from the metadata service.

use std::sync::{Arc, Mutex};

use rds_retentiond::clock;
use rds_retentiond::rds::credentials::{CredentialSource, Env, fingerprint};
use rds_retentiond::rds::{Class, Error, KeyLockout, Settings};

use super::delete;
use super::server::{AK, Play, SK, Seen, Server, TOKEN, batch, env, keys, manual, ok, page, settings, status, tuned};

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
