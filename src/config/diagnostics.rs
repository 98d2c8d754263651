//! What is wrong, where, and what to do about it.
//!
//! Problems are for people first: a place, a sentence, the line with a pointer under it, a suggestion. For logs there is
//! a form of one line. Not for deciding what is a problem: that is `read` and `compile`.

use crate::wording::sanitize::is_unsafe;
use std::fmt;
use std::path::{Path, PathBuf};

use serde::{Serialize, Serializer};

use super::state_at::StateAt;
use super::yaml::{Position, SyntaxError, lines};

/// Widest part of a source line that is shown.
const SNIPPET_WIDTH: usize = 120;

/// One thing that is wrong with a configuration, or suspicious about it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// The file, as it was named.
    pub file: PathBuf,
    /// Line, from 1; 0 when the problem is not in one line (a missing file).
    pub line: usize,
    /// Column in characters, from 1; 0 as for the line.
    pub column: usize,
    /// Where in the configuration, as `policies[0].keep.last`; empty for the file as a whole.
    pub path: String,
    /// What is wrong and what was expected.
    pub message: String,
    /// What to do about it.
    pub hint: Option<String>,
    /// The line with a pointer under the place; several lines, no colour. What looks like a secret is masked.
    pub snippet: Option<String>,
}

impl Serialize for Problem {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        #[derive(Serialize)]
        struct View<'a> {
            file: std::borrow::Cow<'a, str>,
            /// `null` for the file as a whole.
            line: Option<usize>,
            column: Option<usize>,
            path: &'a str,
            message: &'a str,
            help: Option<&'a str>,
        }
        let place = |number: usize| (self.line > 0).then_some(number);
        let view = View {
            file: self.file.to_string_lossy(),
            line: place(self.line),
            column: place(self.column),
            path: &self.path,
            message: &self.message,
            help: self.hint.as_deref(),
        };
        view.serialize(serializer)
    }
}

impl Problem {
    /// A problem with a file as a whole.
    pub(crate) fn with_file(file: &Path, message: impl Into<String>, hint: Option<&str>) -> Self {
        Self {
            file: file.to_owned(),
            line: 0,
            column: 0,
            path: String::new(),
            message: clean(&message.into()),
            hint: hint.map(clean),
            snippet: None,
        }
    }

    /// For logs: everything but the snippet, in one line.
    pub fn one_line(&self) -> String {
        let mut text = self.place();
        text.push_str(&self.message);
        if let Some(hint) = &self.hint {
            text.push_str("; ");
            text.push_str(hint);
        }
        text
    }

    fn place(&self) -> String {
        let file = clean(&self.file.to_string_lossy());
        let position = match self.line {
            0 => String::new(),
            line => format!("{line}:{}:", self.column),
        };
        let path = match self.path.as_str() {
            "" => String::new(),
            path => format!("{path}: "),
        };
        format!("{file}:{position} {path}")
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}{}", self.place(), self.message)?;
        if let Some(snippet) = &self.snippet {
            write!(f, "\n{snippet}")?;
        }
        if let Some(hint) = &self.hint {
            write!(f, "\n  help: {hint}")?;
        }
        Ok(())
    }
}

/// Everything that is wrong with a configuration: never empty, sorted by file and position.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problems {
    listed: Vec<Problem>,
    /// How many more there are: a file of junk has more than anybody reads.
    dropped: usize,
    /// Where the state is, where that could be read and nothing is wrong with it.
    pub(super) state: Option<StateAt>,
}

impl Problems {
    /// `None` when there is nothing wrong. `files` gives the order of the files, `dropped` how many are not listed.
    pub(super) fn new(mut problems: Vec<Problem>, dropped: usize, files: &[PathBuf]) -> Option<Self> {
        if problems.is_empty() {
            return None;
        }
        sort(&mut problems, files);
        Some(Self {
            listed: problems,
            dropped,
            state: None,
        })
    }

    /// Where the state is, in spite of them: for what stops deletions and must not wait for a good configuration.
    pub fn state(&self) -> Option<&StateAt> {
        self.state.as_ref()
    }

    /// One by one, as far as they are listed.
    pub fn iter(&self) -> std::slice::Iter<'_, Problem> {
        self.listed.iter()
    }
}

impl From<Problem> for Problems {
    fn from(problem: Problem) -> Self {
        Self {
            listed: vec![problem],
            dropped: 0,
            state: None,
        }
    }
}

impl<'p> IntoIterator for &'p Problems {
    type Item = &'p Problem;
    type IntoIter = std::slice::Iter<'p, Problem>;
    fn into_iter(self) -> Self::IntoIter {
        self.iter()
    }
}

impl fmt::Display for Problems {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for problem in &self.listed {
            write!(f, "{problem}\n\n")?;
        }
        match (self.listed.len(), self.dropped) {
            (1, 0) => write!(f, "1 problem in the configuration"),
            (all, 0) => write!(f, "{all} problems in the configuration"),
            (listed, dropped) => write!(
                f,
                "{} problems in the configuration; these are {listed} of them",
                listed + dropped
            ),
        }
    }
}

impl std::error::Error for Problems {}

/// By file in the order they were read, then by position.
pub(super) fn sort(problems: &mut [Problem], files: &[PathBuf]) {
    problems.sort_by_cached_key(|problem| {
        let file = files.iter().position(|file| *file == problem.file);
        (
            file.unwrap_or(files.len()),
            problem.file.clone(),
            problem.line,
            problem.column,
            problem.path.clone(),
            problem.message.clone(),
        )
    });
}

/// A file that problems point into.
#[derive(Debug)]
pub(super) struct Source {
    pub file: PathBuf,
    lines: Vec<String>,
}

impl Source {
    pub fn new(file: PathBuf, text: &str) -> Self {
        let text = text.strip_suffix(['\n', '\r']).unwrap_or(text);
        Self {
            file,
            lines: lines(text).map(str::to_owned).collect(),
        }
    }

    pub fn problem(&self, spot: Position, path: &str, message: &str, hint: Option<&str>) -> Problem {
        Problem {
            file: self.file.clone(),
            line: spot.line,
            column: spot.column,
            path: clean(path),
            message: clean(message),
            hint: hint.map(clean),
            snippet: self.snippet(spot),
        }
    }

    pub fn flaw(&self, flaw: &SyntaxError) -> Problem {
        self.problem(flaw.spot, "", &flaw.message, flaw.hint.as_deref())
    }

    fn snippet(&self, spot: Position) -> Option<String> {
        let line = self.lines.get(spot.line.checked_sub(1)?)?;
        let column = spot.column.saturating_sub(1);
        // A long line is shown around the place, and only there looked at: it may be a megabyte.
        let start = column.saturating_sub(SNIPPET_WIDTH * 2);
        let near: String = line.chars().skip(start).take(SNIPPET_WIDTH * 4).collect();
        let near: Vec<char> = mask_secrets(&near).chars().map(printable).collect();
        let at = (column - start).min(near.len());
        let from = if near.len() <= SNIPPET_WIDTH {
            0
        } else {
            at.saturating_sub(SNIPPET_WIDTH * 2 / 3)
        };
        let to = near.len().min(from + SNIPPET_WIDTH);
        let shown: String = near[from..to].iter().collect();
        let gutter = " ".repeat(spot.line.to_string().len());
        let pointer = "^".repeat(spot.length.min((to - at).max(1)));
        Some(format!(
            "{gutter} |\n{} | {}\n{gutter} | {}{pointer}",
            spot.line,
            shown.trim_end(),
            " ".repeat(at - from),
        ))
    }
}

/// A control character in a file must not reach the terminal; a tab is one column, as the parser counts it.
fn printable(c: char) -> char {
    match c {
        '\t' => ' ',
        c if is_unsafe(c) => '\u{fffd}',
        c => c,
    }
}

/// Also of messages and hints, which quote what was found: a URL in the wrong place is as secret as in the right one.
fn clean(text: &str) -> String {
    mask_urls(text).chars().map(printable).collect()
}

/// Nothing secret belongs in the file, but people put it there; the snippet must not pass it on. Masks character for
/// character, so that the pointer stays right.
pub(super) fn mask_secrets(line: &str) -> String {
    const WORDS: [&str; 6] = ["secret", "password", "passwd", "token", "access_key", "accesskey"];
    let line = mask_urls(line);
    let mut masked = String::with_capacity(line.len());
    let mut rest = line.as_str();
    while let Some(at) = rest.find([':', '=']) {
        let (before, after) = rest.split_at(at + 1);
        masked.push_str(before);
        rest = after;
        let key = before[..at].trim_matches(|c: char| c.is_whitespace() || "\"'".contains(c));
        let word = key
            .rsplit(|c: char| !(c.is_alphanumeric() || c == '_' || c == '-'))
            .next()
            .unwrap_or_default()
            .to_ascii_lowercase()
            .replace('-', "_");
        let is_short = matches!(word.as_str(), "ak" | "sk" | "url") || word.ends_with("_ak") || word.ends_with("_sk");
        let is_secret = (is_short || WORDS.iter().any(|secret| word.contains(secret))) && !word.ends_with("_file");
        if is_secret {
            let end = rest.find([',', '}']).unwrap_or(rest.len());
            let (value, tail) = rest.split_at(end);
            masked.extend(value.chars().map(|c| if c.is_whitespace() { c } else { '*' }));
            rest = tail;
        }
    }
    masked.push_str(rest);
    masked
}

/// The `user:password@` of a URL, and what stands behind its host: a webhook's URL is a password.
fn mask_urls(line: &str) -> String {
    mask_urls_by(line, |_| '*')
}

/// The same, with what stands for each letter.
pub(super) fn mask_urls_by(line: &str, mask: fn(char) -> char) -> String {
    let mut masked = String::with_capacity(line.len());
    let mut rest = line;
    while let Some(at) = rest.find("://") {
        let (before, after) = rest.split_at(at + 3);
        masked.push_str(before);
        let end = after
            .find(|c: char| c.is_whitespace() || "\"'`".contains(c))
            .unwrap_or(after.len());
        let (url, tail) = after.split_at(end);
        let (host, path) = url.split_at(url.find(['/', '?', '#']).unwrap_or(end));
        let user = host.rfind('@').unwrap_or(0);
        masked.extend(host[..user].chars().map(mask));
        masked.push_str(&host[user..]);
        masked.extend(path.char_indices().map(|(at, c)| if at == 0 { c } else { mask(c) }));
        rest = tail;
    }
    masked.push_str(rest);
    masked
}

/// The candidate that was probably meant: equal but for case and `-`/`_`, or a few letters away.
pub(super) fn nearest<'c>(word: &str, candidates: impl IntoIterator<Item = &'c str>) -> Option<&'c str> {
    let fold = |text: &str| text.to_ascii_lowercase().replace(['-', ' '], "_");
    let word = fold(word);
    // Nothing here is longer; a megabyte of key is not worth measuring.
    if word.is_empty() || word.len() > 64 {
        return None;
    }
    candidates
        .into_iter()
        .map(|candidate| (strsim::osa_distance(&word, &fold(candidate)), candidate))
        .filter(|(distance, candidate)| *distance <= (candidate.len().min(word.len()) / 3).max(1))
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, candidate)| candidate)
}

/// "`a`, `b` or `c`".
pub(super) fn one_of<'c>(candidates: impl IntoIterator<Item = &'c str>) -> String {
    let quoted: Vec<String> = candidates.into_iter().map(|word| format!("`{word}`")).collect();
    match quoted.split_last() {
        None => String::new(),
        Some((last, [])) => last.clone(),
        Some((last, others)) => format!("{} or {last}", others.join(", ")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_pointer_is_under_the_place_in_long_and_odd_lines() {
        let source = Source::new(PathBuf::from("c.yaml"), "a: \tüb\u{1b}x\n");
        let spot = Position {
            line: 1,
            column: 5,
            length: 2,
        };
        assert_eq!(source.snippet(spot).unwrap(), "  |\n1 | a:  üb\u{fffd}x\n  |     ^^");
        let long = Source::new(
            PathBuf::from("c.yaml"),
            &format!("{}bad{}", "x".repeat(500), "y".repeat(500)),
        );
        let spot = Position {
            line: 1,
            column: 501,
            length: 3,
        };
        let lines = long.snippet(spot).unwrap();
        let lines: Vec<&str> = lines.lines().collect();
        assert_eq!(lines[1].find("bad"), lines[2].find("^^^"));
        let beyond = Position {
            line: 1,
            column: 5_000,
            length: 9,
        };
        assert!(long.snippet(beyond).is_some());
        assert_eq!(long.snippet(Position { line: 7, ..beyond }), None);
    }

    #[test]
    fn a_carriage_return_alone_ends_a_line_as_the_parser_counts() {
        // Found by fuzzing: the line after it was shown for the next one.
        let source = Source::new(PathBuf::from("c.yaml"), "a: 1\rb: 2\r\nc: bad\n");
        let spot = Position {
            line: 3,
            column: 4,
            length: 3,
        };
        assert_eq!(source.snippet(spot).unwrap(), "  |\n3 | c: bad\n  |    ^^^");
        assert_eq!(source.lines, ["a: 1", "b: 2", "c: bad"]);
        let flaw = super::super::yaml::parse("a: 1\rb: [\rc: @x\r").unwrap_err();
        assert!(flaw.spot.line >= 2, "{flaw:?}");
    }

    #[test]
    fn a_secret_in_the_file_is_masked() {
        for (line, expected) in [
            ("  secret_key: hunter2 # x", "  secret_key: ******* * *"),
            (
                "{source: environment, sk: abc, x: y}",
                "{source: environment, sk: ***, x: y}",
            ),
            ("secret_key_file: sk", "secret_key_file: sk"),
            ("\"security-token\": abc", "\"security-token\": ***"),
            ("task: nightly", "task: nightly"),
            (
                "a: \"https://u:pä@h/x\", b: http://h",
                "a: \"https://****@h/*\", b: http://h",
            ),
            (
                "{url: \"https://h.x/T0/B,0?s=1\", format: slack}",
                "{url: ************************, format: slack}",
            ),
            (
                "- {ulr: https://h.x/T0/B0, on: [a]}",
                "- {ulr: https://h.x/****** on: [a]}",
            ),
            ("notify: [https://h.x?sig=1]", "notify: [https://h.x?******"),
        ] {
            assert_eq!(mask_secrets(line), expected);
        }
    }

    #[test]
    fn the_nearest_is_near() {
        let keys = ["last", "daily", "weekly", "within_daily"];
        assert_eq!(nearest("lst", keys), Some("last"));
        assert_eq!(nearest("Within-Daily", keys), Some("within_daily"));
        assert_eq!(nearest("daliy", keys), Some("daily"));
        assert_eq!(nearest("banana", keys), None);
        assert_eq!(nearest("", keys), None);
    }
}
