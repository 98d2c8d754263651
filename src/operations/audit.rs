//! The heads that are anchored outside the state: whether it contains them, and going on where it does not.

use std::path::PathBuf;

use chrono::{DateTime, Utc};

use super::error::Error;
use super::history;
use super::operator::open;
use crate::config::Config;
use crate::ledger::{Access, Actor, AnchorLog, AnchoredHead, Ledger};
use crate::run;

/// What the anchor knows of a state.
#[derive(Debug)]
pub struct Anchors {
    /// Where.
    pub place: String,
    /// How many heads it has of the state.
    pub heads: usize,
    /// Whether runs on this state have ended, so that it should have some.
    pub has_run: bool,
    /// Those that the state does not contain.
    pub missing: Vec<AnchoredHead>,
}

/// Compares all heads that the anchor has with the state.
pub fn anchors(config: &Config, now: DateTime<Utc>) -> Result<Anchors, Error> {
    let ledger = history::open(config, now)?;
    let (log, heads) = heads(config, &ledger)?;
    Ok(Anchors {
        place: log.name(),
        heads: heads.len(),
        has_run: ledger.has_run()?,
        missing: ledger.missing_heads(&heads)?,
    })
}

/// Goes on with a state that was set back; how many heads are missing in it, and the state.
pub fn accept_rewind(config: &Config, actor: Actor<'_>, now: DateTime<Utc>) -> Result<(usize, PathBuf), Error> {
    let ledger = open(config, now)?;
    let heads = match heads(config, &ledger) {
        Err(Error::NoAnchor) if ledger.has_noted_heads()? => Vec::new(),
        found => found?.1,
    };
    let accepted = ledger.accept_rewind(&heads, actor, now)?;
    if accepted > 0 {
        // What was accepted counts all the same.
        let _ = run::anchor(config, &ledger, now);
    }
    Ok((accepted, ledger.path().to_owned()))
}

/// Anchors what a person has just done; why not, where that failed: then a state that is set back to before it is not noticed.
pub fn anchor_act(config: &Config, now: DateTime<Utc>) -> Option<String> {
    run::anchor_log(config)?;
    // Not to read alone: the last one to close it then leaves its log beside it.
    let opened = Ledger::open(run::state_of(config), Access::Existing, now);
    match opened {
        Ok(ledger) => run::anchor(config, &ledger, now),
        Err(error) => Some(error.to_string()),
    }
}

fn heads(config: &Config, ledger: &Ledger) -> Result<(AnchorLog, Vec<AnchoredHead>), Error> {
    let log = run::anchor_log(config).ok_or(Error::NoAnchor)?;
    let heads = log.read(&ledger.state_key(&run::state_of(config))?);
    let heads = heads.map_err(|error| Error::AnchorUnreadable {
        place: log.name(),
        error,
    })?;
    Ok((log, heads))
}
