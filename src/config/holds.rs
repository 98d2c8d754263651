//! Holds and the freeze of the configuration; those placed by command are the ledger's.

use super::reader::Cursor;
use super::spec::{FREEZE, HOLD};
use crate::retention::{BackupId, Freeze, Hold, HoldTarget, Pattern};

/// Why a hold has no target, and what to write.
#[derive(Clone, Copy, Debug)]
pub(super) struct NoTarget {
    pub(super) message: &'static str,
    pub(super) hint: &'static str,
}

/// The id that a hold names.
pub(super) fn backup_id(id: &str) -> Result<BackupId, NoTarget> {
    if id.contains(['*', '?']) {
        return Err(NoTarget {
            message: "`backup` is one id, exactly",
            hint: "to hold many write `name` or `instance` with a pattern",
        });
    }
    // No id has blanks around it.
    Ok(BackupId::from(id.trim()))
}

/// What a hold covers, from its keys.
pub(super) fn target(
    backup: Option<BackupId>,
    instance: Option<Pattern>,
    name: Option<Pattern>,
) -> Result<HoldTarget, NoTarget> {
    match (backup, instance, name) {
        (Some(backup), None, None) => Ok(HoldTarget::Backup(backup)),
        (None, None, None) => Err(NoTarget {
            message: "the hold says nothing about what it holds",
            hint: "write `backup` with an id, or `instance` and `name` with patterns",
        }),
        (None, instance, name) => Ok(HoldTarget::Matching { instance, name }),
        (Some(_), ..) => Err(NoTarget {
            message: "`backup` stands alone, without `instance` and `name`",
            hint: "an id names one backup already; make two holds of it",
        }),
    }
}

/// One entry of `holds`.
pub(super) fn hold(at: &Cursor<'_>) -> Option<Hold> {
    let fields = at.section(&HOLD)?;
    let text = |key: &str| fields.get(key).map(|at| at.text().map(str::to_owned));
    let (reason, owner) = (text("reason"), text("owner"));
    let until = fields.get("until").map(Cursor::time);
    let backup = fields.get("backup").map(|at| {
        let id = backup_id(at.text()?);
        id.map_err(|why| at.fail(why.message, why.hint)).ok()
    });
    let instance = fields.get("instance").map(Cursor::id_glob);
    let name = fields.get("name").map(Cursor::glob);
    let target = target(given(backup)?, given(instance)?, given(name)?);
    let target = target.map_err(|why| at.fail(why.message, why.hint)).ok()?;
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
