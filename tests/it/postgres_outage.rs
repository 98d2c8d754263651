//! Daemons on a shared state whose database, or whose holder of the lease, is gone: what they say of it, and what they do not do.
//!
//! All times of the protocol are ten times shorter than in use. Skipped, loudly, where PostgreSQL is not installed.

use std::fs::File;
use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::path::PathBuf;
use std::process::{Child, Stdio};
use std::time::Duration;

use rds_retentiond::clock::now;
use rds_retentiond::simulator::{Fault, Op};

use super::postgres_chaos::node::{PASSWORD, set_password};
use super::postgres_chaos::pair::Pair;
use super::postgres_chaos::proxy::Proxy;
use super::postgres_server::{Server, server};
use super::world::{World, ids};

/// A daemon that serves its page; killed when dropped.
pub struct Daemon {
    child: Child,
    log: PathBuf,
}

impl Drop for Daemon {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Daemon {
    pub fn start(world: &World, name: &str) -> Self {
        let log = world.dir().join(name);
        let mut command = world.command(&["run"]);
        command.stdout(Stdio::null()).stderr(File::create(&log).unwrap());
        let child = command.spawn().unwrap();
        Self { child, log }
    }

    pub fn log(&self) -> String {
        std::fs::read_to_string(&self.log).unwrap()
    }

    /// Status line and body.
    fn get(&self, path: &str) -> Option<String> {
        let log = self.log();
        let (_, after) = log.lines().find_map(|line| line.split_once("listening on http://"))?;
        let address = after
            .trim_end_matches(['"', '/'])
            .split(['/', '"', ' '])
            .next()
            .unwrap();
        let mut stream = TcpStream::connect(address.parse::<SocketAddr>().unwrap()).ok()?;
        stream.set_read_timeout(Some(Duration::from_secs(5))).unwrap();
        write!(
            stream,
            "GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n"
        )
        .ok()?;
        let mut text = String::new();
        stream.read_to_string(&mut text).ok()?;
        Some(text)
    }

    async fn until(&self, path: &str, what: &str, is: impl Fn(&str) -> bool) -> String {
        for _ in 0..400 {
            let found = tokio::task::block_in_place(|| self.get(path));
            if let Some(text) = found.filter(|text| is(text)) {
                return text;
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        panic!("{path} never {what}: {:?}\n{}", self.get(path), self.log());
    }
}

/// A world with one instance on a database of its own, and the proxy that its daemons reach it through.
pub async fn shared(server: &'static Server, backups: usize) -> (World, Proxy, String) {
    set_password(server);
    let mut world = World::new(&[backups]).await;
    let database = server.database();
    let proxy = Proxy::to(([127, 0, 0, 1], server.port).into()).await;
    world.set_env("PGPASSWORD", PASSWORD);
    world.set_env("RDS_RETENTIOND_TEST_TIMES", "10");
    let policy = "\n  - {name: p, mode: enforce, schedule: \"* * * * * *\", keep: {last: 3}, grace: 0s, \
         limits: {max_percent: 100, max_deletions: 100000}}\n";
    world.configure(&world.simulator.config_yaml(), policy, "");
    let text = std::fs::read_to_string(world.config_file()).unwrap();
    let port = proxy.address.port();
    let state = format!("state: {{postgres: \"postgres://postgres@127.0.0.1:{port}/{database}\"}}");
    let text = text
        .replace("state_dir: state", &state)
        .replace("listen: none", "listen: 127.0.0.1:0");
    std::fs::write(world.config_file(), text).unwrap();
    (world, proxy, database)
}

pub async fn until_sending(world: &World) {
    for _ in 0..3_000 {
        if !world.simulator.calls_of(Op::DeleteBatch).is_empty() {
            return;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    panic!("nothing is ever sent");
}

pub fn slow(world: &World, by: &str) {
    world
        .simulator
        .faults()
        .add(Fault::parse(&format!("delete_batch:delay={by}:done")).unwrap());
}

pub async fn all_deleted(world: &World, backups: usize) {
    let due = ids(1, 3..backups);
    for _ in 0..600 {
        if world.deleted() == due {
            return;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    world.deleted_exactly(&due);
}

#[tokio::test(flavor = "multi_thread")]
async fn without_the_database_nothing_new_begins_and_readyz_is_503_until_it_is_back() {
    let Some(server) = server() else { return };
    let (world, proxy, _) = shared(server, 1003).await;
    slow(&world, "150ms");
    let daemon = Daemon::start(&world, "log");
    until_sending(&world).await;
    daemon
        .until("/readyz", "200", |text| text.starts_with("HTTP/1.1 200"))
        .await;
    proxy.stall(true, true);
    let stalled = now();
    let said = daemon
        .until("/readyz", "503", |text| text.starts_with("HTTP/1.1 503"))
        .await;
    assert!(said.contains("database"), "{said}");
    tokio::time::sleep(Duration::from_secs(2)).await;
    let late: Vec<_> = world
        .simulator
        .calls_of(Op::DeleteBatch)
        .into_iter()
        .filter(|call| call.at > stalled + chrono::TimeDelta::milliseconds(1_500))
        .collect();
    assert!(late.is_empty(), "the 10 s are 1 s here: {late:?}");
    assert!(world.deleted().len() < 1_000, "something was left to do");
    assert!(
        tokio::task::block_in_place(|| daemon.get("/healthz"))
            .unwrap()
            .starts_with("HTTP/1.1 200")
    );
    proxy.heal(true);
    daemon
        .until("/readyz", "200", |text| text.starts_with("HTTP/1.1 200"))
        .await;
    all_deleted(&world, 1003).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lease_that_is_taken_over_is_counted_and_one_that_is_given_back_is_not() {
    let Some(server) = server() else { return };
    let (world, _proxy, database) = shared(server, 1003).await;
    // Longer than the other daemon takes to start.
    slow(&world, "60s");
    let total = |text: &str| {
        let line = text
            .lines()
            .find(|line| line.starts_with("rds_retention_takeovers_total{"));
        line.and_then(|line| line.rsplit(' ').next())
            .and_then(|count| count.parse::<u64>().ok())
    };
    let first = Daemon::start(&world, "first");
    until_sending(&world).await;
    let second = Daemon::start(&world, "second");
    let text = second.until("/metrics", "counted", |text| total(text).is_some()).await;
    assert_eq!(total(&text), Some(0), "at zero from the start");
    drop(first);
    world.simulator.faults().clear();
    second
        .until("/metrics", "counts it", |text| total(text) == Some(1))
        .await;
    all_deleted(&world, 1003).await;
    let leases = "SELECT SUM(takeovers) FROM lease";
    assert_eq!(server.psql(&database, leases), "1");
    // Each run since has taken the lease and given it back.
    let text = tokio::task::block_in_place(|| second.get("/metrics")).unwrap();
    assert_eq!(total(&text), Some(1));
}

/// With a real standby.
#[tokio::test(flavor = "multi_thread")]
async fn check_sees_whether_a_synchronous_standby_is_there_and_follows() {
    if server().is_none() {
        return;
    }
    let pair = tokio::task::spawn_blocking(|| Pair::start(9_000, false)).await.unwrap();
    let world = World::new(&[3]).await;
    let dir = pair.dir.display().to_string().replace('/', "%2F");
    let text = std::fs::read_to_string(world.config_file()).unwrap();
    let state = format!(
        "state: {{postgres: \"postgres://postgres@{dir}:{}/postgres\"}}",
        pair.ports[0]
    );
    std::fs::write(world.config_file(), text.replace("state_dir: state", &state)).unwrap();
    let none = "no synchronous standby: after a failover";
    let ran = world.run(&["check", "--online"]).await.exits(0);
    assert!((ran.stdout + &ran.stderr).contains(none));
    let set = |names: &str| {
        tokio::task::block_in_place(|| {
            pair.psql(
                0,
                "postgres",
                &format!("ALTER SYSTEM SET synchronous_standby_names = '{names}'"),
            );
            pair.psql(0, "postgres", "SELECT pg_reload_conf()")
        })
    };
    set("*");
    for round in 0.. {
        let seen = tokio::task::block_in_place(|| {
            pair.psql(
                0,
                "postgres",
                "SELECT COUNT(*) FROM pg_stat_replication WHERE sync_state = 'sync'",
            )
        });
        if seen == "1" {
            break;
        }
        assert!(round < 100, "it never follows");
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    let ran = world.run(&["check", "--online"]).await.exits(0);
    assert!(
        !ran.stderr.contains("standby") && !ran.stdout.contains("standby"),
        "{}{}",
        ran.stdout,
        ran.stderr
    );
    set("another");
    for round in 0.. {
        let ran = world.run(&["check", "--online"]).await.exits(0);
        if (ran.stdout + &ran.stderr).contains("no synchronous standby is connected") {
            break;
        }
        assert!(round < 50, "never warned of");
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}
