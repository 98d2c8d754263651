//! What the rows of the chain about holds and freezes say, as they are written and read.

use serde::{Deserialize, Serialize};

use super::person::Person;
use crate::retention::{Freeze, Hold};

#[derive(Serialize, Deserialize)]
pub(super) struct HoldBody {
    pub(super) number: i64,
    pub(super) hold: Hold,
    pub(super) by: String,
    #[serde(skip_serializing_if = "std::ops::Not::not", default)]
    pub(super) compliance: bool,
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub(super) person: Option<Person>,
}

#[derive(Serialize, Deserialize)]
pub(super) struct ReleaseBody {
    pub(super) number: i64,
    pub(super) by: String,
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub(super) reason: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub(super) person: Option<Person>,
}

/// Rows of format 3 and older have no number: there was one freeze, and a new one replaced it.
#[derive(Serialize, Deserialize)]
pub(super) struct FreezeBody {
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub(super) number: Option<i64>,
    pub(super) freeze: Freeze,
    pub(super) by: String,
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub(super) person: Option<Person>,
}

#[derive(Serialize, Deserialize)]
pub(super) struct ThawBody {
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub(super) number: Option<i64>,
    pub(super) by: String,
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub(super) reason: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub(super) person: Option<Person>,
}

/// A hold's id from its number.
pub(super) fn id_of(number: i64) -> String {
    format!("h{number}")
}

/// A freeze's id from its number.
pub(super) fn freeze_id(number: i64) -> String {
    format!("f{number}")
}
