//! Two versions of a configuration, and what both together keep: decided, on real backups.

use std::collections::BTreeSet;
use std::sync::LazyLock;

use proptest::prelude::*;

use super::*;
use crate::config::difference::whole;
use crate::config::{Environment, PolicyEntry, load};
use crate::retention::fuzz::{self, Tape};
use crate::retention::plan::PlannedDeletion;
use crate::retention::{Backup, BackupId, Candidate, ExpireReason, Hold, Instance, Limits, Span, Verdict, decide};

fn read(policies: &str, more: &str) -> Config {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("config.yaml");
    std::fs::write(
        &file,
        format!("version: 1\nstate_dir: /nowhere\n{more}\npolicies:\n{policies}"),
    )
    .unwrap();
    load(&file, &Environment::default()).unwrap_or_else(|problems| panic!("{problems}"))
}

fn policy(name: &str, rest: &str) -> String {
    format!("  - {{name: {name}, mode: enforce, {rest}}}\n")
}

fn modes(config: &Config) -> Vec<(&str, Mode)> {
    let entries = config.policies.iter().map(|entry| &entry.policy);
    entries.map(|policy| (policy.name.as_str(), policy.mode)).collect()
}

#[test]
fn what_an_edit_keeps_is_kept_beside_the_configuration_in_force() {
    let (p, q) = (policy("p", "keep: {last: 3}"), policy("q", "keep: {last: 3}"));
    let now = read(
        &(p.clone() + &q),
        "holds: [{backup: b1, reason: r}]\nfreeze: {reason: r, until: 2027-01-01T00:00:00Z}",
    );
    // Less by one policy, more by another, other holds, and a longer freeze.
    let then = read(
        &(p.replace("last: 3", "last: 2") + &q.replace("last: 3", "last: 5")),
        "holds: [{backup: b2, reason: r}]\nfreeze: {reason: r}",
    );
    let merged = merge(&now, &then);
    assert_eq!(modes(&merged), [("p", Mode::Enforce), ("q", Mode::Enforce)]);
    assert_eq!(merged.policies[0].policy, now.policies[0].policy);
    assert_eq!(merged.policies[1].policy, then.policies[1].policy);
    assert_eq!(merged.holds, [now.holds.clone(), then.holds.clone()].concat());
    assert_eq!(merged.freeze, then.freeze);
    assert_eq!(merged.protecting, []);
    // The way back keeps the longer freeze, too.
    assert_eq!(merge(&then, &now).freeze, then.freeze);

    // One that is new, one that is gone, one that does both.
    let then = read(
        &(p.replace("last: 3", "daily: 3") + &policy("r", "keep: {last: 9}")),
        "",
    );
    let merged = merge(&now, &then);
    assert_eq!(modes(&merged), [("p", Mode::DryRun), ("q", Mode::DryRun)]);
    let beside: Vec<&str> = merged.protecting.iter().map(|policy| policy.name.as_str()).collect();
    assert_eq!(beside, ["p (edit that waits)", "r (edit that waits)"]);
    assert_eq!((merged.holds.len(), merged.freeze.is_some()), (1, true));
    assert_eq!(merge(&merged, &then).protecting, merged.protecting, "once");
    assert!(
        whole(&merged, &now).may_keep_less(),
        "what was merged is not lost by a look back"
    );
}

#[test]
fn an_edit_of_projects_lets_nothing_go_where_one_is_asked_elsewhere() {
    let projects = |projects: &[(&str, &str)]| {
        let one = |(name, region): &(&str, &str)| format!("  - {{name: {name}, region: {region}}}\n");
        let list: String = projects.iter().map(one).collect();
        read(&policy("p", "keep: {last: 3}"), &format!("projects:\n{list}"))
    };
    let (a, b) = (("a", "eu-west-101"), ("b", "af-south-1"));
    let now = projects(&[a, b]);
    for (then, mode) in [
        (projects(&[b, a]), Mode::Enforce),
        (projects(&[a, b, ("c", "ap-southeast-1")]), Mode::Enforce),
        (projects(&[a]), Mode::DryRun),
        (projects(&[a, ("b", "ap-southeast-3")]), Mode::DryRun),
    ] {
        assert_eq!(modes(&merge(&now, &then)), [("p", mode)], "{:?}", then.projects);
    }
    let kept = kept_by_edit(&now, &projects(&[("a", "ap-southeast-3"), b]));
    assert_eq!(kept.projects, BTreeSet::from(["a".into()]));
    assert!(kept.policies.is_empty() && kept.protecting.is_empty());
}

fn planned(policy: &str, instance: &str, name: &str) -> PlannedDeletion {
    let instance = Instance {
        name: instance.into(),
        ..fuzz::instance("i1in04", crate::retention::InstanceLife::Listed)
    };
    PlannedDeletion {
        policy: policy.into(),
        candidate: Candidate {
            instance: Arc::new(instance),
            id: "b1".into(),
            name: name.into(),
            begin: chrono::DateTime::UNIX_EPOCH,
            size_bytes: 1,
            status: crate::retention::BackupStatus::Completed,
            reason: ExpireReason::NotKept,
        },
    }
}

#[test]
fn a_run_under_way_leaves_what_an_edit_may_keep_and_nothing_else() {
    let p = policy("p", "keep: {last: 3}, grace: 1d, max_age: 1y");
    let q = policy("q", "keep: {last: 3}, select: {instances: {names: [b]}}");
    let both = p.clone() + &q;
    let kept = |edited: &str, more: &str| {
        let kept = kept_by_edit(&read(&both, ""), &read(edited, more));
        let pairs = [("p", "a"), ("p", "b"), ("q", "b")];
        pairs.map(|(policy, instance)| kept.keeps(&planned(policy, instance, "n")))
    };
    let edit = |old: &str, new: &str| kept(&(p.replace(old, new) + &q), "");
    // Nothing that concerns it, or plainly less.
    for less in [
        ("last: 3", "last: 2"),
        ("grace: 1d", "grace: 0s"),
        ("max_age: 1y", "max_age: 1mo"),
        ("", ""),
    ] {
        assert_eq!(edit(less.0, less.1), [false; 3], "{less:?}");
    }
    assert_eq!(
        kept(&both, "holds: [{backup: b9, reason: r}]"),
        [false; 3],
        "the ledger asks for holds"
    );
    // More, or perhaps more. Policy `p` selects everything, so it may keep what `q` lets go, too.
    for more in [
        ("last: 3", "last: 4"),
        ("last: 3", "daily: 3"),
        ("enforce", "dry-run"),
        ("max_age: 1y", "max_age: 2y"),
        ("grace: 1d", "grace: 2d"),
        ("grace: 1d", "grace: 1d, timezone: Asia/Singapore"),
    ] {
        assert_eq!(edit(more.0, more.1), [true; 3], "{more:?}");
    }
    // Of `q` it concerns instance `b` alone.
    assert_eq!(
        kept(&(p.clone() + &q.replace("last: 3", "last: 4")), ""),
        [false, true, true]
    );
    assert_eq!(kept(&p, ""), [false, false, true], "removed: nothing goes by it");
    let added = |rest: &str| kept(&(both.clone() + &policy("r", rest)), "");
    assert_eq!(
        added("keep: {last: 9}, select: {instances: {names: [a]}}"),
        [true, false, false]
    );
    assert_eq!(added("keep: {last: 9}, select: {instances: {names: [c]}}"), [false; 3]);
    assert_eq!(
        added("keep: {last: 9}, select: {backups: {names: [other]}}"),
        [false; 3]
    );
}

/// A policy as before, or with some of its parts from another one, or with one of them larger or smaller.
fn edited(tape: &mut Tape<'_>, old: &Policy) -> Policy {
    let other = fuzz::policy(tape, 0);
    let mut new = old.clone();
    for _ in 0..=tape.below(2) {
        match tape.below(14) {
            0 => new.mode = tape.pick(&[Mode::Enforce, Mode::DryRun]),
            1 => new.zone = other.zone,
            2 => new.select = other.select.clone(),
            3 => new
                .select
                .exclude_backup_names
                .clone_from(&other.select.exclude_backup_names),
            4 => new.keep = other.keep.clone(),
            5 => new.max_age = other.max_age,
            6 => new.failed_after = other.failed_after,
            7 => new.min_backups = other.min_backups,
            8 => new.require_backup_within = tape.once_in(2).then(|| fuzz::span(tape)),
            9 => {
                new.limits = Limits {
                    max_percent: 1 + tape.below(100),
                    ..new.limits
                }
            }
            10 => new.grace = fuzz::span(tape),
            // The same rules, some of them with other amounts.
            11 | 12 => {
                let rules = old.keep.rules().iter().chain(other.keep.rules()).copied();
                let names = if tape.once_in(2) {
                    old.keep.names()
                } else {
                    other.keep.names()
                };
                new.keep = crate::retention::KeepRules::new(rules.collect(), names.to_vec()).unwrap();
            }
            _ => new.max_age = new.max_age.map(|_| fuzz::span(tape)),
        }
    }
    new
}

fn config(policies: Vec<Policy>, holds: Vec<Hold>) -> Config {
    let entry = |policy: Policy| PolicyEntry {
        // Rules of one key once, as the configuration has them.
        policy: Arc::new(Policy {
            keep: once_each(&policy),
            ..policy
        }),
        schedule: None,
        jitter: Span::ZERO,
        catch_up: true,
    };
    Config {
        policies: policies.into_iter().map(entry).collect(),
        holds,
        ..EMPTY.clone()
    }
}

/// Everything else, with defaults.
static EMPTY: LazyLock<Config> = LazyLock::new(|| read(&policy("p", "keep: {last: 1}"), ""));

fn once_each(policy: &Policy) -> crate::retention::KeepRules {
    let mut keys = BTreeSet::new();
    let rules = policy
        .keep
        .rules()
        .iter()
        .filter(|rule| keys.insert(rule.key()))
        .copied();
    crate::retention::KeepRules::new(rules.collect(), policy.keep.names().to_vec()).unwrap()
}

/// What is deleted under a configuration, grace and guard apart.
fn deleted(
    config: &Config,
    instance: &Instance,
    backups: &[Backup],
    now: chrono::DateTime<chrono::Utc>,
) -> BTreeSet<BackupId> {
    let policies = config
        .policies
        .iter()
        .map(|entry| &entry.policy)
        .chain(&config.protecting);
    let full = crate::retention::Knowledge::Full;
    let policies: Vec<Arc<Policy>> = policies
        .filter(|policy| policy.select.claims(instance, full))
        .cloned()
        .collect();
    let decided = decide(instance, backups, &config.holds, &policies, now);
    let expired = |(policy, decisions): (&Arc<Policy>, Vec<crate::retention::Decision>)| {
        let is_enforced = policy.mode == Mode::Enforce;
        decisions
            .into_iter()
            .filter(move |decision| is_enforced && matches!(decision.verdict, Verdict::Expire(_)))
            .map(|decision| backups[decision.backup].id.clone())
    };
    policies.iter().zip(decided).flat_map(expired).collect()
}

fn check(data: &[u8]) {
    let tape = &mut Tape::new(data);
    let now = fuzz::moment(tape);
    let backups: Vec<Backup> = (0..8 + tape.below(32)).map(|nth| fuzz::backup(tape, nth)).collect();
    let instance = fuzz::instance("i1in04", crate::retention::InstanceLife::Listed);
    let before: Vec<Policy> = (0..=tape.below(2)).map(|nth| fuzz::policy(tape, nth)).collect();
    let mut after: Vec<Policy> = before.clone();
    let last = after.len() - 1;
    after[last] = edited(tape, &after[last]);
    match tape.below(6) {
        0 if after.len() > 1 => drop(after.pop()),
        1 => after.push(fuzz::policy(tape, 7)),
        _ => {}
    }
    let holds = |tape: &mut Tape<'_>| {
        (0..tape.below(2))
            .map(|_| fuzz::hold(tape, &backups))
            .collect::<Vec<_>>()
    };
    let first = holds(tape);
    let second = if tape.once_in(3) { holds(tape) } else { first.clone() };
    let (old, new) = (config(before, first), config(after, second));
    let of = |config: &Config| deleted(config, &instance, &backups, now);
    let (goes, would_go) = (of(&old), of(&new));
    let keeps = whole(&old, &new);
    if !keeps.may_keep_less() {
        assert!(
            would_go.is_subset(&goes),
            "{keeps:?} at {now}: {would_go:?} not in {goes:?}\n{old:#?}\n{new:#?}\n{backups:#?}"
        );
    }
    if !keeps.may_keep_more() {
        assert!(
            goes.is_subset(&would_go),
            "{keeps:?} at {now}: {goes:?} not in {would_go:?}\n{old:#?}\n{new:#?}\n{backups:#?}"
        );
    }
    let merged = of(&merge(&old, &new));
    assert!(
        merged.is_subset(&goes) && merged.is_subset(&would_go),
        "{merged:?} not in both of {goes:?} and {would_go:?} at {now}\n{old:#?}\n{new:#?}\n{backups:#?}"
    );
    // What a run under way goes on with, it may delete under both. A hold keeps what it names, and gives its slot to another
    // backup only in the next run.
    let kept = kept_by_edit(&old, &new);
    let policies: Vec<Arc<Policy>> = old.policies.iter().map(|entry| Arc::clone(&entry.policy)).collect();
    let decided = decide(&instance, &backups, &old.holds, &policies, now);
    for (policy, decisions) in policies.iter().zip(decided).filter(|_| old.holds == new.holds) {
        for decision in decisions {
            let backup = &backups[decision.backup];
            let goes_on = !kept.keeps(&planned(policy.name.as_str(), "mssql", &backup.name));
            if policy.mode == Mode::Enforce && matches!(decision.verdict, Verdict::Expire(_)) && goes_on {
                assert!(
                    would_go.contains(&backup.id),
                    "{} at {now}\n{old:#?}\n{new:#?}\n{backups:#?}",
                    backup.id
                );
            }
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]
    #[test]
    fn what_plainly_keeps_more_lets_nothing_go_and_both_together_keep_what_either_keeps(
        data in prop::collection::vec(any::<u8>(), 400..900)
    ) {
        check(&data);
    }
}
