//! What a new configuration changes, in words, and whether more or less will be kept as far as the rules alone tell.
//!
//! Pure. Whatever does not plainly keep more may keep less. Not for what happens to real backups: that is the command
//! `diff`, which asks the cloud; nor for what follows from it: that is [`keeping`](super::keeping) and the daemon's reload.

mod scope;

use std::collections::BTreeMap;
use std::fmt;

use super::{Config, PolicyEntry, Project};
use crate::retention::{
    Count, Freeze, Hold, HoldTarget, KeepRule, Limits, Mode, OverLimit, Pattern, People, Policy, PolicyName, Span,
};
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

    /// Whether something that could go before may be kept now.
    pub fn may_keep_more(self) -> bool {
        matches!(self, Self::More | Self::Both | Self::Unclear)
    }

    /// Whether something that was kept may go now: true of everything that does not plainly keep more.
    pub fn may_keep_less(self) -> bool {
        matches!(self, Self::Less | Self::Both | Self::Unclear)
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

    fn of(more: bool, less: bool) -> Self {
        match (more, less) {
            (false, false) => Self::Same,
            (true, false) => Self::More,
            (false, true) => Self::Less,
            (true, true) => Self::Both,
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
            Self::Unclear => "whether more or less will be kept is not clear from the rules alone; `diff` shows it",
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
    // Without others a policy protects nothing from any other.
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
        // What it keeps is safe from the others; a dry-run policy deletes nothing itself.
        keeps: match after.policy.mode {
            Mode::Enforce => Keeps::Both,
            Mode::DryRun => Keeps::More,
        },
    }));
    changes.sort_by(|a, b| a.policy.cmp(&b.policy));
    changes
}

/// What an edit as a whole means: its policies and everything beside them.
pub fn whole(old: &Config, new: &Config) -> Keeps {
    let policies = policies(old, new).into_iter().map(|change| change.keeps);
    let others = others(old, new).into_iter().map(|(_, keeps)| keeps);
    // What is kept for the sake of an edit that waits is kept until an edit was taken as a whole.
    let merged = (old.protecting.len() > new.protecting.len()).then_some(Keeps::Less);
    policies.chain(others).chain(merged).fold(Keeps::Same, Keeps::and)
}

/// What else differs, keys of the main file, and what that means.
pub fn others(old: &Config, new: &Config) -> Vec<(&'static str, Keeps)> {
    // Taken apart, so that whoever adds a key has to say here what an edit of it means.
    let Config {
        path: _,
        files: _,
        watch_dirs: _,
        sha256: _,
        recorded: _,
        state: _,
        listen: _,
        projects,
        policies: _,
        protecting: _,
        holds,
        hold_places: _,
        freeze,
        freeze_place: _,
        notify,
        allowed_hosts,
        price,
        anchor,
        protect,
        // Each policy has its own.
        zones: _,
        warnings: _,
        foreign: _,
    } = old;
    [
        (
            "projects",
            *projects != new.projects,
            self::projects(projects, &new.projects),
        ),
        ("holds", *holds != new.holds, self::holds(holds, &new.holds)),
        (
            "freeze",
            *freeze != new.freeze,
            self::freeze(freeze.as_ref(), new.freeze.as_ref()),
        ),
        ("notify", *notify != new.notify, Keeps::Same),
        ("audit", *anchor != new.anchor, Keeps::Unclear),
        (
            "protect",
            *protect != new.protect,
            Keeps::more_if(new.protect > *protect),
        ),
        ("allowed_hosts", *allowed_hosts != new.allowed_hosts, Keeps::Same),
        ("price", *price != new.price, Keeps::Same),
    ]
    .into_iter()
    .filter_map(|(key, differs, keeps)| differs.then_some((key, keeps)))
    .collect()
}

/// Projects that come, go or are asked elsewhere show other backups. How fast they are asked matters to none.
fn projects(old: &[Project], new: &[Project]) -> Keeps {
    if old.len() == new.len() && old.iter().all(|project| is_there(project, new)) {
        Keeps::Same
    } else {
        Keeps::Unclear
    }
}

/// Whether the same project, asked at the same place with the same credentials, is among these.
pub(super) fn is_there(project: &Project, among: &[Project]) -> bool {
    among.iter().any(|other| {
        let as_fast = Project {
            requests_per_second: project.requests_per_second,
            concurrency: project.concurrency,
            ..other.clone()
        };
        as_fast == *project
    })
}

fn holds(old: &[Hold], new: &[Hold]) -> Keeps {
    let covers = |all: &[Hold], one: &Hold| all.iter().any(|hold| is_as_good(hold, one));
    let less = !old.iter().all(|hold| covers(new, hold));
    let more = !new.iter().all(|hold| covers(old, hold));
    Keeps::of(more, less)
}

/// Whether a hold holds all that another one holds, and as long.
fn is_as_good(hold: &Hold, other: &Hold) -> bool {
    let wide = |wide: &Option<Pattern>, narrow: &Option<Pattern>| wide.is_none() || wide == narrow;
    let covers = match (&hold.target, &other.target) {
        (HoldTarget::Backup(id), HoldTarget::Backup(other)) => id.as_str().eq_ignore_ascii_case(other.as_str()),
        (
            HoldTarget::Matching { instance, name },
            HoldTarget::Matching {
                instance: other_instance,
                name: other_name,
            },
        ) => wide(instance, other_instance) && wide(name, other_name),
        (HoldTarget::Backup(_), HoldTarget::Matching { .. }) | (HoldTarget::Matching { .. }, HoldTarget::Backup(_)) => {
            false
        }
    };
    covers
        && hold
            .until
            .is_none_or(|until| other.until.is_some_and(|other| other <= until))
}

fn freeze(old: Option<&Freeze>, new: Option<&Freeze>) -> Keeps {
    // A freeze without an end is the longest, none at all the shortest.
    let length = |freeze: Option<&Freeze>| freeze.map(|freeze| (freeze.until.is_none(), freeze.until));
    Keeps::of(length(new) > length(old), length(new) < length(old))
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
    // Taken apart, so that whoever adds a key has to say here what an edit of it means.
    let Policy {
        name: _,
        mode: _,
        zone: _,
        select: _,
        keep: _,
        max_age: _,
        failed_after: _,
        min_backups: _,
        grace: _,
        require_backup_within: _,
        limits: _,
    } = old;
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
    note("limits", old.limits != new.limits, limits(old.limits, new.limits));
    (keys, keeps)
}

/// What the guard lets through at once.
fn limits(old: Limits, new: Limits) -> Keeps {
    let amounts = |limits: Limits| {
        [
            u64::from(limits.max_deletions.get()),
            u64::from(limits.max_percent),
            u64::from(limits.over_limit == OverLimit::OldestFirst),
            u64::from(limits.approvals == People::One),
        ]
    };
    let (old, new) = (amounts(old), amounts(new));
    let any = |differs: fn(&u64, &u64) -> bool| old.iter().zip(&new).any(|(old, new)| differs(old, new));
    Keeps::of(any(|old, new| new < old), any(|old, new| new > old))
}

/// A span that keeps more the longer it is.
fn longer(old: Span, new: Span) -> Keeps {
    match (old.is_within(&new), new.is_within(&old)) {
        (true, true) => Keeps::Same,
        (true, false) => Keeps::More,
        (false, true) => Keeps::Less,
        // A month or 30 days: it depends on the month.
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
            Scope::Wider if alone => Keeps::Less,
            Scope::Narrower if alone => Keeps::More,
            Scope::Wider | Scope::Narrower => Keeps::Both,
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
        Count::All => u32::MAX,
        Count::AtMost(most) => most.get(),
    };
    match (old, new) {
        (KeepRule::Last(old), KeepRule::Last(new)) | (KeepRule::Counted(_, old), KeepRule::Counted(_, new)) => {
            Keeps::of(count(new) > count(old), count(new) < count(old))
        }
        (KeepRule::Within(old), KeepRule::Within(new))
        | (KeepRule::WithinPeriod(_, old), KeepRule::WithinPeriod(_, new)) => longer(old, new),
        // Never asked: rules of one key are of one kind.
        _ => Keeps::Unclear,
    }
}

#[cfg(test)]
mod tests;
