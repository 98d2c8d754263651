//! How the local clock compares with the API's, by the `Date` of its answers (contract, 4, 1).

use std::sync::{Mutex, PoisonError};

use chrono::{DateTime, Utc};
use reqwest::header::{DATE, HeaderMap};
use tokio::time::Instant;

use super::response::http_date;
use crate::clock;
use crate::retention::plan::ClockCheck;

/// What the answers' `Date` said.
#[derive(Debug, Default)]
pub(super) struct ApiClock(Mutex<Answers>);

#[derive(Clone, Copy, Debug, Default)]
struct Answers {
    latest: ApiTime,
    /// The answer since the run began that was furthest from our clock, as it was when it arrived.
    worst: Option<ClockCheck>,
}

impl ApiClock {
    /// Notes what an answer says. A failure in front of the API need not carry a date, so only a success without one counts.
    pub(super) fn note(&self, headers: &HeaderMap, is_success: bool) {
        let latest = match date_of(headers, clock::now()) {
            Some(date) => ApiTime::Read(date, Instant::now()),
            None if is_success => ApiTime::Missing,
            None => return,
        };
        let mut answers = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        answers.latest = latest;
        answers.worst = worse(answers.worst, latest.check());
    }

    /// What earlier runs were answered is forgotten.
    pub(super) fn begin_run(&self) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).worst = None;
    }

    /// Our clock, as it is now, beside the API's latest time carried on by a clock that nobody sets: a wall clock that jumps
    /// between two answers is noticed before the next batch. An answer of the same run that was further off counts in its
    /// place: it may be the one that is right.
    pub(super) fn check(&self) -> ClockCheck {
        let answers = *self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let now = answers.latest.check();
        worse(answers.worst, now).unwrap_or(now)
    }
}

/// What one answer's `Date` said, and when it arrived.
#[derive(Clone, Copy, Debug, Default)]
enum ApiTime {
    /// No answer yet, or one without a readable `Date`.
    #[default]
    Missing,
    /// The API's time, and the moment it was read.
    Read(DateTime<Utc>, Instant),
}

impl ApiTime {
    fn check(self) -> ClockCheck {
        let Self::Read(date, at) = self else {
            return ClockCheck::NoDate;
        };
        let passed = chrono::TimeDelta::from_std(at.elapsed()).unwrap_or(chrono::TimeDelta::MAX);
        let skew = (date - clock::now()).checked_add(&passed);
        ClockCheck::Skew(skew.unwrap_or(chrono::TimeDelta::MAX))
    }
}

/// The one `Date` of an answer: where there are several that differ, it is not known which one is right.
fn date_of(headers: &HeaderMap, now: DateTime<Utc>) -> Option<DateTime<Utc>> {
    let mut dates = headers
        .get_all(DATE)
        .iter()
        .map(|value| http_date(value.to_str().ok()?, now));
    let first = dates.next()??;
    dates.all(|date| date == Some(first)).then_some(first)
}

/// The check that is further from a good one.
fn worse(known: Option<ClockCheck>, found: ClockCheck) -> Option<ClockCheck> {
    let off = |check: &ClockCheck| match check {
        ClockCheck::Skew(skew) => skew.abs(),
        ClockCheck::NoDate => chrono::TimeDelta::MAX,
    };
    known.into_iter().chain([found]).max_by_key(off)
}

#[cfg(test)]
mod tests {
    use reqwest::header::HeaderValue;

    use super::*;

    #[test]
    fn several_dates_count_only_where_they_say_the_same() {
        let now: DateTime<Utc> = "2026-11-23T03:00:00Z".parse().unwrap();
        let read = |dates: &[&'static str]| {
            let dates = dates.iter().map(|date| (DATE, HeaderValue::from_static(date)));
            date_of(
                &dates.fold(HeaderMap::new(), |mut headers, (name, date)| {
                    headers.append(name, date);
                    headers
                }),
                now,
            )
        };
        let right = "Mon, 23 Nov 2026 03:00:00 GMT";
        assert_eq!(read(&[right]), Some(now));
        assert_eq!(read(&[right, "Monday, 23-Nov-26 03:00:00 GMT"]), Some(now));
        assert_eq!(read(&[]), None);
        for other in ["Sat, 24 Oct 2026 03:00:00 GMT", "noon", ""] {
            assert_eq!(read(&[right, other]), None, "{other}");
            assert_eq!(read(&[other, right]), None, "{other}");
        }
    }

    #[test]
    fn the_check_that_is_furthest_off_stays() {
        let skew = |minutes| ClockCheck::Skew(chrono::TimeDelta::minutes(minutes));
        assert_eq!(worse(None, skew(1)), Some(skew(1)));
        assert_eq!(worse(Some(skew(-60)), skew(1)), Some(skew(-60)));
        assert_eq!(worse(Some(skew(1)), skew(-60)), Some(skew(-60)));
        assert_eq!(worse(Some(ClockCheck::NoDate), skew(0)), Some(ClockCheck::NoDate));
    }
}
