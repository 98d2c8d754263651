//! `docs/configuration.md` and `docs/commands.md` hold what the table of keys and the command line say, and the alerts for Kubernetes are
//! those for Prometheus: they are made from them.
//!
//! `UPDATE_DOCS=1 cargo test --test it reference::` writes them again.

use std::collections::HashSet;
use std::fmt::Write as _;
use std::fs;
use std::path::Path;

use clap::{Command, CommandFactory};
use rds_retentiond::cli::args::Cli;
use rds_retentiond::config::spec::{self, Section, Shape};

const BEGIN: &str = "<!-- made from src/config/spec.rs: UPDATE_DOCS=1 cargo test --test it reference:: -->\n";
const END: &str = "<!-- end -->\n";

/// Compares a document with what it should be, or writes it.
fn check(name: &str, wanted: &str) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(name);
    if std::env::var_os("UPDATE_DOCS").is_some() {
        return fs::write(path, wanted).unwrap();
    }
    let found = fs::read_to_string(path).unwrap_or_default();
    let differs = found
        .lines()
        .zip(wanted.lines())
        .find(|(found, wanted)| found != wanted);
    assert!(
        found == wanted,
        "{name} is not what the program says: run UPDATE_DOCS=1 cargo test --test it reference::\n{differs:#?}"
    );
}

fn cell(text: &str) -> String {
    text.replace('|', "\\|").replace('\n', " ")
}

fn shape(shape: &Shape) -> String {
    match shape {
        Shape::Text => "text".to_owned(),
        Shape::Name => "name (1 to 64 of `A-Z a-z 0-9 . _ -`)".to_owned(),
        Shape::Boolean => "`true` or `false`".to_owned(),
        Shape::Integer(from, to) if from == to => format!("`{from}`"),
        Shape::Integer(from, u32::MAX) => format!("number from {from}"),
        Shape::Integer(from, to) => format!("number from {from} to {to}"),
        Shape::Decimal => "decimal number above 0".to_owned(),
        Shape::Count => "number from 1, or `all`".to_owned(),
        Shape::Duration { zero: true } => "duration, or `0s`".to_owned(),
        Shape::Duration { zero: false } => "duration".to_owned(),
        Shape::Time => "RFC 3339 or date".to_owned(),
        Shape::Glob => "glob".to_owned(),
        Shape::Choice(words) => words
            .iter()
            .map(|word| format!("`{word}`"))
            .collect::<Vec<_>>()
            .join(", "),
        Shape::List(of) | Shape::ListOrNone(of) => format!("list: {}", self::shape(of)),
        Shape::Section(section) => section.name.to_owned(),
        Shape::Tags => "mapping of tags".to_owned(),
        Shape::DeletedInstances => "`ignore`, `include` or `{expire_after: DURATION}`".to_owned(),
    }
}

fn sections(section: &'static Section, seen: &mut HashSet<&'static str>, text: &mut String) {
    if !seen.insert(section.name) {
        return;
    }
    let title = section
        .name
        .trim_start_matches("the ")
        .trim_start_matches("an ")
        .trim_start_matches("a ");
    writeln!(text, "\n### {title}\n\n| key | value | meaning |\n|---|---|---|").unwrap();
    for key in section.keys {
        let required = if key.required { " (required)" } else { "" };
        writeln!(
            text,
            "| `{}`{required} | {} | {} |",
            key.name,
            cell(&shape(&key.shape)),
            cell(key.doc)
        )
        .unwrap();
    }
    for key in section.keys {
        match key.shape {
            Shape::Section(inner) => sections(inner, seen, text),
            Shape::List(Shape::Section(inner)) | Shape::ListOrNone(Shape::Section(inner)) => {
                sections(inner, seen, text);
            }
            _ => {}
        }
    }
}

#[test]
fn the_configuration_page_has_every_key() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/configuration.md");
    let page = fs::read_to_string(path).unwrap();
    let (before, rest) = page.split_once(BEGIN).unwrap();
    let (_, after) = rest.split_once(END).unwrap();
    let mut text = String::new();
    sections(&spec::MAIN, &mut HashSet::new(), &mut text);
    check("docs/configuration.md", &format!("{before}{BEGIN}{text}\n{END}{after}"));
}

fn command(path: &str, command: &Command, text: &mut String) {
    let path = format!("{path} {}", command.get_name());
    let visible = |command: &&Command| !command.is_hide_set() && command.get_name() != "help";
    let about = command.get_long_about().or_else(|| command.get_about());
    writeln!(text, "\n## `{}`\n", path.trim_start_matches("rds-retentiond ")).unwrap();
    writeln!(text, "{}", about.map(ToString::to_string).unwrap_or_default()).unwrap();
    let usage = command.clone().bin_name(&path).render_usage().to_string();
    writeln!(
        text,
        "\n```text\n{}\n```",
        usage.trim_start_matches("Usage: ").trim_end()
    )
    .unwrap();
    let arguments: Vec<_> = command
        .get_arguments()
        .filter(|argument| !argument.is_hide_set() && !argument.is_global_set())
        .filter(|argument| argument.get_id() != "help")
        .collect();
    if !arguments.is_empty() {
        writeln!(text, "\n| argument | meaning |\n|---|---|").unwrap();
    }
    for argument in arguments {
        let name = argument.to_string();
        let help = argument.get_long_help().or_else(|| argument.get_help());
        let help = help.map(ToString::to_string).unwrap_or_default().replace("\n\n", " ");
        let default: Vec<_> = argument
            .get_default_values()
            .iter()
            .map(|value| value.to_string_lossy())
            .collect();
        let takes_value = argument.get_action().takes_values();
        let default = if default.is_empty() || !takes_value {
            String::new()
        } else {
            format!(" (default `{}`)", default.join(" "))
        };
        writeln!(text, "| `{}` | {}{default} |", cell(&name), cell(&help)).unwrap();
    }
    for inner in command.get_subcommands().filter(visible) {
        self::command(&path, inner, text);
    }
}

#[test]
fn the_commands_page_has_every_command_and_argument() {
    let mut cli = Cli::command();
    cli.build();
    let mut text = "# Commands\n\nMade from the command line itself: `UPDATE_DOCS=1 cargo test --test it reference::`. `rds-retentiond COMMAND --help` says the \
         same, with examples.\n\nEvery command takes `--config FILE` (or `RDS_RETENTIOND_CONFIG`), `--color`, `--log-level`, `--log-format` and `-v`.\n\n\
         ## Exit codes\n\nThe table is in the [README](../README.md#commands).\n"
        .to_owned();
    for inner in cli
        .get_subcommands()
        .filter(|command| !command.is_hide_set() && command.get_name() != "help")
    {
        command("rds-retentiond", inner, &mut text);
    }
    check("docs/commands.md", &text);
}

#[test]
fn the_alerts_for_kubernetes_are_those_for_prometheus() {
    let rules = Path::new(env!("CARGO_MANIFEST_DIR")).join("config/prometheus/rds-retentiond.rules.yml");
    let rules = fs::read_to_string(rules).unwrap();
    let groups = &rules[rules.find("\ngroups:").unwrap() + 1..];
    let indented = groups.lines().map(|line| {
        if line.trim().is_empty() {
            "\n".to_owned()
        } else {
            format!("  {line}\n")
        }
    });
    let head = "# Made from config/prometheus/rds-retentiond.rules.yml: UPDATE_DOCS=1 cargo test --test it reference::\n\
                apiVersion: monitoring.coreos.com/v1\nkind: PrometheusRule\nmetadata:\n  name: rds-retentiond\n  \
                labels: {app: rds-retentiond}\nspec:\n";
    let wanted = indented.fold(head.to_owned(), |text, line| text + &line);
    check("config/kubernetes/monitoring/prometheusrule.yaml", &wanted);
}
