//! The configuration from outside: files on disk, messages as people see them.
//!
//! `tests/config/bad/NAME.yaml` has its exact message in `NAME.txt`. After a change of words, run with `BLESS=1` and
//! read the difference against the input before committing it.

mod includes;
mod junk;
mod keys;
mod odd_files;

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use rds_retentiond::config::{Config, Environment, Problem, Problems, load};
use rds_retentiond::retention::Mode;
use tempfile::TempDir;

const MINIMAL: &str = include_str!("../config/good/minimal.yaml");

const EVERYTHING: &str = include_str!("../config/good/everything.yaml");

fn here(relative: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(relative)
}

/// A directory of its own with these files, writable by the owner alone, whatever the umask.
fn directory(files: &[(&str, &[u8])]) -> TempDir {
    let dir = tempfile::tempdir().unwrap();
    for (name, bytes) in files {
        let file = dir.path().join(name);
        fs::create_dir_all(file.parent().unwrap()).unwrap();
        fs::write(&file, bytes).unwrap();
        chmod(&file, 0o640);
    }
    dir
}

fn chmod(file: &Path, mode: u32) {
    fs::set_permissions(file, fs::Permissions::from_mode(mode)).unwrap();
}

fn load_in(dir: &TempDir) -> Result<Config, Problems> {
    load(&dir.path().join("config.yaml"), &Environment::default())
}

fn load_text(text: &str) -> Result<Config, Problems> {
    load_in(&directory(&[("config.yaml", text.as_bytes())]))
}

/// The messages as people see them, without the directory.
fn messages(dir: &TempDir, problems: &Problems) -> String {
    problems
        .to_string()
        .replace(&format!("{}/", dir.path().display()), "")
        .replace(&format!("{}", dir.path().display()), "DIR")
}

fn one_lines(dir: &TempDir, problems: &Problems) -> Vec<String> {
    let own = format!("{}/", dir.path().display());
    problems
        .iter()
        .map(|problem| problem.one_line().replace(&own, ""))
        .collect()
}

fn yaml_files(relative: &str) -> Vec<PathBuf> {
    let entries = fs::read_dir(here(relative)).unwrap().map(|entry| entry.unwrap().path());
    let mut files: Vec<PathBuf> = entries
        .filter(|file| file.extension().is_some_and(|extension| extension == "yaml"))
        .collect();
    files.sort();
    assert!(!files.is_empty(), "{relative} is empty");
    files
}

#[test]
fn every_bad_file_has_its_exact_message() {
    let bless = std::env::var_os("BLESS").is_some();
    let mut wrong = Vec::new();
    for file in yaml_files("tests/config/bad") {
        let dir = directory(&[("config.yaml", &fs::read(&file).unwrap())]);
        let found = match load_in(&dir) {
            Ok(_) => "it loads".to_owned(),
            Err(problems) => messages(&dir, &problems) + "\n",
        };
        let golden = file.with_extension("txt");
        if bless {
            fs::write(&golden, &found).unwrap();
        } else if fs::read_to_string(&golden).ok().as_deref() != Some(found.as_str()) {
            wrong.push(format!("--- {}\n{found}", file.display()));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn every_good_file_loads() {
    for file in yaml_files("tests/config/good") {
        let dir = directory(&[("config.yaml", &fs::read(&file).unwrap())]);
        if let Err(problems) = load_in(&dir) {
            panic!("{}: {problems}", file.display());
        }
    }
}

#[test]
fn the_shipped_examples_load_and_delete_nothing() {
    let main = fs::read_to_string(here("config/config.yaml")).unwrap();
    let with_include = main.replace("# include:", "include:");
    assert_ne!(main, with_include);
    let mut files = vec![("config.yaml".to_owned(), with_include.into_bytes())];
    for file in yaml_files("config/policies.d") {
        let name = file.file_name().unwrap().to_str().unwrap();
        files.push((format!("policies.d/{name}"), fs::read(&file).unwrap()));
    }
    let borrowed: Vec<(&str, &[u8])> = files
        .iter()
        .map(|(name, bytes)| (name.as_str(), bytes.as_slice()))
        .collect();
    let config = load_in(&directory(&borrowed)).unwrap_or_else(|problems| panic!("{problems}"));
    assert_eq!(config.policies.len(), files.len());
    assert_eq!(config.warnings, []);
    assert!(config.policies.iter().all(|entry| entry.policy.mode == Mode::DryRun));

    let alone = load_text(&main).unwrap_or_else(|problems| panic!("{problems}"));
    assert_eq!((alone.policies.len(), alone.warnings.len()), (1, 0));
    // What is commented out must be right, too.
    let uncommented: String = main
        .lines()
        .filter(|line| !line.trim_start().starts_with("# include"))
        .map(|line| match line.trim_start().strip_prefix("# ") {
            Some(rest) if looks_like_a_key(rest) => line.replacen("# ", "", 1) + "\n",
            _ => format!("{line}\n"),
        })
        .collect();
    let full = load_text(&uncommented).unwrap_or_else(|problems| panic!("{problems}"));
    assert_eq!(
        (full.holds.len(), full.freeze.is_some(), full.notify.len()),
        (2, true, 2)
    );
    assert!(full.projects[0].project_id.is_some());
}

fn looks_like_a_key(text: &str) -> bool {
    text.starts_with("- {") || text.starts_with("  - {") || {
        let word: String = text
            .chars()
            .take_while(|c| c.is_ascii_lowercase() || *c == '_')
            .collect();
        [
            "project_id",
            "endpoint",
            "iam_endpoint",
            "ids",
            "tags",
            "enterprise_projects",
            "holds",
            "freeze",
            "notify",
        ]
        .contains(&word.as_str())
            && text[word.len()..].starts_with(':')
    }
}

#[test]
fn problems_of_all_files_come_together_in_order() {
    let dir = directory(&[
        (
            "config.yaml",
            b"version: 1\ninclude: [\"d/*.yaml\"]\npolicies: [{name: a, mode: on, keep: {last: 1}}]\n",
        ),
        (
            "d/20.yaml",
            b"policies:\n  - {name: a, mode: dry-run, keep: {last: 0}}\nprojects: []\n",
        ),
        ("d/10.yaml", b"policies: [\n"),
        ("d/.hidden.yaml", b"nonsense"),
        ("d/old.yaml~", b"nonsense"),
        ("d/notes.txt", b"nonsense"),
    ]);
    let problems = load_in(&dir).unwrap_err();
    let lines = one_lines(&dir, &problems);
    assert_eq!(lines.len(), 5, "{lines:#?}");
    assert!(lines[0].starts_with("config.yaml:3:28: policies[0].mode: expected `enforce` or `dry-run`"));
    assert!(lines[1].starts_with("d/10.yaml:"), "{}", lines[1]);
    assert!(lines[2].starts_with("d/20.yaml:2:12: policies[0].name: a policy of the name `a` stands at "));
    assert!(lines[3].starts_with("d/20.yaml:2:43: policies[0].keep.last: expected a whole number of at least 1"));
    assert!(lines[4].contains("unknown key `projects` in an included file; `projects` is a key of the configuration"));
    assert!(lines.iter().all(|line| !line.contains('\n')));
}

#[test]
fn a_secret_that_others_may_write_is_refused() {
    let dir = directory(&[("d/p.yaml", b"policies: []\n"), ("ak", b"x"), ("sk", b"y")]);
    let main = format!(
        "version: 1\ninclude: [\"d/*\"]\nprojects:\n  - name: p\n    region: cn-north-4\n    credentials:\n      source: files\n      \
         access_key_file: {0}/ak\n      secret_key_file: {0}/sk\n      security_token_file: {0}/none\n\
         policies: [{{name: a, mode: dry-run, schedule: \"@daily\", keep: {{last: 1}}}}]\n",
        dir.path().display()
    );
    fs::write(dir.path().join("config.yaml"), main).unwrap();
    chmod(&dir.path().join("config.yaml"), 0o600);
    chmod(&dir.path().join("ak"), 0o604);
    let config = load_in(&dir).unwrap();
    assert_eq!(config.warnings.len(), 1);
    assert!(
        config.warnings[0]
            .message
            .contains("everybody may read this file with a secret (mode 0604)")
    );
    chmod(&dir.path().join("sk"), 0o602);
    let lines = one_lines(&dir, &load_in(&dir).unwrap_err());
    assert_eq!(lines.len(), 1, "{lines:#?}");
    assert!(lines[0].contains("credentials.secret_key_file") && lines[0].contains("everybody may write"));
}

#[test]
fn a_control_character_in_a_text_is_a_problem() {
    let text = MINIMAL.replace("version: 1", "version: 1\nstate_dir: \"a\\0b\"");
    assert_ne!(text, MINIMAL);
    let problems = load_text(&text).unwrap_err();
    let found: Vec<&str> = problems.iter().map(|problem| problem.message.as_str()).collect();
    assert_eq!(found, ["the text holds the control character U+0000"]);
}

#[test]
fn a_file_that_is_not_utf8_says_where() {
    let dir = directory(&[("config.yaml", b"version: 1\n# gr\xfc\xdfe\n")]);
    assert_eq!(
        one_lines(&dir, &load_in(&dir).unwrap_err()),
        ["config.yaml:2:5: the file is not UTF-8: byte 0xfc; save the file as UTF-8"]
    );
}

#[test]
fn what_cannot_be_read_is_a_problem() {
    let dir = directory(&[("sub/config.yaml/x", b"")]);
    let missing = load_in(&dir).unwrap_err();
    assert!(one_lines(&dir, &missing)[0].starts_with("config.yaml: cannot be read: file not found; "));
    let problem = missing.iter().next().unwrap();
    assert_eq!((problem.line, problem.column), (0, 0));
    let directory = load(&dir.path().join("sub/config.yaml"), &Environment::default()).unwrap_err();
    assert!(directory.to_string().contains("is a directory"));
    for odd in ["", "/", "/dev/zero", "/dev/null", "/proc/self/mem"] {
        assert!(load(Path::new(odd), &Environment::default()).is_err(), "{odd}");
    }
}

#[test]
fn one_state_in_one_place() {
    let dir = directory(&[("config.yaml", MINIMAL.as_bytes())]);
    let load_with = |state: &str| {
        let environment = Environment {
            state_directory: Some(state.into()),
            ..Environment::default()
        };
        load(&dir.path().join("config.yaml"), &environment)
    };
    for same in [
        "/var/lib/rds-retentiond",
        "/var/lib/rds-retentiond/",
        "",
        "/var/lib/x:/var/lib/rds-retentiond",
    ] {
        assert!(load_with(same).is_ok(), "{same}");
    }
    let lines = one_lines(&dir, &load_with("/var/lib/private/other").unwrap_err());
    assert_eq!(lines.len(), 1);
    assert!(
        lines[0].contains("is, by default, /var/lib/rds-retentiond, but $STATE_DIRECTORY is /var/lib/private/other"),
        "{lines:?}"
    );
    let typed = directory(&[("config.yaml", format!("{MINIMAL}state_dir: /srv/state\n").as_bytes())]);
    let environment = Environment {
        state_directory: Some("/var/lib/rds-retentiond".into()),
        ..Environment::default()
    };
    let problems = load(&typed.path().join("config.yaml"), &environment).unwrap_err();
    assert!(
        problems
            .to_string()
            .contains("`state_dir` is /srv/state, but $STATE_DIRECTORY is /var/lib/rds-retentiond")
    );
}

#[test]
fn what_is_legal_but_hardly_meant_draws_a_warning() {
    let text = "version: 1\nlisten: 0.0.0.0:9465\npolicies: [{name: a, mode: dry-run, keep: {last: 1}}]\n";
    let config = load_text(text).unwrap();
    let warnings: Vec<&str> = config.warnings.iter().map(|warning| warning.path.as_str()).collect();
    assert_eq!(warnings, ["", "listen", "policies[0]"]);
    assert!(config.warnings[0].message.contains("no projects"));
    assert!(config.projects.is_empty() && config.policies[0].schedule.is_none());
}

#[test]
fn listen_takes_localhost_and_a_port_alone() {
    for (text, address, warnings) in [
        ("localhost:9465", "127.0.0.1:9465", 0),
        ("\":9465\"", "0.0.0.0:9465", 1),
        ("\"[::1]:9465\"", "[::1]:9465", 0),
    ] {
        let config = load_text(&MINIMAL.replace("version: 1", &format!("version: 1\nlisten: {text}"))).unwrap();
        assert_eq!(config.listen, Some(address.parse().unwrap()), "{text}");
        let warned = config
            .warnings
            .iter()
            .filter(|warning| warning.path == "listen")
            .count();
        assert_eq!(warned, warnings, "{text}");
    }
    for text in ["localhost", "\":x\"", "localhost:70000", "example.com:9465"] {
        assert!(
            load_text(&MINIMAL.replace("version: 1", &format!("version: 1\nlisten: {text}"))).is_err(),
            "{text}"
        );
    }
}

#[test]
fn a_secret_in_the_wrong_place_is_not_repeated() {
    let text = MINIMAL.replace("region: ap-southeast-3", "region: x_y, credentials: {source: files, secret_key: hunter2, security-token: hunter2}, endpoint: \"https://u:hunter2@h\"");
    let problems = load_text(&text).unwrap_err();
    assert!(problems.to_string().contains("secret"));
    let logged: Vec<String> = problems.iter().map(Problem::one_line).collect();
    assert!(!logged.join("\n").contains("hunter2"));
    let spread = MINIMAL.replace(
        "ap-southeast-3}",
        "ap-southeast-3, credentials: {source: environment, secret_key: hunter2}}",
    );
    assert!(!load_text(&spread).unwrap_err().to_string().contains("hunter2"));
}

#[test]
fn what_yaml_takes_another_way_is_hinted_at() {
    let problem = |policies: &str| {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("config.yaml");
        fs::write(&file, format!("version: 1\npolicies:\n{policies}")).unwrap();
        let problems = load(&file, &Environment::default()).unwrap_err();
        let found = problems
            .iter()
            .map(|problem| (problem.line, problem.hint.clone().unwrap_or_default()));
        found.collect::<Vec<_>>()
    };
    let blank = problem("  - name: p\n    mode: enforce\n    keep: {last:2}\n");
    assert!(
        blank
            .iter()
            .any(|(line, hint)| *line == 5 && hint == "write a blank behind the colon: `last: 2`"),
        "{blank:?}"
    );
    for before in ["", "  - name: a\n    mode: dry-run\n    keep: {last: 1}\n"] {
        let tab = problem(&format!(
            "{before}  - name: p\n\tmode: enforce\n    keep: {{last: 2}}\n"
        ));
        let line = 4 + before.lines().count();
        assert!(tab[0].0 == line && tab[0].1.contains("tab"), "{before}: {tab:?}");
    }
}

/// The program takes them, so an editor must not complain.
#[test]
fn the_schema_accepts_empty_lists_where_the_program_does() {
    let schema = rds_retentiond::config::schema();
    for key in ["holds", "policies"] {
        assert_eq!(schema["properties"][key].get("minItems"), None, "{key}");
    }
    let select = &schema["properties"]["policies"]["items"]["properties"]["select"]["properties"];
    assert_eq!(select["projects"]["minItems"], 1);
}
