//! The table of an instance's backups.

use std::fmt::Write as _;

use super::html::{clip, text, why};
use super::layout::{LONGEST_NAME, table};
use super::timeline::{self, MarkKind};
use crate::retention::Zone;
use crate::retention::report::{Action, BackupRow};
use crate::wording::numbers::size;
use crate::wording::times::moment;

/// The head of a table of backups; `name` is escaped.
pub(super) fn open_table(out: &mut String, name: &str) {
    let columns = [
        ("Backup", false),
        ("Begun (UTC)", false),
        ("Size", true),
        ("Decision", false),
        ("Why", false),
        ("Until (UTC)", false),
    ];
    table(out, "", &format!("Backups of {name}"), &columns);
}

/// One backup.
pub(super) fn draw_row(out: &mut String, row: &BackupRow) {
    let backup = &row.backup;
    let until = match &row.action {
        _ if row.fate.is_some() => None,
        Action::Keep(_) => row.expires_at,
        Action::Wait { due_at, .. } => *due_at,
        Action::Delete(_) => None,
    };
    let (decision, why) = match &row.fate {
        Some(fate) => (timeline::outcome(fate), why(&row.action, true)),
        None => (MarkKind::of(row).word(), why(&row.action, true)),
    };
    let begun = backup
        .begin
        .map_or_else(|| "?".to_owned(), |begin| moment(begin, Zone::UTC));
    let _ = write!(
        out,
        "<tr><th scope=\"row\"><bdi>{}</bdi><br><code class=\"d\">{}</code><td class=\"t\">{begun}<td class=\"n\">{}<td>{}<td>{why}<td class=\"t\">{}",
        text(clip(&backup.name, LONGEST_NAME)),
        text(backup.id.as_str()),
        size(backup.size_bytes),
        decision,
        until.map_or_else(|| "-".to_owned(), |until| moment(until, Zone::UTC))
    );
}
