#!/bin/sh
# Holds `submit mcp` to clients that are not ours: the public inspector and the
# TypeScript SDK, from npm. Not a part of `make test`, because it downloads them.
#
#   make build toolbox && scripts/mcp-clients.sh
set -eu
cd "$(dirname "$0")/.."
ROOT=$PWD
BIN=${BIN:-$ROOT/bin}
DIR=$(mktemp -d)
WORKER=
SERVER=
stop() {
	for p in $SERVER $WORKER; do
		kill "$p" 2>/dev/null || true
		wait "$p" 2>/dev/null || true
	done
	rm -rf "$DIR"
}
trap stop EXIT
trap 'exit 130' INT TERM

mkdir -p "$DIR/npm" "$DIR/work"
(cd "$DIR/npm" && npm init -y >/dev/null && npm install --silent --no-audit --no-fund --ignore-scripts \
	@modelcontextprotocol/inspector@2.12.0 @modelcontextprotocol/sdk@1.32.2)

"$BIN/worker" dev --data "$DIR/data" --no-current --log-level error --ready-file "$DIR/ready" &
WORKER=$!
until [ -s "$DIR/ready" ]; do
	kill -0 $WORKER
	sleep 0.1
done
for tool in grep file-write spin noop; do
	"$BIN/submit" --context "$DIR/data" -q tool push --manifest toolbox/tools/$tool.json --wasm-dir toolbox/dist
done
"$BIN/submit" --context "$DIR/data" --json mcp --http 127.0.0.1:0 --work-dir "$DIR/work:rw" > "$DIR/http.json" &
SERVER=$!
until [ -s "$DIR/http.json" ]; do
	kill -0 $SERVER
	sleep 0.1
done
URL=$(sed -n 's/.*"url":"\([^"]*\)".*/\1/p' "$DIR/http.json")
TOKEN=$(sed -n 's/.*"token":"\([^"]*\)".*/\1/p' "$DIR/http.json")

inspect() { "$DIR/npm/node_modules/.bin/mcp-inspector" --cli "$@"; }
# has PATTERN: standard input has it, or everything is shown.
has() {
	cat > "$DIR/said"
	grep -q -- "$1" "$DIR/said" || { echo "no $1 in:"; cat "$DIR/said"; exit 1; }
}
for over in stdio http; do
	case $over in
	stdio) set -- "$BIN/submit" mcp --context "$DIR/data" --work-dir "$DIR/work:rw" ;;
	http) set -- "$URL" --transport http --header "Authorization: Bearer $TOKEN" ;;
	esac
	inspect "$@" --method tools/list --strict | has '"name": "grep"'
	inspect "$@" --method tools/call --tool-name file-write --tool-arg file_path=seen-$over.txt "content=by the inspector" | has "written seen-$over.txt"
	inspect "$@" --method tools/call --tool-name grep --tool-arg pattern=inspector "path=[\"seen-$over.txt\"]" | has 'by the inspector'
	inspect "$@" --method resources/templates/list | has 'boxfleet://jobs/'
	echo "inspector over $over: list (strict), calls and resource templates are right"
done
cp scripts/mcp-client.mjs "$DIR/npm/" # where node finds the SDK
node "$DIR/npm/mcp-client.mjs" "$BIN/submit" "$DIR/data" "$DIR/work" "$URL" "$TOKEN"
