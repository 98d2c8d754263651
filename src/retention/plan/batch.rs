//! Approved deletions cut into requests.

use std::collections::HashMap;
use std::sync::Arc;

use chrono::{DateTime, Utc};

use super::candidate::Candidate;
use crate::retention::{BackupId, Instance, InstanceId, PolicyName, ProjectName};

/// What is to be deleted in one project, cut into batches of at most [`Batch::LIMIT`] ids, oldest first.
#[derive(Debug)]
pub struct Batches {
    project: ProjectName,
    /// The youngest first, so that the memory of what was cut off can be given back while its outcomes take as much elsewhere.
    pub(super) left: Vec<PlannedDeletion>,
}

/// At most this much capacity is left unused.
pub(super) const SPARE: usize = 4_000;

impl Batches {
    /// Of what an approved plan lets pass.
    pub(super) fn new(project: ProjectName, mut left: Vec<PlannedDeletion>) -> Self {
        left.sort_unstable_by(|a, b| b.order().cmp(&a.order()));
        Self { project, left }
    }

    /// The project whose API is asked.
    pub fn project(&self) -> &ProjectName {
        &self.project
    }

    /// How many ids are left.
    pub fn ids(&self) -> usize {
        self.left.len()
    }
}

impl Iterator for Batches {
    type Item = Batch;

    fn next(&mut self) -> Option<Batch> {
        let mut items = self.left.split_off(self.left.len().saturating_sub(Batch::LIMIT));
        items.reverse();
        if self.left.capacity() - self.left.len() > SPARE {
            self.left.shrink_to_fit();
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
    /// Oldest first.
    fn order(&self) -> (DateTime<Utc>, &BackupId) {
        (self.candidate.begin, &self.candidate.id)
    }
}

/// Ids for one request: approved, of one project, at most [`Batch::LIMIT`]. Can only shrink.
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
