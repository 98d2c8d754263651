//! Why a backup is kept, waits or goes, what holds it, and what became of it.
//!
//! Everything that came from the cloud passes through [`clean`]: a backup may be called `\x1b[2J`.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use super::sanitize::clean;
use super::times::until;
use crate::retention::report::Action;
use crate::retention::{ExpireReason, Fate, Hold, HoldTarget, KeepReason, KeepRule, KeptBy, Outcome, Series, Zone};

/// So many databases are named in a sentence, the others counted.
const MOST_DATABASES: usize = 3;

/// Why a backup is kept, waits or goes. Until when is not said here: tables have a column for it. `lacks` is what one that no rule
/// keeps would need.
pub fn action(action: &Action, lacks: Option<&str>) -> String {
    let expired = |reason: ExpireReason| lacks.unwrap_or_else(|| expired(reason)).to_owned();
    match action {
        Action::Keep(reasons) => keep(reasons),
        // That it is in the grace period, the DECISION column says.
        Action::Delete(reason)
        | Action::Wait {
            reason, since: Some(_), ..
        } => expired(*reason),
        Action::Wait {
            reason, since: None, ..
        } => format!("{}; grace period not started", expired(*reason)),
    }
}

/// The same without slots and series, so that equal reasons read equally.
pub fn action_briefly(of: &Action) -> String {
    match of {
        Action::Keep(reasons) => keep_briefly(reasons),
        Action::Delete(_) | Action::Wait { .. } => action(of, None),
    }
}

/// Expiry reason; the DECISION column says the rest.
pub fn expired(reason: ExpireReason) -> &'static str {
    match reason {
        ExpireReason::NotKept => "no rule keeps it",
        ExpireReason::MaxAge => "older than max_age",
        ExpireReason::Failed => "FAILED, older than failed_after",
        ExpireReason::InstanceDeleted => "its instance is deleted, expire_after is over",
    }
}

/// Why it expired, in a column that is narrow and says by its title what it is. What no rule keeps is said as everywhere.
pub fn gone_by(reason: ExpireReason) -> &'static str {
    match reason {
        ExpireReason::NotKept => expired(reason),
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
            Some(Series::Database(name)) => by_database.entry(name).or_default().push(keeper(reason, true)),
            Some(Series::Full) | None => plain.push(keeper(reason, true)),
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

fn keep_briefly(reasons: &[KeepReason]) -> String {
    let mut parts: Vec<String> = Vec::new();
    for part in reasons.iter().map(|reason| keeper(reason, false)) {
        if !parts.contains(&part) {
            parts.push(part);
        }
    }
    parts.join(", ")
}

/// The first databases by name, the others as a number.
pub fn databases(names: &[&str]) -> String {
    let first = names.iter().take(MOST_DATABASES).map(|name| clean(name));
    let mut text = first.collect::<Vec<_>>().join(", ");
    if let Some(more) = names.len().checked_sub(MOST_DATABASES).filter(|more| *more > 0) {
        let _ = write!(text, " and {more} more");
    }
    text
}

fn keeper(reason: &KeepReason, with_slot: bool) -> String {
    let slot = |name: &str| match reason.slot.filter(|_| with_slot) {
        Some(slot) => format!("{name} {slot}"),
        None => name.to_owned(),
    };
    match &reason.keeper {
        KeptBy::Rule(rule) if reason.oldest => format!("oldest; {} has free slots", rule.key()),
        KeptBy::Rule(rule @ (KeepRule::Within(span) | KeepRule::WithinPeriod(_, span))) => {
            format!("{} {span}", rule.key())
        }
        KeptBy::Rule(rule) => slot(rule.key()),
        KeptBy::Names => "keep.names".to_owned(),
        KeptBy::Hold(hold) => held(hold),
        KeptBy::Floor => match reason.slot {
            Some(_) if !with_slot => "the floor (min_backups)".to_owned(),
            Some(1) => "the floor (newest of its series)".to_owned(),
            Some(slot) => format!("the floor (number {slot} from the newest of its series)"),
            // Only a deleted instance under `expire_after` has a floor without a place in it.
            None => "its instance is deleted, expire_after is not over".to_owned(),
        },
        KeptBy::InProgress => "in progress".to_owned(),
        KeptBy::UnknownStatus => "unknown status, type or databases".to_owned(),
        KeptBy::UnknownEngine => "engine unknown, not the instance's, or not selected".to_owned(),
        KeptBy::UnknownTime => "its time cannot be read or believed".to_owned(),
        KeptBy::FutureDated => "dated in the future".to_owned(),
        KeptBy::Changed => "changed since an earlier run".to_owned(),
        KeptBy::InUse => "in use by a restore".to_owned(),
        KeptBy::Contested => "listed by two instances".to_owned(),
        KeptBy::TooNewFailed => "FAILED, but too new or without a newer COMPLETED one".to_owned(),
        KeptBy::Policy(name) => format!("policy {} keeps it", clean(name.as_str())),
    }
}

/// A hold in words: its reason, and until when.
pub fn held(hold: &Hold) -> String {
    let mut text = format!("held: {}", clean(&hold.reason));
    if let Some(end) = hold.until {
        let _ = write!(text, " {}", until(end, Zone::UTC));
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
            // Said of all of them, it says nothing.
            let instance = instance
                .as_ref()
                .filter(|id| id.as_str() != "*" || name.is_none())
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
#[path = "reasons_tests.rs"]
mod tests;
