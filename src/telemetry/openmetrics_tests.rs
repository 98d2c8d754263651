//! The newer text format: what a strict reader finds in it, and who is given it.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use super::metrics_tests::{metrics, policy, project, report};
use super::openmetrics;
use crate::retention::report::RunResult;

/// A small strict reader of `OpenMetrics`: metadata before samples, once, and together; suffixes by type; numbers; one
/// `# EOF` at the very end. Returns all samples as name and labels.
fn read_openmetrics(text: &str) -> BTreeMap<String, f64> {
    let body = text.strip_suffix("# EOF\n").expect("ends in # EOF and a line end");
    assert!(!body.contains("# EOF"));
    let (mut samples, mut seen) = (BTreeMap::new(), BTreeSet::new());
    let (mut name, mut kind, mut past_metadata) = ("", "", false);
    for line in body.lines() {
        if let Some(rest) = line.strip_prefix("# ") {
            let mut words = rest.splitn(3, ' ');
            let (word, of, what) = (words.next().unwrap(), words.next().unwrap(), words.next().unwrap());
            if word == "TYPE" {
                (name, kind, past_metadata) = (of, what, false);
                assert!(seen.insert(of), "{of} twice");
                assert!(["counter", "gauge", "histogram"].contains(&kind), "{line}");
                assert!(!of.ends_with("_total"), "{line}");
            }
            assert!(of == name && !past_metadata, "metadata out of place: {line}");
            assert!(word != "UNIT" || of.ends_with(&format!("_{what}")), "{line}");
            continue;
        }
        past_metadata = true;
        let (series, number) = line.rsplit_once(' ').expect("a value");
        let suffix = series
            .split('{')
            .next()
            .unwrap()
            .strip_prefix(name)
            .expect("of the family just named");
        let right = match kind {
            "counter" => suffix == "_total",
            "gauge" => suffix.is_empty(),
            _ => ["_bucket", "_sum", "_count"].contains(&suffix),
        };
        assert!(right, "{kind}: {line}");
        let number: f64 = number.parse().expect("a number");
        assert!(samples.insert(series.to_owned(), number).is_none(), "{series} twice");
    }
    samples
}

#[test]
fn openmetrics_says_the_same_as_the_text_format() {
    let metrics = metrics();
    metrics.observe_run(&report(RunResult::Success), Duration::from_secs(90));
    let samples = read_openmetrics(&metrics.render(true));
    let text = metrics.render(false);
    let plain = text.lines().filter(|line| line.starts_with("rds_retention_"));
    let mut compared = 0;
    for (series, number) in plain.filter_map(|line| line.rsplit_once(' ')) {
        if series.contains("le=\"") {
            continue;
        }
        let wanted: f64 = number.parse().expect("a number");
        assert!((samples[series] - wanted).abs() < 1e-6, "{series}");
        compared += 1;
    }
    assert!(compared > 60, "{compared}");
    let bucket = |le: &str| samples[&format!("rds_retention_run_duration_seconds_bucket{{policy=\"a\",le=\"{le}\"}}")];
    assert!((bucket("60.0") - 0.0).abs() < 1e-6 && (bucket("+Inf") - 1.0).abs() < 1e-6);
}

#[test]
fn openmetrics_escapes_what_would_break_a_line() {
    let metrics = metrics();
    metrics.set_policies(&[(policy("q\"b\\n\nl"), vec![project("p")])], &[project("p")]);
    let text = metrics.render(true);
    assert!(
        text.contains(r#"rds_retention_guard_open{policy="q\"b\\n\nl"} 0"#),
        "{text}"
    );
}

#[test]
fn openmetrics_is_given_to_those_who_prefer_it() {
    let prometheus = "application/openmetrics-text;version=1.0.0,application/openmetrics-text;version=0.0.1;q=0.75,\
                      text/plain;version=0.0.4;q=0.5,*/*;q=0.1";
    for (accept, wanted) in [
        (prometheus, true),
        ("application/openmetrics-text", true),
        ("application/openmetrics-text; version=\"1.0.0\"; charset=utf-8", true),
        ("text/plain;version=0.0.4,application/openmetrics-text;q=0.5", false),
        ("application/openmetrics-text;q=0", false),
        ("application/openmetrics-text;version=2.0.0", false),
        ("text/html,*/*;q=0.8", false),
        ("", false),
    ] {
        assert_eq!(openmetrics::is_wanted(accept), wanted, "{accept:?}");
    }
}
