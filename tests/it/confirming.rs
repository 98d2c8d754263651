//! How what was accepted is looked for again: in as few calls as prove it.

use std::collections::BTreeSet;

use rds_retentiond::simulator::Op;

use super::world::{World, backup_id, ids};

const KEEP_447: &str = "
  - name: p
    mode: enforce
    keep: {last: 447}
    grace: 0s
";

/// The ids that lists of backups were asked for, none for a page of a whole list.
fn asked_for(world: &World) -> Vec<Option<String>> {
    let id = |query: &str| {
        let mut parameters = query.split('&');
        let found = parameters.find_map(|parameter| parameter.strip_prefix("backup_id="))?;
        Some(found.to_owned())
    };
    let calls = world.simulator.calls_of(Op::ListBackups);
    calls.iter().map(|call| id(&call.query)).collect()
}

#[tokio::test]
async fn a_few_ids_of_a_large_instance_are_asked_for_one_by_one() {
    let world = World::new(&[450]).await;
    world.policies(KEEP_447);
    let report = world.apply().await.exits(0).json();
    world.deleted_exactly(&ids(1, 447..450));
    let asked = asked_for(&world);
    assert_eq!(asked[..5], [None, None, None, None, None], "five pages to decide on");
    let sent: BTreeSet<_> = ids(1, 447..450).into_iter().map(Some).collect();
    assert_eq!(asked[5..].iter().cloned().collect::<BTreeSet<_>>(), sent);
    assert_eq!(asked.len(), 8, "{asked:?}");
    // Instances, backups, tasks and retain policies, the batch, and what went.
    assert_eq!(report["calls"], 1 + 5 + 2 + 1 + 3);
    assert_eq!(report["policies"][0]["sent"]["simulator"]["fates"]["confirmed"], 3);
    assert!(world.ledger().unconfirmed().unwrap().is_empty());
}

#[tokio::test]
async fn what_is_still_there_when_asked_for_is_not_confirmed() {
    let world = World::new(&[450]).await;
    world.policies(KEEP_447);
    // Accepted, and nothing is deleted.
    world.fault(&format!("delete_batch:ignore:backup={}", backup_id(1, 448)));
    let ran = world.run(&["apply", "--confirm-for", "0s", "--format", "json"]).await;
    let report = ran.exits(0).json();
    assert_eq!(asked_for(&world).iter().flatten().count(), 3);
    assert_eq!(report["unconfirmed"]["simulator"], 3 - world.deleted().len());
}

#[tokio::test]
async fn an_answer_about_one_id_that_does_not_agree_proves_nothing() {
    for fault in ["extra", "foreign_instance", "foreign_type", "no_count", "body=html"] {
        let world = World::new(&[250]).await;
        world.policies("\n  - name: p\n    mode: enforce\n    keep: {last: 249}\n    grace: 0s\n");
        // The three pages that are decided on are good; so is the whole list after four tries for the id.
        world.fault(&format!("list_backups:{fault}:after=3:times=4"));
        // Not gone, so that the answer has an entry that can be wrong.
        world.fault("delete_batch:ignore");
        let ran = world.run(&["apply", "--confirm-for", "0s", "--format", "json"]).await;
        let report = ran.exits(0).json();
        let asked = asked_for(&world);
        assert_eq!(asked.iter().flatten().count(), 4, "{fault}: {asked:?}");
        assert_eq!(asked[7..], [None, None, None], "{fault}: the whole list is read");
        assert_eq!(report["unconfirmed"]["simulator"], 1, "{fault}");
    }
}

/// A list that agrees with itself, and has nothing of what was kept: it says as little about what was sent.
#[tokio::test]
async fn a_list_without_what_was_kept_confirms_nothing() {
    let world = World::new(&[20]).await;
    world.policies("\n  - name: p\n    mode: enforce\n    keep: {last: 10}\n    grace: 0s\n");
    world.fault("delete_batch:ignore");
    for fault in ["missing=20", "count=-20"] {
        world.fault(&format!("list_backups:{fault}:after=1"));
    }
    let report = world.run(&["apply", "--confirm-for", "0s", "--format", "json"]).await;
    let report = report.exits(0).json();
    assert_eq!(asked_for(&world), [None, None]);
    assert_eq!(report["unconfirmed"]["simulator"], 10, "{report}");
    assert_eq!(world.ledger().unconfirmed().unwrap().len(), 10);
}
