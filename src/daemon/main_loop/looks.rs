//! The main loop and its looks at the projects: at start, when the projects change, and on SIGHUP.

use tokio::time::Instant;

use super::super::project_looks::Looked;
use super::MainLoop;
use crate::status::UnreadProject;

impl MainLoop {
    /// Starts the looks that are due. Not before the ledger has told which keys were refused, and not beside a run, which finds out
    /// the same.
    pub(super) fn start_looks(&mut self, instant: Instant) {
        if self.ledger_probe.ledger().is_some() && self.run_tasks.is_empty() {
            self.looks.start(&self.projects, instant);
        }
    }

    pub(super) fn project_looked_at(&mut self, looked: Looked) {
        let (project, found) = match looked {
            Ok(looked) => looked,
            Err(error) => return tracing::error!(%error, "a look at a project panicked"),
        };
        let mut state = self.status.state();
        match found {
            Ok(()) => {
                if state.unread_projects.remove(&project).is_some() {
                    tracing::info!(project = project.as_str(), "the project can be read again");
                }
            }
            Err(error) => {
                let why = error.chain();
                let unread = UnreadProject {
                    why: why.clone(),
                    since: crate::clock::now(),
                };
                let before = state.unread_projects.insert(project.clone(), unread);
                if before.is_none_or(|before| before.why != why) {
                    tracing::warn!(project = project.as_str(), "runs will fail until this is mended: {why}");
                }
                self.looks.note(&project, &error, Instant::now());
            }
        }
    }
}
