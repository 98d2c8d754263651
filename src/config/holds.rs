//! Holds and the freeze of the configuration; those placed by command are the ledger's.

use super::reader::Cursor;
use super::spec::{FREEZE, HOLD};
use crate::retention::{BackupId, Freeze, Hold, HoldTarget};

/// One entry of `holds`.
pub(super) fn hold(at: &Cursor<'_>) -> Option<Hold> {
    let fields = at.section(&HOLD)?;
    let text = |key: &str| fields.get(key).map(|at| at.text().map(str::to_owned));
    let glob = |key: &str| fields.get(key).map(Cursor::glob);
    let (reason, owner) = (text("reason"), text("owner"));
    let until = fields.get("until").map(Cursor::time);
    let backup = fields.get("backup").map(|at| {
        let id = at.text()?;
        if id.contains(['*', '?']) {
            at.fail(
                "`backup` is one id, exactly",
                "to hold many write `name` or `instance` with a pattern",
            );
            return None;
        }
        Some(BackupId::from(id))
    });
    let (instance, name) = (glob("instance"), glob("name"));
    let target = match (backup, instance, name) {
        (Some(backup), None, None) => HoldTarget::Backup(backup?),
        (None, None, None) => {
            at.fail(
                "the hold says nothing about what it holds",
                "write `backup` with an id, or `instance` and `name` with patterns",
            );
            return None;
        }
        (None, instance, name) => HoldTarget::Matching {
            instance: given(instance)?,
            name: given(name)?,
        },
        (Some(_), ..) => {
            at.fail(
                "`backup` stands alone, without `instance` and `name`",
                "an id names one backup already; make two holds of it",
            );
            return None;
        }
    };
    Some(Hold {
        id: None,
        target,
        reason: reason??,
        owner: given(owner)?,
        until: given(until)?,
    })
}

/// A key that is left out is fine, one that was noted is not.
#[expect(clippy::option_option, reason = "left out, wrong and good are three things")]
fn given<T>(value: Option<Option<T>>) -> Option<Option<T>> {
    match value {
        None => Some(None),
        Some(None) => None,
        Some(good) => Some(good),
    }
}

/// The freeze of the configuration.
pub(super) fn freeze(at: &Cursor<'_>) -> Option<Freeze> {
    let fields = at.section(&FREEZE)?;
    let reason = fields.get("reason").and_then(|at| at.text().map(str::to_owned));
    let until = fields.get("until").map(Cursor::time);
    Some(Freeze {
        reason: reason?,
        until: given(until)?,
    })
}
