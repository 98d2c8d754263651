//! A deleted instance whose manual backups remain, and are paid for. For people: nothing is deleted for being one.

use serde::{Deserialize, Serialize};

use super::{InstanceId, ProjectName};

/// A deleted instance whose manual backups remain.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Orphan {
    /// Where it was.
    pub project: ProjectName,
    /// Its id.
    pub instance_id: InstanceId,
    /// Its last name.
    pub instance_name: String,
    /// Its engine, as the API spells it.
    pub engine: String,
    /// How many manual backups remain.
    pub backups: u64,
    /// Their size.
    pub bytes: u64,
    /// Whether a policy selects them.
    pub is_selected: bool,
}
