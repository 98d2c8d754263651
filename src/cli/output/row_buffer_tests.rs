use serde_json::{Value, json};

use super::*;
use crate::retention::{
    Backup, BackupKind, BackupStatus, Databases, Engine, ExpireReason, Hold, HoldTarget, Instance, InstanceLife,
    KeepReason, KeptBy, Outcome,
};

fn row(number: usize, action: Action) -> BackupRow {
    BackupRow {
        instance: Arc::new(Instance {
            engine: Engine::SqlServer,
            project: "prod".into(),
            id: "in04".into(),
            name: "mssql \"1\"".into(),
            tags: Vec::new(),
            enterprise_project: None,
            life: InstanceLife::Listed,
        }),
        backup: Backup {
            id: format!("{:032x}br04", fastrand::Rng::with_seed(number as u64).u128(..))
                .as_str()
                .into(),
            name: format!("nightly-{number}\n").as_str().into(),
            kind: BackupKind::Manual,
            engine: Engine::SqlServer,
            status: BackupStatus::Completed,
            begin: None,
            size_bytes: number as u64,
            databases: Databases::All,
            end: None,
            doubt: None,
        },
        action,
        expires_at: None,
        fate: None,
    }
}

/// Of three, one is kept, one waits and one is due.
fn rows(count: usize) -> Vec<BackupRow> {
    let action = |number| match number % 3 {
        0 => Action::Keep(vec![KeepReason {
            keeper: KeptBy::Floor,
            slot: None,
            series: None,
            oldest: false,
        }]),
        1 => Action::Wait {
            reason: ExpireReason::NotKept,
            since: None,
            due_at: None,
        },
        _ => Action::Delete(ExpireReason::MaxAge),
    };
    (0..count).map(|number| row(number, action(number))).collect()
}

fn read(buffered: &BufferedRows, policy: &str, fates: &Fates) -> Value {
    let mut out = Vec::new();
    let mut serializer = serde_json::Serializer::new(&mut out);
    buffered
        .serialize(&policy.into(), (fates, &Held::new()), &mut serializer)
        .unwrap();
    serde_json::from_slice(&out).unwrap()
}

#[test]
fn what_was_buffered_comes_back_whole_and_in_order_through_many_pieces() {
    let (buffered, rows) = (BufferedRows::default(), rows(5_000));
    // Two policies tell in turns, as they do where both claim an instance.
    for row in &rows {
        buffered.tell(&"a".into(), row);
        if row.backup.size_bytes.is_multiple_of(7) {
            buffered.tell(&"b".into(), row);
        }
    }
    let as_values = |rows: &mut dyn Iterator<Item = &BackupRow>| -> Value {
        rows.map(|row| serde_json::to_value(DecisionJson::of(row)).unwrap())
            .collect()
    };
    assert_eq!(read(&buffered, "a", &Fates::new()), as_values(&mut rows.iter()));
    let mut sevenths = rows.iter().filter(|row| row.backup.size_bytes.is_multiple_of(7));
    assert_eq!(read(&buffered, "b", &Fates::new()), as_values(&mut sevenths));
    assert_eq!(read(&buffered, "no such policy", &Fates::new()), json!([]));

    let policies = buffered.open();
    let text = &policies[&PolicyName::from("a")];
    assert!(text.packed.len() > 10 && text.failed.is_none(), "{}", text.packed.len());
    let held = text.open.capacity() + text.packed.iter().map(|piece| piece.len()).sum::<usize>();
    assert!(held < rows.len() * 80, "{held} bytes for {} decisions", rows.len());
}

#[test]
fn what_became_of_an_id_is_shown_for_every_decision_that_may_go_and_of_no_other() {
    let (buffered, rows) = (BufferedRows::default(), rows(600));
    for row in &rows {
        buffered.tell(&"a".into(), row);
    }
    let rejected = Arc::new(Fate::Answered(Outcome::Rejected {
        code: "DBS.\"1".to_owned(),
        message: "no\n".to_owned(),
    }));
    // Every id but the first waiting one, also the kept ones, which no run sends.
    let sent = rows.iter().filter(|row| row.backup.size_bytes != 1);
    let mut fates: Fates = sent
        .map(|row| (row.backup.id.clone(), Arc::new(Fate::Confirmed)))
        .collect();
    fates.insert(rows[2].backup.id.clone(), rejected);
    let read = read(&buffered, "a", &fates);
    for (decision, row) in read.as_array().unwrap().iter().zip(&rows) {
        let mut expected = serde_json::to_value(DecisionJson::of(row)).unwrap();
        match (row.backup.size_bytes, &row.action) {
            (1, _) | (_, Action::Keep(_)) => {}
            (2, _) => {
                expected["outcome"] = json!("rejected");
                expected["error"] = json!({"code": "DBS.\"1", "message": "no\n"});
            }
            _ => expected["outcome"] = json!("confirmed"),
        }
        assert_eq!(*decision, expected);
    }
    assert_eq!(read.as_array().unwrap().len(), rows.len());
}

/// A hold came while the run was sending.
#[test]
fn what_is_held_since_it_was_due_is_kept_by_the_hold() {
    let (buffered, rows) = (BufferedRows::default(), rows(6));
    for row in &rows {
        buffered.tell(&"a".into(), row);
    }
    let by_hand = Hold {
        id: None,
        target: HoldTarget::Backup(rows[2].backup.id.clone()),
        reason: "case 4711".to_owned(),
        owner: None,
        until: None,
    };
    let held = Held::from([(rows[2].backup.id.clone(), KeepReason::hold(by_hand.clone()))]);
    let mut out = Vec::new();
    let mut serializer = serde_json::Serializer::new(&mut out);
    buffered
        .serialize(&"a".into(), (&Fates::new(), &held), &mut serializer)
        .unwrap();
    let read: Vec<Value> = serde_json::from_slice(&out).unwrap();
    let mut kept = rows[2].clone();
    kept.action = Action::Keep(vec![KeepReason::hold(by_hand)]);
    assert_eq!(read[2], serde_json::to_value(DecisionJson::of(&kept)).unwrap());
    // The twin.
    assert_eq!(read[5]["decision"], "delete");
}

#[test]
fn a_piece_that_is_cut_off_is_an_error_and_not_a_shorter_list() {
    let buffered = BufferedRows::default();
    buffered.tell(&"a".into(), &rows(1)[0]);
    buffered.open().get_mut("a").unwrap().open.pop();
    let mut out = Vec::new();
    let mut serializer = serde_json::Serializer::new(&mut out);
    let error = buffered
        .serialize(&"a".into(), (&Fates::new(), &Held::new()), &mut serializer)
        .unwrap_err();
    assert!(error.to_string().contains("a decision is cut off"), "{error}");
}
