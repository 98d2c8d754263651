//! What a new configuration changes, in words, and whether more or less will be kept as far as the rules alone tell.
//!
//! Pure. Not for what happens to real backups: that is the command `diff`, which asks the cloud.

mod scope;

use std::collections::BTreeMap;
use std::fmt;

use crate::config::{Config, PolicyEntry};
use crate::retention::{Count, KeepRule, Mode, Policy, PolicyName, Span};
use scope::Scope;

/// Whether more or less is kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Keeps {
    /// Nothing that was kept may go now.
    More,
    /// Something that was kept may go now.
    Less,
    /// More by one rule, less by another.
    Both,
    /// As before.
    Same,
    /// It covers other backups, or counts by another calendar: the rules alone do not tell.
    Unclear,
}

impl Keeps {
    fn and(self, other: Self) -> Self {
        match (self, other) {
            (Self::Unclear, _) | (_, Self::Unclear) => Self::Unclear,
            (Self::Same, it) | (it, Self::Same) => it,
            (a, b) if a == b => a,
            _ => Self::Both,
        }
    }

    /// The name in logs.
    pub fn key(self) -> &'static str {
        match self {
            Self::More => "more",
            Self::Less => "less",
            Self::Both => "both",
            Self::Same => "same",
            Self::Unclear => "unclear",
        }
    }

    /// More when `more`, else less.
    fn more_if(more: bool) -> Self {
        if more { Self::More } else { Self::Less }
    }
}

impl fmt::Display for Keeps {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::More => "more will be kept",
            Self::Less => "less will be kept",
            Self::Both => "more will be kept by one rule and less by another",
            Self::Same => "as much will be kept as before",
            Self::Unclear => "whether more or less will be kept cannot be told from the rules alone; `diff` tells",
        })
    }
}

/// What became of one policy.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Change {
    /// The policy.
    pub policy: PolicyName,
    /// `added`, `removed` or `changed`.
    pub what: &'static str,
    /// The keys that differ.
    pub keys: Vec<&'static str>,
    /// More or less.
    pub keeps: Keeps,
}

/// What became of every policy that did not stay as it was, by name.
pub fn policies(old: &Config, new: &Config) -> Vec<Change> {
    let by_name = |config: &'_ Config| -> BTreeMap<PolicyName, PolicyEntry> {
        config
            .policies
            .iter()
            .map(|entry| (entry.policy.name.clone(), entry.clone()))
            .collect()
    };
    // Without others there is nobody that a policy protects anything from.
    let alone = new.policies.len() < 2;
    let (old, mut new) = (by_name(old), by_name(new));
    let mut changes = Vec::new();
    for (policy, before) in old {
        let Some(after) = new.remove(&policy) else {
            changes.push(Change {
                policy,
                what: "removed",
                keys: Vec::new(),
                // It deletes nothing any more; but what it protected from other policies, it protects no more.
                keeps: match before.policy.mode {
                    Mode::Enforce => Keeps::Both,
                    Mode::DryRun => Keeps::Less,
                },
            });
            continue;
        };
        let (keys, keeps) = compare(&before, &after, alone);
        if !keys.is_empty() {
            changes.push(Change {
                policy,
                what: "changed",
                keys,
                keeps,
            });
        }
    }
    changes.extend(new.into_iter().map(|(policy, after)| Change {
        policy,
        what: "added",
        keys: Vec::new(),
        // A dry-run policy deletes nothing, and what it keeps is safe from the others.
        keeps: match after.policy.mode {
            Mode::Enforce => Keeps::Less,
            Mode::DryRun => Keeps::More,
        },
    }));
    changes.sort_by(|a, b| a.policy.cmp(&b.policy));
    changes
}

/// What else differs: keys of the main file.
pub fn others(old: &Config, new: &Config) -> Vec<&'static str> {
    [
        ("projects", old.projects != new.projects),
        ("holds", old.holds != new.holds),
        ("freeze", old.freeze != new.freeze),
    ]
    .into_iter()
    .filter_map(|(key, differs)| differs.then_some(key))
    .collect()
}

/// The keys in which two versions of a policy differ, and what that means; whether it is the only policy matters, too.
fn compare(old: &PolicyEntry, new: &PolicyEntry, alone: bool) -> (Vec<&'static str>, Keeps) {
    let mut keys = Vec::new();
    let mut keeps = Keeps::Same;
    let mut note = |key: &'static str, differs: bool, effect: Keeps| {
        if differs {
            keys.push(key);
            keeps = keeps.and(effect);
        }
    };
    note("schedule", old.schedule != new.schedule, Keeps::Same);
    note("jitter", old.jitter != new.jitter, Keeps::Same);
    note("catch_up", old.catch_up != new.catch_up, Keeps::Same);
    let (old, new): (&Policy, &Policy) = (&old.policy, &new.policy);
    note("mode", old.mode != new.mode, Keeps::more_if(new.mode == Mode::DryRun));
    note("timezone", old.zone != new.zone, Keeps::Unclear);
    note("select", old.select != new.select, select(old, new, alone));
    note("keep", old.keep != new.keep, keep(old, new));
    note(
        "max_age",
        old.max_age != new.max_age,
        optional(old.max_age, new.max_age, Keeps::Less),
    );
    note(
        "failed_after",
        old.failed_after != new.failed_after,
        longer(old.failed_after, new.failed_after),
    );
    note(
        "min_backups",
        old.min_backups != new.min_backups,
        Keeps::more_if(new.min_backups > old.min_backups),
    );
    note("grace", old.grace != new.grace, longer(old.grace, new.grace));
    // The shorter, the sooner nothing at all is deleted.
    let recent = match (old.require_backup_within, new.require_backup_within) {
        (Some(old), Some(new)) => longer(new, old),
        (old, new) => optional(old, new, Keeps::More),
    };
    note(
        "require_backup_within",
        old.require_backup_within != new.require_backup_within,
        recent,
    );
    // The guard decides when, not whether.
    note("limits", old.limits != new.limits, Keeps::Same);
    (keys, keeps)
}

/// A span that keeps more the longer it is.
fn longer(old: Span, new: Span) -> Keeps {
    match (old.is_within(&new), new.is_within(&old)) {
        (true, true) => Keeps::Same,
        (true, false) => Keeps::More,
        (false, true) => Keeps::Less,
        // `30d` and `1mo`: it depends on the month.
        (false, false) => Keeps::Unclear,
    }
}

/// A span that, by being there, has this effect, and keeps more the longer it is.
fn optional(old: Option<Span>, new: Option<Span>, there: Keeps) -> Keeps {
    let gone = Keeps::more_if(there == Keeps::Less);
    match (old, new) {
        (None, None) => Keeps::Same,
        (None, Some(_)) => there,
        (Some(_), None) => gone,
        (Some(old), Some(new)) => longer(old, new),
    }
}

/// What a policy that enforces covers can go, and what it covers no more stays, unless another one lets it go; what a
/// dry-run policy covers is safe from the others.
fn select(old: &Policy, new: &Policy, alone: bool) -> Keeps {
    let instances = scope::instances(&old.select, &new.select);
    let backups = scope::backups(&old.select, &new.select);
    match new.mode {
        Mode::Enforce => match instances.and(backups) {
            Scope::Same => Keeps::Same,
            Scope::Wider => Keeps::Less,
            Scope::Narrower if alone => Keeps::More,
            Scope::Narrower => Keeps::Both,
            Scope::Other => Keeps::Unclear,
        },
        Mode::DryRun => match (instances, backups) {
            (Scope::Same, Scope::Same) => Keeps::Same,
            (Scope::Wider, Scope::Same) => Keeps::More,
            (Scope::Narrower, Scope::Same) => Keeps::Less,
            // Other backups on an instance take each other's slots.
            _ => Keeps::Unclear,
        },
    }
}

/// Rule by rule.
fn keep(old: &Policy, new: &Policy) -> Keeps {
    let by_key = |policy: &Policy| -> BTreeMap<&'static str, KeepRule> {
        policy.keep.rules().iter().map(|rule| (rule.key(), *rule)).collect()
    };
    let (before, mut after) = (by_key(old), by_key(new));
    let mut keeps = Keeps::Same;
    for (key, rule) in before {
        keeps = keeps.and(match after.remove(key) {
            None => Keeps::Less,
            Some(now) => rules(rule, now),
        });
    }
    if !after.is_empty() {
        keeps = keeps.and(Keeps::More);
    }
    let (old, new) = (old.keep.names(), new.keep.names());
    if old.iter().any(|name| !new.contains(name)) {
        keeps = keeps.and(Keeps::Less);
    }
    if new.iter().any(|name| !old.contains(name)) {
        keeps = keeps.and(Keeps::More);
    }
    keeps
}

/// Two versions of one rule.
fn rules(old: KeepRule, new: KeepRule) -> Keeps {
    let count = |count: Count| match count {
        Count::All => u64::MAX,
        Count::AtMost(most) => u64::from(most.get()),
    };
    match (old, new) {
        (
            KeepRule::Within(old) | KeepRule::WithinPeriod(_, old),
            KeepRule::Within(new) | KeepRule::WithinPeriod(_, new),
        ) => longer(old, new),
        (KeepRule::Last(old) | KeepRule::Counted(_, old), KeepRule::Last(new) | KeepRule::Counted(_, new)) => {
            match count(new).cmp(&count(old)) {
                std::cmp::Ordering::Greater => Keeps::More,
                std::cmp::Ordering::Less => Keeps::Less,
                std::cmp::Ordering::Equal => Keeps::Same,
            }
        }
        // Rules are compared key by key, so these do not meet.
        _ => Keeps::Unclear,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{Surroundings, load};

    fn config(policies: &str) -> Config {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("config.yaml");
        std::fs::write(&file, format!("version: 1\nstate_dir: /nowhere\npolicies:\n{policies}")).unwrap();
        load(&file, &Surroundings::default()).unwrap_or_else(|problems| panic!("{problems}"))
    }

    fn policy(name: &str, rest: &str) -> String {
        format!("  - {{name: {name}, mode: enforce, {rest}}}\n")
    }

    /// What a change of one policy's keys means.
    fn change(old: &str, new: &str) -> (Vec<&'static str>, Keeps) {
        let changes = policies(&config(&policy("p", old)), &config(&policy("p", new)));
        let [change] = changes.as_slice() else {
            panic!("{changes:?}")
        };
        assert_eq!((change.policy.as_str(), change.what), ("p", "changed"));
        (change.keys.clone(), change.keeps)
    }

    #[test]
    #[expect(clippy::too_many_lines, reason = "a table")]
    fn rules_say_more_or_less() {
        for (old, new, key, keeps) in [
            ("keep: {daily: 7}", "keep: {daily: 8}", "keep", Keeps::More),
            ("keep: {daily: 7}", "keep: {daily: 6}", "keep", Keeps::Less),
            ("keep: {daily: 7}", "keep: {daily: all}", "keep", Keeps::More),
            ("keep: {daily: 7}", "keep: {daily: 7, weekly: 1}", "keep", Keeps::More),
            ("keep: {daily: 7, weekly: 1}", "keep: {daily: 7}", "keep", Keeps::Less),
            ("keep: {daily: 7, weekly: 1}", "keep: {daily: 9}", "keep", Keeps::Both),
            ("keep: {within: 4w}", "keep: {within: 28d}", "keep", Keeps::Same),
            ("keep: {within: 4w}", "keep: {within: 1mo}", "keep", Keeps::More),
            (
                "keep: {last: 1}",
                "keep: {last: 1, names: [\"x-*\"]}",
                "keep",
                Keeps::More,
            ),
            (
                "keep: {last: 1, names: [\"x-*\"]}",
                "keep: {last: 1, names: [\"y-*\"]}",
                "keep",
                Keeps::Both,
            ),
            (
                "keep: {last: 1}",
                "keep: {last: 1}, max_age: 1y",
                "max_age",
                Keeps::Less,
            ),
            (
                "keep: {last: 1}, max_age: 1y",
                "keep: {last: 1}",
                "max_age",
                Keeps::More,
            ),
            (
                "keep: {last: 1}, max_age: 1y",
                "keep: {last: 1}, max_age: 2y",
                "max_age",
                Keeps::More,
            ),
            (
                "keep: {last: 1}",
                "keep: {last: 1}, failed_after: 1d",
                "failed_after",
                Keeps::Less,
            ),
            (
                "keep: {last: 1}",
                "keep: {last: 1}, min_backups: 2",
                "min_backups",
                Keeps::More,
            ),
            ("keep: {last: 1}", "keep: {last: 1}, grace: 0s", "grace", Keeps::Less),
            (
                "keep: {last: 1}",
                "keep: {last: 1}, require_backup_within: 3d",
                "require_backup_within",
                Keeps::More,
            ),
            (
                "keep: {last: 1}, require_backup_within: 3d",
                "keep: {last: 1}, require_backup_within: 5d",
                "require_backup_within",
                Keeps::Less,
            ),
            (
                "keep: {last: 1}, require_backup_within: 3d",
                "keep: {last: 1}",
                "require_backup_within",
                Keeps::Less,
            ),
            (
                "keep: {last: 1}",
                "keep: {last: 1}, limits: {max_deletions: 7}",
                "limits",
                Keeps::Same,
            ),
            (
                "keep: {last: 1}",
                "keep: {last: 1}, timezone: Asia/Singapore",
                "timezone",
                Keeps::Unclear,
            ),
            (
                "keep: {last: 1}, select: {backups: {names: [b]}}",
                "keep: {last: 1}, select: {instances: {names: [a]}}",
                "select",
                Keeps::Unclear,
            ),
            (
                "keep: {last: 1}",
                "keep: {last: 1}, schedule: \"0 3 * * *\"",
                "schedule",
                Keeps::Same,
            ),
        ] {
            assert_eq!(change(old, new), (vec![key], keeps), "{old} → {new}");
        }
    }

    #[test]
    fn a_selector_covers_more_or_fewer() {
        let change = |mode: &str, others: &str, old: &str, new: &str| {
            let of = |select: &str| {
                let one = policy("p", &format!("keep: {{last: 1}}, select: {{{select}}}"));
                config(&(one.replace("enforce", mode) + others))
            };
            let changes = policies(&of(old), &of(new));
            assert_eq!(
                changes.iter().flat_map(|change| &change.keys).collect::<Vec<_>>(),
                [&"select"]
            );
            changes[0].keeps
        };
        let other = policy("other", "keep: {last: 1}");
        for (wide, narrow) in [
            ("deleted_instances: ignore", "instances: {names: [a]}"),
            ("instances: {names: [a, b]}", "instances: {names: [b]}"),
            ("instances: {ids: [a, b]}", "instances: {ids: [a]}"),
            ("instances: {names: [a]}", "instances: {names: [a], tags: {env: prod}}"),
            (
                "instances: {tags: {x: y}}",
                "instances: {tags: {x: y}, exclude_names: [a]}",
            ),
            ("instances: {exclude_ids: [a]}", "instances: {exclude_ids: [b, a]}"),
            ("deleted_instances: include", "instances: {enterprise_projects: [a]}"),
            ("deleted_instances: include", "deleted_instances: ignore"),
        ] {
            let both = [(wide, narrow), (narrow, wide)];
            let found = |mode: &str, others: &str| both.map(|(old, new)| change(mode, others, old, new));
            assert_eq!(found("enforce", ""), [Keeps::More, Keeps::Less], "{wide} → {narrow}");
            // What another policy lets go is no longer protected.
            assert_eq!(
                found("enforce", &other),
                [Keeps::Both, Keeps::Less],
                "{wide} → {narrow}"
            );
            assert_eq!(
                found("dry-run", &other),
                [Keeps::Less, Keeps::More],
                "{wide} → {narrow}"
            );
        }
        let (wide, narrow) = (
            "backups: {names: [a, b]}",
            "backups: {names: [a, b], exclude_names: [c]}",
        );
        assert_eq!(change("enforce", "", wide, narrow), Keeps::More);
        let turned = "backups: {names: [b, a]}";
        assert_eq!(change("enforce", "", wide, turned), Keeps::Same);
        assert_eq!(change("dry-run", &other, wide, turned), Keeps::Same);
        assert_eq!(change("enforce", "", narrow, wide), Keeps::Less);
        assert_eq!(change("dry-run", &other, narrow, wide), Keeps::Unclear);
        for (old, new) in [
            ("instances: {names: [a]}", "instances: {names: [b]}"),
            (
                "instances: {names: [a, b]}",
                "instances: {names: [a], ids: [c]}, backups: {names: [d]}, deleted_instances: include",
            ),
            ("deleted_instances: include", "deleted_instances: {expire_after: 1y}"),
        ] {
            assert_eq!(change("enforce", "", old, new), Keeps::Unclear, "{old} → {new}");
        }
    }

    #[test]
    fn policies_come_and_go() {
        let keep = "keep: {last: 1}";
        let old = config(&(policy("gone", keep) + &policy("stays", keep)));
        let trial = policy("trial", keep).replace("enforce", "dry-run");
        let new = config(&(policy("stays", keep) + &policy("fresh", keep) + &trial));
        let found: Vec<_> = policies(&old, &new)
            .into_iter()
            .map(|change| (change.policy.as_str().to_owned(), change.what, change.keeps))
            .collect();
        assert_eq!(
            found,
            [
                ("fresh".to_owned(), "added", Keeps::Less),
                ("gone".to_owned(), "removed", Keeps::Both),
                ("trial".to_owned(), "added", Keeps::More),
            ]
        );
        assert_eq!(policies(&old, &old), []);
    }

    #[test]
    fn enforcing_keeps_less() {
        let enforce = policy("p", "keep: {last: 1}");
        let dry = enforce.replace("enforce", "dry-run");
        let keeps = |old: &str, new: &str| policies(&config(old), &config(new))[0].keeps;
        assert_eq!(keeps(&dry, &enforce), Keeps::Less);
        assert_eq!(keeps(&enforce, &dry), Keeps::More);
    }
}
