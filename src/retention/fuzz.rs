//! What fuzzing calls in this module: spans, the decision, the guard. Not in the program that is shipped.
//!
//! Structured input is read from bytes by [`Tape`]; an exhausted tape gives zeros, so every input is a good one.

#![expect(
    clippy::missing_panics_doc,
    reason = "a target panics where a promise is broken: that is its answer"
)]

mod decision;
mod guard;
mod made;
mod spans;
mod tape;

pub use self::decision::decision;
pub use self::guard::guard;
pub(crate) use self::made::{backup, hold, instance, policy};
pub use self::made::{moment, span, zone};
pub use self::spans::spans;
pub use self::tape::Tape;

#[cfg(test)]
mod tests {
    use super::*;

    /// Without a fuzzer the targets are properties on random tapes.
    fn tapes(count: u64, target: fn(&[u8])) {
        for seed in 0..count {
            let mut random = fastrand::Rng::with_seed(seed);
            let tape: Vec<u8> = (0..random.usize(20..900)).map(|_| random.u8(..)).collect();
            target(&tape);
        }
    }

    #[test]
    fn the_decision_is_the_oracles_on_random_tapes() {
        tapes(200, decision);
    }

    #[test]
    fn the_guard_keeps_every_limit_on_random_tapes() {
        tapes(600, guard);
    }

    #[test]
    fn spans_are_subtracted_as_the_oracle_does_on_random_tapes() {
        tapes(1_000, |tape| {
            let text = span(&mut Tape::new(&tape[8..])).to_string();
            spans(&[&tape[..8], text.as_bytes()].concat());
        });
    }
}
