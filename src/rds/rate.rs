//! How fast one project is asked: slots for requests under way, and a pace that finds the server's limit.
//!
//! The limit of the API is not published and its 429 names no number (API reference, section 7), so the pace is learnt. [`RateController`]
//! is a pure state machine on instants; [`Throttle`] adds waiting. Not for deciding what is sent again: that is `client`.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::Instant;

/// A pause, whoever asked for it, is never longer.
pub const LONGEST_PAUSE: Duration = Duration::from_secs(60);
/// The span over which answered requests are counted to learn what the server lets through.
const WINDOW: Duration = Duration::from_secs(1);
/// The pace of the first requests, unless the ceiling is lower; it doubles every quarter second, then faster, until something says no.
const FIRST_RATE: f64 = 20.0;
/// While nothing says no, the rate grows by this with each answer: e^2.8 in a second.
const GROWTH: f64 = 2.8;
/// Above some tens a second it grows faster, as a share of the rate for each answer: a server with a lower limit has said so by then.
const FASTER: f64 = 0.2;
/// But it never doubles in less than four times what an answer takes: a refusal is known as late as that, and all that was
/// sent meanwhile is refused, too. ln 2 ÷ 4.
const PATIENCE: f64 = 0.17;
/// Slower than this it never gets by itself; pauses do the rest.
const SLOWEST_RATE: f64 = 0.5;
/// Pause after the first refusal while the limit is unknown: a whole window of a server that counts by the second.
const FIRST_PAUSE: Duration = Duration::from_secs(1);
/// Pause after a refusal near a known limit: such a server's window is nearly over by then.
const SHORT_PAUSE: Duration = Duration::from_millis(150);

/// The rate as a value: what may be sent when, learnt from what was answered.
///
/// Like TCP's congestion control: it starts moderately and doubles (nothing known), falls to what was really let through when
/// refused, climbs back quickly to just below that and creeps from there, ever faster as long as nothing is refused. A
/// plain halving would lose a quarter of the throughput for ever.
#[derive(Debug)]
pub struct RateController {
    ceiling: f64,
    most_burst: f64,
    rate: f64,
    tokens: f64,
    refilled: Instant,
    started: Option<Instant>,
    paused_until: Instant,
    /// What the server let through when it last refused; unknown until it does.
    learned_limit: Option<f64>,
    last_cut: Option<Instant>,
    /// Answers since the last cut, in seconds of work at the rate they were sent at.
    calm: f64,
    /// Cuts since the last answer that was not a refusal.
    cuts_in_a_row: u32,
    answered: VecDeque<Instant>,
    /// The shortest time that an answer took, in seconds.
    shortest: f64,
}

impl RateController {
    /// A pace of at most `ceiling` requests a second, with bursts of at most `most_burst`.
    pub fn new(ceiling: u32, most_burst: usize, now: Instant) -> Self {
        let ceiling = f64::from(ceiling.max(1));
        Self {
            ceiling,
            most_burst: f64::from(u32::try_from(most_burst.max(1)).unwrap_or(u32::MAX)),
            rate: ceiling.min(FIRST_RATE),
            tokens: 1.0,
            refilled: now,
            started: None,
            paused_until: now,
            learned_limit: None,
            last_cut: None,
            calm: 0.0,
            cuts_in_a_row: 0,
            answered: VecDeque::new(),
            shortest: f64::INFINITY,
        }
    }

    /// The present rate in requests a second.
    pub fn rate(&self) -> f64 {
        self.rate
    }

    /// Takes a token, or says how long until there may be one.
    pub fn take(&mut self, now: Instant) -> Result<(), Duration> {
        if now < self.paused_until {
            return Err(self.paused_until - now);
        }
        let since = now.saturating_duration_since(self.refilled.max(self.paused_until));
        // A twentieth of a second's worth: enough to make up for coarse timers, too little to be a burst.
        let most = (self.rate / 20.0).min(self.most_burst).max(1.0);
        self.tokens = (self.tokens + since.as_secs_f64() * self.rate).min(most);
        self.refilled = now;
        self.started.get_or_insert(now);
        if self.tokens >= 1.0 {
            self.tokens -= 1.0;
            return Ok(());
        }
        let wait = Duration::from_secs_f64((1.0 - self.tokens) / self.rate);
        Err(wait.max(Duration::from_millis(1)))
    }

    /// A request sent at `sent` was answered, and not with 429.
    pub fn answered(&mut self, sent: Instant, now: Instant) {
        self.cuts_in_a_row = 0;
        self.answered.push_back(now);
        self.forget_before(now);
        // Growth counts answers, not time: an idle client learns nothing about the limit.
        let step = 1.0 / self.rate;
        self.shortest = now.saturating_duration_since(sent).as_secs_f64().min(self.shortest);
        self.rate = match self.learned_limit {
            None => {
                let faster = (self.rate * FASTER).min(PATIENCE / self.shortest.max(0.001));
                self.rate + faster.max(GROWTH)
            }
            Some(learned_limit) if self.rate < 0.95 * learned_limit => self.rate + (learned_limit - self.rate) * step,
            Some(_) => {
                self.calm += step;
                self.rate + (0.012 * (self.calm / 2.5).exp2()).min(0.5)
            }
        }
        .min(self.ceiling);
    }

    /// A request sent at `sent` was answered 429, perhaps with a `Retry-After`.
    pub fn refused(&mut self, sent: Instant, retry_after: Option<Duration>, now: Instant) {
        if let Some(pause) = retry_after {
            self.paused_until = self.paused_until.max(now + pause.min(LONGEST_PAUSE));
        }
        // What was already under way when the rate was cut says nothing about the new rate.
        if self.last_cut.is_some_and(|cut| sent < cut) {
            return;
        }
        self.forget_before(now);
        let pause = if self.learned_limit.is_none() {
            FIRST_PAUSE
        } else {
            SHORT_PAUSE
        };
        let pause = pause.saturating_mul(1 << self.cuts_in_a_row.min(8)).min(LONGEST_PAUSE);
        self.cuts_in_a_row += 1;
        let resumed = self.paused_until;
        self.paused_until = self.paused_until.max(now + pause);
        let lowest = SLOWEST_RATE.min(self.ceiling);
        let learned_limit = self
            .let_through(resumed, now)
            .clamp(self.rate * 0.5, self.rate)
            .max(lowest);
        self.learned_limit = Some(learned_limit);
        self.rate = (learned_limit * 0.95).max(lowest);
        self.tokens = 0.0;
        self.refilled = self.paused_until;
        self.last_cut = Some(now);
        self.calm = 0.0;
    }

    /// What the server let through, in requests a second, as far as is known at `now`; `resumed` is the end of the last pause.
    fn let_through(&self, resumed: Instant, now: Instant) -> f64 {
        let since = |at: Instant| now.saturating_duration_since(at).min(WINDOW);
        if self.learned_limit.is_some() && since(resumed) < WINDOW {
            // The window holds a pause: its count would be far too low.
            return self.rate * 0.75;
        }
        let count = f64::from(u32::try_from(self.answered.len()).unwrap_or(u32::MAX));
        count / self.started.map_or(WINDOW, since).as_secs_f64().max(0.05)
    }

    fn forget_before(&mut self, now: Instant) {
        while self
            .answered
            .front()
            .is_some_and(|at| now.saturating_duration_since(*at) > WINDOW)
        {
            self.answered.pop_front();
        }
    }
}

/// The slots and the pace of one project; clones share them.
#[derive(Clone, Debug)]
pub struct Throttle {
    slots: Arc<Semaphore>,
    turn: Arc<tokio::sync::Mutex<()>>,
    pace: Arc<Mutex<RateController>>,
}

/// The right to have one request under way.
#[derive(Debug)]
pub struct ConcurrencyPermit {
    _permit: Option<OwnedSemaphorePermit>,
}

/// Being the next to send. Held until the request really goes, so that those behind are paced from then on.
#[derive(Debug)]
pub struct RatePermit {
    _guard: tokio::sync::OwnedMutexGuard<()>,
}

impl Throttle {
    /// At most `requests_per_second`, and at most `concurrency` under way.
    pub fn new(requests_per_second: u32, concurrency: usize) -> Self {
        let concurrency = concurrency.clamp(1, Semaphore::MAX_PERMITS);
        Self {
            slots: Arc::new(Semaphore::new(concurrency)),
            turn: Arc::default(),
            pace: Arc::new(Mutex::new(RateController::new(
                requests_per_second,
                concurrency,
                Instant::now(),
            ))),
        }
    }

    /// Waits for a slot. First come, first served.
    pub async fn slot(&self) -> ConcurrencyPermit {
        // The semaphore is never closed; were it, not limiting would be the lesser evil.
        let permit = Arc::clone(&self.slots).acquire_owned().await.ok();
        ConcurrencyPermit { _permit: permit }
    }

    /// Waits until it is this caller's turn and the pace allows a request.
    pub async fn turn(&self) -> RatePermit {
        let guard = Arc::clone(&self.turn).lock_owned().await;
        loop {
            // Bound first, so that the lock is not held across the sleep.
            let taken = self.pace().take(Instant::now());
            match taken {
                Ok(()) => return RatePermit { _guard: guard },
                Err(wait) => tokio::time::sleep(wait).await,
            }
        }
    }

    /// Tells the pace that a request sent at `sent` was answered, and not with 429.
    pub fn answered(&self, sent: Instant) {
        self.pace().answered(sent, Instant::now());
    }

    /// Tells the pace that a request sent at `sent` was answered 429.
    pub fn refused(&self, sent: Instant, retry_after: Option<Duration>) {
        self.pace().refused(sent, retry_after, Instant::now());
    }

    fn pace(&self) -> MutexGuard<'_, RateController> {
        self.pace.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::{AtomicU32, Ordering};

    /// How a made-up server counts.
    #[derive(Clone, Copy, Debug)]
    enum Counting {
        /// So many in each second of its clock.
        Window,
        /// A bucket that fills at the rate and holds so many.
        Bucket(f64),
        /// So many in any second that has just passed.
        Sliding,
    }

    struct Server {
        counting: Counting,
        limit: f64,
        start: Instant,
        window: (u64, f64),
        tokens: f64,
        last: Instant,
        recent: VecDeque<Instant>,
    }

    impl Server {
        fn new(counting: Counting, limit: f64) -> Self {
            let now = Instant::now();
            let tokens = if let Counting::Bucket(depth) = counting {
                depth
            } else {
                0.0
            };
            Self {
                counting,
                limit,
                start: now,
                window: (0, 0.0),
                tokens,
                last: now,
                recent: VecDeque::new(),
            }
        }

        fn accepts(&mut self) -> bool {
            let now = Instant::now();
            match self.counting {
                Counting::Window => {
                    let second = (now - self.start).as_secs();
                    if self.window.0 != second {
                        self.window = (second, 0.0);
                    }
                    self.window.1 += 1.0;
                    self.window.1 <= self.limit
                }
                Counting::Bucket(depth) => {
                    self.tokens = (self.tokens + (now - self.last).as_secs_f64() * self.limit).min(depth);
                    self.last = now;
                    let ok = self.tokens >= 1.0;
                    if ok {
                        self.tokens -= 1.0;
                    }
                    ok
                }
                Counting::Sliding => {
                    while self
                        .recent
                        .front()
                        .is_some_and(|at| now - *at >= Duration::from_secs(1))
                    {
                        self.recent.pop_front();
                    }
                    let ok = f64::from(u32::try_from(self.recent.len()).unwrap()) < self.limit;
                    if ok {
                        self.recent.push_back(now);
                    }
                    ok
                }
            }
        }
    }

    /// Sends `work` requests; returns (share of 429s, time over the ideal time).
    async fn drive(counting: Counting, limit: u32, ceiling: u32, concurrency: usize, ms: u64, work: u32) -> (f64, f64) {
        let server = Arc::new(Mutex::new(Server::new(counting, f64::from(limit))));
        let throttle = Throttle::new(ceiling, concurrency);
        let left = Arc::new(AtomicU32::new(work));
        let refused = Arc::new(AtomicU32::new(0));
        let start = Instant::now();
        let workers: Vec<_> = (0..concurrency)
            .map(|_| {
                let (server, throttle) = (server.clone(), throttle.clone());
                let (left, refused) = (left.clone(), refused.clone());
                tokio::spawn(async move {
                    while left
                        .fetch_update(Ordering::SeqCst, Ordering::SeqCst, |n| n.checked_sub(1))
                        .is_ok()
                    {
                        loop {
                            let slot = throttle.slot().await;
                            let turn = throttle.turn().await;
                            drop(turn);
                            let sent = Instant::now();
                            tokio::time::sleep(Duration::from_millis(ms)).await;
                            let ok = server.lock().unwrap().accepts();
                            tokio::time::sleep(Duration::from_millis(ms)).await;
                            if ok {
                                throttle.answered(sent);
                                break;
                            }
                            refused.fetch_add(1, Ordering::SeqCst);
                            throttle.refused(sent, None);
                            drop(slot);
                            tokio::time::sleep(Duration::from_millis(fastrand::u64(0..250))).await;
                        }
                    }
                })
            })
            .collect();
        for worker in workers {
            worker.await.unwrap();
        }
        let refused = f64::from(refused.load(Ordering::SeqCst));
        let ideal = f64::from(work) / f64::from(limit.min(ceiling));
        (
            refused / (f64::from(work) + refused),
            start.elapsed().as_secs_f64() / ideal,
        )
    }

    #[tokio::test(start_paused = true)]
    async fn the_start_costs_little_where_nothing_is_limited() {
        fastrand::seed(7);
        // 8 at once, 20 ms an answer: 400 a second. The calls of 200 instances with 250 backups, 44,000 of them deleted.
        let (share, time) = drive(Counting::Bucket(1e9), 400, 1_000, 8, 10, 1_682).await;
        assert!(
            share == 0.0 && time < 1.10,
            "{share} throttled, {time:.3} of the ideal time"
        );
    }

    #[tokio::test(start_paused = true)]
    async fn finds_a_limit_that_is_not_said() {
        fastrand::seed(7);
        let mut bad = Vec::new();
        for limit in [10, 50, 200] {
            for counting in [
                Counting::Window,
                Counting::Sliding,
                Counting::Bucket(1.0),
                Counting::Bucket(5.0),
                Counting::Bucket(f64::from(limit)),
            ] {
                for ceiling in [20, 1000] {
                    for (concurrency, ms) in [(8, 2), (16, 10), (64, 25)] {
                        let (share, time) = drive(counting, limit, ceiling, concurrency, ms, limit * 30).await;
                        if share > 0.05 || time > 1.25 {
                            bad.push(format!("{counting:?} {limit}/s ceiling {ceiling} x{concurrency} {ms} ms: {share:.3} throttled, {time:.2} of the ideal time"));
                        }
                    }
                }
            }
        }
        assert!(bad.is_empty(), "{}", bad.join("\n"));
    }
}
