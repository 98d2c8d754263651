//! Policies that a configuration includes from other files.

use std::fs;
use std::path::PathBuf;

use super::{MINIMAL, directory, load_in, one_lines};

#[test]
fn included_policies_follow_in_sorted_order_and_their_directories_are_watched() {
    let policy =
        |name: &str| format!("policies: [{{name: {name}, mode: dry-run, schedule: \"@daily\", keep: {{last: 1}}}}]");
    let files = [policy("main"), policy("b"), policy("c"), policy("a")];
    let main = format!(
        "version: 1\nprojects: [{{name: p, region: cn-north-4}}]\ninclude: [\"two/*.yaml\", \"one/*.y?ml\", \"two/b.yaml\"]\n{}",
        files[0]
    );
    let dir = directory(&[
        ("config.yaml", main.as_bytes()),
        ("two/b.yaml", files[1].as_bytes()),
        ("two/c.yaml", files[2].as_bytes()),
        ("one/a.yaml", files[3].as_bytes()),
    ]);
    let config = load_in(&dir).unwrap_or_else(|problems| panic!("{problems}"));
    let names: Vec<&str> = config.policies.iter().map(|entry| entry.policy.name.as_str()).collect();
    assert_eq!(names, ["main", "a", "b", "c"]);
    let relative = |paths: &[PathBuf]| -> Vec<String> {
        let strip = |path: &PathBuf| path.strip_prefix(dir.path()).unwrap().display().to_string();
        paths.iter().map(strip).collect()
    };
    assert_eq!(
        relative(&config.files),
        ["config.yaml", "one/a.yaml", "two/b.yaml", "two/c.yaml"]
    );
    assert_eq!(relative(&config.watch_dirs), ["", "two", "one"]);
    // The digest knows bytes and names, and not where the files lie.
    fs::write(dir.path().join("one/a.yaml"), policy("a2")).unwrap();
    assert_ne!(load_in(&dir).unwrap().sha256, config.sha256);
    fs::write(dir.path().join("one/a.yaml"), policy("a")).unwrap();
    assert_eq!(load_in(&dir).unwrap().sha256, config.sha256);
    fs::rename(dir.path().join("one/a.yaml"), dir.path().join("one/z.yaml")).unwrap();
    assert_ne!(load_in(&dir).unwrap().sha256, config.sha256);
}

/// The cause, and not what follows from it, with the file that it is in.
#[test]
fn an_included_file_that_cannot_be_read_is_what_is_said() {
    let main = MINIMAL.split("policies:").next().unwrap().to_owned() + "include: [\"d/*.yaml\"]\n";
    for (included, said) in [("policies: [", "d/p.yaml:"), ("", "matches no file")] {
        let mut files = vec![("config.yaml", main.as_bytes())];
        files.extend((!included.is_empty()).then_some(("d/p.yaml", included.as_bytes())));
        let dir = directory(&files);
        let lines = one_lines(&dir, &load_in(&dir).unwrap_err());
        assert!(lines.len() == 1 && lines[0].contains(said), "{lines:?}");
    }
}

#[test]
fn a_file_that_includes_itself_is_refused() {
    let dir = directory(&[("config.yaml", format!("{MINIMAL}include: [\"*.yaml\"]\n").as_bytes())]);
    let lines = one_lines(&dir, &load_in(&dir).unwrap_err());
    assert_eq!(lines.len(), 1);
    assert!(lines[0].contains("matches this file itself"), "{lines:?}");
}
