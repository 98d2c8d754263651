//! Whether a policy covers more or fewer backups than before, as far as the text of its selector tells.
//!
//! Lists are compared as sets of what is written: `db-*` for `db-1` is another name, and then only `diff` knows.

use crate::retention::Selector;
use crate::retention::policy::DeletedInstances;

/// How two versions of a selector compare.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Scope {
    /// The same backups.
    Same,
    /// Those of before, and perhaps more.
    Wider,
    /// Perhaps fewer, and none that is new.
    Narrower,
    /// Some come, some go, or it is unknown.
    Other,
}

impl Scope {
    /// Both together.
    pub(super) fn and(self, other: Self) -> Self {
        match (self, other) {
            (Self::Same, it) | (it, Self::Same) => it,
            (a, b) if a == b => a,
            _ => Self::Other,
        }
    }

    fn turned(self) -> Self {
        match self {
            Self::Wider => Self::Narrower,
            Self::Narrower => Self::Wider,
            it => it,
        }
    }
}

/// How the instances that a policy covers change.
pub(super) fn instances(old: &Selector, new: &Selector) -> Scope {
    [
        limit(old.projects.as_deref(), new.projects.as_deref()),
        set(&old.engines, &new.engines),
        limit(old.instance_names.as_deref(), new.instance_names.as_deref()),
        limit(old.instance_ids.as_deref(), new.instance_ids.as_deref()),
        limit(old.enterprise_projects.as_deref(), new.enterprise_projects.as_deref()),
        // Each of these leaves out more.
        set(&old.tags, &new.tags).turned(),
        set(&old.exclude_instance_names, &new.exclude_instance_names).turned(),
        set(&old.exclude_instance_ids, &new.exclude_instance_ids).turned(),
        deleted(old.deleted_instances, new.deleted_instances),
    ]
    .into_iter()
    .fold(Scope::Same, Scope::and)
}

/// How the backups that it covers on an instance change.
pub(super) fn backups(old: &Selector, new: &Selector) -> Scope {
    limit(old.backup_names.as_deref(), new.backup_names.as_deref())
        .and(set(&old.exclude_backup_names, &new.exclude_backup_names).turned())
}

/// A list that sets no limit when it is left out.
fn limit<T: PartialEq>(old: Option<&[T]>, new: Option<&[T]>) -> Scope {
    match (old, new) {
        (None, None) => Scope::Same,
        (None, Some(_)) => Scope::Narrower,
        (Some(_), None) => Scope::Wider,
        (Some(old), Some(new)) => set(old, new),
    }
}

fn set<T: PartialEq>(old: &[T], new: &[T]) -> Scope {
    let gone = old.iter().any(|item| !new.contains(item));
    let come = new.iter().any(|item| !old.contains(item));
    match (gone, come) {
        (false, false) => Scope::Same,
        (false, true) => Scope::Wider,
        (true, false) => Scope::Narrower,
        (true, true) => Scope::Other,
    }
}

fn deleted(old: DeletedInstances, new: DeletedInstances) -> Scope {
    match (old, new) {
        (old, new) if old == new => Scope::Same,
        (DeletedInstances::Ignore, _) => Scope::Wider,
        (_, DeletedInstances::Ignore) => Scope::Narrower,
        // The same backups, which then expire by a clock of their own.
        _ => Scope::Other,
    }
}
