//! The one way to stdout.
//!
//! It is locked once, buffered, and knows whether it is coloured and how wide it is. Stderr is for logs, progress, notes
//! beside a result ([`note`]) and the one error at the end.

use std::io::{self, BufWriter, IsTerminal, StdoutLock, Write};

use anstream::{AutoStream, ColorChoice};

use super::super::args::{Color, Format, Global, ShowArgs};
use super::super::exit;
use super::super::failure::{CommandResult, Failure};
use super::theme::Theme;
use crate::telemetry::logging;
use crate::wording::sanitize::clean;

/// Stdout, locked. End with [`Out::finish`]: a drop writes out what is buffered, too, but reports no failure of that.
pub struct Out {
    stream: BufWriter<StdoutStream>,
    choice: ColorChoice,
}

enum StdoutStream {
    /// JSON, scripts and tables without colour: byte for byte.
    Raw(StdoutLock<'static>),
    /// Tables: colours as the terminal takes them.
    Auto(AutoStream<StdoutLock<'static>>),
}

impl Write for StdoutStream {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match self {
            Self::Raw(stream) => stream.write(bytes),
            Self::Auto(stream) => stream.write(bytes),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        match self {
            Self::Raw(stream) => stream.flush(),
            Self::Auto(stream) => stream.flush(),
        }
    }
}

impl Out {
    /// For tables, in colour as asked for; `Auto` looks at the terminal and at `NO_COLOR`.
    pub fn table(color: Color) -> Self {
        // What was logged on the way to a result stands before it.
        logging::flush();
        let stdout = io::stdout();
        let choice = match color {
            Color::Auto if is_coloured(stdout.is_terminal()) => ColorChoice::Always,
            Color::Always => ColorChoice::Always,
            Color::Never | Color::Auto => ColorChoice::Never,
        };
        // Without colour nothing here writes an escape sequence (`Theme::paint`, `sanitize::clean`), so that nothing need be
        // looked for and taken out.
        let stream = match choice {
            ColorChoice::Never => StdoutStream::Raw(stdout.lock()),
            _ => StdoutStream::Auto(AutoStream::new(stdout.lock(), choice)),
        };
        Self {
            stream: BufWriter::with_capacity(64 * 1024, stream),
            choice,
        }
    }

    /// For JSON, scripts and man pages.
    pub fn raw() -> Self {
        logging::flush();
        Self {
            stream: BufWriter::new(StdoutStream::Raw(io::stdout().lock())),
            choice: ColorChoice::Never,
        }
    }

    /// For a command that lists in one of two formats.
    pub fn of(format: Format, color: Color) -> Self {
        match format {
            Format::Table => Self::table(color),
            Format::Json => Self::raw(),
        }
    }

    /// How to draw on it.
    pub fn theme(&self, global: &Global) -> Theme {
        let width = io::stdout()
            .is_terminal()
            .then(terminal_size::terminal_size)
            .flatten()
            .map(|(width, _)| usize::from(width.0));
        Theme {
            width,
            colour: self.choice != ColorChoice::Never,
            all: false,
            price: None,
            program: global.invocation(),
        }
    }

    /// How to draw a report on it.
    pub fn theme_of_report(&self, global: &Global, show: &ShowArgs) -> Theme {
        let theme = self.theme(global);
        Theme {
            width: theme.width.filter(|_| !show.wide),
            all: show.all,
            ..theme
        }
    }

    /// Writes out what is buffered. A reader that went away (`| head`) is no error.
    pub fn finish(mut self) -> io::Result<()> {
        forgive_broken_pipe(self.stream.flush())
    }
}

impl Write for Out {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.stream.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.stream.flush()
    }
}

/// Whether a stream is coloured by default, by the usual variables; an empty one is none.
pub fn is_coloured(is_terminal: bool) -> bool {
    let set = |name| std::env::var_os(name).filter(|value| !value.is_empty());
    if set("NO_COLOR").is_some() {
        return false;
    }
    let forced = set("CLICOLOR_FORCE").is_some_and(|value| value != "0");
    let is_dumb = set("TERM").is_some_and(|value| value == "dumb");
    forced || (is_terminal && !is_dumb && set("CLICOLOR").is_none_or(|value| value != "0"))
}

/// A reader that went away has read all it wanted.
pub fn forgive_broken_pipe(result: io::Result<()>) -> io::Result<()> {
    match result {
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(()),
        other => other,
    }
}

/// Ends a command's output: what was done stays done, and its code stands, when the reader went away meanwhile.
pub fn finish(out: Out, written: io::Result<()>, code: u8) -> CommandResult {
    let written = forgive_broken_pipe(written);
    written
        .and_then(|()| out.finish())
        .map(|()| code)
        .map_err(|error| Failure::new(exit::UNDONE, format!("stdout: {error}")))
}

/// Says something beside a result, on stderr: which state is used, that nothing can be deleted yet.
pub fn note(text: &str) {
    // As with the error at the end: without stderr there is no place to report it.
    if logging::flush() {
        let _ = writeln!(anstream::stderr(), "{}", clean(text));
    }
}
