//! The answer of `why` in words. Not for finding out: that is `operations::why`.

use std::collections::BTreeMap;
use std::io::{self, Write};

use anstyle::AnsiColor;
use chrono::{DateTime, Utc};

use super::labelled::{Lines, headline};
use super::past_deletion::{became, draw_past};
use super::theme::{BOLD, Theme};
use crate::operations::answer::{Answer, BackupInterval, PolicyAnswer, Present};
use crate::retention::policy::Count;
use crate::retention::what_if::{Bound, Edit, EditedValue};
use crate::retention::{Backup, Databases, Freezes, KeepReason, KeepRule, KeptBy, PolicyName, Series, Verdict, Zone};
use crate::wording::numbers::{count, size};
use crate::wording::reasons::{databases, expired, keep};
use crate::wording::remedies::end_freeze;
use crate::wording::remedies::shell_word;
use crate::wording::sanitize::clean;
use crate::wording::times::{common_zone, day, distance, interval, moment, zoned};

/// No more proposals than this are of use.
const MOST_EDITS: usize = 3;

/// Draws the answer for a person; of a deletion in the zone of its policy.
pub(in crate::cli) fn draw(
    out: &mut dyn Write,
    answer: &Answer,
    zone_of: &dyn Fn(&PolicyName) -> Zone,
    theme: &Theme,
) -> io::Result<()> {
    if let Some(present) = &answer.present {
        draw_present(out, answer, present, theme)?;
    }
    for (nth, past) in answer.deletions().iter().enumerate() {
        if nth > 0 || answer.present.is_some() {
            writeln!(out)?;
        }
        draw_past(out, past, answer.present.is_some(), zone_of(&past.policy), theme)?;
    }
    Ok(())
}

fn draw_present(out: &mut dyn Write, answer: &Answer, present: &Present, theme: &Theme) -> io::Result<()> {
    let Present { instance, backup, .. } = present;
    let zone = common_zone(present.policies.iter().map(|answered| answered.policy.zone));
    let (word, colour) = fate_of(answer, present);
    headline(out, theme, &backup.name, backup.id.as_str(), word, colour)?;
    let mut lines = Lines { out, theme };
    lines.say(
        "instance",
        &format!(
            "{} ({}, project {})",
            clean(&instance.name),
            clean(instance.id.as_str()),
            clean(instance.project.as_str())
        ),
    )?;
    lines.say("backup", &in_short(backup, answer.at, zone))?;
    if present.policies.is_empty() {
        return lines.say("policies", &unmanaged(present));
    }
    for answered in &present.policies {
        draw_policy(lines.out, answer, present, answered, theme)?;
    }
    if let Some(Freezes {
        longest: freeze,
        sources,
    }) = answer.freeze.as_ref().filter(|_| !present.is_kept())
    {
        writeln!(lines.out)?;
        let end = freeze.until.map_or_else(
            || format!("until it is ended ({})", end_freeze(sources, &theme.program)),
            |until| format!("until {}", zoned(until, zone)),
        );
        lines.say(
            "frozen",
            &format!("nothing is deleted {end}: {}", clean(&freeze.reason)),
        )?;
    }
    if present.is_kept() && answer.under_way().is_none() {
        writeln!(lines.out)?;
        draw_until(out, present, theme)?;
    }
    Ok(())
}

/// When it was begun, and what it is.
fn in_short(backup: &Backup, now: DateTime<Utc>, zone: Zone) -> String {
    let begun = backup.begin.map_or_else(
        || "begun at a time that cannot be read".to_owned(),
        |begin| format!("begun {} ({})", zoned(begin, zone), distance(begin, now)),
    );
    let holds = match &backup.databases {
        Databases::All | Databases::Absent => "a full backup".to_owned(),
        Databases::Named(names) => {
            let names: Vec<_> = names.iter().map(|name| clean(name)).collect();
            format!("a partial backup of {}", names.join(", "))
        }
        Databases::Unreadable | Databases::Unknown => "its databases are not known".to_owned(),
    };
    let (size, status) = (size(backup.size_bytes), clean(backup.status.as_str()));
    format!("{begun}, {size}, {status}, {holds}")
}

/// Why nothing deletes it.
fn unmanaged(present: &Present) -> String {
    if present.passed_by.is_empty() {
        return "none selects its instance, so nothing ever deletes it".to_owned();
    }
    let names: Vec<_> = present.passed_by.iter().map(|name| clean(name.as_str())).collect();
    format!(
        "{} {} its instance, but not a backup of this name (`select.backups`), so nothing ever deletes it",
        names.join(", "),
        if names.len() == 1 { "selects" } else { "select" }
    )
}

/// What becomes of one that is there, in few words.
fn fate_of(answer: &Answer, present: &Present) -> (&'static str, AnsiColor) {
    if let Some(past) = answer.under_way() {
        return became(past.state);
    }
    if present.policies.is_empty() {
        return ("not managed", AnsiColor::Green);
    }
    if present.is_kept() {
        return ("kept", AnsiColor::Green);
    }
    if !present.policies.iter().any(PolicyAnswer::is_enforced) {
        return ("expired, but only by dry-run policies, so it stays", AnsiColor::Yellow);
    }
    let is_due = |answered: &PolicyAnswer| {
        answered.is_enforced() && answered.since.is_some() && answered.due_at.is_some_and(|due| due <= answer.at)
    };
    if present.policies.iter().any(is_due) {
        if answer.freeze.is_some() {
            ("due, but everything is frozen", AnsiColor::Yellow)
        } else {
            ("due: the next run deletes it, if the guard lets it", AnsiColor::Red)
        }
    } else if present.policies.iter().any(|answered| answered.since.is_some()) {
        ("expired, in its grace period", AnsiColor::Yellow)
    } else if present
        .policies
        .iter()
        .any(|answered| answered.is_enforced() && answered.policy.grace.is_zero())
    {
        ("expired, no run has seen it yet", AnsiColor::Yellow)
    } else {
        ("expired, its grace period has not started", AnsiColor::Yellow)
    }
}

fn draw_policy(
    out: &mut dyn Write,
    answer: &Answer,
    present: &Present,
    answered: &PolicyAnswer,
    theme: &Theme,
) -> io::Result<()> {
    let policy = &answered.policy;
    writeln!(
        out,
        "\npolicy {}, {}, times in {}",
        theme.paint(BOLD, &clean(policy.name.as_str())),
        policy.mode.as_str(),
        policy.zone
    )?;
    let mut lines = Lines { out, theme };
    match &answered.verdict {
        Verdict::Keep(reasons) => {
            for (nth, text) in kept_by(answered, reasons).iter().enumerate() {
                lines.say(if nth == 0 { "kept by" } else { "" }, text)?;
            }
            if reasons.iter().any(|reason| reason.keeper == KeptBy::Changed) {
                let id = shell_word(present.instance.id.as_str());
                lines.command("to accept it", &format!("{} approve --listing {id}", theme.program))?;
            } else if let Some(would_go) = &answered.would_go {
                draw_to_let_go(&mut lines, would_go, policy.min_backups.get())?;
            }
        }
        Verdict::Expire(reason) => {
            lines.say("expired", expired(*reason))?;
            let others: Vec<_> = present.keepers().map(|name| clean(name.as_str())).collect();
            if others.is_empty() {
                draw_grace(&mut lines, answer.at, answered)?;
            } else {
                let text = format!(
                    "kept by {}: it goes, and its grace begins, only when {} it go, too",
                    others.join(", "),
                    if others.len() == 1 { "that lets" } else { "those let" }
                );
                lines.say("but", &text)?;
            }
            let edits = answered
                .would_stay
                .iter()
                .take(MOST_EDITS)
                .map(|change| sentence(&theme.program, change, "stay"));
            for (nth, text) in edits.enumerate() {
                lines.say(if nth == 0 { "to keep it" } else { "or" }, &text)?;
            }
            let id = shell_word(present.backup.id.as_str());
            let label = if answered.would_stay.is_empty() {
                "to keep it"
            } else {
                "or"
            };
            lines.command(label, &format!("{} hold {id} --reason …", theme.program))?;
        }
    }
    Ok(())
}

fn draw_grace(lines: &mut Lines<'_>, now: DateTime<Utc>, answered: &PolicyAnswer) -> io::Result<()> {
    let policy = &answered.policy;
    let zone = policy.zone;
    let grace = policy.grace;
    match answered.since {
        Some(since) => lines.say(
            "since",
            &format!(
                "{} (grace {grace}, first seen expired by that run)",
                moment(since, zone)
            ),
        )?,
        None if answered.is_enforced() && grace.is_zero() => {
            lines.say(
                "since",
                "no run has seen it expired yet; the policy has no grace period",
            )?;
        }
        None if answered.is_enforced() => lines.say(
            "since",
            &format!("no run has seen it expired yet; its grace period of {grace} starts with the next one"),
        )?,
        None => lines.say("since", "dry-runs start no grace period")?,
    }
    if !answered.is_enforced() {
        return Ok(());
    }
    let Some(due) = answered.due_at else {
        return lines.say("due", "never: its grace does not end within the calendar");
    };
    let is_due = due <= now && answered.since.is_some();
    let run = match answered.next_run {
        Some(run) => format!("the run at {} deletes it", moment(run, zone)),
        None => "the next `apply` deletes it (the policy has no schedule)".to_owned(),
    };
    let due = if is_due { "now".to_owned() } else { moment(due, zone) };
    lines.say("due", &format!("{due}; {run}, unless the guard refuses"))
}

fn draw_until(out: &mut dyn Write, present: &Present, theme: &Theme) -> io::Result<()> {
    let zone = present
        .policies
        .first()
        .map_or(Zone::UTC, |answered| answered.policy.zone);
    let mut lines = Lines { out, theme };
    let alone = match present.expires_at {
        Some(at) => format!("{}, if no new backups are made", moment(at, zone)),
        None => "for ever, if no new backups are made".to_owned(),
    };
    lines.say("until", &alone)?;
    let Some(BackupInterval {
        every,
        departure,
        until,
    }) = &present.at_this_pace
    else {
        return Ok(());
    };
    let text = match departure {
        Some(departure) => format!(
            "about {}, when policy {} deletes it",
            day(departure.at, zone),
            clean(departure.policy.as_str())
        ),
        None => format!("{} at least", day(*until, zone)),
    };
    lines.say(
        "or until",
        &format!("{text}, if a backup goes on being made every {}", interval(*every)),
    )
}

/// What keeps it, a line a rule: `daily: 7`, slot 3 of 7. What the series of databases repeat of the full one is said once.
fn kept_by(answered: &PolicyAnswer, reasons: &[KeepReason]) -> Vec<String> {
    if reasons.iter().any(|reason| reason.keeper == KeptBy::TooNewFailed) {
        // Two reasons under one name in JSON; here it is known which.
        return vec![match answered.would_go {
            Some(Err(Bound::NoNewer)) => "FAILED, and no newer one is COMPLETED".to_owned(),
            _ => format!(
                "FAILED, and `failed_after: {}` is not over",
                answered.policy.failed_after
            ),
        }];
    }
    let mut series: Vec<(String, Option<Vec<&str>>, bool)> = Vec::new();
    let mut places: BTreeMap<String, usize> = BTreeMap::new();
    for reason in reasons {
        let text = by(reason);
        let place = *places.entry(text.clone()).or_insert_with(|| {
            series.push((text, None, false));
            series.len() - 1
        });
        match &reason.series {
            Some(Series::Database(name)) => series[place].1.get_or_insert_default().push(name),
            Some(Series::Full) => series[place].2 = true,
            None => {}
        }
    }
    let line = |(text, names, full): (String, Option<Vec<&str>>, bool)| match (names, full) {
        (None, false) => text,
        (None, true) => format!("{text}, in the full series"),
        (Some(names), false) => format!("{text}, in the series of {}", databases(&names)),
        (Some(names), true) => format!("{text}, in the full series and in those of {}", databases(&names)),
    };
    series.into_iter().map(line).collect()
}

/// A rule and the slot it gives, without the series.
fn by(reason: &KeepReason) -> String {
    let KeptBy::Rule(rule) = &reason.keeper else {
        let plain = KeepReason {
            series: None,
            ..reason.clone()
        };
        return keep(std::slice::from_ref(&plain));
    };
    let oldest = if reason.oldest {
        ", as the oldest while slots are left"
    } else {
        ""
    };
    let slot = match (rule, reason.slot) {
        (KeepRule::Last(Count::AtMost(most)) | KeepRule::Counted(_, Count::AtMost(most)), Some(slot)) => {
            format!(", slot {slot} of {most}")
        }
        (KeepRule::Last(_) | KeepRule::Counted(..), Some(slot)) => format!(", slot {slot}"),
        // A duration has no slots to run out of.
        (KeepRule::Within(_) | KeepRule::WithinPeriod(..), _) | (_, None) => String::new(),
    };
    format!("`{}`{slot}{oldest}", written(*rule))
}

/// A rule as the configuration writes it.
fn written(rule: KeepRule) -> String {
    format!("{}: {}", rule.key(), rule.value())
}

fn edit(program: &str, edit: &Edit) -> String {
    match edit {
        Edit::Rule { from, to: Some(to) } => format!("`{}` instead of `{}`", written(*to), written(*from)),
        Edit::Rule { from, to: None } => format!("without `{}`", written(*from)),
        Edit::MaxAge { from, to: Some(to) } => format!("`max_age: {to}` instead of `{from}`"),
        Edit::MaxAge { from, to: None } => format!("without `max_age: {from}`"),
        Edit::FailedAfter { from, to } => format!("`failed_after: {to}` instead of `{from}`"),
        Edit::Name(pattern) => format!("`keep.names` without `{}`", clean(pattern.as_str())),
        Edit::Hold(hold) => match &hold.id {
            Some(id) => format!("`{program} release {}`", shell_word(id)),
            None => format!("`holds` without the one for `{}`", clean(&hold.reason)),
        },
    }
}

fn sentence(program: &str, change: &EditedValue, what: &str) -> String {
    let edits: Vec<String> = change.edits.iter().map(|one| edit(program, one)).collect();
    let others = match change.others {
        0 => "no other backup of this instance changes with it".to_owned(),
        others => format!(
            "{} of this instance would {what} with it",
            count(others as u64, "other backup")
        ),
    };
    format!("{}; {others}", edits.join(" and "))
}

fn draw_to_let_go(lines: &mut Lines<'_>, would_go: &Result<EditedValue, Bound>, floor: u32) -> io::Result<()> {
    let text = match would_go {
        Ok(change) => sentence(&lines.theme.program, change, "go"),
        Err(Bound::Floor) => format!(
            "nothing but {}: it is among the newest {floor} (min_backups), which stay whatever the rules say",
            if floor == 1 { "a newer backup" } else { "newer backups" }
        ),
        Err(Bound::OnlyRule) => {
            "nothing but newer backups: the rules that keep it have no slot less to give".to_owned()
        }
        Err(Bound::NoNewer) => {
            "nothing but a newer COMPLETED backup: until there is one, a FAILED one stays".to_owned()
        }
        Err(Bound::NotByRule) => "no edit of its rules, for none of them keeps it".to_owned(),
    };
    lines.say("to let it go", &text)
}
