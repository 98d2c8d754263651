//! `diff`: which backups change fate between two configurations. Writes nothing.

use std::borrow::Cow;
use std::collections::{BTreeMap, HashSet};
use std::io::{self, Write};
use std::sync::Arc;

use anstyle::AnsiColor;
use chrono::{DateTime, Utc};
use serde::Serialize;

use super::args::{Diff, Format, Global};
use super::fleet::{Fleet, Resident};
use super::grid::{Cell, Column, Grid};
use super::json::{self, Reasons, Stamp};
use super::out::{Look, Out};
use super::render::{BOLD, DIM};
use super::sentences::{clean, count, day, expired, keep, number, size};
use super::{CommandResult, exit, finish, session};
use crate::config::Config;
use crate::retention::report::Tally;
use crate::retention::{
    Backup, ExpireReason, Hold, Instance, KeepReason, Keeper, Mode, Policy, PolicyName, Verdict, decide,
};

/// More changes than this are not all listed unless asked for.
const MOST_ROWS: usize = 200;

/// A backup's fate under one configuration, grace taken as over.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Fate {
    /// No policy has it in its scope.
    Unmanaged,
    /// Kept; by what, and by which policy first.
    Keep(PolicyName, Vec<KeepReason>),
    /// Let go by this policy.
    Expire(PolicyName, ExpireReason),
}

impl Fate {
    fn goes(&self) -> bool {
        matches!(self, Self::Expire(..))
    }

    fn policy(&self) -> Option<&PolicyName> {
        match self {
            Self::Unmanaged => None,
            Self::Keep(policy, _) | Self::Expire(policy, _) => Some(policy),
        }
    }

    fn key(&self) -> &'static str {
        match self {
            Self::Unmanaged => "unmanaged",
            Self::Keep(..) => "keep",
            Self::Expire(..) => "expire",
        }
    }

    fn why(&self) -> String {
        match self {
            Self::Unmanaged => "no policy's".to_owned(),
            Self::Keep(_, reasons) => keep(reasons),
            Self::Expire(_, reason) => expired(*reason).trim_start_matches("expired: ").to_owned(),
        }
    }
}

/// One backup that changes fate.
struct Changed {
    instance: Arc<Instance>,
    backup: Backup,
    now: Fate,
    then: Fate,
}

/// All changes under one policy.
#[derive(Default)]
struct Group {
    changes: Vec<Changed>,
    would_go: Tally,
    would_stay: Tally,
}

pub(super) fn diff(args: &Diff, global: &Global) -> CommandResult {
    let config = session::configuration(global)?;
    // The other file is not this service's: its state directory is not compared with systemd's.
    let against = session::load_for(&args.against, None)?;
    session::log(global)?;
    let at = args.at.unwrap_or_else(crate::clock::now);
    let fleet = if let Some(file) = &args.backups {
        Fleet::of_file(&config, file)?
    } else {
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
    };
    let mut out = Out::of(args.show.format, global.color);
    let written = match args.show.format {
        Format::Json => json::write(&mut out, &shown.to_json()),
        Format::Table => {
            let look = out.look_of_report(global, &args.show);
            shown.draw(&mut out, &look)
        }
    };
    finish(out, written, exit::combine([code, fleet.code]))
}

/// The changes, by the policy that lets the backup go in the one configuration or the other.
fn compare(fleet: &Fleet, config: &Config, against: &Config, at: DateTime<Utc>) -> BTreeMap<PolicyName, Group> {
    let sides = [config, against].map(|config| (config, fleet.holds(config)));
    let mut groups: BTreeMap<PolicyName, Group> = BTreeMap::new();
    for resident in &fleet.residents {
        let [now, then] = sides
            .each_ref()
            .map(|(config, holds)| fates(fleet, config, holds, resident, at));
        for ((backup, now), then) in resident.backups.iter().zip(now).zip(then) {
            if now.goes() == then.goes() {
                continue;
            }
            let letting_go = if then.goes() { &then } else { &now };
            let Some(policy) = letting_go.policy() else { continue };
            let group = groups.entry(policy.clone()).or_default();
            let tally = if then.goes() {
                &mut group.would_go
            } else {
                &mut group.would_stay
            };
            tally.add(backup.size_bytes);
            group.changes.push(Changed {
                instance: Arc::clone(&resident.instance),
                backup: backup.clone(),
                now,
                then,
            });
        }
    }
    groups
}

/// The fate of every backup of an instance, in their order.
fn fates(fleet: &Fleet, config: &Config, holds: &[Hold], resident: &Resident, at: DateTime<Utc>) -> Vec<Fate> {
    let claiming = fleet.claiming(config, &resident.instance);
    let policies: Vec<Arc<Policy>> = claiming
        .iter()
        .map(|place| Arc::clone(&config.policies[*place].policy))
        .collect();
    let decided = decide(&resident.instance, &resident.backups, holds, &policies, at);
    let mut fates = vec![Fate::Unmanaged; resident.backups.len()];
    for (policy, decisions) in policies.iter().zip(decided) {
        for decision in decisions {
            let fate = match decision.verdict {
                // That another policy keeps it is that policy's to say.
                Verdict::Keep(reasons) if reasons.iter().all(|why| matches!(why.keeper, Keeper::Policy(_))) => continue,
                Verdict::Keep(reasons) => Fate::Keep(policy.name.clone(), reasons),
                Verdict::Expire(reason) => Fate::Expire(policy.name.clone(), reason),
            };
            let known = &mut fates[decision.backup];
            if *known == Fate::Unmanaged {
                *known = fate;
            }
        }
    }
    fates
}

struct Shown<'a> {
    groups: &'a BTreeMap<PolicyName, Group>,
    at: DateTime<Utc>,
    now: &'a Config,
    then: &'a Config,
}

impl Shown<'_> {
    fn mode(&self, policy: &PolicyName) -> Option<Mode> {
        let of = |config: &Config| {
            let found = config.policies.iter().find(|entry| entry.policy.name == *policy);
            found.map(|entry| entry.policy.mode)
        };
        of(self.then).or_else(|| of(self.now))
    }

    fn draw(&self, out: &mut dyn Write, look: &Look) -> io::Result<()> {
        let names = [self.now, self.then].map(|config| clean(&config.path.to_string_lossy()).into_owned());
        if self.groups.is_empty() {
            return writeln!(out, "No backup changes fate between {} and {}.", names[0], names[1]);
        }
        let rows: usize = self.groups.values().map(|group| group.changes.len()).sum();
        for (policy, group) in self.groups {
            let mode = self.mode(policy).map_or("", Mode::as_str);
            writeln!(out, "policy {}, {mode}", look.paint(BOLD, &clean(policy.as_str())))?;
            if look.all || rows <= MOST_ROWS {
                draw_changes(out, look, group)?;
            }
            writeln!(out, "  {}\n", totals(group))?;
        }
        if !look.all && rows > MOST_ROWS {
            let text = format!("{} changes are not listed; --all lists them.", number(rows as u64));
            writeln!(out, "{}\n", look.paint(DIM, &text))?;
        }
        let mut all = Group::default();
        let mut instances = HashSet::new();
        for group in self.groups.values() {
            all.would_go = sum(all.would_go, group.would_go);
            all.would_stay = sum(all.would_stay, group.would_stay);
            instances.extend(group.changes.iter().map(|change| &change.instance.id));
        }
        let text = format!("{} on {}.", totals(&all), count(instances.len() as u64, "instance"));
        writeln!(out, "{}", look.paint(BOLD, &text))?;
        writeln!(out, "With {} instead of {}; grace counted as over.", names[1], names[0])
    }

    fn to_json(&self) -> DiffJson<'_> {
        let group = |(policy, group)| self.group_json(policy, group);
        DiffJson {
            at: Stamp(self.at),
            config: self.now.path.to_string_lossy(),
            against: self.then.path.to_string_lossy(),
            policies: self.groups.iter().map(group).collect(),
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

fn sum(a: Tally, b: Tally) -> Tally {
    Tally {
        count: a.count + b.count,
        bytes: a.bytes.saturating_add(b.bytes),
    }
}

fn totals(group: &Group) -> String {
    let part = |tally: Tally, what: &str| {
        (tally.count > 0).then(|| format!("{} ({}) would {what}", count(tally.count, "backup"), size(tally.bytes)))
    };
    let go = part(group.would_go, "go that stay now");
    let stay = part(group.would_stay, "stay that go now");
    go.into_iter().chain(stay).collect::<Vec<_>>().join(", ")
}

fn draw_changes(out: &mut dyn Write, look: &Look, group: &Group) -> io::Result<()> {
    let wide = look.width.is_none();
    let mut columns = vec![Column::wrapping("INSTANCE", 12), Column::wrapping("BACKUP", 14)];
    columns.extend(wide.then_some(Column::left("ID")));
    columns.extend([
        Column::left("BEGIN"),
        Column::right("SIZE"),
        Column::left("CHANGE"),
        Column::wrapping("NOW", 14),
        Column::wrapping("THEN", 14),
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
        let (word, colour) = if then.goes() {
            ("goes", AnsiColor::Red)
        } else {
            ("stays", AnsiColor::Green)
        };
        cells.extend([
            backup
                .begin
                .map_or_else(|| "?".to_owned(), |begin| day(begin, chrono_tz::Tz::UTC))
                .into(),
            size(backup.size_bytes).into(),
            Cell::styled(word, colour.on_default()),
            now.why().into(),
            then.why().into(),
        ]);
        cells
    };
    group.changes.iter().for_each(|change| grid.measure(&cells(change)));
    grid.fit(look.width);
    grid.header(out, look)?;
    group
        .changes
        .iter()
        .try_for_each(|change| grid.row(out, look, &cells(change)))
}

#[derive(Serialize)]
struct DiffJson<'a> {
    at: Stamp,
    config: Cow<'a, str>,
    against: Cow<'a, str>,
    policies: Vec<GroupJson<'a>>,
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
    reasons: Reasons<'a>,
}

impl<'a> FateJson<'a> {
    fn of(fate: &'a Fate) -> Self {
        Self {
            fate: fate.key(),
            policy: fate.policy(),
            reasons: match fate {
                Fate::Unmanaged => Reasons::None,
                Fate::Keep(_, reasons) => Reasons::Keep(reasons),
                Fate::Expire(_, reason) => Reasons::Expire(*reason),
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
