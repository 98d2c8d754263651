//! A PostgreSQL server of this test process, started when a test first asks for it; it ends with the process, killed or not.

use std::io::{BufRead, BufReader};
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU32, Ordering};

/// Ends the server and removes its directory once standard input is closed, as it is when the test process ends in whatever way.
const SCRIPT: &str = r#"
D=$1; B=$2; PORT=$3; shift 3
"$@" "$B/initdb" -A trust -U postgres --no-locale -E UTF8 -D "$D/data" >"$D/init.log" 2>&1 || exit 1
printf 'local all all trust\nhost all all 127.0.0.1/32 scram-sha-256\n' > "$D/data/pg_hba.conf"
"$@" "$B/postgres" -D "$D/data" -k "$D" -p "$PORT" -c listen_addresses=127.0.0.1 -c fsync=off -c max_connections=300 >"$D/log" 2>&1 &
pid=$!
while ! "$B/pg_isready" -q -h "$D" -p "$PORT"; do kill -0 $pid || exit 1; sleep 0.1; done
echo ready
read -r _
kill -INT $pid; wait $pid; rm -rf "$D"
"#;

pub struct Server {
    pub dir: PathBuf,
    pub port: u16,
    binaries: PathBuf,
}

/// The server; `None`, said loudly, where PostgreSQL is not installed.
pub fn server() -> Option<&'static Server> {
    static SERVER: OnceLock<Option<Server>> = OnceLock::new();
    SERVER.get_or_init(start).as_ref()
}

/// Where Debian has the newest server's programs.
pub fn binaries() -> Option<PathBuf> {
    let versions = std::fs::read_dir("/usr/lib/postgresql").into_iter().flatten();
    versions
        .filter_map(|entry| Some(entry.ok()?.path().join("bin")))
        .filter(|bin| bin.join("initdb").exists())
        .max()
}

/// A server refuses to run as root.
pub fn is_root() -> bool {
    std::fs::metadata("/proc/self").is_ok_and(|of| std::os::unix::fs::MetadataExt::uid(&of) == 0)
}

fn start() -> Option<Server> {
    let Some(binaries) = binaries() else {
        use std::io::Write as _;
        let _ = writeln!(
            std::io::stderr(),
            "\nSKIPPED, NOT TESTED: PostgreSQL is not installed (apt-get install postgresql)\n"
        );
        return None;
    };
    let port = TcpListener::bind(("127.0.0.1", 0))
        .unwrap()
        .local_addr()
        .unwrap()
        .port();
    // Short: the name of a socket is.
    let dir = PathBuf::from(format!("/tmp/rds-pg-{}", std::process::id()));
    std::fs::create_dir_all(&dir).unwrap();
    let prefix: &[&str] = if is_root() {
        &["setpriv", "--reuid=postgres", "--regid=postgres", "--clear-groups"]
    } else {
        &["env"]
    };
    if is_root() {
        let owned = Command::new("chown").arg("postgres").arg(&dir).status().unwrap();
        assert!(owned.success());
    }
    let mut child = Command::new("sh")
        .args(["-c", SCRIPT, "server"])
        .args([&dir, &binaries])
        .arg(port.to_string())
        .args(prefix)
        .current_dir("/")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut line = String::new();
    BufReader::new(child.stdout.take().unwrap())
        .read_line(&mut line)
        .unwrap();
    assert_eq!(line, "ready\n", "see {}", dir.display());
    // Its standard input stays open as long as this process lives.
    std::mem::forget(child);
    Some(Server { dir, port, binaries })
}

impl Server {
    /// A new, empty database; its name.
    pub fn database(&self) -> String {
        static NUMBER: AtomicU32 = AtomicU32::new(1);
        let name = format!("test{}", NUMBER.fetch_add(1, Ordering::Relaxed));
        self.psql("postgres", &format!("CREATE DATABASE {name}"));
        name
    }

    /// Its address by the socket.
    pub fn url(&self, database: &str) -> String {
        let dir = self.dir.display().to_string().replace('/', "%2F");
        format!("postgres://postgres@{dir}:{}/{database}", self.port)
    }

    /// Runs SQL as the superuser; what it prints.
    pub fn psql(&self, database: &str, sql: &str) -> String {
        let output = Command::new(self.binaries.join("psql"))
            .args(["-X", "-q", "-A", "-t", "-v", "ON_ERROR_STOP=1", "-U", "postgres", "-h"])
            .arg(Path::new(&self.dir))
            .args(["-p", &self.port.to_string(), "-d", database, "-c", sql])
            .output()
            .unwrap();
        assert!(
            output.status.success(),
            "{sql}: {}",
            String::from_utf8_lossy(&output.stderr)
        );
        String::from_utf8_lossy(&output.stdout).trim().to_owned()
    }
}
