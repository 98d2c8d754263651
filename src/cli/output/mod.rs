//! What a terminal and a script are shown: tables, reports, lists, JSON.
//!
//! Takes values and writes them to stdout through [`stdout::Out`]; decides nothing.

pub(in crate::cli) mod decision_json;
pub mod decisions;
pub mod json;
pub mod lists;
pub mod progress;
pub mod report;
pub mod row_buffer;
pub mod show_report;
pub mod stdout;
pub mod table;
pub mod theme;
pub mod why;
pub mod wrap;
