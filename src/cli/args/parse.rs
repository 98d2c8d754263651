//! Values of flags, read at the door: an error says what was expected, and clap says where.

use std::net::SocketAddr;
use std::time::Duration;

use chrono::{DateTime, Datelike, Days, NaiveDate, NaiveTime, TimeDelta, Utc};

use super::values::TimeLapse;
use crate::retention::span::SpanError;
use crate::retention::{Pattern, Span, Zone};

/// Reads RFC 3339, the API's own form of it (`+0800`), or a date, which means its midnight in UTC.
pub fn parse_time(text: &str) -> Result<DateTime<Utc>, String> {
    let at = DateTime::parse_from_rfc3339(text).or_else(|_| DateTime::parse_from_str(text, "%Y-%m-%dT%H:%M:%S%z"));
    if let Ok(at) = at {
        return to_the_end(Some(at.with_timezone(&Utc)));
    }
    let date = NaiveDate::parse_from_str(text, "%Y-%m-%d")
        .map_err(|_| "expected RFC 3339, as in 2026-11-23T03:00:00Z, or a date, as in 2026-11-23".to_owned())?;
    to_the_end(Some(date.and_time(NaiveTime::MIN).and_utc()))
}

/// Reads when a hold or a freeze ends: as [`parse_time`], but a date means the end of that day in UTC (in doubt longer, and
/// as `until` in the configuration), and a duration is counted from now.
pub fn parse_until(text: &str) -> Result<DateTime<Utc>, String> {
    let span = Span::parse(text);
    if let Err(why @ SpanError::AmbiguousM) = &span {
        return Err(why.to_string());
    }
    if let Ok(span) = span {
        let now = crate::clock::now();
        // Whole seconds are rounded up, and no time at all is over at once.
        let end = if span.is_zero() {
            Some(now)
        } else {
            span.boundary_after(now, Zone::UTC)
        };
        return to_the_end(end);
    }
    let at = parse_time(text).map_err(|why| format!("{why}; or a duration, as in 7d"))?;
    match NaiveDate::parse_from_str(text, "%Y-%m-%d") {
        Ok(_) => to_the_end(at.checked_add_days(Days::new(1))),
        Err(_) => Ok(at),
    }
}

/// What RFC 3339 cannot write, and the ledger cannot keep, is no time.
fn to_the_end(at: Option<DateTime<Utc>>) -> Result<DateTime<Utc>, String> {
    at.filter(|at| (0..=9_999).contains(&at.year()))
        .ok_or_else(|| "it lies beyond the year 9999; leave it out where there is no end".to_owned())
}

pub(super) fn parse_digest(text: &str) -> Result<String, String> {
    if text.len() == 32 && text.bytes().all(|byte| byte.is_ascii_hexdigit()) {
        Ok(text.to_ascii_lowercase())
    } else {
        Err("expected the digest as the refusal prints it: 32 hex digits".to_owned())
    }
}

pub(super) fn parse_span(text: &str) -> Result<Span, String> {
    Span::parse(text).map_err(|error| error.to_string())
}

/// How often backups are made; more than one an hour would be a forecast of nothing but them.
pub(super) fn parse_pace(text: &str) -> Result<Span, String> {
    let span = parse_span(text)?;
    if span.approximate_seconds() < 3_600 {
        return Err("at least an hour, as in `24h`".to_owned());
    }
    Ok(span)
}

/// A duration of at most a day that may be given in milliseconds; for the simulator, which knows no calendar.
pub(super) fn parse_short(text: &str) -> Result<Duration, String> {
    let duration = match text.strip_suffix("ms") {
        Some(number) => number
            .parse()
            .map(Duration::from_millis)
            .map_err(|_| format!("`{text}` is no number of milliseconds; write for example `200ms`"))?,
        None => Duration::from_secs(parse_span(text)?.approximate_seconds()),
    };
    if duration > Duration::from_secs(24 * 60 * 60) {
        return Err("at most a day".to_owned());
    }
    Ok(duration)
}

/// A time-lapse leaps a day at once, and no more often than this.
const FASTEST_DAY: Duration = Duration::from_millis(1);

pub(super) fn parse_lapse(text: &str) -> Result<TimeLapse, String> {
    let (span, takes) = text.split_once('=').ok_or("expected SPAN=DURATION, as in 24h=1min")?;
    let (span, takes) = (parse_span(span.trim())?, parse_short(takes.trim())?);
    if takes.is_zero() || Duration::from_secs(span.approximate_seconds()) < takes {
        return Err("time passes faster, not slower: the longer one comes first, as in 24h=1min".to_owned());
    }
    let lapse = TimeLapse { span, takes };
    if lapse.real(TimeDelta::days(1)) < FASTEST_DAY {
        return Err("a day takes at least a millisecond; write for example 1y=1s".to_owned());
    }
    Ok(lapse)
}

/// An id, without the blanks that a terminal or a spreadsheet put around it.
pub(super) fn parse_id(text: &str) -> Result<String, String> {
    match text.trim() {
        "" => Err("it is empty".to_owned()),
        id => Ok(id.to_owned()),
    }
}

pub(super) fn parse_id_pattern(text: &str) -> Result<Pattern, String> {
    parse_pattern(text.trim())
}

pub(super) fn parse_pattern(text: &str) -> Result<Pattern, String> {
    Pattern::parse(text).map_err(|error| error.to_string())
}

pub(super) fn parse_text(text: &str) -> Result<String, String> {
    let text = text.trim();
    if text.is_empty() {
        return Err("it is empty; say something that a colleague understands in a year".to_owned());
    }
    Ok(text.to_owned())
}

pub(super) fn parse_hash(text: &str) -> Result<String, String> {
    if text.len() == 64 && text.bytes().all(|byte| byte.is_ascii_hexdigit()) {
        Ok(text.to_ascii_lowercase())
    } else {
        Err("expected a head hash as a run logs it: 64 hex digits".to_owned())
    }
}

/// The simulator signs with made-up keys and the demo's page shows everything, so neither leaves the machine.
pub(super) fn parse_loopback(text: &str) -> Result<SocketAddr, String> {
    let address: SocketAddr = text
        .parse()
        .map_err(|_| "expected an address and a port, as in 127.0.0.1:9465".to_owned())?;
    if address.ip().is_loopback() {
        Ok(address)
    } else {
        Err("only a loopback address, as in 127.0.0.1:9465".to_owned())
    }
}

pub(super) fn parse_project_id(text: &str) -> Result<String, String> {
    if crate::config::is_project_id(text) {
        Ok(text.to_owned())
    } else {
        Err("an id has at most 64 letters and digits".to_owned())
    }
}
