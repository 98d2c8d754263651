//! One instance's own page: its timeline, and the table of all its backups.

use maud::{Markup, PreEscaped, html};

use super::backup_table::{draw_row, draw_table};
use super::html::{cleaned, clip};
use super::instances::{ShownInstance, address, pages, totals};
use super::layout::{LONGEST_NAME, MAX_LENGTH, section};
use super::timeline::{self, Axis};
use crate::retention::Zone;
use crate::status::Status;

/// With more marks than this, those of one reason share an element.
const EACH: usize = 600;

/// Draws an instance, its table from the `from`th backup on.
pub(super) fn draw(status: &Status, shown: &ShownInstance<'_>, from: usize, zone: Zone) -> Markup {
    let rows = shown.rows();
    let name = clip(&shown.instance.name, LONGEST_NAME);
    let axis = Axis::over(rows.iter().filter_map(|row| row.backup.begin), status.at);
    let top = cleaned(html! {
        section aria-labelledby="one" {
            h2 id="one" { bdi { (name) } }
            p.d { (shown.place()) " · " code { (shown.instance.id.as_str()) } }
            p { (totals(&rows)) ", as of the last run of each policy." }
            (axis.symbol())
            (timeline::legend())
            div.card.one { (timeline::draw(&rows, &axis, rows.len() <= EACH, zone)) (axis.scale("under")) }
        }
    });
    let begin = from.min(rows.len());
    let (mut next, mut drawn) = (begin, String::new());
    while let Some(row) = rows.get(next) {
        if top.0.len() + drawn.len() > MAX_LENGTH && next > begin {
            break;
        }
        drawn.push_str(&cleaned(draw_row(row, zone)).0);
        next += 1;
    }
    let table = html! {
        div.card.s { (draw_table(name, &PreEscaped(drawn))) }
        @if begin > 0 || next < rows.len() {
            (pages("backups", (begin, next, rows.len()), &address(&shown.instance.id)))
        }
        p.d { "What happens to one, and what would change that:" }
        pre { (status.program()) " why BACKUP_ID" }
    };
    html! { (top) (section("backups", "Backups, newest first", &table)) }
}
