//! The metrics that a run leaves in a file for the collector of a host.

use super::super::world::{World, backup_id};

#[tokio::test]
async fn the_metrics_file_tells_what_was_done() {
    let world = World::new(&[8]).await;
    world.fault(&format!("delete_batch:result=DBS.200054:backup={}", backup_id(1, 5)));
    let file = world.dir().join("m.prom");
    world
        .run(&["apply", "--metrics-file", file.to_str().unwrap()])
        .await
        .exits(1);
    let text = std::fs::read_to_string(&file).unwrap();
    let has = |line: &str| assert!(text.lines().any(|found| found == line), "no `{line}` in:\n{text}");
    has(r#"rds_retention_deletions_total{outcome="confirmed",policy="p",project="simulator"} 4"#);
    has(r#"rds_retention_deletions_total{outcome="rejected",policy="p",project="simulator"} 1"#);
    has(r#"rds_retention_deletion_errors_total{code="DBS.200054",project="simulator"} 1"#);
    has(r#"rds_retention_runs_total{policy="p",result="partial"} 1"#);
    has(r#"rds_retention_backups{decision="keep",policy="p"} 3"#);
    has(r#"rds_retention_instances{state="managed"} 1"#);
    let left_beside = std::fs::read_dir(world.dir()).unwrap().count();
    assert_eq!(left_beside, 3, "configuration, state and metrics, nothing half-written");
    assert!(!text.contains("process_"), "node_exporter has a process of its own");
}

#[tokio::test]
async fn the_metrics_files_of_run_after_run_count_on_also_when_one_fails() {
    use std::os::unix::fs::PermissionsExt;
    let world = World::new(&[8]).await;
    let file = world.dir().join("m.prom");
    let args = ["apply", "--metrics-file", file.to_str().unwrap()];
    let mode = || std::fs::metadata(&file).unwrap().permissions().mode() & 0o777;
    world.run(&args).await.exits(0);
    assert_eq!(mode(), 0o644, "the collector is another user");
    std::fs::set_permissions(&file, std::fs::Permissions::from_mode(0o640)).unwrap();
    world.run(&args).await.exits(0);
    assert_eq!(mode(), 0o640, "as somebody wanted it");
    world.fault("list_instances:status=403");
    world.run(&args).await.exits(77);
    let text = std::fs::read_to_string(&file).unwrap();
    let has = |line: &str| assert!(text.lines().any(|found| found == line), "no `{line}` in:\n{text}");
    has(r#"rds_retention_runs_total{policy="p",result="success"} 2"#);
    has(r#"rds_retention_runs_total{policy="p",result="failed"} 1"#);
    has(r#"rds_retention_run_duration_seconds_count{policy="p"} 3"#);
    has(r#"rds_retention_deletions_total{outcome="confirmed",policy="p",project="simulator"} 5"#);
    has(r#"rds_retention_api_requests_total{operation="list_instances",project="simulator",status="200"} 2"#);
    // Gauges are those of the last run that knew them.
    has(r#"rds_retention_backups{decision="keep",policy="p"} 3"#);
    has(r#"rds_retention_backups{decision="delete",policy="p"} 0"#);
}
