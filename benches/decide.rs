//! The pure decision: what `decide` costs for each backup. No file, no network, one core.
//!
//! `cargo bench --bench decide`; beside rustic's on the same times and rules: `tests/bench/decide`.

use std::hint::black_box;
use std::num::NonZeroU32;
use std::sync::Arc;
use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use criterion::{BenchmarkId, Criterion, Throughput, criterion_group};
use rds_retentiond::retention::{
    Backup, BackupKind, BackupStatus, Count, Databases, Engine, Hold, HoldTarget, Instance, InstanceLife, KeepRule,
    KeepRules, Limits, Mode, Period, Policy, Selector, Span, Zone, decide,
};

fn now() -> DateTime<Utc> {
    "2026-11-23T03:00:00Z".parse().expect("a time")
}

fn at_most(count: u32) -> Count {
    Count::AtMost(NonZeroU32::new(count).expect("not zero"))
}

/// The policy of the measurements: last 7, daily 14, weekly 8, monthly 12, yearly 3.
fn policy() -> Policy {
    let rules = vec![
        KeepRule::Last(at_most(7)),
        KeepRule::Counted(Period::Day, at_most(14)),
        KeepRule::Counted(Period::Week, at_most(8)),
        KeepRule::Counted(Period::Month, at_most(12)),
        KeepRule::Counted(Period::Year, at_most(3)),
    ];
    Policy {
        name: "bench".into(),
        mode: Mode::Enforce,
        zone: Zone::compiled("Asia/Singapore").expect("a zone"),
        select: Selector::default(),
        keep: KeepRules::new(rules, Vec::new()).expect("rules"),
        max_age: None,
        failed_after: Span::days(14),
        min_backups: NonZeroU32::new(3).expect("not zero"),
        grace: Span::days(3),
        require_backup_within: None,
        limits: Limits::default(),
    }
}

fn instance(group: usize) -> Instance {
    Instance {
        engine: Engine::SqlServer,
        project: "production".into(),
        id: format!("{group:032x}in04").into(),
        name: format!("mssql-{group}").into(),
        tags: Vec::new(),
        enterprise_project: None,
        life: InstanceLife::Listed,
    }
}

/// `size` backups six hours apart, newest first as the API lists them; every group on its own minute.
fn backups(group: usize, size: usize) -> Vec<Backup> {
    let offset = |number: usize| i64::try_from(number).expect("small");
    let newest = now() - TimeDelta::minutes(1 + offset(group % 360));
    (0..size)
        .map(|number| Backup {
            id: format!("{group:016x}{number:016x}br04").into(),
            name: format!("backup-{group}-{number}").into(),
            kind: BackupKind::Manual,
            engine: Engine::SqlServer,
            status: BackupStatus::Completed,
            begin: Some(newest - TimeDelta::hours(6 * offset(number))),
            size_bytes: 10 << 30,
            databases: Databases::All,
            end: None,
            doubt: None,
        })
        .collect()
}

fn decide_all(groups: &[(Instance, Vec<Backup>)], holds: &[Hold], policies: &[Arc<Policy>]) {
    for (instance, backups) in groups {
        black_box(decide(instance, black_box(backups), holds, policies, now()));
    }
}

/// Groups of 1,000: a million backups, a tenth and a hundredth of it; the rate must not depend on how many.
fn groups(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("groups of 1000");
    group.sample_size(10).measurement_time(Duration::from_secs(5));
    let policies = [Arc::new(policy())];
    for groups in [10, 100, 1000] {
        let fleet: Vec<_> = (0..groups).map(|n| (instance(n), backups(n, 1000))).collect();
        group.throughput(Throughput::Elements(groups as u64 * 1000));
        group.bench_function(BenchmarkId::from_parameter(groups), |bencher| {
            bencher.iter(|| decide_all(&fleet, &[], &policies));
        });
    }
}

/// One instance with ever more backups: the rate must not depend on how many either.
fn one_instance(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("one instance");
    group.sample_size(10).measurement_time(Duration::from_secs(3));
    let policies = [Arc::new(policy())];
    for size in [1000, 10_000, 100_000] {
        let fleet = [(instance(0), backups(0, size))];
        group.throughput(Throughput::Elements(size as u64));
        group.bench_function(BenchmarkId::from_parameter(size), |bencher| {
            bencher.iter(|| decide_all(&fleet, &[], &policies));
        });
    }
}

/// What makes a decision dearer: shuffled input, `max_age`, a hold that ends, a second policy that keeps more.
fn dearer(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("dearer");
    group.sample_size(10).measurement_time(Duration::from_secs(3));
    group.throughput(Throughput::Elements(100_000));
    let fleet: Vec<_> = (0..100).map(|n| (instance(n), backups(n, 1000))).collect();
    let plain = [Arc::new(policy())];
    let mut random = fastrand::Rng::with_seed(7);
    let mut shuffled = fleet.clone();
    for (_, backups) in &mut shuffled {
        random.shuffle(backups);
    }
    group.bench_function("shuffled", |bencher| {
        bencher.iter(|| decide_all(&shuffled, &[], &plain));
    });
    let aged = [Arc::new(Policy {
        max_age: Some(Span::days(400)),
        ..policy()
    })];
    group.bench_function("max_age", |bencher| {
        bencher.iter(|| decide_all(&fleet, &[], &aged));
    });
    let hold = Hold {
        id: None,
        target: HoldTarget::Backup(fleet[0].1[500].id.clone()),
        reason: "audit".into(),
        owner: None,
        until: Some(now() + TimeDelta::days(30)),
    };
    group.bench_function("hold", |bencher| {
        bencher.iter(|| decide_all(&fleet, std::slice::from_ref(&hold), &plain));
    });
    let two = [
        Arc::new(policy()),
        Arc::new(Policy {
            name: "second".into(),
            ..policy()
        }),
    ];
    group.bench_function("two policies", |bencher| {
        bencher.iter(|| decide_all(&fleet, &[], &two));
    });
}

criterion_group!(benches, groups, one_instance, dearer);

fn main() {
    // `cargo test --all-targets` starts this, too, without optimisation.
    if std::env::args().any(|argument| argument == "--bench") {
        benches();
        Criterion::default().configure_from_args().final_summary();
    }
}
