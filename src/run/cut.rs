//! Reads that can be cut short: by the run's time budget, or because the program is told to stop.

use tokio::time::Instant;

use super::{World, skip_of, told_to_stop};
use crate::rds;
use crate::retention::report::{Skip, SkipReason};
use crate::retention::{InstanceId, ProjectName};

/// An answer to a question, or `None` when it was cut short.
pub(super) type Cut<T> = Option<Result<T, rds::Error>>;

/// Why something was not read, when it was cut short.
pub(super) const CUT: &str = "the run's time was over, or it was told to stop";

/// Asks until the run's time is over or the program is told to stop. A read changes nothing, so it can be dropped; waited
/// for, its retries would hold up the end of the program for minutes (contract, guarantee 11).
pub(super) async fn until_told<T>(
    world: &World,
    deadline: Instant,
    asking: impl Future<Output = Result<T, rds::Error>>,
) -> Cut<T> {
    tokio::select! {
        // What would be dropped is not begun.
        biased;
        () = told_to_stop(world) => None,
        () = tokio::time::sleep_until(deadline) => None,
        answer = asking => Some(answer),
    }
}

pub(super) fn skip_or_cut(project: &ProjectName, instance: Option<&InstanceId>, error: Option<&rds::Error>) -> Skip {
    error.map_or_else(
        || Skip {
            project: project.clone(),
            instance: instance.cloned(),
            reason: SkipReason::Budget,
            message: CUT.to_owned(),
        },
        |error| skip_of(project, instance, error),
    )
}
