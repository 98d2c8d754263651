//! What a terminal and a script are shown: tables, reports, lists, JSON.
//!
//! Takes values and writes them to stdout through [`stdout::Out`]; decides nothing.

pub(in crate::cli) mod audit_csv;
pub(in crate::cli) mod audit_html;
pub(in crate::cli) mod check;
mod decision_json;
pub mod decisions;
pub(in crate::cli) mod diff;
pub(in crate::cli) mod forecast;
pub mod history;
mod instance_table;
pub mod json;
pub(in crate::cli) mod junit;
mod labelled;
pub mod left_out;
pub mod lists;
pub mod not_found;
mod not_kept;
mod past_deletion;
pub(in crate::cli) mod policy_test;
pub mod progress;
pub mod report;
pub mod row_buffer;
pub mod show_report;
pub mod status;
pub mod stdout;
pub mod table;
pub mod theme;
pub mod under_way;
pub mod why;
pub mod wrap;
