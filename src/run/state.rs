//! Where the ledger of a configuration is.

use chrono::{DateTime, Utc};

use crate::config::{Config, PolicyEntry, StateAt};
pub use crate::ledger::host_name;
use crate::ledger::{Error, Fault, Ledger, PostgresAddress, RecordedFile, RunConfiguration, StatePlace};
use crate::retention::{People, PolicyName, ProjectName, Refusal};

/// The place that the ledger opens, of what the configuration names.
pub fn state_place(at: &StateAt) -> StatePlace {
    match at {
        StateAt::Directory(dir) => StatePlace::Directory(dir.clone()),
        StateAt::Postgres(state) => StatePlace::Postgres(PostgresAddress {
            target: state.target.clone(),
            password_file: state.password_file.clone(),
            ca: state.ca.clone(),
        }),
    }
}

/// The same of a whole configuration.
pub fn state_of(config: &Config) -> StatePlace {
    state_place(&config.state)
}

/// The projects that a run of these policies may ask: what it takes the leases of.
pub fn projects_asked(config: &Config, policies: Option<&[PolicyName]>) -> Vec<ProjectName> {
    let runs = |entry: &&PolicyEntry| policies.is_none_or(|names| names.contains(&entry.policy.name));
    let mut asked = Vec::new();
    for entry in config.policies.iter().filter(runs) {
        match &entry.policy.select.projects {
            Some(named) => asked.extend(named.iter().cloned()),
            None => asked.extend(config.projects.iter().map(|project| project.name.clone())),
        }
    }
    asked
}

/// Says on a shared state which configuration this process has; on a file there is no other.
pub fn join(ledger: &Ledger, config: &Config) -> Result<(), Error> {
    if matches!(config.state, StateAt::Directory(_)) {
        return Ok(());
    }
    ledger.join(&host_name(), &config.agreement())
}

/// Records with which configuration runs begin from now on.
pub fn note_configuration(ledger: &Ledger, config: &Config, now: DateTime<Utc>) -> Result<(), Error> {
    let file = std::fs::canonicalize(&config.path).unwrap_or_else(|_| config.path.clone());
    let by_two = |entry: &&PolicyEntry| entry.policy.limits.approvals == People::Two;
    let recorded = config.recorded.iter();
    let configuration = RunConfiguration {
        file: file.display().to_string(),
        sha256: config.sha256.clone(),
        protect: config.protect,
        approved_by_two: config
            .policies
            .iter()
            .filter(by_two)
            .map(|entry| entry.policy.name.clone())
            .collect(),
        files: recorded
            .map(|(name, text)| RecordedFile {
                name: name.clone(),
                text: text.clone(),
            })
            .collect(),
    };
    ledger.note_configuration(&configuration, now)
}

/// What the guard says where the state itself forbids to delete: it is lost, or the members differ.
pub fn refusal_of(error: &Error) -> Option<Refusal> {
    let message = error.to_string();
    match error.fault() {
        Some(Fault::MembersDiffer(_)) => Some(Refusal::Members { message }),
        _ => error.is_lost().then_some(Refusal::Ledger { message }),
    }
}
