//! The values that flags choose among: colour, log level and format, format of a result; and how fast time passes.

use std::fmt;
use std::time::Duration;

use chrono::TimeDelta;
use clap::ValueEnum;

use crate::retention::Span;

/// When tables are coloured.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Color {
    /// On a terminal, unless `NO_COLOR` is set.
    Auto,
    /// Also into pipes.
    Always,
    /// Nowhere.
    Never,
}

/// How serious a log line is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, ValueEnum)]
pub enum LogLevel {
    /// A person must act.
    Error,
    /// Something is left undone or looks wrong.
    Warn,
    /// What is done.
    Info,
    /// How it is done.
    Debug,
    /// Everything.
    Trace,
}

impl LogLevel {
    /// Its name, as typed.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Error => "error",
            Self::Warn => "warn",
            Self::Info => "info",
            Self::Debug => "debug",
            Self::Trace => "trace",
        }
    }
}

/// How log lines look.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum LogFormat {
    /// A line for people.
    Text,
    /// One JSON object a line.
    Json,
}

/// How something is listed on stdout.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum Format {
    /// Aligned, for people.
    #[default]
    Table,
    /// For machines; stdout carries JSON alone.
    Json,
}

/// How an audit report is written to stdout.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum ReportFormat {
    /// To read and to print.
    Html,
    /// For a spreadsheet.
    Csv,
    /// For machines.
    Json,
}

/// How a forecast is shown on stdout.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum ForecastFormat {
    /// Aligned, for people.
    #[default]
    Table,
    /// For machines; stdout carries JSON alone.
    Json,
    /// A page with calendar and charts, with all it needs in it.
    Html,
}

/// How the outcome of policy tests is written to stdout.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum TestFormat {
    /// Lines for people.
    Table,
    /// For machines.
    Json,
    /// XML for CI.
    Junit,
}

/// How fast time passes in a time-lapse: so much in so short a time, as in `24h=1min`.
#[derive(Clone, Copy, Debug)]
pub struct TimeLapse {
    /// What passes.
    pub span: Span,
    /// What it takes.
    pub takes: Duration,
}

impl TimeLapse {
    /// What passes at once: a day, or the span where that is shorter.
    pub(in crate::cli) fn leap(&self) -> TimeDelta {
        let seconds = self.span.approximate_seconds().clamp(1, 24 * 3600);
        TimeDelta::seconds(seconds.cast_signed())
    }

    /// How long it takes for so much time to pass.
    pub(in crate::cli) fn real(&self, span: TimeDelta) -> Duration {
        let share = Duration::from_secs(self.span.approximate_seconds().max(1));
        let share = span.to_std().unwrap_or_default().div_duration_f64(share);
        self.takes.mul_f64(share.min(1000.0))
    }
}

impl fmt::Display for TimeLapse {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} in {} s", self.span, self.takes.as_secs_f64())
    }
}
