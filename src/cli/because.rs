//! The answer of `why` in words, and as JSON.
//!
//! Pure. Not for finding out: that is `why`.

use std::io::{self, Write};

use anstyle::{AnsiColor, Style};
use chrono::{DateTime, Utc};
use chrono_tz::Tz;
use serde::Serialize;

use super::forecast::length;
use super::json::{self, Reasons, Stamp};
use super::out::Look;
use super::render::{BOLD, DIM};
use super::sentences::{age, clean, count, expired, keep, moment, shell_word, size, timestamp};
use super::why::{Answer, Pace, Present, Saying, acts, keepers};
use crate::ledger::{DeletionState, PastDeletion};
use crate::retention::edit::{Bound, Change, Edit};
use crate::retention::policy::Count;
use crate::retention::{Databases, ExpireReason, KeepReason, KeepRule, Keeper, Outcome, Series, Verdict};

/// Where the second column begins.
const LABEL: usize = 14;
/// No more proposals than this are of use.
const MOST_EDITS: usize = 3;

/// Writes lines with a label in front, wrapped behind it.
struct Lines<'a> {
    out: &'a mut dyn Write,
    look: &'a Look,
}

impl Lines<'_> {
    fn say(&mut self, label: &str, text: &str) -> io::Result<()> {
        let width = self.look.width.unwrap_or(usize::MAX).max(LABEL + 30) - LABEL - 2;
        let mut line = String::new();
        let mut label = label;
        for word in text.split(' ') {
            let fits = line.is_empty()
                || unicode_width::UnicodeWidthStr::width(line.as_str())
                    + 1
                    + unicode_width::UnicodeWidthStr::width(word)
                    <= width;
            if !fits {
                self.line(label, &line)?;
                label = "";
                line.clear();
            }
            if !line.is_empty() {
                line.push(' ');
            }
            line.push_str(word);
        }
        self.line(label, &line)
    }

    fn line(&mut self, label: &str, text: &str) -> io::Result<()> {
        let padding = LABEL.saturating_sub(label.len());
        writeln!(self.out, "  {}{:padding$}{text}", self.look.paint(DIM, label), "")
    }
}

/// Draws the answer for a person.
pub(super) fn draw(out: &mut dyn Write, answer: &Answer, look: &Look) -> io::Result<()> {
    if let Some(present) = &answer.present {
        draw_present(out, answer, present, look)?;
    }
    for (nth, past) in answer.past.iter().enumerate() {
        if nth > 0 || answer.present.is_some() {
            writeln!(out)?;
        }
        draw_past(out, past, answer.present.is_some(), look)?;
    }
    Ok(())
}

fn draw_present(out: &mut dyn Write, answer: &Answer, present: &Present, look: &Look) -> io::Result<()> {
    let Present { instance, backup, .. } = present;
    let (word, colour) = headline(present, answer.at);
    let colour: Style = colour.on_default().bold();
    writeln!(
        out,
        "{} {}: {}",
        look.paint(BOLD, &clean(&backup.name)),
        look.paint(DIM, &format!("({})", clean(backup.id.as_str()))),
        look.paint(colour, word)
    )?;
    let mut lines = Lines { out, look };
    lines.say(
        "instance",
        &format!(
            "{} ({}, project {})",
            clean(&instance.name),
            clean(instance.id.as_str()),
            clean(instance.project.as_str())
        ),
    )?;
    let begun = backup.begin.map_or_else(
        || "begun at a time that cannot be read".to_owned(),
        |begin| format!("begun {} ({})", timestamp(begin), ago(answer.at, begin)),
    );
    let holds = match &backup.databases {
        Databases::All => "a full backup".to_owned(),
        Databases::Named(names) => {
            let names: Vec<_> = names.iter().map(|name| clean(name)).collect();
            format!("a partial backup of {}", names.join(", "))
        }
        Databases::Unknown => "its databases are not known".to_owned(),
    };
    lines.say(
        "backup",
        &format!(
            "{begun}, {}, {}, {holds}",
            size(backup.size_bytes),
            clean(backup.status.as_str())
        ),
    )?;
    if present.sayings.is_empty() {
        return lines.say("policies", "no policy has it in its scope, so nothing ever deletes it");
    }
    for saying in &present.sayings {
        draw_saying(lines.out, answer, present, saying, look)?;
    }
    if present.is_kept() {
        writeln!(lines.out)?;
        draw_until(out, present, look)?;
    }
    Ok(())
}

fn headline(present: &Present, now: DateTime<Utc>) -> (&'static str, AnsiColor) {
    if present.sayings.is_empty() {
        return ("not managed", AnsiColor::Green);
    }
    if present.is_kept() {
        return ("kept", AnsiColor::Green);
    }
    if !present.sayings.iter().any(|saying| acts(&saying.policy)) {
        return (
            "expired, but every policy that says so is a dry-run: it stays",
            AnsiColor::Yellow,
        );
    }
    let is_due =
        |saying: &Saying| acts(&saying.policy) && saying.since.is_some() && saying.due_at.is_some_and(|due| due <= now);
    if present.sayings.iter().any(is_due) {
        ("due: the next run deletes it, if the guard lets it", AnsiColor::Red)
    } else {
        let seen = present.sayings.iter().any(|saying| saying.since.is_some());
        let word = if seen {
            "expired, in its grace"
        } else {
            "expired, its grace has not begun"
        };
        (word, AnsiColor::Yellow)
    }
}

fn ago(now: DateTime<Utc>, at: DateTime<Utc>) -> String {
    let text = age(now, at);
    if text.starts_with("in ") {
        text
    } else {
        format!("{text} ago")
    }
}

fn draw_saying(
    out: &mut dyn Write,
    answer: &Answer,
    present: &Present,
    saying: &Saying,
    look: &Look,
) -> io::Result<()> {
    let policy = &saying.policy;
    writeln!(
        out,
        "\npolicy {}, {}, times in {}",
        look.paint(BOLD, &clean(policy.name.as_str())),
        policy.mode.as_str(),
        policy.zone
    )?;
    let mut lines = Lines { out, look };
    match &saying.verdict {
        Verdict::Keep(reasons) => {
            for (nth, reason) in reasons.iter().enumerate() {
                lines.say(if nth == 0 { "kept by" } else { "" }, &kept_by(reason))?;
            }
            if let Some(would_go) = &saying.would_go {
                lines.say(
                    "to let it go",
                    &to_let_go(answer, reasons, would_go, policy.min_backups.get()),
                )?;
            }
        }
        Verdict::Expire(reason) => {
            lines.say("expired", expired(*reason).trim_start_matches("expired: "))?;
            let others: Vec<_> = keepers(present).into_iter().map(|name| clean(name.as_str())).collect();
            if !others.is_empty() {
                lines.say(
                    "but",
                    &format!("kept by {}: it goes when that lets it go, too", others.join(", ")),
                )?;
            }
            draw_grace(&mut lines, answer.at, saying)?;
            let mut edits: Vec<String> = saying
                .would_stay
                .iter()
                .take(MOST_EDITS)
                .map(|change| sentence(change, "stay"))
                .collect();
            let held = format!(
                "{} hold {} --reason …",
                answer.program,
                shell_word(present.backup.id.as_str())
            );
            edits.push(held);
            for (nth, edit) in edits.iter().enumerate() {
                lines.say(if nth == 0 { "to keep it" } else { "or" }, edit)?;
            }
        }
    }
    Ok(())
}

fn draw_grace(lines: &mut Lines<'_>, now: DateTime<Utc>, saying: &Saying) -> io::Result<()> {
    let policy = &saying.policy;
    let zone = policy.zone;
    let grace = policy.grace;
    match saying.since {
        Some(since) => lines.say(
            "since",
            &format!(
                "{} (grace {grace}, first seen expired by that run)",
                moment(since, zone)
            ),
        )?,
        None if acts(policy) => lines.say(
            "since",
            &format!("no run has seen it expired yet; its grace of {grace} begins with the next one"),
        )?,
        None => lines.say("since", "a dry-run begins no grace")?,
    }
    if !acts(policy) {
        return Ok(());
    }
    let Some(due) = saying.due_at else {
        return lines.say("due", "never: its grace does not end within the calendar");
    };
    let is_due = due <= now && saying.since.is_some();
    let run = match saying.next_run {
        Some(run) => format!("the run at {} deletes it", moment(run, zone)),
        None => "the next `apply` deletes it (the policy has no schedule)".to_owned(),
    };
    let due = if is_due { "now".to_owned() } else { moment(due, zone) };
    lines.say("due", &format!("{due}; {run}, unless the guard refuses"))
}

fn draw_until(out: &mut dyn Write, present: &Present, look: &Look) -> io::Result<()> {
    let zone = present.sayings.first().map_or(Tz::UTC, |saying| saying.policy.zone);
    let mut lines = Lines { out, look };
    let alone = match present.expires_at {
        Some(at) => format!("{}, if no new backups are made", moment(at, zone)),
        None => "for ever, if no new backups are made".to_owned(),
    };
    lines.say("until", &alone)?;
    match &present.at_this_pace {
        Some(Pace {
            every,
            departure: Some(departure),
            ..
        }) => lines.say(
            "",
            &format!(
                "deleted about {} by {}, if a backup goes on being made every {}",
                super::sentences::day(departure.at, zone),
                clean(departure.policy.as_str()),
                length(*every)
            ),
        ),
        Some(Pace { every, until, .. }) => lines.say(
            "",
            &format!(
                "at least {}, if a backup goes on being made every {}",
                super::sentences::day(*until, zone),
                length(*every)
            ),
        ),
        None => Ok(()),
    }
}

/// `daily: slot 3 of 7, in the full series`
fn kept_by(reason: &KeepReason) -> String {
    let series = match &reason.series {
        Some(Series::Full) => ", in the full series".to_owned(),
        Some(Series::Database(name)) => format!(", in the series of database {}", clean(name)),
        None => String::new(),
    };
    match &reason.keeper {
        Keeper::Rule(rule) => {
            let oldest = if reason.oldest {
                ", as the oldest while slots are left"
            } else {
                ""
            };
            let of = match rule {
                KeepRule::Last(Count::AtMost(most)) | KeepRule::Counted(_, Count::AtMost(most)) => {
                    format!(" of {most}")
                }
                _ => String::new(),
            };
            let slot = reason
                .slot
                .map_or_else(String::new, |slot| format!(", slot {slot}{of}"));
            format!("`{}`{slot}{oldest}{series}", written(*rule))
        }
        _ => format!("{}{series}", keep(std::slice::from_ref(reason))),
    }
}

/// A rule as the configuration writes it.
fn written(rule: KeepRule) -> String {
    let value = match rule {
        KeepRule::Last(Count::All) | KeepRule::Counted(_, Count::All) => "all".to_owned(),
        KeepRule::Last(Count::AtMost(most)) | KeepRule::Counted(_, Count::AtMost(most)) => most.to_string(),
        KeepRule::Within(span) | KeepRule::WithinPeriod(_, span) => span.to_string(),
    };
    format!("{}: {value}", rule.key())
}

fn edit(edit: &Edit) -> String {
    match edit {
        Edit::Rule { from, to: Some(to) } => format!("`{}` instead of `{}`", written(*to), written(*from)),
        Edit::Rule { from, to: None } => format!("without `{}`", written(*from)),
        Edit::MaxAge { from, to: Some(to) } => format!("`max_age: {to}` instead of `{from}`"),
        Edit::MaxAge { from, to: None } => format!("without `max_age: {from}`"),
        Edit::FailedAfter { from, to } => format!("`failed_after: {to}` instead of `{from}`"),
    }
}

fn sentence(change: &Change, what: &str) -> String {
    let edits: Vec<String> = change.edits.iter().map(edit).collect();
    let others = match change.others {
        0 => "no other backup of this instance changes with it".to_owned(),
        others => format!(
            "{} of this instance would {what} with it",
            count(others as u64, "other backup")
        ),
    };
    format!("{}; {others}", edits.join(" and "))
}

fn to_let_go(answer: &Answer, reasons: &[KeepReason], would_go: &Result<Change, Bound>, floor: u32) -> String {
    match would_go {
        Ok(change) => sentence(change, "go"),
        Err(Bound::Floor) => format!(
            "nothing but {}: it is among the newest {floor} (min_backups), which stay whatever the rules say",
            if floor == 1 { "a newer backup" } else { "newer backups" }
        ),
        Err(Bound::OnlyRule) => {
            "nothing but newer backups: the rules that keep it have no slot less to give".to_owned()
        }
        Err(Bound::NotByRule) => {
            let hold = reasons.iter().find_map(|reason| match &reason.keeper {
                Keeper::Hold(hold) => Some(hold),
                _ => None,
            });
            match hold {
                Some(hold) => match &hold.id {
                    Some(id) => format!("{} release {}", answer.program, shell_word(id)),
                    None => "take the hold out of the configuration".to_owned(),
                },
                None if reasons.iter().any(|reason| reason.keeper == Keeper::Names) => {
                    "take its name out of `keep.names`".to_owned()
                }
                None => "no edit: it is not kept by a rule".to_owned(),
            }
        }
    }
}

fn draw_past(out: &mut dyn Write, past: &PastDeletion, present: bool, look: &Look) -> io::Result<()> {
    let (word, colour) = match past.state {
        DeletionState::Confirmed => ("deleted", AnsiColor::Red),
        DeletionState::Accepted => ("deletion accepted, not yet confirmed", AnsiColor::Yellow),
        DeletionState::Rejected => ("a deletion was rejected", AnsiColor::Yellow),
        DeletionState::Unanswered => ("a deletion was never answered", AnsiColor::Yellow),
        DeletionState::Intended => ("a deletion is under way, or its process was killed", AnsiColor::Yellow),
        DeletionState::Resent => ("a deletion was asked for, and asked for again later", AnsiColor::Yellow),
        DeletionState::Returned => ("a deletion was accepted, and yet it is still there", AnsiColor::Yellow),
    };
    if present {
        writeln!(out, "{}", look.paint(colour.on_default().bold(), word))?;
    } else {
        writeln!(
            out,
            "{} {}: {}",
            look.paint(BOLD, &clean(&past.backup_name)),
            look.paint(DIM, &format!("({})", clean(past.backup.as_str()))),
            look.paint(colour.on_default().bold(), word)
        )?;
    }
    let mut lines = Lines { out, look };
    if !present {
        lines.say(
            "instance",
            &format!(
                "{} ({}, project {})",
                clean(&past.instance_name),
                clean(past.instance_id.as_str()),
                clean(past.project.as_str())
            ),
        )?;
        lines.say(
            "backup",
            &format!(
                "begun {}, {}, {}",
                timestamp(past.begin_time),
                size(past.size_bytes),
                clean(&past.status)
            ),
        )?;
    }
    draw_request(&mut lines, past)?;
    let rule = ExpireReason::from_key(&past.rule).map_or_else(
        || clean(&past.rule).into_owned(),
        |reason| expired(reason).trim_start_matches("expired: ").to_owned(),
    );
    lines.say("by policy", &format!("{}: {rule}", clean(past.policy.as_str())))?;
    lines.say(
        "on listing",
        &format!(
            "of {} read at {}, with {}",
            clean(&past.instance_name),
            timestamp(past.listing.read_at),
            count(past.listing.count, "manual backup")
        ),
    )?;
    lines.say(
        "record",
        &format!(
            "ledger row {}, configuration {}",
            past.request,
            clean(&past.config_sha256)
        ),
    )
}

/// When it was asked for, what was answered, and what a listing said later.
fn draw_request(lines: &mut Lines<'_>, past: &PastDeletion) -> io::Result<()> {
    lines.say(
        "asked for",
        &format!(
            "{} in run {}, attempt {}",
            timestamp(past.sent_at),
            clean(&past.run),
            past.attempt
        ),
    )?;
    if let Some(at) = past.answered_at {
        let answer = match &past.outcome {
            Some(Outcome::Accepted) => "accepted".to_owned(),
            Some(Outcome::Rejected { code, message }) => format!("rejected: {} {}", clean(code), clean(message)),
            Some(Outcome::Unanswered { why }) => format!("unanswered: {}", clean(why)),
            None => "no word of this backup".to_owned(),
        };
        let request = past
            .request_id
            .as_ref()
            .map_or_else(String::new, |id| format!(" (API request {})", clean(id)));
        lines.say("answered", &format!("{} {answer}{request}", timestamp(at)))?;
    }
    match (past.settled_at, past.state) {
        (Some(at), DeletionState::Confirmed) => {
            lines.say("gone", &format!("{}, confirmed by a listing", timestamp(at)))?;
        }
        (Some(at), _) => lines.say("returned", &format!("{}, still listed", timestamp(at)))?,
        (None, _) => {}
    }
    Ok(())
}

/// Writes the answer for a machine.
pub(super) fn write_json(out: &mut dyn Write, answer: &Answer) -> io::Result<()> {
    json::write(
        out,
        &AnswerJson {
            at: Stamp(answer.at),
            backup_id: answer.id.as_str(),
            backup: answer.present.as_ref().map(PresentJson::of),
            deletions: answer.knows_past.then_some(&answer.past),
        },
    )
}

#[derive(Serialize)]
struct AnswerJson<'a> {
    at: Stamp,
    backup_id: &'a str,
    /// `null` when no listing shows it.
    backup: Option<PresentJson<'a>>,
    /// `null` when there is no state to ask.
    deletions: Option<&'a Vec<PastDeletion>>,
}

#[derive(Serialize)]
struct PresentJson<'a> {
    project: &'a str,
    instance_id: &'a str,
    instance_name: &'a str,
    backup_name: &'a str,
    begin_time: Option<Stamp>,
    size_bytes: u64,
    status: &'a str,
    /// `keep`, `expired` or `unmanaged`.
    fate: &'static str,
    /// When a kept one would go if no new backups were made; `null` is never.
    expires_at: Option<Stamp>,
    at_this_pace: Option<PaceJson>,
    policies: Vec<SayingJson<'a>>,
}

#[derive(Serialize)]
struct PaceJson {
    backup_every: String,
    goes_at: Option<Stamp>,
    looked_until: Stamp,
}

#[derive(Serialize)]
struct SayingJson<'a> {
    policy: &'a str,
    mode: &'static str,
    decision: &'static str,
    reasons: Reasons<'a>,
    expired_since: Option<Stamp>,
    due_at: Option<Stamp>,
    next_run: Option<Stamp>,
    would_go: Option<ChangeJson>,
    would_stay: Vec<ChangeJson>,
}

#[derive(Serialize)]
struct ChangeJson {
    edits: Vec<EditJson>,
    other_backups: usize,
}

#[derive(Serialize)]
struct EditJson {
    key: &'static str,
    from: String,
    to: Option<String>,
}

impl PresentJson<'_> {
    fn of(present: &Present) -> PresentJson<'_> {
        let Present { instance, backup, .. } = present;
        PresentJson {
            project: instance.project.as_str(),
            instance_id: instance.id.as_str(),
            instance_name: &instance.name,
            backup_name: &backup.name,
            begin_time: backup.begin.map(Stamp),
            size_bytes: backup.size_bytes,
            status: backup.status.as_str(),
            fate: match (present.sayings.is_empty(), present.is_kept()) {
                (true, _) => "unmanaged",
                (false, true) => "keep",
                (false, false) => "expired",
            },
            expires_at: present.expires_at.map(Stamp),
            at_this_pace: present.at_this_pace.as_ref().map(|pace| PaceJson {
                backup_every: length(pace.every),
                goes_at: pace.departure.as_ref().map(|departure| Stamp(departure.at)),
                looked_until: Stamp(pace.until),
            }),
            policies: present.sayings.iter().map(SayingJson::of).collect(),
        }
    }
}

impl SayingJson<'_> {
    fn of(saying: &Saying) -> SayingJson<'_> {
        let (decision, reasons) = match &saying.verdict {
            Verdict::Keep(reasons) => ("keep", Reasons::Keep(reasons)),
            Verdict::Expire(reason) => ("expired", Reasons::Expire(*reason)),
        };
        SayingJson {
            policy: saying.policy.name.as_str(),
            mode: saying.policy.mode.as_str(),
            decision,
            reasons,
            expired_since: saying.since.map(Stamp),
            due_at: saying.due_at.filter(|_| acts(&saying.policy)).map(Stamp),
            next_run: saying.next_run.map(Stamp),
            would_go: saying
                .would_go
                .as_ref()
                .and_then(|change| change.as_ref().ok())
                .map(ChangeJson::of),
            would_stay: saying.would_stay.iter().map(ChangeJson::of).collect(),
        }
    }
}

impl ChangeJson {
    fn of(change: &Change) -> Self {
        let value = |rule: KeepRule| written(rule).split(": ").nth(1).unwrap_or_default().to_owned();
        let edit = |edit: &Edit| match edit {
            Edit::Rule { from, to } => EditJson {
                key: from.key(),
                from: value(*from),
                to: to.map(value),
            },
            Edit::MaxAge { from, to } => EditJson {
                key: "max_age",
                from: from.to_string(),
                to: to.map(|to| to.to_string()),
            },
            Edit::FailedAfter { from, to } => EditJson {
                key: "failed_after",
                from: from.to_string(),
                to: Some(to.to_string()),
            },
        };
        Self {
            edits: change.edits.iter().map(edit).collect(),
            other_backups: change.others,
        }
    }
}
