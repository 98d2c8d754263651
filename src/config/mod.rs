//! Layer 2: the configuration, from files to valid values.
//!
//! `spec` is the one table of keys; `load` reads the files and `reader` their values, `policy` and `project` compile them,
//! `lint` warns of what is valid but probably a mistake. **All** problems of all files are reported together. Only `yaml` and
//! `policy_test` know the YAML crate. Nothing here talks to the cloud or reads the environment: what surrounds the process is an
//! argument. Not for reloading (that is `daemon`).

mod agreement;
mod audit;
mod configuration;
mod diagnostics;
pub mod difference;
mod draft;
mod files;
mod fingerprint;
mod holds;
pub mod keeping;
mod key;
mod lint;
mod load;
mod notify;
mod ownership;
mod policy;
mod policy_keys;
pub mod policy_test;
mod price;
mod project;
mod reader;
mod recorded;
mod schedule;
mod schema;
pub mod spec;
mod state;
mod state_at;
mod suggestions;
mod values;
mod yaml;
pub mod zones;

#[cfg(any(test, fuzzing))]
pub mod fuzz;

pub use audit::AnchorAt;
#[cfg(test)]
pub(crate) use configuration::delay;
pub use configuration::{Config, CredentialsSetting, Environment, FilePosition, PolicyEntry, Project};
pub use diagnostics::{Problem, Problems};
pub use fingerprint::{file_fingerprints, fingerprint};
pub use load::{load, load_recorded};
pub use notify::{NotifyFormat, NotifyOn, NotifyTarget, NotifyUrl, notify_url};
pub use project::is_project_id;
pub use schedule::{Schedule, ScheduleError};
pub use schema::{included_schema, schema};
pub use state::parse_postgres_url;
pub use state_at::{PostgresState, StateAt};
