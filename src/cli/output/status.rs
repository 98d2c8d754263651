//! `status` for people: the headline, what needs a look with the command that helps, the policies, what goes next, freezes,
//! holds and storage. The same value as the page's.

use std::io::{self, Write};

use anstyle::{AnsiColor, Style};

use super::lists::{tally, write_list};
use super::table::{Cell, Column};
use super::theme::{BOLD, DIM, Theme};
use super::wrap::paragraph;
use crate::retention::report::{RunResult, Tally};
use crate::retention::{FreezeSources, Hold, Zone};
use crate::status::{Alert, FreezeStatus, Health, LastRun, PolicyStatus, Status, alerts, health};
use crate::wording::numbers::{count, number, size};
use crate::wording::reasons::target;
use crate::wording::remedies::{Remedy, end_freeze};
use crate::wording::sanitize::clean;
use crate::wording::times::{day_zoned, distance, moment, until, zoned};

/// Messages of one alert, and notices.
const MOST_LINES: usize = 8;
/// Holds that are listed, those that end soonest first.
const MOST_HOLDS: usize = 5;

/// Draws it; times are in that zone.
pub fn status(out: &mut dyn Write, status: &Status, zone: Zone, theme: &Theme) -> io::Result<()> {
    let alerts = alerts(status);
    let (health, title) = health(status, alerts.len());
    let colour = match health {
        Health::Good => AnsiColor::Green,
        Health::Bad => AnsiColor::Red,
        Health::Frozen => AnsiColor::Blue,
        Health::New => AnsiColor::Yellow,
    };
    let title = theme.paint(colour.on_default().bold(), &title);
    writeln!(out, "{title}  {}", theme.paint(DIM, &zoned(status.at, zone)))?;
    if !alerts.is_empty() {
        heading(out, theme, "Needs a look")?;
        alerts.iter().try_for_each(|alert| draw_alert(out, alert, theme))?;
    }
    freezes(out, status, zone, theme)?;
    policies(out, status, zone, theme)?;
    goes_next(out, status, zone, theme)?;
    holds(out, status, zone, theme)?;
    storage(out, status, zone, theme)?;
    members(out, status, theme)?;
    if !status.notices.is_empty() {
        heading(out, theme, "Notices")?;
        let notices = status.notices.iter().take(MOST_LINES);
        notices.clone().try_for_each(|notice| line(out, theme, notice))?;
        more(out, theme, status.notices.len(), MOST_LINES)?;
    }
    Ok(())
}

fn heading(out: &mut dyn Write, theme: &Theme, title: &str) -> io::Result<()> {
    writeln!(out, "\n{}", theme.paint(BOLD, title))
}

fn line(out: &mut dyn Write, theme: &Theme, text: &str) -> io::Result<()> {
    paragraph(out, theme, 2, 2, Style::new(), &clean(text))
}

fn more(out: &mut dyn Write, theme: &Theme, all: usize, shown: usize) -> io::Result<()> {
    match all.saturating_sub(shown) {
        0 => Ok(()),
        more => line(out, theme, &format!("and {more} more; --format json has them all")),
    }
}

/// A command stays on one line: a shell takes it as it is copied.
fn draw_remedy(out: &mut dyn Write, remedy: &Remedy, theme: &Theme) -> io::Result<()> {
    match remedy {
        Remedy::Command(command) => writeln!(
            out,
            "      {}",
            theme.paint(AnsiColor::Cyan.on_default(), &clean(command))
        ),
        Remedy::Words(words) => paragraph(out, theme, 6, 0, Style::new(), &clean(words)),
    }
}

fn draw_alert(out: &mut dyn Write, alert: &Alert, theme: &Theme) -> io::Result<()> {
    paragraph(out, theme, 2, 2, BOLD, &clean(&alert.title))?;
    for text in alert.lines.iter().take(MOST_LINES) {
        paragraph(out, theme, 4, 2, Style::new(), &clean(text))?;
    }
    more(out, theme, alert.lines.len(), MOST_LINES)?;
    alert
        .remedy
        .iter()
        .try_for_each(|remedy| draw_remedy(out, remedy, theme))
}

fn freezes(out: &mut dyn Write, status: &Status, zone: Zone, theme: &Theme) -> io::Result<()> {
    if status.freezes.is_empty() {
        return Ok(());
    }
    heading(out, theme, "Frozen: nothing is deleted")?;
    for FreezeStatus { id, place, freeze } in &status.freezes {
        let name = id.as_deref().or(place.as_deref()).unwrap_or_default();
        let until = freeze
            .until
            .map_or_else(String::new, |end| format!(", {}", until(end, zone)));
        line(out, theme, &format!("{name}{until}: {}", freeze.reason))?;
        let sources = FreezeSources {
            placed: id.iter().cloned().collect(),
            configured: place.clone(),
        };
        draw_remedy(out, &end_freeze(&sources, &theme.program), theme)?;
    }
    Ok(())
}

fn members(out: &mut dyn Write, status: &Status, theme: &Theme) -> io::Result<()> {
    let Some(shared) = &status.shared else { return Ok(()) };
    heading(out, theme, "Members")?;
    if shared.members.is_empty() {
        line(out, theme, "none: no daemon is running on this state")?;
    }
    for member in &shared.members {
        let differs = member
            .differs_in
            .as_ref()
            .map_or_else(String::new, |parts| format!(", different {parts}"));
        let text = format!(
            "{} {}, seen {} s ago{differs}",
            member.host, member.version, member.seen_seconds_ago
        );
        line(out, theme, &text)?;
    }
    for lease in &shared.leases {
        let holder = if lease.is_held {
            format!("held by {}", lease.host)
        } else {
            "free".to_owned()
        };
        let text = format!(
            "lease on {}: {holder}, taken over {} times",
            lease.project, lease.takeovers
        );
        line(out, theme, &text)?;
    }
    Ok(())
}

fn policies(out: &mut dyn Write, status: &Status, zone: Zone, theme: &Theme) -> io::Result<()> {
    if status.policies.is_empty() {
        return Ok(());
    }
    heading(out, theme, &format!("Policies, times in {}", zone.name()))?;
    let columns = vec![
        Column::wrapping("POLICY", 10),
        Column::left("MODE"),
        Column::left("LAST RUN"),
        Column::wrapping("RESULT", 10),
        Column::left("NEXT RUN"),
        Column::right("KEEP").or_none(),
        Column::right("WAIT").or_none(),
        Column::right("DELETE").or_none(),
    ];
    let cells = |policy: &PolicyStatus| -> Vec<Cell<'static>> {
        let last = policy.last_run.as_ref();
        let known = last.and_then(|run| run.known).map(|known| known.counts);
        let tally = |of: Option<(u64, u64)>| match of {
            Some((0, _)) | None => "-".to_owned(),
            Some((count, bytes)) => tally(Tally { count, bytes }),
        };
        vec![
            clean(policy.policy.as_str()).into_owned().into(),
            policy.mode.into(),
            last.map_or_else(|| "none yet".to_owned(), |run| moment(run.at, zone))
                .into(),
            last.map_or_else(|| Cell::from("-"), result),
            next_run(policy, zone).into(),
            tally(known.map(|counts| (counts.keep, counts.bytes.keep))).into(),
            tally(known.map(|counts| (counts.wait, counts.bytes.wait))).into(),
            tally(known.map(|counts| (counts.delete, counts.bytes.delete))).into(),
        ]
    };
    write_list(out, theme, 2, columns, &status.policies, cells)
}

fn result(run: &LastRun) -> Cell<'static> {
    let (text, colour) = match (run.result, &run.refusal) {
        (RunResult::Success, _) => ("success".to_owned(), AnsiColor::Green),
        (RunResult::Failed, _) => ("failed".to_owned(), AnsiColor::Red),
        (_, Some(refusal)) => {
            let colour = if run.is_refused_in_part() {
                AnsiColor::Yellow
            } else {
                AnsiColor::Red
            };
            (clean(&run.refusal_in_words(refusal)).into_owned(), colour)
        }
        (other, None) => (other.as_str().to_owned(), AnsiColor::Yellow),
    };
    Cell::styled(text, colour.on_default())
}

fn next_run(policy: &PolicyStatus, zone: Zone) -> String {
    match (policy.running_since, policy.next_run, &policy.schedule) {
        (Some(since), ..) => format!("running since {}", moment(since, zone)),
        (None, Some(at), _) => moment(at, zone),
        (None, None, _) => "-".to_owned(),
    }
}

/// What the next run of each policy would delete, as far as it waits already.
fn goes_next(out: &mut dyn Write, status: &Status, zone: Zone, theme: &Theme) -> io::Result<()> {
    let lines: Vec<String> = status
        .policies
        .iter()
        .filter_map(|policy| {
            let text = goes_next_line(policy, zone)?;
            Some(format!("{}: {text}", policy.policy))
        })
        .collect();
    if lines.is_empty() {
        return Ok(());
    }
    heading(out, theme, "Goes next")?;
    lines.iter().try_for_each(|text| line(out, theme, text))
}

fn goes_next_line(policy: &PolicyStatus, zone: Zone) -> Option<String> {
    let known = policy
        .last_run
        .as_ref()
        .and_then(|run| run.known)
        .map(|known| known.counts);
    let Some(next) = policy.goes_next else {
        let would = known.map(|counts| counts.wait.saturating_add(counts.delete))?;
        return (policy.mode == "dry-run" && would > 0)
            .then(|| format!("a dry run; enforced it would delete {} in time", count(would, "backup")));
    };
    let first = next.first_due_at.map(|at| zoned(at, zone))?;
    let run = match policy.next_run {
        Some(at) => format!("its next run at {}", zoned(at, zone)),
        None => "its next `apply`".to_owned(),
    };
    Some(match (next.due, next.later) {
        (0, later) => format!(
            "nothing at {run}; {} in the grace period, the first until {first}",
            count(later, "backup")
        ),
        (due, 0) => format!("at most {} at {run}", count(due, "backup")),
        (due, later) => format!(
            "at most {} at {run}; {} more in the grace period",
            count(due, "backup"),
            number(later)
        ),
    })
}

fn holds(out: &mut dyn Write, status: &Status, zone: Zone, theme: &Theme) -> io::Result<()> {
    if status.holds.is_empty() {
        return Ok(());
    }
    heading(
        out,
        theme,
        &format!("{} in force", count(status.holds.len() as u64, "hold")),
    )?;
    let mut holds: Vec<&Hold> = status.holds.iter().collect();
    holds.sort_by_key(|hold| (hold.until.is_none(), hold.until));
    for hold in holds.iter().take(MOST_HOLDS) {
        let id = hold.id.as_deref().unwrap_or("configuration");
        let end = hold.until.map_or_else(String::new, |end| {
            format!(", {} ({})", until(end, zone), distance(end, status.at))
        });
        line(
            out,
            theme,
            &format!("{id}: {}: {}{end}", target(&hold.target), hold.reason),
        )?;
    }
    if holds.len() > MOST_HOLDS {
        let command = format!("{} holds", theme.program);
        line(out, theme, &format!("and {} more:", holds.len() - MOST_HOLDS))?;
        draw_remedy(out, &Remedy::Command(command), theme)?;
    }
    Ok(())
}

fn storage(out: &mut dyn Write, status: &Status, zone: Zone, theme: &Theme) -> io::Result<()> {
    let last = || status.policies.iter().filter_map(|policy| policy.last_run.as_ref());
    let known: Vec<_> = last().filter_map(|run| run.known).collect();
    if known.is_empty() {
        return Ok(());
    }
    heading(out, theme, "Storage, as of the last runs")?;
    let sum = |of: &dyn Fn(&crate::status::Counts) -> (u64, u64)| {
        known
            .iter()
            .map(|known| of(&known.counts))
            .fold(Tally::default(), |sum, (count, bytes)| sum.and(Tally { count, bytes }))
    };
    let keep = sum(&|counts| (counts.keep, counts.bytes.keep));
    let wait = sum(&|counts| (counts.wait, counts.bytes.wait));
    let held_back = known
        .iter()
        .fold(Tally::default(), |sum, known| sum.and(known.held_back));
    let mut parts = vec![
        format!("{} kept", tally(keep)),
        format!("{} in the grace period", tally(wait)),
    ];
    if held_back.count > 0 {
        parts.push(format!(
            "{} expired and held back by the guard or a freeze",
            tally(held_back)
        ));
    }
    let due = known.iter().fold(Tally::default(), |sum, known| sum.and(known.due));
    let left = Tally {
        count: due.count.saturating_sub(held_back.count),
        bytes: due.bytes.saturating_sub(held_back.bytes),
    };
    if left.count > 0 {
        parts.push(format!("{} due, left over or not seen to be gone yet", tally(left)));
    }
    parts.extend(freed(status, zone));
    let unconfirmed = status
        .unconfirmed
        .values()
        .fold(0, |sum: u64, more| sum.saturating_add(*more));
    if unconfirmed > 0 {
        parts.push(format!(
            "{} accepted and not seen to be gone yet",
            count(unconfirmed, "deletion")
        ));
    }
    line(out, theme, &format!("{}.", parts.join(", ")))?;
    instances(out, status, theme)
}

fn freed(status: &Status, zone: Zone) -> Option<String> {
    let days = status.storage.iter().map(|day| day.freed_bytes);
    let freed = days.fold(0, u64::saturating_add);
    let first = status.storage.first().filter(|_| freed > 0)?;
    let since = day_zoned(first.first_run, zone);
    Some(format!("{} freed since {since}", size(freed)))
}

/// How many instances have a policy.
fn instances(out: &mut dyn Write, status: &Status, theme: &Theme) -> io::Result<()> {
    let Some(instances) = status.instances else {
        return Ok(());
    };
    let mut parts = vec![format!("{} with a policy", count(instances.managed, "instance"))];
    for (of, what) in [
        (instances.unmanaged, "without"),
        (instances.overlapping, "with several (counted by each)"),
        (instances.failed, "not read"),
    ] {
        if of > 0 {
            parts.push(format!("{} {what}", number(of)));
        }
    }
    line(out, theme, &format!("{}.", parts.join(", ")))
}
