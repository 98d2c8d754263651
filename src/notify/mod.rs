//! Messages about runs to webhooks and dead man's switches, for those without Alertmanager.
//!
//! `notification` is what is said, `format` how a target wants it, `delivery` one message to one target, `notifier` the queues.
//! A message is never needed for a deletion and never delays one: a target that hangs delays its own messages alone, a full
//! queue drops, and what is left at the end of the process waits a few seconds at most. Not for sentences (`wording`) nor for
//! when a run begins or ends (`daemon`, `cli`).

mod delivery;
mod ending;
mod format;
mod notification;
mod notifier;

pub use delivery::{TestedTarget, test_targets};
pub use ending::{EndingSoon, ending_among, ending_soon};
pub use notification::FrozenBefore;
pub use notifier::Notifier;
