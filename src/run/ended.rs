//! Holds and the freeze of a configuration that have ended: an error where this state never saw them hold, for then the
//! date is a typo and what should be held is not; else a warning.

use chrono::{DateTime, Utc};

use crate::config::{Config, FilePosition, Problem};
use crate::ledger::{self, Access, Ledger};
use crate::wording::times::timestamp;

/// What is found.
#[derive(Clone, Debug, Default)]
pub struct Ended {
    /// Past when this state first saw them.
    pub errors: Vec<Problem>,
    /// Ended since; or unknown, for there is no state yet.
    pub warnings: Vec<Problem>,
}

/// Looks at what has ended by `now`, with the configuration's own state. `is_new`: a state that is not there yet is about
/// to be made, and sees them for the first time.
pub fn ended(config: &Config, is_new: bool, now: DateTime<Utc>) -> Result<Ended, ledger::Error> {
    let mut found = Ended::default();
    let holds = config.holds.iter().enumerate().map(|(nth, hold)| {
        let key = ledger::hold_key(hold);
        (
            format!("holds[{nth}].until"),
            config.hold_places.get(nth),
            key,
            hold.until,
        )
    });
    let freeze = config.freeze.iter().map(|freeze| {
        let key = ledger::freeze_key(freeze);
        (
            "freeze.until".to_owned(),
            config.freeze_place.as_ref(),
            key,
            freeze.until,
        )
    });
    let over: Vec<_> = holds
        .chain(freeze)
        .filter_map(|(path, place, key, until)| Some((path, place?, key, until.filter(|until| *until <= now)?)))
        .collect();
    if over.is_empty() {
        return Ok(found);
    }
    let ledger = match Ledger::open(super::state_of(config), Access::ReadOnly, now) {
        Ok(ledger) => Some(ledger),
        Err(ledger::Error::Missing { .. }) => None,
        Err(error) => return Err(error),
    };
    for (path, place, key, until) in over {
        let held = match &ledger {
            Some(ledger) => ledger.was_seen_before(&key, until)?,
            None => !is_new,
        };
        if held {
            found.warnings.push(problem(
                path,
                place,
                until,
                "has ended",
                "remove it, or give it a later end",
            ));
        } else {
            let hint =
                "give it an end that is still to come, or leave `until` out; if it is no longer needed, remove it";
            found.errors.push(problem(
                path,
                place,
                until,
                "was over before this state first saw it",
                hint,
            ));
        }
    }
    Ok(found)
}

fn problem(path: String, place: &FilePosition, until: DateTime<Utc>, what: &str, hint: &str) -> Problem {
    let until = timestamp(until);
    Problem {
        file: place.file.clone(),
        line: place.line,
        column: place.column,
        path,
        message: format!("`until` {until} is past: it {what}, so it holds nothing"),
        hint: Some(hint.to_owned()),
        snippet: None,
    }
}
