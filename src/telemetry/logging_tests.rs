//! Lines as they are written, read back.

use std::collections::BTreeMap;
use std::io::{self, Write};
use std::sync::{Arc, Mutex};

use chrono::{DateTime, TimeDelta, Utc};
use serde_json::{Value, json};
use tracing_subscriber::layer::SubscriberExt;

use super::{LineFormat, LogLayer, deletion_line, logging, run_line};
use crate::retention::report::{
    InstanceCounts, Outcome, PolicyReport, RunResult, Sent, Skip, SkipReason, Summary, Tally,
};
use crate::retention::{BackupId, FreezeSources, InstanceId, Mode, PolicyName, ProjectName, Refusal, RunReport, Zone};

#[derive(Clone, Default)]
struct Buffer(Arc<Mutex<Vec<u8>>>);

impl Write for Buffer {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().expect("not poisoned").extend_from_slice(bytes);
        Ok(bytes.len())
    }
    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// What `say` logs.
fn logged(json: bool, journald: bool, say: impl FnOnce()) -> String {
    let buffer = Buffer::default();
    let writer = buffer.clone();
    let lines = LogLayer::new(json, journald, move || writer.clone());
    tracing::subscriber::with_default(tracing_subscriber::registry().with(lines), say);
    let bytes = buffer.0.lock().expect("not poisoned").clone();
    String::from_utf8(bytes).expect("UTF-8")
}

fn as_json(line: &str) -> Value {
    assert_eq!(line.matches('\n').count(), 1, "one line: {line:?}");
    serde_json::from_str(line).expect("JSON")
}

fn report(result: RunResult, refusals: Vec<Refusal>) -> RunReport {
    let now: DateTime<Utc> = "2026-11-23T03:00:00Z".parse().expect("a time");
    let tally = |count, bytes| Tally { count, bytes };
    RunReport {
        run_id: Some("0193".to_owned()),
        finished_at: now + TimeDelta::milliseconds(1500),
        policies: vec![PolicyReport {
            refusals,
            summary: Summary {
                keep: tally(61, 610),
                wait: tally(4, 40),
                delete: tally(9, 90),
            },
            sent: BTreeMap::from([(
                ProjectName::from("prod"),
                Sent {
                    fates: [
                        ("accepted", 1),
                        ("rejected", 2),
                        ("unanswered", 3),
                        ("confirmed", 5),
                        ("returned", 7),
                    ]
                    .map(|(key, count)| (key.to_owned(), count))
                    .into(),
                    codes: BTreeMap::from([("DBS.200011".to_owned(), 2)]),
                    confirmed_bytes: 55,
                },
            )]),
            left: 11,
            ..PolicyReport::new(PolicyName::from("production"), Mode::Enforce, Zone::UTC, result)
        }],
        skipped: vec![Skip {
            project: ProjectName::from("prod"),
            instance: Some(InstanceId::from("i1in04")),
            reason: SkipReason::Shrink,
            message: "from 40 to 3".to_owned(),
        }],
        instances: BTreeMap::from([(
            ProjectName::from("prod"),
            InstanceCounts {
                managed: 21,
                unmanaged: 22,
                overlapping: 23,
                failed: 24,
            },
        )]),
        unconfirmed: BTreeMap::from([(ProjectName::from("prod"), 12)]),
        calls: 25,
        ledger_head: Some("beef".to_owned()),
        ..RunReport::new(now)
    }
}

#[test]
fn a_json_line_carries_its_fields_and_those_of_its_spans() {
    let line = logged(true, false, || {
        let span = tracing::info_span!("run", run_id = "0193", policy = tracing::field::Empty);
        let _entered = span.enter();
        span.record("policy", "production");
        tracing::warn!(
            count = 3,
            good = false,
            inner.json = "{\"a\":[1]}",
            broken.json = "{",
            "said"
        );
    });
    let mut value = as_json(&line);
    let time = value
        .as_object_mut()
        .expect("an object")
        .remove("time")
        .expect("a time");
    assert!(time.as_str().expect("text").parse::<DateTime<Utc>>().is_ok(), "{time}");
    assert_eq!(
        value,
        json!({
            "level": "WARN", "target": "rds_retentiond::telemetry::logging_tests", "message": "said",
            "run_id": "0193", "policy": "production", "count": 3, "good": false,
            "inner": {"a": [1]}, "broken.json": "{",
        })
    );
}

#[test]
fn the_journal_gets_priorities_and_no_time() {
    let lines = logged(false, true, || {
        tracing::error!("e");
        tracing::warn!("w");
        tracing::info!(answer = 42, "i");
        tracing::debug!("d");
        tracing::trace!("t");
    });
    assert_eq!(lines, "<3>e\n<4>w\n<6>i answer=42\n<7>d\n<7>t\n");
    let json = logged(true, true, || tracing::error!("e"));
    let value = as_json(json.strip_prefix("<3>").expect("a priority"));
    assert_eq!((value.get("time"), &value["message"]), (None, &json!("e")));
}

#[test]
fn a_human_line_has_time_and_level_and_quotes_where_they_help() {
    let line = logged(false, false, || {
        tracing::info!(a = "plain", b = "two words", c = "", d = "say \"x\"", "said");
    });
    let (time, rest) = line.split_once(' ').expect("a time");
    assert!(time.parse::<DateTime<Utc>>().is_ok(), "{time}");
    assert_eq!(rest, "INFO  said a=plain b=\"two words\" c=\"\" d=\"say \\\"x\\\"\"\n");
}

/// A backup may be called anything, also something that clears a terminal or forges a line of the log.
#[test]
fn text_from_the_cloud_cannot_act_on_a_terminal_or_forge_a_line() {
    let evil = "x\u{1b}[2J\n<3>forged\r\t\u{9b}31m\u{202e}\u{7f}";
    let say = || tracing::info!(name = evil, debug = ?evil, shown = %evil, "{evil}");
    for (json, journald) in [(false, false), (false, true), (true, false), (true, true)] {
        let line = logged(json, journald, say);
        let body = line.strip_suffix('\n').expect("a line end");
        let bad = body.chars().find(|it| it.is_control() || *it == '\u{202e}');
        assert_eq!(bad, None, "json {json} journald {journald}: {body:?}");
    }
    assert_eq!(
        as_json(&logged(true, false, say))["name"],
        json!(evil),
        "JSON loses nothing"
    );
}

#[test]
fn an_error_is_logged_with_its_causes() {
    #[derive(Debug, thiserror::Error)]
    #[error("outer")]
    struct Outer(#[source] io::Error);
    let error = Outer(io::Error::other("inner"));
    let line = logged(false, true, || {
        tracing::warn!(error = &error as &dyn std::error::Error, "failed");
    });
    assert_eq!(line, "<4>failed error=\"outer: inner\"\n");
}

#[test]
fn a_filter_that_cannot_be_read_is_said_with_what_would_do() {
    let error = logging::init(LineFormat::Json, "info,rds=loud", false).expect_err("no such level");
    let text = error.to_string();
    assert!(
        text.contains("\"info,rds=loud\"") && text.contains("target=level"),
        "{text}"
    );
}

/// The JSON of each line.
fn each(lines: &str) -> Vec<Value> {
    let mut values: Vec<Value> = lines
        .lines()
        .map(|line| serde_json::from_str(line).expect("JSON"))
        .collect();
    for value in &mut values {
        value.as_object_mut().expect("an object").remove("time");
    }
    values
}

#[test]
fn a_run_is_a_line_of_sums_after_one_for_each_policy_and_each_thing_left_alone() {
    let refusal = Refusal::MaxDeletions {
        planned: 501,
        limit: 500,
    };
    let message = refusal.to_string();
    let values = each(&logged(true, false, || {
        run_line(&report(RunResult::Refused, vec![refusal]), "rds-retentiond");
    }));
    let tally = |count: u64, bytes: u64| json!({"count": count, "bytes": bytes});
    let target = "rds_retentiond::telemetry::events";
    assert_eq!(
        values,
        [
            json!({
                "level": "INFO", "target": target, "message": "left alone", "run_id": "0193",
                "project": "prod", "instance_id": "i1in04", "reason": "shrink", "details": "from 40 to 3",
            }),
            json!({
                "level": "ERROR", "target": target, "message": "policy done", "run_id": "0193",
                "policy": "production", "mode": "enforce", "result": "refused", "left": 11, "refused": 1,
                "summary": {"keep": tally(61, 610), "wait": tally(4, 40), "delete": tally(9, 90)},
                "refusals": [{"limit": "max_deletions", "message": message}],
                "sent": {"prod": {
                    "fates": {"accepted": 1, "rejected": 2, "unanswered": 3, "confirmed": 5, "returned": 7},
                    "codes": {"DBS.200011": 2}, "confirmed_bytes": 55,
                }},
            }),
            json!({
                "level": "ERROR", "target": target, "message": "run ended",
                "run_id": "0193", "at": "2026-11-23T03:00:00+00:00", "seconds": 1.5,
                "keep": 61, "wait": 4, "delete": 9, "left": 11, "unconfirmed": 12, "calls": 25, "ledger_head": "beef",
                "accepted": 1, "rejected": 2, "unanswered": 3, "confirmed": 5, "returned": 7, "confirmed_bytes": 55,
                "managed": 21, "unmanaged": 22, "overlapping": 23, "failed": 24, "policies": 1, "skipped": 1,
            }),
        ]
    );
}

/// The journal cuts lines, and half of a JSON object is none.
#[test]
fn no_line_is_longer_than_8_kb_and_each_is_json() {
    let long = "\u{202e}\"x".repeat(40_000);
    let mut many = report(RunResult::Failed, Vec::new());
    many.skipped = (0..300)
        .map(|number| Skip {
            instance: Some(InstanceId::from(format!("{number:032x}in04").as_str())),
            message: format!("the listing is not believed {}", "because ".repeat(40)),
            ..many.skipped[0].clone()
        })
        .collect();
    let first = many.policies.remove(0);
    many.policies = (0..151)
        .map(|number| PolicyReport {
            policy: PolicyName::from(format!("policy-{number}").as_str()),
            refusals: (0..300)
                .map(|_| Refusal::MaxDeletions { planned: 2, limit: 1 })
                .collect(),
            ..first.clone()
        })
        .collect();
    let why = |number: usize| Outcome::Unanswered {
        why: format!("{number} {}", "w".repeat(300)),
    };
    let batch: Vec<_> = (0..50)
        .map(|number| (BackupId::from(format!("{number:032x}br04").as_str()), why(number)))
        .collect();
    let rejected: Vec<_> = (0..50)
        .map(|number| {
            let (code, message) = (format!("DBS.{number}"), "m".repeat(300));
            (
                BackupId::from(format!("{number:032x}br04").as_str()),
                Outcome::Rejected { code, message },
            )
        })
        .collect();
    for (json, journald) in [(true, false), (true, true), (false, false)] {
        let lines = logged(json, journald, || {
            run_line(&many, "rds-retentiond");
            deletion_line("0193", &first.policy, &ProjectName::from("prod"), &batch);
            deletion_line("0193", &first.policy, &ProjectName::from("prod"), &rejected);
            tracing::error!(long, inner.json = %json!([&long]), "{long}");
        });
        assert_eq!(lines.lines().count(), 300 + 151 + 1 + 2 + 1);
        for line in lines.lines() {
            assert!(line.len() < 8_000, "{} bytes: {line}", line.len());
            if json {
                let body = line
                    .strip_prefix("<6>")
                    .or(line.strip_prefix("<4>"))
                    .or(line.strip_prefix("<3>"));
                let value: Value = serde_json::from_str(body.unwrap_or(line)).expect("JSON");
                let cut = value.to_string().contains("[cut from ");
                assert_eq!(cut, value.get("long").is_some(), "only what is too long is cut: {line}");
            }
        }
        assert!(lines.contains("[cut from 200000 bytes]"));
    }
}

#[test]
fn error_means_that_somebody_must_act() {
    let frozen = Refusal::Freeze {
        reason: "audit".to_owned(),
        until: None,
        sources: FreezeSources::default(),
    };
    let open = Refusal::MaxDeletions { planned: 2, limit: 1 };
    for (result, refusals, level) in [
        (RunResult::Success, vec![], "<6>"),
        (RunResult::Skipped, vec![], "<6>"),
        (RunResult::Partial, vec![], "<4>"),
        (RunResult::Refused, vec![frozen], "<4>"),
        (RunResult::Refused, vec![open], "<3>"),
        (RunResult::Failed, vec![], "<3>"),
    ] {
        let lines = logged(false, true, || run_line(&report(result, refusals), "rds-retentiond"));
        for line in lines.lines().skip(1) {
            assert!(line.starts_with(level), "{result:?}: {line}");
        }
    }
}

#[test]
fn a_deletion_request_is_one_line_with_an_outcome_per_id() {
    let (policy, project) = (PolicyName::from("production"), ProjectName::from("prod"));
    let rejected = Outcome::Rejected {
        code: "DBS.200011".to_owned(),
        message: "in use".to_owned(),
    };
    let all = vec![
        (BackupId::from("b1br04"), Outcome::Accepted),
        (BackupId::from("b2br04"), rejected),
    ];
    let mixed = as_json(&logged(true, false, || deletion_line("0193", &policy, &project, &all)));
    assert_eq!((&mixed["level"], &mixed["run_id"]), (&json!("WARN"), &json!("0193")));
    assert_eq!(
        (&mixed["policy"], &mixed["project"]),
        (&json!("production"), &json!("prod"))
    );
    assert_eq!(
        (&mixed["accepted"], &mixed["rejected"], &mixed["unanswered"]),
        (&json!(1), &json!(1), &json!(0))
    );
    assert_eq!(mixed["outcomes"], json!({"b1br04": "accepted", "b2br04": "DBS.200011"}));
    assert_eq!(mixed["messages"], json!({"DBS.200011": "in use"}));
    let fine = as_json(&logged(true, false, || {
        deletion_line("0193", &policy, &project, &all[..1]);
    }));
    assert_eq!(fine["level"], json!("INFO"));
}

#[test]
fn people_get_one_line_a_policy_and_only_the_ids_that_were_not_accepted() {
    let over = |id: &str| Refusal::MaxPercent {
        instance: id.into(),
        planned: 9,
        of: 10,
        percent: 50,
    };
    let mut refused = report(RunResult::Refused, vec![over("i2in04"), over("i1in04")]);
    refused.policies[0].digest = Some("c0ffee".to_owned());
    let rejected = Outcome::Rejected {
        code: "DBS.200011".to_owned(),
        message: "in use".to_owned(),
    };
    let id = |number: usize| BackupId::from(format!("b{number}br04").as_str());
    let mut batch: Vec<_> = (1..50).map(|number| (id(number), Outcome::Accepted)).collect();
    batch.push((id(50), rejected));
    let (policy, project) = (PolicyName::from("production"), ProjectName::from("prod"));
    let lines = logged(false, true, || {
        run_line(&refused, "rds-retentiond");
        deletion_line("0193", &policy, &project, &batch);
    });
    let lines: Vec<&str> = lines.lines().collect();
    assert_eq!(lines[0], "<6>left alone: instance i1in04 (prod): shrink: from 40 to 3");
    assert_eq!(
        lines[1],
        "<3>production: refused: deletions exceed max_percent 50; 2 instances are left alone: \
         i1in04 (9 of 10), i2in04 (9 of 10); to approve: rds-retentiond approve production --plan c0ffee"
    );
    assert!(
        lines[2].starts_with("<3>run ended after 1.5 s: 25 API calls"),
        "{}",
        lines[2]
    );
    assert!(
        lines[2].ends_with("ledger head beef"),
        "audit verify needs it: {}",
        lines[2]
    );
    assert_eq!(
        lines[3],
        "<4>deletion request of production in prod: 49 accepted; DBS.200011 (in use): b50br04"
    );
    assert_eq!(lines.len(), 4);
}

#[test]
fn forty_refused_instances_are_one_line_for_people_of_at_most_300_characters() {
    let over = |nth: usize| Refusal::MaxPercent {
        instance: format!("{nth:032x}in04").as_str().into(),
        planned: 28,
        of: 40,
        percent: 50,
    };
    let refusals: Vec<Refusal> = (0..40).map(over).collect();
    let mut refused = report(RunResult::Refused, refusals.clone());
    refused.policies[0].digest = Some("c0ffeec0ffeec0ffeec0ffeec0ffee00".to_owned());
    refused.skipped = refusals
        .into_iter()
        .map(|refusal| Skip {
            project: "prod".into(),
            instance: refusal.instance().cloned(),
            message: refusal.to_string(),
            reason: SkipReason::Guard(Box::new(refusal)),
        })
        .collect();
    let for_people = logged(false, true, || run_line(&refused, "rds-retentiond"));
    assert_eq!(for_people.lines().count(), 2, "{for_people}");
    assert!(for_people.lines().all(|line| line.len() <= 300), "{for_people}");
    assert!(
        for_people.contains("40 instances are left alone") && for_people.contains("and 38 more"),
        "{for_people}"
    );
    // Machines get them all.
    assert_eq!(
        logged(true, true, || run_line(&refused, "rds-retentiond"))
            .lines()
            .count(),
        42
    );
}
