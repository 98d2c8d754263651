//! Sentences that flow: wrapped where the terminal ends, and not at all where there is none.
//!
//! Pure but for the writing. Not for columns (`grid`), nor for commands to be typed: those stay on one line, for a shell
//! takes them as they are copied.

use std::io::{self, Write};

use anstyle::Style;
use unicode_width::{UnicodeWidthChar, UnicodeWidthStr};

use super::theme::Theme;

/// Where a long name may be cut.
pub(super) const JOINTS: [char; 6] = ['-', '_', '.', '/', ',', ':'];

/// No line is made narrower than this: on a terminal that small nothing reads well.
const LEAST: usize = 24;

/// Writes a text behind so many blanks, its further lines behind `hang` more.
pub fn paragraph(
    out: &mut dyn Write,
    theme: &Theme,
    indent: usize,
    hang: usize,
    style: Style,
    text: &str,
) -> io::Result<()> {
    let columns = theme
        .width
        .map_or(usize::MAX, |width| width.saturating_sub(indent + hang).max(LEAST));
    // The first line is as wide as the others: one width wraps simpler, and looks no worse.
    for (nth, line) in wrap(text, columns).into_iter().enumerate() {
        let blanks = if nth == 0 { indent } else { indent + hang };
        writeln!(out, "{:blanks$}{}", "", theme.paint(style, line))?;
    }
    Ok(())
}

/// Cuts a text into lines: at blanks, but not within `backquotes` nor before the number that belongs to a word (`daily 14`)
/// where that can be helped; a word that is wider than a line behind one of its joints, else at any place.
pub fn wrap(text: &str, width: usize) -> Vec<&str> {
    let mut lines = Vec::new();
    let mut rest = text;
    while rest.width() > width {
        let fits = fitting(rest, width);
        let cut = if rest[fits..].starts_with(' ') && !is_quoted(rest, fits) && !is_number(&rest[fits..]) {
            fits
        } else {
            blank(rest, fits).or_else(|| joint(rest, fits, width)).unwrap_or(fits)
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

/// Whether a place lies between two backquotes.
fn is_quoted(text: &str, place: usize) -> bool {
    text[..place].matches('`').count() % 2 == 1 && text[place..].contains('`')
}

/// Whether a blank is followed by a number.
fn is_number(from_blank: &str) -> bool {
    from_blank[1..].starts_with(|c: char| c.is_ascii_digit())
}

/// The last blank to cut at, within what fits; a line is never empty.
fn blank(text: &str, fits: usize) -> Option<usize> {
    let line = &text[..fits];
    let blanks = || {
        line.match_indices(' ')
            .map(|(place, _)| place)
            .filter(|place| *place > 0)
    };
    let open = line.matches('`').count() % 2 == 1;
    // What is quoted when the line ends began at the last backquote.
    let until = if open {
        line.rfind('`').unwrap_or(line.len())
    } else {
        line.len()
    };
    let quoted = |place: &usize| line[..*place].matches('`').count() % 2 == 1;
    let outside = |place: &usize| *place < until && !quoted(place);
    let best = blanks().rfind(|place| outside(place) && !is_number(&text[*place..]));
    best.or_else(|| blanks().rfind(outside))
        .or_else(|| blanks().next_back())
}

/// Behind or before the last joint of a long name; not where that wastes more than two fifths of the line and still cuts a word.
fn joint(text: &str, fits: usize, width: usize) -> Option<usize> {
    let (line, rest) = text.split_at(fits);
    if rest.starts_with(JOINTS) {
        return Some(fits);
    }
    let place = line.rfind(JOINTS)? + 1;
    let word = text[place..].split_inclusive(JOINTS).next().unwrap_or_default();
    (place * 5 >= line.len() * 3 || word.width() <= width).then_some(place)
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
    use super::*;

    #[test]
    fn a_wide_character_is_never_cut() {
        assert_eq!(wrap("夜間夜", 3), ["夜", "間", "夜"]);
        assert_eq!(wrap("夜", 1), ["夜"]);
        assert_eq!(wrap("", 4), [""]);
        assert_eq!(wrap("ab cd", 2), ["ab", "cd"]);
    }

    #[test]
    fn a_long_name_is_cut_behind_a_joint() {
        assert_eq!(wrap("mssql-staging-1", 14), ["mssql-staging-", "1"]);
        assert_eq!(wrap("weekly_20261018_1921", 17), ["weekly_20261018_", "1921"]);
        // Before it, where the word fills the line.
        assert_eq!(wrap("before_release_20261018", 14), ["before_release", "_20261018"]);
    }

    #[test]
    fn a_number_stays_with_its_word() {
        assert_eq!(
            wrap("last 1, daily 14, weekly 2", 14),
            ["last 1,", "daily 14,", "weekly 2"]
        );
        assert_eq!(
            wrap("last 1, daily 14, weekly 2", 17),
            ["last 1, daily 14,", "weekly 2"]
        );
        assert_eq!(wrap("daily 14", 5), ["daily", "14"]);
    }

    #[test]
    fn what_is_quoted_stays_together() {
        assert_eq!(wrap("and `within: 20h` goes", 14), ["and", "`within: 20h`", "goes"]);
        assert_eq!(wrap("`a b c` d", 5), ["`a b", "c` d"], "where it must be, it is cut");
        assert_eq!(wrap("it's `x y`", 9), ["it's", "`x y`"]);
    }

    #[test]
    fn a_paragraph_hangs_and_without_a_terminal_is_one_line() {
        let draw = |width| {
            let theme = Theme {
                width,
                ..Theme::default()
            };
            let mut drawn = Vec::new();
            paragraph(
                &mut drawn,
                &theme,
                2,
                4,
                Style::new(),
                "one two three four five six seven eight",
            )
            .unwrap();
            String::from_utf8(drawn).unwrap()
        };
        assert_eq!(draw(None), "  one two three four five six seven eight\n");
        assert_eq!(draw(Some(36)), "  one two three four five six\n      seven eight\n");
    }
}
