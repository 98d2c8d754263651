//! Tries to break the ledger.

mod continuity;
mod deleting;
mod files;
mod memory;
mod moving;
mod packed;
mod proof;
mod record;
mod shared;
mod together;
mod withdrawn;
