//! A tool for every layer but 0: what is said in more than one place, worded once.
//!
//! Why a backup is kept or goes, what to do about a refusal, numbers, sizes and times, and names made safe to show.
//! Plain text: the page escapes it, the terminal wraps its lines. Not for what one command or one part of the page says
//! alone.

mod error_chain;
pub mod left_alone;
pub mod money;
mod natural;
pub mod numbers;
pub mod orphans;
pub mod problems;
pub mod reasons;
pub mod refusals;
pub mod remedies;
pub mod results;
pub mod run_messages;
pub mod sanitize;
pub mod times;

pub use self::error_chain::error_chain;
pub use self::natural::Natural;
