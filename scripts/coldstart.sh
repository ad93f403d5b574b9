#!/bin/sh
# Compares what a start of a tool costs here, on plain wazero, on Wasmtime and
# as a process of the same source, one after the other for each tool, so that
# ratios of one run can be compared:
#
#     make toolbox
#     python3 -m venv venv && venv/bin/pip install wasmtime
#     scripts/coldstart.sh venv/bin/python
#
# All figures are processor time of the thread that does the work.
set -eu
python=${1:?usage: coldstart.sh PYTHON, one that has the package wasmtime}
case $python in */*) python=$(cd "$(dirname "$python")" && pwd)/$(basename "$python") ;; esac
cd "$(dirname "$0")/.."
if [ ! -f toolbox/dist/hello.wasm ]; then
	echo "coldstart.sh: toolbox/dist has no tools: run make toolbox" >&2
	exit 1
fi
tmp=$(mktemp -d)
trap 'rm -rf "$tmp"' EXIT
(cd toolbox && CGO_ENABLED=0 go build -trimpath -ldflags='-s -w' -o "$tmp" ./cmd/hello ./cmd/grep ./cmd/jq)
go test -c -o "$tmp/executor.test" ./executor
compare() {
	bench=$1 tool=$2 stdin=$3
	shift 3
	(cd executor && "$tmp/executor.test" -test.run '^$' -test.bench "Start/$bench\$|Load/$tool\$" -test.benchtime 1x) |
		sed -n 's/^ *[a-z_]*_test.go:[0-9]*: //p'
	"$python" scripts/coldstart.py toolbox/dist "$tmp" "$tool" "$stdin" "$@"
}
compare noop noop ''
compare go-hello hello '' --name=fleet
compare grep grep '' --help
compare jq jq '[1,2,3]' .
