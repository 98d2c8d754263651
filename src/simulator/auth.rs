//! The gateway in front of the simulated services: keys, signatures, lock-out and throttling.

use std::collections::{HashMap, VecDeque};
use std::fmt;
use std::time::{Duration, Instant as Monotonic};

use chrono::{DateTime, NaiveDateTime, TimeDelta, Utc};

use super::faults::Op;
use super::signature::{Claim, Parts};

/// An access key the simulator knows.
#[derive(Clone, PartialEq, Eq)]
pub struct Key {
    /// The access key id.
    pub access: String,
    /// The secret; made up, and shown by no `Debug` all the same.
    pub secret: String,
    /// A temporary key must send, and sign, this token.
    pub security_token: Option<String>,
    /// From then on the key is refused.
    pub expires_at: Option<DateTime<Utc>>,
}

impl Key {
    /// A permanent key.
    pub fn permanent(access: &str, secret: &str) -> Self {
        Self {
            access: access.to_owned(),
            secret: secret.to_owned(),
            security_token: None,
            expires_at: None,
        }
    }
}

impl fmt::Debug for Key {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut text = formatter.debug_struct("Key");
        text.field("access", &self.access).field("secret", &"REDACTED");
        text.field("expires_at", &self.expires_at).finish_non_exhaustive()
    }
}

/// An unannounced throttle: beyond so many requests in one second the answer is 429 (`APIGW.0308`).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RateLimit {
    /// Requests accepted in any one second.
    pub per_second: usize,
    /// The `Retry-After` of the 429, in seconds; none: the header is not sent.
    pub retry_after: Option<u64>,
}

/// Consecutive failures an access key survives.
const FAILURES_ALLOWED: u32 = 5;
/// How long a key is locked after that.
const LOCKED_FOR: TimeDelta = TimeDelta::minutes(5);
/// How far `X-Sdk-Date` may be off.
const SKEW: TimeDelta = TimeDelta::minutes(15);

#[derive(Debug, Default)]
struct KeyRecord {
    failures: u32,
    locked_until: Option<DateTime<Utc>>,
}

/// What the gateway remembers.
#[derive(Debug)]
pub(super) struct Auth {
    pub(super) keys: Vec<Key>,
    records: HashMap<String, KeyRecord>,
    pub(super) lockouts: usize,
    pub(super) rate: Option<RateLimit>,
    recent: VecDeque<Monotonic>,
    /// The tokens that IAM issued: of which access key, and until when they are good.
    tokens: HashMap<String, (String, DateTime<Utc>)>,
}

impl Auth {
    pub(super) fn new(keys: Vec<Key>, rate: Option<RateLimit>) -> Self {
        Self {
            keys,
            records: HashMap::new(),
            lockouts: 0,
            rate,
            recent: VecDeque::new(),
            tokens: HashMap::new(),
        }
    }

    /// Counts a request; the limit it breaks, if it does.
    pub(super) fn throttle(&mut self) -> Option<RateLimit> {
        let rate = self.rate?;
        let now = Monotonic::now();
        while self
            .recent
            .front()
            .is_some_and(|first| now.duration_since(*first) >= Duration::from_secs(1))
        {
            self.recent.pop_front();
        }
        if self.recent.len() >= rate.per_second {
            return Some(rate);
        }
        self.recent.push_back(now);
        None
    }

    /// Checks a request by its token or its signature: the access key that it is of. Whoever asks for a token has none yet. The error is the
    /// message of the 401.
    pub(super) fn admit(
        &mut self,
        operation: Option<Op>,
        parts: &Parts<'_>,
        now: DateTime<Utc>,
        any_date: bool,
    ) -> Result<Option<String>, String> {
        match parts.header("x-auth-token") {
            _ if operation == Some(Op::IssueToken) => Ok(None),
            None => self.check(parts, now, any_date).map(Some),
            Some(token) => match self.tokens.get(token) {
                Some((access, until)) if now < *until => Ok(Some(access.clone())),
                _ => Err("the token is unknown or has expired".to_owned()),
            },
        }
    }

    /// A token for whoever knows the name of a permanent key and its secret, which stand for a user's name and password.
    pub(super) fn issue(&mut self, name: &str, password: &str, token: String, until: DateTime<Utc>) -> bool {
        let is_it = |key: &&Key| key.access == name && key.secret == password && key.security_token.is_none();
        let Some(key) = self.keys.iter().find(is_it) else {
            return false;
        };
        self.tokens.insert(token, (key.access.clone(), until));
        true
    }

    /// Checks a signed request; the error is the message of the 401.
    fn check(&mut self, parts: &Parts<'_>, now: DateTime<Utc>, any_date: bool) -> Result<String, String> {
        let header = parts.header("authorization").ok_or("authorization header is missing")?;
        let claim = Claim::parse(header).ok_or("authorization header is malformed")?;
        let record = self.records.entry(claim.access.to_owned()).or_default();
        if record.locked_until.is_some_and(|until| now < until) {
            return Err(format!(
                "AK access failed to reach the limit,forbidden, ak:{}",
                claim.access
            ));
        }
        match examine(&self.keys, &claim, parts, now, any_date) {
            Ok(()) => {
                *record = KeyRecord::default();
                Ok(claim.access.to_owned())
            }
            Err(why) => {
                record.failures += 1;
                if record.failures > FAILURES_ALLOWED {
                    *record = KeyRecord {
                        failures: 0,
                        locked_until: now.checked_add_signed(LOCKED_FOR),
                    };
                    self.lockouts += 1;
                }
                Err(why.to_owned())
            }
        }
    }
}

/// The access key that a request names.
pub(super) fn claimed(parts: &Parts<'_>) -> Option<String> {
    let claim = Claim::parse(parts.header("authorization")?)?;
    Some(claim.access.to_owned())
}

fn examine(
    keys: &[Key],
    claim: &Claim<'_>,
    parts: &Parts<'_>,
    now: DateTime<Utc>,
    any_date: bool,
) -> Result<(), &'static str> {
    let key = keys
        .iter()
        .find(|key| key.access == claim.access)
        .ok_or("verify ak failed: unknown ak")?;
    if !["host", "x-sdk-date"].iter().all(|name| claim.signed.contains(name)) {
        return Err("host and x-sdk-date must be signed");
    }
    let date = parts.header("x-sdk-date").unwrap_or_default();
    let date = NaiveDateTime::parse_from_str(date, "%Y%m%dT%H%M%SZ").map_err(|_| "x-sdk-date is malformed")?;
    if !any_date && (now - date.and_utc()).abs() > SKEW {
        return Err("signature expired: x-sdk-date is more than 15 minutes off");
    }
    if key.expires_at.is_some_and(|end| now >= end) {
        return Err("security token expired");
    }
    if key.security_token.as_deref() != parts.header("x-security-token") {
        return Err("security token does not match the ak");
    }
    if key.security_token.is_some() && !claim.signed.contains(&"x-security-token") {
        return Err("x-security-token must be signed");
    }
    if claim.holds(parts, &key.secret) {
        Ok(())
    } else {
        Err("verify aksk signature fail")
    }
}
