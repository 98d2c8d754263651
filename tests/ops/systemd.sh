#!/bin/sh
# The shipped unit, by systemd's own tools: well-formed, and its exposure at most 1.3. Needs no running systemd.
# Usage: tests/ops/systemd.sh   (from anywhere; exit 77 when the tools are missing)
set -eu
root=$(cd "$(dirname "$0")/../.." && pwd)
unit=$root/systemd/rds-retentiond.service
command -v systemd-analyze >/dev/null || { echo "systemd-analyze is not installed: skipped"; exit 77; }
tmp=$(mktemp -d)
trap 'rm -rf "$tmp"' EXIT

# `verify` wants the program to be there, so a stand-in is: the check is about the unit.
printf '#!/bin/sh\n' >"$tmp/rds-retentiond"
chmod 755 "$tmp/rds-retentiond"
fail() { echo "FAIL: $1" >&2; exit 1; }

verify() { # unit: clean means status 0 and not a word, as some mistakes are only said
    said=$(systemd-analyze verify --man=no --recursive-errors=yes "$1" 2>&1) || fail "verify: $said"
    [ -z "$said" ] || fail "verify: $said"
}
sed "s#/usr/bin/rds-retentiond#$tmp/rds-retentiond#" "$unit" >"$tmp/rds-retentiond.service"
verify "$tmp/rds-retentiond.service"

# Every line of the example of local changes, switched on, must be one systemd knows; only its reload type is newer.
mkdir "$tmp/rds-retentiond.service.d"
sed -n 's/^#\([A-Z][A-Za-z]*=\)/\1/p; /^\[/p' "$root/systemd/override.conf.example" |
    sed -e '/^Type=notify-reload/d' -e "s#/usr/bin/rds-retentiond#$tmp/rds-retentiond#" \
        >"$tmp/rds-retentiond.service.d/override.conf"
grep -q '^IPAddressDeny=' "$tmp/rds-retentiond.service.d/override.conf" || fail "the example was not read"
verify "$tmp/rds-retentiond.service"
rm -r "$tmp/rds-retentiond.service.d"

# A threshold of 13 is an exposure of 1.3.
# A service that grows beyond all measure must not take the host with it.
for limit in MemoryHigh MemoryMax MemorySwapMax TasksMax LimitNOFILE LimitCORE; do
  grep -Eq "^$limit=[0-9]+[KMG]?$" "$tmp/rds-retentiond.service" || fail "the unit has no $limit"
done
systemd-analyze security --offline=true --no-pager --threshold=13 "$tmp/rds-retentiond.service" >"$tmp/security" ||
    { cat "$tmp/security"; fail "exposure above 1.3"; }
tail -n 1 "$tmp/security"

# That the checks can fail at all:
sed 's/^ProtectSystem=/ProtectSystm=/' "$tmp/rds-retentiond.service" >"$tmp/misspelt.service"
if (verify "$tmp/misspelt.service") 2>/dev/null; then fail "a misspelt key passed"; fi
sed '/^CapabilityBoundingSet=/d' "$tmp/rds-retentiond.service" >"$tmp/open.service"
if systemd-analyze security --offline=true --no-pager --threshold=13 "$tmp/open.service" >/dev/null; then
    fail "a unit with capabilities passed"
fi
echo "systemd unit: ok"
