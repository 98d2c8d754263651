//! What all parts of the page share: tables, limits, and how commands call the program.

use std::fmt::Write as _;

/// A longer name from the cloud is cut.
pub(super) const LONGEST_NAME: usize = 120;
/// No further instance or backup is added to a page that is this long; the next page has it.
pub(super) const MAX_LENGTH: usize = 190 * 1024;
/// Sections before the instances end with a number beyond this many entries, so that instances still fit.
pub(super) const MAX_ENTRIES: usize = 40;

/// A table that scrolls by itself on a narrow screen, also by keyboard. `class` frames it.
pub(super) fn table(out: &mut String, class: &str, label: &str, columns: &[(&str, bool)]) {
    let _ = write!(
        out,
        "<div class=\"s{class}\" tabindex=\"0\" role=\"region\" aria-label=\"{label}\"><table><caption>{label}</caption><thead><tr>"
    );
    for (title, right) in columns {
        let _ = write!(
            out,
            "<th scope=\"col\"{}>{title}",
            if *right { " class=\"n\"" } else { "" }
        );
    }
    out.push_str("</thead><tbody>");
}

pub(super) const END_OF_TABLE: &str = "</tbody></table></div>";
