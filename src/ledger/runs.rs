//! Runs: when, why, under which configuration, and how they ended.

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};
use rusqlite::{OptionalExtension, Transaction};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::chain::{self, Kind};
use super::replay::Replay;
use super::{Error, Ledger, Stamp};
use crate::retention::report::RunResult;
use crate::retention::{Mode, PolicyName};

/// A run that begins.
#[derive(Clone, Copy, Debug)]
pub struct NewRun<'a> {
    /// Its id.
    pub id: &'a str,
    /// The policies that it runs.
    pub policies: &'a [(PolicyName, Mode)],
    /// SHA-256 of the configuration.
    pub config_sha256: &'a str,
    /// When.
    pub started_at: DateTime<Utc>,
    /// What started it: `schedule`, `catch-up`, `apply`.
    pub cause: &'a str,
}

/// How a run ended for one policy.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct FinishedPolicy {
    /// The policy.
    pub policy: PolicyName,
    /// `success`, `partial`, `failed`, `refused` or `skipped`.
    pub result: String,
    /// The report's numbers.
    pub summary: Value,
}

/// One policy in one run.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct RunRow {
    /// The run.
    pub run: String,
    /// The policy.
    pub policy: PolicyName,
    /// `enforce` or `dry-run`.
    pub mode: String,
    /// What started it.
    pub cause: String,
    /// SHA-256 of the configuration.
    pub config_sha256: String,
    /// When it began.
    pub started_at: DateTime<Utc>,
    /// When it ended; `None` while it is under way, or when it was killed.
    pub finished_at: Option<DateTime<Utc>>,
    /// How it ended.
    pub result: Option<String>,
    /// The report's numbers, as `finish_run` was given them.
    pub summary: Option<Value>,
}

/// Which runs to list.
#[derive(Clone, Debug, Default)]
pub struct RunFilter {
    /// Only this policy's.
    pub policy: Option<PolicyName>,
    /// At most so many, the newest; `None` is all.
    pub limit: Option<u32>,
}

/// The last runs of one policy that finished.
#[derive(Clone, Debug, PartialEq)]
pub struct LastRuns {
    /// The last one, however it ended.
    pub finished: RunRow,
    /// The last one that ended in `success`.
    pub success: Option<RunRow>,
    /// The last one that could read the world: of backups and instances it knows more than one that failed since.
    pub read: Option<RunRow>,
}

#[derive(Serialize, Deserialize)]
pub(super) struct RunBegunBody {
    pub(super) run: String,
    pub(super) cause: String,
    pub(super) config_sha256: String,
    pub(super) policies: BTreeMap<PolicyName, String>,
}

#[derive(Serialize, Deserialize)]
pub(super) struct RunFinishedBody {
    pub(super) run: String,
    pub(super) policies: Vec<FinishedPolicy>,
}

impl Ledger {
    /// Records that a run begins. Also a test, before anything is listed, that the state can be written, and that its holds,
    /// freeze and approvals are what the chain says.
    pub fn begin_run(&self, run: &NewRun<'_>) -> Result<(), Error> {
        self.write(|tx| {
            Replay::check_words(tx)?;
            let policies = run.policies.iter();
            let body = RunBegunBody {
                run: run.id.to_owned(),
                cause: run.cause.to_owned(),
                config_sha256: run.config_sha256.to_owned(),
                policies: policies
                    .map(|(policy, mode)| (policy.clone(), mode.as_str().to_owned()))
                    .collect(),
            };
            let seq = chain::append(tx, run.started_at, Kind::RunBegun, &body)?;
            tx.prepare_cached(
                "INSERT INTO run (id, started_at, cause, config_sha256, begun) VALUES (?1, ?2, ?3, ?4, ?5)",
            )?
            .execute((run.id, Stamp(run.started_at), run.cause, run.config_sha256, seq))?;
            let mut insert =
                tx.prepare_cached("INSERT INTO run_policy (run, policy, mode, started_at) VALUES (?1, ?2, ?3, ?4)")?;
            for (policy, mode) in run.policies {
                insert.execute((run.id, policy.as_str(), mode.as_str(), Stamp(run.started_at)))?;
            }
            Ok(())
        })
    }

    /// Records how a run ended for each of its policies. The chain's head, to be logged: `audit verify --head` proves by
    /// it that nothing up to here was cut off.
    pub fn finish_run(
        &self,
        id: &str,
        finished_at: DateTime<Utc>,
        policies: &[FinishedPolicy],
    ) -> Result<String, Error> {
        self.write(|tx| {
            let body = RunFinishedBody {
                run: id.to_owned(),
                policies: policies.to_vec(),
            };
            let seq = chain::append(tx, finished_at, Kind::RunFinished, &body)?;
            let changed = tx
                .prepare_cached("UPDATE run SET finished_at = ?2, finished = ?3 WHERE id = ?1 AND finished IS NULL")?
                .execute((id, Stamp(finished_at), seq))?;
            let mut update = tx.prepare_cached("UPDATE run_policy SET result = ?3 WHERE run = ?1 AND policy = ?2")?;
            let mut known = changed == 1;
            for policy in policies {
                known &= update.execute((id, policy.policy.as_str(), &policy.result))? == 1;
            }
            if !known {
                return Err(Error::NoSuchRun(id.to_owned()));
            }
            Ok(chain::tail(tx)?.1)
        })
    }

    /// Past runs, newest first.
    pub fn runs(&self, filter: &RunFilter) -> Result<Vec<RunRow>, Error> {
        let limit = filter.limit.map_or(-1, i64::from);
        self.read(|tx| match &filter.policy {
            Some(policy) => select(
                tx,
                "p.policy = ?1 ORDER BY p.started_at DESC, p.run DESC LIMIT ?2",
                (policy.as_str(), limit),
            ),
            None => select(
                tx,
                "TRUE ORDER BY p.started_at DESC, p.run DESC, p.policy LIMIT ?1",
                (limit,),
            ),
        })
    }

    /// Of each policy that ever finished a run: its last ones. For gauges after a start.
    pub fn last_runs(&self) -> Result<BTreeMap<PolicyName, LastRuns>, Error> {
        self.read(|tx| {
            let policies: Vec<String> = tx
                .prepare_cached("SELECT DISTINCT policy FROM run_policy")?
                .query_map([], |row| row.get(0))?
                .collect::<Result<_, _>>()?;
            let newest = "p.policy = ?1 AND p.result IS NOT NULL ORDER BY p.started_at DESC, p.run DESC LIMIT 1";
            let success = "p.policy = ?1 AND p.result = ?2 ORDER BY p.started_at DESC, p.run DESC LIMIT 1";
            let read = "p.policy = ?1 AND p.result NOT IN (?2, ?3) ORDER BY p.started_at DESC, p.run DESC LIMIT 1";
            let blind = [RunResult::Failed, RunResult::Skipped].map(RunResult::as_str);
            let mut last = BTreeMap::new();
            for policy in policies {
                if let Some(finished) = select(tx, newest, (&policy,))?.pop() {
                    let success = select(tx, success, (&policy, RunResult::Success.as_str()))?.pop();
                    let read = select(tx, read, (&policy, blind[0], blind[1]))?.pop();
                    let runs = LastRuns {
                        finished,
                        success,
                        read,
                    };
                    last.insert(PolicyName::from(policy), runs);
                }
            }
            Ok(last)
        })
    }

    /// When the policy last began a run, finished or not: a tick before that was not missed.
    pub fn last_begun(&self, policy: &PolicyName) -> Result<Option<DateTime<Utc>>, Error> {
        self.read(|tx| {
            let at: Option<Stamp> = tx
                .prepare_cached("SELECT MAX(started_at) FROM run_policy WHERE policy = ?1")?
                .query_row([policy.as_str()], |row| row.get(0))
                .optional()?
                .flatten();
            Ok(at.map(|at| at.0))
        })
    }
}

fn select(tx: &Transaction<'_>, what: &str, values: impl rusqlite::Params) -> Result<Vec<RunRow>, Error> {
    let mut statement = tx.prepare_cached(&format!(
        "SELECT p.run, p.policy, p.mode, r.cause, r.config_sha256, r.started_at, r.finished_at, p.result, c.body \
         FROM run_policy p JOIN run r ON r.id = p.run LEFT JOIN chain c ON c.seq = r.finished WHERE {what}"
    ))?;
    let mut rows = statement.query(values)?;
    let mut found = Vec::new();
    while let Some(row) = rows.next()? {
        let policy = PolicyName::from(row.get::<_, String>(1)?);
        // The numbers are read from the chain's own row, so no table beside it can say otherwise.
        let finished: Option<String> = row.get(8)?;
        let summary = match finished {
            Some(body) => {
                let body: RunFinishedBody = serde_json::from_str(&body)?;
                let mut policies = body.policies.into_iter();
                policies
                    .find(|finished| finished.policy == policy)
                    .map(|finished| finished.summary)
            }
            None => None,
        };
        found.push(RunRow {
            run: row.get(0)?,
            policy,
            mode: row.get(2)?,
            cause: row.get(3)?,
            config_sha256: row.get(4)?,
            started_at: row.get::<_, Stamp>(5)?.0,
            finished_at: row.get::<_, Option<Stamp>>(6)?.map(|at| at.0),
            result: row.get(7)?,
            summary,
        });
    }
    Ok(found)
}
