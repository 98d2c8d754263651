//! rustic's `KeepOptions::apply` and our `decide` on the same times and rules, in turns, in one process on one core.
//!
//! Prints the best of five rounds of each, in backups a second. `tests/bench/decide` builds and runs it.

// The module as it is, without the rest of the program: it needs no more than dates.
#[allow(dead_code, unused_imports)]
#[path = "../../../../src/retention/mod.rs"]
mod retention;

use std::hint::black_box;
use std::num::NonZeroU32;
use std::sync::Arc;
use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use jiff::tz::TimeZone;
use jiff::{Timestamp, Zoned};
use retention::{
    Backup, BackupKind, BackupStatus, Count, Databases, Engine, Instance, InstanceLife, KeepRule, KeepRules, Limits,
    Mode, Period, Policy, Selector, Span, Verdict, Zone, decide,
};
use rustic_core::repofile::SnapshotFile;
use rustic_core::KeepOptions;

const GROUPS: usize = 1000;
const SIZE: usize = 1000;
const ROUNDS: usize = 5;

fn time(group: usize, number: usize) -> i64 {
    // 2026-11-23T03:00:00Z, less a minute for each group and six hours for each backup.
    1_795_402_800 - 60 * (1 + (group % 360) as i64) - 6 * 3600 * number as i64
}

/// What this process's only thread has had of a core so far: other programs on the machine do not count.
fn cpu_time() -> Duration {
    let text = std::fs::read_to_string("/proc/self/schedstat").expect("Linux with schedstat");
    let nanoseconds = text.split_whitespace().next().and_then(|number| number.parse().ok());
    Duration::from_nanos(nanoseconds.expect("a number"))
}

fn main() {
    let now: DateTime<Utc> = DateTime::from_timestamp(1_795_402_800, 0).expect("a time");
    let zone = TimeZone::get("Asia/Singapore").expect("the zone");
    let zoned = |seconds: i64| Zoned::new(Timestamp::from_second(seconds).expect("a time"), zone.clone());
    let options = KeepOptions::default()
        .keep_last(7)
        .keep_daily(14)
        .keep_weekly(8)
        .keep_monthly(12)
        .keep_yearly(3);
    let snapshots: Vec<Vec<SnapshotFile>> = (0..GROUPS)
        .map(|group| {
            (0..SIZE)
                .map(|number| {
                    let mut snapshot = SnapshotFile::default();
                    snapshot.time = zoned(time(group, number));
                    snapshot
                })
                .collect()
        })
        .collect();
    let at_most = |count| Count::AtMost(NonZeroU32::new(count).expect("not zero"));
    let rules = vec![
        KeepRule::Last(at_most(7)),
        KeepRule::Counted(Period::Day, at_most(14)),
        KeepRule::Counted(Period::Week, at_most(8)),
        KeepRule::Counted(Period::Month, at_most(12)),
        KeepRule::Counted(Period::Year, at_most(3)),
    ];
    let policies = [Arc::new(Policy {
        name: "bench".into(),
        mode: Mode::Enforce,
        zone: Zone::compiled("Asia/Singapore").expect("the zone"),
        select: Selector::default(),
        keep: KeepRules::new(rules, Vec::new()).expect("rules"),
        max_age: None,
        failed_after: Span::days(14),
        min_backups: NonZeroU32::MIN,
        grace: Span::days(3),
        require_backup_within: None,
        limits: Limits::default(),
    })];
    let instance = Instance {
        engine: rds_retentiond::retention::Engine::SqlServer,
        project: "p".into(),
        id: "i".into(),
        name: "i".into(),
        tags: Vec::new(),
        enterprise_project: None,
        life: InstanceLife::Listed,
    };
    let backups: Vec<Vec<Backup>> = (0..GROUPS)
        .map(|group| {
            (0..SIZE)
                .map(|number| Backup {
                    id: format!("{group:016x}{number:016x}br04").into(),
                    name: "backup".into(),
                    kind: BackupKind::Manual,
                    engine: Engine::SqlServer,
                    status: BackupStatus::Completed,
                    begin: now
                        .checked_sub_signed(TimeDelta::seconds(now.timestamp() - time(group, number))),
                    size_bytes: 1 << 30,
                    databases: Databases::All,
                    end: None,
                    doubt: None,
                })
                .collect()
        })
        .collect();
    let (mut theirs, mut ours) = (Duration::MAX, Duration::MAX);
    for _ in 0..ROUNDS {
        // `apply` takes the snapshots by value; the copy is not counted.
        let (input, at) = (snapshots.clone(), zoned(now.timestamp()));
        let begun = cpu_time();
        let mut kept = 0;
        for group in input {
            let answer = black_box(options.apply(group, &at)).expect("valid options");
            kept += answer.iter().filter(|snapshot| snapshot.keep).count();
        }
        theirs = theirs.min(cpu_time() - begun);
        let begun = cpu_time();
        let mut also_kept = 0;
        for group in &backups {
            let decided = black_box(decide(&instance, group, &[], &policies, now));
            also_kept += decided[0]
                .iter()
                .filter(|decision| matches!(decision.verdict, Verdict::Keep(_)))
                .count();
        }
        ours = ours.min(cpu_time() - begun);
        assert_eq!(kept, also_kept, "the two must keep the same");
    }
    let rate = |took: Duration| (GROUPS * SIZE) as f64 / took.as_secs_f64() / 1e6;
    println!("rustic_core 0.13 KeepOptions::apply  {:6.2} million backups a second", rate(theirs));
    println!("decide                               {:6.2} million backups a second", rate(ours));
}
