//! A new version of the configuration, loaded beside the one in force and judged before anything changes.
//!
//! Not for noticing that there is one (`watch`) nor for taking it into force (`planner`).

use std::sync::Arc;

use super::difference::{self, Keeps};
use crate::config::{self, Config, Surroundings};

/// What the files say now.
#[derive(Debug)]
pub enum Found {
    /// What is in force already.
    Unchanged,
    /// Something new that can be taken into force.
    New(Arc<Config>),
    /// Something that cannot, and why: one line for each problem.
    Bad(Vec<String>),
}

/// Reads the files again. Blocks.
pub fn look(current: &Config, surroundings: &Surroundings) -> Found {
    match config::load(&current.path, surroundings) {
        Err(problems) => Found::Bad(problems.iter().map(config::Problem::one_line).collect()),
        Ok(new) => judge(current, new),
    }
}

/// What cannot change while running is refused by name: a listener that moved would leave every scrape behind, and a
/// state that moved would forget every hold.
fn judge(current: &Config, new: Config) -> Found {
    let mut refused = Vec::new();
    let mut refuse = |key: &str, old: String, new: String| {
        refused.push(format!(
            "{}: {key}: cannot change from {old} to {new} while running; nothing of the new configuration is in force: \
             restart, or put it back",
            current.path.display()
        ));
    };
    if current.listen != new.listen {
        let name = |config: &Config| config.listen.map_or("none".to_owned(), |address| address.to_string());
        refuse("listen", name(current), name(&new));
    }
    if current.state_dir != new.state_dir {
        let name = |config: &Config| config.state_dir.display().to_string();
        refuse("state_dir", name(current), name(&new));
    }
    if new.projects.is_empty() {
        refused.push(format!(
            "{}: projects: there is none left, so there is nothing to ask",
            current.path.display()
        ));
    }
    if !refused.is_empty() {
        Found::Bad(refused)
    } else if current.sha256 == new.sha256 {
        Found::Unchanged
    } else {
        Found::New(Arc::new(new))
    }
}

/// Logs what a new configuration changes.
pub fn log_difference(old: &Config, new: &Config) {
    for change in difference::policies(old, new) {
        let (policy, keys) = (change.policy.as_str(), change.keys.join(", "));
        let (what, keeps, words) = (change.what, change.keeps.key(), change.keeps);
        if matches!(change.keeps, Keeps::Less | Keeps::Both) {
            tracing::warn!(policy, keys, keeps, "policy {what}: {words}");
        } else {
            tracing::info!(policy, keys, keeps, "policy {what}: {words}");
        }
    }
    let others = difference::others(old, new);
    if !others.is_empty() {
        tracing::info!(keys = others.join(", "), "changed beside the policies");
    }
    log_warnings(new);
}

/// Logs what is legal but hardly meant.
pub fn log_warnings(config: &Config) {
    for warning in &config.warnings {
        tracing::warn!("{}", warning.one_line());
    }
}
