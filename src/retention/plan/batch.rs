//! Approved deletions cut into requests.

use std::collections::HashMap;
use std::sync::Arc;

use chrono::{DateTime, Utc};

use super::candidate::Candidate;
use crate::retention::{BackupId, Engine, Instance, InstanceId, PolicyName, ProjectName};

/// What is to be deleted in one project, cut into batches of at most [`Batch::LIMIT`] ids, or of one where the engine has no deletion in
/// batches; oldest first.
#[derive(Debug)]
pub struct Batches {
    project: ProjectName,
    /// The youngest first, so that the memory of what was cut off can be given back while its outcomes take as much elsewhere.
    pub(super) left: Vec<PlannedDeletion>,
    /// Those that go alone, also the youngest first.
    alone: Vec<PlannedDeletion>,
}

/// At most this much capacity is left unused.
pub(super) const SPARE: usize = 4_000;

impl Batches {
    /// Of what an approved plan lets pass.
    pub(super) fn new(project: ProjectName, mut left: Vec<PlannedDeletion>) -> Self {
        left.sort_unstable_by(|a, b| b.order().cmp(&a.order()));
        let (left, alone) = left.into_iter().partition(PlannedDeletion::goes_in_a_batch);
        Self { project, left, alone }
    }

    /// The project whose API is asked.
    pub fn project(&self) -> &ProjectName {
        &self.project
    }

    /// How many ids are left.
    pub fn ids(&self) -> usize {
        self.left.len() + self.alone.len()
    }
}

impl Iterator for Batches {
    type Item = Batch;

    fn next(&mut self) -> Option<Batch> {
        let is_alone_older = match (self.left.last(), self.alone.last()) {
            (Some(one), Some(alone)) => alone.order() < one.order(),
            (one, _) => one.is_none(),
        };
        let (left, most) = if is_alone_older {
            (&mut self.alone, 1)
        } else {
            (&mut self.left, Batch::LIMIT)
        };
        let mut items = left.split_off(left.len().saturating_sub(most));
        items.reverse();
        if left.capacity() - left.len() > SPARE {
            left.shrink_to_fit();
        }
        let project = self.project.clone();
        (!items.is_empty()).then_some(Batch { project, items })
    }
}

/// One backup that will be deleted, and the policy that answers for it.
#[derive(Clone, Debug)]
pub struct PlannedDeletion {
    /// The deleting policy: its guard passed it, its labels count it.
    pub policy: PolicyName,
    /// The backup.
    pub candidate: Candidate,
}

impl PlannedDeletion {
    /// Whether one request deletes it with others.
    pub fn goes_in_a_batch(&self) -> bool {
        self.candidate.instance.engine.is_deleted_in_batches()
    }

    /// Oldest first.
    fn order(&self) -> (DateTime<Utc>, &BackupId) {
        (self.candidate.begin, &self.candidate.id)
    }
}

/// Ids for one request: approved, of one project, at most [`Batch::LIMIT`], and one of an engine that has no deletion in batches. Can
/// only shrink.
#[derive(Debug)]
pub struct Batch {
    project: ProjectName,
    items: Vec<PlannedDeletion>,
}

impl Batch {
    /// The most ids that one request takes (API page "Deleting Manual Backups in Batches").
    pub const LIMIT: usize = 50;

    /// The project whose API is asked.
    pub fn project(&self) -> &ProjectName {
        &self.project
    }

    /// What is to be deleted, oldest first.
    pub fn items(&self) -> &[PlannedDeletion] {
        &self.items
    }

    /// The ids, oldest first.
    pub fn ids(&self) -> impl Iterator<Item = &BackupId> {
        self.items.iter().map(|item| &item.candidate.id)
    }

    /// How many ids.
    pub fn len(&self) -> usize {
        self.items.len()
    }

    /// The engine of its backups; `None` of an empty batch, and of several that go alone each.
    pub fn engine(&self) -> Option<&Engine> {
        let mut engines = self.items.iter().map(|item| &item.candidate.instance.engine);
        let engine = engines.next()?;
        engines.all(|other| other == engine).then_some(engine)
    }

    /// Whether nothing is left in it; such a batch is not sent.
    pub fn is_empty(&self) -> bool {
        self.items.is_empty()
    }

    /// All of it, to be handed over and back; an empty batch stays, which is not sent.
    #[must_use]
    pub fn take(&mut self) -> Self {
        Self {
            project: self.project.clone(),
            items: std::mem::take(&mut self.items),
        }
    }

    /// Drops what must not be sent (held meanwhile, no longer COMPLETED).
    pub fn retain(&mut self, keep: impl FnMut(&PlannedDeletion) -> bool) {
        self.items.retain(keep);
    }

    /// Two halves, to find the id that spoils a batch refused as a whole; `Err` gives back a batch of one.
    pub fn split(mut self) -> Result<(Self, Self), Self> {
        if self.items.len() < 2 {
            return Err(self);
        }
        let second = self.items.split_off(self.items.len() / 2);
        let project = self.project.clone();
        Ok((self, Self { project, items: second }))
    }

    /// The instances it touches, each once.
    pub fn instances(&self) -> Vec<Arc<Instance>> {
        let mut instances: HashMap<&InstanceId, &Arc<Instance>> = HashMap::new();
        for item in &self.items {
            instances.insert(&item.candidate.instance.id, &item.candidate.instance);
        }
        let mut instances: Vec<_> = instances.into_values().cloned().collect();
        instances.sort_by(|a, b| a.id.cmp(&b.id));
        instances
    }
}
