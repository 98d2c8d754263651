//! The table of an instance's backups.

use maud::{Markup, html};

use super::html::{clip, encoded, instant, why};
use super::layout::{LONGEST_NAME, row, table};
use super::timeline::{self, MarkKind};
use crate::retention::Zone;
use crate::retention::report::{Action, BackupRow};
use crate::wording::numbers::size;

const COLUMNS: [(&str, bool); 6] = [
    ("Backup", false),
    ("Begun", false),
    ("Size", true),
    ("Decision", false),
    ("Why", false),
    ("Until", false),
];

/// The table around its rows.
pub(super) fn draw_table(name: &str, rows: &Markup) -> Markup {
    table(&format!("Backups of {name}"), &COLUMNS, rows)
}

/// One backup.
pub(super) fn draw_row(of: &BackupRow, zone: Zone) -> Markup {
    let backup = &of.backup;
    let until = match &of.action {
        _ if of.fate.is_some() => None,
        Action::Keep(_) => of.expires_at,
        Action::Wait { due_at, .. } => *due_at,
        Action::Delete(_) => None,
    };
    let decision = match &of.fate {
        Some(fate) => timeline::outcome(fate),
        None => MarkKind::of(of).word(),
    };
    let cells = [
        html! {
            a href={ "/why/" (encoded(backup.id.as_str())) } { bdi { (clip(&backup.name, LONGEST_NAME)) } }
            br; code.d { (backup.id.as_str()) }
        },
        html! { @match backup.begin { Some(begin) => (instant(begin, zone)), None => "?" } },
        html! { (size(backup.size_bytes)) },
        html! { (decision) },
        html! { (why(&of.action, true, zone)) },
        html! { @match until { Some(until) => (instant(until, zone)), None => "-" } },
    ];
    row(&COLUMNS, &cells)
}
