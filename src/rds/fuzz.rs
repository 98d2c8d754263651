//! What fuzzing calls in this module: answers of the API, and its times. Not in the program that is shipped.
//!
//! Every answer is read twice: as it came, where nothing but order and completeness is asked; and written once more by
//! `serde_json`, without keys that occur twice, where a plain reading of the JSON must agree.

#![expect(
    clippy::missing_panics_doc,
    reason = "a target panics where a promise is broken: that is its answer"
)]

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;
use std::time::Duration;

use chrono::{DateTime, FixedOffset, TimeDelta, Utc};
use serde_json::Value;

use super::answer::DeletionAnswer;
use super::delete;
use super::error::{CallPlace, Error};
use super::lenient_json::LONGEST_TEXT;
use super::listings::{instance_page, listed_page, retained_page};
use super::operation::Operation;
use super::pagination::{Page, Reading};
use super::refusal::refusal;
use super::response::{Response, http_date, retry_after};
use super::wire::parse_time;
use crate::retention::fuzz::Tape;
use crate::retention::{
    Backup, BackupId, BackupKind, BackupStatus, Count, Databases, Engine, Instance, InstanceId, InstanceLife, KeepRule,
    KeepRules, Limits, Mode, Outcome, Policy, ProjectName, Selector, Span, Verdict, Zone, decide,
};

/// Pages of an answer stand between lines of this.
const BREAK: &[u8] = b"\n--\n";
const INSTANCE: &str = "i1in04";

fn noon() -> DateTime<Utc> {
    DateTime::from_timestamp(1_795_435_200, 0).unwrap_or_default()
}

fn pages(data: &[u8]) -> Vec<&[u8]> {
    let mut pages = Vec::new();
    let mut rest = data;
    while let Some(at) = rest.windows(BREAK.len()).position(|window| window == BREAK) {
        pages.push(&rest[..at]);
        rest = &rest[at + BREAK.len()..];
    }
    pages.push(rest);
    pages
}

/// The same JSON with every key once and without blanks around it; `None` where it is none.
fn plain(page: &[u8]) -> Option<(Value, Vec<u8>)> {
    let value = trim_keys(serde_json::from_slice(page).ok()?);
    let bytes = serde_json::to_vec(&value).ok()?;
    Some((value, bytes))
}

fn trim_keys(value: Value) -> Value {
    match value {
        Value::Object(fields) => {
            let trimmed = |(key, value): (String, Value)| (key.trim().to_owned(), trim_keys(value));
            Value::Object(fields.into_iter().map(trimmed).collect())
        }
        Value::Array(items) => Value::Array(items.into_iter().map(trim_keys).collect()),
        other => other,
    }
}

/// Reads pages as one listing; `None` where it is not believed.
fn read<T: PartialEq>(pages: &[&[u8]], parse: impl Fn(&[u8]) -> Result<Page<T>, String>) -> Option<Vec<T>> {
    let mut reading = Reading::default();
    for page in pages {
        match parse(page).and_then(|page| reading.take(page)) {
            Ok(true) => return Some(reading.rows),
            Ok(false) => {}
            Err(why) => {
                assert!(!why.is_empty());
                return None;
            }
        }
    }
    None
}

/// Pages of a listing, after a first line that says of which: what is believed holds what was asked for, each id once, as many as
/// the API counted; and no decision lets an entry go that is not wholly understood.
pub fn listing(data: &[u8]) {
    let Some((which, body)) = data.split_first() else {
        return;
    };
    let pages = pages(body);
    let plain: Option<Vec<(Value, Vec<u8>)>> = pages.iter().map(|page| plain(page)).collect();
    let written: Option<Vec<&[u8]>> = plain
        .as_ref()
        .map(|plain| plain.iter().map(|(_, page)| &**page).collect());
    let values: Vec<&Value> = plain.iter().flatten().map(|(value, _)| value).collect();
    let instance = InstanceId::from(INSTANCE);
    match which {
        b'i' => {
            let project = ProjectName::from("prod");
            let parse = |page: &[u8]| instance_page(page, &project);
            let id = |entry: &super::InstanceEntry| entry.instance.id.to_string();
            if let Some(entries) = read(&pages, parse) {
                unique(&entries, id);
            }
            if let Some(entries) = written.and_then(|pages| read(&pages, parse)) {
                unique(&entries, id);
                counted(&values, entries.len());
            }
        }
        b'r' => {
            let parse = |page: &[u8]| retained_page(page, &instance, &Engine::SqlServer);
            for backups in read(&pages, parse)
                .into_iter()
                .chain(written.and_then(|pages| read(&pages, parse)))
            {
                unique(&backups, |backup| backup.id.to_string());
                assert!(backups.iter().all(|backup| backup.databases == Databases::Unknown));
                only_understood_ones_go(&backups);
            }
        }
        _ => {
            let kind = if *which == b'a' {
                BackupKind::Auto
            } else {
                BackupKind::Manual
            };
            let parse = |page: &[u8]| listed_page(page, &instance, &kind);
            if let Some(backups) = read(&pages, parse) {
                unique(&backups, |backup| backup.id.to_string());
                only_understood_ones_go(&backups);
            }
            if let Some(backups) = written.and_then(|pages| read(&pages, parse)) {
                unique(&backups, |backup| backup.id.to_string());
                counted(&values, backups.len());
                for backup in &backups {
                    as_written(&values, backup, &kind);
                }
                only_understood_ones_go(&backups);
            }
        }
    }
}

fn unique<T>(rows: &[T], id: impl Fn(&T) -> String) {
    let ids: BTreeSet<String> = rows.iter().map(&id).collect();
    assert_eq!(ids.len(), rows.len(), "an id is there twice");
    assert!(ids.iter().all(|id| !id.trim().is_empty()), "an empty id");
}

/// Where the count is a plain number, it is how many there are.
fn counted(pages: &[&Value], rows: usize) {
    for total in pages
        .iter()
        .filter_map(|page| page.get("total_count")?.as_u64())
        .take(1)
    {
        assert_eq!(total, rows as u64);
    }
}

fn trimmed<'v>(entry: &'v Value, key: &str) -> Option<&'v str> {
    Some(entry.get(key)?.as_str()?.trim())
}

/// Some entry says all this in plain words.
fn as_written(pages: &[&Value], backup: &Backup, kind: &BackupKind) {
    let says = |entry: &&Value| {
        let fits = |text: &&str| text.len() <= LONGEST_TEXT;
        let text = |key: &str| entry.get(key).and_then(Value::as_str).filter(fits);
        trimmed(entry, "id") == Some(backup.id.as_str())
            && trimmed(entry, "instance_id") == Some(INSTANCE)
            && text("type") == Some(kind.as_str())
            && text("status").unwrap_or_default() == backup.status.as_str()
            && (backup.begin.is_none() || text("begin_time").and_then(parse_time) == backup.begin)
    };
    let mut entries = pages
        .iter()
        .filter_map(|page| page.get("backups"))
        .flat_map(|backups| match backups {
            Value::Array(entries) => entries.iter().collect(),
            // A single entry in place of the list is read as a list of one.
            one => vec![one],
        });
    assert!(entries.any(|entry| says(&entry)), "nobody wrote {backup:?}");
}

fn only_understood_ones_go(backups: &[Backup]) {
    let policy = Policy {
        name: "p".into(),
        mode: Mode::Enforce,
        zone: Zone::UTC,
        select: Selector::default(),
        keep: KeepRules::new(
            vec![KeepRule::Last(Count::AtMost(std::num::NonZeroU32::MIN))],
            Vec::new(),
        )
        .expect("one rule"),
        max_age: None,
        failed_after: Span::ZERO,
        min_backups: std::num::NonZeroU32::MIN,
        grace: Span::ZERO,
        require_backup_within: None,
        limits: Limits::default(),
    };
    let instance = Instance {
        engine: Engine::SqlServer,
        project: "prod".into(),
        id: INSTANCE.into(),
        name: "mssql".into(),
        tags: Vec::new(),
        enterprise_project: None,
        life: InstanceLife::Listed,
    };
    for decision in decide(&instance, backups, &[], &[Arc::new(policy)], noon()).remove(0) {
        let backup = &backups[decision.backup];
        if let Verdict::Expire(_) = decision.verdict {
            assert!(
                matches!(backup.status, BackupStatus::Completed | BackupStatus::Failed),
                "{backup:?}"
            );
            assert_eq!(
                (&backup.kind, &backup.engine),
                (&BackupKind::Manual, &Engine::SqlServer)
            );
            assert!(
                backup
                    .begin
                    .is_some_and(|begin| begin <= noon() + TimeDelta::minutes(5)),
                "{backup:?}"
            );
            assert!(backup.databases.is_known());
        }
    }
}

fn place(operation: Operation) -> CallPlace {
    CallPlace {
        project: "prod".into(),
        operation,
        instance: None,
    }
}

/// The answer to a batch, after a first byte for the status: one outcome for each id asked, in the order asked, and *accepted* only
/// where the answer says `0` of that id and nothing else. As an error body: words for a log line.
pub fn answers(data: &[u8]) {
    const STATUS: [u16; 16] = [
        200, 201, 202, 301, 400, 401, 403, 404, 408, 409, 413, 429, 500, 502, 503, 504,
    ];
    let Some((status, body)) = data.split_first() else {
        return;
    };
    let status = STATUS[usize::from(*status) % STATUS.len()];
    let asked: Vec<BackupId> = ["b1", "b2", "b3br04", "b4"].into_iter().map(BackupId::from).collect();
    let reply = |status, body: &[u8]| Response {
        status,
        body: body.to_vec(),
        request_id: None,
        retry_after: None,
    };
    match delete::answer(&place(Operation::BatchDelete), &asked, &reply(status, body)) {
        Ok(DeletionAnswer::Results { outcomes, .. }) => {
            assert!((200..300).contains(&status), "HTTP {status} taken for an answer");
            complete(&asked, &outcomes);
        }
        Ok(DeletionAnswer::RefusedWhole { code, message, .. }) => {
            assert!((400..500).contains(&status));
            tidy(&code);
            tidy(&message);
        }
        Ok(DeletionAnswer::Unanswered { why, .. }) => tidy(&why),
        Ok(DeletionAnswer::Throttled { .. }) => assert_eq!(status, 429),
        Ok(DeletionAnswer::KeyRefused { .. } | DeletionAnswer::Late { .. }) => panic!("no answer to a batch says that"),
        Err(error) => said(&error),
    }
    for operation in [Operation::ListBackups, Operation::ListRetainedBackups] {
        said(&refusal(&place(operation), &reply(status, body)));
    }
    let Some((value, plain)) = plain(body) else { return };
    if let Ok(DeletionAnswer::Results { outcomes, .. }) =
        delete::answer(&place(Operation::BatchDelete), &asked, &reply(200, &plain))
    {
        complete(&asked, &outcomes);
        for (id, outcome) in &outcomes {
            in_words(&value, id, outcome);
        }
    }
}

fn complete(asked: &[BackupId], outcomes: &[(BackupId, Outcome)]) {
    assert!(
        outcomes.iter().map(|(id, _)| id).eq(asked),
        "one outcome for each id, in the order asked"
    );
    for (_, outcome) in outcomes {
        match outcome {
            Outcome::Accepted => {}
            Outcome::Rejected { code, message } => {
                assert!(!code.is_empty() && code != "0");
                tidy(code);
                tidy(message);
            }
            Outcome::Unanswered { why } => assert!(!why.is_empty()),
        }
    }
}

/// What the answer says of an id, plainly read.
fn in_words(answer: &Value, id: &BackupId, outcome: &Outcome) {
    let results = match answer.get("delete_results") {
        Some(Value::Array(results)) => results.iter().collect(),
        Some(one) => vec![one],
        None => Vec::new(),
    };
    let codes: Vec<Option<String>> = results
        .into_iter()
        .filter(|result| trimmed(result, "backup_id") == Some(id.as_str()))
        .map(|result| match result.get("error_code")? {
            Value::String(code) => Some(code.trim().to_owned()),
            Value::Number(code) => Some(code.to_string()),
            _ => None,
        })
        .collect();
    let all_are = |wanted: &str| !codes.is_empty() && codes.iter().all(|code| code.as_deref() == Some(wanted));
    if *outcome == Outcome::Accepted {
        assert!(all_are("0"), "{id} was accepted by {codes:?}");
    } else {
        assert!(!all_are("0"), "{id} was accepted, and is {outcome:?}");
    }
}

/// Fit for a log line.
fn tidy(text: &str) {
    assert!(!text.chars().any(char::is_control), "{text:?}");
    assert!(text.chars().count() <= 1_000, "{} characters", text.chars().count());
}

fn said(error: &Error) {
    tidy(&error.chain());
    tidy(&error.code());
}

/// Backups from a file: the two ways to read it agree, and no id is there twice.
pub fn file(data: &[u8]) {
    let (whole, halves) = super::backups_file::both_ways(data);
    if let Some(halves) = halves {
        assert_eq!(Ok(&halves), whole.as_ref(), "read in halves, and as a whole");
    }
    match whole {
        Ok(groups) => {
            let mut ids = BTreeSet::new();
            let mut instances: HashMap<&Option<InstanceId>, usize> = HashMap::new();
            for (instance, backups) in &groups {
                assert!(
                    instances.insert(instance, backups.len()).is_none(),
                    "an instance is there twice"
                );
                assert!(
                    backups.iter().all(|backup| ids.insert(backup.id.clone())),
                    "an id is there twice"
                );
                only_understood_ones_go(backups);
            }
        }
        Err(why) => assert!(!why.is_empty()),
    }
}

/// A text as a time: what is read is written in other ways and read again the same, and agrees with chrono where that reads it,
/// too.
pub fn times(data: &[u8]) {
    let (head, text) = data.split_at(data.len().min(3));
    let Ok(text) = std::str::from_utf8(text) else { return };
    for wait in [retry_after(text, noon())].into_iter().flatten() {
        assert!(wait <= Duration::from_secs(60), "{text:?} is a wait of {wait:?}");
    }
    // Whole seconds; a leap second is a thousand million nanoseconds late.
    assert!(http_date(text, noon()).is_none_or(|at| at.timestamp_subsec_nanos() % 1_000_000_000 == 0));
    let at = parse_time(text);
    let by_chrono = DateTime::parse_from_rfc3339(text.trim())
        .or_else(|_| DateTime::parse_from_str(text.trim(), "%Y-%m-%dT%H:%M:%S%z"));
    if let (Some(at), Ok(other)) = (at, by_chrono) {
        assert_eq!(at, other.to_utc(), "{text:?}");
    }
    let Some(at) = at else { return };
    let mut tape = Tape::new(head);
    let minutes = i32::try_from(tape.number(2) % 2_878).unwrap_or(0) - 1_439;
    let Some(offset) = FixedOffset::east_opt(minutes * 60) else {
        return;
    };
    let local = at.with_timezone(&offset);
    // A year has four digits at most.
    if !(0..=9_999).contains(&chrono::Datelike::year(&local)) {
        return;
    }
    for form in [
        "%Y-%m-%dT%H:%M:%S%.f%z",
        "%Y-%m-%dT%H:%M:%S%.f%:z",
        "%Y-%m-%d %H:%M:%S%.f %z",
    ] {
        let written = local.format(form).to_string();
        assert_eq!(parse_time(&written), Some(at), "{text:?}, written as {written:?}");
    }
}
