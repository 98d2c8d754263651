//! What was seen of listings, instances and backups.

use chrono::{DateTime, TimeDelta, Utc};

use super::super::fixtures::{INSTANCE, State, id, noon, project};
use super::super::{ListingDoubt, ListingPart, ObservedChanges, RefusedPlan, Verification};
use crate::retention::{
    Backup, BackupId, BackupKind, BackupStatus, Databases, Doubt, Engine, Instance, InstanceId, InstanceLife,
    PolicyName,
};

fn policy() -> PolicyName {
    "production".into()
}

#[test]
fn a_listing_that_shrank_is_disbelieved_since_the_first_time_until_one_is_believed() {
    let state = State::new();
    let (ledger, project, instance) = (&state.ledger, project(), InstanceId::from(INSTANCE));
    ledger
        .observe(noon(), |seen| {
            seen.accept_count(&project, None, &[(instance.clone(), 20)])
        })
        .unwrap();
    let hours = |hours| noon() + TimeDelta::hours(hours);
    assert_eq!(
        ledger
            .observe(hours(1), |seen| seen.mark_shrunk(&project, Some(&instance)))
            .unwrap(),
        hours(1)
    );
    assert_eq!(
        ledger
            .observe(hours(2), |seen| seen.mark_shrunk(&project, Some(&instance)))
            .unwrap(),
        hours(1)
    );
    let believed = ledger.believed(&project).unwrap().backups[&instance];
    assert_eq!((believed.count, believed.shrunk_since), (Some(20), Some(hours(1))));
    ledger
        .observe(hours(5), |seen| {
            seen.accept_count(&project, None, &[(instance.clone(), 3)])
        })
        .unwrap();
    let believed = ledger.believed(&project).unwrap().backups[&instance];
    assert_eq!((believed.count, believed.shrunk_since), (Some(3), None));
}

#[test]
fn what_is_accepted_of_a_listing_is_what_was_seen_and_nothing_else() {
    let state = State::new();
    let ledger = &state.ledger;
    let doubt = |part: ListingPart, says: &str| ListingDoubt {
        target: INSTANCE.to_owned(),
        part,
        says: says.to_owned(),
    };
    let accepted = || {
        let doubts = ledger.listing_doubts().unwrap().into_iter();
        let accepted = doubts.filter(|(_, (_, accepted))| *accepted);
        accepted.map(|((_, part), (says, _))| (part, says)).collect::<Vec<_>>()
    };
    let backup = || ListingPart::Backup(id(1));
    assert_eq!(ledger.accept_listing(INSTANCE, "dba", noon()).unwrap(), []);
    let seen = [doubt(ListingPart::Entries, "3"), doubt(backup(), "x")];
    ledger.record_doubts(&seen, &[]).unwrap();
    assert_eq!(ledger.accept_listing("another", "dba", noon()).unwrap(), []);
    assert_eq!(accepted(), []);
    assert_eq!(ledger.accept_listing(INSTANCE, "dba", noon()).unwrap(), seen);
    assert_eq!(
        accepted(),
        [(ListingPart::Entries, "3".to_owned()), (backup(), "x".to_owned())]
    );
    // The same again: still accepted. Another word: in doubt again, and going back to the first one does not help.
    ledger.record_doubts(&seen, &[]).unwrap();
    assert_eq!(accepted().len(), 2);
    ledger.record_doubts(&[doubt(backup(), "y")], &[]).unwrap();
    ledger.record_doubts(&seen, &[]).unwrap();
    assert_eq!(accepted(), [(ListingPart::Entries, "3".to_owned())]);
    // Read without doubt: forgotten.
    ledger
        .record_doubts(&[], &[(INSTANCE.to_owned(), ListingPart::Entries)])
        .unwrap();
    assert_eq!(accepted(), []);
    assert!(matches!(ledger.verify(None).unwrap(), Verification::Intact { .. }));
}

fn instance(id: &str, name: &str) -> Instance {
    Instance {
        engine: Engine::SqlServer,
        project: project(),
        id: id.into(),
        name: name.into(),
        tags: vec![("env".to_owned(), "prod".to_owned())],
        enterprise_project: Some("0".to_owned()),
        life: InstanceLife::Listed,
    }
}

#[test]
fn an_instance_is_long_missed_after_three_listings_over_a_day() {
    let state = State::new();
    let (a, b) = (instance("ain04", "a"), instance("bin04", "b"));
    let listing = |listed: &[Instance], hours| {
        let at = noon() + TimeDelta::hours(hours);
        state
            .ledger
            .observe(at, |seen| {
                seen.remember_instances(&project(), &[Engine::SqlServer], listed)
            })
            .unwrap();
        let seen = state.ledger.seen_instances(&project()).unwrap();
        let mut seen = seen.into_iter();
        seen.find(|seen| seen.instance.id.as_str() == "ain04").unwrap()
    };
    let both = [a.clone(), b.clone()];
    let only_b = [b];
    assert!(!listing(&both, 0).is_long_missed(noon() + TimeDelta::days(90)));
    listing(&only_b, 1);
    listing(&only_b, 2);
    assert!(
        !listing(&only_b, 3).is_long_missed(noon() + TimeDelta::days(90)),
        "three listings, but in two hours"
    );
    let seen = listing(&only_b, 25);
    assert!(seen.is_long_missed(noon() + TimeDelta::days(90)));
    assert_eq!(
        (seen.instance, seen.missed, seen.missed_since),
        (a, 4, Some(noon() + TimeDelta::hours(1)))
    );
    assert_eq!(listing(&both, 26).missed, 0, "it came back");
    listing(&only_b, 30);
    assert!(
        !listing(&only_b, 90).is_long_missed(noon() + TimeDelta::days(90)),
        "two listings, though over days"
    );
}

#[test]
fn databases_are_remembered_as_last_seen() {
    let state = State::new();
    let listed = |number: usize, databases: Databases| Backup {
        id: id(number),
        name: format!("nightly-{number}").into(),
        kind: BackupKind::Manual,
        engine: Engine::SqlServer,
        status: BackupStatus::Completed,
        begin: Some(noon()),
        size_bytes: 1,
        databases,
        end: None,
        doubt: None,
    };
    let instance = InstanceId::from(INSTANCE);
    let first = [
        listed(1, Databases::All),
        listed(2, Databases::from_names(["sales", "hr"])),
        listed(3, Databases::Unknown),
        listed(4, Databases::All),
    ];
    let remember = |listed: &[Backup], at| {
        remember_at(&state, &instance, listed, Some(at));
    };
    remember(&first, noon());
    remember(&first[..3], noon() + TimeDelta::hours(24));
    let seen = state.ledger.seen_databases(&instance).unwrap();
    assert_eq!(seen.len(), 4, "what is gone is remembered for a while");
    remember(&first[..3], noon() + TimeDelta::days(7));
    let seen = state.ledger.seen_databases(&instance).unwrap();
    assert_eq!(seen.len(), 3);
    assert_eq!(seen[&id(1)], Databases::All);
    assert_eq!(seen[&id(2)], Databases::from_names(["hr", "sales"]));
    assert_eq!(seen[&id(3)], Databases::Unknown);
    assert_eq!(state.ledger.known_backup(&id(2)).unwrap().unwrap().instance, instance);
    assert_eq!(state.ledger.known_backup(&id(4)).unwrap(), None);
    state.accept([4]);
    assert_eq!(state.ledger.known_backup(&id(4)).unwrap().unwrap().project, project());
}

fn listed(status: BackupStatus, hour: i64, doubt: Option<Doubt>) -> Backup {
    Backup {
        id: id(1),
        name: "nightly".into(),
        kind: BackupKind::Manual,
        engine: Engine::SqlServer,
        status,
        begin: Some(noon() + TimeDelta::hours(hour) + TimeDelta::nanoseconds(1)),
        end: None,
        size_bytes: 1,
        databases: Databases::All,
        doubt,
    }
}

/// A listing of an instance so many days after noon; `None` is a clock in doubt.
fn remember(state: &State, instance: &InstanceId, listed: &[Backup], days: Option<i64>) {
    remember_at(state, instance, listed, days.map(|days| noon() + TimeDelta::days(days)));
}

fn remember_at(state: &State, instance: &InstanceId, listed: &[Backup], now: Option<DateTime<Utc>>) {
    let mut changes = ObservedChanges::default();
    let before = state.ledger.remembered(instance).unwrap();
    changes.add(&project(), instance, listed, before, now);
    state
        .ledger
        .remember_backups(&changes, now.unwrap_or_else(noon))
        .unwrap();
}

/// More rows than one statement inserts on PostgreSQL, which refuses a row that meets another one of its statement.
#[test]
fn listings_of_any_length_are_remembered_also_where_they_name_a_backup_twice() {
    let state = State::new();
    let one = InstanceId::from(INSTANCE);
    let backup = |nth, databases| Backup {
        id: id(nth),
        databases,
        ..listed(BackupStatus::Completed, 0, None)
    };
    let mut all: Vec<Backup> = (1..=1_200).map(|nth| backup(nth, Databases::All)).collect();
    all.push(backup(7, Databases::from_names(["sales"])));
    remember(&state, &one, &all, Some(0));
    let seen = state.ledger.seen_databases(&one).unwrap();
    assert_eq!(seen.len(), 1_200);
    assert_eq!(
        (&seen[&id(7)], &seen[&id(1_200)]),
        (&Databases::from_names(["sales"]), &Databases::All)
    );
    remember(&state, &one, &all[..2], Some(1));
    let after = state.ledger.remembered(&one).unwrap().backups;
    assert_eq!(after.values().filter(|seen| seen.gone_since.is_some()).count(), 1_198);
}

#[test]
fn what_a_backup_said_first_as_finished_stays() {
    let state = State::new();
    let one = InstanceId::from(INSTANCE);
    let said = || {
        let mut remembered = state.ledger.remembered(&one).unwrap();
        remembered.backups.remove(&id(1)).unwrap()
    };
    // While it is being made it may say what it likes.
    remember(&state, &one, &[listed(BackupStatus::Building, 0, None)], Some(0));
    let good = listed(BackupStatus::Completed, 1, None);
    assert!(!said().differs(&good, true));
    remember(&state, &one, std::slice::from_ref(&good), Some(0));
    assert!(!said().differs(&good, true), "a nanosecond is not kept");
    assert!(said().differs(&listed(BackupStatus::Completed, 2, None), true));
    assert!(said().differs(&listed(BackupStatus::Failed, 1, None), true));
    assert!(!said().differs(&listed(BackupStatus::Failed, 1, None), false));
    assert!(!said().differs(&listed(BackupStatus::Deleting, 2, None), true));
    // What is in doubt is not what it said.
    let before = said();
    let doubtful = listed(BackupStatus::Completed, 2, Some(Doubt::Changed));
    remember(&state, &one, &[doubtful], Some(1));
    assert_eq!(said(), before);
}

#[test]
fn what_is_gone_is_remembered_for_a_week() {
    let state = State::new();
    let (one, two) = (InstanceId::from(INSTANCE), InstanceId::from("another0000in04"));
    let good = [listed(BackupStatus::Completed, 1, None)];
    let day = |day: i64| Some(noon() + TimeDelta::days(day));
    let elsewhere = || {
        let mut found = None;
        let add = |_: &InstanceId, backup: &BackupId, at| {
            assert_eq!(*backup, id(1));
            found = Some(at);
        };
        state.ledger.each_listed(|instance| *instance == one, add).unwrap();
        found
    };
    remember(&state, &two, &good, Some(1));
    assert_eq!(elsewhere(), Some(day(1)));
    state
        .ledger
        .observe(day(2).unwrap(), |seen| seen.remember_listings([&two].into_iter()))
        .unwrap();
    remember(&state, &two, &[], Some(3));
    assert_eq!(elsewhere(), Some(day(2)), "when it was last listed");
    // A clock in doubt forgets nothing.
    remember(&state, &two, &[], None);
    remember(&state, &two, &[], Some(8));
    assert_eq!(elsewhere(), Some(day(2)));
    remember(&state, &two, &[], Some(9));
    assert_eq!(elsewhere(), None);
    // A time ahead, of a wrong clock, is not believed longer than its own length.
    remember(&state, &two, &good, Some(4_000));
    remember(&state, &two, &[], Some(4_001));
    remember(&state, &two, &[], Some(10));
    assert_eq!(elsewhere(), Some(day(10)));
}

/// A list of one engine says nothing of the others; one whose engine is not known is missed by each list.
#[test]
fn only_instances_of_the_engines_that_were_asked_for_are_missed() {
    let state = State::new();
    let ledger = &state.ledger;
    let of = |id: &str, engine: Engine| Instance {
        engine,
        ..instance(id, id)
    };
    let all = [
        of("ain04", Engine::SqlServer),
        of("bin01", Engine::MySql),
        of("c", Engine::parse("")),
    ];
    ledger
        .observe(noon(), |seen| {
            seen.remember_instances(&project(), &Engine::known().collect::<Vec<_>>(), &all)
        })
        .unwrap();
    let missed = || {
        let seen = ledger.seen_instances(&project()).unwrap();
        seen.into_iter().map(|seen| seen.missed).collect::<Vec<_>>()
    };
    ledger
        .observe(noon(), |seen| {
            seen.remember_instances(&project(), &[Engine::MySql], &[])
        })
        .unwrap();
    assert_eq!(missed(), [0, 1, 1]);
    ledger
        .observe(noon(), |seen| {
            seen.remember_instances(&project(), &Engine::known().collect::<Vec<_>>(), &[])
        })
        .unwrap();
    assert_eq!(missed(), [1, 2, 2]);
}

#[test]
fn what_is_dated_ahead_of_now_is_not_believed_longer_than_it_lasts() {
    let state = State::new();
    let (now, then) = (noon(), noon() + TimeDelta::days(6000));
    let ledger = &state.ledger;
    // Approvals.
    for at in [then, now] {
        let until = at + TimeDelta::hours(48);
        let plan = RefusedPlan::new("run", vec!["max_deletions".to_owned()], vec![id(1)], at);
        ledger.approve_plan(&policy(), &plan, until, "dba", now).unwrap();
        let wanted = usize::from(at == now);
        assert_eq!(
            ledger
                .approvals(&policy(), crate::retention::People::One, now)
                .unwrap()
                .len(),
            wanted
        );
    }
    // Doubt about a listing.
    for at in [then, now] {
        assert_eq!(
            ledger.observe(at, |seen| seen.mark_shrunk(&project(), None)).unwrap(),
            at
        );
    }
    // An instance that is missed.
    let missed = |at| {
        ledger
            .observe(at, |seen| {
                seen.remember_instances(&project(), &[Engine::SqlServer], &[])
            })
            .unwrap();
        ledger.seen_instances(&project()).unwrap().remove(0)
    };
    ledger
        .observe(now, |seen| {
            seen.remember_instances(&project(), &[Engine::SqlServer], &[instance("ain04", "a")])
        })
        .unwrap();
    missed(now);
    missed(now);
    assert!(
        !missed(then).is_long_missed(now + TimeDelta::hours(2)),
        "only by the wrong clock"
    );
    ledger
        .observe(now, |seen| {
            seen.remember_instances(&project(), &[Engine::SqlServer], &[instance("ain04", "a")])
        })
        .unwrap();
    missed(then);
    missed(now);
    assert!(missed(now + TimeDelta::hours(25)).is_long_missed(now + TimeDelta::hours(25)));
}
