//! What fuzzing calls in this module: the YAML loader and cron lines. Not in the program that is shipped.

#![expect(
    clippy::missing_panics_doc,
    reason = "a target panics where a promise is broken: that is its answer"
)]

use std::collections::HashMap;
use std::fs;
use std::path::{Path, PathBuf};

use crate::retention::Zone;
use chrono::{DateTime, Offset, TimeDelta, TimeZone, Utc};

use super::{Config, Environment, Problem, Problems, Schedule, load};
use crate::retention::fuzz::{Tape, moment, zone};

/// What stands behind this line is the file of an `include`.
const INCLUDED: &str = "# included\n";

/// A configuration as text, in a directory of the caller's: it loads, or every problem has a place and words; and once more, the
/// same.
pub fn yaml(dir: &Path, data: &[u8]) {
    // A pattern of `include` may lead anywhere, and on this machine nothing but our own files is to be opened.
    let leads_out = |part: &[u8]| data.windows(part.len()).any(|window| window == part);
    if [&b"../"[..], b"/dev", b"/proc", b"/sys", b"\\x2", b"\\u002"]
        .into_iter()
        .any(leads_out)
    {
        return;
    }
    let marker = INCLUDED.as_bytes();
    let split = data.windows(marker.len()).position(|window| window == marker);
    let (main, included) = data.split_at(split.unwrap_or(data.len()));
    let file = dir.join("config.yaml");
    let other = dir.join("policies.d/other.yaml");
    fs::create_dir_all(dir.join("policies.d")).expect("a directory");
    write(&file, main);
    write(&other, included);
    let lines = |file: &PathBuf, bytes: &[u8]| {
        let text = String::from_utf8_lossy(bytes);
        (
            file.clone(),
            super::yaml::lines(&text)
                .map(|line| line.chars().count())
                .collect::<Vec<_>>(),
        )
    };
    let lines = HashMap::from([lines(&file, main), lines(&other, included)]);

    let loaded = load(&file, &Environment::default());
    match &loaded {
        Ok(config) => {
            check_config(config);
            config
                .warnings
                .iter()
                .for_each(|problem| check_problem(problem, &lines));
        }
        Err(problems) => {
            assert!(problems.iter().next().is_some(), "refused without a word");
            problems.iter().for_each(|problem| check_problem(problem, &lines));
        }
    }
    let again = load(&file, &Environment::default());
    assert_eq!(outcome(&loaded), outcome(&again), "loaded twice");
}

/// Only where it differs: most inputs have no second file.
fn write(file: &Path, bytes: &[u8]) {
    if fs::read(file).ok().as_deref() != Some(bytes) {
        fs::write(file, bytes).expect("a file");
    }
}

fn outcome(loaded: &Result<Config, Problems>) -> String {
    match loaded {
        Ok(config) => format!("{config:?}"),
        Err(problems) => problems.to_string(),
    }
}

fn check_problem(problem: &Problem, lines: &HashMap<PathBuf, Vec<usize>>) {
    assert!(!problem.message.is_empty());
    let line = problem.one_line();
    assert!(!line.chars().any(char::is_control), "{line:?}");
    if let Some(snippet) = &problem.snippet {
        assert!(!snippet.chars().any(|c| c.is_control() && c != '\n'), "{snippet:?}");
        assert!(snippet.lines().count() == 3 && snippet.ends_with('^'), "{snippet}");
    }
    if let (1.., Some(lines)) = (problem.line, lines.get(&problem.file)) {
        // The end of a file that ends in a line break is the line after it.
        assert!(
            problem.line <= lines.len() + 1,
            "{line}: the file has {} lines",
            lines.len()
        );
        let width = lines.get(problem.line - 1).copied().unwrap_or(0);
        assert!(
            (1..=width + 1).contains(&problem.column),
            "{line}: the line has {width} characters"
        );
    }
}

fn check_config(config: &Config) {
    let now = DateTime::from_timestamp(1_792_886_400, 0).unwrap_or_default();
    assert!(!config.policies.is_empty());
    for entry in &config.policies {
        let policy = &entry.policy;
        assert!(!policy.keep.rules().is_empty());
        assert!((1..=100).contains(&policy.limits.max_percent));
        if let Some(schedule) = &entry.schedule {
            next_is_later(schedule, now, policy.zone);
            assert_eq!(Schedule::parse(schedule.text()).as_ref(), Ok(schedule));
        }
    }
    for project in &config.projects {
        for endpoint in [&project.endpoint, &project.iam_endpoint] {
            assert!(
                endpoint.scheme() == "https" || endpoint.scheme() == "http",
                "{endpoint}"
            );
            assert!(
                endpoint.username().is_empty() && endpoint.password().is_none(),
                "{endpoint}"
            );
        }
    }
}

fn next_is_later(schedule: &Schedule, after: DateTime<Utc>, zone: Zone) -> Option<DateTime<Utc>> {
    let next = schedule.next_after(after, zone)?;
    assert!(next > after, "{:?} in {zone} after {after} is {next}", schedule.text());
    Some(next)
}

/// A cron line, a zone and a moment: the next time is later, matches the line on the wall clock (or ends a gap in which the line's
/// time lies), and none was left out before it.
///
/// The first eight bytes choose zone and moment.
pub fn cron(data: &[u8]) {
    let (head, text) = data.split_at(data.len().min(8));
    let mut tape = Tape::new(head);
    let (zone, after) = (zone(&mut tape), moment(&mut tape));
    let Ok(text) = std::str::from_utf8(text) else { return };
    let schedule = match Schedule::parse(text) {
        Ok(schedule) => schedule,
        Err(why) => {
            assert!(!why.to_string().is_empty() && !why.hint().is_empty());
            return;
        }
    };
    assert_eq!(Schedule::parse(schedule.text()).as_ref(), Ok(&schedule));
    let mut after = after;
    for _ in 0..3 {
        let next = next_is_later(&schedule, after, zone);
        let Some(next) = next else {
            panic!("{:?} in {zone} never comes due", schedule.text());
        };
        let said = format!("{:?} in {zone} after {after} is {next}", schedule.text());
        let gap = offset(zone, next) > offset(zone, next - TimeDelta::seconds(1));
        assert!(
            gap || schedule.is_on_wall_clock(next, zone),
            "{said}, which it does not name"
        );
        nothing_before(&schedule, after, next, zone, &said);
        after = next;
    }
}

fn offset(zone: Zone, at: DateTime<Utc>) -> i32 {
    zone.offset_from_utc_datetime(&at.naive_utc()).fix().local_minus_utc()
}

/// Asks moment after moment, for some thousands of them, where wall-clock times are plain.
fn nothing_before(schedule: &Schedule, after: DateTime<Utc>, next: DateTime<Utc>, zone: Zone, said: &str) {
    let by_second = schedule.text().split_whitespace().count() == 6;
    let step = if by_second { 1 } else { 60 };
    let mut at = after + TimeDelta::seconds(step - after.timestamp().rem_euclid(step));
    for _ in 0..3_000 {
        if at >= next {
            return;
        }
        let once = matches!(
            zone.from_local_datetime(&at.with_timezone(&zone).naive_local()),
            chrono::LocalResult::Single(_)
        );
        assert!(
            !(once && schedule.is_on_wall_clock(at, zone)),
            "{said}, but {at} was left out"
        );
        at += TimeDelta::seconds(step);
    }
}
