//! Aligned columns that many groups of rows share.
//!
//! Own code and not a table crate, because rows are measured and then drawn one at a time (a report may have a million),
//! because headings stand between rows of one grid, and because colour is decided elsewhere. Not for what is in a cell.

use std::borrow::Cow;
use std::io::{self, Write};

use anstyle::Style;
use unicode_width::{UnicodeWidthChar, UnicodeWidthStr};

use super::out::Look;

/// Blanks between columns.
const GAP: usize = 2;

/// A column.
#[derive(Clone, Copy, Debug)]
pub struct Column {
    title: &'static str,
    right: bool,
    /// How narrow it may become before the table is wider than the terminal; `None` is as wide as its widest cell.
    least: Option<usize>,
}

impl Column {
    /// As wide as its widest cell, left-aligned.
    pub const fn left(title: &'static str) -> Self {
        Self {
            title,
            right: false,
            least: None,
        }
    }

    /// As wide as its widest cell, right-aligned.
    pub const fn right(title: &'static str) -> Self {
        Self {
            right: true,
            ..Self::left(title)
        }
    }

    /// Wrapped where the terminal is too narrow, but no narrower than this.
    pub const fn wrapping(title: &'static str, least: usize) -> Self {
        Self {
            least: Some(least),
            ..Self::left(title)
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
    indent: usize,
}

impl Grid {
    /// As wide as its titles, so far; drawn behind so many blanks.
    pub fn new(columns: Vec<Column>, indent: usize) -> Self {
        let widths = columns.iter().map(|column| column.title.width()).collect();
        Self {
            columns,
            widths,
            indent,
        }
    }

    /// Makes room for a row that will be drawn.
    pub fn measure(&mut self, row: &[Cell<'_>]) {
        for (width, cell) in self.widths.iter_mut().zip(row) {
            *width = (*width).max(columns_of(&cell.text));
        }
    }

    /// Narrows the columns that wrap, the widest first, until the table fits.
    pub fn fit(&mut self, width: Option<usize>) {
        let Some(width) = width else { return };
        let used = self.indent + self.widths.iter().sum::<usize>() + GAP * self.columns.len().saturating_sub(1);
        for _ in width..used {
            let spare = |place: &usize| {
                self.columns[*place]
                    .least
                    .is_some_and(|least| self.widths[*place] > least)
            };
            let widest = (0..self.columns.len())
                .filter(spare)
                .max_by_key(|place| self.widths[*place]);
            let Some(place) = widest else { return };
            self.widths[place] -= 1;
        }
    }

    /// Draws the titles.
    pub fn header(&self, out: &mut dyn Write, look: &Look) -> io::Result<()> {
        let titles: Vec<Cell<'_>> = self
            .columns
            .iter()
            .map(|column| Cell::styled(column.title, Style::new().dimmed()))
            .collect();
        self.row(out, look, &titles)
    }

    /// Draws a row, over several lines where a cell wraps.
    pub fn row(&self, out: &mut dyn Write, look: &Look, cells: &[Cell<'_>]) -> io::Result<()> {
        let mut line = Line {
            columns: &self.columns,
            widths: &self.widths,
            text: String::with_capacity(256),
            owed: self.indent,
        };
        let fits = cells
            .iter()
            .zip(&self.widths)
            .all(|(cell, width)| columns_of(&cell.text) <= *width);
        if fits {
            // Nearly every row of a million: no lists are made for it.
            for (place, cell) in cells.iter().enumerate() {
                line.add(place, &cell.text, cell.style, look);
            }
            line.text.push('\n');
            return out.write_all(line.text.as_bytes());
        }
        let wrapped: Vec<Vec<&str>> = cells
            .iter()
            .zip(&self.widths)
            .map(|(cell, width)| wrap(&cell.text, *width))
            .collect();
        let lines = wrapped.iter().map(Vec::len).max().unwrap_or(0);
        for number in 0..lines {
            line.owed = self.indent;
            for (place, parts) in wrapped.iter().enumerate() {
                let text = parts.get(number).copied().unwrap_or_default();
                line.add(place, text, cells[place].style, look);
            }
            line.text.push('\n');
        }
        out.write_all(line.text.as_bytes())
    }
}

/// A line as far as it is drawn.
struct Line<'a> {
    columns: &'a [Column],
    widths: &'a [usize],
    text: String,
    /// Blanks are owed and paid before the next text, so that no line ends in them.
    owed: usize,
}

impl Line<'_> {
    fn add(&mut self, place: usize, text: &str, style: Style, look: &Look) {
        let padding = self.widths[place].saturating_sub(columns_of(text));
        let (before, after) = if self.columns[place].right {
            (padding, 0)
        } else {
            (0, padding)
        };
        self.owed += before;
        if !text.is_empty() {
            self.text.extend(std::iter::repeat_n(' ', self.owed));
            if look.colour {
                self.text.push_str(&look.paint(style, text));
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

/// Cuts a text into lines at blanks, and a word that is wider than a line at any place.
fn wrap(text: &str, width: usize) -> Vec<&str> {
    let mut lines = Vec::new();
    let mut rest = text;
    while rest.width() > width {
        let fits = fitting(rest, width);
        // The blank behind the last word that fits; a line is never empty.
        let cut = match rest[..fits].rfind(' ') {
            _ if rest[fits..].starts_with(' ') => fits,
            Some(blank) if blank > 0 => blank,
            _ => fits,
        };
        let (line, tail) = rest.split_at(cut);
        lines.push(line.trim_end());
        rest = tail.trim_start();
    }
    if !rest.is_empty() || lines.is_empty() {
        lines.push(rest);
    }
    lines
}

/// How many bytes of the text fit into so many columns; at least one character.
fn fitting(text: &str, width: usize) -> usize {
    let mut used = 0;
    for (place, c) in text.char_indices() {
        used += c.width().unwrap_or(0);
        if used > width && place > 0 {
            return place;
        }
    }
    text.len()
}

#[cfg(test)]
mod tests {
    use anstyle::AnsiColor;

    use super::*;

    fn draw(columns: Vec<Column>, rows: &[[&str; 3]], width: Option<usize>, look: &Look) -> String {
        let mut grid = Grid::new(columns, 1);
        let rows: Vec<[Cell<'_>; 3]> = rows.iter().map(|row| row.map(Cell::from)).collect();
        for row in &rows {
            grid.measure(row);
        }
        grid.fit(width);
        let mut drawn = Vec::new();
        grid.header(&mut drawn, look).unwrap();
        for row in &rows {
            grid.row(&mut drawn, look, row).unwrap();
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
            &Look::default(),
        );
        assert_eq!(drawn, " NAME    SIZE  WHY\n 夜間     1 B  x\n b     10 KiB\n");
    }

    #[test]
    fn only_wrapping_columns_become_narrow() {
        let rows = [["name", "1 B", "daily 1, weekly 22222222222"]];
        let drawn = draw(columns(), &rows, Some(20), &Look::default());
        assert_eq!(
            drawn,
            " NAME  SIZE  WHY\n name   1 B  daily\n             1,\n             weekly\n             2222222\n             2222\n"
        );
        let at_least = draw(columns(), &rows, Some(3), &Look::default());
        assert!(at_least.contains("weekly"), "{at_least}");
    }

    #[test]
    fn a_wide_character_is_never_cut() {
        assert_eq!(wrap("夜間夜", 3), ["夜", "間", "夜"]);
        assert_eq!(wrap("夜", 1), ["夜"]);
        assert_eq!(wrap("", 4), [""]);
        assert_eq!(wrap("ab cd", 2), ["ab", "cd"]);
    }

    #[test]
    fn paint_covers_the_text_and_not_the_blanks() {
        let mut grid = Grid::new(vec![Column::left("LONG"), Column::left("B")], 0);
        let row = [Cell::styled("a", AnsiColor::Red.on_default()), Cell::from("b")];
        grid.measure(&row);
        let look = Look {
            colour: true,
            ..Look::default()
        };
        let mut drawn = Vec::new();
        grid.row(&mut drawn, &look, &row).unwrap();
        assert_eq!(String::from_utf8(drawn).unwrap(), "\x1b[31ma\x1b[0m     b\n");
    }
}
