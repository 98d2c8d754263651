use std::time::Duration;

use clap::CommandFactory;

use super::parse::{parse_time, parse_until};
use super::*;

fn parse(words: &str) -> Result<Cli, clap::Error> {
    Cli::try_parse_from(std::iter::once("rds-retentiond").chain(words.split_whitespace()))
}

#[test]
fn clap_finds_no_contradiction() {
    Cli::command().debug_assert();
}

#[test]
fn every_command_teaches() {
    for command in Cli::command().get_subcommands() {
        let name = command.get_name();
        let long = command.get_long_about().map(ToString::to_string).unwrap_or_default();
        assert!(long.len() > 30, "{name}: {long:?}");
        let example = command.get_after_help().map(ToString::to_string).unwrap_or_default();
        assert!(
            example.contains(&format!("rds-retentiond {name}")),
            "{name}: {example:?}"
        );
        for arg in command.get_arguments() {
            assert!(arg.get_help().is_some(), "{name} {}", arg.get_id());
        }
    }
}

#[test]
fn examples_in_the_help_can_be_typed() {
    for command in Cli::command().get_subcommands() {
        let help = command.get_after_help().map(ToString::to_string).unwrap_or_default();
        for line in help.lines().filter(|line| line.starts_with("  rds-retentiond ")) {
            // Up to what is the shell's, or the explanation in the second column.
            let typed = line.trim().split("   ").next().unwrap_or_default();
            for part in typed
                .split([';', '|', '>', '&'])
                .filter(|part| part.trim().starts_with("rds-retentiond"))
            {
                let part = part
                    .replace("5f0c...", &"5f".repeat(32))
                    .replace("'case 4711'", "case")
                    .replace('\'', "");
                let part = part.replace("kept for rollback", "kept");
                let words = part.split_whitespace();
                Cli::try_parse_from(words).unwrap_or_else(|error| panic!("{line}\n{error}"));
            }
        }
    }
}

#[test]
fn times_are_rfc_3339_or_dates() {
    let at = |text: &str| parse_time(text).map(|at| at.to_rfc3339());
    assert_eq!(at("2026-11-23").unwrap(), "2026-11-23T00:00:00+00:00");
    assert_eq!(at("2026-11-23T03:00:00+08:00").unwrap(), "2026-11-22T19:00:00+00:00");
    for bad in ["", "tomorrow", "2026-02-30", "2026-11-23T03:00:00", "23.11.2026"] {
        assert!(at(bad).unwrap_err().contains("RFC 3339"), "{bad}");
    }
}

#[test]
fn a_hold_until_a_date_lasts_through_that_day() {
    let until = |text: &str| parse_until(text).map(|at| at.to_rfc3339());
    assert_eq!(until("2027-06-30").unwrap(), "2027-07-01T00:00:00+00:00");
    assert_eq!(until("2027-06-30T12:00:00Z").unwrap(), "2027-06-30T12:00:00+00:00");
    assert!(until("soon").unwrap_err().contains("RFC 3339"));
}

#[test]
fn apply_waits_a_minute_by_default() {
    let Command::Apply(apply) = parse("apply").unwrap().command else {
        panic!()
    };
    assert_eq!(apply.confirm_for.approximate_seconds(), 60);
    assert!(!apply.no_wait);
    let error = parse("apply --confirm-for 5m").unwrap_err().to_string();
    assert!(error.contains("`m` is ambiguous"), "{error}");
}

#[test]
fn policies_add_up() {
    let Command::Plan(plan) = parse("plan --policy a --policy b --at 2027-01-01").unwrap().command else {
        panic!()
    };
    assert_eq!(plan.policies, ["a", "b"]);
    assert_eq!(plan.at.unwrap().timestamp(), 1_798_761_600);
}

#[test]
fn a_hold_has_one_kind_of_target() {
    assert!(parse("hold --reason r").is_err());
    assert!(parse("hold b1 --instance *in04 --reason r").is_err());
    assert!(parse("hold b1").is_err(), "a reason is required");
    assert!(parse("hold --name x --reason r --force").is_err(), "force is for an id");
    let Command::Hold(hold) = parse("hold --instance *in04 --name pre-* --reason r").unwrap().command else {
        panic!()
    };
    assert_eq!(hold.instance.unwrap().as_str(), "*in04");
    assert_eq!(hold.name.unwrap().as_str(), "pre-*");
    let error = parse("hold --name a[b --reason r").unwrap_err().to_string();
    assert!(error.contains("never closed"), "{error}");
}

#[test]
fn approve_is_for_a_policy_or_for_a_listing() {
    assert!(parse("approve").is_err());
    assert!(parse("approve production --listing in04").is_err());
    assert!(parse("approve production").is_ok());
    assert!(parse("approve --listing in04").is_ok());
}

#[test]
fn the_simulator_and_the_demo_stay_on_loopback() {
    assert!(
        parse("simulator --listen 0.0.0.0:9465")
            .unwrap_err()
            .to_string()
            .contains("loopback")
    );
    assert!(parse("demo --listen [::1]:0").is_ok());
    let Command::Simulator(simulator) = parse("simulator --latency 50ms --deletion-takes 3s --fault a:b --fault c:d")
        .unwrap()
        .command
    else {
        panic!()
    };
    assert_eq!(simulator.latency, Duration::from_millis(50));
    assert_eq!(simulator.fleet.deletion_takes, Duration::from_secs(3));
    assert_eq!(simulator.faults, ["a:b", "c:d"]);
    assert!(parse("simulator --latency 2d").is_err());
}

#[test]
fn verbosity_never_makes_a_command_more_silent() {
    let level = |words: &str, default| parse(words).unwrap().global.level_or(default);
    assert_eq!(level("plan", LogLevel::Warn), LogLevel::Warn);
    assert_eq!(level("plan -v", LogLevel::Warn), LogLevel::Info);
    assert_eq!(level("plan -v", LogLevel::Debug), LogLevel::Debug);
    assert_eq!(level("plan -vv", LogLevel::Info), LogLevel::Debug);
    assert_eq!(level("plan --log-level error", LogLevel::Info), LogLevel::Error);
    assert_eq!(level("plan --log-level trace -v", LogLevel::Info), LogLevel::Trace);
}

#[test]
fn commands_in_messages_name_the_configuration() {
    let invocation = |words: &str| parse(words).unwrap().global.invocation();
    assert_eq!(
        invocation("thaw --config /tmp/c.yaml"),
        "rds-retentiond --config /tmp/c.yaml"
    );
    assert_eq!(
        invocation("--config /tmp/$x.yaml thaw"),
        "rds-retentiond --config '/tmp/$x.yaml'"
    );
}

#[test]
fn examples_fit_a_terminal_so_that_they_can_be_copied() {
    fn walk(command: &clap::Command, seen: &mut usize) {
        let help = command.get_after_help().map(ToString::to_string).unwrap_or_default();
        for line in help.lines() {
            assert!(line.chars().count() <= 80, "{}: {line}", command.get_name());
            *seen += usize::from(line.starts_with("  "));
        }
        command.get_subcommands().for_each(|inner| walk(inner, seen));
    }
    let mut seen = 0;
    walk(&Cli::command(), &mut seen);
    assert!(seen > 30, "{seen} examples");
}

#[test]
fn every_command_has_examples() {
    for command in Cli::command().get_subcommands() {
        let help = command.get_after_help().map(ToString::to_string).unwrap_or_default();
        assert!(
            help.contains(&format!("rds-retentiond {}", command.get_name())),
            "{}",
            command.get_name()
        );
    }
}

#[test]
fn every_command_is_in_one_group_of_the_help() {
    let mut grouped: Vec<&str> = GROUPS.iter().flat_map(|(_, names)| names.iter().copied()).collect();
    grouped.sort_unstable();
    let command = Cli::command();
    let mut all: Vec<&str> = command.get_subcommands().map(clap::Command::get_name).collect();
    all.sort_unstable();
    assert_eq!(grouped, all);
    let help = in_groups(command).render_long_help().to_string();
    assert!(
        help.contains("\nProtect:\n  hold         Hold one backup, or many"),
        "{help}"
    );
    assert!(
        help.contains("Usage: rds-retentiond [OPTIONS] <COMMAND>") && help.contains("--config <FILE>"),
        "{help}"
    );
    assert!(help.contains("Exit codes: 0 done"), "{help}");
}

#[test]
fn a_time_lapse_is_read_as_a_span_and_what_it_takes() {
    use std::time::Duration;

    let live = |text: &str| match parse(&format!("demo --watch --live {text}")).map(|cli| cli.command) {
        Ok(Command::Demo(args)) => Ok(args.live),
        _ => Err(()),
    };
    let lapse = live("24h=1min").unwrap();
    assert_eq!(lapse.real(chrono::TimeDelta::hours(6)), Duration::from_secs(15));
    for odd in [
        "24h", "=1min", "24h=", "1min=24h", "0s=0s", "24h=0s", "1m=1s", "100y=1s",
    ] {
        assert!(live(odd).is_err(), "{odd}");
    }
}
