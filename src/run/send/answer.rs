//! What the API's answer to a request means: the outcome of every id, and what is to be done next.

use std::collections::BTreeMap;
use std::time::Duration;

use super::project::ProjectSender;
use crate::ledger::{LedgerWrite, RequestKey, Written};
use crate::rds::credentials::Fingerprint;
use crate::rds::{Delay, DeletionAnswer, is_of_engine, refuses_the_call};
use crate::retention::{BackupId, Batch, Outcome, PolicyName};
use crate::run::Error;
use crate::run::skip::skip_of;
use crate::telemetry;

/// What to do with a batch after one try.
pub(super) enum Step {
    /// Every id has its final outcome.
    Done,
    /// These ids may have been deleted or not: list, then send again.
    Unanswered(Vec<BackupId>),
    /// Nothing happened: the same batch again after a while.
    Again(Option<Duration>),
    /// The key was refused for the first time, and nothing happened: the same batch again with renewed credentials.
    Renew(Fingerprint),
    /// The request did not begin in time: the same batch again.
    Late(Delay),
    /// Refused as a whole: look for the id that spoils it.
    Split {
        /// The code says that it is one of another engine.
        by_engine: bool,
    },
    /// Nothing was sent, and nothing will be.
    Left,
}

impl ProjectSender {
    /// The outcome of every id, and what to do next.
    pub(super) fn read_answer(
        &self,
        batch: &Batch,
        answer: Result<DeletionAnswer, crate::rds::Error>,
    ) -> (Step, Option<String>, Vec<(BackupId, Outcome)>) {
        let all = |outcome: Outcome| batch.ids().map(|id| (id.clone(), outcome.clone())).collect::<Vec<_>>();
        match answer {
            Ok(DeletionAnswer::Results { outcomes, request_id }) => {
                let open: Vec<BackupId> = outcomes
                    .iter()
                    .filter(|(_, outcome)| matches!(outcome, Outcome::Unanswered { .. }))
                    .map(|(id, _)| id.clone())
                    .collect();
                let step = if open.is_empty() {
                    Step::Done
                } else {
                    Step::Unanswered(open)
                };
                (step, request_id, outcomes)
            }
            Ok(DeletionAnswer::Throttled { retry_after }) => {
                let (code, message) = ("429".to_owned(), "throttled".to_owned());
                (Step::Again(retry_after), None, all(Outcome::Rejected { code, message }))
            }
            Ok(DeletionAnswer::KeyRefused { fingerprint }) => {
                let (code, message) = ("401".to_owned(), "not authenticated".to_owned());
                (Step::Renew(fingerprint), None, all(Outcome::Rejected { code, message }))
            }
            Ok(DeletionAnswer::Late { by }) => {
                let why = by.as_str().to_owned();
                (Step::Left, None, all(Outcome::Unanswered { why }))
            }
            Ok(DeletionAnswer::RefusedWhole {
                status,
                code,
                message,
                request_id,
            }) => {
                let code = if code.is_empty() { status.to_string() } else { code };
                let step = self.step_after_refusal(batch, status, &code);
                (step, request_id, all(Outcome::Rejected { code, message }))
            }
            Ok(DeletionAnswer::Unanswered { why, request_id }) => {
                let ids = batch.ids().cloned().collect();
                (Step::Unanswered(ids), request_id, all(Outcome::Unanswered { why }))
            }
            Err(error) => {
                // Not allowed: nothing happened, and the next batch would fare no better.
                self.close_with(skip_of(self.client.project(), None, &error));
                let (code, message) = (error.code(), error.chain());
                (Step::Done, None, all(Outcome::Rejected { code, message }))
            }
        }
    }

    /// What to do after a refusal of the whole request. Whatever it was about, one id may be the cause; if none is, `Delivery::run` notices
    /// and sends nothing more.
    fn step_after_refusal(&self, batch: &Batch, status: u16, code: &str) -> Step {
        if refuses_the_call(status, code) {
            let why = format!("the API refuses this call for the engine ({code})");
            self.refuse(batch.engine(), &why);
            return Step::Done;
        }
        if batch.len() == 1 {
            return Step::Done;
        }
        Step::Split {
            by_engine: is_of_engine(code),
        }
    }

    /// Puts the outcomes on disk, and gives them back.
    pub(super) async fn record(
        &self,
        request: RequestKey,
        api_request_id: Option<String>,
        outcomes: Vec<(BackupId, Outcome)>,
    ) -> Result<Vec<(BackupId, Outcome)>, Error> {
        let entry = LedgerWrite::Answer {
            request,
            at: crate::clock::now(),
            api_request_id,
            outcomes,
        };
        match self.run.writer.enter(entry).await? {
            Written::Answer(outcomes) => Ok(outcomes),
            Written::Intent(..) | Written::Withdrawal => Err(Error::LedgerWriterGone),
        }
    }

    /// One line a request and policy: run id, ids and what the API said of each.
    pub(super) fn log(&self, batch: &Batch, outcomes: &[(BackupId, Outcome)]) {
        let mut by_policy: BTreeMap<&PolicyName, Vec<(BackupId, Outcome)>> = BTreeMap::new();
        for (item, outcome) in batch.items().iter().zip(outcomes) {
            by_policy.entry(&item.policy).or_default().push(outcome.clone());
        }
        for (policy, outcomes) in by_policy {
            telemetry::deletion_line(&self.run.id, policy, self.client.project(), &outcomes);
        }
    }
}
