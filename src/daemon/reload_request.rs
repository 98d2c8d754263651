//! When the files of the configuration are read again.

use std::time::Duration;

use tokio::task::JoinHandle;
use tokio::time::Instant;

use super::reload::Found;

/// After a change of the files, they are read when they have been left alone for this long.
pub(super) const SETTLE: Duration = Duration::from_millis(300);
/// But not later than this after the first change: a directory may never come to rest.
const SETTLE_AT_MOST: Duration = Duration::from_secs(3);

/// What the files say, and the fingerprint they had before they were read.
pub(super) type LoadedFiles = (Found, u64);

/// The files are being read.
#[derive(Debug)]
pub(super) struct RunningReload {
    pub(super) task: JoinHandle<LoadedFiles>,
    pub(super) by_sighup: bool,
}

/// The files shall be read again.
#[derive(Debug)]
pub(super) struct ReloadRequest {
    /// When the first of the requests came.
    since: Instant,
    /// Not before this.
    pub(super) at: Instant,
    /// SIGHUP asked for it, and the service manager learns when it is done.
    pub(super) by_sighup: bool,
}

impl ReloadRequest {
    /// SIGHUP: now.
    pub(super) fn at_once(now: Instant) -> Self {
        Self {
            since: now,
            at: now,
            by_sighup: true,
        }
    }

    /// The files changed: half of one can be a valid configuration that keeps less, so wait until they are left alone.
    pub(super) fn when_settled(before: Option<Self>, now: Instant) -> Self {
        match before {
            Some(request) if request.by_sighup => request,
            before => {
                let since = before.map_or(now, |request| request.since);
                Self {
                    since,
                    at: (now + SETTLE).min(since + SETTLE_AT_MOST),
                    by_sighup: false,
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reload_waits_until_the_files_are_left_alone_but_not_for_ever() {
        let begin = Instant::now();
        let mut request = ReloadRequest::when_settled(None, begin);
        assert_eq!(request.at, begin + SETTLE);
        // Written piece by piece, two hundred milliseconds apart.
        for piece in 1..=5 {
            let now = begin + Duration::from_millis(200) * piece;
            request = ReloadRequest::when_settled(Some(request), now);
            assert_eq!(request.at, now + SETTLE);
        }
        for piece in 6..100 {
            request = ReloadRequest::when_settled(Some(request), begin + Duration::from_millis(200) * piece);
        }
        assert_eq!(request.at, begin + SETTLE_AT_MOST);
        // SIGHUP does not wait for other writers.
        let by_hand = ReloadRequest::when_settled(Some(ReloadRequest::at_once(begin)), begin + SETTLE);
        assert!(by_hand.by_sighup && by_hand.at == begin);
    }
}
