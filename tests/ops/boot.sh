#!/bin/bash
# A host that is still booting: the address that metrics are served on does not exist yet, and name servers do not answer.
# The daemon runs all the same, serves as soon as it can, and ends within 30 s of SIGTERM whatever hangs.
# Usage: tests/ops/boot.sh [BINARY]   (from anywhere; needs root for namespaces of its own, else exit 77)
set -euo pipefail
root=$(cd "$(dirname "$0")/../.." && pwd)
bin=${1:-${CARGO_TARGET_DIR:-$root/target}/debug/rds-retentiond}
[ "$(id -u)" = 0 ] || { echo "not root: skipped"; exit 77; }
if [ -z "${IN_OWN_NAMESPACES-}" ]; then
  unshare -mn true 2>/dev/null || { echo "no namespaces to be had: skipped"; exit 77; }
  IN_OWN_NAMESPACES=1 exec unshare -mn "$0" "$bin"
fi
dir=$(mktemp -d)
ip link set lo up
# On this namespace alone, later.
address=10.99.0.1
pids=()
finish() {
  for pid in "${pids[@]}"; do kill -9 "$pid" 2>/dev/null || true; done
  wait 2>/dev/null || true
  rm -rf "$dir"
}
trap finish EXIT
fail() { echo "FAIL: $1" >&2; tail -n 20 "$dir"/*.log >&2 || true; exit 1; }
until_true() { # WHAT COMMAND...
  local what=$1; shift
  for _ in $(seq 1 600); do "$@" >/dev/null 2>&1 && return; sleep 0.1; done
  fail "never: $what"
}

# A name server that takes questions and never answers.
printf 'nameserver 127.0.0.1\noptions timeout:30 attempts:5\n' >"$dir/resolv.conf"
mount --bind "$dir/resolv.conf" /etc/resolv.conf || { echo "no bind mount to be had: skipped"; exit 77; }
cat >"$dir/c.yaml" <<YAML
version: 1
state_dir: $dir/state
listen: $address:19469
projects: [{name: prod, region: ap-southeast-3, project_id: 0123456789abcdef0123456789abcdef}]
policies: [{name: p, mode: dry-run, schedule: "* * * * * *", keep: {last: 3}}]
YAML
export HUAWEICLOUD_SDK_AK=AKEXAMPLE HUAWEICLOUD_SDK_SK=secret
"$bin" --config "$dir/c.yaml" run 2>"$dir/daemon.log" &
daemon=$!
pids+=("$daemon")
until_true "the daemon says that the address is missing" grep -q 'no such address yet' "$dir/daemon.log"
until_true "the state is opened although nothing is served" grep -q 'state opened' "$dir/daemon.log"
ip addr add "$address/32" dev lo
python3 -c 'import socket,time; s=socket.socket(socket.AF_INET,socket.SOCK_DGRAM); s.bind(("127.0.0.1",53)); time.sleep(300)' &
pids+=($!)
until_true "it is served when the address is there" curl -fsS --max-time 2 http://$address:19469/readyz
sleep 3
begun=$(grep -c 'run begins' "$dir/daemon.log" || true)
ended=$(grep -c 'run ended' "$dir/daemon.log" || true)
[ "$begun" -gt "$ended" ] || fail "no run waits for the name server"
began=$SECONDS
kill -TERM "$daemon"
while kill -0 "$daemon" 2>/dev/null; do
  [ $((SECONDS - began)) -lt 31 ] || fail "it lives on for more than 30 s after SIGTERM"
  sleep 0.2
done
wait "$daemon" || fail "it ended with $?"
echo "ended $((SECONDS - began)) s after SIGTERM, with a look-up under way"
# A port that is taken is said once, and is no reason to wait.
python3 -c 'import socket,time; s=socket.socket(); s.bind(("10.99.0.1",19469)); s.listen(); time.sleep(300)' &
pids+=($!)
until_true "the port is taken" bash -c ': </dev/tcp/10.99.0.1/19469'
code=0
"$bin" --config "$dir/c.yaml" run 2>"$dir/taken.log" || code=$?
[ "$code" = 69 ] || fail "a taken port exits $code"
[ "$(grep -c 'Address already in use' "$dir/taken.log")" = 1 ] || fail "it is not said once"
echo "ok"
