//! Edits of the configuration, as editors, packages and Kubernetes make them.

use std::os::unix::fs::symlink;

use super::*;

async fn has_policies(daemon: &Running, wanted: &[&str]) {
    eventually(&format!("{wanted:?}"), async || {
        let status = daemon.status().await;
        let names: Vec<&str> = status["policies"]
            .as_array()?
            .iter()
            .filter_map(|policy| policy["policy"].as_str())
            .collect();
        (names == wanted).then_some(())
    })
    .await;
}

/// zot#4384, mediamtx#181: the reload was lost when an editor renames over the file.
#[tokio::test(flavor = "multi_thread")]
async fn edits_in_place_and_by_rename_good_and_bad() {
    let lab = Lab::start(3).await;
    lab.configure(&policy("p", NEVER, ""));
    let mut daemon = lab.run().await;
    daemon.is_ready().await;
    let both = policy("p", NEVER, "") + &policy("q", NEVER, "");
    lab.configure(&both);
    has_policies(&daemon, &["p", "q"]).await;
    assert_eq!(
        daemon.metric("runs_total{policy=\"q\",result=\"success\"}").await,
        Some(0.0)
    );
    let line = daemon.says("policy added").await;
    assert!(
        line.contains("\"policy\":\"q\"") && line.contains("less by another"),
        "{line}"
    );

    // A bad one, twice by rename: the first rename-over must not be the last that is seen.
    for key in ["lats", "lsat"] {
        write_beside_and_rename(&lab.file(), &lab.text(&both.replacen("last", key, 1), ""));
        let problem = daemon.says(&format!("`{key}`")).await;
        assert!(
            problem.contains("ERROR") && problem.contains("config.yaml:"),
            "{problem}"
        );
        eventually("the gauge", async || {
            (daemon.metric("config_last_reload_successful").await == Some(0.0)).then_some(())
        })
        .await;
    }
    let status = daemon.status().await;
    assert_eq!(status["config"]["last_reload_ok"], false);
    assert!(status["config"]["problems"][0].as_str().unwrap().contains("lsat"));
    has_policies(&daemon, &["p", "q"]).await;
    assert_eq!(daemon.get("/readyz").await.0, 200, "the last good one is in force");

    write_beside_and_rename(
        &lab.file(),
        &lab.text(&policy("q", NEVER, "").replace("last: 3", "last: 5"), ""),
    );
    has_policies(&daemon, &["q"]).await;
    assert_eq!(daemon.metric("config_last_reload_successful").await, Some(1.0));
    assert_eq!(
        daemon.metric("runs_total{policy=\"p\",result=\"success\"}").await,
        None,
        "gone with its policy"
    );
    let line = daemon.says("policy changed").await;
    assert!(
        line.contains("more will be kept") && line.contains("\"keys\":\"keep\""),
        "{line}"
    );
    assert!(daemon.stop().await.success());
}

#[tokio::test(flavor = "multi_thread")]
async fn included_files_come_change_and_go() {
    let lab = Lab::start(3).await;
    let include = lab.dir.path().join("etc/policies.d");
    fs::create_dir(&include).unwrap();
    // A pattern must match something.
    fs::write(include.join("none.yaml"), "policies: []\n").unwrap();
    let text = lab.text(&policy("p", NEVER, ""), "include: [\"policies.d/*.yaml\"]\n");
    fs::write(lab.file(), text).unwrap();
    let mut daemon = lab.run().await;
    has_policies(&daemon, &["p"]).await;
    let extra = include.join("extra.yaml");
    write_beside_and_rename(&extra, &format!("policies:\n{}", policy("extra", NEVER, "")));
    has_policies(&daemon, &["p", "extra"]).await;
    fs::write(&extra, format!("policies:\n{}", policy("other", NEVER, ""))).unwrap();
    has_policies(&daemon, &["p", "other"]).await;
    fs::remove_file(&extra).unwrap();
    has_policies(&daemon, &["p"]).await;
    assert!(daemon.stop().await.success());
}

/// zot#4384, mediamtx#181: and on the swapped links of a Kubernetes volume.
#[tokio::test(flavor = "multi_thread")]
async fn a_volume_whose_link_is_swapped() {
    let lab = Lab::start(3).await;
    // As the kubelet lays out a ConfigMap: config.yaml → ..data/config.yaml, ..data → a directory of this version.
    let etc = lab.dir.path().join("etc");
    let version = |name: &str, policies: &str| {
        let dir = etc.join(name);
        fs::create_dir(&dir).unwrap();
        fs::write(dir.join("config.yaml"), lab.text(policies, "")).unwrap();
        symlink(name, etc.join("..data_tmp")).unwrap();
        fs::rename(etc.join("..data_tmp"), etc.join("..data")).unwrap();
    };
    version("..1", &policy("p", NEVER, ""));
    symlink("..data/config.yaml", lab.file()).unwrap();
    let mut daemon = lab.run().await;
    has_policies(&daemon, &["p"]).await;
    for (name, policy_name) in [("..2", "q"), ("..3", "r")] {
        version(name, &policy(policy_name, NEVER, ""));
        has_policies(&daemon, &[policy_name]).await;
    }
    assert!(daemon.stop().await.success());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_hangup_looks_at_once_and_answers_also_when_nothing_changed() {
    let lab = Lab::start(3).await;
    lab.configure(&policy("p", NEVER, ""));
    let mut daemon = lab.run().await;
    daemon.is_ready().await;
    daemon.signal("HUP");
    daemon.says("configuration unchanged").await;
    // What cannot change while running is refused by name.
    let text = lab.text(&policy("q", NEVER, ""), "");
    let elsewhere = lab.dir.path().join("elsewhere").display().to_string();
    fs::write(lab.file(), text.replace(&lab.state().display().to_string(), &elsewhere)).unwrap();
    daemon.signal("HUP");
    let line = daemon.says("state_dir: cannot change").await;
    assert!(line.contains(&elsewhere), "{line}");
    has_policies(&daemon, &["p"]).await;
    assert!(daemon.stop().await.success());
}

/// A reload names a hold that covers nothing, and refuses one that was over before it was seen.
#[tokio::test(flavor = "multi_thread")]
async fn a_reload_looks_at_what_holds_cover_and_when_they_end() {
    let lab = Lab::start(3).await;
    let write = |more: &str| fs::write(lab.file(), lab.text(&policy("p", NEVER, ""), more)).unwrap();
    write("");
    assert!(lab.command().arg("apply").output().unwrap().status.success());
    let mut daemon = lab.run().await;
    daemon.is_ready().await;
    write("holds: [{name: \"^release\", reason: case 4711, until: 2025-12-31}]\n");
    daemon.signal("HUP");
    daemon.says("it was over before this state first saw it").await;
    write("holds: [{name: \"^release\", reason: case 4711}]\n");
    daemon.signal("HUP");
    daemon.says("configuration reloaded").await;
    eventually("the notice is shown", async || {
        let status = daemon.status().await;
        let notices = status["notices"].as_array().unwrap().clone();
        let named = |text: &str| notices.iter().any(|notice| notice.as_str().unwrap().contains(text));
        (named("has `^`") && named("covers no backup")).then_some(())
    })
    .await;
    assert!(daemon.stop().await.success());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_policy_that_is_removed_in_mid_run_deletes_no_more() {
    let lab = Lab::start(153).await;
    lab.configure(&policy("p", "* * * * * *", ""));
    let mut daemon = lab.run().await;
    lab.simulator.set(|settings| settings.latency = Duration::from_secs(4));
    let batches = || lab.simulator.calls_of(rds_retentiond::simulator::Op::DeleteBatch).len();
    eventually("the first batch", async || (batches() > 0).then_some(())).await;
    lab.configure(&policy("q", NEVER, ""));
    daemon.says("are in force already").await;
    lab.simulator.set(|settings| settings.latency = Duration::ZERO);
    has_policies(&daemon, &["q"]).await;
    daemon.says("run ended").await;
    assert_eq!(deleted(&lab.simulator).len(), 50, "the batch under way, and no other");
    assert_eq!(daemon.metric("runs_total{policy=\"p\",result=\"partial\"}").await, None);
    assert!(daemon.stop().await.success());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_reload_names_the_backups_whose_fate_it_changes() {
    let lab = Lab::start(10).await;
    let keeps = |schedule: &str, last: &str, rest: &str| policy("p", schedule, rest).replace("last: 3", last);
    lab.configure(&keeps("* * * * * *", "last: 10", ""));
    let mut daemon = lab.run().await;
    // The first run of a state that is new knows no size of the fleet, and so remembers numbers only.
    daemon.reaches("runs_total{policy=\"p\",result=\"success\"}", 3.0).await;

    lab.configure(&keeps(NEVER, "last: 7", ""));
    let line = daemon.says("some go that stayed before").await;
    let line: Value = serde_json::from_str(&line).unwrap();
    assert_eq!(
        (&line["policy"], &line["go"], &line["stay"]),
        (&"p".into(), &3.into(), &0.into())
    );
    assert!(line["go_bytes"].as_u64().unwrap() > 0, "{line}");
    let mut named: Vec<&str> = line["backups"].as_str().unwrap().split(' ').collect();
    named.sort_unstable();
    assert_eq!(named, [id(0), id(1), id(2)]);

    lab.configure(&keeps(NEVER, "last: 9", ""));
    let line = daemon.says("of the backups seen last, some change fate").await;
    assert!(line.contains("\"go\":0") && line.contains("\"stay\":2"), "{line}");
    lab.configure(&keeps(NEVER, "last: 9", ", jitter: 1min"));
    daemon.says("no backup seen last changes fate").await;
    assert!(daemon.stop().await.success());
    assert!(deleted(&lab.simulator).is_empty());
}
