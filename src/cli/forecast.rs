//! `forecast`: when each backup goes, and how many and how much stays. Writes nothing.

use std::collections::HashMap;
use std::io::{self, Write};
use std::sync::Arc;
use std::thread;

use anstyle::AnsiColor;
use chrono::{DateTime, TimeDelta, Utc};
use serde::Serialize;

use super::args::{Forecast, Format, Global};
use super::failure::{CommandResult, Failure};
use super::inventory::{Fleet, InstanceBackups};
use super::output::decision_json::Stamp;
use super::output::json;
use super::output::stdout::{Out, finish};
use super::output::table::{Cell, Column, Grid};
use super::output::theme::Theme;
use super::output::theme::{BOLD, DIM};
use super::output::wrap::paragraph;
use super::sentences::{clean, count, day, gone_by, number, size};
use super::{context, exit};
use crate::config::{Config, PolicyEntry};
use crate::retention::forecast::{Expiry, ForecastInput, Future, Week, Weeks, forecast as simulate};
use crate::retention::report::{Skip, Tally};
use crate::retention::streams::is_in_scope;
use crate::retention::{Hold, Instance, Mode, Policy, PolicyName, Zone};
use crate::run::GracePeriods;

/// More departures than this are not all listed unless asked for.
const MOST_ROWS: usize = 100;
/// How wide the bars of the chart are.
const BAR: usize = 30;
/// Runs that are closer than this are taken as one: the answer is a day.
const CLOSEST_RUNS: TimeDelta = TimeDelta::hours(1);

/// One instance's backups with their futures.
pub(super) struct Fates {
    pub(super) instance: Arc<Instance>,
    pub(super) futures: Vec<Future>,
}

/// A backup that goes.
type Going<'a> = (&'a Instance, &'a Future, &'a Expiry);

/// What a forecast says.
pub(super) struct Forecast_<'a> {
    from: DateTime<Utc>,
    until: DateTime<Utc>,
    every: Option<TimeDelta>,
    fates: Vec<Fates>,
    now: Tally,
    weeks: Vec<Week>,
    dry: Vec<PolicyName>,
    /// What could not be read, and the sentence that says so.
    skipped: &'a [Skip],
    unread: Option<String>,
}

pub(super) fn forecast(args: &Forecast, global: &Global) -> CommandResult {
    let config = context::configuration(global)?;
    context::log(global)?;
    let wanted = wanted(&config, &args.policies)?;
    let from = args.at.unwrap_or_else(crate::clock::now);
    let until = from
        .checked_add_signed(TimeDelta::days(i64::from(args.days)))
        .ok_or_else(|| Failure::new(exit::USAGE, "--days reaches beyond the calendar"))?;
    let fleet = match &args.backups {
        Some(file) => Fleet::of_file(&config, file)?,
        None => Fleet::of_cloud(&config, config.policies.clone(), None, from)?,
    };
    let every = args
        .backup_every
        .map(|span| TimeDelta::seconds(i64::try_from(span.approximate_seconds()).unwrap_or(i64::MAX / 1_000)));
    let fates = forecast_fleet(&config, &fleet, &wanted, from, until, every)?;
    let mut weeks = Weeks::new(from, until);
    fates
        .iter()
        .flat_map(|of| &of.futures)
        .for_each(|future| weeks.add(future));
    let (now, weeks) = weeks.close();
    let dry = wanted.iter().map(|place| &config.policies[*place].policy);
    let forecast = Forecast_ {
        from,
        until,
        every,
        fates,
        now,
        weeks,
        dry: dry
            .filter(|policy| policy.mode == Mode::DryRun)
            .map(|policy| policy.name.clone())
            .collect(),
        skipped: &fleet.skipped,
        unread: fleet.unread(),
    };
    let mut out = Out::of(args.show.format, global.color);
    let written = match args.show.format {
        Format::Json => json::write(&mut out, &forecast.to_json()),
        Format::Table => {
            let theme = out.theme_of_report(global, &args.show);
            forecast.draw(&mut out, &theme, speaks_unicode())
        }
    };
    finish(out, written, fleet.code_of_all())
}

/// Places of the policies that are asked about.
fn wanted(config: &Config, names: &[String]) -> Result<Vec<usize>, Failure> {
    let place = |name: &String| {
        let found = config
            .policies
            .iter()
            .position(|entry| entry.policy.name.as_str() == name);
        found.ok_or_else(|| Failure::new(exit::USAGE, format!("no policy is named `{}`", clean(name))))
    };
    if names.is_empty() {
        return Ok((0..config.policies.len()).collect());
    }
    names.iter().map(place).collect()
}

/// The moments at which a policy runs: by its schedule, else daily. Not more than one an hour.
pub(super) fn runs_of(entry: &PolicyEntry, from: DateTime<Utc>, until: DateTime<Utc>) -> Vec<DateTime<Utc>> {
    let mut runs = Vec::new();
    let mut after = from;
    loop {
        let next = match &entry.schedule {
            Some(schedule) => schedule.next_after(after, entry.policy.zone),
            None => after.checked_add_signed(TimeDelta::days(1)),
        };
        let Some(next) = next.filter(|next| *next <= until) else {
            return runs;
        };
        runs.push(next);
        after = match entry.schedule {
            Some(_) => next + (CLOSEST_RUNS - TimeDelta::seconds(1)),
            None => next,
        };
    }
}

/// Simulates every instance that a policy claims; of their backups, those that a wanted policy has in its scope.
pub(super) fn forecast_fleet(
    config: &Config,
    fleet: &Fleet,
    wanted: &[usize],
    from: DateTime<Utc>,
    until: DateTime<Utc>,
    every: Option<TimeDelta>,
) -> Result<Vec<Fates>, Failure> {
    let mut grace = Vec::new();
    for entry in &config.policies {
        grace.push(match &fleet.ledger {
            Some(ledger) => GracePeriods::load(ledger, entry, &config.holds, from)?,
            None => GracePeriods::default(),
        });
    }
    let forecaster = Forecaster {
        config,
        fleet,
        wanted,
        runs: config
            .policies
            .iter()
            .map(|entry| runs_of(entry, from, until))
            .collect(),
        grace,
        holds: fleet.holds(config),
        from,
        until,
        every,
    };
    // Instances are independent, so every processor takes a share.
    let workers = thread::available_parallelism().map_or(1, usize::from);
    let share = fleet.residents.len().div_ceil(workers).max(1);
    thread::scope(|scope| {
        let parts: Vec<_> = fleet
            .residents
            .chunks(share)
            .map(|part| {
                scope.spawn(|| {
                    part.iter()
                        .filter_map(|resident| forecaster.ask(resident))
                        .collect::<Vec<_>>()
                })
            })
            .collect();
        let mut fates = Vec::new();
        for part in parts {
            let part = part.join();
            fates.extend(part.map_err(|_| Failure::new(exit::UNDONE, "a part of the forecast panicked"))?);
        }
        Ok(fates)
    })
}

struct Forecaster<'a> {
    config: &'a Config,
    fleet: &'a Fleet,
    wanted: &'a [usize],
    runs: Vec<Vec<DateTime<Utc>>>,
    grace: Vec<GracePeriods>,
    holds: Vec<Hold>,
    from: DateTime<Utc>,
    until: DateTime<Utc>,
    every: Option<TimeDelta>,
}

impl Forecaster<'_> {
    fn ask(&self, resident: &InstanceBackups) -> Option<Fates> {
        let claiming = self.fleet.claiming(self.config, &resident.instance);
        let policy = |place: &usize| Arc::clone(&self.config.policies[*place].policy);
        let policies: Vec<Arc<Policy>> = claiming.iter().map(policy).collect();
        let wanted: Vec<Arc<Policy>> = claiming
            .iter()
            .filter(|place| self.wanted.contains(place))
            .map(policy)
            .collect();
        if wanted.is_empty() {
            return None;
        }
        let runs: Vec<&[DateTime<Utc>]> = claiming.iter().map(|place| self.runs[*place].as_slice()).collect();
        let none = HashMap::new();
        let of = |place: &usize| self.grace[*place].of(&resident.instance);
        let grace: Vec<_> = claiming
            .iter()
            .map(|place| of(place).map_or(&none, |of| &of.running))
            .collect();
        let mut futures = simulate(&ForecastInput {
            instance: &resident.instance,
            backups: &resident.backups,
            holds: &self.holds,
            policies: &policies,
            runs: &runs,
            grace: &grace,
            from: self.from,
            until: self.until,
            every: self.every,
        });
        futures.retain(|future| is_in_scope(&wanted, &future.backup));
        Some(Fates {
            instance: Arc::clone(&resident.instance),
            futures,
        })
    }
}

/// Whether the terminal shows more than ASCII, by the locale's usual three variables.
fn speaks_unicode() -> bool {
    let set = ["LC_ALL", "LC_CTYPE", "LANG"]
        .into_iter()
        .filter_map(std::env::var_os)
        .find(|value| !value.is_empty());
    set.is_some_and(|value| {
        let value = value.to_string_lossy().to_ascii_lowercase();
        value.contains("utf-8") || value.contains("utf8")
    })
}

impl Forecast_<'_> {
    fn draw(&self, out: &mut dyn Write, theme: &Theme, unicode: bool) -> io::Result<()> {
        self.draw_departures(out, theme)?;
        self.draw_weeks(out, theme, unicode)?;
        self.draw_assumptions(out, theme)?;
        let unread = self.unread.as_ref();
        unread.map_or(Ok(()), |text| paragraph(out, theme, 0, 0, BOLD, text))
    }

    fn departures(&self) -> Vec<Going<'_>> {
        let mut going: Vec<Going<'_>> = Vec::new();
        for fates in &self.fates {
            for future in fates.futures.iter().filter(|future| !future.assumed) {
                if let Some(departure) = &future.departure {
                    going.push((&*fates.instance, future, departure));
                }
            }
        }
        going.sort_by(|(a, x, p), (b, y, q)| {
            (p.at, &a.name, &a.id, x.backup.begin, &x.backup.id).cmp(&(
                q.at,
                &b.name,
                &b.id,
                y.backup.begin,
                &y.backup.id,
            ))
        });
        going
    }

    fn draw_departures(&self, out: &mut dyn Write, theme: &Theme) -> io::Result<()> {
        let going = self.departures();
        let stays = self
            .fates
            .iter()
            .flat_map(|of| &of.futures)
            .filter(|future| !future.assumed)
            .count()
            - going.len();
        let shown = if theme.all {
            going.len()
        } else {
            going.len().min(MOST_ROWS)
        };
        let wide = theme.width.is_none();
        let mut columns = vec![
            Column::left("GOES"),
            Column::wrapping("INSTANCE", 14),
            Column::wrapping("BACKUP", 16),
        ];
        columns.extend(wide.then_some(Column::left("ID")));
        // The names and the reason are what one looks for; the rest is there where there is room.
        columns.extend([
            Column::left("BEGIN").or_none(),
            Column::right("SIZE").or_none(),
            Column::wrapping("POLICY", 8).or_none(),
            Column::wrapping("WHY", 8),
        ]);
        let mut grid = Grid::new(columns, 2);
        let cells = |row: &Going<'_>| departure_cells(row, wide);
        for row in &going[..shown] {
            grid.measure(&cells(row));
        }
        grid.fit(theme.width);
        if shown > 0 {
            grid.header(out, theme)?;
        }
        for row in &going[..shown] {
            grid.row(out, theme, &cells(row))?;
        }
        if shown < going.len() {
            let more = number((going.len() - shown) as u64);
            let note = format!("and {more} more; --all lists them, --format json has them all.");
            paragraph(out, theme, 2, 0, DIM, &note)?;
        }
        self.draw_total(out, theme, going.len() as u64, stays as u64)
    }

    fn draw_total(&self, out: &mut dyn Write, theme: &Theme, going: u64, stays: u64) -> io::Result<()> {
        let horizon = day(self.until, Zone::UTC);
        let text = if going == 0 {
            format!("None of today's {} goes until {horizon}.", count(stays, "backup"))
        } else {
            format!(
                "{} of today's {} go until {horizon}, {} stay.",
                number(going),
                count(going + stays, "backup"),
                number(stays)
            )
        };
        paragraph(out, theme, 0, 0, BOLD, &text)?;
        writeln!(out)
    }

    fn draw_weeks(&self, out: &mut dyn Write, theme: &Theme, unicode: bool) -> io::Result<()> {
        let mut columns = vec![Column::left("WEEK FROM")];
        columns.extend(self.every.map(|_| Column::right("NEW")));
        columns.extend([
            Column::right("GO"),
            Column::right("FREED"),
            Column::right("LEFT"),
            Column::right("STORAGE"),
            Column::left(""),
        ]);
        let mut grid = Grid::new(columns, 2);
        let mut rows = vec![(self.now, self.week_cells("now".to_owned(), None, self.now))];
        rows.extend(self.weeks.iter().map(|week| {
            let from = day(week.from, Zone::UTC);
            (week.left, self.week_cells(from, Some(week), week.left))
        }));
        for (_, row) in &rows {
            grid.measure(row);
        }
        // The bars take what the numbers leave.
        let room = theme
            .width
            .map_or(BAR, |width| width.saturating_sub(grid.width()))
            .min(BAR);
        let most = rows.iter().map(|(left, _)| left.bytes).max().unwrap_or(0);
        for (left, row) in &mut rows {
            let bar = bar(left.bytes, most, room, unicode);
            row.push(Cell::styled(bar, AnsiColor::Cyan.on_default()));
            grid.measure(row);
        }
        grid.header(out, theme)?;
        rows.iter().try_for_each(|(_, row)| grid.row(out, theme, row))
    }

    /// A week's numbers; its bar comes later.
    fn week_cells(&self, name: String, week: Option<&Week>, left: Tally) -> Vec<Cell<'static>> {
        let tally = |of: fn(&Week) -> Tally| week.map_or_else(String::new, |week| number(of(week).count));
        let freed = week.map(|week| week.went).filter(|went| went.count > 0);
        let mut cells: Vec<Cell<'static>> = vec![name.into()];
        cells.extend(self.every.map(|_| tally(|week| week.came).into()));
        cells.extend([
            tally(|week| week.went).into(),
            freed.map_or_else(String::new, |went| size(went.bytes)).into(),
            number(left.count).into(),
            size(left.bytes).into(),
        ]);
        cells
    }

    fn draw_assumptions(&self, out: &mut dyn Write, theme: &Theme) -> io::Result<()> {
        let new = match self.every {
            Some(every) => format!(
                "one more COMPLETED full backup on each instance every {}, with the name and size of those made most often (names \
                 that differ only in digits count as one); those of other policies at their own pace",
                length(every)
            ),
            None => "no new backups (--backup-every 24h adds some)".to_owned(),
        };
        let text = format!(
            "Assumed: {new}; runs at the policies' schedules, or daily; nothing is refused by the guard. Days are UTC's."
        );
        writeln!(out)?;
        paragraph(out, theme, 0, 0, DIM, &text)?;
        if !self.dry.is_empty() {
            let names: Vec<_> = self.dry.iter().map(|policy| clean(policy.as_str())).collect();
            let text = format!(
                "In dry-run, so that nothing of this goes while it is: {}.",
                names.join(", ")
            );
            paragraph(out, theme, 0, 0, AnsiColor::Yellow.on_default(), &text)?;
        }
        Ok(())
    }

    fn to_json(&self) -> ForecastJson<'_> {
        let mut backups = Vec::new();
        for fates in &self.fates {
            // The assumed ones are in the weeks.
            let real = fates.futures.iter().filter(|future| !future.assumed);
            backups.extend(real.map(|future| FutureJson::of(&fates.instance, future)));
        }
        let week = |week: &Week| WeekJson {
            from: Stamp(week.from),
            until: Stamp(week.until),
            new: week.came,
            go: week.went,
            left: week.left,
        };
        ForecastJson {
            at: Stamp(self.from),
            until: Stamp(self.until),
            backup_every: self.every.map(length),
            dry_run: self.dry.clone(),
            now: self.now,
            weeks: self.weeks.iter().map(week).collect(),
            backups,
            skipped: self.skipped,
        }
    }
}

fn departure_cells((instance, future, departure): &Going<'_>, wide: bool) -> Vec<Cell<'static>> {
    let utc = Zone::UTC;
    let backup = &future.backup;
    let mut cells: Vec<Cell<'static>> = vec![
        Cell::styled(day(departure.at, utc), AnsiColor::Red.on_default()),
        clean(&instance.name).into_owned().into(),
        clean(&backup.name).into_owned().into(),
    ];
    if wide {
        cells.push(Cell::styled(clean(backup.id.as_str()).into_owned(), DIM));
    }
    cells.extend([
        backup
            .begin
            .map_or_else(|| "?".to_owned(), |begin| day(begin, utc))
            .into(),
        size(backup.size_bytes).into(),
        clean(departure.policy.as_str()).into_owned().into(),
        gone_by(departure.reason).into(),
    ]);
    cells
}

/// `24h`, `90min`, `7d`.
pub(super) fn length(of: TimeDelta) -> String {
    if of.num_hours() >= 48 && of == TimeDelta::days(of.num_days()) {
        format!("{}d", of.num_days())
    } else if of.num_hours() >= 1 && of == TimeDelta::hours(of.num_hours()) {
        format!("{}h", of.num_hours())
    } else {
        format!("{}min", of.num_minutes())
    }
}

/// A bar as long as its share of the room: in eighths of a character, or in `#`.
fn bar(value: u64, most: u64, room: usize, unicode: bool) -> String {
    const EIGHTHS: [&str; 8] = ["", "▏", "▎", "▍", "▌", "▋", "▊", "▉"];
    if most == 0 {
        return String::new();
    }
    let share = |steps: usize| usize::try_from(u128::from(value) * steps as u128 / u128::from(most)).unwrap_or(steps);
    if unicode {
        let eighths = share(room * 8);
        format!("{}{}", "█".repeat(eighths / 8), EIGHTHS[eighths % 8])
    } else {
        "#".repeat(share(room))
    }
}

#[derive(Serialize)]
struct ForecastJson<'a> {
    at: Stamp,
    until: Stamp,
    backup_every: Option<String>,
    dry_run: Vec<PolicyName>,
    now: Tally,
    weeks: Vec<WeekJson>,
    backups: Vec<FutureJson<'a>>,
    skipped: &'a [Skip],
}

#[derive(Serialize)]
struct WeekJson {
    from: Stamp,
    until: Stamp,
    new: Tally,
    go: Tally,
    left: Tally,
}

#[derive(Serialize)]
struct FutureJson<'a> {
    project: &'a str,
    instance_id: &'a str,
    instance_name: &'a str,
    backup_id: &'a str,
    backup_name: &'a str,
    begin_time: Option<Stamp>,
    size_bytes: u64,
    status: &'a str,
    /// `null`: not before the forecast ends.
    goes_at: Option<Stamp>,
    expired_at: Option<Stamp>,
    policy: Option<&'a str>,
    rule: Option<&'static str>,
}

impl<'a> FutureJson<'a> {
    fn of(instance: &'a Instance, future: &'a Future) -> Self {
        let Future { backup, departure, .. } = future;
        let departure = departure.as_ref();
        Self {
            project: instance.project.as_str(),
            instance_id: instance.id.as_str(),
            instance_name: &instance.name,
            backup_id: backup.id.as_str(),
            backup_name: &backup.name,
            begin_time: backup.begin.map(Stamp),
            size_bytes: backup.size_bytes,
            status: backup.status.as_str(),
            goes_at: departure.map(|departure| Stamp(departure.at)),
            expired_at: departure.map(|departure| Stamp(departure.expired_at)),
            policy: departure.map(|departure| departure.policy.as_str()),
            rule: departure.map(|departure| departure.reason.key()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bars_are_shares_in_eighths_or_in_ascii() {
        assert_eq!(bar(100, 100, 30, true), "█".repeat(30));
        assert_eq!(bar(50, 100, 20, true), "█".repeat(10));
        assert_eq!(bar(1, 240, 30, true), "▏");
        assert_eq!(bar(u64::MAX, u64::MAX, 30, false), "#".repeat(30));
        assert_eq!(
            (bar(0, 100, 30, true), bar(0, 0, 30, false)),
            (String::new(), String::new())
        );
        assert_eq!(bar(100, 100, 0, true), "", "no room");
    }

    #[test]
    fn lengths_are_said_in_the_unit_people_use() {
        assert_eq!(length(TimeDelta::hours(24)), "24h");
        assert_eq!(length(TimeDelta::days(7)), "7d");
        assert_eq!(length(TimeDelta::minutes(90)), "90min");
    }
}
