#!/bin/bash
# A daemon and `apply` whose state lies on a disk that is full, then read-only, then well again: nothing is deleted, the
# error says what to do, the daemon stays up and says so, and goes on by itself. Some two minutes, for the daemon looks
# again once a minute.
# Usage: tests/ops/full-disk.sh [BINARY]   (from anywhere; needs root for a tmpfs of its own, else exit 77)
set -euo pipefail
root=$(cd "$(dirname "$0")/../.." && pwd)
bin=${1:-${CARGO_TARGET_DIR:-$root/target}/debug/rds-retentiond}
[ "$(id -u)" = 0 ] || { echo "not root: skipped"; exit 77; }
if [ -z "${IN_OWN_MOUNTS-}" ]; then
  unshare -m true 2>/dev/null || { echo "no mount namespace to be had: skipped"; exit 77; }
  IN_OWN_MOUNTS=1 exec unshare -m "$0" "$bin"
fi
dir=$(mktemp -d)
mkdir "$dir/state"
mount -t tmpfs -o size=600k,mode=0700 tmpfs "$dir/state" || { echo "no tmpfs to be had: skipped"; exit 77; }
pids=()
finish() {
  for pid in "${pids[@]}"; do kill "$pid" 2>/dev/null || true; done
  umount "$dir/state" || true
  rm -rf --one-file-system "$dir"
}
trap finish EXIT
fail() { echo "FAIL: $1" >&2; tail -n 20 "$dir"/*.log >&2 || true; exit 1; }
until_true() { # WHAT COMMAND...
  local what=$1; shift
  for _ in $(seq 1 900); do "$@" >/dev/null 2>&1 && return; sleep 0.1; done
  fail "never: $what"
}

"$bin" simulator --instances 2 --backups 60 --regular --deletion-takes 0s >"$dir/sim" 2>"$dir/sim.log" &
pids+=($!)
until_true "the simulator prints its configuration" grep -q '^policies:' "$dir/sim"
eval "$(sed -n 's/^# *export/export/p' "$dir/sim")"
{
  printf 'version: 1\nstate_dir: state\nlisten: 127.0.0.1:19468\n'
  sed -n '/^projects:/,/^policies:/p' "$dir/sim" | sed '$d'
  echo "policies: [{name: p, mode: enforce, schedule: '* * * * * *', keep: {last: 3}, grace: 0s, limits: {max_percent: 100}}]"
} >"$dir/c.yaml"
retention() { "$bin" --config "$dir/c.yaml" "$@"; }
get() { curl -s "http://127.0.0.1:19468$1"; }
ready() { [ "$(curl -s -o /dev/null -w '%{http_code}' http://127.0.0.1:19468/readyz)" = "$1" ]; }
apply_says() { # WORDS
  local code=0
  retention apply >"$dir/apply.log" 2>&1 || code=$?
  [ "$code" = 1 ] || fail "apply ended with $code, not 1"
  grep -q -- "$1" "$dir/apply.log" || fail "apply does not say: $1"
}
deleted() { get /metrics | sed -n 's/^rds_retention_deletions_total{outcome="confirmed".* //p'; }

# A state is made, and nothing deleted: it is frozen.
cp "$dir/c.yaml" "$dir/thawed.yaml"
echo 'freeze: {reason: not yet}' >>"$dir/c.yaml"
retention apply >"$dir/apply.log" 2>&1 && fail "a freeze refuses" || true
cp "$dir/thawed.yaml" "$dir/c.yaml"

# Full.
dd if=/dev/zero of="$dir/state/ballast" bs=1k 2>/dev/null || true
apply_says 'the disk is full'
"$bin" --config "$dir/c.yaml" run >"$dir/run.log" 2>&1 &
daemon=$!
pids+=("$daemon")
until_true "not ready on a full disk" ready 503
get /readyz | grep 'the disk is full' >/dev/null || fail "readyz says: $(get /readyz)"
get /metrics | grep '^rds_retention_ledger_errors_total [1-9]' >/dev/null || fail "no ledger error is counted"
kill -0 "$daemon" || fail "the daemon ended"
echo "full: not ready, nothing deleted"

# Read-only.
rm "$dir/state/ballast"
mount -o remount,ro "$dir/state"
apply_says 'read-only'
until_true "read-only is said" sh -c 'curl -s http://127.0.0.1:19468/readyz | grep -q read-only'
kill -0 "$daemon" || fail "the daemon ended"
[ "$(deleted)" = 0 ] || fail "$(deleted) deletions without a state"
echo "read-only: not ready, nothing deleted"

# Well again.
mount -o remount,rw,size=8m "$dir/state"
until_true "ready again" ready 200
until_true "the work is done" sh -c "curl -s http://127.0.0.1:19468/metrics | grep -q '^rds_retention_deletions_total{outcome=\"confirmed\".* 114\$'"
kill "$daemon"
wait "$daemon" || fail "the daemon ended with $?"
retention audit verify || fail "the ledger does not verify"
echo "full disk: ok"
