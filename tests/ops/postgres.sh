#!/usr/bin/env bash
# A state in PostgreSQL with real servers: the whole ledger test-suite (what is about files alone is skipped by name or by itself), the
# roles of config/postgres, TLS with a CA of our own, pgbouncer in transaction mode, and some rounds of the chaos of tests/bench/chaos.
# Usage: tests/ops/postgres.sh path/to/rds-retentiond   (exit 77 when PostgreSQL is missing)
set -euo pipefail
bin=$(realpath "$1"); root=$PWD
B=$(ls -d /usr/lib/postgresql/*/bin 2>/dev/null | sort -V | tail -1)
[ -n "$B" ] && command -v openssl >/dev/null || { echo "postgresql or openssl is not installed: skipped"; exit 77; }
RDS_RETENTIOND_TEST_POSTGRES=1 cargo test --lib ledger:: -- --skip ledger::tests::continuity --skip ledger::tests::files

tmp=$(mktemp -d /tmp/pg.XXXXXX); db=$tmp/db; pids=(); mkdir "$db"; chmod 711 "$tmp"
as=(); [ "$(id -u)" != 0 ] || { as=(setpriv --reuid=postgres --regid=postgres --clear-groups); chown postgres "$db"; }
stop() {
  for pid in "${pids[@]}"; do kill "$pid" 2>/dev/null || true; done
  [ ! -e "$db/data/postmaster.pid" ] || (cd / && "${as[@]}" "$B/pg_ctl" -s -D "$db/data" -m immediate stop) || true
  wait 2>/dev/null || true; rm -rf "$tmp"
}
trap stop EXIT
cd "$tmp"
fail() { echo "FAIL: $1" >&2; cat out err 2>/dev/null >&2 || true; exit 1; }
port() { python3 -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])'; }

openssl req -x509 -newkey rsa:2048 -nodes -days 2 -keyout ca.key -out ca.pem -subj "/CN=a CA of the tests" 2>/dev/null
openssl req -x509 -newkey rsa:2048 -nodes -days 2 -keyout other.key -out other.pem -subj "/CN=another CA" 2>/dev/null
openssl req -newkey rsa:2048 -nodes -keyout server.key -out server.csr -subj "/CN=localhost" 2>/dev/null
openssl x509 -req -in server.csr -CA ca.pem -CAkey ca.key -CAcreateserial -days 2 -out server.pem \
  -extfile <(printf 'subjectAltName=DNS:localhost\nbasicConstraints=CA:FALSE\nextendedKeyUsage=serverAuth') 2>/dev/null
"${as[@]}" "$B/initdb" -A trust -U postgres --no-locale -E UTF8 -D "$db/data" >/dev/null
install -m 600 server.key db/data/server.key; cp server.pem db/data/server.crt
[ "$(id -u)" != 0 ] || chown postgres db/data/server.key db/data/server.crt
# TLS is what the server asks of TCP; the socket needs none.
printf 'local all all trust\nhostssl all all 127.0.0.1/32 scram-sha-256\nhostssl all all ::1/128 scram-sha-256\n' > db/data/pg_hba.conf
P=$(port)
"${as[@]}" "$B/pg_ctl" -w -s -D "$db/data" -l "$db/log" -o "-c listen_addresses=localhost -c ssl=on -c fsync=off -p $P -k $db" start
sql() { "$B/psql" -XAtq -v ON_ERROR_STOP=1 -h "$db" -p "$P" -U postgres -d "${2:-retention}" -c "$1"; }
sql 'CREATE DATABASE retention' postgres

"$bin" simulator --deletion-takes 0s > sim.yaml & pids+=($!)
for _ in $(seq 100); do grep -q '^policies' sim.yaml && break; sleep 0.1; done
eval "$(sed -n 's/^#   \(export [A-Z_]*=[A-Za-z0-9_-]*\)$/\1/p' sim.yaml)"
config() { # STATE
  echo "version: 1"; echo "state: $1"; echo "listen: none"; sed -n '/^projects:/,/^policies:/p' sim.yaml
  echo '  - {name: all, mode: enforce, keep: {last: 3, daily: 7}, grace: 0s, limits: {max_percent: 100, max_deletions: 100000}}'
}
config "{postgres: \"postgres://postgres@${db//\//%2F}:$P/retention\"}" > owner.yaml
"$bin" --config owner.yaml freeze --reason "makes the tables" > out 2> err || fail "the first freeze"
"$bin" --config owner.yaml thaw > out 2> err || fail "the first thaw"
"$B/psql" -XAtq -v ON_ERROR_STOP=1 -h "$db" -p "$P" -U postgres -d retention -f "$root/config/postgres/roles.sql" > out 2> err || fail "roles.sql"
for role in daemon people auditor; do sql "CREATE ROLE r_$role LOGIN PASSWORD 'pass-$role' IN ROLE retention_$role"; printf 'pass-%s\n' "$role" > "$role.pw"; done
chmod 600 ./*.pw
tls() { config "{postgres: \"postgres://r_$1@localhost:$P/retention\", password_file: $tmp/$1.pw, ca: $tmp/$2.pem}"; }
for role in daemon people auditor; do tls "$role" ca > "$role.yaml"; done
tls daemon other > stranger.yaml

# People hold, freeze and approve; they do not delete. Auditors read.
id=$("$bin" --config owner.yaml plan --all --format json 2>/dev/null | python3 -c 'import json, sys
for policy in json.load(sys.stdin)["policies"]:
    for row in policy["decisions"]:
        if row["decision"] == "delete": print(row["backup_id"]); sys.exit()')
"$bin" --config people.yaml hold "$id" --reason "case 1" --force > out 2> err || fail "people may hold"
"$bin" --config people.yaml freeze --reason "an audit" --no-wait > out 2> err || fail "people may freeze"
"$bin" --config people.yaml thaw > out 2> err || fail "people may thaw"
code=0; "$bin" --config people.yaml apply > out 2> err || code=$?
[ "$code" = 77 ] || fail "people may not delete: exit $code"
code=0; "$bin" --config auditor.yaml freeze --reason no > out 2> err || code=$?
[ "$code" = 77 ] && grep -q "NOT frozen" err || fail "auditors may not freeze: exit $code"
"$bin" --config auditor.yaml audit verify > out 2> err || fail "auditors may verify"
"$bin" --config auditor.yaml status > out 2> err || fail "auditors may read the status"

# A server whose authority is not the one that is named gets no login.
code=0; "$bin" --config stranger.yaml apply > out 2> err || code=$?
[ "$code" = 69 ] && grep -q "TLS" err || fail "a server of another authority: exit $code"
chmod 666 daemon.pw; code=0; "$bin" --config daemon.yaml apply > out 2> err || code=$?; chmod 600 daemon.pw
[ "$code" = 77 ] && grep -q "daemon.pw" err || fail "a password that everybody may write: exit $code"
"$bin" --config daemon.yaml check --online > out 2> err || fail "check"
grep -q "standby" out err || fail "check warns that there is no synchronous standby"
"$bin" --config daemon.yaml apply --format json > out 2> err || fail "a run over TLS"
grep -q '"outcome":"confirmed"' out || fail "nothing was deleted"
python3 - "$id" <<'PYTHON' 2> err || fail "a held backup was deleted"
import json, sys
rows = [row for policy in json.load(open("out"))["policies"] for row in policy["decisions"]]
sys.exit(any(row["backup_id"] == sys.argv[1] and "outcome" in row for row in rows))
PYTHON
"$bin" --config daemon.yaml audit verify > out 2> err || fail "the chain"

# pgbouncer in transaction mode: nothing relies on a session.
if command -v pgbouncer >/dev/null || [ -x /usr/sbin/pgbouncer ]; then
  Q=$(port); sql "CREATE DATABASE pooled" postgres
  cat > db/pgbouncer.ini <<INI
[databases]
pooled = host=$db port=$P user=postgres
[pgbouncer]
listen_addr = 127.0.0.1
listen_port = $Q
unix_socket_dir =
auth_type = any
pool_mode = transaction
default_pool_size = 4
logfile = $db/pgbouncer.log
INI
  PATH=$PATH:/usr/sbin "${as[@]}" pgbouncer -q "$db/pgbouncer.ini" & pids+=($!)
  for _ in $(seq 100); do (exec 3<>"/dev/tcp/127.0.0.1/$Q") 2>/dev/null && break; sleep 0.1; done
  config "{postgres: \"postgres://postgres@127.0.0.1:$Q/pooled\"}" > pooled.yaml
  "$bin" --config pooled.yaml hold "$id" --reason "case 1" --force > out 2> err || fail "a hold through pgbouncer"
  sed -i 's/last: 3, daily: 7/last: 2/' pooled.yaml
  "$bin" --config pooled.yaml apply --format json > out 2> err || fail "a run through pgbouncer"
  grep -q '"outcome":"confirmed"' out || fail "nothing was deleted through pgbouncer"
  "$bin" --config pooled.yaml audit verify > out 2> err || fail "the chain through pgbouncer"
fi

cd "$root"
# Five rounds of each kind with times ten times shorter, and beside them one with those that users have.
chaos() { cargo test --test it -- --ignored --nocapture postgres_chaos::; }
CHAOS_KIND=kill CHAOS_ROUNDS=1 CHAOS_TIMES=1 chaos > "$tmp/unscaled" 2>&1 & unscaled=$!; pids+=("$unscaled")
CHAOS_KIND=${CHAOS_KIND:-all} CHAOS_ROUNDS=${CHAOS_ROUNDS:-5} chaos
wait "$unscaled" || { cat "$tmp/unscaled" >&2; exit 1; }
grep -A2 '^kind' "$tmp/unscaled"
