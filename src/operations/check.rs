//! `check`: is the configuration right, and may it do its work?
//!
//! A warning is a warning wherever it comes from: from the file, or from what the projects hold.

use std::collections::BTreeMap;
use std::sync::Arc;

use chrono::{DateTime, Utc};
use serde::{Serialize, Serializer};
use tokio::task::JoinSet;

use super::context::{self, no_observer};
use super::error::Error;
use crate::config::zones::ZoneSource;
use crate::config::{Config, PolicyEntry, Problem, StateAt};
use crate::ledger::{Person, ServerRisk, StatePlace};
use crate::notify::{TestedTarget, test_targets};
use crate::rds::{self, Client};
use crate::retention::policy::{Knowledge, selected_engines};
use crate::retention::report::Overlap;
use crate::retention::view::stamp_or_null;
use crate::retention::{Engine, Instance, Mode, People, PolicyName, Refusal, Zone};
use crate::run::{self, Projects};
use crate::wording::error_chain;

/// What there is to say about a configuration.
#[derive(Debug, Serialize)]
pub struct Checked {
    /// Its file.
    pub config: String,
    /// Whether it can be used.
    pub good: bool,
    /// The SHA-256 of its files.
    pub sha256: Option<String>,
    /// Why it cannot be used.
    pub problems: Vec<Problem>,
    /// Whose time zone rules are followed.
    pub zones: Option<ZoneSource>,
    /// What is valid but probably a mistake.
    pub warnings: Vec<Problem>,
    /// The policies.
    pub policies: Vec<PolicyOverview>,
    /// Holds and name patterns that cover nothing in the last listings of the state.
    pub notices: Vec<String>,
    /// How many projects the configuration has.
    #[serde(skip)]
    pub configured_projects: usize,
    /// What each project holds, where they were asked.
    pub projects: Vec<ReachedProject>,
    /// How the test messages went, where they were asked for.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub notify: Option<Vec<TestedTarget>>,
}

/// A policy on one line.
#[derive(Debug, Serialize)]
pub struct PolicyOverview {
    /// Its name.
    pub policy: PolicyName,
    /// Whether it acts.
    pub mode: Mode,
    /// The zone it decides in.
    #[serde(serialize_with = "zone_name")]
    pub timezone: Zone,
    /// Its keep rules by name.
    pub rules: Vec<&'static str>,
    /// Its grace, as the configuration writes it.
    pub grace: String,
    /// Whether the daemon runs it.
    #[serde(skip)]
    pub has_schedule: bool,
    /// When it runs next.
    #[serde(serialize_with = "stamp_or_null")]
    pub next_run: Option<DateTime<Utc>>,
    /// Whether it leaves backups out by name, which protects them from no other policy.
    pub excludes_backups: bool,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "as serde calls it")]
fn zone_name<S: Serializer>(zone: &Zone, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(zone.name())
}

/// One project, as its API shows it.
#[derive(Debug)]
pub struct ReachedProject {
    /// Its name.
    pub project: String,
    /// What is there, or why it could not be reached.
    pub found: Result<ProjectFindings, rds::Error>,
}

/// What a project holds.
#[derive(Debug, Default)]
pub struct ProjectFindings {
    /// How many instances of the engines that policies select.
    pub instances: usize,
    /// Why nothing would be sent to it: its clock and this host's differ.
    pub clock: Option<String>,
    /// Instances that no policy selects.
    pub unmanaged: Vec<Instance>,
    /// Policies that select the same instances.
    pub overlaps: Vec<Overlap>,
}

impl ReachedProject {
    fn warnings(&self) -> usize {
        self.found.as_ref().map_or(0, |found| {
            usize::from(found.clock.is_some()) + found.unmanaged.len() + found.overlaps.len()
        })
    }
}

impl Serialize for ReachedProject {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        #[derive(Serialize)]
        struct View<'a> {
            project: &'a str,
            reached: bool,
            error: Option<String>,
            instances: Option<usize>,
            clock: Option<&'a str>,
            unmanaged: Vec<InstanceView<'a>>,
            overlaps: &'a [Overlap],
        }
        #[derive(Serialize)]
        struct InstanceView<'a> {
            instance_id: &'a str,
            instance_name: &'a str,
        }
        let found = self.found.as_ref().ok();
        let unmanaged = found.iter().flat_map(|found| &found.unmanaged);
        let unmanaged = unmanaged.map(|instance| InstanceView {
            instance_id: instance.id.as_str(),
            instance_name: &instance.name,
        });
        let view = View {
            project: &self.project,
            reached: found.is_some(),
            error: self.found.as_ref().err().map(rds::Error::chain),
            instances: found.map(|found| found.instances),
            clock: found.and_then(|found| found.clock.as_deref()),
            unmanaged: unmanaged.collect(),
            overlaps: found.map_or(&[], |found| &found.overlaps),
        };
        view.serialize(serializer)
    }
}

impl Checked {
    /// A configuration that cannot be used.
    pub fn bad(config: String, problems: Vec<Problem>) -> Self {
        Self {
            config,
            good: false,
            sha256: None,
            problems,
            zones: None,
            warnings: Vec::new(),
            policies: Vec::new(),
            notices: Vec::new(),
            configured_projects: 0,
            projects: Vec::new(),
            notify: None,
        }
    }

    /// How many warnings there are, of the file and of what the projects hold.
    pub fn warnings(&self) -> usize {
        self.warnings.len() + self.projects.iter().map(ReachedProject::warnings).sum::<usize>()
    }
}

/// Where two people are needed and cannot be distinguished.
fn one_for_two(config: &Config) -> Option<Problem> {
    let takes_two = |entry: &PolicyEntry| entry.policy.limits.approvals == People::Two;
    if config.protect == People::One && !config.policies.iter().any(takes_two) {
        return None;
    }
    let (what, help) = match &config.state {
        StateAt::Postgres(_) => (
            "`approvals: 2` or `protect: two`: all who use this configuration have one role in the database, and count as one person",
            "give each person a configuration of their own, with their role in `state:`",
        ),
        StateAt::Directory(_) if Person::of_this_process().login_uid.is_none() => (
            "`approvals: 2` or `protect: two`: there is no login here (a container, cron), so whoever may become another user counts as two people",
            "let people log in on the host, with pam_loginuid",
        ),
        StateAt::Directory(_) => return None,
    };
    Some(Problem::with_file(&config.path, what, Some(help)))
}

/// Looks at a configuration that could be loaded, and at what its state knows.
pub fn check(config: &Config, projects: Vec<ReachedProject>, now: DateTime<Utc>) -> Checked {
    let mut unread = None;
    let ended = run::ended(config, false, now).unwrap_or_else(|error| {
        let why = error_chain(&error);
        unread = Some(format!(
            "whether holds of the configuration were over before is not known: {why}"
        ));
        run::Ended::default()
    });
    let file = config.path.to_string_lossy().into_owned();
    if !ended.errors.is_empty() {
        return Checked::bad(file, ended.errors);
    }
    let warnings = config.warnings.iter().cloned().chain(ended.warnings);
    let warnings = warnings.chain(one_for_two(config));
    let overview = |entry: &PolicyEntry| PolicyOverview {
        policy: entry.policy.name.clone(),
        mode: entry.policy.mode,
        timezone: entry.policy.zone,
        rules: entry.policy.keep.rules().iter().map(|rule| rule.key()).collect(),
        grace: entry.policy.grace.to_string(),
        has_schedule: entry.schedule.is_some(),
        next_run: next_run(entry, now),
        excludes_backups: !entry.policy.select.exclude_backup_names.is_empty(),
    };
    Checked {
        config: file,
        good: true,
        sha256: Some(config.sha256.clone()),
        problems: Vec::new(),
        zones: Some(config.zones.clone()),
        warnings: warnings.chain(config.outdated_zones(now)).collect(),
        policies: config.policies.iter().map(overview).collect(),
        notices: notices(config, now).into_iter().chain(unread).collect(),
        configured_projects: config.projects.len(),
        projects,
        notify: None,
    }
}

/// What covers nothing in the last listings of the state, as far as there is one to read: never an error.
fn notices(config: &Config, now: DateTime<Utc>) -> Vec<String> {
    let read = context::ledger_to_read(config, now).and_then(|ledger| match ledger {
        Some(ledger) => run::notices(config, &ledger, now).map(run::Notices::into_all),
        None => Ok(Vec::new()),
    });
    read.unwrap_or_else(|error| {
        vec![format!(
            "whether each hold covers something is not known: {}",
            error_chain(&error)
        )]
    })
}

fn next_run(entry: &PolicyEntry, now: DateTime<Utc>) -> Option<DateTime<Utc>> {
    entry.schedule.as_ref()?.next_after(now, entry.policy.zone)
}

/// Reaches every project with its credentials: lists instances, reads one instance's backups, and finds who covers what.
pub async fn reach_projects(config: &Arc<Config>) -> Result<Vec<ReachedProject>, Error> {
    let now = crate::clock::now();
    let ledger = context::ledger_to_read(config, now)?.map(Arc::new);
    let keys = context::key_lockout(ledger.as_ref(), config, now)?;
    let projects = Projects::connect(config, &keys, &no_observer())?;
    let mut engines = selected_engines(config.policies.iter().map(|entry| &*entry.policy));
    if engines.is_empty() {
        engines.push(Engine::SqlServer);
    }
    let mut asking = JoinSet::new();
    for (_, client) in projects.iter() {
        let (client, engines) = (client.clone(), engines.clone());
        asking.spawn(async move {
            let answer = reach(&client, &engines).await;
            (client, answer)
        });
    }
    let mut reached = Vec::new();
    while let Some(joined) = asking.join_next().await {
        let (client, answer) = joined.map_err(run::Error::Panicked)?;
        reached.push(ReachedProject {
            project: client.project().to_string(),
            found: answer.map(|instances| findings(config, &client, instances)),
        });
    }
    reached.sort_by(|a, b| a.project.cmp(&b.project));
    Ok(reached)
}

/// What of the state's database is a risk; nothing of a directory is.
pub fn database_risks(config: &Config) -> Result<Vec<Problem>, Error> {
    let StatePlace::Postgres(address) = run::state_of(config) else {
        return Ok(Vec::new());
    };
    let problem = |risk: ServerRisk| {
        Problem::with_file(
            &config.path,
            format!("state in PostgreSQL: {}", risk.message),
            Some(risk.hint),
        )
    };
    Ok(address.risks()?.into_iter().map(problem).collect())
}

/// Sends a test message to each target of `notify`.
pub async fn test_notifications(config: &Config) -> Vec<TestedTarget> {
    test_targets(&config.notify).await
}

/// The instances, after proving that the backups of one of them may be listed. Whether deletion is allowed cannot be
/// asked without deleting.
async fn reach(client: &Client, engines: &[Engine]) -> Result<Vec<Instance>, rds::Error> {
    client.project_id().await?;
    let mut entries = client.list_instances(engines).await?;
    // A filter that is ignored lets others through.
    entries.retain(|entry| !entry.instance.engine.is_known() || engines.contains(&entry.instance.engine));
    entries.retain(|entry| !entry.is_replica);
    let instances: Vec<Instance> = entries.into_iter().map(|entry| entry.instance).collect();
    if let Some(first) = instances.first() {
        client.may_list_backups(&first.id).await?;
    }
    Ok(instances)
}

/// Which policies cover what is there.
fn findings(config: &Config, client: &Client, instances: Vec<Instance>) -> ProjectFindings {
    let check = client.clock();
    let clock = (!check.is_good()).then(|| {
        let project = client.project().clone();
        Refusal::Clock { project, check }.to_string()
    });
    let mut found = ProjectFindings {
        instances: instances.len(),
        clock,
        ..ProjectFindings::default()
    };
    let mut overlaps: BTreeMap<Vec<PolicyName>, u64> = BTreeMap::new();
    for instance in instances {
        let claims = |entry: &&PolicyEntry| entry.policy.select.claims(&instance, Knowledge::Full);
        let claiming = config.policies.iter().filter(claims);
        let claiming: Vec<PolicyName> = claiming.map(|entry| entry.policy.name.clone()).collect();
        match claiming.len() {
            0 => found.unmanaged.push(instance),
            1 => {}
            _ => *overlaps.entry(claiming).or_default() += 1,
        }
    }
    let overlap = |(policies, instances)| Overlap { policies, instances };
    found.overlaps = overlaps.into_iter().map(overlap).collect();
    found
}
