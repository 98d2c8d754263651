#!/bin/bash
# The completions in real shells, and the man pages under a linter. Each shell must complete a command, a flag of it, and names and ids from a
# configuration and a state.
# Usage: tests/ops/shells.sh [BINARY]   (from anywhere; exit 77 without zsh, fish, mandoc or python3)
set -euo pipefail
root=$(cd "$(dirname "$0")/../.." && pwd)
bin=$(realpath "${1:-${CARGO_TARGET_DIR:-$root/target}/debug/rds-retentiond}")
for tool in zsh fish mandoc python3; do
  command -v $tool >/dev/null || { echo "$tool is not installed: skipped"; exit 77; }
done
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
for shell in bash zsh fish; do "$bin" completions $shell > "$work/rds.$shell"; done
# The program under its name, a configuration and a state with a hold.
mkdir "$work/bin" && ln -s "$bin" "$work/bin/rds-retentiond"
export PATH="$work/bin:$PATH" RDS_RETENTIOND_CONFIG="$work/config.yaml"
cat >"$work/config.yaml" <<EOF
version: 1
state_dir: $work/state
projects: [{name: prod, region: ap-southeast-3}]
policies: [{name: nightly-production, mode: dry-run, keep: {last: 3}}]
EOF
"$bin" hold 63ad3439af9776054b0a3ed7ba2c7f6bbr04 --force --reason audit >/dev/null 2>&1
mkdir "$work/functions" && cp "$work/rds.zsh" "$work/functions/_rds-retentiond"

python3 - "$work" <<'PYTHON'
import os, pty, re, select, signal, sys, time

work = sys.argv[1]
SHELLS = {
    "bash": (["bash", "--norc", "--noprofile", "-i"], f"source {work}/rds.bash"),
    "zsh": (["zsh", "-f", "-i"], f"fpath=({work}/functions $fpath); autoload -U compinit; compinit -u -D"),
    "fish": (["fish", "--no-config", "-i"], f"source {work}/rds.fish"),
}
# What is typed before the tab, and what must be there after it.
CASES = [
    ("rds-retentiond fore", "forecast"),
    ("rds-retentiond forecast --backup-", "--backup-every"),
    ("rds-retentiond audit ver", "verify"),
    ("rds-retentiond plan --color al", "always"),
    ("rds-retentiond plan --policy nigh", "nightly-production"),
    ("rds-retentiond release h", "h1"),
    ("rds-retentiond plan --color=al", "--color=always"),
    ("rds-retentiond plan --policy=nigh", "--policy=nightly-production"),
]


def read(fd, seconds):
    out, end = b"", time.time() + seconds
    while time.time() < end:
        if select.select([fd], [], [], 0.05)[0]:
            try:
                out += os.read(fd, 65536)
            except OSError:
                break
    return re.sub(r"\x1b\[[0-9;?]*[ -/]*[@-~]|\x1b[()=>].?", "", out.decode("utf-8", "replace"))


def complete(shell, typed, wanted):
    words, load = SHELLS[shell]
    pid, fd = pty.fork()
    if pid == 0:
        os.environ.update(HOME=work, TERM="xterm", PS1="> ", LC_ALL="C.UTF-8")
        os.execvp(words[0], words)
    try:
        read(fd, 1)
        os.write(fd, load.encode() + b"\n")
        read(fd, 2)
        os.write(fd, typed.encode())
        read(fd, 0.5)
        os.write(fd, b"\t")
        said, end = "", time.time() + 10
        while wanted not in said and time.time() < end:
            said += read(fd, 0.3)
        return wanted in said, said
    finally:
        os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)
        os.close(fd)


for shell in SHELLS:
    for typed, wanted in CASES:
        # What is missing is all that the shell adds to the line.
        missing = wanted[len(typed.split(" ")[-1]):]
        good, said = complete(shell, typed, missing)
        if not good:
            sys.exit(f"FAIL: {shell} does not complete `{typed}` to {wanted}: {said!r}")
print(f"{len(SHELLS)} shells complete {len(CASES)} lines each")
PYTHON

mkdir "$work/man"
"$bin" man --dir "$work/man"
"$bin" man > "$work/man/all.1"
if ! mandoc -T lint -W warning "$work"/man/*.1; then echo "FAIL: mandoc complains"; exit 1; fi
for page in "$work"/man/*.1; do
  man -l "$page" 2>/dev/null | grep -q NAME || mandoc "$page" | grep -q NAME || { echo "FAIL: $page has no name"; exit 1; }
done
echo "$(ls "$work/man" | wc -l) man pages are clean"
