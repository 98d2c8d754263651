//! `run`: the daemon.

use std::sync::Arc;

use super::args::{Global, LogFormat, LogLevel};
use super::failure::{CommandResult, Failure};
use super::{context, exit, signals};
use crate::daemon::{self, Daemon, Options};
use crate::telemetry;

pub(super) fn run(global: &Global) -> CommandResult {
    // First of all: a SIGHUP is a reload from now on, and a SIGTERM an end in order.
    let (stop, hangups) = (context::stop_signal()?, signals::hangups());
    let config = context::own_configuration(global)?;
    log(global)?;
    context::refuse_ended(&config)?;
    context::block_on(2, async {
        let daemon = Daemon::bind(Options {
            config,
            environment: context::environment(true),
            stop,
            hangups,
            clock: Arc::new(crate::clock::now),
            host: daemon::host_name(),
            show: false,
        })
        .await?;
        daemon.run().await?;
        // Also when a run was cut: it was told to end, and has; the ledger knows what is open.
        Ok(exit::DONE)
    })
}

/// Says what it does, unless less is asked for; and a panic is a line as any other.
fn log(global: &Global) -> Result<(), Failure> {
    let format = match global.log_format {
        LogFormat::Text => telemetry::Format::Auto,
        LogFormat::Json => telemetry::Format::Json,
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
