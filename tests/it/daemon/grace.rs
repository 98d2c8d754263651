//! Holds of the configuration that come and go while the daemon waits for its next run.

use rds_retentiond::ledger::{Access, GraceKey, GraceStart, GraceUpdate, Ledger};

use super::*;

/// For the grace periods that have started.
fn a_day_passes(lab: &Lab) {
    let now = clock::now();
    let ledger = Ledger::open(&lab.state(), Access::Existing, now).unwrap();
    let policy = "p".into();
    let periods = ledger.grace(&policy).unwrap();
    let started = periods.iter().map(|period| GraceStart {
        key: GraceKey {
            project: &period.project,
            instance: &period.instance,
            backup: &period.backup,
        },
        name: &period.name,
    });
    let update = GraceUpdate {
        started: started.collect(),
        ..GraceUpdate::default()
    };
    ledger.update_grace(&policy, &update, now - TimeDelta::days(1)).unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_hold_that_a_reload_brought_and_another_took_away_restarts_the_grace_period() {
    let policy = policy("p", NEVER, "").replace("grace: 0s", "grace: 24h");
    let hold = format!("holds: [{{backup: {}, reason: case 4711}}]\n", id(2));
    for (more, left) in [("", 3), (hold.as_str(), 4)] {
        let lab = Lab::start(10).await;
        lab.configure(&policy);
        let apply = async || {
            let mut apply = lab.command();
            apply.arg("apply");
            let output = tokio::task::spawn_blocking(move || apply.output().unwrap())
                .await
                .unwrap();
            assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        };
        apply().await;
        let mut daemon = lab.run().await;
        daemon.is_ready().await;
        a_day_passes(&lab);
        fs::write(lab.file(), lab.text(&policy, more)).unwrap();
        let holds = usize::from(!more.is_empty());
        daemon.signal("HUP");
        eventually("the hold", async || {
            (daemon.status().await["holds"].as_array()?.len() == holds).then_some(())
        })
        .await;
        fs::write(lab.file(), lab.text(&policy, "")).unwrap();
        daemon.signal("HUP");
        eventually("no hold", async || {
            (daemon.status().await["holds"] == serde_json::json!([])).then_some(())
        })
        .await;
        assert!(daemon.stop().await.success());
        apply().await;
        assert_eq!(lab.simulator.backups_of(HOME).len(), left);
        a_day_passes(&lab);
        apply().await;
        assert_eq!(lab.simulator.backups_of(HOME).len(), 3);
    }
}
