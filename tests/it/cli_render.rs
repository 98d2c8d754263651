//! Reports as tables and JSON, against files that were read before they were accepted; the binary's words and codes.
//!
//! The report is made by hand and every field of it has its own value, so that no two can be mixed up unseen.

use std::collections::{BTreeMap, HashMap};
use std::num::NonZeroU32;
use std::process::{Command, Output, Stdio};
use std::sync::Arc;

use chrono::{DateTime, Utc};
use rds_retentiond::cli::output::report::ReportKind;
use rds_retentiond::cli::output::row_buffer::BufferedRows;
use rds_retentiond::cli::output::theme::Theme;
use rds_retentiond::cli::output::{decisions, json, lists};
use rds_retentiond::operations::history::HistoryEntry;
use rds_retentiond::operations::operator::HoldEntry;
use rds_retentiond::retention::plan::ClockCheck;
use rds_retentiond::retention::report::{
    Action, BackupRow, InstanceCounts, InstanceSummary, Overlap, PolicyReport, RunResult, Sent, Skip, SkipReason,
    Summary, Tally,
};
use rds_retentiond::retention::{
    Backup, BackupKind, BackupStatus, Count, Databases, Engine, ExpireReason, Fate, Hold, HoldTarget, Instance,
    InstanceLife, KeepReason, KeepRule, KeptBy, Mode, Outcome, Pattern, Period, Refusal, RunReport, Series, Span, Zone,
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

#[test]
fn a_plan_on_a_terminal() {
    let drawn = draw(&plan(), ReportKind::Plan, &look(Some(120)));
    fits(&drawn, 120);
    golden("plan-120.txt", &drawn);
}

#[test]
fn a_plan_on_a_narrow_terminal() {
    let drawn = draw(&plan(), ReportKind::Plan, &look(Some(80)));
    fits(&drawn, 80);
    fits(&draw(&apply(), ReportKind::Apply, &look(Some(80))), 80);
    golden("plan-80.txt", &drawn);
}

/// The tables fit; headings and sentences are the terminal's to wrap.
fn fits(drawn: &str, width: usize) {
    let rows = drawn
        .lines()
        .skip_while(|line| !line.starts_with("policy "))
        .take_while(|line| !line.starts_with("Instances that no policy"))
        .filter(|line| line.starts_with("    "));
    let mut count = 0;
    for line in rows {
        assert!(line.chars().count() <= width && line == line.trim_end(), "{line:?}");
        count += 1;
    }
    assert!(count > 10, "{drawn}");
}

#[test]
fn a_run_into_a_pipe() {
    golden("apply-wide.txt", &draw(&apply(), ReportKind::Apply, &look(None)));
}

#[test]
fn a_run_in_colour() {
    let coloured = Theme {
        colour: true,
        ..look(Some(140))
    };
    let drawn = draw(&apply(), ReportKind::Apply, &coloured);
    let plain = draw(&apply(), ReportKind::Apply, &look(Some(140)));
    assert_eq!(
        anstream::adapter::strip_str(&drawn).to_string(),
        plain,
        "colour moves nothing"
    );
    golden("apply-colour.txt", &drawn);
}

#[test]
fn names_from_the_cloud_reach_no_terminal_as_they_are() {
    for (report, kind) in [
        (plan(), ReportKind::Plan),
        (apply(), ReportKind::Apply),
        (plan(), ReportKind::Offline),
    ] {
        let drawn = draw(&report, kind, &look(Some(200)));
        let hostile = |c: char| (c.is_control() && c != '\n') || c == '\u{202e}';
        assert!(!drawn.contains(hostile), "{drawn}");
        assert!(
            drawn.contains("crm \\u{1b}[2J\\u{202e}only") && drawn.contains("scratch\\n"),
            "{drawn}"
        );
    }
}

#[test]
fn a_large_report_has_a_line_an_instance_unless_all_is_asked_for() {
    let mut report = plan();
    let one = Arc::clone(&report.policies[0].rows[1].instance);
    for nth in 0..300 {
        let (id, name) = (format!("id-many-{nth}"), format!("many-{nth}"));
        let keep = Action::Keep(vec![counted(Period::Day, 9)]);
        let number = if nth % 2 == 0 { 12 } else { 3 };
        let of = instance(
            "prod",
            &format!("inst-{number}"),
            &format!("mssql-prod-{number}"),
            one.life,
        );
        report.policies[0]
            .rows
            .push(row(&of, &id, &name, Some("2026-11-20T19:00:00Z"), 1, keep));
    }
    report.policies[0].instances = summaries(&report.policies[0].rows);
    let skips = (0..25).map(|nth| Skip {
        instance: Some(format!("many-skips-{nth}").as_str().into()),
        ..report.skipped[0].clone()
    });
    report.skipped = skips.collect();
    let narrow = draw(&report, ReportKind::Plan, &look(Some(80)));
    assert!(!narrow.contains("inst-12"), "ids whole or not at all: {narrow}");
    let brief = draw(&report, ReportKind::Plan, &look(Some(200)));
    assert!(!brief.contains("many-1 ") && !brief.contains("nightly_1"), "{brief}");
    // In the order of their numbers, with what each keeps, what is freed now and later, and what holds it back.
    let lines: Vec<&str> = brief.lines().filter(|line| line.starts_with("  mssql-prod-")).collect();
    let names: Vec<&str> = lines.iter().filter_map(|line| line.split_whitespace().next()).collect();
    assert_eq!(
        names,
        ["mssql-prod-1", "mssql-prod-2", "mssql-prod-3", "mssql-prod-12"],
        "{brief}"
    );
    let cells: Vec<&str> = lines[0].split_whitespace().collect();
    assert_eq!(
        cells[1..],
        [
            "3",
            "2",
            "3",
            "23.4",
            "KiB",
            "10.7",
            "KiB",
            "2025-10-07",
            "max_percent",
            "prod",
            "inst-one-in04"
        ],
        "{brief}"
    );
    assert!(brief.contains("--all lists every backup, --instance NAME"), "{brief}");
    assert!(brief.contains("and 5 more; --all lists them"), "{brief}");
    let all = Theme {
        all: true,
        ..look(Some(120))
    };
    let all = draw(&report, ReportKind::Plan, &all);
    assert!(
        all.contains("many-299 ") && all.contains("many-skips-24") && !all.contains("--all"),
        "{all}"
    );
}

/// As `apply` does it: each decision is buffered and none is held, and what became of the ids comes later.
fn buffered_json_of(report: &RunReport) -> Vec<u8> {
    let (buffered, mut report) = (BufferedRows::default(), report.clone());
    for policy in &mut report.policies {
        for mut row in std::mem::take(&mut policy.rows) {
            let fate = row.fate.take().map(|fate| (row.backup.id.clone(), fate));
            report.fates.extend(fate);
            buffered.tell(&policy.policy, &row);
        }
    }
    let mut written = Vec::new();
    json::write_report(&mut written, &report, &buffered).unwrap();
    written
}

fn json_of(report: &RunReport) -> serde_json::Value {
    let mut written = Vec::new();
    json::write_report(&mut written, report, &BufferedRows::default()).unwrap();
    assert!(written.ends_with(b"}\n"));
    assert!(
        written == buffered_json_of(report),
        "a buffered report is the same to the byte"
    );
    serde_json::from_slice(&written).unwrap()
}

#[test]
fn a_plan_as_json() {
    let json = json_of(&plan());
    assert!(json.get("run_id").is_none(), "a plan is no run");
    golden("plan.json", &format!("{json:#}\n"));
}

#[test]
fn the_contracts_names_and_types() {
    let json = json_of(&plan());
    assert_eq!(json["at"], "2026-11-23T03:00:00Z");
    let policy = &json["policies"][0];
    assert_eq!(policy["verdict"], "refused");
    assert_eq!(
        policy["refusal"]["limit"], "max_deletions",
        "what stops the whole plan is named first"
    );
    assert_eq!(policy["refusals"][1]["limit"], "max_percent");
    assert_eq!(
        policy["summary"],
        serde_json::json!({"keep": 6, "wait": 2, "delete": 3,
            "bytes": {"keep": 2_200_097_012_000_u64, "wait": 11_000, "delete": 24_000}})
    );
    let by_id = |id: &str| {
        let decisions = policy["decisions"].as_array().unwrap();
        decisions
            .iter()
            .find(|decision| decision["backup_id"] == id)
            .unwrap()
            .clone()
    };
    assert_eq!(
        by_id("id-1"),
        serde_json::json!({
            "project": "prod", "instance_id": "inst-one-in04", "instance_name": "mssql-prod-1", "backup_id": "id-1",
            "backup_name": "nightly_1", "begin_time": "2026-11-22T19:00:00Z", "size_bytes": 1_073_741_824,
            "status": "COMPLETED", "decision": "keep", "expires_at": "2026-12-06T19:00:00Z",
            "reasons": [{"rule": "daily", "slot": 3, "series": "full", "oldest": false},
                        {"rule": "weekly", "slot": 2, "series": "full", "oldest": false}],
        })
    );
    let building = by_id("id-building");
    assert_eq!(
        [&building["begin_time"], &building["expires_at"]],
        [&serde_json::Value::Null; 2]
    );
    assert_eq!(by_id("id-partial")["reasons"][0]["series"], "database:crm");
    assert_eq!(by_id("id-partial")["reasons"][1]["rule"], "policy:wide");
    let wait = by_id("id-graced");
    assert_eq!([&wait["decision"], &wait["due_at"]], ["wait", "2026-11-24T03:00:00Z"]);
    assert_eq!(
        wait["reasons"],
        serde_json::json!([{"rule": "failed", "slot": null, "series": null, "oldest": false}])
    );
    assert_eq!(json["policies"][1]["refusal"], serde_json::Value::Null);
    assert_eq!(json["policies"][1]["verdict"], "approved");
    assert_eq!(json["skipped"][1]["instance_id"], serde_json::Value::Null);
    assert_eq!(
        json["overlaps"],
        serde_json::json!([{"policies": ["production", "wide"], "instances": 2}])
    );
}

#[test]
fn a_run_as_json_has_outcomes() {
    let json = json_of(&apply());
    assert_eq!(json["run_id"], "0199-run");
    let decisions = json["policies"][0]["decisions"].as_array().unwrap();
    let outcomes: Vec<_> = decisions
        .iter()
        .filter(|decision| decision.get("outcome").is_some())
        .map(|decision| serde_json::json!([decision["backup_id"], decision["outcome"], decision.get("error")]))
        .collect();
    assert_eq!(
        serde_json::Value::from(outcomes),
        serde_json::json!([
            ["id-gone", "confirmed", null],
            ["id-old", "rejected", {"code": "DBS.200054", "message": "backup\tin use"}],
            ["id-mute", "unanswered", {"message": "no answer in 20 s"}],
        ])
    );
}

fn hold_entries() -> Vec<HoldEntry> {
    let matching = Hold {
        id: None,
        target: HoldTarget::Matching {
            instance: Some(Pattern::parse("*in04").unwrap()),
            name: Some(Pattern::parse("pre-*").unwrap()),
        },
        reason: "kept for rollback".to_owned(),
        owner: None,
        until: None,
    };
    let entry = |hold, active, placed_at: Option<&str>, released_at: Option<&str>| HoldEntry {
        hold,
        active,
        placed_at: placed_at.map(at),
        released_at: released_at.map(at),
        compliance: false,
        placed_by: None,
        person: None,
        released_by: None,
    };
    let released = Some("2026-11-03T00:00:00Z");
    vec![
        entry(hold(), true, Some("2026-11-01T00:00:00Z"), None),
        entry(matching, true, None, None),
        entry(hold(), false, Some("2026-11-02T00:00:00Z"), released),
    ]
}

#[test]
fn holds_and_past_runs_are_listed() {
    let mut drawn = Vec::new();
    lists::holds(&mut drawn, &hold_entries(), Zone::UTC, &look(Some(160))).unwrap();
    let summary = plan().policies[0].summary;
    let run = |id: &str, result| HistoryEntry {
        run_id: id.to_owned(),
        policy: "production".into(),
        mode: Mode::Enforce,
        at: at("2026-11-23T03:00:00Z"),
        finished_at: Some(at("2026-11-23T03:00:09Z")),
        running: id == "0199-c",
        result,
        summary: Some(summary),
        sent: BTreeMap::from([("confirmed".to_owned(), 1_001), ("rejected".to_owned(), 2)]),
        left: 5,
        held_back: Tally::default(),
        message: None,
    };
    let runs = [
        run("0199-a", Some(RunResult::Partial)),
        run("0199-b", None),
        run("0199-c", None),
    ];
    drawn.push(b'\n');
    lists::history(&mut drawn, &runs, Zone::UTC, &look(Some(160))).unwrap();
    drawn.push(b'\n');
    lists::write_holds(&mut drawn, &hold_entries()).unwrap();
    lists::write_history(&mut drawn, &runs).unwrap();
    golden("listings.txt", &String::from_utf8(drawn).unwrap());
}

fn rds_retentiond(words: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_rds-retentiond"))
        .args(words)
        .env_remove("RDS_RETENTIOND_CONFIG")
        .output()
        .unwrap()
}

#[test]
fn help_and_version_are_0_on_stdout() {
    for words in [
        &["--help"][..],
        &["plan", "--help"],
        &["--version"],
        &["audit", "verify", "-h"],
    ] {
        let output = rds_retentiond(words);
        assert_eq!(output.status.code(), Some(0), "{words:?}");
        assert!(
            !output.stdout.is_empty() && output.stderr.is_empty(),
            "{words:?} {output:?}"
        );
    }
}

#[test]
fn help_is_understood_as_a_word_too() {
    for (word, flag) in [
        (&["help"][..], &["--help"][..]),
        (&["help", "plan"], &["plan", "--help"]),
        (&["help", "audit", "verify"], &["audit", "verify", "--help"]),
    ] {
        let (found, meant) = (rds_retentiond(word), rds_retentiond(flag));
        assert_eq!(found.status.code(), Some(0), "{word:?} {found:?}");
        assert_eq!(found.stdout, meant.stdout, "{word:?}");
    }
}

#[test]
fn usage_errors_are_64_on_stderr() {
    for words in [
        &[][..],
        &["explode"],
        &["plan", "--at", "tomorrow"],
        &["apply", "--confirm-for", "5m"],
        &["audit"],
    ] {
        let output = rds_retentiond(words);
        assert_eq!(output.status.code(), Some(64), "{words:?}");
        assert!(
            output.stdout.is_empty() && !output.stderr.is_empty(),
            "{words:?} {output:?}"
        );
    }
}

#[test]
fn completions_and_man_pages_name_every_command() {
    let asked = Command::new(env!("CARGO_BIN_EXE_rds-retentiond"))
        .env("RDS_RETENTIOND_COMPLETE", "fish")
        .args(["--", "rds-retentiond", ""])
        .output();
    let man = rds_retentiond(&["man"]);
    for output in [&asked.unwrap(), &man] {
        assert_eq!(output.status.code(), Some(0));
        let text = String::from_utf8_lossy(&output.stdout);
        for command in [
            "check",
            "plan",
            "apply",
            "hold",
            "approve",
            "freeze",
            "history",
            "audit",
            "simulator",
        ] {
            assert!(text.contains(command), "{command} is missing in {}", &text[..200]);
        }
    }
    let dir = tempfile::tempdir().unwrap();
    let pages = rds_retentiond(&["man", "--dir", dir.path().to_str().unwrap()]);
    assert_eq!(pages.status.code(), Some(0));
    let page = dir.path().join("rds-retentiond-plan.1");
    assert!(page.exists());
    // A directory that is missing is made; below a file none can be.
    let made = rds_retentiond(&["man", "--dir", dir.path().join("new/man1").to_str().unwrap()]);
    assert_eq!(made.status.code(), Some(0));
    assert!(dir.path().join("new/man1/rds-retentiond-status.1").exists());
    let nowhere = rds_retentiond(&["man", "--dir", page.join("below").to_str().unwrap()]);
    assert_eq!(nowhere.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&nowhere.stderr).contains("below"));
}

#[test]
fn a_reader_that_goes_away_is_no_error() {
    for words in [&["man"][..], &["completions", "bash"], &["--help"]] {
        let mut child = Command::new(env!("CARGO_BIN_EXE_rds-retentiond"))
            .args(words)
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        drop(child.stdout.take());
        let output = child.wait_with_output().unwrap();
        assert_eq!(output.status.code(), Some(0), "{words:?}");
        assert_eq!(String::from_utf8_lossy(&output.stderr), "", "{words:?}");
    }
}
