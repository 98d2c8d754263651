//! What is made from a tape: zones, moments, spans, policies, backups, holds.

use std::fmt::Write as _;
use std::num::NonZeroU32;
use std::sync::LazyLock;

use chrono::{DateTime, TimeDelta, Utc};

use super::super::{
    Backup, BackupKind, BackupStatus, Count, Databases, DeletedInstances, Doubt, Engine, Hold, HoldTarget, Instance,
    InstanceLife, KeepRule, KeepRules, Limits, Mode, Pattern, Period, Policy, Selector, Span, Zone,
};
use super::Tape;

/// Any zone there is; mostly those with odd transitions.
pub fn zone(tape: &mut Tape<'_>) -> Zone {
    static ODD: LazyLock<Vec<Zone>> = LazyLock::new(|| {
        [
            "Europe/Berlin",
            "Asia/Kolkata",
            "Australia/Lord_Howe",
            "America/St_Johns",
            "Asia/Singapore",
            "America/Asuncion",
            "Africa/Cairo",
            "Asia/Beirut",
            "Pacific/Apia",
        ]
        .map(Zone::of)
        .into_iter()
        .chain([Zone::UTC])
        .collect()
    });
    static ALL: LazyLock<Vec<Zone>> = LazyLock::new(|| Zone::compiled_names().map(Zone::of).collect());
    if tape.once_in(3) {
        tape.pick(&ALL)
    } else {
        tape.pick(&ODD)
    }
}

/// A moment between 1990 and 2060, to the second; mostly close to an odd one.
pub fn moment(tape: &mut Tape<'_>) -> DateTime<Utc> {
    const ODD: [i64; 10] = [
        1_792_886_400, // 2026-10-25T00:00:00Z, the end of summer time in Europe
        1_774_742_400, // 2026-03-29T00:00:00Z
        1_289_095_200, // 2010-11-07T02:00:00Z, St John's folds at midnight
        1_775_314_800, // 2026-04-04T15:00:00Z, Lord Howe's half hour
        1_798_761_600, // 2027-01-01T00:00:00Z
        1_325_239_200, // 2011-12-30T10:00:00Z, the day that Apia left out
        1_709_164_800, // 2024-02-29T00:00:00Z
        1_774_915_200, // 2026-03-31T00:00:00Z
        1_772_236_800, // 2026-02-28T00:00:00Z
        1_711_756_800, // 2024-03-30T00:00:00Z
    ];
    let near = tape.pick(&ODD);
    let number = |tape: &mut Tape<'_>, bytes| i64::try_from(tape.number(bytes)).unwrap_or(0);
    let seconds = match tape.below(4) {
        0 => near + number(tape, 1) * 60,
        1 => near + number(tape, 2) - 0x8000,
        2 => near + (number(tape, 2) - 0x8000) * 600,
        _ => 631_152_000 + number(tape, 4) % 2_208_988_800,
    };
    DateTime::from_timestamp(seconds, 0).unwrap_or_default()
}

/// A span of at most three units.
pub fn span(tape: &mut Tape<'_>) -> Span {
    let mut text = String::new();
    let choice = tape.byte();
    for (bit, unit, most) in [
        (1, "y", 12),
        (2, "mo", 30),
        (4, "w", 60),
        (8, "d", 200),
        (16, "h", 200),
        (32, "s", 255),
    ] {
        if choice & bit != 0 {
            // Writing to a String cannot fail.
            let _ = write!(text, "{}{unit}", tape.below(most));
        }
    }
    Span::parse(if text.is_empty() { "0s" } else { &text }).unwrap_or(Span::ZERO)
}

fn count(tape: &mut Tape<'_>) -> Count {
    match NonZeroU32::new(u32::from(tape.below(8))) {
        Some(count) => Count::AtMost(count),
        None => Count::All,
    }
}

fn rule(tape: &mut Tape<'_>) -> KeepRule {
    match tape.below(4) {
        0 => KeepRule::Last(count(tape)),
        1 => KeepRule::Counted(tape.pick(&Period::ALL), count(tape)),
        2 => KeepRule::Within(span(tape)),
        _ => KeepRule::WithinPeriod(tape.pick(&Period::ALL), span(tape)),
    }
}

fn globs(tape: &mut Tape<'_>) -> Vec<Pattern> {
    let globs = ["n1*", "n*2", "?3", "n[0-4]*", "*"];
    (0..tape.below(2))
        .filter_map(|_| Pattern::parse(tape.pick(&globs)).ok())
        .collect()
}

pub(crate) fn policy(tape: &mut Tape<'_>, nth: u8) -> Policy {
    let rules = (0..=tape.below(3)).map(|_| rule(tape)).collect();
    let names = if tape.once_in(4) { globs(tape) } else { Vec::new() };
    let select = Selector {
        backup_names: tape.once_in(6).then(|| globs(tape)),
        exclude_backup_names: if tape.once_in(6) { globs(tape) } else { Vec::new() },
        deleted_instances: match tape.below(3) {
            0 => DeletedInstances::Ignore,
            1 => DeletedInstances::Include,
            _ => DeletedInstances::ExpireAfter(span(tape)),
        },
        ..Selector::default()
    };
    Policy {
        name: format!("p{nth}").into(),
        mode: Mode::Enforce,
        zone: zone(tape),
        select,
        keep: KeepRules::new(rules, names).expect("at least one rule"),
        max_age: tape.once_in(3).then(|| span(tape)),
        failed_after: span(tape),
        min_backups: NonZeroU32::new(1 + u32::from(tape.below(4))).unwrap_or(NonZeroU32::MIN),
        grace: Span::ZERO,
        require_backup_within: None,
        limits: Limits::default(),
    }
}

pub(crate) fn backup(tape: &mut Tape<'_>, nth: u8) -> Backup {
    let odd = tape.byte();
    let begin = (odd != 252).then(|| moment(tape));
    Backup {
        // Not in the order of making, and one often a prefix of another.
        id: format!("{:x}b{nth}", nth.wrapping_mul(37)).into(),
        name: format!("n{}", tape.below(40)).into(),
        kind: match odd {
            255 => BackupKind::Other("odd".into()),
            254 => BackupKind::Auto,
            _ => BackupKind::Manual,
        },
        engine: if odd == 253 {
            Engine::Other("MySQL".into())
        } else {
            Engine::SqlServer
        },
        status: match odd {
            200..=215 => BackupStatus::Failed,
            216..=219 => BackupStatus::Building,
            220..=223 => BackupStatus::Deleting,
            224..=227 => BackupStatus::Other("ODD".into()),
            _ => BackupStatus::Completed,
        },
        begin,
        end: match odd {
            249 => begin.map(|begin| begin - TimeDelta::seconds(1)),
            250 => begin.map(|begin| begin + TimeDelta::days(7) + TimeDelta::nanoseconds(1)),
            41..=60 => begin.map(|begin| begin + TimeDelta::days(7)),
            _ => None,
        },
        size_bytes: 1024,
        databases: match odd {
            251 => Databases::Unknown,
            252 => Databases::Unreadable,
            0..=40 => Databases::from_names([["sales", "hr", "hr2"][usize::from(odd) % 3]]),
            41..=50 => Databases::from_names(["sales", "hr"]),
            _ => Databases::All,
        },
        doubt: match odd {
            247 => Some(Doubt::Changed),
            248 => Some(Doubt::Contested),
            63 => Some(Doubt::InUse),
            61 => Some(Doubt::NoName),
            62 => Some(Doubt::NoEnd),
            _ => None,
        },
    }
}

pub(crate) fn hold(tape: &mut Tape<'_>, backups: &[Backup]) -> Hold {
    let target = match backups.len() {
        several @ 1.. if !tape.once_in(3) => HoldTarget::Backup(backups[usize::from(tape.byte()) % several].id.clone()),
        _ => HoldTarget::Matching {
            instance: None,
            name: Pattern::parse(tape.pick(&["n1*", "n?", "nothing"])).ok(),
        },
    };
    Hold {
        id: None,
        target,
        reason: "r".to_owned(),
        owner: None,
        until: tape.once_in(2).then(|| moment(tape)),
    }
}

pub(crate) fn instance(id: &str, life: InstanceLife) -> Instance {
    Instance {
        engine: Engine::SqlServer,
        project: "p".into(),
        id: id.into(),
        name: "mssql".into(),
        tags: Vec::new(),
        enterprise_project: None,
        life,
    }
}
