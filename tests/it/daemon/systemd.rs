//! What the service manager is told, read at its end of the socket. (A real one: `tests/ops/daemon-systemd`.)

use std::os::unix::net::UnixDatagram;

use super::*;

/// The next message in which a line begins like this.
fn next(socket: &UnixDatagram, start: &str) -> String {
    let began = Instant::now();
    let mut buffer = [0; 4096];
    while began.elapsed() < PATIENCE {
        let Ok(length) = socket.recv(&mut buffer) else { continue };
        let message = String::from_utf8_lossy(&buffer[..length]).into_owned();
        if message.lines().any(|line| line.starts_with(start)) {
            return message;
        }
    }
    panic!("never: {start}");
}

#[tokio::test(flavor = "multi_thread")]
async fn ready_status_watchdog_reload_and_stop_are_told() {
    let lab = Lab::start(3).await;
    lab.configure(&policy("p", NEVER, ""));
    let path = lab.dir.path().join("notify");
    let socket = UnixDatagram::bind(&path).unwrap();
    socket.set_read_timeout(Some(Duration::from_millis(100))).unwrap();
    let mut command = lab.command();
    command
        .args(["run", "--log-format", "json"])
        .env("NOTIFY_SOCKET", &path)
        .env("WATCHDOG_USEC", "400000");
    let mut daemon = Running::start(command).await;
    assert!(next(&socket, "STATUS=").contains("STATUS=next run: p at 2028-02-29 00:00:00 UTC"));
    next(&socket, "READY=1");
    for _ in 0..3 {
        next(&socket, "WATCHDOG=1");
    }
    daemon.signal("HUP");
    let message = next(&socket, "RELOADING=1");
    assert!(message.contains("\nMONOTONIC_USEC="), "in one message: {message:?}");
    next(&socket, "READY=1");
    fs::write(lab.file(), "version: 2\n").unwrap();
    daemon.signal("HUP");
    next(&socket, "RELOADING=1");
    assert!(next(&socket, "STATUS=").contains("the new configuration is refused"));
    next(&socket, "READY=1");
    daemon.signal("TERM");
    next(&socket, "STOPPING=1");
    assert!(daemon.ends().await.0.success());
}
