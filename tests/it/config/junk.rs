//! What is no configuration: junk, bombs and mutations. Told soon, in a bounded number of words, and never with a panic.

use std::fs;

use proptest::prelude::*;

use super::{EVERYTHING, MINIMAL, directory, load_in, load_text, messages};

#[test]
fn junk_is_refused_without_being_parsed() {
    let junk = vec![b'['; 10 << 20];
    let dir = directory(&[("config.yaml", &junk)]);
    assert_eq!(
        messages(&dir, &load_in(&dir).unwrap_err()),
        "config.yaml: is larger than 1 MiB and was not read\n  help: this is hardly a configuration; a large one is \
         spread over files with `include`\n\n1 problem in the configuration"
    );
    // Under the limit: answered in a bounded number of words, soon.
    for junk in [
        format!(
            "version: 1\npolicies:\n{}",
            "  - {timezone: x, schedule: 0 0 31 2 *, kep: {}}\n".repeat(10_000)
        ),
        "- a\n".repeat(250_000),
        "ab: 1\n".repeat(170_000),
        "x".repeat(1 << 20),
        format!("{{{}}}", "a,".repeat(500_000)),
    ] {
        let dir = directory(&[("config.yaml", junk.as_bytes())]);
        let problems = load_in(&dir).unwrap_err();
        assert!(problems.iter().count() <= 1_000);
        assert!(problems.to_string().len() < 1 << 20);
    }
}

/// Each warning showed its place in the line, and found it by walking along the line: minutes for one line of a megabyte.
#[test]
fn forty_thousand_warnings_in_one_line_are_told_soon() {
    let items = "{name: x, mode: y},".repeat(40_000);
    // By the processor's time of this thread: other tests and builds may hold it up for long.
    let spent = || -> Option<u64> {
        let text = fs::read_to_string("/proc/thread-self/schedstat").ok()?;
        text.split(' ').next()?.parse().ok()
    };
    let before = spent();
    let problems = load_text(&format!("version: 1\npolicies: [{items}]\n")).unwrap_err();
    if let Some((before, after)) = before.zip(spent()) {
        assert!(after - before < 8_000_000_000, "{} ms", (after - before) / 1_000_000);
    }
    // All are counted: each has no `keep`, a mode that is none, and a name that only the first may have.
    assert_eq!(
        problems.to_string().lines().last(),
        Some("119999 problems in the configuration; these are 1000 of them")
    );
}

/// A change somewhere in a good file: the mistakes people make, and the ones fuzzers make.
fn mutated() -> impl Strategy<Value = Vec<u8>> {
    let change = (
        any::<prop::sample::Index>(),
        0_usize..40,
        prop::sample::select(vec![
            "",
            ":",
            "- ",
            "{",
            "}",
            "[",
            "]",
            "*a",
            "&a ",
            "!!x ",
            "\"",
            "'",
            "\t",
            "\n",
            "\n\n  ",
            "---\n",
            "|\n",
            ">",
            "#",
            "%",
            "0",
            "-1",
            "99999999999999999999",
            "1e999",
            "null",
            "~",
            "@daily",
            "* * * * *",
            "\u{0}",
            "\u{feff}",
            "ü",
            "\u{85}",
            "? ",
            "all",
            "1y6m",
            "[[",
            "0 0 31 2 *",
            "http://x",
            "true",
        ]),
    );
    (
        prop::sample::select(vec![MINIMAL, EVERYTHING]),
        prop::collection::vec(change, 1..4),
    )
        .prop_map(|(text, changes)| {
            let mut bytes = text.as_bytes().to_vec();
            for (at, cut, insert) in changes {
                let at = at.index(bytes.len() + 1);
                let end = (at + cut).min(bytes.len());
                bytes.splice(at..end, insert.bytes());
            }
            bytes
        })
}

/// Loads without a panic; every message has a place within the file and can be shown.
fn survives(bytes: &[u8]) {
    let dir = directory(&[("config.yaml", bytes)]);
    match load_in(&dir) {
        Ok(config) => {
            assert!(!config.policies.is_empty());
            let _ = format!("{config:?}");
        }
        Err(problems) => {
            assert!(problems.iter().count() > 0);
            let lines = bytes.split(|byte| *byte == b'\n').count();
            for problem in &problems {
                assert!(problem.line <= lines + 1, "{problem}");
                assert!(
                    !problem.message.is_empty() && !problem.one_line().contains('\n'),
                    "{problem}"
                );
            }
            assert!(problems.to_string().chars().all(|c| c == '\n' || !c.is_control()));
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 512, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn random_bytes_never_panic(bytes in prop::collection::vec(any::<u8>(), 0..400)) {
        survives(&bytes);
    }

    #[test]
    fn random_yaml_letters_never_panic(text in "[-:{}\\[\\]*&!|>'\"#%@,? \n\tab10~.]{0,200}") {
        survives(text.as_bytes());
    }

    #[test]
    fn mutated_configurations_never_panic(bytes in mutated()) {
        survives(&bytes);
    }

    #[test]
    fn random_schedules_never_panic(text in "[-0-9*/,?LW#+@A-Z ]{0,40}", at in 0_i64..4_000_000_000) {
        if let Ok(schedule) = rds_retentiond::config::Schedule::parse(&text) {
            let at = chrono::DateTime::from_timestamp(at, 0).unwrap();
            let next = schedule.next_after(at, rds_retentiond::retention::Zone::compiled("Europe/Berlin").expect("a zone"));
            prop_assert!(next.is_none_or(|next| next > at));
        }
    }
}
