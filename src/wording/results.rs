//! How a run of a policy ended, in words for people. JSON and metrics have [`RunResult::as_str`].

use super::numbers::number;
use crate::retention::report::{RunResult, Tally};

/// A refusal that held back one part and let the others go on.
pub const REFUSED_IN_PART: &str = "refused in part";

/// How it ended; `is_in_part` as [`is_in_part`] says it.
pub fn result(result: RunResult, is_in_part: bool) -> &'static str {
    match result {
        RunResult::Refused if is_in_part => REFUSED_IN_PART,
        other => other.as_str(),
    }
}

/// Whether a part of what was due was let go: some of it was sent, or not all of it was held back. Older programs did not write
/// down what was held back.
pub fn is_in_part(due: Tally, held_back: Tally, sent: u64) -> bool {
    sent > 0 || (held_back.count > 0 && held_back.count < due.count)
}

/// What became of the due of a run that was refused in part: `94 sent, 21 held back`.
pub fn sent_and_held_back(sent: u64, held_back: Tally) -> String {
    format!("{} sent, {}", number(sent), held_back_words(held_back))
}

/// `21 held back`
pub fn held_back_words(held_back: Tally) -> String {
    format!("{} held back", number(held_back.count))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tally(count: u64) -> Tally {
        Tally { count, bytes: 0 }
    }

    #[test]
    fn a_refusal_of_a_part_is_one_that_let_something_go() {
        assert!(is_in_part(tally(115), tally(21), 94));
        assert!(is_in_part(tally(115), tally(21), 0), "approved, and not sent yet");
        assert!(!is_in_part(tally(21), tally(21), 0));
        assert!(!is_in_part(tally(21), tally(0), 0), "an older program's run");
        assert!(is_in_part(tally(21), tally(0), 3), "an older program's run");
        assert_eq!(result(RunResult::Refused, true), "refused in part");
        assert_eq!(result(RunResult::Refused, false), "refused");
        assert_eq!(result(RunResult::Partial, true), "partial");
    }
}
