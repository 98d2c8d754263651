#!/bin/bash
# The manifests: each kustomization is built, each object fits the schema of its kind, each configuration passes `check`, and the
# image's recipe names what is there.
# Usage: tests/ops/kubernetes.sh [BINARY]   (needs kubectl or kustomize, python3 with venv and PyPI, else exit 77)
set -euo pipefail
root=$(cd "$(dirname "$0")/../.." && pwd)
bin=${1:-${CARGO_TARGET_DIR:-$root/target}/debug/rds-retentiond}
cd "$root"
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
fail() { echo "FAIL: $1" >&2; exit 1; }
if command -v kustomize >/dev/null; then build=(kustomize build); elif command -v kubectl >/dev/null; then build=(kubectl kustomize); else
  echo "neither kubectl nor kustomize is installed: skipped"; exit 77
fi
python3 -m venv "$work/venv"
"$work/venv/bin/pip" -q install kubernetes-validate PyYAML || { echo "kubernetes-validate is not to be had: skipped"; exit 77; }
for which in cronjob one two; do
  "${build[@]}" "config/kubernetes/$which" >"$work/$which.yaml" || fail "$which cannot be built"
  mkdir -p "$work/$which"
  "$work/venv/bin/python" - "$work/$which.yaml" "$work/$which/config.yaml" <<'PYTHON' || fail "$which"
import sys
import kubernetes_validate, yaml

# Kinds of the Prometheus operator have no schema here.
OTHERS = {"ServiceMonitor", "PrometheusRule"}
objects = list(yaml.safe_load_all(open(sys.argv[1])))
for object in objects:
    if object["kind"] not in OTHERS:
        kubernetes_validate.validate(object, "1.29", strict=True)
kinds = {object["kind"]: object for object in objects}
work = kinds.get("Deployment") or kinds["CronJob"]["spec"]["jobTemplate"]
pod = work["spec"]["template"]["spec"]
assert pod["automountServiceAccountToken"] is False and pod["securityContext"]["runAsNonRoot"]
[container] = pod["containers"]
assert container["image"].startswith("registry.example/rds-retentiond:"), container["image"]
assert container["securityContext"]["readOnlyRootFilesystem"] and container["resources"]["limits"]["memory"]
mounts = {mount["name"] for mount in container["volumeMounts"]}
assert mounts == {volume["name"] for volume in pod["volumes"]}, mounts
if "Service" in kinds:
    labels = work["spec"]["template"]["metadata"]["labels"]
    selectors = [kinds["Service"]["spec"]["selector"], kinds["NetworkPolicy"]["spec"]["podSelector"]["matchLabels"]]
    assert all(selector.items() <= labels.items() for selector in selectors), selectors
    assert kinds["PrometheusRule"]["spec"]["groups"][0]["rules"]
open(sys.argv[2], "w").write(kinds["ConfigMap"]["data"]["config.yaml"])
print(f"{sys.argv[1].rsplit('/', 1)[1]}: {', '.join(sorted(kinds))}")
PYTHON
  # The places that the manifests mount, and the file of the database's password.
  sed -i "s#^state_dir: /state#state_dir: $work/$which/state#; s#/secrets/#$work/$which/#" "$work/$which/config.yaml"
  mkdir -p "$work/$which/state"
  (umask 077; echo secret >"$work/$which/pg_password")
  "$bin" --config "$work/$which/config.yaml" check >"$work/said" 2>&1 || fail "$which: $(cat "$work/said")"
done
echo "kubernetes: ok"
