//! The guard: from everything that is due to what may be sent.
//!
//! A [`Plan`] holds all that one policy would delete in one run. Only [`Plan::approve`] makes an [`ApprovedPlan`], only
//! an approved plan makes [`Batch`]es, and the client deletes nothing but batches: no other path to deletion exists.

mod batch;
mod candidate;
mod guard;
mod refusal;

pub use batch::{Batch, Batches, PlannedDeletion};
pub use candidate::Candidate;
pub use guard::{Approval, ApprovedPlan, Conditions, InstanceDue, Plan};
pub use refusal::{ClockCheck, Refusal};

#[cfg(test)]
mod tests;
