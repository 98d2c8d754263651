//! The main loop and its checks of the projects: at start, when the projects change, and on SIGHUP.

use tokio::time::Instant;

use super::super::project_checks::ProjectChecked;
use super::MainLoop;
use crate::status::UnreadProject;

impl MainLoop {
    /// Starts the checks that are due. Not before it is known from the ledger which keys were refused, and not beside a run, which finds out
    /// the same.
    pub(super) fn start_project_checks(&mut self, instant: Instant) {
        if self.ledger_probe.ledger().is_some() && self.run_tasks.is_empty() {
            self.project_checks.start(&self.projects, instant);
        }
    }

    pub(super) fn project_checked(&mut self, checked: ProjectChecked) {
        let (project, found) = match checked {
            Ok(checked) => checked,
            Err(error) => return tracing::error!(%error, "the check of a project panicked"),
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
                    tracing::warn!(project = project.as_str(), "runs will fail until this is fixed: {why}");
                }
                self.project_checks.note(&project, &error, Instant::now());
            }
        }
    }
}
