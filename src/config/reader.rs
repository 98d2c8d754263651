//! The typed reader: a cursor on a node of the tree that answers "this is a count" or notes what is wrong.
//!
//! Every method returns `None` after it has noted a problem (or stands on one that was noted already), so that the
//! caller goes on with the next key and all problems come out together.

use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::path::Path;
use std::rc::Rc;

use super::diagnostics::{Problem, Source, nearest, one_of};
use super::spec::Section;
use super::suggestions::hint_for_key;
use super::yaml::{Node, NodeKind, Position, clip};

/// So many problems are kept at most; a file of junk must not answer with forty megabytes.
const MAX_PROBLEMS: usize = 1_000;

/// What was found, errors and warnings.
#[derive(Debug, Default)]
pub(super) struct Diagnostics {
    problems: RefCell<Vec<Problem>>,
    warnings: RefCell<Vec<Problem>>,
    dropped: Cell<usize>,
}

impl Diagnostics {
    pub fn problem(&self, problem: Problem) {
        let mut problems = self.problems.borrow_mut();
        if problems.len() < MAX_PROBLEMS {
            problems.push(problem);
        } else {
            self.dropped.set(self.dropped.get() + 1);
        }
    }

    pub fn warning(&self, warning: Problem) {
        let mut warnings = self.warnings.borrow_mut();
        if warnings.len() < MAX_PROBLEMS {
            warnings.push(warning);
        }
    }

    /// Problems and warnings, as they came, and how many problems were not kept.
    pub fn into_parts(self) -> (Vec<Problem>, Vec<Problem>, usize) {
        let dropped = self.dropped.get();
        (self.problems.into_inner(), self.warnings.into_inner(), dropped)
    }

    /// Whether problems are only counted by now: no message needs to be made, and no suggestion searched.
    pub fn is_full(&self) -> bool {
        self.dropped.get() > 0
    }

    /// Whether a problem is about what the main file includes.
    pub fn is_about_an_include(&self, main: &Path) -> bool {
        let problems = self.problems.borrow();
        problems
            .iter()
            .any(|one| one.file != main || one.path.starts_with("include"))
    }

    /// Whether no warning is taken any more.
    fn has_warned_enough(&self) -> bool {
        self.warnings.borrow().len() >= MAX_PROBLEMS
    }
}

/// A place in the tree, with its YAML path.
#[derive(Clone, Debug)]
pub(super) struct Cursor<'t> {
    pub source: &'t Source,
    pub findings: &'t Diagnostics,
    pub node: &'t Node,
    pub path: String,
}

impl<'t> Cursor<'t> {
    /// Notes a problem here. An empty hint is none.
    pub fn fail(&self, message: impl AsRef<str>, hint: impl AsRef<str>) {
        self.fail_at(self.node.spot, &self.path, message.as_ref(), hint.as_ref());
    }

    fn fail_at(&self, spot: Position, path: &str, message: &str, hint: &str) {
        if self.findings.is_full() {
            // Counted, but no snippet is made for it.
            self.findings
                .problem(Problem::with_file(&self.source.file, message, None));
            return;
        }
        let hint = (!hint.is_empty()).then_some(hint);
        self.findings.problem(self.source.problem(spot, path, message, hint));
    }

    /// Notes a suspicion here.
    pub fn warn(&self, message: impl AsRef<str>, hint: impl AsRef<str>) {
        // A snippet costs a walk along its line, which may be a megabyte with forty thousand warnings on it.
        if self.findings.has_warned_enough() {
            return;
        }
        let hint = Some(hint.as_ref());
        let warning = self.source.problem(self.node.spot, &self.path, message.as_ref(), hint);
        self.findings.warning(warning);
    }

    /// "expected a boolean, found the text `yes`".
    pub fn mismatch(&self, expected: &str, hint: &str) {
        if matches!(self.node.kind, NodeKind::Broken) {
            return;
        }
        let hint = if self.node.is_nothing() {
            "give it a value; a key that is not required may be left out instead"
        } else {
            hint
        };
        self.fail(format!("expected {expected}, found {}", describe(self.node)), hint);
    }

    fn below(&self, node: &'t Node, path: String) -> Self {
        Self {
            node,
            path,
            ..self.clone()
        }
    }

    /// The value under these keys, one mapping below the other, if all are there. Notes nothing: for lints, which come
    /// after everything was read.
    pub fn below_keys(&self, keys: &[&str]) -> Option<Cursor<'t>> {
        keys.iter().try_fold(self.clone(), |at, wanted| {
            let NodeKind::Map(pairs) = &at.node.kind else {
                return None;
            };
            let is_wanted = |key: &Node| matches!(&key.kind, NodeKind::Scalar { text, .. } if text == wanted);
            let (_, value) = pairs.iter().find(|(key, _)| is_wanted(key))?;
            Some(at.below(value, at.path_of(wanted)))
        })
    }

    /// Whether it is a list with this text among its entries. Notes nothing.
    pub fn has_item(&self, wanted: &str) -> bool {
        let NodeKind::List(items) = &self.node.kind else {
            return false;
        };
        items
            .iter()
            .any(|item| matches!(&item.kind, NodeKind::Scalar { text, .. } if text == wanted))
    }

    /// A mapping with the keys of `section`; unknown, duplicate and missing ones are noted.
    pub fn section(&self, section: &'static Section) -> Option<Fields<'t>> {
        let NodeKind::Map(pairs) = &self.node.kind else {
            let example: Vec<&str> = section.keys.iter().take(3).map(|key| key.name).collect();
            let hint = format!("it is a mapping with keys such as {}", one_of(example));
            self.mismatch("a mapping", &hint);
            return None;
        };
        let mut fields = Fields {
            own: self.clone(),
            found: Vec::new(),
        };
        for (key, value) in self.keys(pairs) {
            match section.key(&key) {
                Some(known) => fields.found.push((known.name, value)),
                None => self.unknown_key(section, &key, &value),
            }
        }
        for key in section.keys.iter().filter(|key| key.required) {
            // A key that is there under a wrong name was reported; both messages together say it best.
            if fields.get(key.name).is_none() {
                self.fail(format!("the key `{}` is missing", key.name), key.doc);
            }
        }
        Some(fields)
    }

    /// The entries of a mapping by their text keys, each once. The path of a value ends in its key.
    fn keys(&self, pairs: &'t [(Rc<Node>, Rc<Node>)]) -> Vec<(String, Cursor<'t>)> {
        let mut seen: HashMap<&str, Position> = HashMap::new();
        let mut entries = Vec::new();
        for (key, value) in pairs {
            let NodeKind::Scalar { text, .. } = &key.kind else {
                self.below(key, self.path.clone())
                    .mismatch("a text as key", "keys are plain words");
                continue;
            };
            let path = self.path_of(text);
            if let Some(first) = seen.get(text.as_str()) {
                self.fail_at(
                    key.spot,
                    &path,
                    &format!(
                        "the key `{}` is here twice; the first is in line {}",
                        clip(text),
                        first.line
                    ),
                    "remove one of them: which one counts would be a guess",
                );
                continue;
            }
            seen.insert(text, key.spot);
            entries.push((text.clone(), key.spot, self.below(value, path)));
        }
        entries.into_iter().map(|(text, _, value)| (text, value)).collect()
    }

    fn path_of(&self, key: &str) -> String {
        if self.path.is_empty() {
            clip(key)
        } else {
            format!("{}.{}", self.path, clip(key))
        }
    }

    fn unknown_key(&self, section: &'static Section, key: &str, value: &Cursor<'t>) {
        if self.findings.is_full() {
            self.fail_at(value.node.spot, "", "", "");
            return;
        }
        let spot = self.key_position(key).unwrap_or(value.node.spot);
        let message = format!("unknown key `{}` in {}", clip(key), section.name);
        self.fail_at(spot, &value.path, &message, &hint_for_key(section, key));
    }

    fn key_position(&self, wanted: &str) -> Option<Position> {
        let NodeKind::Map(pairs) = &self.node.kind else {
            return None;
        };
        pairs
            .iter()
            .find(|(key, _)| matches!(&key.kind, NodeKind::Scalar { text, .. } if text == wanted))
            .map(|(key, _)| key.spot)
    }

    /// A mapping of free keys, in the order of the file.
    pub fn entries(&self, what: &str, hint: &str) -> Option<Vec<(String, Cursor<'t>)>> {
        let NodeKind::Map(pairs) = &self.node.kind else {
            self.mismatch(what, hint);
            return None;
        };
        Some(self.keys(pairs))
    }

    /// The entries of a list, which may be empty.
    pub fn items_or_none(&self, what: &str) -> Option<Vec<Cursor<'t>>> {
        let NodeKind::List(items) = &self.node.kind else {
            let hint = match &self.node.kind {
                NodeKind::Scalar { text, .. } => format!("put it in brackets: [{}]", quoted_if_odd(text)),
                _ => "begin each entry with `- `".to_owned(),
            };
            self.mismatch(what, &hint);
            return None;
        };
        let item = |(index, node): (usize, &'t Rc<Node>)| self.below(node, format!("{}[{index}]", self.path));
        Some(items.iter().enumerate().map(item).collect())
    }

    /// The entries of a list that must not be empty.
    pub fn items(&self, what: &str) -> Option<Vec<Cursor<'t>>> {
        let items = self.items_or_none(what)?;
        if items.is_empty() {
            self.fail(
                "the list is empty, which could mean all or nothing",
                "name at least one entry, or leave the key out",
            );
            return None;
        }
        Some(items)
    }

    /// A scalar's text, whatever it reads as; not nothing.
    pub fn scalar(&self, expected: &str) -> Option<&'t str> {
        match &self.node.kind {
            NodeKind::Scalar { text, .. } if !self.node.is_nothing() => Some(text),
            _ => {
                self.mismatch(expected, "");
                None
            }
        }
    }

    /// A text. A number is taken as it is written (`0`, `010`); a boolean is not, nor is empty text.
    pub fn text(&self) -> Option<&'t str> {
        let text = self.scalar("a text")?;
        if is_plain(self.node) && is_boolean(text) {
            self.mismatch("a text", &format!("quote it: \"{text}\""));
            return None;
        }
        if text.trim().is_empty() {
            self.fail("the text is empty", "give it a value, or leave the key out");
            return None;
        }
        if let Some(odd) = text.chars().find(|c| c.is_control() && !"\n\r\t".contains(*c)) {
            self.fail(
                format!("the text holds the control character U+{:04X}", u32::from(odd)),
                "remove it; no name, path or id has one",
            );
            return None;
        }
        Some(text)
    }

    /// `true` or `false`, nothing else.
    pub fn boolean(&self) -> Option<bool> {
        match &self.node.kind {
            NodeKind::Scalar { text, quoted: false } if text == "true" => Some(true),
            NodeKind::Scalar { text, quoted: false } if text == "false" => Some(false),
            NodeKind::Scalar { text, .. } => {
                let hint = match text.to_ascii_lowercase().as_str() {
                    "yes" | "on" | "y" | "1" | "true" => "write `true`, without quotes",
                    "no" | "off" | "n" | "0" | "false" => "write `false`, without quotes",
                    _ => "",
                };
                self.mismatch("`true` or `false`", hint);
                None
            }
            _ => {
                self.mismatch("`true` or `false`", "");
                None
            }
        }
    }

    /// A whole number from `least` to `most`.
    pub fn integer(&self, least: u32, most: u32) -> Option<u32> {
        let is_large =
            matches!(&self.node.kind, NodeKind::Scalar { text, .. } if is_digits(text) && text.parse::<u32>().is_err());
        let expected = if most == u32::MAX && !is_large {
            format!("a whole number of at least {least}")
        } else {
            format!("a whole number from {least} to {most}")
        };
        let text = match &self.node.kind {
            NodeKind::Scalar { text, quoted: false } => text.as_str(),
            NodeKind::Scalar { text, .. } if is_digits(text) => {
                self.mismatch(&expected, "remove the quotes");
                return None;
            }
            _ => {
                self.mismatch(&expected, "");
                return None;
            }
        };
        if is_digits(text) && text.len() > 1 && text.starts_with('0') {
            self.mismatch(
                &expected,
                "a leading zero makes it octal for some readers: leave it out",
            );
            return None;
        }
        let number = is_digits(text).then(|| text.parse::<u32>().ok()).flatten();
        let number = number.filter(|number| (least..=most).contains(number));
        if number.is_none() {
            let hint = match text.strip_suffix('%') {
                Some(bare) if is_digits(bare) => format!("write {bare}, without the `%`"),
                _ => String::new(),
            };
            self.mismatch(&expected, &hint);
        }
        number
    }

    /// One of these words.
    pub fn choice(&self, words: &[&'static str]) -> Option<&'static str> {
        let expected = one_of(words.iter().copied());
        let text = self.scalar(&expected)?;
        if let Some(word) = words.iter().find(|word| **word == text) {
            return Some(word);
        }
        // The beginning of a word is meant for it, however much is missing.
        let begun = |word: &&'static str| text.len() >= 3 && word.starts_with(text);
        let hint = nearest(text, words.iter().copied())
            .or_else(|| words.iter().copied().find(begun))
            .map(|word| format!("did you mean `{word}`?"))
            .unwrap_or_default();
        self.mismatch(&expected, &hint);
        None
    }
}

/// A section that was read: its known keys and where they stand.
#[derive(Debug)]
pub(super) struct Fields<'t> {
    pub own: Cursor<'t>,
    found: Vec<(&'static str, Cursor<'t>)>,
}

impl<'t> Fields<'t> {
    /// The value of a key, if it is there.
    pub fn get(&self, name: &str) -> Option<&Cursor<'t>> {
        self.found.iter().find(|(key, _)| *key == name).map(|(_, at)| at)
    }

    /// The keys that are there.
    pub fn present(&self) -> impl Iterator<Item = (&'static str, &Cursor<'t>)> {
        self.found.iter().map(|(key, at)| (*key, at))
    }
}

/// What a node is, for "found …".
fn describe(node: &Node) -> String {
    match &node.kind {
        _ if node.is_nothing() => "nothing".to_owned(),
        NodeKind::Scalar { text, quoted: true } => format!("the text \"{}\"", clip(text)),
        NodeKind::Scalar { text, .. } if is_boolean(text) => format!("the boolean `{text}`"),
        NodeKind::Scalar { text, .. } if text.parse::<f64>().is_ok() => format!("the number `{}`", clip(text)),
        NodeKind::Scalar { text, .. } => format!("`{}`", clip(text)),
        NodeKind::List(_) => "a list".to_owned(),
        NodeKind::Map(_) => "a mapping".to_owned(),
        NodeKind::Broken => "a mistake".to_owned(),
    }
}

fn is_plain(node: &Node) -> bool {
    matches!(node.kind, NodeKind::Scalar { quoted: false, .. })
}

fn is_boolean(text: &str) -> bool {
    matches!(text, "true" | "false" | "True" | "False" | "TRUE" | "FALSE")
}

pub(super) fn is_digits(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit())
}

fn quoted_if_odd(text: &str) -> String {
    let text = clip(text);
    if text.chars().all(|c| c.is_ascii_alphanumeric() || "._-".contains(c)) {
        text
    } else {
        format!("\"{text}\"")
    }
}
