//! A plan and a run as tables: on terminals of some widths, into a pipe, in colour, and of a large fleet.

use std::sync::Arc;

use rds_retentiond::cli::output::report::ReportKind;
use rds_retentiond::cli::output::theme::Theme;
use rds_retentiond::retention::Period;
use rds_retentiond::retention::report::{Action, Skip};

use super::{apply, counted, draw, golden, instance, look, plan, row, summaries};

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
