//! Reads that can be cut short: by the run's time budget, or because stop was requested.

use tokio::time::Instant;

use super::context::{RunContext, stop_requested};
use super::skip::skip_of;
use crate::rds;
use crate::retention::report::{Skip, SkipReason};
use crate::retention::{InstanceId, ProjectName};

/// An answer to a question, or `None` when it was cut short.
pub(super) type Cancellable<T> = Option<Result<T, rds::Error>>;

/// Why something was not read, when it was cut short.
pub(super) const CANCELLED: &str = "the run's time was over, or stop was requested";

/// Asks until the run's time is over or stop is requested. A read changes nothing, so it can be dropped; waited
/// for, its retries would hold up the end of the program for minutes (contract, guarantee 11).
pub(super) async fn or_cancelled<T>(
    context: &RunContext,
    deadline: Instant,
    asking: impl Future<Output = Result<T, rds::Error>>,
) -> Cancellable<T> {
    tokio::select! {
        // What would be dropped is not begun.
        biased;
        () = stop_requested(context) => None,
        () = tokio::time::sleep_until(deadline) => None,
        answer = asking => Some(answer),
    }
}

pub(super) fn skip_or_cancelled(
    project: &ProjectName,
    instance: Option<&InstanceId>,
    error: Option<&rds::Error>,
) -> Skip {
    error.map_or_else(
        || Skip {
            project: project.clone(),
            instance: instance.cloned(),
            reason: SkipReason::Budget,
            message: CANCELLED.to_owned(),
        },
        |error| skip_of(project, instance, error),
    )
}
