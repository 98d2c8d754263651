//! What people ask of RDS beside the daemon: backups are made, instances deleted, restores run.

use std::time::Duration;

use rds_retentiond::simulator::{Backup, Status};
use serde_json::{Value, json};

use super::{Got, HOME, Lab, age, id};

async fn post(lab: &Lab, path: &str, body: &Value) -> Got {
    let body = body.to_string();
    lab.send("POST", &lab.path(path), Some(&body), &lab.key).await.unwrap()
}

async fn delete(lab: &Lab, path: &str) -> Got {
    lab.send("DELETE", &lab.path(path), None, &lab.key).await.unwrap()
}

#[tokio::test]
async fn a_backup_that_is_asked_for_is_building_then_completed_and_can_be_deleted() {
    let lab = Lab::small().await;
    lab.simulator
        .set(|settings| settings.creation_takes = Duration::from_secs(600));
    let wanted = json!({"instance_id": HOME, "name": "before_upgrade", "databases": [{"name": "crm"}]});
    let made = post(&lab, "backups", &wanted).await.json()["backup"].clone();
    assert_eq!(
        (made["status"].as_str(), made["type"].as_str()),
        (Some("BUILDING"), Some("manual"))
    );
    let made = made["id"].as_str().unwrap().to_owned();
    let listed = async || {
        lab.get(&format!("backups?instance_id={HOME}&backup_id={made}"))
            .await
            .json()["backups"][0]
            .clone()
    };
    let building = listed().await;
    assert_eq!(
        (building["status"].as_str(), &building["end_time"]),
        (Some("BUILDING"), &Value::Null)
    );
    assert_eq!(
        delete(&lab, &format!("backups/{made}")).await.code(),
        (409, "DBS.201205".to_owned())
    );
    lab.pass(601);
    let completed = listed().await;
    assert_eq!(completed["status"], "COMPLETED");
    assert_eq!(completed["databases"], json!([{"name": "crm"}]));
    assert_eq!(delete(&lab, &format!("backups/{made}")).await.status, 200);

    for (odd, code) in [
        (json!({"instance_id": HOME, "name": "nightly_1"}), (409, "DBS.201209")),
        (json!({"instance_id": HOME, "name": "1st"}), (400, "DBS.200001")),
        (json!({"instance_id": HOME}), (400, "DBS.200001")),
        (
            json!({"instance_id": HOME, "name": "whatever", "databases": ["crm"]}),
            (400, "DBS.200001"),
        ),
        (
            json!({"instance_id": "nosuchin04", "name": "whatever"}),
            (404, "DBS.200002"),
        ),
    ] {
        assert_eq!(
            post(&lab, "backups", &odd).await.code(),
            (code.0, code.1.to_owned()),
            "{odd}"
        );
    }
}

#[tokio::test]
async fn a_deleted_instance_leaves_its_manual_backups_and_is_among_the_retain_policies() {
    let lab = Lab::small().await;
    let deleted = json!({"instance_status": "deleted"});
    let orphans = async || post(&lab, "backup-retain-policy", &deleted).await.json();
    assert_eq!(orphans().await["total_count"], 0);
    assert!(delete(&lab, &format!("instances/{HOME}")).await.json()["job_id"].is_string());
    assert_eq!(lab.get("instances").await.json()["total_count"], 0);
    let found = orphans().await["backup_retain_policies"][0].clone();
    assert_eq!(
        (found["instance_id"].as_str(), found["manual"].as_str()),
        (Some(HOME), Some("ALL"))
    );
    let retained = lab.get(&format!("instances/{HOME}/retain-backups?limit=100")).await;
    assert_eq!(retained.json()["total"], 5);
    assert_eq!(
        delete(&lab, &format!("instances/{HOME}")).await.code(),
        (404, "DBS.200002".to_owned())
    );
    assert_eq!(
        post(&lab, "backup-retain-policy", &json!({"instance_status": "gone"}))
            .await
            .status,
        400
    );
    // The twin: one of which nothing is left is named no more.
    for number in 0..5 {
        assert_eq!(delete(&lab, &format!("backups/{}", id(number))).await.status, 200);
    }
    assert_eq!(orphans().await["total_count"], 0);
}

#[tokio::test]
async fn a_backup_that_a_restore_reads_is_in_its_task_and_is_not_deleted() {
    let lab = Lab::small().await;
    lab.simulator.set_in_use(&id(2), true);
    let tasks = lab.get(&format!("instances/{HOME}/tasklist/detail")).await.json();
    assert_eq!(
        (&tasks["count"], &tasks["jobs"][0]["status"]),
        (&json!(1), &json!("Running"))
    );
    let detail: Value = serde_json::from_str(tasks["jobs"][0]["task_detail"].as_str().unwrap()).unwrap();
    assert_eq!(detail["backupId"], id(2));
    let results = lab.batch(&[id(1), id(2)]).await.unwrap().json()["delete_results"].clone();
    assert_eq!(
        (&results[0]["error_code"], &results[1]["error_code"]),
        (&json!("0"), &json!("DBS.200054"))
    );
    assert_eq!(
        delete(&lab, &format!("backups/{}", id(2))).await.code(),
        (400, "DBS.200054".to_owned())
    );
    // The twin.
    lab.simulator.set_in_use(&id(2), false);
    assert_eq!(lab.simulator.backup(&id(2)).unwrap().status, Status::Completed);
    assert_eq!(delete(&lab, &format!("backups/{}", id(2))).await.status, 200);
    assert_eq!(
        lab.get(&format!("instances/{HOME}/tasklist/detail")).await.json()["count"],
        0
    );
}

#[tokio::test]
async fn quotas_are_of_instances_and_networks_filter() {
    let lab = Lab::small().await;
    let quotas = lab.get("quotas").await.json();
    assert_eq!(
        quotas["quotas"]["resources"],
        json!([{"type": "instance", "quota": 10_000, "used": 1}])
    );
    let instance = lab.get("instances").await.json()["instances"][0].clone();
    for (filter, found) in [
        (format!("vpc_id={}", instance["vpc_id"].as_str().unwrap()), 1),
        (format!("subnet_id={}", instance["subnet_id"].as_str().unwrap()), 1),
        ("vpc_id=another".to_owned(), 0),
        ("group_type=flexus".to_owned(), 0),
    ] {
        assert_eq!(
            lab.get(&format!("instances?{filter}")).await.json()["total_count"],
            found,
            "{filter}"
        );
    }
}

#[tokio::test]
async fn the_policy_of_automated_backups_is_shown_as_it_was_set_and_odd_ones_are_refused() {
    let lab = Lab::small().await;
    let path = lab.path(&format!("instances/{HOME}/backups/policy"));
    let set = async |policy: Value| {
        let body = json!({"backup_policy": policy}).to_string();
        lab.send("PUT", &path, Some(&body), &lab.key).await.unwrap()
    };
    let wanted = json!({"keep_days": 30, "start_time": "23:15-00:15", "period": "1,7"});
    assert_eq!(set(wanted.clone()).await.status, 200);
    let policy_path = format!("instances/{HOME}/backups/policy");
    assert_eq!(lab.get(&policy_path).await.json()["backup_policy"], wanted);
    let listed = lab.get("instances").await.json()["instances"][0]["backup_strategy"].clone();
    assert_eq!(listed, json!({"keep_days": 30, "start_time": "23:15-00:15"}));
    for odd in [
        json!({"keep_days": 733, "start_time": "19:00-20:00", "period": "1"}),
        json!({"keep_days": 7, "start_time": "19:00-21:00", "period": "1"}),
        json!({"keep_days": 7, "start_time": "19:00-20:00", "period": "0"}),
        json!({"keep_days": 7}),
        json!(null),
    ] {
        assert_eq!(set(odd.clone()).await.code(), (400, "DBS.200001".to_owned()), "{odd}");
    }
    assert_eq!(set(json!({"keep_days": 0})).await.status, 200);
    let unknown = format!("instances/{}/backups/policy", "0".repeat(32));
    assert_eq!(lab.get(&unknown).await.code(), (404, "DBS.200002".to_owned()));
}

#[tokio::test]
async fn instances_are_filtered_by_network_and_group() {
    let lab = Lab::small().await;
    let instance = lab.get("instances").await.json()["instances"][0].clone();
    for (name, own) in [
        ("vpc_id", instance["vpc_id"].as_str()),
        ("subnet_id", instance["subnet_id"].as_str()),
        ("group_type", Some("normal2")),
    ] {
        let found = async |value: &str| {
            lab.get(&format!("instances?{name}={value}"))
                .await
                .ids("instances")
                .len()
        };
        assert_eq!((found(own.unwrap()).await, found("another").await), (1, 0), "{name}");
    }
}

/// As Open Telekom Cloud's clients do.
#[tokio::test]
async fn a_token_is_given_for_name_and_password_and_admits_in_place_of_a_signature_until_it_expires() {
    let lab = Lab::small().await;
    let ask = async |name: &str, password: &str, project: Value| {
        let user = json!({"name": name, "password": password, "domain": {"name": "OTC-1"}});
        let identity = json!({"methods": ["password"], "password": {"user": user}});
        let body = json!({"auth": {"identity": identity, "scope": {"project": project}}});
        let url = format!("{}/v3/auth/tokens", lab.simulator.url());
        let request = lab.http.post(url).body(body.to_string());
        request.send().await.unwrap()
    };
    let region = json!({"name": lab.simulator.region()});
    let (name, password) = (lab.key.access.clone(), lab.key.secret.clone());
    let given = ask(&name, &password, region.clone()).await;
    assert_eq!(given.status(), 201);
    let token = given.headers()["x-subject-token"].to_str().unwrap().to_owned();
    let body: Value = serde_json::from_slice(&given.bytes().await.unwrap()).unwrap();
    assert_eq!(body["token"]["project"]["id"], lab.simulator.project_id());
    let list = async |token: &str| {
        let url = format!("{}{}", lab.simulator.url(), lab.path("instances"));
        lab.http
            .get(url)
            .header("x-auth-token", token)
            .send()
            .await
            .unwrap()
            .status()
    };
    assert_eq!(list(&token).await, 200);
    assert_eq!(list("made-up").await, 401);
    lab.pass(24 * 3600);
    assert_eq!(list(&token).await, 401);
    assert_eq!(ask(&name, "wrong", region).await.status(), 401);
    assert_eq!(ask(&name, &password, json!({"name": "another"})).await.status(), 401);
}

/// Where time is lapsed; an instance that has partial backups alone is not caught up with full ones since it was made.
#[tokio::test]
async fn a_schedule_goes_on_with_what_it_made_from_where_it_was() {
    let day = chrono::TimeDelta::days(1);
    for partial in [false, true] {
        let lab = Lab::small().await;
        if partial {
            for backup in lab.simulator.backups_of(HOME) {
                assert!(lab.simulator.remove_backup(&backup.id));
            }
            let crm = Backup {
                databases: vec!["crm".to_owned()],
                ..Backup::manual(&id(9), HOME, "crm_1", age(4))
            };
            assert!(lab.simulator.add_backup(crm));
        }
        assert!(
            lab.simulator
                .change_instance(HOME, |instance| instance.every = Some(day))
        );
        let before = lab.simulator.backups_of(HOME);
        let newest = before.last().unwrap().clone();
        lab.pass(2 * 86_400);
        let made = lab.simulator.make_due_backups();
        let after = lab.simulator.backups_of(HOME).split_off(before.len());
        assert!((2..4).contains(&made) && after.len() == made, "{after:?}");
        assert!(after.iter().all(|backup| backup.databases == newest.databases));
        assert_eq!(after[0].begin - newest.begin, day);
        assert_eq!(lab.simulator.make_due_backups(), 0);
    }
}
