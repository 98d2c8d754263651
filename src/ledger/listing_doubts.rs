//! What of a listing a run did not believe, and what of that people accepted: exactly what the run saw, whatever is listed later.
//!
//! Plain state, but for the acceptance, which is in the chain.

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

use super::chain::Kind;
use super::sql::Tx;
use super::{Actor, Error, Ledger, Person, chain};
use crate::retention::BackupId;

/// Which part of a listing.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ListingPart {
    /// Which entries it has: they are fewer than half.
    Entries,
    /// The instance's entry in the list of instances: it lacks its name, tags or enterprise project.
    Instance,
    /// The backup's entry: it says something else than before.
    Backup(BackupId),
}

impl ListingPart {
    fn column(&self) -> String {
        match self {
            Self::Entries => "entries".to_owned(),
            Self::Instance => "instance".to_owned(),
            Self::Backup(id) => format!("{BACKUP}{id}"),
        }
    }

    fn parse(column: &str) -> Result<Self, Error> {
        match (column, column.strip_prefix(BACKUP)) {
            ("entries", _) => Ok(Self::Entries),
            ("instance", _) => Ok(Self::Instance),
            (_, Some(id)) => Ok(Self::Backup(BackupId::from(id))),
            _ => Err(Error::corrupt(format!("unknown part of a listing {column:?}"))),
        }
    }
}

const BACKUP: &str = "backup:";

/// A part of a listing that was not believed.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct ListingDoubt {
    /// The instance's id; the project's name where its list of instances fell.
    #[serde(skip)]
    pub target: String,
    /// Which part.
    pub part: ListingPart,
    /// What it says, as JSON: ids, or an entry.
    pub says: String,
}

/// The doubts that are remembered: what each part said when it was read last, and whether people accepted that.
pub type ListingDoubts = BTreeMap<(String, ListingPart), (String, bool)>;

#[derive(Serialize, Deserialize)]
pub(super) struct ApproveListingBody {
    pub(super) target: String,
    /// Of older formats, which approved whatever the next listing says.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    until: Option<DateTime<Utc>>,
    pub(super) by: String,
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub(super) reason: Option<String>,
    #[serde(skip_serializing_if = "Vec::is_empty", default)]
    pub(super) accepts: Vec<ListingDoubt>,
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub(super) person: Option<Person>,
}

/// Every doubt of the table.
pub(super) fn all(tx: &Tx<'_>) -> Result<ListingDoubts, Error> {
    let rows = tx.all("SELECT target, part, says, accepted FROM listing_doubt", (), |row| {
        let part = ListingPart::parse(&row.get::<String>(1)?)?;
        Ok(((row.get(0)?, part), (row.get(2)?, row.get(3)?)))
    })?;
    Ok(rows.into_iter().collect())
}

impl Ledger {
    /// What of the last listings was not believed.
    pub fn listing_doubts(&self) -> Result<ListingDoubts, Error> {
        self.read(all)
    }

    /// Takes in what a run doubts, and what it read without doubt. What was accepted stays so while the part says the same.
    pub fn record_doubts(&self, doubts: &[ListingDoubt], settled: &[(String, ListingPart)]) -> Result<(), Error> {
        if doubts.is_empty() && settled.is_empty() {
            return Ok(());
        }
        self.write(|tx| {
            tx.execute_each(
                "DELETE FROM listing_doubt WHERE target = ?1 AND part = ?2",
                settled.iter().map(|(target, part)| (target.as_str(), part.column())),
            )?;
            tx.execute_each(
                "INSERT INTO listing_doubt (target, part, says, accepted) VALUES (?1, ?2, ?3, 0) \
                 ON CONFLICT (target, part) DO UPDATE SET says = excluded.says, \
                 accepted = CASE WHEN listing_doubt.says = excluded.says THEN listing_doubt.accepted ELSE 0 END",
                doubts
                    .iter()
                    .map(|doubt| (doubt.target.as_str(), doubt.part.column(), doubt.says.as_str())),
            )
        })
    }

    /// Accepts what runs saw of a listing (an instance's id, or a project's name for its list of instances) and did not believe; what
    /// that is. Nothing is accepted, and nothing written, where there is no doubt.
    pub fn accept_listing<'a>(
        &self,
        target: &str,
        actor: impl Into<Actor<'a>>,
        now: DateTime<Utc>,
    ) -> Result<Vec<ListingDoubt>, Error> {
        let actor = actor.into();
        self.write(|tx| {
            let doubts = all(tx)?.into_iter().filter(|((of, _), _)| of == target);
            let accepts: Vec<ListingDoubt> = doubts
                .map(|((target, part), (says, _))| ListingDoubt { target, part, says })
                .collect();
            if accepts.is_empty() {
                return Ok(accepts);
            }
            tx.execute("UPDATE listing_doubt SET accepted = 1 WHERE target = ?1", [target])?;
            let body = ApproveListingBody {
                target: target.to_owned(),
                until: None,
                by: actor.by.to_owned(),
                reason: actor.reason.map(str::to_owned),
                accepts: accepts.clone(),
                person: actor.person(tx)?,
            };
            chain::append(tx, now, Kind::ApproveListing, &body)?;
            Ok(accepts)
        })
    }
}
