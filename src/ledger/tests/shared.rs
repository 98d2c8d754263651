//! What only a ledger in PostgreSQL has: leases, members, a server that refuses. Skipped, loudly, where PostgreSQL is not installed.

use std::sync::Arc;
use std::time::Duration;

use chrono::TimeDelta;

use super::super::fixtures::{INSTANCE, State, batch, freeze, hold_on, id, new_run, noon, project, shared_place};
use super::super::postgres_server::{Server, server};
use super::super::{
    Access, Error, Fault, FinishedPolicy, GraceKey, GraceUpdate, IntentResult, Ledger, ListingDoubt, ListingPart,
    NewRun, ObservedChanges, StatePlace, Verification,
};
use super::record::listed;
use crate::retention::report::{Interruption, RunResult, RunSummary};
use crate::retention::{BackupId, HoldTarget, InstanceId, Mode, Outcome, PolicyName, ProjectName};

/// A state in a database of its own.
fn shared() -> Option<(&'static Server, String, State)> {
    let server = server()?;
    let database = server.database();
    let state = State::at(shared_place(&server.url(&database)));
    Some((server, database, state))
}

fn cleared(state: &State, number: usize) -> bool {
    matches!(
        state.ledger.intend(&state.intent(), &mut batch([number])),
        Ok(IntentResult::Cleared { .. })
    )
}

#[track_caller]
fn fault_of(state: &State, number: usize) -> Error {
    let refused = state.ledger.intend(&state.intent(), &mut batch([number]));
    refused.expect_err("no intent")
}

#[test]
fn a_hold_and_a_freeze_of_another_machine_stop_the_next_batch() {
    let Some((_, _, state)) = shared() else { return };
    assert!(cleared(&state, 1));
    let other = state.again(Access::Existing);
    other
        .add_hold(&hold_on(HoldTarget::Backup(id(2))), "dba", noon())
        .unwrap();
    let held = state.ledger.intend(&state.intent(), &mut batch([2]));
    assert!(matches!(held, Ok(IntentResult::Empty { .. })), "{held:?}");
    other.set_freeze(&freeze(), "dba", noon()).unwrap();
    let frozen = state.ledger.intend(&state.intent(), &mut batch([3]));
    assert!(matches!(frozen, Ok(IntentResult::Frozen(_))), "{frozen:?}");
    assert!(matches!(
        other.verify(None).unwrap(),
        Verification::Intact { rows: 4, .. }
    ));
}

#[test]
fn leases_are_all_or_none_and_disjoint_ones_stand_side_by_side() {
    let Some((_, _, state)) = shared() else { return };
    let take = |names: &[&str]| {
        let names: Vec<ProjectName> = names.iter().map(|name| ProjectName::from(*name)).collect();
        Ledger::lock_deletions(state.place.clone(), &names).unwrap()
    };
    assert!(take(&["a", "prod", "z"]).is_none(), "one of them is taken");
    let others = take(&["a", "z"]).expect("of those none was kept by the attempt");
    assert!(take(&["z"]).is_none());
    drop(others);
    assert!(take(&["z"]).is_some(), "it is given back at once");
}

#[test]
fn who_lost_the_lease_intends_nothing_and_who_has_it_does() {
    let Some((server, database, state)) = shared() else {
        return;
    };
    assert!(
        Ledger::lock_deletions(state.place.clone(), &[project()])
            .unwrap()
            .is_none()
    );
    server.psql(&database, "UPDATE lease SET expires = clock_timestamp()");
    let lock = Ledger::lock_deletions(state.place.clone(), &[project()])
        .unwrap()
        .unwrap();
    assert_eq!(lock.drains_for(), Duration::ZERO, "nothing was under way");
    let error = fault_of(&state, 1);
    let is_lost = matches!(error.fault(), Some(Fault::LeaseLost));
    assert!(is_lost, "{error}");
    let mut intent = state.intent();
    intent.lock = &lock;
    let now = state.ledger.intend(&intent, &mut batch([1]));
    assert!(matches!(now, Ok(IntentResult::Cleared { .. })), "{now:?}");
}

#[test]
fn after_a_holder_that_left_intents_open_nothing_is_intended_for_26_seconds() {
    let Some((server, database, state)) = shared() else {
        return;
    };
    state.intend([1]);
    server.psql(&database, "UPDATE lease SET expires = clock_timestamp()");
    let lock = Ledger::lock_deletions(state.place.clone(), &[project()])
        .unwrap()
        .unwrap();
    assert!(lock.drains_for() > Duration::from_secs(20), "{:?}", lock.drains_for());
    let mut intent = state.intent();
    intent.lock = &lock;
    let error = state.ledger.intend(&intent, &mut batch([2])).unwrap_err();
    assert!(matches!(error.fault(), Some(Fault::Draining)), "{error}");
}

#[test]
fn members_that_differ_delete_nothing_until_they_agree() {
    let Some((_, _, state)) = shared() else { return };
    let other = state.again(Access::Existing);
    other.join("elsewhere", "other").unwrap();
    let error = fault_of(&state, 1);
    assert!(
        matches!(error.fault(), Some(Fault::MembersDiffer(hosts)) if hosts == "elsewhere (an unknown configuration)"),
        "{error}"
    );
    other.join("elsewhere", "c0ffee").unwrap();
    assert!(cleared(&state, 1));
    other.join("elsewhere", "other").unwrap();
    assert!(!cleared(&state, 2));
    drop(other);
    assert!(cleared(&state, 2), "who has left does not count");
}

#[test]
fn what_others_have_under_way_in_their_projects_is_not_closed() {
    let Some((_, _, state)) = shared() else { return };
    state.intend([1]);
    let other = Ledger::lock_deletions(state.place.clone(), &["other".into()])
        .unwrap()
        .unwrap();
    let ledger = state.again(Access::Existing);
    assert_eq!(ledger.close_open_requests(&other, noon()).unwrap(), []);
    assert_eq!(state.ledger.close_open_requests(&state.lock, noon()).unwrap().len(), 1);
}

/// As an asynchronous failover does it.
#[test]
fn a_database_that_lost_confirmed_rows_takes_no_intent() {
    let Some((_, _, state)) = shared() else { return };
    let before = state.ledger.head().unwrap();
    state.ledger.set_freeze(&freeze(), "dba", noon()).unwrap();
    state.tamper(&format!(
        "DELETE FROM chain WHERE seq = 2; DELETE FROM \"freeze\"; UPDATE meta SET value = '1' WHERE key = 'rows'; \
         UPDATE meta SET value = '{before}' WHERE key = 'head'"
    ));
    let error = fault_of(&state, 1);
    assert!(error.is_lost(), "{error}");
}

#[test]
fn a_connection_that_was_cut_is_made_again() {
    let Some((server, database, state)) = shared() else {
        return;
    };
    assert!(cleared(&state, 1));
    server.psql(
        "postgres",
        &format!("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = '{database}'"),
    );
    assert!(cleared(&state, 2));
}

#[test]
fn two_first_starts_make_one_ledger() {
    let Some(server) = server() else { return };
    let place = shared_place(&server.url(&server.database()));
    let open = || Ledger::open(place.clone(), Access::Create, noon()).unwrap().is_new();
    let made = std::thread::scope(|scope| {
        let both = [scope.spawn(open), scope.spawn(open)];
        both.map(|one| usize::from(one.join().unwrap()))
    });
    assert_eq!(made.iter().sum::<usize>(), 1);
}

/// Each says what to do, and none makes a ledger.
#[test]
fn a_database_that_cannot_be_used_says_why() {
    let Some(server) = server() else { return };
    let fails = |place: StatePlace, access: Access| {
        let error = Ledger::open(place, access, noon()).expect_err("not opened");
        assert!(error.to_string().starts_with("postgres://"), "{error}");
        error
    };
    let at = |sql: &str| {
        let database = server.database();
        let place = shared_place(&server.url(&database));
        drop(Ledger::open(place.clone(), Access::Create, noon()).unwrap());
        server.psql(&database, sql);
        (database, place)
    };
    let (_, newer) = at("UPDATE meta SET value = '99' WHERE key = 'format'");
    assert!(matches!(
        fails(newer, Access::Existing).fault(),
        Some(Fault::Newer { found: 99, .. })
    ));
    let (_, foreign) = at("DELETE FROM meta WHERE key = 'application'");
    assert!(matches!(fails(foreign, Access::Create).fault(), Some(Fault::Foreign)));
    let (_, half) = at("DROP TABLE chain CASCADE");
    assert!(matches!(fails(half, Access::Create).fault(), Some(Fault::Foreign)));
    let empty = shared_place(&server.url(&server.database()));
    assert!(matches!(fails(empty, Access::Existing), Error::Missing { .. }));
    let nowhere = shared_place(&server.url("not_there"));
    assert!(matches!(
        fails(nowhere, Access::Create).fault(),
        Some(Fault::NoDatabase(_))
    ));
    let unreachable = shared_place("postgres://retention@127.0.0.1:1/retention");
    assert!(matches!(
        fails(unreachable, Access::Create).fault(),
        Some(Fault::Unreachable(_))
    ));
    let unasked = shared_place(&format!("postgres://nobody@127.0.0.1:{}/postgres", server.port));
    assert!(matches!(
        fails(unasked, Access::Create).fault(),
        Some(Fault::Credentials(_))
    ));
    let StatePlace::Postgres(mut address) =
        shared_place(&format!("postgres://postgres@127.0.0.1:{}/postgres", server.port))
    else {
        panic!("an address")
    };
    address.ca = Some("/etc/ssl/certs/ca-certificates.crt".into());
    let refused = fails(StatePlace::Postgres(address), Access::Create);
    assert!(matches!(refused.fault(), Some(Fault::Tls(_))), "{refused}");
    let (database, _) = at("CREATE ROLE reader LOGIN; GRANT SELECT ON ALL TABLES IN SCHEMA public TO reader");
    let url = server.url(&database).replace("postgres@", "reader@");
    let reader = Ledger::open(shared_place(&url), Access::ReadOnly, noon()).unwrap();
    let refused = reader.set_freeze(&freeze(), "dba", noon()).unwrap_err();
    assert!(matches!(refused.fault(), Some(Fault::Privileges(_))), "{refused}");
}

#[test]
fn a_tick_is_one_run_s_unless_that_was_interrupted() {
    let Some((_, _, state)) = shared() else { return };
    let (policy, other) = (PolicyName::from("production"), PolicyName::from("other"));
    let (tick, lock) = (noon() - TimeDelta::minutes(1), &state.lock);
    let has_run = |policy: &PolicyName| state.ledger.has_run_tick(lock, policy, tick, noon()).unwrap();
    let begin = |id, cause| {
        let policies = [(policy.clone(), Mode::Enforce)];
        let run = NewRun {
            id,
            policies: &policies,
            config_sha256: "c0ffee",
            started_at: noon(),
            cause,
            person: None,
        };
        state.ledger.begin_run(&run).unwrap();
    };
    let finish = |id, result, interrupted| {
        let finished = [FinishedPolicy {
            policy: policy.clone(),
            result,
            summary: RunSummary {
                interrupted,
                numbers: None,
            },
        }];
        state.ledger.finish_run(id, noon(), &finished).unwrap();
    };
    begin("typed", "apply");
    finish("typed", RunResult::Success, None);
    assert!(!has_run(&policy), "what a person typed is not the tick's run");
    begin("killed", "schedule");
    assert!(!has_run(&policy), "whoever has the right to delete is not that run");
    finish("killed", RunResult::Failed, Some(Interruption::Killed));
    assert!(!has_run(&policy));
    begin("refused", "schedule");
    finish("refused", RunResult::Failed, None);
    assert!(!has_run(&policy), "its daemon may have had a key that is refused");
    begin("whole", "schedule");
    finish("whole", RunResult::Partial, None);
    assert!(has_run(&policy) && !has_run(&other));
    assert!(
        !state
            .ledger
            .has_run_tick(lock, &policy, noon() + TimeDelta::minutes(1), noon())
            .unwrap()
    );
}

/// A freeze waits for its requests, and not for those of a process that is gone for good.
#[test]
fn whoever_left_its_lease_more_than_a_request_ago_is_not_deleting() {
    let Some((server, database, state)) = shared() else {
        return;
    };
    assert!(cleared(&state, 1) && state.ledger.is_deleting());
    let ended = |seconds| {
        let sql = format!("UPDATE lease SET expires = clock_timestamp() - interval '{seconds} seconds'");
        server.psql(&database, &sql);
        state.ledger.is_deleting()
    };
    assert!(ended(20), "what it intended last may still be on its way");
    assert!(!ended(27));
    // Given back at its end: it has its answers.
    server.psql(&database, "UPDATE lease SET expires = clock_timestamp(), server = ''");
    assert!(!state.ledger.is_deleting());
}

/// It was stopped for longer than its lease, and goes on where it was.
#[test]
fn an_answer_that_comes_after_the_next_holder_closed_its_request_breaks_nothing() {
    let Some((server, database, state)) = shared() else {
        return;
    };
    let request = state.intend([1]);
    server.psql(&database, "UPDATE lease SET expires = clock_timestamp()");
    let next = Ledger::lock_deletions(state.place.clone(), &[project()])
        .unwrap()
        .unwrap();
    super::deleting::a_late_answer_breaks_nothing(&state, request, &next);
}

/// As after a failover to a standby that lacks the newest row.
#[test]
fn one_daemon_that_finds_the_state_set_back_stops_every_daemon_until_a_person_accepts_it() {
    let Some((server, database, state)) = shared() else {
        return;
    };
    let other = state.again(Access::Existing);
    let hold = state
        .ledger
        .add_hold(&hold_on(HoldTarget::Backup(id(9))), "dba", noon())
        .unwrap();
    assert_eq!(hold.id.as_deref(), Some("h1"));
    server.psql(
        &database,
        "SET session_replication_role = replica; DELETE FROM hold; DELETE FROM chain WHERE kind = 'hold'; \
         UPDATE meta SET value = (SELECT MAX(seq)::text FROM chain) WHERE key = 'rows'; \
         UPDATE meta SET value = (SELECT hash FROM chain ORDER BY seq DESC LIMIT 1) WHERE key = 'head'",
    );
    let intends = |ledger: &Ledger, number| ledger.intend(&state.intent(), &mut batch([number]));
    // It never knew that row.
    assert!(matches!(intends(&other, 1), Ok(IntentResult::Cleared { .. })));
    for refused in [
        state.ledger.head().map(drop),
        intends(&other, 2).map(drop),
        other.must_contain_noted(),
    ] {
        let error = refused.unwrap_err();
        assert!(
            matches!(error.fault(), Some(Fault::SetBackFor { .. })) && error.is_lost(),
            "{error}"
        );
    }
    let started = Ledger::open(state.place.clone(), Access::Existing, noon()).unwrap();
    assert!(started.must_contain_noted().is_err(), "one that starts, too");
    assert_eq!(started.accept_rewind(&[], "dba", noon()).unwrap(), 1);
    for (ledger, number) in [(&state.ledger, 3), (&other, 4), (&started, 5)] {
        ledger.join("here", "c0ffee").unwrap();
        ledger.must_contain_noted().unwrap();
        let cleared = intends(ledger, number);
        assert!(matches!(cleared, Ok(IntentResult::Cleared { .. })), "{cleared:?}");
    }
    assert!(matches!(other.verify(None).unwrap(), Verification::Intact { .. }));
}

fn cleared_grace<'a>(project: &'a ProjectName, instance: &'a InstanceId, backup: &'a BackupId) -> GraceUpdate<'a> {
    GraceUpdate {
        cleared: vec![GraceKey {
            project,
            instance,
            backup,
        }],
        ..GraceUpdate::default()
    }
}

/// What a run learned may be older than what the run that has its lease now has written.
#[test]
fn who_lost_the_lease_writes_nothing_of_what_it_learned() {
    let Some((server, database, state)) = shared() else {
        return;
    };
    let expire = || server.psql(&database, "UPDATE lease SET expires = clock_timestamp()");
    let take = || {
        Ledger::lock_deletions(state.place.clone(), &[project()])
            .unwrap()
            .map(Arc::new)
    };
    state.begin_run("run-1").unwrap();
    state.accept([1, 2, 3]);
    let open = state.intend([4]);
    expire();
    let lock = take().unwrap();
    let lost = state.ledger.fenced_by(Some(&lock));
    let (policy, instance) = (PolicyName::from("p"), InstanceId::from(INSTANCE));
    let changes = |backups: std::ops::Range<usize>| {
        let mut changes = ObservedChanges::default();
        let before = state.ledger.remembered(&instance).unwrap();
        changes.add(&project(), &instance, &listed()[backups], before, Some(noon()));
        changes
    };
    let (before, again) = (changes(0..1), changes(0..2));
    lost.remember_backups(&before, noon()).unwrap();
    let known = state.ledger.head().unwrap();
    expire();
    let other = take().unwrap();
    let (project_name, backup) = (project(), id(5));
    let update = cleared_grace(&project_name, &instance, &backup);
    let doubt = ListingDoubt {
        target: INSTANCE.to_owned(),
        part: ListingPart::Entries,
        says: "3".to_owned(),
    };
    let of = [(project(), instance.clone())];
    let writes: [(&str, Result<(), Error>); 9] = [
        ("remember_backups", lost.remember_backups(&again, noon())),
        (
            "observe",
            lost.observe(noon(), |seen| seen.accept_count(&project(), Some(1), &[])),
        ),
        ("settle", lost.settle("run-1", noon(), &[id(1)], &[]).map(|_| ())),
        ("settle", lost.settle("run-1", noon(), &[], &[id(2)]).map(|_| ())),
        ("update_grace", lost.update_grace(&policy, &update, noon())),
        ("clear_grace_of", lost.clear_grace_of(&policy, &of, noon())),
        ("record_doubts", lost.record_doubts(&[doubt], &[])),
        (
            "close_open_requests",
            lost.close_open_requests(&lock, noon()).map(|_| ()),
        ),
        ("begin_run", lost.begin_run(&new_run("run-2"))),
    ];
    for (what, done) in writes {
        let error = done.expect_err(what);
        assert!(matches!(error.fault(), Some(Fault::LeaseLost)), "{what}: {error}");
    }
    assert_eq!(state.ledger.head().unwrap(), known, "nothing was written");
    // What became of its own request, and of itself, is no other's to say.
    lost.record(open, noon(), None, &[(id(4), Outcome::Accepted)]).unwrap();
    let theirs = state.ledger.fenced_by(Some(&other));
    assert_eq!(theirs.settle("run-2", noon(), &[id(1), id(4)], &[id(2)]).unwrap(), 3);
    theirs.remember_backups(&changes(0..2), noon()).unwrap();
    lost.finish_run("run-1", noon(), &[]).unwrap();
    assert!(matches!(
        state.ledger.verify(None).unwrap(),
        Verification::Intact { .. }
    ));
}
