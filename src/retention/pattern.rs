//! Globs over names: `*`, `?` and `[a-z]`, case-sensitive.
//!
//! Own code, because layer 0 takes no crate for it and because the language is this small. Not for paths: `/` and `.`
//! are letters like any other.

use std::fmt;

use serde::{Deserialize, Serialize};

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
enum Token {
    Literal(char),
    AnyOne,
    AnyRun,
    /// Ranges, and whether they are excluded (`[!a-z]`).
    Class(Vec<(char, char)>, bool),
}

/// A compiled glob. It matches whole names.
#[derive(Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Pattern {
    text: String,
    tokens: Vec<Token>,
}

/// Why a glob could not be read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PatternError {
    /// The empty pattern matches no name.
    Empty,
    /// `[` without `]`.
    UnclosedClass,
    /// `[]`.
    EmptyClass,
    /// `[z-a]`.
    BackwardRange(char, char),
}

impl fmt::Display for PatternError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Empty => write!(f, "the pattern is empty; `*` matches every name"),
            Self::UnclosedClass => write!(f, "`[` is never closed by `]`; to match a `[` itself write `[[]`"),
            Self::EmptyClass => write!(f, "`[]` matches nothing"),
            Self::BackwardRange(from, to) => write!(f, "the range `{from}-{to}` runs backwards"),
        }
    }
}

impl std::error::Error for PatternError {}

impl Pattern {
    /// Compiles a glob.
    pub fn parse(text: &str) -> Result<Self, PatternError> {
        if text.is_empty() {
            return Err(PatternError::Empty);
        }
        let mut tokens = Vec::new();
        let mut chars = text.chars().peekable();
        while let Some(c) = chars.next() {
            match c {
                // Runs of stars are one star; keeps matching linear in practice.
                '*' if tokens.last() == Some(&Token::AnyRun) => {}
                '*' => tokens.push(Token::AnyRun),
                '?' => tokens.push(Token::AnyOne),
                '[' => tokens.push(parse_class(&mut chars)?),
                other => tokens.push(Token::Literal(other)),
            }
        }
        Ok(Self {
            text: text.to_owned(),
            tokens,
        })
    }

    /// The glob as written.
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// The letters that a name must have as they are.
    pub fn literals(&self) -> impl Iterator<Item = char> {
        self.tokens.iter().filter_map(|token| match token {
            Token::Literal(c) => Some(*c),
            Token::AnyOne | Token::AnyRun | Token::Class(..) => None,
        })
    }

    /// Whether it matches the whole of `name`.
    pub fn matches(&self, name: &str) -> bool {
        self.matches_by(name, Token::takes)
    }

    /// Whether it matches the whole of an id, whatever the case of either: for what protects.
    pub fn matches_id(&self, id: &str) -> bool {
        self.matches_by(id, |token, c| {
            [c, c.to_ascii_lowercase(), c.to_ascii_uppercase()]
                .into_iter()
                .any(|c| token.takes(c))
        })
    }

    /// Iterative with one point of return, so never exponential.
    fn matches_by(&self, name: &str, takes: impl Fn(&Token, char) -> bool) -> bool {
        let (tokens, mut at) = (&self.tokens, 0);
        let mut rest = name.chars();
        let mut star: Option<(usize, std::str::Chars<'_>)> = None;
        loop {
            if let Some(Token::AnyRun) = tokens.get(at) {
                at += 1;
                star = Some((at, rest.clone()));
                continue;
            }
            let before = rest.clone();
            let next = rest.next();
            match (tokens.get(at), next) {
                (None, None) => return true,
                (Some(token), Some(c)) if takes(token, c) => at += 1,
                _ => {
                    let Some((after_star, from)) = &mut star else {
                        return false;
                    };
                    // The star takes one more letter and the rest is tried again.
                    if from.next().is_none() {
                        return false;
                    }
                    at = *after_star;
                    rest = from.clone();
                    drop(before);
                }
            }
        }
    }
}

impl Pattern {
    /// Whether it surely matches every name that the other one matches. `false` also where that is not easily decided.
    pub fn covers(&self, other: &Self) -> bool {
        let (own, theirs) = (&self.tokens, &other.tokens);
        let (mut at, mut there) = (0, 0);
        // As in `matches`, with the tokens of the other one for letters.
        let mut star: Option<(usize, usize)> = None;
        loop {
            if let Some(Token::AnyRun) = own.get(at) {
                at += 1;
                star = Some((at, there));
                continue;
            }
            match (own.get(at), theirs.get(there)) {
                (None, None) => return true,
                (Some(token), Some(letter)) if token.covers(letter) => {
                    at += 1;
                    there += 1;
                }
                _ => {
                    let Some((after_star, from)) = star.filter(|(_, from)| *from < theirs.len()) else {
                        return false;
                    };
                    star = Some((after_star, from + 1));
                    (at, there) = (after_star, from + 1);
                }
            }
        }
    }
}

impl Token {
    /// Whether it takes every letter that the other one takes; a star may stand for no letter, so only a star takes it.
    fn covers(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::AnyOne, Self::Literal(_) | Self::AnyOne | Self::Class(..)) => true,
            (token, Self::Literal(c)) => token.takes(*c),
            (Self::Class(..), Self::Class(..)) => self == other,
            _ => false,
        }
    }

    fn takes(&self, c: char) -> bool {
        match self {
            Self::Literal(own) => *own == c,
            Self::AnyOne => true,
            Self::AnyRun => false,
            Self::Class(ranges, excluded) => ranges.iter().any(|(from, to)| (*from..=*to).contains(&c)) != *excluded,
        }
    }
}

fn parse_class(chars: &mut std::iter::Peekable<std::str::Chars<'_>>) -> Result<Token, PatternError> {
    let excluded = matches!(chars.peek(), Some('!' | '^'));
    if excluded {
        chars.next();
    }
    let mut ranges = Vec::new();
    loop {
        let from = chars.next().ok_or(PatternError::UnclosedClass)?;
        if from == ']' {
            return if ranges.is_empty() {
                Err(PatternError::EmptyClass)
            } else {
                Ok(Token::Class(ranges, excluded))
            };
        }
        let mut ahead = chars.clone();
        if ahead.next() == Some('-')
            && let Some(to) = ahead.next().filter(|to| *to != ']')
        {
            if from > to {
                return Err(PatternError::BackwardRange(from, to));
            }
            ranges.push((from, to));
            *chars = ahead;
        } else {
            ranges.push((from, from));
        }
    }
}

impl TryFrom<String> for Pattern {
    type Error = PatternError;
    fn try_from(text: String) -> Result<Self, PatternError> {
        Self::parse(&text)
    }
}

impl From<Pattern> for String {
    fn from(pattern: Pattern) -> Self {
        pattern.text
    }
}

impl fmt::Display for Pattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl fmt::Debug for Pattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Pattern({:?})", self.text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn matches_whole_names_case_sensitively() {
        let cases = [
            ("mssql-prod-*", "mssql-prod-1", true),
            ("mssql-prod-*", "mssql-prod-", true),
            ("mssql-prod-*", "mssql-PROD-1", false),
            ("*-scratch", "a-scratch", true),
            ("*-scratch", "a-scratch-2", false),
            ("n?ghtly", "nightly", true),
            ("n?ghtly", "nghtly", false),
            ("db[0-9]", "db7", true),
            ("db[!0-9]", "db7", false),
            ("db[a-c-]", "db-", true),
            ("a*b*c", "aXbYbZc", true),
            ("a*b*c", "aXbYbZ", false),
            ("*", "", true),
            ("?", "ü", true),
            ("[[]x", "[x", true),
        ];
        for (pattern, name, expected) in cases {
            assert_eq!(
                Pattern::parse(pattern).unwrap().matches(name),
                expected,
                "{pattern} on {name}"
            );
        }
    }

    #[test]
    fn a_hostile_pattern_is_not_exponential() {
        let pattern = Pattern::parse(&"a*".repeat(50)).unwrap();
        assert!(!pattern.matches(&format!("{}b", "a".repeat(5000)).replace('a', "x")));
        assert!(pattern.matches(&"a".repeat(5000)));
    }

    #[test]
    fn says_what_is_wrong() {
        assert_eq!(Pattern::parse(""), Err(PatternError::Empty));
        assert_eq!(Pattern::parse("a[b"), Err(PatternError::UnclosedClass));
        assert_eq!(Pattern::parse("a[]"), Err(PatternError::EmptyClass));
        assert_eq!(Pattern::parse("[z-a]"), Err(PatternError::BackwardRange('z', 'a')));
    }

    #[test]
    fn an_id_is_matched_in_any_case_and_a_name_is_not() {
        for (pattern, id) in [
            ("*IN04", "c1in04"),
            ("*in04", "C1IN04"),
            ("c[A-F]?", "Cd0"),
            ("[!a]", "A"),
            ("a*B*c", "A--b--C"),
        ] {
            let pattern = Pattern::parse(pattern).unwrap();
            assert!(
                pattern.matches_id(id) && !pattern.matches(id) || pattern.as_str() == "[!a]",
                "{pattern} {id}"
            );
        }
        let matches_id = |pattern: &str, id: &str| Pattern::parse(pattern).unwrap().matches_id(id);
        assert!(!matches_id("*IN05", "c1in04") && !matches_id("[b-c]", "A") && !matches_id("IN04", "c1in04"));
    }

    #[test]
    fn what_one_glob_covers_of_another() {
        let covers = |wide: &str, narrow: &str| Pattern::parse(wide).unwrap().covers(&Pattern::parse(narrow).unwrap());
        for (wide, narrow) in [
            ("*", "*"),
            ("*", "a?[b-d]*"),
            ("mssql-*", "mssql-prod-*"),
            ("mssql-*", "mssql-"),
            ("*-prod-*", "mssql-prod-1"),
            ("a?c", "a[bx]c"),
            ("a[a-z]c", "abc"),
            ("*a*b*", "xa*b"),
            ("a[b-d]", "a[b-d]"),
        ] {
            assert!(covers(wide, narrow), "{wide} {narrow}");
        }
        for (wide, narrow) in [
            ("mssql-prod-*", "mssql-*"),
            ("a", "a*"),
            ("a?", "a*"),
            ("?*", "*"),
            ("a[b-d]", "a?"),
            ("*-prod", "mssql-prod-*"),
            ("abc", "abd"),
        ] {
            assert!(!covers(wide, narrow), "{wide} {narrow}");
        }
    }

    #[test]
    fn is_written_as_it_was_read() {
        // Stars in a row are one, but the text stays as it was typed.
        let pattern = Pattern::parse("a**[!b-d]?").unwrap();
        assert_eq!(
            (pattern.as_str(), pattern.to_string().as_str()),
            ("a**[!b-d]?", "a**[!b-d]?")
        );
        assert_eq!(pattern.tokens.len(), 4);
        assert_eq!(String::from(pattern.clone()), "a**[!b-d]?");
        assert_eq!(Pattern::try_from("a**[!b-d]?".to_owned()), Ok(pattern.clone()));
        assert_eq!(Pattern::try_from(String::new()), Err(PatternError::Empty));
        assert!(pattern.matches("axyez") && !pattern.matches("axcb") && !pattern.matches("a"));
        assert!(!Pattern::parse("**").unwrap().tokens.is_empty() && Pattern::parse("**").unwrap().matches("x"));
    }

    #[test]
    fn classes_hold_ranges_their_ends_and_single_letters() {
        let matches = |pattern: &str, name: &str| Pattern::parse(pattern).unwrap().matches(name);
        assert!(matches("[a-a]", "a") && !matches("[a-a]", "b"));
        assert!(matches("[a-c]", "a") && matches("[a-c]", "c") && !matches("[a-c]", "d"));
        assert!(matches("[ac]", "c") && !matches("[ac]", "b"));
        assert!(matches("[^a]", "b") && !matches("[^a]", "a") && !matches("[!a]", "a"));
        assert!(matches("[-a]", "-") && matches("[a-]", "-") && matches("[a-]", "a") && !matches("[a-]", "b"));
        let errors = [
            PatternError::Empty,
            PatternError::UnclosedClass,
            PatternError::EmptyClass,
        ];
        assert!(errors.iter().all(|why| !why.to_string().is_empty()));
        assert_eq!(
            PatternError::BackwardRange('z', 'a').to_string(),
            "the range `z-a` runs backwards"
        );
    }
}
