//! From trees to a [`Config`], or to every problem.

use std::fmt::Write as _;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use sha2::{Digest, Sha256};

use super::configuration::{Config, Environment};
use super::diagnostics::{Problem, Problems, Source, sort};
use super::draft::{Draft, Parsed, STATE_DIR, draft, names_state, root};
use super::files::{self, Loaded};
use super::notify::NotifyTarget;
use super::ownership;
use super::reader::{Cursor, Diagnostics};
use super::recorded::without_secrets;
use super::spec::MAIN;
use super::state_at::StateAt;
use super::yaml::{self, Position, SyntaxError};
use super::zones::{ZoneSource, Zones};

/// What to do without a configuration.
const NO_FILE: &str = "`--config FILE` names another, `init` writes one, and `demo` needs none";

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
    let read = || files::read(path, NO_FILE, &findings, &mut sum).into_iter().collect();
    let mut loaded: Vec<Loaded> = given.unwrap_or_else(read);
    let main = loaded.first().and_then(|main| parse(main, &findings));
    let fields = main.as_ref().and_then(|main| root(main, &MAIN, &findings));
    let here = base.as_os_str().is_empty().then(|| PathBuf::from("."));
    let mut watch_dirs = vec![here.unwrap_or_else(|| base.clone())];
    let mut searched = Vec::new();
    let list = fields.as_ref().and_then(|fields| fields.get("include"));
    if let Some(list) = list.filter(|_| !is_given) {
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
    Ok(Config {
        sha256: digest(&loaded, &base),
        recorded: recorded(&loaded, &base, &draft.notify),
        files: file_names,
        watch_dirs,
        warnings,
        foreign,
        ..draft.into_config(path, zones)
    })
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
