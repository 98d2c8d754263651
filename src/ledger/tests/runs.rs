//! Runs, refused keys, and a clock that was ahead.

use std::collections::BTreeMap;

use chrono::TimeDelta;

use super::super::fixtures::{State, is_on_postgres, noon};
use super::super::{Access, Error, FinishedPolicy, KeyRefusal, NewRun, RunFilter, Verification};
use crate::retention::report::{RunNumbers, RunResult, RunSummary, Summary, Tally};
use crate::retention::{Mode, PolicyName};

fn policy() -> PolicyName {
    "production".into()
}

#[test]
fn refused_keys_survive_a_restart_and_run_out() {
    let state = State::new();
    let refusal = |whole: &str, at, blocked_until| KeyRefusal {
        access_key: "a".to_owned(),
        whole: whole.to_owned(),
        at,
        blocked_until,
    };
    let until = noon() + TimeDelta::minutes(15);
    let then = noon() + TimeDelta::days(6000);
    let refusals = [refusal("1", noon(), None), refusal("1", noon(), Some(until))];
    for refusal in &refusals {
        state.ledger.record_key_refusal(refusal, noon()).unwrap();
    }
    let again = state.again(Access::ReadOnly);
    assert_eq!(again.key_refusals(noon()).unwrap(), refusals);
    assert_eq!(again.key_refusals(noon() + TimeDelta::hours(1)).unwrap(), []);
    // One by a wrong clock; the first run under a right one dates it back.
    let ahead = refusal("2", then, Some(then + TimeDelta::minutes(15)));
    state.ledger.record_key_refusal(&ahead, then).unwrap();
    let later = noon() + TimeDelta::hours(2);
    let run = NewRun {
        id: "run-1",
        policies: &[],
        config_sha256: "c0ffee",
        started_at: later,
        cause: "apply",
        person: None,
    };
    state.ledger.begin_run(&run).unwrap();
    assert_eq!(state.ledger.key_refusals(later).unwrap(), [refusal("2", later, None)]);
}

fn numbered(left: u64) -> RunSummary {
    let numbers = RunNumbers {
        calls: 3,
        held_back: Tally::default(),
        instances: BTreeMap::new(),
        left,
        mode: Mode::Enforce,
        orphans: BTreeMap::new(),
        refusals: Vec::new(),
        refused: Vec::new(),
        sent: BTreeMap::new(),
        skipped: Vec::new(),
        summary: Summary::default(),
        unselected: BTreeMap::new(),
        settled: Tally::default(),
    };
    RunSummary {
        interrupted: None,
        numbers: Some(numbers),
    }
}

#[test]
fn runs_are_listed_newest_first_with_their_numbers_and_gauges_find_the_last() {
    let state = State::new();
    let policies = [(policy(), Mode::Enforce), ("dev".into(), Mode::DryRun)];
    for (number, result) in ["success", "failed", "killed"].into_iter().enumerate() {
        let (run, at) = (
            format!("run-{number}"),
            noon() + TimeDelta::days(i64::try_from(number).unwrap()),
        );
        let new = NewRun {
            id: &run,
            policies: &policies,
            config_sha256: "c0ffee",
            started_at: at,
            cause: "schedule",
            person: None,
        };
        state.ledger.begin_run(&new).unwrap();
        if result == "killed" {
            continue;
        }
        let finished = policies.each_ref().map(|(policy, _)| FinishedPolicy {
            policy: policy.clone(),
            result: RunResult::named(result).unwrap(),
            summary: numbered(number as u64),
        });
        let head = state.ledger.finish_run(&run, at, &finished).unwrap();
        assert_eq!(head, state.ledger.head().unwrap());
        assert!(matches!(
            state.ledger.finish_run(&run, at, &finished),
            Err(Error::NoSuchRun(_))
        ));
    }
    let runs = state
        .ledger
        .runs(&RunFilter {
            policy: Some(policy()),
            limit: Some(2),
        })
        .unwrap();
    assert_eq!(
        runs.iter().map(|run| run.run.as_str()).collect::<Vec<_>>(),
        ["run-2", "run-1"]
    );
    assert_eq!((&runs[0].finished_at, &runs[0].result), (&None, &None));
    assert_eq!(runs[1].summary, Some(numbered(1)));
    assert_eq!(state.ledger.runs(&RunFilter::default()).unwrap().len(), 6);
    let last = &state.ledger.last_runs(noon() + TimeDelta::days(90)).unwrap()[&policy()];
    assert_eq!(last.finished.run, "run-1");
    assert_eq!(last.success.as_ref().unwrap().run, "run-0");
    assert_eq!(
        last.read.as_ref().unwrap().run,
        "run-0",
        "run-1 failed and has read nothing"
    );
    let last_begun = |days| {
        let last = state
            .ledger
            .last_begun(&policy(), noon() + TimeDelta::days(days))
            .unwrap();
        last.map(|last| last.at - noon())
    };
    assert_eq!(last_begun(2), Some(TimeDelta::days(2)));
    assert_eq!(
        last_begun(1),
        Some(TimeDelta::days(1)),
        "one dated ahead of now says nothing"
    );
    assert_eq!(state.ledger.last_runs(noon()).unwrap()[&policy()].finished.run, "run-0");
}

#[test]
fn what_a_killed_process_left_open_is_closed_as_failed_once_for_each_lock() {
    if is_on_postgres() {
        return; // of the file
    }
    let state = State::new();
    let policies = [(policy(), Mode::Enforce), ("other".into(), Mode::DryRun)];
    let begin = |id, cause, hours| {
        let run = NewRun {
            id,
            policies: &policies,
            config_sha256: "c0ffee",
            started_at: noon() + TimeDelta::hours(hours),
            cause,
            person: None,
        };
        state.ledger.begin_run(&run).unwrap();
    };
    let last = |hours| {
        state
            .ledger
            .last_begun(&policy(), noon() + TimeDelta::hours(hours))
            .unwrap()
            .unwrap()
    };
    begin("run-1", "cron", 0);
    assert!(!last(1).is_interrupted, "it may be under way");
    let closed = state.ledger.close_interrupted_runs(&state.lock, noon()).unwrap();
    assert_eq!((closed.len(), closed[0].policies.len()), (1, 2));
    assert!(last(1).is_interrupted);
    let rows = state.ledger.runs(&RunFilter::default()).unwrap();
    assert!(
        rows.iter()
            .all(|row| row.result == Some(RunResult::Failed) && row.is_interrupted())
    );
    // What a person typed and interrupted was no tick's run.
    begin("run-2", "apply", 1);
    state.ledger.close_interrupted_runs(&state.lock, noon()).unwrap();
    assert_eq!((last(2).at, last(2).is_interrupted), (noon(), true));
    // What kills the run that makes up for it would kill the next.
    begin("run-3", "catch-up", 2);
    state.ledger.close_interrupted_runs(&state.lock, noon()).unwrap();
    assert!(!last(3).is_interrupted);
    // A run under this lock has begun: what is open is its own.
    state.ledger.close_open_requests(&state.lock, noon()).unwrap();
    begin("run-4", "cron", 4);
    assert_eq!(state.ledger.close_interrupted_runs(&state.lock, noon()).unwrap(), []);
    assert!(matches!(
        state.ledger.verify(None).unwrap(),
        Verification::Intact { .. }
    ));
}

#[test]
fn a_probe_is_no_row_of_the_chain() {
    let state = State::new();
    let head = state.ledger.head().unwrap();
    state.ledger.probe().unwrap();
    assert_eq!(state.ledger.head().unwrap(), head);
}
