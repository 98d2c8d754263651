//! What the ledger says of the recent past: the last runs of each policy, and the last deletions. Read with a limit, however long the
//! history is.

use std::collections::BTreeMap;

use crate::ledger::{self, Ledger, PastDeletion, RunMark};
use crate::retention::PolicyName;

/// Runs of a policy that are shown as a strip.
pub const STRIP: u32 = 30;
/// Policies whose runs are read; the page shows no more.
const MOST_POLICIES: usize = 40;
/// Deletions that are listed.
const MOST_DELETIONS: u32 = 20;

/// The recent past.
#[derive(Clone, Debug, Default)]
pub struct Recent {
    /// Of each policy, its last runs, the oldest first.
    pub runs: BTreeMap<PolicyName, Vec<RunMark>>,
    /// The last deletions that were sent, the newest first.
    pub deletions: Vec<PastDeletion>,
}

impl Recent {
    /// Reads it.
    pub(super) fn read<'p>(
        ledger: &Ledger,
        policies: impl Iterator<Item = &'p PolicyName>,
    ) -> Result<Self, ledger::Error> {
        let mut runs = BTreeMap::new();
        for policy in policies.take(MOST_POLICIES) {
            let mut marks = ledger.run_marks(policy, STRIP)?;
            marks.reverse();
            runs.insert(policy.clone(), marks);
        }
        Ok(Self {
            runs,
            deletions: ledger.last_deletions(MOST_DELETIONS)?,
        })
    }
}
