//! Why a project or an instance is left alone, from the error of its client.

use crate::rds::{self, Class};
use crate::retention::report::{Skip, SkipReason};
use crate::retention::{InstanceId, ProjectName};

/// A skip from an error of the client.
pub(super) fn skip_of(project: &ProjectName, instance: Option<&InstanceId>, error: &rds::Error) -> Skip {
    let reason = match error.class() {
        Class::NotAllowed => SkipReason::NotAllowed,
        Class::Disagreement | Class::NotFound => SkipReason::Listing,
        Class::Unreachable | Class::Throttled => SkipReason::Unreachable,
        Class::Configuration => SkipReason::Configuration,
    };
    Skip {
        project: project.clone(),
        instance: instance.cloned(),
        reason,
        message: error.chain(),
    }
}
