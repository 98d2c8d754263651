//! Text from outside, made fit to be shown: one set of characters for terminal, log, page, JSON, configuration errors and the API's words.
//!
//! A backup may be called `\x1b[2J`, and JSON may end on a terminal, too. Nothing is lost: what is unsafe is spelled out.

use std::borrow::Cow;
use std::fmt::Write as _;
use std::io;

use serde::Serialize;
use serde_json::ser::Formatter;

/// Whether a character steers a terminal or forges a line (C0, DEL, C1, line and paragraph separators), turns the direction of text, or
/// is not seen.
pub fn is_unsafe(c: char) -> bool {
    c.is_control()
        || matches!(c, '\u{ad}' | '\u{61c}' | '\u{180e}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}'
            | '\u{feff}' | '\u{fff9}'..='\u{fffb}' | '\u{e0000}'..='\u{e007f}')
}

/// Whether a text is safe for a reason that is quickly seen: printable ASCII.
fn is_plain(text: &str) -> bool {
    text.bytes().all(|byte| (b' '..=b'~').contains(&byte))
}

/// The text with everything unsafe spelled out: `\n`, `\u{1b}`, `\u{202e}`.
pub fn clean(text: &str) -> Cow<'_, str> {
    if is_plain(text) || !text.chars().any(is_unsafe) {
        return Cow::Borrowed(text);
    }
    let mut cleaned = String::with_capacity(text.len() + 8);
    push_clean(&mut cleaned, text);
    Cow::Owned(cleaned)
}

/// Adds [`clean`] text.
pub fn push_clean(out: &mut String, text: &str) {
    for c in text.chars() {
        if is_unsafe(c) {
            out.extend(c.escape_default());
        } else {
            out.push(c);
        }
    }
}

/// Adds JSON in which everything unsafe stands as `\u` escapes, which mean the same.
pub fn push_json(out: &mut String, json: &str) {
    for c in json.chars() {
        if is_unsafe(c) {
            let mut units = [0_u16; 2];
            for unit in c.encode_utf16(&mut units) {
                let _ = write!(out, "\\u{unit:04x}");
            }
        } else {
            out.push(c);
        }
    }
}

/// A value as JSON in which everything unsafe stands as `\u` escapes.
pub fn write_json(out: impl io::Write, value: &impl Serialize) -> serde_json::Result<()> {
    value.serialize(&mut serde_json::Serializer::with_formatter(out, Escaping))
}

/// The compact format, with more escapes than JSON demands.
struct Escaping;

impl Escaping {
    fn write<W: ?Sized + io::Write>(writer: &mut W, fragment: &str) -> io::Result<()> {
        if is_plain(fragment) || !fragment.chars().any(is_unsafe) {
            return writer.write_all(fragment.as_bytes());
        }
        let mut escaped = String::with_capacity(fragment.len() + 16);
        push_json(&mut escaped, fragment);
        writer.write_all(escaped.as_bytes())
    }
}

impl Formatter for Escaping {
    fn write_string_fragment<W: ?Sized + io::Write>(&mut self, writer: &mut W, fragment: &str) -> io::Result<()> {
        Self::write(writer, fragment)
    }

    fn write_raw_fragment<W: ?Sized + io::Write>(&mut self, writer: &mut W, fragment: &str) -> io::Result<()> {
        Self::write(writer, fragment)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_unsafe_is_spelled_out_and_json_means_the_same() {
        let unsafe_ones = [
            '\u{0}',
            '\u{1b}',
            '\n',
            '\u{7f}',
            '\u{9b}',
            '\u{85}',
            '\u{ad}',
            '\u{61c}',
            '\u{180e}',
            '\u{200b}',
            '\u{200f}',
            '\u{2028}',
            '\u{202e}',
            '\u{2066}',
            '\u{2069}',
            '\u{feff}',
            '\u{fffb}',
            '\u{e0041}',
        ];
        for c in unsafe_ones {
            assert!(is_unsafe(c), "{c:?}");
            let text = format!("a{c}\"b\\");
            let shown = clean(&text);
            assert!(!shown.chars().any(is_unsafe), "{shown:?}");
            let mut json = Vec::new();
            write_json(&mut json, &[&text]).unwrap();
            let json = String::from_utf8(json).unwrap();
            assert!(!json.chars().any(is_unsafe), "{json:?}");
            assert_eq!(serde_json::from_str::<Vec<String>>(&json).unwrap(), [text]);
        }
        for fine in ["nightly-1", "夜間-ü", "🙂", "a\\b\"c"] {
            assert_eq!(clean(fine), fine);
        }
        assert_eq!(clean("a\n\u{202e}"), "a\\n\\u{202e}");
    }

    #[test]
    fn what_steers_a_terminal_is_escaped() {
        assert_eq!(clean("nightly_1 ü 夜"), "nightly_1 ü 夜");
        assert!(matches!(clean("plain"), Cow::Borrowed(_)));
        assert_eq!(clean("\x1b[2Jx\r\n\t"), "\\u{1b}[2Jx\\r\\n\\t");
        assert_eq!(clean("a\u{9b}31mb\u{7f}"), "a\\u{9b}31mb\\u{7f}");
        assert_eq!(
            clean("\u{202e}gnp.exe\u{200b}\u{feff}"),
            "\\u{202e}gnp.exe\\u{200b}\\u{feff}"
        );
    }

    #[test]
    fn raw_json_is_escaped_too() {
        let raw = serde_json::value::RawValue::from_string("{\"a\":\"\u{9b}\u{e0041}\"}".to_owned()).unwrap();
        let mut json = Vec::new();
        write_json(&mut json, &raw).unwrap();
        assert_eq!(String::from_utf8(json).unwrap(), "{\"a\":\"\\u009b\\udb40\\udc41\"}");
    }
}
