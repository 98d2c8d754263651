//! What all parts of the page share: sections, tables, limits.

use maud::{Markup, html};

use crate::status::Status;

/// A longer name from the cloud is cut.
pub(super) const LONGEST_NAME: usize = 120;
/// No further instance or backup is added to a page that is this long; the next page has it.
pub(super) const MAX_LENGTH: usize = 176 * 1024;
/// Sections before the instances end with a number beyond this many entries, so that instances still fit.
pub(super) const MAX_ENTRIES: usize = 40;

/// What bytes cost a month, where the price is known.
pub(super) fn money(status: &Status, bytes: u64) -> Option<String> {
    status.price.as_ref().map(|price| price.of(bytes))
}

/// A part of the page with its heading.
pub(super) fn section(id: &str, title: &str, content: &Markup) -> Markup {
    html! { section aria-labelledby=(id) { h2 id=(id) { (title) } (content) } }
}

/// A column of a table: its title, and whether it holds numbers.
pub(super) type Columns<'a> = [(&'a str, bool)];

/// A table; on a narrow screen each row is a card.
pub(super) fn table(label: &str, columns: &Columns<'_>, rows: &Markup) -> Markup {
    html! {
        table {
            caption { (label) }
            thead { tr { @for (title, is_number) in columns { th scope="col" class=[is_number.then_some("n")] { (title) } } } }
            tbody { (rows) }
        }
    }
}

/// A row of it.
pub(super) fn row(columns: &Columns<'_>, cells: &[Markup]) -> Markup {
    html! {
        tr {
            @for (nth, (cell, (title, is_number))) in cells.iter().zip(columns).enumerate() {
                @if nth == 0 {
                    th scope="row" { (cell) }
                } @else {
                    td class=[is_number.then_some("n")] data-l=(title) { (cell) }
                }
            }
        }
    }
}
