//! The page as text: hostile names, size, what it says. How it looks and whether everybody can use it is checked in a
//! browser by `tests/ops/check-page`.

use std::collections::BTreeMap;
use std::sync::Arc;

use chrono::{DateTime, TimeDelta, Utc};

use super::*;
use crate::retention::report::{Action, PolicyReport, Row, RunResult, SkipRecord};
use crate::retention::{
    Backup, BackupKind, BackupStatus, Count, Databases, Engine, ExpireReason, Freeze, Hold, HoldTarget, Instance,
    InstanceLife, KeepReason, KeepRule, KeptBy, Mode, Period, Refusal, RunReport, Series, Zone,
};
use crate::status::{ConfigStatus, FreezeStatus, LastRun, PolicyStatus, Problem, RefusalStatus};
use crate::wording::remedies::{one_of_each, remedy};

const HOSTILE: &str = "<script>alert(1)</script>\"'&\u{202e}";

fn now() -> DateTime<Utc> {
    "2026-11-23T12:00:00Z".parse().unwrap()
}

fn row(instance: &Arc<Instance>, nth: u32, action: Action) -> Row {
    Row {
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

fn rows(instances: u32, backups: u32) -> Vec<Row> {
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
            timezone: "UTC",
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
                kept_bytes: u64::from(day) << 40,
                held_back_bytes: 0,
                freed_bytes: u64::from(day) << 38,
            })
            .collect(),
        reports: BTreeMap::from([("production".into(), Arc::new(report))]),
    }
}

fn first(status: &Status) -> String {
    render(status, &View::FIRST)
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
    status.problems.push(Problem {
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
        page.matches("&lt;script&gt;alert(1)&lt;/script&gt;&quot;&#39;&amp;\\u{202e}")
            .count()
            > 30
    );
}

#[test]
fn two_hundred_instances_fit_a_page_and_the_rest_follows() {
    let status = status(200, 40);
    let page = first(&status);
    assert!(page.len() < 200_000, "{}", page.len());
    assert!(page.contains("200 instances with 8,000 backups"));
    let mut shown = page.matches("<article>").count();
    let mut next = shown;
    while next < 200 {
        let page = render(&status, &View::Overview(next));
        assert!(page.len() < 200_000, "{}", page.len());
        let on_page = page.matches("<article>").count();
        assert!(
            on_page > 0 && page.contains(&format!("Instances {} to", next + 1)),
            "{next}"
        );
        (shown, next) = (shown + on_page, next + on_page);
    }
    assert_eq!(shown, 200);
    // A number beyond the end is somebody's old bookmark.
    assert!(render(&status, &View::Overview(usize::MAX)).contains("First page"));
}

#[test]
fn small_fleets_show_every_backup_with_its_rule() {
    let page = first(&status(1, 9));
    assert_eq!(page.matches("<title>keep: ").count(), 7);
    assert!(page.contains("2026-11-23 05:00: daily 1</title>"), "{page}");
    assert_eq!(page.matches("<th scope=\"row\"><bdi>").count(), 9);
}

/// The guard refused this in the last run of the policy.
fn refuse(status: &mut Status, refusals: Vec<Refusal>, digest: &str) {
    let mut report = RunReport::clone(&status.reports["production"]);
    report.policies[0].refusals = refusals;
    report.policies[0].digest = Some(digest.to_owned());
    status.policies[0].last_run = Some(LastRun::of(&report, &report.policies[0]));
    status.reports.insert("production".into(), Arc::new(report));
}

#[test]
fn a_refusal_comes_with_the_command_that_lifts_it() {
    let mut status = status(1, 9);
    assert!(first(&status).contains("All is well"));
    refuse(
        &mut status,
        vec![Refusal::MaxDeletions { planned: 9, limit: 8 }],
        "c0ffee",
    );
    status.config.path = "/tmp/my config.yaml".into();
    let page = first(&status);
    assert!(page.contains("<h2 id=\"state\">1 thing needs a look</h2>"), "{page}");
    assert!(
        page.contains(
            "<pre>rds-retentiond --config &#39;/tmp/my config.yaml&#39; approve production --plan c0ffee</pre>"
        )
    );
    // After a restart there is no report; the command is said all the same.
    status.reports.clear();
    let page = first(&status);
    assert!(
        page.contains("1 thing needs a look") && page.contains("approve production --plan c0ffee</pre>"),
        "{page}"
    );
}

#[test]
fn a_hundred_instances_over_max_percent_are_one_thing_with_one_command() {
    let mut status = status(1, 9);
    let over = |nth: usize| Refusal::MaxPercent {
        instance: format!("{nth}in04").into(),
        planned: 9,
        of: 10,
        percent: 50,
    };
    refuse(&mut status, (0..100).map(over).collect(), "c0ffee");
    let skip = |id: &str, reason: &str| SkipRecord {
        project: "prod".into(),
        instance_id: Some(id.into()),
        instance_name: None,
        reason: reason.to_owned(),
        message: "total_count does not agree".to_owned(),
    };
    // The same is listed as an instance left alone.
    status.skipped = vec![skip("3in04", "max_percent"), skip("7in04", "listing")];
    let page = first(&status);
    assert!(
        page.contains("2 things need a look") && page.contains("100 instances are left alone: 0in04 (9 of 10)"),
        "{page}"
    );
    assert_eq!(page.matches("approve production --plan c0ffee</pre>").count(), 1);
    assert!(
        page.contains("<h3>Left alone</h3><p>instance 7in04 (prod): listing"),
        "{page}"
    );
}

#[test]
fn a_refused_plan_that_waits_is_said_although_the_last_run_failed() {
    let mut status = status(1, 9);
    status.problems.push(Problem {
        about: "guard",
        policy: Some("production".into()),
        message: "its plan was refused and waits".to_owned(),
    });
    let page = first(&status);
    assert!(page.contains("<h3>Refused, policy production</h3>"), "{page}");
}

#[test]
fn the_headline_tells_the_four_moods_apart() {
    let mut status = status(1, 9);
    let head = |status: &Status| {
        let page = first(status);
        let (_, rest) = page.split_once("<h2 id=\"state\">").unwrap();
        rest.split_once("</h2>").unwrap().0.to_owned()
    };
    assert_eq!(head(&status), "All is well");
    status.freeze = Some(Freeze {
        reason: "audit".to_owned(),
        until: None,
    });
    status.freezes = vec![FreezeStatus {
        id: Some("f1".to_owned()),
        place: None,
        freeze: status.freeze.clone().unwrap(),
    }];
    assert_eq!(head(&status), "Frozen");
    // What the freeze refuses is not another thing to look at.
    status.policies[0].last_run.as_mut().unwrap().refusal = Some(RefusalStatus {
        limit: "freeze".to_owned(),
        message: "frozen".to_owned(),
        waits: false,
        digest: None,
    });
    status.problems.push(Problem {
        about: "guard",
        policy: Some("production".into()),
        message: "freeze: frozen".to_owned(),
    });
    assert_eq!(head(&status), "Frozen");
    assert!(first(&status).contains("rds-retentiond thaw f1</code>"));
    status.problems.clear();
    status.config.last_reload_ok = false;
    assert_eq!(head(&status), "1 thing needs a look");
    status.ready = false;
    assert_eq!(head(&status), "It cannot do its work");
    (status.ready, status.config.last_reload_ok, status.freeze) = (true, true, None);
    status.policies[0].last_run = None;
    status.reports.clear();
    assert_eq!(head(&status), "No run yet");
    assert!(!first(&status).contains("All is well"));
}

/// The terminal shows the same remedies: see `each_refusal_is_shown_with_the_remedy_that_the_page_shows`.
#[test]
fn each_refusal_is_shown_with_the_remedy_that_the_terminal_shows() {
    for refusal in one_of_each() {
        let mut status = status(1, 9);
        let wanted = remedy(&refusal, "production", Some("c0ffee"), "rds-retentiond");
        if let Refusal::Freeze { sources, .. } = &refusal {
            let freeze = Freeze {
                reason: "audit".to_owned(),
                until: None,
            };
            let of = |id: Option<&String>, place: Option<&String>| FreezeStatus {
                id: id.cloned(),
                place: place.cloned(),
                freeze: freeze.clone(),
            };
            status.freezes = sources.configured.iter().map(|place| of(None, Some(place))).collect();
            status
                .freezes
                .extend(sources.placed.iter().map(|id| of(Some(id), None)));
            status.freeze = Some(freeze);
            // Each freeze has a line of its own.
            for part in wanted.to_string().split(", and ") {
                assert!(first(&status).contains(&text(part)), "{part}");
            }
            assert_eq!(first(&status).contains("thaw"), !sources.placed.is_empty());
            continue;
        }
        refuse(&mut status, vec![refusal], "c0ffee");
        let page = first(&status);
        assert!(page.contains(&text(&wanted.to_string())), "{wanted}: {page}");
    }
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
fn an_instance_has_a_page_with_all_its_backups() {
    let status = status(3, 3000);
    let id = "cd613e30d8f16adf91b7584a00000001in04";
    assert!(first(&status).contains(&format!("href=\"/?instance={id}\"")));
    let (mut shown, mut pages) = (0, 0);
    while shown < 3000 {
        let page = render(&status, &View::of(Some(&format!("instance={id}&from={shown}"))));
        assert!(page.len() < 200_000, "{}", page.len());
        let rows = page.matches("<tr><th scope=\"row\">").count();
        assert!(rows > 0 && page.contains(&format!("{id}-{shown:04}br04")), "{shown}");
        (shown, pages) = (shown + rows, pages + 1);
    }
    assert_eq!(shown, 3000);
    assert!(pages > 1);
    let unknown = render(&status, &View::of(Some("instance=%3Cscript%3E")));
    assert!(
        unknown.contains("Not known") && !unknown.contains("<script"),
        "{unknown}"
    );
}

#[test]
fn a_page_stays_small_whatever_there_is() {
    let mut status = status(200, 40);
    let long = "x".repeat(100_000);
    for nth in 0..3000 {
        status.problems.push(Problem {
            about: "instance",
            policy: None,
            message: long.clone(),
        });
        status.config.problems.push(long.clone());
        status.holds.push(Hold {
            id: Some(nth.to_string()),
            target: HoldTarget::Backup("id".into()),
            reason: long.clone(),
            owner: Some(long.clone()),
            until: None,
        });
        let policy = PolicyStatus {
            policy: format!("policy-{nth}").into(),
            ..status.policies[0].clone()
        };
        status.policies.push(policy);
    }
    status.config.last_reload_ok = false;
    let page = first(&status);
    assert!(page.len() < 200_000, "{}", page.len());
    assert!(page.contains("more") && page.contains("<article>"));
}

#[test]
fn old_addresses_lead_somewhere() {
    assert_eq!(View::of(None), View::FIRST);
    assert_eq!(View::of(Some("from=x")), View::FIRST);
    assert_eq!(View::of(Some("from=40")), View::Overview(40));
    assert_eq!(
        View::of(Some("a=b&instance=x%26y&from=7")),
        View::Instance("x&y".to_owned(), 7)
    );
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
    assert!(!page.contains(" style=") && !page.contains("http-equiv"));
    assert_eq!(style_source().len(), "'sha256-'".len() + 44);
}
