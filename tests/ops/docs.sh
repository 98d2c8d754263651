#!/bin/bash
# The worked examples of README.md and docs/rules.md: each command is run, and must print what stands below it. A `…` at the head of an
# output stands for lines left out; what a command prints after the lines shown is not compared.
# Usage: tests/ops/docs.sh [BINARY]   (from anywhere; exit 77 without python3)
set -euo pipefail
root=$(cd "$(dirname "$0")/../.." && pwd)
bin=${1:-${CARGO_TARGET_DIR:-$root/target}/debug/rds-retentiond}
command -v python3 >/dev/null || { echo "python3 is not installed: skipped"; exit 77; }
cd "$root"
python3 - "$bin" <<'PYTHON'
import os, re, shlex, subprocess, sys

rules, readme = (open(page, encoding="utf-8").read() for page in ("docs/rules.md", "README.md"))
pair = r"```console\n\$ rds-retentiond ([^\n]*)\n```\n```text\n(.*?)```"
pairs = re.findall(pair, rules, re.S)
assert len(pairs) >= 8 and len(pairs) == rules.count("```console"), len(pairs)
first = re.findall(pair, readme, re.S)
assert len(first) == 1, first
pairs += first
for command, shown in pairs:
    ran = subprocess.run([sys.argv[1], *shlex.split(command)], capture_output=True, text=True,
                         env={"PATH": os.environ["PATH"], "COLUMNS": "110", "LC_ALL": "C.UTF-8"})
    printed = "\n".join(line.rstrip() for line in ran.stdout.splitlines())
    shown = shown.strip("\n")
    good = shown.removeprefix("…\n") in printed if shown.startswith("…") else printed.strip("\n").startswith(shown)
    if not good:
        sys.exit(f"FAIL: rds-retentiond {command}\n--- the page\n{shown}\n--- printed\n{printed}\n{ran.stderr}")

# Every file that a page names by a relative link is there.
for page in ["README.md", *(f"docs/{name}" for name in os.listdir("docs") if name.endswith(".md"))]:
    for link in re.findall(r"\]\(([^)#\s]+)[^)]*\)", open(page, encoding="utf-8").read()):
        if "://" not in link and not os.path.exists(os.path.join(os.path.dirname(page), link)):
            sys.exit(f"FAIL: {page} links to {link}, which is not there")
print(f"docs: {len(pairs)} commands print what the pages say; all links lead somewhere")
PYTHON
