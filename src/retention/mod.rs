//! Layer 0: what a backup is, what may go, and why.
//!
//! This module decides and is pure: no I/O, no clock, no logging; `now` is an argument. It is *not* for words
//! shown to people (those are made in `cli` and `web`) nor for knowing where backups come from (`rds`).
//!
//! The way through it: [`Backup`]s and [`Hold`]s of one [`Instance`], and the [`Policy`]s that claim it, go into
//! [`decide`]; the decisions of all instances make a [`Plan`]; [`Plan::approve`] turns it into an [`ApprovedPlan`] or a
//! [`Refusal`]; an approved plan is cut into [`Batch`]es, and only a batch can be deleted.

pub mod backup;
pub mod bucket;
pub mod compare;
pub mod engine;
pub mod evaluate;
pub mod forecast;
pub mod hold;
pub mod kept;
pub mod orphan;
pub mod pattern;
pub mod plan;
pub mod policy;
pub mod report;
pub mod span;
pub mod streams;
mod tzif;
pub mod view;
pub mod weeks;
pub mod what_if;
pub mod word;
pub mod zone;

#[cfg(test)]
mod fixtures;
#[cfg(any(test, fuzzing))]
pub mod fuzz;
#[cfg(any(test, fuzzing))]
pub mod oracle;

pub use backup::{
    Backup, BackupId, BackupKind, BackupStatus, Databases, Doubt, Instance, InstanceId, InstanceLife, PolicyName,
    ProjectName, total_bytes,
};
pub use engine::Engine;
pub use evaluate::{Decision, ExpireReason, KeepReason, KeptBy, Series, Verdict, decide};
pub use hold::{Freeze, FreezeSources, Freezes, Hold, HoldTarget};
pub use pattern::Pattern;
pub use plan::{ApprovedPlan, Batch, Candidate, Plan, Refusal};
pub use policy::{
    Count, DeletedInstances, KeepRule, KeepRules, Knowledge, Limits, Mode, OverLimit, People, Period, Policy, Selector,
    TagFilter,
};
pub use report::{Fate, Outcome, RunReport};
pub use span::Span;
pub use zone::Zone;
