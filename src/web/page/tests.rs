//! The page as text: hostile names, size, what it says. How it looks and whether everybody can use it is checked in a
//! browser by `tests/ops/check-page`.

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
fn two_hundred_instances_fit_a_page_and_the_rest_follows() {
    let status = status(200, 40);
    let page = first(&status);
    assert!(page.len() < 200_000, "{}", page.len());
    assert!(page.contains("200 instances with 8,000 backups"));
    let mut shown = page.matches("<article>").count();
    let mut next = shown;
    while next < 200 {
        let page = view(&status, "/", Some(&format!("from={next}")));
        assert!(page.len() < 200_000, "{}", page.len());
        let on_page = page.matches("<article>").count();
        assert!(
            on_page > 0 && page.contains(&format!("Instances {} to", next + 1)),
            "{next}"
        );
        (shown, next) = (shown + on_page, next + on_page);
    }
    assert_eq!(shown, 200);
    // A number beyond the end may be an old bookmark.
    assert!(view(&status, "/", Some(&format!("from={}", usize::MAX))).contains("First page"));
}

#[test]
fn small_fleets_show_every_backup_with_its_rule() {
    let page = first(&status(1, 9));
    assert_eq!(page.matches("<title>keep: ").count(), 7);
    assert!(page.contains("2026-11-23 05:00: daily 1</title>"), "{page}");
    assert_eq!(page.matches("<th scope=\"row\"><a href=\"/why/").count(), 9);
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
    assert!(page.contains("<pre>rds-retentiond --config '/tmp/my config.yaml' approve production --plan c0ffee</pre>"));
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
    status.problems.push(StatusProblem {
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
    status.problems.push(StatusProblem {
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
        let page = view(&status, "/", Some(&format!("instance={id}&from={shown}")));
        assert!(page.len() < 200_000, "{}", page.len());
        let rows = page.matches("<tr><th scope=\"row\"><a href=\"/why/").count();
        assert!(rows > 0 && page.contains(&format!("{id}-{shown:04}br04")), "{shown}");
        (shown, pages) = (shown + rows, pages + 1);
    }
    assert_eq!(shown, 3000);
    assert!(pages > 1);
    let unknown = view(&status, "/", Some("instance=%3Cscript%3Enot-there"));
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
        status.problems.push(StatusProblem {
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
    let overview = |from, instance: Option<&str>, is_still| {
        Some(View::Overview(Overview {
            from,
            instance: instance.map(str::to_owned),
            is_still,
        }))
    };
    assert_eq!(View::of("/", None), overview(0, None, false));
    assert_eq!(View::of("/", Some("from=x&instance=%20")), overview(0, None, false));
    assert_eq!(View::of("/", Some("from=40&refresh=off")), overview(40, None, true));
    assert_eq!(
        View::of("/", Some("a=b&instance=x%26y&from=7")),
        overview(7, Some("x&y"), false)
    );
    for name in ["production", "a/b&c=d+e f%", "=", "k=v"] {
        let encoded = html::encoded(name).replace('+', "%20");
        assert_eq!(
            View::of(&format!("/why/{encoded}"), None),
            Some(View::Why(name.into())),
            "{name}"
        );
        assert_eq!(
            View::of(&format!("/policy/{encoded}"), None),
            Some(View::Policy(name.into())),
            "{name}"
        );
    }
    assert_eq!(
        View::of("/history", Some("policy=p")),
        Some(View::History(Some("p".into())))
    );
    for none in ["/why/", "/policy/", "/nowhere", "/history/", "/why"] {
        assert_eq!(View::of(none, None), None, "{none}");
    }
    assert_eq!(View::of(&format!("/why/{}", "x".repeat(201)), None), None);
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
fn instances_are_found_by_a_part_of_their_name() {
    let status = status(12, 2);
    let found = view(&status, "/", Some("instance=-11"));
    assert_eq!(found.matches("<article>").count(), 1, "{found}");
    assert!(found.contains("value=\"-11\"") && found.contains("12 instances with 24 backups"));
    assert_eq!(
        view(&status, "/", Some("instance=mssql")).matches("<article>").count(),
        12
    );
    let none = view(&status, "/", Some("instance=%22%3E%3Cscript%3E"));
    assert!(!none.contains("<script") && none.contains("Not known"), "{none}");
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

#[test]
fn the_page_of_a_backup_shows_its_decisions_and_hostile_ids_as_text() {
    let status = status(2, 9);
    let page = view(&status, "/why/cd613e30d8f16adf91b7584a00000001in04-0003br04", None);
    assert!(page.contains("<h3>Policy production: delete</h3>"), "{page}");
    assert!(
        page.contains(" why cd613e30d8f16adf91b7584a00000001in04-0003br04</pre>"),
        "{page}"
    );
    let unknown = view(&status, "/why/%3Cscript%3E%E2%80%AE", None);
    assert!(unknown.contains("Not known") && !unknown.contains("<script") && !unknown.contains('\u{202e}'));
}
