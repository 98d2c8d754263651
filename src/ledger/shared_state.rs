//! Who works on a shared state: its members and leases, for those who show them.

use std::sync::PoisonError;

use serde::Serialize;

use super::member::{LIVES_FOR, Membership, check_agreement, difference, lives, process_id};
use super::store::StateStore;
use super::{Error, Ledger};
use crate::retention::ProjectName;

/// A daemon, or an `apply` that deletes, on a shared state.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct LiveMember {
    /// Its host.
    pub host: String,
    /// The version of its program; empty where that did not say so.
    pub version: String,
    /// Seconds since its last heartbeat.
    pub seen_seconds_ago: i64,
    /// Which parts of its configuration differ from this process's, or from the first member's.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub differs_in: Option<String>,
}

/// The right to delete in a project.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct ProjectLease {
    /// The project.
    pub project: ProjectName,
    /// The host of whoever holds it, or held it last.
    pub host: String,
    /// Whether it is held.
    pub is_held: bool,
    /// Whether this process holds it.
    #[serde(skip)]
    pub is_ours: bool,
    /// How often a holder did not give it back, and another one took it over.
    pub takeovers: i64,
}

/// Who works on a shared state.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct SharedState {
    /// Whether all members have the same configuration; nothing is deleted while they have not.
    pub is_agreed: bool,
    /// The members.
    pub members: Vec<LiveMember>,
    /// The leases that there ever were.
    pub leases: Vec<ProjectLease>,
}

impl Ledger {
    /// Fails where a member has another configuration than this one. For a process that is no member.
    pub fn members_must_agree(&self, digest: &str) -> Result<(), Error> {
        let StateStore::Shared(_) = &self.store else {
            return Ok(());
        };
        self.read(|tx| check_agreement(tx, digest))
    }

    /// How many other members live; none where the state is a file.
    pub fn other_members(&self) -> Result<u64, Error> {
        let StateStore::Shared(shared) = &self.store else {
            return Ok(0);
        };
        let own = {
            let member = shared.member.lock().unwrap_or_else(PoisonError::into_inner);
            member.as_ref().map(|member| member.id.clone()).unwrap_or_default()
        };
        let sql = format!("SELECT COUNT(*) FROM member WHERE {} AND id <> ?1", lives(LIVES_FOR));
        self.read(|tx| Ok(tx.number(&sql, [&own])?.unsigned_abs()))
    }

    /// Who works on the state; `None` where that is a file.
    pub fn shared_state(&self) -> Result<Option<SharedState>, Error> {
        let StateStore::Shared(shared) = &self.store else {
            return Ok(None);
        };
        let own = {
            let member = shared.member.lock().unwrap_or_else(PoisonError::into_inner);
            member.as_ref().map(Membership::digest)
        };
        self.read(|tx| {
            let sql = format!(
                "SELECT host, version, CAST(EXTRACT(EPOCH FROM clock_timestamp() - seen) AS BIGINT), digest FROM member \
                 WHERE {} ORDER BY host, id",
                lives(LIVES_FOR)
            );
            let found = tx.all(&sql, (), |row| {
                let digest: String = row.get(3)?;
                let member = LiveMember {
                    host: row.get(0)?,
                    version: row.get(1)?,
                    seen_seconds_ago: row.get(2)?,
                    differs_in: None,
                };
                Ok((member, digest))
            })?;
            let compared = own.or_else(|| found.first().map(|(_, digest)| digest.clone())).unwrap_or_default();
            let members: Vec<LiveMember> = found
                .into_iter()
                .map(|(member, digest)| LiveMember {
                    differs_in: (digest != compared).then(|| difference(&compared, &digest)),
                    ..member
                })
                .collect();
            let sql = "SELECT project, host, CASE WHEN expires > clock_timestamp() THEN 1 ELSE 0 END, holder, takeovers FROM lease ORDER BY project";
            let leases = tx.all(sql, (), |row| {
                let is_held = row.get(2)?;
                let holder: String = row.get(3)?;
                Ok(ProjectLease {
                    project: ProjectName::from(row.get::<String>(0)?.as_str()),
                    host: row.get(1)?,
                    is_held,
                    is_ours: is_held && holder.starts_with(process_id()),
                    takeovers: row.get(4)?,
                })
            })?;
            Ok(SharedState {
                is_agreed: members.iter().all(|member| member.differs_in.is_none()),
                members,
                leases,
            })
        })
        .map(Some)
    }
}
