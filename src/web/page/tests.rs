//! The page as text: hostile names, size, what it says. How it looks and whether everybody can use it is checked in a
//! browser by `tests/ops/check-page`.

mod pages;
mod problems;

use std::collections::BTreeMap;
use std::sync::Arc;

use chrono::{DateTime, TimeDelta, Utc};

use super::*;
use crate::retention::report::{Action, BackupRow, PolicyReport, RunResult, SkipRecord};
use crate::retention::{
    Backup, BackupKind, BackupStatus, Count, Databases, Engine, ExpireReason, Freeze, Hold, HoldTarget, Instance,
    InstanceLife, KeepReason, KeepRule, KeptBy, Mode, Period, Refusal, RunReport, Series, Zone,
};
use crate::status::{ConfigStatus, FreezeStatus, LastRun, PolicyStatus, Recent, RefusalStatus, StatusProblem};
use crate::wording::remedies::{one_of_each, remedy};

const HOSTILE: &str = "<script>alert(1)</script>\"'&\u{202e}";

fn now() -> DateTime<Utc> {
    "2026-11-23T12:00:00Z".parse().unwrap()
}

fn row(instance: &Arc<Instance>, nth: u32, action: Action) -> BackupRow {
    BackupRow {
        instance: Arc::clone(instance),
        backup: Backup {
            id: format!("{}-{nth:04}br04", instance.id).into(),
            name: format!("{HOSTILE}{nth}").into(),
            kind: BackupKind::Manual,
            engine: Engine::SqlServer,
            status: BackupStatus::Completed,
            begin: Some(now() - TimeDelta::hours(i64::from(nth) * 24 + 7)),
            size_bytes: 3 << 30,
            databases: Databases::All,
            end: None,
            doubt: None,
        },
        action,
        expires_at: None,
        fate: None,
    }
}

fn daily(slot: u32) -> Action {
    Action::Keep(vec![KeepReason {
        keeper: KeptBy::Rule(KeepRule::Counted(Period::Day, Count::All)),
        slot: Some(slot),
        series: Some(Series::Full),
        oldest: false,
    }])
}

fn rows(instances: u32, backups: u32) -> Vec<BackupRow> {
    let mut rows = Vec::new();
    for nth in 0..instances {
        let instance = Arc::new(Instance {
            engine: Engine::SqlServer,
            project: "prod".into(),
            id: format!("cd613e30d8f16adf91b7584a{nth:08}in04").into(),
            name: format!("mssql-{HOSTILE}-{nth}").into(),
            tags: Vec::new(),
            enterprise_project: None,
            life: InstanceLife::Listed,
        });
        for nth in 0..backups {
            let action = match nth % 7 {
                3 => Action::Delete(ExpireReason::NotKept),
                5 => Action::Wait {
                    reason: ExpireReason::NotKept,
                    since: Some(now()),
                    due_at: Some(now() + TimeDelta::hours(24)),
                },
                _ => daily(nth + 1),
            };
            rows.push(row(&instance, nth, action));
        }
    }
    rows
}

fn config_status() -> ConfigStatus {
    ConfigStatus {
        path: "/etc/rds-retentiond/config.yaml".into(),
        sha256: "0123456789abcdef".to_owned(),
        loaded_at: now(),
        last_reload_ok: true,
        problems: Vec::new(),
        waiting: None,
    }
}

fn status(instances: u32, backups: u32) -> Status {
    let report = RunReport {
        run_id: Some("run-1".to_owned()),
        policies: vec![PolicyReport {
            rows: rows(instances, backups),
            ..PolicyReport::new("production".into(), Mode::Enforce, Zone::UTC, RunResult::Success)
        }],
        calls: 1,
        ..RunReport::new(now())
    };
    Status {
        shared: None,
        version: "0.0.0",
        started_at: Some(now() - TimeDelta::days(3)),
        at: now(),
        ready: true,
        problems: Vec::new(),
        config: config_status(),
        policies: vec![PolicyStatus {
            policy: "production".into(),
            mode: "enforce",
            schedule: Some("0 3 * * *".to_owned()),
            zone: Zone::UTC,
            next_run: Some(now() + TimeDelta::hours(15)),
            waiting: false,
            running_since: None,
            last_run: Some(LastRun::of(&report, &report.policies[0])),
            last_success: Some(now()),
            goes_next: None,
        }],
        holds: Vec::new(),
        freeze: None,
        freezes: Vec::new(),
        notices: Vec::new(),
        unmanaged: None,
        instances: None,
        ledger_read_at: None,
        unconfirmed: BTreeMap::new(),
        skipped: Vec::new(),
        storage: (1..=3)
            .map(|day| crate::status::StorageDay {
                day: chrono::NaiveDate::from_ymd_opt(2026, 11, 20 + day).unwrap(),
                first_run: format!("2026-11-{}T20:00:00Z", 20 + day).parse().unwrap(),
                kept_bytes: u64::from(day) << 40,
                held_back_bytes: 0,
                freed_bytes: u64::from(day) << 38,
            })
            .collect(),
        price: None,
        recent: Recent::default(),
        reports: BTreeMap::from([("production".into(), Arc::new(report))]),
    }
}

fn first(status: &Status) -> String {
    view(status, "/", None)
}

/// The page at this address.
fn view(status: &Status, path: &str, query: Option<&str>) -> String {
    render(&PageData::of(status), &View::of(path, query).unwrap())
}

/// A text as the page has it.
fn text(raw: &str) -> String {
    cleaned(maud::html! { (raw) }).0
}

#[test]
fn hostile_names_are_text_everywhere() {
    let mut status = status(2, 9);
    status.holds.push(Hold {
        id: Some(HOSTILE.to_owned()),
        target: HoldTarget::Backup(HOSTILE.into()),
        reason: HOSTILE.to_owned(),
        owner: Some(HOSTILE.to_owned()),
        until: None,
    });
    status.freeze = Some(Freeze {
        reason: HOSTILE.to_owned(),
        until: None,
    });
    status.problems.push(StatusProblem {
        about: "run",
        policy: Some(HOSTILE.into()),
        message: HOSTILE.to_owned(),
    });
    status.config.problems.push(HOSTILE.to_owned());
    status.config.last_reload_ok = false;
    status.config.path = HOSTILE.into();
    let page = first(&status);
    assert!(!page.contains("<script"), "{page}");
    assert!(!page.contains('\u{202e}'));
    // Every place that was made hostile is there, as text: seven and what the instances say.
    assert!(
        page.matches("&lt;script&gt;alert(1)&lt;/script&gt;&quot;'&amp;\\u{202e}")
            .count()
            > 30
    );
}

#[test]
fn small_fleets_show_every_backup_with_its_rule() {
    let page = first(&status(1, 9));
    assert_eq!(page.matches("<title>keep: ").count(), 7);
    assert!(page.contains("2026-11-23 05:00: daily 1</title>"), "{page}");
    assert_eq!(page.matches("<th scope=\"row\"><a href=\"/why/").count(), 9);
}

#[test]
fn holds_that_end_soon_come_first_and_are_marked() {
    let mut status = status(1, 9);
    let mut hold = |name: &str, until| {
        status.holds.push(Hold {
            id: None,
            target: HoldTarget::Backup(name.into()),
            reason: "case".to_owned(),
            owner: None,
            until,
        });
    };
    hold("forever", None);
    hold("later", Some(now() + TimeDelta::days(8)));
    hold("soon", Some(now() + TimeDelta::days(6)));
    let page = first(&status);
    let place = |name: &str| page.find(&format!("backup {name}")).unwrap();
    assert!(place("soon") < place("later") && place("later") < place("forever"));
    assert_eq!(page.matches("<span class=\"chip warn\">ends in").count(), 1);
    assert!(page.contains("1 hold ends within 7 days"));
}

#[test]
fn the_style_is_allowed_by_its_hash() {
    assert_eq!(base64(b"foobar"), "Zm9vYmFy");
    assert_eq!(base64(b"fooba"), "Zm9vYmE=");
    assert_eq!(base64(b"foob"), "Zm9vYg==");
    let page = first(&status(1, 1));
    let (_, rest) = page.split_once("<style>").unwrap();
    let (style, _) = rest.split_once("</style>").unwrap();
    assert_eq!(style, STYLE);
    assert_eq!(page.matches("<style").count(), 1);
    assert!(!page.contains(" style="));
    assert_eq!(style_source().len(), "'sha256-'".len() + 44);
}

#[test]
fn the_first_page_loads_itself_again_without_script_until_that_is_switched_off() {
    let status = status(1, 3);
    let refresh = "<meta http-equiv=\"refresh\" content=\"60\">";
    assert!(first(&status).contains(refresh));
    assert!(first(&status).contains("href=\"/?refresh=off\""));
    let still = view(&status, "/", Some("refresh=off"));
    assert!(!still.contains(refresh) && still.contains("Load it again every minute"));
    for (path, query) in [
        ("/history", None),
        ("/why/x", None),
        ("/policy/production", None),
        ("/", Some("instance=cd613e30d8f16adf91b7584a00000000in04")),
    ] {
        assert!(!view(&status, path, query).contains(refresh), "{path}");
    }
}

#[test]
fn what_expired_and_is_refused_or_frozen_counts_as_storage_with_a_tile_and_a_place_in_the_chart() {
    let mut status = status(1, 9);
    let chart = |page: &str| page.matches("<rect class=\"x\"").count();
    let page = first(&status);
    assert!(!page.contains("Refused or frozen"), "nothing is held back");
    assert!(!page.contains("Due, still there"), "nothing was left");
    let without = chart(&page);
    let last = status.policies[0].last_run.as_mut().unwrap();
    let tally = |count: u64| crate::retention::report::Tally {
        count,
        bytes: count << 40,
    };
    let known = last.known.as_mut().unwrap();
    (known.held_back, known.due) = (tally(37), tally(40));
    status.storage[2].held_back_bytes = 1 << 40;
    let page = first(&status);
    assert!(
        page.contains("<dt>Refused or frozen</dt><dd>37 <small>37.0 TiB expired, still there"),
        "{page}"
    );
    assert!(page.contains("<dt>Due, still there</dt><dd>3 <small>3.0 TiB"), "{page}");
    assert_eq!(chart(&page), without + 1);
    assert!(page.contains("3.0 TiB there, 1.0 TiB of it held back"), "{page}");
}

#[test]
fn money_stands_beside_bytes_where_a_price_is_set_and_nowhere_else() {
    let mut status = status(1, 9);
    assert!(!first(&status).contains("USD"));
    status.price = crate::wording::money::Price::new("0.02", "USD");
    let page = first(&status);
    assert!(
        page.contains("<dt>Saved by this month's deletions</dt><dd>30.72 USD a month"),
        "1.5 TiB were freed: {page}"
    );
    assert!(page.contains("61.44 USD"), "3 TiB are there: {page}");
}

#[test]
fn times_are_in_the_zone_of_the_policies_and_say_so() {
    let mut status = status(1, 9);
    status.policies[0].zone = Zone::of("Asia/Singapore");
    let page = first(&status);
    assert!(page.contains("times in Asia/Singapore"), "{page}");
    assert!(page.contains("2026-11-23 13:00: daily 1</title>"), "05:00 UTC: {page}");
    let mut other = status.policies[0].clone();
    (other.policy, other.zone) = ("other".into(), Zone::of("Europe/Berlin"));
    status.policies.push(other);
    let page = first(&status);
    assert!(page.contains("times in UTC"), "no zone is common: {page}");
}

#[test]
fn instances_without_a_policy_are_named_and_backups_out_of_every_scope_counted() {
    let mut status = status(1, 9);
    assert!(!first(&status).contains("No policy selects"));
    let mut report = RunReport::clone(&status.reports["production"]);
    let mut free = Instance::clone(&report.policies[0].rows[0].instance);
    free.name = "forgotten-1".into();
    report.unmanaged.push(Arc::new(free));
    report
        .instances
        .insert("prod".into(), crate::retention::report::InstanceCounts::default());
    report.policies[0].unselected.insert("prod".into(), 4);
    status.policies[0].last_run = Some(LastRun::of(&report, &report.policies[0]));
    status.reports.insert("production".into(), Arc::new(report));
    let page = first(&status);
    assert!(
        page.contains("No policy selects 1 instance") && page.contains("<bdi>forgotten-1</bdi>"),
        "{page}"
    );
    assert!(
        page.contains("no policy has 4 backups of its managed instances in scope"),
        "{page}"
    );
}

#[test]
fn a_strip_shows_the_last_runs_of_a_policy_in_words_and_marks() {
    let mut status = status(1, 9);
    let mark = |nth: i64, result| crate::ledger::RunMark {
        run: format!("run-{nth}"),
        started_at: now() - TimeDelta::days(30 - nth),
        result,
    };
    let results = [
        Some(RunResult::Success),
        Some(RunResult::Failed),
        Some(RunResult::Refused),
        None,
    ];
    let marks = results
        .into_iter()
        .zip(0..)
        .map(|(result, nth)| mark(nth, result))
        .collect();
    status.recent.runs.insert("production".into(), marks);
    let page = first(&status);
    assert!(
        page.contains("Last 4 runs: 1 failed, 1 not finished, 1 refused, 1 success"),
        "{page}"
    );
    assert!(page.contains("2026-10-25 12:00: failed</title>") && page.contains("href=\"/history?policy=production\""));
}

#[test]
fn a_new_state_shows_what_to_type() {
    let mut status = status(1, 9);
    assert!(!first(&status).contains("First steps"));
    status.policies[0].last_run = None;
    status.reports.clear();
    let page = first(&status);
    for command in ["check --online", "plan", "forecast", "apply"] {
        assert!(
            page.contains(&format!("<code>rds-retentiond {command}</code>")),
            "{command}: {page}"
        );
    }
    assert!(page.contains("First steps"));
}
