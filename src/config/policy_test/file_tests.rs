use super::super::{DayOrMoment, SeriesEnd, TestBackups};
use super::*;

const CONTRACT: &str = "\
policies: ../config.yaml
tests:
  - name: a month of nightlies
    policy: production
    at: 2027-01-01T03:00:00+08:00
    backups: [{every: 24h, at: \"19:00\", for: 400d, name: \"nightly_{date}\", size: 10GiB}]
    expect: {kept: 41, expired: 359, oldest_kept: 2025-12-31, rules: {monthly: 12}}
";

fn parse(text: &str) -> Result<TestFile, Box<Problem>> {
    TestFile::parse(Path::new("config/tests/t.yaml"), text)
}

/// The problem of the contract's example with one edit.
#[track_caller]
fn problem(from: &str, to: &str) -> Box<Problem> {
    let text = CONTRACT.replacen(from, to, 1);
    assert_ne!(text, CONTRACT, "{from}");
    parse(&text).unwrap_err()
}

#[test]
fn the_example_of_the_contract_is_read() {
    let file = parse(CONTRACT).unwrap();
    assert_eq!(file.policies, Path::new("config/tests/../config.yaml"));
    let [case] = file.tests.as_slice() else { panic!() };
    assert_eq!(case.at.to_rfc3339(), "2026-12-31T19:00:00+00:00");
    let TestBackups::Entries(entries) = &case.backups else {
        panic!()
    };
    let entry = &entries[0].value;
    assert_eq!(entry.at.unwrap().to_string(), "19:00:00");
    assert_eq!(entry.reach.unwrap().to_string(), "400d");
    assert_eq!(entry.size.unwrap().0, 10 << 20);
    let expect = &case.expect.value;
    assert_eq!((expect.kept, expect.expired), (Some(41), Some(359)));
    let Some(DayOrMoment::Day(day)) = expect.oldest_kept else {
        panic!()
    };
    assert_eq!(day.to_string(), "2025-12-31");
    assert_eq!(
        expect.rules.iter().next().map(|(rule, count)| (rule.as_str(), *count)),
        Some(("monthly", 12))
    );
}

/// An edit of the contract's example, and the line and column, path and words of the problem that it makes.
type Mistake = (&'static str, &'static str, (usize, usize), &'static str, &'static str);

const MISTAKES: &[Mistake] = &[
    (
        "    policy:",
        "    polcy:",
        (4, 5),
        "tests[0].polcy",
        "did you mean `policy`?",
    ),
    ("  - name:", "  - nam:", (3, 5), "tests[0].nam", "did you mean `name`?"),
    (
        "kept: 41",
        "keept: 41",
        (7, 14),
        "tests[0].expect.keept",
        "did you mean `kept`?",
    ),
    (
        "every: 24h",
        "evry: 24h",
        (6, 16),
        "tests[0].backups[0].evry",
        "did you mean `every`?",
    ),
    (
        "every: 24h",
        "every: 24x",
        (6, 23),
        "tests[0].backups[0].every",
        "`x` is no unit",
    ),
    (
        "2027-01-01T03:00:00+08:00",
        "2027-01-01",
        (5, 9),
        "tests[0].at",
        "expected a moment with its offset",
    ),
    (
        "\"19:00\"",
        "\"7pm\"",
        (6, 32),
        "tests[0].backups[0].at",
        "expected a time of day",
    ),
    (
        "10GiB",
        "10GB",
        (6, 82),
        "tests[0].backups[0].size",
        "expected a size as 10GiB",
    ),
    (
        "2025-12-31",
        "31.12.2025",
        (7, 51),
        "tests[0].expect.oldest_kept",
        "expected a day in the policy's zone",
    ),
    (
        "monthly: 12",
        "montly: 12",
        (7, 71),
        "tests[0].expect.rules.montly",
        "did you mean `monthly`?",
    ),
    (
        "kept: 41",
        "kept: -1",
        (7, 20),
        "tests[0].expect.kept",
        "expected a whole number",
    ),
    (
        "[{every",
        "5 #[{every",
        (6, 5),
        "tests[0].backups",
        "expected a list of backups, or `{file: backups.json}`",
    ),
    ("kept: 41", "expired: 3", (7, 26), "tests[0].expect.expired", "twice"),
    (
        "    policy: production\n",
        "",
        (6, 5),
        "tests[0]",
        "the key `policy` is missing",
    ),
];

#[test]
fn a_mistake_is_shown_with_its_line_column_path_and_cure() {
    for &(from, to, place, path, says) in MISTAKES {
        let problem = problem(from, to);
        let shown = problem.to_string();
        assert!(shown.contains(says), "{to}: {shown}");
        assert_eq!(
            ((problem.line, problem.column), problem.path.as_str()),
            (place, path),
            "{to}: {shown}"
        );
        assert!(problem.snippet.is_some(), "{shown}");
    }
    let broken = parse("policies: [a\ntests: []\n").unwrap_err();
    assert!(broken.message.starts_with("not valid YAML"), "{broken}");
    assert!(
        parse("# none\n")
            .unwrap_err()
            .to_string()
            .contains("config/tests/t.yaml: the file is empty")
    );
}

#[test]
fn backups_come_from_a_file_and_moments_in_the_form_of_the_api() {
    let text = CONTRACT.replace("03:00:00+08:00", "03:00:00+0800");
    assert_eq!(
        parse(&text).unwrap().tests[0].at.to_rfc3339(),
        "2026-12-31T19:00:00+00:00"
    );
    let start = text.find("backups: [").unwrap();
    let end = text.find("    expect").unwrap();
    let text = format!("{}backups: {{file: b.json}}\n{}", &text[..start], &text[end..]);
    let TestBackups::File(name) = &parse(&text).unwrap().tests[0].backups else {
        panic!()
    };
    assert_eq!(name.value, Path::new("b.json"));
}

#[test]
fn numbers_that_are_names_and_ends_of_a_series_are_read() {
    let text = CONTRACT
        .replace("rules: {monthly: 12}", "keep: [20261221, nightly]")
        .replace("for: 400d", "for: 400d, until: 30d, id: 5");
    let file = parse(&text).unwrap();
    assert_eq!(file.tests[0].expect.value.keep, ["20261221", "nightly"]);
    let TestBackups::Entries(entries) = &file.tests[0].backups else {
        panic!()
    };
    assert!(matches!(entries[0].value.until, Some(SeriesEnd::Before(_))));
}

#[test]
fn a_hold_ends_with_its_day_as_in_the_configuration() {
    let hold = |keys: &str| {
        let text = CONTRACT.replace("    expect", &format!("    holds: [{{{keys}}}]\n    expect"));
        parse(&text).unwrap().tests[0].holds[0].value.clone().hold()
    };
    let found = hold("backup: a, until: 2027-06-30").unwrap();
    assert_eq!(found.until.unwrap().to_rfc3339(), "2027-07-01T00:00:00+00:00");
    assert_eq!(hold("backup: a").unwrap().until, None);
    assert!(hold("backup: a*").unwrap_err().1.contains("pattern"));
    assert!(hold("reason: audit").unwrap_err().0.contains("what it holds"));
}
