//! `check`: is the configuration right, and (`--online`) may it do its work?

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::io::Write as _;
use std::sync::Arc;

use tokio::task::JoinSet;

use super::args::{Check, Global};
use super::out::Out;
use super::sentences::clean;
use super::{CommandResult, Failure, exit, finish, session};
use crate::config::{Config, PolicyEntry};
use crate::rds::{self, Client, Listed};
use crate::retention::policy::Knowledge;
use crate::retention::{Engine, Instance};
use crate::run::Projects;

pub(super) fn check(args: &Check, global: &Global) -> CommandResult {
    let config = session::configuration(global)?;
    session::log(global)?;
    let mut text = describe(&config);
    for warning in &config.warnings {
        let _ = write!(text, "\nwarning: {warning}\n");
    }
    let mut code = if args.strict && !config.warnings.is_empty() {
        exit::CONFIGURATION
    } else {
        exit::DONE
    };
    if args.online {
        let (found, worst) = session::runtime()?.block_on(online(&config))?;
        text.push('\n');
        text.push_str(&found);
        code = exit::combine([code, worst]);
    }
    let mut out = Out::table(global.color);
    let written = out.write_all(text.as_bytes());
    finish(out, written, code)
}

fn describe(config: &Config) -> String {
    let mut text = format!(
        "{}: good: {}, {} (sha256 {})\n",
        config.path.display(),
        counted(config.policies.len(), "policy", "policies"),
        counted(config.projects.len(), "project", "projects"),
        &config.sha256.get(..12).unwrap_or(&config.sha256),
    );
    let now = crate::clock::now();
    for entry in &config.policies {
        let policy = &entry.policy;
        let next = entry.schedule.as_ref().map_or_else(
            || "no schedule: runs by `apply` only".to_owned(),
            |schedule| {
                let at = schedule
                    .next_after(now, policy.zone)
                    .map(|at| at.with_timezone(&policy.zone).to_rfc3339());
                format!("next {}", at.unwrap_or_else(|| "never".to_owned()))
            },
        );
        let rules: Vec<&str> = policy.keep.rules().iter().map(|rule| rule.key()).collect();
        let _ = writeln!(
            text,
            "  {}: {}, keeps by {}, grace {}, {next} ({})",
            policy.name,
            policy.mode.as_str(),
            rules.join(" "),
            policy.grace,
            policy.zone
        );
    }
    let excluding = config
        .policies
        .iter()
        .filter(|entry| !entry.policy.select.exclude_backup_names.is_empty());
    for entry in excluding.filter(|_| config.policies.len() > 1) {
        let _ = writeln!(
            text,
            "  note: backups.exclude_names of {} only takes them out of its own scope; no other policy is kept from them",
            entry.policy.name
        );
    }
    text
}

fn counted(number: usize, one: &str, many: &str) -> String {
    format!("{number} {}", if number == 1 { one } else { many })
}

/// Reaches every project with its credentials: lists instances, reads one instance's backups, and says who covers what.
async fn online(config: &Arc<Config>) -> Result<(String, u8), Failure> {
    let now = crate::clock::now();
    let ledger = session::ledger_to_read(config, now)?.map(Arc::new);
    let keys = session::key_guard(ledger.as_ref(), config, now)?;
    let projects = Projects::connect(config, &keys, &session::no_observer())?;
    let mut asking = JoinSet::new();
    for (_, client) in projects.iter() {
        let client = client.clone();
        asking.spawn(async move {
            let answer = reach(&client).await;
            (client, answer)
        });
    }
    let mut answers = Vec::new();
    while let Some(joined) = asking.join_next().await {
        answers.push(joined.map_err(|error| Failure::of(exit::UNDONE, &error))?);
    }
    answers.sort_by(|(a, _), (b, _)| a.project().cmp(b.project()));
    let mut text = String::new();
    let mut codes = Vec::new();
    for (client, answer) in answers {
        match answer {
            Ok(instances) => describe_project(config, &client, &instances, &mut text),
            Err(error) => {
                let failure = Failure::from(error);
                let _ = writeln!(
                    text,
                    "project {}: FAILED: {}",
                    client.project(),
                    clean(&failure.message)
                );
                codes.push(failure.code);
            }
        }
    }
    Ok((text, exit::combine(codes)))
}

/// The instances, after proving that the backups of one of them may be listed. Whether deletion is allowed cannot be
/// asked without deleting.
async fn reach(client: &Client) -> Result<Vec<Instance>, rds::Error> {
    client.project_id().await?;
    let mut entries = client.list_instances().await?;
    entries.retain(|entry| entry.engine == Engine::SqlServer && !entry.is_replica);
    let instances: Vec<Instance> = entries.into_iter().map(|entry| entry.instance).collect();
    if let Some(first) = instances.first() {
        client.list_backups(&first.id, Listed::Manual).await?;
    }
    Ok(instances)
}

fn describe_project(config: &Config, client: &Client, instances: &[Instance], text: &mut String) {
    let mut unmanaged = Vec::new();
    let mut overlaps: BTreeMap<Vec<&str>, usize> = BTreeMap::new();
    for instance in instances {
        let claims = |entry: &&PolicyEntry| entry.policy.select.claims(instance, Knowledge::Full);
        let claiming = config.policies.iter().filter(claims);
        let claiming: Vec<&str> = claiming.map(|entry| entry.policy.name.as_str()).collect();
        match claiming.len() {
            0 => unmanaged.push(format!("{} ({})", clean(&instance.name), clean(instance.id.as_str()))),
            1 => {}
            _ => *overlaps.entry(claiming).or_default() += 1,
        }
    }
    let _ = writeln!(
        text,
        "project {}: reached; may list instances{}; {} with SQL Server, {} of them covered by several policies, {} by none\n  \
         whether it may delete (rds:backup:delete) shows only when it does",
        client.project(),
        if instances.is_empty() { "" } else { " and backups" },
        counted(instances.len(), "instance", "instances"),
        overlaps.values().sum::<usize>(),
        unmanaged.len(),
    );
    let check = client.clock();
    if !check.is_good() {
        let refusal = crate::retention::Refusal::Clock {
            project: client.project().clone(),
            check,
        };
        let _ = writeln!(text, "  warning: {refusal}");
    }
    for (policies, number) in overlaps {
        let _ = writeln!(
            text,
            "  {} overlap on {}: a backup goes only if every one of them lets it go",
            policies.join(" and "),
            counted(number, "instance", "instances"),
        );
    }
    for name in unmanaged {
        let _ = writeln!(text, "  no policy covers {name}");
    }
}
