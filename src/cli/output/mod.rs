//! What a terminal and a script are shown: tables, reports, lists, JSON.
//!
//! Takes values and writes them to stdout through [`stdout::Out`]; decides nothing.

pub mod decisions;
pub mod json;
pub mod lists;
pub mod progress;
pub mod report;
pub mod row_buffer;
pub mod stdout;
pub mod table;
pub mod why;
pub mod wrap;
