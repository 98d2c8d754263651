//! Files of policy tests (`test FILE…`), read with serde.
//!
//! Not the configuration's reader: a test file deletes nothing, so its first mistake is enough, and serde derives the rest from the
//! types. What a test means is `operations::policy_test`.

mod case;
mod file;
mod values;

pub use case::{Expectations, TestBackups, TestCase, TestEntry, TestHold, TestInstance};
pub use file::TestFile;
pub use values::{BackupSize, DayOrMoment, ReasonName, SeriesEnd};
