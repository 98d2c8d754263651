//! `test FILE…`: policies checked against examples. The decision is the program's own, as `plan --backups` makes it; nothing is
//! read but the named files.
//!
//! `backups` turns what a test lists or has made into instances, `series` makes backups, `run` decides, `compare` holds the decisions
//! against what is expected.

mod backups;
mod compare;
mod run;
mod series;

pub use backups::backups_of;
pub use compare::Mismatch;
pub use run::{TestOutcome, run};
