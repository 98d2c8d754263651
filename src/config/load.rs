//! From trees to a [`Config`], or to every problem.

use std::collections::HashMap;
use std::fmt::Write as _;
use std::net::{Ipv4Addr, SocketAddr};
use std::os::unix::ffi::OsStrExt;
use std::path::{Component, Path, PathBuf};

use sha2::{Digest, Sha256};

use super::audit::AnchorAt;
use super::configuration::{Config, Environment, FilePosition, PolicyEntry};
use super::diagnostics::{Problem, Problems, Source, sort};
use super::files::{self, Loaded};
use super::notify::{self, NotifyTarget};
use super::policy::Known;
use super::project::{self, CompiledProjects};
use super::reader::{Cursor, Diagnostics, Fields};
use super::recorded::without_secrets;
use super::spec::{INCLUDED, MAIN, Section};
use super::state;
use super::state_at::StateAt;
use super::yaml::{self, Document, Position, SyntaxError};
use super::zones::{ZoneSource, Zones};
use super::{audit, holds, lint, ownership, policy, price};
use crate::retention::{Freeze, Hold, People};
use crate::wording::money::Price;

/// Where the ledger is unless the configuration says otherwise.
const STATE_DIR: &str = "/var/lib/rds-retentiond";
/// Where metrics and status page are unless the configuration says otherwise.
const LISTEN: SocketAddr = SocketAddr::new(std::net::IpAddr::V4(Ipv4Addr::LOCALHOST), 9465);

/// A file and what it holds.
struct Parsed {
    source: Source,
    document: Document,
}

/// Everything that is read, before it is known to be good.
struct Draft {
    state: StateAt,
    listen: Option<SocketAddr>,
    projects: CompiledProjects,
    policies: Vec<PolicyEntry>,
    holds: Vec<(Hold, FilePosition)>,
    freeze: Option<(Freeze, FilePosition)>,
    notify: Vec<NotifyTarget>,
    allowed_hosts: Vec<String>,
    price: Option<Price>,
    anchor: AnchorAt,
    protect: People,
}

/// Reads the configuration file and all it includes.
///
/// Never panics, whatever the files hold; reads at most 1 MiB of a file and 8 MiB of all.
pub fn load(path: &Path, environment: &Environment) -> Result<Config, Problems> {
    load_files(path, environment, None)
}

/// Compiles a configuration of the record, the main file first; as [`load`] does with what is on disk.
pub fn load_recorded(files: &[(String, Option<String>)]) -> Result<Config, Problems> {
    let loaded = files.iter().zip(0..).map(|((name, text), nth)| Loaded {
        file: PathBuf::from(name),
        bytes: text.clone().unwrap_or_default().into_bytes(),
        identity: (0, nth),
        is_named: false,
    });
    let loaded: Vec<Loaded> = loaded.collect();
    let path = loaded.first().map(|main| main.file.clone()).unwrap_or_default();
    load_files(&path, &Environment::default(), Some(loaded))
}

/// `given`: all files, which are not read then.
fn load_files(path: &Path, environment: &Environment, given: Option<Vec<Loaded>>) -> Result<Config, Problems> {
    let findings = Diagnostics::default();
    let mut sum = 0;
    let base = path.parent().map(Path::to_owned).unwrap_or_default();
    let is_given = given.is_some();
    let mut loaded: Vec<Loaded> = given.unwrap_or_else(|| {
        let read = files::read(path, "`--config FILE` names another", &findings, &mut sum);
        read.into_iter().collect()
    });
    let main = loaded.first().and_then(|main| parse(main, &findings));
    let fields = main.as_ref().and_then(|main| root(main, &MAIN, &findings));
    let here = base.as_os_str().is_empty().then(|| PathBuf::from("."));
    let mut watch_dirs = vec![here.unwrap_or_else(|| base.clone())];
    let mut searched = Vec::new();
    let include_list = fields.as_ref().and_then(|fields| fields.get("include"));
    if let Some(list) = include_list.filter(|_| !is_given) {
        let included = include(list, &base, &mut loaded, &mut sum, &mut watch_dirs, &mut searched);
        loaded.extend(included);
    }
    let others: Vec<Parsed> = loaded
        .iter()
        .skip(1)
        .filter_map(|file| parse(file, &findings))
        .collect();
    let zones = Zones::new(ZoneSource::find(environment.tzdir.as_deref()));
    let draft = fields
        .as_ref()
        .map(|fields| draft(fields, &base, environment, &others, &zones, &findings));
    let mut foreign = foreign(&loaded, &searched, draft.as_ref());
    let names_state = fields.as_ref().is_some_and(names_state);
    let file_names: Vec<PathBuf> = loaded.iter().map(|file| file.file.clone()).collect();

    // Fields borrow from the findings' sources; they end here.
    drop(fields);
    let (zones, odd_zones) = zones.into_parts();
    for odd in odd_zones {
        findings.warning(odd);
    }
    let (mut problems, mut warnings, dropped) = findings.into_parts();
    let state_is_known = dropped == 0 && is_state_known(path, names_state, &problems);
    if environment.enforce_ownership {
        problems.append(&mut foreign);
    }
    if let Some(mut problems) = Problems::new(problems, dropped, &file_names) {
        problems.state = draft.map(|draft| draft.state).filter(|_| state_is_known);
        return Err(problems);
    }
    let Some(draft) = draft else {
        // Every way here notes a problem; should one not, the file is still not good.
        return Err(Problems::from(Problem::with_file(path, "could not be read", None)));
    };
    sort(&mut warnings, &file_names);
    let (holds, hold_places) = draft.holds.into_iter().unzip();
    let (freeze, freeze_place) = draft.freeze.unzip();
    Ok(Config {
        path: path.to_owned(),
        sha256: digest(&loaded, &base),
        recorded: recorded(&loaded, &base, &draft.notify),
        files: file_names,
        watch_dirs,
        state: draft.state,
        listen: draft.listen,
        projects: draft.projects.good,
        policies: draft.policies,
        protecting: Vec::new(),
        holds,
        hold_places,
        freeze,
        freeze_place,
        notify: draft.notify,
        allowed_hosts: draft.allowed_hosts,
        price: draft.price,
        anchor: draft.anchor,
        protect: draft.protect,
        zones,
        warnings,
        foreign,
    })
}

fn names_state(fields: &Fields<'_>) -> bool {
    fields.get("state_dir").or(fields.get("state")).is_some()
}

/// Whether the state's place could be read in spite of the problems.
fn is_state_known(main: &Path, names_state: bool, problems: &[Problem]) -> bool {
    let hides_state = |problem: &Problem| match problem.path.as_str() {
        "" => problem.line > 0 && problem.file == main,
        "state_dir" => true,
        path if path == "state" || path.starts_with("state.") => true,
        // Where it is not written, a key that is misspelt may be the one that says it.
        path => !names_state && !path.contains(['.', '[']),
    };
    !problems.iter().any(hides_state)
}

/// What others own or may write of all that was read and of the state.
fn foreign(loaded: &[Loaded], searched: &[PathBuf], draft: Option<&Draft>) -> Vec<Problem> {
    let of = |is_named: bool| {
        let files = loaded.iter().enumerate();
        let wanted = files.filter(move |(nth, file)| (*nth == 0 || file.is_named) == is_named);
        wanted.map(|(_, file)| file.file.as_path()).collect()
    };
    ownership::problems(&ownership::Places {
        named: of(true),
        matched: of(false),
        searched: searched.iter().map(PathBuf::as_path).collect(),
        state_dir: match draft.map(|draft| &draft.state) {
            Some(StateAt::Directory(dir)) => Some(dir),
            // Nothing lies on this machine.
            Some(StateAt::Postgres(_)) => None,
            None => Some(Path::new(STATE_DIR)),
        },
    })
}

/// Bytes to tree; flaws are noted.
fn parse(file: &Loaded, findings: &Diagnostics) -> Option<Parsed> {
    let text = match std::str::from_utf8(&file.bytes) {
        Ok(text) => text,
        Err(error) => {
            let good = &file.bytes[..error.valid_up_to()];
            let source = Source::new(file.file.clone(), &String::from_utf8_lossy(&file.bytes));
            findings.problem(source.flaw(&not_utf8(good, file.bytes.get(good.len()).copied())));
            return None;
        }
    };
    let source = Source::new(file.file.clone(), text);
    match yaml::parse(text) {
        Ok(mut document) => {
            for flaw in std::mem::take(&mut document.flaws) {
                findings.problem(source.flaw(&flaw));
            }
            Some(Parsed { source, document })
        }
        Err(flaw) => {
            findings.problem(source.flaw(&flaw));
            None
        }
    }
}

fn not_utf8(good: &[u8], bad: Option<u8>) -> SyntaxError {
    let before = String::from_utf8_lossy(good);
    let (count, last) = yaml::lines(&before).fold((0, ""), |(count, _), line| (count + 1, line));
    let spot = Position {
        line: count,
        column: last.chars().count() + 1,
        length: 1,
    };
    let message = format!("the file is not UTF-8: byte 0x{:02x}", bad.unwrap_or_default());
    SyntaxError::new(spot, &message, "save the file as UTF-8")
}

fn root<'t>(parsed: &'t Parsed, section: &'static Section, findings: &'t Diagnostics) -> Option<Fields<'t>> {
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

/// The files that `include` names, in sorted order, each once.
fn include(
    list: &Cursor<'_>,
    base: &Path,
    loaded: &mut [Loaded],
    sum: &mut u64,
    watch_dirs: &mut Vec<PathBuf>,
    searched: &mut Vec<PathBuf>,
) -> Vec<Loaded> {
    let mut named: Vec<(PathBuf, bool, Cursor<'_>)> = Vec::new();
    for item in list.items("a list of file patterns").unwrap_or_default() {
        let Some(included) = files::resolve(&item, base) else {
            continue;
        };
        if !included.is_named {
            searched.push(included.directory.clone());
        }
        if !watch_dirs.contains(&included.directory) && !included.directory.as_os_str().is_empty() {
            watch_dirs.push(included.directory);
        }
        let files = included.files.into_iter();
        named.extend(files.map(|file| (file, included.is_named, item.clone())));
    }
    // What a pattern finds, too, is not named alone.
    named.sort_by(|(a, is_named, _), (b, other, _)| (a, is_named).cmp(&(b, other)));
    named.dedup_by(|(a, ..), (b, ..)| a == b);
    let mut read: Vec<Loaded> = Vec::new();
    for (file, is_named, item) in named {
        let Some(mut one) = files::read(&file, "`include` names it", item.findings, sum) else {
            continue;
        };
        one.is_named = is_named;
        if loaded.first().is_some_and(|main| main.identity == one.identity) {
            item.fail(
                "the pattern matches this file itself",
                "put the policies in a directory of their own",
            );
            continue;
        }
        // Two names of one file would be two policies of one name.
        if read.iter().all(|other| other.identity != one.identity) {
            read.push(one);
        }
    }
    read
}

fn draft<'t>(
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

/// The texts of the files for the record.
fn recorded(loaded: &[Loaded], base: &Path, notify: &[NotifyTarget]) -> Vec<(String, Option<String>)> {
    let text = |(nth, file): (usize, &Loaded)| {
        let name = file.file.strip_prefix(base).unwrap_or(&file.file);
        // Included files hold policies alone.
        let notify = if nth == 0 { notify } else { &[] };
        let text = without_secrets(&String::from_utf8_lossy(&file.bytes), notify);
        (name.to_string_lossy().into_owned(), text)
    };
    loaded.iter().enumerate().map(text).collect()
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
    if count == 0 && list.is_none_or(is_list) {
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

/// Over names and bytes, each with its length before it, so that no two sets of files look alike.
fn digest(loaded: &[Loaded], base: &Path) -> String {
    let mut hash = Sha256::new();
    for file in loaded {
        let name = file.file.strip_prefix(base).unwrap_or(&file.file);
        for part in [name.as_os_str().as_bytes(), &file.bytes] {
            hash.update((part.len() as u64).to_be_bytes());
            hash.update(part);
        }
    }
    let mut text = String::with_capacity(64);
    for byte in hash.finalize() {
        // Writing to a String cannot fail.
        let _ = write!(text, "{byte:02x}");
    }
    text
}
