//! Holds and past runs, listed as tables and as JSON.

use std::collections::BTreeMap;

use rds_retentiond::cli::output::lists;
use rds_retentiond::operations::history::HistoryEntry;
use rds_retentiond::operations::operator::HoldEntry;
use rds_retentiond::retention::report::{RunResult, Tally};
use rds_retentiond::retention::{Hold, HoldTarget, Mode, Pattern, Zone};

use super::{at, golden, hold, look, plan};

fn hold_entries() -> Vec<HoldEntry> {
    let matching = Hold {
        id: None,
        target: HoldTarget::Matching {
            instance: Some(Pattern::parse("*in04").unwrap()),
            name: Some(Pattern::parse("pre-*").unwrap()),
        },
        reason: "kept for rollback".to_owned(),
        owner: None,
        until: None,
    };
    let entry = |hold, active, placed_at: Option<&str>, released_at: Option<&str>| HoldEntry {
        hold,
        active,
        placed_at: placed_at.map(at),
        released_at: released_at.map(at),
        compliance: false,
        placed_by: None,
        person: None,
        released_by: None,
    };
    let released = Some("2026-11-03T00:00:00Z");
    vec![
        entry(hold(), true, Some("2026-11-01T00:00:00Z"), None),
        entry(matching, true, None, None),
        entry(hold(), false, Some("2026-11-02T00:00:00Z"), released),
    ]
}

#[test]
fn holds_and_past_runs_are_listed() {
    let mut drawn = Vec::new();
    lists::holds(&mut drawn, &hold_entries(), Zone::UTC, &look(Some(160))).unwrap();
    let summary = plan().policies[0].summary;
    let run = |id: &str, result| HistoryEntry {
        run_id: id.to_owned(),
        policy: "production".into(),
        mode: Mode::Enforce,
        at: at("2026-11-23T03:00:00Z"),
        finished_at: Some(at("2026-11-23T03:00:09Z")),
        running: id == "0199-c",
        result,
        summary: Some(summary),
        sent: BTreeMap::from([("confirmed".to_owned(), 1_001), ("rejected".to_owned(), 2)]),
        left: 5,
        held_back: Tally::default(),
        message: None,
    };
    let runs = [
        run("0199-a", Some(RunResult::Partial)),
        run("0199-b", None),
        run("0199-c", None),
    ];
    drawn.push(b'\n');
    lists::history(&mut drawn, &runs, Zone::UTC, &look(Some(160))).unwrap();
    drawn.push(b'\n');
    lists::write_holds(&mut drawn, &hold_entries()).unwrap();
    lists::write_history(&mut drawn, &runs).unwrap();
    golden("listings.txt", &String::from_utf8(drawn).unwrap());
}
