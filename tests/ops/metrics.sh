#!/bin/sh
# Both text formats as other readers see them: promtool's linter for the text format, the Python client's strict parser
# for OpenMetrics. The library's own tests write the samples.
# Usage: tests/ops/metrics.sh   (from anywhere; exit 77 when neither reader is installed)
set -eu
root=$(cd "$(dirname "$0")/../.." && pwd)
tmp=$(mktemp -d)
trap 'rm -rf "$tmp"' EXIT
cd "$root"
RDS_RETENTIOND_SAMPLES=$tmp cargo test --quiet --lib telemetry::metrics_tests::samples_for_other_readers >"$tmp/log" 2>&1 ||
    { cat "$tmp/log"; exit 1; }
[ -s "$tmp/metrics.txt" ] && [ -s "$tmp/metrics.om" ] || { echo "FAIL: no samples were written" >&2; exit 1; }

read=0
if command -v promtool >/dev/null; then
    # Prints its complaints and fails on any.
    promtool check metrics <"$tmp/metrics.txt"
    echo "promtool check metrics: ok"
    read=1
fi
if python3 -c 'import prometheus_client' 2>/dev/null; then
    python3 - "$tmp/metrics.om" <<'PYTHON'
import sys
from prometheus_client.openmetrics.parser import text_string_to_metric_families
families = list(text_string_to_metric_families(open(sys.argv[1], encoding="utf-8").read()))
assert len(families) > 30, families
print(f"OpenMetrics: ok ({len(families)} families)")
PYTHON
    read=1
fi
[ "$read" = 1 ] || { echo "neither promtool nor prometheus_client is installed: skipped"; exit 77; }
