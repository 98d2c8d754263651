//! `run`: the daemon, and the server that shows it. Neither knows the other; they are joined here.

use std::net::SocketAddr;
use std::sync::Arc;

use tokio::sync::watch;

use super::args::{Global, LogFormat, LogLevel};
use super::failure::{CommandResult, Failure};
use super::{context, exit, signals};
use crate::daemon::{MainLoop, Options};
use crate::status::SharedStatus;
use crate::telemetry;
use crate::web::{self, Listener};

/// The daemon and, unless it has `listen: none`, its server.
pub(super) struct Service {
    main_loop: MainLoop,
    listener: Option<Listener>,
}

impl Service {
    /// Makes the clients and takes the address. Reads nothing from the cloud and writes nothing.
    pub(super) async fn bind(options: Options) -> Result<Self, Failure> {
        let listen = options.config.listen;
        let main_loop = MainLoop::new(options)?;
        let listener = match listen {
            None => None,
            Some(address) => Some(Listener::bind(address).await?),
        };
        Ok(Self { main_loop, listener })
    }

    /// Where metrics and page are served; `None` for nowhere, or nowhere yet.
    pub(super) fn address(&self) -> Option<SocketAddr> {
        self.listener.as_ref()?.address()
    }

    /// What the daemon knows.
    pub(super) fn status(&self) -> Arc<SharedStatus> {
        self.main_loop.status()
    }

    /// Runs until a stop is requested and the current batches are finished; the server answers until then.
    pub(super) async fn run(self) -> Result<(), Failure> {
        let (stop, mut stopped) = watch::channel(false);
        let status = self.main_loop.status();
        let server = self.listener.map(|listener| {
            tokio::spawn(web::serve(listener, status, async move {
                // A dropped sender means the same.
                let _ = stopped.wait_for(|stopped| *stopped).await;
            }))
        });
        let ended = self.main_loop.run().await;
        // Without a server there is no receiver.
        let _ = stop.send(true);
        if let Some(server) = server
            && let Err(error) = server.await
        {
            tracing::error!(%error, "the HTTP server had ended before");
        }
        // Also when a run was aborted: the stop that was requested is done, and the ledger knows what is open.
        ended?;
        Ok(())
    }
}

pub(super) fn run(global: &Global) -> CommandResult {
    // First of all: from now on SIGHUP reloads and SIGTERM stops in order.
    let (stop, hangups) = (context::stop_signal()?, signals::hangups());
    let config = context::own_configuration(global)?;
    log(global)?;
    context::refuse_ended(&config)?;
    let host = context::host_of(&config);
    context::block_on(2, async {
        let service = Service::bind(Options {
            config,
            environment: context::environment(true),
            stop,
            hangups,
            clock: Arc::new(crate::clock::now),
            clock_set: Arc::default(),
            host,
            demo: false,
        })
        .await?;
        service.run().await?;
        Ok(exit::DONE)
    })
}

/// Logs at `info` unless another level was chosen; a panic is a log line, too.
fn log(global: &Global) -> Result<(), Failure> {
    let format = match global.log_format {
        LogFormat::Text => telemetry::LineFormat::Auto,
        LogFormat::Json => telemetry::LineFormat::Json,
    };
    let level = global.level_or(LogLevel::Info).as_str();
    telemetry::logging::init(format, level, telemetry::logging::stderr_is_journal())
        .map_err(|error| Failure::of(exit::UNDONE, &error))?;
    std::panic::set_hook(Box::new(|panic| {
        let place = panic.location().map(ToString::to_string).unwrap_or_default();
        let payload = panic.payload();
        let text = payload.downcast_ref::<&str>().copied();
        let message = text
            .or_else(|| payload.downcast_ref::<String>().map(String::as_str))
            .unwrap_or("no message");
        tracing::error!(place, "panic: {message}");
    }));
    Ok(())
}
