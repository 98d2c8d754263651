//! The ledger does not answer: another process has it locked, or its disk stalls. Nothing that watches the daemon waits for it.

use rds_retentiond::simulator::Op;

use super::*;

/// A scraper or probe gives up after this; a second is what Kubernetes grants.
const CLIENT: Duration = Duration::from_secs(5);

/// Every answer, each in time, however long the ledger takes.
async fn all_answer(daemon: &Running) {
    for path in ["/metrics", "/healthz", "/readyz", "/api/v1/status", "/"] {
        let request = daemon.http.get(format!("{}{path}", daemon.url)).timeout(CLIENT);
        let answer = request.send().await.unwrap_or_else(|error| panic!("{path}: {error}"));
        answer.text().await.unwrap_or_else(|error| panic!("{path}: {error}"));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_foreign_write_lock_starves_no_scrape_no_probe_and_no_watchdog_and_runs_go_on_after_it() {
    let lab = Lab::start(3).await;
    lab.configure(&policy("p", "* * * * * *", ""));
    let (socket, path) = (lab.dir.path().join("notify"), lab.dir.path().join("notify"));
    let socket = std::os::unix::net::UnixDatagram::bind(socket).unwrap();
    socket.set_read_timeout(Some(PATIENCE)).unwrap();
    let mut command = lab.command();
    command.args(["run", "--log-format", "json"]);
    command.env("NOTIFY_SOCKET", path).env("WATCHDOG_USEC", "2000000");
    let mut daemon = Running::start(command).await;
    daemon.reaches("runs_total{policy=\"p\",result=\"success\"}", 1.0).await;
    let foreign = rusqlite::Connection::open(lab.state().join("ledger.sqlite3")).unwrap();
    foreign.busy_timeout(PATIENCE).unwrap();
    foreign.execute_batch("BEGIN IMMEDIATE").unwrap();
    for number in 3..6 {
        let backup = Backup::manual(&id(number), HOME, "nightly", clock::now() - TimeDelta::minutes(1));
        lab.simulator.add_backup(backup);
    }
    let locked = Instant::now();
    let mut pings = 0;
    // Longer than the ledger's own wait, so that a run fails on it and the state is looked at again.
    while locked.elapsed() < Duration::from_secs(13) {
        all_answer(&daemon).await;
        socket.set_nonblocking(true).unwrap();
        let mut message = [0; 512];
        while let Ok(length) = socket.recv(&mut message) {
            pings += usize::from(message[..length].starts_with(b"WATCHDOG=1"));
        }
        assert_eq!(lab.simulator.calls_of(Op::DeleteBatch).len(), 0);
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
    assert!(pings >= 5, "{pings}");
    foreign.execute_batch("ROLLBACK").unwrap();
    drop(foreign);
    let due: BTreeSet<String> = (0..3).map(id).collect();
    let began = Instant::now();
    // A state that did not work is tried again after a minute.
    while deleted(&lab.simulator) != due {
        assert!(began.elapsed() < 3 * PATIENCE, "never deleted");
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    daemon.is_ready().await;
    assert!(daemon.stop().await.success());
}
