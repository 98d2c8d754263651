//! Several daemons on one state, while machines stop, networks break and databases fail over.
//!
//! Each round has three daemons, an API and a database of its own. Afterwards a checker compares every call that reached the API with the
//! chain: each id had an earlier intent, none was sent by two holders, none after a freeze. `tests/bench/chaos KIND N` runs many rounds.

mod checker;
pub mod node;
pub mod pair;
pub mod proxy;

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use rds_retentiond::simulator::Fault;
use tokio::task::JoinSet;

use self::checker::Findings;
use self::node::Round;

/// How much shorter all times of the protocol are than those that users have.
pub fn factor() -> u32 {
    std::env::var("CHAOS_TIMES").map_or(10, |text| text.parse().unwrap())
}

/// A time of the protocol, as the daemons of a round have it.
pub fn scaled(seconds: f64) -> Duration {
    Duration::from_secs_f64(seconds / f64::from(factor()))
}

fn random(from: f64, to: f64) -> Duration {
    scaled(from + fastrand::f64() * (to - from))
}

/// What is done to the daemons.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// SIGTERM to the holder.
    Term,
    /// SIGKILL to the holder.
    Kill,
    /// SIGSTOP to the holder, 1 to 60 s.
    Stop,
    /// The holder's connections to the database stop forwarding.
    Database,
    /// The holder's connections to the API stop forwarding.
    Api,
    /// The leases are ended by hand.
    Expire,
    /// One daemon has another policy for a while.
    Config,
    /// All daemons have a wrong secret at first.
    Key,
    /// The synchronous standby stands still.
    Standby,
    /// The primary dies; its synchronous standby is promoted.
    Synchronous,
    /// The primary dies; its asynchronous standby, which is behind, is promoted.
    Asynchronous,
}

impl Kind {
    pub const ALL: [Self; 11] = [
        Self::Term,
        Self::Kill,
        Self::Stop,
        Self::Database,
        Self::Api,
        Self::Expire,
        Self::Config,
        Self::Key,
        Self::Standby,
        Self::Synchronous,
        Self::Asynchronous,
    ];

    pub fn name(self) -> String {
        format!("{self:?}").to_lowercase()
    }

    fn needs_pair(self) -> bool {
        matches!(self, Self::Standby | Self::Synchronous | Self::Asynchronous)
    }
}

/// What is done once, while the daemons delete.
async fn disturb(round: &mut Round, kind: Kind) {
    let holder = round.holder();
    match kind {
        Kind::Term | Kind::Kill => {
            round.mark(holder);
            round.nodes[holder].signal(if kind == Kind::Term { "TERM" } else { "KILL" });
            round.nodes[holder].ended().await;
            tokio::time::sleep(random(5.0, 70.0)).await;
            round.start(holder);
        }
        Kind::Stop => {
            round.mark(holder);
            round.nodes[holder].signal("STOP");
            tokio::time::sleep(random(1.0, 60.0)).await;
            round.nodes[holder].signal("CONT");
        }
        Kind::Database | Kind::Api => {
            round.mark(holder);
            let (up, down) = *fastrand::choice(&[(true, true), (true, false), (false, true)]).unwrap();
            let node = &round.nodes[holder];
            let proxy = if kind == Kind::Api { &node.api } else { &node.database };
            proxy.stall(up, down);
            tokio::time::sleep(random(1.0, 60.0)).await;
            // What was on its way to the API when its client gave up is lost with the connection.
            proxy.heal(if kind == Kind::Api { up } else { fastrand::bool() });
        }
        Kind::Expire => {
            for _ in 0..fastrand::usize(1..6) {
                round.sql("UPDATE lease SET expires = clock_timestamp()");
                tokio::time::sleep(random(0.5, 10.0)).await;
            }
        }
        Kind::Config => {
            let other = (holder + 1) % round.nodes.len();
            round.configure(other, 5);
            tokio::time::sleep(random(5.0, 60.0)).await;
            round.configure(other, 3);
        }
        Kind::Key => {}
        Kind::Standby => {
            let receiver = tokio::task::block_in_place(|| round.pair().receiver()).expect("a standby");
            node::signal(receiver, "STOP");
            tokio::time::sleep(random(1.0, 60.0)).await;
            node::signal(receiver, "CONT");
        }
        Kind::Synchronous | Kind::Asynchronous => {
            let receiver = tokio::task::block_in_place(|| round.pair().receiver()).expect("a standby");
            if kind == Kind::Asynchronous {
                node::signal(receiver, "STOP");
                tokio::time::sleep(random(0.0, 30.0)).await;
            }
            round.mark(holder);
            tokio::task::block_in_place(|| round.pair().kill_primary());
            node::signal(receiver, "CONT");
            tokio::time::sleep(random(0.0, 30.0)).await;
            round.fail_over();
        }
    }
}

/// One round; what the checker found.
async fn round(kind: Kind, number: usize) -> Findings {
    let mut round = Round::new(kind, number).await;
    let by = Duration::from_millis(fastrand::u64(200..700));
    let work_first = if fastrand::bool() { ":done" } else { "" };
    let slow = Fault::parse(&format!("delete_batch:delay={}ms{work_first}", by.as_millis())).unwrap();
    round.world.simulator.faults().add(slow);
    for node in 0..round.nodes.len() {
        round.start(node);
    }
    if kind == Kind::Key {
        tokio::time::sleep(random(30.0, 60.0)).await;
        round.give_right_key();
    }
    round.until_sending().await;
    let times = if kind.needs_pair() || kind == Kind::Config {
        1
    } else {
        fastrand::usize(1..=3)
    };
    for _ in 0..times {
        tokio::time::sleep(random(0.0, 8.0)).await;
        disturb(&mut round, kind).await;
    }
    if fastrand::bool() {
        round.freeze_for(scaled(12.0)).await;
    }
    round.world.simulator.faults().clear();
    round.finish().await;
    let findings = checker::check(&mut round, by).await;
    round.end().await;
    findings
}

/// Rounds of some kinds, several at a time.
async fn rounds(kinds: Vec<Kind>, each: usize, at_once: usize) -> Vec<(Kind, Vec<Findings>)> {
    static NUMBER: AtomicUsize = AtomicUsize::new(0);
    let slots = Arc::new(tokio::sync::Semaphore::new(at_once));
    let mut running = JoinSet::new();
    for kind in kinds.iter().flat_map(|kind| std::iter::repeat_n(*kind, each)) {
        let slots = Arc::clone(&slots);
        running.spawn(async move {
            let _slot = slots.acquire_owned().await.unwrap();
            let number = NUMBER.fetch_add(1, Ordering::Relaxed);
            let findings = tokio::spawn(round(kind, number)).await;
            (kind, findings.unwrap_or_else(|error| Findings::broken(&error)))
        });
    }
    let mut found: Vec<(Kind, Vec<Findings>)> = kinds.into_iter().map(|kind| (kind, Vec::new())).collect();
    while let Some(joined) = running.join_next().await {
        let (kind, findings) = joined.unwrap();
        if !findings.violations.is_empty() {
            show(&format!(
                "{}: {:#?} (see {})",
                kind.name(),
                findings.violations,
                findings.kept.display()
            ));
        }
        found.iter_mut().find(|(of, _)| *of == kind).unwrap().1.push(findings);
    }
    found
}

fn show(text: &str) {
    use std::io::Write as _;
    let _ = writeln!(std::io::stderr(), "{text}");
}

/// `CHAOS_KIND` (a name, or `all`), `CHAOS_ROUNDS` of each, `CHAOS_AT_ONCE`, `CHAOS_TIMES`: how much shorter the times are.
#[tokio::test(flavor = "multi_thread", worker_threads = 32)]
#[ignore = "minutes: tests/ops/postgres.sh and tests/bench/chaos run it"]
async fn no_id_is_sent_by_two_holders_whatever_fails() {
    let Some(server) = super::postgres_server::server() else {
        return;
    };
    node::set_password(server);
    let number = |name: &str, usual: usize| std::env::var(name).map_or(usual, |text| text.parse().unwrap());
    let wanted = std::env::var("CHAOS_KIND").unwrap_or_else(|_| "all".to_owned());
    let is_wanted = |kind: &Kind| wanted == "all" || wanted.split(',').any(|name| name == kind.name());
    let kinds: Vec<Kind> = Kind::ALL.into_iter().filter(is_wanted).collect();
    assert!(
        !kinds.is_empty(),
        "CHAOS_KIND is one of {:?}",
        Kind::ALL.map(Kind::name)
    );
    let began = Instant::now();
    let found = rounds(kinds, number("CHAOS_ROUNDS", 2), number("CHAOS_AT_ONCE", 4)).await;
    show(&checker::table(&found));
    show(&format!(
        "{} s, times {} times shorter",
        began.elapsed().as_secs(),
        factor()
    ));
    let violations = found
        .iter()
        .flat_map(|(_, rounds)| rounds)
        .map(|of| of.violations.len())
        .sum::<usize>();
    assert_eq!(violations, 0, "see above");
}
