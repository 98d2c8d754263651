//! Runs: when, why, under which configuration, and how they ended.

use std::collections::{BTreeMap, HashSet};

use chrono::{DateTime, Utc};
use serde::Serialize;

use super::chain::Kind;
use super::records::{IntentBody, RunBegunBody, RunFinishedBody};
use super::rows::Chunks;
use super::sql::Tx;
use super::sql_value::{Parameters, Stamp};
use super::verify::Replay;
use super::{DeletionState, Error, FinishedPolicy, Ledger, Person, chain, observed_chain, request_state, rows};
use crate::retention::report::{Interruption, RunNumbers, RunResult, RunSummary};
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
    /// Who started it, where a person did.
    pub person: Option<&'a Person>,
}

/// One policy in one run.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct RunRow {
    /// The run.
    pub run: String,
    /// The policy.
    pub policy: PolicyName,
    /// Whether it acted.
    pub mode: Mode,
    /// What started it.
    pub cause: String,
    /// SHA-256 of the configuration.
    pub config_sha256: String,
    /// When it began.
    pub started_at: DateTime<Utc>,
    /// When it ended; `None` while it is under way, or when it was killed.
    pub finished_at: Option<DateTime<Utc>>,
    /// How it ended.
    pub result: Option<RunResult>,
    /// The report's numbers, as `finish_run` was given them.
    pub summary: Option<RunSummary>,
}

impl RunRow {
    /// Whether it did not come to its end.
    pub fn is_interrupted(&self) -> bool {
        self.interrupted_by().is_some()
    }

    /// Whether it ended before it could write down what it came to.
    pub fn is_cut_short(&self) -> bool {
        matches!(self.interrupted_by(), Some(Interruption::Killed | Interruption::Failed))
    }

    /// Why it did not come to its end.
    pub fn interrupted_by(&self) -> Option<Interruption> {
        self.summary.as_ref()?.interrupted
    }

    /// What it came to, where it could say.
    pub fn numbers(&self) -> Option<&RunNumbers> {
        self.summary.as_ref()?.numbers.as_ref()
    }
}

/// The last run of a policy, as far as its schedule is concerned.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LastBegun {
    /// When it began: a tick before that was not missed.
    pub at: DateTime<Utc>,
    /// It was interrupted, so that its own tick is to be made up for.
    pub is_interrupted: bool,
    /// Its process was killed, so that nobody heard of its end.
    pub is_killed: bool,
    /// On a shared state: it is not finished, and its daemon may live or not. Whoever gets the right to delete in its projects knows.
    pub is_open: bool,
}

/// How a run of a policy went, without its numbers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RunMark {
    /// The run.
    pub run: String,
    /// When it began.
    pub started_at: DateTime<Utc>,
    /// How it ended; `None` while it is under way, or when it was killed.
    pub result: Option<RunResult>,
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

impl Ledger {
    /// Records that a run begins. Also a test, before anything is listed, that the state can be written, and that its holds,
    /// freeze, approvals, grace periods and what runs remember are what the chain says.
    pub fn begin_run(&self, run: &NewRun<'_>) -> Result<(), Error> {
        self.write(|tx| {
            Replay::check_operator_rows(tx)?;
            observed_chain::begin(tx, run.started_at)?;
            super::key_refusals::date_back(tx, run.started_at)?;
            let policies = run.policies.iter();
            let body = RunBegunBody {
                run: run.id.to_owned(),
                cause: run.cause.to_owned(),
                config_sha256: run.config_sha256.to_owned(),
                policies: policies
                    .map(|(policy, mode)| (policy.clone(), mode.as_str().to_owned()))
                    .collect(),
                version: Some(env!("CARGO_PKG_VERSION").to_owned()),
                person: match run.person {
                    Some(person) => Some(super::actor::in_session(person, tx)?),
                    None => None,
                },
            };
            let seq = chain::append(tx, run.started_at, Kind::RunBegun, &body)?;
            tx.execute(
                "INSERT INTO run (id, started_at, cause, config_sha256, begun) VALUES (?1, ?2, ?3, ?4, ?5)",
                (run.id, Stamp(run.started_at), run.cause, run.config_sha256, seq),
            )?;
            let policies = run.policies.iter();
            tx.execute_each(
                "INSERT INTO run_policy (run, policy, mode, started_at) VALUES (?1, ?2, ?3, ?4)",
                policies.map(|(policy, mode)| (run.id, policy.as_str(), mode.as_str(), Stamp(run.started_at))),
            )?;
            self.note_member(tx, run.id)
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
        self.write_unchecked(|tx| finish(tx, id, finished_at, policies.to_vec()))
    }

    /// Whether any run has ended.
    pub fn has_run(&self) -> Result<bool, Error> {
        self.read(|tx| {
            let ended = tx.first("SELECT id FROM run WHERE finished IS NOT NULL LIMIT 1", (), |_| Ok(()))?;
            Ok(ended.is_some())
        })
    }

    /// Past runs, newest first.
    pub fn runs(&self, filter: &RunFilter) -> Result<Vec<RunRow>, Error> {
        let limit = filter.limit.map_or(i64::MAX, i64::from);
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

    /// How the last runs of a policy went, newest first.
    pub fn run_marks(&self, policy: &PolicyName, limit: u32) -> Result<Vec<RunMark>, Error> {
        self.read(|tx| {
            let sql = "SELECT p.run, r.started_at, p.result FROM run_policy p JOIN run r ON r.id = p.run \
                       WHERE p.policy = ?1 ORDER BY p.started_at DESC, p.run DESC LIMIT ?2";
            tx.all(sql, (policy.as_str(), i64::from(limit)), |row| {
                let result: Option<String> = row.get(2)?;
                Ok(RunMark {
                    run: row.get(0)?,
                    started_at: row.get::<Stamp>(1)?.0,
                    result: result.as_deref().and_then(RunResult::named),
                })
            })
        })
    }

    /// How many ids a run has sent for a policy, by where each stands; for a run that never wrote down its own numbers.
    pub fn sent_in(&self, run: &str, policy: &PolicyName) -> Result<BTreeMap<DeletionState, u64>, Error> {
        self.read(|tx| {
            let pieces = Chunks::default();
            let mut once = HashSet::new();
            let mut sent = BTreeMap::new();
            // The newest first: an id that was sent again counts by its last request.
            let requests: Vec<i64> = tx.all(
                "SELECT seq FROM request WHERE run = ?1 ORDER BY seq DESC",
                [run],
                |row| row.get(0),
            )?;
            for seq in requests {
                let intent: IntentBody = serde_json::from_str(&rows::row(tx, &pieces, seq)?.body)?;
                let states = request_state::states_of(tx, seq)?.unwrap_or_default();
                let of_policy = intent
                    .items
                    .into_iter()
                    .zip(states)
                    .filter(|(item, _)| item.policy == *policy);
                for (item, (state, _)) in of_policy {
                    if state != DeletionState::Withdrawn && once.insert(item.backup) {
                        *sent.entry(state).or_default() += 1;
                    }
                }
            }
            Ok(sent)
        })
    }

    /// The runs whose ids begin so, at most two: more would tell no more.
    pub fn run_ids(&self, start: &str) -> Result<Vec<String>, Error> {
        let is_plain = |c: char| c.is_ascii_alphanumeric() || c == '-';
        if start.is_empty() || !start.chars().all(is_plain) {
            return Ok(Vec::new());
        }
        self.read(|tx| {
            let sql = "SELECT id FROM run WHERE id LIKE ?1 ORDER BY id LIMIT 2";
            tx.all(sql, [format!("{start}%")], |row| row.get(0))
        })
    }

    /// One run, by policy.
    pub fn run(&self, id: &str) -> Result<Vec<RunRow>, Error> {
        self.read(|tx| select(tx, "p.run = ?1 ORDER BY p.policy", [id]))
    }

    /// Of each policy that ever finished a run: its last ones. For gauges after a start. A run dated ahead of now was made under
    /// a wrong clock, and is not the last one until that time comes.
    pub fn last_runs(&self, now: DateTime<Utc>) -> Result<BTreeMap<PolicyName, LastRuns>, Error> {
        self.read(|tx| {
            let policies: Vec<String> = tx.all("SELECT DISTINCT policy FROM run_policy", (), |row| row.get(0))?;
            let newest = "p.policy = ?1 AND p.started_at <= ?2 AND p.result IS NOT NULL ORDER BY p.started_at DESC, p.run DESC LIMIT 1";
            let success = "p.policy = ?1 AND p.started_at <= ?2 AND p.result = ?3 ORDER BY p.started_at DESC, p.run DESC LIMIT 1";
            let read = "p.policy = ?1 AND p.started_at <= ?2 AND p.result NOT IN (?3, ?4) ORDER BY p.started_at DESC, p.run DESC LIMIT 1";
            let blind = [RunResult::Failed, RunResult::Skipped].map(RunResult::as_str);
            let mut last = BTreeMap::new();
            for policy in policies {
                if let Some(finished) = select(tx, newest, (&policy, Stamp(now)))?.pop() {
                    let success = select(tx, success, (&policy, Stamp(now), RunResult::Success.as_str()))?.pop();
                    let read = select(tx, read, (&policy, Stamp(now), blind[0], blind[1]))?.pop();
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

    /// The policy's last run, finished or not. One dated ahead of now was made under a wrong clock, and one that a person
    /// typed and interrupted made up for no tick: neither counts.
    pub fn last_begun(&self, policy: &PolicyName, now: DateTime<Utc>) -> Result<Option<LastBegun>, Error> {
        let last = self.read(|tx| {
            select(
                tx,
                "p.policy = ?1 AND p.started_at <= ?2 ORDER BY p.started_at DESC, p.run DESC LIMIT ?3",
                (policy.as_str(), Stamp(now), LOOKED_BACK),
            )
        })?;
        let is_open = |run: &RunRow| self.is_shared() && run.finished_at.is_none();
        let counts = |run: &&RunRow| !((run.is_interrupted() || is_open(run)) && run.cause == "apply");
        Ok(last.iter().find(counts).map(|run| LastBegun {
            at: run.started_at,
            is_killed: run.interrupted_by() == Some(Interruption::Killed),
            is_open: is_open(run) && run.cause != "catch-up",
            // Once: what ends each run that makes up for it must not make the next.
            is_interrupted: run.is_interrupted() && !(run.cause == "catch-up" && run.is_cut_short()),
        }))
    }
}

/// So many runs are looked at for the last one that counts.
const LOOKED_BACK: i64 = 50;

pub(super) fn finish(
    tx: &Tx<'_>,
    id: &str,
    finished_at: DateTime<Utc>,
    policies: Vec<FinishedPolicy>,
) -> Result<String, Error> {
    let run = id.to_owned();
    let body = RunFinishedBody { run, policies };
    let seq = chain::append(tx, finished_at, Kind::RunFinished, &body)?;
    let changed = tx.execute(
        "UPDATE run SET finished_at = ?2, finished = ?3 WHERE id = ?1 AND finished IS NULL",
        (id, Stamp(finished_at), seq),
    )?;
    let update = "UPDATE run_policy SET result = ?3 WHERE run = ?1 AND policy = ?2";
    let mut known = changed == 1;
    for policy in &body.policies {
        known &= tx.execute(update, (id, policy.policy.as_str(), policy.result.as_str()))? == 1;
    }
    if !known {
        return Err(Error::NoSuchRun(id.to_owned()));
    }
    Ok(chain::tail(tx)?.1)
}

pub(super) fn select(tx: &Tx<'_>, what: &str, values: impl Parameters) -> Result<Vec<RunRow>, Error> {
    let sql = format!(
        "SELECT p.run, p.policy, p.mode, r.cause, r.config_sha256, r.started_at, r.finished_at, p.result, c.body \
         FROM run_policy p JOIN run r ON r.id = p.run LEFT JOIN chain c ON c.seq = r.finished WHERE {what}"
    );
    tx.all(&sql, values, |row| {
        let policy = PolicyName::from(row.get::<String>(1)?);
        let (mode, result): (String, Option<String>) = (row.get(2)?, row.get(7)?);
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
        Ok(RunRow {
            run: row.get(0)?,
            policy,
            mode: Mode::named(&mode).unwrap_or(Mode::DryRun),
            cause: row.get(3)?,
            config_sha256: row.get(4)?,
            started_at: row.get::<Stamp>(5)?.0,
            finished_at: row.get::<Option<Stamp>>(6)?.map(|at| at.0),
            result: result.as_deref().and_then(RunResult::named),
            summary,
        })
    })
}
