//! Edits that keep less wait; edits that keep more act at once, also on a run under way, of the daemon and of `apply`.

use std::os::unix::fs::symlink;
use std::process::Output;

use rds_retentiond::simulator::Op;

use super::*;

const EACH_SECOND: &str = "* * * * * *";
const HOLDS: &str = "holds: [{name: \"nightly_*\", reason: \"case 4711\"}]\n";

/// Long enough for an answer to be on its way when an edit is in force.
const SLOW: Duration = Duration::from_secs(4);

fn deletes(lab: &Lab) -> usize {
    lab.simulator.calls_of(Op::DeleteBatch).len()
}

async fn first_batch(lab: &Lab) {
    eventually("the first batch", async || (deletes(lab) > 0).then_some(())).await;
}

async fn all_of(lab: &Lab, wanted: usize) {
    eventually("all of them", async || {
        (deleted(&lab.simulator).len() == wanted).then_some(())
    })
    .await;
}

/// Runs of the policy so far.
async fn runs(daemon: &Running) -> f64 {
    daemon
        .metric("run_duration_seconds_count{policy=\"p\"}")
        .await
        .unwrap_or(0.0)
}

async fn some_more_runs(daemon: &Running) {
    let wanted = runs(daemon).await + 3.0;
    daemon.reaches("run_duration_seconds_count{policy=\"p\"}", wanted).await;
}

/// Policy `p`, with another `last`.
fn keep(last: usize, schedule: &str) -> String {
    policy("p", schedule, "").replace("last: 3", &format!("last: {last}"))
}

impl Lab {
    fn write(&self, policies: &str, end: &str) {
        fs::write(self.file(), self.text(policies, "") + end).unwrap();
    }
}

/// K1: the half is a valid configuration without the holds and the freeze that come at its end.
#[tokio::test(flavor = "multi_thread")]
async fn half_of_a_file_whose_writer_stalls_is_not_in_force() {
    let lab = Lab::start(20).await;
    let policies = keep(3, EACH_SECOND);
    lab.write(&policies, HOLDS);
    let daemon = lab.run().await;
    some_more_runs(&daemon).await;

    let mut writer = fs::File::create(lab.file()).unwrap();
    writer.write_all(lab.text(&policies, "").as_bytes()).unwrap();
    let line = daemon.says("may keep less waits until").await;
    assert!(
        line.contains("has closed the file") && line.contains("config.yaml"),
        "{line}"
    );
    // Longer than a closed file has to be quiet.
    tokio::time::sleep(Duration::from_secs(8)).await;
    some_more_runs(&daemon).await;
    let status = daemon.status().await;
    let waiting = status["config"]["waiting"].as_str().unwrap();
    assert!(waiting.contains("has closed the file"), "{waiting}");
    assert_eq!(status["problems"][0]["about"], "configuration");
    assert_eq!(status["holds"].as_array().unwrap().len(), 1);
    writer.write_all(HOLDS.as_bytes()).unwrap();
    drop(writer);
    eventually("nothing waits", async || {
        daemon.status().await["config"]["waiting"].is_null().then_some(())
    })
    .await;
    some_more_runs(&daemon).await;
    assert_eq!(deleted(&lab.simulator), BTreeSet::new());

    // The twin: the same half, closed, is what was meant.
    lab.write(&policies, "");
    all_of(&lab, 17).await;
    assert!(daemon.log().contains("quiet for 5 s"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_shorter_policy_that_is_quiet_deletes_at_the_next_run_and_a_hangup_does_not_wait() {
    let lab = Lab::start(20).await;
    lab.write(&keep(10, EACH_SECOND), "");
    let daemon = lab.run().await;
    all_of(&lab, 10).await;

    let began = Instant::now();
    lab.write(&keep(8, EACH_SECOND), "");
    daemon.says("waits until its files have been quiet for 5 s").await;
    assert_eq!(deleted(&lab.simulator).len(), 10);
    all_of(&lab, 12).await;
    assert!(began.elapsed() >= Duration::from_secs(5), "{:?}", began.elapsed());

    // By rename, twice within the five seconds: they begin again.
    for last in [7, 6] {
        write_beside_and_rename(&lab.file(), &lab.text(&keep(last, EACH_SECOND), ""));
        tokio::time::sleep(Duration::from_secs(2)).await;
        assert_eq!(deleted(&lab.simulator).len(), 12, "not yet");
    }
    all_of(&lab, 14).await;

    // A writer that never closes the file is told so by SIGHUP.
    let mut writer = fs::File::create(lab.file()).unwrap();
    writer
        .write_all(lab.text(&keep(3, EACH_SECOND), "").as_bytes())
        .unwrap();
    eventually("it waits", async || {
        let waiting = daemon.status().await["config"]["waiting"].to_string();
        waiting.contains("has closed").then_some(())
    })
    .await;
    some_more_runs(&daemon).await;
    assert_eq!(deleted(&lab.simulator).len(), 14);
    daemon.signal("HUP");
    all_of(&lab, 17).await;
}

/// Holds, freeze and longer keeping act at once, the rest waits; what is then taken is what was last written.
#[tokio::test(flavor = "multi_thread")]
async fn of_an_edit_that_does_both_what_it_keeps_acts_at_once() {
    let lab = Lab::start(20).await;
    lab.write(&keep(20, EACH_SECOND), "");
    let daemon = lab.run().await;
    some_more_runs(&daemon).await;

    // Less by its rule, more by its hold; and the writer does not close it.
    let both = lab.text(&keep(3, EACH_SECOND), "") + "holds: [{name: \"nightly_0\", reason: r}]\n";
    let mut writer = fs::File::create(lab.file()).unwrap();
    writer.write_all(both.as_bytes()).unwrap();
    daemon.says("are in force already").await;
    assert_eq!(daemon.status().await["holds"].as_array().unwrap().len(), 1);
    some_more_runs(&daemon).await;
    assert_eq!(deleted(&lab.simulator), BTreeSet::new(), "the rest waits");
    drop(writer);
    all_of(&lab, 16).await;
    assert!(!deleted(&lab.simulator).contains(&id(0)));

    // A file that is bad in between is no way to lose a hold that was saved.
    lab.write(
        &keep(2, EACH_SECOND),
        "holds: [{name: \"nightly_[0-9]*\", reason: r}]\n",
    );
    eventually("both holds", async || {
        (daemon.status().await["holds"].as_array()?.len() == 2).then_some(())
    })
    .await;
    lab.write("  - {name: p}\n", "");
    daemon.says("is refused").await;
    lab.write(&keep(3, EACH_SECOND), "holds: [{name: \"nightly_0\", reason: r}]\n");
    eventually("it waits", async || {
        daemon.status().await["config"]["waiting"].is_string().then_some(())
    })
    .await;
    assert_eq!(daemon.status().await["holds"].as_array().unwrap().len(), 2);
    eventually("it is taken", async || {
        (daemon.status().await["holds"].as_array()?.len() == 1).then_some(())
    })
    .await;
}

/// Included files count together, and one that is gone takes no protection away at once.
#[tokio::test(flavor = "multi_thread")]
async fn an_included_policy_that_protects_goes_only_when_its_files_are_quiet() {
    let lab = Lab::start(20).await;
    let include = lab.dir.path().join("etc/policies.d");
    fs::create_dir(&include).unwrap();
    let keeper = policy("keeper", NEVER, "").replace("last: 3", "last: all");
    let other = policy("other", NEVER, ", select: {instances: {names: [nothing]}}");
    fs::write(include.join("keeper.yaml"), format!("policies:\n{keeper}")).unwrap();
    fs::write(include.join("other.yaml"), format!("policies:\n{other}")).unwrap();
    let main = lab.text(&keep(3, EACH_SECOND), "include: [\"policies.d/*.yaml\"]\n");
    fs::write(lab.file(), &main).unwrap();
    let daemon = lab.run().await;
    some_more_runs(&daemon).await;

    // The last file of a pattern (E5): an error, and everything stays.
    fs::rename(&include, lab.dir.path().join("away")).unwrap();
    let line = daemon.says("matches no file").await;
    assert!(line.contains("policies.d"), "{line}");
    some_more_runs(&daemon).await;
    fs::rename(lab.dir.path().join("away"), &include).unwrap();
    eventually("it is good again", async || {
        (daemon.metric("config_last_reload_successful").await == Some(1.0)).then_some(())
    })
    .await;
    assert_eq!(deleted(&lab.simulator), BTreeSet::new());

    let began = Instant::now();
    fs::remove_file(include.join("keeper.yaml")).unwrap();
    daemon.says("a new configuration that may keep less waits").await;
    some_more_runs(&daemon).await;
    all_of(&lab, 17).await;
    assert!(began.elapsed() >= Duration::from_secs(5), "{:?}", began.elapsed());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_swapped_volume_that_keeps_less_waits_for_quiet_and_one_that_keeps_more_does_not() {
    let lab = Lab::start(20).await;
    let etc = lab.dir.path().join("etc");
    let version = |name: &str, last: usize| {
        let dir = etc.join(name);
        fs::create_dir(&dir).unwrap();
        fs::write(dir.join("config.yaml"), lab.text(&keep(last, EACH_SECOND), "")).unwrap();
        symlink(name, etc.join("..data_tmp")).unwrap();
        fs::rename(etc.join("..data_tmp"), etc.join("..data")).unwrap();
    };
    version("..1", 15);
    symlink("..data/config.yaml", lab.file()).unwrap();
    let daemon = lab.run().await;
    all_of(&lab, 5).await;
    let began = Instant::now();
    version("..2", 12);
    daemon.says("waits until its files have been quiet for 5 s").await;
    all_of(&lab, 8).await;
    assert!(began.elapsed() >= Duration::from_secs(5), "{:?}", began.elapsed());
    version("..3", 20);
    daemon.says("more will be kept").await;
}

/// K15: a run is in the middle of 200 deletions when the configuration is edited. What it deletes in all, then and later.
async fn edited_in_mid_run(lab: &Lab, policies: &str) -> usize {
    lab.configure(&keep(3, EACH_SECOND));
    let mut daemon = lab.run().await;
    lab.simulator.set(|settings| settings.latency = SLOW);
    first_batch(lab).await;
    lab.configure(policies);
    // Taken, or, of an edit that does both, what it keeps.
    eventually("the edit acts", async || {
        let log = daemon.log();
        (log.contains("configuration reloaded") || log.contains("are in force already")).then_some(())
    })
    .await;
    lab.simulator.set(|settings| settings.latency = Duration::ZERO);
    daemon.says("this run goes on with the rest").await;
    daemon.says("run ended").await;
    if daemon.status().await["policies"][0]["policy"] == "p" {
        // What is due under the edited configuration, too, goes by the next run.
        some_more_runs(&daemon).await;
    }
    assert!(daemon.stop().await.success());
    deleted(&lab.simulator).len()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_longer_keep_in_mid_run_is_kept_and_what_goes_under_both_goes_by_the_next_run() {
    let lab = Lab::start(203).await;
    assert_eq!(edited_in_mid_run(&lab, &keep(120, EACH_SECOND)).await, 83);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_policy_in_dry_run_deletes_no_more_in_mid_run() {
    let lab = Lab::start(203).await;
    let dry = keep(3, EACH_SECOND).replace("enforce", "dry-run");
    assert_eq!(edited_in_mid_run(&lab, &dry).await, 50);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_policy_that_is_added_protects_what_a_run_has_not_sent_yet() {
    let lab = Lab::start(203).await;
    let added = keep(3, EACH_SECOND) + &policy("q", NEVER, "").replace("last: 3", "last: all");
    assert_eq!(edited_in_mid_run(&lab, &added).await, 50);
}

/// The twin: an edit that does not concern the run, or plainly keeps less, lets it go on.
#[tokio::test(flavor = "multi_thread")]
async fn an_edit_in_mid_run_that_keeps_nothing_of_it_lets_it_go_on() {
    let less = |_: &Lab| keep(2, NEVER);
    let other = |_: &Lab| keep(3, NEVER) + &policy("q", NEVER, ", select: {instances: {names: [nothing]}}");
    let edits: [&dyn Fn(&Lab) -> String; 2] = [&less, &other];
    for edit in edits {
        let lab = Lab::start(203).await;
        lab.configure(&keep(3, EACH_SECOND));
        let mut daemon = lab.run().await;
        lab.simulator.set(|settings| settings.latency = SLOW);
        first_batch(&lab).await;
        lab.configure(&edit(&lab));
        daemon.signal("HUP");
        daemon.says("configuration reloaded").await;
        lab.simulator.set(|settings| settings.latency = Duration::ZERO);
        daemon.says("run ended").await;
        all_of(&lab, 200).await;
        assert!(!daemon.log().contains("this run goes on with the rest"));
        assert!(daemon.stop().await.success());
    }
}

/// `apply` with a configuration that is edited after its first batch has begun.
async fn apply_edited(lab: &Lab, edits: &[String]) -> Output {
    lab.configure(&keep(3, NEVER).replace("enforce", "dry-run"));
    // With a state, so that it says nothing of a new one.
    let mut command = lab.command();
    command.args(["apply", "--confirm-for", "0s"]);
    let run = |mut command: Command| tokio::task::spawn_blocking(move || command.output().unwrap());
    assert!(run(command).await.unwrap().status.success());
    lab.configure(&keep(3, NEVER));
    lab.simulator.set(|settings| settings.latency = SLOW);
    let mut command = lab.command();
    command.args(["apply", "--confirm-for", "0s"]);
    let applied = run(command);
    first_batch(lab).await;
    for edit in edits {
        fs::write(lab.file(), edit).unwrap();
        // A few looks at the file.
        tokio::time::sleep(Duration::from_secs(1)).await;
    }
    lab.simulator.set(|settings| settings.latency = Duration::ZERO);
    applied.await.unwrap()
}

/// A3.
#[tokio::test(flavor = "multi_thread")]
async fn apply_sees_holds_and_freeze_that_are_saved_meanwhile() {
    let lab = Lab::start(203).await;
    // Two batches later; then a file that keeps less, and a bad one.
    let held = lab.text(&keep(3, NEVER), "") + "holds: [{name: \"nightly_1[0-4]?\", reason: r}]\n";
    let less = lab.text(&keep(1, NEVER), "");
    let applied = apply_edited(&lab, &[held, less, "version: 1\n".to_owned()]).await;
    let stderr = String::from_utf8_lossy(&applied.stderr);
    assert_eq!(applied.status.code(), Some(0), "{stderr}");
    assert_eq!(stderr.matches("is bad, and changes nothing").count(), 1, "{stderr}");
    let gone = deleted(&lab.simulator);
    assert_eq!(gone.len(), 150);
    assert!((100..150).all(|number| !gone.contains(&id(number))), "{gone:?}");

    let lab = Lab::start(203).await;
    let frozen = lab.text(&keep(3, NEVER), "") + "freeze: {reason: audit}\n";
    let applied = apply_edited(&lab, &[frozen]).await;
    assert_eq!(applied.status.code(), Some(3));
    assert_eq!(deleted(&lab.simulator).len(), 50);
}

#[tokio::test(flavor = "multi_thread")]
async fn apply_sees_an_edit_that_keeps_more_and_goes_on_after_one_that_does_not() {
    for (keeps, wanted, code) in [("last: 100", 50, 1), ("last: 1", 200, 0)] {
        let lab = Lab::start(203).await;
        let edited = lab.text(&keep(3, NEVER).replace("last: 3", keeps), "");
        let applied = apply_edited(&lab, &[edited]).await;
        let stderr = String::from_utf8_lossy(&applied.stderr);
        assert_eq!(applied.status.code(), Some(code), "{keeps}: {stderr}");
        assert_eq!(deleted(&lab.simulator).len(), wanted, "{keeps}");
        assert_eq!(stderr.contains("this run goes on with the rest"), code == 1, "{stderr}");
    }
}
