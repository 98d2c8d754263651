//! From the sections of the files to values that are not yet known to be good.

use std::collections::HashMap;
use std::net::{Ipv4Addr, SocketAddr};
use std::os::unix::ffi::OsStrExt;
use std::path::{Component, Path, PathBuf};

use super::audit::AnchorAt;
use super::configuration::{Config, Environment, FilePosition, PolicyEntry};
use super::diagnostics::{Problem, Source};
use super::notify::{self, NotifyTarget};
use super::policy::Known;
use super::project::{self, CompiledProjects};
use super::reader::{Cursor, Diagnostics, Fields};
use super::spec::{INCLUDED, Section};
use super::state;
use super::state_at::StateAt;
use super::yaml::{self, Document};
use super::zones::{ZoneSource, Zones};
use super::{audit, holds, lint, policy, price};
use crate::retention::{Freeze, Hold, People};
use crate::wording::money::Price;

/// Where the ledger is unless the configuration says otherwise.
pub(super) const STATE_DIR: &str = "/var/lib/rds-retentiond";
/// Where metrics and status page are unless the configuration says otherwise.
const LISTEN: SocketAddr = SocketAddr::new(std::net::IpAddr::V4(Ipv4Addr::LOCALHOST), 9465);

/// A file and what it holds.
pub(super) struct Parsed {
    pub source: Source,
    pub document: Document,
}

/// Everything that is read, before it is known to be good.
pub(super) struct Draft {
    pub state: StateAt,
    pub listen: Option<SocketAddr>,
    pub projects: CompiledProjects,
    pub policies: Vec<PolicyEntry>,
    pub holds: Vec<(Hold, FilePosition)>,
    pub freeze: Option<(Freeze, FilePosition)>,
    pub notify: Vec<NotifyTarget>,
    pub allowed_hosts: Vec<String>,
    pub price: Option<Price>,
    pub anchor: AnchorAt,
    pub protect: People,
}

impl Draft {
    /// The configuration, but for what is known of its files.
    pub fn into_config(self, path: &Path, zones: ZoneSource) -> Config {
        let (holds, hold_places) = self.holds.into_iter().unzip();
        let (freeze, freeze_place) = self.freeze.unzip();
        Config {
            path: path.to_owned(),
            sha256: String::new(),
            recorded: Vec::new(),
            files: Vec::new(),
            watch_dirs: Vec::new(),
            state: self.state,
            listen: self.listen,
            projects: self.projects.good,
            policies: self.policies,
            protecting: Vec::new(),
            holds,
            hold_places,
            freeze,
            freeze_place,
            notify: self.notify,
            allowed_hosts: self.allowed_hosts,
            price: self.price,
            anchor: self.anchor,
            protect: self.protect,
            zones,
            warnings: Vec::new(),
            foreign: Vec::new(),
        }
    }
}

/// Reads every section; problems are noted, and what is good is there all the same.
pub(super) fn draft<'t>(
    fields: &Fields<'t>,
    base: &Path,
    environment: &Environment,
    others: &'t [Parsed],
    zones: &Zones,
    findings: &'t Diagnostics,
) -> Draft {
    version(fields);
    let projects = if let Some(list) = fields.get("projects") {
        project::compile(list)
    } else {
        fields.own.warn(
            "no projects: nothing can be listed or deleted, only `plan --backups FILE` works",
            "name at least one under `projects`",
        );
        CompiledProjects::default()
    };
    let holds = match fields.get("holds") {
        Some(list) => list
            .items_or_none("a list of holds")
            .unwrap_or_default()
            .iter()
            .filter_map(|item| Some((holds::hold(item)?, place(item))))
            .collect(),
        None => Vec::new(),
    };
    let known = Known {
        projects: projects.names.as_deref(),
        zones,
        may_be_state_alone: environment.may_be_state_alone,
    };
    let state = state::read(fields, base).unwrap_or_else(|| StateAt::Directory(state_dir(fields, base, environment)));
    Draft {
        anchor: audit::read(fields, base, &state),
        protect: match fields.get("protect").and_then(|at| at.choice(&["one", "two"])) {
            Some("two") => People::Two,
            _ => People::One,
        },
        state,
        listen: fields
            .get("listen")
            .map_or(Some(Some(LISTEN)), Cursor::listen)
            .flatten(),
        policies: policies(fields, others, known, findings),
        projects,
        holds,
        freeze: fields
            .get("freeze")
            .and_then(|item| Some((holds::freeze(item)?, place(item)))),
        notify: notify_targets(fields),
        allowed_hosts: allowed_hosts(fields),
        price: price::read(fields),
    }
}

fn allowed_hosts(fields: &Fields<'_>) -> Vec<String> {
    let list = fields.get("allowed_hosts");
    let items = list.and_then(|list| list.items("a list of host names"));
    let is_of_name = |letter: char| letter.is_ascii_alphanumeric() || matches!(letter, '-' | '.' | '_');
    let name = |item: Cursor<'_>| {
        let text = item.text()?;
        if text.chars().all(is_of_name) {
            return Some(text.to_owned());
        }
        item.fail(
            format!("`{}` is not a host's name", yaml::clip(text)),
            "write the name alone, as `retention.example.com`: no scheme, no port, no path, no `*`",
        );
        None
    };
    items.unwrap_or_default().into_iter().filter_map(name).collect()
}

fn notify_targets(fields: &Fields<'_>) -> Vec<NotifyTarget> {
    let list = fields.get("notify");
    let items = list.and_then(|list| list.items_or_none("a list of targets"));
    items.unwrap_or_default().iter().filter_map(notify::target).collect()
}

fn place(at: &Cursor<'_>) -> FilePosition {
    FilePosition {
        file: at.source.file.clone(),
        line: at.node.spot.line,
        column: at.node.spot.column,
    }
}

fn version(fields: &Fields<'_>) {
    if let Some(at) = fields.get("version")
        && at.integer(1, u32::MAX).is_some_and(|version| version != 1)
    {
        at.fail(
            "this program reads version 1 of the configuration",
            "write `version: 1`",
        );
    }
}

/// Whether the file says where the state is.
pub(super) fn names_state(fields: &Fields<'_>) -> bool {
    fields.get("state_dir").or(fields.get("state")).is_some()
}

/// One state, in one place: systemd's and ours must be the same.
fn state_dir(fields: &Fields<'_>, base: &Path, environment: &Environment) -> PathBuf {
    let typed = fields.get("state_dir");
    let Some(chosen) = typed.map_or(Some(STATE_DIR), Cursor::text) else {
        return PathBuf::from(STATE_DIR);
    };
    let joined = base.join(chosen);
    let chosen = std::path::absolute(&joined).unwrap_or(joined);
    let given = environment
        .state_directory
        .as_deref()
        .filter(|given| !given.as_os_str().is_empty());
    let Some(given) = given else { return chosen };
    // systemd separates several directories by colons.
    let mut parts = given.as_os_str().as_bytes().split(|byte| *byte == b':');
    if parts.any(|part| same(Path::new(std::ffi::OsStr::from_bytes(part)), &chosen)) {
        return chosen;
    }
    let at = typed.unwrap_or(&fields.own);
    let from = if typed.is_some() {
        "`state_dir` is"
    } else {
        "`state_dir` is, by default,"
    };
    at.fail(
        format!(
            "{from} {}, but $STATE_DIRECTORY is {}",
            chosen.display(),
            given.display()
        ),
        "holds and history must not be split over two states: make them the same",
    );
    chosen
}

fn same(a: &Path, b: &Path) -> bool {
    let plain = |path: &Path| -> PathBuf { path.components().filter(|part| *part != Component::CurDir).collect() };
    plain(a) == plain(b)
}

/// The policies of all files; at least one.
fn policies<'t>(
    fields: &Fields<'t>,
    others: &'t [Parsed],
    known: Known<'_>,
    findings: &'t Diagnostics,
) -> Vec<PolicyEntry> {
    let mut good: Vec<(Cursor<'t>, PolicyEntry)> = Vec::new();
    let mut seen: HashMap<String, String> = HashMap::new();
    let mut count = 0;
    if let Some(list) = fields.get("policies") {
        count += policies_of(list, known, &mut seen, &mut good);
    }
    for other in others {
        if other.document.root.is_none() {
            empty(other, findings);
            continue;
        }
        match root(other, &INCLUDED, findings) {
            Some(fields) => match fields.get("policies") {
                Some(list) => count += policies_of(list, known, &mut seen, &mut good),
                None => empty(other, findings),
            },
            // It was noted; that there are no policies would be a second message about the same.
            None => count += 1,
        }
    }
    let list = fields.get("policies");
    let is_list = |at: &Cursor<'_>| matches!(at.node.kind, yaml::NodeKind::List(_));
    let has_none_of = |keys: &[&str]| keys.iter().all(|key| fields.get(key).is_none());
    let is_state_alone =
        known.may_be_state_alone && names_state(fields) && has_none_of(&["projects", "policies", "include"]);
    // An included file that cannot be read may be where they are.
    if count == 0
        && !is_state_alone
        && list.is_none_or(is_list)
        && !findings.is_about_an_include(&fields.own.source.file)
    {
        list.unwrap_or(&fields.own).fail(
            "there is no policy, neither here nor in an included file",
            "write at least one under `policies`; what no policy selects is never deleted",
        );
    }
    let placed: Vec<(Cursor<'_>, &PolicyEntry)> = good.iter().map(|(at, entry)| (at.clone(), entry)).collect();
    let nothing = |at: &Cursor<'_>| matches!(&at.node.kind, yaml::NodeKind::Scalar { text, .. } if text == "none");
    let is_for_apply = fields.get("listen").is_some_and(nothing);
    lint::policies(&placed, is_for_apply);
    good.into_iter().map(|(_, entry)| entry).collect()
}

fn empty(file: &Parsed, findings: &Diagnostics) {
    let hint = "remove it, or write `policies:`";
    findings.warning(Problem::with_file(
        &file.source.file,
        "the included file holds no policy",
        Some(hint),
    ));
}

/// How many were typed, good or not.
fn policies_of<'t>(
    list: &Cursor<'t>,
    known: Known<'_>,
    seen: &mut HashMap<String, String>,
    good: &mut Vec<(Cursor<'t>, PolicyEntry)>,
) -> usize {
    let items = list.items_or_none("a list of policies").unwrap_or_default();
    for item in &items {
        // The name of a policy is unique even among those with other mistakes.
        if let Some(at) = name_of(item)
            && let yaml::NodeKind::Scalar { text, .. } = &at.node.kind
        {
            let place = format!("{}:{}", at.source.file.display(), at.node.spot.line);
            match seen.get(text) {
                Some(first) => at.fail(
                    format!("a policy of the name `{}` stands at {first} already", yaml::clip(text)),
                    "every policy has a name of its own: the ledger and the metrics know it by that",
                ),
                None => {
                    seen.insert(text.clone(), place);
                }
            }
        }
        good.extend(policy::compile(item, known).map(|entry| (item.clone(), entry)));
    }
    items.len()
}

fn name_of<'t>(item: &Cursor<'t>) -> Option<Cursor<'t>> {
    let yaml::NodeKind::Map(pairs) = &item.node.kind else {
        return None;
    };
    let (_, value) = pairs
        .iter()
        .find(|(key, _)| matches!(&key.kind, yaml::NodeKind::Scalar { text, .. } if text == "name"))?;
    Some(Cursor {
        node: value,
        path: format!("{}.name", item.path),
        ..item.clone()
    })
}

/// The keys of a file's top level.
pub(super) fn root<'t>(parsed: &'t Parsed, section: &'static Section, findings: &'t Diagnostics) -> Option<Fields<'t>> {
    let Some(node) = &parsed.document.root else {
        findings.problem(Problem::with_file(
            &parsed.source.file,
            "the file is empty",
            Some("it needs at least `version: 1` and `policies`"),
        ));
        return None;
    };
    let at = Cursor {
        source: &parsed.source,
        findings,
        node,
        path: String::new(),
    };
    at.section(section)
}
