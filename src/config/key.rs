//! A key of the configuration: its name, the shape of its value, and what it is for. The tables of keys are `spec`.

/// The shape of a value.
#[derive(Clone, Copy, Debug)]
pub enum Shape {
    /// Any text that is not empty.
    Text,
    /// 1 to 64 of `A-Z a-z 0-9 . _ -`.
    Name,
    /// `true` or `false`.
    Boolean,
    /// A whole number in a range.
    Integer(u32, u32),
    /// A decimal number above 0, as `0.02`.
    Decimal,
    /// A whole number of at least 1, or `all`.
    Count,
    /// A duration as `3d`; whether zero is one.
    Duration {
        /// Whether `0s` is accepted.
        zero: bool,
    },
    /// RFC 3339, or a date.
    Time,
    /// A glob over names.
    Glob,
    /// One of these words.
    Choice(&'static [&'static str]),
    /// A list that is not empty.
    List(&'static Shape),
    /// A list that may be empty.
    ListOrNone(&'static Shape),
    /// A mapping with these keys.
    Section(&'static Section),
    /// Tag keys and values.
    Tags,
    /// `ignore`, `include` or `{expire_after: DURATION}`.
    DeletedInstances,
}

/// A key of a section.
#[derive(Clone, Copy, Debug)]
pub struct Key {
    /// As it is typed.
    pub name: &'static str,
    /// What it takes.
    pub shape: Shape,
    /// Whether it must be there.
    pub required: bool,
    /// What it is for, in one sentence.
    pub doc: &'static str,
}

/// A mapping with known keys.
#[derive(Debug)]
pub struct Section {
    /// What it is called in messages.
    pub name: &'static str,
    /// Its keys, in the order of the documentation.
    pub keys: &'static [Key],
}

pub(super) const fn key(name: &'static str, shape: Shape, doc: &'static str) -> Key {
    Key {
        name,
        shape,
        required: false,
        doc,
    }
}

pub(super) const fn required(name: &'static str, shape: Shape, doc: &'static str) -> Key {
    Key {
        name,
        shape,
        required: true,
        doc,
    }
}

pub(super) const GLOBS: Shape = Shape::List(&Shape::Glob);
pub(super) const TEXTS: Shape = Shape::List(&Shape::Text);
pub(super) const SPAN: Shape = Shape::Duration { zero: false };
pub(super) const SPAN_OR_ZERO: Shape = Shape::Duration { zero: true };

impl Section {
    /// The key of that name.
    pub fn key(&self, name: &str) -> Option<&'static Key> {
        self.keys.iter().find(|key| key.name == name)
    }
}
