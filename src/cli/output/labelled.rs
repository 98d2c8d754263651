//! Lines with a label in front, and the headline above them.

use std::io::{self, Write};

use anstyle::AnsiColor;

use super::theme::{BOLD, DIM, Theme};
use super::wrap::{paragraph, wrap};
use crate::wording::sanitize::clean;

/// Where the second column begins.
const LABEL: usize = 14;
/// Writes lines with a label in front, wrapped behind it.
pub(super) struct Lines<'a> {
    pub(super) out: &'a mut dyn Write,
    pub(super) theme: &'a Theme,
}

impl Lines<'_> {
    pub(super) fn say(&mut self, label: &str, text: &str) -> io::Result<()> {
        let columns = self
            .theme
            .width
            .map_or(usize::MAX, |width| width.saturating_sub(LABEL + 2).max(30));
        for (nth, line) in wrap(text, columns).into_iter().enumerate() {
            self.line(if nth == 0 { label } else { "" }, line)?;
        }
        Ok(())
    }

    /// A command to type stays on one line: a shell takes it as it is copied.
    pub(super) fn line(&mut self, label: &str, text: &str) -> io::Result<()> {
        let padding = LABEL.saturating_sub(label.len());
        writeln!(self.out, "  {}{:padding$}{text}", self.theme.paint(DIM, label), "")
    }

    pub(super) fn command(&mut self, label: &str, text: &str) -> io::Result<()> {
        let painted = self.theme.paint(AnsiColor::Cyan.on_default(), text);
        self.line(label, &painted)
    }
}

/// The name and what becomes of it; the id below, where it can be copied whole.
pub(super) fn headline(
    out: &mut dyn Write,
    theme: &Theme,
    name: &str,
    id: &str,
    fate: &str,
    colour: AnsiColor,
) -> io::Result<()> {
    let name = clean(name);
    let columns = theme.width.unwrap_or(usize::MAX);
    if unicode_width::UnicodeWidthStr::width(&*name) + 2 + fate.len() <= columns {
        let fate = theme.paint(colour.on_default().bold(), fate);
        writeln!(out, "{}: {fate}", theme.paint(BOLD, &name))?;
    } else {
        paragraph(out, theme, 0, 2, BOLD, &name)?;
        paragraph(out, theme, 2, 0, colour.on_default().bold(), fate)?;
    }
    Lines { out, theme }.line("id", &clean(id))
}
