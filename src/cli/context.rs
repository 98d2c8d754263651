//! What most commands need before they can begin: the configuration, a runtime, a stop signal, the log.
//!
//! Errors become a [`Failure`] here: the exit code is decided once.

use std::io::{ErrorKind, Read as _};
use std::path::Path;
use std::sync::Arc;

use tokio::sync::watch;

use super::args::{Global, LogFormat, LogLevel};
use super::failure::Failure;
use super::output::progress::ProgressLine;
use super::output::stdout::note;
use super::{exit, signals};
use crate::config::{self, Config, Environment, StateAt};
use crate::ledger::{self, Access, Ledger, StatePlace};
use crate::operations::context::no_observer;
use crate::operations::{self, BackupSource, ProcessContext};
use crate::rds;
use crate::retention::{PolicyName, Zone};
use crate::wording::times::common_zone;
use crate::{run, telemetry};

/// Says where no state is: what a command shows then is that of a new one, and not of the one that was meant.
pub(super) fn note_missing_state(config: &Config) {
    let opened = Ledger::open(run::state_of(config), Access::ReadOnly, crate::clock::now());
    if let Err(error @ ledger::Error::Missing { .. }) = opened {
        note(&format!("note: {error}"));
    }
}

/// Loads and compiles the configuration that the flags name, for a command that deletes nothing: files that others may
/// write are reported.
pub fn configuration(global: &Global) -> Result<Arc<Config>, Failure> {
    configuration_in(global, &environment(false))
}

/// The same for a command of people.
pub fn people_configuration(global: &Global) -> Result<Arc<Config>, Failure> {
    configuration_in(global, &people_environment())
}

fn configuration_in(global: &Global, environment: &Environment) -> Result<Arc<Config>, Failure> {
    let config = Arc::new(config::load(&global.config, environment)?);
    for foreign in &config.foreign {
        note(&format!("warning: {}", foreign.one_line()));
    }
    Ok(config)
}

/// The same for a command that deletes, or says whether one may: such files are problems. It shows them itself.
pub fn own_configuration(global: &Global) -> Result<Arc<Config>, config::Problems> {
    Ok(Arc::new(config::load(&global.config, &environment(true))?))
}

/// Refuses a hold or freeze that was over before this state saw it; of those that ended since it warns. For what makes the
/// state where there is none.
pub fn refuse_ended(config: &Config) -> Result<(), Failure> {
    let ended = run::ended(config, true, crate::clock::now())?;
    for warning in &ended.warnings {
        tracing::warn!("{}", warning.one_line());
    }
    if ended.errors.is_empty() {
        return Ok(());
    }
    let lines: Vec<String> = ended.errors.iter().map(ToString::to_string).collect();
    Err(Failure {
        begins_with_place: true,
        ..Failure::new(exit::CONFIGURATION, lines.join("\n"))
    })
}

/// The zone in which a command about several policies shows times.
pub fn zone_of(config: &Config) -> Zone {
    common_zone(config.policies.iter().map(|entry| entry.policy.zone))
}

/// The zone of one policy.
pub fn zone_of_policy(config: &Config, name: &PolicyName) -> Zone {
    let of_name = config.policies.iter().find(|entry| entry.policy.name == *name);
    of_name.map_or_else(|| zone_of(config), |entry| entry.policy.zone)
}

/// What spreads the jitter of this configuration's policies: the host's name; on a shared state all daemons fire together, and one
/// of them runs.
pub fn host_of(config: &Config) -> String {
    match config.state {
        StateAt::Directory(_) => run::host_name(),
        StateAt::Postgres(_) => String::new(),
    }
}

/// What surrounds this process.
pub fn environment(enforce_ownership: bool) -> Environment {
    Environment {
        state_directory: std::env::var_os("STATE_DIRECTORY")
            .filter(|dir| !dir.is_empty())
            .map(Into::into),
        tzdir: std::env::var_os("TZDIR").map(Into::into),
        enforce_ownership,
        may_be_state_alone: false,
    }
}

/// That of a command of people, who need a configuration that names the state and no more.
pub fn people_environment() -> Environment {
    Environment {
        may_be_state_alone: true,
        ..environment(false)
    }
}

/// Loads and compiles a configuration that is not this service's: no service manager has a say in it.
pub fn load_other(path: &Path) -> Result<Arc<Config>, Failure> {
    let other = Environment {
        state_directory: None,
        ..environment(false)
    };
    let missing = std::fs::metadata(path).is_err_and(|error| error.kind() == ErrorKind::NotFound);
    if missing {
        let message = format!(
            "--against {}: file not found; it names the other configuration",
            path.display()
        );
        return Err(Failure::new(exit::CONFIGURATION, message));
    }
    Ok(Arc::new(config::load(path, &other)?))
}

/// Reads what `--backups` names; `-` is stdin, for what another program lists.
pub fn backups_of_file(file: &Path) -> Result<Vec<rds::BackupsOfInstance>, Failure> {
    let unreadable = |why: String| Failure::new(exit::USAGE, format!("--backups {}: {why}", file.display()));
    let mut bytes = Vec::new();
    let read = if file.as_os_str() == "-" {
        std::io::stdin().lock().read_to_end(&mut bytes).map(|_| ())
    } else {
        std::fs::read(file).map(|read| bytes = read)
    };
    read.map_err(|error| match error.kind() {
        ErrorKind::NotFound => unreadable("file not found".to_owned()),
        _ => unreadable(error.to_string()),
    })?;
    rds::backups_from_json(&bytes).map_err(|why| {
        unreadable(format!(
            "{why}\n  expected a JSON array of backups as the API lists them, `{{\"backups\": [...]}}`, such pages one after another or joined \
             by `jq -s`, or one backup per line (NDJSON)"
        ))
    })
}

/// The place of the state, for what only ever keeps backups (`hold`, `freeze`): a daemon goes on with the configuration it has
/// when the file on disk is bad, and must be stopped from deleting also then.
pub fn state(global: &Global) -> Result<StatePlace, Failure> {
    match config::load(&global.config, &people_environment()) {
        Ok(config) => Ok(run::state_of(&config)),
        Err(problems) => {
            let Some(place) = problems.state().map(run::state_place) else {
                return Err(problems.into());
            };
            note(&format!(
                "{}: the configuration is bad (`check` says why); its state could be read all the same",
                global.config.display()
            ));
            Ok(place)
        }
    }
}

/// Runs one command on a runtime of its own.
///
/// `workers` beside the calling thread, which works on the command itself: one is enough to talk to the API, and more only wake each
/// other up. What also serves takes two, so that no answer waits for another's.
///
/// Returns when the command is done, whatever still blocks in the background: a look-up with name servers that do not answer
/// (`getaddrinfo` cannot be cancelled) must not keep a stopped process alive.
pub fn block_on<T>(workers: usize, command: impl Future<Output = Result<T, Failure>>) -> Result<T, Failure> {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(workers)
        .enable_all()
        .build()
        .map_err(|error| Failure::new(exit::UNDONE, format!("cannot start the async runtime: {error}")))?;
    let done = runtime.block_on(command);
    signals::end_at_once_again();
    runtime.shutdown_background();
    done
}

/// Runs one operation on the backups of a file, or of the cloud with a progress line.
pub fn with_backups<T, F>(file: Option<&Path>, operation: impl FnOnce(BackupSource) -> F) -> Result<T, Failure>
where
    F: Future<Output = Result<T, operations::Error>>,
{
    if let Some(file) = file {
        let backups = backups_of_file(file)?;
        return block_on(1, async { Ok(operation(BackupSource::File(backups)).await?) });
    }
    block_on(1, async {
        let (progress, on_progress) = ProgressLine::of_run();
        let process = ProcessContext {
            stop: stop_signal()?,
            observer: no_observer(),
            on_progress,
        };
        let done = operation(BackupSource::Cloud(process)).await;
        progress.finish();
        Ok(done?)
    })
}

/// Becomes true on SIGTERM or SIGINT.
pub fn stop_signal() -> Result<watch::Receiver<bool>, Failure> {
    signals::stop().map_err(|why| Failure::new(exit::UNDONE, format!("cannot listen for signals: {why}")))
}

/// Begins logging to stderr, for a command that a person or a cron job typed: warnings, unless more is asked for.
pub fn log(global: &Global) -> Result<(), Failure> {
    let level = global.level_or(LogLevel::Warn).as_str();
    let format = match global.log_format {
        LogFormat::Text => telemetry::LineFormat::Auto,
        LogFormat::Json => telemetry::LineFormat::Json,
    };
    telemetry::logging::init(format, level, telemetry::logging::stderr_is_journal())
        .map_err(|error| Failure::of(exit::UNDONE, &error))
}
