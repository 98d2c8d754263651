//! Holds and freezes that end soon.

use chrono::{DateTime, TimeDelta, Utc};

use crate::config::Config;
use crate::ledger::{PlacedFreeze, freeze_key, hold_key};
use crate::retention::{Freeze, Hold};
use crate::wording::reasons::target;

/// Within this time.
const SOON: TimeDelta = TimeDelta::days(7);

/// A hold or freeze that ends soon.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EndingSoon {
    /// It and its end, as it is known by: another end is news.
    pub key: String,
    /// What people call it: `hold h3`, `freeze of the configuration`.
    pub what: String,
    /// Why it was placed.
    pub reason: String,
    /// Who asked for it.
    pub owner: Option<String>,
    /// When it ends.
    pub until: DateTime<Utc>,
}

/// Those of the configuration and those placed by command.
pub fn ending_soon(config: &Config, placed: &[Hold], freezes: &[PlacedFreeze], now: DateTime<Utc>) -> Vec<EndingSoon> {
    let configured = config.freeze.iter().map(|freeze| (freeze, ""));
    let freezes = freezes.iter().map(|placed| (&placed.freeze, placed.id.as_str()));
    ending_among(config.holds.iter().chain(placed), configured.chain(freezes), now)
}

/// Those among these; a freeze of the configuration has no id.
pub fn ending_among<'a>(
    holds: impl Iterator<Item = &'a Hold>,
    freezes: impl Iterator<Item = (&'a Freeze, &'a str)>,
    now: DateTime<Utc>,
) -> Vec<EndingSoon> {
    let soon = |until: Option<DateTime<Utc>>| until.filter(|until| *until > now && *until - now <= SOON);
    let holds = holds.filter_map(|hold| {
        let id = hold.id.as_deref().unwrap_or_default();
        Some(EndingSoon {
            key: format!("{} {id}", hold_key(hold)),
            what: hold_name(hold),
            reason: hold.reason.clone(),
            owner: hold.owner.clone(),
            until: soon(hold.until)?,
        })
    });
    let freezes = freezes.filter_map(|(freeze, id)| {
        Some(EndingSoon {
            key: format!("{} {id}", freeze_key(freeze)),
            what: if id.is_empty() {
                "freeze of the configuration".to_owned()
            } else {
                format!("freeze {id}")
            },
            reason: freeze.reason.clone(),
            owner: None,
            until: soon(freeze.until)?,
        })
    });
    holds.chain(freezes).collect()
}

/// Its id, else what it holds.
fn hold_name(hold: &Hold) -> String {
    match &hold.id {
        Some(id) => format!("hold {id}"),
        None => format!("hold on {}", target(&hold.target)),
    }
}
