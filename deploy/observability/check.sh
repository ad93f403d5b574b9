#!/usr/bin/env bash
# Checks what is here by Prometheus' own tool (Debian's package prometheus): the configuration, the rules, and when
# the alerts fire; and that the dashboard's expressions parse.
set -euo pipefail
cd "$(dirname "$0")"
command -v promtool >/dev/null || { echo "promtool is needed: apt-get install prometheus" >&2; exit 1; }
promtool check config prometheus.yml
promtool check rules alerts.yml
promtool test rules alerts_test.yml
rules=$(mktemp -d)
trap 'rm -r "$rules"' EXIT
# Grafana's own variables stand for a time and for all label values.
python3 - grafana.json > "$rules/grafana.yml" <<'PY'
import json, sys
doc = json.load(open(sys.argv[1]))
print("groups:\n- name: grafana\n  rules:")
n = 0
for panel in doc["panels"]:
    for target in panel.get("targets", []):
        expr = target["expr"].replace("$__rate_interval", "5m").replace("$instance", ".*")
        n += 1
        print(f"  - record: grafana:expr:n{n}\n    expr: {json.dumps(expr)}")
assert n > 10, "the dashboard has lost its expressions"
PY
promtool check rules --lint=none "$rules/grafana.yml"
