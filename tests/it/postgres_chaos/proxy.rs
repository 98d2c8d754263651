//! A TCP proxy that stops forwarding when it is asked to, in one direction or in both.

use std::net::SocketAddr;
use std::sync::Arc;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;

/// What it does.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Stalled {
    /// From the client to the server.
    pub up: bool,
    /// From the server to the client.
    pub down: bool,
    /// Counts how often the connections that are there were cut.
    cuts: u32,
}

/// A running proxy; it ends with the runtime.
#[derive(Clone)]
pub struct Proxy {
    pub address: SocketAddr,
    stalled: Arc<watch::Sender<Stalled>>,
}

impl Proxy {
    pub async fn to(server: SocketAddr) -> Self {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
        let address = listener.local_addr().unwrap();
        let (stalled, watching) = watch::channel(Stalled::default());
        tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                let mut watching = watching.clone();
                tokio::spawn(async move {
                    // While it is stalled no connection is made either. The kernel has taken it all the same, and what the client sends.
                    let cuts = watching.borrow().cuts;
                    let Ok(_) = watching.wait_for(|stalled| !stalled.up).await else {
                        return;
                    };
                    if watching.borrow().cuts != cuts {
                        return;
                    }
                    let Ok(server) = TcpStream::connect(server).await else {
                        return;
                    };
                    let ((from_client, to_client), (from_server, to_server)) =
                        (client.into_split(), server.into_split());
                    let (up, down) = (watching.clone(), watching.clone());
                    let cut = async { drop(watching.wait_for(|stalled| stalled.cuts != cuts).await) };
                    tokio::select! {
                        // First: nothing that waited is forwarded any more.
                        biased;
                        () = cut => {}
                        () = async {
                            tokio::join!(
                                pump(from_client, to_server, up, |stalled| stalled.up),
                                pump(from_server, to_client, down, |stalled| stalled.down),
                            );
                        } => {}
                    }
                });
            }
        });
        Self {
            address,
            stalled: Arc::new(stalled),
        }
    }

    pub fn stall(&self, up: bool, down: bool) {
        self.stalled
            .send_modify(|stalled| (stalled.up, stalled.down) = (up, down));
    }

    /// Forwards again; `cut`: what was under way is lost.
    pub fn heal(&self, cut: bool) {
        self.stalled.send_modify(|stalled| {
            (stalled.up, stalled.down) = (false, false);
            stalled.cuts += u32::from(cut);
        });
    }
}

async fn pump(
    mut from: OwnedReadHalf,
    mut to: OwnedWriteHalf,
    mut watching: watch::Receiver<Stalled>,
    is_stalled: impl Fn(&Stalled) -> bool,
) {
    let mut bytes = vec![0; 16 * 1024];
    loop {
        if watching.wait_for(|stalled| !is_stalled(stalled)).await.is_err() {
            return;
        }
        // Asked again after the reading, which may have begun before the stall.
        let Ok(count @ 1..) = from.read(&mut bytes).await else {
            let _ = to.shutdown().await;
            return;
        };
        if watching.wait_for(|stalled| !is_stalled(stalled)).await.is_err()
            || to.write_all(&bytes[..count]).await.is_err()
        {
            return;
        }
    }
}
