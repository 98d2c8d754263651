//! A primary and its standby of one round's own, to be stalled, killed and promoted.

use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicU16, Ordering};

use super::super::postgres_server::{binaries, is_root};

/// Ends both servers and removes their directory once standard input is closed, as it is when the test process ends in whatever way.
const SCRIPT: &str = r#"
D=$1; B=$2; A=$3; S=$4; SYNC=$5; shift 5
start() { "$@" "$B/pg_ctl" -w -s -D "$D/$N" -l "$D/$N.log" -o "-c listen_addresses=127.0.0.1 -p $P -k $D" start || exit 1; }
"$@" "$B/initdb" -A trust -U postgres --no-locale -E UTF8 --no-sync -D "$D/a" >"$D/init.log" 2>&1 || exit 1
printf 'fsync=off\nmax_connections=100\nwal_receiver_status_interval=1\nshared_buffers=16MB\n' >> "$D/a/postgresql.conf"
N=a; P=$A; start "$@"
"$@" "$B/pg_basebackup" -h "$D" -p "$A" -U postgres -c fast -D "$D/b" -R -X stream -C -S b --no-sync || exit 1
N=b; P=$S; start "$@"
if [ "$SYNC" = sync ]; then
  until [ "$("$B/psql" -XAtq -h "$D" -p "$A" -U postgres -c "SELECT count(*) FROM pg_stat_replication")" = 1 ]; do sleep 0.1; done
  "$B/psql" -Xq -h "$D" -p "$A" -U postgres -c "ALTER SYSTEM SET synchronous_standby_names='*'" -c "SELECT pg_reload_conf()" >/dev/null || exit 1
fi
echo ready
read -r _
for N in a b; do "$@" "$B/pg_ctl" -s -D "$D/$N" -m immediate stop 2>/dev/null; done
rm -rf "$D"
"#;

pub struct Pair {
    pub dir: PathBuf,
    /// Of the first primary, and of the server that is its standby.
    pub ports: [u16; 2],
    binaries: PathBuf,
    /// Both end when its standard input is closed.
    script: std::process::Child,
}

/// A port that nothing gets after its server has died: neither another round's server nor a connection, which would be taken for it.
fn port() -> u16 {
    static NEXT: AtomicU16 = AtomicU16::new(0);
    // Below those that the system gives to connections, elsewhere for each process.
    let first = 10_000 + u16::try_from(std::process::id() % 10).unwrap() * 2_000;
    loop {
        let port = first + NEXT.fetch_add(1, Ordering::Relaxed) % 2_000;
        if TcpListener::bind(("127.0.0.1", port)).is_ok() {
            return port;
        }
    }
}

impl Drop for Pair {
    fn drop(&mut self) {
        drop(self.script.stdin.take());
        let _ = self.script.wait();
    }
}

impl Pair {
    pub fn start(number: usize, is_synchronous: bool) -> Self {
        let binaries = binaries().expect("PostgreSQL");
        let ports = [(); 2].map(|()| port());
        let dir = PathBuf::from(format!("/tmp/rds-pair-{}-{number}", std::process::id()));
        std::fs::create_dir_all(&dir).unwrap();
        let prefix: &[&str] = if is_root() {
            assert!(
                Command::new("chown")
                    .arg("postgres")
                    .arg(&dir)
                    .status()
                    .unwrap()
                    .success()
            );
            &["setpriv", "--reuid=postgres", "--regid=postgres", "--clear-groups"]
        } else {
            &["env"]
        };
        let mut child = Command::new("sh")
            .args(["-c", SCRIPT, "pair"])
            .args([&dir, &binaries])
            .args(ports.map(|port| port.to_string()))
            .arg(if is_synchronous { "sync" } else { "async" })
            .args(prefix)
            .current_dir("/")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut line = String::new();
        std::io::BufRead::read_line(&mut std::io::BufReader::new(child.stdout.take().unwrap()), &mut line).unwrap();
        assert_eq!(line, "ready\n", "see {}", dir.display());
        Self {
            dir,
            ports,
            binaries,
            script: child,
        }
    }

    pub fn psql(&self, server: usize, database: &str, sql: &str) -> String {
        let output = Command::new(self.binaries.join("psql"))
            .args(["-X", "-q", "-A", "-t", "-U", "postgres", "-h"])
            .arg(&self.dir)
            .args(["-p", &self.ports[server].to_string(), "-d", database, "-c", sql])
            .output()
            .unwrap();
        String::from_utf8_lossy(&output.stdout).trim().to_owned()
    }

    /// The standby's process that receives.
    pub fn receiver(&self) -> Option<u32> {
        self.psql(1, "postgres", "SELECT pid FROM pg_stat_wal_receiver")
            .parse()
            .ok()
    }

    pub fn promote(&self) {
        self.psql(1, "postgres", "SELECT pg_promote(true)");
    }

    /// Kills the first primary, postmaster and all, at once.
    pub fn kill_primary(&self) {
        let pids = std::fs::read_to_string(self.dir.join("a/postmaster.pid")).unwrap();
        let postmaster = pids.lines().next().unwrap();
        let processes: Vec<String> = [postmaster.to_owned()]
            .into_iter()
            .chain(children_of(postmaster))
            .collect();
        let _ = Command::new("kill")
            .arg("-KILL")
            .args(&processes)
            .stderr(Stdio::null())
            .status();
        let _ = std::fs::remove_file(self.dir.join("a/postmaster.pid"));
        while processes.iter().any(|pid| Path::new("/proc").join(pid).exists()) {
            std::thread::sleep(std::time::Duration::from_millis(5));
        }
    }

    /// Starts the first primary again, as a server of its own that nobody writes to.
    pub fn revive_primary(&self) {
        let script = format!(
            "{} {}/pg_ctl -w -s -D {}/a -l {}/a.log -o '-c listen_addresses= -p {} -k {} -c synchronous_standby_names=' start",
            if is_root() {
                "setpriv --reuid=postgres --regid=postgres --clear-groups"
            } else {
                ""
            },
            self.binaries.display(),
            self.dir.display(),
            self.dir.display(),
            self.ports[0],
            self.dir.display()
        );
        let status = Command::new("sh")
            .args(["-c", &script])
            .current_dir("/")
            .stdin(Stdio::null())
            .status()
            .unwrap();
        let log = std::fs::read_to_string(self.dir.join("a.log")).unwrap_or_default();
        assert!(status.success(), "{}: {log}", self.dir.display());
    }
}

fn children_of(parent: &str) -> Vec<String> {
    let children = format!("/proc/{parent}/task/{parent}/children");
    let text = std::fs::read_to_string(Path::new(&children)).unwrap_or_default();
    text.split_whitespace().map(str::to_owned).collect()
}
