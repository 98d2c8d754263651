//! What a run found and did, as one value: the log line, metrics, ledger, page, tables and JSON are all made from it.
//!
//! Not for words: reasons stay typed here, sentences are made where they are shown.

mod decisions;
mod outcome;
mod policy_report;
mod run_report;
mod run_summary;
mod skip;

pub use decisions::{Action, BackupRow, InstanceSummary, Summary, Tally};
pub use outcome::{Fate, Outcome, RunResult};
pub use policy_report::{GuardVerdict, PolicyReport, Restart, Sent};
pub use run_report::{InstanceCounts, Overlap, RunReport, Settled};
pub use run_summary::{Interruption, RefusalRecord, RunNumbers, RunSummary};
pub use skip::{Skip, SkipReason, SkipRecord};

#[cfg(test)]
mod tests;
