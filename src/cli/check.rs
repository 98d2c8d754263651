//! `check`: is the configuration right, and (`--online`) may it do its work?
//!
//! What is found is gathered first, then shown, as a table or as JSON. A warning is a warning wherever it comes from: from
//! the file, or from what the projects hold; `--strict` makes all of them errors.

use std::collections::BTreeMap;
use std::io::{self, Write};
use std::sync::Arc;

use anstyle::{AnsiColor, Style};
use serde::Serialize;
use tokio::task::JoinSet;

use super::args::{Check, Format, Global};
use super::failure::{CommandResult, Failure};
use super::output::decision_json::Stamp;
use super::output::json;
use super::output::stdout::{Out, finish};
use super::output::theme::BOLD;
use super::output::theme::Theme;
use super::output::wrap::paragraph;
use super::sentences::clean;
use super::{context, exit};
use crate::config::zones::ZoneSource;
use crate::config::{Config, PolicyEntry, Problem};
use crate::rds::{self, Client};
use crate::retention::policy::Knowledge;
use crate::retention::{Engine, Instance, PolicyName, Zone};
use crate::run::{self, Projects};

pub(super) fn check(args: &Check, global: &Global) -> CommandResult {
    let config = match context::own_configuration(global) {
        Ok(config) => config,
        Err(problems) if args.format == Format::Json => {
            let mut out = Out::raw();
            let problems: Vec<ProblemJson<'_>> = problems.iter().map(ProblemJson::of).collect();
            let written = json::write(&mut out, &CheckJson::bad(global, problems));
            return finish(out, written, exit::CONFIGURATION);
        }
        Err(problems) => return Err(problems.into()),
    };
    context::log(global)?;
    let projects = if args.online {
        context::block_on(1, online(&config))?
    } else {
        Vec::new()
    };
    let ended = run::ended(&config, false, crate::clock::now());
    let (ended, unread) = match ended {
        Ok(ended) => (ended, None),
        Err(error) => (run::Ended::default(), Some(Failure::from(error).message)),
    };
    if !ended.errors.is_empty() {
        let problems: Vec<ProblemJson<'_>> = ended.errors.iter().map(ProblemJson::of).collect();
        if args.format == Format::Json {
            let mut out = Out::raw();
            let written = json::write(&mut out, &CheckJson::bad(global, problems));
            return finish(out, written, exit::CONFIGURATION);
        }
        context::refuse_ended(&config)?;
    }
    let mut config = Config::clone(&config);
    config.warnings.extend(ended.warnings);
    let config = Arc::new(config);
    let mut notices = notices(&config);
    notices
        .extend(unread.map(|why| format!("whether holds of the configuration were over before is not known: {why}")));
    let written_down: Vec<Problem> = config
        .warnings
        .iter()
        .cloned()
        .chain(config.outdated_zones(crate::clock::now()))
        .collect();
    let warnings = written_down.len() + projects.iter().map(Reached::warnings).sum::<usize>();
    let strict = (args.strict && warnings > 0).then_some(exit::CONFIGURATION);
    let failed = projects
        .iter()
        .filter_map(|project| project.found.as_ref().err())
        .map(|failure| failure.code);
    let code = exit::combine(failed.chain(strict));
    let mut out = Out::of(args.format, global.color);
    let written = match args.format {
        Format::Json => json::write(&mut out, &CheckJson::good(&config, &written_down, &projects, &notices)),
        Format::Table => {
            let theme = out.theme(global);
            draw(
                &mut out,
                &theme,
                &config,
                (&written_down, &projects, &notices),
                args.strict,
            )
        }
    };
    finish(out, written, code)
}

/// What covers nothing in the last listings of the state, as far as there is one to read: never an error.
fn notices(config: &Config) -> Vec<String> {
    let now = crate::clock::now();
    let read = context::ledger_to_read(config, now).and_then(|ledger| match ledger {
        Some(ledger) => Ok(run::notices(config, &ledger, now)?),
        None => Ok(Vec::new()),
    });
    read.unwrap_or_else(|failure| {
        vec![format!(
            "whether each hold covers something is not known: {}",
            failure.message
        )]
    })
}

/// One project, as its API shows it.
struct Reached {
    project: String,
    found: Result<Found, Failure>,
}

struct Found {
    instances: usize,
    /// Why nothing would be sent to it: its clock and this host's differ.
    clock: Option<String>,
    unmanaged: Vec<Instance>,
    overlaps: BTreeMap<Vec<PolicyName>, usize>,
}

impl Reached {
    fn warnings(&self) -> usize {
        self.found.as_ref().map_or(0, |found| {
            usize::from(found.clock.is_some()) + found.unmanaged.len() + found.overlaps.len()
        })
    }
}

fn draw(
    out: &mut dyn Write,
    theme: &Theme,
    config: &Config,
    (warnings, projects, notices): (&[Problem], &[Reached], &[String]),
    strict: bool,
) -> io::Result<()> {
    draw_policies(out, theme, config)?;
    for warning in warnings {
        writeln!(out)?;
        draw_warning(out, theme, warning)?;
    }
    for notice in notices {
        paragraph(out, theme, 0, 2, Style::new(), &format!("note: {}", clean(notice)))?;
    }
    for project in projects {
        writeln!(out)?;
        draw_project(out, theme, project)?;
    }
    let warnings = warnings.len() + projects.iter().map(Reached::warnings).sum::<usize>();
    if warnings > 0 {
        let are = if strict { ", which --strict makes errors" } else { "" };
        let text = format!("\n{}{are}.", counted(warnings, "warning", "warnings"));
        writeln!(out, "{}", theme.paint(BOLD, &text))?;
    }
    Ok(())
}

/// As the configuration's problems are shown, but wrapped; the snippet stays as it is, for a pointer stands under it.
fn draw_warning(out: &mut dyn Write, theme: &Theme, warning: &Problem) -> io::Result<()> {
    let style = AnsiColor::Yellow.on_default();
    let text = warning.to_string();
    let mut lines = text.lines();
    let head = lines.next().unwrap_or_default();
    paragraph(out, theme, 0, 2, style, &format!("warning: {head}"))?;
    for line in lines {
        match line.strip_prefix("  help: ") {
            Some(help) => paragraph(out, theme, 2, 6, Style::new(), &format!("help: {help}"))?,
            None => writeln!(out, "{line}")?,
        }
    }
    Ok(())
}

fn draw_policies(out: &mut dyn Write, theme: &Theme, config: &Config) -> io::Result<()> {
    writeln!(
        out,
        "{}: {}: {}, {} (sha256 {})",
        clean(&config.path.to_string_lossy()),
        theme.paint(AnsiColor::Green.on_default(), "good"),
        counted(config.policies.len(), "policy", "policies"),
        counted(config.projects.len(), "project", "projects"),
        &config.sha256.get(..12).unwrap_or(&config.sha256),
    )?;
    for entry in &config.policies {
        let policy = &entry.policy;
        let next = match (&entry.schedule, next_run(entry)) {
            (None, _) => "no schedule: runs by `apply` only".to_owned(),
            (Some(_), None) => "next never".to_owned(),
            (Some(_), Some(at)) => format!("next {}", at.with_timezone(&policy.zone).to_rfc3339()),
        };
        let rules: Vec<&str> = policy.keep.rules().iter().map(|rule| rule.key()).collect();
        let text = format!(
            "{}: {}, keeps by {}, grace {}, {next} ({})",
            policy.name,
            policy.mode.as_str(),
            rules.join(" "),
            policy.grace,
            policy.zone
        );
        paragraph(out, theme, 2, 2, Style::new(), &text)?;
    }
    let text = format!("time zone rules: {}", config.zones);
    paragraph(out, theme, 2, 2, Style::new(), &text)?;
    for policy in excluding(config) {
        let text = format!(
            "note: `backups.exclude_names` of {policy} only takes them out of its own scope; it keeps no other policy from \
             deleting them (a hold does, or `keep.names`)"
        );
        paragraph(out, theme, 2, 2, Style::new(), &text)?;
    }
    Ok(())
}

/// Policies that leave backups out by name, which some take for protection.
fn excluding(config: &Config) -> Vec<&PolicyName> {
    let policies = config.policies.iter().map(|entry| &entry.policy);
    let excluding = policies.filter(|policy| !policy.select.exclude_backup_names.is_empty());
    excluding.map(|policy| &policy.name).collect()
}

fn next_run(entry: &PolicyEntry) -> Option<chrono::DateTime<chrono::Utc>> {
    entry
        .schedule
        .as_ref()?
        .next_after(crate::clock::now(), entry.policy.zone)
}

fn draw_project(out: &mut dyn Write, theme: &Theme, project: &Reached) -> io::Result<()> {
    let name = &project.project;
    let say = |out: &mut dyn Write, indent, style, text: &str| paragraph(out, theme, indent, 2, style, text);
    let found = match &project.found {
        Ok(found) => found,
        Err(failure) => {
            let text = format!("project {name}: FAILED: {}", clean(&failure.message));
            return say(out, 0, AnsiColor::Red.on_default(), &text);
        }
    };
    let text = format!(
        "project {name}: reached; may list instances{}; {} with SQL Server, {} of them covered by several policies, {} by none",
        if found.instances == 0 { "" } else { " and backups" },
        counted(found.instances, "instance", "instances"),
        found.overlaps.values().sum::<usize>(),
        found.unmanaged.len(),
    );
    say(out, 0, Style::new(), &text)?;
    say(
        out,
        2,
        Style::new(),
        "whether it may delete (rds:backup:delete) shows only when it does",
    )?;
    let warning =
        |out: &mut dyn Write, text: &str| say(out, 2, AnsiColor::Yellow.on_default(), &format!("warning: {text}"));
    if let Some(clock) = &found.clock {
        warning(out, clock)?;
    }
    for (policies, number) in &found.overlaps {
        let names: Vec<&str> = policies.iter().map(PolicyName::as_str).collect();
        let instances = counted(*number, "instance", "instances");
        let text = format!(
            "{} overlap on {instances}: a backup goes only if every one of them lets it go",
            names.join(" and ")
        );
        warning(out, &text)?;
    }
    for instance in &found.unmanaged {
        let (name, id) = (clean(&instance.name), clean(instance.id.as_str()));
        warning(out, &format!("no policy covers {name} ({id})"))?;
    }
    Ok(())
}

fn counted(number: usize, one: &str, many: &str) -> String {
    format!("{number} {}", if number == 1 { one } else { many })
}

/// Reaches every project with its credentials: lists instances, reads one instance's backups, and says who covers what.
async fn online(config: &Arc<Config>) -> Result<Vec<Reached>, Failure> {
    let now = crate::clock::now();
    let ledger = context::ledger_to_read(config, now)?.map(Arc::new);
    let keys = context::key_lockout(ledger.as_ref(), config, now)?;
    let projects = Projects::connect(config, &keys, &context::no_observer())?;
    let mut asking = JoinSet::new();
    for (_, client) in projects.iter() {
        let client = client.clone();
        asking.spawn(async move {
            let answer = reach(&client).await;
            (client, answer)
        });
    }
    let mut reached = Vec::new();
    while let Some(joined) = asking.join_next().await {
        let (client, answer) = joined.map_err(|error| Failure::of(exit::UNDONE, &error))?;
        reached.push(Reached {
            project: client.project().to_string(),
            found: match answer {
                Ok(instances) => Ok(judge(config, &client, instances)),
                Err(error) => Err(Failure::from(error)),
            },
        });
    }
    reached.sort_by(|a, b| a.project.cmp(&b.project));
    Ok(reached)
}

/// The instances, after proving that the backups of one of them may be listed. Whether deletion is allowed cannot be
/// asked without deleting.
async fn reach(client: &Client) -> Result<Vec<Instance>, rds::Error> {
    client.project_id().await?;
    let mut entries = client.list_instances().await?;
    entries.retain(|entry| entry.engine == Engine::SqlServer && !entry.is_replica);
    let instances: Vec<Instance> = entries.into_iter().map(|entry| entry.instance).collect();
    if let Some(first) = instances.first() {
        client.may_list_backups(&first.id).await?;
    }
    Ok(instances)
}

/// Which policies cover what is there.
fn judge(config: &Config, client: &Client, instances: Vec<Instance>) -> Found {
    let check = client.clock();
    let clock = (!check.is_good()).then(|| {
        let project = client.project().clone();
        crate::retention::Refusal::Clock { project, check }.to_string()
    });
    let mut found = Found {
        instances: instances.len(),
        clock,
        unmanaged: Vec::new(),
        overlaps: BTreeMap::new(),
    };
    for instance in instances {
        let claims = |entry: &&PolicyEntry| entry.policy.select.claims(&instance, Knowledge::Full);
        let claiming = config.policies.iter().filter(claims);
        let claiming: Vec<PolicyName> = claiming.map(|entry| entry.policy.name.clone()).collect();
        match claiming.len() {
            0 => found.unmanaged.push(instance),
            1 => {}
            _ => *found.overlaps.entry(claiming).or_default() += 1,
        }
    }
    found
}

/// `check --format json`
#[derive(Serialize)]
struct CheckJson<'a> {
    config: String,
    good: bool,
    sha256: Option<&'a str>,
    problems: Vec<ProblemJson<'a>>,
    /// Whose time zone rules are followed.
    zones: Option<ZonesJson<'a>>,
    warnings: Vec<ProblemJson<'a>>,
    policies: Vec<PolicyJson<'a>>,
    /// Holds and name patterns that cover nothing in the last listings of the state.
    notices: &'a [String],
    /// Empty without `--online`.
    projects: Vec<ProjectJson<'a>>,
}

#[derive(Serialize)]
struct ZonesJson<'a> {
    /// `host` or `compiled`.
    source: &'static str,
    /// `null` where the host's zoneinfo does not say.
    edition: Option<&'a str>,
    host_dir: Option<String>,
    host_edition: Option<&'a str>,
    compiled_edition: &'static str,
}

impl<'a> ZonesJson<'a> {
    fn of(zones: &'a ZoneSource) -> Self {
        let host = zones.host.as_ref();
        let (host_edition, compiled) = (host.and_then(|host| host.edition.as_deref()), Zone::compiled_edition());
        let is_compiled = zones.is_compiled();
        Self {
            source: if is_compiled { "compiled" } else { "host" },
            edition: if is_compiled { Some(compiled) } else { host_edition },
            host_dir: host.map(|host| host.dir.to_string_lossy().into_owned()),
            host_edition,
            compiled_edition: compiled,
        }
    }
}

#[derive(Serialize)]
struct ProblemJson<'a> {
    file: String,
    /// From 1; `null` for the file as a whole.
    line: Option<usize>,
    column: Option<usize>,
    path: &'a str,
    message: &'a str,
    help: Option<&'a str>,
}

#[derive(Serialize)]
struct PolicyJson<'a> {
    policy: &'a PolicyName,
    mode: &'static str,
    timezone: &'static str,
    rules: Vec<&'static str>,
    grace: String,
    next_run: Option<Stamp>,
    /// Whether it leaves backups out by name, which protects them from no other policy.
    excludes_backups: bool,
}

#[derive(Serialize)]
struct ProjectJson<'a> {
    project: &'a str,
    reached: bool,
    error: Option<&'a str>,
    instances: Option<usize>,
    clock: Option<&'a str>,
    unmanaged: Vec<InstanceJson<'a>>,
    overlaps: Vec<OverlapJson<'a>>,
}

#[derive(Serialize)]
struct InstanceJson<'a> {
    instance_id: &'a str,
    instance_name: &'a str,
}

#[derive(Serialize)]
struct OverlapJson<'a> {
    policies: &'a [PolicyName],
    instances: usize,
}

impl<'a> CheckJson<'a> {
    fn bad(global: &Global, problems: Vec<ProblemJson<'a>>) -> Self {
        Self {
            config: global.config.to_string_lossy().into_owned(),
            good: false,
            sha256: None,
            problems,
            zones: None,
            warnings: Vec::new(),
            policies: Vec::new(),
            notices: &[],
            projects: Vec::new(),
        }
    }

    fn good(config: &'a Config, warnings: &'a [Problem], projects: &'a [Reached], notices: &'a [String]) -> Self {
        Self {
            config: config.path.to_string_lossy().into_owned(),
            good: true,
            sha256: Some(&config.sha256),
            problems: Vec::new(),
            zones: Some(ZonesJson::of(&config.zones)),
            warnings: warnings.iter().map(ProblemJson::of).collect(),
            policies: config.policies.iter().map(PolicyJson::of).collect(),
            notices,
            projects: projects.iter().map(ProjectJson::of).collect(),
        }
    }
}

impl<'a> ProblemJson<'a> {
    fn of(problem: &'a Problem) -> Self {
        let place = |number: usize| (problem.line > 0).then_some(number);
        Self {
            file: problem.file.to_string_lossy().into_owned(),
            line: place(problem.line),
            column: place(problem.column),
            path: &problem.path,
            message: &problem.message,
            help: problem.hint.as_deref(),
        }
    }
}

impl<'a> PolicyJson<'a> {
    fn of(entry: &'a PolicyEntry) -> Self {
        let policy = &entry.policy;
        Self {
            policy: &policy.name,
            mode: policy.mode.as_str(),
            timezone: policy.zone.name(),
            rules: policy.keep.rules().iter().map(|rule| rule.key()).collect(),
            grace: policy.grace.to_string(),
            next_run: next_run(entry).map(Stamp),
            excludes_backups: !policy.select.exclude_backup_names.is_empty(),
        }
    }
}

impl<'a> ProjectJson<'a> {
    fn of(reached: &'a Reached) -> Self {
        let found = reached.found.as_ref().ok();
        let unmanaged = found.into_iter().flat_map(|found| &found.unmanaged);
        let overlaps = found.into_iter().flat_map(|found| &found.overlaps);
        Self {
            project: &reached.project,
            reached: found.is_some(),
            error: reached.found.as_ref().err().map(|failure| failure.message.as_str()),
            instances: found.map(|found| found.instances),
            clock: found.and_then(|found| found.clock.as_deref()),
            unmanaged: unmanaged
                .map(|instance| InstanceJson {
                    instance_id: instance.id.as_str(),
                    instance_name: &instance.name,
                })
                .collect(),
            overlaps: overlaps
                .map(|(policies, instances)| OverlapJson {
                    policies,
                    instances: *instances,
                })
                .collect(),
        }
    }
}
