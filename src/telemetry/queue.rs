//! Log lines on their way to standard error, written by a thread of their own.
//!
//! Standard error may be a pipe that is not read. Whoever has something to log must not wait for that: lines wait in a queue of
//! bounded size, and what does not fit is dropped and counted. Not for what a line says: that is [`super::logging`].

use std::io::{self, Write};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::mpsc::{self, Receiver, Sender};
use std::time::Duration;

/// So many bytes of lines may wait: several minutes of a busy run.
pub(super) const MOST_WAITING: usize = 8 << 20;

enum Message {
    Line(Vec<u8>),
    /// Everything before this was written.
    Flush(Sender<()>),
}

/// The line that says how many were dropped.
pub(super) type Note = Box<dyn Fn(u64) -> String + Send + Sync>;

/// The way to standard error.
pub(super) struct Queue {
    messages: Sender<Message>,
    waiting: Arc<AtomicUsize>,
    dropped: AtomicU64,
    most: usize,
    note: Note,
}

impl std::fmt::Debug for Queue {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Queue")
            .field("waiting", &self.waiting)
            .field("dropped", &self.dropped)
            .finish_non_exhaustive()
    }
}

impl Queue {
    /// Starts the thread.
    pub(super) fn start(writer: impl Write + Send + 'static, most: usize, note: Note) -> io::Result<Self> {
        let (messages, received) = mpsc::channel();
        let waiting = Arc::new(AtomicUsize::new(0));
        let counted = Arc::clone(&waiting);
        std::thread::Builder::new()
            .name("log".to_owned())
            .spawn(move || write_all(writer, &received, &counted))?;
        Ok(Self {
            messages,
            waiting,
            dropped: AtomicU64::new(0),
            most,
            note,
        })
    }

    /// Hands a line on, or drops and counts it. Never waits.
    pub(super) fn push(&self, line: &[u8]) {
        let dropped = self.dropped.swap(0, Ordering::Relaxed);
        // In its place: after the lines that came before the gap.
        if dropped > 0 && !self.enqueue((self.note)(dropped).as_bytes()) {
            self.dropped.fetch_add(dropped + 1, Ordering::Relaxed);
        } else if !self.enqueue(line) {
            self.dropped.fetch_add(1, Ordering::Relaxed);
        }
    }

    fn enqueue(&self, line: &[u8]) -> bool {
        if self.waiting.fetch_add(line.len(), Ordering::Relaxed) + line.len() > self.most {
            self.waiting.fetch_sub(line.len(), Ordering::Relaxed);
            return false;
        }
        self.messages.send(Message::Line(line.to_vec())).is_ok()
    }

    /// Waits until everything is written, but not longer than this. Whether it is.
    pub(super) fn flush(&self, within: Duration) -> bool {
        let dropped = self.dropped.swap(0, Ordering::Relaxed);
        if dropped > 0 && !self.enqueue((self.note)(dropped).as_bytes()) {
            self.dropped.fetch_add(dropped, Ordering::Relaxed);
        }
        let (done, flushed) = mpsc::channel();
        self.messages.send(Message::Flush(done)).is_ok() && flushed.recv_timeout(within).is_ok()
    }
}

/// A log that cannot be written has nowhere to say so.
fn write_all(mut writer: impl Write, messages: &Receiver<Message>, waiting: &AtomicUsize) {
    while let Ok(message) = messages.recv() {
        match message {
            Message::Line(line) => {
                // One write a line, so that lines of two processes do not mix.
                let _ = writer.write_all(&line).and_then(|()| writer.flush());
                waiting.fetch_sub(line.len(), Ordering::Relaxed);
            }
            Message::Flush(done) => {
                // Whoever asked may have stopped waiting.
                let _ = done.send(());
            }
        }
    }
}

/// What a subscriber writes at once is one line.
impl Write for &Queue {
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        self.push(line);
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::sync::{Condvar, Mutex};

    use super::*;

    /// A reader that reads when it is let.
    #[derive(Clone, Default)]
    struct Pipe(Arc<(Mutex<(bool, String)>, Condvar)>);

    impl Pipe {
        fn open(&self) {
            self.0.0.lock().unwrap().0 = true;
            self.0.1.notify_all();
        }

        fn text(&self) -> String {
            self.0.0.lock().unwrap().1.clone()
        }
    }

    impl Write for Pipe {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            let (state, changed) = &*self.0;
            let mut state = changed.wait_while(state.lock().unwrap(), |state| !state.0).unwrap();
            state.1.push_str(str::from_utf8(bytes).unwrap());
            Ok(bytes.len())
        }
        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    fn queue(pipe: &Pipe, most: usize) -> Queue {
        Queue::start(pipe.clone(), most, Box::new(|count| format!("{count} dropped\n"))).unwrap()
    }

    #[test]
    fn lines_that_nobody_reads_are_dropped_and_counted_and_nobody_waits() {
        let pipe = Pipe::default();
        let queue = queue(&pipe, 20);
        for number in 0..1_000 {
            queue.push(format!("line {number:03}\n").as_bytes());
        }
        assert!(!queue.flush(Duration::from_millis(1)), "nothing could be written yet");
        pipe.open();
        assert!(queue.flush(Duration::from_secs(60)));
        queue.push(b"later\n");
        assert!(queue.flush(Duration::from_secs(60)));
        let text = pipe.text();
        assert_eq!(
            text, "line 000\nline 001\n998 dropped\nlater\n",
            "the gap stands where it is"
        );
    }

    #[test]
    fn lines_that_are_read_all_arrive_in_order() {
        let pipe = Pipe::default();
        pipe.open();
        let queue = queue(&pipe, MOST_WAITING);
        let wanted: Vec<String> = (0..1_000).map(|number| format!("line {number}\n")).collect();
        for line in &wanted {
            queue.push(line.as_bytes());
        }
        assert!(queue.flush(Duration::from_secs(60)));
        assert_eq!(pipe.text(), wanted.concat());
    }
}
