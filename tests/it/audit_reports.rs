//! `audit report`: what an auditor reads on paper, in a spreadsheet and by a program.

use super::world::{World, backup, backup_id, fleet, ids};
use rds_retentiond::simulator::Fleet;

const NEVER: [&str; 4] = ["--from", "2020-01-01", "--to", "2021-01-01"];

async fn report(world: &World, format: &str, time: &[&str]) -> String {
    let mut args = vec!["audit", "report", "--format", format];
    args.extend(time);
    world.run(&args).await.exits(0).stdout
}

#[tokio::test]
async fn a_report_has_each_deletion_with_its_evidence_and_each_act_and_no_markup_or_formula_of_others() {
    let world = World::with(|options| {
        let mut fleet = fleet(&[6]);
        if let Fleet::Given { backups, .. } = &mut fleet {
            let mut odd = backup(1, 6);
            odd.name = "=cmd|' /C calc'!A0<script>".to_owned();
            backups.push(odd);
        }
        options.fleet = fleet;
    })
    .await;
    world
        .run(&["hold", &backup_id(1, 3), "--force", "--reason", "+case <4711>"])
        .await
        .exits(0);
    world.apply().await.exits(0);
    let gone = ids(1, 4..7);
    world.deleted_exactly(&gone);
    let since = ["--from", "2020-01-01"];
    let json: serde_json::Value = serde_json::from_str(&report(&world, "json", &since).await).unwrap();
    assert_eq!(json["verification"]["intact"], true);
    assert_eq!(json["events"][0]["event"], "hold");
    assert_eq!(json["configurations"].as_array().unwrap().len(), 1);
    let found = json["deletions"].as_array().unwrap().iter();
    let found = found.map(|of| of["backup"].as_str().unwrap().to_owned());
    assert_eq!(found.collect::<std::collections::BTreeSet<_>>(), gone);
    let (html, csv) = (
        report(&world, "html", &since).await,
        report(&world, "csv", &since).await,
    );
    for id in &gone {
        assert!(html.contains(id) && csv.contains(id), "{id}");
    }
    assert!(html.contains("&lt;script&gt;") && !html.contains("<script"), "{html}");
    assert!(
        html.contains("3 deletions asked for") && html.contains("; 1 act by command; 1 policy run; 1 configuration.")
    );
    assert!(html.contains("+case &lt;4711&gt;") && html.contains("intact"), "{html}");
    assert_eq!(csv.lines().count(), 1 + 3 + 1, "{csv}");
    assert!(csv.contains("\"'=cmd|") && csv.contains("'+case"), "{csv}");
    // Another time has nothing of it, and no time at all is a mistake.
    for format in ["html", "csv", "json"] {
        let none = report(&world, format, &NEVER).await;
        assert!(gone.iter().all(|id| !none.contains(id)), "{none}");
    }
    world
        .run(&["audit", "report", "--from", "2021-01-01", "--to", "2020-01-01"])
        .await
        .exits(64);
}

#[tokio::test]
async fn a_report_on_a_ledger_that_was_changed_says_so_and_fails() {
    let world = World::new(&[5]).await;
    world.apply().await.exits(0);
    world.deleted_exactly(&ids(1, 3..5));
    let file = rusqlite::Connection::open(world.state().join("ledger.sqlite3")).unwrap();
    file.execute_batch("DROP TRIGGER chain_no_update; UPDATE chain SET body = replace(body, 'nightly-4', 'nightly-0')")
        .unwrap();
    drop(file);
    let changed = world.run(&["audit", "report", "--from", "2020-01-01"]).await.exits(1);
    assert!(changed.stdout.contains("BROKEN"), "{changed:?}");
}
