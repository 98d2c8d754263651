//! The only wall-clock read of the program. Below layer 3 `now` is an argument.

use chrono::{DateTime, Utc};

/// The current time.
#[expect(clippy::disallowed_methods, reason = "this is the one door")]
pub fn now() -> DateTime<Utc> {
    Utc::now()
}
