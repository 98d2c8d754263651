//! What a run is asked to do, and what its report is to hold.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use chrono::{DateTime, Utc};

use crate::ledger::Person;
use crate::retention::report::BackupRow;
use crate::retention::{InstanceId, PolicyName};

/// What a run is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Purpose {
    /// Look and decide; write nothing, send nothing.
    Plan,
    /// Do it: grace, guard, ledger, deletion.
    Apply {
        /// How long to wait for accepted deletions to be gone.
        confirm_for: Duration,
    },
}

/// Which decisions a report holds, one by one.
#[derive(Clone, Debug)]
pub enum ReportDetail {
    /// All of them.
    All,
    /// All of them, or none where they are more than this: a report that is kept must not grow with the fleet.
    UpTo(usize),
    /// All, as long as few are kept; of more than [`ReportDetail::FEW`] those of backups that go, so that a report grows with what is
    /// deleted and not with the fleet.
    Going,
    /// None: the sink gets each as soon as it is made, and [`fates`](crate::retention::RunReport::fates) has what became of the ids that were sent.
    Streamed(RowSink),
    /// None.
    None,
}

impl ReportDetail {
    /// So many kept backups are few.
    pub const FEW: usize = 200;

    /// Everything is decided once more: the rows before are void.
    pub(super) fn forget(&self) {
        if let Self::Streamed(sink) = self {
            (sink.forget)();
        }
    }
}

/// Gets each decision of each policy that runs, in the order in which they are made and before the guard looks at them; must
/// return at once.
#[derive(Clone)]
pub struct RowSink {
    pub(super) add: Arc<OnRow>,
    forget: Arc<dyn Fn() + Send + Sync>,
}

type OnRow = dyn Fn(&PolicyName, &BackupRow) + Send + Sync;

impl RowSink {
    /// `add` gets each row; `forget` drops those before, where a run decides everything once more.
    pub fn new(
        add: impl Fn(&PolicyName, &BackupRow) + Send + Sync + 'static,
        forget: impl Fn() + Send + Sync + 'static,
    ) -> Self {
        Self {
            add: Arc::new(add),
            forget: Arc::new(forget),
        }
    }
}

impl fmt::Debug for RowSink {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("RowSink")
    }
}

/// What to do in one run.
#[derive(Clone, Debug)]
pub struct RunRequest {
    /// What it is for.
    pub purpose: Purpose,
    /// The policies that run; `None` is all of them. The others still protect what they keep.
    pub policies: Option<Vec<PolicyName>>,
    /// Only this instance.
    pub instance: Option<InstanceId>,
    /// The one reading of the clock that decides.
    pub now: DateTime<Utc>,
    /// Which decisions are wanted in the report, beside their numbers.
    pub rows: ReportDetail,
    /// Who asked: `cron`, `catch-up`, `apply`.
    pub trigger: &'static str,
    /// Who typed it, where a person did.
    pub person: Option<Arc<Person>>,
    /// How long it may take; what is left then is the next run's.
    pub budget: Duration,
}
