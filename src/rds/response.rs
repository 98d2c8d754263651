//! What an answer says besides its data: error bodies in all their shapes, request ids, dates, Retry-After.
//!
//! API reference, section 7. Pure. Not for what is done about it: that is `client`.

use std::time::Duration;

use chrono::{DateTime, Datelike, Months, NaiveDateTime, Utc};
use serde_json::Value;

use super::error::Said;
use super::rate::LONGEST_PAUSE;
use crate::wording::sanitize::is_unsafe;

/// The longest message or body excerpt that is kept, in characters.
const LONGEST: usize = 300;

/// The longest body that is read for its code and words, in bytes.
const LONGEST_TREE: usize = 64 * 1024;

/// One answer, read to its end.
#[derive(Debug)]
pub(super) struct Response {
    pub(super) status: u16,
    pub(super) body: Vec<u8>,
    pub(super) request_id: Option<String>,
    pub(super) retry_after: Option<Duration>,
}

impl Response {
    /// Code, words and request id of an error body.
    #[expect(
        clippy::unnecessary_box_returns,
        reason = "it goes into errors, which are to stay small"
    )]
    pub(super) fn said(&self) -> Box<Said> {
        let mut said = said(&self.body);
        // The header is the gateway's own word, so it goes before the body's.
        said.request_id = self.request_id.clone().or(said.request_id);
        Box::new(said)
    }

    /// The code and message of an error in a body that should have none; `0` is none.
    pub(super) fn error_named(&self) -> Option<(String, String)> {
        if self.body.len() > LONGEST_TREE {
            return Some((String::new(), "the answer is too long".to_owned()));
        }
        let value = serde_json::from_slice(&self.body).ok()?;
        error_in(&value).filter(|(code, _)| code.trim() != "0")
    }
}

/// Text from outside, made fit for a log line.
pub(super) fn tidy(text: &str) -> String {
    let mut out: String = text
        .chars()
        .map(|c| if is_unsafe(c) { ' ' } else { c })
        .take(LONGEST)
        .collect();
    if text.chars().nth(LONGEST).is_some() {
        out.push('…');
    }
    out.trim().to_owned()
}

fn said(body: &[u8]) -> Said {
    // As a tree of values JSON takes many times its own size, so that a long one is not read as such.
    let value = (body.len() <= LONGEST_TREE)
        .then(|| serde_json::from_slice::<Value>(body).ok())
        .flatten();
    let Some(value) = value else {
        // A firewall in front may answer in HTML.
        let excerpt = &body[..body.len().min(4 * LONGEST)];
        return Said {
            message: tidy(&String::from_utf8_lossy(excerpt)),
            ..Said::default()
        };
    };
    let request_id = word(&value, &["request_id", "requestId"]);
    let (code, message) = error_in(&value).unwrap_or_else(|| (String::new(), tidy(&value.to_string())));
    Said {
        code,
        message,
        request_id,
    }
}

/// The code and message of an error in an answer, in any of the spellings of the API, its gateway and IAM.
fn error_in(value: &Value) -> Option<(String, String)> {
    let nested = value
        .as_object()
        .into_iter()
        .flat_map(|object| object.values())
        .filter(|value| value.is_object());
    std::iter::once(value).chain(nested).find_map(|object| {
        let code = word(object, &["error_code", "errorCode", "errCode", "code"]);
        let message = word(
            object,
            &["error_msg", "errorMsg", "externalMessage", "message", "title"],
        );
        (code.is_some() || message.is_some()).then(|| (code.unwrap_or_default(), message.unwrap_or_default()))
    })
}

/// The first of these keys that holds text or a number.
fn word(object: &Value, keys: &[&str]) -> Option<String> {
    keys.iter().find_map(|key| match object.get(key)? {
        Value::String(text) => Some(tidy(text)),
        Value::Number(number) => Some(number.to_string()),
        _ => None,
    })
}

/// An HTTP date in any of the three forms of RFC 9110, 5.6.7: `Sun, 06 Nov 1994 08:49:37 GMT`, and the older
/// `Sunday, 06-Nov-94 08:49:37 GMT` and `Sun Nov  6 08:49:37 1994`.
pub(super) fn http_date(text: &str, now: DateTime<Utc>) -> Option<DateTime<Utc>> {
    let text = text.trim();
    let form = |text: &str, form: &str| NaiveDateTime::parse_from_str(text, form).ok();
    let current = || DateTime::parse_from_rfc2822(text).ok().map(|date| date.to_utc());
    let asctime = || form(text, "%a %b %e %H:%M:%S %Y").map(|at| at.and_utc());
    current().or_else(asctime).or_else(|| {
        // Without the day of the week, which belongs to a century that is not known yet.
        let (_, rest) = text.split_once(", ")?;
        let (day, time) = rest.strip_suffix(" GMT")?.split_once(' ')?;
        let (day, year) = day.rsplit_once('-')?;
        let year = (year.len() == 2).then(|| year.parse::<i32>().ok()).flatten()?;
        let year = now.year() - now.year().rem_euclid(100) + year;
        let at = |year: i32| form(&format!("{day}-{year} {time}"), "%d-%b-%Y %H:%M:%S").map(|at| at.and_utc());
        // More than 50 years ahead means the latest year in the past with these digits.
        let most = now.checked_add_months(Months::new(50 * 12))?;
        at(year).filter(|at| *at <= most).or_else(|| at(year - 100))
    })
}

/// `Retry-After`: seconds or an HTTP date, never more than a minute.
pub(crate) fn retry_after(text: &str, now: DateTime<Utc>) -> Option<Duration> {
    let text = text.trim();
    let wait = if !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit()) {
        Duration::from_secs(text.parse().unwrap_or(u64::MAX))
    } else {
        (http_date(text, now)? - now).to_std().unwrap_or(Duration::ZERO)
    };
    Some(wait.min(LONGEST_PAUSE))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_every_shape_of_error_body() {
        for (body, code, message) in [
            (
                r#"{"error_code":"DBS.200002","error_msg":"no such instance"}"#,
                "DBS.200002",
                "no such instance",
            ),
            (
                r#"{"errCode":"RDS.3003","externalMessage":"limit"}"#,
                "RDS.3003",
                "limit",
            ),
            (r#"{"errorCode":"X.1","errorMsg":"camel"}"#, "X.1", "camel"),
            (r#"{"code":7,"message":"numeric"}"#, "7", "numeric"),
            (
                r#"{"error":{"code":401,"message":"bad","title":"Unauthorized"}}"#,
                "401",
                "bad",
            ),
            (
                r#"{"wrapped":{"error_code":"DBS.5","error_msg":"inside"}}"#,
                "DBS.5",
                "inside",
            ),
            ("<html>\u{7}<b>WAF</b></html>", "", "<html> <b>WAF</b></html>"),
            ("", "", ""),
            ("[3]", "", "[3]"),
        ] {
            let said = said(body.as_bytes());
            assert_eq!((said.code.as_str(), said.message.as_str()), (code, message), "{body}");
        }
        let said = said(br#"{"error_code":"APIGW.0308","error_msg":"slow","request_id":"r-1"}"#);
        assert_eq!(said.request_id.as_deref(), Some("r-1"));
    }

    #[test]
    fn messages_are_short_and_of_one_line() {
        let said = said(format!(r#"{{"error_msg":"a\nb\u001b[31m{}"}}"#, "x".repeat(5000)).as_bytes());
        assert_eq!(said.message.chars().count(), 301);
        assert!(
            said.message.starts_with("a b [31mx") && said.message.ends_with("x…"),
            "{said}"
        );
    }

    #[test]
    fn a_date_is_read_in_each_of_the_three_forms_of_rfc_9110() {
        let read = |text: &str, now: &str| http_date(text, now.parse().unwrap()).map(|at| at.to_rfc3339());
        let wanted = Some("1994-11-06T08:49:37+00:00".to_owned());
        for text in [
            "Sun, 06 Nov 1994 08:49:37 GMT",
            "Sunday, 06-Nov-94 08:49:37 GMT",
            "Sun Nov  6 08:49:37 1994",
        ] {
            assert_eq!(read(text, "1994-12-01T00:00:00Z"), wanted, "{text}");
        }
        for (text, now, wanted) in [
            (
                "Saturday, 28-Nov-26 12:00:00 GMT",
                "2026-11-28T12:00:01Z",
                Some("2026-11-28T12:00:00+00:00"),
            ),
            (
                "Friday, 01-Jan-99 00:00:00 GMT",
                "2026-11-28T12:00:01Z",
                Some("1999-01-01T00:00:00+00:00"),
            ),
            (
                "Friday, 01-Jan-76 00:00:00 GMT",
                "2026-11-28T12:00:01Z",
                Some("2076-01-01T00:00:00+00:00"),
            ),
            (
                "Friday, 01-Jan-00 00:00:00 GMT",
                "2099-12-31T23:59:59Z",
                Some("2000-01-01T00:00:00+00:00"),
            ),
            (
                "Sat Nov 28 12:00:00 2026",
                "2026-11-28T12:00:01Z",
                Some("2026-11-28T12:00:00+00:00"),
            ),
            ("Saturday, 28-Nov-026 12:00:00 GMT", "2026-11-28T12:00:01Z", None),
            ("Saturday, 31-Nov-26 12:00:00 GMT", "2026-11-28T12:00:01Z", None),
            ("Saturday, 28-Nov-26 12:00:00 PST", "2026-11-28T12:00:01Z", None),
        ] {
            assert_eq!(read(text, now).as_deref(), wanted, "{text}");
        }
    }

    #[test]
    fn retry_after_is_seconds_or_a_date_and_at_most_a_minute() {
        let now: DateTime<Utc> = "1994-11-06T08:49:37Z".parse().unwrap();
        let seconds = |text| retry_after(text, now).map(|wait| wait.as_secs());
        assert_eq!(seconds("7"), Some(7));
        assert_eq!(seconds(" 3600 "), Some(60));
        assert_eq!(seconds("99999999999999999999999"), Some(60));
        assert_eq!(seconds("Sun, 06 Nov 1994 08:49:48 GMT"), Some(11));
        assert_eq!(seconds("Sun, 06 Nov 1994 08:00:00 GMT"), Some(0));
        assert_eq!(seconds("soon"), None);
        assert_eq!(seconds("-1"), None);
        assert_eq!(seconds(""), None);
    }
}
