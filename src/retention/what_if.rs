//! What would have to be written differently for one backup to go, or to stay.
//!
//! Nothing is guessed: every proposal is decided again with the changed policy, and only what then holds is returned.
//! A policy is looked at on its own; that another one keeps a backup too is the caller's to say.

use std::num::NonZeroU32;
use std::sync::Arc;

use chrono::{DateTime, TimeDelta, Utc};
use serde::{Serialize, Serializer};

use super::policy::Count;
use super::{
    Backup, BackupStatus, Decision, ExpireReason, Hold, Instance, KeepReason, KeepRule, KeepRules, KeptBy, Pattern,
    Policy, Span, Verdict, decide,
};

/// One backup of one instance under one policy.
#[derive(Clone, Copy)]
pub struct WhatIf<'a> {
    /// The instance.
    pub instance: &'a Instance,
    /// All its backups.
    pub backups: &'a [Backup],
    /// Which of them it is about.
    pub backup: usize,
    /// The holds in force.
    pub holds: &'a [Hold],
    /// The policy.
    pub policy: &'a Arc<Policy>,
    /// The moment.
    pub now: DateTime<Utc>,
}

/// One key of a policy, before and after; or a hold that ends.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Edit {
    /// A keep rule; without `to` it is left out.
    Rule {
        /// As it is.
        from: KeepRule,
        /// As it would be.
        to: Option<KeepRule>,
    },
    /// `max_age`; without `to` it is left out.
    MaxAge {
        /// As it is.
        from: Span,
        /// As it would be.
        to: Option<Span>,
    },
    /// `failed_after`.
    FailedAfter {
        /// As it is.
        from: Span,
        /// As it would be.
        to: Span,
    },
    /// A glob of `keep.names` that is left out.
    Name(Pattern),
    /// A hold that is released, or taken out of the configuration.
    Hold(Box<Hold>),
}

impl Serialize for Edit {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        #[derive(Serialize)]
        struct View {
            key: &'static str,
            from: String,
            to: Option<String>,
        }
        let view = |key, from, to| View { key, from, to };
        let view = match self {
            Self::Rule { from, to } => view(from.key(), from.value(), to.map(KeepRule::value)),
            Self::MaxAge { from, to } => view("max_age", from.to_string(), to.map(|to| to.to_string())),
            Self::FailedAfter { from, to } => view("failed_after", from.to_string(), Some(to.to_string())),
            Self::Name(pattern) => view("keep.names", pattern.as_str().to_owned(), None),
            // By its id where it was placed by command; one of the configuration has none.
            Self::Hold(hold) => view("holds", hold.id.clone().unwrap_or_else(|| hold.reason.clone()), None),
        };
        view.serialize(serializer)
    }
}

/// Edits that, made together, turn the decision.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct EditedValue {
    /// What to write differently.
    pub edits: Vec<Edit>,
    /// How many other backups of this instance would change fate with it.
    #[serde(rename = "other_backups")]
    pub others: usize,
}

/// Why no edit lets a kept backup go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Bound {
    /// It is among the `min_backups` newest.
    Floor,
    /// The policy would have no rule left.
    OnlyRule,
    /// It FAILED, and no newer one is COMPLETED.
    NoNewer,
    /// Its state keeps it, or another policy, or a doubt.
    NotByRule,
}

/// The smallest change under which a kept backup would go: holds that end, names and rules that are written differently.
pub fn lets_go(case: &WhatIf<'_>) -> Result<EditedValue, Bound> {
    let before = case.decide(case.policy);
    let mut trial = Trial {
        policy: Policy::clone(case.policy),
        holds: case.holds.to_vec(),
        edits: Vec::new(),
    };
    // What is edited may uncover another reason, in a later series, behind a hold or by a rounded span: a few rounds settle
    // that.
    for _ in 0..MOST_ROUNDS {
        let policy = Arc::new(trial.policy.clone());
        let now = WhatIf {
            holds: &trial.holds,
            ..*case
        };
        let decided = now.decide(&policy);
        let reasons = match case.verdict(&decided) {
            Some(Verdict::Keep(reasons)) => reasons,
            Some(Verdict::Expire(_)) => {
                let others = case.differing(&before, &decided);
                let edits = trial.edits;
                return Ok(EditedValue { edits, others });
            }
            None => return Err(Bound::NotByRule),
        };
        trial.edit(case, reasons)?;
    }
    Err(Bound::NotByRule)
}

/// Rounds of edits; each ends one hold, or changes each rule that keeps it.
const MOST_ROUNDS: usize = 12;

/// A policy and holds on the way to letting a backup go.
struct Trial {
    policy: Policy,
    holds: Vec<Hold>,
    edits: Vec<Edit>,
}

impl Trial {
    /// Takes away what keeps the backup now.
    fn edit(&mut self, case: &WhatIf<'_>, reasons: &[KeepReason]) -> Result<(), Bound> {
        let held = reasons.iter().find_map(|reason| match &reason.keeper {
            KeptBy::Hold(hold) => Some(hold),
            _ => None,
        });
        let is = |keeper: &KeptBy| reasons.iter().any(|reason| reason.keeper == *keeper);
        if let Some(hold) = held {
            self.holds.retain(|other| *other != **hold);
            self.edits.push(Edit::Hold(hold.clone()));
            Ok(())
        } else if is(&KeptBy::Names) {
            let Some(backup) = case.backups.get(case.backup) else {
                return Err(Bound::NotByRule);
            };
            let (out, names) = self
                .policy
                .keep
                .names()
                .iter()
                .cloned()
                .partition(|name| name.matches(&backup.name));
            self.edits
                .extend::<Vec<Edit>>(Vec::into_iter(out).map(Edit::Name).collect());
            self.policy.keep = KeepRules::new(self.policy.keep.rules().to_vec(), names).ok_or(Bound::OnlyRule)?;
            Ok(())
        } else if is(&KeptBy::TooNewFailed) {
            let (from, to) = (
                self.policy.failed_after,
                case.age().map(just_below).ok_or(Bound::NotByRule)?,
            );
            if to.approximate_seconds() >= from.approximate_seconds() {
                return Err(Bound::NoNewer);
            }
            self.policy.failed_after = to;
            self.edits.push(Edit::FailedAfter { from, to });
            Ok(())
        } else if reasons.iter().all(|reason| reason.keeper == KeptBy::Floor) {
            Err(Bound::Floor)
        } else if reasons
            .iter()
            .all(|reason| matches!(reason.keeper, KeptBy::Rule(_) | KeptBy::Floor))
        {
            self.shrink(case, reasons)
        } else {
            Err(Bound::NotByRule)
        }
    }

    /// Every rule that keeps it is made just too small for it.
    fn shrink(&mut self, case: &WhatIf<'_>, reasons: &[KeepReason]) -> Result<(), Bound> {
        let mut rules: Vec<KeepRule> = Vec::new();
        for rule in self.policy.keep.rules() {
            let own = reasons.iter().filter(|reason| reason.keeper == KeptBy::Rule(*rule));
            let Some(first) = own.clone().next() else {
                rules.push(*rule);
                continue;
            };
            let slot = own.filter_map(|reason| reason.slot).min().unwrap_or(1);
            let to = case.shrunk(*rule, slot, first);
            rules.extend(to);
            note(&mut self.edits, *rule, to);
        }
        self.policy.keep = KeepRules::new(rules, self.policy.keep.names().to_vec()).ok_or(Bound::OnlyRule)?;
        Ok(())
    }
}

/// Changes of one key each under which an expired backup would stay, the smallest first.
pub fn keeps(case: &WhatIf<'_>) -> Vec<EditedValue> {
    let before = case.decide(case.policy);
    let Some(Verdict::Expire(reason)) = case.verdict(&before) else {
        return Vec::new();
    };
    let mut changes: Vec<EditedValue> = Vec::new();
    let mut try_out = |edit: Edit| {
        let decided = case.decide(&Arc::new(apply(case.policy, &edit)));
        if matches!(case.verdict(&decided), Some(Verdict::Keep(_))) {
            let others = case.differing(&before, &decided);
            let edits = vec![edit];
            changes.push(EditedValue { edits, others });
        }
    };
    match reason {
        ExpireReason::NotKept => case
            .policy
            .keep
            .rules()
            .iter()
            .filter_map(|rule| case.grown(*rule))
            .for_each(&mut try_out),
        ExpireReason::MaxAge => {
            if let Some(from) = case.policy.max_age {
                let to = case.age().map(days_above);
                try_out(Edit::MaxAge { from, to });
            }
        }
        ExpireReason::Failed => {
            if let Some(age) = case.age() {
                let (from, to) = (case.policy.failed_after, days_above(age));
                try_out(Edit::FailedAfter { from, to });
            }
        }
        ExpireReason::InstanceDeleted => {}
    }
    changes.sort_by_key(|change| change.others);
    changes
}

fn note(edits: &mut Vec<Edit>, rule: KeepRule, to: Option<KeepRule>) {
    // A second round edits what the first one wrote.
    let known = edits.iter_mut().find_map(|edit| match edit {
        Edit::Rule { to: written, .. } if *written == Some(rule) => Some(written),
        _ => None,
    });
    match known {
        Some(written) => *written = to,
        None => edits.push(Edit::Rule { from: rule, to }),
    }
}

fn apply(policy: &Policy, edit: &Edit) -> Policy {
    let mut policy = policy.clone();
    match edit {
        Edit::Rule { from, to: Some(to) } => {
            let swap = |rule: &KeepRule| if rule == from { *to } else { *rule };
            let rules: Vec<KeepRule> = policy.keep.rules().iter().map(swap).collect();
            let names = policy.keep.names().to_vec();
            policy.keep = KeepRules::new(rules, names).unwrap_or(policy.keep);
        }
        // A proposal to keep never takes anything away.
        Edit::Rule { to: None, .. } | Edit::Name(_) | Edit::Hold(_) => {}
        Edit::MaxAge { to, .. } => policy.max_age = *to,
        Edit::FailedAfter { to, .. } => policy.failed_after = *to,
    }
    policy
}

fn days_above(length: TimeDelta) -> Span {
    Span::days(u32::try_from(length.num_days() + 1).unwrap_or(u32::MAX))
}

/// The longest span in whole days, else hours, that is shorter than this age.
fn just_below(age: TimeDelta) -> Span {
    let whole = |seconds: i64| {
        u32::try_from((age.num_seconds() - 1) / seconds)
            .ok()
            .filter(|number| *number > 0)
    };
    let days = whole(86_400).map(Span::days);
    days.or_else(|| whole(3_600).map(Span::hours)).unwrap_or(Span::ZERO)
}

impl WhatIf<'_> {
    fn decide(&self, policy: &Arc<Policy>) -> Vec<Decision> {
        let policies = std::slice::from_ref(policy);
        let mut decided = decide(self.instance, self.backups, self.holds, policies, self.now);
        decided.pop().unwrap_or_default()
    }

    fn verdict<'d>(&self, decided: &'d [Decision]) -> Option<&'d Verdict> {
        let own = decided.iter().find(|decision| decision.backup == self.backup);
        own.map(|decision| &decision.verdict)
    }

    fn differing(&self, before: &[Decision], after: &[Decision]) -> usize {
        let keeps = |decision: &Decision| matches!(decision.verdict, Verdict::Keep(_));
        let pairs = before.iter().zip(after);
        pairs
            .filter(|(a, b)| a.backup != self.backup && keeps(a) != keeps(b))
            .count()
    }

    fn begin(&self) -> Option<DateTime<Utc>> {
        self.backups.get(self.backup)?.begin
    }

    fn age(&self) -> Option<TimeDelta> {
        Some(self.now - self.begin()?)
    }

    /// How far it lies behind the newest COMPLETED one.
    fn behind_newest(&self) -> Option<TimeDelta> {
        let completed = self
            .backups
            .iter()
            .filter(|backup| backup.status == BackupStatus::Completed);
        let newest = completed
            .filter_map(|backup| backup.begin)
            .filter(|begin| *begin <= self.now)
            .max()?;
        Some(newest - self.begin()?)
    }

    /// The rule just too small for it; `None` leaves the rule out.
    fn shrunk(&self, rule: KeepRule, slot: u32, reason: &KeepReason) -> Option<KeepRule> {
        debug_assert!(matches!(reason.keeper, KeptBy::Rule(_)));
        let fewer = || NonZeroU32::new(slot.saturating_sub(1)).map(Count::AtMost);
        match rule {
            KeepRule::Last(_) => fewer().map(KeepRule::Last),
            KeepRule::Counted(period, _) => fewer().map(|count| KeepRule::Counted(period, count)),
            KeepRule::Within(span) => self.shorter(span).map(KeepRule::Within),
            KeepRule::WithinPeriod(period, span) => {
                let to = self.shorter(span)?;
                Some(KeepRule::WithinPeriod(period, to))
            }
        }
    }

    fn shorter(&self, than: Span) -> Option<Span> {
        let behind = self.behind_newest()?;
        let whole = |number: i64| u32::try_from(number).ok().filter(|number| *number > 0);
        let days = whole(behind.num_days()).map(Span::days);
        let hours = || whole(behind.num_hours()).map(Span::hours);
        // Rounded down, so that what was proposed before and did not do becomes a day shorter.
        let shorter = |span: &Span| span.approximate_seconds() < than.approximate_seconds();
        days.filter(shorter).or_else(hours).filter(shorter)
    }

    /// The rule just large enough for it.
    fn grown(&self, rule: KeepRule) -> Option<Edit> {
        let all = match rule {
            KeepRule::Last(Count::AtMost(_)) => KeepRule::Last(Count::All),
            KeepRule::Counted(period, Count::AtMost(_)) => KeepRule::Counted(period, Count::All),
            KeepRule::Within(_) => {
                let to = Some(KeepRule::Within(days_above(self.behind_newest()?)));
                return Some(Edit::Rule { from: rule, to });
            }
            KeepRule::WithinPeriod(period, _) => {
                let to = Some(KeepRule::WithinPeriod(period, days_above(self.behind_newest()?)));
                return Some(Edit::Rule { from: rule, to });
            }
            KeepRule::Last(Count::All) | KeepRule::Counted(_, Count::All) => return None,
        };
        let unlimited = Edit::Rule {
            from: rule,
            to: Some(all),
        };
        let decided = self.decide(&Arc::new(apply(self.policy, &unlimited)));
        let Some(Verdict::Keep(reasons)) = self.verdict(&decided) else {
            return None;
        };
        let slots = reasons.iter().filter(|reason| reason.keeper == KeptBy::Rule(all));
        let count = Count::AtMost(NonZeroU32::new(slots.filter_map(|reason| reason.slot).min()?)?);
        let to = match rule {
            KeepRule::Last(_) => KeepRule::Last(count),
            KeepRule::Counted(period, _) => KeepRule::Counted(period, count),
            KeepRule::Within(_) | KeepRule::WithinPeriod(..) => return None,
        };
        Some(Edit::Rule {
            from: rule,
            to: Some(to),
        })
    }
}

#[cfg(test)]
#[path = "what_if_tests.rs"]
mod tests;
