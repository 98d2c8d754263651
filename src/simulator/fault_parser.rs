//! How a fault is typed on the command line.

use std::str::FromStr;
use std::time::Duration;

use super::faults::{BodyKind, DateFault, Fault, FaultError, FaultKind, Op};

/// A duration as in `200ms`, `5s`, `20m`.
fn duration(text: &str) -> Option<Duration> {
    let digits = text.trim_end_matches(|letter: char| letter.is_ascii_alphabetic());
    let number: u64 = digits.parse().ok()?;
    match &text[digits.len()..] {
        "ms" => Some(Duration::from_millis(number)),
        "s" => Some(Duration::from_secs(number)),
        "m" => number.checked_mul(60).map(Duration::from_secs),
        _ => None,
    }
}

fn date(text: &str) -> Option<DateFault> {
    match text {
        "none" => Some(DateFault::Missing),
        "garbage" => Some(DateFault::Garbage),
        _ => {
            let (sign, rest) = match text.strip_prefix('-') {
                Some(rest) => (-1, rest),
                None => (1, text.strip_prefix('+').unwrap_or(text)),
            };
            Some(DateFault::Off(sign * i64::try_from(duration(rest)?.as_secs()).ok()?))
        }
    }
}

fn body(text: &str) -> Option<BodyKind> {
    match text {
        "html" => Some(BodyKind::Html),
        "empty" => Some(BodyKind::Empty),
        "text" => Some(BodyKind::Text),
        "half" => Some(BodyKind::HalfJson),
        _ => None,
    }
}

/// One word of a rule: a name and perhaps a value.
struct Word<'a> {
    text: &'a str,
    name: &'a str,
    value: Option<&'a str>,
}

impl<'a> Word<'a> {
    fn new(text: &'a str) -> Self {
        let (name, value) = text
            .split_once('=')
            .map_or((text, None), |(name, value)| (name, Some(value)));
        Self { text, name, value }
    }

    /// The value, read; `expected` completes "needs …".
    fn value<T>(&self, expected: &'static str, read: impl FnOnce(&'a str) -> Option<T>) -> Result<T, FaultError> {
        let wrong = || FaultError::Value {
            word: self.text.to_owned(),
            expected,
        };
        self.value.and_then(read).ok_or_else(wrong)
    }

    fn number<T: FromStr>(&self) -> Result<T, FaultError> {
        self.value("a whole number, as in `=2`", |text| text.parse().ok())
    }

    fn text(&self) -> Result<String, FaultError> {
        self.value("a value", |text| (!text.is_empty()).then(|| text.to_owned()))
    }

    fn duration(&self) -> Result<Duration, FaultError> {
        self.value("a duration, as in `=200ms`, `=5s` or `=20m`", duration)
    }

    fn flag(&self, kind: FaultKind) -> Result<FaultKind, FaultError> {
        match self.value {
            None => Ok(kind),
            Some(_) => Err(FaultError::Value {
                word: self.text.to_owned(),
                expected: "no value",
            }),
        }
    }

    fn kind(&self) -> Result<FaultKind, FaultError> {
        match self.name {
            "status" => self
                .value("a status from 200 to 599", |text| {
                    text.parse().ok().filter(|status| (200..600).contains(status))
                })
                .map(FaultKind::status),
            "delay" => Ok(FaultKind::Delay {
                by: self.duration()?,
                done: false,
            }),
            "reset" => self.flag(FaultKind::Reset { done: false }),
            "body" => self.value("html, empty, text or half", body).map(FaultKind::Body),
            "truncate" => self.number().map(FaultKind::Truncate),
            "drip" => self.duration().map(FaultKind::Drip),
            "huge" => self.number().map(FaultKind::Huge),
            "shuffle" => self.flag(FaultKind::Shuffle),
            "missing" if self.value.is_none() => Ok(FaultKind::Missing(1)),
            "missing" => self.number().map(FaultKind::Missing),
            "extra" => self.flag(FaultKind::Extra),
            "duplicate" => self.flag(FaultKind::Duplicate),
            "foreign_instance" => self.flag(FaultKind::ForeignInstance),
            "foreign_type" => self.flag(FaultKind::ForeignType),
            "count" => self.number().map(FaultKind::Count),
            "no_count" => self.flag(FaultKind::NoCount),
            "shift" => self.number().map(FaultKind::Shift),
            "date" => self
                .value("none, garbage or an offset, as in `=-20m`", date)
                .map(FaultKind::Date),
            "ignore" => self.flag(FaultKind::Ignore),
            "result" => Ok(FaultKind::Result {
                code: self.text()?,
                message: "refused by a fault".to_owned(),
            }),
            _ => Err(FaultError::Word(self.text.to_owned())),
        }
    }
}

impl Fault {
    /// What [`Fault::parse`] reads, for a `--help`.
    pub const GRAMMAR: &str = "\
OPERATION:FAULT[:CONDITION]...

OPERATION  * or list_instances, list_backups, list_retained, delete_batch, delete_one, create_backup, delete_instance,
           list_retain_policies, list_tasks, show_quotas, show_backup_policy, set_backup_policy, list_projects,
           list_domains, issue_token, metadata_token, security_key, metadata
FAULT      status=503 [:retry_after=2] [:code=DBS.200002] [:body=html|empty|text|half] [:done]
           delay=200ms [:done]     late answer; done: only after the work
           reset [:done]           the connection is closed without an answer
           body=html|empty|text|half    status 200 with this body
           truncate=100            the connection is cut after so many bytes of the body
           drip=50ms               sixteen bytes, a pause, sixteen bytes
           huge=1000000            so many blanks in front of the body
           shuffle  missing[=1]  extra  duplicate  foreign_instance  foreign_type
           count=-1  no_count      a wrong total, none
           shift=1                 later pages begin so many entries further on
           date=-20m|none|garbage  the Date header
           ignore                  a deletion is accepted and not done
           result=DBS.200054       a batch refuses its backups with this code
CONDITION  times=2  after=3  instance=ID  backup=ID

Example: list_backups:status=503:times=2";

    /// Reads a rule, see [`Fault::GRAMMAR`].
    pub fn parse(text: &str) -> Result<Self, FaultError> {
        let mut words = text.split(':').map(Word::new);
        let place = words.next().map_or("", |word| word.text);
        let operation = match place {
            "*" => None,
            name => {
                let found = Op::ALL.into_iter().find(|operation| operation.name() == name);
                Some(found.ok_or_else(|| FaultError::Operation(name.to_owned()))?)
            }
        };
        let kind = words
            .next()
            .ok_or_else(|| FaultError::NoKind(text.to_owned()))?
            .kind()?;
        let mut fault = Self {
            operation,
            ..Self::everywhere(kind)
        };
        for word in words {
            condition(&mut fault, &word)?;
        }
        Ok(fault)
    }
}

impl FromStr for Fault {
    type Err = FaultError;

    fn from_str(text: &str) -> Result<Self, FaultError> {
        Self::parse(text)
    }
}

fn condition(fault: &mut Fault, word: &Word<'_>) -> Result<(), FaultError> {
    match (word.name, &mut fault.kind) {
        ("times", _) => fault.times = Some(word.number()?),
        ("after", _) => fault.after = word.number()?,
        ("instance", _) => fault.instance = Some(word.text()?),
        ("backup", _) => fault.backup = Some(word.text()?),
        ("done", FaultKind::Status { done, .. } | FaultKind::Delay { done, .. } | FaultKind::Reset { done }) => {
            *done = true;
        }
        ("retry_after", FaultKind::Status { retry_after, .. }) => *retry_after = Some(word.text()?),
        ("code", FaultKind::Status { code, .. }) => *code = Some(word.text()?),
        ("body", FaultKind::Status { body: kind, .. }) => *kind = word.value("html, empty, text or half", body)?,
        ("message", FaultKind::Result { message, .. }) => *message = word.text()?,
        _ => return Err(FaultError::Word(word.text.to_owned())),
    }
    Ok(())
}
