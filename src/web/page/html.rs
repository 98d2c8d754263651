//! Texts as the page's elements: clipped, with a machine's form beside the reader's.
//!
//! Names come from the cloud, where strangers choose them. `html!` escapes markup in whatever it is given, and [`cleaned`] spells out what
//! steers, hides or turns text: nothing here has to remember it.

use chrono::{DateTime, Utc};
use maud::{Markup, PreEscaped, html};

use crate::retention::Zone;
use crate::retention::report::Action;
use crate::wording::reasons::{action, action_briefly};
use crate::wording::sanitize::clean;
use crate::wording::times::{distance, moment, timestamp};

/// The same with everything unsafe spelled out.
pub(super) fn cleaned(markup: Markup) -> Markup {
    match clean(&markup.0) {
        std::borrow::Cow::Borrowed(_) => markup,
        std::borrow::Cow::Owned(cleaned) => PreEscaped(cleaned),
    }
}

/// Its beginning, where it is longer than anybody reads; whole characters.
pub(super) fn clip(raw: &str, most: usize) -> &str {
    raw.char_indices().nth(most).map_or(raw, |(end, _)| &raw[..end])
}

/// A moment as an element: to the minute, on a zone's wall clock.
pub(super) fn instant(at: DateTime<Utc>, zone: Zone) -> Markup {
    html! { time datetime=(timestamp(at)) { (moment(at, zone)) } }
}

/// The same with how far it is from now.
pub(super) fn time(at: DateTime<Utc>, now: DateTime<Utc>, zone: Zone) -> Markup {
    html! { (instant(at, zone)) " " span.d { "(" (distance(at, now)) ")" } }
}

/// Why it stays, waits or goes, and from when on. Without slots, equal reasons read equally, so that marks can be drawn together.
pub(super) fn why(of: &Action, slots: bool, zone: Zone) -> String {
    if !slots {
        return action_briefly(of);
    }
    let due = match of {
        Action::Wait { due_at: Some(due), .. } => format!(", due {}", moment(*due, zone)),
        Action::Wait { .. } | Action::Keep(_) | Action::Delete(_) => String::new(),
    };
    action(of, None) + &due
}

/// A name or id as a part of an address.
pub(super) fn encoded(raw: &str) -> String {
    let form: String = url::form_urlencoded::byte_serialize(raw.as_bytes()).collect();
    // A form writes a blank as `+`, which in a path is a plus.
    form.replace('+', "%20")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hostile_names_are_text_and_visible() {
        let shown = |raw: &str| cleaned(html! { (raw) }).0;
        assert_eq!(
            shown("<script>alert('x')</script>&\""),
            "&lt;script&gt;alert('x')&lt;/script&gt;&amp;&quot;"
        );
        assert_eq!(shown("a\u{202e}b\u{0}c\n"), "a\\u{202e}b\\u{0}c\\n");
        assert_eq!(shown("夜間 nightly"), "夜間 nightly");
        assert_eq!(
            cleaned(html! { p title=("\"\u{202e}>") {} }).0,
            "<p title=\"&quot;\\u{202e}&gt;\"></p>"
        );
    }

    #[test]
    fn an_address_says_what_it_was_made_of() {
        assert_eq!(encoded("a b+c/d&e"), "a%20b%2Bc%2Fd%26e");
    }

    #[test]
    fn words_are_clipped_at_whole_characters() {
        assert_eq!(clip("夜間 nightly", 3), "夜間 ");
        assert_eq!(clip("short", 5), "short");
    }
}
