//! The model of docs/scale.md beside a run on a virtual clock: 10,000 instances with 1,000 backups each in 20 projects, at 10 requests a second.
//!
//! `cargo bench --bench model`, or with another fleet: `-- INSTANCES BACKUPS PROJECTS RATE`. The calls are those of a run, in its order
//! and with its numbers at once; the pace is the program's own ([`Throttle`]), the API a made-up one: 20 to 80 ms an answer, and 429
//! beyond the rate in any second. Nothing waits in earnest, so hours take seconds.
//!
//! `-- INSTANCES BACKUPS PROJECTS RATE DAEMONS MILLISECONDS` has the projects on several daemons, each project with a run of its own, and one
//! database that takes so long for a transaction and makes one at a time: `-- 10000 1000 100 10 5 10`.

#![expect(clippy::print_stdout, reason = "a program that prints a table")]

use std::collections::VecDeque;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use rds_retentiond::rds::rate::Throttle;
use tokio::sync::{mpsc, oneshot};
use tokio::task::JoinSet;
use tokio::time::Instant;

const PAGE: usize = 100;
const BATCH: usize = 50;
const AT_ONCE: usize = 8;

/// What one project has, and what goes.
#[derive(Clone, Copy)]
struct Fleet {
    instances: usize,
    backups: usize,
    expired: usize,
}

/// The calls of one project.
#[derive(Clone, Copy, Default)]
struct Calls {
    instances: usize,
    backups: usize,
    deletions: usize,
    confirming: usize,
}

impl Calls {
    fn of(fleet: Fleet) -> Self {
        let left = (fleet.backups - fleet.expired).div_ceil(PAGE).max(1);
        let confirming = if fleet.expired < left { fleet.expired } else { left };
        Self {
            instances: fleet.instances.div_ceil(PAGE),
            backups: fleet.instances * fleet.backups.div_ceil(PAGE).max(1),
            deletions: (fleet.instances * fleet.expired).div_ceil(BATCH),
            confirming: if fleet.expired == 0 {
                0
            } else {
                fleet.instances * confirming
            },
        }
    }

    fn all(self) -> usize {
        self.instances + self.backups + self.deletions + self.confirming
    }
}

/// An API that lets so many requests a second through.
struct Api {
    throttle: Throttle,
    limit: usize,
    recent: Mutex<VecDeque<Instant>>,
    counted: Mutex<(usize, usize)>,
}

impl Api {
    fn accepts(&self) -> bool {
        let (now, mut recent) = (Instant::now(), self.recent.lock().unwrap());
        while recent.front().is_some_and(|at| now - *at >= Duration::from_secs(1)) {
            recent.pop_front();
        }
        let room = recent.len() < self.limit;
        if room {
            recent.push_back(now);
        }
        room
    }

    /// One call, as often as it is throttled.
    async fn call(&self) {
        loop {
            let _slot = self.throttle.slot().await;
            drop(self.throttle.turn().await);
            let sent = Instant::now();
            let way = Duration::from_micros(fastrand::u64(10_000..40_000));
            tokio::time::sleep(way).await;
            let accepted = self.accepts();
            tokio::time::sleep(way).await;
            let mut counted = self.counted.lock().unwrap();
            counted.0 += 1;
            if accepted {
                self.throttle.answered(sent);
                return;
            }
            counted.1 += 1;
            drop(counted);
            self.throttle.refused(sent, None);
        }
    }

    /// So many chains of so many calls one after another, some chains at once.
    async fn chains(self: &Arc<Self>, chains: usize, calls: usize, at_once: usize, ledger: Option<&Writer>) {
        let mut under_way = JoinSet::new();
        for _ in 0..chains {
            if under_way.len() >= at_once {
                under_way.join_next().await;
            }
            let (api, ledger) = (Arc::clone(self), ledger.cloned());
            under_way.spawn(async move {
                for _ in 0..calls {
                    let Some(ledger) = &ledger else {
                        api.call().await;
                        continue;
                    };
                    ledger.write().await;
                    api.call().await;
                    ledger.write().await;
                }
            });
        }
        while under_way.join_next().await.is_some() {}
    }
}

/// What writes a run's intents and answers: all that wait go into one transaction.
#[derive(Clone)]
struct Writer(mpsc::UnboundedSender<oneshot::Sender<()>>);

/// The one head of the chain, and how long transactions have had it.
type Head = Arc<tokio::sync::Mutex<Duration>>;

impl Writer {
    /// `connection`: a daemon has one.
    fn new(connection: Arc<tokio::sync::Mutex<()>>, head: Head, transaction: Duration) -> Self {
        let (entries, mut waiting) = mpsc::unbounded_channel::<oneshot::Sender<()>>();
        tokio::spawn(async move {
            while let Some(first) = waiting.recv().await {
                let _connection = connection.lock().await;
                let mut busy = head.lock().await;
                let together: Vec<_> = std::iter::once(first)
                    .chain(std::iter::from_fn(|| waiting.try_recv().ok()))
                    .collect();
                tokio::time::sleep(transaction).await;
                *busy += transaction;
                for entry in together {
                    // Who waited no longer has nothing to be sent.
                    let _ = entry.send(());
                }
            }
        });
        Self(entries)
    }

    async fn write(&self) {
        let (done, written) = oneshot::channel();
        self.0.send(done).unwrap();
        written.await.unwrap();
    }
}

/// All projects on several daemons and one database: calls, throttled ones, how long it took, and how long the database was busy.
async fn shared(
    fleet: Fleet,
    limit: usize,
    projects: usize,
    daemons: usize,
    transaction: Duration,
) -> (usize, usize, Duration, Duration) {
    let head = Head::default();
    let connections: Vec<_> = (0..daemons).map(|_| Arc::default()).collect();
    let mut runs = JoinSet::new();
    for number in 0..projects {
        let connection = Arc::clone(&connections[number % daemons]);
        let writer = Writer::new(connection, Arc::clone(&head), transaction);
        runs.spawn(async move { project(fleet, limit, Some(writer)).await });
    }
    let (mut made, mut refused, mut took) = (0, 0, Duration::ZERO);
    while let Some(run) = runs.join_next().await {
        let run = run.unwrap();
        (made, refused, took) = (made + run.0, refused + run.1, took.max(run.2));
    }
    let busy = *head.lock().await;
    (made, refused, took, busy)
}

/// Walks the calls of one project; calls, throttled ones, and how long it took.
async fn project(fleet: Fleet, limit: usize, ledger: Option<Writer>) -> (usize, usize, Duration) {
    let calls = Calls::of(fleet);
    let api = Arc::new(Api {
        throttle: Throttle::new(1_000, AT_ONCE),
        limit,
        recent: Mutex::default(),
        counted: Mutex::default(),
    });
    let begun = Instant::now();
    api.chains(1, calls.instances, 1, None).await;
    api.chains(fleet.instances, calls.backups / fleet.instances, AT_ONCE + 4, None)
        .await;
    api.chains(calls.deletions, 1, AT_ONCE + AT_ONCE / 4, ledger.as_ref())
        .await;
    api.chains(fleet.instances, calls.confirming / fleet.instances, AT_ONCE + 1, None)
        .await;
    let (made, refused) = *api.counted.lock().unwrap();
    (made, refused, begun.elapsed())
}

fn clock(seconds: f64) -> String {
    let seconds = seconds.round();
    format!(
        "{:.0}:{:02.0}:{:02.0}",
        (seconds / 3600.0).floor(),
        (seconds / 60.0).floor() % 60.0,
        seconds % 60.0
    )
}

fn main() {
    if !std::env::args().any(|argument| argument == "--bench") {
        return;
    }
    let numbers: Vec<usize> = std::env::args()
        .skip(1)
        .filter_map(|argument| argument.parse().ok())
        .collect();
    let number = |place: usize, usual: usize| numbers.get(place).copied().unwrap_or(usual);
    let (instances, backups, projects, rate) = (number(0, 10_000), number(1, 1_000), number(2, 20), number(3, 10));
    println!("{instances} instances x {backups} backups in {projects} projects, {rate} requests a second each");
    let shared_by = numbers.get(4).map(|daemons| (*daemons, number(5, 10)));
    if let Some((daemons, milliseconds)) = shared_by {
        println!("on {daemons} daemons and one database that makes a transaction in {milliseconds} ms");
    }
    println!();
    println!(
        "{:34}{:>10}{:>12}{:>11}{:>11}{:>12}{:>8}",
        "", "calls", "of the run", "model", "run", "throttled", "of model"
    );
    let days = [
        ("nothing expired", 0),
        ("a usual day: 1 of each expired", 1),
        ("the first day: all but 30", backups.saturating_sub(30)),
    ];
    for (name, expired) in days {
        let fleet = Fleet {
            instances: instances.div_ceil(projects),
            backups,
            expired,
        };
        let least = Calls::of(fleet).all();
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_time()
            .start_paused(true)
            .build()
            .unwrap();
        let (made, refused, took) = if let Some((daemons, milliseconds)) = shared_by {
            let transaction = Duration::from_millis(milliseconds as u64);
            let (made, refused, took, busy) = runtime.block_on(shared(fleet, rate, projects, daemons, transaction));
            println!(
                "{:>94.1} % of the time the database is busy",
                100.0 * busy.as_secs_f64() / took.as_secs_f64()
            );
            (made / projects, refused / projects, took)
        } else {
            // The projects run side by side and know nothing of each other: one stands for all, the slowest of three for the worst.
            let runs = (0..3).map(|_| runtime.block_on(project(fleet, rate, None)));
            runs.max_by_key(|(_, _, took)| *took).unwrap()
        };
        #[expect(clippy::cast_precision_loss, reason = "calls are far fewer than 2^52")]
        let (least_s, share) = (least as f64 / rate as f64, refused as f64 / made as f64);
        println!(
            "{name:34}{:>10}{:>12}{:>11}{:>11}{:>11.1}%{:>8.2}",
            least * projects,
            made * projects,
            clock(least_s + 1.0),
            clock(took.as_secs_f64()),
            share * 100.0,
            took.as_secs_f64() / (least_s + 1.0),
        );
    }
}
