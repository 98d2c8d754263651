//! A plan and a run as JSON: the names and types of the contract, and the same to the byte when the decisions were buffered.

use rds_retentiond::cli::output::json;
use rds_retentiond::cli::output::row_buffer::BufferedRows;
use rds_retentiond::retention::RunReport;

use super::{apply, golden, plan};

/// As `apply` does it: each decision is buffered and none is held, and what became of the ids comes later.
fn buffered_json_of(report: &RunReport) -> Vec<u8> {
    let (buffered, mut report) = (BufferedRows::default(), report.clone());
    for policy in &mut report.policies {
        for mut row in std::mem::take(&mut policy.rows) {
            let fate = row.fate.take().map(|fate| (row.backup.id.clone(), fate));
            report.fates.extend(fate);
            buffered.tell(&policy.policy, &row);
        }
    }
    let mut written = Vec::new();
    json::write_report(&mut written, &report, &buffered).unwrap();
    written
}

fn json_of(report: &RunReport) -> serde_json::Value {
    let mut written = Vec::new();
    json::write_report(&mut written, report, &BufferedRows::default()).unwrap();
    assert!(written.ends_with(b"}\n"));
    assert!(
        written == buffered_json_of(report),
        "a buffered report is the same to the byte"
    );
    serde_json::from_slice(&written).unwrap()
}

#[test]
fn a_plan_as_json() {
    let json = json_of(&plan());
    assert!(json.get("run_id").is_none(), "a plan is no run");
    golden("plan.json", &format!("{json:#}\n"));
}

#[test]
fn the_contracts_names_and_types() {
    let json = json_of(&plan());
    assert_eq!(json["at"], "2026-11-23T03:00:00Z");
    let policy = &json["policies"][0];
    assert_eq!(policy["verdict"], "refused");
    assert_eq!(
        policy["refusal"]["limit"], "max_deletions",
        "what stops the whole plan is named first"
    );
    assert_eq!(policy["refusals"][1]["limit"], "max_percent");
    assert_eq!(
        policy["summary"],
        serde_json::json!({"keep": 6, "wait": 2, "delete": 3,
            "bytes": {"keep": 2_200_097_012_000_u64, "wait": 11_000, "delete": 24_000}})
    );
    let by_id = |id: &str| {
        let decisions = policy["decisions"].as_array().unwrap();
        decisions
            .iter()
            .find(|decision| decision["backup_id"] == id)
            .unwrap()
            .clone()
    };
    assert_eq!(
        by_id("id-1"),
        serde_json::json!({
            "project": "prod", "instance_id": "inst-one-in04", "instance_name": "mssql-prod-1", "backup_id": "id-1",
            "backup_name": "nightly_1", "begin_time": "2026-11-22T19:00:00Z", "size_bytes": 1_073_741_824,
            "status": "COMPLETED", "decision": "keep", "expires_at": "2026-12-06T19:00:00Z",
            "reasons": [{"rule": "daily", "slot": 3, "series": "full", "oldest": false},
                        {"rule": "weekly", "slot": 2, "series": "full", "oldest": false}],
        })
    );
    let building = by_id("id-building");
    assert_eq!(
        [&building["begin_time"], &building["expires_at"]],
        [&serde_json::Value::Null; 2]
    );
    assert_eq!(by_id("id-partial")["reasons"][0]["series"], "database:crm");
    assert_eq!(by_id("id-partial")["reasons"][1]["rule"], "policy:wide");
    let wait = by_id("id-graced");
    assert_eq!([&wait["decision"], &wait["due_at"]], ["wait", "2026-11-24T03:00:00Z"]);
    assert_eq!(
        wait["reasons"],
        serde_json::json!([{"rule": "failed", "slot": null, "series": null, "oldest": false}])
    );
    assert_eq!(json["policies"][1]["refusal"], serde_json::Value::Null);
    assert_eq!(json["policies"][1]["verdict"], "approved");
    assert_eq!(json["skipped"][1]["instance_id"], serde_json::Value::Null);
    assert_eq!(
        json["overlaps"],
        serde_json::json!([{"policies": ["production", "wide"], "instances": 2}])
    );
}

#[test]
fn a_run_as_json_has_outcomes() {
    let json = json_of(&apply());
    assert_eq!(json["run_id"], "0199-run");
    let decisions = json["policies"][0]["decisions"].as_array().unwrap();
    let outcomes: Vec<_> = decisions
        .iter()
        .filter(|decision| decision.get("outcome").is_some())
        .map(|decision| serde_json::json!([decision["backup_id"], decision["outcome"], decision.get("error")]))
        .collect();
    assert_eq!(
        serde_json::Value::from(outcomes),
        serde_json::json!([
            ["id-gone", "confirmed", null],
            ["id-old", "rejected", {"code": "DBS.200054", "message": "backup\tin use"}],
            ["id-mute", "unanswered", {"message": "no answer in 20 s"}],
        ])
    );
}
