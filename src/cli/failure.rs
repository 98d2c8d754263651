//! Why a command ended without its result: the message and the exit code, decided once for every error of the layers below.

use super::exit;
use crate::wording::error_chain;
use crate::{config, daemon, ledger, operations, rds, run, web};

/// Why a command ended without its result: what to say, and the exit code.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Failure {
    /// One of [`exit`]'s codes.
    pub code: u8,
    /// For a person; may have several lines, secrets never.
    pub message: String,
    /// Whether the message begins with a place, `FILE:LINE:COLUMN:`. Editors find it there, so nothing stands before it.
    pub begins_with_place: bool,
}

impl Failure {
    /// With the whole chain of causes, which is printed here and nowhere else.
    pub fn of(code: u8, error: &dyn std::error::Error) -> Self {
        Self::new(code, error_chain(error))
    }

    /// The exit code of an error of the API.
    pub fn code_of_api(error: &rds::Error) -> u8 {
        match error.class() {
            rds::Class::NotAllowed => exit::NOT_ALLOWED,
            rds::Class::Configuration => exit::CONFIGURATION,
            _ => exit::UNAVAILABLE,
        }
    }

    /// With words of our own.
    pub fn new(code: u8, message: impl Into<String>) -> Self {
        Self {
            code,
            message: message.into(),
            begins_with_place: false,
        }
    }
}

/// What a command returns: its exit code, or why there is none of its own.
pub type CommandResult = Result<u8, Failure>;

impl From<config::Problems> for Failure {
    fn from(problems: config::Problems) -> Self {
        Self {
            begins_with_place: true,
            ..Self::new(exit::CONFIGURATION, problems.to_string())
        }
    }
}

/// The first mistake in a file that is no configuration.
impl From<Box<config::Problem>> for Failure {
    fn from(problem: Box<config::Problem>) -> Self {
        Self {
            begins_with_place: true,
            ..Self::new(exit::CONFIGURATION, problem.to_string())
        }
    }
}

impl From<ledger::Error> for Failure {
    fn from(error: ledger::Error) -> Self {
        Self::of(code_of_ledger(&error), &error)
    }
}

/// The exit code of an error of the ledger. Nothing was deleted: something is left undone, unless it says more.
fn code_of_ledger(error: &ledger::Error) -> u8 {
    use ledger::Fault;
    match error {
        ledger::Error::NoSuchHold(_)
        | ledger::Error::SeveralHolds { .. }
        | ledger::Error::NoSuchFreeze(_)
        | ledger::Error::SeveralFreezes(_) => exit::USAGE,
        error if error.is_lost() => exit::REFUSED,
        error => match error.fault() {
            Some(Fault::MembersDiffer(_)) => exit::REFUSED,
            Some(Fault::Unreachable(_) | Fault::Tls(_) | Fault::OnlyLocal) => exit::UNAVAILABLE,
            Some(Fault::ReadOnly | Fault::Full | Fault::Busy) if error.is_shared() => exit::UNAVAILABLE,
            Some(Fault::Credentials(_) | Fault::Privileges(_)) => exit::NOT_ALLOWED,
            Some(
                Fault::NoDatabase(_)
                | Fault::OldServer
                | Fault::Foreign
                | Fault::Moved { .. }
                | Fault::Unfinished(_)
                | Fault::NotEmpty,
            ) => exit::CONFIGURATION,
            Some(Fault::InUse(_)) => exit::BUSY,
            Some(Fault::Newer { .. }) if error.is_shared() => exit::CONFIGURATION,
            _ => exit::UNDONE,
        },
    }
}

impl From<rds::Error> for Failure {
    fn from(error: rds::Error) -> Self {
        Self::new(Self::code_of_api(&error), error_chain(&error))
    }
}

impl From<run::Error> for Failure {
    fn from(error: run::Error) -> Self {
        let code = match &error {
            run::Error::NoSuchPolicy { .. } => exit::USAGE,
            run::Error::Ledger(error) => code_of_ledger(error),
            _ => exit::UNDONE,
        };
        Self::of(code, &error)
    }
}

impl From<daemon::Error> for Failure {
    fn from(error: daemon::Error) -> Self {
        match error {
            daemon::Error::NoProjects(_) => Self::of(exit::CONFIGURATION, &error),
            daemon::Error::Client(error) => error.into(),
            daemon::Error::Ticker(_) => Self::of(exit::UNDONE, &error),
        }
    }
}

impl From<web::ListenError> for Failure {
    fn from(error: web::ListenError) -> Self {
        // The service manager tries again: a port becomes free.
        Self::of(exit::UNAVAILABLE, &error)
    }
}

impl From<operations::Error> for Failure {
    fn from(error: operations::Error) -> Self {
        use operations::Error;
        let code = match error {
            Error::Ledger(error) => return error.into(),
            Error::Api(error) => return error.into(),
            Error::Run(error) => return error.into(),
            Error::NoProjects(_) | Error::NoAnchor => exit::CONFIGURATION,
            Error::Busy(_) | Error::StoppedWaiting(_) => exit::BUSY,
            Error::ForecastPanicked
            | Error::NotListedAnyMore { .. }
            | Error::NothingInDoubt(_)
            | Error::MovedStateBroken { .. }
            | Error::AnchorUnreadable { .. } => exit::UNDONE,
            Error::NoSuchInstance(_)
            | Error::BeyondCalendar
            | Error::SeveralBackups { .. }
            | Error::NeverSeen { .. }
            | Error::EndsInThePast { .. }
            | Error::EmptyTime { .. }
            | Error::NoSuchRun(_)
            | Error::SeveralRuns(_)
            | Error::NoSuchListing { .. } => exit::USAGE,
        };
        Self::of(code, &error)
    }
}
