//! Reports as tables and JSON, against files that were read before they were accepted; the binary's words and codes.
//!
//! The report is made by hand and every field of it has its own value, so that no two can be mixed up unseen.

mod commands;
mod listings;
mod reports_as_json;
mod tables;

use std::collections::{BTreeMap, HashMap};
use std::num::NonZeroU32;
use std::sync::Arc;

use chrono::{DateTime, Utc};
use rds_retentiond::cli::output::decisions;
use rds_retentiond::cli::output::report::ReportKind;
use rds_retentiond::cli::output::theme::Theme;
use rds_retentiond::retention::plan::ClockCheck;
use rds_retentiond::retention::report::{
    Action, BackupRow, InstanceCounts, InstanceSummary, Overlap, PolicyReport, RunResult, Sent, Skip, SkipReason,
    Summary, Tally,
};
use rds_retentiond::retention::{
    Backup, BackupKind, BackupStatus, Count, Databases, Engine, ExpireReason, Fate, Hold, HoldTarget, Instance,
    InstanceLife, KeepReason, KeepRule, KeptBy, Mode, Outcome, Period, Refusal, RunReport, Series, Span, Zone,
};

fn at(text: &str) -> DateTime<Utc> {
    text.parse().unwrap()
}

fn instance(project: &str, id: &str, name: &str, life: InstanceLife) -> Arc<Instance> {
    Arc::new(Instance {
        engine: Engine::SqlServer,
        project: project.into(),
        id: id.into(),
        name: name.into(),
        tags: vec![("env".to_owned(), "never shown".to_owned())],
        enterprise_project: None,
        life,
    })
}

fn row(
    instance: &Arc<Instance>,
    id: &str,
    name: &str,
    begin: Option<&str>,
    size_bytes: u64,
    action: Action,
) -> BackupRow {
    BackupRow {
        instance: Arc::clone(instance),
        backup: Backup {
            id: id.into(),
            name: name.into(),
            kind: BackupKind::Manual,
            engine: Engine::SqlServer,
            status: BackupStatus::Completed,
            begin: begin.map(at),
            size_bytes,
            databases: Databases::All,
            end: None,
            doubt: None,
        },
        action,
        expires_at: None,
        fate: None,
    }
}

fn reason(keeper: KeptBy, slot: Option<u32>, series: Option<Series>) -> KeepReason {
    KeepReason {
        keeper,
        slot,
        series,
        oldest: false,
    }
}

fn counted(period: Period, slot: u32) -> KeepReason {
    let count = Count::AtMost(NonZeroU32::new(40).unwrap());
    reason(
        KeptBy::Rule(KeepRule::Counted(period, count)),
        Some(slot),
        Some(Series::Full),
    )
}

fn hold() -> Hold {
    Hold {
        id: Some("h-17".to_owned()),
        target: HoldTarget::Backup("id-held".into()),
        reason: "case 4711".to_owned(),
        owner: Some("dba".to_owned()),
        until: Some(at("2027-06-30T00:00:00Z")),
    }
}

fn kept_rows(one: &Arc<Instance>, two: &Arc<Instance>) -> Vec<BackupRow> {
    let database = Some(Series::Database(Arc::from("crm")));
    let within = KeptBy::Rule(KeepRule::Within(Span::days(3)));
    let mut oldest = counted(Period::Month, 6);
    oldest.oldest = true;
    let keep = Action::Keep;
    let mut rows = vec![
        // Not in the order in which they are to be shown.
        row(
            two,
            "id-building",
            "being-made",
            None,
            0,
            keep(vec![reason(KeptBy::InProgress, None, None)]),
        ),
        row(
            one,
            "id-1",
            "nightly_1",
            Some("2026-11-22T19:00:00Z"),
            1_073_741_824,
            keep(vec![counted(Period::Day, 3), counted(Period::Week, 2)]),
        ),
        row(
            one,
            "id-held",
            "pre-migration",
            Some("2026-10-30T01:02:03Z"),
            1_536,
            keep(vec![reason(KeptBy::Hold(Box::new(hold())), None, None)]),
        ),
        row(
            one,
            "id-oldest",
            "first",
            Some("2025-10-07T03:00:00Z"),
            12_345,
            keep(vec![oldest]),
        ),
        row(
            two,
            "id-partial",
            "crm \x1b[2J\u{202e}only",
            Some("2026-11-21T16:30:00Z"),
            77,
            keep(vec![
                reason(within, Some(1), database),
                reason(KeptBy::Policy("wide".into()), None, None),
            ]),
        ),
        row(
            two,
            "id-floor",
            "last-of-all",
            Some("2024-02-29T23:59:59Z"),
            2_199_023_255_552,
            keep(vec![reason(KeptBy::Floor, Some(1), Some(Series::Full))]),
        ),
    ];
    rows[0].backup.status = BackupStatus::Building;
    rows[1].expires_at = Some(at("2026-12-06T19:00:00Z"));
    rows
}

fn expired_rows(one: &Arc<Instance>) -> Vec<BackupRow> {
    let wait = |reason, since| Action::Wait {
        reason,
        since,
        due_at: Some(at("2026-11-24T03:00:00Z")),
    };
    let delete = Action::Delete;
    let mut rows = vec![
        row(
            one,
            "id-wait",
            "waits",
            Some("2026-11-01T19:00:00Z"),
            5_000,
            wait(ExpireReason::NotKept, None),
        ),
        row(
            one,
            "id-graced",
            "waits-longer",
            Some("2026-11-01T18:00:00Z"),
            6_000,
            wait(ExpireReason::Failed, Some(at("2026-11-23T02:00:00Z"))),
        ),
        row(
            one,
            "id-gone",
            "goes",
            Some("2026-09-01T19:00:00Z"),
            7_000,
            delete(ExpireReason::NotKept),
        ),
        row(
            one,
            "id-old",
            "too-old",
            Some("2019-09-01T19:00:00Z"),
            8_000,
            delete(ExpireReason::MaxAge),
        ),
        row(
            one,
            "id-mute",
            "unlucky",
            Some("2026-08-01T19:00:00Z"),
            9_000,
            delete(ExpireReason::NotKept),
        ),
    ];
    rows[1].backup.status = BackupStatus::Failed;
    rows
}

fn policy(name: &str, mode: Mode, zone: Zone) -> PolicyReport {
    PolicyReport::new(name.into(), mode, zone, RunResult::Success)
}

/// The numbers of each instance, as a run makes them.
fn summaries(rows: &[BackupRow]) -> Vec<InstanceSummary> {
    let mut instances: Vec<InstanceSummary> = Vec::new();
    for row in rows {
        let place = instances.iter().position(|of| of.instance.id == row.instance.id);
        let place = place.unwrap_or_else(|| {
            instances.push(InstanceSummary::new(Arc::clone(&row.instance)));
            instances.len() - 1
        });
        instances[place].add(&row.action, &row.backup);
    }
    instances
}

/// What `plan` would return.
fn singapore() -> Zone {
    Zone::compiled("Asia/Singapore").unwrap()
}

fn plan() -> RunReport {
    let missed_since = at("2026-11-02T00:00:00Z");
    let one = instance("prod", "inst-one-in04", "mssql-prod-1", InstanceLife::Listed);
    let two = instance(
        "prod",
        "inst-two-in04",
        "mssql-prod-2",
        InstanceLife::Deleted { missed_since },
    );
    let mut rows = kept_rows(&one, &two);
    rows.extend(expired_rows(&one));
    let tally = |count, bytes| Tally { count, bytes };
    let production = PolicyReport {
        refusals: vec![
            Refusal::MaxDeletions {
                planned: 1_501,
                limit: 500,
            },
            Refusal::MaxPercent {
                instance: "inst-one-in04".into(),
                planned: 7,
                of: 12,
                percent: 50,
            },
        ],
        digest: Some("8f14e45fceea167a5a36dedd4bea2543".to_owned()),
        summary: Summary {
            keep: tally(6, 2_200_097_012_000),
            wait: tally(2, 11_000),
            delete: tally(3, 24_000),
        },
        instances: summaries(&rows),
        rules: vec![KeepRule::Counted(
            Period::Day,
            Count::AtMost(NonZeroU32::new(3).unwrap()),
        )],
        rows,
        ..policy("production", Mode::Enforce, singapore())
    };
    let skip = |instance: Option<&str>, reason, message: &str| Skip {
        project: "dr".into(),
        instance: instance.map(Into::into),
        reason,
        message: message.to_owned(),
    };
    RunReport {
        finished_at: at("2026-11-23T03:00:04Z"),
        policies: vec![production, policy("wide", Mode::DryRun, Zone::UTC)],
        unmanaged: vec![instance("prod", "inst-none-in04", "scratch\n", InstanceLife::Listed)],
        overlaps: vec![Overlap {
            policies: vec!["production".into(), "wide".into()],
            instances: 2,
        }],
        skipped: vec![
            skip(Some("inst-bad-in04"), SkipReason::Listing, "total_count 9, but 7 ids"),
            skip(None, SkipReason::Shrink, "the list of instances fell from 12 to 5"),
        ],
        instances: BTreeMap::from([(
            "prod".into(),
            InstanceCounts {
                managed: 21,
                unmanaged: 1,
                overlapping: 2,
                failed: 3,
            },
        )]),
        calls: 1_412,
        ..RunReport::new(at("2026-11-23T03:00:00Z"))
    }
}

/// What `apply` would return.
fn apply() -> RunReport {
    let mut report = plan();
    report.run_id = Some("0199-run".to_owned());
    report.ledger_head = Some("5f0c".to_owned());
    report.unconfirmed = BTreeMap::from([("prod".into(), 1)]);
    let rejected = Outcome::Rejected {
        code: "DBS.200054".to_owned(),
        message: "backup\tin use".to_owned(),
    };
    let unanswered = Outcome::Unanswered {
        why: "no answer in 20 s".to_owned(),
    };
    report.mark(&HashMap::from([
        ("id-gone".into(), Arc::new(Fate::Confirmed)),
        ("id-old".into(), Arc::new(Fate::Answered(rejected))),
        ("id-mute".into(), Arc::new(Fate::Answered(unanswered))),
    ]));
    let production = &mut report.policies[0];
    production.refusals = vec![Refusal::Clock {
        project: "dr".into(),
        check: ClockCheck::NoDate,
    }];
    production.left = 4;
    production.approved = 10;
    let count = |pairs: &[(&str, u64)]| pairs.iter().map(|(key, count)| ((*key).to_owned(), *count)).collect();
    let sent = Sent {
        fates: count(&[("confirmed", 1), ("rejected", 2), ("unanswered", 3)]),
        codes: count(&[("DBS.200054", 2)]),
        confirmed_bytes: 7_000,
    };
    production.sent = BTreeMap::from([("prod".into(), sent)]);
    report
}

fn look(width: Option<usize>) -> Theme {
    Theme {
        width,
        colour: false,
        all: false,
        price: None,
        program: "rds-retentiond".to_owned(),
    }
}

fn draw(report: &RunReport, kind: ReportKind, look: &Theme) -> String {
    let mut drawn = Vec::new();
    decisions::report(&mut drawn, report, kind, look).unwrap();
    String::from_utf8(drawn).unwrap()
}

/// Compares with a file of `tests/golden`. `UPDATE_GOLDEN=1` writes it, for a person to read.
fn golden(name: &str, actual: &str) {
    let path = std::path::Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("tests/golden")
        .join(name);
    if std::env::var_os("UPDATE_GOLDEN").is_some() {
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(&path, actual).unwrap();
    }
    let expected = std::fs::read_to_string(&path).unwrap_or_default();
    assert!(
        expected == actual,
        "{name} differs:\n{actual}\n--- expected ---\n{expected}"
    );
}
