//! Tries to break the ledger.

mod any_column;
mod continuity;
mod deleting;
mod files;
mod grace;
mod locks;
mod moving;
mod packed;
mod people;
mod proof;
mod record;
mod runs;
mod seen;
mod shared;
mod together;
mod withdrawn;
