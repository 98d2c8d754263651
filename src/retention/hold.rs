//! Holds and the freeze: what must not be deleted whatever a policy says.
//!
//! Not for where they are kept: holds come from the configuration and from the ledger alike.

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

use super::{Backup, BackupId, Instance, Pattern};

/// What a hold holds.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum HoldTarget {
    /// One backup.
    Backup(BackupId),
    /// Every backup of the instances whose id matches, whose own name matches; a missing pattern matches everything.
    /// At least one of the two is given.
    Matching {
        /// Glob over instance ids.
        #[serde(skip_serializing_if = "Option::is_none", default)]
        instance: Option<Pattern>,
        /// Glob over backup names.
        #[serde(skip_serializing_if = "Option::is_none", default)]
        name: Option<Pattern>,
    },
}

/// A hold: these backups are kept, and counted by no rule, until it ends.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Hold {
    /// The ledger's id of a hold placed by command; `None` for one in the configuration.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub id: Option<String>,
    /// What it holds.
    pub target: HoldTarget,
    /// Why.
    pub reason: String,
    /// Who asked for it.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub owner: Option<String>,
    /// When it ends; `None` means when it is released.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub until: Option<DateTime<Utc>>,
}

impl Hold {
    /// Whether it still holds at `now`.
    pub fn is_active(&self, now: DateTime<Utc>) -> bool {
        self.until.is_none_or(|until| now < until)
    }

    /// Whether it has held after `since`, or will: a grace period that started then restarts.
    pub fn has_held_after(&self, since: DateTime<Utc>) -> bool {
        self.until.is_none_or(|until| since < until)
    }

    /// Whether it is about this backup, active or not.
    pub fn covers(&self, instance: &Instance, backup: &Backup) -> bool {
        self.covers_names(instance.id.as_str(), &backup.id, &backup.name)
    }

    /// The same, by names alone. Ids are taken in any case: whoever typed one in capitals meant it.
    pub fn covers_names(&self, instance_id: &str, backup_id: &BackupId, backup_name: &str) -> bool {
        match &self.target {
            HoldTarget::Backup(id) => id.as_str().eq_ignore_ascii_case(backup_id.as_str()),
            HoldTarget::Matching { instance, name } => {
                instance.as_ref().is_none_or(|pattern| pattern.matches_id(instance_id))
                    && name.as_ref().is_none_or(|pattern| pattern.matches(backup_name))
            }
        }
    }
}

/// Nothing at all is deleted while it lasts.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Freeze {
    /// Why.
    pub reason: String,
    /// When it ends; `None` means when a command or an edit ends it.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub until: Option<DateTime<Utc>>,
}

impl Freeze {
    /// Whether it is in force at `now`.
    pub fn is_active(&self, now: DateTime<Utc>) -> bool {
        self.until.is_none_or(|until| now < until)
    }

    /// Of several the one that lasts longest.
    pub fn longest(freezes: impl IntoIterator<Item = Self>) -> Option<Self> {
        freezes
            .into_iter()
            .max_by_key(|freeze| (freeze.until.is_none(), freeze.until))
    }
}

/// The freezes in force, at least one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Freezes {
    /// The one that lasts longest.
    pub longest: Freeze,
    /// Where all of them come from.
    pub sources: FreezeSources,
}

/// Where freezes come from, and so what ends them.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct FreezeSources {
    /// Ids of those placed by command.
    pub placed: Vec<String>,
    /// File and line of the one in the configuration.
    pub configured: Option<String>,
}

impl Freezes {
    /// Those in force at `now`: the configuration's with its file and line, and those placed by command with their ids.
    pub fn in_force(
        configured: Option<(Freeze, String)>,
        placed: impl IntoIterator<Item = (Freeze, String)>,
        now: DateTime<Utc>,
    ) -> Option<Self> {
        let configured = configured.filter(|(freeze, _)| freeze.is_active(now));
        let placed: Vec<_> = placed.into_iter().filter(|(freeze, _)| freeze.is_active(now)).collect();
        let sources = FreezeSources {
            placed: placed.iter().map(|(_, id)| id.clone()).collect(),
            configured: configured.as_ref().map(|(_, place)| place.clone()),
        };
        let longest = Freeze::longest(configured.into_iter().chain(placed).map(|(freeze, _)| freeze))?;
        Some(Self { longest, sources })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hold(target: HoldTarget, until: Option<DateTime<Utc>>) -> Hold {
        Hold {
            id: None,
            target,
            reason: "case 4711".to_owned(),
            owner: None,
            until,
        }
    }

    #[test]
    fn a_hold_and_a_freeze_end_at_their_end() {
        let end: DateTime<Utc> = "2027-06-30T00:00:00Z".parse().unwrap();
        let second = chrono::TimeDelta::seconds(1);
        let target = || HoldTarget::Backup("b1".into());
        let freeze = |until| Freeze {
            reason: "audit".to_owned(),
            until,
        };
        for (now, active) in [(end - second, true), (end, false), (end + second, false)] {
            assert_eq!(hold(target(), Some(end)).is_active(now), active);
            assert_eq!(freeze(Some(end)).is_active(now), active);
            assert!(hold(target(), None).is_active(now) && freeze(None).is_active(now));
        }
    }

    #[test]
    fn a_hold_covers_one_backup_or_what_matches_both_patterns() {
        let glob = |text: &str| Some(Pattern::parse(text).unwrap());
        let covers = |target: HoldTarget| hold(target, None).covers_names("i1in04", &"b1".into(), "nightly-1");
        assert!(covers(HoldTarget::Backup("b1".into())));
        assert!(!covers(HoldTarget::Backup("b2".into())));
        let matching = |instance, name| covers(HoldTarget::Matching { instance, name });
        assert!(matching(glob("i1*"), None) && matching(None, glob("nightly-*")));
        assert!(matching(glob("i1*"), glob("nightly-*")));
        assert!(!matching(glob("i2*"), glob("nightly-*")) && !matching(glob("i1*"), glob("weekly-*")));
    }

    #[test]
    fn ids_are_held_in_capitals_too_and_names_are_names() {
        let glob = |text: &str| Some(Pattern::parse(text).unwrap());
        let covers = |target: HoldTarget| hold(target, None).covers_names("c1in04", &"b1br04".into(), "nightly-1");
        assert!(covers(HoldTarget::Backup("B1BR04".into())));
        assert!(!covers(HoldTarget::Backup("B2BR04".into())));
        let matching = |instance, name| covers(HoldTarget::Matching { instance, name });
        assert!(matching(glob("*IN04"), None) && matching(glob("C[0-9]*"), glob("nightly-*")));
        assert!(!matching(glob("*IN05"), None) && !matching(None, glob("NIGHTLY-*")));
    }
}
