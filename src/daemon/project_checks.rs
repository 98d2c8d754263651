//! One request to each project, to find out at once, and not at the first run, that its credentials are missing or refused. It decides
//! nothing, records no run, and sends nothing with a key that is blocked.

use std::collections::BTreeSet;
use std::time::Duration;

use tokio::task::{JoinError, JoinSet};
use tokio::time::Instant;

use crate::rds::{Class, Client, Error};
use crate::retention::ProjectName;
use crate::run::Projects;

/// A project that could not be reached, or has no credentials yet, is checked again after this long.
const AGAIN: Duration = Duration::from_secs(300);

/// A project, and why it cannot be read if it cannot.
pub type ProjectChecked = Result<(ProjectName, Result<(), Error>), JoinError>;

/// The checks that are due and under way.
#[derive(Debug, Default)]
pub struct ProjectChecks {
    tasks: JoinSet<(ProjectName, Result<(), Error>)>,
    due: BTreeSet<ProjectName>,
    again: BTreeSet<ProjectName>,
    again_at: Option<Instant>,
}

impl ProjectChecks {
    /// All projects are to be checked.
    pub fn request(&mut self, projects: &Projects) {
        self.due = projects.iter().map(|(name, _)| name.clone()).collect();
        self.again.clear();
        self.again_at = None;
    }

    /// When a project is checked again.
    pub fn again_at(&self) -> Option<Instant> {
        self.again_at
    }

    /// Starts what is due, unless the last checks are still under way.
    pub fn start(&mut self, projects: &Projects, now: Instant) {
        if self.again_at.is_some_and(|at| at <= now) {
            self.again_at = None;
            self.due.append(&mut self.again);
        }
        if !self.tasks.is_empty() {
            return;
        }
        for project in std::mem::take(&mut self.due) {
            let Some(client) = projects.get(&project).cloned() else {
                continue;
            };
            self.tasks.spawn(async move {
                let found = check(&client).await;
                (project, found)
            });
        }
    }

    /// Waits for the next check to end; `None` while none is under way.
    pub async fn finished(&mut self) -> Option<ProjectChecked> {
        self.tasks.join_next().await
    }

    /// Has a project checked again later, where only time or a person elsewhere can help. A refused key is not tried again.
    pub fn note(&mut self, project: &ProjectName, error: &Error, now: Instant) {
        if error.class() == Class::Unreachable || matches!(error, Error::Credentials { .. }) {
            self.again.insert(project.clone());
            self.again_at.get_or_insert(now + AGAIN);
        }
    }
}

async fn check(client: &Client) -> Result<(), Error> {
    // Credentials are read again, and the request goes alone.
    client.begin_run();
    client.may_list_instances().await
}
