//! What one policy found and did in a run.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::decisions::{BackupRow, InstanceSummary, Summary, Tally};
use super::outcome::{Fate, RunResult};
use crate::retention::{Candidate, KeepRule, Mode, PolicyName, ProjectName, Refusal, Zone};

/// Why a grace period that had started does not go on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Restart {
    /// A hold has covered the backup since.
    HoldEnded,
    /// No enforcing run of the policy has seen it expired for too long.
    NotSeen,
    /// It is dated ahead of now.
    StartAhead,
}

impl Restart {
    /// The name in JSON and logs.
    pub fn key(&self) -> &'static str {
        match self {
            Self::HoldEnded => "hold_ended",
            Self::NotSeen => "not_seen",
            Self::StartAhead => "start_ahead",
        }
    }
}

/// What one policy found and did.
#[derive(Clone, Debug)]
pub struct PolicyReport {
    /// Its name.
    pub policy: PolicyName,
    /// Whether it acts.
    pub mode: Mode,
    /// The zone it decided in.
    pub zone: Zone,
    /// How it ended.
    pub result: RunResult,
    /// What the guard held back, the gravest first; empty means that it held back nothing.
    pub refusals: Vec<Refusal>,
    /// What `approve --plan` calls the ids that `max_deletions` or `max_percent` held back, where a run was refused them.
    pub digest: Option<String>,
    /// Its decisions in numbers.
    pub summary: Summary,
    /// The same by instance; instances without a backup in its scope are left out.
    pub instances: Vec<InstanceSummary>,
    /// Backups that no policy has in scope, by project, on instances of which this is the first policy.
    pub unselected: BTreeMap<ProjectName, u64>,
    /// Its keep rules, to say of an expired backup what it lacks.
    pub rules: Vec<KeepRule>,
    /// Its decisions, where they were asked for.
    pub rows: Vec<BackupRow>,
    /// What became of what was sent, by project.
    pub sent: BTreeMap<ProjectName, Sent>,
    /// Grace periods that this run restarts, or would, by why.
    pub restarted: BTreeMap<Restart, u64>,
    /// Approved, but not sent in this run (time budget, stop, a project that stopped answering, held meanwhile).
    pub left: u64,
    /// How many of the due the guard let pass.
    pub approved: u64,
    /// Due, and held back by the guard or a freeze.
    pub held_back: Tally,
    /// Of a dry-run policy: what the guard would hold back if the policy were enforced and every grace period were over.
    pub when_enforced: Option<Vec<Refusal>>,
}

/// What the guard said of a policy's plan, as reports call it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum GuardVerdict {
    /// It held nothing back.
    Approved,
    /// It held something back, or all of it.
    Refused,
    /// There was no plan to ask about: nothing of the policy could be read.
    Unknown,
}

impl GuardVerdict {
    /// Of what was refused, by a run that ended so.
    pub fn of(is_refused: bool, has_read: bool) -> Self {
        match (has_read, is_refused) {
            (false, _) => Self::Unknown,
            (true, true) => Self::Refused,
            (true, false) => Self::Approved,
        }
    }

    /// The name in JSON.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Approved => "approved",
            Self::Refused => "refused",
            Self::Unknown => "unknown",
        }
    }
}

impl PolicyReport {
    /// Of a policy that ended so, and found and did nothing.
    pub fn new(policy: PolicyName, mode: Mode, zone: Zone, result: RunResult) -> Self {
        Self {
            policy,
            mode,
            zone,
            result,
            refusals: Vec::new(),
            digest: None,
            summary: Summary::default(),
            instances: Vec::new(),
            unselected: BTreeMap::new(),
            rules: Vec::new(),
            rows: Vec::new(),
            sent: BTreeMap::new(),
            restarted: BTreeMap::new(),
            left: 0,
            approved: 0,
            held_back: Tally::default(),
            when_enforced: None,
        }
    }

    /// What a plan says where a run would not begin: everything is refused, and the decisions are what they would be without that.
    pub fn refuse_all(&mut self, refusal: &Refusal) {
        self.refusals.insert(0, refusal.clone());
        if let Some(refusals) = &mut self.when_enforced {
            refusals.insert(0, refusal.clone());
        }
        self.approved = 0;
        self.digest = None;
        if self.mode == Mode::Enforce {
            self.held_back = self.summary.delete;
        }
    }

    /// A backup that was due and is held since: it is kept, in all numbers.
    pub fn keep_held(&mut self, candidate: &Candidate) {
        let size = candidate.size_bytes;
        self.approved = self.approved.saturating_sub(1);
        let mut instances = self.instances.iter_mut();
        let of = instances.find(|of| of.instance.id == candidate.instance.id);
        let of = of.map(|of| {
            of.oldest_kept = of.oldest_kept.into_iter().chain([candidate.begin]).min();
            &mut of.summary
        });
        for summary in of.into_iter().chain([&mut self.summary]) {
            summary.delete.take(size);
            summary.keep.add(size);
        }
    }

    /// What the guard said of its plan.
    pub fn verdict(&self) -> GuardVerdict {
        GuardVerdict::of(!self.refusals.is_empty(), self.result.has_read())
    }

    /// Whether the guard let nothing of what is due pass.
    pub fn is_wholly_refused(&self) -> bool {
        !self.refusals.is_empty() && self.approved == 0 && self.summary.delete.count > 0
    }

    /// Whether it has read the world, so that its numbers mean something. A run that lost its state has none.
    pub fn has_read(&self) -> bool {
        let lost = |refusal: &Refusal| matches!(refusal, Refusal::Ledger { .. } | Refusal::Members { .. });
        self.result.has_read() && !self.refusals.iter().any(lost)
    }
}

/// What became of the ids a policy sent to one project.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Sent {
    /// By the name of their final outcome in this run.
    pub fates: BTreeMap<String, u64>,
    /// Rejected ones by the API's code.
    pub codes: BTreeMap<String, u64>,
    /// Size of the confirmed ones.
    pub confirmed_bytes: u64,
}

impl Sent {
    /// Of what was due, what is still there: refused, frozen, left, not deleted, or not seen to be gone yet.
    pub fn still_there<'a>(due: Tally, sent: impl IntoIterator<Item = &'a Self>) -> Tally {
        sent.into_iter().fold(due, |there, sent| {
            let confirmed = sent.fates.get(Fate::Confirmed.key()).copied().unwrap_or_default();
            Tally {
                count: there.count.saturating_sub(confirmed),
                bytes: there.bytes.saturating_sub(sent.confirmed_bytes),
            }
        })
    }
}
