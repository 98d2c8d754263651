//! The heads that are anchored outside the state: written when a run ends and when a person has acted, compared before the next run.

use chrono::{DateTime, Utc};

use super::state::{refusal_of, state_of};
use crate::config::{AnchorAt, Config};
use crate::ledger::{AnchorLog, Error, Journal, Ledger, key_of_missing, must_be_there};
use crate::retention::Refusal;

/// Where the configuration anchors heads; `None`: nowhere.
pub fn anchor_log(config: &Config) -> Option<AnchorLog> {
    match &config.anchor {
        AnchorAt::JournalIfAny => Some(Journal::default())
            .filter(Journal::is_there)
            .map(AnchorLog::Journal),
        AnchorAt::Journal => Some(AnchorLog::Journal(Journal::default())),
        AnchorAt::File(file) => Some(AnchorLog::File(file.clone())),
        AnchorAt::Nowhere => None,
    }
}

/// Fails where the state was set back. What there is to say of an anchor that shows nothing: that it cannot be read, or knows no head
/// of a state that has runs. That stops no run.
pub fn check_anchor(config: &Config, ledger: &Ledger) -> Result<Option<String>, Error> {
    ledger.must_contain_noted()?;
    let Some(log) = anchor_log(config) else { return Ok(None) };
    let heads = match log.read(&ledger.state_key(&state_of(config))?) {
        Ok(heads) => heads,
        Err(error) => {
            return Ok(Some(format!(
                "whether the state was set back is not known: the heads in {} cannot be read: {error}; see `audit` in the configuration",
                log.name()
            )));
        }
    };
    ledger.must_contain(&heads, &log.name())?;
    let is_unknown = heads.is_empty() && ledger.has_run()?;
    let rights = match &log {
        AnchorLog::Journal(_) => ", this user may not read it (group systemd-journal)",
        AnchorLog::File(_) => "",
    };
    Ok(is_unknown.then(|| {
        format!(
            "whether the state was set back is not known: {} has no head of it: it was rotated away{rights}, or no run has ended since it \
             is the anchor; the next run writes one; see `audit` in the configuration",
            log.name()
        )
    }))
}

/// Why a run would delete nothing, whatever it finds: the state was set back or is gone, or its members differ.
pub(super) fn refusal_by_state(config: &Config, ledger: Option<&Ledger>) -> Result<Option<Refusal>, Error> {
    let checked = match ledger {
        Some(ledger) => check_anchor(config, ledger).and_then(|_| ledger.members_must_agree(&config.agreement())),
        None => check_anchor_of_missing(config),
    };
    match checked {
        Ok(()) => Ok(None),
        Err(error) => refusal_of(&error).map(Some).ok_or(error),
    }
}

/// As [`check_anchor`] for a state that is not there: fails where heads of it are anchored. A run would make a new one, and delete nothing
/// with it.
fn check_anchor_of_missing(config: &Config) -> Result<(), Error> {
    let Some(log) = anchor_log(config) else { return Ok(()) };
    let place = state_of(config);
    // One that cannot be read stops no run.
    let heads = log.read(&key_of_missing(&place)).unwrap_or_default();
    must_be_there(&place, &heads, &log.name())
}

/// Anchors the last head; why not, where that failed. It stops nothing.
pub fn anchor(config: &Config, ledger: &Ledger, now: DateTime<Utc>) -> Option<String> {
    let log = anchor_log(config)?;
    let done = ledger
        .head_to_anchor(&state_of(config))
        .map_err(|error| error.to_string())
        .and_then(|head| log.append(&head, now).map_err(|error| error.to_string()));
    let why = done.err()?;
    let name = log.name();
    Some(format!("the head of the audit chain was not written to {name}: {why}"))
}
