//! All that the chain says of decisions, in the order in which it happened: for deciding again.

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};

use super::chain::{Kind, Row, read_time};
use super::configurations::{ConfigurationBody, RecordedFile};
use super::decided::{DecidedBody, DecidedOn, DecidedReplay};
use super::grace_chain::GraceBody;
use super::operator_records::{HoldBody, ReleaseBody};
use super::records::{IntentBody, RunBegunBody};
use super::{Error, Ledger, PlacedHold, rows};
use crate::retention::{BackupId, Hold, InstanceId, PolicyName, ProjectName};

/// A deletion that was intended.
#[derive(Clone, Debug)]
pub struct IntendedDeletion {
    /// The row of the chain.
    pub row: i64,
    /// When.
    pub at: DateTime<Utc>,
    /// The run.
    pub run: String,
    /// Its project.
    pub project: ProjectName,
    /// Its instance.
    pub instance: InstanceId,
    /// The backup.
    pub backup: BackupId,
    /// The deleting policy.
    pub policy: PolicyName,
    /// The rule by which it went.
    pub rule: String,
    /// Since when it had been expired; `None` where the chain does not say.
    pub since: Option<DateTime<Utc>>,
}

/// One step.
#[derive(Debug)]
pub enum RecordedStep<'a> {
    /// The files of a configuration, without secrets.
    Configuration {
        /// SHA-256 of the files as they were.
        sha256: &'a str,
        /// The files.
        files: &'a [RecordedFile],
    },
    /// A run begins.
    Run {
        /// The run.
        run: &'a str,
        /// The moment it decides at.
        at: DateTime<Utc>,
        /// SHA-256 of its configuration.
        sha256: &'a str,
    },
    /// A run decides on one instance.
    Decided {
        /// The run.
        run: &'a str,
        /// What it saw; `None` where the record of it does not fit together.
        seen: Option<&'a DecidedOn>,
        /// The holds placed by command that were in force.
        holds: Vec<Hold>,
    },
    /// A deletion is intended.
    Intended(&'a IntendedDeletion),
}

#[derive(Default)]
struct StepReader {
    decided: DecidedReplay,
    holds: BTreeMap<i64, PlacedHold>,
    grace: BTreeMap<(PolicyName, ProjectName, InstanceId, BackupId), DateTime<Utc>>,
    /// When the run that was read last began.
    run_at: DateTime<Utc>,
}

impl Ledger {
    /// Calls `visit` with each step, the oldest first.
    pub fn each_recorded_step(&self, mut visit: impl FnMut(RecordedStep<'_>)) -> Result<(), Error> {
        self.read(|tx| {
            let mut reader = StepReader::default();
            rows::rows(tx, |row| {
                reader.take(&row, &mut visit)?;
                Ok(None::<()>)
            })?;
            Ok(())
        })
    }
}

impl StepReader {
    fn take(&mut self, row: &Row, visit: &mut impl FnMut(RecordedStep<'_>)) -> Result<(), Error> {
        let at = read_time(&row.at)?;
        match Kind::parse(&row.kind) {
            Some(Kind::Configuration) => {
                let body: ConfigurationBody = serde_json::from_str(&row.body)?;
                let (sha256, files) = (&body.configuration.sha256, &body.configuration.files);
                visit(RecordedStep::Configuration { sha256, files });
            }
            Some(Kind::RunBegun) => {
                let body: RunBegunBody = serde_json::from_str(&row.body)?;
                self.run_at = at;
                let (run, sha256) = (&body.run, &body.config_sha256);
                visit(RecordedStep::Run { run, at, sha256 });
            }
            Some(Kind::Hold) => {
                let HoldBody {
                    number,
                    hold,
                    compliance,
                    ..
                } = serde_json::from_str(&row.body)?;
                let placed = PlacedHold {
                    hold,
                    placed_at: at,
                    released_at: None,
                    compliance,
                };
                self.holds.insert(number, placed);
            }
            Some(Kind::Release) => {
                let body: ReleaseBody = serde_json::from_str(&row.body)?;
                if let Some(placed) = self.holds.get_mut(&body.number) {
                    placed.released_at = Some(at);
                }
            }
            Some(Kind::Grace) => self.grace_changed(at, serde_json::from_str(&row.body)?),
            Some(Kind::Decided) => self.decided(row.seq, serde_json::from_str(&row.body)?, visit)?,
            Some(Kind::Intent) => self.intended(row.seq, at, serde_json::from_str(&row.body)?, visit),
            _ => {}
        }
        Ok(())
    }

    fn grace_changed(&mut self, at: DateTime<Utc>, body: GraceBody) {
        for (policy, project, instance, backup, since) in body.before {
            let since = DateTime::from_timestamp_micros(since).unwrap_or(at);
            self.grace.insert((policy, project, instance, backup), since);
        }
        for (policy, projects) in body.started {
            for (project, instances) in projects {
                for (instance, backups) in instances {
                    let key = |backup| (policy.clone(), project.clone(), instance.clone(), backup);
                    self.grace.extend(backups.into_iter().map(|backup| (key(backup), at)));
                }
            }
        }
    }

    fn decided(&mut self, row: i64, body: DecidedBody, visit: &mut impl FnMut(RecordedStep<'_>)) -> Result<(), Error> {
        for entry in body.instances {
            let active = self.holds.values().filter(|placed| placed.is_active(self.run_at));
            let holds = active.map(|placed| placed.hold.clone()).collect();
            let seen = self.decided.take(row, entry)?;
            let run = &body.run;
            visit(RecordedStep::Decided { run, seen, holds });
        }
        Ok(())
    }

    fn intended(&self, row: i64, at: DateTime<Utc>, body: IntentBody, visit: &mut impl FnMut(RecordedStep<'_>)) {
        for item in body.items {
            let key = (
                item.policy.clone(),
                body.project.clone(),
                item.instance.clone(),
                item.backup.clone(),
            );
            visit(RecordedStep::Intended(&IntendedDeletion {
                row,
                at,
                run: body.run.clone(),
                project: body.project.clone(),
                since: self.grace.get(&key).copied(),
                instance: item.instance,
                backup: item.backup,
                policy: item.policy,
                rule: item.rule,
            }));
        }
    }
}
