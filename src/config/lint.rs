//! What is legal but hardly meant, in policies: warnings, each with what to do.
//!
//! A lint stays only if whoever sees it is better off for it: no matters of taste, nothing about defaults. Not for
//! mistakes (those are problems) nor for what only the cloud can tell (`check --online`).

use std::sync::Arc;

use chrono::{DateTime, TimeDelta, Utc};

use super::configuration::PolicyEntry;
use super::reader::{Cursor, Fields};
use crate::retention::bucket::hours_lie_within_days;
use crate::retention::{
    Count, DeletedInstances, InstanceId, KeepRule, Pattern, Period, Policy, Selector, TagFilter, Zone,
};
use crate::wording::times::length;

/// Where schedules are looked at: a plain Monday far from any change of clocks. Lints must not depend on the day.
const SAMPLE_FROM: DateTime<Utc> = DateTime::from_timestamp(1_767_571_200, 0).expect("a date of 2026");
/// A run this many times within the grace brings nothing but requests.
const RUNS_IN_GRACE: u64 = 48;
/// And of a schedule that is not that frequent in itself: this many times.
const HOURLY_IN_GRACE: u64 = 240;
/// A policy is compared with so many others: their number times itself is a long time.
const MOST_COMPARED: usize = 300;

/// One policy by itself.
pub(super) fn policy(fields: &Fields<'_>, entry: &PolicyEntry) {
    covered_rules(fields, &entry.policy);
    keeps_everything(fields, &entry.policy);
    selects_nothing(fields);
    max_age(fields, &entry.policy);
    pace(fields, entry);
}

/// The policies side by side, each with where it stands; and whether the configuration looks like one for `apply` alone, as
/// a cron job has it: it shows nothing.
pub(super) fn policies(all: &[(Cursor<'_>, &PolicyEntry)], is_for_apply: bool) {
    let any_scheduled = all.iter().any(|(_, entry)| entry.schedule.is_some());
    for (at, _) in all.iter().filter(|(_, entry)| entry.schedule.is_none()) {
        if any_scheduled || !is_for_apply {
            at.warn(
                "the policy has no `schedule`: the daemon never runs it, only `apply` does",
                "for 03:00 every day write `schedule: \"0 3 * * *\"`; for a cron job of `apply` write `listen: none`",
            );
        }
    }
    for (nth, (at, entry)) in all.iter().enumerate() {
        let earlier = || all[..nth].iter().take(MOST_COMPARED).map(|(_, other)| &other.policy);
        let name = |policy: &Arc<Policy>| format!("`{}`", policy.name);
        let select = &entry.policy.select;
        let same = earlier().find(|other| other.select == *select).map(name);
        let hint = "a backup goes only when every policy that selects it lets it go, one in dry-run too; if that is not meant, \
                    let one of them select less";
        if let Some(first) = same {
            at.warn(format!("it overlaps policy {first}: both select the same"), hint);
            continue;
        }
        let shared = earlier().filter(|other| overlap(&other.select, select));
        let names: Vec<String> = shared.map(name).collect();
        match names.as_slice() {
            [] => {}
            [one] => at.warn(
                format!("it overlaps policy {one}: some of what it selects is selected there, too"),
                hint,
            ),
            several => at.warn(
                format!(
                    "it overlaps policies {}: some of what it selects is selected there, too",
                    written_list(several)
                ),
                hint,
            ),
        }
    }
}

/// `a`, `b`, `c` and 7 more
fn written_list(names: &[String]) -> String {
    const FIRST: usize = 3;
    match names.len().checked_sub(FIRST) {
        None | Some(0) => names.join(", "),
        Some(more) => format!("{} and {more} more", names[..FIRST].join(", ")),
    }
}

/// Whether what the one selects is sure to be selected by the other, in part at least, whatever instances there are. Two
/// globs that may or may not meet are no overlap: what really overlaps `check --online` and `plan` tell.
fn overlap(a: &Selector, b: &Selector) -> bool {
    reaches(a, b) || reaches(b, a)
}

/// Whether, for every key, the wide one sets no limit or takes something that the narrow one asks for.
fn reaches(wide: &Selector, narrow: &Selector) -> bool {
    fn shared<T>(wide: Option<&Vec<T>>, narrow: Option<&Vec<T>>, takes: impl Fn(&T, &T) -> bool) -> bool {
        match (wide, narrow) {
            (None, _) => true,
            (Some(_), None) => false,
            (Some(wide), Some(narrow)) => narrow.iter().any(|item| wide.iter().any(|by| takes(by, item))),
        }
    }
    // A glob that one of them leaves out as a whole selects nothing for both.
    let left = |globs: &Option<Vec<Pattern>>, out: [&Vec<Pattern>; 2]| {
        globs.as_ref().map(|globs| {
            let is_out = |glob: &&Pattern| out.iter().any(|out| out.iter().any(|pattern| pattern.covers(glob)));
            globs.iter().filter(|glob| !is_out(glob)).cloned().collect::<Vec<_>>()
        })
    };
    let names_out = [&wide.exclude_instance_names, &narrow.exclude_instance_names];
    let instances = left(&narrow.instance_names, names_out);
    let backups_out = [&wide.exclude_backup_names, &narrow.exclude_backup_names];
    let backups = left(&narrow.backup_names, backups_out);
    let ids_out = [&wide.exclude_instance_ids, &narrow.exclude_instance_ids];
    let ids = narrow.instance_ids.as_ref().map(|ids| {
        let is_in = |id: &&InstanceId| {
            !ids_out
                .iter()
                .any(|out| out.iter().any(|other| other.as_str().eq_ignore_ascii_case(id.as_str())))
        };
        ids.iter().filter(is_in).cloned().collect::<Vec<_>>()
    });
    let selects_none = [&instances, &backups]
        .iter()
        .any(|globs| globs.as_ref().is_some_and(Vec::is_empty))
        || ids.as_ref().is_some_and(Vec::is_empty);
    let everything_out = |out: [&Vec<Pattern>; 2]| out.iter().any(|out| out.iter().any(|glob| glob.as_str() == "*"));
    let tagged = |wanted: &TagFilter| {
        let gives = |own: &&TagFilter| own.key == wanted.key && (wanted.value.is_none() || own.value == wanted.value);
        narrow.tags.iter().any(|own| gives(&own))
    };
    !selects_none
        && !everything_out(names_out)
        && !everything_out(backups_out)
        && shared(wide.projects.as_ref(), narrow.projects.as_ref(), |by, item| by == item)
        && narrow.engines.iter().any(|engine| wide.engines.contains(engine))
        && shared(wide.instance_names.as_ref(), instances.as_ref(), Pattern::covers)
        && shared(wide.instance_ids.as_ref(), ids.as_ref(), |by, item| by == item)
        && shared(
            wide.enterprise_projects.as_ref(),
            narrow.enterprise_projects.as_ref(),
            |by, item| by == item,
        )
        && shared(wide.backup_names.as_ref(), backups.as_ref(), Pattern::covers)
        && wide.tags.iter().all(tagged)
}

/// A rule that keeps nothing another one does not keep.
fn covered_rules(fields: &Fields<'_>, policy: &Policy) {
    let (rules, zone) = (policy.keep.rules(), policy.zone);
    for (nth, rule) in rules.iter().enumerate() {
        let covering = rules.iter().enumerate().find(|(other, by)| {
            // Of two that cover each other the later one is named.
            *other != nth && covers(**by, *rule, zone) && !(covers(*rule, **by, zone) && nth < *other)
        });
        let Some((_, by)) = covering else { continue };
        let only_newest = is_one(*rule);
        let message = if only_newest {
            format!(
                "`{}: 1` keeps the newest backup alone, which `{}` keeps anyway",
                rule.key(),
                by.key()
            )
        } else {
            format!("`{}` keeps nothing that `{}` does not keep", rule.key(), by.key())
        };
        let hint = if only_newest && !matches!(rule, KeepRule::Last(_)) {
            "the period under way counts as the first: write 2 or more to reach back, or remove it"
        } else {
            "remove it, or make it reach further"
        };
        let at = fields.own.below_keys(&["keep", rule.key()]);
        at.as_ref().unwrap_or(&fields.own).warn(message, hint);
    }
}

fn is_one(rule: KeepRule) -> bool {
    matches!(rule, KeepRule::Last(Count::AtMost(one)) | KeepRule::Counted(_, Count::AtMost(one)) if one.get() == 1)
}

/// Whether everything that `rule` keeps is kept by `by`, whatever backups there are and whatever the calendar: where that
/// is unknown, it is not said. What the lint names is removed, and `--strict` makes it an error.
fn covers(by: KeepRule, rule: KeepRule, zone: Zone) -> bool {
    let nests = |fine: Period, coarse: Period| nests(fine, coarse, zone);
    // Every rule keeps the newest one.
    is_one(rule)
        || match (by, rule) {
            (KeepRule::Last(Count::All), _) => true,
            (KeepRule::Counted(fine, Count::All), KeepRule::Counted(coarse, _) | KeepRule::WithinPeriod(coarse, _)) => {
                nests(fine, coarse)
            }
            (KeepRule::Within(long), KeepRule::WithinPeriod(_, span)) => span.is_within(&long),
            (KeepRule::WithinPeriod(fine, long), KeepRule::WithinPeriod(coarse, span)) => {
                nests(fine, coarse) && span.is_within(&long)
            }
            _ => false,
        }
}

/// Whether every coarse period consists of whole fine ones, so that the newest of the one is the newest of the other.
fn nests(fine: Period, coarse: Period, zone: Zone) -> bool {
    match fine {
        _ if fine == coarse => true,
        Period::Hour => hours_lie_within_days(zone),
        // Weeks run across the ends of months.
        Period::Week => false,
        _ => fine < coarse,
    }
}

fn keeps_everything(fields: &Fields<'_>, policy: &Policy) {
    let all = policy.keep.names().iter().find(|pattern| pattern.as_str() == "*");
    let at = |key: &str| {
        fields
            .own
            .below_keys(&["keep", key])
            .unwrap_or_else(|| fields.own.clone())
    };
    if all.is_some() {
        at("names").warn(
            "`names: [\"*\"]` keeps every backup: the policy never deletes anything",
            "name those that must stay, or remove `names`",
        );
    }
    let last_all = policy.keep.rules().contains(&KeepRule::Last(Count::All));
    // With `expire_after` all backups of a deleted instance go, whatever the rules.
    let expires = matches!(policy.select.deleted_instances, DeletedInstances::ExpireAfter(_));
    if last_all && policy.max_age.is_none() && !expires {
        at("last").warn(
            "`last: all` keeps every COMPLETED backup: the policy never deletes one",
            "give it a number, or set `max_age`",
        );
    }
}

fn selects_nothing(fields: &Fields<'_>) {
    let Some(select) = fields.get("select") else { return };
    for (section, what) in [("instances", "instance"), ("backups", "backup")] {
        let excluded = select.below_keys(&[section, "exclude_names"]);
        if let Some(at) = excluded.filter(|at| at.has_item("*")) {
            at.warn(
                format!("`exclude_names: [\"*\"]` leaves out every {what}: the policy selects nothing"),
                "remove it; what no policy selects is never deleted anyway",
            );
        }
    }
}

fn max_age(fields: &Fields<'_>, policy: &Policy) {
    let (Some(age), Some(at)) = (policy.max_age, fields.get("max_age")) else {
        return;
    };
    if fields.get("min_backups").is_none() {
        at.warn(
            "`max_age` goes by the clock and beats the keep rules, and no floor is set: when backups stop being made, all but \
             the newest one go",
            "write `min_backups` beside it: how many stay however old they are",
        );
    }
    let most = age.approximate_seconds();
    for rule in policy.keep.rules() {
        let (promised, value, span) = match rule {
            KeepRule::Counted(period, Count::AtMost(count)) => {
                let back = seconds(*period) * u64::from(count.get() - 1);
                (back, count.to_string(), None)
            }
            KeepRule::Within(span) | KeepRule::WithinPeriod(_, span) => {
                (span.approximate_seconds(), span.to_string(), Some(span))
            }
            KeepRule::Last(_) | KeepRule::Counted(_, Count::All) => continue,
        };
        // A day of tolerance: months and years are not all of one length.
        if promised > most + 86_400 && span.is_none_or(|span| age.is_within(span)) {
            at.warn(
                format!(
                    "`{}: {value}` reaches further back than `max_age: {age}` lets it",
                    rule.key()
                ),
                "max_age beats the keep rules: raise it, or lower the rule to what is meant",
            );
        }
    }
}

fn seconds(period: Period) -> u64 {
    match period {
        Period::Hour => 3_600,
        Period::Day => 86_400,
        Period::Week => 7 * 86_400,
        Period::Month => 2_629_746,
        Period::Quarter => 3 * 2_629_746,
        Period::Year => 31_556_952,
    }
}

/// How the schedule and the durations that depend on it go together.
fn pace(fields: &Fields<'_>, entry: &PolicyEntry) {
    let Some((shortest, longest)) = intervals(entry) else {
        return;
    };
    let grace = entry.policy.grace.approximate_seconds();
    // By the longest interval: of two runs a day, five minutes apart, it is not said that they are every five minutes.
    let in_grace = grace / longest.max(1);
    if let Some(at) = fields.get("schedule")
        && (in_grace >= HOURLY_IN_GRACE || (in_grace >= RUNS_IN_GRACE && longest < 3_600))
    {
        at.warn(
            format!(
                "it runs every {}, though an expired backup waits for `grace: {}`",
                in_words(longest),
                entry.policy.grace
            ),
            if longest < 3_600 {
                "every run lists all backups; once an hour deletes as punctually as that grace can show"
            } else {
                "every run lists all backups; once a day deletes as punctually as that grace can show"
            },
        );
    }
    if let Some(at) = fields.get("grace")
        && grace > 0
        && longest > 2 * grace
    {
        at.warn(
            format!(
                "runs are up to {} apart, so an expired backup waits for that long and not for {}",
                in_words(longest),
                entry.policy.grace
            ),
            "grace begins with a run and ends with a run: run more often, or write the grace that it is",
        );
    }
    if let Some(at) = fields.get("jitter")
        && entry.jitter.approximate_seconds() >= shortest
    {
        at.warn(
            format!(
                "the jitter of {} is as long as the {} between two runs",
                entry.jitter,
                in_words(shortest)
            ),
            "make it a small part of that, or runs will meet the next tick",
        );
    }
}

/// The shortest and the longest time between two runs, in seconds.
fn intervals(entry: &PolicyEntry) -> Option<(u64, u64)> {
    let schedule = entry.schedule.as_ref()?;
    let mut ticks = vec![schedule.next_after(SAMPLE_FROM, entry.policy.zone)?];
    // A day of half-hourly runs, or years of yearly ones.
    while ticks.len() < 60 {
        let Some(next) = schedule.next_after(*ticks.last()?, entry.policy.zone) else {
            break;
        };
        ticks.push(next);
        if next - ticks[0] > TimeDelta::days(400) {
            break;
        }
    }
    let between = |pair: &[DateTime<Utc>]| u64::try_from((pair[1] - pair[0]).num_seconds()).unwrap_or(0);
    let shortest = ticks.windows(2).map(between).min()?;
    Some((shortest, ticks.windows(2).map(between).max()?))
}

fn in_words(seconds: u64) -> String {
    length(TimeDelta::seconds(i64::try_from(seconds).unwrap_or(i64::MAX / 1_000)))
}

#[cfg(test)]
#[path = "lint_tests.rs"]
mod tests;
