//! Policy tests as XML in the form of `JUnit`, for CI.

use std::io::{self, Write};

use super::policy_test::{MOST_BACKUPS, Reaches, begun, difference, reaches, reason};
use crate::operations::policy_test::{Mismatch, TestOutcome};
use crate::retention::Zone;
use crate::retention::report::BackupRow;
use crate::wording::sanitize::clean;

/// Writes one suite for each file.
pub(in crate::cli) fn write(out: &mut dyn Write, outcomes: &[TestOutcome]) -> io::Result<()> {
    let failures = |of: &[TestOutcome]| of.iter().filter(|outcome| !outcome.passes()).count();
    writeln!(out, "<?xml version=\"1.0\" encoding=\"UTF-8\"?>")?;
    let (all, failed) = (outcomes.len(), failures(outcomes));
    writeln!(
        out,
        "<testsuites name=\"rds-retentiond\" tests=\"{all}\" failures=\"{failed}\">"
    )?;
    for suite in outcomes.chunk_by(|a, b| a.file == b.file) {
        let name = suite
            .first()
            .map(|first| first.file.to_string_lossy())
            .unwrap_or_default();
        let (tests, failed) = (suite.len(), failures(suite));
        writeln!(
            out,
            "  <testsuite name=\"{}\" tests=\"{tests}\" failures=\"{failed}\">",
            escaped(&name)
        )?;
        suite.iter().try_for_each(|outcome| write_case(out, outcome))?;
        writeln!(out, "  </testsuite>")?;
    }
    writeln!(out, "</testsuites>")
}

fn write_case(out: &mut dyn Write, outcome: &TestOutcome) -> io::Result<()> {
    let (policy, name) = (escaped(outcome.policy.as_str()), escaped(&outcome.name));
    write!(out, "    <testcase classname=\"{policy}\" name=\"{name}\"")?;
    if outcome.passes() {
        return writeln!(out, "/>");
    }
    writeln!(out, ">")?;
    let reaches = reaches(outcome);
    for mismatch in &outcome.mismatches {
        let message = escaped(&difference(mismatch));
        let backups = escaped_lines(mismatch, outcome.zone, &reaches);
        writeln!(out, "      <failure message=\"{message}\">{backups}</failure>")?;
    }
    writeln!(out, "    </testcase>")
}

fn escaped_lines(mismatch: &Mismatch, zone: Zone, reaches: &Reaches<'_>) -> String {
    let rows = mismatch.backups.iter().take(MOST_BACKUPS);
    let line = |row: &BackupRow| {
        escaped(&format!(
            "{} {}: {}",
            begun(row, zone),
            row.backup.name,
            reason(row, reaches)
        ))
    };
    let mut lines: Vec<String> = rows.map(line).collect();
    if let Some(more) = mismatch
        .backups
        .len()
        .checked_sub(MOST_BACKUPS)
        .filter(|more| *more > 0)
    {
        lines.push(format!("and {more} more"));
    }
    lines.join("\n")
}

/// Text that may stand anywhere in XML 1.0, which has no way to write a control character.
fn escaped(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for c in clean(text).chars() {
        match c {
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            '&' => escaped.push_str("&amp;"),
            '"' => escaped.push_str("&quot;"),
            '\'' => escaped.push_str("&apos;"),
            '\u{fffe}' | '\u{ffff}' => escaped.push('\u{fffd}'),
            c => escaped.push(c),
        }
    }
    escaped
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_xml_cannot_hold_is_spelled_out() {
        assert_eq!(
            escaped("<a b=\"c\">&'\u{1b}[2J\n\u{0}\u{ffff}é"),
            "&lt;a b=&quot;c&quot;&gt;&amp;&apos;\\u{1b}[2J\\n\\u{0}\u{fffd}é"
        );
    }

    #[test]
    fn no_tests_are_still_a_document() {
        let mut out = Vec::new();
        write(&mut out, &[]).unwrap();
        let text = String::from_utf8(out).unwrap();
        assert!(
            text.starts_with("<?xml") && text.trim_end().ends_with("</testsuites>"),
            "{text}"
        );
    }
}
