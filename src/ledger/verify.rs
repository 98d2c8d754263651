//! What the chain says the tables beside it should hold, so that `audit verify` also finds a change made there.
//!
//! Tables that grow with the deletions are compared by sums that no order changes: each row adds its hash when it begins
//! and takes it away when it ends. So verifying needs no memory for a year of deletions. What no row of the chain is
//! about (blocked keys, refused plans) is not compared: see `schema`.

use std::collections::{BTreeMap, HashMap};
use std::ops::ControlFlow;

use chrono::{DateTime, Utc};

use super::approvals::ApproveBody;
use super::chain::{Kind, Row, read_time};
use super::chain::{NOT_SEALED, OPERATOR_ROWS};
use super::grace_chain::GraceReplay;
use super::listing_doubts::ApproveListingBody;
use super::observed_chain::ObservedReplay;
use super::operator_records::{FreezeBody, HoldBody, ReleaseBody, ThawBody, freeze_id};
use super::records::{IntentBody, OutcomeBody, RunBegunBody, RunFinishedBody, SettledBody, WithdrawnBody, state_of};
use super::sql::Tx;
use super::table_sum::TableSum;
use super::{DeletionState, Error, ListingPart, PlacedFreeze, PlacedHold, chain};
use crate::retention::{BackupId, PolicyName};

#[derive(Default)]
pub(super) struct Replay {
    created_at: String,
    runs: TableSum,
    finished: TableSum,
    run_policies: TableSum,
    results: TableSum,
    requests: TableSum,
    answered: TableSum,
    /// What the chain says of the states of deletions, and what the table of requests does.
    states: TableSum,
    there: TableSum,
    /// The row of each request with its outcomes, or its withdrawal.
    answers: HashMap<i64, i64>,
    /// Those that came back, with the row that said so.
    returned: HashMap<(BackupId, i64), i64>,
    /// By number.
    holds: BTreeMap<i64, PlacedHold>,
    freezes: BTreeMap<i64, PlacedFreeze>,
    /// In force at the last approval: until when, in microseconds.
    approvals: BTreeMap<(PolicyName, BackupId), i64>,
    /// What is left of grace periods.
    grace: GraceReplay,
    observed: ObservedReplay,
    /// What each part of a listing said that was accepted last.
    accepted: BTreeMap<(String, ListingPart), String>,
}

impl Replay {
    /// Fails unless holds, freeze, approvals and grace periods are what the chain says: a run deletes by these tables. Reads the rows
    /// about them alone, which are few and never packed; that none is gone is for `audit verify` to find.
    pub(super) fn check_operator_rows(tx: &Tx<'_>) -> Result<(), Error> {
        let mut replay = Self::default();
        tx.each(OPERATOR_ROWS, (), |row| {
            let row = Row::read(row)?;
            if !row.is_sealed() {
                return Err(Error::corrupt(format!("row {}: {NOT_SEALED}", row.seq)));
            }
            replay.take(tx, row.seq, &row.at, &row.kind, &row.body)?;
            Ok(ControlFlow::Continue(()))
        })?;
        match replay.operator_difference(tx)? {
            Some(what) => Err(Error::corrupt(what)),
            None => super::grace_chain::check(tx),
        }
    }

    /// Takes in a row of the chain; for an intent also what the tables say of its ids.
    pub(super) fn take(&mut self, tx: &Tx<'_>, seq: i64, at: &str, kind: &str, body: &str) -> Result<(), Error> {
        let Some(kind) = Kind::parse(kind) else {
            return Err(Error::corrupt(format!("unknown kind {kind:?}")));
        };
        let when = read_time(at)?;
        match kind {
            Kind::Created => at.clone_into(&mut self.created_at),
            Kind::RunBegun => self.run_begun(seq, when, &serde_json::from_str(body)?),
            Kind::RunFinished => self.run_finished(seq, when, &serde_json::from_str(body)?),
            Kind::Intent => self.intended(tx, seq, when, serde_json::from_str(body)?)?,
            Kind::Outcome => self.answered(seq, &serde_json::from_str(body)?),
            Kind::Withdrawn => self.withdrawn(seq, serde_json::from_str(body)?),
            Kind::Confirmed => self.settled(seq, DeletionState::Confirmed, serde_json::from_str(body)?),
            Kind::Returned => self.settled(seq, DeletionState::Returned, serde_json::from_str(body)?),
            Kind::Hold => self.held(when, serde_json::from_str(body)?),
            Kind::Release => self.released(seq, when, &serde_json::from_str(body)?)?,
            Kind::Freeze => self.frozen(when, serde_json::from_str(body)?),
            Kind::Thaw => match serde_json::from_str::<ThawBody>(body)?.number {
                Some(number) => drop(self.freezes.remove(&number)),
                None => self.freezes.clear(),
            },
            // What it leads to is a row of its own.
            Kind::Propose | Kind::AcceptRewind | Kind::Move | Kind::Configuration | Kind::Decided => {}
            Kind::Grace => self.grace.take(serde_json::from_str(body)?),
            Kind::Observed => self.observed.take(serde_json::from_str(body)?),
            Kind::Approve => {
                let body: ApproveBody = serde_json::from_str(body)?;
                self.approvals.retain(|_, until| *until > when.timestamp_micros());
                let until = body.until.timestamp_micros();
                let approved = body.backups.into_iter().map(|backup| (body.policy.clone(), backup));
                self.approvals.extend(approved.map(|of| (of, until)));
            }
            Kind::ApproveListing => {
                let body: ApproveListingBody = serde_json::from_str(body)?;
                let of_target = |part| (body.target.clone(), part);
                let accepts = body.accepts.into_iter();
                self.accepted
                    .extend(accepts.map(|doubt| (of_target(doubt.part), doubt.says)));
            }
        }
        Ok(())
    }

    fn held(&mut self, when: DateTime<Utc>, body: HoldBody) {
        let placed = PlacedHold {
            hold: body.hold,
            placed_at: when,
            released_at: None,
            compliance: body.compliance,
        };
        self.holds.insert(body.number, placed);
    }

    fn frozen(&mut self, when: DateTime<Utc>, body: FreezeBody) {
        if body.number.is_none() {
            self.freezes.clear();
        }
        let number = body.number.unwrap_or(1);
        let placed = PlacedFreeze {
            id: freeze_id(number),
            freeze: body.freeze,
            placed_at: when,
        };
        self.freezes.insert(number, placed);
    }

    fn released(&mut self, seq: i64, when: DateTime<Utc>, body: &ReleaseBody) -> Result<(), Error> {
        let Some(placed) = self.holds.get_mut(&body.number) else {
            return Ok(());
        };
        if placed.compliance && placed.hold.is_active(when) {
            return Err(Error::corrupt(format!(
                "row {seq} releases a compliance hold, which this program never does"
            )));
        }
        placed.released_at = Some(when);
        Ok(())
    }

    fn run_begun(&mut self, seq: i64, when: DateTime<Utc>, body: &RunBegunBody) {
        let (run, at) = (body.run.as_str(), when.timestamp_micros());
        self.runs
            .add(&[&run, &at, &body.cause.as_str(), &body.config_sha256.as_str(), &seq]);
        for (policy, mode) in &body.policies {
            self.run_policies.add(&[&run, &policy.as_str(), &mode.as_str(), &at]);
        }
    }

    fn run_finished(&mut self, seq: i64, when: DateTime<Utc>, body: &RunFinishedBody) {
        let run = body.run.as_str();
        self.finished.add(&[&run, &when.timestamp_micros(), &seq]);
        for policy in &body.policies {
            self.results
                .add(&[&run, &policy.policy.as_str(), &policy.result.as_str()]);
        }
    }

    fn intended(&mut self, tx: &Tx<'_>, seq: i64, when: DateTime<Utc>, body: IntentBody) -> Result<(), Error> {
        let (run, project) = (body.run.as_str(), body.project.as_str());
        let attempt = i64::from(body.attempt);
        self.requests
            .add(&[&seq, &run, &attempt, &project, &when.timestamp_micros()]);
        // A request's row names its ids by their order in the intent, so both are looked at here.
        let there = super::request_state::states_of(tx, seq)?.unwrap_or_default();
        for (item, (state, changed)) in body.items.iter().zip(&there) {
            self.there.add(&[&seq, &item.backup.as_str(), &state.as_str(), changed]);
        }
        if there.len() > body.items.len() {
            return Err(Error::corrupt(format!(
                "request {seq} has states of {} ids",
                there.len()
            )));
        }
        for item in body.items {
            self.states
                .add(&[&seq, &item.backup.as_str(), &DeletionState::Intended.as_str(), &seq]);
            for (request, was) in item.resends {
                self.change(&item.backup, request, was, DeletionState::Resent, seq);
            }
        }
        Ok(())
    }

    fn answered(&mut self, seq: i64, body: &OutcomeBody) {
        for item in &body.outcomes {
            let now = state_of(&item.outcome);
            self.change(&item.backup, body.request, DeletionState::Intended, now, seq);
        }
        self.answered.add(&[&body.request, &seq]);
        self.answers.insert(body.request, seq);
    }

    fn withdrawn(&mut self, seq: i64, body: WithdrawnBody) {
        for backup in &body.backups {
            self.change(
                backup,
                body.request,
                DeletionState::Intended,
                DeletionState::Withdrawn,
                seq,
            );
        }
        // The earlier requests that it stood in for are as they were before its intent.
        for (backup, request, was) in body.restored {
            self.states.take_away(&[
                &request,
                &backup.as_str(),
                &DeletionState::Resent.as_str(),
                &body.request,
            ]);
            let changed = self.answers.get(&request).copied().unwrap_or(request);
            self.states.add(&[&request, &backup.as_str(), &was.as_str(), &changed]);
        }
        self.answered.add(&[&body.request, &seq]);
        self.answers.insert(body.request, seq);
    }

    fn settled(&mut self, seq: i64, now: DeletionState, body: SettledBody) {
        for item in body.backups {
            self.change(&item.backup, item.request, item.was, now, seq);
            if now == DeletionState::Returned {
                self.returned.insert((item.backup, item.request), seq);
            }
        }
    }

    /// A requested deletion gets another state by the row `seq`.
    fn change(&mut self, backup: &BackupId, request: i64, was: DeletionState, now: DeletionState, seq: i64) {
        let changed = match was {
            DeletionState::Intended => Some(request),
            DeletionState::Returned => self.returned.remove(&(backup.clone(), request)),
            _ => self.answers.get(&request).copied(),
        };
        // Without the row that gave it the state it had, the sums will differ.
        if let Some(changed) = changed {
            self.states
                .take_away(&[&request, &backup.as_str(), &was.as_str(), &changed]);
        }
        self.states.add(&[&request, &backup.as_str(), &now.as_str(), &seq]);
    }

    /// The sums of the tables that grow, each with what the chain says and the query for what is there.
    fn sums(&self) -> [(&'static str, TableSum, &'static str); 6] {
        [
            (
                "runs",
                self.runs,
                "SELECT id, started_at, cause, config_sha256, begun FROM run",
            ),
            (
                "runs",
                self.finished,
                "SELECT id, finished_at, finished FROM run WHERE finished IS NOT NULL OR finished_at IS NOT NULL",
            ),
            (
                "runs",
                self.run_policies,
                "SELECT run, policy, mode, started_at FROM run_policy",
            ),
            (
                "runs",
                self.results,
                "SELECT run, policy, result FROM run_policy WHERE result IS NOT NULL",
            ),
            (
                "requests",
                self.requests,
                "SELECT seq, run, attempt, project, at FROM request",
            ),
            (
                "requests",
                self.answered,
                "SELECT seq, answer FROM request WHERE answer IS NOT NULL",
            ),
        ]
    }

    /// The first table that does not hold what the chain says.
    pub(super) fn difference(&self, tx: &Tx<'_>) -> Result<Option<String>, Error> {
        for (table, expected, query) in self.sums() {
            if TableSum::of(tx, query)? != expected {
                return Ok(Some(differs(&format!("the table of {table}"))));
            }
        }
        if self.there != self.states {
            return Ok(Some(differs("the table of requests' deletions")));
        }
        if self.grace.differs(tx)? {
            return Ok(Some(differs("the table of grace periods")));
        }
        if let Some(what) = self.observed.difference(tx)? {
            return Ok(Some(differs(what)));
        }
        if chain::created_at(tx)? != self.created_at {
            return Ok(Some(differs("created_at")));
        }
        self.operator_difference(tx)
    }

    /// The same of what people said.
    fn operator_difference(&self, tx: &Tx<'_>) -> Result<Option<String>, Error> {
        let holds: BTreeMap<i64, PlacedHold> = super::holds::all(tx)?.into_iter().collect();
        if holds != self.holds {
            return Ok(Some(differs("the table of holds")));
        }
        let freezes: BTreeMap<i64, PlacedFreeze> = super::holds::all_freezes(tx)?.into_iter().collect();
        if freezes != self.freezes {
            return Ok(Some(differs("the table of freezes")));
        }
        if super::approvals::all(tx)? != self.approvals {
            return Ok(Some(differs("the table of approvals")));
        }
        // They end without a row of the chain, so some may be missing, but none may have been put in.
        let mut accepted = super::listing_doubts::all(tx)?
            .into_iter()
            .filter(|(_, (_, accepted))| *accepted);
        if !accepted.all(|(of, (says, _))| self.accepted.get(&of) == Some(&says)) {
            return Ok(Some(differs("the table of accepted listings")));
        }
        Ok(None)
    }
}

fn differs(what: &str) -> String {
    format!("{what} is not what the chain says")
}
