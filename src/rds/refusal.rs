//! What an API's refusal of a read means.

use super::error::{CallPlace, Error};
use super::operation::Operation;
use super::response::Response;

/// Codes that say that an instance does not exist (API reference, section 7).
pub(super) const UNKNOWN_INSTANCE: [&str; 7] = [
    "DBS.200002",
    "DBS.200045",
    "DBS.200408",
    "DBS.200602",
    "DBS.201028",
    "DBS.290005",
    "DBS.290011",
];

/// Whether a refusal of a deletion is about the call and not about an id: the gateway does not know it.
pub fn refuses_the_call(status: u16, code: &str) -> bool {
    status == 404 && code.starts_with("APIG")
}

/// Whether a refusal says that the engine of a backup has no such deletion: that of all, or of one that is not what it is listed as.
pub fn is_of_engine(code: &str) -> bool {
    code == "DBS.201207"
}

/// The error that a 4xx other than 401 and 429, or a redirect, means for a read.
pub(super) fn refusal(place: &CallPlace, reply: &Response) -> Error {
    let (place, status, said) = (place.clone(), reply.status, reply.said());
    let gateway = said.code.starts_with("APIG");
    if UNKNOWN_INSTANCE.contains(&said.code.as_str()) {
        return Error::NotFound { place, status, said };
    }
    match status {
        403 => {
            let action = place.operation.action();
            let hint = format!("grant {action} to the user or agency, for this project");
            Error::NotAllowed {
                place,
                status,
                said,
                hint,
            }
        }
        // The retained listing is younger than the others: where the gateway does not know it, there is nothing to be had.
        404 if gateway && place.operation != Operation::ListRetainedBackups => Error::Configuration {
            project: place.project.clone(),
            message: format!(
                "{place}: the endpoint does not have this API (HTTP 404, {said}); check endpoint and region"
            ),
            source: None,
        },
        404 => Error::NotFound { place, status, said },
        _ => Error::Refused { place, status, said },
    }
}
