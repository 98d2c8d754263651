//! One line on stderr that says how far a command is, while stderr is a terminal.
//!
//! Not for results or problems: it is wiped before anything else is said, and does not exist when stderr is no terminal.

use std::io::{self, IsTerminal, Stderr, Write};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use crate::run::{OnProgress, Progress};
use crate::wording::numbers;
use crate::wording::numbers::number;

/// The line is rewritten at most this often.
const EVERY: Duration = Duration::from_millis(100);
/// Before that, a guess at the time left is noise.
const GUESS_AFTER: Duration = Duration::from_secs(2);
/// Carriage return, erase to the end of the line.
const WIPE: &str = "\r\x1b[K";

/// The line. May be updated from any thread.
pub struct ProgressLine<W: Write = Stderr> {
    line: Option<Mutex<DrawnLine<W>>>,
}

struct DrawnLine<W> {
    out: W,
    started: Instant,
    /// When the first instance was asked for its tasks: their pace is their own.
    listed: Option<Instant>,
    /// When it was last written; `None` while nothing stands there.
    written: Option<Instant>,
}

impl ProgressLine {
    /// On stderr, if wanted and if stderr is a terminal.
    pub fn new(enabled: bool) -> Self {
        let stderr = io::stderr();
        let watched = enabled && stderr.is_terminal();
        Self::on(watched.then_some(stderr), Instant::now())
    }

    /// One for a run, and what keeps it moving.
    pub fn of_run() -> (Arc<Self>, OnProgress) {
        let progress = Arc::new(Self::new(true));
        let line = Arc::clone(&progress);
        (progress, Arc::new(move |at| line.update(at)))
    }
}

impl<W: Write> ProgressLine<W> {
    fn on(out: Option<W>, started: Instant) -> Self {
        let line = out.map(|out| DrawnLine {
            out,
            started,
            listed: None,
            written: None,
        });
        Self {
            line: line.map(Mutex::new),
        }
    }

    /// Says how far it is, unless it said so a moment ago.
    pub fn update(&self, values: Progress) {
        self.update_at(values, Instant::now());
    }

    fn update_at(&self, values: Progress, now: Instant) {
        self.with(|line| {
            if values.of_asked_for_tasks == 0 {
                line.listed = None;
            } else if line.listed.is_none() {
                line.listed = Some(now);
            }
            if line.written.is_some_and(|at| now.duration_since(at) < EVERY) {
                return;
            }
            let text = text(values, now.duration_since(line.listed.unwrap_or(line.started)));
            // A terminal that cannot be written to loses its progress, not the run.
            let _ = write!(line.out, "{WIPE}{text}").and_then(|()| line.out.flush());
            line.written = Some(now);
        });
    }

    /// Wipes the line. Dropping does the same.
    pub fn finish(&self) {
        self.with(|line| {
            if line.written.take().is_some() {
                let _ = write!(line.out, "{WIPE}").and_then(|()| line.out.flush());
            }
        });
    }

    fn with(&self, act: impl FnOnce(&mut DrawnLine<W>)) {
        if let Some(line) = &self.line {
            act(&mut line.lock().unwrap_or_else(PoisonError::into_inner));
        }
    }
}

impl<W: Write> Drop for ProgressLine<W> {
    fn drop(&mut self) {
        self.finish();
    }
}

fn text(values: Progress, elapsed: Duration) -> String {
    let Progress {
        instances,
        of_instances,
        backups,
        asked_for_tasks,
        of_asked_for_tasks,
        calls,
        sent,
        of_sent,
    } = values;
    let number = |count: usize| number(count as u64);
    let of = if of_instances > 0 {
        format!("/{}", number(of_instances))
    } else {
        String::new()
    };
    let mut text = format!(
        "instances {}{of} · backups {} · {} calls",
        number(instances),
        number(backups),
        numbers::number(calls)
    );
    if of_sent > 0 {
        // Its own pace: what was read before says nothing about how fast deletions are accepted.
        text.push_str(" · sent ");
        text.push_str(&number(sent));
        text.push('/');
        text.push_str(&number(of_sent));
        return text;
    }
    // How much the step after listing has to do is not known before its end: a guess is for one step, and says so.
    let (done, of, step) = if of_asked_for_tasks > 0 {
        text.push_str(" · looking for restores ");
        text.push_str(&number(asked_for_tasks));
        text.push('/');
        text.push_str(&number(of_asked_for_tasks));
        (asked_for_tasks, of_asked_for_tasks, " s left")
    } else {
        (instances, of_instances, " s left to list")
    };
    let left = of.saturating_sub(done);
    if elapsed >= GUESS_AFTER && done > 0 && left > 0 {
        let millis = elapsed.as_millis() * left as u128 / done as u128;
        text.push_str(" · ~");
        text.push_str(&(millis / 1_000 + 1).to_string());
        text.push_str(step);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    const VALUES: Progress = Progress {
        instances: 120,
        of_instances: 200,
        backups: 30_000,
        asked_for_tasks: 0,
        of_asked_for_tasks: 0,
        calls: 412,
        sent: 0,
        of_sent: 0,
    };

    #[test]
    fn says_how_far_it_is_and_guesses_the_rest() {
        assert_eq!(
            text(VALUES, Duration::from_secs(1)),
            "instances 120/200 · backups 30,000 · 412 calls"
        );
        assert_eq!(
            text(VALUES, Duration::from_secs(18)),
            "instances 120/200 · backups 30,000 · 412 calls · ~13 s left to list"
        );
        let looking = Progress {
            asked_for_tasks: 40,
            of_asked_for_tasks: 160,
            ..VALUES
        };
        assert_eq!(
            text(looking, Duration::from_secs(4)),
            "instances 120/200 · backups 30,000 · 412 calls · looking for restores 40/160 · ~13 s left"
        );
        let sending = Progress {
            sent: 50,
            of_sent: 1_200,
            ..VALUES
        };
        assert_eq!(
            text(sending, Duration::from_secs(18)),
            "instances 120/200 · backups 30,000 · 412 calls · sent 50/1,200"
        );
        let unknown = Progress {
            of_instances: 0,
            ..VALUES
        };
        assert_eq!(
            text(unknown, Duration::from_secs(18)),
            "instances 120 · backups 30,000 · 412 calls"
        );
    }

    #[test]
    fn is_rewritten_ten_times_a_second_and_wiped_once() {
        let start = Instant::now();
        let mut written = Vec::new();
        {
            let progress = ProgressLine::on(Some(&mut written), start);
            for millis in [0, 1, 99, 100, 150] {
                progress.update_at(VALUES, start + Duration::from_millis(millis));
            }
            progress.finish();
        }
        let written = String::from_utf8(written).unwrap();
        assert_eq!(written.matches("instances").count(), 2, "{written:?}");
        assert_eq!(written.matches(WIPE).count(), 3, "{written:?}");
        assert!(written.ends_with(WIPE));
    }

    #[test]
    fn says_nothing_where_nobody_watches() {
        let mut written = Vec::new();
        let progress = ProgressLine::on(Some(&mut written), Instant::now());
        drop(progress);
        assert_eq!(written, b"", "nothing to wipe");
        ProgressLine::new(false).update(VALUES);
        assert!(ProgressLine::new(false).line.is_none());
    }
}
