//! Log lines: for people, for machines, for the journal.
//!
//! Not for what is worth a line: that is said where it happens, with values as fields ([`super::events`] for the two that
//! matter most). ERROR means that a person must act. Text from the cloud may hold anything, so control characters never
//! reach a terminal or a log as they are; secrets never get here, as their type does not print.
//!
//! A field whose name ends in `.json` holds JSON; the JSON format takes it in as such, under the name without the suffix. A field `people`
//! is the whole line for people, unless debug lines are wanted, and an empty one is no line; the JSON format leaves it out, for it has the
//! fields.

use std::fmt::{self, Write as _};
use std::io::{IsTerminal, Write};
use std::os::fd::AsFd;
use std::os::unix::fs::MetadataExt;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use serde_json::{Map, Value, json};
use thiserror::Error;
use tracing::field::{Field, Visit};
use tracing::span::{Attributes, Id, Record};
use tracing::{Event, Level, Subscriber};
use tracing_subscriber::Layer;
use tracing_subscriber::filter::Targets;
use tracing_subscriber::fmt::MakeWriter;
use tracing_subscriber::layer::{Context, SubscriberExt};
use tracing_subscriber::registry::LookupSpan;
use tracing_subscriber::util::SubscriberInitExt;

use super::queue::{MOST_WAITING, Queue};
use crate::wording::sanitize::{push_clean, push_json};

/// The field that is the whole line for people.
const PEOPLE: &str = "people";
/// No line is longer, in bytes: the journal takes more apart, and so do others.
const LONGEST_LINE: usize = 8_000;
/// The queue to standard error, once logging has begun.
static STDERR: OnceLock<Arc<Queue>> = OnceLock::new();

/// How lines look.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum LineFormat {
    /// What suits standard error: for people, with colours on a terminal that wants them.
    #[default]
    Auto,
    /// For people, without colours.
    Human,
    /// One JSON object a line.
    Json,
}

/// Why logging could not begin.
#[derive(Debug, Error)]
pub enum Error {
    /// The filter cannot be read.
    #[error("log filter {filter:?}: {source}; write a level (error, warn, info, debug, trace), or target=level, …")]
    Filter {
        /// As given.
        filter: String,
        /// Why.
        source: tracing_subscriber::filter::ParseError,
    },
    /// Standard error, or a thread that writes to it, is not to be had.
    #[error("cannot log to standard error: {0}")]
    Stderr(std::io::Error),
    /// It was begun before.
    #[error("logging has begun already")]
    Twice,
}

/// Begins logging to standard error. `filter` is a level or `target=level` pairs, comma-separated; `journald` puts
/// the priority (`<3>` … `<7>`) before each line and leaves out the time, which the journal knows.
pub fn init(format: LineFormat, filter: &str, journald: bool) -> Result<(), Error> {
    let targets: Targets = filter.parse().map_err(|source| Error::Filter {
        filter: filter.to_owned(),
        source,
    })?;
    let colours = format == LineFormat::Auto
        && !journald
        && std::io::stderr().is_terminal()
        && std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty());
    let shape = match format {
        LineFormat::Json => LineShape::Json,
        LineFormat::Auto | LineFormat::Human if targets.would_enable(module_path!(), &Level::DEBUG) => {
            LineShape::AllFields
        }
        LineFormat::Auto | LineFormat::Human => LineShape::People,
    };
    let of_note = LogLayer {
        shape,
        colours,
        journald,
        writer: (),
    };
    let note = move |count| of_note.gap(count);
    // A handle of its own: one that waits must not hold the lock of `std::io::stderr`.
    let stderr = std::io::stderr().as_fd().try_clone_to_owned().map_err(Error::Stderr)?;
    let queue = Queue::start(std::fs::File::from(stderr), MOST_WAITING, Box::new(note)).map_err(Error::Stderr)?;
    let queue = Arc::new(queue);
    let lines = LogLayer {
        shape,
        colours,
        journald,
        writer: Arc::clone(&queue),
    };
    tracing_subscriber::registry()
        .with(lines.with_filter(targets))
        .try_init()
        .map_err(|_| Error::Twice)?;
    let _ = STDERR.set(queue);
    Ok(())
}

/// Waits until the lines logged so far are written, at most a second. Whether they are; where standard error is not read, nothing else
/// should be written there either.
pub fn flush() -> bool {
    STDERR.get().is_none_or(|queue| queue.flush(Duration::from_secs(1)))
}

/// Whether standard error is the journal's own socket: systemd names it in `$JOURNAL_STREAM` as `device:inode`, and the
/// variable is inherited by children whose standard error may well be something else (systemd.exec(5)).
pub fn stderr_is_journal() -> bool {
    let Ok(stream) = std::env::var("JOURNAL_STREAM") else {
        return false;
    };
    let Ok(stderr) = std::io::stderr().as_fd().try_clone_to_owned() else {
        return false;
    };
    std::fs::File::from(stderr)
        .metadata()
        .is_ok_and(|meta| stream == format!("{}:{}", meta.dev(), meta.ino()))
}

/// What a line is made of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum LineShape {
    /// A JSON object.
    Json,
    /// Text, the line for people where there is one.
    People,
    /// Text, with every field.
    AllFields,
}

/// One line per event. Spans give their fields to the lines within them.
#[derive(Debug)]
pub struct LogLayer<W> {
    shape: LineShape,
    colours: bool,
    journald: bool,
    writer: W,
}

impl<W> LogLayer<W> {
    /// Lines without colours into `writer`; [`init`] is what a program calls.
    pub fn new(json: bool, journald: bool, writer: W) -> Self {
        Self {
            shape: if json { LineShape::Json } else { LineShape::People },
            colours: false,
            journald,
            writer,
        }
    }

    /// One line, cut where it would be too long. What is cut says so, and JSON stays JSON.
    fn line(&self, level: Level, target: &str, mut fields: Map<String, Value>) -> String {
        loop {
            let line = self.render(level, target, fields.clone());
            if line.len() <= LONGEST_LINE || !cut_longest(&mut fields) {
                return line;
            }
        }
    }

    /// The line that stands where lines are missing.
    fn gap(&self, count: u64) -> String {
        let message = format!("{count} log lines were dropped: standard error was not read");
        let fields = Map::from_iter([
            ("message".to_owned(), json!(message)),
            ("dropped".to_owned(), json!(count)),
        ]);
        self.render(Level::WARN, module_path!(), fields)
    }

    fn render(&self, level: Level, target: &str, fields: Map<String, Value>) -> String {
        let time = crate::clock::now().to_rfc3339_opts(chrono::SecondsFormat::Millis, true);
        let mut out = String::with_capacity(256);
        if self.journald {
            let _ = write!(out, "<{}>", priority(level));
        }
        if self.shape == LineShape::Json {
            self.json_line(&mut out, &time, level, target, fields);
        } else {
            self.human_line(&mut out, &time, level, fields);
        }
        out.push('\n');
        out
    }

    fn json_line(&self, out: &mut String, time: &str, level: Level, target: &str, fields: Map<String, Value>) {
        let mut object = Map::new();
        if !self.journald {
            object.insert("time".to_owned(), json!(time));
        }
        object.insert("level".to_owned(), json!(level.as_str()));
        object.insert("target".to_owned(), json!(target));
        for (name, value) in fields.into_iter().filter(|(name, _)| name != PEOPLE) {
            let parsed = name
                .strip_suffix(".json")
                .zip(value.as_str().and_then(|text| serde_json::from_str(text).ok()));
            match parsed {
                Some((short, inner)) => object.insert(short.to_owned(), inner),
                None => object.insert(name, value),
            };
        }
        // serde_json escapes what JSON demands; whatever else is unsafe stands only inside strings.
        push_json(out, &Value::Object(object).to_string());
    }

    fn human_line(&self, out: &mut String, time: &str, level: Level, mut fields: Map<String, Value>) {
        let (on, off) = if self.colours {
            (colour(level), "\x1b[0m")
        } else {
            ("", "")
        };
        if !self.journald {
            let _ = write!(out, "{time} {on}{:<5}{off} ", level.as_str());
        }
        let people = fields.remove(PEOPLE);
        if let (Some(text), LineShape::People) = (&people, self.shape) {
            return push_clean(out, &text_of(text));
        }
        if let Some(message) = fields.remove("message") {
            push_clean(out, &text_of(&message));
        }
        let (dim, off) = if self.colours { ("\x1b[2m", "\x1b[0m") } else { ("", "") };
        for (name, value) in fields {
            let name = name.strip_suffix(".json").unwrap_or(&name);
            let _ = write!(out, " {dim}{name}={off}");
            let text = text_of(&value);
            // Quotes only where the end of the value would be in doubt.
            if text.is_empty() || (text.contains([' ', '"', '=']) && !text.starts_with(['{', '['])) {
                out.push('"');
                push_clean(out, &text.replace('\\', "\\\\").replace('"', "\\\""));
                out.push('"');
            } else {
                push_clean(out, &text);
            }
        }
    }
}

impl<S, W> Layer<S> for LogLayer<W>
where
    S: Subscriber + for<'a> LookupSpan<'a>,
    W: for<'a> MakeWriter<'a> + 'static,
{
    fn on_new_span(&self, attributes: &Attributes<'_>, id: &Id, context: Context<'_, S>) {
        if let Some(span) = context.span(id) {
            let mut fields = LineFields::default();
            attributes.record(&mut fields);
            span.extensions_mut().replace(fields);
        }
    }

    fn on_record(&self, id: &Id, values: &Record<'_>, context: Context<'_, S>) {
        if let Some(span) = context.span(id)
            && let Some(fields) = span.extensions_mut().get_mut::<LineFields>()
        {
            values.record(fields);
        }
    }

    fn on_event(&self, event: &Event<'_>, context: Context<'_, S>) {
        let mut all = LineFields::default();
        for span in context
            .event_scope(event)
            .into_iter()
            .flat_map(tracing_subscriber::registry::Scope::from_root)
        {
            if let Some(fields) = span.extensions().get::<LineFields>() {
                all.0.extend(fields.0.clone());
            }
        }
        // The event's own fields last: the nearest says it best.
        event.record(&mut all);
        if self.shape == LineShape::People && all.0.get(PEOPLE).is_some_and(|text| text == "") {
            return;
        }
        let meta = event.metadata();
        let line = self.line(*meta.level(), meta.target(), all.0);
        // One write a line, so that lines of two threads do not mix. A log that cannot be written cannot be logged.
        let _ = self.writer.make_writer_for(meta).write_all(line.as_bytes());
    }
}

/// Fields as values.
#[derive(Debug, Default)]
struct LineFields(Map<String, Value>);

impl LineFields {
    fn put(&mut self, field: &Field, value: Value) {
        self.0.insert(field.name().to_owned(), value);
    }
}

impl Visit for LineFields {
    fn record_f64(&mut self, field: &Field, value: f64) {
        self.put(field, json!(value));
    }
    fn record_i64(&mut self, field: &Field, value: i64) {
        self.put(field, json!(value));
    }
    fn record_u64(&mut self, field: &Field, value: u64) {
        self.put(field, json!(value));
    }
    fn record_bool(&mut self, field: &Field, value: bool) {
        self.put(field, json!(value));
    }
    fn record_str(&mut self, field: &Field, value: &str) {
        self.put(field, json!(value));
    }
    fn record_error(&mut self, field: &Field, value: &(dyn std::error::Error + 'static)) {
        // The whole chain: the outer message alone often hides the cause (reqwest's does).
        let mut text = value.to_string();
        let mut cause = value.source();
        while let Some(error) = cause {
            let _ = write!(text, ": {error}");
            cause = error.source();
        }
        self.put(field, json!(text));
    }
    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        self.put(field, json!(format!("{value:?}")));
    }
}

/// Cuts the longest text among the fields to half of it; whether there was one worth it.
fn cut_longest(fields: &mut Map<String, Value>) -> bool {
    const LEAST: usize = 64;
    let length = |value: &Value| value.as_str().map_or(0, str::len);
    let Some((_, longest)) = fields.iter_mut().max_by_key(|(_, value)| length(value)) else {
        return false;
    };
    let text = longest.as_str().unwrap_or_default();
    if text.len() <= LEAST {
        return false;
    }
    // A text that was cut before says how long it was at first.
    let (kept, whole) = text
        .rsplit_once("… [cut from ")
        .and_then(|(kept, rest)| Some((kept, rest.strip_suffix(" bytes]")?.parse().ok()?)))
        .unwrap_or((text, text.len()));
    let middle = (0..=kept.len() / 2).rev().find(|at| kept.is_char_boundary(*at));
    let kept = &kept[..middle.unwrap_or_default()];
    *longest = json!(format!("{kept}… [cut from {whole} bytes]"));
    true
}

fn text_of(value: &Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), str::to_owned)
}

/// syslog(3): 3 error, 4 warning, 6 information, 7 debug.
fn priority(level: Level) -> u8 {
    match level {
        Level::ERROR => 3,
        Level::WARN => 4,
        Level::INFO => 6,
        _ => 7,
    }
}

fn colour(level: Level) -> &'static str {
    match level {
        Level::ERROR => "\x1b[1;31m",
        Level::WARN => "\x1b[33m",
        Level::INFO => "\x1b[32m",
        _ => "\x1b[2m",
    }
}
