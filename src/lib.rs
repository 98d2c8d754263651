//! `rds-retentiond`: retention for the manual backups of Huawei Cloud RDS for SQL Server.
//!
//! > A run reads the world, **decides** without touching it, asks the **guard**, and then does exactly what was
//! > approved, writing down each intent before it acts and each answer after.
//!
//! # Floors
//!
//! Arrows point down only; `tests/it/floors.rs` reads the `use` lines and enforces it.
//!
//! | floor | rooms | what for |
//! |---|---|---|
//! | 4 | [`cli`], `main` | words in, words out, exit codes |
//! | 3 | [`daemon`], [`web`] | when: ticks, signals, reload, drain · showing |
//! | 2 | [`run`] | one pass, from listing to report |
//! | 1 | [`config`] [`rds`] [`ledger`] [`telemetry`] | each talks to one outside |
//! | 0 | [`retention`] | pure: what is a backup, what may go, and why |
//! | · | [`clock`] [`http`] [`wording`] | tools: the wall clock, the HTTP server's plumbing, text made fit to be shown, what lifts a refusal |
//! | · | [`simulator`] | across the road: an RDS API on loopback; known to `cli` and tests only |
//!
//! # Words
//!
//! A *backup* is a manual backup of RDS for SQL Server. It *expires* (policy says it may go), becomes *due* (its grace is
//! over); a plan is *approved* or *refused* by the guard; a batch is *sent*; an id is *accepted*, *rejected* or
//! *unanswered*, and later *confirmed* (gone from the listing) or *returned* (still COMPLETED).

pub mod retention;
// floor 1
pub mod config;
pub mod ledger;
pub mod rds;
pub mod telemetry;
// floor 2
pub mod run;
// floor 3
pub mod daemon;
pub mod web;
// floor 4
pub mod cli;
// tools
pub mod clock;
pub mod http;
pub mod wording;
// across the road
#[cfg(any(test, fuzzing))]
pub mod fuzz;
pub mod simulator;
