#!/bin/sh
# The shipped alerts, by promtool: well-formed, tested, and none without a firing and a silent test.
# Usage: tests/ops/prometheus.sh   (from anywhere; exit 77 when promtool is missing)
set -eu
root=$(cd "$(dirname "$0")/../.." && pwd)
command -v promtool >/dev/null || { echo "promtool is not installed: skipped"; exit 77; }
fail() { echo "FAIL: $1" >&2; exit 1; }
cd "$root/config/prometheus"

promtool check config prometheus.example.yml
promtool test rules rds-retentiond.rules.test.yml

alerts=$(sed -n 's/^ *- alert: //p' rds-retentiond.rules.yml)
[ -n "$alerts" ] || fail "no alerts found"
for alert in $alerts; do
    # What an alert says: what is wrong, how bad it is, what to do.
    text=$(awk -v alert="$alert" '$2 == "alert:" { on = ($3 == alert) } on' rds-retentiond.rules.yml)
    for key in summary: description: action: severity:; do
        echo "$text" | grep -q "$key" || fail "$alert has no $key"
    done
    grep -q "labels: 'ALERTS{alertname=\"$alert\", alertstate=\"firing\"" rds-retentiond.rules.test.yml ||
        fail "$alert is never seen firing"
    grep "alertname=~\?\"[^\"]*$alert[|\"]" rds-retentiond.rules.test.yml | grep -q 'exp_samples: \[\]' ||
        fail "$alert is never seen silent"
done

# Only metrics that exist: each name in the rules is one of the program's.
names=$(sed -n 's/.*m\.[a-z]*("\([a-z_]*\)",.*/\1/p' "$root/src/telemetry/metric_families.rs")
[ -n "$names" ] || fail "no metrics found in metric_families.rs"
for name in $(grep -o 'rds_retention_[a-z_]*' rds-retentiond.rules.yml | sort -u); do
    echo "$names" | grep -qx "${name#rds_retention_}" || fail "$name is no metric of ours"
done
echo "alerts: ok ($(echo "$alerts" | wc -l))"
