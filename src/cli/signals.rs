//! Signals, listened to from the first moment on.
//!
//! Their default action is none for the first process of a container, and ends any other: a SIGHUP that comes before the
//! daemon listens must be a reload, and a SIGTERM must end a command that is not waiting for it. A thread of its own hears
//! them. A command that ends in order takes SIGTERM and SIGINT over with [`stop`], the daemon SIGHUP with [`Hangups`];
//! otherwise they end the process, with 128 and the signal's number.

use std::io;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, OnceLock, mpsc};

use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::{Notify, watch};

/// Who receives signals.
#[derive(Debug)]
struct Listeners {
    stop: watch::Sender<bool>,
    /// How many commands end in order when a stop is requested.
    in_order: AtomicUsize,
    /// What SIGHUP means; `None` until the command is known.
    hangup: watch::Sender<Option<Hangup>>,
}

/// What SIGHUP means.
#[derive(Clone, Debug)]
enum Hangup {
    /// The daemon is notified, and looks at its configuration.
    Tells(Arc<Notify>),
    /// The process ends.
    Ends,
}

static LISTENERS: OnceLock<Result<Arc<Listeners>, String>> = OnceLock::new();

/// Begins to listen; the first thing a process does.
pub(super) fn listen() {
    LISTENERS.get_or_init(|| begin().map_err(|error| error.to_string()));
}

fn listeners() -> Result<&'static Arc<Listeners>, String> {
    listen();
    let listeners = LISTENERS.get().map(Result::as_ref);
    listeners.unwrap_or(Err(&String::new())).map_err(Clone::clone)
}

fn begin() -> io::Result<Arc<Listeners>> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let listeners = Arc::new(Listeners {
        stop: watch::channel(false).0,
        in_order: AtomicUsize::new(0),
        hangup: watch::channel(None).0,
    });
    let (listening, ready) = mpsc::channel();
    let ours = Arc::clone(&listeners);
    std::thread::Builder::new().name("signals".to_owned()).spawn(move || {
        runtime.block_on(async {
            match Heard::listen() {
                Ok(heard) => {
                    // Who began this thread waits for the word.
                    let _ = listening.send(Ok(()));
                    heard.tell(&ours).await;
                }
                Err(error) => drop(listening.send(Err(error))),
            }
        });
    })?;
    ready.recv().map_err(io::Error::other)??;
    Ok(listeners)
}

/// The signals of the process.
struct Heard {
    terminate: Signal,
    interrupt: Option<Signal>,
    hangup: Option<Signal>,
    /// Listened to and not acted on, so that a file that grows over `ulimit -f` is an error and not the end of the process.
    _file_too_large: Signal,
}

impl Heard {
    fn listen() -> io::Result<Self> {
        // `nohup`, and a shell's background jobs, begin with these ignored.
        let unless_ignored = |kind: SignalKind| (!is_ignored(kind)).then(|| signal(kind)).transpose();
        Ok(Self {
            terminate: signal(SignalKind::terminate())?,
            interrupt: unless_ignored(SignalKind::interrupt())?,
            hangup: unless_ignored(SignalKind::hangup())?,
            _file_too_large: signal(SignalKind::from_raw(rustix::process::Signal::XFSZ.as_raw()))?,
        })
    }

    async fn tell(mut self, listeners: &Listeners) {
        loop {
            tokio::select! {
                Some(()) = self.terminate.recv() => listeners.stop(SignalKind::terminate()),
                Some(()) = next(&mut self.interrupt) => listeners.stop(SignalKind::interrupt()),
                Some(()) = next(&mut self.hangup) => listeners.hang_up().await,
            }
        }
    }
}

async fn next(signal: &mut Option<Signal>) -> Option<()> {
    match signal {
        Some(signal) => signal.recv().await,
        None => std::future::pending().await,
    }
}

/// Whether the process began with a signal ignored; false where that cannot be read.
fn is_ignored(kind: SignalKind) -> bool {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let mask = status.lines().find_map(|line| line.strip_prefix("SigIgn:"));
    let mask = mask
        .and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok())
        .unwrap_or(0);
    mask >> (kind.as_raw_value() - 1) & 1 == 1
}

impl Listeners {
    fn stop(&self, kind: SignalKind) {
        if self.in_order.load(Ordering::SeqCst) == 0 {
            end(kind);
        }
        tracing::info!("stopping: finishing the current batch, starting no new one");
        self.stop.send_replace(true);
    }

    async fn hang_up(&self) {
        let mut known = self.hangup.subscribe();
        let meant = known
            .wait_for(Option::is_some)
            .await
            .ok()
            .and_then(|meant| meant.clone());
        match meant {
            Some(Hangup::Tells(daemon)) => daemon.notify_one(),
            Some(Hangup::Ends) | None => end(SignalKind::hangup()),
        }
    }
}

fn end(kind: SignalKind) {
    std::process::exit(128 + kind.as_raw_value());
}

/// SIGHUP ends the process, as it does without us.
pub(super) fn end_on_hangup() {
    if let Ok(listeners) = listeners() {
        listeners.hangup.send_replace(Some(Hangup::Ends));
    }
}

/// SIGHUP tells the daemon: one that came before is a permit already.
pub(super) fn hangups() -> Arc<Notify> {
    let hangup = Arc::new(Notify::new());
    if let Ok(listeners) = listeners() {
        listeners.hangup.send_replace(Some(Hangup::Tells(Arc::clone(&hangup))));
    }
    hangup
}

/// Becomes true on SIGTERM or SIGINT, which no longer end the process until [`end_at_once_again`].
pub(super) fn stop() -> Result<watch::Receiver<bool>, String> {
    let listeners = listeners()?;
    listeners.in_order.fetch_add(1, Ordering::SeqCst);
    Ok(listeners.stop.subscribe())
}

/// Nothing is left that would end in order: SIGTERM and SIGINT end the process again, whatever it is still writing.
pub(super) fn end_at_once_again() {
    if let Ok(listeners) = listeners() {
        listeners.in_order.store(0, Ordering::SeqCst);
    }
}
