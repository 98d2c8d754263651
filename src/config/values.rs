//! Single values with a meaning of their own: names, durations, times, globs, zones, addresses.

use std::net::{Ipv4Addr, SocketAddr};
use std::num::NonZeroU32;

use chrono::{DateTime, Datelike, Days, NaiveDate, Utc};
use url::{Host, Url};

use super::diagnostics::nearest;
use super::reader::{Cursor, is_digits};
use super::schedule::Schedule;
use super::yaml::{NodeKind, clip};
use super::zones::Zones;
use crate::retention::{Count, Pattern, Span, Zone};

/// Longest name of a project or policy; they become metric labels.
const NAME_LENGTH: usize = 64;

/// Whether zero is a duration here.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Zero {
    Allowed,
    /// It would expire everything at once, or keep nothing: the sentence says which.
    Refused(&'static str),
}

/// Where plain `http://` may go.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum PlainHttp {
    Loopback,
    /// Also the link-local metadata address, which speaks nothing else.
    Metadata,
}

impl Cursor<'_> {
    /// A name of a project or policy.
    pub fn name(&self) -> Option<String> {
        let text = self.text()?;
        let odd = text
            .chars()
            .find(|c| !(c.is_ascii_alphanumeric() || ".-_".contains(*c)));
        if let Some(odd) = odd {
            self.fail(
                format!("`{}` does not belong in a name", odd.escape_debug()),
                "a name is made of letters, digits, `.`, `_` and `-`",
            );
            return None;
        }
        if text.len() > NAME_LENGTH {
            self.fail(
                format!(
                    "the name has {} characters, at most {NAME_LENGTH} are allowed",
                    text.len()
                ),
                "it becomes a metric label: keep it short",
            );
            return None;
        }
        Some(text.to_owned())
    }

    /// A whole number of at least 1, or `all`.
    pub fn count(&self) -> Option<Count> {
        const EXPECTED: &str = "a whole number of at least 1, or `all`";
        match &self.node.kind {
            NodeKind::Scalar { text, .. } if text == "all" => Some(Count::All),
            NodeKind::Scalar { text, quoted: false } if is_digits(text) && text.trim_start_matches('0').is_empty() => {
                self.fail(
                    format!("expected {EXPECTED}, found zero"),
                    "a rule that keeps nothing is no rule: leave the key out",
                );
                None
            }
            NodeKind::Scalar { text, quoted: false } if is_digits(text) => {
                let number = self.integer(1, u32::MAX)?;
                NonZeroU32::new(number).map(Count::AtMost)
            }
            NodeKind::Scalar { text, .. } if is_digits(text) => {
                self.mismatch(EXPECTED, "remove the quotes");
                None
            }
            NodeKind::Scalar { text, .. } if Span::parse(text).is_ok() => {
                self.mismatch(EXPECTED, "for a duration use the `within` keys");
                None
            }
            _ => {
                self.mismatch(EXPECTED, "");
                None
            }
        }
    }

    /// A duration.
    pub fn span(&self, zero: Zero) -> Option<Span> {
        let text = self.scalar("a duration as `3d`, `12h` or `1y6mo`")?;
        let span = match text {
            "0" => Ok(Span::ZERO),
            text => Span::parse(text),
        };
        match (span, zero) {
            (Ok(span), Zero::Refused(why)) if span.is_zero() => {
                self.fail(
                    format!("`{}` is no time at all: {why}", clip(text)),
                    "give a duration, or leave the key out",
                );
                None
            }
            (Ok(span), _) => Some(span),
            (Err(why), _) => {
                self.fail(why.to_string(), "");
                None
            }
        }
    }

    /// RFC 3339 with an offset, or a date, which means the end of that day in UTC: in doubt, longer.
    pub fn time(&self) -> Option<DateTime<Utc>> {
        const EXPECTED: &str = "a time as `2027-06-30T12:00:00Z`, or a date as `2027-06-30`";
        let text = self.scalar(EXPECTED)?;
        if let Ok(time) = DateTime::parse_from_rfc3339(text) {
            return self.within_calendar(time.to_utc());
        }
        if let Some(end) = end_of_date(text) {
            return self.within_calendar(end);
        }
        let hint = if DateTime::parse_from_rfc3339(&format!("{text}Z")).is_ok() {
            "a time needs an offset: end it with `Z` for UTC, or with `+08:00`"
        } else if Span::parse(text).is_ok() {
            "this is a moment, not a duration"
        } else {
            "check that the day exists, and that month and day have two digits"
        };
        self.mismatch(EXPECTED, hint);
        None
    }

    /// What RFC 3339 cannot write, and the ledger cannot keep, is no time.
    fn within_calendar(&self, time: DateTime<Utc>) -> Option<DateTime<Utc>> {
        if (0..=9_999).contains(&time.year()) {
            return Some(time);
        }
        self.fail(
            "the time lies beyond the year 9999",
            "leave it out where there is no end",
        );
        None
    }

    /// A glob over names.
    pub fn glob(&self) -> Option<Pattern> {
        self.pattern(self.text()?)
    }

    /// A glob over ids.
    pub fn id_glob(&self) -> Option<Pattern> {
        self.pattern(self.id()?)
    }

    /// An id, without blanks around it: none has any.
    pub fn id(&self) -> Option<&str> {
        self.text().map(str::trim)
    }

    fn pattern(&self, text: &str) -> Option<Pattern> {
        match Pattern::parse(text) {
            Ok(pattern) => Some(pattern),
            Err(why) => {
                self.fail(why.to_string(), "");
                None
            }
        }
    }

    /// An IANA zone.
    pub fn zone(&self, zones: &Zones) -> Option<Zone> {
        let text = self.text()?;
        if let Some(zone) = zones.get(text) {
            return Some(zone);
        }
        if self.findings.is_full() {
            self.fail("", "");
            return None;
        }
        let names = Zone::compiled_names;
        let by_city = || {
            names().find(|name| {
                name.rsplit('/')
                    .next()
                    .is_some_and(|city| city.eq_ignore_ascii_case(text))
            })
        };
        // `GMT+0` is near to `GMT+8`, and eight hours away.
        let near = if text.contains(|c: char| c.is_ascii_digit()) {
            None
        } else {
            nearest(text, names()).or_else(by_city)
        };
        let hint = match near {
            Some(near) => format!("did you mean `{near}`?"),
            None => "use a name such as `Asia/Singapore`; abbreviations and offsets are not zones".to_owned(),
        };
        self.fail(format!("`{}` is not an IANA time zone", clip(text)), hint);
        None
    }

    /// A cron schedule.
    pub fn schedule(&self) -> Option<Schedule> {
        let text = self.text()?;
        if self.findings.is_full() {
            // A date that never comes takes long to search, and nothing is loaded any more.
            return None;
        }
        match Schedule::parse(text) {
            Ok(schedule) => Some(schedule),
            Err(why) => {
                self.fail(why.to_string(), why.hint());
                None
            }
        }
    }

    /// `IP:PORT`, or `none`.
    #[expect(clippy::option_option, reason = "wrong, nowhere and somewhere are three things")]
    pub fn listen(&self) -> Option<Option<SocketAddr>> {
        let text = self.text()?;
        if text == "none" {
            return Some(None);
        }
        // Names are not looked up, but for the one that always means the same; a port alone means all addresses, as in Prometheus.
        let port_of = |prefix| {
            text.strip_prefix(prefix)
                .and_then(|port: &str| port.parse::<u16>().ok())
        };
        let address = match (port_of("localhost:"), port_of(":")) {
            (Some(port), _) => Some(SocketAddr::from((Ipv4Addr::LOCALHOST, port))),
            (_, Some(port)) => Some(SocketAddr::from((Ipv4Addr::UNSPECIFIED, port))),
            _ => text.parse().ok(),
        };
        if let Some(address) = address {
            if !address.ip().is_loopback() {
                self.warn(
                    format!("`{address}` can be reached from outside this machine, without a password"),
                    "listen on 127.0.0.1, or keep the port behind a firewall",
                );
            }
            return Some(Some(address));
        }
        let hint = match text.rsplit_once(':') {
            Some(("" | "localhost", port)) => format!("`{}` is not a port: 1 to 65535", clip(port)),
            Some(("*", port)) => format!("for all addresses write 0.0.0.0:{}", clip(port)),
            Some(_) => "names are not looked up; an IPv6 address stands in brackets, as [::1]:9465".to_owned(),
            None if is_digits(text) => format!("write the address too: 127.0.0.1:{}", clip(text)),
            None => "for example 127.0.0.1:9465".to_owned(),
        };
        self.mismatch("an address as IP:PORT, or `none`", &hint);
        None
    }

    /// The root of an HTTP service.
    pub fn endpoint(&self, plain: PlainHttp) -> Option<Url> {
        let text = self.text()?;
        let url = match Url::parse(text) {
            Ok(url) if url.has_host() => url,
            Ok(_) | Err(_) => {
                let example = if text.contains("://") { "" } else { "https://" };
                self.fail(
                    format!("`{}` is not the address of a service", clip(&without_userinfo(text))),
                    if example.is_empty() {
                        "write it as https://rds.ap-southeast-3.myhuaweicloud.com".to_owned()
                    } else {
                        "it begins with https://".to_owned()
                    },
                );
                return None;
            }
        };
        // The user part may be a secret: it is never repeated.
        if !url.username().is_empty() || url.password().is_some() {
            self.fail(
                "an endpoint carries no user or password",
                "requests are signed; name the keys under `credentials`",
            );
            return None;
        }
        match url.scheme() {
            "https" => {}
            "http" if may_be_plain(&url, plain) => {}
            "http" => {
                self.fail(
                    format!(
                        "plain http to `{}`, which is not a loopback address",
                        url.host_str().unwrap_or_default()
                    ),
                    "use https; only 127.0.0.0/8, ::1 and localhost may be reached without it",
                );
                return None;
            }
            other => {
                self.fail(
                    format!("`{}` is no scheme for an endpoint", clip(other)),
                    "it begins with https://",
                );
                return None;
            }
        }
        let extra = [
            (url.query().is_some(), "a query"),
            (url.fragment().is_some(), "a fragment"),
            (!matches!(url.path(), "" | "/"), "a path"),
        ];
        for (_, what) in extra.iter().filter(|(present, _)| *present) {
            self.fail(
                format!("an endpoint has no {}", what.trim_start_matches("a ")),
                "give scheme, host and port only; the program adds the rest",
            );
        }
        (!extra.iter().any(|(present, _)| *present)).then_some(url)
    }
}

/// The end of a date's day in UTC; `None` for what is no date.
pub(super) fn end_of_date(text: &str) -> Option<DateTime<Utc>> {
    let date = NaiveDate::parse_from_str(text, "%Y-%m-%d").ok();
    let date = date.filter(|_| text.len() == 10 && text.is_ascii())?;
    Some(date.checked_add_days(Days::new(1))?.and_hms_opt(0, 0, 0)?.and_utc())
}

fn without_userinfo(text: &str) -> String {
    match text.rsplit_once('@') {
        Some((_, tail)) => format!("…@{tail}"),
        None => text.to_owned(),
    }
}

/// Whether a URL may be reached over plain http: loopback only.
pub(super) fn is_plain_http_allowed(url: &Url) -> bool {
    may_be_plain(url, PlainHttp::Loopback)
}

fn may_be_plain(url: &Url, plain: PlainHttp) -> bool {
    let metadata = plain == PlainHttp::Metadata;
    match url.host() {
        Some(Host::Domain(name)) => name.eq_ignore_ascii_case("localhost"),
        Some(Host::Ipv4(address)) => address.is_loopback() || (metadata && address.octets() == [169, 254, 169, 254]),
        Some(Host::Ipv6(address)) => address.is_loopback(),
        None => false,
    }
}
