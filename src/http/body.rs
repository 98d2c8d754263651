//! The body of an answer: whole, or, for the simulator's sake, cut short or dripping.

use std::future::Future;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use hyper::body::{Bytes, Frame, SizeHint};
use tokio::time::{Sleep, sleep};

/// The body of an answer.
#[derive(Debug)]
pub struct Body {
    rest: Bytes,
    cut: Cut,
    drip: Option<Drip>,
}

/// How far a body that will be cut has come.
#[derive(Debug)]
enum Cut {
    /// It will not be cut.
    Never,
    /// This many bytes are sent first.
    After(usize),
    /// They are handed over; one pause makes hyper write them out before it learns of the cut.
    Flushing,
    /// The connection ends here.
    Now,
}

/// A body that comes a few bytes at a time.
#[derive(Debug)]
struct Drip {
    chunk: usize,
    every: Duration,
    pause: Option<Pin<Box<Sleep>>>,
}

impl Body {
    /// All of it at once.
    pub fn full(bytes: impl Into<Bytes>) -> Self {
        Self {
            rest: bytes.into(),
            cut: Cut::Never,
            drip: None,
        }
    }

    /// Announces all of it and cuts the connection after `sent` bytes.
    pub fn truncated(bytes: impl Into<Bytes>, sent: usize) -> Self {
        Self {
            rest: bytes.into(),
            cut: Cut::After(sent),
            drip: None,
        }
    }

    /// Sends `chunk` bytes (at least one) per interval.
    pub fn dripping(bytes: impl Into<Bytes>, chunk: usize, every: Duration) -> Self {
        Self {
            rest: bytes.into(),
            cut: Cut::Never,
            drip: Some(Drip {
                chunk: chunk.max(1),
                every,
                pause: None,
            }),
        }
    }
}

impl From<Bytes> for Body {
    fn from(bytes: Bytes) -> Self {
        Self::full(bytes)
    }
}

impl hyper::body::Body for Body {
    type Data = Bytes;
    type Error = io::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, io::Error>>> {
        match self.cut {
            Cut::Never => {}
            Cut::After(sent) => {
                self.cut = Cut::Flushing;
                let part = sent.min(self.rest.len());
                return Poll::Ready(Some(Ok(Frame::data(self.rest.split_to(part)))));
            }
            Cut::Flushing => {
                self.cut = Cut::Now;
                context.waker().wake_by_ref();
                return Poll::Pending;
            }
            Cut::Now => return Poll::Ready(Some(Err(io::Error::other("the answer is cut here on purpose")))),
        }
        if self.rest.is_empty() {
            return Poll::Ready(None);
        }
        let this = &mut *self;
        let Some(drip) = &mut this.drip else {
            return Poll::Ready(Some(Ok(Frame::data(std::mem::take(&mut this.rest)))));
        };
        let every = drip.every;
        let pause = drip.pause.get_or_insert_with(|| Box::pin(sleep(every)));
        std::task::ready!(pause.as_mut().poll(context));
        drip.pause = None;
        let now = drip.chunk.min(this.rest.len());
        Poll::Ready(Some(Ok(Frame::data(this.rest.split_to(now)))))
    }

    fn is_end_stream(&self) -> bool {
        self.rest.is_empty() && matches!(self.cut, Cut::Never)
    }

    fn size_hint(&self) -> SizeHint {
        // The length that is announced: of a cut body too, or the client could not tell that it was cut.
        SizeHint::with_exact(self.rest.len() as u64)
    }
}
