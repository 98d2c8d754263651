//! Messages to systemd: ready, reloading, stopping, status, watchdog.
//!
//! Not for deciding when: the main loop calls. Without `$NOTIFY_SOCKET` nothing is sent.

use std::time::Duration;

use sd_notify::NotifyState;

/// The service manager, if there is one.
#[derive(Debug)]
pub struct Systemd {
    watchdog: Option<Duration>,
    status: String,
}

impl Systemd {
    /// Reads from the environment what the service manager asks for.
    pub fn new() -> Self {
        Self {
            watchdog: sd_notify::watchdog_enabled().filter(|every| !every.is_zero()),
            status: String::new(),
        }
    }

    /// How often to call [`Self::alive`]: half of what the service manager allows, as `sd_watchdog_enabled(3)` advises.
    /// `None` without a watchdog, so that the loop does not wake for it.
    pub fn watchdog(&self) -> Option<Duration> {
        self.watchdog.map(|allowed| allowed / 2)
    }

    /// Started, or done reloading.
    pub fn ready(&self) {
        send(&[NotifyState::Ready, NotifyState::Status(&self.status)]);
    }

    /// A reload begins. Both in one message: systemd 253 and newer ends a service that sends the first alone.
    pub fn reloading() {
        match NotifyState::monotonic_usec_now() {
            Ok(now) => send(&[NotifyState::Reloading, now]),
            Err(error) => {
                tracing::warn!(%error, "no monotonic clock; the service manager does not learn of the reload");
            }
        }
    }

    /// A stop was requested.
    pub fn stopping() {
        send(&[
            NotifyState::Stopping,
            NotifyState::Status("finishing what is under way"),
        ]);
    }

    /// What `systemctl status` shows; sent only when it changed.
    pub fn status(&mut self, text: String) {
        if self.status != text {
            self.status = text;
            send(&[NotifyState::Status(&self.status)]);
        }
    }

    /// The main loop is alive.
    pub fn alive() {
        send(&[NotifyState::Watchdog]);
    }
}

impl Default for Systemd {
    fn default() -> Self {
        Self::new()
    }
}

fn send(states: &[NotifyState<'_>]) {
    if let Err(error) = sd_notify::notify(states) {
        tracing::debug!(%error, "the service manager cannot be reached");
    }
}
