//! Aligned columns that many groups of rows share.
//!
//! Own code and not a table crate, because rows are measured and then drawn one at a time (a report may have a million),
//! because headings stand between rows of one grid, and because colour is decided elsewhere. Not for what is in a cell.

use std::borrow::Cow;
use std::io::{self, Write};

use anstyle::Style;
use unicode_width::UnicodeWidthStr;

use super::theme::Theme;
use super::wrap::{JOINTS, wrap};

/// Blanks between columns.
const GAP: usize = 2;
/// As narrow as a column that wraps becomes at the very least.
const NARROWEST: usize = 6;

/// The widest part of a name for which a column that wraps is kept wide enough.
const WIDEST_PART: usize = 32;

/// A column.
#[derive(Clone, Debug)]
pub struct Column {
    title: Cow<'static, str>,
    right: bool,
    /// How narrow it may become before the table is wider than the terminal; `None` is as wide as its widest cell.
    least: Option<usize>,
    /// When it is left out.
    presence: Presence,
}

/// When a column is left out. One in which no row has anything but `-` is left out always.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Presence {
    Always,
    /// Where the others would not fit otherwise.
    WhereItFits,
    /// Where anything would have to be wrapped for it.
    WhereThereIsSpace,
}

impl Column {
    /// As wide as its widest cell, left-aligned.
    pub fn left(title: impl Into<Cow<'static, str>>) -> Self {
        Self {
            title: title.into(),
            right: false,
            least: None,
            presence: Presence::Always,
        }
    }

    /// As wide as its widest cell, right-aligned.
    pub fn right(title: impl Into<Cow<'static, str>>) -> Self {
        Self {
            right: true,
            ..Self::left(title)
        }
    }

    /// Wrapped where the terminal is too narrow, but no narrower than this.
    pub fn wrapping(title: impl Into<Cow<'static, str>>, least: usize) -> Self {
        Self {
            least: Some(least),
            ..Self::left(title)
        }
    }

    /// The same, but left out where the terminal is too narrow for all; of several the last one first.
    #[must_use]
    pub fn or_none(self) -> Self {
        Self {
            presence: Presence::WhereItFits,
            ..self
        }
    }

    /// The same, but left out where anything would have to be wrapped for it; of several the last one first.
    #[must_use]
    pub fn if_space(self) -> Self {
        Self {
            presence: Presence::WhereThereIsSpace,
            ..self
        }
    }
}

/// What stands in a column: clean text, and how it is painted.
#[derive(Clone, Debug)]
pub struct Cell<'a> {
    text: Cow<'a, str>,
    style: Style,
}

impl<'a> Cell<'a> {
    /// In that style.
    pub fn styled(text: impl Into<Cow<'a, str>>, style: Style) -> Self {
        Self {
            text: text.into(),
            style,
        }
    }
}

impl<'a, T: Into<Cow<'a, str>>> From<T> for Cell<'a> {
    fn from(text: T) -> Self {
        Self::styled(text, Style::new())
    }
}

/// Columns and how wide they are.
#[derive(Clone, Debug)]
pub struct Grid {
    columns: Vec<Column>,
    widths: Vec<usize>,
    shown: Vec<bool>,
    /// Whether a row has something to say in it.
    filled: Vec<bool>,
    /// Of each column that wraps, how wide it must be so that no word is cut.
    parts: Vec<usize>,
    indent: usize,
}

impl Grid {
    /// As wide as its titles, so far; drawn behind so many blanks.
    pub fn new(columns: Vec<Column>, indent: usize) -> Self {
        let widths = columns.iter().map(|column| column.title.width()).collect();
        Self {
            shown: vec![true; columns.len()],
            filled: vec![false; columns.len()],
            parts: vec![0; columns.len()],
            columns,
            widths,
            indent,
        }
    }

    /// Measures a row that will be drawn.
    pub fn measure(&mut self, row: &[Cell<'_>]) {
        for (place, cell) in row.iter().enumerate() {
            self.widths[place] = self.widths[place].max(columns_of(&cell.text));
            self.filled[place] |= !matches!(&*cell.text, "" | "-");
            if self.columns[place].least.is_some() {
                let part = widest_part(&cell.text).min(WIDEST_PART);
                self.parts[place] = self.parts[place].max(part);
            }
        }
    }

    /// Leaves out columns in which nothing is said and those for which there is no space, and narrows those that wrap, the
    /// widest first, until the table fits.
    pub fn fit(&mut self, width: Option<usize>) {
        if self.filled.contains(&true) {
            self.shown.clone_from(&self.filled);
        }
        let Some(width) = width else { return };
        let least = |grid: &Self, place: usize| {
            let wide = grid.widths[place];
            grid.columns[place].least.map_or(wide, |least| least.min(wide))
        };
        let natural = |grid: &Self, place: usize| grid.widths[place];
        self.leave_out(Presence::WhereThereIsSpace, natural, width);
        self.leave_out(Presence::WhereItFits, least, width);
        // No word is cut where that can be helped.
        let whole = |grid: &Self, place: usize| least(grid, place).max(grid.parts[place]);
        let cuts_words = self.used(whole) > width;
        let least = |grid: &Self, place: usize| {
            if cuts_words {
                least(grid, place)
            } else {
                whole(grid, place)
            }
        };
        // On a terminal that is narrower than what reads well, everything that wraps becomes narrower still.
        let tight = |grid: &Self, place: usize| least(grid, place).min(NARROWEST);
        let tight = self.used(least) > width && self.used(tight) <= width;
        let floor = |grid: &Self, place: usize| {
            let least = least(grid, place);
            if tight && grid.columns[place].least.is_some() {
                least.min(NARROWEST)
            } else {
                least
            }
        };
        for _ in width..self.width() {
            let spare = |place: &usize| self.shown[*place] && self.widths[*place] > floor(self, *place);
            let widest = (0..self.columns.len())
                .filter(spare)
                .max_by_key(|place| self.widths[*place]);
            let Some(place) = widest else { return };
            self.widths[place] -= 1;
        }
    }

    /// Leaves out columns, the last one first, until all are no wider than that when each is as wide as it is said to be.
    fn leave_out(&mut self, presence: Presence, wide: impl Fn(&Self, usize) -> usize, width: usize) {
        while self.used(&wide) > width {
            let may_go = |place: &usize| self.shown[*place] && self.columns[*place].presence == presence;
            let Some(place) = (0..self.columns.len()).rfind(may_go) else {
                return;
            };
            self.shown[place] = false;
        }
    }

    /// Whether every column has its place.
    pub fn is_whole(&self) -> bool {
        self.shown.iter().all(|shown| *shown)
    }

    /// How wide the table is.
    pub fn width(&self) -> usize {
        self.used(|grid, place| grid.widths[place])
    }

    /// How wide the table is when each column is as wide as that.
    fn used(&self, wide: impl Fn(&Self, usize) -> usize) -> usize {
        let shown = || (0..self.columns.len()).filter(|place| self.shown[*place]);
        self.indent + shown().map(|place| wide(self, place)).sum::<usize>() + GAP * shown().count().saturating_sub(1)
    }

    /// Draws the titles.
    pub fn header(&self, out: &mut dyn Write, theme: &Theme) -> io::Result<()> {
        let titles: Vec<Cell<'_>> = self
            .columns
            .iter()
            .map(|column| Cell::styled(&*column.title, Style::new().dimmed()))
            .collect();
        self.row(out, theme, &titles)
    }

    /// Draws a row, over several lines where a cell wraps.
    pub fn row(&self, out: &mut dyn Write, theme: &Theme, cells: &[Cell<'_>]) -> io::Result<()> {
        let mut line = TableLine {
            columns: &self.columns,
            widths: &self.widths,
            text: String::with_capacity(256),
            owed: self.indent,
        };
        let shown = || {
            self.shown
                .iter()
                .enumerate()
                .filter(|(_, shown)| **shown)
                .map(|(place, _)| place)
        };
        let fits = shown().all(|place| {
            cells
                .get(place)
                .is_none_or(|cell| columns_of(&cell.text) <= self.widths[place])
        });
        if fits {
            // Nearly every row of a million: no lists are made for it.
            for place in shown() {
                let Some(cell) = cells.get(place) else { break };
                line.add(place, &cell.text, cell.style, theme);
            }
            line.text.push('\n');
            return out.write_all(line.text.as_bytes());
        }
        let wrapped: Vec<(usize, Vec<&str>)> = shown()
            .filter_map(|place| Some((place, wrap(&cells.get(place)?.text, self.widths[place]))))
            .collect();
        let lines = wrapped.iter().map(|(_, parts)| parts.len()).max().unwrap_or(0);
        for number in 0..lines {
            line.owed = self.indent;
            for (place, parts) in &wrapped {
                let text = parts.get(number).copied().unwrap_or_default();
                line.add(*place, text, cells[*place].style, theme);
            }
            line.text.push('\n');
        }
        out.write_all(line.text.as_bytes())
    }
}

/// A line as far as it is drawn.
struct TableLine<'a> {
    columns: &'a [Column],
    widths: &'a [usize],
    text: String,
    /// Blanks are owed and paid before the next text, so that no line ends in them.
    owed: usize,
}

impl TableLine<'_> {
    fn add(&mut self, place: usize, text: &str, style: Style, theme: &Theme) {
        let padding = self.widths[place].saturating_sub(columns_of(text));
        let (before, after) = if self.columns[place].right {
            (padding, 0)
        } else {
            (0, padding)
        };
        self.owed += before;
        if !text.is_empty() {
            self.text.extend(std::iter::repeat_n(' ', self.owed));
            if theme.colour {
                self.text.push_str(&theme.paint(style, text));
            } else {
                self.text.push_str(text);
            }
            self.owed = 0;
        }
        self.owed += after + GAP;
    }
}

/// How wide a text is. Nearly all of them are plain, and their width is their length.
fn columns_of(text: &str) -> usize {
    if text.bytes().all(|byte| (b' '..=b'~').contains(&byte)) {
        text.len()
    } else {
        text.width()
    }
}

/// How wide the widest part of a text is that should not be cut.
fn widest_part(text: &str) -> usize {
    let parts = text.split_inclusive(JOINTS);
    parts.flat_map(str::split_whitespace).map(columns_of).max().unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use anstyle::AnsiColor;

    use super::*;

    fn draw(columns: Vec<Column>, rows: &[[&str; 3]], width: Option<usize>, theme: &Theme) -> String {
        let mut grid = Grid::new(columns, 1);
        let rows: Vec<[Cell<'_>; 3]> = rows.iter().map(|row| row.map(Cell::from)).collect();
        for row in &rows {
            grid.measure(row);
        }
        grid.fit(width);
        let mut drawn = Vec::new();
        grid.header(&mut drawn, theme).unwrap();
        for row in &rows {
            grid.row(&mut drawn, theme, row).unwrap();
        }
        String::from_utf8(drawn).unwrap()
    }

    fn columns() -> Vec<Column> {
        vec![Column::left("NAME"), Column::right("SIZE"), Column::wrapping("WHY", 6)]
    }

    #[test]
    fn columns_are_aligned_and_no_line_ends_in_blanks() {
        let drawn = draw(
            columns(),
            &[["夜間", "1 B", "x"], ["b", "10 KiB", ""]],
            None,
            &Theme::default(),
        );
        assert_eq!(drawn, " NAME    SIZE  WHY\n 夜間     1 B  x\n b     10 KiB\n");
    }

    #[test]
    fn only_wrapping_columns_become_narrow() {
        let rows = [["name", "1 B", "daily 1, weekly 22222222222"]];
        let drawn = draw(columns(), &rows, Some(20), &Theme::default());
        assert_eq!(
            drawn,
            " NAME  SIZE  WHY\n name   1 B  daily\n             1,\n             weekly\n             2222222\n             2222\n"
        );
        let at_least = draw(columns(), &rows, Some(3), &Theme::default());
        assert!(at_least.contains("weekly"), "{at_least}");
    }

    #[test]
    fn optional_columns_give_way_the_last_one_first() {
        let columns = || {
            vec![
                Column::wrapping("NAME", 9),
                Column::right("SIZE").or_none(),
                Column::left("WHY").or_none(),
            ]
        };
        let rows = [["a name that wraps", "1 B", "x"]];
        let at = |width| draw(columns(), &rows, Some(width), &Theme::default());
        assert_eq!(at(40), " NAME               SIZE  WHY\n a name that wraps   1 B  x\n");
        assert_eq!(at(21), " NAME       SIZE  WHY\n a name      1 B  x\n that\n wraps\n");
        assert_eq!(at(18), " NAME         SIZE\n a name that   1 B\n wraps\n");
        assert_eq!(at(12), " NAME\n a name that\n wraps\n");
        // Narrower than what reads well: narrower still, and never wider than the terminal.
        assert_eq!(at(8), " NAME\n a name\n that\n wraps\n");
    }

    #[test]
    fn paint_covers_the_text_and_not_the_blanks() {
        let mut grid = Grid::new(vec![Column::left("LONG"), Column::left("B")], 0);
        let row = [Cell::styled("a", AnsiColor::Red.on_default()), Cell::from("b")];
        grid.measure(&row);
        let theme = Theme {
            colour: true,
            ..Theme::default()
        };
        let mut drawn = Vec::new();
        grid.row(&mut drawn, &theme, &row).unwrap();
        assert_eq!(String::from_utf8(drawn).unwrap(), "\x1b[31ma\x1b[0m     b\n");
    }
}
