//! The queues: one for each target, with a task that empties it.

use std::collections::HashSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use chrono::{DateTime, Utc};
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio::time::timeout;

use super::delivery::deliver;
use super::ending::EndingSoon;
use super::notification::{FrozenBefore, Notification, RunMessages};
use crate::config::{NotifyFormat, NotifyTarget};
use crate::ledger::Ledger;
use crate::retention::{PolicyName, RunReport};
use crate::wording::error_chain;

/// Messages that wait for one target. More are dropped: a target that is away for hours is in the log.
const WAITING: usize = 64;

/// One target's queue. A target has a queue of its own, so that one that hangs delays no other: the dead man's switch above all.
#[derive(Clone)]
struct TargetQueue {
    /// Its place in `notify`, from 1.
    number: usize,
    target: Arc<NotifyTarget>,
    sender: mpsc::Sender<Notification>,
    counts: Arc<DeliveryCounts>,
}

/// Since the process began.
#[derive(Default)]
struct DeliveryCounts {
    /// In a queue or on the way.
    waiting: AtomicU64,
    /// Given up, or never queued.
    dropped: AtomicU64,
}

/// Takes messages about runs and sends them; nothing here waits but [`Self::close`].
#[derive(Default)]
pub struct Notifier {
    targets: Vec<NotifyTarget>,
    /// How commands in messages call this program.
    program: String,
    queues: Vec<TargetQueue>,
    counts: Arc<DeliveryCounts>,
    /// What this process has asked the ledger to take note of.
    noted: HashSet<String>,
    tasks: JoinSet<()>,
}

impl std::fmt::Debug for Notifier {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Notifier")
            .field("targets", &self.targets)
            .finish_non_exhaustive()
    }
}

impl Notifier {
    /// Begins a task for each target.
    pub fn new(targets: &[NotifyTarget], program: String) -> Self {
        let mut notifier = Self {
            program,
            ..Self::default()
        };
        notifier.configure(targets);
        notifier
    }

    /// Takes other targets. What the ones before have in their queues is still sent.
    pub fn configure(&mut self, targets: &[NotifyTarget]) {
        if self.targets == targets {
            return;
        }
        self.targets = targets.to_vec();
        self.queues.clear();
        self.reap();
        for (nth, target) in targets.iter().enumerate() {
            let (sender, messages) = mpsc::channel(WAITING);
            let queue = TargetQueue {
                number: nth + 1,
                target: Arc::new(target.clone()),
                sender,
                counts: Arc::clone(&self.counts),
            };
            self.tasks.spawn(empty(queue.of_task(), messages));
            self.queues.push(queue);
        }
    }

    /// A run of these policies begins.
    pub fn run_starts(&self, policies: &[PolicyName], at: DateTime<Utc>) {
        offer(&self.queues, &RunMessages::starting(policies, at));
    }

    /// A run has ended. `why` is why it has no report of its own, where it has none.
    pub fn run_ended(&self, report: &RunReport, frozen_before: FrozenBefore<'_>, why: Option<&str>) {
        offer(
            &self.queues,
            &RunMessages::ended(report, &self.program, frozen_before, why),
        );
    }

    /// A run of an earlier process was interrupted; sent once, whoever finds it.
    pub fn run_interrupted(&mut self, policy: &PolicyName, at: DateTime<Utc>, ledger: &Arc<Ledger>) {
        let key = format!("interrupted {policy} {}", at.to_rfc3339());
        self.once(vec![(key, RunMessages::interrupted(policy, at))], ledger);
    }

    /// These end soon; each is sent once.
    pub fn ending(&mut self, soon: &[EndingSoon], now: DateTime<Utc>, ledger: &Arc<Ledger>) {
        let message = |of: &EndingSoon| {
            let messages = RunMessages {
                each: vec![Notification::ending(of, now)],
                ping: None,
            };
            (format!("ending {}", of.key), messages)
        };
        self.once(soon.iter().map(message).collect(), ledger);
    }

    /// Sends what the ledger has not taken note of before. In a task: a disk may be slow.
    fn once(&mut self, mut news: Vec<(String, RunMessages)>, ledger: &Arc<Ledger>) {
        self.reap();
        // What no target wants is not noted: a target that is added later hears of it.
        let wanted = |messages: &RunMessages| self.queues.iter().any(|queue| queue.wanted(messages).next().is_some());
        news.retain(|(key, messages)| wanted(messages) && self.noted.insert(key.clone()));
        if news.is_empty() {
            return;
        }
        let (queues, ledger) = (self.queues.clone(), Arc::clone(ledger));
        self.tasks.spawn(async move {
            let keys: Vec<String> = news.iter().map(|(key, _)| key.clone()).collect();
            let noted = tokio::task::spawn_blocking(move || ledger.note_notified(&keys, crate::clock::now()));
            let is_new = match noted.await {
                Ok(Ok(is_new)) => is_new,
                Ok(Err(error)) => {
                    tracing::warn!(
                        error = error_chain(&error),
                        "what was notified of cannot be noted; it may be sent again"
                    );
                    vec![true; news.len()]
                }
                Err(error) => return tracing::error!(%error, "taking note of notifications panicked"),
            };
            for ((_, messages), _) in news.iter().zip(is_new).filter(|(_, is_new)| *is_new) {
                offer(&queues, messages);
            }
        });
    }

    /// Forgets tasks that have ended.
    fn reap(&mut self) {
        while self.tasks.try_join_next().is_some() {}
    }

    /// Waits for what is queued, but not longer than this; the rest is dropped.
    pub async fn close(&mut self, within: Duration) {
        self.queues.clear();
        self.targets.clear();
        let sent = async { while self.tasks.join_next().await.is_some() {} };
        if timeout(within, sent).await.is_err() {
            self.tasks.abort_all();
            let notifications = self.counts.waiting.load(Ordering::Relaxed);
            tracing::warn!(
                notifications,
                "the process ends, and these notifications were not delivered in time"
            );
        }
    }
}

/// Puts each message into the queues of those who want it.
fn offer(queues: &[TargetQueue], messages: &RunMessages) {
    for queue in queues {
        queue.wanted(messages).for_each(|message| queue.push(message.clone()));
    }
}

impl TargetQueue {
    /// The messages that its target gets.
    fn wanted<'m>(&self, messages: &'m RunMessages) -> impl Iterator<Item = &'m Notification> {
        let of = match self.target.format {
            NotifyFormat::Ping => messages.ping.as_slice(),
            NotifyFormat::Json | NotifyFormat::Slack | NotifyFormat::Teams => &messages.each,
        };
        of.iter()
            .filter(|message| message.on.is_none_or(|on| self.target.on.contains(&on)))
    }

    fn push(&self, message: Notification) {
        self.counts.waiting.fetch_add(1, Ordering::Relaxed);
        if let Err(error) = self.sender.try_send(message) {
            self.counts.waiting.fetch_sub(1, Ordering::Relaxed);
            let message = error.into_inner();
            self.drop_message(&message, None, "64 messages wait for it already");
        }
    }

    /// What the task knows of its queue: with a sender it would never see its end.
    fn of_task(&self) -> Worker {
        Worker {
            number: self.number,
            target: Arc::clone(&self.target),
            counts: Arc::clone(&self.counts),
        }
    }

    fn drop_message(&self, message: &Notification, host: Option<&str>, why: &str) {
        self.of_task().drop_message(message, host, why);
    }
}

/// What empties a queue.
struct Worker {
    number: usize,
    target: Arc<NotifyTarget>,
    counts: Arc<DeliveryCounts>,
}

impl Worker {
    fn drop_message(&self, message: &Notification, host: Option<&str>, why: &str) {
        tracing::warn!(
            to = format!("#{} {}", self.number, self.target.format.as_str()),
            host,
            event = message.event,
            policy = message.policy.as_ref().map(PolicyName::as_str),
            dropped = self.counts.dropped.fetch_add(1, Ordering::Relaxed) + 1,
            "a notification was not delivered: {why}; `check --notify-test` tries it"
        );
    }
}

async fn empty(worker: Worker, mut messages: mpsc::Receiver<Notification>) {
    while let Some(message) = messages.recv().await {
        if let Err(failed) = deliver(&worker.target, &message).await {
            worker.drop_message(&message, failed.host.as_deref(), &failed.why);
        }
        worker.counts.waiting.fetch_sub(1, Ordering::Relaxed);
    }
}
