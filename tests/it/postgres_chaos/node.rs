//! A round: its API, its database, and the daemons, each behind proxies of its own.

use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::Once;
use std::time::{Duration, Instant};

use chrono::{DateTime, Utc};
use rds_retentiond::clock::now;
use rds_retentiond::simulator::{Key, Op};

use super::super::postgres_server::{Server, server};
use super::super::world::{World, fleet, ids};
use tokio::task::block_in_place;

use super::pair::Pair;
use super::proxy::Proxy;
use super::{Kind, factor, scaled};

const NODES: usize = 3;
/// Of each of two instances.
const BACKUPS: usize = 400;
pub const PASSWORD: &str = "chaos";

/// Gives the server's superuser the password, for connections by TCP; once, as two at a time fail.
pub fn set_password(server: &Server) {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        server.psql("postgres", &format!("ALTER ROLE postgres PASSWORD '{PASSWORD}'"));
    });
}

/// Sends a signal to a process of ours.
pub fn signal(pid: u32, name: &str) {
    let pid = pid.to_string();
    // Blocking without a word would stop the proxies and the API that share this thread.
    let _ = block_in_place(|| {
        let mut kill = Command::new("kill");
        kill.args([format!("-{name}"), pid]).stderr(Stdio::null()).status()
    });
}

/// A daemon.
pub struct Node {
    pub key: String,
    secret: String,
    dir: PathBuf,
    pub api: Proxy,
    pub database: Proxy,
    child: Option<Child>,
}

impl Node {
    pub fn signal(&self, name: &str) {
        if let Some(child) = &self.child {
            signal(child.id(), name);
        }
    }

    /// Waits for its end.
    pub async fn ended(&mut self) {
        let Some(mut child) = self.child.take() else { return };
        let given_up = Instant::now() + Duration::from_secs(40);
        while child.try_wait().unwrap().is_none() {
            if Instant::now() > given_up {
                let _ = child.kill();
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }
}

impl Drop for Node {
    fn drop(&mut self) {
        if let Some(mut child) = self.child.take() {
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

enum Database {
    Alone(&'static Server, String),
    Pair(Box<Pair>),
}

pub struct Round {
    pub kind: Kind,
    pub world: World,
    pub nodes: Vec<Node>,
    database: Database,
    /// When something was done to the holder, and who that was.
    pub marks: Vec<(DateTime<Utc>, usize)>,
    /// When the daemons could do nothing but delete what is left, and when all of it was deleted.
    pub healed: Option<Instant>,
    pub done: Option<Duration>,
    /// The chain of the primary that died, as it ended.
    pub lost_chain: Option<String>,
}

impl Round {
    pub async fn new(kind: Kind, number: usize) -> Self {
        let world = World::with(|options| options.fleet = fleet(&[BACKUPS, BACKUPS])).await;
        let server = server().unwrap();
        let database = if kind.needs_pair() {
            let start = tokio::task::spawn_blocking(move || Pair::start(number, kind != Kind::Asynchronous));
            Database::Pair(Box::new(start.await.unwrap()))
        } else {
            let name = block_in_place(|| server.database());
            Database::Alone(server, name)
        };
        let mut nodes = Vec::new();
        for node in 0..NODES {
            let key = format!("CHAOS{number:06}NODE{node}");
            let secret = world.simulator.secret_key().to_owned();
            world.simulator.add_key(Key::permanent(&key, &secret));
            let dir = world.dir().join(format!("node{node}"));
            std::fs::create_dir(&dir).unwrap();
            nodes.push(Node {
                key,
                secret: if kind == Kind::Key { "wrong".to_owned() } else { secret },
                dir,
                api: Proxy::to(world.simulator.address()).await,
                database: Proxy::to(([127, 0, 0, 1], server.port).into()).await,
                child: None,
            });
        }
        if kind == Kind::Key {
            // One key for all of them, as its lock counts for all.
            let key = nodes[0].key.clone();
            for node in &mut nodes {
                node.key.clone_from(&key);
            }
        }
        let round = Self {
            kind,
            world,
            nodes,
            database,
            marks: Vec::new(),
            healed: None,
            done: None,
            lost_chain: None,
        };
        for node in 0..NODES {
            round.configure(node, 3);
        }
        round
    }

    fn url(&self, port: u16) -> String {
        match &self.database {
            Database::Alone(_, name) => format!("postgres://postgres@127.0.0.1:{port}/{name}"),
            Database::Pair(pair) => {
                let [a, b] = pair.ports;
                format!("postgres://postgres@127.0.0.1:{a},127.0.0.1:{b}/postgres")
            }
        }
    }

    pub fn pair(&self) -> &Pair {
        match &self.database {
            Database::Pair(pair) => pair,
            Database::Alone(..) => panic!("no pair"),
        }
    }

    fn text(&self, url: &str, api: &str, keep: usize) -> String {
        let projects = self
            .world
            .simulator
            .config_yaml()
            .replace(&self.world.simulator.url(), api);
        format!(
            "version: 1\nstate: {{postgres: \"{url}\"}}\nlisten: none\n{projects}    concurrency: 2\n    requests_per_second: 200\n\
             policies:\n  - name: p\n    mode: enforce\n    schedule: \"* * * * * *\"\n    keep: {{last: {keep}}}\n    grace: 0s\n    \
             limits: {{max_percent: 100, max_deletions: 100000}}\n"
        )
    }

    /// Gives a daemon a configuration, which it takes by itself.
    pub fn configure(&self, node: usize, keep: usize) {
        let Node { api, database, dir, .. } = &self.nodes[node];
        let text = self.text(
            &self.url(database.address.port()),
            &format!("http://{}", api.address),
            keep,
        );
        std::fs::write(dir.join("next"), text).unwrap();
        std::fs::rename(dir.join("next"), dir.join("config.yaml")).unwrap();
    }

    fn command(key: &str, secret: &str) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_rds-retentiond"));
        command
            .env_clear()
            .env("HUAWEICLOUD_SDK_AK", key)
            .env("HUAWEICLOUD_SDK_SK", secret)
            .env("PGPASSWORD", PASSWORD)
            .env("RDS_RETENTIOND_TEST_TIMES", factor().to_string())
            .stdin(Stdio::null());
        command
    }

    pub fn start(&mut self, node: usize) {
        let of = &self.nodes[node];
        let log = std::fs::File::options()
            .create(true)
            .append(true)
            .open(of.dir.join("log"))
            .unwrap();
        let mut command = Self::command(&of.key, &of.secret);
        command.arg("--config").arg(of.dir.join("config.yaml")).arg("run");
        let child = command.stdout(Stdio::null()).stderr(log).spawn().unwrap();
        self.nodes[node].child = Some(child);
    }

    /// Restarts all with the right secret.
    pub fn give_right_key(&mut self) {
        for node in 0..NODES {
            self.nodes[node].signal("KILL");
            if let Some(mut child) = self.nodes[node].child.take() {
                let _ = child.wait();
            }
            self.nodes[node].secret = self.world.simulator.secret_key().to_owned();
            self.start(node);
        }
    }

    /// A command of a person elsewhere, who reaches the database directly; what it prints, and whether it worked.
    pub async fn operator(&self, args: &[&str]) -> (bool, String) {
        let port = match &self.database {
            Database::Alone(server, _) => server.port,
            Database::Pair(_) => 0,
        };
        let file = self.world.dir().join("operator.yaml");
        std::fs::write(&file, self.text(&self.url(port), &self.world.simulator.url(), 3)).unwrap();
        let mut command = Self::command("NOBODY", "none");
        command.arg("--config").arg(file).args(args);
        let output = tokio::task::spawn_blocking(move || command.output().unwrap())
            .await
            .unwrap();
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        (
            output.status.success(),
            if output.status.success() { text } else { said },
        )
    }

    /// Runs SQL as the superuser.
    pub fn sql(&self, sql: &str) -> String {
        block_in_place(|| match &self.database {
            Database::Alone(server, name) => server.psql(name, sql),
            Database::Pair(pair) => pair.psql(0, "postgres", sql),
        })
    }

    /// Who sent last.
    pub fn holder(&self) -> usize {
        let calls = self.world.simulator.calls_of(Op::DeleteBatch);
        let last = calls
            .iter()
            .rev()
            .find_map(|call| self.sender(call.claimed.as_deref()?));
        last.unwrap_or_else(|| fastrand::usize(..NODES))
    }

    pub fn sender(&self, key: &str) -> Option<usize> {
        self.nodes.iter().position(|node| node.key == key)
    }

    pub fn mark(&mut self, holder: usize) {
        self.marks.push((now(), holder));
    }

    pub async fn until_sending(&self) {
        for _ in 0..1500 {
            if !self.world.simulator.calls_of(Op::DeleteBatch).is_empty() {
                return;
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        panic!(
            "{:?}: nothing is ever sent; see {}",
            self.kind,
            self.nodes[0].dir.display()
        );
    }

    /// Promotes the standby, and keeps what only the dead primary knew.
    pub fn fail_over(&mut self) {
        let pair = self.pair();
        block_in_place(|| {
            pair.promote();
            pair.revive_primary();
        });
        let sql =
            "SELECT json_build_object('seq', seq, 'at', at, 'kind', kind, 'body', body::json) FROM chain ORDER BY seq";
        self.lost_chain = Some(self.sql(sql));
        // It never comes back to those that know its address.
        block_in_place(|| self.pair().kill_primary());
    }

    pub async fn freeze_for(&self, time: Duration) {
        let (frozen, said) = self.operator(&["freeze", "--reason", "chaos"]).await;
        if frozen {
            tokio::time::sleep(time).await;
            let (thawed, said) = self.operator(&["thaw", "--all"]).await;
            assert!(thawed, "{said}");
        } else {
            assert!(
                self.kind.needs_pair() || said.contains("not") || said.contains("NOT"),
                "{said}"
            );
        }
    }

    /// All that is due.
    pub fn due() -> std::collections::BTreeSet<String> {
        ids(1, 3..BACKUPS).into_iter().chain(ids(2, 3..BACKUPS)).collect()
    }

    /// Waits until all that is due is deleted, or it is clear that it never will be.
    pub async fn finish(&mut self) {
        let began = Instant::now();
        self.healed = Some(began);
        let given_up = began + scaled(450.0) + Duration::from_secs(15);
        let due = Self::due().len();
        while Instant::now() < given_up {
            if self.world.deleted().len() == due {
                self.done = Some(began.elapsed());
                return;
            }
            if self.kind == Kind::Asynchronous {
                // Who knows a head that the standby never had stops all of them; a person looks at it, and goes on.
                self.operator(&["state", "accept-rewind", "--reason", "chaos"]).await;
                tokio::time::sleep(Duration::from_millis(450)).await;
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }

    pub async fn stop(&mut self) {
        for node in &self.nodes {
            node.signal("TERM");
        }
        for node in &mut self.nodes {
            node.ended().await;
        }
    }

    /// What the daemons and the chain said, for whoever looks for the cause of a finding.
    pub fn keep_logs(&self, chain: &str) -> PathBuf {
        let kept = std::env::temp_dir().join(format!("chaos-{}-{}", std::process::id(), self.nodes[0].key));
        let _ = std::fs::create_dir_all(&kept);
        let _ = std::fs::write(kept.join("chain"), chain);
        for (number, node) in self.nodes.iter().enumerate() {
            let _ = std::fs::copy(node.dir.join("log"), kept.join(format!("log{number}")));
        }
        kept
    }

    pub async fn end(self) {
        let database = self.database;
        drop(self.nodes);
        self.world.simulator.stop().await;
        drop(database);
    }
}
