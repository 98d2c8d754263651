//! Spans: subtracted as the oracle does, and over at their boundary.

use chrono::{DateTime, TimeDelta, Utc};

use super::super::oracle::minus;
use super::super::{Span, Zone};
use super::{Tape, moment, zone};

/// A text as a span: what is read is written the same way, and subtraction is what the oracle says.
///
/// The first eight bytes choose zone and moment.
pub fn spans(data: &[u8]) {
    let (head, text) = data.split_at(data.len().min(8));
    let mut tape = Tape::new(head);
    let (zone, at) = (zone(&mut tape), moment(&mut tape));
    let Ok(text) = std::str::from_utf8(text) else { return };
    let span = match Span::parse(text) {
        Ok(span) => span,
        Err(why) => {
            assert!(!why.to_string().is_empty());
            return;
        }
    };
    let written = span.to_string();
    assert_eq!(Span::parse(&written), Ok(span), "{text:?} was written as {written:?}");
    assert_eq!(span.is_zero(), span.approximate_seconds() == 0);
    let before = span.before(at, zone);
    assert!(
        before.is_none_or(|before| before <= at),
        "{span} before {at} in {zone} is {before:?}"
    );
    // The oracle's arithmetic ends where text dates do; beyond, nothing but no panic is asked.
    if span.approximate_seconds() < 1_000 * 31_556_952 {
        assert_eq!(before, minus(at, &span, zone), "{span} before {at} in {zone}");
    }
    if let Some(end) = span.boundary_after(at, zone) {
        check_boundary(span, at, zone, end);
    }
}

/// The boundary is the first second at which subtraction reaches the moment.
fn check_boundary(span: Span, at: DateTime<Utc>, zone: Zone, end: DateTime<Utc>) {
    let reached = |end: DateTime<Utc>| span.before(end, zone).is_some_and(|before| before >= at);
    assert!(reached(end), "{span} after {at} in {zone} is not over at {end}");
    for step in [1, 60, 600, 1_800, 3_600, 7_200, 43_200, 86_400, 2 * 86_400, 3 * 86_400] {
        let earlier = end - TimeDelta::seconds(step);
        assert!(
            !reached(earlier),
            "{span} after {at} in {zone} is over at {earlier}, not first at {end}"
        );
    }
}
