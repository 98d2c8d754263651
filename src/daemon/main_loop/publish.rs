//! The main loop's report: metrics, status, and a line for `systemctl status`.

use chrono::{DateTime, Utc};

use super::MainLoop;
use crate::retention::PolicyName;
use crate::status::UnreadProject;

impl MainLoop {
    pub(super) fn publish(&mut self) {
        let mut state = self.status.state();
        state.next.clear();
        state.waiting.clear();
        for (policy, next) in self.scheduler.next_fires() {
            self.metrics.next_run(policy, next);
            state.next.insert(policy.clone(), next);
            if self.scheduler.is_waiting(policy) {
                state.waiting.insert(policy.clone());
            }
        }
        let first = state
            .next
            .iter()
            .filter_map(|(policy, next)| Some((((*next)?), policy)))
            .min();
        let mut status = match (state.running.values().min().copied(), first) {
            (Some(since), _) => {
                let names: Vec<&str> = state.running.keys().map(PolicyName::as_str).collect();
                format!("running {} since {}", names.join(", "), short(since))
            }
            (None, Some((next, policy))) => format!("next run: {policy} at {}", short(next)),
            (None, None) => "no policy has a schedule".to_owned(),
        };
        if let Some(problem) = &state.state_problem {
            status = format!("nothing runs: {problem}");
        } else if let Some(problem) = state.config_problems.first() {
            status = format!("{status}; the new configuration is refused: {problem}");
        } else if let Some(waiting) = &state.config_waiting {
            status = format!("{status}; {waiting}");
        } else if let Some(UnreadProject { why, .. }) = state.unread_projects.values().next() {
            status = format!("{status}; {why}");
        }
        drop(state);
        self.systemd.status(status);
    }
}

fn short(at: DateTime<Utc>) -> String {
    at.format("%Y-%m-%d %H:%M:%S UTC").to_string()
}
