#!/bin/bash
# The daemon as a service of a real systemd, under the shipped unit: start, reload with a good and a bad file, a hang that
# the watchdog ends, a stop while a batch is under way, an upgrade that keeps the state.
# Usage: tests/ops/daemon.sh [BINARY]   (from anywhere; needs root and systemd-nspawn, else exit 77)
set -euo pipefail
root=$(cd "$(dirname "$0")/../.." && pwd)
bin=${1:-${CARGO_TARGET_DIR:-$root/target}/debug/rds-retentiond}
[ "$(id -u)" = 0 ] || { echo "not root: skipped"; exit 77; }
for tool in systemd-nspawn nsenter unshare curl sqlite3; do
  command -v "$tool" >/dev/null || { echo "$tool is not installed: skipped"; exit 77; }
done
export SDBOX
SDBOX=$(mktemp -d)
box() { "$root/tests/ops/sdbox" "$@"; }
in_box() { box exec "$@"; }
trap 'box stop; umount "$SDBOX/root" 2>/dev/null || true; rm -rf --one-file-system "$SDBOX"' EXIT
box start 2>/dev/null || { echo "a box with a systemd cannot be started here: skipped"; exit 77; }

fail() { echo "FAIL: $1" >&2; in_box journalctl -u rds-retentiond --no-pager -n 40 >&2 || true; exit 1; }
until_true() { # WHAT COMMAND...
  local what=$1; shift
  for _ in $(seq 1 300); do "$@" >/dev/null 2>&1 && return; sleep 0.1; done
  fail "never: $what"
}
show() { in_box systemctl show -P "$1" rds-retentiond; }
get() { in_box curl -sf "http://127.0.0.1:9465$1"; }
has() { get "$1" | grep -q -- "$2"; }
put() { in_box sh -c "cat > $1"; }

put /usr/bin/rds-retentiond <"$bin"
in_box chmod 755 /usr/bin/rds-retentiond
put /etc/systemd/system/rds-retentiond.service <"$root/systemd/rds-retentiond.service"
# Sooner than in earnest, so that the test is short.
in_box mkdir -p /etc/systemd/system/rds-retentiond.service.d /etc/rds-retentiond /etc/credstore
put /etc/systemd/system/rds-retentiond.service.d/test.conf <<'UNIT'
[Service]
WatchdogSec=2
RestartSec=1
UNIT
in_box systemd-run -q --unit=simulator sh -c 'exec /usr/bin/rds-retentiond simulator --listen 127.0.0.1:18080 --deletion-takes 0s --latency 100ms >/run/simulator'
until_true "the simulator prints its configuration" in_box grep -q '^policies:' /run/simulator
in_box sh -c 'umask 077; sed -n "s/^#   export HUAWEICLOUD_SDK_AK=//p" /run/simulator | tr -d "\n" >/etc/credstore/rds-retentiond.access_key
  sed -n "s/^#   export HUAWEICLOUD_SDK_SK=//p" /run/simulator | tr -d "\n" >/etc/credstore/rds-retentiond.secret_key'
configure() { # NAME SCHEDULE
  in_box sh -c "{ echo 'version: 1'; sed -n '/^projects:/,/^policies:/p' /run/simulator | sed -e '\$d' -e 's/source: environment/source: chain/'
    echo 'policies: [{name: $1, mode: enforce, schedule: \"$2\", keep: {last: 3}, grace: 0s, limits: {max_deletions: 5000, max_percent: 100}}]'
    } >/etc/rds-retentiond/config.yaml"
}

# Start.
configure first '0 0 29 2 *'
in_box systemctl daemon-reload
in_box systemctl start rds-retentiond || fail "it does not start"
[ "$(show ActiveState)" = active ] || fail "not active"
show StatusText | grep -q '^next run: first at ' || fail "STATUS is $(show StatusText)"
until_true "ready" get /readyz
pid=$(show MainPID)
echo "started: $(show StatusText)"

# Reload, good and bad.
configure second '0 0 29 2 *'
in_box systemctl reload rds-retentiond || fail "a good reload failed"
until_true "the new policy" has /api/v1/status '"policy":"second"'
in_box sh -c 'sed -i "s/last: 3/lats: 3/" /etc/rds-retentiond/config.yaml'
if in_box systemctl reload rds-retentiond 2>/dev/null; then fail "a bad reload was not refused"; fi
until_true "the gauge of a bad file" has /metrics '^rds_retention_config_last_reload_successful 0'
until_true "the reason in STATUS" sh -c "$root/tests/ops/sdbox exec systemctl show -P StatusText rds-retentiond | grep -q refused"
has /api/v1/status '"policy":"second"' || fail "the last good configuration is not in force"
# The journal knows how grave each line is, and shows no prefix of ours.
logged() { in_box journalctl -u rds-retentiond --no-pager -o cat "$@"; }
logged -p err | grep -c 'the new configuration is refused' >/dev/null || fail "the refusal is not an error in the journal"
logged -p info | grep -c '^state opened' >/dev/null || fail "no line at its priority"
if logged -p err | grep -c 'state opened' >/dev/null; then fail "everything is an error in the journal"; fi
[ "$(show ActiveState) $(show MainPID)" = "active $pid" ] || fail "a reload restarted it"
configure second '0 0 29 2 *'
in_box systemctl reload rds-retentiond || fail "it does not recover from a bad file"
until_true "the gauge of a good file" has /metrics '^rds_retention_config_last_reload_successful 1'
echo "reloaded: good, bad, good again; process $pid all the time"

# It lives under its watchdog, and does not live when it hangs.
sleep 5
[ "$(show NRestarts)" = 0 ] || fail "the watchdog is not fed"
in_box kill -STOP "$pid"
until_true "restarted by the watchdog" sh -c "[ \"\$($root/tests/ops/sdbox exec systemctl show -P NRestarts rds-retentiond)\" = 1 ]"
until_true "ready again" get /readyz
in_box journalctl -u rds-retentiond --no-pager | grep -q 'Watchdog timeout' || fail "not by the watchdog"
[ "$(show MainPID)" != "$pid" ] || fail "still process $pid"
echo "hung, ended by the watchdog, back"

# A command of root's beside the service's user leaves nothing that the service cannot write.
in_box rds-retentiond hold 63ad3439af9776054b0a3ed7ba2c7f6bbr04 --force --reason upgrade >/dev/null || fail "hold"
in_box sh -c '! find /var/lib/private/rds-retentiond -user root | grep .' || fail "files of root in the state"

# Stop while a batch is under way.
configure third '* * * * * *'
in_box systemctl reload rds-retentiond
until_true "a batch" sh -c "$root/tests/ops/sdbox exec journalctl -u rds-retentiond --no-pager | grep -q 'deletion request'"
began=$(date +%s)
in_box systemctl stop rds-retentiond
took=$(($(date +%s) - began))
[ "$took" -le 30 ] || fail "the stop took $took s"
[ "$(show Result) $(show ExecMainStatus)" = "success 0" ] || fail "stopped with $(show Result), $(show ExecMainStatus)"
in_box rds-retentiond audit verify >/dev/null || fail "the ledger does not verify"
# The heads of its runs are in the journal, and the service reads them by the group that the unit gives it.
in_box journalctl --no-pager -o cat MESSAGE_ID=6d1c0e4f9f0b4b0f8e5a7c2d3b9a1f42 | grep -q 'has reached row' || fail "no head in the journal"
in_box rds-retentiond audit verify --anchors | grep -q 'the state contains each' || fail "the journal's heads are not found"
in_box rds-retentiond history --format json >"$SDBOX/history"
grep -q '"result"' "$SDBOX/history" || fail "no run is written down"
if grep -q '"result": *null' "$SDBOX/history"; then fail "a run has no end"; fi
echo "stopped in the middle of a run in $took s"

# Commands of root's while nobody has the files open make them anew, and they are the service's all the same.
for command in 'freeze --reason stopped' thaw 'hold --name none-* --reason stopped --until 1d'; do
  in_box sh -c "rds-retentiond $command" >/dev/null || fail "$command"
  in_box sh -c '! find /var/lib/private/rds-retentiond -user root | grep .' || fail "files of root after $command"
done

# An upgrade: another file, the same state.
configure third '0 0 29 2 *'
put /usr/bin/rds-retentiond.new <"$bin"
in_box sh -c 'chmod 755 /usr/bin/rds-retentiond.new && mv /usr/bin/rds-retentiond.new /usr/bin/rds-retentiond'
in_box systemctl start rds-retentiond || fail "it does not start after the upgrade"
until_true "ready after the upgrade" get /readyz
has /api/v1/status '"reason":"upgrade"' || fail "the hold is lost"
if has /api/v1/status 'set back is not known'; then fail "the service cannot read the journal"; fi
until_true "the past" has /metrics '^rds_retention_last_run_timestamp_seconds{policy="third"}'
for secret in access_key secret_key; do
  value=$(in_box cat "/etc/credstore/rds-retentiond.$secret")
  if in_box journalctl --no-pager | grep -qF -- "$value"; then fail "the journal tells the $secret"; fi
done

# The state backed up beside the running daemon, and put back: each line as docs/operations.md types it.
typed() { # WORD: the lines of the console block that has it
  awk -v word="$1" '/^```console/ { block = ""; in_it = 1; next } /^```/ { if (in_it && index(block, word)) printf "%s", block; in_it = 0 }
    in_it { block = block $0 "\n" }' "$root/docs/operations.md" | sed -n 's/^# //p'
}
[ "$(typed '.backup' | wc -l) $(typed 'rm -f' | wc -l)" = "1 9" ] || fail "the commands are not in docs/operations.md: $(typed '.backup'; typed 'rm -f')"
in_box mkdir /backup
typed '.backup' | in_box sh -eu || fail "the backup"
in_box rds-retentiond hold 63ad3439af9776054b0a3ed7ba2c7f6cbr04 --force --reason later >/dev/null || fail "hold"
in_box systemctl stop rds-retentiond
in_box sh -c 'mkdir /newest && cp -p /var/lib/private/rds-retentiond/ledger.sqlite3* /newest && rm /var/lib/private/rds-retentiond/ledger.sqlite3* &&
  cp /backup/ledger.sqlite3 /var/lib/private/rds-retentiond/ && chown --reference=/var/lib/private/rds-retentiond/deletions.lock /var/lib/private/rds-retentiond/ledger.sqlite3'
in_box systemctl start rds-retentiond || true
until_true "the journal knows the hold that the copy lacks" sh -c "$root/tests/ops/sdbox exec journalctl -u rds-retentiond --no-pager | grep -q 'set back'"
if get /readyz; then fail "ready on a state that was set back"; fi
restored=$( { in_box sed -n 's/^#   export/export/p' /run/simulator; typed 'rm -f'; } | in_box sh -eu) || fail "the restore: $restored"
grep -q 'intact: ' <<<"$restored" || fail "not verified: $restored"
grep -q ' upgrade ' <<<"$restored" || fail "the hold from before the copy is lost: $restored"
if grep -q ' later ' <<<"$restored"; then fail "a hold from after the copy: $restored"; fi
until_true "ready after the restore" get /readyz
in_box sh -c '! find /var/lib/private/rds-retentiond -user root | grep .' || fail "files of root after the restore"
echo "backed up and restored as docs/operations.md says"
echo "daemon under systemd: ok"
