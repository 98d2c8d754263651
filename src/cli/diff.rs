//! `diff`: which backups change fate between two configurations. Writes nothing.

use std::borrow::Cow;
use std::collections::HashSet;
use std::io::{self, Write};

use anstyle::{AnsiColor, Style};
use chrono::{DateTime, Utc};
use serde::Serialize;

use super::args::{Diff, Format, Global};
use super::failure::CommandResult;
use super::inventory::Fleet;
use super::output::decision_json::{Reasons, Stamp};
use super::output::json;
use super::output::stdout::{Out, finish, note};
use super::output::table::{Cell, Column, Grid};
use super::output::theme::Theme;
use super::output::theme::{BOLD, DIM};
use super::output::wrap::paragraph;
use super::sentences::{clean, count, day, gone_by, keep, number, size};
use super::{context, exit};
use crate::config::Config;
use crate::retention::compare::{self, Changed, DiffOutcome, Group, Groups, Side};
use crate::retention::report::{Skip, Tally};
use crate::retention::{InstanceId, Mode, PolicyName, ProjectName, Zone};

/// More changes than this are not all listed unless asked for.
const MOST_ROWS: usize = 200;

pub(super) fn diff(args: &Diff, global: &Global) -> CommandResult {
    let config = context::configuration(global)?;
    // The other file is not this service's: its state directory is not compared with systemd's.
    let against = context::load_other(&args.against)?;
    context::log(global)?;
    let at = args.at.unwrap_or_else(crate::clock::now);
    let fleet = if let Some(file) = &args.backups {
        Fleet::of_file(&config, file)?
    } else {
        let known = |name: &ProjectName| config.projects.iter().any(|project| project.name == *name);
        for project in against.projects.iter().filter(|project| !known(&project.name)) {
            note(&format!(
                "project {} is in the other configuration only: its backups are not looked at",
                project.name
            ));
        }
        let policies = config.policies.iter().chain(&against.policies).cloned().collect();
        Fleet::of_cloud(&config, policies, None, at)?
    };
    let groups = compare(&fleet, &config, &against, at);
    let code = if groups.is_empty() { exit::DONE } else { exit::UNDONE };
    let shown = Shown {
        groups: &groups,
        at,
        now: &config,
        then: &against,
        fleet: &fleet,
    };
    let mut out = Out::of(args.show.format, global.color);
    let written = match args.show.format {
        Format::Json => json::write(&mut out, &shown.to_json()),
        Format::Table => {
            let theme = out.theme_of_report(global, &args.show);
            shown.draw(&mut out, &theme)
        }
    };
    finish(out, written, exit::combine([code, fleet.code_of_all()]))
}

/// The changes, by the policy that lets the backup go in the one configuration or the other.
fn compare(fleet: &Fleet, config: &Config, against: &Config, at: DateTime<Utc>) -> Groups {
    let holds = [config, against].map(|config| fleet.holds(config));
    let mut groups = Groups::new();
    for resident in &fleet.residents {
        let claiming = [config, against].map(|config| fleet.claiming_policies(config, &resident.instance));
        let side = |nth: usize| Side {
            policies: &claiming[nth],
            holds: &holds[nth],
        };
        compare::compare(
            &resident.instance,
            &resident.backups,
            [side(0), side(1)],
            at,
            &mut groups,
        );
    }
    for group in groups.values_mut() {
        // As `plan` sorts them.
        group.changes.sort_by(|a, b| order(a).cmp(&order(b)));
    }
    groups
}

fn order(change: &Changed) -> impl Ord + '_ {
    let Changed { instance, backup, .. } = change;
    let newest_first = backup.begin.map(std::cmp::Reverse);
    (
        &instance.project,
        &instance.name,
        &instance.id,
        newest_first,
        &backup.id,
    )
}

/// Why a backup is where it is, in few words; the mode where it alone makes the difference.
fn why(fate: &DiffOutcome, other: &DiffOutcome) -> String {
    match fate {
        DiffOutcome::Unmanaged => "no policy's".to_owned(),
        DiffOutcome::Keep(_, reasons) => keep(reasons),
        DiffOutcome::Expire { mode, reason, .. } if other.expires() => {
            format!("{}, {}", gone_by(*reason), mode.as_str())
        }
        DiffOutcome::Expire { reason, .. } => gone_by(*reason).to_owned(),
    }
}

struct Shown<'a> {
    groups: &'a Groups,
    at: DateTime<Utc>,
    now: &'a Config,
    then: &'a Config,
    fleet: &'a Fleet,
}

impl Shown<'_> {
    fn mode(&self, policy: &PolicyName) -> Option<Mode> {
        let of = |config: &Config| {
            let found = config.policies.iter().find(|entry| entry.policy.name == *policy);
            found.map(|entry| entry.policy.mode)
        };
        of(self.then).or_else(|| of(self.now))
    }

    fn draw(&self, out: &mut dyn Write, theme: &Theme) -> io::Result<()> {
        let names = [self.now, self.then].map(|config| clean(&config.path.to_string_lossy()).into_owned());
        let say = |out: &mut dyn Write, style: Style, text: &str| paragraph(out, theme, 0, 0, style, text);
        let unread = self.fleet.unread();
        if self.groups.is_empty() {
            let of = if unread.is_some() { " that could be read" } else { "" };
            let text = format!("No backup{of} changes fate between {} and {}.", names[0], names[1]);
            say(out, Style::new(), &text)?;
            return unread.map_or(Ok(()), |text| say(out, BOLD, &text));
        }
        let rows: usize = self.groups.values().map(|group| group.changes.len()).sum();
        let listed = theme.all || rows <= MOST_ROWS;
        for (policy, group) in self.groups {
            let mode = self.mode(policy).map_or("", Mode::as_str);
            writeln!(out, "policy {}, {mode}", theme.paint(BOLD, &clean(policy.as_str())))?;
            if listed {
                draw_changes(out, theme, group)?;
            }
            paragraph(out, theme, 2, 0, Style::new(), &totals(group))?;
            writeln!(out)?;
        }
        if !listed {
            let text = format!("{} changes are not listed; --all lists them.\n", number(rows as u64));
            say(out, DIM, &text)?;
        }
        let groups = self.groups.values();
        let instances: HashSet<&InstanceId> = groups
            .clone()
            .flat_map(|group| &group.changes)
            .map(|change| &change.instance.id)
            .collect();
        let all = groups.fold(Group::default(), |all, group| all.and(group));
        let text = format!("On {}: {}.", count(instances.len() as u64, "instance"), totals(&all));
        say(out, BOLD, &text)?;
        let text = format!("With {} instead of {}; grace counted as over.", names[1], names[0]);
        say(out, Style::new(), &text)?;
        unread.map_or(Ok(()), |text| say(out, BOLD, &text))
    }

    fn to_json(&self) -> DiffJson<'_> {
        let group = |(policy, group)| self.group_json(policy, group);
        DiffJson {
            at: Stamp(self.at),
            config: self.now.path.to_string_lossy(),
            against: self.then.path.to_string_lossy(),
            policies: self.groups.iter().map(group).collect(),
            skipped: &self.fleet.skipped,
        }
    }

    fn group_json<'a>(&self, policy: &'a PolicyName, group: &'a Group) -> GroupJson<'a> {
        GroupJson {
            policy,
            mode: self.mode(policy).map(Mode::as_str),
            would_go: group.would_go,
            would_stay: group.would_stay,
            changes: group.changes.iter().map(ChangeJson::of).collect(),
        }
    }
}

fn totals(group: &Group) -> String {
    let part = |tally: Tally, what: &str| {
        (tally.count > 0).then(|| format!("{} ({}) would {what}", count(tally.count, "backup"), size(tally.bytes)))
    };
    let go = part(group.would_go, "go that stay now");
    let dry = (group.in_dry_run.count > 0).then(|| {
        if group.in_dry_run == group.would_go {
            "but only once their policy is enforced".to_owned()
        } else {
            format!(
                "{} of them only once their policy is enforced",
                number(group.in_dry_run.count)
            )
        }
    });
    let stay = part(group.would_stay, "stay that go now");
    [go, dry, stay].into_iter().flatten().collect::<Vec<_>>().join(", ")
}

fn draw_changes(out: &mut dyn Write, theme: &Theme, group: &Group) -> io::Result<()> {
    let wide = theme.width.is_none();
    let mut columns = vec![Column::wrapping("INSTANCE", 15), Column::wrapping("BACKUP", 16)];
    columns.extend(wide.then_some(Column::left("ID")));
    columns.extend([
        Column::right("SIZE").or_none(),
        Column::left("BEGIN").or_none(),
        Column::left("CHANGE"),
        Column::wrapping("NOW", 8),
        Column::wrapping("THEN", 8),
    ]);
    let mut grid = Grid::new(columns, 2);
    let cells = |change: &Changed| -> Vec<Cell<'static>> {
        let Changed {
            instance,
            backup,
            now,
            then,
        } = change;
        let mut cells: Vec<Cell<'static>> = vec![
            clean(&instance.name).into_owned().into(),
            clean(&backup.name).into_owned().into(),
        ];
        if wide {
            cells.push(Cell::styled(clean(backup.id.as_str()).into_owned(), DIM));
        }
        let (word, colour) = if change.goes() {
            ("goes", AnsiColor::Red)
        } else {
            ("stays", AnsiColor::Green)
        };
        cells.extend([
            size(backup.size_bytes).into(),
            backup
                .begin
                .map_or_else(|| "?".to_owned(), |begin| day(begin, Zone::UTC))
                .into(),
            Cell::styled(word, colour.on_default()),
            why(now, then).into(),
            why(then, now).into(),
        ]);
        cells
    };
    group.changes.iter().for_each(|change| grid.measure(&cells(change)));
    grid.fit(theme.width);
    grid.header(out, theme)?;
    group
        .changes
        .iter()
        .try_for_each(|change| grid.row(out, theme, &cells(change)))
}

#[derive(Serialize)]
struct DiffJson<'a> {
    at: Stamp,
    config: Cow<'a, str>,
    against: Cow<'a, str>,
    policies: Vec<GroupJson<'a>>,
    skipped: &'a [Skip],
}

#[derive(Serialize)]
struct GroupJson<'a> {
    policy: &'a PolicyName,
    mode: Option<&'static str>,
    would_go: Tally,
    would_stay: Tally,
    changes: Vec<ChangeJson<'a>>,
}

#[derive(Serialize)]
struct ChangeJson<'a> {
    project: &'a str,
    instance_id: &'a str,
    instance_name: &'a str,
    backup_id: &'a str,
    backup_name: &'a str,
    begin_time: Option<Stamp>,
    size_bytes: u64,
    status: &'a str,
    now: FateJson<'a>,
    then: FateJson<'a>,
}

#[derive(Serialize)]
struct FateJson<'a> {
    /// `keep`, `expire` or `unmanaged`.
    fate: &'static str,
    policy: Option<&'a PolicyName>,
    /// Of an expired one: whether it is deleted, or would be if the policy were enforced.
    mode: Option<&'static str>,
    reasons: Reasons<'a>,
}

impl<'a> FateJson<'a> {
    fn of(fate: &'a DiffOutcome) -> Self {
        Self {
            fate: fate.key(),
            policy: fate.policy(),
            mode: match fate {
                DiffOutcome::Expire { mode, .. } => Some(mode.as_str()),
                DiffOutcome::Unmanaged | DiffOutcome::Keep(..) => None,
            },
            reasons: match fate {
                DiffOutcome::Unmanaged => Reasons::None,
                DiffOutcome::Keep(_, reasons) => Reasons::Keep(reasons),
                DiffOutcome::Expire { reason, .. } => Reasons::Expire(*reason),
            },
        }
    }
}

impl<'a> ChangeJson<'a> {
    fn of(change: &'a Changed) -> Self {
        let Changed {
            instance,
            backup,
            now,
            then,
        } = change;
        Self {
            project: instance.project.as_str(),
            instance_id: instance.id.as_str(),
            instance_name: &instance.name,
            backup_id: backup.id.as_str(),
            backup_name: &backup.name,
            begin_time: backup.begin.map(Stamp),
            size_bytes: backup.size_bytes,
            status: backup.status.as_str(),
            now: FateJson::of(now),
            then: FateJson::of(then),
        }
    }
}
