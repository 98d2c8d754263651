//! Texts as the page's elements: escaped, clipped, with a machine's form beside the reader's.
//!
//! Names come from the cloud, where strangers choose them. All that is not a constant passes [`text`].

use chrono::{DateTime, Utc};

use crate::retention::Zone;
use crate::retention::report::Action;
use crate::wording::reasons::{action, action_briefly};
use crate::wording::sanitize::is_unsafe;
use crate::wording::times::{distance, moment, timestamp};

/// Text for an element or a quoted attribute: markup is escaped; what steers, hides or turns text is spelled out.
pub(super) fn text(raw: &str) -> String {
    let mut out = String::with_capacity(raw.len());
    for c in raw.chars() {
        match c {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            '\'' => out.push_str("&#39;"),
            c if is_unsafe(c) => out.extend(c.escape_default()),
            c => out.push(c),
        }
    }
    out
}

/// Its beginning, where it is longer than anybody reads; whole characters.
pub(super) fn clip(raw: &str, most: usize) -> &str {
    raw.char_indices().nth(most).map_or(raw, |(end, _)| &raw[..end])
}

/// A moment as an element: to the minute, in UTC, with how far it is from now.
pub(super) fn time(at: DateTime<Utc>, now: DateTime<Utc>) -> String {
    format!(
        "<time datetime=\"{}\">{}</time> <span class=\"d\">({})</span>",
        timestamp(at),
        moment(at, Zone::UTC),
        distance(at, now)
    )
}

/// Why it stays, waits or goes, and from when on; escaped. Without slots, equal reasons read equally, so that marks can
/// be drawn together.
pub(super) fn why(of: &Action, slots: bool) -> String {
    if !slots {
        return text(&action_briefly(of));
    }
    let due = match of {
        Action::Wait { due_at: Some(due), .. } => format!(", due {}", moment(*due, Zone::UTC)),
        Action::Wait { .. } | Action::Keep(_) | Action::Delete(_) => String::new(),
    };
    text(&(action(of, None) + &due))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hostile_names_are_text_and_visible() {
        assert_eq!(
            text("<script>alert('x')</script>&\""),
            "&lt;script&gt;alert(&#39;x&#39;)&lt;/script&gt;&amp;&quot;"
        );
        assert_eq!(text("a\u{202e}b\u{0}c\n"), "a\\u{202e}b\\u{0}c\\n");
        assert_eq!(text("夜間 nightly"), "夜間 nightly");
    }

    #[test]
    fn words_are_clipped_at_whole_characters() {
        assert_eq!(clip("夜間 nightly", 3), "夜間 ");
        assert_eq!(clip("short", 5), "short");
    }
}
