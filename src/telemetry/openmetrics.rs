//! The OpenMetrics 1.0 text format, and which of the two formats a scraper asked for.
//!
//! Not for the older text format: the `prometheus` crate writes that. Written by hand because that crate has no
//! OpenMetrics and its sister `prometheus-client` has no process collector; the specification is
//! <https://prometheus.io/docs/specs/om/open_metrics_spec/>.

use std::fmt::{self, Write};

use prometheus::proto::{LabelPair, Metric, MetricFamily, MetricType};

/// `Content-Type` of the text format 0.0.4.
pub const TEXT_TYPE: &str = "text/plain; version=0.0.4; charset=utf-8";
/// `Content-Type` of `OpenMetrics` 1.0.
pub const OPENMETRICS_TYPE: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

/// Units that a name may end in; `UNIT` lines are only right where it does.
const UNITS: [&str; 2] = ["seconds", "bytes"];

/// Whether an `Accept` header prefers `OpenMetrics` to plain text. No header (an empty one), or nothing we have: plain text.
pub fn is_wanted(accept: &str) -> bool {
    let (mut openmetrics, mut text) = (0.0_f32, 0.0_f32);
    for part in accept.split(',') {
        let mut pieces = part.split(';').map(str::trim);
        let kind = pieces.next().unwrap_or_default().to_ascii_lowercase();
        let (mut quality, mut version) = (1.0_f32, None);
        for (key, value) in pieces.filter_map(|piece| piece.split_once('=')) {
            match key.trim() {
                "q" => quality = value.trim().parse().unwrap_or(0.0),
                "version" => version = Some(value.trim().trim_matches('"').to_owned()),
                _ => {}
            }
        }
        match kind.as_str() {
            "application/openmetrics-text" if version.as_deref().is_none_or(|it| it == "1.0.0") => {
                openmetrics = openmetrics.max(quality);
            }
            "text/plain" | "text/*" | "*/*" => text = text.max(quality),
            _ => {}
        }
    }
    openmetrics > 0.0 && openmetrics >= text
}

/// The families as `OpenMetrics` text, `# EOF` included.
pub fn encode(families: &[MetricFamily]) -> String {
    let mut out = String::with_capacity(64 * 1024);
    for family in families {
        // Writing to a String does not fail.
        let _ = write_family(&mut out, family);
    }
    out.push_str("# EOF\n");
    out
}

fn write_family(out: &mut String, family: &MetricFamily) -> fmt::Result {
    let kind = family.get_field_type();
    let (name, word) = match kind {
        // The metadata of a counter carries the name without the suffix that its samples have.
        MetricType::COUNTER => (family.name().strip_suffix("_total").unwrap_or(family.name()), "counter"),
        MetricType::GAUGE => (family.name(), "gauge"),
        MetricType::HISTOGRAM => (family.name(), "histogram"),
        // None of ours; a kind that this writer does not know is better missing than wrong.
        MetricType::SUMMARY | MetricType::UNTYPED => return Ok(()),
    };
    writeln!(out, "# TYPE {name} {word}")?;
    if let Some(unit) = UNITS
        .iter()
        .find(|unit| name.strip_suffix(**unit).is_some_and(|rest| rest.ends_with('_')))
    {
        writeln!(out, "# UNIT {name} {unit}")?;
    }
    write!(out, "# HELP {name} ")?;
    write_escaped(out, family.help())?;
    out.push('\n');
    for metric in family.get_metric() {
        match kind {
            MetricType::COUNTER => write_sample(out, name, "_total", metric, None, metric.get_counter().get_value())?,
            MetricType::HISTOGRAM => write_histogram(out, name, metric)?,
            _ => write_sample(out, name, "", metric, None, metric.get_gauge().get_value())?,
        }
    }
    Ok(())
}

#[expect(clippy::cast_precision_loss, reason = "counts of samples stay far below 2^53")]
fn write_histogram(out: &mut String, name: &str, metric: &Metric) -> fmt::Result {
    let histogram = metric.get_histogram();
    let total = histogram.get_sample_count();
    for bucket in histogram.get_bucket() {
        let bound = canonical(bucket.upper_bound());
        write_sample(
            out,
            name,
            "_bucket",
            metric,
            Some(&bound),
            bucket.cumulative_count() as f64,
        )?;
    }
    write_sample(out, name, "_bucket", metric, Some("+Inf"), total as f64)?;
    write_sample(out, name, "_sum", metric, None, histogram.get_sample_sum())?;
    write_sample(out, name, "_count", metric, None, total as f64)
}

fn write_sample(
    out: &mut String,
    name: &str,
    suffix: &str,
    metric: &Metric,
    le: Option<&str>,
    value: f64,
) -> fmt::Result {
    out.push_str(name);
    out.push_str(suffix);
    let labels = metric
        .get_label()
        .iter()
        .map(|label: &LabelPair| (label.name(), label.value()));
    for (index, (label, text)) in labels.chain(le.map(|bound| ("le", bound))).enumerate() {
        write!(out, "{}{label}=\"", if index == 0 { '{' } else { ',' })?;
        write_escaped(out, text)?;
        out.push('"');
    }
    if le.is_some() || !metric.get_label().is_empty() {
        out.push('}');
    }
    writeln!(out, " {}", number(value))
}

/// `OpenMetrics` escapes the same three characters in help texts and label values.
fn write_escaped(out: &mut String, text: &str) -> fmt::Result {
    for character in text.chars() {
        match character {
            '\\' => out.push_str("\\\\"),
            '"' => out.push_str("\\\""),
            '\n' => out.push_str("\\n"),
            other => out.write_char(other)?,
        }
    }
    Ok(())
}

/// A bucket's bound in the canonical form the specification asks for, always with a decimal point: `5.0`, not `5`.
fn canonical(bound: f64) -> String {
    format!("{bound:?}")
}

fn number(value: f64) -> String {
    if value == f64::INFINITY {
        "+Inf".to_owned()
    } else if value == f64::NEG_INFINITY {
        "-Inf".to_owned()
    } else {
        // NaN prints as `NaN`.
        format!("{value}")
    }
}
