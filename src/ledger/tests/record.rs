//! What the chain records for those who decide again: configurations, grace periods, what was decided on.

use std::time::Instant;

use chrono::TimeDelta;
use sha2::{Digest, Sha256};

use super::super::fixtures::{INSTANCE, State, batch_of, id, noon, project};
use super::super::{
    Access, DecidedOn, FinishedPolicy, GraceKey, GraceStart, GraceUpdate, IntentResult, NewRun, ObservedChanges,
    RecordedFile, RunConfiguration, Verification,
};
use crate::retention::report::{RunNumbers, RunResult, RunSummary, Summary};
use crate::retention::{
    Backup, BackupId, BackupKind, BackupStatus, Databases, Engine, Instance, InstanceId, InstanceLife, Mode, Outcome,
    People, PolicyName,
};

fn configuration(file: &str, sha256: &str, protect: People) -> RunConfiguration {
    RunConfiguration {
        file: file.to_owned(),
        sha256: sha256.to_owned(),
        protect,
        approved_by_two: Vec::new(),
        files: vec![RecordedFile {
            name: "config.yaml".to_owned(),
            text: Some(format!("# {sha256}")),
        }],
    }
}

#[test]
fn the_text_of_a_configuration_is_recorded_once_and_each_change_of_it_is() {
    let state = State::new();
    let rows = || match state.ledger.verify(None).unwrap() {
        Verification::Intact { rows, .. } => rows,
        broken @ Verification::Broken { .. } => panic!("{broken:?}"),
    };
    let note = |of: &RunConfiguration| state.ledger.note_configuration(of, noon()).unwrap();
    let before = rows();
    for of in [
        configuration("/a", "1", People::One),
        configuration("/a", "1", People::One),
        configuration("/a", "2", People::Two),
        configuration("/b", "1", People::One),
        configuration("/a", "1", People::One),
    ] {
        note(&of);
    }
    assert_eq!(rows() - before, 4, "not the same twice");
    let files = |sha256: &str| state.ledger.configuration_files(sha256).unwrap();
    assert_eq!(files("1"), configuration("/a", "1", People::One).files);
    assert_eq!(files("2")[0].text.as_deref(), Some("# 2"));
    assert_eq!(files("3"), []);
    state.tamper("UPDATE chain SET body = replace(body, 'two', 'one') WHERE kind = 'configuration'");
    assert!(state.ledger.configuration_files("1").is_err());
}

pub(super) fn grace(state: &State, policy: &str, numbers: &[usize], hours: i64) -> Result<(), super::super::Error> {
    let (project, instance) = (project(), InstanceId::from(INSTANCE));
    let ids: Vec<_> = numbers.iter().map(|number| id(*number)).collect();
    let start = |backup| GraceStart {
        key: GraceKey {
            project: &project,
            instance: &instance,
            backup,
        },
        name: "nightly",
    };
    let update = GraceUpdate {
        started: ids.iter().map(start).collect(),
        ..GraceUpdate::default()
    };
    let at = noon() + TimeDelta::hours(hours);
    state.ledger.update_grace(&PolicyName::from(policy), &update, at)
}

#[test]
fn a_run_does_not_begin_on_grace_periods_that_something_else_changed() {
    let begin = |state: &State, id: &str| {
        let run = NewRun {
            id,
            policies: &[],
            config_sha256: "c0ffee",
            started_at: noon(),
            cause: "apply",
            person: None,
        };
        state.ledger.begin_run(&run)
    };
    for change in [
        "UPDATE grace SET since = since - 5",
        "UPDATE grace SET policy = 'r' WHERE policy = 'q'",
        "DELETE FROM grace WHERE policy = 'q'",
    ] {
        let state = State::new();
        grace(&state, "p", &[1, 2], 0).unwrap();
        grace(&state, "q", &[1], 1).unwrap();
        begin(&state, "run-1").unwrap();
        assert!(matches!(
            state.ledger.verify(None).unwrap(),
            Verification::Intact { .. }
        ));
        state.tamper(change);
        assert!(begin(&state, "run-2").is_err(), "{change}");
        assert!(grace(&state, "p", &[3], 2).is_err(), "{change}");
        assert!(matches!(
            state.ledger.verify(None).unwrap(),
            Verification::Broken { .. }
        ));
    }
}

#[test]
fn grace_periods_of_an_older_format_are_taken_into_the_chain_with_the_first_change() {
    let state = State::new();
    grace(&state, "p", &[1], 0).unwrap();
    // As that format left it.
    state.tamper(
        "DELETE FROM chain WHERE kind = 'grace'; UPDATE meta SET value = '1' WHERE key = 'rows'; \
         UPDATE meta SET value = (SELECT hash FROM chain WHERE seq = 1) WHERE key = 'head'",
    );
    let state = State {
        ledger: state.again(Access::Existing),
        ..state
    };
    grace(&state, "p", &[2], 1).unwrap();
    assert!(matches!(
        state.ledger.verify(None).unwrap(),
        Verification::Intact { .. }
    ));
    let mut exported = Vec::new();
    state.ledger.export(&mut exported).unwrap();
    let exported = String::from_utf8(exported).unwrap();
    assert!(exported.contains("before"), "{exported}");
    state.tamper("UPDATE grace SET since = since - 5");
    assert!(grace(&state, "p", &[3], 2).is_err());
}

/// As little alike as the API's.
fn random_id(number: usize) -> BackupId {
    let digest = hex::encode(&Sha256::digest(number.to_be_bytes())[..16]);
    BackupId::from(format!("{digest}br04"))
}

/// What one run of a policy records that deletes so many backups of each of so many instances, which keep 40.
fn one_run(state: &State, nth: usize, instances: usize, deletions: usize) {
    let ledger = &state.ledger;
    let (day, policy) = (nth / 10, PolicyName::from(format!("policy-{}", nth % 10)));
    let at = noon() + TimeDelta::days(i64::try_from(day).unwrap());
    let run = format!("0193{nth:028x}");
    let policies = [(policy.clone(), Mode::Enforce)];
    let new = NewRun {
        id: &run,
        policies: &policies,
        config_sha256: "c0ffee",
        started_at: at,
        cause: "schedule",
        person: None,
    };
    ledger.begin_run(&new).unwrap();
    // Of each instance of each policy: the backups of each day, a window of 40 that are kept, some that go and some in the grace period.
    let of_day = |instance: usize, day: usize| {
        let number = move |made: usize| ((nth % 10) * instances + instance) * 1_000_000 + day * deletions + made;
        (0..deletions).map(number)
    };
    let window = 40_usize.div_ceil(deletions);
    let mut decided = Vec::new();
    let mut due = Vec::new();
    let (mut started, mut over) = (Vec::new(), Vec::new());
    for number in 0..instances {
        let instance = Instance {
            project: project(),
            id: format!("{:032x}in04", (nth % 10) * 1_000 + number).as_str().into(),
            name: format!("mssql-prod-{number}").into(),
            engine: Engine::SqlServer,
            tags: vec![("env".to_owned(), "prod".to_owned())],
            enterprise_project: Some("0".to_owned()),
            life: InstanceLife::Listed,
        };
        let backup = |number: usize| Backup {
            id: random_id(number),
            name: format!("nightly_{number}").into(),
            kind: BackupKind::Manual,
            engine: Engine::SqlServer,
            status: BackupStatus::Completed,
            begin: Some(noon() + TimeDelta::seconds(i64::try_from(number % 1_000_000 * 977).unwrap())),
            end: Some(noon() + TimeDelta::seconds(i64::try_from(number % 1_000_000 * 977 + number % 601).unwrap())),
            size_bytes: 1_000_000 + (number as u64 * 7_919) % 1_000_000_000,
            databases: Databases::All,
            doubt: None,
        };
        let listed = (day..day + window + 2).flat_map(|day| of_day(number, day)).map(backup);
        decided.push(DecidedOn::new(&instance, &listed.collect::<Vec<_>>()));
        due.extend(of_day(number, day));
        over.extend(of_day(number, day).map(random_id).map(|id| (instance.id.clone(), id)));
        started.extend(
            of_day(number, day + 1)
                .map(random_id)
                .map(|id| (instance.id.clone(), id)),
        );
    }
    let project = project();
    let mut update = GraceUpdate::default();
    for (instance, backup) in &started {
        let key = GraceKey {
            project: &project,
            instance,
            backup,
        };
        update.started.push(GraceStart { key, name: "nightly" });
    }
    for (instance, backup) in &over {
        update.cleared.push(GraceKey {
            project: &project,
            instance,
            backup,
        });
    }
    ledger.update_grace(&policy, &update, at).unwrap();
    ledger.record_decided(&run, &decided, at).unwrap();
    for ids in due.chunks(50) {
        let ids: Vec<(usize, BackupId)> = ids.iter().map(|number| (number % 1_000, random_id(*number))).collect();
        let mut intent = state.intent();
        (intent.run, intent.now) = (&run, at);
        let IntentResult::Cleared { request, .. } = ledger.intend(&intent, &mut batch_of(ids.clone())).unwrap() else {
            panic!("not cleared");
        };
        let outcomes: Vec<_> = ids.iter().map(|(_, id)| (id.clone(), Outcome::Accepted)).collect();
        ledger
            .record(request, at, Some("0123456789abcdef0123456789abcdef"), &outcomes)
            .unwrap();
        let gone: Vec<BackupId> = ids.into_iter().map(|(_, id)| id).collect();
        ledger.settle(&run, at, &gone, &[]).unwrap();
    }
    let finished = FinishedPolicy {
        policy,
        result: RunResult::Success,
        summary: RunSummary {
            interrupted: None,
            numbers: Some(numbers()),
        },
    };
    ledger.finish_run(&run, at, &[finished]).unwrap();
    ledger.pack(at).unwrap();
}

/// Backups 1 to 3 of one instance, as a listing shows them.
pub(super) fn listed() -> Vec<Backup> {
    let backup = |number| Backup {
        id: id(number),
        name: "nightly".into(),
        kind: BackupKind::Manual,
        engine: Engine::SqlServer,
        status: BackupStatus::Completed,
        begin: Some(noon()),
        end: None,
        size_bytes: 1,
        databases: Databases::All,
        doubt: None,
    };
    (1..=3).map(backup).collect()
}

/// A run that lists them; fails where what was seen before is not as it was left.
pub(super) fn list(state: &State, run: &str, backups: &[Backup]) -> Result<(), super::super::Error> {
    let (ledger, project, instance) = (&state.ledger, project(), InstanceId::from(INSTANCE));
    ledger.begin_run(&NewRun {
        id: run,
        policies: &[],
        config_sha256: "c0ffee",
        started_at: noon(),
        cause: "schedule",
        person: None,
    })?;
    let mut changes = ObservedChanges::default();
    let before = ledger.remembered(&instance)?;
    changes.add(&project, &instance, backups, before, Some(noon()));
    ledger.remember_backups(&changes, noon())?;
    ledger.observe(noon(), |observer| {
        let seen = Instance {
            engine: Engine::SqlServer,
            project: project.clone(),
            id: instance.clone(),
            name: "mssql-1".into(),
            tags: Vec::new(),
            enterprise_project: None,
            life: InstanceLife::Listed,
        };
        observer.remember_instances(&project, &[Engine::SqlServer], &[seen])?;
        observer.remember_listings([&instance].into_iter())?;
        observer.accept_count(&project, Some(1), &[(instance.clone(), backups.len() as u64)])
    })
}

#[test]
fn what_was_seen_is_believed_as_it_was_left_and_not_when_it_was_changed() {
    for change in [
        "UPDATE seen_instance SET name = 'x'",
        "UPDATE believed SET count = count - 1 WHERE instance <> ''",
        "DELETE FROM believed",
        "UPDATE seen_backup SET status = 'FAILED'",
        "UPDATE seen_backup SET gone_since = 1",
        "DELETE FROM seen_backup",
        "DELETE FROM seen_backup; DELETE FROM seen_sum",
        "UPDATE last_listing SET at = 0",
    ] {
        let state = State::new();
        // As they come, as they stay, one that goes, and one that comes back.
        for (run, backups) in [("1", 3), ("2", 3), ("3", 2), ("4", 3)] {
            list(&state, run, &listed()[..backups]).unwrap();
        }
        assert!(matches!(
            state.ledger.verify(None).unwrap(),
            Verification::Intact { .. }
        ));
        state.tamper(change);
        let error = list(&state, "5", &listed()).expect_err(change);
        let error = format!("{error:#} {:?}", std::error::Error::source(&error));
        assert!(error.contains("is not what the chain says"), "{change}: {error}");
        assert!(
            matches!(state.ledger.verify(None).unwrap(), Verification::Broken { .. }),
            "{change}"
        );
    }
}

/// About as long as a run writes them down.
fn numbers() -> RunNumbers {
    let numbers = serde_json::json!({
        "mode": "enforce", "summary": Summary::default(), "calls": 123, "orphans": {"prod": "x".repeat(400)},
    });
    serde_json::from_value(numbers).unwrap()
}

/// `RECORD_DAYS=40 cargo test --lib record::what_days -- --ignored --nocapture`, and half as many: the difference is of days that are packed.
#[test]
#[ignore = "measures"]
#[expect(clippy::print_stdout, reason = "that is what it is for")]
fn what_days_of_ten_policies_with_500_deletions_take() {
    let days: usize = std::env::var("RECORD_DAYS").map_or(40, |days| days.parse().unwrap());
    for (instances, deletions) in [(50, 10), (500, 1)] {
        let state = State::new();
        let began = Instant::now();
        let mut sizes = Vec::new();
        for nth in 0..days * 10 {
            one_run(&state, nth, instances, deletions);
            if (nth + 1) % 10 == 0 {
                let bytes = std::fs::metadata(state.ledger.path()).map_or(0, |file| file.len());
                sizes.push(bytes / 1_000);
            }
        }
        println!(
            "{instances} instances, {deletions} a day each: kB after each day {sizes:?}, in {:?}",
            began.elapsed()
        );
        let began = Instant::now();
        let verified = state.ledger.verify(None).unwrap();
        println!("verified in {:?}: {verified:?}", began.elapsed());
        let place = state.place.clone();
        let began = Instant::now();
        drop(super::super::Ledger::open(place, Access::ReadOnly, noon()).unwrap());
        println!("opened in {:?}", began.elapsed());
    }
}
