//! The state goes away beneath a running daemon, or comes back older: it deletes nothing, says so, makes no other, and goes
//! on when the state is back.

use super::*;

const LOST: &str = "guard_refusals_total{limit=\"ledger\",policy=\"p\"}";

/// By another process: one that closes the file lets go of every lock that it has on it.
fn shell(command: &str) {
    let done = Command::new("sh").args(["-ec", command]).status().unwrap();
    assert!(done.success(), "{command}");
}

/// A daemon whose policy runs each second, and a hold on the oldest of three backups.
async fn with_a_hold() -> (Lab, Running) {
    let lab = Lab::start(3).await;
    lab.configure(&policy("p", "* * * * * *", ""));
    let daemon = lab.run().await;
    daemon.reaches("runs_total{policy=\"p\",result=\"success\"}", 1.0).await;
    (lab, daemon)
}

fn hold(lab: &Lab, number: usize) {
    let mut command = lab.command();
    command.args(["hold", &id(number), "--reason", "case 4711"]);
    assert!(command.output().unwrap().status.success());
}

/// Three more backups, so that the first three expire.
fn three_expire(lab: &Lab) {
    for number in 3..6 {
        let age = TimeDelta::minutes(10 - i64::try_from(number).unwrap());
        let backup = Backup::manual(&id(number), HOME, &format!("nightly_{number}"), clock::now() - age);
        lab.simulator.add_backup(backup);
    }
}

/// Several runs are due, and each is refused.
async fn nothing_goes(lab: &Lab, daemon: &Running, why: &str) {
    daemon.reaches(LOST, 2.0).await;
    assert_eq!(deleted(&lab.simulator), BTreeSet::new());
    eventually("not ready", async || {
        let (code, text) = daemon.get("/readyz").await;
        (code == 503 && text.contains(why)).then_some(())
    })
    .await;
    assert_eq!(daemon.metric("ledger_rewound").await, Some(1.0));
    let status = daemon.status().await;
    assert_eq!(status["policies"][0]["last_run"]["result"], "refused", "{status}");
    assert_eq!(status["policies"][0]["last_run"]["refusal"]["limit"], "ledger");
    assert!(
        daemon.get("/").await.1.contains("ack"),
        "the page says what to put back"
    );
    assert!(daemon.log().contains(why), "{}", daemon.log());
    assert_eq!(daemon.get("/healthz").await.0, 200);
}

/// What is due goes, and what is held stays.
async fn it_goes_on(lab: &Lab, daemon: &Running, held: usize) {
    let due: BTreeSet<String> = (0..3).filter(|number| *number != held).map(id).collect();
    eventually("what is due is deleted", async || {
        (deleted(&lab.simulator) == due).then_some(())
    })
    .await;
    daemon.is_ready().await;
    assert_eq!(daemon.metric("ledger_rewound").await, Some(0.0));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_state_that_is_moved_away_stops_deletions_until_it_is_back_and_no_other_is_made() {
    let (lab, mut daemon) = with_a_hold().await;
    hold(&lab, 1);
    let (state, aside) = (lab.state(), lab.dir.path().join("aside"));
    fs::rename(&state, &aside).unwrap();
    three_expire(&lab);
    nothing_goes(&lab, &daemon, "the state is gone").await;
    assert!(!state.exists(), "no other one is made");
    fs::rename(&aside, &state).unwrap();
    it_goes_on(&lab, &daemon, 1).await;
    assert!(daemon.stop().await.success());
}

#[tokio::test(flavor = "multi_thread")]
async fn an_empty_directory_in_place_of_the_state_as_after_umount_stops_deletions() {
    let (lab, mut daemon) = with_a_hold().await;
    hold(&lab, 0);
    let (state, aside) = (lab.state(), lab.dir.path().join("aside"));
    shell(&format!("mv {0} {1}; mkdir {0}", state.display(), aside.display()));
    three_expire(&lab);
    nothing_goes(&lab, &daemon, "the state is gone").await;
    assert_eq!(fs::read_dir(&state).unwrap().count(), 0, "nothing is made in it");
    shell(&format!("rmdir {0}; mv {1} {0}", state.display(), aside.display()));
    it_goes_on(&lab, &daemon, 0).await;
    assert!(daemon.stop().await.success());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_state_that_is_removed_is_not_made_again_and_a_restart_makes_a_new_one() {
    let (lab, mut daemon) = with_a_hold().await;
    fs::remove_dir_all(lab.state()).unwrap();
    three_expire(&lab);
    nothing_goes(&lab, &daemon, "restart the service").await;
    assert!(!lab.state().exists());
    assert!(daemon.stop().await.success());
    let mut daemon = lab.run().await;
    it_goes_on(&lab, &daemon, 9).await;
    assert!(daemon.stop().await.success());
}

#[tokio::test(flavor = "multi_thread")]
async fn an_older_copy_written_over_the_ledger_stops_deletions_until_the_newest_is_back() {
    let (lab, mut daemon) = with_a_hold().await;
    let (file, kept) = (lab.state().join("ledger.sqlite3"), lab.dir.path().join("kept"));
    let (file, kept) = (file.display().to_string(), kept.display().to_string());
    let copy = |from: &str, to: &str| {
        shell(&format!("for part in '' -wal -shm; do cp {from}$part {to}$part; done"));
    };
    // Stopped, so that the copies are whole: its runs write all the time.
    daemon.signal("STOP");
    copy(&file, &format!("{kept}-old"));
    daemon.signal("CONT");
    hold(&lab, 2);
    daemon.reaches("holds", 1.0).await;
    daemon.signal("STOP");
    copy(&file, &format!("{kept}-new"));
    copy(&format!("{kept}-old"), &file);
    daemon.signal("CONT");
    three_expire(&lab);
    nothing_goes(&lab, &daemon, "set back").await;
    copy(&format!("{kept}-new"), &file);
    it_goes_on(&lab, &daemon, 2).await;
    assert!(daemon.stop().await.success());
}

/// Damaged in place, so that only the content tells.
#[tokio::test(flavor = "multi_thread")]
async fn a_log_that_is_cut_or_zeroed_in_place_stops_deletions_until_the_state_is_back() {
    for damage in [
        "truncate -s 0",
        "truncate -s 32",
        "dd conv=notrunc if=/dev/zero bs=32 count=1 of=",
    ] {
        let (lab, mut daemon) = with_a_hold().await;
        let (file, kept) = (lab.state().join("ledger.sqlite3"), lab.dir.path().join("kept"));
        let (file, kept) = (file.display().to_string(), kept.display().to_string());
        let copy = |from: &str, to: &str| {
            shell(&format!("for part in '' -wal -shm; do cp {from}$part {to}$part; done"));
        };
        hold(&lab, 2);
        daemon.reaches("holds", 1.0).await;
        daemon.signal("STOP");
        copy(&file, &kept);
        let space = if damage.ends_with('=') { "" } else { " " };
        shell(&format!("{damage}{space}{file}-wal 2>/dev/null"));
        daemon.signal("CONT");
        three_expire(&lab);
        nothing_goes(&lab, &daemon, "").await;
        copy(&kept, &file);
        it_goes_on(&lab, &daemon, 2).await;
        assert!(daemon.stop().await.success());
    }
}

/// Nothing runs and nothing is about to: the question itself finds out, and not the check that comes every 30 seconds.
#[tokio::test(flavor = "multi_thread")]
async fn a_state_that_is_removed_under_an_idle_daemon_is_not_ready_when_it_is_asked() {
    let lab = Lab::start(3).await;
    lab.configure(&policy("p", NEVER, ""));
    let mut daemon = lab.run().await;
    eventually("ready", async || (daemon.get("/readyz").await.0 == 200).then_some(())).await;
    let (state, aside) = (lab.state(), lab.dir.path().join("aside"));
    let begun = Instant::now();
    fs::rename(&state, &aside).unwrap();
    let text = eventually("not ready", async || {
        let (code, text) = daemon.get("/readyz").await;
        (code == 503).then_some(text)
    })
    .await;
    assert!(text.contains("the state is gone"), "{text}");
    // Longer than it takes on a loaded machine, and shorter than until the next check.
    assert!(begun.elapsed() < Duration::from_secs(20), "{:?}", begun.elapsed());
    fs::rename(&aside, &state).unwrap();
    assert!(daemon.stop().await.success());
}
