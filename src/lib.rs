//! `rds-retentiond`: retention for the manual backups of Huawei Cloud RDS for SQL Server.
//!
//! > A run reads the world, **decides** without touching it, asks the **guard**, and then does exactly what was
//! > approved, writing down each intent before it acts and each answer after.
//!
//! # What happens to one backup
//!
//! 1. **Listed.** [`rds`] reads the instances of a project and the manual backups of each; pages that do not agree are not
//!    believed. A field that cannot be read becomes a doubt, never a guess.
//! 2. **Compared.** [`run`] compares the listing with what the [`ledger`] remembers and with other instances: a backup that changed, or
//!    that two instances list, is kept.
//! 3. **Decided.** [`retention::evaluate`] gives it a decision with its reasons, by every policy that selects its instance. One policy that
//!    keeps it is enough. What expired waits for its grace period, and is then due.
//! 4. **Guarded.** [`retention::plan`] turns what is due into a plan for each policy and holds it against the limits. Only
//!    what comes out of it as an [`ApprovedPlan`](retention::plan::ApprovedPlan) can be sent.
//! 5. **Sent.** `run::send` waits for a slot and for the rate; then stop, freeze and holds are read again and the intent is written, in
//!    one transaction; then the request goes out. Each id is accepted, rejected or unanswered, and the answer is written down.
//! 6. **Confirmed.** The next listing shows whether it is gone. An id that was never answered is not sent again without one.
//! 7. **Reported.** From the [`RunReport`](retention::RunReport) come log, metrics, page, JSON and history; `why` explains the backup at any time, also after it
//!    is gone.
//!
//! # Layers
//!
//! A file imports from its own module and from lower layers; `tests/it/layers.rs` reads the `use` lines and enforces it.
//!
//! | layer | modules | what for |
//! |---|---|---|
//! | 5 | [`cli`], `main` | a terminal: arguments in, tables, JSON and exit codes out |
//! | 4 | [`daemon`], [`web`] | a process that lives for years: ticks, signals, reload · the page; neither knows the other |
//! | 3 | [`operations`] | what can be asked, one file a use case: takes values, returns values, prints nothing |
//! | 3 | [`status`] | what a process knows of itself and its last runs |
//! | 2 | [`run`] | one run, from listing to report |
//! | 2 | [`notify`] | messages about runs to webhooks; nothing waits for them |
//! | 1 | [`config`] [`rds`] [`ledger`] [`telemetry`] | each talks to one outside |
//! | 0 | [`retention`] | pure: what a backup is, what may go, and why |
//! | · | [`clock`] [`blocking`] [`http`] [`wording`] | the wall clock · blocking calls · the HTTP server's plumbing · text that people read |
//! | · | [`simulator`] | an RDS API on loopback; known to `cli` and tests only |
//!
//! # Glossary
//!
//! A *backup* is a manual backup. It *expires* when no policy keeps it, and is *due* when its *grace period* is over. A *hold* keeps a backup,
//! a *freeze* stops all deletions. The *guard* approves or refuses a *plan*; a *batch* is what one request deletes; an *intent* is written before
//! it is sent, an *outcome* after. A deletion is *confirmed* when the backup is gone from the listing, and *returned* when it is COMPLETED again.

pub mod retention;
// layer 1
pub mod config;
pub mod ledger;
pub mod rds;
pub mod telemetry;
// layer 2
pub mod notify;
pub mod run;
// layer 3
pub mod operations;
pub mod status;
// layer 4
pub mod daemon;
pub mod web;
// layer 5
pub mod cli;
// tools
pub mod blocking;
pub mod clock;
#[cfg(any(test, fuzzing))]
pub mod fuzz;
pub mod http;
pub mod simulator;
pub mod wording;
