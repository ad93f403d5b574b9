#!/bin/sh
# The demo: a whole fleet on this machine, real tools on real input.
# `make demo` builds everything first. Needs nothing but what was built.
set -eu
cd "$(dirname "$0")/.."

DATA=.demo/data
OUT=.demo/out
FLEET=
bold() { printf '\n\033[1m%s\033[0m\n' "$*"; }
[ -t 1 ] || bold() { printf '\n== %s\n' "$*"; }
show() { printf '$ %s\n' "$*"; "$@"; }

stop() {
	if [ -n "$FLEET" ]; then
		kill "$FLEET" 2>/dev/null || true
		wait "$FLEET" 2>/dev/null || true
		FLEET=
	fi
}
trap 'stop' EXIT
trap 'exit 130' INT
trap 'exit 143' TERM

rm -rf .demo/data .demo/out
mkdir -p "$DATA" "$OUT"
export BOXFLEET_CONTEXT="$PWD/$DATA"
PATH="$PWD/bin:$PATH"
export PATH

bold "A fleet on this machine: queue, object store, one worker"
# --allow-private-networks: web-fetch below talks to a server on loopback.
worker dev --data "$DATA" --no-current --allow-private-networks --log-level warn --ready-file .demo/ready &
FLEET=$!
n=0
until [ -f "$DATA/context.json" ] && [ -f .demo/ready ]; do
	n=$((n + 1))
	if [ $n -gt 300 ] || ! kill -0 "$FLEET" 2>/dev/null; then
		echo "the fleet did not come up; its messages are above" >&2
		exit 1
	fi
	sleep 0.1
done
rm -f .demo/ready
HTTP=$(sed -n 's/.*"http": "\(.*\)".*/\1/p' "$DATA/context.json")

bold "Push the toolbox"
show submit tool push --all toolbox/tools --wasm-dir toolbox/dist

bold "jq: count returned orders in a JSON file"
show submit run jq --map-dir toolbox/testdata::/in -- --compact-output \
	'[.[] | select(.state == "returned") | .total] | {count: length, cents: add}' /in/orders.json

bold "grep: search a directory"
show submit run grep --map-dir docs::/docs -- --recursive --line-number --include='*.md' 'compare-and-set' /docs

bold "markdown: this repository's README as HTML"
mkdir -p .demo/readme && cp README.md .demo/readme/
show submit run markdown --map-dir .demo/readme::/in --output /out="$OUT" -- --page --title=boxfleet --output=/out/README.html /in/README.md

bold "resize: an image, and the picture comes back"
show submit run resize --map-dir toolbox/testdata::/in --output /out="$OUT" -- --width=160 --output=/out/small.png /in/photo.png
ls -l "$OUT"

bold "web-fetch: the network is closed until a job asks and its operator agrees"
show submit run web-fetch -- --url "$HTTP/healthz" || echo "(refused, as it should be: exit code $?)"
show submit run web-fetch --allowed-outbound-host "$HTTP" -- --url "$HTTP/healthz"

bold "An agent's session by the Model Context Protocol: submit mcp"
WORK=.demo/work
rm -rf "$WORK" && mkdir -p "$WORK/docs" && cp docs/guarantees.md docs/queue.md "$WORK/docs/"
agent() { "${GO:-go}" run ./scripts/agent "$@"; }
STEPS='list
file-glob {"pattern": "**/*.md"}
grep {"pattern": "conditional PUT", "recursive": true, "path": ["docs"], "max_count": 2}
file-write {"file_path": "notes/today.txt", "content": "remember the milk\n"}
web-fetch {"url": "'$HTTP'/healthz"}
web-fetch {"url": "http://169.254.169.254/latest/meta-data/"}'
if [ -f toolbox/dist/python.wasm ]; then # made by: make toolbox-large
	submit -q tool push --manifest toolbox/large/tools/python.json --wasm-dir toolbox/dist
	STEPS="$STEPS
python {\"command\": \"print(open('/notes/today.txt').read().upper())\"}"
fi
printf '$ submit mcp --work-dir %s:rw --allowed-outbound-host %s\n' "$WORK" "$HTTP"
printf '%s\n' "$STEPS" | agent submit mcp --work-dir "$WORK:rw" --allowed-outbound-host "$HTTP"
printf '\nThe file that the agent wrote is here: '
cat "$WORK/notes/today.txt"
printf '\n$ submit mcp --work-dir %s:rw --tier read-only\n' "$WORK"
agent submit mcp --work-dir "$WORK:rw" --tier read-only <<'MCP'
file-write {"file_path": "notes/today.txt", "content": "overwritten"}
boxfleet_search {"query": "find pattern", "limit": 3}
MCP

bold "1,000 jq jobs as one batch"
awk 'BEGIN { for (i = 1; i <= 1000; i++) printf "{\"id\": \"square-%d\", \"tool\": \"jq\", \"args\": [\"--compact-output\", \"{n: ., square: (. * .)}\"], \"stdin\": \"%d\"}\n", i, i }' > .demo/squares.jsonl
show submit batch .demo/squares.jsonl --wait --results "$OUT/squares.jsonl"
RIGHT=$(awk 'match($0, /\\"square\\":[0-9]+/) { n++ } END { print n + 0 }' "$OUT/squares.jsonl")
echo "$RIGHT of 1000 results hold a square"
[ "$RIGHT" = 1000 ]

bold "Where one job's time went"
submit run jq --id demo-trace --stdin toolbox/testdata/orders.json -- length > /dev/null
show submit trace demo-trace

stop
bold "Stopped. What to try next, from this directory:"
cat <<'NEXT'
  bin/worker dev --data boxfleet-data &             # a fleet of your own; stop it with: kill %1
  bin/submit tool push --all toolbox/tools --wasm-dir toolbox/dist
  echo '{"name":"box"}' | bin/submit run jq --stdin - -- .name
  bin/submit run sh --timeout 5 --max-memory 64MiB -- -c 'echo sandboxed: $((6 * 7))'
  bin/submit list
  bin/loadtest burst --jobs 10000
NEXT
