//! Two policies on one backup: both must let it go.

use std::sync::Arc;

use chrono::{DateTime, Utc};

use super::decision::{Decision, KeepReason, KeptBy, Verdict};
use crate::retention::Policy;

/// What one policy lets go and another keeps is kept, and goes when the last of them lets it go.
pub(super) fn settle_overlaps(all: &mut [Vec<Decision>], policies: &[Arc<Policy>], backups: usize) {
    let mut by_backup: Vec<Vec<(usize, usize)>> = vec![Vec::new(); backups];
    for (policy, decisions) in all.iter().enumerate() {
        for (place, decision) in decisions.iter().enumerate() {
            by_backup[decision.backup].push((policy, place));
        }
    }
    for places in by_backup.into_iter().filter(|places| places.len() > 1) {
        let keepers: Vec<usize> = places
            .iter()
            .filter(|(p, d)| matches!(all[*p][*d].verdict, Verdict::Keep(_)))
            .map(|(p, _)| *p)
            .collect();
        if keepers.is_empty() {
            continue;
        }
        let kept = |(p, d): &(usize, usize)| {
            let decision = &all[*p][*d];
            matches!(decision.verdict, Verdict::Keep(_)).then_some(decision.expires_at)
        };
        // `None` among them is "never", which no time outlasts.
        let ends: Vec<Option<DateTime<Utc>>> = places.iter().filter_map(kept).collect();
        let expires_at = if ends.contains(&None) {
            None
        } else {
            ends.into_iter().flatten().max()
        };
        for (policy, place) in places {
            let decision = &mut all[policy][place];
            if let Verdict::Expire(_) = decision.verdict {
                let reason = |p: &usize| KeepReason::of(KeptBy::Policy(policies[*p].name.clone()));
                decision.verdict = Verdict::Keep(keepers.iter().map(reason).collect());
            }
            decision.expires_at = expires_at;
        }
    }
}
