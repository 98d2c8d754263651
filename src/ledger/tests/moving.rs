//! Moving a state: both directions, killed at each step, refused where anything is in doubt.

use std::fs;

use super::super::fixtures::{State, batch, freeze, hold_on, id, noon, project, shared_place};
use super::super::moving::MoveStep;
use super::super::postgres_server::server;
use super::super::{Access, Actor, Error, Fault, IntentResult, Ledger, MovedState, StatePlace, Thaw, Verification};
use crate::retention::HoldTarget;

/// A state with something of most kinds in it, an empty place of the other kind, and what must live as long as that.
fn from_and_to() -> Vec<(State, StatePlace, tempfile::TempDir)> {
    let mut both = Vec::new();
    let dir = || tempfile::tempdir().unwrap();
    let Some(server) = server() else { return both };
    let database = || shared_place(&server.url(&server.database()));
    let (old, new) = (dir(), dir());
    both.push((filled(StatePlace::from(old.path())), database(), old));
    let to = StatePlace::from(&new.path().join("new"));
    both.push((filled(database()), to, new));
    both
}

fn filled(place: StatePlace) -> State {
    let state = State::at(place);
    let ledger = &state.ledger;
    ledger.set_freeze(&freeze(), "dba", noon()).unwrap();
    ledger.thaw(Thaw::All, "dba", noon()).unwrap();
    state.accept([1, 2, 3]);
    state.intend([4]);
    ledger
        .add_hold(&hold_on(HoldTarget::Backup(id(5))), "dba", noon())
        .unwrap();
    ledger.set_freeze(&freeze(), "dba", noon()).unwrap();
    ledger.thaw(Thaw::All, "dba", noon()).unwrap();
    let refusal = super::super::KeyRefusal {
        access_key: "a".to_owned(),
        whole: "b".to_owned(),
        at: noon(),
        blocked_until: None,
    };
    ledger.record_key_refusal(&refusal, noon()).unwrap();
    ledger
        .write(|tx| tx.batch("INSERT INTO grace (policy, project, instance, backup, name, since, seen) VALUES ('p', 'prod', 'i', 'b', 'n', 1, 2)"))
        .unwrap();
    state
}

fn moved(state: &State, to: &StatePlace, dies_after: Option<MoveStep>) -> Result<MovedState, Error> {
    let actor = Actor::from("dba");
    state
        .ledger
        .move_in_steps(&state.place, to, &state.lock, actor, noon(), |step| match dies_after {
            Some(last) if last == step => Err(Error::of_file(Fault::Busy)),
            _ => Ok(()),
        })
}

fn open(place: &StatePlace) -> Result<Ledger, Error> {
    Ledger::open(place.clone(), Access::Existing, noon())
}

#[test]
fn a_moved_state_is_the_same_there_and_gone_here() {
    for (state, to, _dir) in from_and_to() {
        let holds = state.ledger.holds().unwrap();
        let refusals = state.ledger.key_refusals(noon()).unwrap();
        let moved = moved(&state, &to, None).unwrap();
        let there = open(&to).unwrap();
        assert_eq!(there.head().unwrap(), moved.head);
        assert!(
            matches!(there.verify(Some(&moved.head)).unwrap(), Verification::Intact { rows, .. } if rows == moved.rows)
        );
        assert_eq!(there.created_at(), noon());
        assert_eq!(there.holds().unwrap(), holds);
        assert_eq!(there.key_refusals(noon()).unwrap(), refusals);
        assert_eq!(there.open_requests().unwrap().len(), 1);
        let grace = there
            .read(|tx| tx.number("SELECT since + seen FROM grace", ()))
            .unwrap();
        assert_eq!(grace, 3);
        // Two freezes were placed and ended: their numbers are never used again.
        assert_eq!(there.set_freeze(&freeze(), "dba", noon()).unwrap().id, "f3");
        assert_eq!(
            there
                .add_hold(&hold_on(HoldTarget::Backup(id(6))), "dba", noon())
                .unwrap()
                .id
                .as_deref(),
            Some("h2")
        );
        there.thaw(Thaw::All, "dba", noon()).unwrap();
        // What had it open before writes nothing more, and nobody opens it.
        let here = [
            state.ledger.set_freeze(&freeze(), "dba", noon()).map(drop),
            open(&state.place).map(drop),
        ];
        for refused in here {
            let error = refused.unwrap_err();
            assert!(error.to_string().contains(&format!("moved to {to}")), "{error}");
            assert!(matches!(error.fault(), Some(Fault::Moved { .. })), "{error:?}");
        }
        let refused = state.ledger.intend(&state.intent(), &mut batch([7]));
        assert!(refused.is_err(), "{refused:?}");
        // The twin.
        there.join("here", "c0ffee").unwrap();
        let lock = Ledger::lock_deletions(to.clone(), &[project()]).unwrap().unwrap();
        let intent = super::super::Intent {
            lock: &lock,
            ..state.intent()
        };
        if lock.drains_for().is_zero() {
            let cleared = there.intend(&intent, &mut batch([7]));
            assert!(matches!(cleared, Ok(IntentResult::Cleared { .. })), "{cleared:?}");
        }
    }
}

#[test]
fn killed_after_any_step_a_move_leaves_exactly_one_state_and_ends_when_it_is_tried_again() {
    for step in [MoveStep::Copied, MoveStep::Left] {
        for (state, to, _dir) in from_and_to() {
            moved(&state, &to, Some(step)).unwrap_err();
            let here = open(&state.place);
            let there = open(&to);
            assert_eq!(
                (here.is_ok(), there.is_ok()),
                (step == MoveStep::Copied, step == MoveStep::Left),
                "{here:?} {there:?}"
            );
            drop((here, there));
            if step == MoveStep::Copied {
                let error = open(&to).unwrap_err();
                assert!(matches!(error.fault(), Some(Fault::Unfinished(_))), "{error}");
                moved(&state, &to, None).unwrap();
            }
            let there = open(&to).unwrap();
            assert!(matches!(there.verify(None).unwrap(), Verification::Intact { .. }));
            assert!(open(&state.place).is_err());
        }
    }
}

#[test]
fn a_copy_whose_original_cannot_be_asked_is_not_used() {
    let Some(server) = server() else { return };
    let dir = tempfile::tempdir().unwrap();
    let (old, aside) = (dir.path().join("old"), dir.path().join("aside"));
    let state = filled(StatePlace::from(&old));
    let to = shared_place(&server.url(&server.database()));
    moved(&state, &to, Some(MoveStep::Left)).unwrap_err();
    fs::rename(&old, &aside).unwrap();
    let error = open(&to).unwrap_err();
    assert!(error.to_string().contains(&old.display().to_string()), "{error}");
    fs::rename(&aside, &old).unwrap();
    open(&to).unwrap();
}

/// A program that does not know of moves reads the format, the end of the chain, and when the ledger was made; it shows what it cannot read.
#[test]
fn an_older_program_refuses_what_was_moved_and_shows_where_it_went() {
    for (state, to, _dir) in from_and_to() {
        moved(&state, &to, None).unwrap();
        let sql = "SELECT value FROM meta WHERE key = 'created_at'";
        let says = match &state.place {
            StatePlace::Directory(dir) => {
                let file = rusqlite::Connection::open(dir.join("ledger.sqlite3")).unwrap();
                let format: i64 = file.query_row("PRAGMA user_version", [], |row| row.get(0)).unwrap();
                assert_eq!(format, 3, "of the newest program that was released without moves");
                file.query_row(sql, [], |row| row.get(0)).unwrap()
            }
            StatePlace::Postgres(address) => server().unwrap().psql(address.target.get_dbname().unwrap(), sql),
        };
        let error = super::super::chain::read_time(&says).unwrap_err().to_string();
        assert!(error.contains(&format!("moved to {to}")), "{error}");
    }
}

#[test]
fn nothing_is_moved_onto_a_state_nor_from_a_damaged_one_nor_without_the_right_to_delete() {
    for (state, to, _dir) in from_and_to() {
        let other = match &to {
            StatePlace::Directory(dir) => State::at(StatePlace::from(dir)),
            place @ StatePlace::Postgres(_) => State::at(place.clone()),
        };
        let (before, here) = (other.ledger.head().unwrap(), state.ledger.head().unwrap());
        let error = moved(&state, &to, None).unwrap_err();
        assert!(matches!(error.fault(), Some(Fault::NotEmpty)), "{error}");
        assert_eq!(
            (other.ledger.head().unwrap(), state.ledger.head().unwrap()),
            (before, here)
        );
        let actor = Actor::from("dba");
        let refused = state.ledger.move_to(&state.place, &to, &other.lock, actor, noon());
        assert!(matches!(refused, Err(Error::WrongLock { .. })), "{refused:?}");
    }
    for (state, to, _dir) in from_and_to() {
        state.tamper("UPDATE chain SET body = '{}' WHERE seq = 2");
        let error = moved(&state, &to, None).unwrap_err();
        assert!(error.to_string().contains("row 2"), "{error}");
        assert!(open(&to).is_err());
    }
}

#[test]
fn a_state_that_another_process_has_open_or_lives_on_is_not_moved() {
    let dir = tempfile::tempdir().unwrap();
    let place = StatePlace::from(dir.path());
    let ledger = Ledger::open(place.clone(), Access::Create, noon()).unwrap();
    let error = Ledger::must_be_alone(dir.path()).unwrap_err();
    assert!(matches!(error.fault(), Some(Fault::InUse(_))), "{error}");
    drop(ledger);
    Ledger::must_be_alone(dir.path()).unwrap();
    open(&place).unwrap().probe().unwrap();
    let Some(server) = server() else { return };
    let state = State::at(shared_place(&server.url(&server.database())));
    let error = state.ledger.leased_projects().unwrap_err();
    assert!(error.to_string().contains("here"), "{error}");
    state.ledger.leave();
    assert_eq!(state.ledger.leased_projects().unwrap(), [project()]);
}
