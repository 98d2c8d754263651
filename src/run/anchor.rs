//! The heads that are anchored outside the state: written when a run ends and when a person has acted, compared before the next run.

use chrono::{DateTime, Utc};

use crate::config::{AnchorAt, Config};
use crate::ledger::{AnchorLog, Error, Journal, Ledger};

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
    let heads = match log.read(&ledger.path().display().to_string()) {
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

/// Anchors the last head; why not, where that failed. It stops nothing.
pub fn anchor(config: &Config, ledger: &Ledger, now: DateTime<Utc>) -> Option<String> {
    let log = anchor_log(config)?;
    let done = ledger
        .head_to_anchor()
        .map_err(|error| error.to_string())
        .and_then(|head| log.append(&head, now).map_err(|error| error.to_string()));
    let why = done.err()?;
    let name = log.name();
    Some(format!("the head of the audit chain was not written to {name}: {why}"))
}
