#!/bin/bash
# The Debian package in a clean Debian tree under a real systemd: install, start, upgrade, remove, install again, purge.
# Usage: tests/ops/package.sh [BINARY]   (needs root, cargo-deb, mmdebstrap, systemd-nspawn and a Debian mirror, else
# exit 77; DEB=FILE takes a package that is there already, TREE=DIR a tree that is)
set -euo pipefail
root=$(cd "$(dirname "$0")/../.." && pwd)
bin=${1:-${CARGO_TARGET_DIR:-$root/target}/debug/rds-retentiond}
[ "$(id -u)" = 0 ] || { echo "not root: skipped"; exit 77; }
needed=(systemd-nspawn nsenter unshare dpkg-deb)
[ -n "${DEB-}" ] || needed+=(cargo-deb)
[ -n "${TREE-}" ] || needed+=(mmdebstrap)
for tool in "${needed[@]}"; do
  command -v "$tool" >/dev/null || { echo "$tool is not installed: skipped"; exit 77; }
done
export SDBOX SDBOX_TREE
SDBOX=$(mktemp -d)
box() { "$root/tests/ops/sdbox" "$@"; }
in_box() { box exec "$@"; }
trap 'box stop; umount "$SDBOX/root" 2>/dev/null || true; rm -rf --one-file-system "$SDBOX"' EXIT
fail() { echo "FAIL: $1" >&2; in_box journalctl -u rds-retentiond --no-pager -n 40 >&2 2>/dev/null || true; exit 1; }
until_true() { # WHAT COMMAND...
  local what=$1; shift
  for _ in $(seq 1 300); do "$@" >/dev/null 2>&1 && return; sleep 0.1; done
  fail "never: $what"
}

# The package, and the next version of it with another config.yaml, as upgrades have them.
deb=${DEB:-$(BINARY="$bin" "$root/tests/package/build" | tail -n 1)}
[ -s "$deb" ] || fail "no package"
dpkg-deb -R "$deb" "$SDBOX/next"
sed -i 's/^Version: .*/Version: 999.0/' "$SDBOX/next/DEBIAN/control"
echo '# news of the next version' >>"$SDBOX/next/etc/rds-retentiond/config.yaml"
dpkg-deb -Znone --root-owner-group -b "$SDBOX/next" "$SDBOX/next.deb" >/dev/null

# What is in it, told from outside.
contents=$(dpkg-deb -c "$deb")
for file in usr/bin/rds-retentiond usr/lib/systemd/system/rds-retentiond.service etc/rds-retentiond/config.yaml \
  usr/share/doc/rds-retentiond/config/policies.d/simple-30-days.yaml usr/share/doc/rds-retentiond/changelog.Debian.gz \
  usr/share/rds-retentiond/prometheus/rds-retentiond.rules.yml usr/share/rds-retentiond/prometheus/prometheus.example.yml \
  usr/share/rds-retentiond/grafana/rds-retentiond.json usr/share/rds-retentiond/schema.json \
  usr/share/man/man1/rds-retentiond.1.gz usr/share/man/man1/rds-retentiond-plan.1.gz \
  usr/share/bash-completion/completions/rds-retentiond usr/share/zsh/vendor-completions/_rds-retentiond \
  usr/share/fish/vendor_completions.d/rds-retentiond.fish; do
  grep -q " \./$file$" <<<"$contents" || fail "$file is not in the package"
done
[ "$(dpkg-deb -I "$deb" conffiles)" = /etc/rds-retentiond/config.yaml ] || fail "conffiles"
if awk '{print $2}' <<<"$contents" | grep -qvE '^(root/root|0/0)$'; then fail "files that are not root's"; fi
# The documents lead somewhere in the package, too, and their examples are where their commands look.
doc=$SDBOX/next/usr/share/doc/rds-retentiond
while IFS= read -r page; do
  for link in $(grep -o '](\([^)#: ]*\)[#)]' "$page" | sed 's/](//; s/[#)]$//'); do
    [ -e "$(dirname "$page")/$link" ] || fail "${page#"$doc"/} links to $link, which is not in the package"
  done
done < <(find "$doc" -name '*.md')
bash -n "$SDBOX/next/usr/share/bash-completion/completions/rds-retentiond" || fail "the completion for bash"
if command -v fish >/dev/null; then
  fish -n "$SDBOX/next/usr/share/fish/vendor_completions.d/rds-retentiond.fish" || fail "the completion for fish"
fi
if command -v zsh >/dev/null; then
  zsh -n "$SDBOX/next/usr/share/zsh/vendor-completions/_rds-retentiond" || fail "the completion for zsh"
fi
echo "package: $(stat -c %s "$deb") bytes, $(wc -l <<<"$contents") entries"

# A clean Debian of this machine's release.
if [ -z "${TREE-}" ]; then
  TREE=$SDBOX/tree
  sources=$(find /etc/apt -maxdepth 2 -name '*.sources' -o -maxdepth 2 -name '*.list')
  # shellcheck disable=SC2086 # a list of files
  mmdebstrap --quiet --variant=minbase --include=systemd,systemd-sysv,dbus,libnss-systemd,ca-certificates,curl,procps \
    "$(. /etc/os-release && echo "$VERSION_CODENAME")" "$TREE" $sources >"$SDBOX/mmdebstrap.log" 2>&1 ||
    { tail -n 5 "$SDBOX/mmdebstrap.log"; echo "no Debian tree can be made here: skipped"; exit 77; }
fi
SDBOX_TREE=$TREE
box start 2>/dev/null || { echo "a box with a systemd cannot be started here: skipped"; exit 77; }
put() { in_box sh -c "cat > $1"; }
show() { in_box systemctl show -P "$1" rds-retentiond; }
get() { in_box curl -sf "http://127.0.0.1:9465$1"; }
has() { get "$1" | grep -q -- "$2"; }
asleep() { # WHEN: neither runs nor would at the next boot
  [ "$(in_box systemctl is-active rds-retentiond)" = inactive ] || fail "$1: it runs"
  [ "$(in_box systemctl is-enabled rds-retentiond)" = disabled ] || fail "$1: it is enabled"
}
put /root/first.deb <"$deb"
put /root/next.deb <"$SDBOX/next.deb"

# Install: everything there, nothing on.
in_box dpkg -i /root/first.deb >"$SDBOX/log" 2>&1 || { cat "$SDBOX/log"; fail "it does not install"; }
asleep "installed"
in_box rds-retentiond check >/dev/null 2>&1 || fail "the shipped configuration does not pass check"
if in_box grep -qE '^[^#]*mode: *enforce' /etc/rds-retentiond/config.yaml; then fail "it would delete"; fi
[ -z "$(in_box find /etc/rds-retentiond ! -user root -o -perm /022)" ] || fail "a configuration that others may write"
echo "installed: neither enabled nor started"

# Start, with a configuration edited by hand.
in_box systemd-run -q --unit=simulator sh -c 'exec /usr/bin/rds-retentiond simulator --listen 127.0.0.1:18080 >/run/simulator'
until_true "the simulator prints its configuration" in_box grep -q '^policies:' /run/simulator
in_box sh -c 'umask 077; mkdir -p /etc/credstore
  sed -n "s/^#   export HUAWEICLOUD_SDK_AK=//p" /run/simulator | tr -d "\n" >/etc/credstore/rds-retentiond.access_key
  sed -n "s/^#   export HUAWEICLOUD_SDK_SK=//p" /run/simulator | tr -d "\n" >/etc/credstore/rds-retentiond.secret_key
  { echo "version: 1"; sed -n "/^projects:/,/^policies:/p" /run/simulator | sed -e "\$d" -e "s/source: environment/source: chain/"
    echo "policies: [{name: edited-by-hand, mode: dry-run, schedule: \"* * * * * *\", keep: {last: 3}}]"
  } >/etc/rds-retentiond/config.yaml; chmod 644 /etc/rds-retentiond/config.yaml'
in_box systemctl enable --now rds-retentiond 2>/dev/null || fail "it does not start"
until_true "ready" get /readyz
until_true "a run" sh -c "$root/tests/ops/sdbox exec rds-retentiond history --format json | grep -q success"
in_box rds-retentiond hold 63ad3439af9776054b0a3ed7ba2c7f6bbr04 --force --reason upgrade >/dev/null || fail "hold"
pid=$(show MainPID)
before=$(in_box sha256sum /etc/rds-retentiond/config.yaml)
echo "started: $(show StatusText)"

# Upgrade as unattended-upgrades does: the edited file stays, the shipped one lies beside it, the service runs again.
in_box dpkg -i --force-confdef --force-confold /root/next.deb >"$SDBOX/log" 2>&1 || { cat "$SDBOX/log"; fail "upgrade"; }
[ "$(in_box sha256sum /etc/rds-retentiond/config.yaml)" = "$before" ] || fail "the edited configuration is lost"
in_box grep -q 'news of the next version' /etc/rds-retentiond/config.yaml.dpkg-dist || fail "no new example beside it"
until_true "ready after the upgrade" get /readyz
[ "$(show MainPID)" != "$pid" ] || fail "not restarted"
has /api/v1/status '"policy":"edited-by-hand"' || fail "another configuration is in force"
has /api/v1/status '"reason":"upgrade"' || fail "the hold is lost"
[ "$(in_box systemctl is-enabled rds-retentiond)" = enabled ] || fail "no longer enabled"
echo "upgraded: edited configuration and state kept, restarted"

# An upgrade to a version that refuses the configuration: the old process goes on, and the problem is on the terminal.
pid=$(show MainPID)
in_box sh -c 'cp -p /etc/rds-retentiond/config.yaml /root/good.yaml; echo "no_such_key: 1" >>/etc/rds-retentiond/config.yaml'
said=$(in_box dpkg -i --force-confold /root/next.deb 2>&1) || fail "an upgrade beside a bad configuration: $said"
grep -q 'no_such_key' <<<"$said" && grep -q 'the old process goes on' <<<"$said" || fail "it does not say why: $said"
[ "$(show MainPID)" = "$pid" ] || fail "restarted with a configuration that it refuses"
in_box cp -p /root/good.yaml /etc/rds-retentiond/config.yaml
echo "refused configuration: the old process goes on"

# Remove, install again, purge.
in_box dpkg -r rds-retentiond >/dev/null 2>&1 || fail "it does not remove"
if in_box pgrep -f '[r]ds-retentiond run'; then fail "it still runs"; fi
in_box sh -c '! systemctl cat rds-retentiond 2>/dev/null && ! ls /etc/systemd/system/*.wants/rds-retentiond.service 2>/dev/null' ||
  fail "the unit is left"
[ "$(in_box sha256sum /etc/rds-retentiond/config.yaml)" = "$before" ] || fail "removed with its configuration"
in_box dpkg -i --force-confold /root/first.deb >/dev/null 2>&1 || fail "it does not install again"
asleep "installed again"
in_box rds-retentiond holds --format json | grep -q upgrade || fail "the state is lost"
said=$(in_box dpkg -P rds-retentiond 2>&1) || fail "it does not purge"
grep -q 'the state stays in' <<<"$said" || fail "purge does not say that the state stays: $said"
in_box test ! -e /etc/rds-retentiond/config.yaml || fail "purged, and the configuration is left"
in_box test -s /var/lib/private/rds-retentiond/ledger.sqlite3 || fail "purged with the record of what was deleted"
echo "removed, installed again, purged; the state stays"
echo "package: ok"
