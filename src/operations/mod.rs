//! What the program can be asked to do, one file per use case: functions that take values and return values.
//!
//! They print nothing and know no flags, colours or exit codes: a front door (`cli`, `daemon`, `web`) reads what is asked,
//! calls one of them and shows what it returns. How one run works is in `run`.

pub mod answer;
pub mod apply;
pub mod approve;
pub mod audit;
pub mod audit_report;
pub mod check;
pub mod context;
pub mod diff;
pub mod error;
pub mod forecast;
pub mod forecast_picture;
pub mod history;
pub mod inventory;
pub mod next_runs;
pub mod operator;
pub mod pace;
pub mod past_run;
pub mod plan;
pub mod policy_test;
pub mod recompute;
pub mod source;
pub mod state_move;
mod typed_id;
pub mod under_way;
pub mod why;

pub use self::context::ProcessContext;
pub use self::error::Error;
pub use self::source::BackupSource;
