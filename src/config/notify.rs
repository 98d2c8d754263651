//! Where messages about runs go: `notify`. A URL with a path is a password: it prints as redacted, and no problem repeats it.

use std::collections::BTreeSet;
use std::fmt;
use std::path::PathBuf;

use secrecy::{ExposeSecret as _, SecretString};
use serde::{Serialize, Serializer};
use url::Url;

use super::files::check_secret;
use super::reader::{Cursor, Fields};
use super::spec::{NOTIFY, NOTIFY_FORMATS, NOTIFY_ON};
use super::values::is_plain_http_allowed;

/// How a message looks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NotifyFormat {
    /// Named fields, for programs.
    Json,
    /// A Slack incoming webhook, or one that takes the same.
    Slack,
    /// A webhook of Microsoft Teams Workflows.
    Teams,
    /// A dead man's switch, as healthchecks.io: `URL/start`, `URL`, `URL/fail`.
    Ping,
}

impl NotifyFormat {
    /// The name in the configuration.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Json => "json",
            Self::Slack => "slack",
            Self::Teams => "teams",
            Self::Ping => "ping",
        }
    }
}

/// What a message is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum NotifyOn {
    /// A run begins.
    Start,
    /// A run did everything that was approved.
    Success,
    /// A run could not read the world, or was interrupted.
    Failed,
    /// A run left something undone.
    Partial,
    /// The guard held something back.
    Refused,
    /// Backups that were deleted are COMPLETED again.
    Returned,
    /// A freeze held everything back.
    Frozen,
    /// A hold or a freeze ends soon.
    Ending,
}

impl NotifyOn {
    const ALL: [Self; 8] = [
        Self::Start,
        Self::Success,
        Self::Failed,
        Self::Partial,
        Self::Refused,
        Self::Returned,
        Self::Frozen,
        Self::Ending,
    ];
    /// What a dead man's switch understands.
    const OF_PING: [Self; 3] = [Self::Start, Self::Success, Self::Failed];

    /// The name in the configuration and in messages.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Start => "start",
            Self::Success => "success",
            Self::Failed => "failed",
            Self::Partial => "partial",
            Self::Refused => "refused",
            Self::Returned => "returned",
            Self::Frozen => "frozen",
            Self::Ending => "ending",
        }
    }
}

impl Serialize for NotifyOn {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.as_str())
    }
}

/// Where a target's URL is.
#[derive(Clone)]
pub enum NotifyUrl {
    /// In the configuration; checked.
    Given(SecretString),
    /// In this file; read for each message, so that it may change.
    File(PathBuf),
}

impl PartialEq for NotifyUrl {
    fn eq(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Given(a), Self::Given(b)) => a.expose_secret() == b.expose_secret(),
            (Self::File(a), Self::File(b)) => a == b,
            _ => false,
        }
    }
}

impl fmt::Debug for NotifyUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Given(_) => f.write_str("REDACTED"),
            Self::File(file) => file.fmt(f),
        }
    }
}

/// One target.
#[derive(Clone, Debug, PartialEq)]
pub struct NotifyTarget {
    /// Its URL.
    pub url: NotifyUrl,
    /// How messages to it look.
    pub format: NotifyFormat,
    /// Which messages it gets.
    pub on: BTreeSet<NotifyOn>,
}

/// Whether a text can be the URL of a target; `Err` says why not, without repeating it.
pub fn notify_url(text: &str) -> Result<Url, &'static str> {
    let url = Url::parse(text).map_err(|_| "it is not a URL; it begins with https://")?;
    match url.scheme() {
        "https" if url.has_host() => {}
        "http" if is_plain_http_allowed(&url) => {}
        "http" => return Err("plain http is for 127.0.0.0/8, ::1 and localhost only; use https"),
        _ => return Err("it begins with https://"),
    }
    if !url.username().is_empty() || url.password().is_some() {
        return Err("a user and password in the URL are not sent; use a URL with a token in its path or query");
    }
    if url.fragment().is_some() {
        return Err("what stands behind `#` is not sent; remove it");
    }
    Ok(url)
}

/// One entry of `notify`.
pub(super) fn target(at: &Cursor<'_>) -> Option<NotifyTarget> {
    let fields = at.section(&NOTIFY)?;
    let format = fields.get("format").and_then(format);
    let on = fields.get("on").and_then(|at| on(at, format));
    let url = url(&fields);
    Some(NotifyTarget {
        url: url?,
        format: format?,
        on: on?,
    })
}

fn format(at: &Cursor<'_>) -> Option<NotifyFormat> {
    Some(match at.choice(NOTIFY_FORMATS)? {
        "json" => NotifyFormat::Json,
        "slack" => NotifyFormat::Slack,
        "teams" => NotifyFormat::Teams,
        _ => NotifyFormat::Ping,
    })
}

fn url(fields: &Fields<'_>) -> Option<NotifyUrl> {
    match (fields.get("url"), fields.get("url_file")) {
        (Some(at), None) => match notify_url(at.text()?) {
            Ok(url) => Some(NotifyUrl::Given(String::from(url).into())),
            Err(why) => {
                at.fail("the value of `url` cannot be used", why);
                None
            }
        },
        (None, Some(at)) => {
            let file = PathBuf::from(at.text()?);
            check_secret(at, &file);
            Some(NotifyUrl::File(file))
        }
        (Some(_), Some(at)) => {
            at.fail("`url` and `url_file` are both here", "keep one of them");
            None
        }
        (None, None) => {
            fields.own.fail(
                "the target has no URL",
                "write `url_file` with the name of a file that holds it, or `url`",
            );
            None
        }
    }
}

fn on(at: &Cursor<'_>, format: Option<NotifyFormat>) -> Option<BTreeSet<NotifyOn>> {
    let mut wanted = BTreeSet::new();
    let mut is_good = true;
    for item in at.items("a list of what to send, as [refused, failed]")? {
        let word = item.choice(NOTIFY_ON);
        let Some(on) = word.and_then(|word| NotifyOn::ALL.into_iter().find(|on| on.as_str() == word)) else {
            is_good = false;
            continue;
        };
        if format == Some(NotifyFormat::Ping) && !NotifyOn::OF_PING.contains(&on) {
            is_good = false;
            item.fail(
                format!("`format: ping` has no message for `{}`", on.as_str()),
                "write start, success or failed; a run that is refused or partial pings `failed`",
            );
        }
        wanted.insert(on);
    }
    is_good.then_some(wanted)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_words_of_the_table_are_the_words_of_the_types() {
        assert_eq!(NotifyOn::ALL.map(NotifyOn::as_str), NOTIFY_ON);
    }

    #[test]
    fn only_https_or_loopback_is_a_url_and_no_reason_repeats_it() {
        for good in [
            "https://hooks.slack.com/services/T0/B0/s3cret",
            "https://prod-1.logic.azure.com:443/workflows/1/triggers/manual/paths/invoke?sig=s3cret",
            "http://127.0.0.1:8080/s3cret",
            "http://[::1]/s3cret",
            "http://localhost/s3cret",
        ] {
            assert!(notify_url(good).is_ok(), "{good}");
        }
        for bad in [
            "hooks.slack.com/s3cret",
            "http://hc.example/s3cret",
            "https:///",
            "ftp://x/s3cret",
            "https://user:s3cret@x/",
            "https://x/#s3cret",
            "s3cret",
        ] {
            let why = notify_url(bad).unwrap_err();
            assert!(!why.contains("s3cret"), "{why}");
        }
    }

    #[test]
    fn a_target_prints_without_its_url() {
        let target = NotifyTarget {
            url: NotifyUrl::Given("https://hc.example/s3cret".to_owned().into()),
            format: NotifyFormat::Ping,
            on: BTreeSet::from([NotifyOn::Start]),
        };
        assert!(!format!("{target:?}").contains("s3cret"));
    }
}
