//! What the chain records for those who decide again: configurations, grace periods, what was decided on.

use std::time::Instant;

use chrono::{DateTime, TimeDelta, Utc};
use sha2::{Digest, Sha256};

use super::super::fixtures::{INSTANCE, State, batch_of, id, noon, project};
use super::super::{
    Access, DecidedOn, Error, FinishedPolicy, GraceKey, GraceStart, GraceUpdate, IntentResult, Ledger, NewRun,
    ObservedChanges, RecordedFile, RunConfiguration, Verification,
};
use crate::retention::report::{RunNumbers, RunResult, RunSummary, Summary};
use crate::retention::{
    Backup, BackupId, BackupKind, BackupStatus, Databases, Engine, Instance, InstanceId, InstanceLife, Mode, Outcome,
    People, PolicyName, ProjectName,
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

pub(super) fn grace(state: &State, policy: &str, numbers: &[usize], hours: i64) -> Result<(), Error> {
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
    for change in [
        "UPDATE grace SET since = since - 5",
        "UPDATE grace SET policy = 'r' WHERE policy = 'q'",
        "DELETE FROM grace WHERE policy = 'q'",
        // As if the state were of a format that recorded nothing of it.
        "UPDATE grace SET since = since - 5; DELETE FROM chain WHERE kind = 'grace'",
    ] {
        let state = State::new();
        grace(&state, "p", &[1, 2], 0).unwrap();
        grace(&state, "q", &[1], 1).unwrap();
        state.begin_run("run-1").unwrap();
        assert!(matches!(
            state.ledger.verify(None).unwrap(),
            Verification::Intact { .. }
        ));
        state.tamper(change);
        assert!(state.begin_run("run-2").is_err(), "{change}");
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

/// A backup as a listing shows it.
fn made(number: usize) -> Backup {
    let second = |number: usize| Some(noon() + TimeDelta::seconds(i64::try_from(number).unwrap()));
    let begin = number % 1_000_000 * 977;
    Backup {
        id: random_id(number),
        name: format!("nightly_{number}").into(),
        kind: BackupKind::Manual,
        engine: Engine::SqlServer,
        status: BackupStatus::Completed,
        begin: second(begin),
        end: second(begin + number % 601),
        size_bytes: 1_000_000 + (number as u64 * 7_919) % 1_000_000_000,
        databases: Databases::All,
        doubt: None,
    }
}

fn an_instance(number: usize) -> Instance {
    Instance {
        project: project(),
        id: format!("{number:032x}in04").as_str().into(),
        name: format!("mssql-prod-{number}").into(),
        engine: Engine::SqlServer,
        tags: vec![("env".to_owned(), "prod".to_owned())],
        enterprise_project: Some("0".to_owned()),
        life: InstanceLife::Listed,
    }
}

fn key_of<'k>(project: &'k ProjectName, (instance, backup): &'k (InstanceId, BackupId)) -> GraceKey<'k> {
    GraceKey {
        project,
        instance,
        backup,
    }
}

/// A run that deletes.
struct Deleting<'s> {
    ledger: &'s Ledger,
    state: &'s State,
    run: String,
    policy: PolicyName,
    at: DateTime<Utc>,
}

impl Deleting<'_> {
    fn expire(&self, started: &[(InstanceId, BackupId)], over: &[(InstanceId, BackupId)]) {
        let project = project();
        let key = |of| key_of(&project, of);
        let mut update = GraceUpdate::default();
        update.started.extend(started.iter().map(|of| GraceStart {
            key: key(of),
            name: "nightly",
        }));
        update.cleared.extend(over.iter().map(key));
        self.ledger.update_grace(&self.policy, &update, self.at).unwrap();
    }

    fn send(&self, due: &[usize]) {
        for ids in due.chunks(50) {
            let ids: Vec<(usize, BackupId)> = ids.iter().map(|number| (number % 1_000, random_id(*number))).collect();
            let mut intent = self.state.intent();
            (intent.run, intent.now) = (&self.run, self.at);
            let mut batch = batch_of(ids.clone());
            let IntentResult::Cleared { request, .. } = self.ledger.intend(&intent, &mut batch).unwrap() else {
                panic!("not cleared");
            };
            let outcomes: Vec<_> = ids.iter().map(|(_, id)| (id.clone(), Outcome::Accepted)).collect();
            let request_id = Some("0123456789abcdef0123456789abcdef");
            self.ledger.record(request, self.at, request_id, &outcomes).unwrap();
            let gone: Vec<BackupId> = ids.into_iter().map(|(_, id)| id).collect();
            self.ledger.settle(&self.run, self.at, &gone, &[]).unwrap();
        }
    }
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
    let (mut decided, mut due, mut seen) = (Vec::new(), Vec::new(), Vec::new());
    let (mut started, mut over) = (Vec::new(), Vec::new());
    let mut changes = ObservedChanges::default();
    for number in 0..instances {
        let instance = an_instance((nth % 10) * 1_000 + number);
        let listed = (day..day + window + 2).flat_map(|day| of_day(number, day)).map(made);
        let listed: Vec<Backup> = listed.collect();
        let before = ledger.remembered(&instance.id).unwrap();
        changes.add(&project(), &instance.id, &listed, before, Some(at));
        if changes.are_many() {
            ledger.remember_backups(&std::mem::take(&mut changes), at).unwrap();
        }
        decided.push(DecidedOn::new(&instance, &listed));
        due.extend(of_day(number, day));
        let ids = |day| of_day(number, day).map(|number| (instance.id.clone(), random_id(number)));
        over.extend(ids(day));
        started.extend(ids(day + 1));
        seen.push(instance);
    }
    ledger.remember_backups(&changes, at).unwrap();
    let deleting = Deleting {
        ledger,
        state,
        run: run.clone(),
        policy: policy.clone(),
        at,
    };
    deleting.expire(&started, &over);
    ledger.record_decided(&run, &decided, at).unwrap();
    observe(ledger, &seen, 40, at).unwrap();
    deleting.send(&due);
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

/// Instances are listed, each with so many backups.
fn observe(ledger: &Ledger, seen: &[Instance], count: u64, at: DateTime<Utc>) -> Result<(), Error> {
    ledger.observe(at, |observer| {
        let counts: Vec<(InstanceId, u64)> = seen.iter().map(|one| (one.id.clone(), count)).collect();
        observer.remember_instances(&project(), &[Engine::SqlServer], seen)?;
        observer.remember_listings(seen.iter().map(|one| &one.id))?;
        observer.accept_count(&project(), Some(seen.len() as u64), &counts)
    })
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
pub(super) fn list(state: &State, run: &str, backups: &[Backup]) -> Result<(), Error> {
    let (ledger, project, instance) = (&state.ledger, project(), InstanceId::from(INSTANCE));
    state.begin_run(run)?;
    let mut changes = ObservedChanges::default();
    let before = ledger.remembered(&instance)?;
    changes.add(&project, &instance, backups, before, Some(noon()));
    ledger.remember_backups(&changes, noon())?;
    let seen = Instance {
        id: instance,
        ..an_instance(1)
    };
    observe(ledger, &[seen], backups.len() as u64, noon())
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
        "UPDATE believed SET count = count - 1; DELETE FROM chain WHERE kind = 'observed'",
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
        assert!(
            ["is not what the chain says", "are missing", "was written last"]
                .iter()
                .any(|found| error.contains(found)),
            "{change}: {error}"
        );
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
        drop(Ledger::open(place, Access::ReadOnly, noon()).unwrap());
        println!("opened in {:?}", began.elapsed());
    }
}
