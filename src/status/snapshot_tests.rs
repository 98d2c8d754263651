//! The storage of each day, as the status shows it.

use super::*;
use crate::retention::Mode;

fn run(policy: &str, at: &str, keep: u64, wait: u64, freed: u64) -> RunRow {
    RunRow {
        run: format!("run-{at}"),
        policy: policy.into(),
        mode: Mode::Enforce,
        cause: "cron".to_owned(),
        config_sha256: "c0ffee".to_owned(),
        started_at: at.parse().unwrap(),
        finished_at: None,
        result: None,
        summary: serde_json::from_value(serde_json::json!({
            "mode": "enforce",
            "summary": {"keep": tally(keep), "wait": tally(wait), "delete": tally(99)},
            "sent": {"prod": sent(freed), "test": sent(1)},
        }))
        .ok(),
    }
}

fn tally(bytes: u64) -> Tally {
    Tally { count: 1, bytes }
}

fn sent(confirmed_bytes: u64) -> Sent {
    Sent {
        confirmed_bytes,
        ..Sent::default()
    }
}

#[test]
fn storage_counts_the_last_run_of_a_day_and_frees_of_all() {
    let runs = [
        run("a", "2026-11-23T20:00:00Z", 10, 2, 5),
        run("b", "2026-11-23T19:00:00Z", 100, 0, 0),
        run("a", "2026-11-23T03:00:00Z", 40, 0, 7),
        run("a", "2026-11-22T03:00:00Z", 50, 0, 0),
        RunRow {
            summary: None,
            ..run("a", "2026-11-21T03:00:00Z", 1, 1, 1)
        },
    ];
    let days: Vec<(String, u64, u64)> = StorageDay::of_runs(&runs)
        .into_iter()
        .map(|day| (day.day.to_string(), day.kept_bytes, day.freed_bytes))
        .collect();
    // Of the 99 that were due only what was confirmed is gone.
    let wanted = [("2026-11-22", 148, 1), ("2026-11-23", 303, 15)];
    assert_eq!(days, wanted.map(|(day, kept, freed)| (day.to_owned(), kept, freed)));
}
