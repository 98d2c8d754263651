#!/bin/bash
# A real Prometheus scrapes the running daemon with the shipped example and rules; an alert is seen firing and going.
# Usage: tests/ops/scrape.sh [BINARY]   (from anywhere; exit 77 when prometheus is missing)
set -euo pipefail
root=$(cd "$(dirname "$0")/../.." && pwd)
bin=${1:-${CARGO_TARGET_DIR:-$root/target}/debug/rds-retentiond}
for tool in prometheus promtool curl python3; do
  command -v "$tool" >/dev/null || { echo "$tool is not installed: skipped"; exit 77; }
done
tmp=$(mktemp -d)
processes=()
end() { for process in "${processes[@]}"; do kill "$process" 2>/dev/null || true; done; wait; rm -rf "$tmp"; }
trap end EXIT
fail() { echo "FAIL: $1" >&2; tail -n 20 "$tmp"/*.log >&2; exit 1; }
until_true() { # WHAT COMMAND...
  local what=$1; shift
  for _ in $(seq 1 600); do "$@" >/dev/null 2>&1 && return; sleep 0.1; done
  fail "never: $what"
}

"$bin" simulator --listen 127.0.0.1:0 --deletion-takes 0s >"$tmp/simulator" 2>"$tmp/simulator.log" &
processes+=($!)
until_true "the simulator listens" grep -q '^policies:' "$tmp/simulator"
eval "$(sed -n 's/^#   export /export /p' "$tmp/simulator")"
configure() { # KEEP
  { printf 'version: 1\nstate_dir: %s/state\nlisten: 127.0.0.1:0\n' "$tmp"
    sed -n '/^projects:/,/^policies:/p' "$tmp/simulator" | sed '$d'
    printf 'policies: [{name: p, mode: enforce, schedule: "* * * * * *", keep: {%s}, grace: 0s}]\n' "$1"
  } >"$tmp/config.yaml"
}
configure 'last: 60'
"$bin" --config "$tmp/config.yaml" run 2>"$tmp/daemon.log" &
processes+=($!)
until_true "the daemon listens" grep -q 'listening on' "$tmp/daemon.log"
address=$(sed -n 's/.* address=\([^ ]*\).*/\1/p' "$tmp/daemon.log" | head -1)

# What the daemon serves, as promtool judges it.
until_true "a run" sh -c "curl -s http://$address/metrics | grep -q '^rds_retention_runs_total.*success.* [1-9]'"
curl -sf "http://$address/metrics" | promtool check metrics || fail "promtool check metrics"

# The shipped files, in a hurry.
sed 's/^\( *for:\).*/\1 0s/' "$root/config/prometheus/rds-retentiond.rules.yml" >"$tmp/rds-retentiond.rules.yml"
{ printf 'global: {scrape_interval: 1s, evaluation_interval: 1s}\n'
  sed -e "s/127.0.0.1:9465/$address/" -e '/scrape_interval: 30s/d' "$root/config/prometheus/prometheus.example.yml"
} >"$tmp/prometheus.yml"
# Prometheus does not tell which port it took, so one that is free a moment before is named.
port=$(python3 -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])')
prometheus --config.file="$tmp/prometheus.yml" --storage.tsdb.path="$tmp/data" --web.listen-address="127.0.0.1:$port" \
  --log.level=warn 2>"$tmp/prometheus.log" &
processes+=($!)
query() { promtool query instant "http://127.0.0.1:$port" "$1" 2>/dev/null; }
shows() { query "$1" | grep -q .; }
until_true "the daemon is scraped" shows 'up{job="rds-retentiond"} == 1'
until_true "its numbers are there" shows 'rds_retention_runs_total{policy="p",result="success"} > 0'
alert='ALERTS{alertname="RdsRetentionConfigReloadFailed",alertstate="firing"}'
if shows "$alert"; then fail "the alert fires before anything happened"; fi
configure 'lats: 60'
until_true "the alert fires" shows "$alert"
configure 'last: 61'
gone() { ! shows "$alert"; }
until_true "the alert goes" gone
shows 'up{job="rds-retentiond"} == 1' || fail "no longer scraped"
echo "scraped by $(prometheus --version 2>&1 | head -1 | cut -d' ' -f1-3); an alert fired and went: ok"
