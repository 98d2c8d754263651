//! What the guard refused, and what people approved of it.

use std::collections::{BTreeMap, HashSet};

use chrono::{DateTime, TimeDelta, Utc};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use super::chain::{self, Kind, OPERATOR_ROWS};
use super::sql::Tx;
use super::sql_value::{Parameters, Stamp};
use super::{Actor, Error, Ledger, Person};
use crate::retention::{BackupId, People, PolicyName};

/// How long a refused plan can be approved, and how long an approval lasts. One that would last longer from now was given under a
/// wrong clock, and does not count.
pub const APPROVABLE_FOR: TimeDelta = TimeDelta::hours(48);

/// A plan that the guard refused.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RefusedPlan {
    /// What `approve --plan` calls it: the first half of the SHA-256 of its sorted ids, one a line, in hex.
    pub digest: String,
    /// The run that made it.
    pub run: String,
    /// The limits that refused it (`max_deletions`, `max_percent`).
    pub limits: Vec<String>,
    /// The ids that were held back.
    pub backups: Vec<BackupId>,
    /// When.
    pub at: DateTime<Utc>,
    /// Whether it is what the policy's latest run was refused for.
    pub waits: bool,
}

impl RefusedPlan {
    /// The plan that a run was refused.
    pub fn new(run: &str, limits: Vec<String>, mut backups: Vec<BackupId>, at: DateTime<Utc>) -> Self {
        backups.sort();
        backups.dedup();
        Self {
            digest: digest_of(&backups),
            run: run.to_owned(),
            limits,
            backups,
            at,
            waits: true,
        }
    }

    /// Whether it can be approved at `now`; one dated ahead of now cannot.
    pub fn is_approvable(&self, now: DateTime<Utc>) -> bool {
        (TimeDelta::zero()..=APPROVABLE_FOR).contains(&(now - self.at))
    }
}

/// What `approve --plan` calls these ids, which are sorted.
fn digest_of(backups: &[BackupId]) -> String {
    let mut digest = Sha256::new();
    for id in backups {
        digest.update(id.as_str());
        digest.update("\n");
    }
    hex::encode(&digest.finalize()[..16])
}

#[derive(Serialize, Deserialize)]
pub(super) struct ApproveBody {
    pub(super) policy: PolicyName,
    pub(super) backups: Vec<BackupId>,
    pub(super) until: DateTime<Utc>,
    pub(super) by: String,
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub(super) digest: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub(super) reason: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub(super) person: Option<Person>,
}

/// Every approved id with the end of its approval, in microseconds as the table keeps it.
pub(super) fn all(tx: &Tx<'_>) -> Result<BTreeMap<(PolicyName, BackupId), i64>, Error> {
    let rows = tx.all("SELECT policy, backup, until FROM approval", (), |row| {
        let policy = PolicyName::from(row.get::<String>(0)?);
        let backup = BackupId::from(row.get::<String>(1)?);
        Ok(((policy, backup), row.get(2)?))
    })?;
    Ok(rows.into_iter().collect())
}

/// What people approved of a policy that counts at `now`, from the chain.
fn given(tx: &Tx<'_>, policy: &PolicyName, now: DateTime<Utc>) -> Result<Vec<ApproveBody>, Error> {
    let rows: Vec<(String, String)> = tx.all(OPERATOR_ROWS, (), |row| Ok((row.get(2)?, row.get(3)?)))?;
    let mut given = Vec::new();
    for (_, body) in rows.iter().filter(|(kind, _)| kind == Kind::Approve.as_str()) {
        let body: ApproveBody = serde_json::from_str(body)?;
        if body.policy == *policy && body.until > now && body.until <= now + APPROVABLE_FOR {
            given.push(body);
        }
    }
    Ok(given)
}

/// Whether two approvals are of one plan, and of two people.
fn are_two(one: &ApproveBody, other: &ApproveBody) -> bool {
    let people = one.person.as_ref().zip(other.person.as_ref());
    one.digest.is_some() && one.digest == other.digest && people.is_some_and(|(one, other)| one.is_other_than(other))
}

fn by_two(given: &[ApproveBody]) -> HashSet<BackupId> {
    let mut approved = HashSet::new();
    for one in given {
        for other in given.iter().filter(|other| are_two(one, other)) {
            let others: HashSet<&BackupId> = other.backups.iter().collect();
            approved.extend(one.backups.iter().filter(|id| others.contains(id)).cloned());
        }
    }
    approved
}

fn refused(tx: &Tx<'_>, which: &str, values: impl Parameters) -> Result<Vec<RefusedPlan>, Error> {
    let sql = format!("SELECT digest, run, limits, backups, at, waits FROM refused WHERE {which} ORDER BY at, digest");
    tx.all(&sql, values, |row| {
        Ok(RefusedPlan {
            digest: row.get(0)?,
            run: row.get(1)?,
            limits: serde_json::from_str(&row.get::<String>(2)?)?,
            backups: serde_json::from_str(&row.get::<String>(3)?)?,
            at: row.get::<Stamp>(4)?.0,
            waits: row.get(5)?,
        })
    })
}

fn wait_no_more(tx: &Tx<'_>, policy: &PolicyName) -> Result<(), Error> {
    tx.execute(
        "UPDATE refused SET waits = 0 WHERE policy = ?1 AND waits = 1",
        [policy.as_str()],
    )?;
    Ok(())
}

impl Ledger {
    /// Remembers a plan that `approve` may approve, beside what other runs were refused within the last 48 hours.
    pub fn record_refused(&self, policy: &PolicyName, refused: &RefusedPlan) -> Result<(), Error> {
        self.write(|tx| {
            wait_no_more(tx, policy)?;
            tx.execute(
                "DELETE FROM refused WHERE policy = ?1 AND (at < ?2 OR at > ?3)",
                (policy.as_str(), Stamp(refused.at - APPROVABLE_FOR), Stamp(refused.at)),
            )?;
            tx.execute(
                "INSERT INTO refused (policy, digest, run, limits, backups, at, waits) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7) \
                 ON CONFLICT (policy, digest) DO UPDATE SET run = excluded.run, limits = excluded.limits, \
                 backups = excluded.backups, at = excluded.at, waits = excluded.waits",
                (
                    policy.as_str(),
                    &refused.digest,
                    &refused.run,
                    serde_json::to_string(&refused.limits)?,
                    serde_json::to_string(&refused.backups)?,
                    Stamp(refused.at),
                    refused.waits,
                ),
            )?;
            Ok(())
        })
    }

    /// Nothing of the policy waits any more.
    pub fn clear_refused(&self, policy: &PolicyName) -> Result<(), Error> {
        self.write(|tx| wait_no_more(tx, policy))
    }

    /// What the policy's latest run was refused for, if it was.
    pub fn waiting(&self, policy: &PolicyName) -> Result<Option<RefusedPlan>, Error> {
        self.read(|tx| Ok(refused(tx, "policy = ?1 AND waits = 1", [policy.as_str()])?.pop()))
    }

    /// One refused plan of the policy.
    pub fn refused_plan(&self, policy: &PolicyName, digest: &str) -> Result<Option<RefusedPlan>, Error> {
        let key = (policy.as_str(), digest);
        self.read(|tx| Ok(refused(tx, "policy = ?1 AND digest = ?2", key)?.pop()))
    }

    /// The policy's refused plans, the oldest first.
    pub fn refused_plans(&self, policy: &PolicyName) -> Result<Vec<RefusedPlan>, Error> {
        self.read(|tx| refused(tx, "policy = ?1", [policy.as_str()]))
    }

    /// Approves the ids of a refused plan of a policy until then, no others. Fails where they are not the ids of its digest: the plan
    /// stands in a table that anyone with the rights of the service can edit, and the digest is what the person was shown.
    pub fn approve_plan<'a>(
        &self,
        policy: &PolicyName,
        plan: &RefusedPlan,
        until: DateTime<Utc>,
        actor: impl Into<Actor<'a>>,
        now: DateTime<Utc>,
    ) -> Result<(), Error> {
        let actor = actor.into();
        if digest_of(&plan.backups) != plan.digest {
            return Err(Error::corrupt(format!(
                "the refused plan {} of {policy} does not have the ids of its digest, so it was changed by something other than this \
                 program; nothing is approved",
                plan.digest
            )));
        }
        self.write(|tx| {
            // Those that ran out say nothing any more; the chain keeps them.
            tx.execute("DELETE FROM approval WHERE until <= ?1", [Stamp(now)])?;
            let approved = plan.backups.iter();
            tx.execute_each(
                "INSERT INTO approval (policy, backup, until) VALUES (?1, ?2, ?3) \
                 ON CONFLICT (policy, backup) DO UPDATE SET until = excluded.until",
                approved.map(|backup| (policy.as_str(), backup.as_str(), Stamp(until))),
            )?;
            let body = ApproveBody {
                policy: policy.clone(),
                backups: plan.backups.clone(),
                until,
                by: actor.by.to_owned(),
                digest: Some(plan.digest.clone()),
                reason: actor.reason.map(str::to_owned),
                person: actor.person(tx)?,
            };
            chain::append(tx, now, Kind::Approve, &body)?;
            Ok(())
        })
    }

    /// Whether a plan has been approved at `now` by two different people.
    pub fn is_approved_by_two(&self, policy: &PolicyName, digest: &str, now: DateTime<Utc>) -> Result<bool, Error> {
        self.read(|tx| {
            let mut given = given(tx, policy, now)?;
            given.retain(|body| body.digest.as_deref() == Some(digest));
            Ok(given.iter().any(|one| given.iter().any(|other| are_two(one, other))))
        })
    }

    /// The ids of a policy that are approved at `now`; by two different people, each for the same plan, where it takes two.
    pub fn approvals(
        &self,
        policy: &PolicyName,
        people: People,
        now: DateTime<Utc>,
    ) -> Result<HashSet<BackupId>, Error> {
        self.read(|tx| {
            if people == People::Two || super::configurations::takes_two_approvals(tx, policy)? {
                return Ok(by_two(&given(tx, policy, now)?));
            }
            let rows = tx.all(
                "SELECT backup FROM approval WHERE policy = ?1 AND until > ?2 AND until <= ?3",
                (policy.as_str(), Stamp(now), Stamp(now + APPROVABLE_FOR)),
                |row| Ok(BackupId::from(row.get::<String>(0)?)),
            )?;
            Ok(rows.into_iter().collect())
        })
    }
}
