//! How tables are drawn: as wide as what, in which colours, how much of it.

use anstyle::Style;

use crate::wording::money::Price;

pub(in crate::cli) const BOLD: Style = Style::new().bold();
pub(in crate::cli) const DIM: Style = Style::new().dimmed();

/// How tables are drawn.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Theme {
    /// Columns of the terminal; `None` draws as wide as needed, with full ids.
    pub width: Option<usize>,
    /// Whether escape sequences are written.
    pub colour: bool,
    /// List everything, however much.
    pub all: bool,
    /// What storage costs, where money stands beside bytes.
    pub price: Option<Price>,
    /// How to call this program again, for the commands that are proposed.
    pub program: String,
}

impl Theme {
    /// The text in that style, where colour is wanted. The text must be clean.
    pub fn paint(&self, style: Style, text: &str) -> String {
        if self.colour && !text.is_empty() {
            format!("{style}{text}{style:#}")
        } else {
            text.to_owned()
        }
    }
}
