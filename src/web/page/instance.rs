//! One instance's own page: its picture, and the table of all its backups.

use std::fmt::Write as _;

use super::instances::{LONGEST_NAME, address, gather, pages, totals};
use super::timeline::{self, Axis, Kind};
use super::words::{clip, size, text, why};
use super::{END_OF_TABLE, LONGEST, program, table};
use crate::daemon::Status;
use crate::retention::report::{Action, Row};
use crate::wording::remedy::shell_word;

/// With more marks than this, those of one reason share an element.
const EACH: usize = 600;

/// The window's title; escaped.
pub(super) fn title(status: &Status, id: &str) -> String {
    let found = gather(status, Some(id));
    found.first().map_or_else(
        || "Not known".to_owned(),
        |shown| text(clip(&shown.instance.name, LONGEST_NAME)),
    )
}

/// Draws an instance, its table from the `from`th backup on.
pub(super) fn draw(out: &mut String, status: &Status, id: &str, from: usize) {
    out.push_str(
        "<header class=\"top\"><h1>rds-retentiond</h1><nav aria-label=\"Way back\"><a href=\"/#instances\">All instances</a></nav></header><main>",
    );
    let found = gather(status, Some(id));
    let Some(shown) = found.first() else {
        let _ = write!(
            out,
            "<section class=\"card one\"><h2>Not known</h2><p>The last runs did not see an instance <code>{}</code>, or the fleet is too large to keep every decision in memory.</p><pre>{}</pre></section></main>",
            text(clip(id, LONGEST_NAME)),
            text(&format!(
                "{} plan --instance {}",
                program(status),
                shell_word(clip(id, LONGEST_NAME))
            )),
        );
        return;
    };
    let rows = shown.rows();
    let name = text(clip(&shown.instance.name, LONGEST_NAME));
    let _ = write!(
        out,
        "<section aria-labelledby=\"one\"><h2 id=\"one\"><bdi>{name}</bdi></h2><p class=\"d\">{} · <code>{}</code></p><p>{}, as of the last run of each policy.</p>",
        shown.place(),
        text(shown.instance.id.as_str()),
        totals(&rows)
    );
    let axis = Axis::over(rows.iter().filter_map(|row| row.backup.begin), status.at);
    out.push_str(&axis.symbol());
    timeline::legend(out);
    out.push_str("<div class=\"card one\">");
    timeline::draw(out, &rows, &axis, rows.len() <= EACH);
    out.push_str(&axis.scale().replace("class=\"axis\"", "class=\"under\""));
    out.push_str("</div></section><section aria-labelledby=\"backups\"><h2 id=\"backups\">Backups, newest first</h2><div class=\"card one\">");
    open_table(out, &name);
    let begin = from.min(rows.len());
    let mut next = begin;
    while let Some(row) = rows.get(next) {
        if out.len() > LONGEST && next > begin {
            break;
        }
        draw_row(out, row);
        next += 1;
    }
    out.push_str(END_OF_TABLE);
    out.push_str("</div>");
    if begin > 0 || next < rows.len() {
        pages(out, "backups", begin, next, rows.len(), &address(&shown.instance.id));
    }
    let _ = write!(
        out,
        "<p class=\"d\">What happens to one, and what would change that:</p><pre>{}</pre></section></main>",
        text(&format!("{} why BACKUP_ID", program(status)))
    );
}

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
pub(super) fn draw_row(out: &mut String, row: &Row) {
    let backup = &row.backup;
    let until = match &row.action {
        _ if row.fate.is_some() => None,
        Action::Keep(_) => row.expires_at,
        Action::Wait { due_at, .. } => *due_at,
        Action::Delete(_) => None,
    };
    let (decision, why) = match &row.fate {
        Some(fate) => (timeline::outcome(fate), why(&row.action, true)),
        None => (Kind::of(row).word(), why(&row.action, true)),
    };
    let begun = backup
        .begin
        .map_or_else(|| "?".to_owned(), |begin| begin.format("%Y-%m-%d %H:%M").to_string());
    let _ = write!(
        out,
        "<tr><th scope=\"row\"><bdi>{}</bdi><br><code class=\"d\">{}</code><td class=\"t\">{begun}<td class=\"n\">{}<td>{}<td>{why}<td class=\"t\">{}",
        text(clip(&backup.name, LONGEST_NAME)),
        text(backup.id.as_str()),
        size(backup.size_bytes),
        decision,
        until.map_or_else(|| "-".to_owned(), |until| until.format("%Y-%m-%d %H:%M").to_string())
    );
}
