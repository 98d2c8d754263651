//! Texts of the page: escaped names, reasons, numbers, times.
//!
//! Names come from the cloud, where anybody may choose them. Whatever is not a constant goes through [`text`].

use std::fmt::Write as _;

use chrono::{DateTime, SecondsFormat, TimeDelta, Utc};

use crate::retention::report::Action;
use crate::retention::{ExpireReason, KeepReason, KeepRule, KeptBy, Series};
use crate::wording::numbers::count;
pub(super) use crate::wording::numbers::{number, size};
use crate::wording::sanitize::is_unsafe;

/// Text for an element or a quoted attribute: markup is escaped; what steers, hides or turns text is spelled out.
pub(super) fn text(raw: &str) -> String {
    let mut out = String::with_capacity(raw.len());
    for c in raw.chars() {
        match c {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            '\'' => out.push_str("&#39;"),
            c if is_unsafe(c) => out.extend(c.escape_default()),
            c => out.push(c),
        }
    }
    out
}

/// Its beginning, where it is longer than anybody reads; whole characters.
pub(super) fn clip(raw: &str, most: usize) -> &str {
    raw.char_indices().nth(most).map_or(raw, |(end, _)| &raw[..end])
}

/// `1 backup`, `3 policies`
pub(super) fn counted(number: usize, noun: &str) -> String {
    count(number as u64, noun)
}

/// A moment as an element: to the minute, in UTC, with how far it is from now.
pub(super) fn time(at: DateTime<Utc>, now: DateTime<Utc>) -> String {
    format!(
        "<time datetime=\"{}\">{}</time> <span class=\"d\">({})</span>",
        at.to_rfc3339_opts(SecondsFormat::Secs, true),
        at.format("%Y-%m-%d %H:%M"),
        distance(at, now)
    )
}

/// `3 h ago`, `in 2 d`
pub(super) fn distance(at: DateTime<Utc>, now: DateTime<Utc>) -> String {
    let apart = now.signed_duration_since(at);
    let is_ahead = apart < TimeDelta::zero();
    let long = match apart.abs() {
        span if span < TimeDelta::minutes(1) => return if is_ahead { "in a moment" } else { "just now" }.to_owned(),
        span if span < TimeDelta::hours(1) => format!("{} min", span.num_minutes()),
        span if span < TimeDelta::hours(48) => format!("{} h", span.num_hours()),
        span if span < TimeDelta::days(730) => format!("{} d", span.num_days()),
        span => format!("{} y", span.num_days() / 365),
    };
    if is_ahead {
        format!("in {long}")
    } else {
        format!("{long} ago")
    }
}

/// Why it stays, waits or goes; escaped. Without slots, equal reasons read equally, so that marks can be drawn together.
pub(super) fn why(action: &Action, slots: bool) -> String {
    match action {
        Action::Keep(reasons) => {
            let mut said: Vec<String> = Vec::new();
            for reason in reasons {
                let one = kept(reason, slots);
                if !said.contains(&one) {
                    said.push(one);
                }
            }
            said.join(", ")
        }
        Action::Wait { reason, due_at, .. } => match due_at.filter(|_| slots) {
            Some(due) => format!("{}, due {}", expired(*reason), due.format("%Y-%m-%d %H:%M")),
            None => format!("{}, in its grace", expired(*reason)),
        },
        Action::Delete(reason) => expired(*reason).to_owned(),
    }
}

fn expired(reason: ExpireReason) -> &'static str {
    match reason {
        ExpireReason::NotKept => "no rule keeps it",
        ExpireReason::MaxAge => "older than max_age",
        ExpireReason::Failed => "FAILED, failed_after is over",
        ExpireReason::InstanceDeleted => "its instance is deleted, expire_after is over",
    }
}

fn kept(reason: &KeepReason, slots: bool) -> String {
    let mut said = match &reason.keeper {
        KeptBy::Rule(rule @ (KeepRule::Within(span) | KeepRule::WithinPeriod(_, span))) => {
            format!("{} {span}", rule.key())
        }
        KeptBy::Rule(rule) => match reason.slot.filter(|_| slots) {
            Some(slot) => format!("{} {slot}", rule.key()),
            None => rule.key().to_owned(),
        },
        KeptBy::Names => "keep.names".to_owned(),
        KeptBy::Hold(hold) => format!("held: {}", text(&hold.reason)),
        KeptBy::Floor => "the floor (min_backups)".to_owned(),
        KeptBy::InProgress => "in progress".to_owned(),
        KeptBy::UnknownStatus => "unknown status, type or databases".to_owned(),
        KeptBy::UnknownEngine => "not a SQL Server backup".to_owned(),
        KeptBy::UnknownTime => "its time cannot be read or believed".to_owned(),
        KeptBy::FutureDated => "dated in the future".to_owned(),
        KeptBy::Changed => "changed since an earlier run".to_owned(),
        KeptBy::Contested => "listed by two instances".to_owned(),
        KeptBy::TooNewFailed => "FAILED, not yet over failed_after".to_owned(),
        KeptBy::Policy(name) => format!("policy {} keeps it", text(name.as_str())),
    };
    if reason.oldest {
        said.push_str(" (oldest)");
    }
    if let Some(Series::Database(name)) = &reason.series
        && slots
    {
        let _ = write!(said, " of {}", text(name));
    }
    said
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hostile_names_are_text_and_visible() {
        assert_eq!(
            text("<script>alert('x')</script>&\""),
            "&lt;script&gt;alert(&#39;x&#39;)&lt;/script&gt;&amp;&quot;"
        );
        assert_eq!(text("a\u{202e}b\u{0}c\n"), "a\\u{202e}b\\u{0}c\\n");
        assert_eq!(text("夜間 nightly"), "夜間 nightly");
    }

    #[test]
    fn distances_are_short() {
        let now: DateTime<Utc> = "2026-11-23T12:00:00Z".parse().unwrap();
        assert_eq!(distance(now - TimeDelta::hours(3), now), "3 h ago");
        assert_eq!(distance(now + TimeDelta::days(3), now), "in 3 d");
        assert_eq!(distance(now + TimeDelta::days(800), now), "in 2 y");
        assert_eq!(distance(now, now), "just now");
        assert_eq!(distance(now + TimeDelta::seconds(59), now), "in a moment");
    }

    #[test]
    fn words_are_counted_and_clipped() {
        assert_eq!(counted(1, "policy"), "1 policy");
        assert_eq!(counted(1234, "policy"), "1,234 policies");
        assert_eq!(counted(0, "backup"), "0 backups");
        assert_eq!(clip("夜間 nightly", 3), "夜間 ");
        assert_eq!(clip("short", 5), "short");
    }
}
