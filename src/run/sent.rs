//! What became of the ids that were approved.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use super::request::ReportDetail;
use crate::retention::plan::PlannedDeletion;
use crate::retention::report::{Sent, Skip, SkipReason};
use crate::retention::{Fate, Hold, KeepReason, Outcome, ProjectName, RunReport, total_bytes};

/// One approved id and what became of it.
pub(super) struct SentItem {
    pub(super) planned: PlannedDeletion,
    /// `None`: it was not sent. Shared, for most of a run's ids have one of a few fates.
    pub(super) fate: Option<Arc<Fate>>,
    /// The hold that came meanwhile: it is kept, and has no fate.
    pub(super) held: Option<Box<Hold>>,
}

/// Everything that was approved, after the sending.
pub(super) struct SendResult {
    pub(super) items: Vec<SentItem>,
    pub(super) skipped: Vec<Skip>,
}

impl SendResult {
    /// Enters what became of the sent ids into the report.
    pub(super) fn enter(self, report: &mut RunReport, rows: &ReportDetail) {
        // By a freeze or a clock, while batches were sent.
        let refused = self.skipped.iter();
        let refused = refused.filter(|skip| matches!(skip.reason, SkipReason::Guard(_)));
        let refused: HashSet<ProjectName> = refused.map(|skip| skip.project.clone()).collect();
        for item in &self.items {
            let Some(policy) = report
                .policies
                .iter_mut()
                .find(|policy| policy.policy == item.planned.policy)
            else {
                continue;
            };
            if item.held.is_some() {
                policy.keep_held(&item.planned.candidate);
                continue;
            }
            let Some(fate) = item.fate.as_deref() else {
                policy.left += 1;
                if refused.contains(&item.planned.candidate.instance.project) {
                    policy.held_back.add(item.planned.candidate.size_bytes);
                }
                continue;
            };
            let tally: &mut Sent = policy
                .sent
                .entry(item.planned.candidate.instance.project.clone())
                .or_default();
            *tally.fates.entry(fate.key().to_owned()).or_default() += 1;
            if let Fate::Answered(Outcome::Rejected { code, .. }) = fate {
                *tally.codes.entry(code.clone()).or_default() += 1;
            }
            if *fate == Fate::Confirmed {
                tally.confirmed_bytes = total_bytes([tally.confirmed_bytes, item.planned.candidate.size_bytes]);
            }
        }
        report.skipped.extend(self.skipped);
        let is_streamed = matches!(rows, ReportDetail::Streamed(_));
        if !is_streamed && report.policies.iter().all(|policy| policy.rows.is_empty()) {
            return;
        }
        let (mut fates, mut held) = (HashMap::new(), HashMap::new());
        for SentItem {
            planned,
            fate,
            held: hold,
        } in self.items
        {
            let id = planned.candidate.id;
            held.extend(hold.map(|hold| (id.clone(), KeepReason::hold(*hold))));
            fates.extend(fate.map(|fate| (id, fate)));
        }
        report.mark(&fates);
        report.mark_held(&held);
        if is_streamed {
            (report.fates, report.held) = (fates, held);
        }
    }
}
