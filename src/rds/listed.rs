//! What a listing is asked for, and what an entry of the instance list says.

use crate::retention::Instance;

/// Which backups are listed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Listed {
    /// `backup_type=manual`.
    Manual,
    /// `backup_type=auto`.
    Automated,
}

/// One entry of the list of instances, with what decides whether it is managed at all.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct InstanceEntry {
    /// The instance.
    pub instance: Instance,
    /// A read replica: it has no manual backups.
    pub is_replica: bool,
    /// It has tags that cannot be read, or one without its key or value; `instance` has those that can.
    pub has_odd_tags: bool,
    /// It has a list of tags, empty where it has none (API page "Querying DB Instances").
    pub has_tags: bool,
}
