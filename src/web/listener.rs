//! The address of the server, which may not exist yet.

use std::io::{Error, ErrorKind};
use std::net::SocketAddr;
use std::time::Duration;

use tokio::net::TcpListener;

/// An address that does not exist yet is tried again after this, then after twice as long each time,
const FIRST_RETRY: Duration = Duration::from_millis(500);
/// but at least this often.
const LONGEST_RETRY: Duration = Duration::from_secs(15);

/// The port is taken, or may not be used.
#[derive(Debug, thiserror::Error)]
#[error("cannot listen on {address}; set `listen` to another address or to `none`")]
pub struct ListenError {
    address: SocketAddr,
    source: Error,
}

/// Where metrics and page are served.
#[derive(Debug)]
pub struct Listener(State);

#[derive(Debug)]
enum State {
    Bound(TcpListener),
    /// This host does not have the address yet: at boot an interface may come up minutes later, and deletions do not wait for
    /// it.
    Awaited(SocketAddr),
}

impl Listener {
    /// Binds the address, or takes note of one that does not exist yet.
    pub async fn bind(address: SocketAddr) -> Result<Self, ListenError> {
        match TcpListener::bind(address).await {
            Ok(listener) => Ok(Self(State::Bound(listener))),
            Err(error) if error.kind() == ErrorKind::AddrNotAvailable => {
                tracing::warn!(
                    %address,
                    "this host has no such address yet: runs go on, metrics and status page follow when it is there"
                );
                Ok(Self(State::Awaited(address)))
            }
            Err(source) => Err(ListenError { address, source }),
        }
    }

    /// The address; `None` while it does not exist.
    pub fn address(&self) -> Option<SocketAddr> {
        match &self.0 {
            State::Bound(listener) => listener.local_addr().ok(),
            State::Awaited(_) => None,
        }
    }

    /// Waits until the address exists.
    pub(super) async fn bound(self) -> TcpListener {
        let address = match self.0 {
            State::Bound(listener) => return listener,
            State::Awaited(address) => address,
        };
        let mut wait = FIRST_RETRY;
        loop {
            tokio::time::sleep(wait).await;
            match TcpListener::bind(address).await {
                Ok(listener) => return listener,
                Err(error) => tracing::debug!(%address, %error, "cannot listen yet"),
            }
            wait = (wait * 2).min(LONGEST_RETRY);
        }
    }
}
