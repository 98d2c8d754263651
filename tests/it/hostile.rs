//! Answers that are made to hurt: too large, too slow, cut, from a server that drops connections. Each with a twin in which the honest
//! answer is believed.

use std::collections::{BTreeMap, BTreeSet};
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use rds_retentiond::rds::credentials::CredentialSource;
use rds_retentiond::rds::{Class, DeletionAnswer, KeyLockout, Settings};
use rds_retentiond::retention::InstanceId;
use rds_retentiond::retention::plan::ClockCheck;
use rds_retentiond::simulator::Op;

use super::rds::delete;
use super::rds::server::{
    AK, INSTANCE, Play, SK, Server, batch, client, env, keys, manual, ok, packed, page, settings, status, tuned,
    unpacked,
};
use super::world::{Ran, World, ids, instance_id, output};

const ONE_INSTANCE: &str = r#"{"instances": [{"id": "c5cdfc5b3de14bcabb72fb8bf55b1f56in04", "name": "m",
    "datastore": {"type": "SQLServer"}}], "total_count": 1}"#;

/// What a program may have in all, stacks, libraries and files mapped into memory counted: less than a third of what one such page took.
const MOST_KIB: u32 = 1_300_000;

/// `plan` of one project at this server, in a process that may not have more than [`MOST_KIB`] of address space.
async fn plan_in_little_memory(server: &Server, more: &str, variables: &[(&str, &str)]) -> Ran {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("config.yaml");
    let text = format!(
        "version: 1\nstate_dir: {}\nlisten: none\nprojects:\n  - {{name: prod, region: cn-north-4, endpoint: \"{url}\", \
         iam_endpoint: \"{url}\"{more}}}\npolicies:\n  - {{name: p, mode: enforce, keep: {{last: 1}}, grace: 0s}}\n",
        dir.path().join("state").display(),
        url = server.url,
    );
    std::fs::write(&file, text).unwrap();
    let mut command = Command::new("sh");
    command
        .args(["-c", &format!("ulimit -v {MOST_KIB} && exec \"$0\" \"$@\"")])
        .arg(env!("CARGO_BIN_EXE_rds-retentiond"))
        .arg("--config")
        .arg(&file)
        .args(["plan", "--format", "json"])
        .env_clear()
        .envs(variables.iter().copied())
        .stdin(Stdio::null());
    output(command).await
}

fn key_variables() -> Vec<(&'static str, &'static str)> {
    vec![("HUAWEICLOUD_SDK_AK", AK), ("HUAWEICLOUD_SDK_SK", SK)]
}

#[tokio::test]
async fn a_page_that_unpacks_into_millions_of_rows_is_refused_while_it_is_read() {
    let bombs = [
        packed("{\"backups\": [", "0,", 15_000_000, "0], \"total_count\": 15000001}"),
        packed(
            "{\"backups\": [{\"databases\": [",
            "\"a\",",
            6_000_000,
            "0]}], \"total_count\": 1}",
        ),
        packed("{\"backups\": ", "[", 15_000_000, ""),
        packed("{\"x\": \"", "a", 100_000_000, "\"}"),
    ];
    for bomb in bombs {
        let mut plays = vec![ok(ONE_INSTANCE)];
        plays.extend((0..4).map(|_| unpacked(&bomb)));
        let server = Server::new(plays).await;
        let ran = plan_in_little_memory(&server, ", project_id: pid-1", &key_variables()).await;
        assert!((0..100).contains(&ran.code), "{}: {}", ran.code, ran.stderr);
        assert_eq!(ran.json()["skipped"][0]["reason"], "unreachable", "{}", ran.stdout);
        assert_eq!(
            server.seen().len(),
            6,
            "the list of instances, four attempts as for any read that cannot be understood, and the deleted instances"
        );
    }
}

#[tokio::test]
async fn no_other_answer_takes_more_memory_than_it_can_need() {
    let projects = packed("{\"projects\": [", "0,", 15_000_000, "0]}");
    let plays: Vec<Play> = (0..4).map(|_| unpacked(&projects)).collect();
    let server = Server::new(plays).await;
    let ran = plan_in_little_memory(&server, "", &key_variables()).await;
    assert!((0..100).contains(&ran.code), "{}: {}", ran.code, ran.stderr);
    // An error's text that never ends: the status says enough, and it is no read that is tried again.
    let server = Server::new([Play::Endless(403, b"{\"a\":[")]).await;
    let ran = plan_in_little_memory(&server, ", project_id: pid-1", &key_variables()).await;
    assert_eq!(ran.json()["skipped"][0]["reason"], "not_allowed", "{}", ran.stdout);
    // A metadata service without an end, in place of the token and of the keys.
    let never = || Play::Endless(200, b"{\"credential\":");
    let server = Server::new([never(), never()]).await;
    let agency = format!(
        ", project_id: pid-1, credentials: {{source: ecs-agency, endpoint: \"{}\"}}",
        server.url
    );
    let ran = plan_in_little_memory(&server, &agency, &[]).await;
    assert!((0..100).contains(&ran.code), "{}: {}", ran.code, ran.stderr);
    let said = ran.stdout + &ran.stderr;
    assert!(said.contains("larger than 64 KiB"), "{said}");
}

#[tokio::test]
async fn the_largest_honest_page_is_believed() {
    let databases: Vec<String> = (0..300).map(|n| format!("{{\"name\": \"{n:0128}\"}}")).collect();
    let entry = |n: usize| {
        format!(
            r#"{{"id": "{n:032x}br04", "instance_id": "{INSTANCE}", "type": "manual", "status": "COMPLETED", "name": "{}",
                "databases": [{}]}}"#,
            "n".repeat(64),
            databases.join(",")
        )
    };
    let entries: Vec<String> = (0..100).map(entry).collect();
    let body = format!("{{\"backups\": [{}], \"total_count\": 100}}", entries.join(","));
    assert!(body.len() > 4_000_000);
    let server = Server::new([ok(body)]).await;
    assert_eq!(manual(&client(&server)).await.unwrap().len(), 100);
}

#[tokio::test]
async fn a_page_with_one_row_more_than_was_asked_for_is_refused() {
    let ids: Vec<String> = (0..101).map(|n| format!("b{n}")).collect();
    let ids: Vec<&str> = ids.iter().map(String::as_str).collect();
    let server = Server::new((0..4).map(|_| ok(page(&ids, 101)))).await;
    let error = manual(&client(&server)).await.unwrap_err();
    assert!(
        error.to_string().contains("a list has more than 100 entries"),
        "{error}"
    );
    let server = Server::new([ok(page(&ids[..100], 101)), ok(page(&ids[100..], 101))]).await;
    assert_eq!(
        manual(&client(&server)).await.unwrap().len(),
        101,
        "the honest server sends it on the next page"
    );
}

#[tokio::test]
async fn a_count_that_no_listing_can_have_is_not_paged_through() {
    let server = Server::new((0..4).map(|_| ok(page(&["a"], 2_000_000_000)))).await;
    let error = manual(&client(&server)).await.unwrap_err();
    assert_eq!(
        (error.class(), server.seen().len()),
        (Class::Disagreement, 4),
        "{error}"
    );
}

#[tokio::test]
async fn an_answer_to_a_deletion_that_is_too_large_is_no_answer() {
    let huge = packed("{\"delete_results\": [", "0,", 3_000_000, "0]}");
    let honest = r#"{"delete_results": [{"backup_id": "a", "error_code": "0"}]}"#;
    let server = Server::new([unpacked(&huge), ok(honest)]).await;
    let client = client(&server);
    assert!(matches!(
        delete(&client, &batch(&["a"])).await.unwrap(),
        DeletionAnswer::Unanswered { .. }
    ));
    assert!(matches!(
        delete(&client, &batch(&["a"])).await.unwrap(),
        DeletionAnswer::Results { .. }
    ));
}

#[tokio::test]
async fn a_page_that_comes_a_byte_at_a_time_is_given_up_and_read_again() {
    let server = Server::new([Play::Drip(Duration::from_millis(50)), ok(page(&["a"], 1))]).await;
    let settings = Settings {
        timeout: Duration::from_millis(700),
        ..settings(&server)
    };
    let client = tuned(settings, KeyLockout::default(), Arc::new(|_| {}), keys());
    let began = Instant::now();
    assert_eq!(manual(&client).await.unwrap(), ["a"]);
    assert!(began.elapsed() < Duration::from_secs(10), "{:?}", began.elapsed());
}

#[tokio::test]
async fn a_project_whose_pages_never_end_does_not_hold_a_run() {
    let world = World::new(&[8; 40]).await;
    world.fault("list_backups:drip=200ms");
    let mut pass = world.pass();
    pass.timeout = Duration::from_millis(400);
    let report = pass.run().await;
    let asked = world.simulator.calls_of(Op::ListBackups).len();
    assert!(
        asked < 40,
        "{asked} requests for 40 instances of which none is answered"
    );
    assert!(
        report
            .skipped
            .iter()
            .any(|skip| skip.message.contains("this run asks no more"))
    );
    world.deleted_exactly(&BTreeSet::new());
    // One instance of many does no harm to the others, and the next run asks again.
    world.simulator.faults().clear();
    world.fault(&format!("list_backups:drip=200ms:instance={}", instance_id(7)));
    let mut pass = world.pass();
    pass.timeout = Duration::from_millis(400);
    pass.run().await;
    let rest = (1..=40)
        .filter(|number| *number != 7)
        .flat_map(|number| ids(number, 3..8))
        .collect();
    world.deleted_exactly(&rest);
}

#[tokio::test]
async fn a_server_that_drops_reused_connections_costs_one_request_and_not_all() {
    let answer = r#"{"delete_results": [{"backup_id": "a", "error_code": "0"}]}"#;
    // Reads: the first goes well, each next one breaks on the old connection and goes well on a new one.
    let server = Server::new((0..9).map(|_| ok(page(&["a"], 1)))).await;
    server.script.once_each.store(true, Ordering::SeqCst);
    let reading = client(&server);
    for _ in 0..6 {
        assert_eq!(manual(&reading).await.unwrap(), ["a"]);
    }
    assert_eq!(server.seen().len(), 6, "every request that was answered");
    assert_eq!(
        reading.calls(),
        7,
        "one broke, and no connection was used twice from then on"
    );
    // Deletions: what broke may have been carried out, so it is unanswered and not sent again; those after it are answered.
    let server = Server::new((0..9).map(|_| ok(answer))).await;
    server.script.once_each.store(true, Ordering::SeqCst);
    let deleting = client(&server);
    let mut unanswered = 0;
    for _ in 0..6 {
        match delete(&deleting, &batch(&["a"])).await.unwrap() {
            DeletionAnswer::Unanswered { .. } => unanswered += 1,
            DeletionAnswer::Results { .. } => {}
            other => panic!("{other:?}"),
        }
    }
    assert_eq!(unanswered, 1);
    // An honest server's connection is used again.
    let server = Server::new((0..9).map(|_| ok(page(&["a"], 1)))).await;
    let honest = client(&server);
    for _ in 0..3 {
        manual(&honest).await.unwrap();
    }
    assert_eq!(server.script.connections.load(Ordering::SeqCst), 1);
}

#[tokio::test]
async fn the_metadata_service_is_asked_again_after_a_failure_that_passes() {
    let answer = r#"{"credential": {"access": "AK0123456789", "secret": "s", "securitytoken": "t",
        "expires_at": "2099-01-01T00:00:00.000000Z"}}"#;
    let agency = |server: &Server| Settings {
        source: CredentialSource::EcsAgency {
            endpoint: server.url.parse().unwrap(),
        },
        ..settings(server)
    };
    let unsupported = || status(404, "");
    for passing in [
        status(503, ""),
        status(429, ""),
        status(500, "x"),
        Play::Reset,
        Play::Truncate,
        ok("{}"),
    ] {
        let plays = [unsupported(), passing, unsupported(), ok(answer), ok(page(&["a"], 1))];
        let server = Server::new(plays).await;
        let client = tuned(agency(&server), KeyLockout::default(), Arc::new(|_| {}), env(&[]));
        assert_eq!(manual(&client).await.unwrap(), ["a"]);
        assert_eq!(server.seen().len(), 5);
        assert_eq!(
            server.seen()[0].headers["content-length"],
            "0",
            "a PUT says that it has no body"
        );
    }
    // A token that is needed, and whose own request fails once.
    let plays = [
        status(503, ""),
        status(401, ""),
        ok("token"),
        ok(answer),
        ok(page(&["a"], 1)),
    ];
    let server = Server::new(plays).await;
    let client = tuned(agency(&server), KeyLockout::default(), Arc::new(|_| {}), env(&[]));
    assert_eq!(manual(&client).await.unwrap(), ["a"]);
    assert_eq!(server.seen()[3].headers["x-metadata-token"], "token");
    // It has an end, and what does not pass is not tried again.
    for (plays, calls) in [
        ((0..20).map(|_| status(503, "")).collect::<Vec<_>>(), 8),
        (vec![unsupported(), status(404, "")], 2),
    ] {
        let server = Server::new(plays).await;
        let client = tuned(agency(&server), KeyLockout::default(), Arc::new(|_| {}), env(&[]));
        assert_eq!(manual(&client).await.unwrap_err().class(), Class::NotAllowed);
        assert_eq!(server.seen().len(), calls);
    }
}

#[tokio::test]
async fn the_older_forms_of_a_date_are_a_clock_too() {
    let now = rds_retentiond::clock::now();
    for form in [
        "%A, %d-%b-%y %H:%M:%S GMT",
        "%a %b %e %H:%M:%S %Y",
        "%a, %d %b %Y %H:%M:%S GMT",
    ] {
        let header: &'static str = Box::leak(now.format(&format!("Date: {form}\r\n")).to_string().into_boxed_str());
        let server = Server::new([Play::Say(200, header, page(&["a"], 1))]).await;
        let client = client(&server);
        manual(&client).await.unwrap();
        assert!(
            matches!(client.clock(), ClockCheck::Skew(skew) if skew.num_seconds().abs() <= 5),
            "{header}: {:?}",
            client.clock()
        );
    }
    let server = Server::new([Play::Say(200, "Date: yesterday\r\n", page(&["a"], 1))]).await;
    let client = client(&server);
    manual(&client).await.unwrap();
    assert_eq!(client.clock(), ClockCheck::NoDate);
}

#[tokio::test]
async fn whether_backups_may_be_listed_is_asked_with_one_page() {
    let server = Server::new([ok(page(&["a"], 2_000)), status(403, "{}")]).await;
    let client = client(&server);
    let instance = InstanceId::from(INSTANCE);
    client.may_list_backups(&instance).await.unwrap();
    assert!(server.lines()[0].contains("limit=1&"), "{:?}", server.lines());
    assert_eq!(
        client.may_list_backups(&instance).await.unwrap_err().class(),
        Class::NotAllowed
    );
    assert_eq!(server.seen().len(), 2);
}

#[tokio::test]
async fn a_proxy_that_cannot_be_used_is_an_error_before_anything_is_sent() {
    let server = Server::new([]).await;
    let with = |variables: &[(&str, &str)], endpoint: &str| {
        let mut pairs: BTreeMap<&str, &str> = key_variables().into_iter().collect();
        pairs.extend(variables.iter().copied());
        let pairs: Vec<(&str, &str)> = pairs.into_iter().collect();
        let settings = Settings {
            endpoint: endpoint.parse().unwrap(),
            ..settings(&server)
        };
        let tuning = rds_retentiond::rds::Tuning {
            env: env(&pairs),
            ..rds_retentiond::rds::Tuning::default()
        };
        rds_retentiond::rds::Client::tuned(settings, KeyLockout::default(), Arc::new(|_| {}), tuning)
    };
    let socks = [("HTTPS_PROXY", "socks5://me:hunter2@proxy:1080")];
    let error = with(&socks, "https://rds.example").unwrap_err();
    assert_eq!(error.class(), Class::Configuration);
    let text = error.chain();
    assert!(text.contains("HTTPS_PROXY") && !text.contains("hunter2"), "{text}");
    let with_exception = [socks[0], ("NO_PROXY", "rds.example")];
    assert!(with(&with_exception, "https://rds.example").is_ok());
    assert!(with(&[("HTTPS_PROXY", "http://proxy:3128")], "https://rds.example").is_ok());
}

#[tokio::test]
async fn a_proxy_that_refuses_is_named_and_not_asked_again() {
    // The HTTP client reads the process's own environment, so this is the built binary.
    for (code, part) in [(403, "refused to connect"), (407, "user name and a password")] {
        let proxy = Server::new((0..9).map(|_| status(code, ""))).await;
        let variable = proxy.url.replace("http://", "http://me:hunter2@");
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("config.yaml");
        let text = format!(
            "version: 1\nstate_dir: {}\nlisten: none\nprojects:\n  - {{name: prod, region: cn-north-4, project_id: pid-1, \
             endpoint: \"https://rds.cloud.invalid\"}}\npolicies:\n  - {{name: p, mode: enforce, keep: {{last: 1}}}}\n",
            dir.path().join("state").display()
        );
        std::fs::write(&file, text).unwrap();
        let mut command = Command::new(env!("CARGO_BIN_EXE_rds-retentiond"));
        command
            .arg("--config")
            .arg(&file)
            .args(["plan", "--format", "json"])
            .env_clear()
            .envs(key_variables())
            .env("HTTPS_PROXY", &variable);
        let ran = output(command).await;
        let said = ran.stdout + &ran.stderr;
        assert!(said.contains("HTTPS_PROXY") && said.contains(part), "{said}");
        assert!(!said.contains("hunter2"), "{said}");
        assert_eq!(proxy.seen().len(), 1, "{:?}", proxy.lines());
    }
}
