//! Documented behaviour: listings, deletions, fleets, the journal.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use rds_retentiond::simulator::{
    Backup, BackupKind, Clock, DeletedListing, Engine, Fleet, Instance, Op, Options, Simulator, Status,
};
use serde_json::{Value, json};

use super::{Got, HOME, Lab, at, id};

#[tokio::test]
async fn backups_are_listed_newest_first_in_pages_with_documented_fields() {
    let lab = Lab::small().await;
    assert_eq!(lab.list().await.ids("backups"), [4, 3, 2, 1, 0].map(id));
    let page = lab
        .get(&format!("backups?instance_id={HOME}&offset=3&limit=1"))
        .await
        .json();
    assert_eq!(
        page,
        json!({"total_count": 5, "backups": [{
            "id": id(1), "instance_id": HOME, "name": "nightly_1", "type": "manual", "size": 1_048_576,
            "status": "COMPLETED", "begin_time": "2026-03-10T02:00:00+0000", "end_time": "2026-03-10T02:10:00+0000",
            "datastore": {"type": "SQLServer", "version": "2019_SE"}, "databases": [], "associated_with_ddm": false,
            "min_data_volume_capacity_for_restore": 40,
        }]})
    );
}

#[tokio::test]
async fn listing_filters_backups() {
    let lab = Lab::small().await;
    lab.simulator.set_status(&id(2), Status::Failed);
    let mut auto = Backup::manual("odd-id", HOME, "auto", at(-60));
    auto.kind = BackupKind::Auto;
    lab.simulator.add_backup(auto);
    let span = "begin_time=2026-03-11T10%3A00%3A00%2B0800&end_time=2026-03-12T02%3A00%3A00%2B0000";
    for (filter, expected) in [
        ("status=FAILED", vec![id(2)]),
        ("backup_type=auto", vec!["odd-id".to_owned()]),
        (&format!("backup_id={}", id(1)), vec![id(1)]),
        (span, vec![id(3), id(2)]),
    ] {
        assert_eq!(
            lab.get(&format!("backups?instance_id={HOME}&{filter}"))
                .await
                .ids("backups"),
            expected,
            "{filter}"
        );
    }
    assert_eq!(
        lab.get(&format!("backups?instance_id={HOME}"))
            .await
            .ids("backups")
            .len(),
        6
    );
}

#[tokio::test]
async fn undocumented_parameters_are_refused() {
    let lab = Lab::small().await;
    let tags = ["k=v"; 11].join(",");
    for query in [
        "backups".to_owned(),
        format!("backups?instance_id={HOME}&limit=0"),
        format!("backups?instance_id={HOME}&limit=101"),
        format!("backups?instance_id={HOME}&offset=-1"),
        format!("backups?instance_id={HOME}&status=DELETING"),
        format!("backups?instance_id={HOME}&backup_type=Manual"),
        format!("backups?instance_id={HOME}&begin_time=2026-03-11T10%3A00%3A00%2B0800"),
        "instances?limit=101".to_owned(),
        "instances?name=*".to_owned(),
        "instances?datastore_type=sqlserver".to_owned(),
        format!("instances?tags={tags}"),
    ] {
        assert_eq!(lab.get(&query).await.code(), (400, "DBS.200001".to_owned()), "{query}");
    }
    assert_eq!(
        lab.get("backups?instance_id=nosuchin04").await.code(),
        (404, "DBS.200002".to_owned())
    );
    assert_eq!(lab.get("nosuch").await.code(), (404, "APIGW.0101".to_owned()));
}

#[tokio::test]
async fn instances_are_filtered() {
    let lab = Lab::small().await;
    let mut other = Instance::sql_server("01in01", "mysql-prod", at(-5));
    other.engine = Engine::MySql;
    other.tags = vec![
        ("env".to_owned(), "prod".to_owned()),
        ("team".to_owned(), "x".to_owned()),
    ];
    other.enterprise_project = "7".to_owned();
    lab.simulator.add_instance(other);
    for (query, expected) in [
        ("", vec![HOME, "01in01"]),
        ("id=01in01", vec!["01in01"]),
        ("name=prod-1", vec![HOME]),
        ("name=*prod", vec![HOME, "01in01"]),
        ("datastore_type=SQLServer", vec![HOME]),
        ("type=Replica", vec![]),
        ("eps_id=7", vec!["01in01"]),
        ("tags=env%3Dprod%2Cteam%3D", vec!["01in01"]),
        ("tags=env%3Dprod%2Cteam%3Dy", vec![]),
        ("offset=1&limit=1", vec!["01in01"]),
    ] {
        assert_eq!(
            lab.get(&format!("instances?{query}")).await.ids("instances"),
            expected,
            "{query}"
        );
    }
}

#[tokio::test]
async fn a_batch_answers_for_each_id() {
    let lab = Lab::small().await;
    lab.simulator.set_status(&id(1), Status::Building);
    let mut auto = Backup::manual("auto", HOME, "auto", at(-60));
    auto.kind = BackupKind::Auto;
    lab.simulator.add_backup(auto);
    let ids = [id(0), id(1), "auto".to_owned(), "unknown".to_owned()];
    let answer = lab.batch(&ids).await.unwrap();
    assert_eq!(answer.ids("delete_results"), ids);
    let codes: Vec<Value> = answer.json()["delete_results"]
        .as_array()
        .unwrap()
        .iter()
        .map(|item| item["error_code"].clone())
        .collect();
    assert_eq!(codes, ["0", "DBS.201205", "DBS.201208", "DBS.280214"]);
    assert_eq!(lab.simulator.backup(&id(0)), None);
    let deletions = lab.simulator.deletions();
    assert_eq!(
        deletions.iter().map(|deletion| &deletion.id).collect::<Vec<_>>(),
        [&id(0)]
    );
    assert_eq!(lab.simulator.calls()[deletions[0].call].backup_ids, ids);
}

#[tokio::test]
async fn a_batch_that_breaks_a_limit_deletes_nothing() {
    let lab = Lab::small().await;
    let mut other = Instance::sql_server("01in01", "mysql", at(-5));
    other.engine = Engine::MySql;
    lab.simulator.add_instance(other);
    lab.simulator
        .add_backup(Backup::manual("foreign", "01in01", "foreign", at(-5)));
    let many: Vec<String> = (0..51).map(id).collect();
    assert_eq!(lab.batch(&many).await.unwrap().code(), (400, "DBS.200001".to_owned()));
    assert_eq!(lab.batch(&[]).await.unwrap().code(), (400, "DBS.200001".to_owned()));
    assert_eq!(
        lab.batch(&[id(0), "foreign".to_owned()]).await.unwrap().code(),
        (400, "DBS.201207".to_owned())
    );
    let path = lab.path("backups/batch-delete");
    for body in [
        "",
        "[]",
        "{}",
        r#"{"backup_ids":"x"}"#,
        r#"{"backup_ids":[1]}"#,
        r#"{"backup_ids":["x"],"force":true}"#,
    ] {
        assert_eq!(
            lab.send("POST", &path, Some(body), &lab.key).await.unwrap().status,
            400,
            "{body}"
        );
    }
    assert_eq!(lab.simulator.deletions(), []);
    assert_eq!(lab.simulator.backups().len(), 6);
}

#[tokio::test]
async fn the_single_deletion_answers_by_status() {
    let lab = Lab::small().await;
    lab.simulator.set_status(&id(1), Status::Building);
    for (backup, expected) in [(id(0), 200), (id(0), 404), (id(1), 409), ("unknown".to_owned(), 404)] {
        let answer = lab
            .send("DELETE", &lab.path(&format!("backups/{backup}")), None, &lab.key)
            .await
            .unwrap();
        assert_eq!(answer.status, expected, "{backup}");
    }
    assert_eq!(lab.simulator.deletions().len(), 1);
}

#[tokio::test]
async fn deletion_takes_its_time_and_may_fail() {
    let lab = Lab::small().await;
    lab.simulator
        .set(|settings| settings.deletion_takes = Duration::from_secs(3600));
    lab.batch(&[id(0), id(1)]).await.unwrap();
    let status = |answer: Got, place: usize| answer.json()["backups"][place]["status"].clone();
    assert_eq!(status(lab.list().await, 4), "DELETING");
    let again = lab.batch(&[id(0)]).await.unwrap();
    assert_eq!(again.json()["delete_results"][0]["error_code"], "DBS.201208");
    assert!(lab.simulator.return_backup(&id(1)));
    assert_eq!(status(lab.list().await, 3), "COMPLETED");
    lab.pass(3600);
    assert_eq!(lab.list().await.ids("backups"), [4, 3, 2, 1].map(id));
}

#[tokio::test]
async fn a_deleted_instance_leaves_its_manual_backups() {
    let lab = Lab::small().await;
    let mut auto = Backup::manual("auto", HOME, "auto", at(-60));
    auto.kind = BackupKind::Auto;
    lab.simulator.add_backup(auto);
    let retained = format!("instances/{HOME}/retain-backups");
    assert_eq!(lab.get(&retained).await.json(), json!({"backups": [], "total": 0}));
    assert!(lab.simulator.remove_instance(HOME));
    assert_eq!(
        lab.get("instances").await.json(),
        json!({"instances": [], "total_count": 0})
    );
    assert_eq!(lab.list().await.code(), (404, "DBS.200002".to_owned()));
    lab.simulator
        .set(|settings| settings.deleted_listing = DeletedListing::Empty);
    assert_eq!(lab.list().await.json(), json!({"backups": [], "total_count": 0}));
    lab.simulator
        .set(|settings| settings.deleted_listing = DeletedListing::Full);
    assert_eq!(lab.list().await.ids("backups").len(), 5);
    let page = lab.get(&format!("{retained}?limit=1&offset=1")).await.json();
    assert_eq!(page["total"], 5);
    let entry = &page["backups"][0];
    assert_eq!(
        (&entry["id"], &entry["type"], &entry["size"]),
        (&id(3).into(), &"Snapshot".into(), &"1048576".into())
    );
    assert_eq!(
        lab.batch(&[id(3)]).await.unwrap().json()["delete_results"][0]["error_code"],
        "0"
    );
}

#[tokio::test]
async fn the_world_can_be_changed_and_patched() {
    let lab = Lab::small().await;
    assert!(lab.simulator.rename_backup(&id(4), "keep_me"));
    assert!(
        lab.simulator
            .change_instance(HOME, |instance| instance.name = "renamed".to_owned())
    );
    assert!(lab.simulator.remove_backup(&id(3)));
    assert!(!lab.simulator.remove_backup(&id(3)));
    lab.simulator.patch(
        &id(4),
        json!({"status": "FROZEN", "end_time": {"$null": true}, "size": null, "new": 1}),
    );
    let entry = lab.list().await.json()["backups"][0].clone();
    assert_eq!(
        (&entry["name"], &entry["status"], &entry["new"]),
        (&"keep_me".into(), &"FROZEN".into(), &1.into())
    );
    assert!(entry["end_time"].is_null() && entry.get("size").is_none());
    assert_eq!(lab.list().await.ids("backups"), [4, 2, 1, 0].map(id));
    assert_eq!(lab.get("instances").await.json()["instances"][0]["name"], "renamed");
}

#[tokio::test]
async fn every_answer_has_a_request_id_and_the_simulators_date() {
    let lab = Lab::small().await;
    let answer = lab.get("instances").await;
    assert_eq!(answer.headers["date"], "Sat, 14 Mar 2026 02:00:00 GMT");
    assert_eq!(answer.headers["x-request-id"].len(), 32);
    assert_ne!(
        answer.headers["x-request-id"],
        lab.get("instances").await.headers["x-request-id"]
    );
}

#[tokio::test]
async fn the_same_seed_makes_the_same_fleet_and_shows_everything() {
    let fleet = |options: &mut Options| {
        options.fleet = Fleet::Seeded {
            instances: 30,
            backups_per_instance: 60,
        }
    };
    let (one, two) = (Lab::start(fleet).await.simulator, Lab::start(fleet).await.simulator);
    assert_eq!(one.instances(), two.instances());
    assert_eq!(one.backups(), two.backups());
    let other = Lab::start(|options| (fleet(options), options.seed = 2).1)
        .await
        .simulator;
    assert_ne!(one.backups(), other.backups());

    let (instances, backups) = (one.instances(), one.backups());
    let ids: BTreeSet<&String> = backups.iter().map(|backup| &backup.id).collect();
    assert_eq!(ids.len(), backups.len());
    assert!(
        Engine::ALL
            .iter()
            .all(|engine| instances.iter().any(|instance| instance.engine == *engine))
    );
    assert!(instances.iter().any(|instance| instance.kind.name() == "Replica"));
    assert!(instances.iter().any(|instance| instance.deleted));
    for status in [Status::Building, Status::Completed, Status::Failed] {
        assert!(backups.iter().any(|backup| backup.status == status), "{status:?}");
    }
    assert!(backups.iter().any(|backup| !backup.databases.is_empty()));
    assert!(backups.iter().any(|backup| backup.kind == BackupKind::Auto));
    assert!(backups.iter().all(|backup| backup.begin <= at(0)));
}

#[tokio::test]
async fn the_regular_fleet_is_regular() {
    let lab = Lab::start(|options| {
        options.fleet = Fleet::Regular {
            instances: 3,
            backups_per_instance: 4,
            minutes_apart: 60,
        };
    })
    .await;
    for instance in lab.simulator.instances() {
        let begins: Vec<_> = lab
            .simulator
            .backups_of(&instance.id)
            .iter()
            .map(|backup| backup.begin)
            .collect();
        assert_eq!(begins, [-4, -3, -2, -1].map(|hour| at(hour * 3600)));
    }
    assert_eq!(lab.simulator.backups().len(), 12);
}

#[tokio::test]
async fn it_listens_on_loopback_only() {
    let clock: Clock = Arc::new(|| at(0));
    let options = Options {
        listen: ([0, 0, 0, 0], 0).into(),
        ..Options::new(clock)
    };
    assert_eq!(
        Simulator::start(options).await.unwrap_err().kind(),
        std::io::ErrorKind::InvalidInput
    );
}

#[tokio::test]
async fn the_journal_holds_every_request() {
    let lab = Lab::small().await;
    lab.list().await;
    lab.batch(&[id(0)]).await.unwrap();
    lab.get("nosuch").await;
    let calls = lab.simulator.calls();
    let what: Vec<_> = calls
        .iter()
        .map(|call| (call.operation, call.status, call.done))
        .collect();
    let expected = [
        (Some(Op::ListBackups), Some(200), true),
        (Some(Op::DeleteBatch), Some(200), true),
        (None, Some(404), false),
    ];
    assert_eq!(what, expected);
    assert_eq!(calls[0].instance.as_deref(), Some(HOME));
    assert_eq!(calls[0].access.as_deref(), Some(lab.simulator.access_key()));
    assert_eq!(
        lab.simulator.counts().into_iter().collect::<Vec<_>>(),
        [(Op::ListBackups, 1), (Op::DeleteBatch, 1)]
    );
}
