//! One instance's own page: its timeline, and the table of all its backups.

use std::fmt::Write as _;

use super::backup_table::{draw_row, open_table};
use super::html::{clip, text};
use super::instances::{address, gather, pages, totals};
use super::layout::{END_OF_TABLE, LONGEST_NAME, MAX_LENGTH};
use super::timeline::{self, Axis};
use crate::status::Status;
use crate::wording::remedies::shell_word;

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
                status.program(),
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
        if out.len() > MAX_LENGTH && next > begin {
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
        text(&format!("{} why BACKUP_ID", status.program()))
    );
}
