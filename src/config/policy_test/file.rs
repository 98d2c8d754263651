//! A file of policy tests, and where in it something is wrong.

use std::path::{Path, PathBuf};
use std::rc::Rc;

use serde::Deserialize;
use serde_yaml::Spanned;

use super::super::diagnostics::{Problem, Source, nearest, one_of};
use super::super::files;
use super::super::reader::Diagnostics;
use super::super::yaml::{self, Node, NodeKind, Position};
use super::case::TestCase;

/// A file of policy tests that was read.
#[derive(Debug)]
pub struct TestFile {
    /// The configuration that is tested, beside this file.
    pub policies: PathBuf,
    /// The tests, in the file's order.
    pub tests: Vec<TestCase>,
    source: Source,
    root: Option<Rc<Node>>,
}

/// The file as it is written.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Contents {
    policies: PathBuf,
    tests: Vec<TestCase>,
}

impl TestFile {
    /// Reads a file of at most 1 MiB.
    pub fn read(path: &Path) -> Result<Self, Box<Problem>> {
        let findings = Diagnostics::default();
        let read = files::read(path, "`test FILE` names it", &findings, &mut 0);
        let (problems, ..) = findings.into_parts();
        let read = read.ok_or_else(|| match problems.into_iter().next() {
            Some(problem) => problem,
            None => Problem::with_file(path, "could not be read", None),
        })?;
        let text = String::from_utf8(read.bytes)
            .map_err(|_| Problem::with_file(path, "the file is not UTF-8", Some("save the file as UTF-8")))?;
        Self::parse(path, &text)
    }

    fn parse(path: &Path, text: &str) -> Result<Self, Box<Problem>> {
        let source = Source::new(path.to_owned(), text);
        // The tree gives syntax errors with their cure, and values their YAML path, which serde's errors do not have.
        let mut document = yaml::parse(text).map_err(|flaw| source.flaw(&flaw))?;
        if let Some(flaw) = document.flaws.drain(..).next() {
            return Err(source.flaw(&flaw).into());
        }
        let root = document.root;
        if root.is_none() {
            let hint = "write `policies` and `tests`; `rds-retentiond test --help` has an example";
            return Err(Problem::with_file(path, "the file is empty", Some(hint)).into());
        }
        let contents: Contents =
            serde_yaml::from_str(text).map_err(|error| problem_of(&error, &source, root.as_deref()))?;
        let beside = path.parent().unwrap_or(Path::new(""));
        Ok(Self {
            policies: beside.join(contents.policies),
            tests: contents.tests,
            source,
            root,
        })
    }

    /// The file, as it was named.
    pub fn path(&self) -> &Path {
        &self.source.file
    }

    /// A problem with a value of this file.
    pub fn problem<T>(&self, at: &Spanned<T>, message: &str, hint: &str) -> Box<Problem> {
        let spot = position_of(&at.referenced);
        let found = self.root.as_deref().and_then(|root| path_at(root, spot, ""));
        let (path, spot) = found.unwrap_or((String::new(), spot));
        let hint = (!hint.is_empty()).then_some(hint);
        Box::new(self.source.problem(spot, &path, message, hint))
    }

    /// The name that was probably meant, as a hint.
    pub fn meant<'c>(name: &str, known: impl IntoIterator<Item = &'c str> + Clone) -> String {
        match nearest(name, known.clone()) {
            Some(meant) => format!("did you mean `{meant}`?"),
            None => format!("it is one of {}", one_of(known)),
        }
    }
}

fn position_of(at: &serde_yaml::Location) -> Position {
    let number = |number: u64| usize::try_from(number).unwrap_or(0);
    Position {
        line: number(at.line()),
        column: number(at.column()),
        length: 1,
    }
}

/// The YAML path of what stands at a position, and its place: of the outermost value that begins there, or of a key.
fn path_at(node: &Node, spot: Position, path: &str) -> Option<(String, Position)> {
    let is_here = |node: &Node| (node.spot.line, node.spot.column) == (spot.line, spot.column);
    if is_here(node) {
        return Some((path.to_owned(), node.spot));
    }
    match &node.kind {
        NodeKind::Map(pairs) => pairs.iter().find_map(|(key, value)| {
            let NodeKind::Scalar { text, .. } = &key.kind else {
                return None;
            };
            let dot = if path.is_empty() { "" } else { "." };
            let path = format!("{path}{dot}{}", yaml::clip(text));
            if is_here(key) {
                return Some((path, key.spot));
            }
            path_at(value, spot, &path)
        }),
        NodeKind::List(items) => {
            let mut items = items.iter().enumerate();
            items.find_map(|(nth, item)| path_at(item, spot, &format!("{path}[{nth}]")))
        }
        NodeKind::Scalar { .. } | NodeKind::Broken => None,
    }
}

/// serde's error, with its place and what to do.
fn problem_of(error: &serde_yaml::Error, source: &Source, root: Option<&Node>) -> Problem {
    use serde_yaml::Error;
    let mut error = error.without_snippet();
    while let Error::AliasError { error: inner, .. } = error {
        error = inner.without_snippet();
    }
    let spot = error.location().map_or_else(Position::default, |at| position_of(&at));
    let found = root.and_then(|root| path_at(root, spot, ""));
    let (mut path, spot) = found.unwrap_or((String::new(), spot));
    let (message, hint) = match error {
        Error::SerdeUnknownField { field, expected, .. } => {
            // The first key of a mapping begins where the mapping does.
            if !path.ends_with(field.as_str()) {
                path = format!("{path}{}{}", if path.is_empty() { "" } else { "." }, yaml::clip(field));
            }
            (
                format!("unknown key `{}`", yaml::clip(field)),
                TestFile::meant(field, expected.iter().copied()),
            )
        }
        Error::SerdeMissingField { field, .. } => {
            // It is reported at the last key of the mapping that lacks it.
            path.truncate(path.rfind('.').unwrap_or(0));
            (format!("the key `{field}` is missing"), String::new())
        }
        Error::DuplicateMappingKey { key, .. } => (
            format!("the key `{}` is here twice", yaml::clip(key.as_deref().unwrap_or("?"))),
            "remove one of them: which one counts would be a guess".to_owned(),
        ),
        Error::SerdeInvalidType {
            unexpected, expected, ..
        }
        | Error::SerdeInvalidValue {
            unexpected, expected, ..
        } => (format!("expected {expected}, found {unexpected}"), String::new()),
        Error::Message { msg, .. } => (msg.clone(), String::new()),
        Error::InvalidScalar { ty: "u64", .. } => ("expected a whole number".to_owned(), String::new()),
        Error::InvalidScalar { ty, .. } => (format!("expected {ty}"), String::new()),
        Error::Unexpected { expected, .. } => (format!("expected {expected}"), String::new()),
        other => (other.to_string(), String::new()),
    };
    source.problem(
        spot,
        &path,
        &message,
        Some(hint.as_str()).filter(|hint| !hint.is_empty()),
    )
}

#[cfg(test)]
#[path = "file_tests.rs"]
mod tests;
