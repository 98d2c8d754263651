//! Which backups change fate between two sets of policies, and how much storage that is.
//!
//! Pure. Grace is taken as over and no guard is asked: what the policies mean is compared, not what a run would do today.
//! Not for the configurations' own words (`config/difference` has these) nor for showing (`cli/diff`, the daemon's log).

use std::collections::BTreeMap;
use std::sync::Arc;

use chrono::{DateTime, Utc};
use serde::{Serialize, Serializer};

use super::report::Tally;
use super::view::{BackupView, Reasons};
use super::{Backup, ExpireReason, Hold, Instance, KeepReason, KeptBy, Mode, Policy, PolicyName, Verdict, decide};

/// One of the two: the policies that claim an instance, and the holds in force.
#[derive(Clone, Copy, Debug)]
pub struct Side<'a> {
    /// In the configuration's order.
    pub policies: &'a [Arc<Policy>],
    /// Those of the configuration and those placed by command.
    pub holds: &'a [Hold],
}

/// A backup's fate on one side.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum DiffOutcome {
    /// No policy has it in its scope.
    Unmanaged,
    /// Kept; by which policy first, and by what.
    Keep(PolicyName, Vec<KeepReason>),
    /// Let go by every policy that has it in its scope.
    Expire {
        /// The one that deletes it, or would if it were enforced.
        policy: PolicyName,
        /// Whether it does.
        mode: Mode,
        /// Why.
        reason: ExpireReason,
    },
}

impl DiffOutcome {
    /// The policy that says so.
    pub fn policy(&self) -> Option<&PolicyName> {
        match self {
            Self::Unmanaged => None,
            Self::Keep(policy, _) | Self::Expire { policy, .. } => Some(policy),
        }
    }

    /// The name in JSON.
    pub fn key(&self) -> &'static str {
        match self {
            Self::Unmanaged => "unmanaged",
            Self::Keep(..) => "keep",
            Self::Expire { .. } => "expire",
        }
    }

    /// Whether it is let go, by an enforced policy or not.
    pub fn expires(&self) -> bool {
        matches!(self, Self::Expire { .. })
    }

    /// Whether it is deleted in the end.
    pub fn is_deleted(&self) -> bool {
        matches!(
            self,
            Self::Expire {
                mode: Mode::Enforce,
                ..
            }
        )
    }

    /// How far gone it is: a dry-run lets it go and deletes nothing.
    fn rank(&self) -> u8 {
        u8::from(self.expires()) + u8::from(self.is_deleted())
    }
}

/// A backup that changes fate.
#[derive(Clone, Debug)]
pub struct Changed {
    /// Its instance.
    pub instance: Arc<Instance>,
    /// The backup.
    pub backup: Backup,
    /// Its fate on the first side.
    pub now: DiffOutcome,
    /// And on the second.
    pub then: DiffOutcome,
}

impl Changed {
    /// Whether it is nearer to its deletion than before; else it is further from it.
    pub fn goes(&self) -> bool {
        self.then.rank() > self.now.rank()
    }
}

impl Serialize for DiffOutcome {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        #[derive(Serialize)]
        struct View<'a> {
            fate: &'static str,
            policy: Option<&'a PolicyName>,
            /// Of an expired one: whether it is deleted, or would be if the policy were enforced.
            mode: Option<Mode>,
            reasons: Reasons<'a>,
        }
        let (mode, reasons) = match self {
            Self::Unmanaged => (None, Reasons::None),
            Self::Keep(_, reasons) => (None, Reasons::Keep(reasons)),
            Self::Expire { mode, reason, .. } => (Some(*mode), Reasons::Expire(*reason)),
        };
        let view = View {
            fate: self.key(),
            policy: self.policy(),
            mode,
            reasons,
        };
        view.serialize(serializer)
    }
}

impl Serialize for Changed {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        #[derive(Serialize)]
        struct View<'a> {
            #[serde(flatten)]
            backup: BackupView<'a>,
            now: &'a DiffOutcome,
            then: &'a DiffOutcome,
        }
        let view = View {
            backup: BackupView::of(&self.instance, &self.backup),
            now: &self.now,
            then: &self.then,
        };
        view.serialize(serializer)
    }
}

/// All changes under one policy: the one that lets the backup go, on whichever side it goes.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Group {
    /// Those that go and stayed before.
    pub would_go: Tally,
    /// Those of them that a dry-run policy lets go: they are not deleted while it is one.
    #[serde(skip)]
    pub in_dry_run: Tally,
    /// Those that stay and went before.
    pub would_stay: Tally,
    /// Each of them, in the order in which they were found.
    pub changes: Vec<Changed>,
}

impl Group {
    fn add(&mut self, change: Changed) {
        let bytes = change.backup.size_bytes;
        if change.goes() {
            self.would_go.add(bytes);
            if !change.then.is_deleted() {
                self.in_dry_run.add(bytes);
            }
        } else {
            self.would_stay.add(bytes);
        }
        self.changes.push(change);
    }

    /// The numbers of both, without the backups.
    #[must_use]
    pub fn and(&self, other: &Self) -> Self {
        Self {
            would_go: self.would_go.and(other.would_go),
            in_dry_run: self.in_dry_run.and(other.in_dry_run),
            would_stay: self.would_stay.and(other.would_stay),
            changes: Vec::new(),
        }
    }
}

/// The changes, by policy.
pub type Groups = BTreeMap<PolicyName, Group>;

/// Compares the fates of one instance's backups and adds those that change to the groups.
pub fn compare(
    instance: &Arc<Instance>,
    backups: &[Backup],
    sides: [Side<'_>; 2],
    at: DateTime<Utc>,
    groups: &mut Groups,
) {
    let [now, then] = sides.map(|side| fates(instance, backups, side, at));
    for ((backup, now), then) in backups.iter().zip(now).zip(then) {
        if now.rank() == then.rank() {
            continue;
        }
        let letting_go = if then.rank() > now.rank() { &then } else { &now };
        let Some(policy) = letting_go.policy().cloned() else {
            continue;
        };
        groups.entry(policy).or_default().add(Changed {
            instance: Arc::clone(instance),
            backup: backup.clone(),
            now,
            then,
        });
    }
}

/// The fate of every backup of an instance, in their order.
fn fates(instance: &Instance, backups: &[Backup], side: Side<'_>, at: DateTime<Utc>) -> Vec<DiffOutcome> {
    let decided = decide(instance, backups, side.holds, side.policies, at);
    let mut fates = vec![DiffOutcome::Unmanaged; backups.len()];
    for (policy, decisions) in side.policies.iter().zip(decided) {
        for decision in decisions {
            let fate = match decision.verdict {
                // That another policy keeps it is that policy's to say.
                Verdict::Keep(reasons) if reasons.iter().all(|why| matches!(why.keeper, KeptBy::Policy(_))) => continue,
                Verdict::Keep(reasons) => DiffOutcome::Keep(policy.name.clone(), reasons),
                Verdict::Expire(reason) => DiffOutcome::Expire {
                    policy: policy.name.clone(),
                    mode: policy.mode,
                    reason,
                },
            };
            let known = &mut fates[decision.backup];
            // The first that says something; but of several that let it go, one that deletes it.
            if *known == DiffOutcome::Unmanaged || (known.expires() && fate.rank() > known.rank()) {
                *known = fate;
            }
        }
    }
    fates
}

#[cfg(test)]
mod tests {
    use super::super::fixtures::instance;
    use super::super::policy::{Count, Limits, Selector};
    use super::super::{BackupKind, BackupStatus, Databases, Engine, KeepRule, KeepRules, Span, Zone};
    use super::*;
    use std::num::NonZeroU32;

    fn policy(name: &str, mode: Mode, last: u32) -> Arc<Policy> {
        Arc::new(Policy {
            name: name.into(),
            mode,
            zone: Zone::UTC,
            select: Selector::default(),
            keep: KeepRules::new(
                vec![KeepRule::Last(Count::AtMost(NonZeroU32::new(last).unwrap()))],
                Vec::new(),
            )
            .unwrap(),
            max_age: None,
            failed_after: Span::days(7),
            min_backups: NonZeroU32::MIN,
            grace: Span::ZERO,
            require_backup_within: None,
            limits: Limits::default(),
        })
    }

    /// All changes between two sets of policies, of five backups a day apart.
    fn groups(now: &[Arc<Policy>], then: &[Arc<Policy>]) -> Groups {
        let at: DateTime<Utc> = "2026-11-23T04:00:00Z".parse().unwrap();
        let instance = Arc::new(instance());
        let backup = |day: i64| Backup {
            id: format!("b{day}").into(),
            name: "n".into(),
            kind: BackupKind::Manual,
            engine: Engine::SqlServer,
            status: BackupStatus::Completed,
            begin: Some(at - chrono::TimeDelta::days(day)),
            size_bytes: 1 << day,
            databases: Databases::All,
            end: None,
            doubt: None,
        };
        let backups: Vec<Backup> = (1..6).map(backup).collect();
        let mut groups = Groups::new();
        let sides = [now, then].map(|policies| Side { policies, holds: &[] });
        compare(&instance, &backups, sides, at, &mut groups);
        groups
    }

    /// By policy: how many go, how many of them in a dry-run, how many stay.
    fn found(now: &[Arc<Policy>], then: &[Arc<Policy>]) -> Vec<(String, u64, u64, u64)> {
        let numbers = |(policy, group): (PolicyName, Group)| {
            let bytes: u64 = group.changes.iter().map(|change| change.backup.size_bytes).sum();
            assert_eq!(bytes, group.would_go.bytes + group.would_stay.bytes);
            (
                policy.to_string(),
                group.would_go.count,
                group.in_dry_run.count,
                group.would_stay.count,
            )
        };
        groups(now, then).into_iter().map(numbers).collect()
    }

    #[test]
    fn more_or_less_is_counted_under_the_policy_that_lets_go() {
        let p = |last| [policy("p", Mode::Enforce, last)];
        assert_eq!(found(&p(2), &p(4)), [("p".to_owned(), 0, 0, 2)]);
        assert_eq!(found(&p(4), &p(1)), [("p".to_owned(), 3, 0, 0)]);
        assert_eq!(found(&p(3), &p(3)), []);
        // A new name is no new fate; a policy that goes lets nothing go any more.
        assert_eq!(found(&p(3), &[policy("q", Mode::Enforce, 3)]), []);
        assert_eq!(found(&p(3), &[]), [("p".to_owned(), 0, 0, 2)]);
        assert_eq!(found(&[], &p(3)), [("p".to_owned(), 2, 0, 0)]);
    }

    #[test]
    fn a_dry_run_that_becomes_enforced_deletes_what_it_let_go() {
        let enforced = [policy("p", Mode::Enforce, 2)];
        let tried = [policy("p", Mode::DryRun, 2)];
        assert_eq!(found(&tried, &enforced), [("p".to_owned(), 3, 0, 0)]);
        assert_eq!(found(&enforced, &tried), [("p".to_owned(), 0, 0, 3)]);
        // And a dry-run that is tried out shows what it would mean.
        assert_eq!(
            found(&tried, &[policy("p", Mode::DryRun, 1)]),
            [("p".to_owned(), 1, 1, 0)]
        );
    }

    #[test]
    fn of_two_policies_the_one_that_deletes_is_named() {
        let both = [policy("a", Mode::DryRun, 1), policy("b", Mode::Enforce, 2)];
        assert_eq!(found(&[], &both), [("b".to_owned(), 3, 0, 0)]);
        // What the dry-run one keeps is kept.
        let keeping = [policy("a", Mode::DryRun, 5), policy("b", Mode::Enforce, 2)];
        assert_eq!(found(&[], &keeping), []);
    }

    #[test]
    fn of_two_policies_that_delete_the_first_is_named() {
        for second in [Mode::Enforce, Mode::DryRun] {
            let both = [policy("a", Mode::Enforce, 1), policy("b", second, 2)];
            assert_eq!(found(&[], &both), [("a".to_owned(), 3, 0, 0)]);
        }
    }

    #[test]
    fn a_fate_says_who_and_why() {
        // `b` lets the third to fifth go, and `a` keeps them: it is `a` that says so, by its own rule.
        let keeping = [policy("b", Mode::Enforce, 2), policy("a", Mode::DryRun, 5)];
        let deleting = [policy("b", Mode::Enforce, 2)];
        let found = groups(&keeping, &deleting);
        let change = &found[&PolicyName::from("b")].changes[0];
        let DiffOutcome::Keep(who, reasons) = &change.now else {
            panic!("{:?}", change.now)
        };
        let rule = KeepRule::Last(Count::AtMost(NonZeroU32::new(5).unwrap()));
        assert_eq!(who.as_str(), "a");
        assert!(
            reasons.iter().all(|reason| reason.keeper == KeptBy::Rule(rule)),
            "{reasons:?}"
        );
        let expire = DiffOutcome::Expire {
            policy: "b".into(),
            mode: Mode::Enforce,
            reason: ExpireReason::NotKept,
        };
        assert_eq!(change.then, expire);
        let said = |fate: &DiffOutcome| (fate.key(), fate.policy().map(ToString::to_string), fate.rank());
        assert_eq!(said(&change.now), ("keep", Some("a".to_owned()), 0));
        assert_eq!(said(&change.then), ("expire", Some("b".to_owned()), 2));
        assert_eq!(said(&DiffOutcome::Unmanaged), ("unmanaged", None, 0));
    }

    #[test]
    fn numbers_of_groups_add_up() {
        let one = groups(&[policy("p", Mode::Enforce, 4)], &[policy("p", Mode::Enforce, 1)]);
        let other = groups(&[policy("p", Mode::DryRun, 2)], &[policy("p", Mode::DryRun, 1)]);
        let third = groups(&[policy("p", Mode::Enforce, 4)], &[policy("p", Mode::Enforce, 5)]);
        let of = |groups: &Groups| groups[&PolicyName::from("p")].clone();
        let sum = of(&one).and(&of(&other)).and(&of(&third));
        let tally = |count, bytes| Tally { count, bytes };
        assert_eq!(
            (sum.would_go, sum.in_dry_run, sum.would_stay),
            (tally(4, 4 + 8 + 16 + 4), tally(1, 4), tally(1, 32))
        );
        assert!(sum.changes.is_empty());
    }
}
