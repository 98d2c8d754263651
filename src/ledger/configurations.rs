//! The configurations that runs begin with: each one's text once, and what it asks of people.
//!
//! Who ends what another person placed brings a configuration of their own; how many people that takes is what the files say that runs
//! last began with, each of them.

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

use super::chain::{self, COLUMNS, Kind, NOT_SEALED, Row};
use super::sql::Tx;
use super::{Error, Ledger};
use crate::retention::{People, PolicyName};

/// A configuration that a run begins with.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RunConfiguration {
    /// Its main file.
    pub file: String,
    /// SHA-256 of its files as they are.
    pub sha256: String,
    /// How many people it takes to end what another person placed.
    #[serde(skip_serializing_if = "is_one", default)]
    pub protect: People,
    /// Policies of which two people must approve a refused plan.
    #[serde(skip_serializing_if = "Vec::is_empty", default)]
    pub approved_by_two: Vec<PolicyName>,
    /// The files, without secrets; empty where an earlier row has them.
    #[serde(skip_serializing_if = "Vec::is_empty", default)]
    pub files: Vec<RecordedFile>,
}

/// A file of a configuration.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RecordedFile {
    /// Its name, relative to the main file's directory.
    pub name: String,
    /// Its text, without secrets; `None` where they could not be told from the rest.
    pub text: Option<String>,
}

/// The row of the chain.
#[derive(Serialize, Deserialize)]
pub(super) struct ConfigurationBody {
    #[serde(flatten)]
    pub(super) configuration: RunConfiguration,
    /// The role of the database session.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    role: Option<String>,
    /// The program's version.
    version: String,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "as serde calls it")]
fn is_one(people: &People) -> bool {
    *people == People::One
}

/// Every row, oldest first.
fn all(tx: &Tx<'_>) -> Result<Vec<ConfigurationBody>, Error> {
    let sql = format!("SELECT {COLUMNS} FROM chain WHERE kind = 'configuration' ORDER BY seq");
    tx.all(&sql, (), |row| {
        let row = Row::read(row)?;
        if !row.is_sealed() {
            return Err(Error::corrupt(format!("row {}: {NOT_SEALED}", row.seq)));
        }
        Ok(serde_json::from_str(&row.body)?)
    })
}

/// The last row of each file, of each role.
fn last_of_each(tx: &Tx<'_>) -> Result<Vec<RunConfiguration>, Error> {
    let rows = all(tx)?.into_iter();
    let last: BTreeMap<_, _> = rows
        .map(|body| ((body.configuration.file.clone(), body.role), body.configuration))
        .collect();
    Ok(last.into_values().collect())
}

/// How many people it takes to end what another person placed, by what runs began with; and a file that says two.
pub(super) fn protect(tx: &Tx<'_>) -> Result<Option<String>, Error> {
    let mut last = last_of_each(tx)?.into_iter();
    Ok(last.find(|of| of.protect == People::Two).map(|of| of.file))
}

/// Whether it takes two people to approve a refused plan of a policy, by what runs began with.
pub(super) fn takes_two_approvals(tx: &Tx<'_>, policy: &PolicyName) -> Result<bool, Error> {
    Ok(last_of_each(tx)?.iter().any(|of| of.approved_by_two.contains(policy)))
}

impl Ledger {
    /// Records a configuration that runs begin with from now on, where the last one of that file was another.
    pub fn note_configuration(&self, configuration: &RunConfiguration, now: DateTime<Utc>) -> Result<(), Error> {
        let is_noted = |tx: &Tx<'_>| -> Result<bool, Error> {
            let role = super::actor::role(tx)?;
            let mut rows = all(tx)?.into_iter().rev();
            let last = rows.find(|row| row.configuration.file == configuration.file && row.role == role);
            Ok(last.is_some_and(|last| {
                let last = last.configuration;
                (last.sha256, last.protect) == (configuration.sha256.clone(), configuration.protect)
                    && last.approved_by_two == configuration.approved_by_two
            }))
        };
        if self.read(is_noted)? {
            return Ok(());
        }
        self.write(|tx| {
            if is_noted(tx)? {
                return Ok(());
            }
            let rows = all(tx)?;
            let mut of_digest = rows
                .iter()
                .filter(|row| row.configuration.sha256 == configuration.sha256);
            let is_text_known = of_digest.any(|row| !row.configuration.files.is_empty());
            let mut configuration = configuration.clone();
            if is_text_known {
                configuration.files.clear();
            }
            let body = ConfigurationBody {
                configuration,
                role: super::actor::role(tx)?,
                version: env!("CARGO_PKG_VERSION").to_owned(),
            };
            chain::append(tx, now, Kind::Configuration, &body)?;
            Ok(())
        })
    }

    /// The files of the configuration with this digest, without secrets; empty where no run recorded them.
    pub fn configuration_files(&self, sha256: &str) -> Result<Vec<RecordedFile>, Error> {
        self.read(|tx| {
            let rows = all(tx)?.into_iter().map(|row| row.configuration);
            let mut found = rows.filter(|of| of.sha256 == sha256 && !of.files.is_empty());
            Ok(found.next().map(|of| of.files).unwrap_or_default())
        })
    }

    /// Whether it takes two people to approve a refused plan of a policy, by the configurations that runs began with.
    pub fn takes_two_approvals(&self, policy: &PolicyName) -> Result<bool, Error> {
        self.read(|tx| takes_two_approvals(tx, policy))
    }
}
