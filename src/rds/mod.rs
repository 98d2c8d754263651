//! Layer 1: the client of the cloud's API.
//!
//! This module talks to RDS and IAM: signing, credentials, listings that are believed only when their pages agree, retries of
//! reads, the rate, and one attempt at a deletion. It does *not* decide what to delete nor send a batch again (`run` does
//! both, with the ledger), and it knows no policies.
//!
//! The way through it: [`Client::list_instances`] and [`Client::list_backups`] (`listings`) read page after page (`pagination`)
//! through `client`'s retrying read, which asks `request` for one signed request and its `response`; `rate` and
//! [`KeyLockout`] say when that request may start; `wire` reads the JSON. A deletion waits for all of that in
//! [`Client::permit_deletion`], before its intent, and is then sent with the [`DeletionPermit`].

mod answer;
mod api_clock;
mod back_off;
mod backups_file;
mod client;
mod credential_cache;
mod credential_sources;
pub mod credentials;
mod delete;
mod deletion_permit;
mod error;
mod failure;
mod key_lockout;
mod key_trial;
mod lenient_json;
mod listed;
mod listings;
mod observer;
mod operation;
mod pagination;
mod proxy;
pub mod rate;
mod refusal;
mod request;
mod response;
mod retain_policies;
mod settings;
pub mod sign;
mod tasks;
mod transport;
pub mod wire;

#[cfg(any(test, fuzzing))]
pub mod fuzz;

pub use answer::{Delay, DeletionAnswer};
pub use backups_file::{BackupsOfInstance, backups_from_json};
pub use client::{Client, Tuning};
pub use deletion_permit::{BEGINS_WITHIN, DeletionPermit, IntendedAt};
pub use error::{CallPlace, Class, Error, Said};
pub use failure::Cause;
pub use key_lockout::{KeyLockout, OnRefusal, RefusedKey};
pub use key_trial::{KeyClaim, KeyHistory, KeyTrials, KnownRefusal};
pub use listed::{InstanceEntry, Listed};
pub use observer::{Event, Observer};
pub use operation::Operation;
pub use refusal::{is_of_engine, refuses_the_call};
pub use retain_policies::DeletedInstance;
pub use settings::Settings;
pub use tasks::InUse;
pub use wire::LIMIT as PAGE;
// What other requests of this program share with those to the API: TLS, proxy, waits, secret files.
pub(crate) use back_off::back_off;
pub(crate) use credential_sources::read_secret;
pub(crate) use proxy::variable as proxy_variable;
pub(crate) use response::retry_after;
pub(crate) use transport::client as http_client;
