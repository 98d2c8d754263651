//! An RDS v3 API on loopback, as the official SDK expects it, with IAM's project list and the metadata
//! service of a virtual machine at the same address.
//!
//! It plays the cloud's side: generated fleets, documented limits, checked signatures, deletions that take their time, and
//! every fault that a test asks for. It shares nothing with `rds`: it has its own JSON types and its own signature, so that a
//! misspelt field cannot agree with itself. Only `cli` and tests know it.
//!
//! ```no_run
//! # async fn example() -> std::io::Result<()> {
//! use rds_retentiond::simulator::{Fault, FaultKind, Fleet, Op, Options, Simulator};
//!
//! let clock = std::sync::Arc::new(rds_retentiond::clock::now);
//! let fleet = Fleet::Seeded { instances: 3, backups_per_instance: 40 };
//! let simulator = Simulator::start(Options { fleet, ..Options::new(clock) }).await?;
//! simulator.faults().add(Fault::on(Op::ListBackups, FaultKind::status(503)).times(2));
//! println!("{}", simulator.config_yaml());
//! simulator.stop().await;
//! # Ok(()) }
//! ```

mod agency;
mod api;
mod auth;
mod console;
mod control;
mod fault_effects;
mod fault_parser;
mod faults;
mod fleet;
mod iam;
mod journal;
mod live;
mod metadata;
mod model;
mod options;
mod rds;
mod request;
mod server;
pub mod signature;
mod state;
mod wire;
mod work;
mod world;

pub use agency::{Agency, MetadataToken};
pub use auth::{Key, RateLimit};
pub use faults::{BodyKind, DateFault, Fault, FaultError, FaultKind, Faults, Op};
pub use fleet::Fleet;
pub use journal::Call;
pub use model::{Backup, BackupKind, Engine, Instance, InstanceKind, Status};
pub use options::{Clock, DeletedListing, Options, Settings};
pub use server::Simulator;
pub use world::Deletion;
