//! YAML as a positioned tree.
//!
//! Built from the parser's events and not through serde, because serde stops at the first mistake and this program
//! reports all of them at once. Only what makes the whole file unreadable (syntax, a bomb) is an error here; everything
//! else becomes a [`SyntaxError`] and the tree goes on. What the values mean is `read` and `compile`.

use std::collections::HashMap;
use std::rc::Rc;

use serde_yaml::granit_parser::{Event, Parser, ScalarStyle, ScanError, Span as Range, Tag, options};

/// Deepest nesting, aliases expanded. The configuration needs seven levels.
const MAX_DEPTH: usize = 64;
/// Most nodes of a document, aliases expanded: a billion laughs ends here. About 20 000 policies fit.
const MAX_NODES: usize = 250_000;

/// A place in a file.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Position {
    /// From 1; 0 means no line in particular.
    pub line: usize,
    /// In characters, from 1.
    pub column: usize,
    /// How many characters of that line it covers, at least 1.
    pub length: usize,
}

/// Something wrong at a place whose YAML path is not known.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct SyntaxError {
    pub spot: Position,
    pub message: String,
    pub hint: Option<String>,
}

/// A value.
#[derive(Debug)]
pub(super) struct Node {
    pub spot: Position,
    pub kind: NodeKind,
    /// Nodes below it and itself, aliases expanded.
    size: usize,
    depth: usize,
}

/// What a value is, before anybody asks for a type.
#[derive(Debug)]
pub(super) enum NodeKind {
    Scalar {
        text: String,
        /// Quoted or block text: never a number, a boolean or nothing.
        quoted: bool,
    },
    List(Vec<Rc<Node>>),
    /// In the order of the file, duplicates and odd keys included.
    Map(Vec<(Rc<Node>, Rc<Node>)>),
    /// Already reported; whoever reads it stays silent.
    Broken,
}

/// What a file holds.
#[derive(Debug)]
pub(super) struct Document {
    /// `None` for a file of comments and blanks only.
    pub root: Option<Rc<Node>>,
    pub flaws: Vec<SyntaxError>,
}

/// A collection whose end has not been seen.
struct Open {
    spot: Position,
    anchor: usize,
    is_map: bool,
    items: Vec<Rc<Node>>,
}

#[derive(Default)]
struct Builder {
    open: Vec<Open>,
    anchors: HashMap<usize, Rc<Node>>,
    root: Option<Rc<Node>>,
    flaws: Vec<SyntaxError>,
    documents: usize,
    nodes: usize,
}

/// Reads one document. The error is the one thing that can be said about an unreadable file.
pub(super) fn parse(text: &str) -> Result<Document, SyntaxError> {
    let options = options! {
        disallow_directives: true,
        // Reported with a hint, and the rest of the file is still read.
        emit_unresolved_aliases: true,
        emit_comments: false,
        flow_nesting_limit: MAX_DEPTH,
        block_nesting_limit: MAX_DEPTH,
    };
    let mut parser = Parser::new_from_str_with_options(text, options);
    let mut builder = Builder::default();
    while let Some(event) = parser.next_event() {
        let (event, range) = event.map_err(|error| syntax(text, &error))?;
        builder.take(event, position_of(&range))?;
    }
    Ok(Document {
        root: builder.root.filter(|root| !root.is_blank_document()),
        flaws: builder.flaws,
    })
}

impl Node {
    /// Whether it is written as nothing: `~`, `null` or blank.
    pub fn is_nothing(&self) -> bool {
        matches!(&self.kind, NodeKind::Scalar { text, quoted: false }
            if matches!(text.as_str(), "" | "~" | "null" | "Null" | "NULL"))
    }

    fn is_blank_document(&self) -> bool {
        matches!(&self.kind, NodeKind::Scalar { text, quoted: false } if text.is_empty())
    }
}

impl Builder {
    /// A list or a mapping ends.
    fn end(&mut self) -> Result<(), SyntaxError> {
        let Some(open) = self.open.pop() else { return Ok(()) };
        let kind = if open.is_map {
            let mut items = open.items.into_iter();
            let mut pairs = Vec::new();
            while let (Some(key), Some(value)) = (items.next(), items.next()) {
                pairs.push((key, value));
            }
            NodeKind::Map(pairs)
        } else {
            NodeKind::List(open.items)
        };
        self.place(open.anchor, open.spot, kind)
    }

    fn take(&mut self, event: Event<'_>, spot: Position) -> Result<(), SyntaxError> {
        match event {
            Event::DocumentStart(..) => {
                self.documents += 1;
                if self.documents > 1 {
                    return Err(SyntaxError::new(
                        spot,
                        "a second YAML document begins here",
                        "a configuration file is one document: remove the `---`, or move the rest to a file of its own",
                    ));
                }
                Ok(())
            }
            Event::Scalar(text, style, anchor, tag) => {
                self.refuse_tag(tag.as_deref(), spot);
                let kind = NodeKind::Scalar {
                    text: text.into_owned(),
                    quoted: style != ScalarStyle::Plain,
                };
                self.place(anchor, spot, kind)
            }
            Event::SequenceStart(_, anchor, tag) => self.begin(false, anchor, tag.as_deref(), spot),
            Event::MappingStart(_, anchor, tag) => self.begin(true, anchor, tag.as_deref(), spot),
            Event::SequenceEnd | Event::MappingEnd => self.end(),
            Event::Alias(anchor) => match self.anchors.get(&anchor) {
                Some(target) => {
                    let target = Rc::clone(target);
                    self.put(target)
                }
                None => Err(SyntaxError::new(
                    spot,
                    "this alias stands inside the value it refers to",
                    "a value cannot contain itself: write it out",
                )),
            },
            Event::UnresolvedAlias(name) => {
                self.flaws.push(SyntaxError::new(
                    spot,
                    &format!(
                        "`*{}` reads as a YAML alias, and there is no anchor of that name",
                        clip(&name)
                    ),
                    "a text that begins with `*` must be quoted, for example \"*-scratch\"",
                ));
                self.place(0, spot, NodeKind::Broken)
            }
            // Stream marks, document ends, and whatever a later parser adds beside the nodes.
            _ => Ok(()),
        }
    }

    fn begin(&mut self, is_map: bool, anchor: usize, tag: Option<&Tag>, spot: Position) -> Result<(), SyntaxError> {
        self.refuse_tag(tag, spot);
        if self.open.len() >= MAX_DEPTH {
            return Err(too_deep(spot));
        }
        self.open.push(Open {
            spot,
            anchor,
            is_map,
            items: Vec::new(),
        });
        Ok(())
    }

    /// A tag changes what a value is, silently; no key here needs one.
    fn refuse_tag(&mut self, tag: Option<&Tag>, spot: Position) {
        if let Some(tag) = tag {
            self.flaws.push(SyntaxError::new(
                spot,
                &format!("the YAML tag `{}` is not supported", clip(&tag.original())),
                "remove the tag; to make a value a text, quote it",
            ));
        }
    }

    fn place(&mut self, anchor: usize, spot: Position, kind: NodeKind) -> Result<(), SyntaxError> {
        let (below, deepest) = match &kind {
            NodeKind::List(items) => measure(items.iter()),
            NodeKind::Map(pairs) => measure(pairs.iter().flat_map(|(key, value)| [key, value])),
            NodeKind::Scalar { .. } | NodeKind::Broken => (0, 0),
        };
        let node = Rc::new(Node {
            spot,
            kind,
            size: below.saturating_add(1),
            depth: deepest + 1,
        });
        if anchor != 0 {
            self.anchors.insert(anchor, Rc::clone(&node));
        }
        self.put(node)
    }

    fn put(&mut self, node: Rc<Node>) -> Result<(), SyntaxError> {
        // Only leaves and aliases are new: a collection's own nodes were counted when they came.
        let is_collection = matches!(node.kind, NodeKind::List(_) | NodeKind::Map(_));
        self.nodes = self.nodes.saturating_add(1);
        if self.nodes > MAX_NODES || node.size > MAX_NODES {
            return Err(SyntaxError::new(
                node.spot,
                &format!("the document holds more than {MAX_NODES} values once its aliases are expanded"),
                "spread policies over several files (`include`), and use aliases sparingly",
            ));
        }
        if is_collection && node.depth + self.open.len() > MAX_DEPTH {
            return Err(too_deep(node.spot));
        }
        match self.open.last_mut() {
            Some(open) => open.items.push(node),
            None => self.root = Some(node),
        }
        Ok(())
    }
}

fn measure<'n>(nodes: impl Iterator<Item = &'n Rc<Node>>) -> (usize, usize) {
    nodes.fold((0, 0), |(size, depth): (usize, usize), node| {
        (size.saturating_add(node.size), depth.max(node.depth))
    })
}

fn too_deep(spot: Position) -> SyntaxError {
    SyntaxError::new(
        spot,
        &format!("values are nested more than {MAX_DEPTH} deep"),
        "the configuration needs no more than seven levels",
    )
}

impl SyntaxError {
    pub fn new(spot: Position, message: &str, hint: &str) -> Self {
        Self {
            spot,
            message: message.to_owned(),
            hint: Some(hint.to_owned()),
        }
    }
}

fn position_of(range: &Range) -> Position {
    let length = if range.start.line() == range.end.line() {
        range.end.col().saturating_sub(range.start.col()).max(1)
    } else {
        1
    };
    Position {
        line: range.start.line(),
        column: range.start.col() + 1,
        length,
    }
}

/// The lines of a file as YAML counts them: a carriage return alone ends one, too. A line break at the end is followed by an
/// empty line.
pub(super) fn lines(text: &str) -> impl Iterator<Item = &str> {
    text.split('\n')
        .flat_map(|line| line.strip_suffix('\r').unwrap_or(line).split('\r'))
}

/// At most forty characters of outside text, fit for a message.
pub(super) fn clip(text: &str) -> String {
    let mut short: String = text.chars().take(40).flat_map(char::escape_debug).collect();
    if text.chars().nth(40).is_some() {
        short.push('…');
    }
    short.replace("\\\"", "\"").replace("\\'", "'")
}

fn syntax(text: &str, error: &ScanError) -> SyntaxError {
    let mut spot = Position {
        line: error.marker().line(),
        column: error.marker().col() + 1,
        length: 1,
    };
    let info = error.info();
    // The parser may point at the line before or behind the tab that it stumbled over.
    let is_tabbed = |line: &str| line.trim_start_matches(' ').starts_with('\t');
    let mut near = lines(text)
        .zip(1..)
        .filter(|(line, _)| is_tabbed(line))
        .map(|(_, number)| number);
    if let Some(number) = near.find(|number| spot.line <= number + 1 && *number <= spot.line + 1)
        && number != spot.line
    {
        spot = Position {
            line: number,
            column: 1,
            length: 1,
        };
    }
    let line = lines(text).nth(spot.line.saturating_sub(1)).unwrap_or_default();
    // The parser points behind the value that it stumbled over; the value is what the reader must see.
    let value = value_of(line);
    let first = value.chars().next();
    let hint = match first {
        Some(mark @ ('*' | '@' | '`' | '%' | '!' | '&')) => {
            spot.column = line.chars().count() - value.chars().count() + 1;
            spot.length = value.trim_end().chars().count().max(1);
            format!(
                "a value that begins with `{mark}` must be quoted: \"{}\"",
                value.split(" #").next().unwrap_or(value).trim_end()
            )
        }
        _ if is_tabbed(line) => "indent with spaces; YAML allows no tabs".to_owned(),
        Some(first) if !"{[\"'".contains(first) && value.contains(": ") => {
            "a text that holds `: ` must be quoted".to_owned()
        }
        _ => "check indentation, quotes and brackets, here and in the lines before".to_owned(),
    };
    SyntaxError {
        spot,
        message: format!("not valid YAML: {info}"),
        hint: Some(hint),
    }
}

/// What stands behind `key: ` or `- ` in a line.
fn value_of(line: &str) -> &str {
    let mut rest = line.trim_start();
    while let Some(item) = rest.strip_prefix("- ") {
        rest = item.trim_start();
    }
    match rest.split_once(": ") {
        Some((_, value)) => value.trim_start(),
        None => rest,
    }
}

#[cfg(test)]
mod tests {
    use std::fmt::Write as _;

    use super::*;

    #[test]
    fn an_alias_is_the_value_it_names() {
        let document = parse("a: &x [1, 2]\nb: *x\n").unwrap();
        let NodeKind::Map(pairs) = &document.root.unwrap().kind else {
            panic!("a mapping");
        };
        assert!(Rc::ptr_eq(&pairs[0].1, &pairs[1].1));
        assert!(document.flaws.is_empty());
    }

    #[test]
    fn a_billion_laughs_is_refused_at_once() {
        let mut text = String::from("a0: &a0 [lol, lol, lol, lol, lol, lol, lol, lol, lol]\n");
        for level in 1..12 {
            let below = format!("*a{}, ", level - 1).repeat(9);
            writeln!(text, "a{level}: &a{level} [{below}]").unwrap();
        }
        assert!(parse(&text).unwrap_err().message.contains("aliases are expanded"));
    }

    #[test]
    fn a_chain_of_aliases_cannot_grow_deep() {
        let mut text = String::from("a0: &a0 [x]\n");
        for level in 1..2_000 {
            writeln!(text, "a{level}: &a{level} [*a{}]", level - 1).unwrap();
        }
        assert!(parse(&text).unwrap_err().message.contains("nested"));
        assert!(parse(&"[".repeat(100_000)).unwrap_err().message.contains("YAML"));
    }

    #[test]
    fn a_value_that_holds_itself_is_refused() {
        assert!(parse("a: &a [1, *a]").unwrap_err().message.contains("inside the value"));
    }

    #[test]
    fn comments_alone_are_an_empty_document() {
        assert!(parse("# nothing\n\n").unwrap().root.is_none());
        assert!(parse("").unwrap().root.is_none());
        assert!(parse("~").unwrap().root.is_some());
    }
}
