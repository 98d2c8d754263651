//! Words for typed reasons, numbers and names, as a terminal shows them.
//!
//! Pure. Not for tables (that is `render`). Everything that came from the cloud passes through [`clean`] before it
//! reaches a terminal: a backup may be called `\x1b[2J`.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use chrono::{DateTime, Datelike, NaiveDateTime, SecondsFormat, TimeDelta, Timelike, Utc};

use crate::retention::report::Action;
use crate::retention::{ExpireReason, Fate, Hold, HoldTarget, KeepReason, KeepRule, KeptBy, Outcome, Series, Zone};

/// So many databases are named in a sentence, the others counted.
const MOST_DATABASES: usize = 3;

pub use crate::wording::numbers::{count, number, size};
pub use crate::wording::remedy::shell_word;
pub use crate::wording::sanitize::clean;

/// How long ago: `45min`, `7h`, `412d`; `in 3d` for what is ahead.
pub fn age(now: DateTime<Utc>, at: DateTime<Utc>) -> String {
    let ago = now.signed_duration_since(at);
    let length = |span: TimeDelta| match span {
        span if span < TimeDelta::hours(1) => format!("{}min", span.num_minutes()),
        span if span < TimeDelta::hours(48) => format!("{}h", span.num_hours()),
        span => format!("{}d", span.num_days()),
    };
    if ago < TimeDelta::zero() {
        format!("in {}", length(-ago))
    } else {
        length(ago)
    }
}

/// A day on a zone's calendar.
pub fn day(at: DateTime<Utc>, zone: Zone) -> String {
    let wall = zone.wall(at);
    let mut text = String::with_capacity(10);
    push_day(&mut text, wall);
    text
}

/// A moment on a zone's wall clock, to the minute.
pub fn moment(at: DateTime<Utc>, zone: Zone) -> String {
    let wall = zone.wall(at);
    let mut text = String::with_capacity(16);
    push_day(&mut text, wall);
    text.push(' ');
    push_two(&mut text, wall.hour());
    text.push(':');
    push_two(&mut text, wall.minute());
    text
}

/// A moment in UTC to the second, as machines and the API write it.
pub fn timestamp(at: DateTime<Utc>) -> String {
    let wall = at.naive_utc();
    if !(0..=9999).contains(&wall.year()) || wall.nanosecond() >= 1_000_000_000 {
        return at.to_rfc3339_opts(SecondsFormat::Secs, true);
    }
    let mut text = String::with_capacity(20);
    push_day(&mut text, wall);
    for (before, part) in [('T', wall.hour()), (':', wall.minute()), (':', wall.second())] {
        text.push(before);
        push_two(&mut text, part);
    }
    text.push('Z');
    text
}

/// By hand: a report may have a million rows, and chrono's formatting language would cost as much as all the rest of a row.
fn push_day(text: &mut String, wall: NaiveDateTime) {
    match u32::try_from(wall.year()) {
        Ok(year) if year <= 9999 => {
            push_two(text, year / 100);
            push_two(text, year % 100);
        }
        // As chrono writes them: with a sign.
        _ => {
            let _ = write!(text, "{}", wall.format("%Y"));
        }
    }
    for part in [wall.month(), wall.day()] {
        text.push('-');
        push_two(text, part);
    }
}

/// Two digits of a number below 100.
fn push_two(text: &mut String, number: u32) {
    for digit in [number / 10 % 10, number % 10] {
        text.push(char::from_digit(digit, 10).unwrap_or('?'));
    }
}

/// A moment in UTC, as short as it can be said: a date where it is a midnight.
fn end(at: DateTime<Utc>) -> String {
    let text = timestamp(at);
    text.strip_suffix("T00:00:00Z").map(str::to_owned).unwrap_or(text)
}

/// Why a backup is kept, waits or goes. Until when is not said here: tables have a column for it.
pub fn action(action: &Action) -> String {
    match action {
        Action::Keep(reasons) => keep(reasons),
        Action::Delete(reason) => expired(*reason).to_owned(),
        Action::Wait { reason, since, .. } => {
            let grace = if since.is_some() { "in grace" } else { "grace not begun" };
            format!("{}, {grace}", expired(*reason))
        }
    }
}

/// Why it expired. That it did, the decision beside it says.
pub fn expired(reason: ExpireReason) -> &'static str {
    match reason {
        ExpireReason::NotKept => "no rule keeps it",
        ExpireReason::MaxAge => "older than max_age",
        ExpireReason::Failed => "FAILED, failed_after is over",
        ExpireReason::InstanceDeleted => "its instance is deleted, expire_after is over",
    }
}

/// Why it expired, in a column that is narrow and says by its title what it is.
pub fn gone_by(reason: ExpireReason) -> &'static str {
    match reason {
        ExpireReason::NotKept => "not kept",
        ExpireReason::MaxAge => "max_age",
        ExpireReason::Failed => "FAILED",
        ExpireReason::InstanceDeleted => "instance deleted",
    }
}

/// What keeps it. What a database's series repeats of the full one is said once.
pub fn keep(reasons: &[KeepReason]) -> String {
    let mut plain: Vec<String> = Vec::new();
    let mut by_database: BTreeMap<&str, Vec<String>> = BTreeMap::new();
    for reason in reasons {
        match &reason.series {
            Some(Series::Database(name)) => by_database.entry(name).or_default().push(keeper(reason)),
            Some(Series::Full) | None => plain.push(keeper(reason)),
        }
    }
    let plain = plain.join(", ");
    let mut by_text: BTreeMap<String, Vec<&str>> = BTreeMap::new();
    for (database, reasons) in by_database {
        by_text.entry(reasons.join(", ")).or_default().push(database);
    }
    by_text.remove(&plain);
    let mut parts: Vec<String> = Vec::new();
    if !plain.is_empty() {
        parts.push(plain);
    }
    parts.extend(
        by_text
            .iter()
            .map(|(reasons, names)| format!("{reasons} of {}", databases(names))),
    );
    parts.join("; ")
}

/// The first databases by name, the others as a number.
pub(super) fn databases(names: &[&str]) -> String {
    let first = names.iter().take(MOST_DATABASES).map(|name| clean(name));
    let mut text = first.collect::<Vec<_>>().join(", ");
    if let Some(more) = names.len().checked_sub(MOST_DATABASES).filter(|more| *more > 0) {
        let _ = write!(text, " and {more} more");
    }
    text
}

fn keeper(reason: &KeepReason) -> String {
    let slot = |name: &str| match reason.slot {
        Some(slot) => format!("{name} {slot}"),
        None => name.to_owned(),
    };
    match &reason.keeper {
        KeptBy::Rule(rule) if reason.oldest => format!("oldest, kept while {} has slots", rule.key()),
        KeptBy::Rule(rule @ (KeepRule::Within(span) | KeepRule::WithinPeriod(_, span))) => {
            format!("{} {span}", rule.key())
        }
        KeptBy::Rule(rule) => slot(rule.key()),
        KeptBy::Names => "keep.names".to_owned(),
        KeptBy::Hold(hold) => held(hold),
        KeptBy::Floor => match reason.slot {
            Some(1) => "the floor (newest of its series)".to_owned(),
            Some(slot) => format!("the floor (number {slot} from the newest of its series)"),
            // Only a deleted instance under `expire_after` has a floor without a place in it.
            None => "its instance is deleted, expire_after is not over".to_owned(),
        },
        KeptBy::InProgress => "in progress".to_owned(),
        KeptBy::UnknownStatus => "unknown status, type or databases".to_owned(),
        KeptBy::UnknownEngine => "not a SQL Server backup".to_owned(),
        KeptBy::UnknownTime => "its time cannot be read or believed".to_owned(),
        KeptBy::FutureDated => "dated in the future".to_owned(),
        KeptBy::Changed => "changed since an earlier run".to_owned(),
        KeptBy::Contested => "listed by two instances".to_owned(),
        KeptBy::TooNewFailed => "FAILED, but too new or without a newer COMPLETED one".to_owned(),
        KeptBy::Policy(name) => format!("policy {} keeps it", clean(name.as_str())),
    }
}

/// A hold in words: its reason, and until when.
pub fn held(hold: &Hold) -> String {
    let mut text = format!("held: {}", clean(&hold.reason));
    if let Some(until) = hold.until {
        let _ = write!(text, " until {}", end(until));
    }
    if let Some(owner) = &hold.owner {
        let _ = write!(text, " ({})", clean(owner));
    }
    text
}

/// What a hold holds.
pub fn target(target: &HoldTarget) -> String {
    match target {
        HoldTarget::Backup(id) => format!("backup {}", clean(id.as_str())),
        HoldTarget::Matching { instance, name } => {
            let name = name.as_ref().map(|name| format!("named {}", clean(name.as_str())));
            let instance = instance
                .as_ref()
                .map(|id| format!("of instances {}", clean(id.as_str())));
            let parts: Vec<String> = name.into_iter().chain(instance).collect();
            format!("backups {}", parts.join(" "))
        }
    }
}

/// What became of a backup that was sent.
pub fn fate(fate: &Fate) -> String {
    match fate {
        Fate::Answered(Outcome::Accepted) => "accepted, not yet confirmed".to_owned(),
        Fate::Answered(Outcome::Rejected { code, message }) => format!("rejected: {} {}", clean(code), clean(message)),
        Fate::Answered(Outcome::Unanswered { why }) => format!("unanswered: {}", clean(why)),
        Fate::Confirmed => "gone".to_owned(),
        Fate::Returned => "returned: accepted, but still there".to_owned(),
    }
}

#[cfg(test)]
#[path = "sentences_tests.rs"]
mod tests;
